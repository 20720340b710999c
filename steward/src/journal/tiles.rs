//! The tree's older nodes, in C2SP tiles on disk.
//!
//! Tiles are derived and are believed only as far as a root says so: an edge that is taken from
//! them must lead to the signed root, and a proof that is made from them is checked before it is
//! handed out. What is missing or wrong is made again from the entries.

use super::error::JournalError;
use super::files;
use super::tree::{self, HEIGHT, Place, Tree, WIDTH};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tlog_tiles::{Error, Hash, HashReader};

/// Tiles that a reader keeps expanded at most: 16 KiB each.
const KEPT: usize = 64;

/// Writes the tiles that the tree has and the disk may not have. One that is there and right is
/// left alone. Partial tiles go once their full tile is there, not earlier: the owner of an older
/// checkpoint may still ask for them (C2SP tlog-tiles, "Partial Tiles").
pub(super) fn write(dir: &Path, tree: &mut Tree) -> Result<(), JournalError> {
    let full = tree.take_full();
    if let Err(error) = write_full(dir, &full) {
        tree.give_back(full);
        return Err(error);
    }
    for (place, hashes) in tree.partial() {
        put(dir, &tree::name(place, hashes.len()), hashes)?;
    }
    Ok(())
}

/// Writes full tiles, and says how many were missing or wrong.
pub(super) fn write_full(dir: &Path, tiles: &[(Place, Vec<Hash>)]) -> Result<u64, JournalError> {
    let mut mended = 0;
    for (place, hashes) in tiles {
        let name = tree::name(*place, WIDTH);
        mended += u64::from(put(dir, &name, hashes)?);
        files::remove_folder(&dir.join(name).with_added_extension("p"))?;
    }
    Ok(mended)
}

/// Writes one tile, if it is not there as it should be; says whether it was not.
fn put(dir: &Path, name: &str, hashes: &[Hash]) -> Result<bool, JournalError> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    // Made or not, none of its folders is a link.
    files::make_folder(dir, Path::new(name).parent().unwrap_or(Path::new("")))?;
    let path = dir.join(name);
    if files::read_if_there(&path)?.as_ref() == Some(&bytes) {
        return Ok(false);
    }
    files::replace(&path, &bytes)?;
    Ok(true)
}

/// The tree of the first `size` entries as the tiles have it, to be held against a root; `None`
/// where a tile is missing or too short.
pub(super) fn edge(dir: &Path, size: u64) -> Result<Option<Tree>, JournalError> {
    let mut growing = Vec::new();
    for (place, width) in tree::growing(size) {
        let Some(hashes) = read(dir, place, width)? else { return Ok(None) };
        growing.push(hashes);
    }
    Ok(Some(Tree::of_tiles(size, growing)))
}

/// The first `width` hashes of a tile: from its full file, from the partial one of this width, or
/// from a wider one.
fn read(dir: &Path, place: Place, width: usize) -> Result<Option<Vec<Hash>>, JournalError> {
    if width == 0 {
        return Ok(Some(Vec::new()));
    }
    let full = dir.join(tree::name(place, WIDTH));
    let mut paths = vec![full.clone()];
    if width < WIDTH {
        paths.insert(0, dir.join(tree::name(place, width)));
    }
    for path in paths {
        if let Some(hashes) = first_of(&path, width)? {
            return Ok(Some(hashes));
        }
    }
    let partial = full.with_added_extension("p");
    let wider = fs::read_dir(&partial).into_iter().flatten().flatten().filter_map(|file| {
        let wide = file.file_name().to_str()?.parse::<usize>().ok()?;
        (wide > width).then(|| file.path())
    });
    for path in wider.collect::<Vec<PathBuf>>() {
        if let Some(hashes) = first_of(&path, width)? {
            return Ok(Some(hashes));
        }
    }
    Ok(None)
}

fn first_of(path: &Path, width: usize) -> Result<Option<Vec<Hash>>, JournalError> {
    let Some(bytes) = files::read_if_there(path)? else { return Ok(None) };
    let (hashes, _) = bytes.as_chunks::<32>();
    Ok(hashes.get(..width).map(|hashes| hashes.iter().map(|hash| Hash(*hash)).collect()))
}

/// A tile with the nodes inside it: `[0]` its hashes, `[k]` those k levels above, as far as they
/// are complete.
type Expanded = Vec<Vec<Hash>>;

/// The nodes of a tree of fixed size, from tiles on disk.
#[derive(Debug)]
pub(super) struct Nodes {
    dir: PathBuf,
    size: u64,
    kept: RefCell<BTreeMap<Place, Rc<Expanded>>>,
}

impl Nodes {
    pub(super) fn new(dir: &Path, size: u64) -> Self {
        Self { dir: dir.to_owned(), size, kept: RefCell::default() }
    }

    fn tile(&self, place: Place) -> Result<Rc<Expanded>, Error> {
        if let Some(tile) = self.kept.borrow().get(&place) {
            return Ok(Rc::clone(tile));
        }
        let (level, index) = place;
        let nodes = self.size >> (HEIGHT * level);
        let width = nodes.saturating_sub(index << HEIGHT).min(WIDTH as u64);
        let width = usize::try_from(width).map_err(|_| Error::InvalidTile)?;
        let hashes = read(&self.dir, place, width).ok().flatten();
        let mut expanded = vec![hashes.ok_or(Error::InvalidTile)?];
        while let Some(below) = expanded.last().filter(|below| below.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| tlog_tiles::node_hash(*left, *right));
            let above = above.collect();
            expanded.push(above);
        }
        let tile = Rc::new(expanded);
        let mut kept = self.kept.borrow_mut();
        // The lowest tiles are the many; the few above them serve every proof.
        if kept.len() >= KEPT {
            kept.pop_first();
        }
        kept.insert(place, Rc::clone(&tile));
        Ok(tile)
    }
}

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let node = |&index: &u64| {
            let (level, n) = tlog_tiles::split_stored_hash_index(index);
            let (above, within) = (level / HEIGHT, level % HEIGHT);
            let place = (above, n << within >> HEIGHT);
            let at = n - (place.1 << HEIGHT >> within);
            let tile = self.tile(place)?;
            let row = tile.get(usize::from(within));
            let at = usize::try_from(at).map_err(|_| Error::IndexesNotInTree)?;
            row.and_then(|row| row.get(at)).copied().ok_or(Error::IndexesNotInTree)
        };
        indexes.iter().map(node).collect()
    }
}
