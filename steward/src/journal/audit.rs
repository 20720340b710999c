//! Reading a journal without being its writer: offline, read-only, without a lock, from the files
//! and the public key alone.
//!
//! A reader may look while the writer appends. The checkpoint is read before the entries, so there
//! are never fewer entries than it says; an append that is under way looks like a torn tail and is
//! left out.

use super::checkpoint::Checkpoint;
use super::error::JournalError;
use super::key::LogKey;
use super::proof::InclusionProof;
use super::segment::{self, Recovered};
use super::tree::Tree;
use alloy_primitives::B256;
use std::path::Path;

/// A journal that holds what its checkpoint signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of all of them.
    pub root: B256,
    /// How many the checkpoint covers. Entries beyond it carry a checksum and no signature yet:
    /// normal for a moment during an append, and after a crash until the steward starts again.
    pub checkpoint_size: u64,
    /// Bytes behind the last whole entry: an append that is under way or was cut short.
    pub torn: u64,
    /// All entries, in order.
    pub entries: Vec<Vec<u8>>,
}

/// Verifies the journal in `dir` against its checkpoint and this key.
///
/// This finds every change to what the checkpoint covers. It cannot find a journal that was rolled
/// back or rewritten *with* its key; hold an older checkpoint against it for that
/// ([`consistent`]).
///
/// # Errors
/// Any [`JournalError`] but `Locked`, `Exists` and `Failed`.
pub fn verify(dir: &Path, key: &LogKey) -> Result<Verified, JournalError> {
    load(dir, key).map(|(verified, _, _)| verified)
}

/// The whole entries in `dir`, in order, checked by nothing but their checksums.
///
/// # Errors
/// [`JournalError::Damaged`], [`JournalError::Header`], [`JournalError::Io`].
pub fn read(dir: &Path) -> Result<Vec<Vec<u8>>, JournalError> {
    Ok(segment::read(dir, None)?.entries)
}

/// Whether the journal in `dir` still begins with everything that an older checkpoint signed.
///
/// # Errors
/// [`JournalError::Truncated`] or [`JournalError::Rewritten`] if not; [`JournalError::Checkpoint`]
/// if this key did not sign the old one; whatever [`verify`] finds.
pub fn consistent(old: &str, dir: &Path, key: &LogKey) -> Result<(), JournalError> {
    let old = Checkpoint::open(old, key)?;
    let (_, tree, _) = load(dir, key)?;
    old.check(&tree)
}

/// A proof, for somebody who has the key but not the journal, that entry `seq` is in it.
///
/// # Errors
/// [`JournalError::NoEntry`] if the checkpoint does not cover it; whatever [`verify`] finds.
pub fn inclusion_proof(dir: &Path, seq: u64, key: &LogKey) -> Result<InclusionProof, JournalError> {
    let (_, tree, checkpoint) = load(dir, key)?;
    if seq >= checkpoint.size() {
        return Err(JournalError::NoEntry { seq, size: checkpoint.size() });
    }
    let hashes = tree.prove(checkpoint.size(), seq)?;
    Ok(InclusionProof { seq, hashes, checkpoint: checkpoint.text().to_owned() })
}

fn load(dir: &Path, key: &LogKey) -> Result<(Verified, Tree, Checkpoint), JournalError> {
    let checkpoint = Checkpoint::require(dir, key)?;
    let Recovered { entries, torn, .. } = segment::read(dir, Some(key.origin()))?;
    let tree = Tree::of(&entries)?;
    checkpoint.check(&tree)?;
    let verified = Verified {
        size: tree.size(),
        root: tree.root()?,
        checkpoint_size: checkpoint.size(),
        torn,
        entries,
    };
    Ok((verified, tree, checkpoint))
}
