//! Takes from a mind's process what a mind never needs.
//!
//! [`fence`] is called once, before a model is loaded or a thread started. From then on native code
//! that breaks out of a model, or a tool that went wrong, meets the kernel: it reads what is listed
//! and no key, journal or policy; it writes to the mind's folder alone; it starts no program and no
//! process, signals none, debugs none and gains no privilege; it speaks to the network and to no
//! Unix socket; and it dies with its steward. Connections to the steward come through a door
//! (`marque_steward_client::door`), which is hired before.
//!
//! What a kernel cannot enforce is reported as missing in [`Walls`], never passed over. The network
//! is not fenced here: hosts are the policy's matter, and money is the steward's.
//!
//! INVARIANT: a fenced process cannot read a file that is not listed (pinned by
//! `tests/fence.rs::a_fenced_mind_reads_and_writes_what_is_listed_and_nothing_else`).

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod syscalls;

use crate::{AgentError, agent::folder, config::Config};
use marque_models::Llama;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What a process may still touch, besides the system's libraries and settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Files and folders to read, such as the model's file.
    pub read: Vec<PathBuf>,
    /// Folders to read and write: the mind's own, and one that the owner granted.
    pub write: Vec<PathBuf>,
    /// Whether the process may connect to Unix sockets: a doorman's work, never a mind's.
    pub doorman: bool,
}

impl Fence {
    /// What the mind of the agent `name` in `home` needs: its settings, its model and its folder,
    /// which is made if it is not there.
    ///
    /// The built-in model is written to its cache folder here, because a fenced mind could not. For
    /// the same reason the door to its steward has to be hired before the fence is raised.
    ///
    /// # Errors
    /// [`AgentError::Name`], [`AgentError::Unknown`], [`AgentError::Config`],
    /// [`AgentError::Model`] or [`AgentError::Memory`].
    pub fn of_agent(home: &Path, name: &str) -> Result<Self, AgentError> {
        let folder = folder(home, name)?;
        let config = Config::read(&folder)?;
        let key = config.remote.and_then(|remote| remote.key_file);
        let model = match config.model {
            Some(file) => file,
            None => Llama::built_in_path()?,
        };
        let mind = folder.join("mind");
        std::fs::create_dir_all(&mind)
            .map_err(|error| AgentError::Memory(format!("{}: {error}", mind.display())))?;
        let mut read = vec![folder.join("agent.toml"), model];
        read.extend(key);
        let mut write = vec![mind];
        if let Some(files) = config.files {
            let granted = if files.is_writable() { &mut write } else { &mut read };
            granted.push(files.folder().to_owned());
        }
        Ok(Self { read, write, doorman: false })
    }
}

/// What is enforced on this process and what is not, in words for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walls {
    /// Walls that stand.
    pub enforced: Vec<String>,
    /// Walls that could not be built here, each with the reason.
    pub missing: Vec<String>,
}

impl Walls {
    #[cfg(target_os = "linux")]
    fn record(&mut self, wall: &str, built: Result<(), String>) {
        match built {
            Ok(()) => self.enforced.push(wall.to_owned()),
            Err(why) => self.missing.push(format!("{wall}: {why}")),
        }
    }
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enforced = if self.enforced.is_empty() { "nothing" } else { &self.enforced.join(", ") };
        write!(f, "enforced: {enforced}")?;
        if !self.missing.is_empty() {
            write!(f, "; not enforced: {}", self.missing.join(", "))?;
        }
        Ok(())
    }
}

/// Fences this process, for good. Threads that exist already would stay outside, so call it first.
///
/// It never fails: what could not be built is in [`Walls::missing`], and the caller decides whether
/// that is acceptable.
#[cfg(target_os = "linux")]
#[must_use]
pub fn fence(fence: &Fence) -> Walls {
    use rustix::process::{Signal, set_parent_process_death_signal};

    let mut walls = Walls::default();
    if let Some(threads) = threads().filter(|threads| *threads != 1) {
        walls
            .missing
            .push(format!("threads that were started before: {}", threads.saturating_sub(1)));
    }
    let dies = set_parent_process_death_signal(Some(Signal::KILL));
    walls.record("dies with the steward", dies.map_err(|error| error.to_string()));
    match files::restrict(fence) {
        Ok((enforced, missing)) => {
            walls.enforced.extend(enforced);
            walls.missing.extend(missing);
        }
        Err(why) => walls.missing.push(format!("file rules: {why}")),
    }
    let calls = "no debugging, kernel calls, programs or processes";
    let calls = if fence.doorman {
        calls.to_owned()
    } else {
        format!("{calls}, no sockets but the network")
    };
    walls.record(&calls, syscalls::restrict(fence.doorman));
    // Both set it; the kernel is asked rather than trusted to have been told.
    walls.record("no new privileges", no_new_privileges());
    walls
}

/// Fences this process, for good. This system offers nothing for it yet: the mind is kept from the
/// steward's files by its separate user alone.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn fence(_: &Fence) -> Walls {
    Walls {
        enforced: Vec::new(),
        missing: vec!["all walls: only Linux has them; run the steward as another user".to_owned()],
    }
}

/// Threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// Whether the kernel gives this thread no more rights than it has.
#[cfg(target_os = "linux")]
fn no_new_privileges() -> Result<(), String> {
    let status =
        std::fs::read_to_string("/proc/thread-self/status").map_err(|error| error.to_string())?;
    let set = status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]));
    if set { Ok(()) } else { Err("the kernel did not take it".to_owned()) }
}
