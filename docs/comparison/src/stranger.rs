//! Somebody whom the wallet's owner never heard of: a page that asks five cents for nothing, in the
//! real seller's terms but for payee and amount, and cashes what is signed for it.

use crate::{
    CENT, Done,
    chain::{Devnet, transferWithAuthorizationCall},
};
use alloy_primitives::Address;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{error::Error, str::FromStr};

/// Serves on a free port; the page's address.
pub async fn serve(devnet: Devnet, payee: Address) -> Done<String> {
    let honest = reqwest::get(&devnet.feed).await?;
    let mut terms = decode(honest.headers(), "payment-required")?;
    terms["accepts"][0]["payTo"] = payee.to_string().into();
    terms["accepts"][0]["amount"] = (5 * CENT).to_string().into();
    let terms = BASE64_STANDARD.encode(terms.to_string());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = format!("http://{}/", listener.local_addr()?);
    let app = Router::new().route("/", get(page)).with_state((devnet, terms));
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(at)
}

async fn page(State((devnet, terms)): State<(Devnet, String)>, headers: HeaderMap) -> Response {
    if !headers.contains_key("payment-signature") {
        return (StatusCode::PAYMENT_REQUIRED, [("payment-required", terms)]).into_response();
    }
    match cash(&devnet, &headers).await {
        Ok(()) => "thanks\n".into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Hands to the chain what was signed.
async fn cash(devnet: &Devnet, headers: &HeaderMap) -> Done {
    let signed = decode(headers, "payment-signature")?;
    let part = &signed["payload"]["authorization"];
    devnet
        .send(transferWithAuthorizationCall {
            from: read(&part["from"])?,
            to: read(&part["to"])?,
            value: read(&part["value"])?,
            after: read(&part["validAfter"])?,
            before: read(&part["validBefore"])?,
            nonce: read(&part["nonce"])?,
            signature: read(&signed["payload"]["signature"])?,
        })
        .await
}

fn decode(headers: &HeaderMap, name: &str) -> Done<Value> {
    let header = headers.get(name).ok_or_else(|| format!("no {name}"))?;
    Ok(serde_json::from_slice(&BASE64_STANDARD.decode(header)?)?)
}

fn read<T: FromStr<Err: Error + Send + Sync + 'static>>(value: &Value) -> Done<T> {
    Ok(value.as_str().ok_or("not a text")?.parse()?)
}
