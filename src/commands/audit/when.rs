//! Points in time as people give them: `2h`, `30d`, `2026-11-20`, `2026-11-20T14:00:00Z`.

use jiff::{Timestamp as Time, civil::Date, tz::TimeZone};
use marque_policies::Timestamp;
use std::time::SystemTime;

/// Unix milliseconds of a span back from now, a day (its beginning, UTC) or a time.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    read(text, u64::try_from(now).unwrap_or(u64::MAX))
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(span) = span(text) {
        return Ok(now.saturating_sub(span));
    }
    let day = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let time = match text.parse::<Date>() {
        Ok(date) if text.len() == "2026-11-20".len() => day(date),
        _ => text.parse::<Time>().ok(),
    };
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok()).ok_or_else(|| {
        "a time is written 90s, 15m, 2h, 30d or 4w (back from now), 2026-11-20 or \
         2026-11-20T14:00:00Z (UTC)"
            .to_owned()
    })
}

/// `30d` in milliseconds.
fn span(text: &str) -> Option<u64> {
    let units = [("s", 1_000_u64), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let weeks = ("w", 7 * 86_400_000_u64);
    let (digits, unit) = units
        .into_iter()
        .chain([weeks])
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits, unit)))?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::read;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn times_are_read_as_people_give_them() {
        assert_eq!(read("90s", NOW), Ok(NOW - 90_000));
        assert_eq!(read("2h", NOW), Ok(NOW - 7_200_000));
        assert_eq!(read("30d", NOW), Ok(NOW - 30 * 86_400_000));
        assert_eq!(read("999999d", NOW), Ok(0));
        assert_eq!(read("1970-01-02", NOW), Ok(86_400_000));
        assert_eq!(read("1970-01-01T00:00:07Z", NOW), Ok(7_000));
        assert_eq!(read("1970-01-01T01:00:07+01:00", NOW), Ok(7_000));
    }

    #[test]
    fn what_is_no_time_is_told_how_to_be_one() {
        for wrong in ["", "h", "-2h", "+2h", "2 h", "2y", "yesterday", "2026-13-01", "1960-01-01"] {
            assert!(read(wrong, NOW).unwrap_err().contains("2026-11-20"), "{wrong}");
        }
    }
}
