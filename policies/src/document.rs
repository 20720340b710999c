//! A policy that has been read: every field checked, every reference resolved, every amount exact.
//!
//! Only [`crate::parse()`] makes one. `docs/policy.md` shows the language by example.

use crate::money::{AssetId, Money};
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeMap;

/// Any hour, in milliseconds.
pub const HOUR: u64 = 3_600_000;
/// Any day, in milliseconds.
pub const DAY: u64 = 24 * HOUR;
/// Any 30 days, in milliseconds.
pub const DAYS30: u64 = 30 * DAY;

/// One agent's policy, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Rises with each adoption.
    pub version: u64,
    /// The owner the document names. The steward checks signatures against the owner in force.
    pub owner: Address,
    /// Chains by the document's names.
    pub chains: BTreeMap<String, Chain>,
    /// Assets by the document's names, `ETH`-like natives included.
    pub assets: BTreeMap<String, Asset>,
    /// This agent's limits, by asset. An asset without any may not be spent.
    pub limits: BTreeMap<AssetId, Limits>,
    /// This agent's limits on transaction fees (`[limits.gas]`), by native asset. A native asset is
    /// in this map or in `limits`, never in both; in `limits`, payments and fees share one budget.
    pub gas: BTreeMap<AssetId, Limits>,
    /// All agents together, by asset.
    pub owner_limits: BTreeMap<AssetId, Limits>,
    /// All agents' transaction fees together (`[owner.limits.gas]`), by native asset.
    pub owner_gas: BTreeMap<AssetId, Limits>,
    /// Who may be paid, by name.
    pub payees: BTreeMap<String, Payee>,
    /// What may be used, by name.
    pub tools: BTreeMap<String, Tool>,
    /// Assets in which this agent may be paid; empty unless it sells.
    pub income: Vec<AssetId>,
    /// The document's own tests.
    pub tests: Vec<PolicyTest>,
    /// SHA-256 of the canonical form of the whole document: what the owner signs.
    pub hash: B256,
}

/// A chain and whom to ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// EIP-155 chain id.
    pub id: u64,
    /// JSON-RPC endpoints; the mind cannot choose whom the steward asks.
    pub rpc: Vec<String>,
    /// When something counts as settled.
    pub finality: Finality,
    /// Symbol of the native coin.
    pub native: String,
    /// ERC-8004 identity registry, if the policy pins payees by agent id or the agent registers.
    pub identity_registry: Option<Address>,
}

/// When a block cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The chain's `safe` tag.
    Safe,
    /// The chain's `finalized` tag.
    Finalized,
    /// So many blocks on top, as on a devnet.
    Confirmations(u64),
}

/// An asset by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// What it is on chain.
    pub id: AssetId,
    /// Digits after the point.
    pub decimals: u8,
    /// EIP-712 domain name and version of the token, for EIP-3009; `None` for natives.
    pub domain: Option<(String, String)>,
}

/// Limits on one asset; `None` is no limit of that kind. Base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// One payment.
    pub payment: Option<U256>,
    /// Any 3,600 s.
    pub hour: Option<U256>,
    /// Any 86,400 s.
    pub day: Option<U256>,
    /// Any 30 × 86,400 s.
    pub days30: Option<U256>,
    /// Ever.
    pub total: Option<U256>,
    /// The owner approves a payment above this.
    pub ask_above: Option<U256>,
    /// The owner approves everything once a payee got this much in a day.
    pub ask_above_day: Option<U256>,
}

impl Limits {
    /// The limits on sums over time: name, width in milliseconds (`None` for ever), base units.
    pub fn windows(&self) -> impl Iterator<Item = (&'static str, Option<u64>, U256)> + use<> {
        [
            ("hour", Some(HOUR), self.hour),
            ("day", Some(DAY), self.day),
            ("days30", Some(DAYS30), self.days30),
            ("total", None, self.total),
        ]
        .into_iter()
        .filter_map(|(name, width, limit)| limit.map(|limit| (name, width, limit)))
    }
}

/// Somebody who may be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payee {
    /// Where the money goes.
    pub address: Address,
    /// ERC-8004 pin: the steward resolves the id and refuses on a mismatch.
    pub identity: Option<PinnedIdentity>,
    /// `host[:port]` whose 402 answers may ask for money for this payee; never a wildcard.
    pub host: Option<String>,
    /// One payment.
    pub payment: Option<Money>,
    /// Any day.
    pub day: Option<Money>,
    /// Ever.
    pub total: Option<Money>,
}

/// An ERC-8004 agent id with the owner that it must have; its wallet must be `Payee::address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedIdentity {
    /// The chain's id.
    pub chain: u64,
    /// The registry.
    pub registry: Address,
    /// The agent id.
    pub agent_id: U256,
    /// `ownerOf(agent_id)` must be this.
    pub owner: Address,
}

/// Something that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tool {
    /// Hosts it may reach: `feed.example`, `*.gov`, `127.0.0.1:4021`. Empty: none.
    pub hosts: Vec<String>,
    /// Uses per window in milliseconds.
    pub rate: Option<(u64, u64)>,
    /// Bytes out per window in milliseconds.
    pub sends: Option<(u64, u64)>,
}

/// A test that the document carries: given, when, then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTest {
    /// Payments that came before, each with its age in milliseconds.
    pub given: Vec<PastPayment>,
    /// The payment in question: what, to which payee.
    pub pay: (Money, String),
    /// What must come out.
    pub then: Expectation,
}

/// One payment in a test's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastPayment {
    /// How much.
    pub amount: Money,
    /// To which payee.
    pub payee: String,
    /// How long ago, in milliseconds.
    pub age: u64,
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Everything passes.
    Allowed,
    /// The owner is asked.
    Held,
    /// Refused, at least by this rule.
    RefusedBy(String),
}

impl Policy {
    /// The name and asset for an id, where the document has one.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<(&str, &Asset)> {
        self.assets
            .iter()
            .find(|(_, asset)| asset.id == id)
            .map(|(name, asset)| (name.as_str(), asset))
    }

    /// The chain with this EIP-155 id, where the document has one.
    #[must_use]
    pub fn chain(&self, id: u64) -> Option<&Chain> {
        self.chains.values().find(|chain| chain.id == id)
    }

    /// An amount as people read it: `0.02 USDC`.
    #[must_use]
    pub fn show(&self, amount: Money) -> String {
        match self.asset(amount.asset) {
            Some((name, asset)) => {
                format!("{} {name}", crate::money::format_units(amount.units, asset.decimals))
            }
            None => format!("{} base units of {}", amount.units, amount.asset),
        }
    }
}
