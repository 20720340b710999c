//! Reading a journal without being its writer: offline, read-only, without a lock, from the files
//! and the public key alone.
//!
//! A reader may look while the writer appends. The checkpoint is read before the entries, so there
//! are never fewer entries than it says; an append that is under way looks like a torn tail and is
//! left out.

use super::checkpoint::Checkpoint;
use super::error::JournalError;
use super::key::LogKey;
use super::places::Places;
use super::proof::InclusionProof;
use super::segments::{End, Segments};
use super::tiles::{self, Nodes};
use super::tree::Tree;
use super::{Heads, Visit};
use alloy_primitives::B256;
use std::path::{Path, PathBuf};

/// A journal that holds what its checkpoint signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of all of them.
    pub root: B256,
    /// How many the checkpoint covers. Entries beyond it are signed by the seals of their groups; of a
    /// segment of format 1 they are not signed at all.
    pub checkpoint_size: u64,
    /// Bytes behind the last whole entry: an append that is under way or was cut short.
    pub torn: u64,
    /// All entries, in order; none where they were visited instead.
    pub entries: Vec<Vec<u8>>,
}

/// Verifies the journal in `dir` against its checkpoint and this key.
///
/// This finds every change to what the checkpoint covers. It cannot find a journal that was rolled
/// back or rewritten *with* its key; hold an older checkpoint against it for that
/// ([`consistent`]).
///
/// # Errors
/// Any [`JournalError`] but `Locked`, `Exists`, `Full` and `Failed`.
pub fn verify(dir: &Path, key: &LogKey) -> Result<Verified, JournalError> {
    let mut entries = Vec::new();
    let verified = verify_each(dir, key, &mut |_, entry| entries.push(entry.to_owned()))?;
    Ok(Verified { entries, ..verified })
}

/// Like [`verify`], for journals that do not fit into memory: visits every entry once. None of them
/// is to be believed before this has returned.
///
/// # Errors
/// As [`verify`].
pub fn verify_each(
    dir: &Path,
    key: &LogKey,
    visit: &mut Visit<'_>,
) -> Result<Verified, JournalError> {
    let checkpoint = Checkpoint::require(dir, key)?;
    let (tree, end) = load(dir, key, &[&checkpoint], visit)?;
    if tree.size() > checkpoint.size()
        && let Some(seal) = &end.seal
    {
        Checkpoint::sealed(key, tree.size(), tree.root(), seal)?;
    }
    Ok(Verified {
        size: tree.size(),
        root: tree.root(),
        checkpoint_size: checkpoint.size(),
        torn: end.torn,
        entries: Vec::new(),
    })
}

/// Verifies the journal in `dir` and writes the full tiles that are missing or differ; says how many
/// that were. To be run beside a writer that has not read everything.
///
/// # Errors
/// As [`verify`].
pub fn verify_and_mend(dir: &Path, key: &LogKey) -> Result<u64, JournalError> {
    let checkpoint = Checkpoint::require(dir, key)?;
    let mut heads = Heads::new(std::iter::once(&checkpoint));
    let (mut tree, mut mended) = (Tree::with_tiles(), 0);
    Segments::list(dir)?.each(Some(key.origin()), 0, &mut |_, entry| {
        heads.pass(&tree)?;
        // What is beyond belongs to the writer.
        if tree.size() < checkpoint.size() {
            tree.push(entry);
            mended += tiles::write_full(dir, &tree.take_full())?;
        }
        Ok(())
    })?;
    heads.end(&tree)?;
    Ok(mended)
}

/// The whole entries in `dir`, in order, checked by nothing but their checksums.
///
/// # Errors
/// [`JournalError::Damaged`], [`JournalError::Missing`], [`JournalError::Header`],
/// [`JournalError::Io`].
pub fn read(dir: &Path) -> Result<Vec<Vec<u8>>, JournalError> {
    let mut entries = Vec::new();
    each(dir, 0, &mut |_, entry| entries.push(entry.to_owned()))?;
    Ok(entries)
}

/// One entry of the journal in `dir`, checked by its checksum alone; `None` if there is none. Reads no
/// segment but its own.
///
/// # Errors
/// As [`read`].
pub fn entry(dir: &Path, seq: u64) -> Result<Option<Vec<u8>>, JournalError> {
    Places::default().entry(&Segments::list(dir)?, seq)
}

/// Visits the whole entries in `dir` from `from` on, checked by nothing but their checksums, and
/// returns how many there are in all. Older segments are not read.
///
/// # Errors
/// As [`read`].
pub fn each(dir: &Path, from: u64, visit: &mut Visit<'_>) -> Result<u64, JournalError> {
    let end = Segments::list(dir)?.each(None, from, &mut |seq, entry| {
        visit(seq, entry);
        Ok(())
    })?;
    Ok(end.size)
}

