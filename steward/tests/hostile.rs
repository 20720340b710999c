//! A mind that is hostile to the last byte, on the real socket of a steward with a real key.
//!
//! It sends whole questions that the grammar allows, the same broken in every way that a byte can
//! be, cut and lying frames, versions of the future, nests, ids that were used, and statements that
//! the owner never made, on several connections at once. Afterwards everything that was signed is
//! counted by hand: from the answers, from the journal and from the chain, against the few numbers
//! of the policy and without the engine that decided.
//!
//! `MARQUE_CASES=1000000` runs it at full size (`--release`), `MARQUE_SEED` repeats a run.

#![cfg(test)]

mod hostile {
    pub(crate) mod arsenal;
    pub(crate) mod judge;
}
mod support;

use hostile::{arsenal::Arsenal, judge};
use marque_policies::{Intent, Statement};
use marque_steward::{Options, Steward};
use marque_steward_client::{Answer, Artifact, Client, Outcome, PaymentState, Response, frame};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use support::{CHAIN, homes, key, owner, town::Town};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixStream, unix::OwnedReadHalf},
};

/// Connections at once.
const CONNECTIONS: u64 = 8;

/// Messages on a connection before it is asked whether it still stands.
const BURST: u64 = 40;

/// What the policy lets go in an hour, in base units.
const HOUR: u64 = 3_000_000;

/// And in a day; the test is over within one.
const DAY: u64 = 10_000_000;

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().or_else(|_| u64::from_str_radix(text.get(..16).unwrap_or(&text), 16)).unwrap()
    })
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    env("MARQUE_SEED", u64::from_le_bytes(bytes))
}

/// Megabytes of memory that this process, which is the steward's as well, holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Everything that one connection's steward let go, and how often it was heard.
#[derive(Debug, Default)]
struct Heard {
    artifacts: Vec<Artifact>,
    answers: u64,
    faults: u64,
}

async fn listen(mut read: OwnedReadHalf) -> Heard {
    let mut heard = Heard::default();
    while let Ok(Some(bytes)) = frame::read(&mut read).await {
        let response: Response =
            serde_json::from_slice(&bytes).expect("the steward's own words are always well-formed");
        heard.answers += 1;
        match response.answer {
            Answer::Outcome(Outcome::Allowed { artifact, .. }) => heard.artifacts.push(artifact),
            Answer::Error(_) => heard.faults += 1,
            _ => {}
        }
    }
    heard
}

