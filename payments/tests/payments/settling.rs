//! Money before, after and beside the goods: what is delivered when, and what it may cost the seller.

use crate::{
    seller::{World, asked, receipt, seller, send, text},
    support::{Key, NOW, STRANGER, USDC, Verdict, client, usdc},
};
use alloy_primitives::{Address, B256, U256};
use axum::{Json, Router, routing::post};
use marque_contracts::permit2::Permit;
use marque_net::{Method, Request};
use marque_payments::{
    Authority as _, Facilitator, Settlement, facilitator,
    signed_payment::SignedPayment,
    verify,
    x402::{PaymentPayload, Permit2Authorization, Permit2Payload, Permit2Witness, Permitted},
};
use marque_policies::{Intent, IntentId, Money};
use marque_steward_client::{Foreseen, PayerView, PaymentState, Proposal, SettlingView};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const DISH: u64 = 20_000;

fn background(risk: u64) -> Settlement {
    Settlement::Background { risk: usdc(risk) }
}

/// A metered payment of at most 0.05 USDC, as a buyer signs it.
pub(crate) fn metered(world: &World, nonce: u64, change: impl Fn(&mut Permit)) -> PaymentPayload {
    let payer = Key::new(3);
    let us = world.steward.key.address();
    let mut permit = Permit {
        from: payer.address(),
        to: us,
        token: crate::support::USDC.token,
        amount: U256::from(50_000),
        facilitator: Some(us),
        valid_after: 0,
        deadline: NOW + 120,
        nonce: U256::from(nonce),
    };
    change(&mut permit);
    let payload = Permit2Payload {
        signature: payer.sign(permit.digest(31_337)).into(),
        authorization: Permit2Authorization {
            from: permit.from,
            permitted: Permitted { token: permit.token, amount: permit.amount },
            spender: permit.spender(),
            nonce: permit.nonce,
            deadline: permit.deadline,
            witness: Permit2Witness {
                to: permit.to,
                facilitator: permit.facilitator,
                valid_after: permit.valid_after,
            },
        },
    };
    let accepted = json!({
        "scheme": "upto", "network": "eip155:31337", "amount": permit.amount.to_string(),
        "asset": permit.token, "payTo": permit.to, "maxTimeoutSeconds": 300,
        "extra": { "name": "USD Coin", "version": "2", "facilitatorAddress": us },
    });
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted: serde_json::from_value(accepted).unwrap(),
        payload: serde_json::to_value(payload).unwrap(),
        extensions: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn goods_that_come_first_are_delivered_only_once_they_are_paid() {
    let world = World::selling(|seller| seller.settlement(Settlement::After)).await;
    // What the handler could not make costs nothing, and the payment is free again.
    let payment = world.payment("/wind.csv");
    world.kitchen.broken.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 500);
    assert!(world.steward.proposed().is_empty(), "nothing is taken for an error");
    world.kitchen.broken.store(false, Ordering::SeqCst);

    // Made, and not paid: they stay.
    *world.steward.state.lock().unwrap() = PaymentState::Released;
    let response = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!((response.status, world.made()), (402, 2));
    assert!(!text(&response).contains("dish"));
    assert!(!receipt(&response).success);

    *world.steward.state.lock().unwrap() = PaymentState::Seen;
    let response = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!((response.status, text(&response)), (200, "dish 3".to_owned()));
    assert!(receipt(&response).success);
}

