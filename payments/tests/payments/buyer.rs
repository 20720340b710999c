//! The buyer against sellers that are honest, that lie, and that take the money.

use crate::support::{EURC, STRANGER, Steward, USDC, Verdict, open, stand, usdc};
use alloy_primitives::{Address, B256, U256};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque_contracts::{Authorization, permit2};
use marque_net::Request;
use marque_payments::{
    Buyer, Errand, PaymentError, Rule,
    x402::{
        self, ExactPayload, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload,
        Permit2Payload,
    },
};
use marque_policies::{Intent, Labels};
use marque_steward_client::{Budget, PaymentState, Said};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use url::Url;

pub(crate) const SELLER: Address = Address::repeat_byte(0x5e);

type Headers = Vec<(&'static str, String)>;

/// A stranger's server: answers as it is told, and keeps the payments that it is sent.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    pub(crate) ask: Mutex<Headers>,
    ask_body: Mutex<String>,
    /// What it answers to payments, first to last; the last for ever.
    pub(crate) deliver: Mutex<Vec<(u16, Headers)>>,
    payments: Mutex<Vec<String>>,
}

async fn serve(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let (status, reply, body) = match headers.get(PAYMENT_SIGNATURE) {
        None => {
            let body = shop.ask_body.lock().unwrap().clone();
            (402, shop.ask.lock().unwrap().clone(), body)
        }
        Some(payment) => {
            shop.payments.lock().unwrap().push(payment.to_str().unwrap().to_owned());
            let mut deliver = shop.deliver.lock().unwrap();
            let (status, reply) =
                if deliver.len() > 1 { deliver.remove(0) } else { deliver[0].clone() };
            (status, reply, "goods".to_owned())
        }
    };
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in reply {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

pub(crate) struct World {
    pub(crate) shop: Arc<Shop>,
    pub(crate) steward: Arc<Steward>,
    pub(crate) buyer: Buyer,
    pub(crate) url: Url,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (listener, base, net) = stand().await;
        let host = listener.local_addr().unwrap().to_string();
        let steward = Arc::new(Steward::new("scout", 1, SELLER, &host));
        let shop = Arc::new(Shop::default());
        *shop.deliver.lock().unwrap() = vec![(200, vec![])];
        let to_wind = || async { (StatusCode::FOUND, [(LOCATION, "/wind.csv")]) };
        open(
            listener,
            Router::new()
                .route("/wind.csv", get(serve))
                .route("/moved", get(to_wind))
                .with_state(Arc::clone(&shop)),
        );
        let buyer = Buyer::new(net, Arc::clone(&steward) as _);
        Self { shop, steward, buyer, url: base.join("/wind.csv").unwrap() }
    }

    pub(crate) fn honest(&self) -> Value {
        json!({
            "x402Version": 2,
            "resource": { "url": self.url, "description": "wind" },
            "accepts": [{
                "scheme": "exact",
                "network": "eip155:31337",
                "amount": "20000",
                "asset": USDC.token,
                "payTo": SELLER,
                "maxTimeoutSeconds": 60,
                "extra": { "name": "USD Coin", "version": "2" },
                "colour": "green"
            }]
        })
    }

    pub(crate) fn ask(&self, terms: &Value) {
        *self.shop.ask.lock().unwrap() =
            vec![(PAYMENT_REQUIRED, STANDARD.encode(terms.to_string()))];
    }

    pub(crate) async fn buy(&self) -> Result<marque_payments::Purchase, PaymentError> {
        self.buyer.send(Request::get(self.url.clone()), &errand()).await
    }

    pub(crate) fn payments(&self) -> Vec<String> {
        self.shop.payments.lock().unwrap().clone()
    }
}

pub(crate) fn errand() -> Errand {
    Errand {
        task: "wind".to_owned(),
        step: 3,
        ordinal: 1,
        attempt: 0,
        max: Some(usdc(50_000)),
        labels: Labels::default(),
    }
}

fn receipt(change: impl Fn(&mut Value)) -> (&'static str, String) {
    let mut receipt = json!({
        "success": true, "transaction": B256::repeat_byte(7), "network": "eip155:31337",
        "amount": "20000",
    });
    change(&mut receipt);
    (PAYMENT_RESPONSE, STANDARD.encode(receipt.to_string()))
}

#[tokio::test]
async fn a_listed_payee_may_be_asked_for_by_its_own_host_only() {
    let world = World::new().await;
    world.ask(&world.honest());
    for host in [Some("feed.example".to_owned()), None] {
        world.steward.view.lock().unwrap().payees[0].host = host;
        let error = world.buy().await.unwrap_err();
        assert!(matches!(&error, PaymentError::Terms(o) if o[0].rule == Rule::Payee), "{error}");
    }
    assert!(world.steward.proposed().is_empty());
}

#[tokio::test]
async fn a_payee_known_by_host_only_is_named_and_the_steward_hears_of_its_address() {
    let world = World::new().await;
    world.steward.view.lock().unwrap().payees[0].address = None;
    let mut terms = world.honest();
    terms["accepts"][0]["payTo"] = json!(STRANGER);
    world.ask(&terms);
    world.steward.decide(Verdict::Hold);
    assert!(matches!(world.buy().await, Err(PaymentError::Held { .. })));
    let Intent::Authorise(pay) = world.steward.proposed().remove(0).intent else { panic!() };
    assert_eq!((pay.payee.as_str(), pay.to), ("feed", STRANGER));
    // Once the owner has pinned an address, another one is not even proposed, pool or not.
    world.steward.view.lock().unwrap().payees[0].address = Some(SELLER);
    world.steward.view.lock().unwrap().pools = vec![USDC];
    let error = world.buy().await.unwrap_err();
    assert!(error.to_string().contains(&format!("feed is paid at {SELLER}")), "{error}");
    assert_eq!(world.steward.proposed().len(), 1);
}

#[tokio::test]
async fn a_peer_is_named_by_its_host_where_there_is_a_pool_and_as_no_payee_could_be() {
    let world = World::new().await;
    let host = world.steward.view.lock().unwrap().payees[0].host.take().unwrap();
    world.steward.view.lock().unwrap().payees[0].address = Some(STRANGER);
    world.ask(&world.honest());
    world.steward.view.lock().unwrap().pools = vec![EURC];
    let error = world.buy().await.unwrap_err();
    assert!(matches!(&error, PaymentError::Terms(o) if o[0].rule == Rule::Payee), "{error}");
    world.steward.view.lock().unwrap().pools = vec![USDC];
    let paid = world.buy().await.unwrap().paid.unwrap();
    assert_eq!(paid.payee, format!("peer:{host}"));
    let Intent::Authorise(pay) = world.steward.proposed().remove(0).intent else { panic!() };
    assert_eq!((pay.payee, pay.to, pay.host), (format!("peer:{host}"), SELLER, host));
    // What a payee is paid at is never a peer's.
    world.steward.view.lock().unwrap().payees[0].address = Some(SELLER);
    let error = world.buy().await.unwrap_err();
    assert!(error.to_string().contains("asks for money for feed"), "{error}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_told_in_one_line() {
    let world = World::new().await;
    let encoded = |text: &str| STANDARD.encode(text);
    let mut long = world.honest();
    long["error"] = json!("x".repeat(40_000));
    for (header, body, expected) in [
        (Some("%%%".to_owned()), "", "PAYMENT-REQUIRED: not base64"),
        (Some(encoded("{")), "", "PAYMENT-REQUIRED: not JSON"),
        (Some(encoded("{}")), "", "PAYMENT-REQUIRED: missing field"),
        (Some(encoded(&long.to_string())), "", "at most 32768 are read"),
        (Some(encoded("{\"x402Version\":1}")), "", "x402 version 1; only version 2"),
        (None, "{\"x402Version\":1,\"accepts\":[]}", "the seller speaks x402 version 1"),
        (None, "pay me", "without a PAYMENT-REQUIRED header"),
    ] {
        *world.shop.ask.lock().unwrap() =
            header.into_iter().map(|text| (PAYMENT_REQUIRED, text)).collect();
        *world.shop.ask_body.lock().unwrap() = body.to_owned();
        let error = world.buy().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(world.steward.proposed().is_empty());
}

#[tokio::test]
async fn a_redirect_to_a_402_is_not_paid() {
    let world = World::new().await;
    let moved = world.url.join("/moved").unwrap();
    let mut terms = world.honest();
    for said in [world.url.clone(), moved.clone()] {
        terms["resource"]["url"] = json!(said);
        world.ask(&terms);
        let error = world.buyer.send(Request::get(moved.clone()), &errand()).await.unwrap_err();
        assert!(error.to_string().contains("resource: the request was redirected"), "{error}");
    }
    assert!(world.steward.proposed().is_empty());
}

#[tokio::test]
async fn a_purchase_names_what_was_paid_and_tells_the_steward() {
    let world = World::new().await;
    world.ask(&world.honest());
    *world.shop.deliver.lock().unwrap() = vec![(200, vec![receipt(|_| {})])];
    let purchase = world.buy().await.unwrap();
    assert_eq!(purchase.response.body, b"goods");
    let paid = purchase.paid.unwrap();
    assert_eq!((paid.payee.as_str(), paid.to, paid.amount), ("feed", SELLER, usdc(20_000)));
    assert_eq!(paid.transaction, Some(B256::repeat_byte(7)));

    let proposals = world.steward.proposed();
    let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
    assert_eq!((proposal.task.as_str(), proposal.step, proposal.ordinal), ("wind", 3, 1));
    let Intent::Authorise(authorise) = &proposal.intent else { panic!() };
    assert_eq!(authorise.resource, world.url.as_str());
    assert_eq!(authorise.host, world.url.authority());
    let said = world.steward.reported();
    assert_eq!(
        said[0],
        Said::Settled { transaction: B256::repeat_byte(7), amount: Some(usdc(20_000)) }
    );
    assert!(matches!(said[1], Said::Delivered { .. }));

    let sent: PaymentPayload = x402::decode(PAYMENT_SIGNATURE, &world.payments()[0]).unwrap();
    assert_eq!(serde_json::to_value(&sent.accepted).unwrap(), world.honest()["accepts"][0]);
    let exact: ExactPayload = serde_json::from_value(sent.payload).unwrap();
    assert_eq!(exact.authorization.nonce, paid.id.nonce());
}

#[tokio::test]
async fn the_same_errand_again_sends_the_same_bytes() {
    let world = World::new().await;
    world.ask(&world.honest());
    world.buy().await.unwrap();
    world.buy().await.unwrap();
    let payments = world.payments();
    assert_eq!(payments.len(), 2);
    assert_eq!(payments[0], payments[1]);
}

#[tokio::test]
async fn changed_terms_for_the_same_errand_are_refused() {
    let world = World::new().await;
    world.ask(&world.honest());
    world.buy().await.unwrap();
    let mut dearer = world.honest();
    dearer["accepts"][0]["amount"] = json!("20001");
    world.ask(&dearer);
    let error = world.buy().await.unwrap_err();
    assert!(matches!(&error, PaymentError::Fault(f) if f.code == "id_reused"), "{error}");
    assert_eq!(world.payments().len(), 1);
}

#[tokio::test]
async fn the_cheapest_acceptable_terms_are_taken() {
    let world = World::new().await;
    let mut terms = world.honest();
    let entry = terms["accepts"][0].clone();
    let offers = [("30000", json!(SELLER)), ("100", json!(STRANGER)), ("10000", json!(SELLER))];
    terms["accepts"] = offers
        .into_iter()
        .map(|(amount, to)| {
            let mut entry = entry.clone();
            entry["amount"] = json!(amount);
            entry["payTo"] = to;
            entry
        })
        .collect();
    world.ask(&terms);
    assert_eq!(world.buy().await.unwrap().paid.unwrap().amount, usdc(10_000));
}

#[tokio::test]
async fn what_the_steward_does_not_sign_is_not_sent() {
    let world = World::new().await;
    world.ask(&world.honest());
    world.steward.decide(Verdict::Refuse);
    let error = world.buy().await.unwrap_err();
    assert!(matches!(error, PaymentError::Refused { .. }));
    assert!(error.to_string().contains("limits.USDC.day (9.99 USDC, limit 1.00 USDC)"), "{error}");
    world.steward.decide(Verdict::Hold);
    assert!(matches!(world.buy().await, Err(PaymentError::Held { .. })));
    world.steward.decide(Verdict::Fault("frozen"));
    assert!(matches!(world.buy().await, Err(PaymentError::Fault(_))));
    assert!(world.payments().is_empty());
    assert!(world.steward.reported().is_empty());
}

#[tokio::test]
async fn an_artifact_that_is_not_what_was_asked_never_leaves() {
    let world = World::new().await;
    world.ask(&world.honest());
    let id = world.buy().await.unwrap().paid.unwrap().id;
    let asked = Authorization {
        from: world.steward.key.address(),
        to: SELLER,
        value: U256::from(20_000),
        valid_after: 0,
        valid_before: crate::support::NOW + 120,
        nonce: id.nonce(),
    };
    for (signed, expected) in [
        (Authorization { to: STRANGER, ..asked }, "it pays 0x"),
        (Authorization { value: U256::from(20_001), ..asked }, "it pays 20001 base units"),
        (Authorization { from: STRANGER, ..asked }, "it is paid by"),
        (Authorization { nonce: B256::ZERO, ..asked }, "its nonce"),
    ] {
        world.steward.decide(Verdict::Sign(signed));
        let error = world.buy().await.unwrap_err();
        assert!(matches!(error, PaymentError::Artifact { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(world.payments().len(), 1, "only the honest one left");
}

#[tokio::test]
async fn a_seller_that_takes_the_payment_and_does_not_deliver_is_reported() {
    let world = World::new().await;
    world.ask(&world.honest());
    let failed = receipt(|receipt| {
        receipt["success"] = json!(false);
        receipt["errorReason"] = json!("no\nbalance");
    });
    for (status, headers, why) in [
        (402, vec![failed], "status 402: no balance"),
        (402, vec![], "status 402: goods"),
        (500, vec![], "status 500: goods"),
        (302, vec![("location", "/gold".to_owned())], "status 302: goods"),
    ] {
        *world.shop.deliver.lock().unwrap() = vec![(status, headers)];
        let Err(PaymentError::Undelivered(undelivered)) = world.buy().await else {
            panic!("{status}")
        };
        assert_eq!((undelivered.status, undelivered.why.as_str()), (Some(status), why));
        let said = world.steward.reported().pop();
        assert_eq!(said, Some(Said::Undelivered { why: why.to_owned() }));
    }
    assert_eq!(world.payments().len(), 4, "a refusal is not answered with another payment");
}

#[tokio::test]
async fn a_seller_that_is_still_settling_gets_the_same_bytes_again() {
    let world = World::new().await;
    world.ask(&world.honest());
    *world.shop.deliver.lock().unwrap() = vec![(503, vec![]), (200, vec![])];
    assert_eq!(world.buy().await.unwrap().response.body, b"goods");
    let payments = world.payments();
    assert_eq!(payments.len(), 2);
    assert_eq!(payments[0], payments[1]);
    assert_eq!(world.steward.proposed().len(), 1);
}

#[tokio::test]
async fn a_receipt_for_another_payment_is_not_believed() {
    let world = World::new().await;
    world.ask(&world.honest());
    type Change = Box<dyn Fn(&mut Value)>;
    let changes: Vec<Change> = vec![
        Box::new(|receipt| receipt["network"] = json!("eip155:1")),
        Box::new(|receipt| receipt["amount"] = json!("1")),
        Box::new(|receipt| receipt["payer"] = json!(STRANGER)),
        Box::new(|receipt| receipt["transaction"] = json!("0x12")),
        Box::new(|receipt| receipt["success"] = json!(false)),
    ];
    for change in changes {
        *world.shop.deliver.lock().unwrap() = vec![(200, vec![receipt(&change)])];
        assert_eq!(world.buy().await.unwrap().paid.unwrap().transaction, None);
    }
    *world.shop.deliver.lock().unwrap() = vec![(200, vec![(PAYMENT_RESPONSE, "%".to_owned())])];
    assert_eq!(world.buy().await.unwrap().paid.unwrap().transaction, None);
}

#[tokio::test]
async fn extensions_are_echoed_and_the_payment_is_named_where_it_is_asked() {
    let world = World::new().await;
    let mut terms = world.honest();
    terms["extensions"] = json!({
        "payment-identifier": { "info": { "required": true }, "schema": { "type": "object" } },
        "bazaar": { "info": { "a": 1 }, "schema": {} },
    });
    world.ask(&terms);
    let id = world.buy().await.unwrap().paid.unwrap().id;
    let sent: PaymentPayload = x402::decode(PAYMENT_SIGNATURE, &world.payments()[0]).unwrap();
    terms["extensions"]["payment-identifier"]["info"]["id"] =
        json!(id.to_string().trim_start_matches("0x"));
    assert_eq!(Value::from(sent.extensions), terms["extensions"]);
}

#[tokio::test]
async fn what_costs_nothing_is_not_paid_for() {
    let world = World::new().await;
    let missing = Request::get(world.url.join("/missing").unwrap());
    let purchase = world.buyer.send(missing, &errand()).await.unwrap();
    assert_eq!((purchase.response.status, purchase.paid), (404, None));
}

fn by_permit(world: &World, scheme: &str) -> Value {
    let mut terms = world.honest();
    terms["accepts"][0]["scheme"] = json!(scheme);
    terms["accepts"][0]["extra"] = json!({ "assetTransferMethod": "permit2" });
    if scheme == "upto" {
        terms["accepts"][0]["extra"]["facilitatorAddress"] = json!(FACILITATOR);
    }
    terms
}

const FACILITATOR: Address = Address::repeat_byte(0xfa);

#[tokio::test]
async fn a_permit_is_approved_once_and_sent_as_it_was_proposed() {
    for (scheme, spender) in [("exact", permit2::EXACT_PROXY), ("upto", permit2::UPTO_PROXY)] {
        let world = World::new().await;
        world.ask(&by_permit(&world, scheme));
        world.buy().await.unwrap();
        let paid = world.buy().await.unwrap().paid.unwrap();
        let proposed = world.steward.proposed();
        let kinds: Vec<_> = proposed.iter().map(|proposal| proposal.intent.kind()).collect();
        let asked = ["permit_transfer", "approve_permit2", "permit_transfer", "permit_transfer"];
        assert_eq!(kinds, asked, "the approval only where the permit lacks it");
        assert_eq!(proposed[0], proposed[2], "the same permit");
        let Intent::PermitTransfer(permit) = &proposed[2].intent else { panic!() };
        assert_eq!((permit.to, permit.amount), (SELLER, usdc(20_000)));

        let payments = world.payments();
        assert_eq!(payments[0], payments[1], "the same bytes");
        let sent: PaymentPayload = x402::decode(PAYMENT_SIGNATURE, &payments[0]).unwrap();
        let wire = &sent.payload["permit2Authorization"];
        assert_eq!(wire["nonce"], json!(paid.id.permit_nonce().to_string()), "in decimal");
        assert_eq!(wire["witness"].get("facilitator").is_some(), scheme == "upto");
        let sent: Permit2Payload = serde_json::from_value(sent.payload).unwrap();
        assert_eq!((sent.authorization.spender, sent.authorization.witness.to), (spender, SELLER));
        let digest = sent.authorization.permit().digest(USDC.chain);
        let signer = marque_contracts::recover(digest, &sent.signature).unwrap();
        assert_eq!(signer, world.steward.key.address());
    }
}

#[tokio::test]
async fn an_approval_covers_all_that_the_policy_lets_go() {
    let world = World::new().await;
    let budget = |rule: &str, units| Budget {
        rule: rule.to_owned(),
        spent: usdc(0),
        in_flight: None,
        limit: usdc(units),
        next: None,
    };
    world.steward.view.lock().unwrap().budgets =
        vec![budget("limits.USDC.day", 100_000), budget("limits.USDC.total", 900_000)];
    world.ask(&by_permit(&world, "upto"));
    world.buy().await.unwrap();
    let approved = |world: &World| {
        let proposed = world.steward.proposed().into_iter().map(|proposal| proposal.intent);
        proposed.filter(|intent| intent.kind() == "approve_permit2").collect::<Vec<_>>()
    };
    assert_eq!(approved(&world), [Intent::ApprovePermit2 { amount: usdc(900_000) }]);
    // Of an agent that holds less, what it holds.
    *world.steward.balance.lock().unwrap() = U256::from(300_000);
    *world.steward.allowance.lock().unwrap() = U256::ZERO;
    world.buy().await.unwrap();
    assert_eq!(approved(&world)[2], Intent::ApprovePermit2 { amount: usdc(300_000) });
    *world.steward.balance.lock().unwrap() = U256::from(19_999);
    *world.steward.allowance.lock().unwrap() = U256::ZERO;
    assert!(matches!(world.buy().await, Err(PaymentError::Refused { .. })));
}

#[tokio::test]
async fn without_an_approval_no_permit_is_signed() {
    let world = World::new().await;
    world.ask(&by_permit(&world, "upto"));
    *world.steward.state.lock().unwrap() = PaymentState::Released;
    let error = world.buy().await.unwrap_err();
    assert!(
        matches!(error, PaymentError::Approval { state: PaymentState::Released, .. }),
        "{error}"
    );
    let kinds: Vec<_> = world.steward.proposed().iter().map(|p| p.intent.kind()).collect();
    assert_eq!(kinds, ["permit_transfer", "approve_permit2"]);
    assert!(world.payments().is_empty());
}

#[tokio::test]
async fn a_permit_that_is_not_what_was_asked_never_leaves() {
    type Forge = fn(&mut x402::Permit2Authorization);
    let world = World::new().await;
    world.ask(&by_permit(&world, "upto"));
    let forgeries: [(Forge, &str); 8] = [
        (|permit| permit.from = STRANGER, "it is paid by"),
        (|permit| permit.witness.to = STRANGER, "it pays 0x"),
        (|permit| permit.permitted.amount += U256::from(1), "it pays 20001 base units"),
        (|permit| permit.permitted.token = STRANGER, "it pays in"),
        (|permit| permit.spender = STRANGER, "it may be spent by"),
        (|permit| permit.spender = permit2::EXACT_PROXY, "it may be spent by"),
        (|permit| permit.witness.facilitator = Some(STRANGER), "settled by somebody else"),
        (|permit| permit.nonce += U256::from(1), "its nonce"),
    ];
    for (forge, expected) in forgeries {
        *world.steward.forge.lock().unwrap() = Some(forge);
        let error = world.buy().await.unwrap_err();
        assert!(matches!(error, PaymentError::Artifact { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(world.payments().is_empty());
    *world.steward.forge.lock().unwrap() = None;
    assert!(world.buy().await.is_ok());
}

#[tokio::test]
async fn an_upto_settlement_may_take_less_and_never_more() {
    let world = World::new().await;
    world.ask(&by_permit(&world, "upto"));
    for (amount, transaction, charged) in [
        ("2500", json!(B256::repeat_byte(7)), Some(2_500)),
        ("20000", json!(B256::repeat_byte(7)), Some(20_000)),
        ("0", json!(""), Some(0)),
        ("20001", json!(B256::repeat_byte(7)), None),
        ("2500", json!(""), None),
    ] {
        let told = receipt(|receipt| {
            receipt["amount"] = json!(amount);
            receipt["transaction"] = transaction.clone();
        });
        *world.shop.deliver.lock().unwrap() = vec![(200, vec![told])];
        let paid = world.buy().await.unwrap().paid.unwrap();
        assert_eq!(paid.charged, charged.map(usdc), "{amount}");
        assert_eq!(paid.doubt.is_none(), charged.is_some(), "{amount}");
        assert_eq!(paid.amount, usdc(20_000));
    }
}

#[tokio::test]
async fn the_plainest_way_is_taken_and_what_a_limit_has_no_room_for_comes_last() {
    let world = World::new().await;
    let mut terms = world.honest();
    let (upto, permit) = (by_permit(&world, "upto"), by_permit(&world, "exact"));
    let plain = terms["accepts"][0].clone();
    terms["accepts"] = json!([upto["accepts"][0], permit["accepts"][0], plain]);
    world.ask(&terms);
    world.buy().await.unwrap();
    assert_eq!(world.steward.proposed().remove(0).intent.kind(), "authorise");

    // Cheap in an asset of which nothing is left, dearer in one that has room.
    let world = World::new().await;
    let mut terms = world.honest();
    let mut other = terms["accepts"][0].clone();
    terms["accepts"][0]["amount"] = json!("1");
    other["asset"] = json!(EURC.token);
    terms["accepts"] = json!([terms["accepts"][0], other]);
    world.ask(&terms);
    let spent = Budget {
        rule: "limits.USDC.day".to_owned(),
        spent: usdc(5),
        in_flight: None,
        limit: usdc(5),
        next: None,
    };
    world.steward.view.lock().unwrap().budgets = vec![spent];
    let errand = Errand { max: None, ..errand() };
    let bought = world.buyer.send(Request::get(world.url.clone()), &errand).await.unwrap();
    assert_eq!(bought.paid.unwrap().amount.asset, EURC);
}

#[tokio::test]
async fn an_errand_whose_attempt_is_over_goes_on_with_the_next() {
    let world = World::new().await;
    world.ask(&world.honest());
    let first = world.buy().await.unwrap().paid.unwrap().id;
    let mut dearer = world.honest();
    dearer["accepts"][0]["amount"] = json!("20001");
    world.ask(&dearer);
    for live in [PaymentState::Sent, PaymentState::Seen, PaymentState::Final, PaymentState::Held] {
        *world.steward.state.lock().unwrap() = live;
        let error = world.buy().await.unwrap_err();
        assert!(matches!(&error, PaymentError::Fault(f) if f.code == "id_reused"), "{error}");
    }
    for over in [PaymentState::Expired, PaymentState::Cancelled] {
        *world.steward.state.lock().unwrap() = over;
        let paid = world.buy().await.unwrap().paid.unwrap();
        assert_eq!(paid.amount, usdc(20_001));
        assert_ne!(paid.id, first);
    }
    assert_eq!(world.steward.proposed().last().unwrap().attempt, 1);
}
