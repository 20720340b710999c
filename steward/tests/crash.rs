//! A steward that is killed at every edge of a payment, and started again.
//!
//! The test binary runs itself as the steward, with `MARQUE_FAILPOINT` naming the edge.

#![cfg(test)]

mod support;

use alloy_primitives::Address;
use marque_policies::{Intent, IntentId};
use marque_steward::{Body, Home, Options, Steward, audit};
use marque_steward_client::{Artifact, Client, Outcome, PaymentState};
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command},
    time::Duration,
};
use support::{homes, proposal, town::Town};

/// Not a test of its own: the steward that the others kill.
#[tokio::test(flavor = "multi_thread")]
async fn steward_to_be_killed() {
    let Some(path) = std::env::var_os("MARQUE_TEST_HOME") else { return };
    let options = Options { poll: Duration::from_millis(200), ..Options::default() };
    let home = Home::open(path).unwrap();
    let steward = Steward::start(home, homes::unlock(), options).await.unwrap();
    steward.stopped().await;
}

fn run(home: &Home, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "steward_to_be_killed"]).env("MARQUE_TEST_HOME", home.path());
    if let Some(name) = failpoint {
        command.env("MARQUE_FAILPOINT", name);
    }
    command.spawn().unwrap()
}

async fn connect(home: &Home) -> Client {
    for _ in 0..1_200 {
        if let Ok(client) = Client::connect(home.socket("scout")).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no steward came up")
}

/// Proposes while the steward dies at `edge` and is started again; answers the outcome.
async fn killed_at(edge: &str, home: &Home, intent: Intent) -> Outcome {
    let mut first = run(home, Some(edge));
    let client = connect(home).await;
    let asked = tokio::spawn(async move { client.propose(proposal("buy", 0, intent)).await });
    let died = tokio::task::spawn_blocking(move || first.wait().unwrap()).await.unwrap();
    assert_eq!(died.signal(), Some(6), "it died at {edge}: {died}");
    let mut second = run(home, None);
    // The client asks again by itself.
    let outcome = asked.await.unwrap().unwrap();
    let client = connect(home).await;
    let Outcome::Allowed { id, .. } = &outcome else { panic!("{outcome:?}") };
    settle_down(&client, *id).await;
    second.kill().unwrap();
    second.wait().unwrap();
    outcome
}

async fn settle_down(client: &Client, id: IntentId) {
    for _ in 0..20 {
        let status = client.wait(id, Duration::from_secs(2)).await.unwrap();
        let view = client.view().await.unwrap();
        let by_transaction = matches!(view.intents[0].intent, Intent::Transfer(_));
        if status.state == PaymentState::Final || !by_transaction {
            return;
        }
    }
    panic!("it never became final")
}

fn count(home: &Home, kind: &str) -> usize {
    audit::entries(&home.journal()).unwrap().iter().filter(|e| e.body.kind() == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_paid_once_whatever_edge_the_steward_dies_at() {
    let town = Town::new().await;
    for (n, edge) in ["reserved", "signed", "sent"].into_iter().enumerate() {
        let shop = Address::repeat_byte(0x40 + u8::try_from(n).unwrap());
        let (home, _) = town.home_at(edge, "scout", shop).await;
        let Intent::Transfer(mut pay) = support::transfer(30_000) else { panic!() };
        (pay.to, pay.amount) = (shop, town.usdc(30_000));
        killed_at(edge, &home, Intent::Transfer(pay)).await;
        assert_eq!(town.balance(shop).await, 30_000, "once, killed at {edge}");
        assert_eq!(count(&home, "allowed"), 1);
        assert_eq!(count(&home, "signed"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_is_the_same_bytes_whatever_edge_the_steward_dies_at() {
    let town = Town::new().await;
    for edge in ["reserved", "signed"] {
        let shop = Address::repeat_byte(0x50);
        let (home, _) = town.home_at(edge, "scout", shop).await;
        let outcome = killed_at(edge, &home, town.pay(shop, 20_000)).await;
        let Outcome::Allowed { id, artifact: Artifact::Authorisation(made) } = outcome else {
            panic!()
        };
        assert_eq!(made.nonce, id.nonce());
        let entries = audit::entries(&home.journal()).unwrap();
        let orders = entries.iter().filter(|entry| matches!(entry.body, Body::Allowed(_)));
        assert_eq!(orders.count(), 1, "decided once, killed at {edge}");
    }
}
