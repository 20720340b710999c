//! The linear right to one signature.
//!
//! A permit cannot be cloned, is made only by the core beside the entry that reserves it, and is
//! used up by the signer. It never leaves the process.

use crate::{entry::Order, state::Record};
use alloy_primitives::{Address, B256};
use marque_policies::{IntentId, Money, Timestamp};

/// The right to sign what one allowed intent says, once.
#[derive(Debug)]
#[must_use = "what was reserved must be signed or released"]
pub struct Permit {
    id: IntentId,
    agent: String,
    policy: B256,
    payee: Option<Address>,
    maximum: Option<Money>,
    expires: Timestamp,
    order: Order,
}

impl Permit {
    /// Grants what `record` has reserved.
    pub(super) fn grant(record: &Record, order: Order, expires: Timestamp) -> Self {
        Self {
            id: record.decided.id,
            agent: record.agent.clone(),
            policy: record.decided.policy,
            payee: record.payee(),
            maximum: record.decided.intent.spends(),
            expires,
            order,
        }
    }

    /// Whose key may be used.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// For which intent.
    #[must_use]
    pub const fn id(&self) -> IntentId {
        self.id
    }

    /// Hash of the policy that allowed it.
    #[must_use]
    pub const fn policy(&self) -> B256 {
        self.policy
    }

    /// The only address that may be paid.
    #[must_use]
    pub const fn payee(&self) -> Option<Address> {
        self.payee
    }

    /// The most that may be paid.
    #[must_use]
    pub const fn maximum(&self) -> Option<Money> {
        self.maximum
    }

    /// Unix milliseconds after which it must not be used.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Uses it up.
    #[must_use]
    pub fn spend(self) -> Order {
        self.order
    }

    /// What is to be signed.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }
}
