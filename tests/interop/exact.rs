//! `exact` by EIP-3009: one datum, one payment.

use crate::{
    market::{PRICE, buyer, client, facilitator, held, host, our_facilitator, server, shop, town},
    support::eventually,
};
use alloy_primitives::Address;
use marque_policies::IntentId;
use marque_steward_client::PaymentState;
use serde_json::json;
use std::time::Duration;

/// Where the official seller is paid.
const SHOP: Address = Address::repeat_byte(0x5a);

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_buys_from_our_seller() {
    let town = town().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut client = client(&town).await;
    let bought = client.ask(&json!({ "url": feed.goods() })).await;
    assert_eq!(bought["status"], 200, "{bought}");
    assert_eq!(bought["body"], include_str!("../../examples/data/wind.csv"));
    assert_eq!(bought["response"]["success"], true, "{bought}");
    assert_eq!(bought["response"]["payer"].as_str().map(str::to_lowercase), {
        let payer: Address = client.told("address");
        Some(payer.to_string().to_lowercase())
    });
    let transaction = bought["response"]["transaction"].as_str().unwrap();
    let receipt = town.economy.rpc.receipt(transaction.parse().unwrap()).await.unwrap();
    assert!(receipt.is_some_and(|receipt| receipt.success), "{bought}");
    assert_eq!(town.dollars(&feed).await, PRICE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - PRICE);
    // A second purchase is a second payment.
    let again = client.ask(&json!({ "url": feed.goods() })).await;
    assert_eq!(again["status"], 200, "{again}");
    assert_eq!(town.dollars(&feed).await, 2 * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_buyer_buys_from_the_official_server() {
    let town = town().await;
    let facilitator = facilitator(&town).await;
    let server = server(&town, SHOP, &facilitator.told::<String>("url"), json!({})).await;
    let url: String = server.told("url");
    let scout = buyer(&town, SHOP, &host(&url)).await;
    let purchase = scout.buy(&format!("{url}/exact"), "task").await.unwrap();
    assert_eq!(purchase.response.status, 200);
    assert_eq!(purchase.response.body, br#"{"datum":"exact"}"#);
    let paid = purchase.paid.unwrap();
    assert_eq!((paid.to, paid.amount.units.to::<u64>()), (SHOP, PRICE));
    let receipt = town.economy.rpc.receipt(paid.transaction.unwrap()).await.unwrap();
    assert!(receipt.is_some_and(|receipt| receipt.success));
    assert_eq!(held(&town, SHOP).await, PRICE);
    assert_eq!(town.dollars(&scout).await, 5_000_000 - PRICE);
    let view = scout.client().view().await.unwrap();
    let id = IntentId::derive(view.origin, &view.agent, "task", 0, 1, 0);
    eventually("final", 60, || async {
        let state = scout.client().wait(id, Duration::from_millis(100)).await;
        state.is_ok_and(|state| state.state == PaymentState::Final)
    })
    .await;
    // What costs nothing is not paid for.
    let free = scout.buy(&format!("{url}/free"), "free").await.unwrap();
    assert!(free.response.status == 200 && free.paid.is_none());
    assert_eq!(held(&town, SHOP).await, PRICE);
}

/// The control: what the official packages do among themselves on this chain.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_packages_trade_with_each_other_here() {
    let town = town().await;
    let facilitator = facilitator(&town).await;
    let server = server(&town, SHOP, &facilitator.told::<String>("url"), json!({})).await;
    let mut client = client(&town).await;
    let url = format!("{}/exact", server.told::<String>("url"));
    let bought = client.ask(&json!({ "url": url })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!(r#"{"datum":"exact"}"#)));
    assert_eq!(held(&town, SHOP).await, PRICE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_facilitator_settles_for_the_official_client_and_server() {
    let town = town().await;
    let (desk, facilitator) = our_facilitator(&town).await;
    let server = server(&town, SHOP, &facilitator, json!({})).await;
    let mut client = client(&town).await;
    let url = format!("{}/exact", server.told::<String>("url"));
    let bought = client.ask(&json!({ "url": url })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!(r#"{"datum":"exact"}"#)));
    assert_eq!(bought["response"]["success"], true, "{bought}");
    assert_eq!(held(&town, SHOP).await, PRICE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - PRICE);
    assert_eq!(town.dollars(&desk).await, 0, "it settles and is paid nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_seller_is_settled_by_the_official_facilitator() {
    let town = town().await;
    let facilitator = facilitator(&town).await;
    let (feed, url) = shop(&town, Some(&facilitator.told::<String>("url"))).await;
    let before = town.economy.rpc.balance(feed.party.address).await.unwrap();
    // Theirs and ours, at the same counter.
    let mut client = client(&town).await;
    let bought = client.ask(&json!({ "url": format!("{url}/exact") })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!("datum")), "{bought}");
    let scout = buyer(&town, feed.party.address, &host(&url)).await;
    let purchase = scout.buy(&format!("{url}/exact"), "task").await.unwrap();
    assert_eq!(purchase.response.body, b"datum");
    assert_eq!(town.dollars(&feed).await, 2 * PRICE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - PRICE);
    assert_eq!(town.dollars(&scout).await, 5_000_000 - PRICE);
    let after = town.economy.rpc.balance(feed.party.address).await.unwrap();
    assert_eq!(before, after, "the facilitator paid the gas");
}