#[tokio::test]
async fn nobody_works_for_a_payment_that_the_chain_would_not_take() {
    let world = World::selling(|seller| seller.settlement(Settlement::After)).await;
    let fault = |code: &str, message: &str| Foreseen::Fault {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let poor = PayerView { balance: U256::from(DISH - 1), used: false };
    let used = PayerView { balance: U256::from(DISH), used: true };
    let fails = || fault("chain", "it would fail: execution reverted");
    for (foreseen, payer, status, reason) in [
        (fails(), Some(poor), 402, "insufficient_funds"),
        (fails(), Some(used), 402, "invalid_transaction_state"),
        (fails(), None, 402, "invalid_transaction_state"),
        (fault("id_reused", "another body"), None, 409, "invalid_transaction_state"),
        (Foreseen::Refused { table: vec![] }, None, 402, "unexpected_settle_error"),
    ] {
        *world.steward.preview.lock().unwrap() = Some((foreseen, false, payer));
        let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
        assert_eq!(response.status, status, "{reason}");
        assert_eq!(receipt(&response).error_reason.as_deref(), Some(reason));
    }
    assert_eq!((world.made(), world.steward.proposed().len()), (0, 0));
}

#[tokio::test]
async fn in_the_background_goods_come_before_the_chain_and_no_more_than_the_risk() {
    let world = World::selling(|seller| seller.settlement(background(2 * DISH))).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    for _ in 0..2 {
        let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
        assert_eq!(response.status, 200);
        let receipt = receipt(&response);
        assert!(receipt.success && receipt.transaction.starts_with("0x"), "{receipt:?}");
    }
    assert_eq!(world.seller.unsettled(), U256::from(2 * DISH));
    // Beyond it the money comes first, and this money does not come yet.
    let third = world.payment("/wind.csv");
    assert_eq!(world.get("/wind.csv", Some(&third)).await.status, 503);
    assert_eq!(world.made(), 2);
    *world.steward.state.lock().unwrap() = PaymentState::Seen;
    assert_eq!(world.get("/wind.csv", Some(&third)).await.status, 200);
    for _ in 0..600 {
        if world.seller.unsettled().is_zero() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.seller.unsettled(), U256::ZERO, "what is seen is no risk");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_risk_is_never_exceeded() {
    let world = Arc::new(World::selling(|seller| seller.settlement(background(5 * DISH))).await);
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    let asked = (0..40).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let payment = world.payment("/wind.csv");
            world.get("/wind.csv", Some(&payment)).await.status
        })
    });
    let mut delivered = 0;
    for answer in asked.collect::<Vec<_>>() {
        delivered += u64::from(answer.await.unwrap() == 200);
    }
    assert_eq!((delivered, world.made()), (5, 5));
    assert_eq!(world.seller.unsettled(), U256::from(5 * DISH));
}

#[tokio::test]
async fn one_payer_has_its_own_part_of_the_risk() {
    let set = |seller: marque_payments::Seller| {
        seller.settlement(background(5 * DISH)).payer_risk(usdc(DISH))
    };
    let world = World::selling(set).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 200);
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 503);
}

/// Lets the settlements under way come to nothing, and the seller learn it.
async fn expire(world: &World) {
    *world.steward.state.lock().unwrap() = PaymentState::Expired;
    tokio::time::sleep(Duration::from_millis(4_000)).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
}

#[tokio::test]
async fn a_payer_whose_money_never_came_pays_before_from_then_on() {
    let world = World::selling(|seller| seller.settlement(background(5 * DISH))).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 200);
    expire(&world).await;
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 503);
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn new_payers_whose_money_never_comes_cost_no_more_than_the_risk_in_all() {
    let mut world = World::selling(|seller| seller.settlement(background(2 * DISH))).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    for (seed, status) in [(10, 200), (11, 200), (12, 503), (13, 503)] {
        world.payer = Key::new(seed);
        let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
        assert_eq!(response.status, status, "payer {seed}");
        expire(&world).await;
    }
    assert_eq!((world.made(), world.seller.unsettled()), (2, U256::from(2 * DISH)));
    // Who pays first still buys.
    *world.steward.state.lock().unwrap() = PaymentState::Seen;
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 200);
}

#[tokio::test]
async fn what_was_open_before_a_restart_is_open_after_it() {
    let world = World::selling(|seller| seller.settlement(background(DISH))).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 200);
    world.steward.list();
    let again = seller(&world.steward, &world.base).settlement(background(DISH));
    let url = world.restart_as(again.clone()).await;
    let net = client(url.authority());
    let response =
        send(&net, url.join("/wind.csv").unwrap(), Some(&world.payment("/wind.csv"))).await;
    assert_eq!(response.status, 503, "the risk is taken already");
    assert_eq!(again.unsettled(), U256::from(DISH));
}

