//! What the journal says: typed entries over its bytes.
//!
//! Every entry is canonical JSON (RFC 8785), numbered, timed and versioned. `attested` is what the
//! steward decided or saw itself, `claimed` what a mind says. Intents, amounts, verdicts and their
//! numbers are in clear, so that replay and audit need nothing else.
//!
//! INVARIANT: no entry has a field that could hold a key or one of our signatures before it is
//! settled: an [`Order`] says what is signed, never how it was signed (pinned by
//! `tests/chain.rs`, the purchase).

use crate::{
    canonical,
    core::{BlockFacts, GasPlan},
    error::StewardError,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_contracts::permit2::Permit;
use marque_policies::{Intent, IntentId, Money, Resolved, Row, Timestamp, intent::PermitVia};
use marque_steward_client::Said;
use serde::{Deserialize, Serialize};

/// The version of entries that this crate writes.
pub const VERSION: u16 = 1;

/// The longest entry, in bytes of canonical JSON.
pub const MAX_ENTRY: usize = 60 * 1024;

/// What a policy's document may take up of the entry that adopts it, in bytes of JSON. The rest is
/// for names, numbers and the signature.
pub const MAX_DOCUMENT: usize = MAX_ENTRY - 2 * 1024;

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`VERSION`].
    pub v: u16,
    /// Its place, from 0.
    pub seq: u64,
    /// When, in Unix milliseconds; never before the entry before.
    pub at: Timestamp,
    /// Which agent it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whose word it is.
    pub word: Word,
    /// What happened.
    pub body: Body,
}

