//! A town in which some parties are official packages.

use crate::{
    peer::Peer,
    support::{Citizen, MARQUE, Town},
};
use alloy_primitives::{Address, B256, U256};
use axum::{Router, routing::get};
use marque::economy::{DOLLAR_DOMAIN, Economy};
use marque_identity::devnet::{Devnet, Options};
use marque_net::{Client as Net, Guard};
use marque_payments::{Facilitator, Meter, Paywall, Seller};
use marque_policies::Money;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

/// What everything costs here, in base units.
pub(crate) const PRICE: u64 = 20_000;

/// A town whose chain mines what it gets at once.
pub(crate) async fn town() -> Town {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&Options { eager: true, ..Options::default() }).await.unwrap();
    let economy = Economy::start(dir.path(), PathBuf::from(MARQUE), devnet).await.unwrap();
    Town { economy, dir }
}

/// What every peer is told about the chain; `who` makes its key another.
fn settings(town: &Town, who: u8) -> Value {
    json!({
        "rpc": town.economy.devnet.url(),
        "chain": town.economy.devnet.chain_id(),
        "key": B256::repeat_byte(who),
        "asset": town.economy.dollar,
    })
}

fn with(mut settings: Value, more: Value) -> Value {
    let (Value::Object(all), Value::Object(more)) = (&mut settings, more) else { panic!() };
    all.extend(more);
    settings
}

/// The official facilitator, with coins for gas.
pub(crate) async fn facilitator(town: &Town) -> Peer {
    let peer = Peer::start("facilitator.mjs", &settings(town, 0xfa)).await;
    town.economy.devnet.give_eth(peer.told("address"), ether()).await.unwrap();
    peer
}

/// The official seller, paid at `pay_to` and settled by the facilitator at `facilitator`.
pub(crate) async fn server(town: &Town, pay_to: Address, facilitator: &str, more: Value) -> Peer {
    let (name, version) = DOLLAR_DOMAIN;
    let shop = json!({
        "facilitator": facilitator,
        "payTo": pay_to,
        "domain": { "name": name, "version": version },
        "amount": PRICE.to_string(),
    });
    Peer::start("server.mjs", &with(with(settings(town, 0x5e), shop), more)).await
}

/// The official buyer, with 5 tUSD and a cap of one price.
pub(crate) async fn client(town: &Town) -> Peer {
    let cap = json!({ "max": PRICE.to_string() });
    let peer = Peer::start("client.mjs", &with(settings(town, 0xc1), cap)).await;
    town.economy.mint(peer.told("address"), 5_000_000).await.unwrap();
    peer
}

/// Lets Permit2 draw on the official buyer's money.
pub(crate) async fn approve(town: &Town, client: &mut Peer) {
    town.economy.devnet.give_eth(client.told("address"), ether()).await.unwrap();
    let approved = client.ask(&json!({ "approve": (10 * PRICE).to_string() })).await;
    assert_eq!(approved["status"], "success", "{approved}");
}

/// A buyer of ours that may pay `to` when `host` asks.
pub(crate) async fn buyer(town: &Town, to: Address, host: &str) -> Citizen {
    let party = town.economy.party("scout").await.unwrap();
    town.economy.mint(party.address, 5_000_000).await.unwrap();
    let policy = format!(
        "{}\n[limits.tUSD]\ntotal = \"2.00\"\n\n[[payee]]\nname = \"shop\"\naddress = \"{to}\"\nhost = \"{host}\"\n",
        town.head(&party),
    );
    town.economy.adopt(&party, &policy).await.unwrap();
    let running = town.economy.run(&party, &[]).await.unwrap();
    Citizen { party, running: Some(running), id: U256::MAX, host: host.to_owned() }
}

/// What a metered purchase really costs, of [`PRICE`] as its maximum.
pub(crate) const CHARGE: u64 = 2_500;

/// A party of ours with its steward, under `[INCOME] assets`, `[facilitator] assets`, or both.
async fn party(town: &Town, name: &str, sections: &[&str]) -> Citizen {
    let party = town.economy.party(name).await.unwrap();
    let mut policy = town.head(&party);
    for section in sections {
        policy.push_str(&format!("\n[{section}]\nassets = [\"tUSD\"]\n"));
    }
    town.economy.adopt(&party, &policy).await.unwrap();
    let running = town.economy.run(&party, &[]).await.unwrap();
    Citizen { party, running: Some(running), id: U256::MAX, host: String::new() }
}

/// A seller of ours with `/exact` and a metered `/upto`, settled by its own steward or through a
/// facilitator.
pub(crate) async fn shop(town: &Town, through: Option<&str>) -> (Citizen, String) {
    let feed = party(town, "feed", &["income"]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut seller = Seller::new(Arc::new(feed.client().clone()), url.parse().unwrap());
    if let Some(facilitator) = through {
        let guard = Guard { loopback: vec![host(facilitator)], ..Guard::default() };
        let net = Net::new(guard).unwrap();
        seller = seller.through(Facilitator::new(net, facilitator.parse().unwrap()));
    }
    let measured = async |meter: Meter| {
        let charge = Money::new(U256::from(CHARGE), meter.max().asset);
        meter.charge(charge).unwrap();
        "metered"
    };
    let metered = Paywall::fixed(seller.clone(), "0.02 tUSD").unwrap().metered();
    let fixed = Paywall::fixed(seller, "0.02 tUSD").unwrap();
    let app = Router::new()
        .route("/exact", get(async || "datum"))
        .layer(fixed)
        .merge(Router::new().route("/upto", get(measured)).layer(metered));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (feed, url)
}

/// A facilitator of ours.
pub(crate) async fn our_facilitator(town: &Town) -> (Citizen, String) {
    let desk = party(town, "desk", &["facilitator"]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = marque_payments::facilitator::router(Arc::new(desk.client().clone()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (desk, url)
}

/// What an address holds of the test dollar.
pub(crate) async fn held(town: &Town, who: Address) -> u64 {
    let held = town.economy.rpc.erc20_balance(town.economy.dollar, who).await.unwrap();
    u64::try_from(held).unwrap()
}

/// Host and port of a URL.
pub(crate) fn host(url: &str) -> String {
    marque_net::host_port(&url.parse().unwrap())
}

fn ether() -> U256 {
    U256::from(10_u64).pow(U256::from(18))
}
