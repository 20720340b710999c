//! Many callers on one limit, with kills and a clock that jumps; and a freeze among them.
//!
//! ```sh
//! MARQUE_ATTEMPTS=100000 cargo test --release -p marque-steward --features testing --test races -- --nocapture
//! ```

#![cfg(test)]

mod support;

use alloy_primitives::Address;
use marque_identity_keys::sign_statement;
use marque_policies::{Intent, Statement};
use marque_steward::{Body, Home, audit};
use marque_steward_client::{Artifact, Authorisation, Client, ClientError, Outcome};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    CHAIN,
    dice::{Dice, number, seed},
    owner, proposal,
    town::{Town, call},
    victim::{Victim, set_clock},
};

const SHOP: Address = Address::repeat_byte(0x51);
const CALLERS: usize = 64;

/// The hour's limit of the tests' policy, in base units.
const HOUR: u64 = 3_000_000;

/// Not a test of its own: the steward that the others kill.
#[tokio::test(flavor = "multi_thread")]
async fn steward_to_be_killed() {
    Victim::be().await;
}

/// What a crowd of callers has done.
#[derive(Default)]
struct Crowd {
    attempts: AtomicU64,
    allowed: AtomicU64,
    made: Mutex<BTreeMap<String, Authorisation>>,
    stop: AtomicBool,
    /// When the last artifact came.
    last: Mutex<Option<Instant>>,
}

