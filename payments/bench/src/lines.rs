//! The other end of [`crate::peer::Peer`]: settings come as the first line, each further line is a
//! question and gets one line as its answer.

use serde_json::Value;
use std::{future::Future, io::Write as _, time::Duration};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

/// What this process was told.
pub(crate) struct Told {
    pub(crate) settings: Value,
    lines: Lines<BufReader<Stdin>>,
}

pub(crate) async fn told() -> Told {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    Told { settings: serde_json::from_str(&first).unwrap(), lines }
}

impl Told {
    /// A text among the settings.
    pub(crate) fn text(&self, name: &str) -> String {
        self.settings[name].as_str().unwrap_or_default().to_owned()
    }

    /// Answers each question until there are no more.
    pub(crate) async fn answer<F: Future<Output = Value>>(
        &mut self,
        mut with: impl FnMut(Value) -> F,
    ) {
        while let Ok(Some(line)) = self.lines.next_line().await {
            say(&with(serde_json::from_str(&line).unwrap()).await);
        }
    }
}

pub(crate) fn say(what: &Value) {
    let mut out = std::io::stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).unwrap();
}

/// CPU time that this process has used, all its threads.
pub(crate) fn cpu() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time =
        |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec() as u64, t.tv_usec() as u32 * 1_000);
    time(usage.user_time()) + time(usage.system_time())
}
