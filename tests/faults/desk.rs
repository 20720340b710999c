//! A facilitator that is none of ours, and fails in its own ways.

use crate::{fault::Desk as Way, shop::settle};
use alloy_primitives::{Address, B256};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// A running facilitator, and how it behaves now.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    rpc: String,
    token: Address,
    client: reqwest::Client,
    way: Mutex<Way>,
    settled: Mutex<BTreeSet<B256>>,
}

impl Desk {
    pub(crate) async fn open(rpc: &str, token: Address) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            rpc: rpc.to_owned(),
            token,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            way: Mutex::new(Way::Fails),
            settled: Mutex::default(),
        });
        let app = Router::new()
            .route("/verify", post(async || Json(json!({ "isValid": true }))))
            .route("/settle", post(answer))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, inner }
    }

    pub(crate) fn behaves(&self, way: Way) {
        *self.inner.way.lock().unwrap() = way;
    }
}

async fn answer(State(desk): State<Arc<Inner>>, Json(asked): Json<Value>) -> Response {
    let way = *desk.way.lock().unwrap();
    let payment = &asked["paymentPayload"];
    let nonce: B256 =
        payment["payload"]["authorization"]["nonce"].as_str().unwrap().parse().unwrap();
    let settles = matches!(way, Way::Fails | Way::Silent);
    if settles && desk.settled.lock().unwrap().insert(nonce) {
        settle(&desk.client, &desk.rpc, desk.token, &payment["payload"]).await;
    }
    match way {
        Way::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Way::Silent | Way::Dead => std::future::pending().await,
        Way::Lies => Json(json!({
            "success": true,
            "transaction": B256::repeat_byte(0x11),
            "network": payment["accepted"]["network"],
            "payer": payment["payload"]["authorization"]["from"],
        }))
        .into_response(),
    }
}
