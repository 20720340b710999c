//! Paid requests a second, ours beside `@x402/express` with the official facilitator; and what a
//! paywall costs a route that is not behind it.
//!
//! All payments are signed beforehand. The chain mines what it gets at once, so that a seller that
//! waits for its settlement waits as short as can be.

use crate::{INTEROP, at, buyers::role, peer::Peer, row, support::town::Town, verdict};
use alloy_primitives::{Address, B256, U256, hex};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use marque_contracts::{Authorization, Contract, TokenDomain, bytecode, eip3009_digest};
use marque_identity::{Devnet, devnet::Options};
use marque_identity_keys::{Key, Zeroizing};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Payments that are thrown at each seller, over so many connections.
const PAYMENTS: usize = 400;
const CONNECTIONS: usize = 32;

/// Requests to a route without a price, a turn.
const FREE: usize = 3_000;

pub(crate) async fn measure() {
    assert!(Path::new(INTEROP).join("node_modules").is_dir(), "run `make setup`");
    let devnet = Devnet::start(&Options { eager: true, ..Options::default() }).await.unwrap();
    let token = devnet.deploy(bytecode(Contract::TestDollar)).await.unwrap();
    let town = Town { devnet, token, dir: tempfile::tempdir().unwrap() };
    let ether = U256::from(10_u64).pow(U256::from(20));
    let chain = json!({ "rpc": town.devnet.url(), "chain": town.devnet.chain_id(),
        "token": town.token, "asset": town.token, "amount": "1",
        "domain": { "name": "Marque Test Dollar", "version": "1" },
        "key": B256::repeat_byte(0xfa), "home": town.dir.path().join("feed") });
    let ours = role("seller", &chain).await;
    town.devnet.give_eth(ours.told("address"), ether).await.unwrap();
    let facilitator = Peer::start("facilitator.mjs", &chain).await;
    town.devnet.give_eth(facilitator.told("address"), ether).await.unwrap();
    let mut theirs = chain.clone();
    theirs["facilitator"] = facilitator.ready["url"].clone();
    theirs["payTo"] = json!(Address::repeat_byte(0x5a));
    let theirs = Peer::start("server.mjs", &theirs).await;

    let payer = Key::from_bytes(&Zeroizing::new([0x77; 32])).unwrap();
    town.devnet.mint(town.token, payer.address(), U256::from(1_000_000)).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut rates = Vec::new();
    for seller in [&ours, &theirs] {
        let url = format!("{}/exact", seller.told::<String>("url"));
        let payments = signed(&town, &client, &url, &payer).await;
        rates.push(throw(&client, &url, payments).await);
    }
    let [(us, missed), (them, lost)] = rates[..] else { panic!() };
    row(
        "paid requests, settled in the background",
        &format!("{us:.0} /s"),
        &format!(
            "@x402/express with its facilitator {them:.0} /s: ratio {:.2}, at least 3: {}; not served: {missed} and {lost} of {PAYMENTS}",
            us / them,
            verdict(us >= 3.0 * them),
        ),
    );
    free(&client, &ours).await;
}

/// Payments for what is asked at `url`, each another.
async fn signed(town: &Town, client: &reqwest::Client, url: &str, payer: &Key) -> Vec<String> {
    let asked = client.get(url).send().await.unwrap();
    assert_eq!(asked.status(), 402);
    let required = asked.headers()["PAYMENT-REQUIRED"].to_str().unwrap();
    let required: Value = serde_json::from_slice(&STANDARD.decode(required).unwrap()).unwrap();
    let domain = TokenDomain::test_dollar(town.devnet.chain_id(), town.token);
    (0..PAYMENTS).map(|n| payment(payer, &domain, &required, &format!("{url} {n}"))).collect()
}

/// What a payer puts into `PAYMENT-SIGNATURE` for the first of the terms; `name` makes it another.
pub(crate) fn payment(payer: &Key, domain: &TokenDomain, required: &Value, name: &str) -> String {
    let terms = &required["accepts"][0];
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let authorization = Authorization {
        from: payer.address(),
        to: terms["payTo"].as_str().unwrap().parse().unwrap(),
        value: terms["amount"].as_str().unwrap().parse().unwrap(),
        valid_after: 0,
        valid_before: now + 250,
        nonce: alloy_primitives::keccak256(name),
    };
    let signature = payer.sign_digest(eip3009_digest(domain, &authorization));
    let payload = json!({
        "x402Version": 2,
        "resource": required["resource"],
        "accepted": terms,
        "payload": {
            "signature": hex::encode_prefixed(signature),
            "authorization": {
                "from": authorization.from,
                "to": authorization.to,
                "value": authorization.value.to_string(),
                "validAfter": "0",
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce,
            },
        },
    });
    STANDARD.encode(payload.to_string())
}

/// Paid requests a second, and how many were not served.
async fn throw(client: &reqwest::Client, url: &str, payments: Vec<String>) -> (f64, usize) {
    let (payments, missed) = (Mutex::new(payments), Mutex::new(Vec::new()));
    let begun = Instant::now();
    join_all((0..CONNECTIONS).map(async |_| {
        loop {
            let Some(payment) = payments.lock().unwrap().pop() else { break };
            let answer = client.get(url).header("PAYMENT-SIGNATURE", payment).send().await.unwrap();
            if answer.status() != 200 {
                let why = format!("{} {}", answer.status(), answer.text().await.unwrap());
                missed.lock().unwrap().push(why);
            }
        }
    }))
    .await;
    let took = begun.elapsed().as_secs_f64();
    let missed = missed.into_inner().unwrap();
    if let Some(first) = missed.first() {
        eprintln!("{url}: {} were not served; one of them: {first:.300}", missed.len());
    }
    ((PAYMENTS - missed.len()) as f64 / took, missed.len())
}

/// A route without a price, beside the same server without any paywall.
async fn free(client: &reqwest::Client, ours: &Peer) {
    let urls = ["url", "bare"].map(|name| format!("{}/free", ours.told::<String>(name)));
    let mut walls = [Vec::new(), Vec::new()];
    for _ in 0..4 {
        for (url, wall) in urls.iter().zip(&mut walls) {
            for _ in 0..FREE / 4 {
                let begun = Instant::now();
                client.get(url).send().await.unwrap().bytes().await.unwrap();
                wall.push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let [mut with, mut without] = walls;
    let noise = (at(&mut without, 0.75) - at(&mut without, 0.25)) / 2.0;
    let (with, without) = (at(&mut with, 0.5), at(&mut without, 0.5));
    row(
        "a route without a price, beside a paywall, p50",
        &format!("{with:.0} µs"),
        &format!(
            "no paywall anywhere {without:.0} µs (half of its quartiles' distance {noise:.0} µs): {}",
            verdict((with - without).abs() <= noise)
        ),
    );
}
