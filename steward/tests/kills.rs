//! Kills of the real process under load, at any moment, also while it opens.
//!
//! Minds propose payments without a pause, payees bring some of them to the chain, and the steward
//! is killed with `kill -9` again and again. Nothing that was acknowledged is lost, it opens every
//! time, and the chain shows each intent at most once.
//!
//! ```sh
//! MARQUE_KILLS=1000 cargo test -p marque-steward --features testing --test kills -- --nocapture
//! ```

#![cfg(test)]

mod support;

use alloy_primitives::{Address, U256};
use marque_policies::{Intent, IntentId};
use marque_steward::{Body, State, audit};
use marque_steward_client::{Artifact, Authorisation, Client, ClientError, Outcome};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    dice::{Dice, number, seed},
    proposal,
    town::Town,
    victim::Victim,
};

const SHOP: Address = Address::repeat_byte(0x51);
const MINDS: usize = 6;

/// Not a test of its own: the steward that the others kill.
#[tokio::test(flavor = "multi_thread")]
async fn steward_to_be_killed() {
    Victim::be().await;
}

/// What a mind was told.
type Told = Arc<Mutex<BTreeMap<u64, Outcome>>>;

/// Every fifth payment is a transaction, and each has an amount of its own.
fn intent(town: &Town, n: u64) -> Intent {
    if !n.is_multiple_of(5) {
        return town.pay(SHOP, 1 + n % 50);
    }
    let Intent::Transfer(mut pay) = support::transfer(0) else { panic!() };
    (pay.to, pay.amount) = (SHOP, town.usdc(100 + n));
    Intent::Transfer(pay)
}

/// Proposes new payments, and old ones again, until it is told to stop.
async fn mind(
    town: Arc<Town>,
    socket: std::path::PathBuf,
    seed: u64,
    next: Arc<AtomicU64>,
    most: u64,
    told: Told,
    stop: Arc<AtomicBool>,
) {
    let mut dice = Dice::new(seed);
    let mut client: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &client else {
            client = Client::connect(&socket).await.ok();
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let fresh = next.load(Ordering::Relaxed) < most && dice.percent(70);
        let n = if fresh { next.fetch_add(1, Ordering::Relaxed) } else { dice.below(most) };
        let asked = proposal(&format!("t{n}"), 0, intent(&town, n));
        match connected.propose(asked).await {
            Ok(outcome) => {
                let mut told = told.lock().unwrap();
                if let Some(before) = told.get(&n)
                    && !matches!(
                        (before, &outcome),
                        (Outcome::Refused { .. } | Outcome::Held { .. }, _)
                    )
                {
                    assert_eq!(before, &outcome, "payment {n} was answered twice, differently");
                }
                told.insert(n, outcome);
            }
            Err(ClientError::Fault(fault)) => {
                assert!(["chain", "attempt", "internal"].contains(&fault.code.as_str()), "{fault}");
            }
            Err(_) => client = None,
        }
        tokio::time::sleep(Duration::from_millis(dice.below(40))).await;
    }
}

