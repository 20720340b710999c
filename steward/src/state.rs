//! The ledger: a fold over the journal's entries, and nothing else.
//!
//! [`State::apply`] takes one entry after the other. What an entry may not do at this point is an
//! error, so a journal that folds is a journal that makes sense. No clock and no chain in here.
//!
//! INVARIANT: the same entries give the same state, to the last bit of [`State::hash`] (pinned by
//! `tests/laws.rs`, `a_replay_of_the_journal_rebuilds_the_same_state`).

mod account;
mod apply;
mod debits;
mod record;
mod view;

pub use account::{Account, Adopted};
pub use debits::{Debit, Debits, Standing};
pub use record::{Approval, Record};
pub use view::Ledger;

use crate::entry::Genesis;
use alloy_primitives::{Address, B256};
use marque_policies::{IntentId, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A held intent waits so long for its owner, in milliseconds; then it is closed.
pub const HELD_FOR: Timestamp = 24 * 3_600 * 1_000;

/// Everything that a steward knows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    genesis: Option<Genesis>,
    next: u64,
    time: Timestamp,
    frozen: Option<Frozen>,
    agents: BTreeMap<String, Account>,
    intents: BTreeMap<IntentId, Record>,
    debits: Debits,
}

/// Why nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// The entry that a thaw must name.
    pub seq: u64,
    /// `mind` or `steward`.
    pub by: String,
    /// In the speaker's words.
    pub reason: String,
    /// Whose account nonce was ahead, and how far, where that was the reason.
    pub nonce: Option<(String, u64)>,
}

impl State {
    /// How the journal began.
    #[must_use]
    pub const fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_ref()
    }

    /// The owner in force.
    #[must_use]
    pub fn owner(&self) -> Option<Address> {
        self.genesis.as_ref().map(|genesis| genesis.owner)
    }

    /// The sequence number of the next entry: how many there are.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The time of the last entry.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Time as a steward counts it: the wall clock, and never before the last entry.
    #[must_use]
    pub fn now(&self, wall: Timestamp) -> Timestamp {
        self.time.max(wall)
    }

    /// Why nothing is signed, if nothing is.
    #[must_use]
    pub const fn frozen(&self) -> Option<&Frozen> {
        self.frozen.as_ref()
    }

    /// The agents by name.
    #[must_use]
    pub const fn agents(&self) -> &BTreeMap<String, Account> {
        &self.agents
    }

    /// One agent.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&Account> {
        self.agents.get(name)
    }

    /// One intent.
    #[must_use]
    pub fn intent(&self, id: IntentId) -> Option<&Record> {
        self.intents.get(&id)
    }

    /// All intents.
    #[must_use]
    pub const fn intents(&self) -> &BTreeMap<IntentId, Record> {
        &self.intents
    }

    /// All debits.
    #[must_use]
    pub const fn debits(&self) -> &Debits {
        &self.debits
    }

    /// How many intents of an agent wait for the owner.
    #[must_use]
    pub fn held(&self, agent: &str, now: Timestamp) -> usize {
        self.intents.values().filter(|record| record.agent == agent && record.is_held(now)).count()
    }

    /// SHA-256 over the canonical form of everything in here.
    #[must_use]
    pub fn hash(&self) -> B256 {
        // Maps with text keys, texts and integers: it always serialises.
        let bytes = serde_json_canonicalizer::to_vec(self).unwrap_or_default();
        B256::from_slice(&Sha256::digest(bytes))
    }
}