/// Whose word an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Decided or seen by the steward itself, or signed by the owner.
    Attested,
    /// Said by a mind.
    Claimed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Body {
    /// The journal begins. Signed by the owner.
    Genesis(Genesis),
    /// An agent became known. Signed by the owner.
    Enroll {
        /// The address of its paying key.
        key: Address,
        /// The owner's, hex.
        signature: String,
    },
    /// A policy came into force. Signed by the owner.
    Adopt {
        /// Rises.
        version: u64,
        /// Canonical hash of the document.
        hash: B256,
        /// The document as the owner wrote it.
        document: String,
        /// The owner's, hex.
        signature: String,
    },
    /// The owner approved a held intent, once.
    Approve {
        /// Which.
        intent: IntentId,
        /// Its exact body.
        body: B256,
        /// The policy version the owner had before them.
        version: u64,
        /// Unix seconds after which it is void.
        deadline: u64,
        /// The owner's, hex.
        signature: String,
    },
    /// The owner refused a held intent.
    Deny {
        /// Which.
        intent: IntentId,
        /// Its exact body.
        body: B256,
        /// The owner's, hex.
        signature: String,
    },
    /// Nothing is signed from here on.
    Frozen {
        /// `mind`, `command` (over the owner's socket) or `steward`.
        by: String,
        /// Why, in the speaker's words.
        reason: String,
        /// The account nonce that the chain knows of and the ledger did not: accepted by a thaw.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<u64>,
        /// The authorisations that the chain knows of and the ledger did not: accepted by a thaw.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        authorisations: Vec<Foreign>,
    },
    /// The owner let the steward work again. Signed by the owner.
    Thawed {
        /// Which entry froze it.
        frozen_at: u64,
        /// The owner's, hex.
        signature: String,
    },
    /// Another key is the owner from here on. Signed by the owner before and by the new one.
    Rotate {
        /// The owner in force from here on.
        owner: Address,
        /// The entry by which the owner before came into force.
        since: u64,
        /// The owner's before, hex.
        signature: String,
        /// The new owner's over the same digest, hex.
        countersignature: String,
    },
    /// The policy refused an intent.
    Refused(Box<Decided>),
    /// The policy asks the owner.
    Held(Box<Decided>),
    /// Decided and reserved. What needs no transaction is done, or as good as out, with this.
    Allowed(Box<Allowed>),
    /// A transaction is signed and waits in the outbox.
    Signed {
        /// Which intent.
        id: IntentId,
        /// The transaction's hash.
        hash: B256,
    },
    /// A transaction was broadcast.
    Sent {
        /// Which intent.
        id: IntentId,
    },
    /// A block carries it.
    Seen {
        /// Which intent.
        id: IntentId,
        /// Where.
        at: OnChain,
    },
    /// The block that carried it was taken back; it is out of our hands still.
    Unseen {
        /// Which intent.
        id: IntentId,
    },
    /// It is on chain for good.
    Final {
        /// Which intent.
        id: IntentId,
        /// What was really debited, gas included.
        actual: Vec<Money>,
        /// Block time by which it was on chain, Unix seconds: windows count from there where our
        /// own clock was behind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<u64>,
    },
    /// Our transaction is on chain for good, and failed: only gas was spent.
    Reverted {
        /// Which intent.
        id: IntentId,
        /// Where.
        at: OnChain,
        /// What was really debited.
        actual: Vec<Money>,
        /// As for `final`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<u64>,
    },
    /// It is taken back on chain for good: the token has the cancellation of its authorisation.
    Cancelled {
        /// Which intent.
        id: IntentId,
        /// Where the cancellation is.
        at: OnChain,
    },
    /// A transaction that waits gets higher fees: same nonce, same effect, new bytes. All its
    /// hashes stay watched until one is final.
    Replaced {
        /// Which intent.
        id: IntentId,
        /// Wei a unit of gas, at most, from here on.
        #[serde(with = "marque_policies::money::decimal")]
        max_fee: U256,
        /// Wei a unit for the block's author.
        #[serde(with = "marque_policies::money::decimal")]
        max_priority_fee: U256,
    },
    /// It never went out, but later transactions have: its account nonce is filled by sending
    /// nothing to oneself, for gas alone.
    Filled {
        /// Which intent.
        id: IntentId,
        /// Why it came to nothing.
        why: String,
    },
    /// Money came to an agent's key that is no settlement of ours. It adds no authority.
    Received {
        /// Up to which block the chain was read for it.
        upto: u64,
        /// What came, in the order of the chain.
        transfers: Vec<Received>,
        /// What else came in too great a number, a sum for each token.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<Flood>,
    },
    /// The chain was read up to here for what left an agent's key, and all of it is in the ledger.
    /// The next start reads on from here.
    Scanned {
        /// The last block that was read.
        block: u64,
        /// In which tokens.
        tokens: Vec<Address>,
    },
    /// It never went out, and cannot any more.
    Released {
        /// Which intent.
        id: IntentId,
        /// Why.
        why: String,
    },
    /// The chain can no longer accept it.
    Expired {
        /// Which intent.
        id: IntentId,
        /// The final block by which that is known.
        block: u64,
    },
    /// A mind committed to a step.
    Noted {
        /// Its task.
        task: String,
        /// The step.
        step: u32,
        /// What is committed to.
        what: String,
        /// The salted hash.
        commitment: B256,
    },
    /// A mind says what a counterparty did.
    Reported {
        /// Which payment.
        id: IntentId,
        /// What it says.
        said: Said,
    },
    /// A counterparty's claim about its settlement is not what the chain has.
    Contradicted {
        /// Which payment.
        id: IntentId,
        /// The transaction that the counterparty named.
        claimed: B256,
        /// The one that moved the money, if it was moved at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<B256>,
    },
    /// A steward began to work.
    Started {
        /// Its version.
        version: String,
        /// What is enforced on this host.
        enforced: Vec<String>,
        /// What is not.
        missing: Vec<String>,
    },
    /// The index was set aside and made again from the journal.
    IndexRebuilt {
        /// Why.
        why: String,
    },
    /// The journal was not closed in order; what a broken append had left was cut off.
    Recovered {
        /// Bytes of an unfinished append that were cut off.
        cut: u64,
        /// Entries that no checkpoint had covered.
        unsigned: u64,
        /// There was no checkpoint at all.
        checkpoint_missing: bool,
    },
    /// The hash of the whole state before this entry, so that a later start can believe an index.
    Checkpointed {
        /// Which way of hashing: [`crate::state::STATE_FORMAT`].
        format: u16,
        /// The hash.
        state: B256,
    },
    /// A steward ended in order.
    Stopped,
}

/// A settled EIP-3009 authorisation of an agent's key that its ledger does not count as spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// The token contract.
    pub token: Address,
    /// The authorisation's nonce.
    pub nonce: B256,
    /// The transaction that settled it.
    pub transaction: B256,
}

/// A transfer to an agent's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The token contract.
    pub token: Address,
    /// Who sent it.
    pub from: Address,
    /// Base units.
    #[serde(with = "marque_policies::money::decimal")]
    pub value: U256,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// Transfers to an agent's key that were too many to be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// The token contract.
    pub token: Address,
    /// How many.
    pub count: u64,
    /// Base units of all of them.
    #[serde(with = "marque_policies::money::decimal")]
    pub value: U256,
}

