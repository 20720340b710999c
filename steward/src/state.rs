//! The ledger: a fold over the journal's entries, and nothing else.
//!
//! [`State::apply`] takes one entry after the other. What an entry may not do at this point is an
//! error, so a journal that folds is a journal that makes sense. No clock and no chain in here.
//!
//! INVARIANT: the same entries give the same state, to the last bit of [`State::hash`] (pinned by
//! `tests/laws.rs`, `a_replay_of_the_journal_rebuilds_the_same_state`).

mod account;
mod apply;
mod archive;
mod debits;
mod mark;
mod record;
mod sums;
mod totals;
mod tracked;
mod view;

#[cfg(test)]
mod tests;

pub use account::{Account, Adopted};
pub use archive::{Archived, Payment};
pub use debits::{Debit, Debits, Standing};
pub use mark::STATE_FORMAT;
pub(crate) use mark::{Kind, Part};
pub(crate) use record::passes_frozen;
pub use record::{Approval, Record};
pub use view::Ledger;

use crate::{
    canonical,
    entry::{Foreign, Genesis},
};
use alloy_primitives::{Address, B256};
use marque_policies::{IntentId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use tracked::Tracked;

/// A held intent waits so long for its owner, in milliseconds, unless the policy says otherwise;
/// then it is closed.
pub const HELD_FOR: Timestamp = 24 * 3_600 * 1_000;

/// Everything that a steward knows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    genesis: Option<Genesis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<Rotated>,
    next: u64,
    time: Timestamp,
    frozen: Option<Frozen>,
    agents: BTreeMap<String, Account>,
    intents: Tracked<Record>,
    debits: Debits,
    archive: Tracked<Archived>,
    /// Archived intents of which somebody asks right now, as they were.
    #[serde(skip)]
    recalled: BTreeMap<IntentId, Record>,
}

/// The owner in force, where it is not the one that genesis names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotated {
    /// The owner in force.
    pub owner: Address,
    /// The entry by which it came into force.
    pub entry: u64,
    /// The entry by which the owner before had come into force.
    pub since: u64,
}

/// Why nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The entry that a thaw must name.
    pub seq: u64,
    /// `mind` or `steward`.
    pub by: String,
    /// In the speaker's words.
    pub reason: String,
    /// Whose account nonce was ahead on chain, and how far.
    pub nonces: BTreeMap<String, u64>,
    /// Whose authorisations the chain had and the ledger had not: by token and nonce.
    pub authorisations: BTreeMap<String, BTreeSet<(Address, B256)>>,
}

impl Frozen {
    /// Whether a thaw accepts all of this for `agent` already.
    #[must_use]
    pub fn covers(&self, agent: &str, nonce: Option<u64>, authorisations: &[Foreign]) -> bool {
        let known = self.authorisations.get(agent);
        nonce.is_none_or(|nonce| self.nonces.get(agent).is_some_and(|seen| *seen >= nonce))
            && authorisations
                .iter()
                .all(|it| known.is_some_and(|known| known.contains(&(it.token, it.nonce))))
    }
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
        let rotated = self.rotated.map(|rotated| rotated.owner);
        rotated.or_else(|| self.genesis.as_ref().map(|genesis| genesis.owner))
    }

    /// The entry by which the owner in force came into force: 0, or that of the last rotation.
    #[must_use]
    pub fn owner_since(&self) -> u64 {
        self.rotated.map_or(0, |rotated| rotated.entry)
    }

    /// The last rotation of the owner, if there was one.
    #[must_use]
    pub const fn rotated(&self) -> Option<Rotated> {
        self.rotated
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

    /// One intent; one that is [archived](State::archived) only while it is recalled.
    #[must_use]
    pub fn intent(&self, id: IntentId) -> Option<&Record> {
        self.intents.get(&id).or_else(|| self.recalled.get(&id))
    }

    /// All intents that are not archived.
    #[must_use]
    pub fn intents(&self) -> &BTreeMap<IntentId, Record> {
        &self.intents
    }

    /// All debits.
    #[must_use]
    pub const fn debits(&self) -> &Debits {
        &self.debits
    }

    /// What of `settled` the ledger of `agent` does not count as spent and the owner has not
    /// accepted: authorisations that are in no allowed intent, or in one that was given up.
    #[must_use]
    pub fn foreign(&self, agent: &str, settled: Vec<Foreign>) -> Vec<Foreign> {
        if settled.is_empty() {
            return settled;
        }
        let accepted = self.agents.get(agent).map(|account| &account.accepted);
        let spent: BTreeSet<(Address, B256)> = self
            .intents
            .values()
            .filter(|record| record.agent == agent && record.is_spent())
            .filter_map(|record| record.order.as_ref()?.signed_payment())
            .chain(self.archive.values().filter_map(|archived| {
                let ours = self.is_of(archived, agent) && archived.is_spent();
                archived.payment.as_ref().filter(|_| ours)?.authorisation
            }))
            .collect();
        let mut foreign = settled;
        foreign.retain(|it| {
            let known = (it.token, it.nonce);
            !spent.contains(&known) && accepted.is_none_or(|accepted| !accepted.contains(&known))
        });
        foreign
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
        let bytes = canonical::to_vec(self).unwrap_or_default();
        B256::from_slice(&Sha256::digest(bytes))
    }
}
