//! What an engine has done since it was loaded, counted by itself.
//!
//! Waits are counted in requests and in batches, which are the same on every machine: whoever wants
//! to know whether somebody starves need not ask a clock (`tests/stress.rs`).

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::ModelError;

/// What an engine has done since it was loaded.
///
/// Every request that came to it is at work still, or is one of those that were replied to,
/// truncated, cancelled, or failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Batches that llama.cpp computed.
    pub batches: u64,
    /// Requests that came to the engine. Those that were refused before, as a prompt that does not
    /// fit, are not among them.
    pub requests: u64,
    /// Requests that got a whole reply.
    pub replied: u64,
    /// Requests whose tokens ran out before their constraint was complete.
    pub truncated: u64,
    /// Requests that their callers gave up.
    pub cancelled: u64,
    /// Requests that ended with another error.
    pub failed: u64,
    /// How often a request gave its cells to an older one and was computed again.
    pub interrupted: u64,
    /// The most requests that were begun while one waited to be begun.
    pub longest_queue: u64,
    /// The most batches that were computed between a request's coming and its end.
    pub longest_wait: u64,
}

/// When a request came, in batches and in requests that had been begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    batches: u64,
    begun: u64,
    is_begun: bool,
}

/// Counts on the engine's thread, and is read on any other.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    stats: Stats,
    begun: u64,
}

impl Tally {
    /// What was counted so far.
    pub(crate) fn stats(&self) -> Stats {
        self.change(|counts| counts.stats)
    }

    /// A request came.
    pub(crate) fn arrive(&self) -> Arrival {
        self.change(|Counts { stats, begun }| {
            add(&mut stats.requests);
            Arrival { batches: stats.batches, begun: *begun, is_begun: false }
        })
    }

    /// A request has a lane. One that was interrupted is begun once.
    pub(crate) fn begin(&self, arrival: &mut Arrival) {
        if std::mem::replace(&mut arrival.is_begun, true) {
            return;
        }
        self.change(|Counts { stats, begun }| {
            let passed = begun.saturating_sub(arrival.begun);
            stats.longest_queue = stats.longest_queue.max(passed);
            add(begun);
        });
    }

    /// A batch was computed.
    pub(crate) fn batch(&self) {
        self.change(|counts| add(&mut counts.stats.batches));
    }

    /// A request gave its cells away.
    pub(crate) fn interrupt(&self) {
        self.change(|counts| add(&mut counts.stats.interrupted));
    }

    /// A request has ended; `error` says how, if not with a reply.
    pub(crate) fn end(&self, arrival: Arrival, error: Option<&ModelError>) {
        self.change(|Counts { stats, .. }| {
            let waited = stats.batches.saturating_sub(arrival.batches);
            stats.longest_wait = stats.longest_wait.max(waited);
            add(match error {
                None => &mut stats.replied,
                Some(ModelError::Truncated { .. }) => &mut stats.truncated,
                Some(ModelError::Cancelled) => &mut stats.cancelled,
                Some(_) => &mut stats.failed,
            });
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        // A number is whole whoever panicked beside it.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_overtaken_is_seen() {
        let tally = Tally::default();
        let (mut first, mut second) = (tally.arrive(), tally.arrive());
        tally.begin(&mut second);
        assert_eq!(tally.stats().longest_queue, 0);
        tally.begin(&mut first);
        tally.begin(&mut second); // it was interrupted
        assert_eq!(tally.stats().longest_queue, 1);
        let mut third = tally.arrive();
        tally.begin(&mut third);
        tally.batch();
        tally.end(third, Some(&ModelError::Truncated { tokens: 1 }));
        tally.batch();
        tally.end(second, Some(&ModelError::Cancelled));
        tally.end(first, None);
        let expected = Stats {
            batches: 2,
            requests: 3,
            replied: 1,
            truncated: 1,
            cancelled: 1,
            longest_queue: 1,
            longest_wait: 2,
            ..Stats::default()
        };
        assert_eq!(tally.stats(), expected);
    }
}
