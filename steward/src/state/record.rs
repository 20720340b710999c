//! An intent's life.

use crate::entry::{Decided, OnChain, Order};
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
    /// Where on chain it is.
    pub seen: Option<OnChain>,
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
            task: self.decided.task.clone(),
            intent: self.decided.intent.clone(),
            at: self.at,
            body: self.decided.body,
        }
    }
}

/// The address that an intent pays, if it pays somebody.
pub(crate) const fn payee(intent: &Intent) -> Option<Address> {
    match intent {
        Intent::Authorise(pay) => Some(pay.to),
        Intent::Transfer(pay) => Some(pay.to),
        _ => None,
    }
}
