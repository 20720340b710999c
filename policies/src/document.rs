//! A policy that has been read: every field checked, every reference resolved, every amount exact.
//!
//! Only [`crate::parse()`] makes one. `docs/policy.md` shows the language by example.

use crate::{
    cedar::Forbids,
    intent::{Argument, Labels},
    ledger::Timestamp,
    money::{AssetId, Money},
    times::{Moment, Times},
};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

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
    /// From then on nothing is permitted but the return of money to the owner. Unix milliseconds.
    pub expires: Option<Timestamp>,
    /// When money may be spent and tools used.
    pub times: Times,
    /// What is made of terms and arguments that came from outside.
    pub labels: LabelRules,
    /// How long the owner's approvals last.
    pub approvals: Approvals,
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
    /// Each task of this agent, by asset (`[task.limits.ASSET]`). A mind mints tasks at will, so
    /// these bound an honest runtime only.
    pub task_limits: BTreeMap<AssetId, Limits>,
    /// What may be paid to peers that are no payees, by asset (`[pool.ASSET]`).
    pub pools: BTreeMap<AssetId, Pool>,
    /// What the agent's key holds, by asset; the rest waits in the owner's account.
    pub floats: BTreeMap<AssetId, Float>,
    /// Who may be paid, by name.
    pub payees: BTreeMap<String, Payee>,
    /// Limits on all payees of a category together, by name.
    pub categories: BTreeMap<String, Bound>,
    /// What may be used, by name.
    pub tools: BTreeMap<String, Tool>,
    /// Accounts below this agent, by name. Each only narrows what the agent may do.
    pub sub_agents: BTreeMap<String, SubAgent>,
    /// Assets in which this agent may be paid; empty unless it sells.
    pub income: Vec<AssetId>,
    /// Assets in which this agent may settle payments to others; empty unless it is a facilitator.
    pub facilitator: Vec<AssetId>,
    /// The document's own tests.
    pub tests: Vec<PolicyTest>,
    /// The owner's `policy.cedar`: what is forbidden beyond all that.
    pub forbids: Forbids,
    /// SHA-256 of the canonical form of all documents together: what the owner signs.
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

/// What the agent's key holds of an asset whose rest waits in the owner's account. Base units;
/// `low` is below `high`, and `high` holds any payment that the agent's limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Float {
    /// Below this the steward draws on the account,
    pub low: U256,
    /// up to this.
    pub high: U256,
    /// Nothing is paid, of any asset, where the chain does not hold these limits.
    pub required: bool,
}

/// Limits in one asset, of a payee or a category. What has them is paid in that asset only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The asset.
    pub asset: AssetId,
    /// At least one is there.
    pub limits: Limits,
}

/// What may be paid to peers that the policy does not name, in one asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// All of them together; at least one window is there.
    pub limits: Limits,
    /// One of them in any day.
    pub peer_day: Option<U256>,
    /// One of them ever.
    pub peer_total: Option<U256>,
}

/// Somebody who may be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payee {
    /// Where the money goes. `None` for a payee that is known by host only: the first payment is
    /// held, and the owner's approval pins the address.
    pub address: Option<Address>,
    /// ERC-8004 pin: the steward resolves the id and refuses on a mismatch.
    pub identity: Option<PinnedIdentity>,
    /// `host[:port]` whose 402 answers may ask for money for this payee; never a wildcard. Always
    /// there where `address` is not.
    pub host: Option<String>,
    /// A name in [`Policy::categories`], or one without limits.
    pub category: Option<String>,
    /// Limits of its own.
    pub bound: Option<Bound>,
    /// When it may be paid.
    pub times: Times,
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
    /// HTTP methods of its requests, in upper case. Empty: any.
    pub methods: BTreeSet<String>,
    /// Uses per window in milliseconds.
    pub rate: Option<(u64, u64)>,
    /// Bytes out per window in milliseconds.
    pub sends: Option<(u64, u64)>,
    /// What arguments must be like, by name. An argument that is named here must be given.
    pub arguments: BTreeMap<String, Constraint>,
    /// When it may be used.
    pub times: Times,
    /// What is made of arguments that came from outside; without a word they do not matter.
    pub labels: LabelRules,
}

/// What an argument must be like. Every part that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// One of these.
    pub one_of: Option<BTreeSet<Argument>>,
    /// A text that begins so and has no `..` in it.
    pub starts_with: Option<String>,
    /// A text of at most so many characters.
    pub longest: Option<u64>,
    /// A whole number, at least this.
    pub at_least: Option<i64>,
    /// A whole number, at most this.
    pub at_most: Option<i64>,
}

