//! A corpus of lies: what a 402 answer or a payment response could say that is not true, not ours to
//! accept, or not readable. Each is told by a real server, one at a time, and is turned down by the
//! rule that is written beside it; no lie about terms is proposed to the steward.

use crate::buyer::{SELLER, World};
use crate::support::{EURC, STRANGER, USDC};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use marque_payments::{
    PaymentError, Rule,
    x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE},
};
use marque_steward_client::{Evidence, Said};
use serde_json::{Value, json};
use std::borrow::Cow;

/// How a lie is answered.
#[derive(Clone, Copy, Debug)]
enum Down {
    /// Turned down by this rule.
    By(Rule),
    /// Not read at all, in words that hold this.
    Unread(&'static str),
}

use Down::{By, Unread};
use Rule::{
    Amount, Asset, Domain, Extension, Facilitator, Network, Offer, Payee, Receipt, Resource,
    Scheme, Settlement, Timeout,
};

/// A lie: its name, where it stands in the honest answer, what stands there instead (`null` with
/// [`gone`] for nothing), and how it is answered.
struct Lie {
    name: Cow<'static, str>,
    told: Value,
    down: Down,
}

fn changed(honest: &Value, at: &str, say: Value) -> Value {
    let mut told = honest.clone();
    let (parent, key) = at.rsplit_once('/').unwrap();
    match told.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = say,
        Value::Object(fields) => drop(fields.insert(key.to_owned(), say)),
        other => panic!("{at} leads into {other}"),
    }
    told
}

fn without(honest: &Value, at: &str) -> Value {
    let mut told = honest.clone();
    let (parent, key) = at.rsplit_once('/').unwrap();
    told.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    told
}

/// Lies at one place of the honest answer.
fn at(honest: &Value, place: &str, lies: Vec<(&'static str, Value, Down)>) -> Vec<Lie> {
    lies.into_iter()
        .map(|(name, say, down)| Lie {
            name: format!("{place}: {name}").into(),
            told: changed(honest, place, say),
            down,
        })
        .collect()
}

fn gone(honest: &Value, places: &[(&str, Down)]) -> Vec<Lie> {
    let lie = |(place, down): &(&str, Down)| Lie {
        name: format!("{place}: missing").into(),
        told: without(honest, place),
        down: *down,
    };
    places.iter().map(lie).collect()
}

const TYPE: Down = Unread("invalid type");

fn lies_about_the_payee(honest: &Value, world: &World) -> Vec<Lie> {
    let us = world.steward.key.address();
    let sum = Address::repeat_byte(0xab).to_checksum(None);
    let mistyped: String =
        sum.char_indices().map(|(i, c)| if i == 2 { flip(c) } else { c }).collect();
    at(
        honest,
        "/accepts/0/payTo",
        vec![
            ("a stranger", json!(STRANGER), By(Payee)),
            ("nobody", json!(Address::ZERO), By(Payee)),
            ("ourselves", json!(us), By(Payee)),
            ("the token", json!(USDC.token), By(Payee)),
            ("a payee that another host may ask for", json!(Address::repeat_byte(0x77)), By(Payee)),
            ("a payee that no host may ask for", json!(Address::repeat_byte(0x78)), By(Payee)),
            ("19 bytes", json!(format!("0x{}", "5e".repeat(19))), By(Payee)),
            ("21 bytes", json!(format!("0x{}", "5e".repeat(21))), By(Payee)),
            ("no prefix", json!("5e".repeat(20)), By(Payee)),
            ("another prefix", json!(format!("0X{}", "5e".repeat(20))), By(Payee)),
            ("two prefixes", json!(format!("0x0x{}", "5e".repeat(20))), By(Payee)),
            ("a wrong checksum", json!(mistyped), By(Payee)),
            ("a name", json!("merchant"), By(Payee)),
            ("an ENS name", json!("feed.eth"), By(Payee)),
            ("empty", json!(""), By(Payee)),
            ("a blank behind", json!(format!("{SELLER} ")), By(Payee)),
            ("a line break before", json!(format!("\n{SELLER}")), By(Payee)),
            ("a letter that looks like one", json!(format!("0x{}", "5е".repeat(20))), By(Payee)),
            ("CAIP-10", json!(format!("eip155:31337:{SELLER}")), By(Payee)),
            ("a number", json!(5), TYPE),
            ("null", Value::Null, TYPE),
            ("a list", json!([SELLER]), TYPE),
            ("an object", json!({ "address": SELLER }), TYPE),
        ],
    )
}

fn flip(c: char) -> char {
    if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }
}

