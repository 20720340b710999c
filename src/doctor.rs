//! A look at a set-up before money depends on it: read-only, without keys.
//!
//! Each check asks one thing and says one line, with what would mend it where it is not well. What
//! is wrong would keep an agent from working or make it sign what nobody accepts; what is odd works
//! and deserves a look. Nothing is changed anywhere, and nobody is asked but the policy's own
//! endpoints and a facilitator that is named.

mod account;
mod agent;
mod contracts;
mod endpoints;
mod facilitator;
mod left;

pub use account::Delegated;

use alloy_primitives::{Address, B256};
use marque_identity::Rpc;
use marque_policies::{Policy, document::Chain};
use serde::Serialize;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Good,
    /// It works, and deserves a look.
    Odd,
    /// It does not work.
    Wrong,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub health: Health,
    /// What was looked at, as the policy calls it.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// What is looked at.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The agent's name and address, where it has a key.
    pub agent: Option<(&'a str, Address)>,
    /// First blocks that the owner's genesis names, where there is a journal.
    pub genesis: Option<(u64, B256)>,
    /// Everybody whom the journal names as the owner, in order: the last one is in force. Nobody where
    /// there is no journal.
    pub owners: &'a [Address],
    /// What was delegated to the agent on chain, by its file.
    pub delegated: Delegated<'a>,
    /// A facilitator's URL.
    pub facilitator: Option<&'a url::Url>,
}

impl Finding {
    fn good(subject: &str, found: impl Into<String>) -> Self {
        Self { health: Health::Good, subject: subject.to_owned(), found: found.into(), mend: None }
    }

    fn odd(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { health: Health::Odd, subject: subject.to_owned(), found: found.into(), mend }
    }

    fn wrong(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { health: Health::Wrong, ..Self::odd(subject, found, mend) }
    }
}

impl Examination<'_> {
    /// Looks at everything; `tell` hears each finding as it comes.
    pub async fn run(&self, mut tell: impl FnMut(Finding)) {
        if self.policy.owner.as_slice().starts_with(&[0; 16]) {
            let found = format!("{} is nobody's address: who could adopt this?", self.policy.owner);
            let mend = "write your own: marque owner show";
            tell(Finding::wrong("owner", found, mend));
        }
        if let Some(now) = self.owners.last().filter(|now| **now != self.policy.owner) {
            let named = self.policy.owner;
            let found = format!("the policy names {named}, and the owner in force is {now}");
            let mend =
                "write that into it, raise its version, and adopt it: marque policy adopt NAME";
            tell(Finding::odd("owner", found, mend));
        }
        for (name, chain) in &self.policy.chains {
            let alive = match Rpc::new(&chain.rpc) {
                Ok(rpc) => endpoints::look(self, name, chain, &rpc, &mut tell).await,
                Err(error) => {
                    let mend =
                        format!("name its RPC endpoints: [chain.{name}] rpc = [\"https://…\"]");
                    tell(Finding::wrong(name, error.to_string(), mend));
                    None
                }
            };
            // One that answers and serves the right chain; contracts of another are not looked at.
            let Some(rpc) = alive else { continue };
            contracts::look(self, name, chain, &rpc, &mut tell).await;
            left::look(self, chain, &rpc, &mut tell).await;
            if let Some((agent, address)) = self.agent {
                agent::look(self, (agent, address), chain, &rpc, &mut tell).await;
                let asked = account::look(self, (agent, address), chain, &rpc, &mut tell).await;
                contracts::tell_or_fail(agent, asked, &mut tell);
            }
        }
        if self.policy.chains.is_empty() {
            let mend = "a policy that spends or earns names one: [chain.base-sepolia]";
            tell(Finding::odd("policy", "it names no chain", mend));
        }
        if let Some(url) = self.facilitator {
            facilitator::look(self.policy, url, &mut tell).await;
        }
    }
}

/// Whether an agent can pay for its own transactions, as whoever settles must: what is not well with
/// that, on each chain of its policy.
pub async fn fees(policy: &Policy, agent: &str, address: Address) -> Vec<Finding> {
    let mut heard = Vec::new();
    for (name, chain) in &policy.chains {
        let mut tell = |finding: Finding| heard.push(finding);
        let asked = match Rpc::new(&chain.rpc) {
            Ok(rpc) => agent::fees(policy, agent, address, chain, &rpc, &mut tell).await,
            Err(error) => Err(error),
        };
        contracts::tell_or_fail(name, asked, &mut tell);
    }
    heard.retain(|finding| finding.health != Health::Good);
    heard
}

/// Whether a chain is one for development, on which a missing contract is no surprise.
const fn is_devnet(chain: &Chain) -> bool {
    matches!(chain.id, 31_337 | 1_337)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_greatest() {
        assert!(Health::Wrong > Health::Odd && Health::Odd > Health::Good);
    }
}