#[tokio::test]
async fn all_that_was_open_before_a_restart_counts_however_much_it_is() {
    let world = World::selling(|seller| seller.settlement(background(251 * DISH))).await;
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    let id = |n| IntentId::derive(B256::ZERO, "feed", "sales", n, 0, 0);
    let (from, charge) = (Address::repeat_byte(7), Money::new(U256::from(DISH), USDC));
    let mut all: Vec<_> = (0..250).map(|n| SettlingView { id: id(n), from, charge }).collect();
    all.sort_by_key(|it| it.id);
    *world.steward.under_way.lock().unwrap() = Some(all);
    // One more has room, and the next has none.
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 200);
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_fifty_times_at_once_buys_one_delivery() {
    for settlement in [Settlement::Before, Settlement::After, background(5 * DISH)] {
        let world = Arc::new(World::selling(|seller| seller.settlement(settlement)).await);
        world.kitchen.slow.store(true, Ordering::SeqCst);
        let payment = world.payment("/wind.csv");
        let all = (0..50).map(|n| {
            let (world, mut payment) = (Arc::clone(&world), payment.clone());
            // Some of them want another dish for it.
            let path = if n % 5 == 4 { "/gold.csv" } else { "/wind.csv" };
            payment.resource = None;
            tokio::spawn(async move { world.get(path, Some(&payment)).await })
        });
        let mut bodies = std::collections::BTreeSet::new();
        for answer in all.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            match answer.status {
                200 => drop(bodies.insert(text(&answer))),
                409 => {}
                other => panic!("{settlement:?}: {other}: {}", text(&answer)),
            }
        }
        assert_eq!(bodies.into_iter().collect::<Vec<_>>(), ["dish 1"], "{settlement:?}");
        assert_eq!(world.made(), 1, "{settlement:?}");
        assert_eq!(world.steward.settlements.load(Ordering::SeqCst), 1, "{settlement:?}");
    }
}

#[tokio::test]
async fn a_metered_price_is_what_was_used_and_never_more_than_was_signed() {
    let world = World::new().await;
    let quote = asked(&world.get("/metered", None).await);
    let [offer] = &quote.accepts[..] else { panic!("{quote:?}") };
    assert_eq!((offer.scheme.as_str(), offer.amount.as_str()), ("upto", "50000"));
    let us = world.steward.key.address();
    assert_eq!(offer.extra["facilitatorAddress"], us.to_string());

    *world.kitchen.used.lock().unwrap() = Some(1_858);
    let payment = metered(&world, 1, |_| {});
    let response = world.get("/metered", Some(&payment)).await;
    assert_eq!((response.status, text(&response)), (200, "dish 1".to_owned()));
    assert_eq!(receipt(&response).amount.as_deref(), Some("1858"));
    let Intent::SettlePermit(settled) = world.steward.proposed().remove(0).intent else { panic!() };
    assert_eq!((settled.amount, settled.charge), (usdc(50_000), usdc(1_858)));
    // Again: the same goods at the same charge.
    *world.kitchen.used.lock().unwrap() = Some(9_999);
    let again = world.get("/metered", Some(&payment)).await;
    assert_eq!(
        (again.body, receipt(&again_of(&response)).amount.unwrap()),
        (response.body.clone(), "1858".to_owned())
    );

    // Without a word the maximum, and nothing where nothing was used.
    *world.kitchen.used.lock().unwrap() = None;
    let full = world.get("/metered", Some(&metered(&world, 2, |_| {}))).await;
    assert_eq!(receipt(&full).amount.as_deref(), Some("50000"));
    *world.kitchen.used.lock().unwrap() = Some(0);
    *world.steward.state.lock().unwrap() = PaymentState::Final;
    let free = world.get("/metered", Some(&metered(&world, 3, |_| {}))).await;
    assert_eq!((free.status, receipt(&free).amount.as_deref()), (200, Some("0")));
}

fn again_of(response: &marque_net::Response) -> marque_net::Response {
    response.clone()
}

#[tokio::test]
async fn after_a_restart_a_metered_charge_stands() {
    let world = World::new().await;
    *world.kitchen.used.lock().unwrap() = Some(1_858);
    let payment = metered(&world, 1, |_| {});
    world.get("/metered", Some(&payment)).await;
    *world.kitchen.used.lock().unwrap() = Some(40_000);
    world.steward.list();
    let url = world.restart().await;
    let net = client(url.authority());
    let again = send(&net, url.join("/metered").unwrap(), Some(&payment)).await;
    assert_eq!((again.status, receipt(&again).amount.as_deref()), (200, Some("1858")));
}

/// What a payer had settled for a base unit, or for nothing, was told to pay for the goods once the
/// shop of the same agent found it settled.
#[tokio::test]
async fn a_facilitator_beside_the_shop_makes_nothing_cheaper() {
    let world = World::new().await;
    world.steward.view.lock().unwrap().facilitates = vec![USDC];
    let (listener, desk, _) = crate::support::stand().await;
    crate::support::open(listener, facilitator::router(Arc::clone(&world.steward) as _));
    let one = world.payment_as("/wind.csv", |it| it.value = U256::from(1), USDC);
    let mut none = metered(&world, 1, |_| {});
    none.resource = serde_json::from_value(json!({ "url": world.url("/metered") })).unwrap();
    for (payment, amount) in [(&one, "1"), (&none, "0")] {
        let mut required = payment.accepted.clone();
        required.amount = amount.into();
        let question =
            json!({ "x402Version": 2, "paymentPayload": payment, "paymentRequirements": required });
        let mut request = Request::get(desk.join("/settle").unwrap());
        request.method = Method::POST;
        request.headers.insert("content-type", "application/json".parse().unwrap());
        request.body = serde_json::to_vec(&question).unwrap();
        let answer = client(desk.authority()).send(request).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["errorReason"], "invalid_payment_requirements", "{answer}");
        world.steward.list();
    }
    assert_eq!(world.get("/wind.csv", Some(&one)).await.status, 402);
    assert_eq!((world.made(), world.steward.proposed().len()), (0, 0));
}

