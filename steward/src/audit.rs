//! Reading a journal without a steward: for people, and for commands that only look.
//!
//! Everything that reads entries reads them here: one at a time with [`each`], as they come
//! with [`Tail`], or all of them folded with [`state`].

use crate::{
    entry::{Body, Entry, Genesis},
    error::StewardError,
    home::Home,
    journal::{self, JournalError, LogKey, Origin, Verified},
    state::State,
};
use alloy_primitives::B256;
use std::path::{Path, PathBuf};

/// All entries of the journal in `dir`, typed, in order. Not checked against a checkpoint; for
/// that see [`verify`].
///
/// # Errors
/// [`StewardError::Journal`], [`StewardError::Entry`], [`StewardError::Newer`].
pub fn entries(dir: &Path) -> Result<Vec<Entry>, StewardError> {
    journal::read(dir)?.iter().map(|bytes| Entry::decode(bytes)).collect()
}

/// An entry with its canonical bytes: what the tree hashes, and what a proof is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// As it lies in the journal.
    pub bytes: Vec<u8>,
    /// What it says.
    pub entry: Entry,
}

/// Visits the entries of the journal in `dir` from number `first` on, one after the other. They are
/// checked by nothing but their checksums.
///
/// # Errors
/// [`StewardError::Journal`] where the files cannot be read, [`StewardError::Entry`] and
/// [`StewardError::Newer`] for an entry that is none of ours, and whatever `visit` answers.
pub fn each<E: From<StewardError>>(
    dir: &Path,
    first: u64,
    mut visit: impl FnMut(Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut outcome = Ok(());
    let walked = journal::each(dir, first, &mut |_, bytes| {
        if outcome.is_ok() {
            let entry = Entry::decode(bytes).map_err(E::from);
            outcome = entry.and_then(|entry| visit(Read { bytes: bytes.to_owned(), entry }));
        }
    });
    walked.map_err(StewardError::from)?;
    outcome
}

/// The entries of a journal as they are written, from files alone: whether a steward is at work,
/// stops or starts again makes no difference.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    next: u64,
    /// The length of the files when they were last read; the same length holds the same entries.
    length: Option<u64>,
}

impl Tail {
    /// What comes into the journal in `dir` from entry `next` on.
    #[must_use]
    pub fn new(dir: &Path, next: u64) -> Self {
        Self { dir: dir.to_owned(), next, length: None }
    }

    /// What has come since the last call.
    ///
    /// # Errors
    /// As [`each`]; [`JournalError::Truncated`] where entries that were told are gone.
    pub fn poll(&mut self) -> Result<Vec<Read>, StewardError> {
        let length = length(&self.dir)?;
        if self.length == Some(length) {
            return Ok(Vec::new());
        }
        let from = self.next.saturating_sub(1);
        let mut news: Vec<Read> = Vec::new();
        each(&self.dir, from, |read| -> Result<(), StewardError> {
            news.push(read);
            Ok(())
        })?;
        // The last one that was told must still be there.
        if self.next > 0 {
            if news.is_empty() {
                let (have, signed) = (from, self.next);
                return Err(JournalError::Truncated { have, signed }.into());
            }
            news.remove(0);
        }
        self.next += news.len() as u64;
        self.length = Some(length);
        Ok(news)
    }
}

/// The bytes of all segments together.
fn length(dir: &Path) -> Result<u64, StewardError> {
    let folder = dir.join("entries");
    let sum = || {
        std::fs::read_dir(&folder)?.try_fold(0_u64, |sum, file| Ok(sum + file?.metadata()?.len()))
    };
    sum().map_err(StewardError::io("read", folder.clone()))
}

/// The state that the journal of a home amounts to, read while a steward may be at work.
///
/// # Errors
/// As [`entries`], and [`StewardError::Origin`] where it is another journal than the home's.
pub fn state(home: &Home) -> Result<State, StewardError> {
    let state = State::fold(&entries(&home.journal())?)?;
    same_origin(home, state.genesis())?;
    Ok(state)
}

/// How the journal of a home begins, as its first entry says and nothing checks; `None` where it has not
/// begun.
///
/// # Errors
/// As [`entries`], and [`StewardError::Origin`] where it is another journal than the home's.
pub fn begun(home: &Home) -> Result<Option<Genesis>, StewardError> {
    if !home.has_journal() {
        return Ok(None);
    }
    let Some(first) = journal::entry(&home.journal(), 0)? else { return Ok(None) };
    let Body::Genesis(genesis) = Entry::decode(&first)?.body else { return Ok(None) };
    same_origin(home, Some(&genesis))?;
    Ok(Some(genesis))
}

/// Whoever can write in a home can exchange either without the other.
fn same_origin(home: &Home, genesis: Option<&Genesis>) -> Result<(), StewardError> {
    match genesis.map(|genesis| genesis.origin).filter(|found| *found != home.origin()) {
        Some(found) => {
            let path = home.path().to_owned();
            Err(StewardError::Origin { path, stated: home.origin(), found })
        }
        None => Ok(()),
    }
}

/// Verifies the journal in `dir` against its checkpoint, and that every entry is one of ours and
/// follows from those before. Needs files and the public key, no secret and no network.
///
/// # Errors
/// [`StewardError::Journal`] where the files and the checkpoint do not agree,
/// [`StewardError::Entry`] where an entry makes no sense.
pub fn verify(dir: &Path, key: &LogKey) -> Result<(Verified, Vec<Entry>, State), StewardError> {
    let verified = journal::verify(dir, key)?;
    let entries: Result<Vec<_>, _> =
        verified.entries.iter().map(|bytes| Entry::decode(bytes)).collect();
    let entries = entries?;
    let state = State::fold(&entries)?;
    Ok((verified, entries, state))
}

/// The public key of a journal, from what its genesis says of itself: good enough to find
/// accidents, and believed only where the owner's own copy says the same.
///
/// # Errors
/// [`StewardError::Entry`] where the journal has no genesis.
pub fn stated_key(state: &State) -> Result<LogKey, StewardError> {
    let genesis = state
        .genesis()
        .ok_or_else(|| StewardError::Entry { seq: 0, why: "there is no genesis".to_owned() })?;
    Ok(log_key(genesis.origin, genesis.log_key)?)
}

fn log_key(origin: B256, public: B256) -> Result<LogKey, journal::JournalError> {
    LogKey::new(Origin(origin), public)
}
