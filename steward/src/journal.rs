//! The truth: an append-only log of bytes, durable before it is answered for, provable offline.
//!
//! The journal knows bytes, not meanings. An entry that [`Journal::append`] returned for has
//! reached the disk; everything else in the folder is derived from the entries. They are hashed
//! into an RFC 6962 Merkle tree whose head is signed with the log's own Ed25519 key as a C2SP
//! checkpoint, so that whoever holds the public key can tell, with files alone, whether an entry
//! was edited, dropped, swapped or forged, and whoever holds an older checkpoint can tell whether
//! history was rewritten under the same key. `docs/journal.md` is enough to write another
//! verifier.
//!
//! ```text
//! journal/entries/00000000000000000000.seg   records: length, CRC32C, bytes; the only input
//! journal/tile/<level>/<index>[.p/<width>]   C2SP tlog-tiles, rebuilt from the entries
//! journal/checkpoint                         C2SP signed note: origin, size, root
//! ```
//!
//! Damage is never repaired. The one thing that is cut off is what a crash leaves behind an
//! unfinished append: a broken last record with nothing whole after it, beyond everything that a
//! checkpoint has signed.

mod audit;
mod checkpoint;
mod error;
mod files;
mod key;
mod proof;
mod segment;
mod tree;

#[cfg(test)]
mod tests;

pub use audit::{Verified, consistent, inclusion_proof, read, verify};
pub use checkpoint::Checkpoint;
pub use error::JournalError;
pub use key::{LogKey, LogSigner, Origin};
pub use proof::InclusionProof;
pub use segment::MAX_ENTRY;

use alloy_primitives::B256;
use segment::{Recovered, Segment};
use std::path::{Path, PathBuf};
use tree::Tree;

/// The exclusive writer of one journal.
///
/// Holds 64 bytes of hashes an entry, so that an append hashes O(log n) nodes and reads nothing.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    origin: Origin,
    signer: LogSigner,
    segment: Segment,
    tree: Tree,
    checkpoint: Checkpoint,
    /// How many entries the tiles and the checkpoint on disk cover.
    published: u64,
    recovery: Recovery,
}

/// What opening a journal had to mend, for the steward to journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of an unfinished append that were cut off.
    pub cut: u64,
    /// Entries that no checkpoint covered yet; all of them, if the checkpoint was missing.
    pub unsigned: u64,
    /// There was no checkpoint, or an empty file: a power cut soon after creation, or a deletion.
    pub checkpoint_missing: bool,
}

impl Journal {
    /// Makes an empty journal in `dir`, which is created, and signs its empty tree.
    ///
    /// # Errors
    /// [`JournalError::Exists`] where there is one already, [`JournalError::Io`].
    pub fn create(dir: &Path, origin: Origin, signer: LogSigner) -> Result<Self, JournalError> {
        let segment = Segment::create(dir, origin)?;
        let tree = Tree::default();
        let checkpoint = Checkpoint::sign(origin, &signer, 0, tree.root()?)?;
        checkpoint.write(dir)?;
        // Once, so that a journal without a checkpoint is something to wonder about.
        files::sync_dir(dir)?;
        let recovery = Recovery::default();
        let dir = dir.to_owned();
        Ok(Self { dir, origin, signer, segment, tree, checkpoint, published: 0, recovery })
    }

    /// Opens the journal in `dir` for writing and returns all its entries, in order.
    ///
    /// Cuts off what an unfinished append left, then makes what remains durable before anybody
    /// acts on it, rebuilds tiles that are missing or differ, and signs a new checkpoint where the
    /// old one covers less.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Truncated`] and [`JournalError::Rewritten`] are
    /// tampering or a broken disk, and nothing was changed; [`JournalError::Locked`] is a second
    /// writer; [`JournalError::Checkpoint`] a checkpoint that this key did not sign.
    pub fn open(
        dir: &Path,
        origin: Origin,
        signer: LogSigner,
    ) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        // The lock comes first: what is read after it cannot change any more.
        let mut segment = Segment::open(dir)?;
        let old = Checkpoint::read(dir, &signer.key(origin)?)?;
        let Recovered { entries, end, torn } = segment.recover(origin)?;
        let tree = Tree::of(&entries)?;
        if let Some(old) = &old {
            old.check(&tree)?;
        }
        // INVARIANT: nothing is cut before the checkpoint has been checked; pinned by
        // `a_cut_below_the_checkpoint_is_an_error_and_changes_nothing`.
        segment.settle(end, torn)?;

        let recovery = Recovery {
            cut: torn,
            unsigned: tree.size() - old.as_ref().map_or(0, Checkpoint::size),
            checkpoint_missing: old.is_none(),
        };
        if recovery != Recovery::default() {
            tracing::warn!(
                cut = recovery.cut,
                unsigned = recovery.unsigned,
                checkpoint_missing = recovery.checkpoint_missing,
                "the journal was not closed cleanly"
            );
        }
        tree.write_tiles(dir, 0)?;
        let checkpoint = match old {
            Some(old) if old.size() == tree.size() => old,
            _ => {
                let new = Checkpoint::sign(origin, &signer, tree.size(), tree.root()?)?;
                new.write(dir)?;
                new
            }
        };
        let published = tree.size();
        let dir = dir.to_owned();
        let journal = Self { dir, origin, signer, segment, tree, checkpoint, published, recovery };
        Ok((journal, entries))
    }

    /// Appends a group of entries and returns the sequence number of the first (the next free one
    /// for an empty group). They are on the disk when this returns, after one wait for it.
    ///
    /// Tiles and checkpoint follow. Should they fail to be written, the entries stand all the
    /// same: the failure is logged, the checkpoint in memory is current, and the next append (or
    /// [`Self::publish`]) writes them again.
    ///
    /// # Errors
    /// [`JournalError::EntrySize`] for an entry that is empty or longer than [`MAX_ENTRY`]; then
    /// nothing was written. [`JournalError::Io`] where the disk failed; whether the group is in
    /// the journal is then unknown until it is opened anew, and every later append answers
    /// [`JournalError::Failed`].
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let first = self.tree.size();
        if entries.is_empty() {
            return Ok(first);
        }
        self.segment.append(entries)?;
        for entry in entries {
            self.tree.push(entry)?;
        }
        self.checkpoint =
            Checkpoint::sign(self.origin, &self.signer, self.tree.size(), self.tree.root()?)?;
        if let Err(error) = self.publish() {
            tracing::warn!(%error, "the entries are durable, but their checkpoint is not written");
        }
        Ok(first)
    }

    /// Writes the tiles and the checkpoint of everything appended, where that is still owed.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the entries are not touched.
    pub fn publish(&mut self) -> Result<(), JournalError> {
        if self.published < self.tree.size() {
            self.tree.write_tiles(&self.dir, self.published)?;
            self.checkpoint.write(&self.dir)?;
            self.published = self.tree.size();
        }
        Ok(())
    }

    /// How many entries there are; also the sequence number of the next.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// RFC 6962 root of all entries.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.checkpoint.root()
    }

    /// The signed head of all entries.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed head as the text that others keep: a C2SP checkpoint.
    #[must_use]
    pub fn checkpoint_text(&self) -> &str {
        self.checkpoint.text()
    }

    /// The journal's name.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What opening had to mend.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// How often appends of this writer waited for the disk.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.segment.syncs()
    }
}
