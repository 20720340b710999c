//! From terms to a signed payment, whatever carries the messages.
//!
//! The terms are compared with what was asked and with the policy's own names; the steward decides
//! and signs; what it signed is compared with what was proposed. What comes out can be handed over
//! by HTTP, MCP or A2A, and what comes back is read here again.

use super::{Asked, Buyer, Errand, Paid, approval, choice, choice::Choice};
use crate::{
    PaymentError, Undelivered,
    error::{Objection, Rule, shortened},
    x402::{
        self, ExactAuthorization, ExactPayload, Method, PaymentPayload, PaymentRequired,
        Permit2Authorization, Permit2Payload, Permit2Witness, Permitted, SettlementResponse, Terms,
        evidence::{self, Signed},
    },
};
use alloy_primitives::{Address, B256, U256};
use futures::future::join_all;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, recover};
use marque_policies::{
    Intent, IntentId, Label, Labels, Money,
    intent::{Authorise, PermitTransfer, PermitVia},
};
use marque_steward_client::{
    Artifact, Authorisation, Evidence, Outcome, PaymentState, Proposal, Report, Said, SignedPermit,
    View,
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use url::Url;

/// So many attempts of one errand can be over before no more are made.
const ATTEMPTS: u32 = 8;

/// A payment that was decided and signed, to be handed over by any transport.
///
/// INVARIANT: from the moment that there is one the money counts as spent. Whoever has it reports
/// what came of it, by [`Buyer::delivered`] or [`Buyer::undelivered`].
#[derive(Clone, Debug)]
#[must_use = "a signed payment counts as spent: hand it over, and report what came of it"]
pub struct Deal {
    /// The intent.
    pub id: IntentId,
    /// What is handed over.
    pub payload: PaymentPayload,
    terms: Terms,
    payee: String,
    payer: Address,
    resource: Url,
    offer: Option<Signed>,
}

/// What a seller says of a settlement, once it is known to speak of this payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The transaction; `None` where nothing was taken.
    pub transaction: Option<B256>,
    /// What was taken.
    pub charged: Money,
    /// The seller's signature under it.
    pub receipt: Option<Signed>,
}

impl Deal {
    /// What was agreed on.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What a seller says of the settlement, if it can be about this payment. It is the seller's
    /// word: only the chain knows.
    ///
    /// # Errors
    /// An [`Objection`] to the first statement that cannot be about this payment.
    pub fn claim(&self, said: &SettlementResponse) -> Result<Claim, Objection> {
        let objection = |why: String| Err(Objection::new(Rule::Settlement, why));
        let terms = &self.terms;
        if !said.success {
            let reason = said.error_reason.as_deref().unwrap_or("no reason is given");
            return objection(format!("it says that it failed: {}", shortened(reason)));
        }
        if said.network != terms.network() {
            return objection(format!("it is on \"{}\"", shortened(&said.network)));
        }
        if let Some(payer) = said.payer.as_deref()
            && payer.parse() != Ok(self.payer)
        {
            return objection(format!("it was paid by \"{}\"", shortened(payer)));
        }
        let agreed = terms.amount.units;
        let charged = match said.amount.as_deref() {
            None => Some(agreed),
            Some(text) => x402::units(text),
        };
        let upto = matches!(terms.method, Method::Upto { .. });
        let charged = match charged {
            Some(units) if units == agreed || (upto && units < agreed) => units,
            _ => {
                let text = said.amount.as_deref().unwrap_or_default();
                return objection(format!("it took \"{}\" base units", shortened(text)));
            }
        };
        let transaction = match said.transaction.parse::<B256>() {
            Ok(hash) if said.transaction.starts_with("0x") && !hash.is_zero() => Some(hash),
            // Where nothing is taken there is no transaction.
            _ if upto && charged.is_zero() && said.transaction.is_empty() => None,
            _ => {
                let text = shortened(&said.transaction);
                return objection(format!("\"{text}\" is not a transaction"));
            }
        };
        let receipt = evidence::receipt(said, terms, &self.resource, self.payer)?;
        Ok(Claim { transaction, charged: Money::new(charged, terms.amount.asset), receipt })
    }
}

