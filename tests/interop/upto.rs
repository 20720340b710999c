//! `upto` by Permit2: the buyer permits a maximum, the seller takes what it was.

use crate::market::{PRICE, approve, client, facilitator, held, server, town};
use alloy_primitives::Address;
use serde_json::json;

/// Where the official seller is paid.
const SHOP: Address = Address::repeat_byte(0x5a);

/// What a purchase really costs, of the maximum.
const CHARGE: u64 = 2_500;

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
    assert!(CHARGE < PRICE);
    assert_eq!(held(&town, SHOP).await, CHARGE);
    assert_eq!(held(&town, client.told("address")).await, 5_000_000 - CHARGE);
}
