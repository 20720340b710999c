//! Both sides at once: our buyer at our seller's counter, each with its own steward.

use crate::support::{STRANGER, Steward, open, stand, usdc};
use axum::{Router, routing::get};
use marque_net::Request;
use marque_payments::{Buyer, Confirm, Errand, PaymentError, Paywall, Seller};
use marque_policies::Labels;
use marque_steward_client::{PaymentState, Said};
use std::{sync::Arc, time::Duration};

fn errand(ordinal: u32) -> Errand {
    Errand {
        task: "wind".to_owned(),
        step: 0,
        ordinal,
        attempt: 0,
        max: None,
        labels: Labels::default(),
    }
}

#[tokio::test]
async fn a_datum_is_bought_and_sold_once() {
    let (listener, base, net) = stand().await;
    let host = listener.local_addr().unwrap().to_string();
    let feed = Arc::new(Steward::new("feed", 2, STRANGER, "nobody.example"));
    let scout = Arc::new(Steward::new("scout", 1, feed.key.address(), &host));
    let seller = Seller::new(Arc::clone(&feed) as _, base.clone()).confirm(Confirm::Final);
    let paywall = Paywall::fixed(seller, "0.02 USDC").unwrap();
    open(listener, Router::new().route("/wind.csv", get(|| async { "14.2" })).layer(paywall));
    let buyer = Buyer::new(net, Arc::clone(&scout) as _);
    let request = || Request::get(base.join("/wind.csv").unwrap());

    // Seen is not final: the buyer is told to come back, and does.
    let becomes_final = Arc::clone(&feed);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        *becomes_final.state.lock().unwrap() = PaymentState::Final;
    });
    let first = buyer.send(request(), &errand(0)).await.unwrap();
    assert_eq!(first.response.body, b"14.2");
    let paid = first.paid.unwrap();
    assert_eq!((paid.payee.as_str(), paid.amount), ("feed", usdc(20_000)));
    assert!(scout.reported().contains(&Said::Settled {
        transaction: paid.transaction.unwrap(),
        amount: Some(paid.amount),
    }));

    // After a crash the same errand runs again: nothing is paid twice.
    let again = buyer.send(request(), &errand(0)).await.unwrap();
    assert_eq!(again.paid.unwrap(), paid);
    assert_eq!(feed.settlements.load(std::sync::atomic::Ordering::SeqCst), 1);

    // Another errand pays again.
    let other = buyer.send(request(), &errand(1)).await.unwrap().paid.unwrap();
    assert_ne!(other.transaction, paid.transaction);
    assert_eq!(feed.settlements.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stranger_cannot_sell() {
    let (listener, base, net) = stand().await;
    let host = listener.local_addr().unwrap().to_string();
    let thief = Arc::new(Steward::new("thief", 4, STRANGER, ""));
    let scout = Arc::new(Steward::new("scout", 1, STRANGER, &host));
    let paywall = Paywall::fixed(Seller::new(thief as _, base.clone()), "0.02 USDC").unwrap();
    open(listener, Router::new().route("/", get(|| async { "nothing" })).layer(paywall));
    let buyer = Buyer::new(net, Arc::clone(&scout) as _);
    let error = buyer.send(Request::get(base), &errand(0)).await.unwrap_err();
    assert!(matches!(error, PaymentError::Terms(_)), "{error}");
    assert!(scout.proposed().is_empty());
}
