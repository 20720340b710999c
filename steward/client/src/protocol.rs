//! What crosses the wall between mind and steward.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON, at most [`MAX_FRAME`]. Every
//! message carries the protocol's version; a newer one is refused with one line. Who speaks is
//! known from the connection, never from the message.

use crate::View;
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_policies::{Intent, IntentId, Money, Row, SignedStatement, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version that this crate speaks.
pub const VERSION: u16 = 1;

/// The longest frame that either side accepts, in bytes.
pub const MAX_FRAME: usize = 256 * 1024;

/// A question to the steward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub v: u16,
    /// Chosen by the caller, echoed in the answer; several questions may be under way.
    pub seq: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked. There is no message that signs a hash, a text or free typed data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Ask {
    /// Decide, reserve, journal and, where something is signed, sign.
    Propose(Proposal),
    /// Say what would come of a proposal now. Nothing is reserved, journalled, signed or sent, and
    /// it binds nobody: a moment later the answer may be another.
    Preview(Proposal),
    /// What this agent may do and has left, and its intents.
    View,
    /// The same without its intents: what a payment is made by, and a much shorter answer.
    Standing,
    /// Commit to a step in the journal: the mind's own words stay with the mind.
    Note(Note),
    /// Say what a counterparty answered.
    Report(Report),
    /// Wait until a held intent is decided by the owner or a payment changes state.
    Wait {
        /// Which intent.
        intent: IntentId,
        /// Answer at the latest after so many milliseconds; at most 60,000.
        timeout_ms: u64,
    },
    /// Stop everything. Anyone on the socket may; only the owner thaws.
    Freeze {
        /// Shown to the owner, marked as the speaker's words.
        reason: String,
    },
    /// Hand in an act of the owner.
    Submit(Box<SignedStatement>),
    /// How the steward stands, and this agent with it.
    Status,
    /// What of this agent's waits for the owner, and what the owner decided lately. Answered at
    /// once, or when it is no longer the queue that is `seen`.
    Queue {
        /// The mark of the queue that the caller knows, if it waits for another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<u64>,
        /// Answer at the latest after so many milliseconds; at most 60,000.
        timeout_ms: u64,
    },
    /// Settlements of this account's that are under way and that no block was seen to carry, ordered
    /// by id: a page of them.
    Settling {
        /// The last id of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<IntentId>,
    },
}

/// A settlement that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettlingView {
    /// The intent.
    pub id: IntentId,
    /// Who pays.
    #[schemars(with = "String")]
    pub from: Address,
    /// What is taken.
    pub charge: Money,
}

/// An intent and its place in the mind's work, from which its id follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The task's name, at most 128 bytes.
    pub task: String,
    /// The step of the task.
    pub step: u32,
    /// Which of the step's intents.
    pub ordinal: u32,
    /// Rises only after the attempt before is refused, denied, released, expired or cancelled.
    pub attempt: u32,
    /// What is to be done.
    pub intent: Intent,
}

/// A commitment to something the mind keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The task's name.
    pub task: String,
    /// The step of the task.
    pub step: u32,
    /// What is committed to: `prompt`, `call`, `result`, `answer`, `model`.
    pub what: String,
    /// `SHA-256(salt || value)`; salt and value stay in the mind's erasable files.
    #[schemars(with = "String")]
    pub commitment: B256,
}

/// What a counterparty did with a signed artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The payment.
    pub intent: IntentId,
    /// What happened, as the mind says.
    pub said: Said,
}

/// The mind's word about a counterparty; journalled as `claimed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// It says that it settled in this transaction.
    Settled {
        /// Transaction hash.
        #[schemars(with = "String")]
        transaction: B256,
        /// What it says it took. Where this is said the steward compares the claim with the chain
        /// once the payment is over, and journals a contradiction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
    },
    /// It signed something about the payment. The mind keeps the thing itself.
    Signed {
        /// What it signed.
        what: Evidence,
        /// SHA-256 of it.
        #[schemars(with = "String")]
        hash: B256,
        /// Whose signature it is, where that could be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        by: Option<Address>,
    },
    /// The goods came; SHA-256 of the body.
    Delivered {
        /// Hash of what was delivered.
        #[schemars(with = "String")]
        body: B256,
    },
    /// No goods came for it. If the chain shows that the money went, the payee's next payment is
    /// held.
    Undelivered {
        /// The answer, shortened.
        why: String,
    },
}