/// What is made of a label, beyond what holds anyway. There is no word that makes it matter less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attitude {
    /// The owner is asked.
    Ask,
    /// It is refused.
    Refuse,
}

/// What is made of labels, by the kind of origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelRules {
    /// Read from a web host.
    pub web: Option<Attitude>,
    /// Sent by another agent.
    pub peer: Option<Attitude>,
    /// Recalled.
    pub memory: Option<Attitude>,
    /// Made up by the model.
    pub model: Option<Attitude>,
}

/// How long approvals last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// An approval counts for so many milliseconds after the owner gave it.
    pub valid: Option<u64>,
    /// A held intent waits so many milliseconds for the owner.
    pub held: Option<u64>,
}

/// An account below the agent. All that binds the agent binds it as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubAgent {
    /// Which of the policy's payees it may pay.
    pub payees: BTreeSet<String>,
    /// Which of the policy's tools it may use.
    pub tools: BTreeSet<String>,
    /// Its limits, by asset. An asset without any may not be spent.
    pub limits: BTreeMap<AssetId, Limits>,
    /// Its limits on transaction fees, by native asset.
    pub gas: BTreeMap<AssetId, Limits>,
}

/// A test that the document carries: given, when, then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTest {
    /// What came before.
    pub given: Vec<Given>,
    /// What is proposed.
    pub when: When,
    /// When in the week; Monday noon UTC without it.
    pub at: Option<Moment>,
    /// Which sub-agent proposes; the agent itself without it.
    pub sub_agent: Option<String>,
    /// In which task; `test` without it.
    pub task: Option<String>,
    /// Which host asks for the money; the payee's own without it.
    pub asked_by: Option<String>,
    /// Where the terms or arguments came from.
    pub labels: Labels,
    /// Whether the owner has just approved it.
    pub approved: bool,
    /// What must come out.
    pub then: Expectation,
}

/// Something in a test's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// `paid 0.40 USDC to weather-feed 5h ago`
    Paid(PastPayment),
    /// `used fetch_data 5h ago`, `.. sending 10 KiB`
    Used {
        /// The tool.
        tool: String,
        /// How long ago, in milliseconds.
        age: u64,
        /// What left with it, in bytes.
        bytes: u64,
    },
    /// `pinned feed to 0x..`: the owner approved a first payment to a payee known by host.
    Pinned {
        /// The payee.
        payee: String,
        /// The address.
        address: Address,
    },
    /// `feed did not deliver`
    Undelivered(String),
    /// `feed does not resolve`: the registry does not answer.
    Unresolved(String),
    /// `feed changed hands`: the registry names another owner than the policy.
    ChangedHands(String),
}

/// One payment in a test's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastPayment {
    /// How much.
    pub amount: Money,
    /// To which payee, or to which peer that is none.
    pub payee: String,
    /// How long ago, in milliseconds.
    pub age: u64,
    /// By whom.
    pub by: PaidBy,
}

/// Who made a past payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaidBy {
    /// This agent, in another task.
    Agent,
    /// Another agent of the owner: `.. by another agent`.
    AnotherAgent,
    /// A sub-agent of this agent: `.. by helper`.
    SubAgent(String),
    /// This agent, in the task of this name: `.. in task errand`.
    Task(String),
}

/// What a test proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// `pay 0.30 USDC to weather-feed`
    Pay {
        /// How much.
        amount: Money,
        /// To which payee.
        payee: String,
    },
    /// `use fetch_data`, `use fetch_data to GET feed.example sending 10 KiB`
    Use {
        /// The tool.
        tool: String,
        /// Method and host of its request, if it makes one.
        fetch: Option<(String, String)>,
        /// What leaves with it, in bytes.
        bytes: u64,
        /// `.. with city=Berlin limit=10`
        arguments: BTreeMap<String, Argument>,
    },
    /// `collect 1.00 USDC`
    Collect(Money),
    /// `return 1.00 USDC`
    Return(Money),
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Everything passes.
    Allowed,
    /// The owner is asked.
    Held,
    /// The owner is asked, at least by this rule.
    HeldBy(String),
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
                let mut text = crate::money::format_units(amount.units, asset.decimals);
                text.push(' ');
                text.push_str(name);
                text
            }
            None => format!("{} base units of {}", amount.units, amount.asset),
        }
    }
}
