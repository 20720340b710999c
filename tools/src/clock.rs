//! `now`: what time it is.

use jiff::{Timestamp, tz::TimeZone};
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::Serialize;

/// The longest name of a time zone, in bytes.
const LONGEST: usize = 64;

/// What [`now`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Now {
    /// RFC 3339 to the second: `Z` in UTC, otherwise with the offset from it.
    pub time: String,
    /// The day of the week in English.
    pub weekday: String,
}

/// Says the time as the steward counts it, which no mind can move.
///
/// # Errors
/// [`ToolError::Payment`] where the steward does not answer, [`ToolError::Arguments`] for a zone that
/// the time zone database does not have.
#[tool(crate = marque_agent_core, description = "date and time now, in UTC or a zone such as Europe/Lisbon")]
pub async fn now(
    cx: &Cx,
    /// a name of the time zone database, such as "Europe/Lisbon"
    zone: Option<String>,
) -> Result<Now, ToolError> {
    let zone = zone.as_deref().map_or(Ok(TimeZone::UTC), find)?;
    let milliseconds = i64::try_from(cx.view().await?.now).map_err(ToolError::from_any)?;
    let time = Timestamp::from_millisecond(milliseconds).map_err(ToolError::from_any)?;
    Ok(told(time, zone))
}

fn find(name: &str) -> Result<TimeZone, ToolError> {
    let unknown = || {
        let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        ToolError::Arguments(format!("no time zone \"{name}\"; write one such as Europe/Lisbon"))
    };
    if name.len() > LONGEST {
        return Err(unknown());
    }
    TimeZone::get(name).map_err(|_| unknown())
}

fn told(time: Timestamp, zone: TimeZone) -> Now {
    let form = if zone == TimeZone::UTC { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    let time = time.to_zoned(zone);
    Now { time: time.strftime(form).to_string(), weekday: time.strftime("%A").to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc_or_where_it_is_asked_for() {
        let time: Timestamp = "2026-06-30T23:30:00Z".parse().unwrap();
        let told_in = |zone: &str| {
            let Now { time, weekday } = told(time, find(zone).unwrap());
            (time, weekday)
        };
        let text = |time: &str, day: &str| (time.to_owned(), day.to_owned());
        assert_eq!(told_in("UTC"), text("2026-06-30T23:30:00Z", "Tuesday"));
        assert_eq!(told_in("Europe/Lisbon"), text("2026-07-01T00:30:00+01:00", "Wednesday"));
        assert_eq!(told_in("America/New_York"), text("2026-06-30T19:30:00-04:00", "Tuesday"));
    }

    #[test]
    fn what_is_no_zone_is_said_to_be_none() {
        for name in ["", "Atlantis/Deep", "../../etc/passwd", "/etc/localtime", &"x".repeat(999)] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains("no time zone") && error.len() < 160, "{name:?}: {error}");
        }
    }
}