/// Whether the journal in `dir` still begins with everything that an older checkpoint signed.
///
/// # Errors
/// [`JournalError::Truncated`] or [`JournalError::Rewritten`] if not; [`JournalError::Checkpoint`]
/// if this key did not sign the old one; whatever [`verify`] finds.
pub fn consistent(old: &str, dir: &Path, key: &LogKey) -> Result<(), JournalError> {
    let old = Checkpoint::open(old, key)?;
    let checkpoint = Checkpoint::require(dir, key)?;
    load(dir, key, &[&checkpoint, &old], &mut |_, _| ()).map(drop)
}

/// A proof, for somebody who has the key but not the journal, that entry `seq` is in it.
///
/// # Errors
/// [`JournalError::NoEntry`] if the checkpoint does not cover it; whatever [`verify`] finds.
pub fn inclusion_proof(dir: &Path, seq: u64, key: &LogKey) -> Result<InclusionProof, JournalError> {
    Prover::new(dir, key)?.prove(seq)
}

/// Makes proofs under one checkpoint, from the tiles where they are good for it.
#[derive(Debug)]
pub struct Prover {
    dir: PathBuf,
    key: LogKey,
    checkpoint: Checkpoint,
    nodes: Nodes,
}

impl Prover {
    /// For the newest checkpoint of the journal in `dir`.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] where there is none that this key signed.
    pub fn new(dir: &Path, key: &LogKey) -> Result<Self, JournalError> {
        let checkpoint = Checkpoint::require(dir, key)?;
        let nodes = Nodes::new(dir, checkpoint.size());
        Ok(Self { dir: dir.to_owned(), key: key.clone(), checkpoint, nodes })
    }

    /// The checkpoint that it proves under.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// A proof that entry `seq` is in the journal. The entry is read and the proof is checked
    /// before it is answered; where the tiles do not prove it, all entries are read.
    ///
    /// # Errors
    /// [`JournalError::NoEntry`] if the checkpoint does not cover it; whatever [`verify`] finds.
    pub fn prove(&self, seq: u64) -> Result<InclusionProof, JournalError> {
        let size = self.checkpoint.size();
        if seq >= size {
            return Err(JournalError::NoEntry { seq, size });
        }
        let entry = Places::default().entry(&Segments::list(&self.dir)?, seq)?;
        let entry = entry.ok_or(JournalError::NoEntry { seq, size })?;
        if let Ok(proof) = self.from_tiles(seq)
            && proof.holds(&entry, &self.checkpoint).is_ok()
        {
            return Ok(proof);
        }
        let mut leaves = Leaves::default();
        let heads = [&self.checkpoint];
        load(&self.dir, &self.key, &heads, &mut |_, entry| leaves.push(entry))?;
        self.proof(seq, &leaves)
    }

    /// The same from the tiles alone, neither the entry read nor the proof checked.
    ///
    /// # Errors
    /// [`JournalError::Tree`] where a tile is missing.
    pub fn from_tiles(&self, seq: u64) -> Result<InclusionProof, JournalError> {
        self.proof(seq, &self.nodes)
    }

    fn proof<R: tlog_tiles::HashReader>(
        &self,
        seq: u64,
        nodes: &R,
    ) -> Result<InclusionProof, JournalError> {
        let hashes = tlog_tiles::prove_record(self.checkpoint.size(), seq, nodes)?;
        let hashes = hashes.into_iter().map(|hash| B256::from(hash.0)).collect();
        Ok(InclusionProof { seq, hashes, checkpoint: self.checkpoint.text().to_owned() })
    }
}

/// Every node that is complete, in storage order: for a journal whose tiles are not to be used.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    size: u64,
    nodes: Vec<tlog_tiles::Hash>,
}

impl Leaves {
    pub(super) fn push(&mut self, entry: &[u8]) {
        // It reads only nodes that are there.
        if let Ok(new) = tlog_tiles::stored_hashes(self.size, entry, self) {
            self.nodes.extend(new);
            self.size += 1;
        }
    }
}

impl tlog_tiles::HashReader for Leaves {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let node = |&index: &u64| {
            let hash = usize::try_from(index).ok().and_then(|index| self.nodes.get(index));
            hash.copied().ok_or(tlog_tiles::Error::IndexesNotInTree)
        };
        indexes.iter().map(node).collect()
    }
}

fn load(
    dir: &Path,
    key: &LogKey,
    heads: &[&Checkpoint],
    visit: &mut Visit<'_>,
) -> Result<(Tree, End), JournalError> {
    let mut tree = Tree::default();
    let mut heads = Heads::new(heads.iter().copied());
    let end = Segments::list(dir)?.each(Some(key.origin()), 0, &mut |seq, entry| {
        heads.pass(&tree)?;
        tree.push(entry);
        visit(seq, entry);
        Ok(())
    })?;
    heads.end(&tree)?;
    Ok((tree, end))
}
