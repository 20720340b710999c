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
//! journal/entries/<first entry>.seg          records: length, CRC32C, bytes; the only input
//! journal/tile/<level>/<index>[.p/<width>]   C2SP tlog-tiles, rebuilt from the entries
//! journal/checkpoint                         C2SP signed note: origin, size, root
//! journal/reserve                            room for stopping in order on a full disk, after a note
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
mod places;
mod proof;
mod record;
mod segments;
mod tiles;
mod tree;
mod writer;

#[cfg(test)]
mod tests;

pub use audit::{
    Prover, Verified, consistent, each, entry, inclusion_proof, read, verify, verify_and_mend,
    verify_each,
};
pub use checkpoint::Checkpoint;
pub use error::JournalError;
pub use key::{LogKey, LogSigner, Origin};
pub use proof::InclusionProof;
pub use record::MAX_ENTRY;
pub use writer::SEGMENT_BYTES;

use alloy_primitives::B256;
use places::Places;
use segments::{End, Segments};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tiles::Nodes;
use tree::Tree;
use writer::{Lock, Writer};

/// So many entries may have no tiles and no checkpoint on disk yet.
const OWED: u64 = 64;

/// Takes one entry after the other: its sequence number and its bytes.
pub type Visit<'a> = dyn FnMut(u64, &[u8]) + 'a;

/// The exclusive writer of one journal.
///
/// Holds the right edge of the tree and the tiles that are not full, some 24 KiB, so that an append
/// hashes O(log n) nodes and reads nothing.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    origin: Origin,
    signer: LogSigner,
    writer: Writer,
    tree: Tree,
    checkpoint: Checkpoint,
    places: Places,
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
    /// There was no checkpoint, or a file without a byte in it but zeros: a power cut, or a deletion.
    pub checkpoint_missing: bool,
}

impl Journal {
    /// Makes an empty journal in `dir`, which is created, and signs its empty tree.
    ///
    /// # Errors
    /// [`JournalError::Exists`] where there is one already, [`JournalError::Io`].
    pub fn create(dir: &Path, origin: Origin, signer: LogSigner) -> Result<Self, JournalError> {
        let lock = Lock::create(dir, origin)?;
        let tree = Tree::with_tiles();
        let (checkpoint, _) = Checkpoint::sign(origin, &signer, 0, tree.root())?;
        checkpoint.write(dir)?;
        // Once, so that a journal without a checkpoint is something to wonder about.
        files::sync_dir(dir)?;
        let end = Segments::list(dir)?.each(Some(origin), 0, &mut |_, _| Ok(()))?;
        let writer = Writer::open(dir, origin, lock, &end)?;
        let recovery = Recovery::default();
        let dir = dir.to_owned();
        let places = Places::default();
        Ok(Self { dir, origin, signer, writer, tree, checkpoint, places, published: 0, recovery })
    }

