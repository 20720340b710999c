//! What an agent may see of its own standing: who may be paid, and what its limits leave.

use crate::IntentState;
use alloy_primitives::{Address, B256};
use marque_policies::{AssetId, Intent, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an agent may see of its own standing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The agent's name.
    pub agent: String,
    /// The account below the agent that looks, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_agent: Option<String>,
    /// Its address.
    #[schemars(with = "String")]
    pub address: Address,
    /// The owner in force.
    #[schemars(with = "String")]
    pub owner: Address,
    /// The journal entry by which that owner came into force: 0, or that of the last rotation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub owner_since: u64,
    /// The journal's origin.
    #[schemars(with = "String")]
    pub origin: B256,
    /// Version of the policy in force.
    pub policy_version: u64,
    /// Its hash.
    #[schemars(with = "String")]
    pub policy_hash: B256,
    /// Time as the steward counts it.
    pub now: Timestamp,
    /// The journal entry that froze the steward, if it is frozen.
    pub frozen_at: Option<u64>,
    /// Permitted tools.
    pub tools: Vec<ToolView>,
    /// Who may be paid.
    pub payees: Vec<PayeeView>,
    /// Assets by name.
    pub assets: Vec<AssetView>,
    /// Every window of every limit on this agent.
    pub budgets: Vec<Budget>,
    /// Assets in which this agent may be paid.
    pub income: Vec<AssetId>,
    /// Assets in which this agent may settle payments to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facilitates: Vec<AssetId>,
    /// Assets in which peers that are no payees may be paid from a pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<AssetId>,
    /// Chains that the policy names, and whom to ask about them: for an agent that may use
    /// `find_agents`, since an endpoint's URL may hold its owner's access key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainView>,
    /// Intents that are held, in flight or young; newest first, at most 100.
    pub intents: Vec<IntentView>,
}

impl View {
    /// What may still be spent of an asset: the least that any window of its limits leaves. `None`
    /// where nothing limits it, which is where nothing may be spent. Only the steward decides; this
    /// saves a question whose answer is known.
    #[must_use]
    pub fn left(&self, asset: AssetId) -> Option<Money> {
        let windows = self.budgets.iter().filter(|budget| budget.limit.asset == asset);
        let left = windows.map(|it| it.limit.units.saturating_sub(it.spent.units)).min();
        left.map(|units| Money::new(units, asset))
    }
}

/// A chain of the policy. A mind asks whom its owner named and cannot choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainView {
    /// Name in the policy.
    pub name: String,
    /// EIP-155 chain id.
    pub id: u64,
    /// RPC endpoints, in the policy's order.
    pub rpc: Vec<String>,
    /// The ERC-8004 identity registry, if the policy names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub identity_registry: Option<Address>,
}

/// A permitted tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolView {
    /// Its name.
    pub name: String,
    /// Hosts that it may reach.
    pub hosts: Vec<String>,
    /// HTTP methods of its requests; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Names of the arguments that the policy constrains: those that a use of it must tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// Somebody who may be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayeeView {
    /// Name in the policy.
    pub name: String,
    /// Where its money goes. `None` for a payee that is known by host only, until the owner has
    /// approved a first payment and so pinned the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<Address>,
    /// The host whose 402 may ask for it.
    pub host: Option<String>,
}

/// An asset by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetView {
    /// Name in the policy.
    pub name: String,
    /// What it is on chain.
    pub id: AssetId,
    /// Digits after the point.
    pub decimals: u8,
    /// EIP-712 domain name and version of the token.
    pub domain: Option<(String, String)>,
}

/// One window of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The rule: `limits.USDC.day`.
    pub rule: String,
    /// Spent in the window.
    pub spent: Money,
    /// The part of it that is in flight and counts until the chain has decided; an older steward
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<Money>,
    /// The limit.
    pub limit: Money,
    /// What leaves the window next, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Freed>,
}

/// What leaves a window, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freed {
    /// Unix milliseconds.
    pub at: Timestamp,
    /// How much.
    pub amount: Money,
}

/// An intent in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentView {
    /// Where it stands.
    pub status: IntentState,
    /// Which account below the agent proposed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_agent: Option<String>,
    /// Which task.
    pub task: String,
    /// What was asked.
    pub intent: Intent,
    /// When it was decided.
    pub at: Timestamp,
    /// Hash of its exact body: what an approval binds.
    #[schemars(with = "String")]
    pub body: B256,
}

impl From<marque_policies::Budget> for Budget {
    fn from(budget: marque_policies::Budget) -> Self {
        let marque_policies::Budget { rule, spent, in_flight, limit, next } = budget;
        let next = next.map(|(at, amount)| Freed { at, amount });
        Self { rule, spent, in_flight: Some(in_flight), limit, next }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
