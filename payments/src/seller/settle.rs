//! Having a payment settled by the steward, and waiting until that can be believed.

use super::{Confirm, Seller, check};
use crate::{PaymentError, error::shortened, x402::Terms};
use alloy_primitives::B256;
use marque_policies::{Intent, IntentId, intent::Settle};
use marque_steward_client::{Outcome, PaymentState, Proposal, View};
use std::time::Duration;
use tokio::time::Instant;

/// The steward asks for a task with every intent; a settlement's id does not depend on it.
const TASK: &str = "sales";

/// One look at the steward takes at most so long.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that find nothing new are so far apart at least.
const PAUSE: Duration = Duration::from_millis(100);

/// How the steward begins when a simulated settlement reverts.
const WOULD_FAIL: &str = "it would fail";

/// Why there is no money yet, or none at all.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// This payment will not do; another might.
    Refused(String),
    /// The authorisation has bought something else before.
    Taken,
    /// The same payment may do later.
    NotYet(String),
}

impl Seller {
    /// Settles a payment, or finds that it was settled before; answers the transaction.
    pub(super) async fn settle(
        &self,
        settle: Settle,
        terms: &Terms,
        view: &View,
    ) -> Result<B256, Unsettled> {
        let proposal = Proposal {
            task: TASK.to_owned(),
            step: 0,
            ordinal: 0,
            attempt: 0,
            intent: Intent::Settle(settle.clone()),
        };
        if let Err(error) = check::fresh(&settle, terms, view.now)
            && !self.settled_before(proposal.id(view.origin, &view.agent)).await
        {
            return Err(Unsettled::Refused(error.to_string()));
        }
        let id = match self.steward.propose(proposal).await {
            // Its transaction is told by its state: an answer that was given before may lack it.
            Ok(Outcome::Allowed { id, .. }) => id,
            Ok(Outcome::Held { id, .. }) => {
                tracing::info!(%id, "a settlement is held for the owner");
                return Err(Unsettled::NotYet("the seller's owner has to decide".to_owned()));
            }
            Ok(Outcome::Refused { id, table }) => {
                let refused = PaymentError::Refused { id, table };
                tracing::info!(%refused, "a settlement is refused");
                return Err(Unsettled::Refused("the seller's policy refuses it".to_owned()));
            }
            Err(PaymentError::Fault(fault)) if fault.code == "id_reused" => {
                return Err(Unsettled::Taken);
            }
            // The simulation says what is wrong with the payment (no balance, a nonce used before),
            // which the buyer can mend. A chain that does not answer is our own trouble.
            Err(PaymentError::Fault(fault))
                if fault.code == "chain" && fault.message.starts_with(WOULD_FAIL) =>
            {
                return Err(Unsettled::Refused(shortened(&fault.message)));
            }
            Err(error) => {
                tracing::warn!(%error, "a settlement did not come about");
                return Err(Unsettled::NotYet("the seller cannot settle now".to_owned()));
            }
        };
        self.believe(id).await
    }

    /// Whether the steward has this settlement on its way or behind it.
    async fn settled_before(&self, id: IntentId) -> bool {
        use PaymentState::{Final, Reserved, Seen, Sent, Signed};
        match self.steward.wait(id, Duration::ZERO).await {
            Ok(status) => matches!(status.state, Reserved | Signed | Sent | Seen | Final),
            Err(_) => false,
        }
    }

    /// Waits until the settlement is seen or final, as far as our patience goes.
    async fn believe(&self, id: IntentId) -> Result<B256, Unsettled> {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let status = match self.steward.wait(id, left.min(LOOK)).await {
                Ok(status) => status,
                Err(error) => {
                    tracing::warn!(%id, %error, "a settlement's state is not known");
                    return Err(Unsettled::NotYet("the seller cannot settle now".to_owned()));
                }
            };
            match (status.state, status.transaction) {
                (PaymentState::Seen, Some(paid)) if self.confirm == Confirm::Seen => {
                    return Ok(paid);
                }
                (PaymentState::Final, Some(paid)) => return Ok(paid),
                (PaymentState::Released | PaymentState::Expired | PaymentState::Cancelled, _) => {
                    return Err(Unsettled::Refused("the chain did not accept it".to_owned()));
                }
                (PaymentState::Refused | PaymentState::Denied, _) => {
                    return Err(Unsettled::Refused("the seller's policy refuses it".to_owned()));
                }
                _ if Instant::now() >= deadline => {
                    return Err(Unsettled::NotYet("the payment is still being settled".to_owned()));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
