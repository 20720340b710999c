//! What can go wrong with a journal, told apart by what the reader has to do about it: mend the
//! disk, look for whoever tampered, or hand in the right key.

use super::key::Origin;
use super::record::MAX_ENTRY;
use std::io;
use std::path::{Path, PathBuf};

/// Why a journal was not written, opened or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// `create` on a folder that holds a journal.
    #[error("{} already holds a journal; open it instead", .0.display())]
    Exists(PathBuf),

    /// Another writer is at work.
    #[error("{} is open for writing elsewhere; stop the other steward first", .0.display())]
    Locked(PathBuf),

    /// An append failed earlier, so what is on the disk is unknown.
    #[error("an earlier append failed; open the journal anew to see what is in it")]
    Failed,

    /// The disk has no room. Nothing was written, and what was acknowledged is untouched.
    #[error("the disk that holds {} is full; make room", .0.display())]
    Full(PathBuf),

    /// What was not read cannot be proven to be what the checkpoint signed; read everything.
    #[error("the tree cannot be taken from the tiles: {0}")]
    Unproven(&'static str),

    /// A segment, or the end of one, is gone.
    #[error(
        "entries {have} to {} are missing: the next segment is {}; restore the journal from a copy",
        first.saturating_sub(1),
        path.display()
    )]
    Missing {
        /// The segment behind the gap.
        path: PathBuf,
        /// How many entries there are before it.
        have: u64,
        /// The entry that it begins with.
        first: u64,
    },

    /// Not a segment of a journal.
    #[error("{} is not a journal segment: {why}", path.display())]
    Header {
        /// The segment.
        path: PathBuf,
        /// What is wrong with its header.
        why: &'static str,
    },

    /// Written by a newer version.
    #[error("{} has format {found}; this version reads up to {known}; update marque", path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// The format that it says.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },

    /// Another journal than the one asked for.
    #[error("this is the journal {found}, not {expected}")]
    Origin {
        /// What the files say.
        found: Origin,
        /// What was asked for.
        expected: Origin,
    },

    /// A broken record with whole ones after it: edited, or a failing disk. Never repaired.
    #[error(
        "entry {seq} at byte {offset} of {} is damaged ({why}) and whole entries follow it; \
         restore the journal from a copy",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Sequence number of the damaged entry.
        seq: u64,
        /// Where its record starts.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },

    /// What was written after the newest checkpoint is not by this journal's steward.
    #[error(
        "the seal of entry {} is not of this journal's log key: somebody else wrote what no checkpoint \
         covers yet; restore the journal from a copy",
        size.saturating_sub(1)
    )]
    Unsealed {
        /// Entries there are.
        size: u64,
    },

    /// Entries that a checkpoint has signed are gone.
    #[error("{have} entries are left of the {signed} that the checkpoint signed")]
    Truncated {
        /// Entries there are.
        have: u64,
        /// Entries there must be at least.
        signed: u64,
    },

    /// The entries are not the ones that a checkpoint has signed.
    #[error("the first {size} entries are not the ones that the checkpoint signed")]
    Rewritten {
        /// How many entries the checkpoint covers.
        size: u64,
    },

    /// A checkpoint that is missing, malformed, or not signed by this key.
    #[error("{what} is not to be believed: {why}")]
    Checkpoint {
        /// Which checkpoint.
        what: String,
        /// Why not.
        why: String,
    },

    /// A public or secret log key that cannot be read.
    #[error("not a log key (`marque/<origin>+<hash>+<base64>`): {0}")]
    Key(String),

    /// An entry that cannot be framed.
    #[error("entry {index} of the group has {len} bytes; an entry has 1 to {MAX_ENTRY}")]
    EntrySize {
        /// Its place in the group.
        index: usize,
        /// Its length in bytes.
        len: usize,
    },

    /// There is no entry of this number under the checkpoint.
    #[error("there is no entry {seq}: the checkpoint covers {size}")]
    NoEntry {
        /// The entry asked for.
        seq: u64,
        /// How many there are.
        size: u64,
    },

    /// An inclusion proof that is malformed or proves nothing.
    #[error("the inclusion proof does not hold: {0}")]
    Proof(String),

    /// The tree's arithmetic failed; a defect.
    #[error("merkle tree: {0}")]
    Tree(#[from] tlog_tiles::Error),
}

impl JournalError {
    /// For `map_err` after a call to the system.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
