//! A seller that is none of ours: it takes the money on chain, and then does as it likes.

use crate::fault::Seller;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::SolCall as _;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque::economy::DOLLAR_DOMAIN;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// Where it is paid.
pub(crate) const SHOP: Address = Address::repeat_byte(0x5a);

/// The shop, and how it behaves now.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) host: String,
    inner: Arc<Inner>,
}

struct Inner {
    terms: Value,
    rpc: String,
    token: Address,
    client: reqwest::Client,
    way: Mutex<Seller>,
    taken: Mutex<BTreeSet<B256>>,
}

impl Shop {
    pub(crate) async fn open(rpc: &str, chain: u64, token: Address, price: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (name, version) = DOLLAR_DOMAIN;
        let terms = json!({
            "x402Version": 2,
            "resource": { "url": format!("http://{host}/goods") },
            "accepts": [{
                "scheme": "exact",
                "network": format!("eip155:{chain}"),
                "amount": price.to_string(),
                "asset": token,
                "payTo": SHOP,
                "maxTimeoutSeconds": 60,
                "extra": { "name": name, "version": version },
            }],
        });
        let inner = Arc::new(Inner {
            terms,
            rpc: rpc.to_owned(),
            token,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            way: Mutex::new(Seller::HangsUp),
            taken: Mutex::default(),
        });
        let app = Router::new().fallback(serve).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { host, inner }
    }

    pub(crate) fn behaves(&self, way: Seller) {
        *self.inner.way.lock().unwrap() = way;
    }
}

async fn serve(State(shop): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    let ask = |status| {
        (status, [("PAYMENT-REQUIRED", STANDARD.encode(shop.terms.to_string()))]).into_response()
    };
    let Some(payment) = headers.get("PAYMENT-SIGNATURE") else {
        return ask(StatusCode::PAYMENT_REQUIRED);
    };
    let payment: Value =
        serde_json::from_slice(&STANDARD.decode(payment.as_bytes()).unwrap()).unwrap();
    let first = shop.take(&payment["payload"]).await;
    let way = *shop.way.lock().unwrap();
    match way {
        Seller::HangsUp if !first => "goods".into_response(),
        Seller::HangsUp | Seller::IsGone => {
            let broken = std::io::Error::other("gone");
            let stream = futures::stream::once(async { Err::<Bytes, _>(broken) });
            Response::new(axum::body::Body::from_stream(stream))
        }
        Seller::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Seller::Denies => ask(StatusCode::PAYMENT_REQUIRED),
    }
}

impl Inner {
    /// Settles a payment on chain; says whether it was not settled before.
    async fn take(&self, payload: &Value) -> bool {
        let nonce = payload["authorization"]["nonce"].as_str().unwrap().parse().unwrap();
        if !self.taken.lock().unwrap().insert(nonce) {
            return false;
        }
        settle(&self.client, &self.rpc, self.token, payload).await;
        true
    }
}

/// Brings a payment to the chain, from an account that the chain keeps unlocked and that is nobody
/// else's here. It is mined with the next block.
pub(crate) async fn settle(client: &reqwest::Client, rpc: &str, token: Address, payload: &Value) {
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
    let accounts = crate::scene::ask(client, rpc, "eth_accounts", json!([])).await;
    let data: alloy_primitives::Bytes = call.abi_encode().into();
    let from = accounts.as_array().and_then(|all| all.last()).cloned();
    let transaction = json!([{ "from": from, "to": token, "data": data, "gas": "0x30000" }]);
    crate::scene::ask(client, rpc, "eth_sendTransaction", transaction).await;
}
