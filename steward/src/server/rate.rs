//! How many proposals a second: a bucket that fills evenly and holds one second's worth.

use std::time::Instant;

/// The bucket.
#[derive(Debug)]
pub(crate) struct Rate {
    a_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(a_second: u32) -> Self {
        let a_second = f64::from(a_second);
        Self { a_second, left: a_second, at: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = passed.mul_add(self.a_second, self.left).min(self.a_second);
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
        let later = start + Duration::from_millis(510);
        assert_eq!((0..50).filter(|_| rate.take_at(later)).count(), 5);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!((0..50).filter(|_| rate.take_at(much_later)).count(), 10);
    }
}
