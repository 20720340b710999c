//! The index: intents as they stand, by id, in a store that may be deleted at any time.
//!
//! The journal is the truth. At start the index is compared with the fold of the journal: what
//! is missing is added, and on any doubt the folder is set aside and made again. Nothing decides
//! by the index.

use crate::{error::StewardError, state::State};
use marque_policies::IntentId;
use marque_store::{Backend, Store, StoreError};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Keys of intents begin with this.
const INTENT: &[u8] = b"intent/";

/// Writes that go into the store at a time.
const BATCH: usize = 512;

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    dir: PathBuf,
    store: Box<dyn Store>,
}

impl Index {
    /// Opens the index and brings it up to `state`; says why, where it had to be made again.
    pub(crate) fn open(
        dir: PathBuf,
        state: &State,
    ) -> Result<(Self, Option<String>), StewardError> {
        let doubt = match marque_store::open(&dir, Backend::Sled) {
            Ok(store) => {
                let index = Self { dir: dir.clone(), store };
                match index.catch_up(state) {
                    Ok(None) => return Ok((index, None)),
                    Ok(Some(doubt)) => doubt,
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        Ok((Self::anew(dir, state)?, Some(doubt)))
    }

    /// Sets the folder aside and makes it again.
    pub(crate) fn anew(dir: PathBuf, state: &State) -> Result<Self, StewardError> {
        let aside = (0_u32..)
            .map(|n| dir.with_extension(format!("doubtful-{n}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| dir.with_extension("doubtful"));
        if dir.exists() {
            fs::rename(&dir, &aside).map_err(StewardError::io("set aside", &dir))?;
        }
        let store = marque_store::open(&dir, Backend::Sled)?;
        let index = Self { dir, store };
        let ids: Vec<IntentId> = state.intents().keys().copied().collect();
        for ids in ids.chunks(BATCH) {
            index.write(state, ids, 0)?;
        }
        index.store.put_with_high_water(&[], state.next())?;
        index.store.flush()?;
        Ok(index)
    }

    /// Where it lies.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// Notes how these intents stand now.
    pub(crate) fn update(&self, state: &State, ids: &[IntentId]) -> Result<(), StoreError> {
        self.write(state, ids, state.next())
    }

    /// Waits until all is on the disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    /// Compares every record with the fold; adds what the index has not heard of yet, and answers
    /// a doubt where it says something else.
    fn catch_up(&self, state: &State) -> Result<Option<String>, StoreError> {
        let high = self.store.high_water()?;
        if high > state.next() {
            let next = state.next();
            return Ok(Some(format!("it has read {high} entries of a journal of {next}")));
        }
        let mut behind = Vec::new();
        for id in state.intents().keys() {
            if self.store.get(&key(*id))? != Some(value(state, *id)) {
                behind.push(*id);
            }
        }
        if high == state.next() && !behind.is_empty() {
            return Ok(Some(format!("{} of its records are not the journal's", behind.len())));
        }
        let known = self.store.scan(INTENT)?;
        let strange = known.iter().filter(|(found, _)| {
            let id =
                found.get(INTENT.len()..).and_then(|id| alloy_primitives::B256::try_from(id).ok());
            id.is_none_or(|id| state.intent(IntentId(id)).is_none())
        });
        let strange = strange.count();
        if strange > 0 {
            return Ok(Some(format!("it has {strange} records that the journal has not")));
        }
        for ids in behind.chunks(BATCH) {
            self.write(state, ids, high)?;
        }
        self.store.put_with_high_water(&[], state.next())?;
        Ok(None)
    }

    fn write(&self, state: &State, ids: &[IntentId], seq: u64) -> Result<(), StoreError> {
        let writes: Vec<_> = ids.iter().map(|id| (key(*id), Some(value(state, *id)))).collect();
        self.store.put_with_high_water(&writes, seq)
    }
}

/// All that an index of this state holds, for who compares without being its writer.
pub(crate) fn expected(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    state.intents().keys().map(|id| (key(*id), value(state, *id))).collect()
}

fn key(id: IntentId) -> Vec<u8> {
    [INTENT, id.0.as_slice()].concat()
}

fn value(state: &State, id: IntentId) -> Vec<u8> {
    // Texts and integers: it always serialises.
    state
        .intent(id)
        .and_then(|record| serde_json_canonicalizer::to_vec(record).ok())
        .unwrap_or_default()
}
