//! The seller over a real socket, paid with real signatures, settled by a scripted steward.

use crate::support::{
    EURC, Key, NOW, STRANGER, Steward, USDC, Verdict, open, stand, transaction, usdc,
};
use alloy_primitives::{Address, B256, U256};
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use marque_contracts::Authorization;
use marque_net::{Client, Method, Request, Response};
use marque_payments::{
    Meter, Paywall, Seller,
    seller::Refusal,
    x402::{
        self, ExactAuthorization, ExactPayload, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
        PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, SettlementResponse,
    },
};
use marque_policies::{AssetId, Intent};
use marque_steward_client::PaymentState;
use serde_json::Map;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use url::Url;

/// The goods, and how often they were made.
#[derive(Debug, Default)]
pub(crate) struct Kitchen {
    pub(crate) made: AtomicUsize,
    pub(crate) broken: AtomicBool,
    pub(crate) slow: AtomicBool,
    /// What a metered dish is charged, if the cook says something.
    pub(crate) used: Mutex<Option<u64>>,
}

async fn cook(State(kitchen): State<Arc<Kitchen>>) -> (StatusCode, String) {
    if kitchen.slow.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let number = kitchen.made.fetch_add(1, Ordering::SeqCst) + 1;
    if kitchen.broken.load(Ordering::SeqCst) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "burnt".to_owned());
    }
    (StatusCode::OK, format!("dish {number}"))
}

/// A dish of which the cook says what it used.
async fn measure(meter: Meter, State(kitchen): State<Arc<Kitchen>>) -> (StatusCode, String) {
    if let Some(units) = *kitchen.used.lock().unwrap() {
        meter.charge(usdc(units)).unwrap();
    }
    cook(State(kitchen)).await
}

pub(crate) struct World {
    pub(crate) kitchen: Arc<Kitchen>,
    pub(crate) steward: Arc<Steward>,
    pub(crate) base: Url,
    pub(crate) net: Client,
    pub(crate) seller: Seller,
    pub(crate) payer: Key,
    /// One payment of this world has one nonce.
    nonces: Mutex<u64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::selling(|seller| seller).await
    }

    /// With a seller that was told more.
    pub(crate) async fn selling(set: impl Fn(Seller) -> Seller) -> Self {
        let steward = Arc::new(Steward::new("feed", 2, STRANGER, "nobody.example"));
        let kitchen = Arc::new(Kitchen::default());
        let (listener, base, net) = stand().await;
        let seller = set(seller(&steward, &base));
        shop(listener, seller.clone(), &kitchen);
        Self { kitchen, steward, base, net, seller, payer: Key::new(3), nonces: Mutex::new(0) }
    }

    /// The same agent after a restart: the steward remembers, the seller does not. It keeps its
    /// name, as a seller behind a proxy does.
    pub(crate) async fn restart(&self) -> Url {
        self.restart_as(seller(&self.steward, &self.base)).await
    }

    pub(crate) async fn restart_as(&self, seller: Seller) -> Url {
        let (listener, url, _) = stand().await;
        shop(listener, seller, &self.kitchen);
        url
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    pub(crate) async fn get(&self, path: &str, payment: Option<&PaymentPayload>) -> Response {
        send(&self.net, self.url(path), payment).await
    }

    /// An honest payment for `path`.
    pub(crate) fn payment(&self, path: &str) -> PaymentPayload {
        self.payment_as(path, |_| {}, USDC)
    }

    pub(crate) fn payment_as(
        &self,
        path: &str,
        change: impl Fn(&mut Authorization),
        asset: AssetId,
    ) -> PaymentPayload {
        let mut nonces = self.nonces.lock().unwrap();
        *nonces += 1;
        let mut authorization = Authorization {
            from: self.payer.address(),
            to: self.steward.key.address(),
            value: U256::from(20_000),
            valid_after: 0,
            valid_before: NOW + 120,
            nonce: B256::left_padding_from(&nonces.to_be_bytes()),
        };
        change(&mut authorization);
        let accepted = serde_json::json!({
            "scheme": "exact", "network": format!("eip155:{}", asset.chain),
            "amount": authorization.value.to_string(), "asset": asset.token,
            "payTo": authorization.to, "maxTimeoutSeconds": 300,
            "extra": { "name": "USD Coin", "version": "2" },
        });
        let payload = ExactPayload {
            signature: self.payer.authorise(asset, &authorization),
            authorization: ExactAuthorization {
                from: authorization.from,
                to: authorization.to,
                value: authorization.value,
                valid_after: authorization.valid_after,
                valid_before: authorization.valid_before,
                nonce: authorization.nonce,
            },
        };
        let resource = serde_json::json!({ "url": self.url(path) });
        PaymentPayload {
            x402_version: 2,
            resource: Some(serde_json::from_value(resource).unwrap()),
            accepted: serde_json::from_value(accepted).unwrap(),
            payload: serde_json::to_value(payload).unwrap(),
            extensions: Map::new(),
        }
    }

    pub(crate) fn made(&self) -> usize {
        self.kitchen.made.load(Ordering::SeqCst)
    }
}

