//! What a freeze takes back: authorisations and permits that are out and not settled yet are
//! cancelled on chain, the dearest first, and what was reserved and never signed is released.
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
use alloy_primitives::{B256, U256};
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
    let mut out: Vec<Out> = live
        .iter()
        .filter_map(|record| match &record.order {
            _ if record.state != PaymentState::Sent => None,
            Some(Order::Authorisation(order)) => Some(Out {
                id: record.decided.id,
                how: Back::Cancel,
                units: order.amount.units,
                ends: order.valid_before,
            }),
            Some(Order::PermitTransfer(order)) => Some(Out {
                id: record.decided.id,
                how: Back::Invalidate,
                units: order.amount.units,
                ends: order.deadline,
            }),
            _ => None,
        })
        .collect();
    // Without limits on fees there are no transactions at all; it need not be said each time.
    let native = AssetId::native(shared.home.chain());
    let fees = policy.gas.contains_key(&native) || policy.limits.contains_key(&native);
    if out.is_empty() || !fees {
        return Ok(());
    }
    out.sort_by_key(|out| Reverse(out.units));
    let block = link.rpc.block(BlockTag::Latest).await.map_err(chain_error)?;
    let mut left = link.rpc.balance(key).await.map_err(chain_error)?;
    let each = gather::cancelling(&link.rpc).await?.most(native.chain).units;
    for Out { id, how, ends, .. } in out {
        if ends <= block.timestamp.saturating_add(ENDS_ANYWAY) {
            continue;
        }
        let Some(rest) = left.checked_sub(each) else {
            tracing::warn!(agent, %id, "not cancelled: the key has no coin left for the fees");
            return Ok(());
        };
        if take_back(shared, link, agent, (id, how)).await? {
            left = rest;
        }
    }
    Ok(())
}

/// A payment that is out.
struct Out {
    id: IntentId,
    how: Back,
    units: U256,
    /// Unix seconds of block time.
    ends: u64,
}

/// How a payment is taken back.
#[derive(Clone, Copy)]
enum Back {
    /// An authorisation, by its token.
    Cancel,
    /// A permit, by Permit2.
    Invalidate,
}

impl Back {
    fn id(self, origin: B256, agent: &str, payment: IntentId, attempt: u32) -> IntentId {
        match self {
            Self::Cancel => IntentId::cancellation(origin, agent, payment, attempt),
            Self::Invalidate => IntentId::invalidation(origin, agent, payment, attempt),
        }
    }
}

/// Proposes to take one payment back on the steward's own account; says whether that went out.
async fn take_back(
    shared: &Shared,
    link: &Link,
    agent: &str,
    (cancelled, how): (IntentId, Back),
) -> Result<bool, StewardError> {
    let name = agent.to_owned();
    let next = move |state: &State, now| attempt(state, &name, (cancelled, how), now);
    let Some(attempt) = shared.desk.look(next).await? else { return Ok(false) };
    let intent = match how {
        Back::Cancel => Intent::Cancel(Cancel { intent: cancelled }),
        Back::Invalidate => Intent::InvalidatePermit { intent: cancelled },
    };
    let proposal = Proposal { task: TASK.to_owned(), step: 0, ordinal: 0, attempt, intent };
    let facts = gather::facts(shared, (agent, None), &proposal).await?;
    let event = Event::Propose {
        agent: agent.to_owned(),
        proposal: Box::new(proposal),
        facts: Box::new(facts),
    };
    match shared.desk.submit(event).await?.reply {
        Reply::Allowed(id) => {
            tracing::info!(agent, %cancelled, "frozen: its payment is being taken back");
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
fn attempt(
    state: &State,
    agent: &str,
    (cancelled, how): (IntentId, Back),
    now: Timestamp,
) -> Option<u32> {
    let origin = state.genesis()?.origin;
    for attempt in 0..ATTEMPTS {
        let id = how.id(origin, agent, cancelled, attempt);
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