/// How a journal begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The journal's name.
    pub origin: B256,
    /// EIP-155 id of the chain that this steward serves.
    pub chain: u64,
    /// The owner in force.
    pub owner: Address,
    /// Hash of the chain's block 0.
    pub chain_genesis: B256,
    /// Ed25519 public key of the checkpoints.
    pub log_key: B256,
    /// The owner's, hex.
    pub signature: String,
}

/// An intent with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Its id.
    pub id: IntentId,
    /// The account below the agent that proposed it, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_agent: Option<String>,
    /// The task that it belongs to.
    pub task: String,
    /// The step of the task.
    pub step: u32,
    /// Which of the step's intents.
    pub ordinal: u32,
    /// Which attempt.
    pub attempt: u32,
    /// What was asked.
    pub intent: Intent,
    /// Its hash.
    pub body: B256,
    /// Hash of the policy that decided.
    pub policy: B256,
    /// Its version.
    pub version: u64,
    /// Every rule's answer, with its numbers.
    pub table: Vec<Row>,
    /// What was found out beforehand, so that a replay judges by the same. Journals from before
    /// this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// What the chain had answered when an intent was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The newest block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockFacts>,
    /// What a transaction would cost at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas: Option<GasPlan>,
    /// The registry's answer for the payee, where the policy pins it by agent id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<Resolved>,
    /// Base units of the token that cover it: for a permit what Permit2 may move, for an approval of
    /// Permit2 and for a refill what the agent holds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "cover")]
    pub cover: Option<U256>,
}

/// An amount that may be missing, as a decimal text.
mod cover {
    use alloy_primitives::U256;
    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(units: &Option<U256>, to: S) -> Result<S::Ok, S::Error> {
        match units {
            Some(units) => marque_policies::money::decimal::serialize(units, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<U256>, D::Error> {
        marque_policies::money::decimal::deserialize(from).map(Some)
    }
}

impl Found {
    /// `None` where nothing was: a tool needs no chain.
    #[must_use]
    pub fn new(
        block: Option<BlockFacts>,
        gas: Option<GasPlan>,
        payee: Option<Resolved>,
        cover: Option<U256>,
    ) -> Option<Self> {
        let found = Self { block, gas, payee, cover };
        (found != Self::default()).then_some(found)
    }
}

/// An intent that was allowed, what it reserves and what will be signed for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The verdict.
    pub decided: Decided,
    /// What is reserved, gas included.
    pub debits: Vec<Money>,
    /// What is signed.
    pub order: Order,
}

/// Exactly what is signed for an allowed intent. From these facts and the key the same bytes come
/// out again (RFC 6979).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Order {
    /// Nothing: permission is all.
    Permission,
    /// An EIP-3009 authorisation.
    Authorisation(AuthorisationOrder),
    /// A transaction of our own.
    Transaction(TransactionOrder),
    /// A transaction of our own that cancels an authorisation of ours.
    Cancel(CancelOrder),
    /// An ERC-8004 `AgentWalletSet`.
    Wallet(WalletOrder),
    /// Nothing any more: somebody else has brought the authorisation to the chain already.
    Elsewhere,
    /// A Permit2 permit for an x402 proxy.
    PermitTransfer(PermitOrder),
}

/// An EIP-3009 `TransferWithAuthorization`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorisationOrder {
    /// EIP-712 domain name of the token.
    pub name: String,
    /// EIP-712 domain version of the token.
    pub version: String,
    /// What is paid.
    pub amount: Money,
    /// Payer: the agent.
    pub from: Address,
    /// Payee.
    pub to: Address,
    /// Unix seconds of block time.
    pub valid_after: u64,
    /// Unix seconds of block time.
    pub valid_before: u64,
    /// Derived from the intent's id.
    pub nonce: B256,
    /// The newest block when it was signed: it cannot be settled in an older one.
    pub block: u64,
}

