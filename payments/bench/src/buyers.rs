//! One `exact` purchase on the client's side, everything included: ours, `@x402/fetch` and
//! `x402-reqwest`, in turns, from the same server on the same chain.

use crate::{INTEROP, at, peer::Peer, row, support::town::Town, verdict};
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};
use std::{io::Write as _, path::Path, time::Instant};
use tokio::process::Command;

/// Where the shop is paid.
const SHOP: Address = Address::repeat_byte(0x60);

/// Turns, and purchases a turn.
const TURNS: usize = 12;
const A_TURN: u64 = 20;

/// Purchases with 32 buyers at once.
const AT_ONCE: u64 = 640;

/// This program in another role.
pub(crate) async fn role(name: &'static str, settings: &Value) -> Peer {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env("MARQUE_BENCH_ROLE", name);
    Peer::run(name, program, settings).await
}

/// What one kind of buyer took.
struct Buyer {
    peer: Peer,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    at_once: f64,
}

impl Buyer {
    fn new(peer: Peer) -> Self {
        Self { peer, wall: Vec::new(), cpu: Vec::new(), at_once: 0.0 }
    }

    async fn turn(&mut self, url: &str) {
        let said = self.peer.ask(&json!({ "url": url, "times": A_TURN })).await;
        assert_eq!(said["status"], 200, "{said}");
        self.wall.extend(said["wall"].as_array().unwrap().iter().filter_map(Value::as_f64));
        self.cpu.push(said["cpu"].as_f64().unwrap() / A_TURN as f64);
    }

    async fn many(&mut self, url: &str) {
        let begun = Instant::now();
        let said = self.peer.ask(&json!({ "url": url, "times": AT_ONCE, "parallel": 32 })).await;
        assert_eq!(said["status"], 200, "{said}");
        self.at_once = AT_ONCE as f64 / begun.elapsed().as_secs_f64();
    }
}

pub(crate) async fn measure() {
    assert!(Path::new(INTEROP).join("node_modules").is_dir(), "run `make setup`");
    let town = Town::new().await;
    let chain = json!({ "rpc": town.devnet.url(), "chain": town.devnet.chain_id(),
        "token": town.token, "asset": town.token, "payTo": SHOP, "price": "1", "max": "1" });
    let with = |more: Value| {
        let mut all = chain.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let shop = role("shop", &chain).await;
    let url = format!("{}/goods", shop.told::<String>("url"));
    let host = shop.told::<String>("url").trim_start_matches("http://").to_owned();
    let home = town.dir.path().join("scout");
    let mut ours = Buyer::new(role("ours", &with(json!({ "host": host, "home": home }))).await);
    let mut rust =
        Buyer::new(role("reqwest", &with(json!({ "key": B256::repeat_byte(0xc2) }))).await);
    let key = json!({ "key": B256::repeat_byte(0xc1) });
    let mut node = Buyer::new(Peer::start("client.mjs", &with(key)).await);
    for buyer in [&ours, &rust, &node] {
        let purse = U256::from(100_000_000);
        town.devnet.mint(town.token, buyer.peer.told("address"), purse).await.unwrap();
    }
    // Everybody has met everybody, and code is warm.
    for buyer in [&mut ours, &mut rust, &mut node] {
        buyer.turn(&url).await;
        (buyer.wall, buyer.cpu) = Default::default();
    }
    ours.peer.ask(&json!({ "rest": true })).await;
    let (mut syncs, mut followed) = (Vec::new(), 0.0);
    for _ in 0..TURNS {
        ours.turn(&url).await;
        followed += ours.peer.ask(&json!({ "rest": true })).await["cpu"].as_f64().unwrap();
        rust.turn(&url).await;
        node.turn(&url).await;
        syncs.extend(sync_times(town.dir.path()));
    }
    let sync = at(&mut syncs, 0.5);
    let followed = followed / (TURNS as f64 * A_TURN as f64);
    let [mut us, mut them, mut fetch] = [ours.wall.clone(), rust.wall.clone(), node.wall.clone()];
    let [us, them, fetch] = [&mut us, &mut them, &mut fetch].map(|wall| at(wall, 0.5) / 1e3);
    let budget = them + 2.0 * sync / 1e3 + 1.0;
    row(
        "one exact purchase, wall, p50",
        &format!("{us:.2} ms"),
        &format!(
            "x402-reqwest {them:.2} ms + 2 fsyncs of {:.2} ms + 1 ms = {budget:.2} ms: {}; @x402/fetch {fetch:.2} ms: ratio {:.2}",
            sync / 1e3,
            verdict(us <= budget),
            us / fetch
        ),
    );
    let [us, them, fetch] =
        [&mut ours.cpu, &mut rust.cpu, &mut node.cpu].map(|cpu| at(cpu, 0.5) / 1e3);
    let whole = us + followed / 1e3;
    row(
        "one exact purchase, CPU, everything included",
        &format!("{whole:.2} ms"),
        &format!(
            "@x402/fetch {fetch:.2} ms: ratio {:.2}, at most 0.50: {}; {:.2} ms of it follow it on chain; x402-reqwest {them:.2} ms",
            whole / fetch,
            verdict(whole / fetch <= 0.5),
            followed / 1e3,
        ),
    );
    ours.many(&url).await;
    // The shop settles one after the other, and everybody's payments wait in its line.
    ours.peer.ask(&json!({ "rest": true })).await;
    for buyer in [&mut rust, &mut node] {
        buyer.many(&url).await;
    }
    row(
        "32 buyers at once",
        &format!("{:.0} /s", ours.at_once),
        &format!(
            "x402-reqwest {:.0} /s, @x402/fetch {:.0} /s: ratios {:.2} and {:.2}",
            rust.at_once,
            node.at_once,
            ours.at_once / rust.at_once,
            ours.at_once / node.at_once
        ),
    );
}

/// What one small synced write takes here, in microseconds.
fn sync_times(dir: &Path) -> Vec<f64> {
    let mut file = std::fs::File::create(dir.join("fsync")).unwrap();
    let time = |_| {
        let begun = Instant::now();
        file.write_all(&[7; 600]).unwrap();
        file.sync_data().unwrap();
        begun.elapsed().as_secs_f64() * 1e6
    };
    (0..20).map(time).collect()
}