#[tokio::test]
async fn what_was_settled_for_less_than_the_price_buys_nothing() {
    let world = World::new().await;
    let settle = async |claim: SignedPayment| {
        let intent = claim.intent();
        let task = "elsewhere".to_owned();
        let proposal = Proposal { task, step: 0, ordinal: 0, attempt: 0, intent };
        world.steward.propose(proposal).await.unwrap();
        world.steward.list();
    };
    let claim = |payment: &PaymentPayload, path: &str| {
        let terms = payment.accepted.terms().unwrap();
        verify::claim(payment, &terms, world.url(path).to_string()).unwrap()
    };
    let one = world.payment_as("/wind.csv", |it| it.value = U256::from(1), USDC);
    settle(claim(&one, "/wind.csv")).await;
    let answer = world.get("/wind.csv", Some(&one)).await;
    assert!(asked(&answer).error.unwrap().contains("1 base units, but 20000"));

    let short = metered(&world, 1, |it| it.amount = U256::from(1));
    settle(claim(&short, "/metered").charging(U256::ZERO)).await;
    let answer = world.get("/metered", Some(&short)).await;
    assert!(asked(&answer).error.unwrap().contains("1 base units, but 50000"));

    // Nor does another permit under the same nonce: one for less, or one that paid somebody else.
    let full = metered(&world, 1, |_| {});
    assert_eq!(world.get("/metered", Some(&full)).await.status, 409);
    let theirs = metered(&world, 2, |it| it.to = STRANGER);
    settle(claim(&theirs, "/metered").charging(U256::ZERO)).await;
    let ours = metered(&world, 2, |_| {});
    assert_eq!(world.get("/metered", Some(&ours)).await.status, 409);
    assert_eq!(world.made(), 0);
}

#[tokio::test]
async fn a_metered_payment_that_will_not_do_is_told_why_and_nothing_is_made() {
    let world = World::new().await;
    let other = Address::repeat_byte(7);
    for (change, why) in [
        ((|p| p.amount = U256::from(49_999)) as fn(&mut Permit), "49999 base units, but 50000"),
        (|p| p.facilitator = Some(Address::repeat_byte(7)), "does not name"),
        (|p| p.facilitator = None, "does not name"),
        (|p| p.token = Address::repeat_byte(7), "it pays in"),
        (|p| p.deadline = NOW, "it has expired"),
        (|p| p.deadline = NOW + 3_601, "valid for more than 3600 s"),
        (|p| p.from = Address::repeat_byte(7), "it is not signed by"),
        (|p| p.to = Address::repeat_byte(7), "it pays 0x0707"),
    ] {
        let response = world.get("/metered", Some(&metered(&world, 1, change))).await;
        assert_eq!(response.status, 402, "{why}");
        let error = asked(&response).error.unwrap();
        assert!(error.contains(why), "{error}: {why}");
    }
    let mut forged = metered(&world, 1, |_| {});
    forged.payload["permit2Authorization"]["spender"] = json!(other);
    let response = world.get("/metered", Some(&forged)).await;
    assert!(asked(&response).error.unwrap().contains("its spender is"));
    let plain = world.get("/metered", Some(&world.payment("/metered"))).await;
    assert!(asked(&plain).error.unwrap().contains("exact by eip3009, but upto by permit2"));
    assert_eq!((world.made(), world.steward.proposed().len()), (0, 0));
}

