//! `upto` by Permit2: the buyer permits a maximum, the seller takes what it was.

use crate::market::{
    CHARGE, PRICE, approve, buyer, client, facilitator, held, host, our_facilitator, server, shop,
    town,
};
use alloy_primitives::Address;
use serde_json::json;

/// Where the official seller is paid.
const SHOP: Address = Address::repeat_byte(0x5a);

/// The control: what the official packages do among themselves on this chain.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_packages_meter_among_themselves_here() {
    let town = town().await;
    let facilitator = facilitator(&town).await;
    let more = json!({ "schemes": ["upto"], "charge": CHARGE.to_string() });
    let server = server(&town, SHOP, &facilitator.told::<String>("url"), more).await;
    let mut client = client(&town).await;
    approve(&town, &mut client).await;
    let url = format!("{}/upto", server.told::<String>("url"));
    let bought = client.ask(&json!({ "url": url })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!(r#"{"datum":"upto"}"#)));
    assert_eq!(bought["response"]["amount"], CHARGE.to_string(), "{bought}");
    const { assert!(CHARGE < PRICE) };
    assert_eq!(held(&town, SHOP).await, CHARGE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - CHARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_buyer_is_metered_by_the_official_server() {
    let town = town().await;
    let facilitator = facilitator(&town).await;
    let more = json!({ "schemes": ["upto"], "charge": CHARGE.to_string() });
    let server = server(&town, SHOP, &facilitator.told::<String>("url"), more).await;
    let url: String = server.told("url");
    let scout = buyer(&town, SHOP, &host(&url)).await;
    let purchase = scout.buy(&format!("{url}/upto"), "task").await.unwrap();
    assert_eq!(purchase.response.status, 200);
    assert_eq!(purchase.response.body, br#"{"datum":"upto"}"#);
    assert_eq!(held(&town, SHOP).await, CHARGE);
    assert_eq!(town.dollars(&scout).await, 5_000_000 - CHARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_is_metered_by_our_seller() {
    let town = town().await;
    let (feed, url) = shop(&town, None).await;
    let mut client = client(&town).await;
    approve(&town, &mut client).await;
    let bought = client.ask(&json!({ "url": format!("{url}/upto") })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!("metered")), "{bought}");
    assert_eq!(bought["response"]["amount"], CHARGE.to_string(), "{bought}");
    assert_eq!(town.dollars(&feed).await, CHARGE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - CHARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_facilitator_meters_for_the_official_client_and_server() {
    let town = town().await;
    let (_desk, facilitator) = our_facilitator(&town).await;
    let more = json!({ "schemes": ["upto"], "charge": CHARGE.to_string() });
    let server = server(&town, SHOP, &facilitator, more).await;
    let mut client = client(&town).await;
    approve(&town, &mut client).await;
    let url = format!("{}/upto", server.told::<String>("url"));
    let bought = client.ask(&json!({ "url": url })).await;
    assert_eq!((&bought["status"], &bought["body"]), (&json!(200), &json!(r#"{"datum":"upto"}"#)));
    assert_eq!(held(&town, SHOP).await, CHARGE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - CHARGE);
}
