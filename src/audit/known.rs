//! What a reader of a journal has learnt from the entries before one: an entry that moves a payment
//! names its id only, and amounts are in base units of an asset that a policy names.

use alloy_primitives::Address;
use marque_policies::{AssetId, Intent, IntentId, Money, Policy, money::format_units};
use marque_steward::{Body, Entry, entry::Decided};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What is known after some entries.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// EIP-155 id of the steward's chain; 0 before the genesis.
    chain: u64,
    /// The owner in force.
    owner: Option<Address>,
    keys: BTreeMap<String, Address>,
    policies: BTreeMap<String, Policy>,
    intents: HashMap<IntentId, Arc<Asked>>,
}

/// What was asked under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By which agent.
    pub agent: String,
    /// For which task.
    pub task: String,
    /// The step of the task.
    pub step: u32,
    /// Which of the step's intents.
    pub ordinal: u32,
    /// Which attempt.
    pub attempt: u32,
    /// What.
    pub intent: Intent,
    /// Where that goes which names nobody: what is returned to the owner of then, what is drawn to the
    /// agent's key.
    pub to: Option<Address>,
}

impl Known {
    /// Learns from the next entry.
    pub fn learn(&mut self, entry: &Entry) {
        let agent = entry.agent.clone().unwrap_or_default();
        match &entry.body {
            Body::Genesis(genesis) => {
                (self.chain, self.owner) = (genesis.chain, Some(genesis.owner));
            }
            Body::Rotate { owner, .. } => self.owner = Some(*owner),
            Body::Enroll { key, .. } => drop(self.keys.insert(agent, *key)),
            // A policy that this program cannot read is told by its numbers only.
            Body::Adopt { document, .. } => {
                if let Ok((policy, _)) = marque_policies::parse(document) {
                    self.policies.insert(agent, policy);
                }
            }
            Body::Refused(decided) | Body::Held(decided) => self.ask(agent, decided),
            // Held under the owner before, it goes to the one in force.
            Body::Allowed(allowed) => {
                self.intents.remove(&allowed.decided.id);
                self.ask(agent, &allowed.decided);
            }
            _ => {}
        }
    }

    fn ask(&mut self, agent: String, decided: &Decided) {
        let Decided { id, task, step, ordinal, attempt, intent, .. } = decided;
        let to = match intent {
            Intent::Sweep(_) => self.owner,
            Intent::Refill { .. } => self.key(&agent),
            _ => None,
        };
        self.intents.entry(*id).or_insert_with(|| {
            let (task, intent) = (task.clone(), intent.clone());
            let (step, ordinal, attempt) = (*step, *ordinal, *attempt);
            Arc::new(Asked { agent, task, step, ordinal, attempt, intent, to })
        });
    }

    /// What the intent that an entry concerns asked for.
    #[must_use]
    pub fn asked(&self, entry: &Entry) -> Option<&Asked> {
        entry.body.intent().and_then(|id| self.intents.get(&id)).map(Arc::as_ref)
    }

    /// EIP-155 id of the steward's chain; 0 where the genesis was not among the entries.
    #[must_use]
    pub const fn chain(&self) -> u64 {
        self.chain
    }

    /// The key that an owner enrolled for an agent.
    #[must_use]
    pub fn key(&self, agent: &str) -> Option<Address> {
        self.keys.get(agent).copied()
    }

    /// The name that a policy has for an asset, and the digits after its point. The agent's own
    /// policy is asked first.
    #[must_use]
    pub fn asset(&self, agent: &str, id: AssetId) -> Option<(&str, u8)> {
        let own = self.policies.get(agent);
        let found = own.into_iter().chain(self.policies.values()).find_map(|it| it.asset(id));
        found.map(|(name, asset)| (name, asset.decimals))
    }

    /// An amount as people read it, exactly: `0.02 USDC`; in base units where no policy names it.
    #[must_use]
    pub fn show(&self, agent: &str, money: Money) -> String {
        match self.asset(agent, money.asset) {
            Some((name, decimals)) => format!("{} {name}", format_units(money.units, decimals)),
            None => format!("{} base units of {}", money.units, money.asset),
        }
    }
}