/// An EIP-1559 transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionOrder {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Sender: the agent.
    pub from: Address,
    /// Account nonce, our own count.
    pub nonce: u64,
    /// Called or paid address.
    pub to: Address,
    /// Wei.
    #[serde(with = "marque_policies::money::decimal")]
    pub value: U256,
    /// Call data.
    pub data: Bytes,
    /// Units of gas.
    pub gas_limit: u64,
    /// Wei a unit, at most.
    #[serde(with = "marque_policies::money::decimal")]
    pub max_fee: U256,
    /// Wei a unit for the block's author.
    #[serde(with = "marque_policies::money::decimal")]
    pub max_priority_fee: U256,
    /// The newest block when it was decided.
    pub block: u64,
}

impl TransactionOrder {
    /// The same nonce, chain and fees, moving nothing: sent to oneself.
    pub(crate) fn to_nowhere(&self) -> Self {
        Self { to: self.from, value: U256::ZERO, data: Bytes::new(), ..self.clone() }
    }
}

/// The token's `cancelAuthorization`, with a signature of the same key in its call data: that is why
/// the order holds what is signed and not the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The intent whose authorisation is cancelled.
    pub cancelled: IntentId,
    /// EIP-712 domain name of the token.
    pub name: String,
    /// EIP-712 domain version of the token.
    pub version: String,
    /// The authorisation's nonce.
    pub nonce: B256,
    /// The transaction, its data apart.
    pub transaction: TransactionOrder,
}

impl Order {
    /// The transaction of our own that it is carried out by, if it is.
    #[must_use]
    pub const fn transaction(&self) -> Option<&TransactionOrder> {
        match self {
            Self::Transaction(order) => Some(order),
            Self::Cancel(order) => Some(&order.transaction),
            _ => None,
        }
    }

    pub(crate) const fn transaction_mut(&mut self) -> Option<&mut TransactionOrder> {
        match self {
            Self::Transaction(order) => Some(order),
            Self::Cancel(order) => Some(&mut order.transaction),
            _ => None,
        }
    }
}

/// A Permit2 `PermitWitnessTransferFrom`, for the proxy of its scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitOrder {
    /// The most that is paid.
    pub amount: Money,
    /// Payer: the agent.
    pub from: Address,
    /// Payee.
    pub to: Address,
    /// Which proxy, and who alone may settle.
    pub via: PermitVia,
    /// Unix seconds of block time.
    pub valid_after: u64,
    /// Unix seconds of block time, this one included.
    pub deadline: u64,
    /// `H(intent id)`, so that Permit2 itself refuses a second payment.
    #[serde(with = "marque_policies::money::decimal")]
    pub nonce: U256,
    /// The newest block when it was decided.
    pub block: u64,
}

impl PermitOrder {
    /// What is signed.
    pub(crate) const fn permit(&self) -> Permit {
        Permit {
            from: self.from,
            to: self.to,
            token: self.amount.asset.token,
            amount: self.amount.units,
            facilitator: self.via.facilitator(),
            valid_after: self.valid_after,
            deadline: self.deadline,
            nonce: self.nonce,
        }
    }
}

impl Order {
    /// Token and nonce of the payment that was signed and that anybody may bring to the chain. The
    /// nonces of Permit2 and those of tokens are hashes under tags of their own.
    #[must_use]
    pub fn signed_payment(&self) -> Option<(Address, B256)> {
        match self {
            Self::Authorisation(order) => Some((order.amount.asset.token, order.nonce)),
            Self::PermitTransfer(order) => Some((order.amount.asset.token, order.nonce.into())),
            _ => None,
        }
    }

    /// Whether it is a payment that was handed out and that somebody else brings to the chain.
    #[must_use]
    pub const fn is_handed_out(&self) -> bool {
        matches!(self, Self::Authorisation(_) | Self::PermitTransfer(_))
    }
}

/// An ERC-8004 `AgentWalletSet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletOrder {
    /// EIP-155 chain id.
    pub chain: u64,
    /// The identity registry.
    pub registry: Address,
    /// The ERC-8004 agent id.
    #[serde(with = "marque_policies::money::decimal")]
    pub agent_id: U256,
    /// The wallet: the agent.
    pub wallet: Address,
    /// Owner of the identity.
    pub owner: Address,
    /// Unix seconds of block time.
    pub deadline: u64,
}

/// Where on chain something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChain {
    /// Transaction hash.
    pub transaction: B256,
    /// Block number.
    pub block: u64,
    /// Block hash: a number alone does not survive a reorganisation.
    pub block_hash: B256,
}

