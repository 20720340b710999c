//! Times taken, and what is read off them.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// Runs it once.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Many times of the same kind of work.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, taken: Duration) {
        self.0.push(taken);
    }

    /// The shortest time that so many of a hundred did not exceed.
    pub(crate) fn percentile(&mut self, percent: usize) -> Time {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        Time(self.0.get(rank).copied().unwrap_or_default())
    }
}

/// One figure.
#[derive(Clone, Copy)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn micros(self) -> String {
        format!("{:.1} us", self.0.as_secs_f64() * 1e6)
    }

    pub(crate) fn millis(self) -> String {
        format!("{:.1} ms", self.0.as_secs_f64() * 1e3)
    }

    /// How many times the other one.
    pub(crate) fn beside(self, other: Self) -> String {
        format!("{:.2} x", self.0.as_secs_f64() / other.0.as_secs_f64())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.micros())
    }
}
