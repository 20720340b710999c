//! A steward's home: where everything that one owner's steward keeps lies.
//!
//! ```text
//! home.json          which chain, which journal; written once
//! lock               held by the steward that works here, with its process id in it
//! agents/NAME/       policy.toml and agent.toml (drafts), mind/, steward.sock and owner.sock
//!   sub/SUB/         steward.sock of a sub-agent that the policy in force names
//! journal/           the truth
//! index/             disposable
//! keys/ outbox/      readable by the steward alone
//! ```
//!
//! Everything is made with mode 0700, and a home that others can write to is refused.

use crate::{error::StewardError, journal::Origin};
use alloy_primitives::B256;
use marque_store_files::{self as store, Access, PRIVATE};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The version of `home.json`.
const VERSION: u16 = 1;

/// `home.json` is no longer, in bytes.
const LONGEST: u64 = 4096;

/// The folders of a home, in which a steward and its owner's commands write.
const FOLDERS: [&str; 5] = ["agents", "index", "journal", "keys", "outbox"];

/// How long a lock that somebody holds is asked for again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// The pause in between.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A home that is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
    charter: Charter,
}

/// What `home.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Charter {
    v: u16,
    chain: u64,
    origin: B256,
}

/// The right to work in a home, until dropped. The system takes it back from a killed process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who works in a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; none where it has only just begun.
    pub process: Option<u32>,
}

impl Home {
    /// Lays out a new home for the chain with this EIP-155 id, with a fresh journal origin.
    ///
    /// # Errors
    /// [`StewardError::Home`] where there is one already, [`StewardError::Io`].
    pub fn create(path: impl AsRef<Path>, chain: u64) -> Result<Self, StewardError> {
        let path = path.as_ref();
        for folder in ["", "agents", "index", "keys", "outbox"] {
            make_dir(&path.join(folder))?;
        }
        let path = fs::canonicalize(path).map_err(StewardError::io("find", path))?;
        let charter = Charter { v: VERSION, chain, origin: Origin::random()?.0 };
        let file = path.join("home.json");
        let mut written = match store::open(&file, Access::New(PRIVATE)) {
            Ok(written) => written,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(StewardError::Home { path, why: "there is a home already".to_owned() });
            }
            Err(error) => return Err(StewardError::io("create", file)(error)),
        };
        let text = serde_json::to_vec(&charter)
            .map_err(|error| StewardError::Home { path: path.clone(), why: error.to_string() })?;
        written
            .write_all(&text)
            .and_then(|()| written.sync_all())
            .map_err(StewardError::io("write", file))?;
        Ok(Self { path, charter })
    }

    /// Opens a home.
    ///
    /// # Errors
    /// [`StewardError::Home`] where it is none or open to others, [`StewardError::Newer`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StewardError> {
        let given = path.as_ref();
        let wrong = |why: String| StewardError::Home { path: given.to_owned(), why };
        let path = fs::canonicalize(given).map_err(|error| wrong(error.to_string()))?;
        let text = store::read(&path.join("home.json"), LONGEST)
            .map_err(|error| wrong(format!("home.json: {error}")))?;
        let charter: Charter =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("home.json: {error}")))?;
        if charter.v > VERSION {
            return Err(StewardError::Newer { what: "home", found: charter.v });
        }
        let mode =
            fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            let why = format!("it is open to others (mode {:03o}); run chmod 700", mode & 0o777);
            return Err(wrong(why));
        }
        for folder in FOLDERS {
            let link = fs::symlink_metadata(path.join(folder)).is_ok_and(|it| it.is_symlink());
            if link {
                return Err(wrong(format!(
                    "{folder} is a link, and none belongs there: see who made it; to keep it on another \
                     disk, mount that there"
                )));
            }
        }
        Ok(Self { path, charter })
    }

    /// Takes the right to work here.
    ///
    /// # Errors
    /// [`StewardError::Locked`] where another process has it.
    pub fn lock(&self) -> Result<Lock, StewardError> {
        let path = self.path.join("lock");
        let file = store::open(&path, Access::Create(PRIVATE));
        let file = file.map_err(StewardError::io("open", &path))?;
        let mut patience = LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // For those who ask who has it. The lock itself is what counts, so a full disk
                    // is no reason to give it back.
                    let id = format!("{}\n", std::process::id());
                    drop(file.set_len(0).and_then(|()| (&file).write_all(id.as_bytes())));
                    return Ok(Lock { _file: file });
                }
                // A child that this process is just starting holds what was ours for a moment.
                Err(fs::TryLockError::WouldBlock) if !patience.is_zero() => {
                    std::thread::sleep(LOCK_PAUSE);
                    patience = patience.saturating_sub(LOCK_PAUSE);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(StewardError::Locked(self.path.clone()));
                }
                Err(fs::TryLockError::Error(error)) => {
                    return Err(StewardError::io("lock", path)(error));
                }
            }
        }
    }

    /// The process that works here, if one does.
    ///
    /// # Errors
    /// [`StewardError::Io`] where the lock cannot be looked at.
    pub fn holder(&self) -> Result<Option<Holder>, StewardError> {
        let path = self.path.join("lock");
        let mut file = match store::open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StewardError::io("open", path)(error)),
        };
        // Shared, so that those who only look are not in each other's way; a steward that starts
        // at this very moment tries again.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&mut file).take(LONGEST).read_to_string(&mut text);
                read.map_err(StewardError::io("read", path))?;
                Ok(Some(Holder { process: text.trim().parse().ok() }))
            }
            Err(fs::TryLockError::Error(error)) => Err(StewardError::io("lock", path)(error)),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// EIP-155 id of the chain that this steward serves.
    #[must_use]
    pub const fn chain(&self) -> u64 {
        self.charter.chain
    }

    /// The journal's origin: the salt of everything that the owner signs for this steward.
    #[must_use]
    pub const fn origin(&self) -> B256 {
        self.charter.origin
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.path.join("index")
    }

    /// Signed transactions that wait.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.path.join("outbox")
    }

    /// An agent's folder.
    #[must_use]
    pub fn agent(&self, name: &str) -> PathBuf {
        self.path.join("agents").join(name)
    }

    /// An agent's socket.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.agent(name).join("steward.sock")
    }

    /// The socket of an agent for its owner's commands; its mind's fence has no door to it.
    #[must_use]
    pub fn owner_socket(&self, name: &str) -> PathBuf {
        self.agent(name).join("owner.sock")
    }

    /// The socket of an account below an agent.
    #[must_use]
    pub fn sub_socket(&self, agent: &str, sub_agent: &str) -> PathBuf {
        self.agent(agent).join("sub").join(sub_agent).join("steward.sock")
    }

    /// Whether the journal has begun: it has a segment, or had one once. A folder without either is
    /// what a kill at the very beginning leaves.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        let (journal, entries) = (self.journal(), self.journal().join("entries"));
        let begun = |path: &Path| path.extension().is_some_and(|ext| ext == "seg");
        let has_segment = match std::fs::read_dir(&entries) {
            Ok(mut files) => files.any(|file| file.map_or(true, |file| begun(&file.path()))),
            // What cannot be read is no reason to begin another.
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        has_segment || journal.join("checkpoint").exists()
    }

    /// Makes an agent's folder, with its mind's.
    ///
    /// # Errors
    /// [`StewardError::Io`].
    pub fn make_agent(&self, name: &str) -> Result<PathBuf, StewardError> {
        let folder = self.agent(name);
        make_dir(&folder)?;
        make_dir(&folder.join("mind"))?;
        Ok(folder)
    }
}

