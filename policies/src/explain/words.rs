//! Times, sizes, lists and values as people say them.

use crate::{
    document::{Constraint, DAY, HOUR},
    intent::Argument,
    ledger::Timestamp,
    times::{Span, Times},
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<T: AsRef<str>>(parts: &[T]) -> String {
    joined(parts, "and")
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either<T: AsRef<str>>(parts: &[T]) -> String {
    joined(parts, "or")
}

fn joined<T: AsRef<str>>(parts: &[T], last_word: &str) -> String {
    match parts.split_last() {
        None => String::new(),
        Some((last, [])) => last.as_ref().to_owned(),
        Some((last, rest)) => {
            let rest = list_all(rest.iter().map(AsRef::as_ref));
            format!("{rest} {last_word} {}", last.as_ref())
        }
    }
}

/// `a, b, c`.
pub(crate) fn list_all<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let mut text = String::with_capacity(names.clone().map(|name| name.len() + 2).sum());
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    text
}

/// A window's width as people say it.
pub(crate) fn per(width: u64) -> String {
    match width {
        SECOND => "a second".to_owned(),
        MINUTE => "a minute".to_owned(),
        HOUR => "an hour".to_owned(),
        DAY => "a day".to_owned(),
        _ => format!("in {}", duration(width)),
    }
}

/// A number of bytes in the largest binary unit that keeps it whole.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    units
        .into_iter()
        .find(|(_, size)| count >= *size && count.is_multiple_of(*size))
        .map_or_else(|| format!("{count} bytes"), |(unit, size)| format!("{} {unit}", count / size))
}

/// Milliseconds as `2 d 3 h`, down to whole seconds.
pub(crate) fn duration(millis: u64) -> String {
    let mut rest = millis;
    let mut parts = Vec::new();
    for (unit, width) in [("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND)] {
        if rest >= width {
            parts.push(format!("{} {unit}", rest / width));
            rest %= width;
        }
    }
    if parts.is_empty() { "less than 1 s".to_owned() } else { parts.join(" ") }
}

/// Unix milliseconds as `2027-06-30 08:05:00 UTC`.
pub(crate) fn date(at: Timestamp) -> String {
    let (days, rest) = (at / DAY, at % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a count of days since the first of January 1970, in the Gregorian
/// calendar. Counted in years that begin in March, so that a leap day is a year's last one.
fn civil(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    const CENTURY: u64 = 36_524;
    const FOUR_YEARS: u64 = 1_461;
    // From the first of March of the year 0 on.
    let days = days + 719_468;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let century = (day / CENTURY).min(3);
    let day = day - century * CENTURY;
    let (fours, day) = (day / FOUR_YEARS, day % FOUR_YEARS);
    let year = (day / 365).min(3);
    let day = day - year * 365;
    let year = cycle * 400 + century * 100 + fours * 4 + year;
    // Months of 31, 30, 31, 30 and 31 days, over and over.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// `Monday to Friday from 08:00 to 18:00 UTC+01:00`.
pub(crate) fn hours(times: &Times) -> String {
    list(&times.0.iter().map(span).collect::<Vec<_>>())
}

fn span(span: &Span) -> String {
    const DAYS: [&str; 7] =
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or("?");
    let days = match (span.first, span.last) {
        (0, 6) => "every day".to_owned(),
        (first, last) if first == last => format!("on {}", day(first)),
        (first, last) => format!("{} to {}", day(first), day(last)),
    };
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let next = if span.until <= span.from { " of the next day" } else { "" };
    let zone = match (span.offset, span.offset.unsigned_abs()) {
        (0, _) => "UTC".to_owned(),
        (offset, minutes) if offset < 0 => format!("UTC-{}", clock(minutes)),
        (_, minutes) => format!("UTC+{}", clock(minutes)),
    };
    format!("{days} from {} to {}{next} {zone}", clock(span.from), clock(span.until))
}

/// The value of an argument.
pub(crate) fn said(argument: &Argument) -> String {
    match argument {
        Argument::Flag(flag) => flag.to_string(),
        Argument::Integer(number) => number.to_string(),
        Argument::Text(text) => format!("\"{}\"", text.escape_debug()),
    }
}

/// What an argument must be like.
pub(crate) fn constraint(wanted: &Constraint) -> String {
    let Constraint { one_of, starts_with, longest, at_least, at_most } = wanted;
    let mut parts = Vec::new();
    if let Some(values) = one_of {
        parts.push(either(&values.iter().map(said).collect::<Vec<_>>()));
    }
    if let Some(start) = starts_with {
        parts.push(format!("a text that begins with \"{}\" without `..`", start.escape_debug()));
    }
    parts.extend(longest.map(|most| format!("a text of at most {most} characters")));
    parts.extend(at_least.map(|least| format!("a number of at least {least}")));
    parts.extend(at_most.map(|most| format!("a number of at most {most}")));
    if parts.is_empty() { "anything, but given".to_owned() } else { list(&parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_704_110_400, "2024-01-01 12:00:00 UTC"),
            (1_814_313_600, "2027-06-30 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(seconds * 1_000), text);
        }
        assert!(date(u64::MAX).ends_with("UTC"), "no date is too late to be said");
    }

    #[test]
    fn times_are_said_with_their_days_and_their_zone() {
        let times = |texts: &[&str]| {
            hours(&Times(texts.iter().map(|text| Span::read(text).unwrap()).collect()))
        };
        assert_eq!(
            times(&["mon-fri 08:00-18:00 +01:00"]),
            "Monday to Friday from 08:00 to 18:00 UTC+01:00"
        );
        assert_eq!(
            times(&["sat 22:00-02:00", "06:00-07:30 -03:30"]),
            "on Saturday from 22:00 to 02:00 of the next day UTC and \
             every day from 06:00 to 07:30 UTC-03:30"
        );
    }

    #[test]
    fn durations_are_exact_to_the_second() {
        assert_eq!(duration(DAY + 2 * HOUR + 61 * SECOND), "1 d 2 h 1 min 1 s");
        assert_eq!((duration(24 * HOUR), duration(999)), ("1 d".into(), "less than 1 s".into()));
    }
}