/// What a counterparty signs about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The terms, before it was paid.
    Offer,
    /// That it was paid, afterwards.
    Receipt,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::Receipt => "receipt",
        })
    }
}

/// An answer of the steward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// [`VERSION`].
    pub v: u16,
    /// The question's number; 0 where the question could not be read.
    pub seq: u64,
    /// The answer.
    pub answer: Answer,
}

/// What can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// To a proposal.
    Outcome(Outcome),
    /// To a preview.
    Preview(Box<Preview>),
    /// To `view`.
    View(Box<View>),
    /// To `note`, `report`, `freeze` and `submit`: durable in the journal at this sequence number.
    Noted {
        /// Sequence number of the entry.
        entry: u64,
    },
    /// To `wait`: the state now.
    State(IntentState),
    /// To `status`.
    Status(Box<Status>),
    /// To `queue`.
    Queue(Box<Queue>),
    /// To `settling`: a page, of which an empty one is the last.
    Settling {
        /// What is under way.
        settlements: Vec<SettlingView>,
    },
    /// The question was not accepted; nothing was changed.
    Error(Fault),
}

/// Why a question was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{message}")]
pub struct Fault {
    /// A stable word: `malformed`, `version`, `frozen`, `id_reused`, `attempt`, `not_owner`,
    /// `unknown`, `stale`, `chain`, `float`, `rate`, `internal`.
    pub code: String,
    /// One line that says what, where and how to mend it.
    pub message: String,
}

/// The answer to a proposal: refused before held before allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Decided, reserved, journalled and, where something is signed, signed.
    Allowed {
        /// The intent's id.
        id: IntentId,
        /// What was made.
        artifact: Artifact,
    },
    /// Nothing is reserved. Once the owner has approved, propose the same again.
    Held {
        /// The intent's id, which is also the name of the question to the owner.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// Every rule that failed, and what would make it pass.
    Refused {
        /// The intent's id.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
}

/// What would come of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The id that the intent would have.
    pub id: IntentId,
    /// The answer that it would get.
    pub foreseen: Foreseen,
    /// For a settlement, whether the chain has it already and it has paid whom it should.
    #[serde(default)]
    pub settled: bool,
    /// For a settlement, what the chain says of the payer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<PayerView>,
}

/// The answer that a proposal would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "foreseen", rename_all = "snake_case")]
pub enum Foreseen {
    /// It would be decided, reserved and carried out, or it was already.
    Allowed,
    /// The owner would be asked.
    Held {
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The policy would refuse it.
    Refused {
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// It would not be accepted.
    Fault {
        /// A stable word, as in [`Fault::code`].
        code: String,
        /// One line.
        message: String,
    },
}

/// What the chain says of somebody who wants to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayerView {
    /// What it holds of the asset, in base units, less what settlements under way take.
    #[serde(with = "marque_policies::money::decimal")]
    #[schemars(with = "String")]
    pub balance: U256,
    /// Whether its nonce is used: settled, cancelled or invalidated.
    pub used: bool,
}

/// What an allowed intent yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "artifact", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Artifact {
    /// Permission alone: a tool use.
    Permission,
    /// A signed EIP-3009 authorisation.
    Authorisation(Box<Authorisation>),
    /// A signed Permit2 permit.
    PermitTransfer(Box<SignedPermit>),
    /// A transaction that the steward broadcast.
    Transaction {
        /// Its hash; `wait` tells what became of it.
        #[schemars(with = "String")]
        hash: B256,
    },
    /// A signature over one of the fixed typed-data kinds, with its deadline.
    Signature {
        /// 65 bytes `r || s || v`.
        #[schemars(with = "String")]
        signature: Bytes,
        /// Unix seconds of block time until which a contract accepts it.
        deadline: u64,
    },
}

