//! Intents that are closed for good and out of every view: the little that rules still need of
//! them. The whole record is in the journal, under the number of its entry.
//!
//! What is archived depends on the entries alone: it happens where a [`Body::Checkpointed`] entry
//! is folded.
//!
//! [`Body::Checkpointed`]: crate::entry::Body::Checkpointed

use crate::{
    entry::{Body, Entry, OnChain, Order, PermitOrder},
    state::{Record, State},
};
use alloy_primitives::{Address, B256, U256};
use marque_policies::{IntentId, Timestamp};
use marque_steward_client::{IntentState, PaymentState};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeMap};

/// The newest intents of an agent stay as they are, and so many are more than a view shows.
const KEPT: usize = 128;

/// So long after its verdict an intent stays as it is.
const KEPT_FOR: Timestamp = 3_600_000;

/// What is kept of a closed intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// Whose: the entry that enrolled the agent.
    #[serde(rename = "g")]
    pub enrolled: u64,
    /// The entry of the verdict.
    #[serde(rename = "e")]
    pub entry: u64,
    /// When that was.
    #[serde(rename = "a")]
    pub at: Timestamp,
    /// Hash of the intent.
    #[serde(rename = "b")]
    pub body: B256,
    /// How it ended.
    #[serde(rename = "s")]
    pub state: PaymentState,
    /// Which account below the agent proposed it, if one did.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub sub_agent: Option<String>,
    /// What more there is of a payment.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Box<Payment>>,
}

/// What is kept of a closed payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Who was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<Address>,
    /// Token and nonce of the authorisation, or of the permit, that was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorisation: Option<(Address, B256)>,
    /// Hash of our own transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<B256>,
    /// Where on chain it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<OnChain>,
    /// The most that a permit let go, where nobody knows in which transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<U256>,
}

impl Archived {
    fn of(record: &Record, enrolled: u64, now: Timestamp) -> Self {
        let authorisation = record.order.as_ref().and_then(Order::signed_payment);
        let (payee, hash, seen) = (record.payee(), record.hash, record.seen);
        let hidden = |order: &PermitOrder| {
            (record.state == PaymentState::Final && seen.is_none()).then_some(order.amount.units)
        };
        let most = match &record.order {
            Some(Order::PermitTransfer(order)) => hidden(order),
            _ => None,
        };
        let payment = Payment { payee, authorisation, hash, seen, most };
        Self {
            enrolled,
            entry: record.entry,
            at: record.at,
            body: record.decided.body,
            state: record.standing(now),
            sub_agent: record.decided.sub_agent.clone(),
            payment: (payment != Payment::default()).then(|| Box::new(payment)),
        }
    }

    /// Whether something was let go for it, for which the chain has the last word.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        matches!(self.state, PaymentState::Final)
    }

    /// The address that was paid, if it was a payment to somebody.
    #[must_use]
    pub fn payee(&self) -> Option<Address> {
        self.payment.as_ref()?.payee
    }

    /// The state as the protocol tells it.
    #[must_use]
    pub fn status(&self, id: IntentId) -> IntentState {
        let payment = self.payment.as_ref();
        let seen = payment.and_then(|payment| payment.seen);
        IntentState {
            id,
            state: self.state,
            transaction: seen
                .map(|at| at.transaction)
                .or_else(|| payment.and_then(|payment| payment.hash)),
            block: seen.map(|at| at.block),
        }
    }

    /// The record as it was, from the entry of its verdict.
    fn restore(&self, id: IntentId, entry: &Entry) -> Option<Record> {
        let (decided, debits, order) = match &entry.body {
            Body::Refused(decided) | Body::Held(decided) => (&**decided, Vec::new(), None),
            Body::Allowed(allowed) => {
                let order = Some(allowed.order.clone());
                (&allowed.decided, allowed.debits.clone(), order)
            }
            _ => return None,
        };
        if (entry.seq, decided.id, decided.body) != (self.entry, id, self.body) {
            return None;
        }
        let payment = self.payment.as_ref();
        Some(Record {
            agent: entry.agent.clone()?,
            decided: decided.clone(),
            at: entry.at,
            entry: entry.seq,
            closes: entry.at,
            state: self.state,
            approval: None,
            debits,
            order,
            hash: payment.and_then(|payment| payment.hash),
            earlier: Vec::new(),
            filled: false,
            seen: payment.and_then(|payment| payment.seen),
            claim: None,
        })
    }
}

impl State {
    /// An intent that is closed and out of view.
    #[must_use]
    pub fn archived(&self, id: IntentId) -> Option<&Archived> {
        self.archive.get(&id)
    }

