//! What an owner keeps of its own acts, in its own folder.
//!
//! Whoever has the host can take an agent's home away, put an old one back, or make another one in its
//! place. What the owner enrolled, adopted and delegated is then known from here alone: whom the
//! owner's money goes to, how new a policy must be, and what may still be alive on chain.

use super::OwnerError;
use crate::home::OwnerHome;
use alloy_primitives::{Address, B256, U256};
use marque_identity::account::Permissions;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// One act of the owner's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", content = "of", rename_all = "snake_case")]
pub enum Note {
    /// A policy was adopted for an agent, which names the key that is meant by it.
    Adopted(Adopted),
    /// An account was deployed, from which nothing had been delegated before.
    Deployed {
        /// EIP-155 chain id.
        chain: u64,
        /// Where it is.
        account: Address,
    },
    /// Draws on an account were signed.
    Delegated(Box<Permissions>),
    /// A message that ends all of them was prepared.
    Prepared(Prepared),
}

/// A message that ends everything that was delegated from an account, and where it was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Whose delegations it ends:
    pub account: Address,
    /// those that name this nonce.
    pub nonce: U256,
    /// The file, which may be elsewhere by now.
    pub file: PathBuf,
}

/// A policy that an owner put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The agent.
    pub agent: String,
    /// Its key.
    pub key: Address,
    /// EIP-155 chain id of its home.
    pub chain: u64,
    /// The journal's origin.
    pub origin: B256,
    /// The home, as the file system calls it; none where it is on another machine.
    pub home: Option<PathBuf>,
    /// The policy's version,
    pub version: u64,
    /// its hash,
    pub policy: B256,
    /// and all of it: what is signed of a policy, and where its chain is, is known without a host.
    pub document: String,
    /// Whether it came into force; what is signed for another machine may be on its way still.
    pub in_force: bool,
}

/// The turn to sign what rests on what was signed before; it ends with this.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "its lock is what it is for")] fs::File);

/// The notes in an owner's folder.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    notes: Vec<Note>,
    /// Lines that cannot be read, by their number, and why.
    broken: Vec<(usize, String)>,
}

impl Notes {
    /// Reads them, every line; none where nothing was noted yet.
    ///
    /// # Errors
    /// Where what is there cannot be read. What is not known to have ended may be alive.
    pub fn of(folder: &OwnerHome) -> Result<Self, OwnerError> {
        let notes = Self::readable(folder)?;
        notes.broken().map_or(Ok(notes), Err)
    }

