//! The view of the ledger that a decision needs. The steward implements it over its state; tests
//! and `[[test]]` blocks over a few lines.

use crate::money::AssetId;
use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

/// Unix time in milliseconds. The policy engine has no clock; callers bring one.
pub type Timestamp = u64;

/// Whose debits are summed. An account's sum includes everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    /// All agents of the owner together.
    Owner,
    /// The agent that proposes.
    Agent,
    /// One sub-agent of that agent.
    SubAgent(&'a str),
    /// One task of that agent.
    Task(&'a str),
    /// What that agent, its sub-agents included, paid to one address.
    Payee(Address),
    /// What that agent, its sub-agents included, paid to peers that were no payees of the policy
    /// then in force.
    Pool,
}

/// What the chain's identity registry answers for a payee that is pinned by agent id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// `ownerOf(agentId)`.
    pub owner: Address,
    /// `getAgentWallet(agentId)`.
    pub wallet: Address,
}

/// What is already spent, used, approved and known.
///
/// Sums count every debit that is not released, expired or cancelled: those younger than `since`,
/// and those still in flight whatever their age.
pub trait Ledger {
    /// Base units of `asset` debited to `scope` after `since`.
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: Timestamp) -> U256;

    /// How often the agent used `tool` after `since`.
    fn uses(&self, tool: &str, since: Timestamp) -> u64;

    /// Bytes that the agent sent out through `tool` after `since`.
    fn bytes_out(&self, tool: &str, since: Timestamp) -> u64;

    /// When the owner approved exactly this body for this intent, if the approval still stands.
    fn approved(&self, body: B256) -> Option<Timestamp>;

    /// The address that the owner pinned for a payee known by this host only, by approving the
    /// first payment to it.
    fn pinned(&self, host: &str) -> Option<Address>;

    /// What the registry said of the payee of this name, if the steward asked and got an answer.
    fn resolved(&self, payee: &str) -> Option<Resolved>;

    /// Whether this address took money and did not deliver.
    fn owes_delivery(&self, payee: Address) -> bool;

    /// This agent's own address.
    fn agent_address(&self) -> Address;
}