/// Memory is the whole process's, so it is measured by one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mind_gets_no_signature_outside_the_policy() {
    let _alone = ALONE.lock().await;
    let (cases, seed) = (env("MARQUE_CASES", 4_000), seed());
    println!("hostile: MARQUE_SEED={seed} MARQUE_CASES={cases}");
    let panics = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&panics);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Relaxed);
        usual(panic);
    }));

    let town = Town::new().await;
    let shop = key(3).address();
    let (home, agent) = town.home("scout", shop).await;
    town.devnet.mint(town.token, agent, alloy_primitives::U256::from(100_000_000)).await.unwrap();
    // Without the brake, so that as much as can be is decided and not only counted.
    let options = Options { rate: u32::MAX, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let socket = home.socket("scout");
    // Permits are signed where Permit2 may draw for them.
    let approve = Intent::ApprovePermit2 { amount: town.usdc(100_000_000) };
    let client = Client::connect(&socket).await.unwrap();
    let approved = client.propose(support::proposal("approve", 0, approve)).await.unwrap();
    let Outcome::Allowed { id, .. } = approved else { panic!("{approved:?}") };
    while client.wait(id, Duration::from_millis(300)).await.unwrap().state != PaymentState::Final {
        town.devnet.mine(1).await.unwrap();
    }
    drop(client);
    let (begun, before) = (Instant::now(), resident());
    let sent = Arc::new(AtomicU64::new(0));

    let mut attackers = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let (socket, sent) = (socket.clone(), Arc::clone(&sent));
        let mut arsenal =
            Arsenal::new(seed ^ (number << 56), home.origin(), agent, shop, town.token);
        attackers.spawn(async move {
            let mut all = Heard::default();
            while sent.load(Relaxed) < cases {
                let Ok(stream) = UnixStream::connect(&socket).await else { continue };
                let (read, mut write) = stream.into_split();
                let heard = tokio::spawn(listen(read));
                for _ in 0..BURST {
                    sent.fetch_add(1, Relaxed);
                    let shot = arsenal.next();
                    if write.write_all(&shot.bytes).await.is_err() || shot.ends {
                        break;
                    }
                }
                drop(write);
                let heard = heard.await.unwrap();
                all.artifacts.extend(heard.artifacts);
                all.answers += heard.answers;
                all.faults += heard.faults;
            }
            all
        });
    }
    // Anyone may freeze, and some messages do: the owner thaws, so that the attack goes on.
    let (thawing, done) = (socket.clone(), Arc::clone(&sent));
    let origin = home.origin();
    let thaws = tokio::spawn(async move {
        let client = Client::connect(&thawing).await.unwrap();
        let mut thaws = 0;
        while done.load(Relaxed) < cases {
            if let Ok(view) = client.view().await
                && let Some(frozen_at) = view.frozen_at
            {
                let statement = Statement::Thaw { frozen_at };
                let thaw =
                    marque_identity_keys::sign_statement(&owner(), statement, CHAIN, origin, None);
                thaws += u64::from(client.submit(thaw).await.is_ok());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        thaws
    });
    let mut heard = Heard::default();
    while let Some(one) = attackers.join_next().await {
        let one = one.unwrap();
        heard.artifacts.extend(one.artifacts);
        heard.answers += one.answers;
        heard.faults += one.faults;
    }
    let thaws = thaws.await.unwrap();
    let (took, after) = (begun.elapsed(), resident());
    // Windows roll: what was signed first leaves the window when the next hour begins.
    let limit = DAY.min(HOUR * (1 + took.as_secs() / 3_600));

    // It still answers, and it ends in order.
    let view = Client::connect(&socket).await.unwrap().view().await.unwrap();
    let entries = view.now;
    assert!(entries > 0);
    town.devnet.mine(5).await.unwrap();
    steward.stop().await.unwrap();
    assert_eq!(panics.load(Relaxed), 0, "0 crashes");

    let verdict = judge::judge(&home, agent, shop, &town, &heard.artifacts).await;
    let grown = after.saturating_sub(before);
    println!(
        "hostile: {} messages in {:.0} s, {} answers, {} of them faults, {thaws} thaws; {} \
         signatures, {} of them permits, {} base units let go of {limit}; 0 outside the policy, 0 \
         panics; {} journal \
         entries; memory {before} -> {after} MiB",
        sent.load(Relaxed),
        took.as_secs_f64(),
        heard.answers,
        heard.faults,
        verdict.signatures,
        verdict.permits,
        verdict.let_go,
        verdict.entries,
    );
    assert!(verdict.permits > 0, "some permits were signed, or none was tried");
    assert!(verdict.signatures > 0, "some of it was allowed, or nothing was tried");
    assert!(verdict.let_go <= limit, "{} base units were signed away", verdict.let_go);
    // What is decided is remembered; what is not is not. A decision takes some kilobytes.
    assert!(grown * 1024 <= 64 * 1024 + verdict.entries * 6, "{grown} MiB for {}", verdict.entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mind_cannot_fill_the_memory_of_its_steward() {
    let _alone = ALONE.lock().await;
    let (cases, seed) = (env("MARQUE_CASES", 4_000) / 5, seed());
    println!("hostile, braked: MARQUE_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let (home, agent) =
        homes::home(&dir.path().join("home"), "scout", Default::default(), |_| support::policy(1));
    let steward = Steward::start(home.clone(), homes::unlock(), Options::default()).await.unwrap();
    let socket = home.socket("scout");
    let before = resident();
    let mut arsenal = Arsenal::new(seed, home.origin(), agent, support::SHOP, support::TOKEN);
    let (mut sent, mut held) = (0, Vec::new());
    while sent < cases {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        for _ in 0..BURST {
            sent += 1;
            let shot = arsenal.next();
            // Nobody reads the answers: the steward must not keep them all for us.
            let write = stream.write_all(&shot.bytes);
            match tokio::time::timeout(Duration::from_millis(50), write).await {
                Ok(Ok(())) if !shot.ends => {}
                _ => break,
            }
        }
        held.push(stream);
        if held.len() > 24 {
            held.remove(0);
        }
    }
    // What it sent last still counts against whoever asks next.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let view = Client::connect(&socket).await.unwrap().view().await.unwrap();
    let grown = resident().saturating_sub(before);
    println!("hostile, braked: {sent} messages, {grown} MiB, {} intents", view.intents.len());
    assert!(grown <= 192, "{grown} MiB for {sent} messages");
    drop(held);
    steward.stop().await.unwrap();
}
