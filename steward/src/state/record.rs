//! An intent's life.

use crate::entry::{Body, Decided, OnChain, Order};
use alloy_primitives::{Address, B256};
use marque_policies::{Intent, Money, Timestamp};
use marque_steward_client::{IntentState, IntentView, PaymentState};
use serde::{Deserialize, Serialize};

/// What is known of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose.
    pub agent: String,
    /// The latest verdict.
    pub decided: Decided,
    /// When that was.
    pub at: Timestamp,
    /// The entry of the verdict.
    pub entry: u64,
    /// When the question to the owner closes, if it is one.
    pub closes: Timestamp,
    /// Where it stands by the journal. [`Record::standing`] adds what time alone changes.
    pub state: PaymentState,
    /// The owner's approval, until it is used.
    pub approval: Option<Approval>,
    /// What was reserved.
    pub debits: Vec<Money>,
    /// What is signed.
    pub order: Option<Order>,
    /// Hash of our own transaction, once signed.
    pub hash: Option<B256>,
    /// Hashes of the same transaction with lower fees: any of them may still be mined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<B256>,
    /// Whether its transaction only fills an account nonce and moves nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filled: bool,
    /// Where on chain it is.
    pub seen: Option<OnChain>,
    /// The transaction that the counterparty says it settled in, until the chain has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<B256>,
}

/// An approval that is still to be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The entry.
    pub entry: u64,
    /// When it was journalled.
    pub at: Timestamp,
    /// The policy version it was given under.
    pub version: u64,
    /// Unix seconds after which it is void.
    pub deadline: u64,
}

impl Record {
    /// Where it stands at `now`: a held intent closes when nobody has decided, and a signature that
    /// has a deadline ends with it.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> PaymentState {
        match (self.state, &self.order) {
            (PaymentState::Held | PaymentState::Approved, _) if now > self.closes => {
                PaymentState::Refused
            }
            (PaymentState::Final, Some(Order::Wallet(wallet)))
                if now > wallet.deadline.saturating_mul(1_000) =>
            {
                PaymentState::Expired
            }
            (state, _) => state,
        }
    }

    /// Whether it is this account's: an agent has what its sub-agents have, and a sub-agent has its
    /// own alone.
    #[must_use]
    pub fn is_of(&self, agent: &str, sub_agent: Option<&str>) -> bool {
        self.agent == agent
            && sub_agent.is_none_or(|name| self.decided.sub_agent.as_deref() == Some(name))
    }

    /// Whether it waits for the owner.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.standing(now) == PaymentState::Held
    }

    /// Whether the chain may still do something with it.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(
            self.state,
            PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent | PaymentState::Seen
        )
    }

    /// Whether something was let go for it, for which the chain has the last word.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.is_live() || matches!(self.state, PaymentState::Final)
    }

    /// Whether it has come to nothing, so that another attempt may be made.
    #[must_use]
    pub fn is_closed(&self, now: Timestamp) -> bool {
        matches!(
            self.standing(now),
            PaymentState::Refused
                | PaymentState::Denied
                | PaymentState::Released
                | PaymentState::Expired
                | PaymentState::Cancelled
        )
    }

    /// All hashes under which our own transaction may be on chain, the newest first.
    pub fn hashes(&self) -> impl Iterator<Item = B256> {
        self.hash.into_iter().chain(self.earlier.iter().rev().copied())
    }

    /// Whether bytes are to be made for it: for the first time, or with other fees.
    #[must_use]
    pub const fn awaits_signature(&self) -> bool {
        match self.state {
            PaymentState::Reserved => true,
            PaymentState::Signed | PaymentState::Sent | PaymentState::Seen => {
                self.hash.is_none() && !self.earlier.is_empty()
            }
            _ => false,
        }
    }

    /// What the chain contradicts of a claim that this was settled in `claimed`, once it is over for
    /// good: the transaction that it was, or that there was none. While it lives a claim may still
    /// come true, and a reorganisation may move it.
    #[must_use]
    pub(crate) fn contradicts(&self, claimed: B256, state: PaymentState) -> Option<Body> {
        let id = self.decided.id;
        let found = match state {
            PaymentState::Final => Some(self.seen?.transaction),
            PaymentState::Expired | PaymentState::Cancelled => None,
            _ => return None,
        };
        (found != Some(claimed)).then_some(Body::Contradicted { id, claimed, found })
    }

    /// Whether it goes on while the steward is frozen: money for the owner, what takes a signature
    /// back, and what moves nothing.
    #[must_use]
    pub const fn passes_frozen(&self) -> bool {
        self.filled || passes_frozen(&self.decided.intent)
    }

    /// The address that is paid, if it is a payment to somebody.
    #[must_use]
    pub const fn payee(&self) -> Option<Address> {
        payee(&self.decided.intent)
    }

    /// The state as the protocol tells it.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> IntentState {
        IntentState {
            id: self.decided.id,
            state: self.standing(now),
            transaction: self.seen.map(|at| at.transaction).or(self.hash),
            block: self.seen.map(|at| at.block),
        }
    }

    /// The intent in short, as the protocol tells it.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> IntentView {
        IntentView {
            status: self.status(now),
            sub_agent: self.decided.sub_agent.clone(),
            task: self.decided.task.clone(),
            intent: self.decided.intent.clone(),
            at: self.at,
            body: self.decided.body,
        }
    }
}

/// Whether an intent passes while the steward is frozen.
pub(crate) const fn passes_frozen(intent: &Intent) -> bool {
    matches!(intent, Intent::Sweep(_) | Intent::Cancel(_) | Intent::InvalidatePermit { .. })
}

/// The address that an intent pays, if it pays somebody.
pub(crate) const fn payee(intent: &Intent) -> Option<Address> {
    match intent {
        Intent::Authorise(pay) => Some(pay.to),
        Intent::Transfer(pay) => Some(pay.to),
        Intent::PermitTransfer(pay) => Some(pay.to),
        _ => None,
    }
}
