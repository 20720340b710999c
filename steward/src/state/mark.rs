//! The state as it is kept beside the journal, so that a start need not fold everything: its hash,
//! which the journal attests, and its parts, which the index holds.
//!
//! Parts prove nothing. They are believed once the state that is made of them has the hash that an
//! entry of the journal says.

use crate::{
    error::StewardError,
    state::{
        Account, Archived, Frozen, Record, Rotated, State, debits::Debits, totals::Totals,
        tracked::Tracked,
    },
};
use alloy_primitives::B256;
use marque_policies::{IntentId, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Rises whenever the same entries give a state that serialises otherwise. An index of another
/// format is made again.
pub const STATE_FORMAT: u16 = 1;

/// A part of the state that changed: which kind, of which intent, and its bytes unless it is gone.
pub(crate) type Part = (Kind, IntentId, Option<Vec<u8>>);

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A [`Record`].
    Intent,
    /// What an intent debited.
    Debits,
    /// An [`Archived`].
    Archived,
}

/// Everything but what there is of each intent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u16,
    genesis: Option<crate::entry::Genesis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotated: Option<Rotated>,
    next: u64,
    time: Timestamp,
    frozen: Option<Frozen>,
    agents: BTreeMap<String, Account>,
    totals: Totals,
}

impl State {
    fn head(&self) -> Head {
        // Named one by one: a field that is added has to be kept somewhere, or this does not
        // compile. What is recalled says nothing that the journal does not.
        let Self {
            genesis,
            rotated,
            next,
            time,
            frozen,
            agents,
            debits,
            intents: _,
            archive: _,
            recalled: _,
        } = self;
        Head {
            format: STATE_FORMAT,
            genesis: genesis.clone(),
            rotated: *rotated,
            next: *next,
            time: *time,
            frozen: frozen.clone(),
            agents: agents.clone(),
            totals: debits.totals.clone(),
        }
    }

    /// The hash of the whole state, which a checkpointed entry attests. Costs what has changed
    /// since it was last asked, not the size of the state.
    ///
    /// # Errors
    /// [`StewardError::Entry`] where the state does not serialise; a defect.
    pub fn seal(&mut self) -> Result<B256, StewardError> {
        let next = self.next;
        let wrong = |error: serde_json::Error| StewardError::Entry {
            seq: next,
            why: format!("the state before it does not serialise: {error}"),
        };
        let head = serde_json::to_vec(&self.head()).map_err(wrong)?;
        let mut hash = Sha256::new();
        hash.update(b"marque/state/v1");
        hash.update(Sha256::digest(head));
        let Self { intents, debits, archive, .. } = self;
        // After a start all of it is hashed, and half of that is what is archived.
        let parts = std::thread::scope(|scope| {
            let archive = scope.spawn(|| archive.hash());
            let (intents, debits) = (intents.hash(), debits.tracked().hash());
            let died = |_| Err(serde::ser::Error::custom("the thread that hashes died"));
            [intents, debits, archive.join().unwrap_or_else(died)]
        });
        for part in parts {
            hash.update(part.map_err(wrong)?);
        }
        Ok(B256::from_slice(&hash.finalize()))
    }

    /// The head's bytes.
    pub(crate) fn head_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.head())
    }

    /// What changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> serde_json::Result<Vec<Part>> {
        let mut parts = Vec::new();
        for id in self.intents.take_changed() {
            parts.push((Kind::Intent, id, bytes(self.intents.get(&id))?));
        }
        for id in self.debits.tracked().take_changed() {
            parts.push((Kind::Debits, id, bytes(self.debits.rows().get(&id))?));
        }
        for id in self.archive.take_changed() {
            parts.push((Kind::Archived, id, bytes(self.archive.get(&id))?));
        }
        Ok(parts)
    }

    /// The state of a head, without anything of any intent; `None` for another format.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn of_head(head: &[u8]) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u16,
        }
        let said: Format = read(head)?;
        if said.format != STATE_FORMAT {
            return Ok(None);
        }
        let head: Head = read(head)?;
        // Every field by its name: what is forgotten here would be lost at each start.
        let Head { format: _, genesis, rotated, next, time, frozen, agents, totals } = head;
        Ok(Some(Self {
            genesis,
            rotated,
            next,
            time,
            frozen,
            agents,
            intents: Tracked::default(),
            debits: Debits::of_totals(totals),
            archive: Tracked::default(),
            recalled: BTreeMap::new(),
        }))
    }

    /// Adds what there is of an intent.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn set_part(
        &mut self,
        kind: Kind,
        id: IntentId,
        bytes: &[u8],
    ) -> Result<(), String> {
        match kind {
            Kind::Intent => drop(self.intents.insert(id, read::<Record>(bytes)?)),
            Kind::Debits => self.debits.set(id, read(bytes)?),
            Kind::Archived => drop(self.archive.insert(id, read::<Archived>(bytes)?)),
        }
        Ok(())
    }

    /// Sets everything that is archived, which is a lot.
    pub(crate) fn set_archive(&mut self, archived: BTreeMap<IntentId, Archived>) {
        self.archive = Tracked::of(archived);
    }

    /// Makes now what the first payment would wait for.
    pub(crate) fn prepare(&self) {
        self.debits.prepare();
    }

    /// Takes everything as changed: it is written whole.
    pub(crate) fn all_changed(&mut self) {
        self.intents.all_changed();
        self.debits.tracked().all_changed();
        self.archive.all_changed();
    }

    /// Takes everything as written: nothing has changed.
    pub(crate) fn settle_parts(&mut self) {
        self.intents.settle();
        self.debits.tracked().settle();
        self.archive.settle();
    }
}

impl Archived {
    /// As the index keeps it.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        read(bytes)
    }
}

fn bytes<T: Serialize>(value: Option<&T>) -> serde_json::Result<Option<Vec<u8>>> {
    value.map(serde_json::to_vec).transpose()
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