fn lies_about_the_amount(honest: &Value) -> Vec<Lie> {
    at(
        honest,
        "/accepts/0/amount",
        vec![
            ("one unit above the maximum", json!("50001"), By(Amount)),
            ("all there is", json!(U256::MAX.to_string()), By(Amount)),
            ("past 256 bits", json!(format!("{}0", U256::MAX)), By(Amount)),
            ("90 digits", json!("9".repeat(90)), By(Amount)),
            ("nothing", json!("0"), By(Amount)),
            ("nothing, twice", json!("00"), By(Amount)),
            ("negative", json!("-20000"), By(Amount)),
            ("a plus", json!("+20000"), By(Amount)),
            ("an exponent", json!("2e4"), By(Amount)),
            ("hexadecimal", json!("0x4e20"), By(Amount)),
            ("a fraction", json!("20000.0"), By(Amount)),
            ("dollars", json!("$0.02"), By(Amount)),
            ("with its asset", json!("0.02 USDC"), By(Amount)),
            ("a leading zero", json!("020000"), By(Amount)),
            ("a blank before", json!(" 20000"), By(Amount)),
            ("a blank behind", json!("20000 "), By(Amount)),
            ("underscores", json!("20_000"), By(Amount)),
            ("commas", json!("20,000"), By(Amount)),
            ("Arabic digits", json!("٢٠٠٠٠"), By(Amount)),
            ("full-width digits", json!("２００００"), By(Amount)),
            ("a NUL behind", json!("20000\u{0}"), By(Amount)),
            ("not a number", json!("NaN"), By(Amount)),
            ("endless", json!("Infinity"), By(Amount)),
            ("empty", json!(""), By(Amount)),
            ("a number", json!(20_000), TYPE),
            ("a float", json!(2.5), TYPE),
            ("true", json!(true), TYPE),
            ("null", Value::Null, TYPE),
            ("a list", json!(["20000"]), TYPE),
        ],
    )
}

fn lies_about_the_asset(honest: &Value) -> Vec<Lie> {
    at(
        honest,
        "/accepts/0/asset",
        vec![
            ("a stranger's token", json!(STRANGER), By(Asset)),
            ("another asset than the maximum's", json!(EURC.token), By(Amount)),
            ("the native coin", json!(Address::ZERO), By(Asset)),
            ("how some write the native coin", json!(Address::repeat_byte(0xee)), By(Asset)),
            ("a symbol", json!("USDC"), By(Asset)),
            ("a word", json!("native"), By(Asset)),
            ("CAIP-19", json!(format!("eip155:31337/erc20:{}", USDC.token)), By(Asset)),
            ("no prefix", json!("5fbdb2315678afecb367f032d93f642f64180aa3"), By(Asset)),
            (
                "a wrong checksum",
                json!("0x5FbDB2315678afecb367f032d93F642f64180aA3".replace("5Fb", "5fB")),
                By(Asset),
            ),
            ("no hexadecimal", json!(format!("0x{}", "g".repeat(40))), By(Asset)),
            ("the payee", json!(SELLER), By(Asset)),
            ("empty", json!(""), By(Asset)),
            ("a number", json!(1), TYPE),
            ("null", Value::Null, TYPE),
        ],
    )
}

fn lies_about_the_network(honest: &Value) -> Vec<Lie> {
    at(
        honest,
        "/accepts/0/network",
        vec![
            ("another chain", json!("eip155:1"), By(Network)),
            ("a public test chain", json!("eip155:84532"), By(Network)),
            ("a leading zero", json!("eip155:031337"), By(Network)),
            ("hexadecimal", json!("eip155:0x7a69"), By(Network)),
            ("no chain", json!("eip155:"), By(Network)),
            ("every chain", json!("eip155:*"), By(Network)),
            ("a blank behind", json!("eip155:31337 "), By(Network)),
            ("capitals", json!("EIP155:31337"), By(Network)),
            ("a third part", json!("eip155:31337:1"), By(Network)),
            ("a number alone", json!("31337"), By(Network)),
            ("as version 1 named it", json!("base-sepolia"), By(Network)),
            ("another world", json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), By(Network)),
            ("past 64 bits", json!("eip155:18446744073709583052"), By(Network)),
            ("negative", json!("eip155:-31337"), By(Network)),
            ("zero", json!("eip155:0"), By(Network)),
            ("empty", json!(""), By(Network)),
            ("a number", json!(31_337), TYPE),
            ("null", Value::Null, TYPE),
        ],
    )
}

