//! The RFC 6962 tree over the entries, kept in memory, and its C2SP tiles on disk.

use super::error::JournalError;
use super::files;
use alloy_primitives::B256;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tlog_tiles::{Hash, HashReader, Tile};

/// Height of a C2SP tile: 256 hashes wide.
const HEIGHT: u8 = 8;

/// Every node that is complete, in storage order: about two hashes an entry.
#[derive(Debug, Default)]
pub(super) struct Tree {
    size: u64,
    nodes: Nodes,
}

#[derive(Debug, Default)]
struct Nodes(Vec<Hash>);

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let node = |&index: &u64| {
            let hash = usize::try_from(index).ok().and_then(|index| self.0.get(index));
            hash.copied().ok_or(tlog_tiles::Error::IndexesNotInTree)
        };
        indexes.iter().map(node).collect()
    }
}

impl Tree {
    /// The tree of these entries.
    pub(super) fn of(entries: &[Vec<u8>]) -> Result<Self, JournalError> {
        let mut tree = Self::default();
        tree.nodes.0.reserve(entries.len().saturating_mul(2));
        for entry in entries {
            tree.push(entry)?;
        }
        Ok(tree)
    }

    /// Adds one entry; hashes at most 1 + log2(size) nodes.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<(), JournalError> {
        let new = tlog_tiles::stored_hashes(self.size, entry, &self.nodes)?;
        self.nodes.0.extend(new);
        self.size += 1;
        Ok(())
    }

    /// Number of entries.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Root of all entries.
    pub(super) fn root(&self) -> Result<B256, JournalError> {
        self.root_at(self.size)
    }

    /// Root of the first `size` entries.
    pub(super) fn root_at(&self, size: u64) -> Result<B256, JournalError> {
        Ok(B256::from(tlog_tiles::tree_hash(size, &self.nodes)?.0))
    }

    /// Hashes from the leaf's sibling to the root's child, in the tree of the first `size` entries.
    pub(super) fn prove(&self, size: u64, seq: u64) -> Result<Vec<B256>, JournalError> {
        let proof = tlog_tiles::prove_record(size, seq, &self.nodes)?;
        Ok(proof.into_iter().map(|hash| B256::from(hash.0)).collect())
    }

    /// Writes the tiles that this tree has and the tree of the first `old` entries had not.
    ///
    /// A tile that is already there is left alone, so that opening a journal costs reads only.
    /// Partial tiles go once their full tile is there, not earlier: the owner of an older
    /// checkpoint may still ask for them (C2SP tlog-tiles, "Partial Tiles").
    pub(super) fn write_tiles(&self, dir: &Path, old: u64) -> Result<(), JournalError> {
        for tile in Tile::new_tiles(HEIGHT, old, self.size) {
            let path = path_of(dir, &tile);
            let bytes = tile.read_data(&self.nodes)?;
            if files::read_if_there(&path)?.as_ref() == Some(&bytes) {
                continue;
            }
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(JournalError::io("create", parent))?;
            }
            files::replace(&path, &bytes)?;
            if tile.width() == 1 << HEIGHT {
                let partial = path.with_added_extension("p");
                match fs::remove_dir_all(&partial) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(JournalError::io("remove", &partial)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `tile/<level>/<index>[.p/<width>]`. The crate writes the height first, as Go's checksum
/// database does; C2SP's layout has only one height.
fn path_of(dir: &Path, tile: &Tile) -> PathBuf {
    let path = tile.path();
    match path.strip_prefix("tile/8/") {
        Some(rest) => dir.join("tile").join(rest),
        None => dir.join(path),
    }
}
