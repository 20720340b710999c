//! The buyer: sends a request, and where a payment is asked for, has it proposed, signed and sent.
//!
//! The order is what keeps money safe. The terms are compared with the request and the policy
//! before anything is proposed; the steward decides and signs; the artifact is compared
//! with what was proposed; only then does it leave, to the same URL, following no redirect. An
//! errand that is run again after a crash proposes the same intent and sends the same bytes, so it
//! is paid once whatever happens in between.
//!
//! INVARIANT: terms that do not agree are never proposed (pinned by
//! `tests/payments/buyer.rs::a_402_that_lies_is_turned_down_and_nothing_is_proposed`).

mod choice;
mod handover;

use crate::{
    Authority, PaymentError,
    x402::{self, ExactAuthorization, ExactPayload, PaymentPayload, PaymentRequired},
};
use alloy_primitives::{Address, B256};
use choice::Choice;
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, recover};
use marque_net::{Client, Request, Response, host_port};
use marque_policies::{Intent, IntentId, Label, Labels, Money, intent::Authorise};
use marque_steward_client::{Artifact, Authorisation, Outcome, Proposal, View};
use serde_json::{Map, Value};
use std::sync::Arc;
use url::Url;

/// A place in the mind's work from which a payment's id follows, and what may be spent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The task's name, at most 128 bytes.
    pub task: String,
    /// The step of the task.
    pub step: u32,
    /// Which of the step's intents the payment is.
    pub ordinal: u32,
    /// Rises only after the attempt before is refused, denied, released, expired or cancelled.
    pub attempt: u32,
    /// The most that may be paid; `None` leaves it to the policy alone.
    pub max: Option<Money>,
    /// Where the request came from; the seller's host is added.
    pub labels: Labels,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The answer to the request; not necessarily a success, unless it was paid for.
    pub response: Response,
    /// What was paid; `None` if nothing was asked.
    pub paid: Option<Paid>,
}

/// A payment that brought its goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// The intent.
    pub id: IntentId,
    /// The payee's name in the policy.
    pub payee: String,
    /// The address that was paid.
    pub to: Address,
    /// What was paid.
    pub amount: Money,
    /// The transaction that settled it, as the seller says.
    pub transaction: Option<B256>,
}

/// Buys over HTTP on behalf of one agent.
#[derive(Clone, Debug)]
pub struct Buyer {
    net: Client,
    steward: Arc<dyn Authority>,
}

impl Buyer {
    /// A buyer that speaks through `net` and has its payments decided by `steward`.
    #[must_use]
    pub fn new(net: Client, steward: Arc<dyn Authority>) -> Self {
        Self { net, steward }
    }

    /// Sends a request and pays for it if it has to be, within the errand and the policy.
    ///
    /// # Errors
    /// [`PaymentError::Terms`], [`PaymentError::Header`] and [`PaymentError::Unsupported`] where the
    /// seller's terms were turned down (nothing was proposed), [`PaymentError::Held`] and
    /// [`PaymentError::Refused`] where the steward did not sign, [`PaymentError::Undelivered`] where
    /// a signed payment brought no goods.
    pub async fn send(&self, request: Request, errand: &Errand) -> Result<Purchase, PaymentError> {
        let response = self.net.send(request.clone()).await?;
        if response.status != 402 {
            return Ok(Purchase { response, paid: None });
        }
        let required = read_terms(&response)?;
        choice::answered_by_the_asked(&response.url, &request.url)
            .map_err(|objection| PaymentError::Terms(vec![objection]))?;
        let view = self.steward.view().await?;
        let choice = choice::choose(&required, &request.url, &view, errand.max)
            .map_err(PaymentError::Terms)?;
        let (id, authorisation) = self.authorise(&choice, &request.url, errand, &view).await?;
        let header = payment(&required, &choice, id, &authorisation)?;
        let (response, transaction) =
            self.hand_over(request, &header, id, &choice.terms, view.address).await?;
        let paid = Paid {
            id,
            payee: choice.payee,
            to: choice.terms.pay_to,
            amount: choice.terms.amount,
            transaction,
        };
        Ok(Purchase { response, paid: Some(paid) })
    }

