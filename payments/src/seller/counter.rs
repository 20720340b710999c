//! The counter: the `tower` service that stands before the goods.

use super::{
    Paywall, Refusal, Seller,
    check::{self, Payment},
    paywall::Price,
    settle::Unsettled,
    shelf::Goods,
    show,
};
use crate::{
    PaymentError,
    x402::{self, PaymentRequired, PaymentRequirements, Resource, SettlementResponse, Terms},
};
use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{OriginalUri, Request},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
};
use marque_steward_client::View;
use serde_json::{Map, json};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Service, ServiceExt as _};
use url::Url;

/// The longest request body that is read, in bytes.
const MAX_REQUEST: usize = 1024 * 1024;

/// The longest goods that are delivered, in bytes.
const MAX_GOODS: usize = 16 * 1024 * 1024;

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
struct Order {
    seller: Seller,
    view: View,
    terms: Terms,
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
        .map_err(|_| PaymentError::Header {
            header: x402::PAYMENT_SIGNATURE,
            why: "not ASCII text".to_owned(),
        })
        .and_then(|text| check::check(text, &order.terms, &order.resource, &parts, &body));
    let payment = match checked {
        Ok(payment) => payment,
        Err(error) => {
            return Ok(order.ask(StatusCode::PAYMENT_REQUIRED, &error.to_string(), None));
        }
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
    let Paywall { seller, price, description } = paywall;
    let closed = |error: PaymentError| {
        tracing::error!(%error, "nothing can be sold");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this seller cannot sell now")
    };
    let view = seller.steward.view().await.map_err(closed)?;
    let price = Price::of(&price, &view, parts, body)?;
    let terms = seller.terms(&view, price).map_err(closed)?;
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let resource = seller.resource(path);
    Ok(Order { seller, view, terms, resource, description })
}

impl Order {
    /// Settles and delivers, or delivers again.
    async fn sell<S>(self, payment: Payment, inner: S, parts: Parts, body: Bytes) -> Response
    where
        S: Service<Request, Error = Infallible> + Send,
        S::Response: IntoResponse,
        S::Future: Send,
    {
        let Payment { settle, key, fingerprint } = payment;
        if let Err(error) = check::in_time(&settle, self.view.now) {
            return self.unsettled(Unsettled::Refused(error.to_string()));
        }
        let slot = match self.seller.shelf.slot(key, fingerprint) {
            Ok(slot) => slot,
            Err(_) => return self.unsettled(Unsettled::Taken),
        };
        let mut goods = slot.goods.lock().await;
        if let Some(goods) = goods.as_ref() {
            return goods.clone().into_response();
        }
        let (payer, amount) = (settle.from, settle.amount);
        let transaction = match self.seller.settle(settle, &self.terms, &self.view).await {
            Ok(transaction) => transaction,
            Err(unsettled) => {
                if matches!(unsettled, Unsettled::Refused(_)) {
                    self.seller.shelf.clear(&key);
                }
                return self.unsettled(unsettled);
            }
        };
        let receipt = SettlementResponse {
            success: true,
            error_reason: None,
            payer: Some(payer.to_string()),
            transaction: transaction.to_string(),
            network: self.terms.network(),
            amount: Some(amount.units.to_string()),
            extensions: Map::new(),
        };
        let delivered = deliver(inner, parts, body, &receipt).await;
        match delivered {
            // Goods that could not be made are not kept: the same payment may try again.
            Ok(made) if made.status < 500 => {
                let response = made.clone().into_response();
                if made.keepable() {
                    *goods = Some(made);
                }
                response
            }
            Ok(made) => made.into_response(),
            Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        }
    }

    /// The answer to a payment that brought no money.
    fn unsettled(&self, unsettled: Unsettled) -> Response {
        match unsettled {
            Unsettled::Refused(why) => {
                self.ask(StatusCode::PAYMENT_REQUIRED, &why, Some(failure(&self.terms, &why)))
            }
            Unsettled::Taken => {
                let why = "this authorisation has already bought another request";
                self.ask(StatusCode::CONFLICT, why, Some(failure(&self.terms, why)))
            }
            Unsettled::NotYet(why) => {
                let text = format!("{why}; send the same payment again");
                let mut response = (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
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
            extensions: Map::new(),
        };
        let price = show(&self.view, self.terms.amount);
        let body = json!({
            "error": why,
            "price": price,
            "payTo": self.terms.pay_to,
            "network": self.terms.network(),
            "resource": self.resource,
            "how": "x402 version 2: the terms are in the PAYMENT-REQUIRED header",
        });
        let mut response = (status, Json(body)).into_response();
        attach(&mut response, x402::PAYMENT_REQUIRED, &required);
        if let Some(receipt) = receipt {
            attach(&mut response, x402::PAYMENT_RESPONSE, &receipt);
        }
        response
    }
}

/// The receipt of a payment that was not settled.
fn failure(terms: &Terms, why: &str) -> SettlementResponse {
    SettlementResponse {
        success: false,
        error_reason: Some(why.to_owned()),
        payer: None,
        transaction: String::new(),
        network: terms.network(),
        amount: None,
        extensions: Map::new(),
    }
}

/// Has the goods made, and puts the receipt on them.
async fn deliver<S>(
    inner: S,
    mut parts: Parts,
    body: Bytes,
    receipt: &SettlementResponse,
) -> Result<Goods, &'static str>
where
    S: Service<Request, Error = Infallible> + Send,
    S::Response: IntoResponse,
    S::Future: Send,
{
    parts.headers.remove(x402::PAYMENT_SIGNATURE);
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = match inner.oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    };
    attach(&mut response, x402::PAYMENT_RESPONSE, receipt);
    let (head, body) = response.into_parts();
    let body = to_bytes(body, MAX_GOODS).await.map_err(|error| {
        tracing::error!(%error, "goods could not be read");
        "the goods could not be made; send the same payment again"
    })?;
    Ok(Goods { status: head.status.as_u16(), headers: head.headers, body })
}

fn attach<T: serde::Serialize>(response: &mut Response, name: &'static str, value: &T) {
    let encoded = x402::encode(name, value).map(HeaderValue::try_from);
    match encoded {
        Ok(Ok(value)) => {
            response.headers_mut().insert(name, value);
        }
        _ => tracing::error!(name, "a header could not be written"),
    }
}

impl IntoResponse for Goods {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.headers;
        response
    }
}