/// An EIP-3009 `TransferWithAuthorization` with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorisation {
    /// Payer: the agent.
    #[schemars(with = "String")]
    pub from: Address,
    /// Payee.
    #[schemars(with = "String")]
    pub to: Address,
    /// Base units.
    #[serde(with = "marque_policies::money::decimal")]
    #[schemars(with = "String")]
    pub value: U256,
    /// Unix seconds of block time.
    pub valid_after: u64,
    /// Unix seconds of block time, at most 300 s ahead of the chain when signed.
    pub valid_before: u64,
    /// `IntentId::nonce`.
    #[schemars(with = "String")]
    pub nonce: B256,
    /// 65 bytes `r || s || v`.
    #[schemars(with = "String")]
    pub signature: Bytes,
}

/// A Permit2 `PermitWitnessTransferFrom` with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedPermit {
    /// Payer: the agent.
    #[schemars(with = "String")]
    pub from: Address,
    /// Payee, as the witness names it.
    #[schemars(with = "String")]
    pub to: Address,
    /// The token.
    #[schemars(with = "String")]
    pub token: Address,
    /// The most that can be taken, in base units.
    #[serde(with = "marque_policies::money::decimal")]
    #[schemars(with = "String")]
    pub amount: U256,
    /// Who alone may draw on it: the x402 proxy of its scheme.
    #[schemars(with = "String")]
    pub spender: Address,
    /// Who alone may settle it, as the witness of `upto` names it; `exact` names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub facilitator: Option<Address>,
    /// Unix seconds of block time, as the witness names it.
    pub valid_after: u64,
    /// Unix seconds of block time, at most 300 s ahead of the chain when signed.
    pub deadline: u64,
    /// `IntentId::permit_nonce`.
    #[serde(with = "marque_policies::money::decimal")]
    #[schemars(with = "String")]
    pub nonce: U256,
    /// 65 bytes `r || s || v`.
    #[schemars(with = "String")]
    pub signature: Bytes,
}

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Refused by the policy.
    Refused,
    /// Waiting for the owner.
    Held,
    /// Approved by the owner; to be proposed again.
    Approved,
    /// Refused by the owner.
    Denied,
    /// Debited, nothing signed yet (transactions only).
    Reserved,
    /// Signed, not yet broadcast (transactions only).
    Signed,
    /// Out of our hands.
    Sent,
    /// In a block that may still be taken back.
    Seen,
    /// On chain for good, or done (a tool use).
    Final,
    /// Never went out, and cannot any more.
    Released,
    /// The chain can no longer accept it.
    Expired,
    /// Cancelled on chain.
    Cancelled,
}

/// An intent's state and, once the chain has it, the transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentState {
    /// Which intent.
    pub id: IntentId,
    /// Where it stands.
    pub state: PaymentState,
    /// The transaction that carries it, once seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub transaction: Option<B256>,
    /// Number of the block that carries it, once seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
}

/// How a steward stands, as one of its agents may know it: nothing in here is of other agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The steward's version.
    pub version: String,
    /// Since when it works.
    pub since: Timestamp,
    /// Time as the steward counts it.
    pub now: Timestamp,
    /// EIP-155 id of its chain.
    pub chain: u64,
    /// The journal's origin.
    #[schemars(with = "String")]
    pub origin: B256,
    /// The owner in force.
    #[schemars(with = "String")]
    pub owner: Address,
    /// Entries in the journal.
    pub entries: u64,
    /// Why nothing is signed, if it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenView>,
    /// What is enforced on its host.
    pub enforced: Vec<String>,
    /// What is not, and why.
    pub missing: Vec<String>,
    /// The agent's name.
    pub agent: String,
    /// Its address.
    #[schemars(with = "String")]
    pub address: Address,
    /// Version of its policy in force; 0 for none.
    pub policy_version: u64,
    /// The policy's hash.
    #[schemars(with = "String")]
    pub policy_hash: B256,
    /// Whether the chain was asked what it knows of this agent. Nothing is signed before.
    pub ready: bool,
    /// How many of its intents wait for the owner.
    pub held: u64,
    /// With how many the chain may still do something.
    pub live: u64,
    /// What its key is kept at from the owner's account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floats: Vec<FloatView>,
}

