//! A seller whose 402 lies. The control, the same server telling the truth, is answered with a
//! payment, so that a refusal means something.

use crate::support::{Citizen, Town, free_address};
use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque_policies::Intent;
use serde_json::{Value, json};

/// Serves this 402, and counts nothing: what was signed is asked of the steward.
async fn liar(host: &str, required: Value) -> tokio::task::JoinHandle<()> {
    let header = STANDARD.encode(required.to_string());
    let app = Router::new().route(
        "/wind.csv",
        get(move || async move {
            (StatusCode::PAYMENT_REQUIRED, [("PAYMENT-REQUIRED", header)]).into_response()
        }),
    );
    let listener = tokio::net::TcpListener::bind(host).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
}

async fn signed(scout: &Citizen) -> usize {
    let view = scout.client().view().await.unwrap();
    let is_payment = |intent: &Intent| matches!(intent, Intent::Authorise(_));
    view.intents
        .iter()
        .filter(|known| is_payment(&known.intent))
        .filter(|known| {
            use marque_steward_client::PaymentState as S;
            matches!(known.status.state, S::Sent | S::Seen | S::Final)
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_that_lies_about_payee_amount_asset_or_network_is_not_paid() {
    let town = Town::new().await;
    let mut feed = town.seller("feed", "0.02 tUSD").await;
    // The policy says that feed asks for money at the liar's address.
    feed.host = free_address();
    let scout = town.buyer("scout", &[&feed], "").await;
    let url = feed.goods();
    let truth = json!({
        "x402Version": 2,
        "resource": { "url": url },
        "accepts": [{
            "scheme": "exact",
            "network": format!("eip155:{}", town.economy.devnet.chain_id()),
            "amount": "20000",
            "asset": town.economy.dollar,
            "payTo": feed.party.address,
            "maxTimeoutSeconds": 60,
            "extra": { "name": "Marque Test Dollar", "version": "1" },
        }],
    });
    let lie = |pointer: &str, value: Value| {
        let mut required = truth.clone();
        *required.pointer_mut(pointer).unwrap() = value;
        required
    };
    let stranger = "0x6666666666666666666666666666666666666666";
    let lies = [
        ("payee", lie("/accepts/0/payTo", json!(stranger))),
        ("amount", lie("/accepts/0/amount", json!("4000000"))),
        ("asset", lie("/accepts/0/asset", json!(stranger))),
        ("network", lie("/accepts/0/network", json!("eip155:1"))),
        ("scheme", lie("/accepts/0/scheme", json!("upto"))),
        ("domain", lie("/accepts/0/extra/name", json!("USD Coin"))),
        ("resource", lie("/resource/url", json!("http://elsewhere.example/wind.csv"))),
    ];
    for (name, required) in lies {
        let server = liar(&feed.host, required).await;
        let refused = scout.buy(&url, name).await;
        assert!(refused.is_err(), "{name}: paid");
        assert_eq!(signed(&scout).await, 0, "{name}: something was signed");
        server.abort();
        assert!(server.await.is_err());
    }
    let server = liar(&feed.host, truth).await;
    assert!(scout.buy(&url, "truth").await.is_err(), "it takes the payment and asks again");
    assert_eq!(signed(&scout).await, 1, "the truth is answered with one authorisation");
    server.abort();
}
