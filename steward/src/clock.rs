//! The wall clock, held near the chain's.
//!
//! The ledger's time never goes back, so an entry that is stamped far ahead would hold it there: no
//! payment would pass until the world has caught up. A clock that jumps ahead is therefore not
//! recorded. What is known of the chain's time, with what has passed since by a clock that nobody
//! sets, bounds how far ahead an entry may be stamped; a little past what payments accept, so that
//! they stop while the clock is wrong, and go on as soon as the owner has mended it.
//!
//! Before the chain has said anything, the clock that this process began with is all there is: a
//! machine that boots with a wrong clock and without its chain is not helped.

use crate::{authority::wall, core::CLOCK_SKEW};
use marque_policies::Timestamp;
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// An entry is stamped at most so far ahead of the chain, in milliseconds: where payments stop.
const FARTHEST: Timestamp = CLOCK_SKEW + 2_000;

/// What is known of the time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    known: Mutex<Option<Known>>,
    /// How far a test has moved time, in milliseconds.
    #[cfg(feature = "testing")]
    pub(crate) ahead: std::sync::OnceLock<std::sync::Arc<std::sync::atomic::AtomicU64>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// The time of a block, in Unix milliseconds.
    chain: Timestamp,
    /// When it was learned.
    at: Instant,
    /// How far a test had moved time by then.
    moved: Timestamp,
}

impl Known {
    fn by(self, now: Instant, moved: Timestamp) -> Timestamp {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let passed = Timestamp::try_from(passed).unwrap_or(Timestamp::MAX);
        let moved = moved.saturating_sub(self.moved);
        self.chain.saturating_add(passed).saturating_add(moved)
    }
}

impl Clock {
    /// Takes note of the time of the newest block, in Unix milliseconds.
    pub(crate) fn learn(&self, block: Timestamp) {
        self.learn_at(block, Instant::now());
    }

    /// The wall clock's reading, unless it is too far ahead of the chain.
    pub(crate) fn read(&self, wall: Timestamp) -> Timestamp {
        self.read_at(wall, Instant::now())
    }

    /// The wall clock, in Unix milliseconds.
    pub(crate) fn wall(&self) -> Timestamp {
        wall().saturating_add(self.moved())
    }

    /// How far a test has let time pass at once, in milliseconds: for this clock and for the one that
    /// nobody sets.
    fn moved(&self) -> Timestamp {
        #[cfg(feature = "testing")]
        if let Some(ahead) = self.ahead.get() {
            return ahead.load(std::sync::atomic::Ordering::SeqCst);
        }
        0
    }

    fn learn_at(&self, block: Timestamp, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // A node that is behind the one that answered last turns nothing back.
        let moved = self.moved();
        if known.is_none_or(|known| known.by(now, moved) < block) {
            *known = Some(Known { chain: block, at: now, moved });
        }
    }

    fn read_at(&self, wall: Timestamp, now: Instant) -> Timestamp {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = self.moved();
        known.map_or(wall, |known| wall.min(known.by(now, moved).saturating_add(FARTHEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const YEAR: Timestamp = 365 * 24 * 3_600_000;

    #[test]
    fn a_clock_that_jumps_ahead_is_not_followed_and_one_that_is_mended_is() {
        let (clock, start, block) = (Clock::default(), Instant::now(), 1_800_000_000_000);
        assert_eq!(clock.read_at(block + YEAR, start), block + YEAR, "nothing is known yet");
        clock.learn_at(block, start);
        assert_eq!(clock.read_at(block + 1_000, start), block + 1_000);
        let jumped = clock.read_at(block + YEAR, start);
        assert_eq!(jumped, block + FARTHEST);
        assert!(jumped - block > CLOCK_SKEW, "payments stop while it is wrong");
        // An hour later, without news of the chain, an hour has passed.
        let later = start + Duration::from_secs(3_600);
        assert_eq!(clock.read_at(block + 3_600_000, later), block + 3_600_000);
        assert_eq!(clock.read_at(block + YEAR, later), block + 3_600_000 + FARTHEST);
        // Behind is for the ledger to refuse: its time never goes back.
        assert_eq!(clock.read_at(block - YEAR, later), block - YEAR);
    }

    #[test]
    fn a_node_that_is_behind_turns_nothing_back() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.learn_at(2_000_000, start);
        clock.learn_at(1_000_000, start);
        assert_eq!(clock.read_at(Timestamp::MAX, start), 2_000_000 + FARTHEST);
        clock.learn_at(3_000_000, start);
        assert_eq!(clock.read_at(Timestamp::MAX, start), 3_000_000 + FARTHEST);
    }
}
