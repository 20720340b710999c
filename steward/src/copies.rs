//! The newest checkpoint, also kept where whoever rolls this home back does not reach: a folder of
//! the owner's, on another disk or another machine.
//!
//! It is written before a payment leaves, and every so many entries and seconds. A start holds the
//! journal against it: one that was rolled back, or rewritten with its own key, stops everything.

use crate::{
    error::StewardError,
    journal::{Journal, Origin},
};
use marque_store_files::{self as store, SHARED};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A copy is at most so many entries old,
const ENTRIES: u64 = 256;

/// or, while entries come, so old.
const AGE: Duration = Duration::from_secs(60);

/// No checkpoint is longer, in bytes.
const LONGEST: u64 = 4096;

/// Where the copy lies, and what it was last.
#[derive(Debug)]
pub(crate) struct Copies {
    path: PathBuf,
    size: u64,
    at: Option<Instant>,
}

impl Copies {
    /// In `dir`, which must be there: one that is not mounted is not silently made.
    pub(crate) fn new(dir: &Path, origin: Origin) -> Self {
        let name = alloy_primitives::hex::encode(origin.0);
        // Their own links to it are the owner's; in it there are none.
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        Self { path: dir.join(format!("{name}.checkpoint")), size: 0, at: None }
    }

    /// Why the journal is not the one that the copy knows, if it is not.
    pub(crate) fn contradict(&self, journal: &Journal) -> Result<Option<String>, StewardError> {
        let read = store::read_if_there(&self.path, LONGEST);
        let Some(text) = read.map_err(StewardError::io("read", &self.path))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        Ok(journal.extends(&text).err().map(|error| {
            format!(
                "the journal does not extend the checkpoint in {}: {error}",
                self.path.display()
            )
        }))
    }

    /// Writes the journal's checkpoint, where it is time for that. A failure is told and stops
    /// nothing: the copy is older then, and still true.
    pub(crate) fn keep(&mut self, journal: &Journal, pays: bool) {
        let size = journal.size();
        let old = self.at.is_none_or(|at| at.elapsed() >= AGE);
        if size <= self.size || !(pays || old || size - self.size >= ENTRIES) {
            return;
        }
        match store::replace(&self.path, journal.checkpoint_text().as_bytes(), SHARED) {
            Ok(()) => (self.size, self.at) = (size, Some(Instant::now())),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "no copy of the checkpoint");
            }
        }
    }
}
