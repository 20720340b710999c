//! How far a long read or download has come, on one line of a terminal and nowhere else.

use crate::story::bytes;
use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// How often the line is written anew.
const PAUSE: Duration = Duration::from_millis(200);

/// A line on standard error that says how far something is.
pub(super) struct Progress {
    verb: &'static str,
    begun: u64,
    done: u64,
    total: Option<u64>,
    started: Instant,
    /// When the line was last written; `None` where nobody looks.
    last: Option<Instant>,
}

impl Progress {
    /// `done` is there already, of `total` if that is known.
    pub(super) fn new(verb: &'static str, done: u64, total: Option<u64>) -> Self {
        let started = Instant::now();
        let last = std::io::stderr().is_terminal().then_some(started);
        Self { verb, begun: done, done, total, started, last }
    }

    /// Begins to count from here.
    pub(super) fn at(&mut self, done: u64, total: Option<u64>) {
        (self.begun, self.done, self.total, self.started) = (done, done, total, Instant::now());
    }

    /// So many bytes more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if let Some(last) = &mut self.last
            && last.elapsed() >= PAUSE
        {
            *last = Instant::now();
            let line = line(self.verb, self.begun, self.done, self.total, self.started.elapsed());
            write(&format!("\r{line}\u{1b}[K"));
        }
    }
}

/// However it ended, the line makes room for what is said about it.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.last.is_some() {
            write("\r\u{1b}[K");
        }
    }
}

/// A terminal that is gone needs no line.
fn write(text: &str) {
    let mut terminal = std::io::stderr();
    if terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()).is_err() {
        tracing::debug!("nobody sees the progress");
    }
}

fn line(verb: &str, begun: u64, done: u64, total: Option<u64>, time: Duration) -> String {
    let fresh = done.saturating_sub(begun);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let rate = fresh as f64 / time.as_secs_f64().max(0.001);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
    let speed = format!("{} a second", bytes(rate as u64));
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{verb} {}, {speed}", bytes(done));
    };
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    format!("{verb} {percent} % of {}, {speed}, {left:.0} s left", bytes(total))
}

#[cfg(test)]
mod tests {
    use super::line;
    use std::time::Duration;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        let (mib, second) = (1 << 20, Duration::from_secs(10));
        assert_eq!(
            line("got", 100 * mib, 200 * mib, Some(400 * mib), second),
            "got 50 % of 400.0 MiB, 10.0 MiB a second, 20 s left"
        );
        assert_eq!(line("got", 0, mib, None, second), "got 1.0 MiB, 102.4 KiB a second");
        assert!(line("got", 0, 0, Some(mib), Duration::ZERO).contains("0 %"));
    }
}