#[tokio::test]
async fn a_buyers_name_for_a_payment_is_bound_to_that_payment() {
    let world = World::new().await;
    let named = |id: Value| {
        let mut payment = world.payment("/wind.csv");
        let extension = json!({ "info": { "required": false, "id": id } });
        payment.extensions.insert("payment-identifier".to_owned(), extension);
        payment
    };
    let offered = asked(&world.get("/wind.csv", None).await).extensions;
    assert_eq!(offered["payment-identifier"]["info"], json!({ "required": false }));
    let first = named(json!("pay_7d5d747be160e280504c099d984bcfe0"));
    let answer = world.get("/wind.csv", Some(&first)).await;
    assert_eq!(answer.status, 200);
    let again = world.get("/wind.csv", Some(&first)).await;
    assert_eq!((again.status, receipt(&again)), (200, receipt(&answer)));
    let other = named(json!("pay_7d5d747be160e280504c099d984bcfe0"));
    assert_eq!(world.get("/wind.csv", Some(&other)).await.status, 409);
    for id in [json!("short"), json!("x".repeat(129)), json!("no spaces in here!"), json!(17)] {
        let response = world.get("/wind.csv", Some(&named(id))).await;
        assert_eq!(response.status, 402);
        assert!(asked(&response).error.unwrap().contains("is no payment identifier"));
    }
    assert_eq!(world.made(), 1);
}

/// A facilitator that says what it is told to.
async fn facilitator(verify: Value, settle: Value) -> (Facilitator, Arc<AtomicU64>) {
    let (listener, url, _) = crate::support::stand().await;
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let settle = Arc::new(Mutex::new(settle));
    let router = Router::new().route("/x/verify", post(move || async move { Json(verify) })).route(
        "/x/settle",
        post(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let said = settle.lock().unwrap().clone();
            async move {
                if said.is_null() {
                    return Err(axum::http::StatusCode::BAD_GATEWAY);
                }
                Ok(Json(said))
            }
        }),
    );
    crate::support::open(listener, router);
    let net = client(url.authority());
    (Facilitator::new(net, url.join("/x/").unwrap()), asked)
}

async fn through(settle: Value) -> (World, Arc<AtomicU64>) {
    let (facilitator, asked) = facilitator(json!({ "isValid": true }), settle).await;
    (World::selling(|seller| seller.through(facilitator.clone())).await, asked)
}

fn says(success: bool) -> Value {
    let hash = B256::repeat_byte(5);
    json!({
        "success": success, "transaction": if success { hash.to_string() } else { String::new() },
        "network": "eip155:31337", "errorReason": (!success).then_some("insufficient_funds"),
    })
}

#[tokio::test]
async fn a_facilitators_settlement_is_believed_when_the_steward_finds_it_on_chain() {
    let (world, asked_it) = through(says(true)).await;
    *world.steward.preview.lock().unwrap() = Some((Foreseen::Allowed, false, None));
    let steward = Arc::clone(&world.steward);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        *steward.preview.lock().unwrap() = Some((Foreseen::Allowed, true, None));
    });
    let before = tokio::time::Instant::now();
    let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
    assert_eq!(response.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(300), "believed before it was there");
    assert_eq!(asked_it.load(Ordering::SeqCst), 1);
    assert_ne!(receipt(&response).transaction, B256::repeat_byte(5).to_string(), "its word");
}

#[tokio::test]
async fn a_facilitator_that_lies_about_settling_is_found_and_the_steward_settles() {
    let (world, _) = through(says(true)).await;
    *world.steward.preview.lock().unwrap() = Some((Foreseen::Allowed, false, None));
    *world.steward.state.lock().unwrap() = PaymentState::Sent;
    let payment = world.payment("/wind.csv");
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 503, "no money, no goods");
    assert_eq!((world.made(), world.steward.settlements.load(Ordering::SeqCst)), (0, 1));
    *world.steward.state.lock().unwrap() = PaymentState::Seen;
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 200);
}

#[tokio::test]
async fn a_facilitator_may_refuse_and_what_it_took_is_found_all_the_same() {
    for said in [says(false), Value::Null] {
        let (world, _) = through(said.clone()).await;
        *world.steward.preview.lock().unwrap() = Some((Foreseen::Allowed, false, None));
        let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
        assert_eq!(response.status, if said.is_null() { 503 } else { 402 });
        assert_eq!((world.made(), world.steward.proposed().len()), (0, 0));
        // It took the money, and says that it did not.
        let steward = Arc::clone(&world.steward);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            *steward.preview.lock().unwrap() = Some((Foreseen::Allowed, true, None));
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
        assert_eq!(response.status, 200, "{said}");
    }
}

#[tokio::test]
async fn a_frozen_steward_sells_nothing_on_credit() {
    let world = World::selling(|seller| seller.settlement(background(5 * DISH))).await;
    world.steward.decide(Verdict::Fault("frozen"));
    assert_eq!(world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await.status, 503);
    assert_eq!((world.made(), world.seller.unsettled()), (0, U256::ZERO));
}