/// Brings some of what the minds were given to the chain, some of it twice.
async fn payee(town: Arc<Town>, told: Told, mut dice: Dice, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let made: Vec<Authorisation> = {
            let told = told.lock().unwrap();
            told.values().filter_map(authorisation).cloned().collect()
        };
        if !made.is_empty() {
            // What was settled or has expired fails, which is the point.
            let made = &made[dice.index(made.len())];
            drop(town.devnet.send(town.token, support::town::call(made)).await);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn authorisation(outcome: &Outcome) -> Option<&Authorisation> {
    match outcome {
        Outcome::Allowed { artifact: Artifact::Authorisation(made), .. } => Some(made),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_that_is_killed_at_any_moment_keeps_its_word() {
    let kills = number("MARQUE_KILLS").unwrap_or(20);
    let seed = seed("kills");
    let mut dice = Dice::new(seed);
    let town = Arc::new(Town::new().await);
    let (home, key) = town.home("scout", SHOP).await;
    let (told, stop, next) =
        (Told::default(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let most = (kills * 10).min(3_000);
    let mut tasks = Vec::new();
    for n in 0..MINDS {
        let (town, told, stop, next) =
            (Arc::clone(&town), Arc::clone(&told), Arc::clone(&stop), Arc::clone(&next));
        tasks.push(tokio::spawn(mind(
            town,
            home.socket("scout"),
            seed + n as u64,
            next,
            most,
            told,
            stop,
        )));
    }
    tasks.push(tokio::spawn(payee(
        Arc::clone(&town),
        Arc::clone(&told),
        dice.clone(),
        Arc::clone(&stop),
    )));

    let begun = Instant::now();
    let (mut opening, mut working) = (0_u64, 0_u64);
    while opening + working < kills {
        let mut victim = Victim::start(&home);
        // A third is killed within the time that opening takes.
        if dice.percent(35) {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        } else {
            drop(victim.client("scout").await);
            tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        }
        assert!(
            !victim.has_ended(),
            "it ended by itself after {} kills, seed {seed}",
            opening + working
        );
        match victim.listens("scout") {
            true => working += 1,
            false => opening += 1,
        }
        victim.kill();
        if (opening + working).is_multiple_of(100) {
            eprintln!("{} kills, {:.0} s", opening + working, begun.elapsed().as_secs_f64());
        }
        for task in &tasks {
            assert!(!task.is_finished(), "a mind or payee broke off, seed {seed}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut victim = Victim::start(&home);
    for task in tasks {
        task.await.unwrap();
    }

    // Nothing that was acknowledged is lost: the same answer, to the last byte.
    let client = victim.client("scout").await;
    let told = std::mem::take(&mut *told.lock().unwrap());
    let mut acknowledged = 0;
    for (n, outcome) in &told {
        let Outcome::Allowed { id, .. } = outcome else { continue };
        acknowledged += 1;
        match client.propose(proposal(&format!("t{n}"), 0, intent(&town, *n))).await {
            Ok(again) if again == *outcome => {}
            // An authorisation that nobody settled in time is closed by now.
            Err(ClientError::Fault(fault)) if fault.code == "attempt" => {
                let state = client.wait(*id, Duration::ZERO).await.unwrap().state;
                assert_eq!(state, marque_steward_client::PaymentState::Expired, "{n}");
            }
            other => panic!("payment {n} was {outcome:?}, and is {other:?}, seed {seed}"),
        }
    }
    // Everything live comes to its end, and the chain shows each payment at most once.
    let state = quiet(&town, &home).await;
    victim.kill();
    let mut amounts: BTreeMap<U256, u64> = BTreeMap::new();
    for amount in support::victim::paid(&town, key, SHOP).await {
        *amounts.entry(amount).or_default() += 1;
    }
    for (amount, times) in amounts.range(U256::from(100)..) {
        assert_eq!(*times, 1, "the transfer of {amount} is on chain {times} times, seed {seed}");
    }
    let entries = audit::entries(&home.journal()).unwrap();
    let mut allowed: BTreeMap<IntentId, u64> = BTreeMap::new();
    for entry in &entries {
        if let Body::Allowed(it) = &entry.body {
            *allowed.entry(it.decided.id).or_default() += 1;
        }
    }
    assert!(allowed.values().all(|times| *times == 1), "an intent was allowed twice, seed {seed}");
    let spent = state.debits().iter().filter(|(_, row)| row.amount.asset.token == town.token);
    let spent = spent.fold(U256::ZERO, |sum, (_, row)| sum + row.amount.units);
    let on_chain = U256::from(town.balance(SHOP).await);
    assert!(spent >= on_chain, "the ledger counts {spent}, and the chain took {on_chain}");
    assert!(working > 0 && acknowledged > 0);
    if kills >= 100 {
        assert!(opening * 5 >= kills, "only {opening} of {kills} kills were while opening");
    }
    eprintln!(
        "{kills} kills, {opening} of them while opening, {acknowledged} acknowledged payments, \
         {} entries, {} on chain, {:.0} s, MARQUE_SEED={seed}",
        entries.len(),
        amounts.values().sum::<u64>(),
        begun.elapsed().as_secs_f64()
    );
}

/// Waits until no transaction is live any more; answers the state.
async fn quiet(town: &Town, home: &marque_steward::Home) -> State {
    for _ in 0..240 {
        let state = audit::state(home).unwrap();
        let transaction =
            |order: &Option<_>| matches!(order, Some(marque_steward::entry::Order::Transaction(_)));
        let mut live = state.intents().values().filter(|it| it.is_live() && transaction(&it.order));
        if live.next().is_none() {
            return state;
        }
        town.devnet.mine(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("transactions never come to an end");
}
