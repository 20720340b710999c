//! Debits that are older than every window: only their sums are kept, for limits without a window.

use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, Scope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The sums, by whose they are and of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Sum>", into = "Vec<Sum>")]
pub(super) struct Totals(BTreeMap<(String, Whose, AssetId), U256>);

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whose {
    /// Everything of the agent.
    Agent,
    /// One task of it.
    Task(String),
    /// One account below it.
    SubAgent(String),
    /// What it paid to one address.
    Payee(Address),
    /// What it paid to peers.
    Pool,
}

/// A sum as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    agent: String,
    whose: Whose,
    asset: AssetId,
    #[serde(with = "marque_policies::money::decimal")]
    units: U256,
}

impl From<Vec<Sum>> for Totals {
    fn from(sums: Vec<Sum>) -> Self {
        let sums = sums.into_iter().map(|sum| ((sum.agent, sum.whose, sum.asset), sum.units));
        Self(sums.collect())
    }
}

impl From<Totals> for Vec<Sum> {
    fn from(totals: Totals) -> Self {
        let sum = |((agent, whose, asset), units)| Sum { agent, whose, asset, units };
        totals.0.into_iter().map(sum).collect()
    }
}

impl Totals {
    /// Adds to one sum. Saturates: past 2^256 - 1 it is above every limit.
    pub(super) fn add(&mut self, agent: &str, whose: Whose, asset: AssetId, units: U256) {
        let sum = self.0.entry((agent.to_owned(), whose, asset)).or_default();
        *sum = sum.saturating_add(units);
    }

    /// What `agent` spent of `asset` in `scope` so long ago; of all agents, for the owner's scope.
    pub(super) fn of(&self, agent: &str, scope: &Scope<'_>, asset: AssetId) -> U256 {
        let whose = match scope {
            Scope::Owner => {
                let all = self
                    .0
                    .iter()
                    .filter(|((_, whose, of), _)| *whose == Whose::Agent && *of == asset);
                return all.fold(U256::ZERO, |sum, (_, units)| sum.saturating_add(*units));
            }
            Scope::Agent => Whose::Agent,
            Scope::Task(task) => Whose::Task((*task).to_owned()),
            Scope::Payee(payee) => Whose::Payee(*payee),
            Scope::Pool => Whose::Pool,
            Scope::SubAgent(name) => Whose::SubAgent((*name).to_owned()),
        };
        self.0.get(&(agent.to_owned(), whose, asset)).copied().unwrap_or_default()
    }
}
