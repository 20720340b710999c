//! Times, rates and sizes: `5h`, `60/min`, `64 KiB/day`.

use crate::document::{DAY, HOUR};

/// Ages up to ten years.
const LONGEST_AGE: u64 = 3_650 * DAY;

/// `5h` in milliseconds.
pub(super) fn read_age(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let age = number.parse::<u64>().ok()?.checked_mul(read_time(unit)?)?;
    (age <= LONGEST_AGE).then_some(age)
}

/// `60/min`: how often, and in how many milliseconds.
pub(super) fn read_rate(text: &str) -> Option<(u64, u64)> {
    let (number, unit) = text.split_once('/')?;
    Some((read_number(number)?, read_time(unit)?))
}

/// `64 KiB/day`: how many bytes, and in how many milliseconds.
pub(super) fn read_bytes(text: &str) -> Option<(u64, u64)> {
    let (size, unit) = text.split_once('/')?;
    let (number, size) = size.split_once(' ')?;
    Some((read_size(number, size)?, read_time(unit)?))
}

/// `64` and `KiB` in bytes.
pub(super) fn read_size(number: &str, unit: &str) -> Option<u64> {
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    read_number(number)?.checked_mul(factor)
}

fn read_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn read_time(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1_000),
        "min" => Some(60_000),
        "h" => Some(HOUR),
        "d" | "day" | "days" => Some(DAY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rates_and_sizes_are_read_exactly_or_not_at_all() {
        assert_eq!(read_age("5h"), Some(5 * HOUR));
        assert_eq!(read_age("90s"), Some(90_000));
        assert_eq!(read_age("2days"), Some(2 * DAY));
        assert_eq!(read_rate("60/min"), Some((60, 60_000)));
        assert_eq!(read_bytes("64 KiB/day"), Some((65_536, DAY)));
        for wrong in ["", "h", "5", "5 h", "-5h", "5m", "99999d", "18446744073709551616s"] {
            assert_eq!(read_age(wrong), None, "{wrong}");
        }
        for wrong in ["60", "/min", "60/", "60 /min", "+60/min", "6.5/min"] {
            assert_eq!(read_rate(wrong), None, "{wrong}");
        }
        for wrong in ["64/day", "64KiB/day", "64 kB/day", "64 KiB", "99999999999999 GiB/day"] {
            assert_eq!(read_bytes(wrong), None, "{wrong}");
        }
    }
}