/// Proposes without a pause.
async fn caller(
    town: Arc<Town>,
    socket: PathBuf,
    mut client: Client,
    crowd: Arc<Crowd>,
    seed: u64,
    tasks: u64,
) {
    let mut dice = Dice::new(seed);
    // Attempts rise, so that what has expired is asked for again.
    let mut attempts: BTreeMap<u64, u32> = BTreeMap::new();
    while !crowd.stop.load(Ordering::Relaxed) {
        let task = dice.below(tasks);
        // The same task is asked for by many callers at once, with the same body.
        let units = 5_000 + (task * 7_919) % 190_000;
        let attempt = attempts.entry(task).or_default();
        let name = format!("t{task}");
        let asked = proposal(&name, *attempt, town.pay(SHOP, units));
        crowd.attempts.fetch_add(1, Ordering::Relaxed);
        match client.propose(asked).await {
            Ok(Outcome::Allowed { artifact: Artifact::Authorisation(made), .. }) => {
                *crowd.last.lock().unwrap() = Some(Instant::now());
                crowd.allowed.fetch_add(1, Ordering::Relaxed);
                let name = format!("{name}/{attempt}");
                let before = crowd.made.lock().unwrap().insert(name, (*made).clone());
                assert!(before.is_none_or(|before| before == *made), "two contents for one id");
            }
            Ok(_) => {}
            Err(ClientError::Fault(fault)) => match fault.code.as_str() {
                "attempt" if fault.message.contains("came to nothing") => *attempt += 1,
                "attempt" if fault.message.contains("has been made") => *attempt += 1,
                "frozen" => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            },
            // Away for longer than a client waits.
            Err(_) => {
                if let Ok(again) = Client::connect(&socket).await {
                    client = again;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// So many connections: a steward has places for 32 of an agent.
const CONNECTIONS: usize = 28;

/// Has the callers begin. Their clients connect again by themselves.
async fn gather(
    town: &Arc<Town>,
    home: &Home,
    crowd: &Arc<Crowd>,
    seed: u64,
    tasks: u64,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(home.socket("scout")).await.unwrap());
    }
    let begin = |n: usize| {
        let (town, crowd) = (Arc::clone(town), Arc::clone(crowd));
        let client = clients[n % CONNECTIONS].clone();
        let seed = seed ^ ((n as u64) << 40);
        tokio::spawn(caller(town, home.socket("scout"), client, crowd, seed, tasks))
    };
    (0..CALLERS).map(begin).collect()
}

/// Payees bring what was made to the chain, some of it late, some never.
async fn payee(town: Arc<Town>, crowd: Arc<Crowd>, mut dice: Dice) {
    let mut tried: BTreeMap<String, Authorisation> = BTreeMap::new();
    while !crowd.stop.load(Ordering::Relaxed) {
        let made = crowd.made.lock().unwrap().clone();
        for (name, made) in made {
            if !tried.contains_key(&name) && dice.percent(30) {
                drop(town.devnet.send(town.token, call(&made)).await);
                tried.insert(name, made);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_on_one_limit_never_overshoot_it() {
    let attempts = number("MARQUE_ATTEMPTS").unwrap_or(1_500);
    let seed = seed("races");
    let mut dice = Dice::new(seed);
    let town = Arc::new(Town::new().await);
    let (home, key) = town.home("scout", SHOP).await;
    let crowd = Arc::new(Crowd::default());
    let mut victim = Victim::start(&home);
    drop(victim.client("scout").await);
    let mut tasks = gather(&town, &home, &crowd, seed, 400).await;
    tasks.push(tokio::spawn(payee(Arc::clone(&town), Arc::clone(&crowd), dice.clone())));
    let begun = Instant::now();
    let (mut kills, mut jumps) = (0, 0);
    while crowd.attempts.load(Ordering::Relaxed) < attempts {
        tokio::time::sleep(Duration::from_millis(dice.between(200, 1_500))).await;
        assert!(!victim.has_ended(), "it ended by itself, seed {seed}");
        if dice.percent(50) {
            // Within what block time allows, beyond it, and back. The limit is an hour's.
            let offset =
                dice.one(&[0, 0, 300_000, -300_000, 550_000, -550_000, 7_200_000, -7_200_000]);
            // A clock far ahead is for the end: the ledger's time never goes back.
            let offset =
                if offset > 600_000 && crowd.attempts.load(Ordering::Relaxed) * 10 < attempts * 9 {
                    0
                } else {
                    offset
                };
            set_clock(&home, offset);
            jumps += 1;
        } else {
            victim.kill();
            kills += 1;
            victim = Victim::start(&home);
            // Now and then it dies while it opens, too.
            if dice.percent(80) {
                drop(victim.client("scout").await);
            }
        }
        assert!(tasks.iter().all(|task| !task.is_finished()), "a caller broke off, seed {seed}");
    }
    crowd.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    set_clock(&home, 0);
    // Everything that was ever signed is brought to the chain, told to somebody or not.
    let client = victim.client("scout").await;
    for entry in audit::entries(&home.journal()).unwrap() {
        let Body::Allowed(allowed) = entry.body else { continue };
        let decided = allowed.decided;
        let asked = proposal(&decided.task, decided.attempt, decided.intent);
        if let Ok(Outcome::Allowed { artifact: Artifact::Authorisation(made), .. }) =
            client.propose(asked).await
        {
            crowd
                .made
                .lock()
                .unwrap()
                .insert(format!("{}/{}", decided.task, decided.attempt), *made);
        }
    }
    victim.kill();
    let made: Vec<Authorisation> = crowd.made.lock().unwrap().values().cloned().collect();
    for made in &made {
        drop(town.devnet.send(town.token, call(made)).await);
    }
    let paid = town.balance(SHOP).await;
    let most: u64 = made.iter().map(|made| made.value.to::<u64>()).sum();
    eprintln!(
        "{} attempts by {CALLERS} callers, {kills} kills, {jumps} jumps of the clock: {} answers allowed, \
         {} authorisations of {most}, {paid} of {HOUR} on chain, in {:.0} s, MARQUE_SEED={seed}",
        crowd.attempts.load(Ordering::Relaxed),
        crowd.allowed.load(Ordering::Relaxed),
        made.len(),
        begun.elapsed().as_secs_f64(),
    );
    assert_eq!(town.balance(key).await, 5_000_000 - paid);
    assert!(paid <= HOUR, "{paid} is on chain, seed {seed}");
    assert!(paid > HOUR * 8 / 10, "only {paid} is on chain: the limit was not tried, seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_freeze_nothing_new_is_signed() {
    let rounds = number("MARQUE_FREEZES").unwrap_or(5);
    let seed = seed("freeze");
    let town = Arc::new(Town::new().await);
    let (home, _) = town.home("scout", SHOP).await;
    let mut victim = Victim::start(&home);
    let client = victim.client("scout").await;
    let crowd = Arc::new(Crowd::default());
    let tasks = gather(&town, &home, &crowd, seed, 1_000_000).await;
    let mut took = Vec::new();
    for round in 0..rounds {
        // Until they are at it again.
        let before = crowd.attempts.load(Ordering::Relaxed);
        while crowd.attempts.load(Ordering::Relaxed) < before + 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = Instant::now();
        let frozen_at = client.freeze(format!("round {round}")).await.unwrap();
        let answered = asked.elapsed();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let last = crowd
            .last
            .lock()
            .unwrap()
            .map_or(Duration::ZERO, |last| last.saturating_duration_since(asked));
        took.push(answered.max(last));
        let thaw =
            sign_statement(&owner(), Statement::Thaw { frozen_at }, CHAIN, home.origin(), None);
        client.submit(thaw).await.unwrap();
    }
    crowd.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    victim.kill();
    // By the journal's order nothing is allowed between a freeze and its thaw, but to take back what
    // is out.
    let (mut frozen, mut freezes, mut cancels) = (false, 0, BTreeSet::new());
    for entry in audit::entries(&home.journal()).unwrap() {
        match entry.body {
            Body::Frozen { .. } => (frozen, freezes) = (true, freezes + 1),
            Body::Thawed { .. } => frozen = false,
            Body::Allowed(allowed) if matches!(allowed.decided.intent, Intent::Cancel(_)) => {
                cancels.insert(allowed.decided.id);
            }
            Body::Signed { id, .. } if cancels.contains(&id) => {}
            Body::Allowed(_) | Body::Signed { .. } => {
                assert!(!frozen, "entry {}, seed {seed}", entry.seq)
            }
            _ => {}
        }
    }
    assert_eq!(freezes, rounds);
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    eprintln!(
        "{rounds} freezes under {CALLERS} callers, {} attempts: nothing new is out after {:?} (p50), {:?} \
         (p99), MARQUE_SEED={seed}",
        crowd.attempts.load(Ordering::Relaxed),
        at(50),
        at(99),
    );
}
