//! A seller whose 402 lies. The control, the same server telling the truth, is answered with a
//! payment, so that a refusal means something.

use crate::{
    audit::{approvals, shown},
    support::{Citizen, Town, eventually, free_address},
};
use alloy_primitives::B256;
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque_payments::{
    PaymentError,
    x402::{self, ExactPayload, PaymentPayload},
};
use marque_policies::{AssetId, Intent, Mark, Money, intent::Settle};
use marque_steward_client::{Client, Outcome, PaymentState, Proposal, Report, Said};
use serde_json::{Value, json};
use std::time::Duration;

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

/// What an honest feed asks.
fn terms(town: &Town, feed: &Citizen) -> Value {
    json!({
        "x402Version": 2,
        "resource": { "url": feed.goods() },
        "accepts": [{
            "scheme": "exact",
            "network": format!("eip155:{}", town.economy.devnet.chain_id()),
            "amount": "20000",
            "asset": town.economy.dollar,
            "payTo": feed.party.address,
            "maxTimeoutSeconds": 60,
            "extra": { "name": "Marque Test Dollar", "version": "1" },
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_that_lies_about_payee_amount_asset_or_network_is_not_paid() {
    let town = Town::new().await;
    let mut feed = town.seller("feed", "0.02 tUSD").await;
    // The policy says that feed asks for money at the liar's address.
    feed.host = free_address();
    let scout = town.buyer("scout", &[&feed], "").await;
    let url = feed.goods();
    let truth = terms(&town, &feed);
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

/// A seller that does take the money, on chain, before it answers what it likes.
async fn taker(town: &Town, feed: &Citizen, answer: fn() -> Response) {
    let header = STANDARD.encode(terms(town, feed).to_string());
    let (steward, url) = (feed.client().clone(), feed.goods());
    let asset = AssetId { chain: town.economy.devnet.chain_id(), token: town.economy.dollar };
    let serve = move |headers: HeaderMap| async move {
        let Some(payment) = headers.get("PAYMENT-SIGNATURE") else {
            let ask = [("PAYMENT-REQUIRED", header)];
            return (StatusCode::PAYMENT_REQUIRED, ask).into_response();
        };
        take(&steward, asset, &url, payment.to_str().unwrap()).await;
        answer()
    };
    let app = Router::new().route("/wind.csv", get(serve));
    let listener = tokio::net::TcpListener::bind(&feed.host).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
}

async fn take(steward: &Client, asset: AssetId, url: &str, payment: &str) {
    let sent: PaymentPayload = x402::decode("PAYMENT-SIGNATURE", payment).unwrap();
    let exact: ExactPayload = serde_json::from_value(sent.payload).unwrap();
    let signed = exact.authorization;
    let intent = Intent::Settle(Settle {
        from: signed.from,
        to: signed.to,
        amount: Money::new(signed.value, asset),
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        nonce: signed.nonce,
        signature: alloy_primitives::hex::encode_prefixed(&exact.signature),
        resource: url.to_owned(),
    });
    let proposal = Proposal { task: "take".into(), step: 0, ordinal: 0, attempt: 0, intent };
    let Outcome::Allowed { id, .. } = steward.propose(proposal).await.unwrap() else { panic!() };
    while steward.wait(id, Duration::from_secs(10)).await.unwrap().state != PaymentState::Final {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_takes_the_money_and_does_not_deliver_is_held_the_next_time() {
    let town = Town::new().await;
    let mut feed = town.seller("feed", "0.02 tUSD").await;
    feed.host = free_address();
    let scout = town.buyer("scout", &[&feed], "").await;
    let gone = || (StatusCode::INTERNAL_SERVER_ERROR, "out of wind").into_response();
    taker(&town, &feed, gone).await;
    let error = scout.buy(&feed.goods(), "first").await.unwrap_err();
    let PaymentError::Undelivered(lost) = &error else { panic!("{error}") };
    assert_eq!(lost.status, Some(500));
    assert_eq!(town.dollars(&feed).await, 20_000, "the money is gone");
    let told = shown(&scout, &["--kind", "reported"]);
    assert_eq!(told[0]["body"]["said"]["why"], "status 500: out of wind");

    let seen = || async { !shown(&scout, &["--kind", "seen"]).is_empty() };
    eventually("the chain shows the payment", 60, seen).await;
    let error = scout.buy(&feed.goods(), "second").await.unwrap_err();
    let PaymentError::Held { table, .. } = &error else { panic!("{error}") };
    let asks: Vec<_> = table.iter().filter(|row| row.mark == Mark::Ask).collect();
    assert_eq!(asks.len(), 1, "{table:?}");
    assert_eq!(asks[0].rule, "payee.feed.delivery");
    assert_eq!(town.dollars(&feed).await, 20_000, "and no more of it");

    // Its owner reads what happened. That a retry delivered is the runtime's word: it waits all the same.
    let told = approvals(&scout);
    let took = told.lines().find(|line| line.contains("it took 0.02 tUSD")).unwrap_or(&told);
    let nothing = "the runtime says that nothing came: \"status 500: out of wind\"";
    assert!(took.contains(nothing), "{told}");
    let so_far = "in this task nothing; in all tasks 0.02 tUSD paid, to this address";
    assert!(told.contains(so_far), "{told}");
    let said = Said::Delivered { body: B256::ZERO };
    scout.client().report(Report { intent: lost.id, said }).await.unwrap();
    let told = approvals(&scout);
    let took = told.lines().find(|line| line.contains("it took 0.02 tUSD")).unwrap_or(&told);
    assert!(took.contains("that a retry delivered"), "{told}");
    let error = scout.buy(&feed.goods(), "third").await.unwrap_err();
    assert!(matches!(error, PaymentError::Held { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_the_chain_contradicts_is_journalled_while_nobody_waits() {
    let town = Town::new().await;
    let mut feed = town.seller("feed", "0.02 tUSD").await;
    feed.host = free_address();
    let scout = town.buyer("scout", &[&feed], "").await;
    let lying = || {
        let said = json!({
            "success": true, "transaction": B256::repeat_byte(7), "network": "eip155:31337",
        });
        ([("PAYMENT-RESPONSE", STANDARD.encode(said.to_string()))], "wind").into_response()
    };
    taker(&town, &feed, lying).await;
    assert_eq!(town.economy.devnet.chain_id(), 31_337);
    let bought = scout.buy(&feed.goods(), "first").await.unwrap();
    assert_eq!(
        bought.paid.unwrap().transaction,
        Some(B256::repeat_byte(7)),
        "nobody has looked yet"
    );
    let noted = || async { !shown(&scout, &["--kind", "contradicted"]).is_empty() };
    eventually("the steward has compared", 60, noted).await;
    let found = shown(&scout, &["--kind", "contradicted"]).remove(0);
    assert_eq!(found["word"], "attested");
    assert_eq!(found["body"]["claimed"], json!(B256::repeat_byte(7)));
    let seen = shown(&scout, &["--kind", "seen"]).remove(0);
    assert_eq!(found["body"]["found"], seen["body"]["at"]["transaction"]);
}
