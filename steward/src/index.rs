//! The index: the state as it stood at the newest checkpointed entry, in a store that may be
//! deleted at any time.
//!
//! The journal is the truth. A start loads the index, holds the hash of what it got against the
//! entry of the journal that attests it, and folds only what came after. So nothing that is in the
//! index is believed: it is recognised. On any doubt the folder is set aside and made again from
//! the entries.
//!
//! ```text
//! head                how many chunks the head has, and how many pages the archive; gone while a
//!                     large write is under way
//! head/<n>            everything but the intents, in chunks
//! archive/<n>         what was archived, in pages; the last word on an id holds
//! intent/<id>  debits/<id>
//! ```
//!
//! What is archived hardly ever changes again, and there is more of it than of all else. A record of
//! its own for each would be most of the work of making the index.

use crate::{
    error::StewardError,
    state::{Archived, Kind, Part, State},
};
use alloy_primitives::B256;
use marque_policies::IntentId;
use marque_store::{Backend, Store, StoreError, Write};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Indexes that were set aside, and stay.
const KEPT: usize = 2;

/// Writes that go into the store at a time.
const BATCH: usize = 4_096;

/// Bytes of the head in one value.
const CHUNK: usize = 60 * 1024;

/// Bytes of what is archived in one value, before the last of them.
const PAGE: usize = 16 * 1024;

const HEAD: &[u8] = b"head";
const ARCHIVE: &[u8] = b"archive";

/// The length of a part that is gone.
const GONE: u32 = u32::MAX;

/// Takes a part; says what is wrong with it.
type Take<'a> = dyn FnMut(IntentId, &[u8]) -> Result<(), String> + 'a;

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    dir: PathBuf,
    store: Box<dyn Store>,
}

/// The state at a checkpointed entry, as it is to be written.
#[derive(Debug)]
pub(crate) struct Mark {
    /// The number of that entry.
    pub(crate) seq: u64,
    pub(crate) head: Vec<u8>,
    /// What changed since the mark before; everything, for a new index.
    pub(crate) parts: Vec<Part>,
}

