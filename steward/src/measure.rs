//! What benchmarks need of the inside: a start without keys and chain. Not for programs.

use crate::{
    entry::{Body, Entry, VERSION, Word},
    error::StewardError,
    index::{Index, Mark},
    journal::{Journal, LogSigner, Origin},
    opening::{self, Opened},
    state::{STATE_FORMAT, State},
};
use std::path::Path;

/// A journal that is open, with its state, as a steward would have it.
#[derive(Debug)]
pub struct Ready {
    /// The journal.
    pub journal: Journal,
    /// The state.
    pub state: State,
    /// Whether the index was good for it.
    pub quick: bool,
}

/// Opens as a steward does: with the index, or by making it again.
///
/// # Errors
/// As a steward's start.
pub fn open(
    journal: &Path,
    index: &Path,
    origin: Origin,
    signer: impl Fn() -> LogSigner,
) -> Result<Ready, StewardError> {
    let opened = opening::open(journal, index, origin, || Ok(signer()))?;
    let Opened { journal, state, index: kept, quick, .. } = opened;
    let mut ready = Ready { journal, state, quick };
    if !quick {
        let kept = kept.map_or_else(|| Index::anew(index.to_owned()), Ok)?;
        ready.mark(&kept)?;
    }
    Ok(ready)
}

impl Ready {
    fn mark(&mut self, index: &Index) -> Result<(), StewardError> {
        let Self { journal, state, .. } = self;
        let (seq, at, hash) = (state.next(), state.time(), state.seal()?);
        let wrong = |error: serde_json::Error| StewardError::Entry { seq, why: error.to_string() };
        let (head, parts) =
            (state.head_bytes().map_err(wrong)?, state.take_changed().map_err(wrong)?);
        let body = Body::Checkpointed { format: STATE_FORMAT, state: hash };
        let entry = Entry { v: VERSION, seq, at, agent: None, word: Word::Attested, body };
        journal.append(&[entry.encode()?])?;
        index.write(Mark { seq, head, parts })?;
        state.apply(&entry)
    }
}
