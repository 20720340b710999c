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

mod approval;
mod asked;
mod choice;
mod deal;
mod handover;

use crate::{
    Authority, PaymentError,
    error::{Objection, Rule, shortened},
    x402::{self, PaymentRequired, evidence::Signed},
};
use alloy_primitives::{Address, B256};
pub use asked::Asked;
pub use choice::{Quote, quote};
pub use deal::{Claim, Deal};
use marque_net::{Client, Request, Response};
use marque_policies::{IntentId, Labels, Money};
use serde_json::Value;
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
    /// What was paid; under `upto` the most that could be taken.
    pub amount: Money,
    /// What was taken, as the seller says.
    pub charged: Option<Money>,
    /// The transaction that settled it, as the seller says.
    pub transaction: Option<B256>,
    /// Why what the seller said of the settlement cannot be about this payment, if it cannot.
    pub doubt: Option<Objection>,
    /// The terms with the seller's signature, if it gave one.
    pub offer: Option<Signed>,
    /// The seller's signed receipt, if it gave one.
    pub receipt: Option<Signed>,
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
        answered_by_the_asked(&response.url, &request.url)
            .map_err(|objection| PaymentError::Terms(vec![objection]))?;
        let deal = self.agree(&required, &Asked::url(&request.url), errand).await?;
        let (response, paid) = self.hand_over(request, deal).await?;
        Ok(Purchase { response, paid: Some(paid) })
    }
}

/// A 402 that came after a redirect speaks for another URL than the one that would be paid for.
fn answered_by_the_asked(answered: &Url, asked: &Url) -> Result<(), Objection> {
    if answered == asked {
        return Ok(());
    }
    Err(Objection::new(
        Rule::Resource,
        format!(
            "the request was redirected to {}, which asks for money; ask it directly",
            shortened(answered.as_str())
        ),
    ))
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
