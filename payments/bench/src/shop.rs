//! The server that every buyer buys from: it asks, takes what is signed, delivers at once and
//! settles in the background. It is as thin as can be, so that what is measured is the buyer.
//!
//! settings: { rpc, chain, token, payTo, price, settle }

use crate::lines::{say, told};
use alloy_primitives::{Bytes, U256, hex};
use alloy_sol_types::SolCall as _;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// 1,000 gwei a unit of gas.
const MAX_FEE: &str = "0xe8d4a51000";

struct Shop {
    required: String,
    network: String,
    settle: UnboundedSender<Value>,
}

pub(crate) async fn serve() {
    let mut told = told().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let network = format!("eip155:{}", told.settings["chain"]);
    let required = json!({
        "x402Version": 2,
        "resource": { "url": format!("{url}/goods"), "description": "a datum", "mimeType": "text/csv" },
        "accepts": [{
            "scheme": "exact",
            "network": network,
            "amount": told.text("price"),
            "asset": told.text("token"),
            "payTo": told.text("payTo"),
            "maxTimeoutSeconds": 60,
            "extra": { "name": "Marque Test Dollar", "version": "1" },
        }],
    });
    let (settle, mut waiting) = unbounded_channel::<Value>();
    let (rpc, token) = (told.text("rpc"), told.text("token"));
    tokio::spawn(async move {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3));
        let client = client.build().unwrap();
        let ask = async |method: &str, params: Value| -> Result<Value, String> {
            let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
            let words = |error: reqwest::Error| format!("{error:?}");
            let answer = client.post(&rpc).json(&call).send().await.map_err(words)?;
            let answer = answer.json::<Value>().await.map_err(words)?;
            answer.get("result").cloned().ok_or_else(|| answer.to_string())
        };
        let from = ask("eth_accounts", json!([])).await.unwrap()[3].clone();
        while let Some(payload) = waiting.recv().await {
            let data = call(&payload);
            // A full block raises the base fee, and a node drops what then bids less.
            let settle = json!([{ "from": from, "to": token, "data": data, "gas": "0x30000",
                "maxFeePerGas": MAX_FEE, "maxPriorityFeePerGas": "0x1" }]);
            // A node with much to do refuses, or forgets to answer; who waits for money asks again.
            let mut tries = 0;
            while let Err(why) = ask("eth_sendTransaction", settle.clone()).await {
                tries += 1;
                eprintln!("shop: try {tries} of a settlement: {why}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let shop = Arc::new(Shop { required: STANDARD.encode(required.to_string()), network, settle });
    let app = Router::new().route("/goods", get(sell)).with_state(shop);
    tokio::spawn(async move { axum::serve(listener, app).await });
    say(&json!({ "url": url }));
    told.answer(async |_| json!({})).await;
}

async fn sell(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Some(payment) = headers.get("PAYMENT-SIGNATURE") else {
        return (StatusCode::PAYMENT_REQUIRED, [("PAYMENT-REQUIRED", shop.required.clone())])
            .into_response();
    };
    let payment: Value =
        serde_json::from_slice(&STANDARD.decode(payment.as_bytes()).unwrap()).unwrap();
    let payload = payment["payload"].clone();
    // The transaction is not known yet; its stand-in is the nonce, which is as long.
    let receipt = json!({
        "success": true,
        "transaction": payload["authorization"]["nonce"],
        "network": shop.network,
        "payer": payload["authorization"]["from"],
    });
    shop.settle.send(payload).unwrap();
    ([("PAYMENT-RESPONSE", STANDARD.encode(receipt.to_string()))], "station,wind\nHorta,14.2\n")
        .into_response()
}

/// The call that settles what is in a payment's payload.
pub(crate) fn call(payload: &Value) -> Bytes {
    let field = |name: &str| payload["authorization"][name].as_str().unwrap().to_owned();
    let call = marque_contracts::IERC3009Bytes::transferWithAuthorizationCall {
        from: field("from").parse().unwrap(),
        to: field("to").parse().unwrap(),
        value: field("value").parse().unwrap(),
        validAfter: field("validAfter").parse::<U256>().unwrap(),
        validBefore: field("validBefore").parse::<U256>().unwrap(),
        nonce: field("nonce").parse().unwrap(),
        signature: hex::decode(payload["signature"].as_str().unwrap()).unwrap().into(),
    };
    call.abi_encode().into()
}
