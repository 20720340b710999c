//! Times as sets of minutes of the UTC week, compared exactly.

use crate::{ledger::Timestamp, times::Times};

/// A minute in milliseconds.
const MINUTE: u64 = 60_000;
/// Minutes of a week.
const WEEK: u64 = 10_080;
/// Monday noon.
pub(super) const NOON: u64 = 720;

/// Whether a minute of the week is within these times.
pub(super) fn covers(times: &Times, minute: u64) -> bool {
    times.is_always() || times.0.iter().any(|span| span.covers(minute))
}

/// The minutes that are in `these` and not in `those`.
pub(super) fn beyond(these: &Times, those: &Times) -> Vec<u64> {
    (0..WEEK).filter(|minute| covers(these, *minute) && !covers(those, *minute)).collect()
}

/// A few of them, spread.
pub(super) fn some(minutes: &[u64]) -> impl Iterator<Item = u64> + use<'_> {
    minutes.iter().copied().step_by((minutes.len() / 6).max(1))
}

/// The first minute from Monday noon on that all these times have.
pub(super) fn common(times: &[&Times]) -> Option<u64> {
    let week = (NOON..WEEK).chain(0..NOON);
    week.into_iter().find(|minute| times.iter().all(|times| covers(times, *minute)))
}

/// Moments from `start` on: at once, and the first one within both, either one's times.
pub(super) fn after(start: Timestamp, old: &Times, new: &Times) -> Vec<Timestamp> {
    let moments = (0..WEEK).filter_map(|minutes| start.checked_add(minutes * MINUTE));
    let first = |open: &dyn Fn(Timestamp) -> bool| moments.clone().find(|now| open(*now));
    let both = first(&|now| old.covers(now) && new.covers(now));
    [Some(start), both, first(&|now| new.covers(now)), first(&|now| old.covers(now))]
        .into_iter()
        .flatten()
        .collect()
}

/// The first moment of the last week that is wholly before `end`; weeks begin on Monday.
pub(super) fn week_before(end: Option<Timestamp>) -> Timestamp {
    /// Monday, 1 January 2024, 00:00 UTC.
    const MONDAY: Timestamp = 1_704_067_200_000;
    let week = WEEK * MINUTE;
    match end {
        Some(end) if end < MONDAY + week => {
            let weeks = (MONDAY + week - end).div_ceil(week);
            MONDAY.saturating_sub(weeks.saturating_mul(week))
        }
        _ => MONDAY,
    }
}

/// A minute of the week that begins at `monday`.
pub(super) const fn moment(monday: Timestamp, minute: u64) -> Timestamp {
    monday + minute * MINUTE
}
