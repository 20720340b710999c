//! The right edge of the RFC 6962 tree over the entries: what an append and the root need.
//!
//! Older nodes are not kept. They lie in the C2SP tiles ([`super::tiles`]), and can be made again
//! from the entries at any time.

use alloy_primitives::B256;
use tlog_tiles::{Hash, Tile};

/// Height of a C2SP tile: 256 hashes wide.
pub(super) const HEIGHT: u8 = 8;
pub(super) const WIDTH: usize = 1 << HEIGHT;

/// A tile's place: its level, and its index in it.
pub(super) type Place = (u8, u64);

/// A growing tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    size: u64,
    /// Roots of the complete subtrees, largest first: one for each bit of the size.
    edge: Vec<Hash>,
    /// By tile level, the hashes of the tile that is not full yet.
    growing: Vec<Vec<Hash>>,
    /// Tiles that became full and nobody has taken, where they are wanted.
    full: Option<Vec<(Place, Vec<Hash>)>>,
}

impl Tree {
    /// An empty tree that keeps its full tiles for [`Self::take_full`].
    pub(super) fn with_tiles() -> Self {
        Self { full: Some(Vec::new()), ..Self::default() }
    }

    /// The tree of `size` entries whose growing tiles are these, lowest level first. They prove
    /// nothing until the root does.
    pub(super) fn of_tiles(size: u64, growing: Vec<Vec<Hash>>) -> Self {
        let mut edge = Vec::new();
        for tile in growing.iter().rev() {
            let mut rest = tile.as_slice();
            for bit in (0..HEIGHT).rev() {
                if tile.len() & (1 << bit) != 0
                    && let Some((subtree, behind)) = rest.split_at_checked(1 << bit)
                {
                    edge.push(subtree_hash(subtree));
                    rest = behind;
                }
            }
        }
        Self { size, edge, growing, full: Some(Vec::new()) }
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: &[u8]) {
        self.push_hash(tlog_tiles::record_hash(entry));
    }

    /// Adds the hash of an entry.
    pub(super) fn push_hash(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut level = 0;
        self.note(level, hash);
        while self.size >> level & 1 == 1 {
            // A bit of the size is a subtree of the edge.
            let Some(left) = self.edge.pop() else { break };
            hash = tlog_tiles::node_hash(left, hash);
            level += 1;
            if level % HEIGHT == 0 {
                self.note(level / HEIGHT, hash);
            }
        }
        self.edge.push(hash);
        self.size += 1;
    }

    fn note(&mut self, level: u8, hash: Hash) {
        let at = usize::from(level);
        if self.growing.len() <= at {
            self.growing.resize_with(at + 1, Vec::new);
        }
        let Some(tile) = self.growing.get_mut(at) else { return };
        tile.push(hash);
        if tile.len() == WIDTH {
            let tile = std::mem::take(tile);
            if let Some(full) = &mut self.full {
                // The entry that fills it is not counted yet.
                full.push(((level, self.size >> (HEIGHT * (level + 1))), tile));
            }
        }
    }

    /// Number of entries.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Root of all entries.
    pub(super) fn root(&self) -> B256 {
        let mut subtrees = self.edge.iter().rev().copied();
        let root = subtrees.next().map_or(tlog_tiles::EMPTY_HASH, |smallest| {
            subtrees.fold(smallest, |right, left| tlog_tiles::node_hash(left, right))
        });
        B256::from(root.0)
    }

    /// The tiles that became full since they were last taken.
    pub(super) fn take_full(&mut self) -> Vec<(Place, Vec<Hash>)> {
        self.full.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Gives back tiles that could not be written.
    pub(super) fn give_back(&mut self, mut tiles: Vec<(Place, Vec<Hash>)>) {
        if let Some(full) = &mut self.full {
            tiles.append(full);
            *full = tiles;
        }
    }

    /// The tiles that are not full, with something in them.
    pub(super) fn partial(&self) -> impl Iterator<Item = (Place, &[Hash])> {
        (0..).zip(&self.growing).filter(|(_, tile)| !tile.is_empty()).map(|(level, tile)| {
            let index = self.size.checked_shr(u32::from(HEIGHT) * (u32::from(level) + 1));
            ((level, index.unwrap_or(0)), tile.as_slice())
        })
    }
}

/// The root of a complete subtree of 2^k hashes.
pub(super) fn subtree_hash(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => tlog_tiles::EMPTY_HASH,
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            tlog_tiles::node_hash(subtree_hash(left), subtree_hash(right))
        }
    }
}

/// What the growing tiles of a tree of `size` entries are: place and width, lowest level first.
pub(super) fn growing(size: u64) -> impl Iterator<Item = (Place, usize)> {
    (0_u8..8).map_while(move |level| {
        let nodes = size >> (HEIGHT * level);
        let index = nodes >> HEIGHT;
        let width = usize::try_from(nodes - (index << HEIGHT)).unwrap_or(0);
        (nodes > 0).then_some(((level, index), width))
    })
}

/// The C2SP name of a tile's file, below the journal's folder.
pub(super) fn name(place: Place, width: usize) -> String {
    let (level, index) = place;
    let width = u32::try_from(width).unwrap_or(0);
    // The crate writes the height first, as Go's checksum database does; C2SP has only one height.
    Tile::new(HEIGHT, level, index, width, false).path().replacen("tile/8/", "tile/", 1)
}