/// Makes a folder that nobody else can look into.
pub(crate) fn make_dir(path: &Path) -> Result<(), StewardError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(StewardError::io("create", path))?;
    // It may have been there before, with another mode.
    let closed = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    closed.map_err(StewardError::io("close", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_closed_to_others_and_remembers_its_chain_and_origin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let made = Home::create(&path, 31_337).unwrap();
        let opened = Home::open(&path).unwrap();
        assert_eq!(made, opened);
        assert_eq!(opened.chain(), 31_337);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(Home::create(&path, 1).unwrap_err().to_string().contains("already"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Home::open(&path).unwrap_err().to_string().contains("open to others"));
    }

    #[test]
    fn two_stewards_never_work_in_one_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path().join("home"), 1).unwrap();
        assert_eq!(home.holder().unwrap(), None);
        let lock = home.lock().unwrap();
        assert!(matches!(home.lock(), Err(StewardError::Locked(_))));
        let holder = home.holder().unwrap().unwrap();
        assert_eq!(holder.process, Some(std::process::id()));
        drop(lock);
        assert_eq!(home.holder().unwrap(), None);
        home.lock().unwrap();
    }

    #[test]
    fn what_somebody_left_in_a_home_is_neither_followed_nor_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("home"), dir.path().join("owner"));
        fs::create_dir(&precious).unwrap();
        let home = Home::create(&path, 1).unwrap();
        for folder in FOLDERS {
            let (at, aside) = (path.join(folder), dir.path().join("aside"));
            let there = fs::rename(&at, &aside).is_ok();
            std::os::unix::fs::symlink(&precious, &at).unwrap();
            let error = Home::open(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("{folder} is a link")), "{error}");
            fs::remove_file(&at).unwrap();
            if there {
                fs::rename(&aside, &at).unwrap();
            }
        }
        for file in ["lock", "home.json"] {
            drop(fs::remove_file(path.join(file)));
            mknodat(CWD, path.join(file), FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        for error in
            [home.lock().unwrap_err(), home.holder().unwrap_err(), Home::open(&path).unwrap_err()]
        {
            assert!(error.to_string().contains("no plain file"), "{error}");
        }
    }
}