fn lies_about_the_scheme(honest: &Value) -> Vec<Lie> {
    let mut lies = at(
        honest,
        "/accepts/0/scheme",
        vec![
            ("barter", json!("barter"), By(Scheme)),
            ("capitals", json!("EXACT"), By(Scheme)),
            ("a blank behind", json!("exact "), By(Scheme)),
            ("a channel", json!("batch-settlement"), By(Scheme)),
            ("an escrow", json!("auth-capture"), By(Scheme)),
            ("an older name", json!("deferred"), By(Scheme)),
            ("empty", json!(""), By(Scheme)),
            ("upto without who settles", json!("upto"), By(Facilitator)),
            ("a number", json!(1), TYPE),
            ("null", Value::Null, TYPE),
        ],
    );
    lies.extend(at(
        honest,
        "/accepts/0/extra/assetTransferMethod",
        vec![
            ("a delegation", json!("erc7710"), By(Scheme)),
            ("capitals", json!("EIP3009"), By(Scheme)),
            ("a blank behind", json!("eip3009 "), By(Scheme)),
            ("a plain transfer", json!("transfer"), By(Scheme)),
            ("empty", json!(""), By(Scheme)),
            ("a number", json!(3_009), By(Scheme)),
            ("null", Value::Null, By(Scheme)),
            ("a list", json!(["eip3009"]), By(Scheme)),
        ],
    ));
    let mut upto = changed(honest, "/accepts/0/scheme", json!("upto"));
    upto = changed(&upto, "/accepts/0/extra/assetTransferMethod", json!("permit2"));
    lies.extend(at(
        &upto,
        "/accepts/0/extra/facilitatorAddress",
        vec![
            ("anybody", json!(Address::ZERO), By(Facilitator)),
            ("too short", json!("0x12"), By(Facilitator)),
            ("no prefix", json!("5e".repeat(20)), By(Facilitator)),
            ("a URL", json!("https://facilitator.example"), By(Facilitator)),
            ("a number", json!(1), By(Facilitator)),
            ("null", Value::Null, By(Facilitator)),
            ("a list", json!([SELLER]), By(Facilitator)),
        ],
    ));
    let facilitated =
        changed(&upto, "/accepts/0/extra/facilitatorAddress", json!(Address::repeat_byte(0xfa)));
    lies.extend(at(
        &facilitated,
        "/accepts/0/extra/assetTransferMethod",
        vec![
            ("upto by EIP-3009, which takes all or nothing", json!("eip3009"), By(Scheme)),
            ("upto by a delegation", json!("erc7710"), By(Scheme)),
        ],
    ));
    for (name, place, say, rule) in [
        ("upto above the maximum", "/accepts/0/amount", json!("50001"), Amount),
        ("upto to a stranger", "/accepts/0/payTo", json!(STRANGER), Payee),
        ("upto under another domain", "/accepts/0/extra/name", json!("USDC"), Domain),
        ("upto in a stranger's token", "/accepts/0/asset", json!(STRANGER), Asset),
    ] {
        lies.push(Lie {
            name: name.into(),
            told: changed(&facilitated, place, say),
            down: By(rule),
        });
    }
    lies
}

fn lies_about_the_domain(honest: &Value) -> Vec<Lie> {
    let mut lies = at(
        honest,
        "/accepts/0/extra/name",
        vec![
            ("a symbol", json!("USDC"), By(Domain)),
            ("small letters", json!("usd coin"), By(Domain)),
            ("a blank behind", json!("USD Coin "), By(Domain)),
            ("another blank", json!("USD\u{a0}Coin"), By(Domain)),
            ("a letter that looks like one", json!("USD \u{421}oin"), By(Domain)),
            ("empty", json!(""), By(Domain)),
            ("a number", json!(1), By(Domain)),
            ("null", Value::Null, By(Domain)),
        ],
    );
    lies.extend(at(
        honest,
        "/accepts/0/extra/version",
        vec![
            ("another", json!("1"), By(Domain)),
            ("a fraction", json!("2.0"), By(Domain)),
            ("a blank behind", json!("2 "), By(Domain)),
            ("empty", json!(""), By(Domain)),
            ("a number", json!(2), By(Domain)),
            ("null", Value::Null, By(Domain)),
        ],
    ));
    lies.extend(at(
        honest,
        "/accepts/0/extra",
        vec![
            ("null", Value::Null, By(Domain)),
            ("a text", json!("USD Coin 2"), By(Domain)),
            ("a list", json!(["USD Coin", "2"]), By(Domain)),
            ("an empty object", json!({}), By(Domain)),
        ],
    ));
    lies
}

