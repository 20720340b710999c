//! What a mind may ask for: intents in the chain's own primitives, never hashes.
//!
//! An intent names an effect completely enough that the steward can decide it, build the bytes
//! itself and explain it to the owner. There is no variant that signs a digest, a text or free
//! typed data, so there is nothing to smuggle one in.
//!
//! INVARIANT: every variant is judged by rules of its own; `decide` has no catch-all arm that
//! allows (pinned by `tests/suite/decide.rs`, `an_empty_policy_allows_nothing`).

mod id;
mod label;
mod permit;

pub use id::IntentId;
pub use label::LabelError;
pub use permit::{PermitTransfer, PermitVia, SettlePermit};

pub(crate) use id::tagged;
pub(crate) use label::WRITTEN as LABELS;

use crate::money::Money;
use alloy_primitives::{Address, B256, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// An effect that a mind proposes. Versioned by the protocol that carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Intent {
    /// Use a tool, with the request that it makes, if it makes one.
    Tool(ToolUse),
    /// Sign an EIP-3009 authorisation that pays a payee: the money of x402 `exact`.
    Authorise(Authorise),
    /// Send an ERC-20 or native transfer to a payee in a transaction of our own.
    Transfer(Transfer),
    /// Settle an EIP-3009 authorisation that pays *this* agent; it can only credit us.
    Settle(Settle),
    /// Accept that an ERC-8004 identity names this agent as its wallet. Always held for the owner.
    AcceptWallet(AcceptWallet),
    /// Return money to the owner's address.
    Sweep(Sweep),
    /// Take an EIP-3009 authorisation of this agent's own back on chain, before somebody settles it.
    Cancel(Cancel),
    /// Sign a Permit2 `PermitWitnessTransferFrom` that pays a payee: the money of x402 `upto`, and
    /// of `exact` for tokens without EIP-3009.
    PermitTransfer(PermitTransfer),
    /// Take a permit of this agent's own back on chain: Permit2 `invalidateUnorderedNonces`, in a
    /// transaction of our own. The sibling of `Cancel`.
    InvalidatePermit {
        /// The intent whose permit it is.
        intent: IntentId,
    },
    /// Approve the Permit2 contract in an ERC-20 token. Only permits that this agent signs can draw
    /// on it, and these are counted; none to take the approval back.
    ApprovePermit2 {
        /// What Permit2 may move from then on, in all.
        amount: Money,
    },
    /// Settle a Permit2 permit that pays *this* agent; it can only credit us.
    SettlePermit(SettlePermit),
    /// Draw on the owner's account under what the owner delegated on chain, to this agent's own key:
    /// it can only credit us.
    Refill {
        /// How much.
        amount: Money,
    },
}

/// Use of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolUse {
    /// The tool's name as the policy lists it.
    pub tool: String,
    /// The request it makes; a tool use and the fetch that it makes are one intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Fetch>,
    /// The arguments that the policy constrains; the others need not be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Argument>,
    /// Where the arguments came from.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// The value of an argument. What is none of these is told as a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Argument {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Host and, unless it is the scheme's own, port: `feed.example`, `127.0.0.1:4021`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Bytes of URL and body that leave with it.
    pub bytes_out: u64,
}

/// An EIP-3009 `TransferWithAuthorization` from this agent. Validity times and nonce are the
/// steward's and no part of the intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorise {
    /// The payee's name in the policy.
    pub payee: String,
    /// The address that is to receive the money; must be the one that the policy pins.
    #[schemars(with = "String")]
    pub to: Address,
    /// What is paid.
    pub amount: Money,
    /// The host that asked for it.
    pub host: String,
    /// What is bought: the resource's URL.
    pub resource: String,
    /// Where the terms came from.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// A plain transfer in a transaction of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The payee's name in the policy.
    pub payee: String,
    /// The address that is to receive the money; must be the one that the policy pins.
    #[schemars(with = "String")]
    pub to: Address,
    /// What is paid.
    pub amount: Money,
    /// Where the terms came from.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// Somebody's signed EIP-3009 authorisation that pays this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// Who pays.
    #[schemars(with = "String")]
    pub from: Address,
    /// Who is paid; must be this agent.
    #[schemars(with = "String")]
    pub to: Address,
    /// What is paid.
    pub amount: Money,
    /// Unix seconds of block time after which it is valid.
    pub valid_after: u64,
    /// Unix seconds of block time before which it is valid.
    pub valid_before: u64,
    /// The authorisation's nonce.
    #[schemars(with = "String")]
    pub nonce: B256,
    /// 65 bytes `r || s || v`, hex with `0x`. Usable only to pay us, hence not secret.
    pub signature: String,
    /// What is sold: the resource's URL.
    pub resource: String,
}

