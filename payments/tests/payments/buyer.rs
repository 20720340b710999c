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
use marque_contracts::Authorization;
use marque_net::Request;
use marque_payments::{
    Buyer, Errand, PaymentError, Rule,
    x402::{
        self, ExactPayload, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload,
    },
};
use marque_policies::{Intent, Labels};
use marque_steward_client::Said;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use url::Url;

const SELLER: Address = Address::repeat_byte(0x5e);

type Headers = Vec<(&'static str, String)>;

/// A stranger's server: answers as it is told, and keeps the payments that it is sent.
#[derive(Debug, Default)]
struct Shop {
    ask: Mutex<Headers>,
    ask_body: Mutex<String>,
    /// What it answers to payments, first to last; the last for ever.
    deliver: Mutex<Vec<(u16, Headers)>>,
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
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

struct World {
    shop: Arc<Shop>,
    steward: Arc<Steward>,
    buyer: Buyer,
    url: Url,
}

impl World {
    async fn new() -> Self {
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

    fn honest(&self) -> Value {
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

    fn ask(&self, terms: &Value) {
        *self.shop.ask.lock().unwrap() =
            vec![(PAYMENT_REQUIRED, STANDARD.encode(terms.to_string()))];
    }

    async fn buy(&self) -> Result<marque_payments::Purchase, PaymentError> {
        self.buyer.send(Request::get(self.url.clone()), &errand()).await
    }

    fn payments(&self) -> Vec<String> {
        self.shop.payments.lock().unwrap().clone()
    }
}

fn errand() -> Errand {
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
async fn a_402_that_lies_is_turned_down_and_nothing_is_proposed() {
    let world = World::new().await;
    let entry = |field: &'static str, value: Value| {
        move |terms: &mut Value| terms["accepts"][0][field] = value.clone()
    };
    type Lie = Box<dyn Fn(&mut Value)>;
    let other_host = world.url.as_str().replace("127.0.0.1", "127.0.0.2");
    let lies: Vec<(&str, Lie, Rule)> = vec![
        ("payee", Box::new(entry("payTo", json!(STRANGER))), Rule::Payee),
        ("no payee", Box::new(entry("payTo", json!("merchant"))), Rule::Payee),
        ("too much", Box::new(entry("amount", json!("50001"))), Rule::Amount),
        ("no amount", Box::new(entry("amount", json!("2e4"))), Rule::Amount),
        ("past 256 bits", Box::new(entry("amount", json!("9".repeat(90)))), Rule::Amount),
        ("asset", Box::new(entry("asset", json!(STRANGER))), Rule::Asset),
        ("native coin", Box::new(entry("asset", json!(Address::ZERO))), Rule::Asset),
        ("the max is in USDC", Box::new(entry("asset", json!(EURC.token))), Rule::Amount),
        ("network", Box::new(entry("network", json!("eip155:1"))), Rule::Network),
        ("another world", Box::new(entry("network", json!("solana:5eykt"))), Rule::Network),
        ("scheme", Box::new(entry("scheme", json!("barter"))), Rule::Scheme),
        (
            "method",
            Box::new(|terms| {
                terms["accepts"][0]["extra"]["assetTransferMethod"] = json!("permit2")
            }),
            Rule::Scheme,
        ),
        (
            "domain name",
            Box::new(|terms| terms["accepts"][0]["extra"]["name"] = json!("USDC")),
            Rule::Domain,
        ),
        (
            "domain version",
            Box::new(|terms| terms["accepts"][0]["extra"]["version"] = json!("1")),
            Rule::Domain,
        ),
        ("no domain", Box::new(entry("extra", Value::Null)), Rule::Domain),
        (
            "resource of another host",
            Box::new(move |terms| terms["resource"]["url"] = json!(other_host)),
            Rule::Resource,
        ),
        (
            "another resource",
            Box::new(|terms| {
                let url = terms["resource"]["url"].as_str().unwrap().replace("wind", "gold");
                terms["resource"]["url"] = json!(url);
            }),
            Rule::Resource,
        ),
        (
            "no resource",
            Box::new(|terms| terms["resource"]["url"] = json!("wind.csv")),
            Rule::Resource,
        ),
        ("nothing", Box::new(|terms| terms["accepts"] = json!([])), Rule::Scheme),
    ];
    for (name, lie, rule) in lies {
        let mut terms = world.honest();
        lie(&mut terms);
        world.ask(&terms);
        match world.buy().await {
            Err(PaymentError::Terms(objections)) => {
                assert_eq!(objections.len(), 1, "{name}");
                assert_eq!(objections[0].rule, rule, "{name}: {}", objections[0]);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(world.steward.proposed().is_empty());
    assert!(world.payments().is_empty());
    world.ask(&world.honest());
    assert!(world.buy().await.is_ok(), "the truth is bought");
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
    assert_eq!(said[0], Said::Settled { transaction: B256::repeat_byte(7) });
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
