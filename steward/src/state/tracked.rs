//! A map by intent that knows what was changed since it was last looked at, so that neither the
//! index nor the hash of the whole state has to look at all of it.
//!
//! INVARIANT: a value can only be changed through a method that notes its key; reading goes through
//! `Deref` (pinned by `state::tests::the_hash_of_a_state_that_grew_is_the_hash_of_one_made_at_once`).

use alloy_primitives::B256;
use marque_policies::IntentId;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

/// The map.
#[derive(Clone, Debug)]
pub(super) struct Tracked<V> {
    map: BTreeMap<IntentId, V>,
    /// Changed since [`Tracked::take_changed`].
    changed: Touched<IntentId>,
    /// Changed since [`Tracked::hash`], by the first two bytes of the id.
    stale: Touched<u16>,
    /// Hashes of what begins with these two bytes, where there is something.
    hashes: BTreeMap<u16, B256>,
}

/// What was touched since somebody looked. Before anybody has, that is all there is, and noting it
/// one by one would be most of the work of reading a long journal.
#[derive(Clone, Debug)]
enum Touched<K> {
    All,
    These(BTreeSet<K>),
}

impl<K: Ord> Touched<K> {
    fn note(&mut self, key: K) {
        if let Self::These(keys) = self {
            keys.insert(key);
        }
    }
}

impl<V> Default for Tracked<V> {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            changed: Touched::All,
            stale: Touched::All,
            hashes: BTreeMap::new(),
        }
    }
}

impl<V> Deref for Tracked<V> {
    type Target = BTreeMap<IntentId, V>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<V: Serialize> Serialize for Tracked<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map.serialize(serializer)
    }
}

impl<V> Tracked<V> {
    /// All of it at once; nothing is hashed yet, and nothing counts as changed.
    pub(super) fn of(map: BTreeMap<IntentId, V>) -> Self {
        Self { map, changed: Touched::These(BTreeSet::new()), ..Self::default() }
    }

    fn note(&mut self, id: IntentId) {
        self.changed.note(id);
        self.stale.note(bucket(id));
    }

    pub(super) fn insert(&mut self, id: IntentId, value: V) -> Option<V> {
        self.note(id);
        self.map.insert(id, value)
    }

    pub(super) fn remove(&mut self, id: &IntentId) -> Option<V> {
        let gone = self.map.remove(id);
        if gone.is_some() {
            self.note(*id);
        }
        gone
    }

    pub(super) fn get_mut(&mut self, id: &IntentId) -> Option<&mut V> {
        if self.map.contains_key(id) {
            self.note(*id);
        }
        self.map.get_mut(id)
    }

    pub(super) fn or_default(&mut self, id: IntentId) -> &mut V
    where
        V: Default,
    {
        self.note(id);
        self.map.entry(id).or_default()
    }

    /// Takes everything as changed.
    pub(super) fn all_changed(&mut self) {
        if let Touched::These(changed) = &mut self.changed {
            changed.extend(self.map.keys());
        }
    }

    /// Which values were set or removed since this was last asked.
    pub(super) fn take_changed(&mut self) -> BTreeSet<IntentId> {
        match std::mem::replace(&mut self.changed, Touched::These(BTreeSet::new())) {
            Touched::All => self.map.keys().copied().collect(),
            Touched::These(changed) => changed,
        }
    }

    /// Takes everything as written.
    pub(super) fn settle(&mut self) {
        self.changed = Touched::These(BTreeSet::new());
    }
}

impl<V: Serialize> Tracked<V> {
    /// A hash of everything in it. Costs what was changed since the last time, and the neighbours
    /// of that.
    pub(super) fn hash(&mut self) -> serde_json::Result<B256> {
        // Until the end of this nothing is known to be hashed.
        let stale = match std::mem::replace(&mut self.stale, Touched::All) {
            Touched::These(stale) => stale,
            Touched::All => {
                self.hashes.clear();
                self.map.keys().copied().map(bucket).collect()
            }
        };
        let mut bytes = Vec::new();
        for bucket in stale {
            let mut hash = Sha256::new();
            let mut some = false;
            for (id, value) in self.map.range(first(bucket)..=last(bucket)) {
                bytes.clear();
                serde_json::to_writer(&mut bytes, value)?;
                hash.update(id.0);
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(&bytes);
                some = true;
            }
            if some {
                self.hashes.insert(bucket, B256::from_slice(&hash.finalize()));
            } else {
                self.hashes.remove(&bucket);
            }
        }
        self.stale = Touched::These(BTreeSet::new());
        let mut hash = Sha256::new();
        for (bucket, each) in &self.hashes {
            hash.update(bucket.to_be_bytes());
            hash.update(each);
        }
        Ok(B256::from_slice(&hash.finalize()))
    }
}

fn bucket(id: IntentId) -> u16 {
    id.0.first_chunk().map_or(0, |first| u16::from_be_bytes(*first))
}

fn first(bucket: u16) -> IntentId {
    bound(bucket, 0)
}

fn last(bucket: u16) -> IntentId {
    bound(bucket, 0xff)
}

fn bound(bucket: u16, rest: u8) -> IntentId {
    let mut bytes = B256::repeat_byte(rest);
    for (byte, of) in bytes.iter_mut().zip(bucket.to_be_bytes()) {
        *byte = of;
    }
    IntentId(bytes)
}
