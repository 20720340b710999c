//! Knocks of those who may not enter, told once in a while: who may not speak to a steward may not
//! fill its log either.

use std::time::{Duration, Instant};

/// The pause between two lines.
const PAUSE: Duration = Duration::from_secs(60);

/// What was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Knocks {
    untold: u64,
    told: Option<Instant>,
}

impl Knocks {
    /// Counts one; the number to tell now, if it is time to.
    pub(crate) fn tell(&mut self) -> Option<u64> {
        self.tell_at(Instant::now())
    }

    fn tell_at(&mut self, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        let quiet = self.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE);
        if quiet {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_knocks_are_one_line_a_minute() {
        let (mut knocks, now) = (Knocks::default(), Instant::now());
        let told: Vec<_> = (0..100).filter_map(|_| knocks.tell_at(now)).collect();
        assert_eq!(told, [1]);
        assert_eq!(knocks.tell_at(now + PAUSE), Some(100));
    }
}