fn lies_about_the_timeout(honest: &Value) -> Vec<Lie> {
    at(
        honest,
        "/accepts/0/maxTimeoutSeconds",
        vec![
            ("none at all", json!(0), By(Timeout)),
            ("more than a day", json!(86_401), By(Timeout)),
            ("for ever", json!(u64::MAX), By(Timeout)),
            ("negative", json!(-60), Unread("invalid value")),
            ("a fraction", json!(60.5), TYPE),
            ("a text", json!("60"), TYPE),
            ("null", Value::Null, TYPE),
        ],
    )
}

fn lies_about_the_resource(honest: &Value, world: &World) -> Vec<Lie> {
    let url = &world.url;
    let port = url.port().unwrap();
    let like = |from: &str, to: &str| json!(url.as_str().replace(from, to));
    let mut lies = at(
        honest,
        "/resource/url",
        vec![
            ("another host", like("127.0.0.1", "127.0.0.2"), By(Resource)),
            (
                "another port",
                json!(format!("http://127.0.0.1:{}/wind.csv", port ^ 1)),
                By(Resource),
            ),
            ("a public host", json!("https://feed.example/wind.csv"), By(Resource)),
            ("TLS", like("http:", "https:"), By(Resource)),
            ("another resource", like("wind", "gold"), By(Resource)),
            ("a query", like(".csv", ".csv?all"), By(Resource)),
            ("a folder", like(".csv", ".csv/"), By(Resource)),
            ("capitals", like("wind", "WIND"), By(Resource)),
            ("an escape", like("wind", "%77ind"), By(Resource)),
            ("two slashes", like("/wind", "//wind"), By(Resource)),
            ("a user name", like("//127", "//feed@127"), By(Resource)),
            ("a password", like("//127", "//a:b@127"), By(Resource)),
            (
                "our host as a user name",
                like("//127.0.0.1", "//127.0.0.1@feed.example"),
                By(Resource),
            ),
            ("no host", json!("/wind.csv"), By(Resource)),
            ("no scheme", json!(format!("127.0.0.1:{port}/wind.csv")), By(Resource)),
            ("a tool", json!("mcp://tool/wind.csv"), By(Resource)),
            ("a file", json!("file:///wind.csv"), By(Resource)),
            ("data", json!("data:text/csv,wind"), By(Resource)),
            ("empty", json!(""), By(Resource)),
            ("a number", json!(1), TYPE),
            ("null", Value::Null, TYPE),
        ],
    );
    lies.extend(at(
        honest,
        "/resource",
        vec![
            ("a text", json!(url), TYPE),
            ("null", Value::Null, TYPE),
            ("an empty object", json!({}), Unread("missing field `url`")),
        ],
    ));
    lies
}

fn lies_in_the_shape(honest: &Value) -> Vec<Lie> {
    let version = Unread("only version 2 is spoken here");
    let mut lies = at(
        honest,
        "/x402Version",
        vec![
            ("1", json!(1), version),
            ("3", json!(3), version),
            ("a text", json!("2"), version),
            ("a fraction", json!(2.0), version),
            ("null", Value::Null, version),
        ],
    );
    lies.extend(at(
        honest,
        "/accepts",
        vec![
            ("nothing", json!([]), By(Scheme)),
            ("null", Value::Null, TYPE),
            ("an object", honest["accepts"][0].clone(), TYPE),
            ("a text", json!("exact"), TYPE),
            ("a list of null", json!([null]), TYPE),
            ("a list of numbers", json!([1]), TYPE),
        ],
    ));
    lies.extend(at(honest, "/extensions", vec![
        ("a list", json!([]), Unread("invalid type")),
        ("a text", json!("payment-identifier"), TYPE),
        ("an identifier that is a text", json!({ "payment-identifier": "x" }), By(Extension)),
        ("an identifier without info", json!({ "payment-identifier": {} }), By(Extension)),
        (
            "an identifier whose info is a list",
            json!({ "payment-identifier": { "info": [] } }),
            By(Extension),
        ),
        (
            "an identifier that the seller chose",
            json!({ "payment-identifier": { "info": { "required": true, "id": "pay_of_somebody_else" } } }),
            By(Extension),
        ),
        (
            "an identifier that is perhaps required",
            json!({ "payment-identifier": { "info": { "required": "yes" } } }),
            By(Extension),
        ),
    ]));
    lies.extend(gone(
        honest,
        &[
            ("/x402Version", Unread("missing field `x402Version`")),
            ("/accepts", Unread("missing field `accepts`")),
            ("/resource", Unread("missing field `resource`")),
            ("/resource/url", Unread("missing field `url`")),
            ("/accepts/0/scheme", Unread("missing field `scheme`")),
            ("/accepts/0/network", Unread("missing field `network`")),
            ("/accepts/0/amount", Unread("missing field `amount`")),
            ("/accepts/0/asset", Unread("missing field `asset`")),
            ("/accepts/0/payTo", Unread("missing field `payTo`")),
            ("/accepts/0/maxTimeoutSeconds", Unread("missing field `maxTimeoutSeconds`")),
            ("/accepts/0/extra", By(Domain)),
            ("/accepts/0/extra/name", By(Domain)),
            ("/accepts/0/extra/version", By(Domain)),
        ],
    ));
    for (name, told) in [
        ("a list", json!([honest])),
        ("a text", json!("pay me")),
        ("a number", json!(402)),
        ("null", Value::Null),
    ] {
        lies.push(Lie { name: name.into(), told, down: Unread("PAYMENT-REQUIRED: ") });
    }
    let stranger = changed(honest, "/accepts/0/payTo", json!(STRANGER))["accepts"][0].clone();
    let mut many = vec![stranger; 32];
    many.push(honest["accepts"][0].clone());
    let told = changed(honest, "/accepts", many.into());
    lies.push(Lie { name: "an honest entry behind 32 lies".into(), told, down: By(Payee) });
    lies
}

