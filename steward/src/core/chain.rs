//! Moves of an intent that the chain, or our own sending, makes.
//!
//! A move that no longer fits, because the same news came twice or too late, changes nothing.

use crate::{
    core::{Effect, GasPlan, Permit, Reply, Step, fees},
    entry::{Body, Order, Word},
    state::{Record, State},
};
use alloy_primitives::U256;
use marque_policies::{AssetId, IntentId, Timestamp};
use marque_steward_client::PaymentState;

/// A permit to sign a transaction is used at once or not at all.
pub(super) const SIGN_WITHIN: Timestamp = 60_000;

/// Nodes take a transaction in place of another only for a tenth more a unit of gas; this is an
/// eighth.
const MORE: u64 = 8;

pub(super) fn moved(state: &State, body: Body, now: Timestamp) -> Step {
    let Some((id, from)) = origin(&body) else { return Step::nothing() };
    let Some(record) = state.intent(id) else { return Step::nothing() };
    let transaction = record.order.as_ref().and_then(Order::transaction);
    let fits = match &body {
        Body::Signed { .. } => record.awaits_signature(),
        Body::Cancelled { .. } => {
            from.contains(&record.state) && record.order.as_ref().is_some_and(Order::is_handed_out)
        }
        // A settlement that came to nothing is tried again under its id: late news of the first
        // transaction is none of the second.
        Body::Reverted { at, .. } => {
            from.contains(&record.state) && record.hashes().any(|hash| hash == at.transaction)
        }
        // A permit that was drawn on in secret is in no block that anybody knows.
        Body::Final { .. } => {
            record.state == PaymentState::Seen
                || (from.contains(&record.state)
                    && matches!(record.order, Some(Order::PermitTransfer(_))))
        }
        // What fills a nonce is nobody's payment, wherever it is.
        Body::Seen { .. } => from.contains(&record.state) && !record.filled,
        Body::Filled { .. } => from.contains(&record.state) && transaction.is_some(),
        Body::Replaced { max_fee, .. } => {
            from.contains(&record.state) && transaction.is_some_and(|it| *max_fee > it.max_fee)
        }
        _ => from.contains(&record.state),
    };
    match body {
        _ if !fits => Step::nothing(),
        Body::Released { why, .. } if has_later(state, record) => fill(record, why, now),
        body => {
            let contradicted = contradicted(record, &body);
            let mut step = Step::noted(Some(record.agent.clone()), Word::Attested, body);
            let agent = || Some(record.agent.clone());
            step.entries.extend(contradicted.map(|body| (agent(), Word::Attested, body)));
            step
        }
    }
}

/// What of the counterparty's claim the chain contradicts, now that it has decided.
fn contradicted(record: &Record, body: &Body) -> Option<Body> {
    let state = match body {
        Body::Final { .. } => PaymentState::Final,
        Body::Expired { .. } => PaymentState::Expired,
        Body::Cancelled { .. } => PaymentState::Cancelled,
        _ => return None,
    };
    record.contradicts(record.claim?, state)
}

/// Which states a move may come from.
const fn origin(body: &Body) -> Option<(IntentId, &'static [PaymentState])> {
    use PaymentState::{Reserved, Seen, Sent, Signed};
    Some(match body {
        Body::Signed { id, .. } | Body::Released { id, .. } => (*id, &[Reserved]),
        // These two a replay knows from the journal; at work they are made here.
        Body::Filled { id, .. } => (*id, &[Reserved]),
        Body::Replaced { id, .. } => (*id, &[Signed, Sent]),
        Body::Sent { id } => (*id, &[Signed]),
        Body::Seen { id, .. }
        | Body::Reverted { id, .. }
        | Body::Cancelled { id, .. }
        | Body::Expired { id, .. } => (*id, &[Signed, Sent]),
        Body::Unseen { id } => (*id, &[Seen]),
        Body::Final { id, .. } => (*id, &[Seen, Sent]),
        _ => return None,
    })
}

/// Whether a later account nonce than this record's is taken.
fn has_later(state: &State, record: &Record) -> bool {
    let order = record.order.as_ref().and_then(Order::transaction);
    let taken = state.agent(&record.agent).map_or(0, |account| account.nonce);
    order.is_some_and(|order| order.nonce.saturating_add(1) < taken)
}