impl Buyer {
    /// Has one of the seller's ways to pay decided and signed.
    ///
    /// The message layer: [`Buyer::send`] does this over HTTP. Another transport reads the terms
    /// with [`x402::read`], hands [`Deal::payload`] over and reports with
    /// [`Buyer::delivered`] or [`Buyer::undelivered`].
    ///
    /// # Errors
    /// [`PaymentError::Terms`] where the terms were turned down (nothing was proposed),
    /// [`PaymentError::Held`] and [`PaymentError::Refused`] where the steward did not sign.
    pub async fn agree(
        &self,
        required: &PaymentRequired,
        asked: &Asked,
        errand: &Errand,
    ) -> Result<Deal, PaymentError> {
        let view = self.steward.standing().await?;
        let choice =
            choice::choose(required, asked, &view, errand.max).map_err(PaymentError::Terms)?;
        let labels = errand.labels.clone().with(Label::Web(asked.host().to_owned()));
        let intent = intent(&choice, asked.host(), labels);
        let mut outcome = self.propose(errand, intent.clone(), &view).await?;
        if approval::is_wanted(&outcome) {
            self.approve_permit2(choice.terms.amount, &view).await?;
            outcome = self.propose(errand, intent, &view).await?;
        }
        let (id, artifact) = match outcome {
            Outcome::Held { id, table } => return Err(PaymentError::Held { id, table }),
            Outcome::Refused { id, table } => return Err(PaymentError::Refused { id, table }),
            Outcome::Allowed { id, artifact } => (id, artifact),
        };
        let scheme = scheme_payload(artifact, id, &choice, &view)
            .map_err(|why| PaymentError::Artifact { id, why })?;
        let payload = PaymentPayload {
            x402_version: x402::VERSION,
            resource: Some(required.resource.clone()),
            accepted: choice.requirements.clone(),
            payload: scheme,
            extensions: evidence::echoed(&required.extensions, id),
        };
        let Choice { terms, payee, resource, offer, .. } = choice;
        Ok(Deal { id, payload, terms, payee, payer: view.address, resource, offer })
    }

    /// Reports that the goods came, and what the seller says of the settlement. What it says is kept
    /// as its word: the steward compares it with the chain by itself, while nobody waits.
    pub async fn delivered(
        &self,
        deal: Deal,
        settlement: Option<&SettlementResponse>,
        goods: &[u8],
    ) -> Paid {
        let claim = settlement.map(|said| deal.claim(said)).transpose();
        let (claim, doubt) = match claim {
            Ok(claim) => (claim, None),
            Err(objection) => (None, Some(objection)),
        };
        self.conclude(deal, claim, doubt, goods).await
    }

    pub(super) async fn conclude(
        &self,
        deal: Deal,
        claim: Option<Claim>,
        doubt: Option<Objection>,
        goods: &[u8],
    ) -> Paid {
        if let Some(doubt) = &doubt {
            tracing::warn!(id = %deal.id, %doubt, "the goods came with a settlement that is not theirs");
        }
        let mut said = Vec::new();
        if let Some(Claim { transaction: Some(transaction), charged, .. }) = &claim {
            said.push(Said::Settled { transaction: *transaction, amount: Some(*charged) });
        }
        let receipt = claim.as_ref().and_then(|claim| claim.receipt.as_ref());
        for (what, signed) in [(Evidence::Offer, deal.offer.as_ref()), (Evidence::Receipt, receipt)]
        {
            if let Some(Signed { hash, by, .. }) = signed {
                said.push(Said::Signed { what, hash: *hash, by: *by });
            }
        }
        let body = B256::from_slice(&Sha256::digest(goods));
        said.push(Said::Delivered { body });
        // Together they are one group in the journal.
        join_all(said.into_iter().map(|said| self.tell(deal.id, said))).await;
        let charged = claim.as_ref().map(|claim| claim.charged);
        let transaction = claim.as_ref().and_then(|claim| claim.transaction);
        Paid {
            id: deal.id,
            payee: deal.payee,
            to: deal.terms.pay_to,
            amount: deal.terms.amount,
            charged,
            transaction,
            doubt,
            offer: deal.offer,
            receipt: claim.and_then(|claim| claim.receipt),
        }
    }

    /// Reports that no goods came for a payment that was handed over. The steward remembers it, and
    /// the seller's next payment is held once the chain shows that the money went.
    pub async fn undelivered(&self, deal: &Deal, status: Option<u16>, why: &str) -> PaymentError {
        let why = shortened(why);
        self.tell(deal.id, Said::Undelivered { why: why.clone() }).await;
        Undelivered { id: deal.id, status, why }.into()
    }

    /// Reports to the steward. A report is a courtesy to the ledger: goods that came are not thrown
    /// away because it failed.
    async fn tell(&self, intent: IntentId, said: Said) {
        if let Err(error) = self.steward.report(Report { intent, said }).await {
            tracing::warn!(%intent, %error, "the steward did not take a report");
        }
    }

    /// Proposes the errand's payment. Where the same errand was proposed before and that attempt is
    /// over for good, because it expired or was cancelled, released, refused or denied, this is the
    /// next one; while it lives, terms that have changed are refused.
    pub(super) async fn propose(
        &self,
        errand: &Errand,
        intent: Intent,
        view: &View,
    ) -> Result<Outcome, PaymentError> {
        let mut proposal = Proposal {
            task: errand.task.clone(),
            step: errand.step,
            ordinal: errand.ordinal,
            attempt: errand.attempt,
            intent,
        };
        loop {
            let fault = match self.steward.propose(proposal.clone()).await {
                Err(PaymentError::Fault(fault))
                    if matches!(fault.code.as_str(), "id_reused" | "attempt") =>
                {
                    fault
                }
                other => return other,
            };
            let id = proposal.id_of(view.origin, &view.agent, view.sub_agent.as_deref());
            let made = proposal.attempt.saturating_sub(errand.attempt);
            if made >= ATTEMPTS || !self.is_over(id).await {
                return Err(PaymentError::Fault(fault));
            }
            proposal.attempt = proposal.attempt.saturating_add(1);
        }
    }