/// The types as the specification writes them.
mod typed {
    alloy_sol_types::sol! {
        struct Offer {
            uint256 version; string resourceUrl; string scheme; string network; string asset;
            string payTo; string amount; uint256 validUntil;
        }
        struct Receipt {
            uint256 version; string network; string resourceUrl; string payer; uint256 issuedAt;
            string transaction;
        }
    }
}

fn domain(name: &'static str) -> Eip712Domain {
    Eip712Domain::new(Some(name.into()), Some("1".into()), Some(U256::from(1)), None, None)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An offer for the honest entry as the specification has it signed, by a key that stands for the
/// seller's.
fn signed_offer(world: &World, payload: &Value) -> Value {
    let message = typed::Offer {
        version: U256::from(payload["version"].as_u64().unwrap_or_default()),
        resourceUrl: text(&payload["resourceUrl"]),
        scheme: text(&payload["scheme"]),
        network: text(&payload["network"]),
        asset: text(&payload["asset"]),
        payTo: text(&payload["payTo"]),
        amount: text(&payload["amount"]),
        validUntil: U256::from(payload["validUntil"].as_u64().unwrap_or_default()),
    };
    let signature = world.steward.key.sign(message.eip712_signing_hash(&domain("x402 offer")));
    json!({
        "format": "eip712", "acceptIndex": 0, "payload": payload,
        "signature": alloy_primitives::hex::encode_prefixed(signature),
    })
}

fn offering(honest: &Value, offer: &Value) -> Value {
    let info = json!({ "offer-receipt": { "info": { "offers": [offer] }, "schema": {} } });
    changed(honest, "/extensions", info)
}

fn offer_payload(honest: &Value) -> Value {
    let entry = &honest["accepts"][0];
    json!({
        "version": 1, "resourceUrl": honest["resource"]["url"], "scheme": "exact",
        "network": entry["network"], "asset": entry["asset"], "payTo": entry["payTo"],
        "amount": entry["amount"], "validUntil": 0,
    })
}

fn jws(payload: &Value) -> Value {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "alg": "ES256K", "kid": "did:web:feed.example#1" }));
    let signature = format!("{head}.{}.c2ln", part(payload));
    json!({ "format": "jws", "acceptIndex": 0, "signature": signature })
}

fn lies_in_signed_offers(honest: &Value, world: &World) -> Vec<Lie> {
    let payload = offer_payload(honest);
    let mut lies = Vec::new();
    for (field, say) in [
        ("version", json!(2)),
        ("resourceUrl", json!("https://feed.example/gold")),
        ("scheme", json!("upto")),
        ("network", json!("eip155:1")),
        ("asset", json!(EURC.token)),
        ("payTo", json!(STRANGER)),
        ("amount", json!("1")),
        ("validUntil", json!(crate::support::NOW - 1)),
    ] {
        let told = changed(&payload, &format!("/{field}"), say);
        let told = offering(honest, &signed_offer(world, &told));
        lies.push(Lie {
            name: format!("an offer with another {field}").into(),
            told,
            down: By(Offer),
        });
    }
    let good = signed_offer(world, &payload);
    let shapes = [
        ("an offer with a short signature", changed(&good, "/signature", json!("0x12"))),
        ("an offer that is not signed", changed(&good, "/signature", json!(""))),
        (
            "an offer with a signature of zeros",
            changed(&good, "/signature", json!(format!("0x{}", "00".repeat(65)))),
        ),
        ("an offer in an unknown format", changed(&good, "/format", json!("pgp"))),
        ("an offer without a payload", without(&good, "/payload")),
        (
            "an offer that lacks its amount",
            changed(&good, "/payload", without(&payload, "/amount")),
        ),
        ("a JWS for another amount", jws(&changed(&payload, "/amount", json!("1")))),
        ("a JWS for another payee", jws(&changed(&payload, "/payTo", json!(STRANGER)))),
        ("a JWS of two parts", json!({ "format": "jws", "acceptIndex": 0, "signature": "a.b" })),
        ("a JWS of garbage", json!({ "format": "jws", "acceptIndex": 0, "signature": "a.%.c" })),
    ];
    for (name, offer) in shapes {
        lies.push(Lie { name: name.into(), told: offering(honest, &offer), down: By(Offer) });
    }
    lies
}