/// What comes to nothing before it is signed gives its nonce back, if that was the last one taken.
/// Otherwise the transactions behind it would wait for ever: its nonce is filled.
fn fill(record: &Record, why: String, now: Timestamp) -> Step {
    let id = record.decided.id;
    let Some(order) = record.order.as_ref().and_then(Order::transaction) else {
        return Step::nothing();
    };
    let order = Order::Transaction(order.to_nowhere());
    let entries = vec![(Some(record.agent.clone()), Word::Attested, Body::Filled { id, why })];
    Step { entries, effect: Effect::Sign(again(record, &order, now)), reply: Reply::Allowed(id) }
}

/// The same transaction with higher fees, where the limits on fees have room for them and the
/// owner need not be asked.
///
/// `counted` is the time at which the limits are looked at.
pub(super) fn replace(
    state: &State,
    id: IntentId,
    plan: GasPlan,
    (now, counted): (Timestamp, Timestamp),
) -> Step {
    let Some(record) = state.intent(id) else { return Step::nothing() };
    let out = matches!(record.state, PaymentState::Signed | PaymentState::Sent);
    let stopped = state.frozen().is_some() && !record.passes_frozen();
    let Some(order) = record.order.as_ref().and_then(Order::transaction) else {
        return Step::nothing();
    };
    if !out || stopped || record.hash.is_none() {
        return Step::nothing();
    }
    let raised = |old: U256, wanted: u128| {
        let least = old.saturating_add(old / U256::from(MORE)).saturating_add(U256::from(1));
        least.max(U256::from(wanted))
    };
    let max_priority_fee = raised(order.max_priority_fee, plan.max_priority_fee);
    let max_fee = raised(order.max_fee, plan.max_fee).max(max_priority_fee);
    let limit = U256::from(order.gas_limit);
    let more = limit.saturating_mul(max_fee.saturating_sub(order.max_fee));
    let who = (record.agent.as_str(), record.decided.sub_agent.as_deref());
    let fees = (more, limit.saturating_mul(max_fee));
    if !fees::fit(state, who, AssetId::native(order.chain), fees, counted) {
        return Step::nothing();
    }
    let mut next = record.order.clone();
    if let Some(order) = next.as_mut().and_then(Order::transaction_mut) {
        (order.max_fee, order.max_priority_fee) = (max_fee, max_priority_fee);
    }
    let Some(next) = next else { return Step::nothing() };
    let body = Body::Replaced { id, max_fee, max_priority_fee };
    Step {
        entries: vec![(Some(record.agent.clone()), Word::Attested, body)],
        effect: Effect::Sign(again(record, &next, now)),
        reply: Reply::Allowed(id),
    }
}

/// What the chain says of an agent's key and no intent.
pub(super) fn told(state: &State, agent: String, body: Body) -> Step {
    let Some(account) = state.agent(&agent) else { return Step::nothing() };
    let news = match &body {
        Body::Received { upto, .. } => *upto > account.received,
        Body::Scanned { .. } => true,
        _ => false,
    };
    if news { Step::noted(Some(agent), Word::Attested, body) } else { Step::nothing() }
}

/// Signs a transaction as the journal says, for the first time or, where the outbox has lost the
/// bytes, the same ones again. Not while the steward is frozen, but for what passes then.
pub(super) fn resume(state: &State, id: IntentId, now: Timestamp) -> Step {
    let Some(record) = state.intent(id) else { return Step::nothing() };
    let stopped = state.frozen().is_some() && !record.passes_frozen();
    match (&record.order, record.state) {
        // What is seen may be somebody else's doing: ours is out all the same.
        (
            Some(order),
            PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent | PaymentState::Seen,
        ) if !stopped && order.transaction().is_some() => Step {
            entries: Vec::new(),
            effect: Effect::Sign(again(record, order, now)),
            reply: Reply::Allowed(id),
        },
        _ => Step::nothing(),
    }
}

/// A permit for what the journal already says: the same facts, hence the same bytes.
pub(super) fn again(record: &Record, order: &Order, now: Timestamp) -> Box<Permit> {
    Box::new(Permit::grant(record, order.clone(), now.saturating_add(SIGN_WITHIN)))
}