impl Index {
    /// Opens what is there.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        let store = marque_store::open(&dir, Backend::Sled)?;
        Ok(Self { dir, store })
    }

    /// Sets the folder aside and begins an empty one. The newest [`KEPT`] that were set aside stay,
    /// for whoever asks why; a disk that fails again and again is not filled with older ones.
    pub(crate) fn anew(dir: PathBuf) -> Result<Self, StewardError> {
        if dir.exists() {
            let mut aside = set_aside(&dir).map_err(StewardError::io("list", &dir))?;
            let next = aside.last().map_or(0, |newest| newest.saturating_add(1));
            let name = |n: u32| dir.with_extension(format!("doubtful-{n}"));
            fs::rename(&dir, name(next)).map_err(StewardError::io("set aside", &dir))?;
            aside.truncate((aside.len() + 1).saturating_sub(KEPT));
            for path in aside.into_iter().map(name) {
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::warn!(path = %path.display(), %error, "an old index stays");
                }
            }
        }
        Ok(Self::open(dir)?)
    }

    /// Where it lies.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// The state that it holds, to be held against the journal; `None` where it holds none yet. An
    /// error is a doubt, in words.
    pub(crate) fn load(&self) -> Result<Option<State>, String> {
        self.read().map_err(|error| error.to_string())?
    }

    fn read(&self) -> Result<Result<Option<State>, String>, StoreError> {
        let seq = self.store.high_water()?;
        let Some(extent) = self.store.get(HEAD)? else {
            return Ok(match seq {
                0 if self.begun()? => Err("its first write was not finished".to_owned()),
                0 => Ok(None),
                seq => Err(format!("it has read {seq} entries and does not say what came of them")),
            });
        };
        let Some(extent) = Extent::read(&extent) else {
            return Ok(Err("it was written by another version".to_owned()));
        };
        let mut head = Vec::new();
        for n in 0..extent.chunks {
            let Some(chunk) = self.store.get(&numbered(HEAD, n))? else {
                return Ok(Err("a part of its head is missing".to_owned()));
            };
            head.extend(chunk);
        }
        let mut state = match State::of_head(&head) {
            Ok(Some(state)) => state,
            Ok(None) => return Ok(Err("it was written by another version".to_owned())),
            Err(why) => return Ok(Err(format!("its head cannot be read: {why}"))),
        };
        if state.next() != seq {
            return Ok(Err("its head and its high-water mark are not of the same time".to_owned()));
        }
        // Most of a start is reading these; the archived ones are about as many as all others.
        let archived = std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.archive(extent.pages));
            for kind in [Kind::Intent, Kind::Debits] {
                let mut take = |id, bytes: &[u8]| state.set_part(kind, id, bytes);
                if let Err(why) = self.each(kind, &mut take)? {
                    return Ok(Err(why));
                }
            }
            reader.join().unwrap_or_else(|_| Ok(Err("reading it failed".to_owned())))
        })?;
        match archived {
            Ok(archived) => state.set_archive(archived),
            Err(why) => return Ok(Err(why)),
        }
        state.settle_parts();
        Ok(Ok(Some(state)))
    }

    /// Whether there is anything of an intent. A large write begins with the lowest ids.
    fn begun(&self) -> Result<bool, StoreError> {
        for prefix in [[name(Kind::Intent), &[0]].concat(), [name(Kind::Debits), &[0]].concat()] {
            if !self.store.scan(&prefix)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(self.store.get(&numbered(ARCHIVE, 0))?.is_some())
    }

    /// Everything archived.
    fn archive(
        &self,
        pages: u32,
    ) -> Result<Result<BTreeMap<IntentId, Archived>, String>, StoreError> {
        let mut archive = BTreeMap::new();
        for n in 0..pages {
            let Some(page) = self.store.get(&numbered(ARCHIVE, n))? else {
                return Ok(Err("a page of its archive is missing".to_owned()));
            };
            if let Err(why) = turn(&page, &mut archive) {
                return Ok(Err(format!("page {n} of its archive cannot be read: {why}")));
            }
        }
        Ok(Ok(archive))
    }

    /// Visits all parts of one kind; says what is wrong with them.
    fn each(&self, kind: Kind, take: &mut Take<'_>) -> Result<Result<(), String>, StoreError> {
        // In slices: the store answers a whole prefix at a time.
        for byte in 0..=u8::MAX {
            let prefix = [name(kind), &[byte]].concat();
            for (key, bytes) in self.store.scan(&prefix)? {
                let id = key.get(name(kind).len()..).and_then(|id| B256::try_from(id).ok());
                let Some(id) = id.map(IntentId) else {
                    return Ok(Err("it has a key that is no intent".to_owned()));
                };
                if let Err(why) = take(id, &bytes) {
                    return Ok(Err(format!("what it has of {id} cannot be read: {why}")));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes a mark, and waits until it is on the disk.
    pub(crate) fn write(&self, mark: Mark) -> Result<(), StoreError> {
        // Most of what ever was has gone since; a new index never had it.
        let new = self.store.high_water()? == 0;
        let before = self.store.get(HEAD)?.as_deref().and_then(Extent::read).unwrap_or_default();
        let mut extent = Extent { chunks: 0, pages: before.pages };
        let mut writes = Vec::new();
        let mut page = Vec::new();
        for (kind, id, bytes) in
            mark.parts.into_iter().filter(|(.., bytes)| !new || bytes.is_some())
        {
            if kind != Kind::Archived {
                writes.push(([name(kind), id.0.as_slice()].concat(), bytes));
                continue;
            }
            append(&mut page, id, bytes.as_deref());
            if page.len() >= PAGE {
                extent.page(&mut writes, &mut page);
            }
        }
        if !page.is_empty() {
            extent.page(&mut writes, &mut page);
        }
        if writes.len() > BATCH {
            // More than one batch is not one step: a start in between must find nothing.
            self.store.put_batch(&[(HEAD.to_vec(), None)])?;
        }
        while writes.len() > BATCH {
            let rest = writes.split_off(BATCH);
            self.store.put_batch(&writes)?;
            writes = rest;
        }
        for bytes in mark.head.chunks(CHUNK) {
            writes.push((numbered(HEAD, extent.chunks), Some(bytes.to_vec())));
            extent.chunks += 1;
        }
        writes.push((HEAD.to_vec(), Some(extent.bytes())));
        self.store.put_with_high_water(&writes, mark.seq)?;
        self.store.flush()
    }
}

/// How much there is of what lies in numbered values.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    chunks: u32,
    pages: u32,
}

impl Extent {
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.as_chunks::<4>() {
            (&[chunks, pages], []) => {
                let [chunks, pages] = [chunks, pages].map(u32::from_be_bytes);
                Some(Self { chunks, pages })
            }
            _ => None,
        }
    }

    fn bytes(self) -> Vec<u8> {
        [self.chunks, self.pages].map(u32::to_be_bytes).concat()
    }

    /// Ends a page.
    fn page(&mut self, writes: &mut Vec<Write>, page: &mut Vec<u8>) {
        writes.push((numbered(ARCHIVE, self.pages), Some(std::mem::take(page))));
        self.pages += 1;
    }
}

/// Adds a part to a page: `id | length u32 | bytes`, big-endian.
fn append(page: &mut Vec<u8>, id: IntentId, bytes: Option<&[u8]>) {
    page.extend(id.0);
    let length = bytes.map_or(GONE, |bytes| u32::try_from(bytes.len()).unwrap_or(GONE));
    page.extend(length.to_be_bytes());
    page.extend(bytes.unwrap_or_default());
}

/// Does to the archive what a page says.
fn turn(mut page: &[u8], archive: &mut BTreeMap<IntentId, Archived>) -> Result<(), String> {
    let short = || "it ends in the middle of a part".to_owned();
    while !page.is_empty() {
        let (id, rest) = page.split_first_chunk::<32>().ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let id = IntentId(B256::from(id));
        page = match u32::from_be_bytes(*length) {
            GONE => {
                archive.remove(&id);
                rest
            }
            length => {
                let (bytes, rest) = usize::try_from(length)
                    .ok()
                    .and_then(|length| rest.split_at_checked(length))
                    .ok_or_else(short)?;
                archive.insert(id, Archived::read(bytes)?);
                rest
            }
        };
    }
    Ok(())
}

const fn name(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Intent => b"intent/",
        Kind::Debits => b"debits/",
        Kind::Archived => ARCHIVE,
    }
}

/// The numbers of the indexes that were set aside, from the oldest.
fn set_aside(dir: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    if let (Some(home), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str()))
    {
        for entry in fs::read_dir(home)? {
            let other = entry?.file_name();
            let number = other.to_str().and_then(|other| {
                other.strip_prefix(name)?.strip_prefix(".doubtful-")?.parse().ok()
            });
            found.extend::<Option<u32>>(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn numbered(of: &[u8], n: u32) -> Vec<u8> {
    [of, b"/", &n.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_steward_client::PaymentState;

    fn part(entry: u64) -> Archived {
        let (at, body, state) = (1, B256::repeat_byte(7), PaymentState::Final);
        Archived { enrolled: 2, entry, at, body, state, sub_agent: None, payment: None }
    }

    fn id(n: u8) -> IntentId {
        IntentId(B256::repeat_byte(n))
    }

    #[test]
    fn the_last_word_on_what_is_archived_holds() {
        let mut page = Vec::new();
        let bytes = |entry| serde_json::to_vec(&part(entry)).unwrap();
        append(&mut page, id(1), Some(&bytes(10)));
        append(&mut page, id(2), Some(&bytes(20)));
        append(&mut page, id(2), Some(&bytes(21)));
        append(&mut page, id(1), None);
        let mut archive = BTreeMap::from([(id(3), part(30))]);
        turn(&page, &mut archive).unwrap();
        assert_eq!(archive, BTreeMap::from([(id(2), part(21)), (id(3), part(30))]));
        for cut in [1, 31, 35, 36, page.len() - 1] {
            assert!(turn(&page[..cut], &mut archive).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_newest_doubtful_indexes_stay_and_older_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        fs::create_dir(&index).unwrap();
        for n in 0..4 {
            drop(Index::anew(index.clone()).unwrap());
            let aside = set_aside(&index).unwrap();
            assert_eq!(aside.last(), Some(&n));
            assert_eq!(aside.len(), KEPT.min(usize::try_from(n).unwrap() + 1));
        }
    }
}