/// A seller that is impatient, and looks at its steward each time.
pub(crate) fn seller(steward: &Arc<Steward>, base: &Url) -> Seller {
    Seller::new(Arc::clone(steward) as _, base.clone())
        .patience(Duration::from_millis(300))
        .looks(Duration::ZERO)
}

fn shop(listener: tokio::net::TcpListener, seller: Seller, kitchen: &Arc<Kitchen>) {
    let by_length = |_: &_, body: &[u8]| match body.len() as u64 {
        0 => Err(Refusal::new(StatusCode::BAD_REQUEST, "nothing to price")),
        length => Ok(usdc(length * 10_000)),
    };
    let router = Router::new()
        .route("/echo", post(cook))
        .layer(Paywall::quoted(seller.clone(), by_length))
        .merge(
            Router::new()
                .route("/metered", get(measure))
                .layer(Paywall::fixed(seller.clone(), "0.05 USDC").unwrap().metered()),
        )
        .merge(
            Router::new()
                .route("/wind.csv", get(cook))
                .route("/gold.csv", get(cook))
                .layer(Paywall::fixed(seller, "0.02 USDC").unwrap().describe("a dish")),
        )
        .with_state(Arc::clone(kitchen));
    open(listener, router);
}

pub(crate) async fn send(net: &Client, url: Url, payment: Option<&PaymentPayload>) -> Response {
    let mut request = Request::get(url);
    if let Some(payment) = payment {
        let value = x402::encode(PAYMENT_SIGNATURE, payment).unwrap();
        request.headers.insert(PAYMENT_SIGNATURE, value.parse().unwrap());
    }
    net.send(request).await.unwrap()
}

pub(crate) fn receipt(response: &Response) -> SettlementResponse {
    let text = response.headers[PAYMENT_RESPONSE].to_str().unwrap();
    x402::decode(PAYMENT_RESPONSE, text).unwrap()
}

pub(crate) fn asked(response: &Response) -> PaymentRequired {
    let text = response.headers[PAYMENT_REQUIRED].to_str().unwrap();
    x402::decode(PAYMENT_REQUIRED, text).unwrap()
}

pub(crate) fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[tokio::test]
async fn an_unpaid_request_is_told_the_price_for_machines_and_for_people() {
    let world = World::new().await;
    let response = world.get("/wind.csv?day=1", None).await;
    assert_eq!(response.status, 402);
    let asked = asked(&response);
    assert_eq!(asked.resource.url, world.url("/wind.csv?day=1").as_str());
    let terms = asked.accepts[0].terms().unwrap();
    assert_eq!((terms.amount, terms.pay_to), (usdc(20_000), world.steward.key.address()));
    assert!(text(&response).contains("\"price\":\"0.02 USDC\""), "{}", text(&response));
    assert_eq!(world.made(), 0);
}

