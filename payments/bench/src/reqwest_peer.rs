//! The Rust crates `x402-reqwest` and `x402-chain-eip155` as a buyer.
//!
//! settings: { key }; questions as for `tests/interop/client.mjs`

use crate::lines::{cpu, say, told};
use alloy_signer_local::PrivateKeySigner;
use futures::future::join_all;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};
use x402_chain_eip155::V2Eip155ExactClient;
use x402_reqwest::{ReqwestWithPayments as _, ReqwestWithPaymentsBuild as _, X402Client};

pub(crate) async fn buy() {
    let mut told = told().await;
    let signer: Arc<PrivateKeySigner> = Arc::new(told.text("key").parse().unwrap());
    say(&json!({ "address": signer.address() }));
    let client = X402Client::new().register(V2Eip155ExactClient::new(signer));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let http = http.with_payments(client).build();
    told.answer(async |asked| {
        let url = asked["url"].as_str().unwrap().to_owned();
        let left = AtomicI64::new(asked["times"].as_i64().unwrap_or(1));
        let before = cpu();
        let each = (0..asked["parallel"].as_u64().unwrap_or(1)).map(async |_| {
            let mut wall = Vec::new();
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                let begun = Instant::now();
                let answer = http.get(&url).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.text().await.unwrap();
                wall.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            wall
        });
        let wall = join_all(each).await.concat();
        json!({ "status": 200, "wall": wall, "cpu": (cpu() - before).as_micros() as u64 })
    })
    .await;
}