    /// Opens the journal in `dir` for writing and returns all its entries, in order.
    ///
    /// # Errors
    /// As [`Self::open_from`].
    pub fn open(
        dir: &Path,
        origin: Origin,
        signer: LogSigner,
    ) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let mut entries = Vec::new();
        let journal = Self::open_from(dir, origin, signer, 0, &mut |_, entry| {
            entries.push(entry.to_owned())
        })?;
        Ok((journal, entries))
    }

    /// Opens the journal in `dir` for writing; visits the entries from `from` on.
    ///
    /// With `from` = 0 every entry is read, and tiles that are missing or differ are written anew.
    /// Otherwise older segments are not read: the tree's edge comes from the tiles, and what is
    /// read after it must lead to the root that the checkpoint signs. Damage of what was not read
    /// is found by [`verify`].
    ///
    /// Cuts off what an unfinished append left, then makes what remains durable before anybody
    /// acts on it, and signs a new checkpoint where the old one covers less.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Missing`], [`JournalError::Truncated`] and
    /// [`JournalError::Rewritten`] are tampering or a broken disk, and nothing was changed;
    /// [`JournalError::Locked`] is a second writer; [`JournalError::Checkpoint`] a checkpoint that
    /// this key did not sign. [`JournalError::Unproven`] only where `from` is not 0: read all.
    pub fn open_from(
        dir: &Path,
        origin: Origin,
        signer: LogSigner,
        from: u64,
        visit: &mut Visit<'_>,
    ) -> Result<Self, JournalError> {
        // The lock comes first: what is read after it cannot change any more.
        let lock = Lock::take(dir)?;
        let old = Checkpoint::read(dir, &signer.key(origin)?)?;
        let segments = Segments::list(dir)?;
        let (mut tree, end) = match &old {
            Some(old) if from > 0 => {
                read_from(dir, &segments, origin, old, from.min(old.size()), &mut |seq, entry| {
                    if seq >= from {
                        visit(seq, entry);
                    }
                })?
            }
            None if from > 0 => return Err(JournalError::Unproven("there is no checkpoint")),
            _ => read_all(&segments, origin, old.as_ref(), visit)?,
        };
        // INVARIANT: what no checkpoint covers is believed by its seal alone, which only this log key
        // makes; pinned by `entries_that_somebody_else_appended_are_refused`.
        let checkpoint = match &old {
            Some(old) if old.size() == tree.size() => old.clone(),
            _ if tree.size() == 0 => Checkpoint::sign(origin, &signer, 0, tree.root())?.0,
            _ => newest(&signer.key(origin)?, &tree, &end)?,
        };
        // INVARIANT: nothing is cut before the checkpoint has been checked; pinned by
        // `a_cut_below_the_checkpoint_is_an_error_and_changes_nothing`.
        let writer = Writer::open(dir, origin, lock, &end)?;

        let recovery = Recovery {
            cut: end.torn,
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
        tiles::write(dir, &mut tree)?;
        if old.as_ref() != Some(&checkpoint) {
            checkpoint.write(dir)?;
        }
        let published = tree.size();
        let dir = dir.to_owned();
        let places = Places::default();
        Ok(Self { dir, origin, signer, writer, tree, checkpoint, places, published, recovery })
    }

    /// Appends a group of entries and returns the sequence number of the first (the next free one
    /// for an empty group). They are on the disk when this returns, after one wait for it.
    ///
    /// Tiles and checkpoint follow. Should they fail to be written, the entries stand all the
    /// same: the failure is logged, the checkpoint in memory is current, and the next append (or
    /// [`Self::publish`]) writes them again.
    ///
    /// # Errors
    /// [`JournalError::EntrySize`] for an entry that is empty or longer than [`MAX_ENTRY`], and
    /// [`JournalError::Full`] where the disk has no room: then nothing was written.
    /// [`JournalError::Io`] where the disk failed; whether the group is in the journal is then
    /// unknown until it is opened anew, and every later append answers [`JournalError::Failed`].
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let first = self.write(entries)?;
        if let Err(error) = self.publish() {
            tracing::warn!(%error, "the entries are durable, but their checkpoint is not written");
        }
        Ok(first)
    }

    /// As [`Self::append`], but tiles and checkpoint stay owed: they are several files, and whoever
    /// appends often has better to do. At most some 64 entries are owed.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn write(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let first = self.tree.size();
        if entries.is_empty() {
            return Ok(first);
        }
        let mut tree = self.tree.clone();
        for entry in entries {
            tree.push(entry);
        }
        let (checkpoint, seal) =
            Checkpoint::sign(self.origin, &self.signer, tree.size(), tree.root())?;
        self.writer.append(entries, &seal)?;
        (self.tree, self.checkpoint) = (tree, checkpoint);
        if self.tree.size() - self.published >= OWED
            && let Err(error) = self.publish()
        {
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
            tiles::write(&self.dir, &mut self.tree)?;
            self.checkpoint.write(&self.dir)?;
            self.published = self.tree.size();
        }
        Ok(())
    }

    /// How long the last append waited for the disk.
    pub(crate) const fn disk(&self) -> Duration {
        self.writer.disk()
    }

    /// Takes the room for stopping in order on a full disk again, after [`JournalError::Full`].
    ///
    /// # Errors
    /// [`JournalError::Full`] where there is still none.
    pub fn keep_reserve(&self) -> Result<(), JournalError> {
        self.writer.keep_reserve()
    }

    /// Leaves a note for the next start, for when a full disk takes no entry: it needs no room. An
    /// empty one takes back what was left.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn leave_note(&self, note: &[u8]) -> Result<(), JournalError> {
        self.writer.leave_note(note)
    }

    /// The note that was left; an empty one where it cannot be read.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn note(&self) -> Result<Option<Vec<u8>>, JournalError> {
        self.writer.note()
    }

    /// One entry, read back from the disk and proven to be the one that is under the present root.
    ///
    /// # Errors
    /// [`JournalError::NoEntry`] if there is none, [`JournalError::Rewritten`] if it is another,
    /// [`JournalError::Unproven`] where the tiles are not there to tell.
    pub fn entry(&mut self, seq: u64) -> Result<Vec<u8>, JournalError> {
        let size = self.tree.size();
        let none = JournalError::NoEntry { seq, size };
        self.publish()?;
        let segments = Segments::list(&self.dir)?;
        let Some(entry) = self.places.entry(&segments, seq)? else { return Err(none) };
        let nodes = Nodes::new(&self.dir, size);
        let proof = tlog_tiles::prove_record(size, seq, &nodes)
            .map_err(|_| JournalError::Unproven("a tile is missing"))?;
        let root = tlog_tiles::Hash(self.tree.root().0);
        tlog_tiles::check_record(&proof, size, root, seq, tlog_tiles::record_hash(&entry))
            .map_err(|_| JournalError::Rewritten { size })?;
        Ok(entry)
    }

    /// Visits the entries from `from` on again. They are those that this writer wrote or read.
    ///
    /// # Errors
    /// As [`Self::open_from`].
    pub(crate) fn again(&self, from: u64, visit: &mut Visit<'_>) -> Result<u64, JournalError> {
        let segments = Segments::list(&self.dir)?;
        let (tree, _) = match from {
            0 => read_all(&segments, self.origin, Some(&self.checkpoint), visit)?,
            _ => read_from(
                &self.dir,
                &segments,
                self.origin,
                &self.checkpoint,
                from,
                &mut |seq, entry| {
                    if seq >= from {
                        visit(seq, entry);
                    }
                },
            )?,
        };
        Ok(tree.size())
    }

    /// Whether this journal extends what an older checkpoint of it signed: by a consistency proof
    /// from the tiles, or by reading everything.
    ///
    /// # Errors
    /// As [`consistent`].
    pub fn extends(&self, old: &str) -> Result<(), JournalError> {
        let key = self.key()?;
        let old = Checkpoint::open(old, &key)?;
        let (have, signed) = (self.size(), old.size());
        if have < signed {
            return Err(JournalError::Truncated { have, signed });
        }
        let hash = |root: B256| tlog_tiles::Hash(root.0);
        let nodes = Nodes::new(&self.dir, have);
        if signed > 0
            && let Ok(proof) = tlog_tiles::prove_tree(have, signed, &nodes)
            && tlog_tiles::check_tree(
                &proof,
                have,
                hash(self.tree.root()),
                signed,
                hash(old.root()),
            )
            .is_ok()
        {
            return Ok(());
        }
        consistent(old.text(), &self.dir, &key)
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

    /// The public half of the key that signs its checkpoints.
    ///
    /// # Errors
    /// [`JournalError::Key`]; not for a key that opened it.
    pub fn key(&self) -> Result<LogKey, JournalError> {
        self.signer.key(self.origin)
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
        self.writer.syncs()
    }

    /// Begins a new segment wherever one would grow beyond so many bytes, for tests of that.
    #[doc(hidden)]
    pub fn rotate_at(&mut self, bytes: u64) {
        self.writer.set_limit(bytes);
    }
}