    /// How many intents are archived.
    #[must_use]
    pub fn archived_intents(&self) -> usize {
        self.archive.len()
    }

    /// Where an intent of `agent` stands, archived or not.
    #[must_use]
    pub fn status(&self, agent: &str, id: IntentId, now: Timestamp) -> Option<IntentState> {
        self.status_for(agent, None, id, now)
    }

    /// The same for an account below the agent, which has its own alone.
    #[must_use]
    pub fn status_for(
        &self,
        agent: &str,
        sub_agent: Option<&str>,
        id: IntentId,
        now: Timestamp,
    ) -> Option<IntentState> {
        if let Some(record) = self.intents.get(&id) {
            return record.is_of(agent, sub_agent).then(|| record.status(now));
        }
        let archived = self.archive.get(&id)?;
        let own = sub_agent.is_none_or(|name| archived.sub_agent.as_deref() == Some(name));
        (own && self.is_of(archived, agent)).then(|| archived.status(id))
    }

    /// The nonce of an archived permit of `agent` that a transfer to its payee may have been by: the
    /// one that was drawn on in that transaction, or else one that was drawn on nobody knows where.
    #[must_use]
    pub fn archived_draw(
        &self,
        agent: &str,
        (token, to, value): (Address, Address, U256),
        transaction: B256,
    ) -> Option<B256> {
        let mut hidden = None;
        for (id, archived) in self.archive.iter() {
            let Some(payment) = archived.payment.as_ref().filter(|_| archived.is_spent()) else {
                continue;
            };
            let Some((of, nonce)) = payment.authorisation else { continue };
            if (of, payment.payee) != (token, Some(to)) {
                continue;
            }
            let here = payment.seen.is_some_and(|seen| seen.transaction == transaction);
            let may_be = payment.most.is_some_and(|most| most >= value);
            let is_permit = || B256::from(id.permit_nonce()) == nonce;
            if (here || may_be) && self.is_of(archived, agent) && is_permit() {
                if here {
                    return Some(nonce);
                }
                hidden = Some(nonce);
            }
        }
        hidden
    }

    /// Whether an archived intent is this agent's.
    pub(super) fn is_of(&self, archived: &Archived, agent: &str) -> bool {
        self.agents.get(agent).is_some_and(|account| account.enrolled == archived.enrolled)
    }

    /// Who was paid with an intent, archived or not.
    pub(super) fn payee_of(&self, id: IntentId) -> Option<Address> {
        match self.intents.get(&id) {
            Some(record) => record.payee(),
            None => self.archive.get(&id)?.payee(),
        }
    }

    /// Lets [`State::intent`] know an archived intent again, from the entry of its verdict, until
    /// [`State::forget_recalled`]. Changes nothing of what the state says.
    pub fn recall(&mut self, id: IntentId, entry: &Entry) {
        let restored = self.archive.get(&id).and_then(|archived| archived.restore(id, entry));
        if let Some(record) = restored {
            self.recalled.insert(id, record);
        }
    }

    /// Forgets what was recalled.
    pub fn forget_recalled(&mut self) {
        self.recalled.clear();
    }

    /// Archives what is closed and old, as of `now`.
    pub(super) fn archive(&mut self, now: Timestamp) {
        let old = now.saturating_sub(KEPT_FOR);
        let mut by_agent: BTreeMap<&str, Vec<(Timestamp, u64, IntentId)>> = BTreeMap::new();
        for (id, record) in self.intents.iter() {
            by_agent.entry(&record.agent).or_default().push((record.at, record.entry, *id));
        }
        let mut closed = Vec::new();
        for (agent, mut records) in by_agent {
            let Some(account) = self.agents.get(agent) else { continue };
            records.sort_unstable_by_key(|(at, entry, _)| Reverse((*at, *entry)));
            for (at, _, id) in records.into_iter().skip(KEPT) {
                let Some(record) = self.intents.get(&id) else { continue };
                if at < old && is_over(record, now) {
                    closed.push((id, Archived::of(record, account.enrolled, now)));
                }
            }
        }
        for (id, archived) in closed {
            self.intents.remove(&id);
            self.archive.insert(id, archived);
        }
    }
}

/// Whether neither the chain nor the owner nor time changes anything any more.
fn is_over(record: &Record, now: Timestamp) -> bool {
    match (record.standing(now), &record.order) {
        // It ends with its deadline.
        (PaymentState::Final, Some(Order::Wallet(_))) => false,
        (PaymentState::Final, _) => true,
        _ => record.is_closed(now),
    }
}