    /// Whether an intent can move no money any more. What cannot be told is not over.
    async fn is_over(&self, id: IntentId) -> bool {
        let state = self.steward.wait(id, Duration::ZERO).await;
        state.is_ok_and(|state| {
            matches!(
                state.state,
                PaymentState::Refused
                    | PaymentState::Denied
                    | PaymentState::Released
                    | PaymentState::Expired
                    | PaymentState::Cancelled
            )
        })
    }
}

/// What the chosen terms come to in the chain's own primitives.
fn intent(choice: &Choice<'_>, host: &str, labels: Labels) -> Intent {
    let (payee, host) = (choice.payee.clone(), host.to_owned());
    let resource = choice.resource.clone().into();
    let Terms { amount, pay_to: to, method, .. } = choice.terms;
    let via = match method {
        Method::Eip3009 => {
            return Intent::Authorise(Authorise { payee, to, amount, host, resource, labels });
        }
        Method::Permit2 => PermitVia::Exact,
        Method::Upto { facilitator } => PermitVia::Upto { facilitator },
    };
    Intent::PermitTransfer(PermitTransfer { payee, to, amount, host, resource, via, labels })
}

/// The scheme's part of the payload, if the steward signed what was proposed.
fn scheme_payload(
    artifact: Artifact,
    id: IntentId,
    choice: &Choice<'_>,
    view: &View,
) -> Result<Value, String> {
    match (artifact, choice.terms.method) {
        (Artifact::Authorisation(signed), Method::Eip3009) => {
            let Authorisation { from, to, value, valid_after, valid_before, nonce, .. } = *signed;
            parties(from, to, value, choice, view)?;
            if nonce != id.nonce() {
                return Err("its nonce does not follow from the intent".to_owned());
            }
            let Some((name, version)) = choice.terms.domain.clone() else {
                return Err("its signing domain is not known".to_owned());
            };
            let asset = choice.terms.amount.asset;
            let domain = TokenDomain { name, version, chain: asset.chain, token: asset.token };
            let message = Authorization { from, to, value, valid_after, valid_before, nonce };
            signed_by(eip3009_digest(&domain, &message), &signed.signature, from)?;
            let authorization =
                ExactAuthorization { from, to, value, valid_after, valid_before, nonce };
            json(&ExactPayload { signature: signed.signature, authorization })
        }
        (Artifact::PermitTransfer(signed), method @ (Method::Permit2 | Method::Upto { .. })) => {
            let SignedPermit { from, to, token, amount, spender, facilitator, .. } = *signed;
            parties(from, to, amount, choice, view)?;
            let asset = choice.terms.amount.asset;
            if token != asset.token {
                return Err(format!("it pays in {token}, not {}", asset.token));
            }
            let wanted = match method {
                Method::Upto { facilitator } => Some(facilitator),
                _ => None,
            };
            if facilitator != wanted {
                return Err("it may be settled by somebody else".to_owned());
            }
            if signed.nonce != id.permit_nonce() {
                return Err("its nonce does not follow from the intent".to_owned());
            }
            let authorization = Permit2Authorization {
                from,
                permitted: Permitted { token, amount },
                spender,
                nonce: signed.nonce,
                deadline: signed.deadline,
                witness: Permit2Witness { to, facilitator, valid_after: signed.valid_after },
            };
            let permit = authorization.permit();
            if spender != permit.spender() {
                return Err(format!("it may be spent by {spender}"));
            }
            signed_by(permit.digest(asset.chain), &signed.signature, from)?;
            json(&Permit2Payload { signature: signed.signature, authorization })
        }
        (_, Method::Eip3009) => Err("it is no authorisation".to_owned()),
        (_, Method::Permit2 | Method::Upto { .. }) => Err("it is no permit".to_owned()),
    }
}

fn parties(
    from: Address,
    to: Address,
    value: U256,
    choice: &Choice<'_>,
    view: &View,
) -> Result<(), String> {
    let terms = &choice.terms;
    if to != terms.pay_to {
        return Err(format!("it pays {to}, not {}", terms.pay_to));
    }
    if value != terms.amount.units {
        return Err(format!("it pays {value} base units, not {}", terms.amount.units));
    }
    if from != view.address {
        return Err(format!("it is paid by {from}, not {}", view.address));
    }
    Ok(())
}

fn signed_by(digest: B256, signature: &[u8], from: Address) -> Result<(), String> {
    match recover(digest, signature) {
        Ok(signer) if signer == from => Ok(()),
        Ok(signer) => Err(format!("it is signed by {signer}")),
        Err(error) => Err(error.to_string()),
    }
}

fn json(payload: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(payload).map_err(|error| error.to_string())
}
