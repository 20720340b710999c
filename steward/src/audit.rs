//! Reading a journal without a steward: for people, and for commands that only look.

use crate::{
    entry::Entry,
    error::StewardError,
    home::Home,
    journal::{self, LogKey, Origin, Verified},
    state::State,
};
use alloy_primitives::B256;
use std::path::Path;

/// All entries of the journal in `dir`, typed, in order. Not checked against a checkpoint; for
/// that see [`verify`].
///
/// # Errors
/// [`StewardError::Journal`], [`StewardError::Entry`], [`StewardError::Newer`].
pub fn entries(dir: &Path) -> Result<Vec<Entry>, StewardError> {
    journal::read(dir)?.iter().map(|bytes| Entry::decode(bytes)).collect()
}

/// The state that the journal of a home amounts to, read while a steward may be at work.
///
/// # Errors
/// As [`entries`].
pub fn state(home: &Home) -> Result<State, StewardError> {
    State::fold(&entries(&home.journal())?)
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
