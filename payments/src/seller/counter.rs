//! The counter: the `tower` service that stands before the goods.

use super::{
    Paywall, Refusal, Seller, check, paywall::Price, settle::Unsettled, show, standing::Standing,
};
use crate::{
    PaymentError,
    signed_payment::SignedPayment,
    verify::{Flaw, Reason},
    x402::{
        self, PAYMENT_IDENTIFIER, PaymentRequired, PaymentRequirements, Resource,
        SettlementResponse, Terms,
    },
};
use axum::{
    Json,
    body::to_bytes,
    extract::{OriginalUri, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
};
use marque_policies::Timestamp;
use marque_steward_client::View;
use serde_json::{Map, Value, json};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::Service;
use url::Url;

/// The longest request body that is read, in bytes.
const MAX_REQUEST: usize = 1024 * 1024;

/// Lets requests through to `S` once they are paid for. Made by [`Paywall`].
#[derive(Clone, Debug)]
pub struct Counter<S> {
    paywall: Paywall,
    inner: S,
}

impl<S> Counter<S> {
    pub(super) fn new(paywall: Paywall, inner: S) -> Self {
        Self { paywall, inner }
    }
}

impl<S> Service<Request> for Counter<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is waited for when it is needed, which is after the payment.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { paywall, inner } = self.clone();
        Box::pin(async move {
            Ok(serve(paywall, inner, request).await.unwrap_or_else(IntoResponse::into_response))
        })
    }
}

/// A request at the counter, with everything that is said about its price.
pub(super) struct Order {
    pub(super) seller: Seller,
    pub(super) view: Arc<View>,
    pub(super) now: Timestamp,
    pub(super) terms: Terms,
    pub(super) metered: bool,
    resource: Url,
    description: Option<Arc<str>>,
}

async fn serve<S>(paywall: Paywall, inner: S, request: Request) -> Result<Response, Refusal>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST).await.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 1 MiB")
    })?;
    let order = order(paywall, &parts, &body).await?;
    let Some(payment) = parts.headers.get(x402::PAYMENT_SIGNATURE) else {
        return Ok(if parts.headers.contains_key(x402::X_PAYMENT) {
            let why = "x402 version 1 is not spoken here; pay by PAYMENT-SIGNATURE, version 2";
            order.ask(StatusCode::BAD_REQUEST, why, None)
        } else {
            order.ask(StatusCode::PAYMENT_REQUIRED, "payment is required", None)
        });
    };
    let checked = payment
        .to_str()
        .map_err(|_| Flaw::new(Reason::Payload, "PAYMENT-SIGNATURE: not ASCII text"))
        .and_then(|text| check::check(text, &order.terms, &order.resource, &parts, &body));
    let payment = match checked {
        Ok(payment) => payment,
        Err(flaw) => return Ok(order.refuse(&flaw, None)),
    };
    // A buyer that hangs up has still paid: the sale goes on without it and waits on the shelf.
    let sale = tokio::spawn(order.sell(payment, inner, parts, body));
    sale.await.map_err(|error| {
        tracing::error!(%error, "a sale broke off");
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the delivery broke off; send the same payment again",
        )
    })
}

/// What the request costs, and in which terms.
async fn order(paywall: Paywall, parts: &Parts, body: &[u8]) -> Result<Order, Refusal> {
    let Paywall { seller, price, metered, description } = paywall;
    let closed = |error: PaymentError| {
        tracing::error!(%error, "nothing can be sold");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this seller cannot sell now")
    };
    let Standing { view, now } = seller.standing().await.map_err(closed)?;
    let price = Price::of(&price, &view, parts, body)?;
    let terms = seller.terms(&view, price, metered).map_err(closed)?;
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let resource = seller.resource(path);
    Ok(Order { seller, view, now, terms, metered, resource, description })
}

impl Order {
    /// The answer to a payment that brought no money.
    pub(super) fn unsettled(&self, unsettled: Unsettled, claim: &SignedPayment) -> Response {
        match unsettled {
            Unsettled::Refused(flaw) => self.refuse(&flaw, Some(claim)),
            Unsettled::Taken => {
                self.conflict("this authorisation has already bought another request", claim)
            }
            Unsettled::NotYet(why) => {
                let text = format!("{why}; send the same payment again");
                let mut response = (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
        }
    }

    /// The answer to a payment that is bound to something else.
    pub(super) fn conflict(&self, why: &str, claim: &SignedPayment) -> Response {
        let flaw = Flaw::new(Reason::TransactionState, why);
        self.ask(StatusCode::CONFLICT, why, Some(self.failure(&flaw, Some(claim))))
    }

    /// The answer to a payment that will not do.
    fn refuse(&self, flaw: &Flaw, claim: Option<&SignedPayment>) -> Response {
        let receipt = self.failure(flaw, claim);
        self.ask(StatusCode::PAYMENT_REQUIRED, &flaw.why, Some(receipt))
    }

    /// The receipt of a payment that was not settled.
    fn failure(&self, flaw: &Flaw, claim: Option<&SignedPayment>) -> SettlementResponse {
        SettlementResponse {
            success: false,
            error_reason: Some(flaw.reason.to_string()),
            payer: claim.map(|claim| claim.from().to_string()),
            transaction: String::new(),
            network: self.terms.network(),
            amount: None,
            extensions: Map::new(),
        }
    }

    /// Our terms, with a reason.
    fn ask(&self, status: StatusCode, why: &str, receipt: Option<SettlementResponse>) -> Response {
        let required = PaymentRequired {
            x402_version: x402::VERSION,
            error: Some(why.to_owned()),
            resource: Resource {
                url: self.resource.to_string(),
                description: self.description.as_deref().map(str::to_owned),
                mime_type: None,
                rest: Map::new(),
            },
            accepts: vec![PaymentRequirements::from(&self.terms)],
            extensions: identifiers(),
        };
        let price = show(&self.view, self.terms.amount);
        let body = json!({
            "error": why,
            "price": if self.metered { format!("at most {price}") } else { price },
            "payTo": self.terms.pay_to,
            "network": self.terms.network(),
            "resource": self.resource,
            "how": "x402 version 2: the terms are in the PAYMENT-REQUIRED header",
        });
        let mut response = (status, Json(body)).into_response();
        attach(response.headers_mut(), x402::PAYMENT_REQUIRED, &required);
        if let Some(receipt) = receipt {
            attach(response.headers_mut(), x402::PAYMENT_RESPONSE, &receipt);
        }
        response
    }
}

/// Says that a buyer may call its payment by a name of its own.
fn identifiers() -> Map<String, Value> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "required": { "type": "boolean" },
            "id": { "type": "string", "minLength": 16, "maxLength": 128 },
        },
        "required": ["required"],
    });
    let extension = json!({ "info": { "required": false }, "schema": schema });
    Map::from_iter([(PAYMENT_IDENTIFIER.to_owned(), extension)])
}

pub(super) fn attach<T: serde::Serialize>(headers: &mut HeaderMap, name: &'static str, value: &T) {
    let encoded = x402::encode(name, value).map(HeaderValue::try_from);
    match encoded {
        Ok(Ok(value)) => {
            headers.insert(name, value);
        }
        _ => tracing::error!(name, "a header could not be written"),
    }
}