    /// The lines that can be read, for what has to go on without the others: whoever ends what was
    /// delegated looks at [`Self::broken`].
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn readable(folder: &OwnerHome) -> Result<Self, OwnerError> {
        let path = folder.path().join("notes.jsonl");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(OwnerError::Folder { path, source }),
        };
        let read = |line: &[u8]| -> Result<Note, String> {
            let note = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            if let Note::Delegated(signed) = &note {
                signed.permissions().map_err(|error| error.to_string())?;
            }
            Ok(note)
        };
        let (mut notes, mut broken) = (Vec::new(), Vec::new());
        // A line without its end was being written when the machine stopped; what it was to note had
        // not left the owner's folder.
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let Some(line) = line.strip_suffix(b"\n") else { continue };
            match read(line) {
                Ok(note) => notes.push(note),
                Err(why) => broken.push((number, why)),
            }
        }
        Ok(Self { path, notes, broken })
    }

    /// The first line that cannot be read: what it says is not known.
    #[must_use]
    pub fn broken(&self) -> Option<OwnerError> {
        let (number, why) = self.broken.first()?;
        let source = io::Error::other(format!("line {number}: {why}"));
        Some(OwnerError::Folder { path: self.path.clone(), source })
    }

    /// None, whatever is there: for what has to go on when it cannot be read.
    #[must_use]
    pub fn none(folder: &OwnerHome) -> Self {
        Self { path: folder.path().join("notes.jsonl"), notes: Vec::new(), broken: Vec::new() }
    }

    /// Whoever holds this signs alone with the key in `folder` what rests on what was signed before.
    ///
    /// # Errors
    /// [`OwnerError::Busy`] where somebody else does, or where there is no key.
    pub fn turn(folder: &OwnerHome) -> Result<Turn, OwnerError> {
        // The keystore is there, and nobody else locks it.
        let path = folder.path().join(format!("{}.json", super::KEY));
        let file = fs::File::open(&path);
        match file.map_err(fs::TryLockError::Error).and_then(|it| it.try_lock().map(|()| it)) {
            Ok(file) => Ok(Turn(file)),
            Err(fs::TryLockError::WouldBlock) => Err(OwnerError::Busy(folder.path().to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(OwnerError::Folder { path, source }),
        }
    }

    /// Notes an act, durably. What others take is noted before they have it.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn add(&mut self, note: Note) -> Result<(), OwnerError> {
        append(&self.path, &note)
            .map_err(|source| OwnerError::Folder { path: self.path.clone(), source })?;
        self.notes.push(note);
        Ok(())
    }

    /// All that was signed here for draws, the newest last.
    pub fn all_delegated(&self) -> impl DoubleEndedIterator<Item = &Permissions> {
        self.notes.iter().filter_map(|note| match note {
            Note::Delegated(signed) => Some(&**signed),
            _ => None,
        })
    }

    /// The same on `account` on a chain: it has the same address on every one.
    pub fn delegated(&self, chain: u64, account: Address) -> impl Iterator<Item = &Permissions> {
        let on_it = move |it: &&Permissions| it.account == account && it.framework.chain == chain;
        self.all_delegated().filter(on_it)
    }

    /// The same by a key.
    pub fn delegated_to(&self, agent: Address) -> impl DoubleEndedIterator<Item = &Permissions> {
        self.all_delegated().filter(move |signed| signed.agent == agent)
    }

    /// The chains on which anything was delegated, once for each delegation.
    pub fn chains(&self) -> impl Iterator<Item = u64> {
        self.all_delegated().map(|signed| signed.framework.chain)
    }

    /// The messages that were prepared for the end of what an account gave away, the newest last.
    pub fn prepared(
        &self,
        chain: u64,
        account: Address,
    ) -> impl DoubleEndedIterator<Item = &Prepared> {
        self.notes.iter().filter_map(move |note| match note {
            Note::Prepared(it) if it.chain == chain && it.account == account => Some(it),
            _ => None,
        })
    }

    /// The newest nonce of an account's that anything was signed for here: all there is to know of it where
    /// no endpoint answers.
    #[must_use]
    pub fn last_nonce(&self, chain: u64, account: Address) -> Option<U256> {
        self.notes.iter().rev().find_map(|note| match note {
            Note::Delegated(it) if it.account == account && it.framework.chain == chain => {
                Some(it.nonce)
            }
            Note::Prepared(it) if it.account == account && it.chain == chain => Some(it.nonce),
            _ => None,
        })
    }

    /// The accounts of this owner's on a chain of which anything is noted.
    pub fn accounts(&self, chain: u64) -> impl Iterator<Item = Address> {
        self.notes
            .iter()
            .filter_map(move |note| match note {
                Note::Deployed { chain: on, account } => Some((*on, *account)),
                Note::Delegated(signed) => Some((signed.framework.chain, signed.account)),
                Note::Prepared(it) => Some((it.chain, it.account)),
                Note::Adopted(_) => None,
            })
            .filter_map(move |(on, account)| (on == chain).then_some(account))
    }

    /// Whether nothing can have been signed for `account` that is not noted here, as far as one folder
    /// can know: it was deployed from here, or something of it is noted, and every line can be read.
    #[must_use]
    pub fn begins(&self, chain: u64, account: Address) -> bool {
        let noted = self.delegated(chain, account).next().is_some()
            || self.notes.contains(&Note::Deployed { chain, account });
        noted && self.broken.is_empty()
    }

    /// The newest adoption for an agent of the journal of `origin`.
    #[must_use]
    pub fn adopted(&self, origin: B256, agent: &str) -> Option<&Adopted> {
        self.adoptions().rfind(|adopted| adopted.agent == agent && adopted.origin == origin)
    }

    /// The newest adoption for an agent of that name in the home at `home`, whichever its journal was.
    #[must_use]
    pub fn adopted_at(&self, home: &Path, agent: &str) -> Option<&Adopted> {
        let here = |adopted: &&Adopted| adopted.home.as_deref() == Some(home);
        self.adoptions().filter(here).rfind(|adopted| adopted.agent == agent)
    }

    /// Every adoption, the newest last.
    pub fn adoptions(&self) -> impl DoubleEndedIterator<Item = &Adopted> {
        self.notes.iter().filter_map(|note| match note {
            Note::Adopted(adopted) => Some(adopted),
            _ => None,
        })
    }
}