#[tokio::test]
async fn a_paid_request_is_settled_and_then_served() {
    let world = World::new().await;
    let response = world.get("/wind.csv", Some(&world.payment("/wind.csv"))).await;
    assert_eq!((response.status, text(&response)), (200, "dish 1".to_owned()));
    let proposals = world.steward.proposed();
    let [proposal] = &proposals[..] else { panic!("{proposals:?}") };
    let Intent::Settle(settle) = &proposal.intent else { panic!("{proposal:?}") };
    assert_eq!(settle.from, world.payer.address());
    assert_eq!((settle.to, settle.amount), (world.steward.key.address(), usdc(20_000)));
    assert_eq!(settle.resource, world.url("/wind.csv").as_str());
    let receipt = receipt(&response);
    let view = world.steward.view.lock().unwrap().clone();
    let id = proposal.id(view.origin, &view.agent);
    assert!(receipt.success);
    assert_eq!(receipt.transaction, transaction(id).to_string());
    assert_eq!(receipt.payer, Some(world.payer.address().to_string()));
    assert_eq!(
        (receipt.network.as_str(), receipt.amount.as_deref()),
        ("eip155:31337", Some("20000"))
    );
}

#[tokio::test]
async fn the_same_payment_for_the_same_resource_brings_the_same_goods() {
    let world = World::new().await;
    let payment = world.payment("/wind.csv");
    let first = world.get("/wind.csv", Some(&payment)).await;
    let again = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(receipt(&again), receipt(&first));
    assert_eq!((world.made(), world.steward.settlements.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn the_same_payment_for_another_resource_is_refused() {
    let world = World::new().await;
    let mut payment = world.payment("/wind.csv");
    world.get("/wind.csv", Some(&payment)).await;
    payment.resource = None;
    for path in ["/gold.csv", "/wind.csv?day=2"] {
        let response = world.get(path, Some(&payment)).await;
        assert_eq!(response.status, 409, "{path}");
        assert!(!receipt(&response).success);
        assert!(asked(&response).error.unwrap().contains("already bought another request"));
    }
    assert_eq!((world.made(), world.steward.settlements.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn after_a_restart_the_steward_remembers_what_was_sold() {
    let world = World::new().await;
    let mut payment = world.payment("/wind.csv");
    let first = world.get("/wind.csv", Some(&payment)).await;
    let url = world.restart().await;
    let net = crate::support::client(url.authority());
    // Long after: what is expired by now was settled in time.
    world.steward.view.lock().unwrap().now = (NOW + 3_000) * 1000;
    let again = send(&net, url.join("/wind.csv").unwrap(), Some(&payment)).await;
    assert_eq!(again.status, 200, "{}", text(&again));
    assert_eq!(receipt(&again), receipt(&first));

    let url = world.restart().await;
    let net = crate::support::client(url.authority());
    payment.resource = None;
    let other = send(&net, url.join("/gold.csv").unwrap(), Some(&payment)).await;
    assert_eq!(other.status, 409, "{}", text(&other));
    assert_eq!(world.made(), 2);
}

#[tokio::test]
async fn a_settled_payment_that_lies_open_on_the_chain_does_not_bring_goods_for_ever() {
    let world = World::new().await;
    let payment = world.payment("/wind.csv");
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 200);
    world.steward.view.lock().unwrap().now = (NOW + 120 + 3_601) * 1000;
    let response = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!(response.status, 402, "{}", text(&response));
    assert!(asked(&response).error.unwrap().contains("it has expired"));
    let url = world.restart().await;
    let net = crate::support::client(url.authority());
    let response = send(&net, url.join("/wind.csv").unwrap(), Some(&payment)).await;
    assert_eq!(response.status, 402, "{}", text(&response));
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn a_payment_that_will_not_do_is_told_why_and_never_settled() {
    let world = World::new().await;
    let pay = |change: fn(&mut Authorization)| world.payment_as("/wind.csv", change, USDC);
    let mut forged = pay(|_| {});
    forged.payload["authorization"]["value"] = "30000".into();
    forged.accepted.amount = "30000".to_owned();
    let mut unsigned = pay(|_| {});
    unsigned.payload["signature"] = "0x".into();
    let mut other_scheme = pay(|_| {});
    other_scheme.accepted.scheme = "barter".to_owned();
    let mut two_amounts = pay(|_| {});
    two_amounts.accepted.amount = "10000".to_owned();
    let other_chain = AssetId { chain: 1, ..USDC };
    for (payment, why) in [
        (pay(|a| a.value = U256::from(19_999)), "19999 base units, but 20000 are asked"),
        (pay(|a| a.to = STRANGER), "it pays 0x"),
        (pay(|a| a.valid_before = NOW), "it has expired"),
        (pay(|a| a.valid_before = NOW + 5), "too soon to be settled"),
        (pay(|a| a.valid_after = NOW + 60), "not valid before"),
        (pay(|a| a.valid_before = NOW + 3_601), "valid for more than 3600 s"),
        (pay(|a| a.valid_before = u64::MAX), "valid for more than 3600 s"),
        (pay(|a| a.from = STRANGER), "it is not signed by"),
        (world.payment("/gold.csv"), "it is for http"),
        (world.payment_as("/wind.csv", |_| {}, EURC), "it pays in eip155:31337/erc20:"),
        (world.payment_as("/wind.csv", |_| {}, other_chain), "it pays in eip155:1/erc20:"),
        (forged, "it is not signed by"),
        (unsigned, "0 bytes instead of 65"),
        (other_scheme, "scheme: \"barter\""),
        (two_amounts, "it accepts 10000 base units and pays 20000"),
    ] {
        let response = world.get("/wind.csv", Some(&payment)).await;
        assert_eq!(response.status, 402, "{why}");
        let error = asked(&response).error.unwrap();
        assert!(error.contains(why), "{error}");
    }
    assert!(world.steward.proposed().is_empty());
    assert_eq!(world.made(), 0);
}

#[tokio::test]
async fn an_unreadable_payment_is_told_what_is_wrong() {
    let world = World::new().await;
    for (name, value, status, why) in [
        (PAYMENT_SIGNATURE, "%%%", 402, "not base64"),
        (PAYMENT_SIGNATURE, "e30=", 402, "missing field"),
        (PAYMENT_SIGNATURE, "eyJ4NDAyVmVyc2lvbiI6MX0=", 402, "x402 version 1"),
        ("X-PAYMENT", "e30=", 400, "x402 version 1 is not spoken here"),
    ] {
        let mut request = Request::get(world.url("/wind.csv"));
        request.headers.insert(name, value.parse().unwrap());
        let response = world.net.send(request).await.unwrap();
        assert_eq!(response.status, status, "{value}");
        let error = asked(&response).error.unwrap();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_settlement_that_fails_is_told_and_the_goods_stay() {
    let world = World::new().await;
    let payment = world.payment("/wind.csv");
    world.steward.decide(Verdict::Refuse);
    let response = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!(response.status, 402);
    let failed = receipt(&response);
    assert!(!failed.success && failed.transaction.is_empty());
    assert!(!failed.error_reason.unwrap().contains("limits"), "the policy is nobody's business");

    world.steward.decide(Verdict::Allow);
    for state in [PaymentState::Released, PaymentState::Expired] {
        *world.steward.state.lock().unwrap() = state;
        let response = world.get("/wind.csv", Some(&payment)).await;
        assert_eq!((response.status, receipt(&response).success), (402, false));
    }
    assert_eq!(world.made(), 0);
}

#[tokio::test]
async fn a_settlement_under_way_is_waited_for_by_asking_again() {
    let world = World::new().await;
    let payment = world.payment("/wind.csv");
    for (verdict, state) in [
        (Verdict::Allow, PaymentState::Sent),
        (Verdict::Hold, PaymentState::Sent),
        (Verdict::Fault("frozen"), PaymentState::Sent),
    ] {
        world.steward.decide(verdict);
        *world.steward.state.lock().unwrap() = state;
        let response = world.get("/wind.csv", Some(&payment)).await;
        assert_eq!((response.status, world.made()), (503, 0));
        assert_eq!(response.headers["retry-after"], "1");
    }
    world.steward.decide(Verdict::Allow);
    *world.steward.state.lock().unwrap() = PaymentState::Seen;
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 200);
}

#[tokio::test]
async fn goods_that_could_not_be_made_are_made_for_the_same_payment_later() {
    let world = World::new().await;
    let payment = world.payment("/wind.csv");
    world.kitchen.broken.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/wind.csv", Some(&payment)).await.status, 500);
    world.kitchen.broken.store(false, Ordering::SeqCst);
    let response = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!((response.status, text(&response)), (200, "dish 2".to_owned()));
}

#[tokio::test]
async fn payments_that_bring_nothing_take_no_place_from_those_that_bought() {
    let world = World::new().await;
    let paid = world.payment("/wind.csv");
    assert_eq!(text(&world.get("/wind.csv", Some(&paid)).await), "dish 1");
    // More of them than the shelf has places, all signed by somebody who has nothing.
    world.steward.decide(Verdict::Fault("rate"));
    for _ in 0..520 {
        let empty = world.payment("/wind.csv");
        assert_eq!(world.get("/wind.csv", Some(&empty)).await.status, 503);
    }
    world.steward.decide(Verdict::Allow);
    assert_eq!(text(&world.get("/wind.csv", Some(&paid)).await), "dish 1", "it was forgotten");
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn two_at_once_with_the_same_payment_share_one_delivery() {
    let world = World::new().await;
    world.kitchen.slow.store(true, Ordering::SeqCst);
    let payment = world.payment("/wind.csv");
    let (one, other) = tokio::join!(
        world.get("/wind.csv", Some(&payment)),
        world.get("/wind.csv", Some(&payment))
    );
    assert_eq!((one.status, &one.body), (200, &other.body));
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn a_buyer_that_hangs_up_finds_its_goods_later() {
    let world = World::new().await;
    world.kitchen.slow.store(true, Ordering::SeqCst);
    let payment = world.payment("/wind.csv");
    let hasty = world.get("/wind.csv", Some(&payment));
    assert!(tokio::time::timeout(Duration::from_millis(60), hasty).await.is_err());
    let later = world.get("/wind.csv", Some(&payment)).await;
    assert_eq!((later.status, text(&later)), (200, "dish 1".to_owned()));
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn a_quoted_price_follows_the_request_and_binds_its_body() {
    let world = World::new().await;
    let post = |body: &'static str, payment: Option<&PaymentPayload>| {
        let mut request = Request::get(world.url("/echo"));
        request.method = Method::POST;
        request.body = body.into();
        if let Some(payment) = payment {
            let value = x402::encode(PAYMENT_SIGNATURE, payment).unwrap();
            request.headers.insert(PAYMENT_SIGNATURE, value.parse().unwrap());
        }
        world.net.send(request)
    };
    assert_eq!(post("", None).await.unwrap().status, 400);
    let quote = asked(&post("abc", None).await.unwrap());
    assert_eq!(quote.accepts[0].amount, "30000");
    assert_eq!(asked(&post("ab", None).await.unwrap()).accepts[0].amount, "20000");

    let payment = world.payment("/echo");
    assert_eq!(post("abc", Some(&payment)).await.unwrap().status, 402, "two letters are paid");
    assert_eq!(post("ab", Some(&payment)).await.unwrap().status, 200);
    assert_eq!(post("xy", Some(&payment)).await.unwrap().status, 409, "others than those");
    let settled = world.steward.proposed().remove(0).intent;
    let Intent::Settle(settle) = settled else { panic!() };
    assert!(settle.resource.contains("/echo#request="), "{}", settle.resource);
}

#[tokio::test]
async fn a_seller_without_a_way_to_be_paid_sells_nothing() {
    let world = World::new().await;
    world.steward.view.lock().unwrap().income.clear();
    assert_eq!(world.get("/wind.csv", None).await.status, 503);
    world.steward.view.lock().unwrap().assets.clear();
    assert_eq!(world.get("/wind.csv", None).await.status, 503);
}

#[test]
fn a_price_is_an_amount_and_a_name() {
    let steward = Arc::new(Steward::new("feed", 2, Address::ZERO, ""));
    let seller = Seller::new(steward, Url::parse("http://127.0.0.1:1").unwrap());
    for price in ["0.02 USDC", "1 ETH"] {
        assert!(Paywall::fixed(seller.clone(), price).is_ok(), "{price}");
    }
    for price in [
        "",
        "USDC",
        "0.02",
        "0.02 ",
        " USDC",
        "2e4 USDC",
        "-1 USDC",
        "0 USDC",
        "0.00 USDC",
        "1 US DC",
        ".5 USDC",
    ] {
        assert!(Paywall::fixed(seller.clone(), price).is_err(), "{price}");
    }
}
