//! Durable signed proposals a second, with eight callers on the real socket of a steward in a
//! process of its own, beside what the disk could do for them: each caller's answer waits for one
//! sync, so at best there are callers / sync time of them. On this disk, and on slower ones, where the
//! journal's wait is prolonged. `MARQUE_CALLERS`, `MARQUE_SECONDS` for other sizes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails like a test"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use alloy_primitives::Address;
use marque_policies::Intent;
use marque_steward::{Options, Steward};
use marque_steward_client::{Artifact, Client, Outcome, Proposal};
use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};
use support::{homes, town::Town};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// So much longer each sync takes, in milliseconds.
const SLOWER: [u64; 4] = [0, 2, 5, 10];

#[tokio::main]
async fn main() {
    if let Some(home) = std::env::var_os("MARQUE_BENCH_HOME") {
        let home = marque_steward::Home::open(home).unwrap();
        // Nothing is settled here, so that nobody but the callers asks the chain.
        let poll = Duration::from_secs(600);
        let options = Options { poll, rest: poll, rate: u32::MAX, ..Options::default() };
        return Steward::start(home, homes::unlock(), options).await.unwrap().stopped().await;
    }
    let town = Town::new().await;
    let shop = Address::repeat_byte(0x60);
    let (home, _) = town.home("scout", shop).await;
    idle(&home);
    for slower in SLOWER {
        let mut steward =
            steward(&home).env("MARQUE_SLOW_SYNC", (slower * 1_000).to_string()).spawn().unwrap();
        signed(&town, &home, shop, Duration::from_millis(slower)).await;
        steward.kill().unwrap();
        steward.wait().unwrap();
    }
}

/// As many authorisations as callers get who wait for each before they ask for the next.
async fn signed(town: &Town, home: &marque_steward::Home, shop: Address, slower: Duration) {
    let (callers, seconds) = (number("MARQUE_CALLERS", 8), number("MARQUE_SECONDS", 5));
    let mut clients = Vec::new();
    for _ in 0..callers {
        clients.push(connect(home).await);
    }
    let mut syncs = sync_times(town.dir.path());
    let until = Instant::now() + Duration::from_secs(seconds);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (caller, client) in clients.into_iter().enumerate() {
        let task = format!("{} ms {caller}", slower.as_millis());
        tasks.push(tokio::spawn(call(client, task, town.pay(shop, 1), until)));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    let took = start.elapsed().as_secs_f64();
    syncs.extend(sync_times(town.dir.path()));
    syncs.sort();
    waits.sort();
    let sync = syncs[syncs.len() / 2] + slower;
    let (rate, best) = (waits.len() as f64 / took, callers as f64 / sync.as_secs_f64());
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:<44} {rate:>9.0} /s   ratio {:.2} of {best:.0} /s, at least 0.7; {callers} callers, p50 {:.2} ms, \
         p99 {:.2} ms",
        format!("authorisations where a sync takes {:.2} ms", milliseconds(sync)),
        rate / best,
        milliseconds(waits[waits.len() / 2]),
        milliseconds(waits[waits.len() * 99 / 100]),
    );
}

async fn connect(home: &marque_steward::Home) -> Client {
    for _ in 0..100 {
        if let Ok(client) = Client::connect(home.socket("scout")).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the steward does not answer");
}

/// This program as a steward.
fn steward(home: &marque_steward::Home) -> std::process::Command {
    let mut steward = std::process::Command::new(std::env::current_exe().unwrap());
    steward.env("MARQUE_BENCH_HOME", home.path());
    steward
}

/// A process that is a steward and has nothing to do.
fn idle(home: &marque_steward::Home) {
    let mut steward = steward(home).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    let status = std::fs::read_to_string(format!("/proc/{}/status", steward.id())).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    println!(
        "{:<44} {:>9.1} MiB  at most 40; {:.1} MiB of it its own, the rest is the program's file",
        "an idle steward's process",
        kib("VmRSS:") / 1024.0,
        kib("RssAnon:") / 1024.0,
    );
    steward.kill().unwrap();
    steward.wait().unwrap();
}

async fn call(client: Client, task: String, intent: Intent, until: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    for step in 0.. {
        let start = Instant::now();
        if start > until {
            break;
        }
        let (task, intent) = (task.clone(), intent.clone());
        let asked = Proposal { task, step, ordinal: 0, attempt: 0, intent };
        let outcome = client.propose(asked).await.unwrap();
        let signed =
            matches!(outcome, Outcome::Allowed { artifact: Artifact::Authorisation(_), .. });
        assert!(signed, "{outcome:?}");
        times.push(start.elapsed());
    }
    times
}

/// How long this disk takes to make one entry durable.
fn sync_times(dir: &Path) -> Vec<Duration> {
    let mut file = std::fs::File::create(dir.join("sync")).unwrap();
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&[7; 2_000]).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed());
    }
    times
}