/// Adds a line, in place of a last one that has no end. Commands that note at the same time wait for each
/// other.
fn append(path: &Path, note: &Note) -> Result<(), io::Error> {
    let mut line = serde_json::to_vec(note).map_err(io::Error::other)?;
    line.push(b'\n');
    let mut options = fs::OpenOptions::new();
    let options = options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(path)?;
    file.lock()?;
    let mut before = Vec::new();
    file.read_to_end(&mut before)?;
    let whole = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
    file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&line)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopted(version: u64) -> Note {
        Note::Adopted(Adopted {
            agent: "scout".to_owned(),
            key: Address::repeat_byte(1),
            chain: 31_337,
            origin: B256::repeat_byte(2),
            home: Some(PathBuf::from("/home")),
            version,
            policy: B256::ZERO,
            document: String::new(),
            in_force: true,
        })
    }

    #[test]
    fn a_note_that_was_cut_off_is_none_and_a_broken_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = OwnerHome::locate(Some(dir.path().to_owned())).unwrap();
        let mut notes = Notes::of(&folder).unwrap();
        notes.add(adopted(1)).unwrap();
        notes.add(adopted(2)).unwrap();
        let file = dir.path().join("notes.jsonl");
        let whole = fs::read_to_string(&file).unwrap();
        for cut in 1..whole.len() {
            let cut = whole.get(..cut).unwrap();
            fs::write(&file, cut).unwrap();
            let mut notes = Notes::of(&folder).unwrap();
            let known = cut.matches('\n').count();
            assert_eq!(notes.adopted(B256::repeat_byte(2), "scout").is_some(), known > 0);
            notes.add(adopted(3)).unwrap();
            assert_eq!(Notes::of(&folder).unwrap().notes.len(), known + 1);
        }
        fs::write(&file, whole.replacen("scout", "sc\"out", 1)).unwrap();
        assert!(Notes::of(&folder).unwrap_err().to_string().contains("notes.jsonl"));
        assert!(Notes::readable(&folder).unwrap().broken().is_some());
    }

    #[test]
    fn what_several_commands_note_at_a_time_is_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = OwnerHome::locate(Some(dir.path().to_owned())).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let folder = &folder;
                scope.spawn(move || {
                    (0..20)
                        .for_each(|n| Notes::none(folder).add(adopted(100 * thread + n)).unwrap());
                });
            }
        });
        let mut versions: Vec<u64> =
            Notes::of(&folder).unwrap().adoptions().map(|noted| noted.version).collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 160);
    }

    #[test]
    fn an_adoption_is_found_by_its_journal_and_by_its_home() {
        let dir = tempfile::tempdir().unwrap();
        let folder = OwnerHome::locate(Some(dir.path().to_owned())).unwrap();
        let mut notes = Notes::of(&folder).unwrap();
        notes.add(adopted(2)).unwrap();
        notes.add(adopted(4)).unwrap();
        let origin = B256::repeat_byte(2);
        assert_eq!(notes.adopted(origin, "scout").unwrap().version, 4);
        assert!(notes.adopted(B256::ZERO, "scout").is_none());
        assert!(notes.adopted(origin, "other").is_none());
        assert!(notes.adopted_at(Path::new("/home"), "scout").is_some());
        assert!(notes.adopted_at(Path::new("/elsewhere"), "scout").is_none());
    }
}
