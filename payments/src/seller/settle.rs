//! Having a payment settled by the steward, and waiting until that can be believed.
//!
//! A settlement begins when the steward has journalled and sent it: from then on it is bound to its
//! request for good, and only the chain can make it come to nothing. It is believed when the steward
//! has seen it on chain, whoever brought it there.

use super::{Confirm, Seller, check, sale::Sale};
use crate::{
    PaymentError,
    error::shortened,
    signed_payment::SignedPayment,
    verify::{Flaw, Reason},
    x402::{PaymentRequirements, SettlementResponse},
};
use alloy_primitives::B256;
use marque_policies::{Intent, IntentId};
use marque_steward_client::{Artifact, Foreseen, Outcome, PaymentState, Preview, Proposal, View};
use std::time::Duration;
use tokio::time::Instant;

/// The steward asks for a task with every intent; a settlement's id does not depend on it.
const TASK: &str = "sales";

/// One look at the steward takes at most so long.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that find nothing new are so far apart at least.
const PAUSE: Duration = Duration::from_millis(100);

/// A facilitator's settlement is looked for so long on the steward's chain before the steward settles
/// by itself: its endpoint may be some blocks behind.
const LAG: Duration = Duration::from_secs(5);

/// How the steward begins when a simulated settlement reverts.
const WOULD_FAIL: &str = "it would fail";

/// Why there is no money yet, or none at all.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// This payment will not do; another might.
    Refused(Flaw),
    /// The authorisation has bought something else before.
    Taken,
    /// The same payment may do later.
    NotYet(String),
}

/// A settlement that is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) id: IntentId,
    /// The transaction, where the answer named one.
    pub(super) transaction: Option<B256>,
}

/// What is proposed for a claim.
pub(crate) fn proposal(intent: Intent) -> Proposal {
    Proposal { task: TASK.to_owned(), step: 0, ordinal: 0, attempt: 0, intent }
}