/// Reads every entry, writes the full tiles that differ, and checks the checkpoint.
fn read_all(
    segments: &Segments,
    origin: Origin,
    old: Option<&Checkpoint>,
    visit: &mut Visit<'_>,
) -> Result<(Tree, End), JournalError> {
    let mut tree = Tree::with_tiles();
    let mut heads = Heads::new(old.into_iter());
    let end = segments.each(Some(origin), 0, &mut |seq, entry| {
        heads.pass(&tree)?;
        tree.push(entry);
        visit(seq, entry);
        Ok(())
    })?;
    heads.end(&tree)?;
    Ok((tree, end))
}

/// The checkpoint of all entries, by the seal of the last group.
fn newest(key: &LogKey, tree: &Tree, end: &End) -> Result<Checkpoint, JournalError> {
    let size = tree.size();
    let seal = end.seal.ok_or(JournalError::Unsealed { size })?;
    Checkpoint::sealed(key, size, tree.root(), &seal)
}

/// Takes the tree of the first `base` entries from the tiles, reads the rest, and checks that this
/// leads to what the checkpoint signed. The nodes of the edge are what they should be then: another
/// edge would have another root.
fn read_from(
    dir: &Path,
    segments: &Segments,
    origin: Origin,
    old: &Checkpoint,
    base: u64,
    visit: &mut Visit<'_>,
) -> Result<(Tree, End), JournalError> {
    let unproven = || JournalError::Unproven("a tile is missing or wrong");
    let mut tree = tiles::edge(dir, base)?.ok_or_else(unproven)?;
    let mut heads = Heads::new(std::iter::once(old));
    let end = segments.each(Some(origin), base, &mut |seq, entry| {
        heads.pass(&tree).map_err(|_| unproven())?;
        tree.push(entry);
        visit(seq, entry);
        Ok(())
    })?;
    // The tiles may know more entries than there are.
    if end.size != tree.size() {
        return Err(JournalError::Truncated { have: end.size, signed: old.size() });
    }
    match heads.end(&tree) {
        Err(JournalError::Rewritten { .. }) => Err(unproven()),
        Err(error) => Err(error),
        Ok(()) => Ok((tree, end)),
    }
}

/// Checkpoints that a growing tree has to pass through, smallest first.
#[derive(Debug)]
struct Heads<'a>(Vec<&'a Checkpoint>);

impl<'a> Heads<'a> {
    fn new(heads: impl Iterator<Item = &'a Checkpoint>) -> Self {
        let mut heads: Vec<_> = heads.collect();
        heads.sort_by_key(|head| std::cmp::Reverse(head.size()));
        Self(heads)
    }

    /// To be asked before each entry, and by [`Self::end`] after the last.
    fn pass(&mut self, tree: &Tree) -> Result<(), JournalError> {
        while let Some(head) = self.0.pop_if(|head| head.size() == tree.size()) {
            if head.root() != tree.root() {
                return Err(JournalError::Rewritten { size: head.size() });
            }
        }
        Ok(())
    }

    fn end(&mut self, tree: &Tree) -> Result<(), JournalError> {
        self.pass(tree)?;
        match self.0.last() {
            Some(head) => Err(JournalError::Truncated { have: tree.size(), signed: head.size() }),
            None => Ok(()),
        }
    }
}
