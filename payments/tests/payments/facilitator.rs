//! A facilitator over a real socket, with a scripted steward: what it answers, in the specification's
//! words.

use crate::{
    seller::World,
    settling::metered,
    support::{NOW, STRANGER, Steward, USDC, Verdict, client, open, stand},
};
use alloy_primitives::{B256, U256};
use marque_contracts::{Authorization, permit2::Permit};
use marque_net::{Client, Method, Request};
use marque_payments::{
    facilitator::{self, Supported},
    x402::PaymentPayload,
};
use marque_policies::Intent;
use marque_steward_client::{Foreseen, PayerView, PaymentState};
use serde_json::{Value, json};
use std::sync::{Arc, atomic::Ordering};
use url::Url;

struct Desk {
    steward: Arc<Steward>,
    url: Url,
    net: Client,
    /// A seller elsewhere, whose payments are settled here.
    shop: World,
}

impl Desk {
    async fn new() -> Self {
        let steward = Arc::new(Steward::new("desk", 5, STRANGER, "nobody.example"));
        steward.view.lock().unwrap().facilitates = vec![USDC];
        let (listener, url, _) = stand().await;
        open(listener, facilitator::router(Arc::clone(&steward) as _));
        let net = client(url.authority());
        Self { steward, url, net, shop: World::new().await }
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let mut request = Request::get(self.url.join(path).unwrap());
        request.method = Method::POST;
        request.body = serde_json::to_vec(body).unwrap();
        request.headers.insert("content-type", "application/json".parse().unwrap());
        let answer = self.net.send(request).await.unwrap();
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A good question.
    fn question(&self) -> Value {
        about(&self.shop.payment("/wind.csv"))
    }

    /// A payment of at most 0.05 USDC that this facilitator may settle.
    fn metered(&self, change: impl Fn(&mut Permit)) -> PaymentPayload {
        let us = self.steward.key.address();
        let mut payment = metered(&self.shop, 1, |permit| {
            permit.facilitator = Some(us);
            change(permit);
        });
        payment.accepted.extra["facilitatorAddress"] = json!(us);
        payment
    }
}

/// What a seller asks about a payment.
fn about(payment: &PaymentPayload) -> Value {
    let required = &payment.accepted;
    json!({ "x402Version": 2, "paymentPayload": payment, "paymentRequirements": required })
}

/// The same, where so much is taken.
fn taking(payment: &PaymentPayload, units: &str) -> Value {
    let mut question = about(payment);
    question["paymentRequirements"]["amount"] = units.into();
    question
}

#[tokio::test]
async fn a_good_payment_is_verified_and_settled_once() {
    let desk = Desk::new().await;
    let question = desk.question();
    let verified = desk.ask("/verify", &question).await;
    assert_eq!(verified["isValid"], true);
    assert_eq!(desk.steward.proposed().len(), 0, "nothing is settled by a look");
    let settled = desk.ask("/settle", &question).await;
    assert_eq!((&settled["success"], &settled["amount"]), (&json!(true), &json!("20000")));
    assert_eq!(settled["network"], "eip155:31337");
    // Asked again, also in other words and long after: the same.
    let mut again = question.clone();
    again["paymentPayload"]["resource"]["url"] = "https://other.example/".into();
    desk.steward.view.lock().unwrap().now = (NOW + 3_000) * 1000;
    for question in [&question, &again] {
        assert_eq!(&desk.ask("/settle", question).await, &settled);
    }
    assert_eq!(desk.steward.settlements.load(Ordering::SeqCst), 1);
    let Intent::Settle(settle) = desk.steward.proposed().remove(0).intent else { panic!() };
    assert_eq!(settle.to, desk.shop.steward.key.address());
}

/// A payer could sign one nonce twice, have the payment to itself settled, and the seller was told
/// that its own was.
#[tokio::test]
async fn a_nonce_that_has_paid_somebody_else_has_paid_nobody_else() {
    let desk = Desk::new().await;
    let seller = desk.shop.steward.key.address();
    let pays = |to, units: u64| {
        let change = |it: &mut Authorization| {
            (it.to, it.value, it.nonce) = (to, U256::from(units), B256::repeat_byte(1));
        };
        about(&desk.shop.payment_as("/wind.csv", change, USDC))
    };
    let (own, theirs) = (pays(STRANGER, 1), pays(seller, 100));
    assert_eq!(desk.ask("/verify", &theirs).await["isValid"], true);
    let first = desk.ask("/settle", &own).await;
    assert_eq!((&first["success"], &first["amount"]), (&json!(true), &json!("1")));
    for state in [PaymentState::Sent, PaymentState::Seen, PaymentState::Final] {
        *desk.steward.state.lock().unwrap() = state;
        for other in [&theirs, &pays(seller, 1), &pays(STRANGER, 2)] {
            let answer = desk.ask("/settle", other).await;
            assert_eq!(answer["success"], false, "{answer}");
            assert_eq!(answer["errorReason"], "invalid_transaction_state");
            assert_eq!((&answer["transaction"], &answer["amount"]), (&json!(""), &Value::Null));
        }
    }
    assert_eq!(desk.ask("/settle", &own).await, first);
    assert_eq!(desk.steward.settlements.load(Ordering::SeqCst), 1);
}

/// A payer could have nothing taken, and the seller was told that it had been paid in full.
#[tokio::test]
async fn what_is_metered_is_told_with_what_was_taken_and_nothing_is_not_kept() {
    let desk = Desk::new().await;
    let payment = desk.metered(|_| {});
    let nothing = taking(&payment, "0");
    let answer = desk.ask("/settle", &nothing).await;
    assert_eq!((&answer["success"], &answer["amount"]), (&json!(true), &json!("0")));
    assert_eq!(answer["transaction"], "");
    assert!(
        desk.steward.proposed().is_empty(),
        "there is nothing to settle, and nothing to journal"
    );

    let first = desk.ask("/settle", &taking(&payment, "1858")).await;
    assert_eq!((&first["success"], &first["amount"]), (&json!(true), &json!("1858")));
    assert_ne!(first["transaction"], "");
    let Intent::SettlePermit(settle) = desk.steward.proposed().remove(0).intent else { panic!() };
    assert_eq!(
        (settle.charge.units, settle.to),
        (U256::from(1858), desk.shop.steward.key.address())
    );
    for other in ["50000", "1857", "0"] {
        let answer = desk.ask("/settle", &taking(&payment, other)).await;
        assert_eq!(answer["errorReason"], "invalid_transaction_state", "{other}: {answer}");
        assert_eq!((&answer["success"], &answer["amount"]), (&json!(false), &Value::Null));
    }
    assert_eq!(desk.ask("/settle", &taking(&payment, "1858")).await, first);
    let elsewhere = desk.ask("/settle", &about(&desk.metered(|it| it.to = STRANGER))).await;
    assert_eq!(elsewhere["errorReason"], "invalid_transaction_state");
    assert_eq!(desk.steward.settlements.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_pays_the_facilitators_own_agent_is_not_settled_for_others() {
    let desk = Desk::new().await;
    let us = desk.steward.key.address();
    let exact = desk.shop.payment_as("/wind.csv", |it| it.to = us, USDC);
    let upto = desk.metered(|it| it.to = us);
    for question in [about(&exact), about(&upto), taking(&upto, "0")] {
        let settled = desk.ask("/settle", &question).await;
        assert_eq!(settled["errorReason"], "invalid_payment_requirements", "{settled}");
    }
    let verified = desk.ask("/verify", &about(&exact)).await;
    assert_eq!(verified["invalidReason"], "invalid_payment_requirements");
    assert!(desk.steward.proposed().is_empty());
}

#[tokio::test]
async fn a_bad_payment_is_refused_with_the_reason_that_the_specification_has() {
    let desk = Desk::new().await;
    let change = |path: &str, value: Value| {
        let mut question = desk.question();
        *question.pointer_mut(path).unwrap() = value;
        question
    };
    let signed = "/paymentPayload/payload/authorization";
    let accepted = "/paymentPayload/accepted";
    let mut other_payee = desk.question();
    other_payee["paymentRequirements"]["payTo"] = json!(STRANGER);
    let mut other_amount = desk.question();
    other_amount["paymentRequirements"]["amount"] = "10000".into();
    let mut other_domain = desk.question();
    other_domain["paymentRequirements"]["extra"]["name"] = "USDC".into();
    let mut other_token = desk.question();
    other_token["paymentRequirements"]["asset"] = json!(STRANGER);
    for (question, reason) in [
        (json!([]), "invalid_x402_version"),
        (json!({ "x402Version": 2 }), "invalid_payload"),
        (change("/x402Version", 1.into()), "invalid_x402_version"),
        (change("/paymentRequirements/scheme", "barter".into()), "unsupported_scheme"),
        (change(&format!("{accepted}/scheme"), "barter".into()), "unsupported_scheme"),
        (change("/paymentRequirements/network", "eip155:1".into()), "invalid_network"),
        (change("/paymentRequirements/network", "solana:1".into()), "invalid_network"),
        (change("/paymentRequirements/amount", "1e4".into()), "invalid_payment_requirements"),
        (other_token, "invalid_payment_requirements"),
        (other_domain, "invalid_payment_requirements"),
        (other_payee, "invalid_exact_evm_payload_recipient_mismatch"),
        (other_amount, "invalid_exact_evm_payload_authorization_value_mismatch"),
        (change("/paymentPayload/payload", json!({})), "invalid_payload"),
        (
            change(&format!("{signed}/value"), "20001".into()),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (change(&format!("{signed}/from"), json!(STRANGER)), "invalid_exact_evm_payload_signature"),
        (
            change("/paymentPayload/payload/signature", "0x00".into()),
            "invalid_exact_evm_payload_signature",
        ),
    ] {
        let verified = desk.ask("/verify", &question).await;
        assert_eq!(verified["isValid"], false, "{reason}");
        assert_eq!(verified["invalidReason"], reason, "{verified}");
        let settled = desk.ask("/settle", &question).await;
        assert_eq!((&settled["success"], &settled["errorReason"]), (&json!(false), &json!(reason)));
    }
    let question = desk.question();
    for (now, reason) in [
        (NOW + 120, "invalid_exact_evm_payload_authorization_valid_before"),
        (NOW + 115, "invalid_exact_evm_payload_authorization_valid_before"),
        (0, "invalid_exact_evm_payload_authorization_valid_after"),
    ] {
        desk.steward.view.lock().unwrap().now = now * 1000;
        assert_eq!(desk.ask("/verify", &question).await["invalidReason"], reason);
        assert_eq!(desk.ask("/settle", &question).await["errorReason"], reason);
    }
    assert!(desk.steward.proposed().is_empty());
}

#[tokio::test]
async fn what_the_chain_would_not_take_is_told_apart() {
    let desk = Desk::new().await;
    let question = desk.question();
    let fails = Foreseen::Fault {
        code: "chain".to_owned(),
        message: "it would fail: execution reverted".to_owned(),
    };
    for (balance, used, reason) in [
        (19_999, false, "insufficient_funds"),
        (20_000, true, "invalid_transaction_state"),
        (20_000, false, "invalid_transaction_state"),
    ] {
        let payer = PayerView { balance: U256::from(balance), used };
        *desk.steward.preview.lock().unwrap() = Some((fails.clone(), false, Some(payer)));
        assert_eq!(desk.ask("/verify", &question).await["invalidReason"], reason);
        desk.steward.decide(Verdict::Fault("chain"));
        assert_eq!(desk.ask("/settle", &question).await["errorReason"], reason);
    }
    // The policy's own business is nobody else's.
    desk.steward.decide(Verdict::Refuse);
    let refused = Foreseen::Refused { table: vec![] };
    *desk.steward.preview.lock().unwrap() = Some((refused, false, None));
    assert_eq!(desk.ask("/verify", &question).await["invalidReason"], "unexpected_verify_error");
    assert_eq!(desk.ask("/settle", &question).await["errorReason"], "unexpected_settle_error");
    desk.steward.decide(Verdict::Allow);
    *desk.steward.state.lock().unwrap() = PaymentState::Expired;
    let settled = desk.ask("/settle", &question).await;
    assert_eq!(settled["errorReason"], "invalid_transaction_state");
}

#[tokio::test]
async fn it_says_what_it_settles_and_by_whom() {
    let desk = Desk::new().await;
    let supported = || async {
        let answer = desk.net.send(Request::get(desk.url.join("/supported").unwrap())).await;
        serde_json::from_slice::<Supported>(&answer.unwrap().body).unwrap()
    };
    let said = supported().await;
    let us = desk.steward.key.address().to_string();
    assert_eq!(said.signers["eip155:*"], std::slice::from_ref(&us));
    let kinds: Vec<_> = said.kinds.iter().map(|kind| (&*kind.scheme, &*kind.network)).collect();
    assert_eq!(kinds, [("exact", "eip155:31337"), ("upto", "eip155:31337")]);
    assert_eq!(said.kinds[1].extra["facilitatorAddress"], us);
    // Without the section in its policy it settles nothing.
    desk.steward.view.lock().unwrap().facilitates.clear();
    assert!(supported().await.kinds.is_empty());
    assert_eq!(desk.ask("/settle", &desk.question()).await["errorReason"], "invalid_network");
    assert!(desk.steward.proposed().is_empty());
}
