//! A town in which some parties are official packages.

use crate::{
    peer::Peer,
    support::{Citizen, MARQUE, Town},
};
use alloy_primitives::{Address, B256, U256};
use marque::economy::{DOLLAR_DOMAIN, Economy};
use marque_identity::devnet::{Devnet, Options};
use serde_json::{Value, json};
use std::path::PathBuf;

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
