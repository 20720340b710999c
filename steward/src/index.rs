//! The index: the state as it stood at the newest checkpointed entry, in a store that may be
//! deleted at any time.
//!
//! The journal is the truth. A start loads the index, holds the hash of what it got against the
//! entry of the journal that attests it, and folds only what came after. So nothing that is in the
//! index is believed: it is recognised. On any doubt the folder is set aside and made again from
//! the entries.
//!
//! ```text
//! head                how many chunks the head has; gone while a large write is under way
//! head/<n>            everything but the intents, in chunks
//! intent/<id>  debits/<id>  archived/<id>
//! ```

use crate::{
    error::StewardError,
    state::{Archived, Kind, Part, State},
};
use alloy_primitives::B256;
use marque_policies::IntentId;
use marque_store::{Backend, Store, StoreError};
use std::{fs, path::PathBuf};

/// Writes that go into the store at a time.
const BATCH: usize = 4_096;

/// Bytes of the head in one value.
const CHUNK: usize = 60 * 1024;

const HEAD: &[u8] = b"head";

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

    /// Sets the folder aside and begins an empty one.
    pub(crate) fn anew(dir: PathBuf) -> Result<Self, StewardError> {
        let aside = (0_u32..)
            .map(|n| dir.with_extension(format!("doubtful-{n}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| dir.with_extension("doubtful"));
        if dir.exists() {
            fs::rename(&dir, &aside).map_err(StewardError::io("set aside", &dir))?;
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
        let Some(chunks) = self.store.get(HEAD)? else {
            return Ok(match seq {
                0 if self.begun()? => Err("its first write was not finished".to_owned()),
                0 => Ok(None),
                seq => Err(format!("it has read {seq} entries and does not say what came of them")),
            });
        };
        let count = <[u8; 4]>::try_from(chunks.as_slice()).map_or(0, u32::from_be_bytes);
        let mut head = Vec::new();
        for n in 0..count {
            let Some(chunk) = self.store.get(&chunk(n))? else {
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
            let reader = scope.spawn(|| self.archived());
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
        for kind in [Kind::Intent, Kind::Debits, Kind::Archived] {
            if !self.store.scan(&[name(kind), &[0]].concat())?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything archived.
    fn archived(&self) -> Result<Result<Vec<(IntentId, Archived)>, String>, StoreError> {
        let mut found = Vec::new();
        let taken = self.each(Kind::Archived, &mut |id, bytes| {
            found.push((id, Archived::read(bytes)?));
            Ok(())
        })?;
        Ok(taken.map(|()| found))
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
    pub(crate) fn write(&self, mark: &Mark) -> Result<(), StoreError> {
        // Most of what ever was has gone since; a new index never had it.
        let new = self.store.high_water()? == 0;
        let parts: Vec<_> =
            mark.parts.iter().filter(|(.., bytes)| !new || bytes.is_some()).collect();
        let mut batches = parts.chunks(BATCH).peekable();
        if parts.len() > BATCH {
            // More than one batch is not one step: a start in between must find nothing.
            self.store.put_batch(&[(HEAD.to_vec(), None)])?;
        }
        let mut last = Vec::new();
        while let Some(parts) = batches.next() {
            let writes = parts.iter().map(|(kind, id, bytes)| (key(*kind, *id), bytes.clone()));
            if batches.peek().is_some() {
                self.store.put_batch(&writes.collect::<Vec<_>>())?;
            } else {
                last.extend(writes);
            }
        }
        let mut count = 0_u32;
        for bytes in mark.head.chunks(CHUNK) {
            last.push((chunk(count), Some(bytes.to_vec())));
            count += 1;
        }
        last.push((HEAD.to_vec(), Some(count.to_be_bytes().to_vec())));
        self.store.put_with_high_water(&last, mark.seq)?;
        self.store.flush()
    }
}

const fn name(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Intent => b"intent/",
        Kind::Debits => b"debits/",
        Kind::Archived => b"archived/",
    }
}

fn key(kind: Kind, id: IntentId) -> Vec<u8> {
    [name(kind), id.0.as_slice()].concat()
}

fn chunk(n: u32) -> Vec<u8> {
    [HEAD, b"/", &n.to_be_bytes()].concat()
}