/// ERC-8004 `AgentWalletSet`, signed by the wallet that is being set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptWallet {
    /// EIP-155 chain id.
    pub chain: u64,
    /// The identity registry.
    #[schemars(with = "String")]
    pub registry: Address,
    /// The ERC-8004 agent id.
    #[serde(with = "crate::money::decimal")]
    #[schemars(with = "String")]
    pub agent_id: U256,
    /// Who owns the identity; must be the owner in force.
    #[schemars(with = "String")]
    pub owner: Address,
}

/// Money back to the owner in force; the steward fills in the address itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// How much.
    pub amount: Money,
}

/// Withdrawal of one's own authorisation: the token's `cancelAuthorization`, in a transaction of our
/// own. If the authorisation is settled first, the payment stands and only gas is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The intent whose authorisation it is.
    pub intent: IntentId,
}

impl Intent {
    /// The variant's name on the wire.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::Authorise(_) => "authorise",
            Self::Transfer(_) => "transfer",
            Self::Settle(_) => "settle",
            Self::AcceptWallet(_) => "accept_wallet",
            Self::Sweep(_) => "sweep",
            Self::Cancel(_) => "cancel",
            Self::PermitTransfer(_) => "permit_transfer",
            Self::InvalidatePermit { .. } => "invalidate_permit",
            Self::ApprovePermit2 { .. } => "approve_permit2",
            Self::SettlePermit(_) => "settle_permit",
            Self::Refill { .. } => "refill",
        }
    }

    /// What leaves the agent's key if this is carried out, gas apart: of a permit its maximum. An
    /// approval of Permit2 moves nothing, for what is drawn on it is counted by the permits.
    #[must_use]
    pub const fn spends(&self) -> Option<Money> {
        match self {
            Self::Authorise(Authorise { amount, .. })
            | Self::Transfer(Transfer { amount, .. })
            | Self::Sweep(Sweep { amount })
            | Self::PermitTransfer(PermitTransfer { amount, .. }) => Some(*amount),
            Self::Tool(_)
            | Self::Settle(_)
            | Self::AcceptWallet(_)
            | Self::Cancel(_)
            | Self::InvalidatePermit { .. }
            | Self::ApprovePermit2 { .. }
            | Self::SettlePermit(_)
            | Self::Refill { .. } => None,
        }
    }

    /// SHA-256 of the canonical JSON (RFC 8785, integers past 2^53 as strings): what makes two
    /// bodies the same.
    #[must_use]
    pub fn body_hash(&self) -> B256 {
        // An intent holds strings, integers and maps with string keys: it always serialises.
        B256::from_slice(&Sha256::digest(crate::canonical::body(self)))
    }
}

/// Where a value came from. Labels join and never improve; they can make a verdict stricter only.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Said by the owner.
    Owner,
    /// Written in the policy.
    Policy,
    /// Read from the chain.
    Chain,
    /// Made up by the model.
    Model,
    /// Sent by another agent.
    Peer(String),
    /// Read from a web host.
    Web(String),
    /// Recalled; what was remembered keeps its own labels beside this one.
    Memory,
}

/// The labels of a value: the union of those of everything it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Labels(pub BTreeSet<Label>);

impl Labels {
    /// Whether nothing is known about the origin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels of a value made from both.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// These labels and one more.
    #[must_use]
    pub fn with(mut self, label: Label) -> Self {
        self.0.insert(label);
        self
    }
}
