//! A steward that comes back with thousands of payments under way.
//!
//! A third of them was settled while it was away, a third has run out, a third is still in time, but
//! for a few whose cancellation was mined meanwhile.
//! Each must stand where the chain says, and nothing is signed with other content. Block time stands
//! still while they are signed, for an authorisation lives two minutes and thousands take longer.
//!
//! ```sh
//! MARQUE_PENDING=10000 cargo test --release -p marque-steward --test restart -- --nocapture
//! ```

#![cfg(test)]

mod support;

use alloy_primitives::{Address, U64, hex};
use marque_policies::IntentId;
use marque_steward::{Body, Home, Options, Steward, audit};
use marque_steward_client::{Artifact, Authorisation, Client, ClientError, Outcome, PaymentState};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use support::{cancel, dice::number, homes, proposal, town::Town};

const SHOP: Address = Address::repeat_byte(0x51);

/// Payments that were taken back.
const TAKEN: usize = 3;

/// Settlements that go into one block.
const BLOCKFUL: usize = 250;

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
    town.hold_time().await;
    let first = town.time().await;
    let steward = start(&home).await;
    let client = Client::connect(home.socket("scout")).await.unwrap();
    let late = pay(&town, &client, 0..third).await;
    town.come_to(first + 60).await;
    let mut open = pay(&town, &client, 2 * third..3 * third).await;
    let settled = pay(&town, &client, third..2 * third).await;
    let taken: Vec<_> = open.drain(..TAKEN).collect();
    for (_, id, _) in &taken {
        let back = client.propose(proposal("back", 0, cancel(*id))).await.unwrap();
        assert!(matches!(back, Outcome::Allowed { .. }), "{back:?}");
    }
    steward.stop().await.unwrap();
    town.devnet.mine(1).await.unwrap();

    let accounts = town.ask("eth_accounts", serde_json::json!([])).await;
    for some in settled.chunks(BLOCKFUL) {
        let count =
            town.ask("eth_getTransactionCount", serde_json::json!([accounts[0], "latest"])).await;
        let count: U64 = serde_json::from_value(count).unwrap();
        let call = |(n, (_, _, made)): (u64, &(u64, IntentId, Authorisation))| {
            let data = hex::encode_prefixed(support::town::call(made));
            let (from, to, gas, nonce) = (&accounts[0], town.token, "0x186a0", U64::from(n));
            let call = serde_json::json!({ "from": from, "to": to, "data": data, "gas": gas, "nonce": nonce });
            serde_json::json!([call])
        };
        let some = (count.to::<u64>()..).zip(some);
        town.ask_all("eth_sendTransaction", some.map(call).collect()).await;
        town.devnet.mine(1).await.unwrap();
    }
    let paid: u64 = settled.iter().map(|(_, _, made)| made.value.to::<u64>()).sum();
    assert_eq!(town.balance(SHOP).await, paid, "all are settled");
    town.come_to(first + 130).await;

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
    wanted(PaymentState::Cancelled, &taken).await;

    // The same bytes as before, and no attempt is open where one is closed.
    let closed: BTreeSet<IntentId> = late.iter().chain(&taken).map(|(_, id, _)| *id).collect();
    for (n, id, made) in settled.iter().chain(&open).chain(&late).chain(&taken) {
        let closed = closed.contains(id);
        match client.propose(proposal(&format!("t{n}"), 0, town.pay(SHOP, 10 + n % 100))).await {
            Ok(Outcome::Allowed { id: again, artifact: Artifact::Authorisation(bytes) })
                if !closed =>
            {
                assert_eq!((*id, made), (again, &*bytes), "payment {n} was signed otherwise");
            }
            Err(ClientError::Fault(fault)) if closed => {
                assert_eq!(fault.code, "attempt", "payment {n}");
            }
            other => panic!("payment {n}: {other:?}"),
        }
    }
    steward.stop().await.unwrap();
    assert_eq!(town.balance(SHOP).await, paid);

    // When each was reconciled, by the journal.
    let mut took: BTreeMap<IntentId, u128> = BTreeMap::new();
    let mut allowed = 0;
    for entry in audit::entries(&home.journal()).unwrap() {
        match entry.body {
            Body::Seen { id, .. } | Body::Expired { id, .. } | Body::Cancelled { id, .. } => {
                took.entry(id).or_insert_with(|| u128::from(entry.at).saturating_sub(begun));
            }
            Body::Allowed(it) => allowed += u64::from(it.decided.intent.kind() == "authorise"),
            _ => {}
        }
    }
    assert_eq!(allowed, 3 * third, "each was allowed once");
    let mut took: Vec<u128> = took.into_values().collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let p99 = at(99);
    eprintln!(
        "{} pending: open and looked at after {} ms; {} were news, each reconciled within {} ms (p50), {} ms (p99)",
        3 * third,
        opened.as_millis(),
        took.len(),
        at(50),
        p99,
    );
    assert!(p99 < 5_000, "the slowest took {p99} ms");
}
