//! How many questions that may be journalled: a bucket that holds a burst and fills slowly, so that
//! a mind that does nothing but ask cannot fill the disk and the ledger within an hour.

use std::time::Instant;

/// Seconds in which an empty bucket is full again.
const FILLS_IN: f64 = 20.0;

/// The bucket.
#[derive(Debug)]
pub(crate) struct Rate {
    burst: f64,
    a_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    /// A full bucket of `burst`, which fills again within [`FILLS_IN`].
    pub(crate) fn new(burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { burst, a_second: burst / FILLS_IN, left: burst, at: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = passed.mul_add(self.a_second, self.left).min(self.burst);
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_cut_and_the_bucket_fills_again() {
        let mut rate = Rate::new(10);
        let start = rate.at;
        assert_eq!((0..50).filter(|_| rate.take_at(start)).count(), 10);
        let later = start + Duration::from_millis(10_100);
        assert_eq!((0..50).filter(|_| rate.take_at(later)).count(), 5);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!((0..50).filter(|_| rate.take_at(much_later)).count(), 10);
    }
}
