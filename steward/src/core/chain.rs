//! Moves of an intent that the chain, or our own sending, makes.
//!
//! A move that no longer fits, because the same news came twice or too late, changes nothing.

use crate::{
    core::{Effect, Permit, Reply, Step},
    entry::{Body, Order, Word},
    state::{Record, State},
};
use marque_policies::{Intent, IntentId, Timestamp};
use marque_steward_client::PaymentState;

/// A permit to sign a transaction is used at once or not at all.
pub(super) const SIGN_WITHIN: Timestamp = 60_000;

pub(super) fn moved(state: &State, body: Body) -> Step {
    let Some((id, from)) = origin(&body) else { return Step::nothing() };
    match state.intent(id) {
        Some(record) if from.contains(&record.state) => {
            Step::noted(Some(record.agent.clone()), Word::Attested, body)
        }
        _ => Step::nothing(),
    }
}

/// Which states a move may come from.
const fn origin(body: &Body) -> Option<(IntentId, &'static [PaymentState])> {
    use PaymentState::{Reserved, Seen, Sent, Signed};
    Some(match body {
        Body::Signed { id, .. } | Body::Released { id, .. } => (*id, &[Reserved]),
        Body::Sent { id } => (*id, &[Signed]),
        Body::Seen { id, .. } | Body::Reverted { id, .. } | Body::Expired { id, .. } => {
            (*id, &[Signed, Sent])
        }
        Body::Unseen { id } | Body::Final { id, .. } => (*id, &[Seen]),
        _ => return None,
    })
}

/// Signs a transaction as the journal says, for the first time or, where the outbox has lost the
/// bytes, the same ones again. Not while the steward is frozen.
pub(super) fn resume(state: &State, id: IntentId, now: Timestamp) -> Step {
    let Some(record) = state.intent(id) else { return Step::nothing() };
    let stopped = state.frozen().is_some() && !matches!(record.decided.intent, Intent::Sweep(_));
    match (&record.order, record.state) {
        (
            Some(order @ Order::Transaction(_)),
            PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent,
        ) if !stopped => Step {
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