impl Entry {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`StewardError::Entry`] where it is longer than [`MAX_ENTRY`] or holds a number that JSON
    /// cannot carry exactly.
    pub fn encode(&self) -> Result<Vec<u8>, StewardError> {
        let wrong = |why: String| StewardError::Entry { seq: self.seq, why };
        let bytes = canonical::to_vec(self).map_err(|e| wrong(e.to_string()))?;
        if bytes.len() > MAX_ENTRY {
            return Err(wrong(format!("{} bytes, and at most {MAX_ENTRY} fit", bytes.len())));
        }
        // Canonical JSON has doubles for numbers: what is written must be what is read.
        if Self::decode(&bytes)? != *self {
            return Err(wrong("a number in it is too large for JSON".to_owned()));
        }
        Ok(bytes)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`StewardError::Entry`] where the bytes are none of ours, [`StewardError::Newer`] where a
    /// newer version wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self, StewardError> {
        #[derive(Deserialize)]
        struct Head {
            v: u16,
            seq: u64,
        }
        let wrong = |seq, e: serde_json::Error| StewardError::Entry { seq, why: e.to_string() };
        // Whose fields are not known may be newer; that is looked at only then.
        match serde_json::from_slice::<Self>(bytes) {
            Ok(entry) if entry.v <= VERSION => Ok(entry),
            Ok(entry) => Err(StewardError::Newer { what: "journal entry", found: entry.v }),
            Err(error) => {
                let head: Head = serde_json::from_slice(bytes).map_err(|e| wrong(0, e))?;
                if head.v > VERSION {
                    return Err(StewardError::Newer { what: "journal entry", found: head.v });
                }
                Err(wrong(head.seq, error))
            }
        }
    }
}

/// Whether a policy's document fits into the entry that adopts it, quotes and line ends escaped.
/// To be asked before an owner signs.
///
/// # Errors
/// [`StewardError::Document`] where it does not.
pub fn fits(document: &str) -> Result<(), StewardError> {
    // A text always serialises.
    let bytes = serde_json::to_vec(document).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_DOCUMENT {
        return Err(StewardError::Document { bytes });
    }
    Ok(())
}

impl Body {
    /// The intent that it concerns.
    #[must_use]
    pub fn intent(&self) -> Option<IntentId> {
        match self {
            Self::Refused(decided) | Self::Held(decided) => Some(decided.id),
            Self::Allowed(allowed) => Some(allowed.decided.id),
            Self::Approve { intent, .. } | Self::Deny { intent, .. } => Some(*intent),
            Self::Signed { id, .. }
            | Self::Sent { id }
            | Self::Seen { id, .. }
            | Self::Unseen { id }
            | Self::Final { id, .. }
            | Self::Reverted { id, .. }
            | Self::Cancelled { id, .. }
            | Self::Replaced { id, .. }
            | Self::Filled { id, .. }
            | Self::Released { id, .. }
            | Self::Expired { id, .. }
            | Self::Contradicted { id, .. }
            | Self::Reported { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The kind's name, as in the journal.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::Enroll { .. } => "enroll",
            Self::Adopt { .. } => "adopt",
            Self::Approve { .. } => "approve",
            Self::Deny { .. } => "deny",
            Self::Frozen { .. } => "frozen",
            Self::Thawed { .. } => "thawed",
            Self::Rotate { .. } => "rotate",
            Self::Refused(_) => "refused",
            Self::Held(_) => "held",
            Self::Allowed(_) => "allowed",
            Self::Signed { .. } => "signed",
            Self::Sent { .. } => "sent",
            Self::Seen { .. } => "seen",
            Self::Unseen { .. } => "unseen",
            Self::Final { .. } => "final",
            Self::Reverted { .. } => "reverted",
            Self::Cancelled { .. } => "cancelled",
            Self::Replaced { .. } => "replaced",
            Self::Filled { .. } => "filled",
            Self::Received { .. } => "received",
            Self::Scanned { .. } => "scanned",
            Self::Released { .. } => "released",
            Self::Expired { .. } => "expired",
            Self::Noted { .. } => "noted",
            Self::Reported { .. } => "reported",
            Self::Contradicted { .. } => "contradicted",
            Self::Started { .. } => "started",
            Self::IndexRebuilt { .. } => "index_rebuilt",
            Self::Recovered { .. } => "recovered",
            Self::Checkpointed { .. } => "checkpointed",
            Self::Stopped => "stopped",
        }
    }
}