/// A float, between its marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FloatView {
    /// Below this the steward draws on the account,
    pub low: Money,
    /// up to this.
    pub high: Money,
    /// What the key held when the steward looked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Money>,
    /// The newest refill: when it was proposed, how much, and what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<RefillView>,
    /// Why it is not refilled, or what came in not returned, and what mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Why nothing at all is paid, and what mends it: the policy requires what the chain does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefillView {
    /// When it was decided.
    pub at: Timestamp,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub state: PaymentState,
}

/// Why nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenView {
    /// The journal entry that a thaw must name.
    pub entry: u64,
    /// `mind` or `steward`.
    pub by: String,
    /// In the speaker's words.
    pub reason: String,
    /// The agent's account nonce where the chain is ahead: a thaw accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Authorisations of the agent that the chain has and the ledger has not: a thaw accepts them.
    #[serde(default)]
    pub foreign: u64,
}

/// What waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// Changes whenever the queue does.
    pub mark: u64,
    /// Time as the steward counts it.
    pub now: Timestamp,
    /// EIP-155 id of the chain: part of what the owner signs.
    pub chain: u64,
    /// The journal's origin: part of what the owner signs.
    #[schemars(with = "String")]
    pub origin: B256,
    /// The owner in force.
    #[schemars(with = "String")]
    pub owner: Address,
    /// Version of the policy in force: part of what the owner signs.
    pub policy_version: u64,
    /// What waits, oldest first.
    pub held: Vec<HeldView>,
    /// How many more wait than fit into this answer.
    #[serde(default)]
    pub left_out: u64,
    /// What the owner decided lately, oldest first.
    pub decided: Vec<DecisionView>,
}

/// An intent that waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldView {
    /// Which.
    pub id: IntentId,
    /// The task, as the mind calls it.
    pub task: String,
    /// What was asked.
    pub intent: Intent,
    /// Hash of its exact body.
    #[schemars(with = "String")]
    pub body: B256,
    /// When it was held.
    pub at: Timestamp,
    /// When it closes, if nobody decides.
    pub closes: Timestamp,
    /// The rules that ask.
    pub why: Vec<Row>,
}

/// A decision of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionView {
    /// Which intent.
    pub id: IntentId,
    /// Approved, or denied.
    pub approved: bool,
    /// Whose signature it was.
    #[schemars(with = "String")]
    pub by: Address,
    /// The journal entry.
    pub entry: u64,
}

impl Proposal {
    /// The id that this proposal has for a sub-agent of `agent`, or for `agent` itself.
    #[must_use]
    pub fn id_of(&self, origin: B256, agent: &str, sub_agent: Option<&str>) -> IntentId {
        match (sub_agent, &self.intent) {
            // One authorisation, and one permit, is taken back once, whoever asks for it.
            (None, _) | (_, Intent::Cancel(_) | Intent::InvalidatePermit { .. }) => {
                self.id(origin, agent)
            }
            (Some(name), _) => self.id(origin, agent).below(name),
        }
    }

    /// The id that this proposal has for `agent` in the journal of `origin`.
    #[must_use]
    pub fn id(&self, origin: B256, agent: &str) -> IntentId {
        match &self.intent {
            Intent::Settle(settle) => IntentId::settlement(origin, agent, settle),
            Intent::Cancel(cancel) => {
                IntentId::cancellation(origin, agent, cancel.intent, self.attempt)
            }
            Intent::SettlePermit(settle) => IntentId::permit_settlement(origin, agent, settle),
            Intent::InvalidatePermit { intent } => {
                IntentId::invalidation(origin, agent, *intent, self.attempt)
            }
            _ => IntentId::derive(origin, agent, &self.task, self.step, self.ordinal, self.attempt),
        }
    }
}