/// Every lie about terms.
fn lies_about_terms(world: &World) -> Vec<Lie> {
    let honest = world.honest();
    let mut lies = lies_about_the_payee(&honest, world);
    lies.extend(lies_about_the_amount(&honest));
    lies.extend(lies_about_the_asset(&honest));
    lies.extend(lies_about_the_network(&honest));
    lies.extend(lies_about_the_scheme(&honest));
    lies.extend(lies_about_the_domain(&honest));
    lies.extend(lies_about_the_timeout(&honest));
    lies.extend(lies_about_the_resource(&honest, world));
    lies.extend(lies_in_the_shape(&honest));
    lies.extend(lies_in_signed_offers(&honest, world));
    lies
}

fn also_known(world: &World) {
    let payee = |name: &str, byte, host: Option<&str>| marque_steward_client::PayeeView {
        name: name.to_owned(),
        address: Some(Address::repeat_byte(byte)),
        host: host.map(str::to_owned),
    };
    let mut view = world.steward.view.lock().unwrap();
    view.payees.push(payee("other", 0x77, Some("other.example")));
    view.payees.push(payee("nobody", 0x78, None));
}

#[tokio::test]
async fn every_lie_about_terms_is_turned_down_by_its_rule_and_nothing_is_proposed() {
    let world = World::new().await;
    also_known(&world);
    let lies = lies_about_terms(&world);
    for Lie { name, told, down } in &lies {
        world.ask(told);
        let error = world.buy().await.expect_err(name);
        match (&error, down) {
            (PaymentError::Terms(objections), By(rule)) => {
                assert!(!objections.is_empty(), "{name}");
                for objection in objections {
                    assert_eq!(objection.rule, *rule, "{name}: {objection}");
                }
            }
            (PaymentError::Header { .. } | PaymentError::Unsupported(_), Unread(words)) => {
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
            _ => panic!("{name}: {error}, not {down:?}"),
        }
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 8_000, "{name}: {line}");
        assert!(world.steward.proposed().is_empty(), "{name} was proposed");
    }
    assert!(world.payments().is_empty());
    assert!(lies.len() >= 200, "only {} lies", lies.len());
    println!("{} lies about terms, 0 proposed", lies.len());
    world.ask(&world.honest());
    assert!(world.buy().await.is_ok(), "the truth is bought");
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_turned_down_and_nothing_is_proposed() {
    let world = World::new().await;
    let honest = world.honest().to_string();
    let nested = "[".repeat(2_000);
    let tail = format!("{honest} {{}}");
    let marked = format!("\u{feff}{honest}");
    let headers: Vec<(&str, Vec<String>, &str)> = vec![
        ("no base64", vec!["%%%".into()], "not base64"),
        ("plain JSON", vec![honest.clone()], "not base64"),
        ("the URL alphabet", vec![URL_SAFE.encode("\u{3ff}\u{3ff}?>")], "not base64"),
        ("a blank before", vec![format!("x {}", STANDARD.encode(&honest))], "not base64"),
        ("cut off", vec![STANDARD.encode(&honest.as_bytes()[..honest.len() / 3 * 2])], "not JSON"),
        ("encoded twice", vec![STANDARD.encode(STANDARD.encode(&honest))], "not JSON"),
        ("something behind it", vec![STANDARD.encode(tail)], "not JSON"),
        ("a byte-order mark", vec![STANDARD.encode(marked)], "not JSON"),
        ("too deep", vec![STANDARD.encode(nested)], "not JSON"),
        ("not UTF-8", vec![STANDARD.encode([b'"', 0xff, b'"'])], "not JSON"),
        ("empty", vec![String::new()], "not JSON"),
        ("too long", vec!["A".repeat(32_772)], "at most 32768 are read"),
        (
            "two answers",
            vec![STANDARD.encode(&honest), STANDARD.encode(&honest)],
            "it is there twice",
        ),
    ];
    for (name, values, words) in headers {
        *world.shop.ask.lock().unwrap() =
            values.into_iter().map(|value| (PAYMENT_REQUIRED, value)).collect();
        let error = world.buy().await.expect_err(name).to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
    assert!(world.steward.proposed().is_empty());
}

/// Every lie in a payment response, told with goods that did come.
fn lies_about_settlements(world: &World) -> Vec<Lie> {
    let honest = json!({
        "success": true, "transaction": B256::repeat_byte(7), "network": "eip155:31337",
        "amount": "20000", "payer": world.steward.key.address(),
    });
    let no = By(Settlement);
    let mut lies = at(
        &honest,
        "/network",
        vec![
            ("another chain", json!("eip155:1"), no),
            ("a leading zero", json!("eip155:031337"), no),
            ("a number", json!("31337"), no),
            ("another world", json!("solana:5eykt"), no),
            ("empty", json!(""), no),
            ("not a text", json!(31_337), no),
            ("null", Value::Null, no),
        ],
    );
    lies.extend(at(
        &honest,
        "/amount",
        vec![
            ("one more", json!("20001"), no),
            ("one less", json!("19999"), no),
            ("nothing", json!("0"), no),
            ("everything", json!(U256::MAX.to_string()), no),
            ("a fraction", json!("20000.0"), no),
            ("a leading zero", json!("020000"), no),
            ("hexadecimal", json!("0x4e20"), no),
            ("negative", json!("-20000"), no),
            ("empty", json!(""), no),
            ("a number", json!(20_000), no),
        ],
    ));
    lies.extend(at(
        &honest,
        "/payer",
        vec![
            ("a stranger", json!(STRANGER), no),
            ("the seller", json!(SELLER), no),
            ("nobody", json!(Address::ZERO), no),
            ("a name", json!("scout"), no),
            ("empty", json!(""), no),
            ("a number", json!(1), no),
        ],
    ));
    lies.extend(at(
        &honest,
        "/transaction",
        vec![
            ("too short", json!("0x12"), no),
            ("too long", json!(format!("0x{}", "07".repeat(33))), no),
            ("no prefix", json!("07".repeat(32)), no),
            ("none", json!(B256::ZERO), no),
            ("empty", json!(""), no),
            ("a word", json!("pending"), no),
            ("a link", json!(format!("https://scan.example/tx/{}", B256::repeat_byte(7))), no),
            ("a number", json!(7), no),
            ("null", Value::Null, no),
        ],
    ));
    lies.extend(at(
        &honest,
        "/success",
        vec![
            ("false", json!(false), no),
            ("a text", json!("true"), no),
            ("a number", json!(1), no),
            ("null", Value::Null, no),
        ],
    ));
    lies.extend(gone(&honest, &[("/success", no), ("/transaction", no), ("/network", no)]));
    for (name, told) in [
        ("a list", json!([honest])),
        ("a text", json!("paid")),
        ("null", Value::Null),
        ("version 1", changed(&honest, "/x402Version", json!(1))),
    ] {
        lies.push(Lie { name: name.into(), told, down: no });
    }
    lies.extend(lies_in_signed_receipts(&honest, world));
    lies
}

fn signed_receipt(world: &World, payload: &Value) -> Value {
    let message = typed::Receipt {
        version: U256::from(payload["version"].as_u64().unwrap_or_default()),
        network: text(&payload["network"]),
        resourceUrl: text(&payload["resourceUrl"]),
        payer: text(&payload["payer"]),
        issuedAt: U256::from(payload["issuedAt"].as_u64().unwrap_or_default()),
        transaction: text(&payload["transaction"]),
    };
    let signature = world.steward.key.sign(message.eip712_signing_hash(&domain("x402 receipt")));
    json!({
        "format": "eip712", "payload": payload,
        "signature": alloy_primitives::hex::encode_prefixed(signature),
    })
}

fn receipt_payload(world: &World) -> Value {
    json!({
        "version": 1, "network": "eip155:31337", "resourceUrl": world.url,
        "payer": world.steward.key.address(), "issuedAt": crate::support::NOW, "transaction": "",
    })
}

fn with_receipt(honest: &Value, receipt: &Value) -> Value {
    let info = json!({ "offer-receipt": { "info": { "receipt": receipt } } });
    changed(honest, "/extensions", info)
}

fn lies_in_signed_receipts(honest: &Value, world: &World) -> Vec<Lie> {
    let payload = receipt_payload(world);
    let mut lies = Vec::new();
    for (field, say) in [
        ("version", json!(2)),
        ("network", json!("eip155:1")),
        ("resourceUrl", json!("https://feed.example/gold")),
        ("payer", json!(STRANGER)),
        ("transaction", json!(B256::repeat_byte(8))),
    ] {
        let told = signed_receipt(world, &changed(&payload, &format!("/{field}"), say));
        let name = format!("a receipt with another {field}").into();
        lies.push(Lie { name, told: with_receipt(honest, &told), down: By(Receipt) });
    }
    let good = signed_receipt(world, &payload);
    for (name, told) in [
        ("a receipt that is a text", json!("thanks")),
        ("a receipt without a payload", without(&good, "/payload")),
        (
            "a receipt that lacks its time",
            changed(&good, "/payload", without(&payload, "/issuedAt")),
        ),
        ("a receipt with a short signature", changed(&good, "/signature", json!("0x12"))),
        ("a receipt with a signature that is none", changed(&good, "/signature", json!("signed"))),
        ("a receipt in an unknown format", changed(&good, "/format", json!("pgp"))),
        ("a JWS for another payer", jws(&changed(&payload, "/payer", json!(STRANGER)))),
    ] {
        lies.push(Lie { name: name.into(), told: with_receipt(honest, &told), down: By(Receipt) });
    }
    lies
}

#[tokio::test]
async fn no_lie_in_a_payment_response_is_believed_and_the_goods_are_not_thrown_away() {
    let world = World::new().await;
    world.ask(&world.honest());
    let lies = lies_about_settlements(&world);
    let encoded = |told: &Value| vec![(PAYMENT_RESPONSE, STANDARD.encode(told.to_string()))];
    let mut told: Vec<_> =
        lies.iter().map(|lie| (lie.name.clone(), encoded(&lie.told), lie.down)).collect();
    for (name, value) in [
        ("no base64", "%".to_owned()),
        ("no JSON", STANDARD.encode("{")),
        ("too long", "A".repeat(32_772)),
    ] {
        told.push((name.into(), vec![(PAYMENT_RESPONSE, value)], By(Settlement)));
    }
    let twice = [json!({ "success": true }), json!({ "success": false })];
    told.push(("two".into(), twice.iter().flat_map(encoded).collect(), By(Settlement)));
    let count = told.len();
    for (name, headers, down) in told {
        *world.shop.deliver.lock().unwrap() = vec![(200, headers)];
        let purchase = world.buy().await.expect(&name);
        assert_eq!(purchase.response.body, b"goods", "{name}");
        let paid = purchase.paid.unwrap();
        assert_eq!((paid.transaction, paid.charged, paid.receipt), (None, None, None), "{name}");
        let doubt = paid.doubt.expect(&name);
        let By(rule) = down else { panic!("{name}") };
        assert_eq!(doubt.rule, rule, "{name}: {doubt}");
        let said = world.steward.reported();
        let settled = said.iter().any(|said| matches!(said, Said::Settled { .. }));
        assert!(!settled, "{name} was reported as settled");
    }
    assert!(count >= 50, "only {count} lies");
    println!("{count} lies about settlements, 0 believed");
}

#[tokio::test]
async fn honest_offers_and_receipts_are_kept_with_who_signed_them() {
    let world = World::new().await;
    let honest = world.honest();
    let offer = signed_offer(&world, &offer_payload(&honest));
    world.ask(&offering(&honest, &offer));
    let receipt = signed_receipt(&world, &receipt_payload(&world));
    let settled = json!({
        "success": true, "transaction": B256::repeat_byte(7), "network": "eip155:31337",
    });
    let told = with_receipt(&settled, &receipt);
    *world.shop.deliver.lock().unwrap() =
        vec![(200, vec![(PAYMENT_RESPONSE, STANDARD.encode(told.to_string()))])];
    let paid = world.buy().await.unwrap().paid.unwrap();
    let signer = Some(world.steward.key.address());
    let kept = paid.offer.unwrap();
    assert_eq!((kept.json, kept.by), (offer, signer));
    let kept = paid.receipt.unwrap();
    let hash = kept.hash;
    assert_eq!((kept.json, kept.by, paid.doubt), (receipt, signer, None));
    let told = Said::Signed { what: Evidence::Receipt, hash, by: signer };
    assert!(world.steward.reported().contains(&told));
    // A JWS is kept as well; whose key it is nobody has looked up.
    world.ask(&offering(&honest, &jws(&offer_payload(&honest))));
    let paid = world.buy().await.unwrap().paid.unwrap();
    assert_eq!(paid.offer.unwrap().by, None);
}