impl Seller {
    /// Whether a payment may be worked for before it is settled, as far as can be told without moving
    /// money: by our own rules, a facilitator's word, and the steward's preview. All of these can only
    /// refuse.
    pub(super) async fn promising(&self, sale: &Sale<'_>) -> Result<(), Unsettled> {
        self.fresh(sale.claim, sale).await?;
        if let Some(facilitator) = self.facilitator.as_ref().filter(|_| !metered(sale.claim)) {
            let required = PaymentRequirements::from(sale.terms);
            match facilitator.verify(sale.sent, &required).await {
                Ok(verdict) if verdict.is_valid => {}
                Ok(verdict) => {
                    let why =
                        verdict.invalid_reason.unwrap_or_else(|| "no reason given".to_owned());
                    let why = format!("the facilitator refuses it: {}", shortened(&why));
                    return Err(Unsettled::Refused(Flaw::new(Reason::Verify, why)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the facilitator cannot verify");
                    let why = "the seller's facilitator does not answer".to_owned();
                    return Err(Unsettled::NotYet(why));
                }
            }
        }
        let Some(preview) = self.preview(sale.claim).await else { return Ok(()) };
        match &preview.foreseen {
            Foreseen::Allowed => Ok(()),
            Foreseen::Held { .. } => {
                Err(Unsettled::NotYet("the seller's owner has to decide".to_owned()))
            }
            Foreseen::Refused { table } => {
                let refused = PaymentError::Refused { id: preview.id, table: table.clone() };
                tracing::info!(%refused, "a settlement would be refused");
                Err(refused_by_policy())
            }
            Foreseen::Fault { code, .. } if code == "id_reused" => Err(Unsettled::Taken),
            Foreseen::Fault { code, message }
                if code == "chain" && message.starts_with(WOULD_FAIL) =>
            {
                Err(Unsettled::Refused(not_taken(&preview, sale.claim, message)))
            }
            Foreseen::Fault { message, .. } => {
                tracing::warn!(message, "a settlement cannot be foreseen");
                Err(Unsettled::NotYet("the seller cannot settle now".to_owned()))
            }
        }
    }

    /// Has the steward take the payment: decided, journalled, sent. Found settled, it is taken as
    /// well.
    pub(super) async fn begin(
        &self,
        claim: &SignedPayment,
        sale: &Sale<'_>,
    ) -> Result<Begun, Unsettled> {
        self.fresh(claim, sale).await?;
        self.by_facilitator(claim, sale).await?;
        match self.steward.propose(proposal(claim.intent())).await {
            Ok(Outcome::Allowed { id, artifact }) => {
                let transaction = match artifact {
                    Artifact::Transaction { hash } => Some(hash),
                    _ => None,
                };
                Ok(Begun { id, transaction })
            }
            Ok(Outcome::Held { id, .. }) => {
                tracing::info!(%id, "a settlement is held for the owner");
                Err(Unsettled::NotYet("the seller's owner has to decide".to_owned()))
            }
            Ok(Outcome::Refused { id, table }) => {
                let refused = PaymentError::Refused { id, table };
                tracing::info!(%refused, "a settlement is refused");
                Err(refused_by_policy())
            }
            Err(PaymentError::Fault(fault)) if fault.code == "id_reused" => Err(Unsettled::Taken),
            // The simulation says what is wrong with the payment (no balance, a nonce used before),
            // which the buyer can mend. A chain that does not answer is our own trouble.
            Err(PaymentError::Fault(fault))
                if fault.code == "chain" && fault.message.starts_with(WOULD_FAIL) =>
            {
                let flaw = Flaw::new(Reason::TransactionState, shortened(&fault.message));
                Err(Unsettled::Refused(match self.preview(claim).await {
                    Some(preview) => not_taken(&preview, claim, &fault.message),
                    None => flaw,
                }))
            }
            Err(error) => {
                tracing::warn!(%error, "a settlement did not come about");
                Err(Unsettled::NotYet("the seller cannot settle now".to_owned()))
            }
        }
    }

    /// Whether it is enough, and in time or settled when it was. How it came to be settled says
    /// nothing about the price, so what is too little stays so.
    async fn fresh(&self, claim: &SignedPayment, sale: &Sale<'_>) -> Result<(), Unsettled> {
        match check::fresh(claim, sale.terms, sale.now) {
            Err(flaw)
                if flaw.reason == Reason::Value || !self.settled_before(claim, sale.view).await =>
            {
                Err(Unsettled::Refused(flaw))
            }
            _ => Ok(()),
        }
    }

    /// The settlement that the steward has under the same id, where it is one of its newest: it says
    /// what was charged.
    pub(super) async fn recorded(
        &self,
        sale: &Sale<'_>,
    ) -> Result<Option<SignedPayment>, Unsettled> {
        if !self.settled_before(sale.claim, sale.view).await {
            return Ok(None);
        }
        let id = proposal(sale.claim.intent()).id(sale.view.origin, &sale.view.agent);
        let view = self.steward.view().await.map_err(|error| {
            tracing::warn!(%error, "the steward does not answer");
            Unsettled::NotYet("the seller cannot settle now".to_owned())
        })?;
        let known = view.intents.iter().find(|intent| intent.status.id == id);
        let Some(known) = known.and_then(|intent| SignedPayment::of(&intent.intent)) else {
            return Ok(None);
        };
        // All is signed but the charge, so all else must be the same: payee, maximum, resource.
        let whole = known.clone().charging(known.amount().units);
        if whole != *sale.claim {
            return Err(Unsettled::Taken);
        }
        self.fresh(&known, sale).await?;
        Ok(Some(known))
    }

    /// Whether the steward has this settlement on its way or behind it.
    async fn settled_before(&self, claim: &SignedPayment, view: &View) -> bool {
        use PaymentState::{Final, Reserved, Seen, Sent, Signed};
        let id = proposal(claim.intent()).id(view.origin, &view.agent);
        match self.steward.wait(id, Duration::ZERO).await {
            Ok(status) => matches!(status.state, Reserved | Signed | Sent | Seen | Final),
            Err(_) => false,
        }
    }

    /// Lets the facilitator bring the payment to the chain. Its word counts only against a payment:
    /// that it has come is believed when the steward finds it there, and where the steward does not,
    /// it settles by itself, by its own policy.
    async fn by_facilitator(
        &self,
        claim: &SignedPayment,
        sale: &Sale<'_>,
    ) -> Result<(), Unsettled> {
        // What is metered names our own steward as the one who settles.
        let Some(facilitator) = self.facilitator.as_ref().filter(|_| !metered(claim)) else {
            return Ok(());
        };
        let known = self.preview(claim).await;
        let there = |preview: &Option<Preview>| preview.as_ref().is_some_and(|it| it.settled);
        if there(&known) || self.settled_before(claim, sale.view).await {
            return Ok(());
        }
        let required = PaymentRequirements::from(sale.terms);
        match facilitator.settle(sale.sent, &required).await {
            Ok(SettlementResponse { success: true, transaction, .. }) => {
                let deadline = Instant::now() + LAG;
                loop {
                    match self.preview(claim).await {
                        None => return Ok(()),
                        Some(preview) if preview.settled => return Ok(()),
                        Some(_) if Instant::now() >= deadline => break,
                        Some(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
                tracing::error!(
                    facilitator = %facilitator.url(),
                    transaction = shortened(&transaction),
                    "the facilitator says that it has settled, and the chain has no such payment; \
                     the steward settles by itself"
                );
                Ok(())
            }
            Ok(SettlementResponse { error_reason, .. }) => {
                // One that took the money and says that it did not is found as well.
                if there(&self.preview(claim).await) {
                    return Ok(());
                }
                let why = error_reason.unwrap_or_else(|| "no reason given".to_owned());
                let why = format!("the facilitator refuses it: {}", shortened(&why));
                Err(Unsettled::Refused(Flaw::new(Reason::TransactionState, why)))
            }
            Err(error) => {
                tracing::warn!(%error, "the facilitator does not answer; the chain is asked");
                if there(&self.preview(claim).await) {
                    return Ok(());
                }
                Err(Unsettled::NotYet("the seller's facilitator does not answer".to_owned()))
            }
        }
    }

    /// What the steward would make of it, where it can say.
    async fn preview(&self, claim: &SignedPayment) -> Option<Preview> {
        match self.steward.preview(proposal(claim.intent())).await {
            Ok(preview) => Some(preview),
            Err(PaymentError::Unsupported(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "a settlement cannot be foreseen");
                None
            }
        }
    }

    /// Waits until the settlement is seen or final, as far as our patience goes; answers the
    /// transaction, where there is one.
    pub(super) async fn believe(&self, id: IntentId) -> Result<Option<B256>, Unsettled> {
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
                    return Ok(Some(paid));
                }
                // What was metered to nothing has no transaction.
                (PaymentState::Final, paid) => return Ok(paid),
                (PaymentState::Released | PaymentState::Expired | PaymentState::Cancelled, _) => {
                    let why = "the chain did not accept it";
                    return Err(Unsettled::Refused(Flaw::new(Reason::TransactionState, why)));
                }
                (PaymentState::Refused | PaymentState::Denied, _) => {
                    return Err(refused_by_policy());
                }
                _ if Instant::now() >= deadline => {
                    return Err(Unsettled::NotYet("the payment is still being settled".to_owned()));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

const fn metered(claim: &SignedPayment) -> bool {
    matches!(claim, SignedPayment::Permit(settle) if settle.via.facilitator().is_some())
}

fn refused_by_policy() -> Unsettled {
    Unsettled::Refused(Flaw::new(Reason::Settle, "the seller's policy refuses it"))
}

/// Why the chain would not take it, as well as the preview can tell.
pub(crate) fn not_taken(preview: &Preview, claim: &SignedPayment, message: &str) -> Flaw {
    match preview.payer {
        Some(payer) if payer.used => {
            Flaw::new(Reason::TransactionState, "its nonce is used on chain already")
        }
        Some(payer) if payer.balance < claim.amount().units => Flaw::new(
            Reason::InsufficientFunds,
            format!("the payer has {} base units of {}", payer.balance, claim.amount().units),
        ),
        _ => Flaw::new(Reason::TransactionState, shortened(message)),
    }
}
