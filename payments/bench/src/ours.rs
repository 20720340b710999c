//! Our own two sides, each with its steward in its process.
//!
//! buy: { rpc, token, payTo, host, home }, and questions as for `tests/interop/client.mjs`; a
//! question `{ rest: true }` waits until every payment is final. sell: { rpc, token, home }.

use crate::{
    lines::{cpu, say, told},
    support::{homes, owner},
};
use alloy_primitives::{Address, U256};
use futures::future::join_all;
use marque_identity::Rpc;
use marque_net::{Client as Net, Guard, Request};
use marque_payments::{Buyer, Errand, Paywall, Seller, Settlement};
use marque_policies::{AssetId, Money};
use marque_steward::{Options, Steward};
use marque_steward_client::{Client, PaymentState};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// What both policies begin with.
fn head(rpc: &str, token: &str) -> String {
    format!(
        "format = 1\nversion = 1\nowner = \"{}\"\n[chain.devnet]\nid = \"eip155:31337\"\nrpc = [\"{rpc}\"]\nfinality = 1\nnative = \"ETH\"\n[asset.tUSD]\nchain = \"devnet\"\ntoken = \"{token}\"\ndecimals = 6\ndomain = {{ name = \"Marque Test Dollar\", version = \"1\" }}\n[limits.gas]\nday = \"100 ETH\"\n",
        owner().address(),
    )
}

/// A home under this policy, and its steward at work.
async fn steward(home: &str, agent: &str, rpc: &str, policy: String) -> (Steward, Client, Address) {
    let rpc = Rpc::new(&[rpc.to_owned()]).unwrap();
    let genesis = rpc.genesis_hash().await.unwrap();
    let (home, key) = homes::home(Path::new(home), agent, genesis, |_| policy);
    let options = Options { rate: u32::MAX, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let client = Client::connect(home.socket(agent)).await.unwrap();
    (steward, client, key)
}

pub(crate) async fn buy() {
    let mut told = told().await;
    let (rpc, token, host) = (told.text("rpc"), told.text("token"), told.text("host"));
    let policy = format!(
        "{}[limits.tUSD]\ntotal = \"1000\"\n[[payee]]\nname = \"shop\"\naddress = \"{}\"\nhost = \"{host}\"\n",
        head(&rpc, &token),
        told.text("payTo"),
    );
    let (steward, client, key) = steward(&told.text("home"), "scout", &rpc, policy).await;
    let guard = Guard { loopback: vec![host], ..Guard::default() };
    let buyer = Buyer::new(Net::new(guard).unwrap(), Arc::new(client.clone()));
    let steps = AtomicU32::new(0);
    say(&json!({ "address": key }));
    told.answer(async |asked| {
        if asked["rest"] == true {
            return rest(&client).await;
        }
        let url: url::Url = asked["url"].as_str().unwrap().parse().unwrap();
        let left = AtomicI64::new(asked["times"].as_i64().unwrap_or(1));
        let before = cpu();
        let each = (0..asked["parallel"].as_u64().unwrap_or(1)).map(async |_| {
            let mut wall = Vec::new();
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                let errand = Errand {
                    task: "bench".to_owned(),
                    step: steps.fetch_add(1, Ordering::Relaxed),
                    ordinal: 1,
                    attempt: 0,
                    max: None,
                    labels: marque_policies::Labels::default(),
                };
                let begun = Instant::now();
                let purchase = buyer.send(Request::get(url.clone()), &errand).await.unwrap();
                assert_eq!(purchase.response.status, 200);
                assert!(purchase.paid.is_some());
                wall.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            wall
        });
        let wall = join_all(each).await.concat();
        json!({ "status": 200, "wall": wall, "cpu": (cpu() - before).as_micros() as u64 })
    })
    .await;
    steward.stop().await.unwrap();
}

/// Waits until the chain has everything for good; the CPU time that it took to find out.
async fn rest(client: &Client) -> Value {
    let before = cpu();
    let live = |state| {
        use PaymentState::{Reserved, Seen, Sent, Signed};
        matches!(state, Reserved | Signed | Sent | Seen)
    };
    for _ in 0..600 {
        let view = client.view().await.unwrap();
        if !view.intents.iter().any(|intent| live(intent.status.state)) {
            return json!({ "cpu": (cpu() - before).as_micros() as u64 });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not everything became final")
}

pub(crate) async fn sell() {
    let mut told = told().await;
    let (rpc, token) = (told.text("rpc"), told.text("token"));
    let policy = format!("{}[income]\nassets = [\"tUSD\"]\n", head(&rpc, &token));
    let (steward, client, key) = steward(&told.text("home"), "feed", &rpc, policy).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: url::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asset = AssetId { chain: 31_337, token: token.parse().unwrap() };
    let risk = Money::new(U256::from(1_000_000_000_u64), asset);
    let seller =
        Seller::new(Arc::new(client), base.clone()).settlement(Settlement::Background { risk });
    let paywall = Paywall::fixed(seller, "0.000001 tUSD").unwrap();
    let datum = axum::routing::get(|| async { axum::Json(json!({ "datum": "exact" })) });
    let free = axum::routing::get(|| async { axum::Json(json!({ "datum": "free" })) });
    let app =
        axum::Router::new().route("/exact", datum).layer(paywall).route("/free", free.clone());
    let bare = axum::Router::new().route("/free", free);
    let beside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bare_url = format!("http://{}", beside.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    tokio::spawn(async move { axum::serve(beside, bare).await });
    let url = base.as_str().trim_end_matches('/');
    say(&json!({ "url": url, "bare": bare_url, "address": key }));
    told.answer(async |_| json!({ "cpu": cpu().as_micros() as u64 })).await;
    steward.stop().await.unwrap();
}
