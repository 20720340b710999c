//! A steward that comes back with thousands of payments under way.
//!
//! A third of them was settled while it was away, a third has run out, a third is still in time (or
//! not, where signing them took long).
//! Each must stand where the chain says, and nothing is signed with other content.
//!
//! ```sh
//! MARQUE_PENDING=10000 cargo test --release -p marque-steward --test restart -- --nocapture
//! ```

#![cfg(test)]

mod support;

use alloy_primitives::{Address, hex};
use marque_policies::IntentId;
use marque_steward::{Body, Home, Options, Steward, audit};
use marque_steward_client::{Artifact, Authorisation, Client, ClientError, Outcome, PaymentState};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use support::{dice::number, homes, proposal, town::Town};

const SHOP: Address = Address::repeat_byte(0x51);

/// Callers that propose at a time.
const CALLERS: u64 = 16;

async fn start(home: &Home) -> Steward {
    let poll = Duration::from_millis(200);
    let options = Options { poll, rest: 5 * poll, rate: 1_000_000, ..Options::default() };
    Steward::start(home.clone(), homes::unlock(), options).await.unwrap()
}

/// Has these payments signed, many at a time.
async fn pay(
    town: &Town,
    client: &Client,
    which: std::ops::Range<u64>,
) -> Vec<(u64, IntentId, Authorisation)> {
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let asked: Vec<_> = which
            .clone()
            .filter(|n| n % CALLERS == caller)
            .map(|n| (n, proposal(&format!("t{n}"), 0, town.pay(SHOP, 10 + n % 100))))
            .collect();
        let client = client.clone();
        callers.push(tokio::spawn(async move {
            let mut paid = Vec::new();
            for (n, asked) in asked {
                match client.propose(asked).await.unwrap() {
                    Outcome::Allowed { id, artifact: Artifact::Authorisation(made) } => {
                        paid.push((n, id, *made))
                    }
                    other => panic!("{other:?}"),
                }
            }
            paid
        }));
    }
    let mut paid = Vec::new();
    for caller in callers {
        paid.extend(caller.await.unwrap());
    }
    paid
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_pending_is_reconciled_when_a_steward_comes_back() {
    let pending = number("MARQUE_PENDING").unwrap_or(150);
    let third = pending / 3;
    let town = Town::new().await;
    let (home, _) = town.home("scout", SHOP).await;
    let steward = start(&home).await;
    let client = Client::connect(home.socket("scout")).await.unwrap();
    let late = pay(&town, &client, 0..third).await;
    town.pass(60).await;
    let open = pay(&town, &client, 2 * third..3 * third).await;
    let settled = pay(&town, &client, third..2 * third).await;
    steward.stop().await.unwrap();

    let accounts = town.ask("eth_accounts", serde_json::json!([])).await;
    for (_, _, made) in &settled {
        let data = hex::encode_prefixed(support::town::call(made));
        let gas = "0x30d40";
        let call = serde_json::json!([{ "from": accounts[0], "to": town.token, "data": data, "gas": gas }]);
        town.ask("eth_sendTransaction", call).await;
    }
    town.devnet.mine(3).await.unwrap();
    town.pass(62).await;

    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let clock = Instant::now();
    let steward = start(&home).await;
    let opened = clock.elapsed();
    let client = Client::connect(home.socket("scout")).await.unwrap();
    let wanted = |wanted: PaymentState, ids: &[(u64, IntentId, Authorisation)]| {
        let (home, ids) = (home.clone(), ids.iter().map(|(_, id, _)| *id).collect::<Vec<_>>());
        async move {
            for _ in 0..200 {
                let state = audit::state(&home).unwrap();
                let there = |id: &IntentId| {
                    let state = state.intent(*id).unwrap().state;
                    state == wanted
                        || (wanted == PaymentState::Seen && state == PaymentState::Final)
                };
                if ids.iter().all(there) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            panic!("not all of them came to {wanted:?}");
        }
    };
    wanted(PaymentState::Seen, &settled).await;
    wanted(PaymentState::Expired, &late).await;

    // The same bytes as before, and no attempt is open where one is closed.
    for (n, id, made) in settled.iter().chain(&open).chain(&late) {
        match client.propose(proposal(&format!("t{n}"), 0, town.pay(SHOP, 10 + n % 100))).await {
            Ok(Outcome::Allowed { id: again, artifact: Artifact::Authorisation(bytes) }) => {
                assert_eq!((*id, made), (again, &*bytes), "payment {n} was signed otherwise");
            }
            Err(ClientError::Fault(fault)) => assert_eq!(fault.code, "attempt", "payment {n}"),
            other => panic!("payment {n}: {other:?}"),
        }
    }
    steward.stop().await.unwrap();
    let paid: u64 = settled.iter().map(|(_, _, made)| made.value.to::<u64>()).sum();
    assert_eq!(town.balance(SHOP).await, paid);

    // When each was reconciled, by the journal.
    let mut took: BTreeMap<IntentId, u128> = BTreeMap::new();
    let mut allowed = 0;
    for entry in audit::entries(&home.journal()).unwrap() {
        match entry.body {
            Body::Seen { id, .. } | Body::Expired { id, .. } => {
                took.entry(id).or_insert_with(|| u128::from(entry.at).saturating_sub(begun));
            }
            Body::Allowed(_) => allowed += 1,
            _ => {}
        }
    }
    assert_eq!(allowed, 3 * third, "each was allowed once");
    let mut took: Vec<u128> = took.into_values().collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    eprintln!(
        "{} pending: open and looked at after {} ms; {} were news, each reconciled within {} ms (p50), {} ms (p99)",
        3 * third,
        opened.as_millis(),
        took.len(),
        at(50),
        at(99),
    );
}