    /// Has the chosen terms decided and signed, and checks that what was signed is what was asked.
    async fn authorise(
        &self,
        choice: &Choice<'_>,
        url: &Url,
        errand: &Errand,
        view: &View,
    ) -> Result<(IntentId, Box<Authorisation>), PaymentError> {
        let host = host_port(url);
        let mut resource = url.clone();
        resource.set_fragment(None);
        let intent = Intent::Authorise(Authorise {
            payee: choice.payee.clone(),
            to: choice.terms.pay_to,
            amount: choice.terms.amount,
            labels: errand.labels.clone().with(Label::Web(host.clone())),
            host,
            resource: resource.into(),
        });
        let proposal = Proposal {
            task: errand.task.clone(),
            step: errand.step,
            ordinal: errand.ordinal,
            attempt: errand.attempt,
            intent,
        };
        match self.steward.propose(proposal).await? {
            Outcome::Held { id, table } => Err(PaymentError::Held { id, table }),
            Outcome::Refused { id, table } => Err(PaymentError::Refused { id, table }),
            Outcome::Allowed { id, artifact: Artifact::Authorisation(signed) } => {
                as_asked(&signed, id, choice, view)
                    .map_err(|why| PaymentError::Artifact { id, why })?;
                Ok((id, signed))
            }
            Outcome::Allowed { id, .. } => {
                Err(PaymentError::Artifact { id, why: "it is no authorisation".to_owned() })
            }
        }
    }
}

/// Reads what a 402 answer asks.
fn read_terms(response: &Response) -> Result<PaymentRequired, PaymentError> {
    let header = handover::header(response, x402::PAYMENT_REQUIRED)?;
    if let Some(text) = header {
        return x402::decode(x402::PAYMENT_REQUIRED, text);
    }
    let version = serde_json::from_slice::<Value>(&response.body)
        .ok()
        .and_then(|body| body.get("x402Version").and_then(Value::as_u64));
    Err(PaymentError::Unsupported(match version {
        Some(1) => "the seller speaks x402 version 1, which is not spoken here; it has to offer \
                    version 2"
            .to_owned(),
        _ => "the seller answered 402 without a PAYMENT-REQUIRED header, so it says no terms"
            .to_owned(),
    }))
}

/// Whether the steward signed what was proposed.
fn as_asked(
    signed: &Authorisation,
    id: IntentId,
    choice: &Choice<'_>,
    view: &View,
) -> Result<(), String> {
    let terms = &choice.terms;
    if signed.to != terms.pay_to {
        return Err(format!("it pays {}, not {}", signed.to, terms.pay_to));
    }
    if signed.value != terms.amount.units {
        return Err(format!("it pays {} base units, not {}", signed.value, terms.amount.units));
    }
    if signed.from != view.address {
        return Err(format!("it is paid by {}, not {}", signed.from, view.address));
    }
    if signed.nonce != id.nonce() {
        return Err("its nonce does not follow from the intent".to_owned());
    }
    let (name, version) = terms.domain.clone();
    let asset = terms.amount.asset;
    let domain = TokenDomain { name, version, chain: asset.chain, token: asset.token };
    let digest = eip3009_digest(
        &domain,
        &Authorization {
            from: signed.from,
            to: signed.to,
            value: signed.value,
            valid_after: signed.valid_after,
            valid_before: signed.valid_before,
            nonce: signed.nonce,
        },
    );
    match recover(digest, &signed.signature) {
        Ok(signer) if signer == signed.from => Ok(()),
        Ok(signer) => Err(format!("it is signed by {signer}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The value of `PAYMENT-SIGNATURE`.
fn payment(
    required: &PaymentRequired,
    choice: &Choice<'_>,
    id: IntentId,
    signed: &Authorisation,
) -> Result<String, PaymentError> {
    let exact = ExactPayload {
        signature: signed.signature.clone(),
        authorization: ExactAuthorization {
            from: signed.from,
            to: signed.to,
            value: signed.value,
            valid_after: signed.valid_after,
            valid_before: signed.valid_before,
            nonce: signed.nonce,
        },
    };
    let payload = serde_json::to_value(exact).map_err(|error| PaymentError::Header {
        header: x402::PAYMENT_SIGNATURE,
        why: error.to_string(),
    })?;
    x402::encode(
        x402::PAYMENT_SIGNATURE,
        &PaymentPayload {
            x402_version: x402::VERSION,
            resource: Some(required.resource.clone()),
            accepted: choice.requirements.clone(),
            payload,
            extensions: echoed(&required.extensions, id),
        },
    )
}

/// The seller's extensions as they came, with this payment's name where it asks for one.
fn echoed(offered: &Map<String, Value>, id: IntentId) -> Map<String, Value> {
    let mut extensions = offered.clone();
    let info = extensions
        .get_mut(x402::PAYMENT_IDENTIFIER)
        .and_then(|extension| extension.get_mut("info"))
        .and_then(Value::as_object_mut);
    if let Some(info) = info {
        info.entry("id").or_insert_with(|| Value::String(hex::encode(id.0)));
    }
    extensions
}
