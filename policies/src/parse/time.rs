//! Time as owners write it: an end (`expires`), spans of the week (`times`), and ages (`1h`).

use super::{keys, section::Section, units::read_age};
use crate::{
    document::{Approvals, DAY, HOUR},
    error::PolicyError,
    ledger::Timestamp,
    times::{Span, Times},
};
use toml::{
    de::DeValue,
    value::{Date, Datetime, Offset, Time},
};

const MINUTE: u64 = 60_000;

/// `expires = 2027-06-30T00:00:00Z`
pub(super) fn expires(root: &Section<'_>) -> Result<Option<Timestamp>, PolicyError> {
    const HELP: &str = "write date, time and offset, bare: expires = 2027-06-30T00:00:00Z";
    let Some(value) = root.value("expires") else { return Ok(None) };
    let mistake = |message: &str| Err(root.source.meaning(value.span.clone(), message, HELP));
    let DeValue::Datetime(datetime) = value.value else {
        return mistake("`expires` is no date");
    };
    match datetime {
        Datetime { date: Some(date), time: Some(time), offset: Some(offset) } => {
            if time.nanosecond.is_some_and(|part| part > 0) || time.second.unwrap_or(0) > 59 {
                return mistake("`expires` is not at a whole second");
            }
            match unix(*date, *time, *offset) {
                Some(instant) => Ok(Some(instant)),
                None => mistake("`expires` is before 1970"),
            }
        }
        Datetime { offset: None, time: Some(_), .. } => {
            mistake("`expires` has no offset, so it is another time in each place")
        }
        _ => mistake("`expires` is no date with a time"),
    }
}

/// Unix milliseconds of a moment of the proleptic Gregorian calendar.
fn unix(date: Date, time: Time, offset: Offset) -> Option<Timestamp> {
    // Years that begin in March have their odd day at the end.
    let (year, month) = match date.month {
        1 | 2 => (u64::from(date.year).checked_sub(1)?, u64::from(date.month) + 9),
        month => (u64::from(date.year), u64::from(month).checked_sub(3)?),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + u64::from(date.day);
    // The first of March of the year 0 is day 1, the first of January 1970 day 719,469.
    let days = days.checked_sub(719_469)?;
    let local = days * DAY
        + u64::from(time.hour) * HOUR
        + u64::from(time.minute) * MINUTE
        + u64::from(time.second.unwrap_or(0)) * 1_000;
    let ahead = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * MINUTE.cast_signed(),
    };
    local.checked_add_signed(-ahead)
}

/// `times = ["mon-fri 08:00-18:00 +01:00"]`
pub(super) fn times(section: &Section<'_>) -> Result<Times, PolicyError> {
    const HELP: &str = "write it as in \"mon-fri 08:00-18:00 +01:00\"; without days it is every \
                        day, without an offset UTC";
    let mut spans: Vec<Span> = Vec::new();
    let texts = section.texts("times")?.unwrap_or_default();
    if texts.is_empty() && section.has("times") {
        // In a policy that was read, none stands for always.
        let message = format!("`times` in {} lists no time", section.path);
        return Err(section.mistake("times", message, "leave it out for any time"));
    }
    for text in texts {
        let span = Span::read(text.value).ok_or_else(|| {
            let message = format!("cannot read \"{}\" as a time", text.value.escape_debug());
            section.source.meaning(text.span.clone(), message, HELP)
        })?;
        if spans.contains(&span) {
            return Err(section.twice("times", text.span, text.value));
        }
        spans.push(span);
    }
    // The order says nothing, so it must not change the hash.
    spans.sort_unstable();
    Ok(Times(spans))
}

/// `[approvals]`
pub(super) fn approvals(section: Option<Section<'_>>) -> Result<Approvals, PolicyError> {
    let Some(section) = section else { return Ok(Approvals::default()) };
    section.only(keys::APPROVALS)?;
    Ok(Approvals { valid: age(&section, "valid")?, held: age(&section, "held")? })
}

fn age(section: &Section<'_>, key: &str) -> Result<Option<u64>, PolicyError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    match read_age(text.value).filter(|age| *age > 0) {
        Some(age) => Ok(Some(age)),
        None => {
            let message = format!("`{key}` cannot be \"{}\"", text.value.escape_debug());
            let help = "write how long, as in \"30min\", \"24h\" or \"7d\"";
            Err(section.source.meaning(text.span, message, help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Timestamp> {
        let datetime: Datetime = text.parse().unwrap();
        unix(datetime.date.unwrap(), datetime.time.unwrap(), datetime.offset.unwrap())
    }

    #[test]
    fn the_calendar_is_the_one_on_the_wall() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2024-01-01T12:00:00Z", 1_704_110_400),
            ("2024-12-31T23:59:59-05:30", 1_735_709_399),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(read(text), Some(seconds * 1_000), "{text}");
        }
        for text in ["1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "0000-01-01T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
