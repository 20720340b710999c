//! When something is permitted: spans of the week, such as `mon-fri 08:00-18:00 +01:00`.
//!
//! A span that ends at or before its beginning runs over midnight and belongs to the day on which
//! it begins. Offsets are fixed: there is no table of time zones here, and no clock.

use crate::ledger::Timestamp;
use std::fmt;

const MINUTE: u64 = 60_000;
const DAY: u64 = 1_440;
const WEEK: u64 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Spans of the week; none at all stands for always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(pub Vec<Span>);

/// One span on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first day, from 0 for Monday.
    pub first: u8,
    /// The last day, which may come before the first one: `fri-mon`.
    pub last: u8,
    /// When it begins, in minutes of the day.
    pub from: u16,
    /// When it ends, in minutes of the day, up to 1,440; at or before `from` it is the next day's.
    pub until: u16,
    /// Minutes that the owner's clock is ahead of UTC.
    pub offset: i16,
}

/// A point in the week, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// From 0 for Monday.
    pub day: u8,
    /// Minutes of the day.
    pub minute: u16,
}

impl Times {
    /// Whether `now` (Unix milliseconds) is within one of the spans, or there is none.
    #[must_use]
    pub fn covers(&self, now: Timestamp) -> bool {
        self.0.is_empty() || self.0.iter().any(|span| span.covers(minute_of_week(now)))
    }

    /// Whether there is no restriction.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }
}

impl Span {
    /// Whether a minute of the UTC week, from Monday 00:00, is within it.
    #[must_use]
    pub fn covers(&self, minute: u64) -> bool {
        let local = (i64::try_from(minute).unwrap_or(0) + i64::from(self.offset))
            .rem_euclid(WEEK.cast_signed())
            .unsigned_abs();
        let (day, time) = (local / DAY, local % DAY);
        let (from, until) = (u64::from(self.from), u64::from(self.until));
        if from < until {
            self.on(day) && from <= time && time < until
        } else {
            let yesterday = (day + 6) % 7;
            (self.on(day) && from <= time) || (self.on(yesterday) && time < until)
        }
    }

    fn on(&self, day: u64) -> bool {
        let (first, last) = (u64::from(self.first), u64::from(self.last));
        if first <= last { first <= day && day <= last } else { day >= first || day <= last }
    }
}

/// The minute of the UTC week, from Monday 00:00. The first of January 1970 was a Thursday.
#[must_use]
pub const fn minute_of_week(now: Timestamp) -> u64 {
    (now / MINUTE + 3 * DAY) % WEEK
}

impl Moment {
    /// The point of the week at `now`.
    #[must_use]
    pub fn of(now: Timestamp) -> Self {
        let minute = minute_of_week(now);
        let day = u8::try_from(minute / DAY).unwrap_or(0);
        Self { day, minute: u16::try_from(minute % DAY).unwrap_or(0) }
    }

    /// Reads `mon 03:00`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (day, time) = text.split_once(' ')?;
        let minute = read_time(time).filter(|minute| u64::from(*minute) < DAY)?;
        Some(Self { day: read_day(day)?, minute })
    }
}

impl Span {
    /// Reads `mon-fri 08:00-18:00 +01:00`; days and offset may be left out, for every day and UTC.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ').peekable();
        let (first, last) = match words.peek()? {
            days if days.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                words.next();
                (read_day(first)?, read_day(last)?)
            }
            _ => (0, 6),
        };
        let (from, until) = words.next()?.split_once('-')?;
        let (from, until) = (read_time(from)?, read_time(until)?);
        let offset = match words.next() {
            None => 0,
            Some(offset) => read_offset(offset)?,
        };
        let sensible = u64::from(from) < DAY && from != until && words.next().is_none();
        sensible.then_some(Self { first, last, from, until, offset })
    }
}

fn read_day(text: &str) -> Option<u8> {
    let place = DAYS.iter().position(|day| *day == text)?;
    u8::try_from(place).ok()
}

/// `08:30` in minutes; `24:00` is the end of the day.
fn read_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let valid = (hours < 24 && minutes < 60) || (hours, minutes) == (24, 0);
    valid.then_some(hours * 60 + minutes)
}

/// `+01:00`, at most 14 hours either way.
fn read_offset(text: &str) -> Option<i16> {
    let (sign, time) = text.split_at_checked(1)?;
    let minutes = i16::try_from(read_time(time)?).ok().filter(|minutes| *minutes <= 14 * 60)?;
    match sign {
        "+" => Some(minutes),
        "-" => Some(-minutes),
        _ => None,
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or("?");
        match (self.first, self.last) {
            (0, 6) => {}
            (first, last) if first == last => write!(f, "{} ", day(first))?,
            (first, last) => write!(f, "{}-{} ", day(first), day(last))?,
        }
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)?;
        let (sign, offset) = (if self.offset < 0 { '-' } else { '+' }, self.offset.unsigned_abs());
        match offset {
            0 => Ok(()),
            _ => write!(f, " {sign}{:02}:{:02}", offset / 60, offset % 60),
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            write!(f, "{}{span}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS.get(usize::from(self.day)).copied().unwrap_or("?");
        write!(f, "{day} {:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 1 January 2024, 00:00 UTC.
    const MONDAY: Timestamp = 1_704_067_200_000;

    fn at(text: &str) -> u64 {
        let moment = Moment::read(text).unwrap();
        u64::from(moment.day) * DAY + u64::from(moment.minute)
    }

    #[test]
    fn the_calendar_is_right() {
        assert_eq!(Moment::of(MONDAY).to_string(), "mon 00:00");
        assert_eq!(Moment::of(MONDAY - 1).to_string(), "sun 23:59");
        assert_eq!(Moment::of(0).to_string(), "thu 00:00");
    }

    #[test]
    fn spans_cover_their_days_over_midnight_and_with_an_offset() {
        let work = Span::read("mon-fri 08:00-18:00").unwrap();
        for (text, inside) in [
            ("mon 08:00", true),
            ("fri 17:59", true),
            ("fri 18:00", false),
            ("sat 09:00", false),
            ("mon 07:59", false),
        ] {
            assert_eq!(work.covers(at(text)), inside, "{text}");
        }
        let night = Span::read("fri 22:00-06:00").unwrap();
        assert!(night.covers(at("fri 23:00")) && night.covers(at("sat 05:59")));
        assert!(!night.covers(at("fri 05:00")) && !night.covers(at("sat 22:00")));
        let berlin = Span::read("mon 00:00-24:00 +01:00").unwrap();
        assert!(berlin.covers(at("sun 23:00")) && !berlin.covers(at("mon 23:00")));
        let west = Span::read("mon 00:00-01:00 -05:30").unwrap();
        assert!(west.covers(at("mon 05:30")) && !west.covers(at("mon 00:30")));
        let weekend = Span::read("sat-mon 10:00-11:00").unwrap();
        assert!(weekend.covers(at("mon 10:00")) && !weekend.covers(at("tue 10:00")));
    }

    #[test]
    fn what_is_no_span_is_not_read_and_what_is_reads_back() {
        for text in ["08:00-18:00", "mon 22:00-06:00", "fri-mon 00:00-24:00 -03:30"] {
            assert_eq!(Span::read(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "mon",
            "08:00",
            "8:00-9:00",
            "08:00-08:00",
            "24:00-25:00",
            "mon-xyz 08:00-09:00",
            "08:00-09:00 +15:00",
            "08:00-09:00 UTC",
            "mon  08:00-09:00",
            "08:00-09:60",
            "é 08:00-09:00",
        ] {
            assert_eq!(Span::read(text), None, "{text}");
        }
    }
}
