//! What a freeze takes back: authorisations that are out and not settled yet are cancelled on chain,
//! the dearest first, and what was reserved and never signed is released.
//!
//! A cancellation is an intent like any other: decided by the limits on fees, reserved, journalled,
//! signed. What it cancels stays spent until the cancellation is final; if it was settled first the
//! payment stands, and only gas is lost. An authorisation lives two minutes at most, so one that
//! cannot be cancelled, because no fees are left or the chain is full, soon ends by itself.

use crate::{
    core::{Event, Reply},
    entry::{Body, Order},
    error::StewardError,
    gather,
    links::{Link, chain_error},
    outflow::Whose,
    state::{Record, State},
    steward::Shared,
};
use marque_identity::BlockTag;
use marque_policies::{AssetId, Intent, IntentId, Timestamp, intent::Cancel};
use marque_steward_client::{PaymentState, Proposal};
use std::cmp::Reverse;

/// What a freeze's cancellations are called in the journal.
const TASK: &str = "freeze";

/// An authorisation that ends within so many seconds of block time is left to end.
const ENDS_ANYWAY: u64 = 5;

/// Attempts at one cancellation.
const ATTEMPTS: u32 = 8;

/// Gives back what is reserved and not signed. It would wait for the thaw, and the cancellations
/// behind its nonce with it.
pub(crate) async fn release(shared: &Shared, live: &[Record]) -> Result<(), StewardError> {
    for record in live {
        let transaction = record.order.as_ref().and_then(Order::transaction);
        let waits = record.state == PaymentState::Reserved && transaction.is_some();
        // What was signed just before a crash waits for the thaw: its bytes are in the outbox.
        let signed = shared.outbox.get(record.decided.id)?.is_some();
        if waits && !signed && !record.passes_frozen() {
            let (id, why) = (record.decided.id, "frozen before it was signed".to_owned());
            shared.desk.submit(Event::Moved(Body::Released { id, why })).await?;
        }
    }
    Ok(())
}

/// Cancels what is out.
pub(crate) async fn withdraw(
    shared: &Shared,
    link: &Link,
    Whose { agent, key, policy }: Whose<'_>,
    live: &[Record],
) -> Result<(), StewardError> {
    let mut out: Vec<_> = live
        .iter()
        .filter_map(|record| match &record.order {
            Some(Order::Authorisation(order)) if record.state == PaymentState::Sent => {
                Some((record.decided.id, order))
            }
            _ => None,
        })
        .collect();
    // Without limits on fees there are no transactions at all; it need not be said each time.
    let native = AssetId::native(shared.home.chain());
    let fees = policy.gas.contains_key(&native) || policy.limits.contains_key(&native);
    if out.is_empty() || !fees {
        return Ok(());
    }
    out.sort_by_key(|(_, order)| Reverse(order.amount.units));
    let block = link.rpc.block(BlockTag::Latest).await.map_err(chain_error)?;
    let mut left = link.rpc.balance(key).await.map_err(chain_error)?;
    let each = gather::cancelling(&link.rpc).await?.most(native.chain).units;
    for (id, order) in out {
        if order.valid_before <= block.timestamp.saturating_add(ENDS_ANYWAY) {
            continue;
        }
        let Some(rest) = left.checked_sub(each) else {
            tracing::warn!(agent, %id, "not cancelled: the key has no coin left for the fees");
            return Ok(());
        };
        if cancel(shared, link, agent, id).await? {
            left = rest;
        }
    }
    Ok(())
}

/// Proposes one cancellation on the steward's own account; says whether one went out.
async fn cancel(
    shared: &Shared,
    link: &Link,
    agent: &str,
    cancelled: IntentId,
) -> Result<bool, StewardError> {
    let name = agent.to_owned();
    let attempt = shared.desk.look(move |state, now| attempt(state, &name, cancelled, now)).await?;
    let Some(attempt) = attempt else { return Ok(false) };
    let intent = Intent::Cancel(Cancel { intent: cancelled });
    let proposal = Proposal { task: TASK.to_owned(), step: 0, ordinal: 0, attempt, intent };
    let facts = gather::facts(shared, (agent, None), &proposal).await?;
    let event = Event::Propose {
        agent: agent.to_owned(),
        proposal: Box::new(proposal),
        facts: Box::new(facts),
    };
    match shared.desk.submit(event).await?.reply {
        Reply::Allowed(id) => {
            tracing::info!(agent, %cancelled, "frozen: its authorisation is being cancelled");
            // What could not be sent now is sent again with the next look.
            if let Err(error) = shared.send(link, id).await {
                tracing::warn!(%id, %error, "not sent yet");
            }
            Ok(true)
        }
        reply => {
            tracing::warn!(agent, %cancelled, ?reply, "not cancelled");
            Ok(false)
        }
    }
}

/// The next attempt at a cancellation, unless one is under way.
fn attempt(state: &State, agent: &str, cancelled: IntentId, now: Timestamp) -> Option<u32> {
    let origin = state.genesis()?.origin;
    for attempt in 0..ATTEMPTS {
        let id = IntentId::cancellation(origin, agent, cancelled, attempt);
        match state.intent(id) {
            None => return Some(attempt),
            // What the rules refused or asked about may be decided again.
            Some(record)
                if matches!(
                    record.state,
                    PaymentState::Refused | PaymentState::Held | PaymentState::Approved
                ) =>
            {
                return Some(attempt);
            }
            Some(record) if record.is_closed(now) => {}
            Some(_) => return None,
        }
    }
    None
}
