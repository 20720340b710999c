//! A command of the owner's, run when something waits: a mail, a push message, a sound.
//!
//! It runs beside the steward, not in it, so nothing that it does or fails to do reaches a
//! decision. No shell is involved, and no text of a mind's is in its arguments or environment: it
//! comes as JSON on standard input.

use super::show::Item;
use crate::failure::{Done, Failure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{ffi::OsString, path::PathBuf, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// How long one run may take.
const TIME: Duration = Duration::from_secs(30);

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    program: PathBuf,
    arguments: Vec<OsString>,
    time: Duration,
}

impl Hook {
    /// A program by its path, or by its name in `PATH`.
    pub(super) fn new(program: PathBuf, arguments: Vec<OsString>) -> Done<Self> {
        if program.components().count() > 1 && !program.is_file() {
            return Err(Failure::usage(format!("there is no program {}", program.display()))
                .help("--hook takes one program; its arguments come behind --"));
        }
        Ok(Self { program, arguments, time: TIME })
    }

    /// Runs it for one intent; answers what went wrong.
    pub(super) async fn run(&self, item: &Item) -> Result<(), String> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env("MARQUE_APPROVAL", item.held.id.to_string())
            .env("MARQUE_AGENT", &item.agent)
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot be started: {error}"))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let stdin = child.stdin.take();
        let mut text = item.json().to_string();
        text.push('\n');
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read its input is as good as one that does.
                drop(stdin.write_all(text.as_bytes()).await);
            }
        };
        let run = async { tokio::join!(feed, child.wait()).1 };
        let ended = tokio::time::timeout(self.time, run).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                // With all that it has started.
                if let Some(Err(error)) = group.map(|it| kill_process_group(it, Signal::KILL)) {
                    tracing::debug!(%error, "the hook ended by itself");
                }
                drop(child.wait().await);
                Err(format!("had not ended after {} s and was killed", self.time.as_secs()))
            }
        }
    }

    /// As it is named in messages.
    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::approvals::show::tests::item;

    fn hook(line: &str, time: Duration) -> Hook {
        let arguments = ["-c".into(), line.into()].to_vec();
        Hook { program: "/bin/sh".into(), arguments, time }
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().join("late");
        let line = format!("(sleep 3; touch {}) & sleep 60", late.display());
        let item = item("feed", "task", "https://a");
        let why = hook(&line, Duration::from_secs(1)).run(&item).await.unwrap_err();
        assert!(why.contains("was killed"), "{why}");
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!late.exists());
    }

    #[tokio::test]
    async fn a_hook_that_reads_nothing_or_is_not_there_is_one_line() {
        let long = item("feed", &"x".repeat(1_000_000), "https://a");
        let minute = Duration::from_secs(60);
        assert_eq!(hook("exit 0", minute).run(&long).await, Ok(()));
        let missing = Hook { program: "no-such-program-here".into(), ..hook("", minute) };
        assert!(missing.run(&long).await.unwrap_err().contains("cannot be started"));
    }
}
