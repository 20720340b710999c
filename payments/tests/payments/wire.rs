//! The wire format, by the specification's own examples and by whatever a stranger may send.

use alloy_primitives::{U256, address};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use marque_payments::{
    PaymentError,
    x402::{
        self, ExactPayload, MAX_HEADER, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE,
        PaymentPayload, PaymentRequired, SettlementResponse,
    },
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn required() -> Value {
    json!({
        "x402Version": 2,
        "error": "PAYMENT-SIGNATURE header is required",
        "resource": {
            "url": "https://feed.example/wind",
            "description": "Wind over the Azores",
            "mimeType": "application/json",
            "serviceName": "Feed"
        },
        "accepts": [{
            "scheme": "exact",
            "network": "eip155:84532",
            "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60,
            "extra": { "name": "USDC", "version": "2" },
            "outputSchema": { "type": "object" }
        }],
        "extensions": { "bazaar": { "info": {}, "schema": {} } }
    })
}

fn payload() -> Value {
    json!({
        "x402Version": 2,
        "resource": { "url": "https://feed.example/wind" },
        "accepted": required()["accepts"][0],
        "payload": {
            "signature": format!("0x{}1c", "ab".repeat(64)),
            "authorization": {
                "from": "0x857b06519e91e3a54538791bdbb0e22373e36b66",
                "to": "0x209693bc6afc0c5328ba36faf03c514ef312287c",
                "value": "10000",
                "validAfter": "1740672089",
                "validBefore": "1740672154",
                "nonce": format!("0x{}", "f3".repeat(32))
            }
        }
    })
}

fn header(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

fn there_and_back<T: Serialize + DeserializeOwned>(name: &'static str, wire: &Value) -> T {
    let read: T = x402::decode(name, &header(wire)).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), *wire);
    let written = x402::encode(name, &read).unwrap();
    x402::decode(name, &written).unwrap()
}

#[test]
fn terms_survive_the_wire_with_what_we_do_not_know() {
    let read: PaymentRequired = there_and_back(PAYMENT_REQUIRED, &required());
    let terms = read.accepts[0].terms().unwrap();
    assert_eq!(terms.amount.units, U256::from(10_000));
    assert_eq!(terms.amount.asset.chain, 84_532);
    assert_eq!(terms.amount.asset.token, address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"));
    assert_eq!(terms.pay_to, address!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"));
    assert_eq!(terms.domain, Some(("USDC".to_owned(), "2".to_owned())));
    assert_eq!(terms.max_timeout_seconds, 60);
}

#[test]
fn a_payment_survives_the_wire() {
    let read: PaymentPayload = there_and_back(PAYMENT_SIGNATURE, &payload());
    let exact: ExactPayload = serde_json::from_value(read.payload.clone()).unwrap();
    assert_eq!(exact.authorization.valid_before, 1_740_672_154);
    assert_eq!(serde_json::to_value(exact).unwrap(), payload()["payload"]);
}

#[test]
fn a_receipt_survives_the_wire() {
    let wire = json!({
        "success": true,
        "transaction": format!("0x{}", "12".repeat(32)),
        "network": "eip155:84532",
        "payer": "0x857b06519E91e3A54538791bDbb0E22373e36b66",
        "amount": "10000"
    });
    let read: SettlementResponse = there_and_back(PAYMENT_RESPONSE, &wire);
    assert!(read.success);
    let failed = json!({
        "success": false, "errorReason": "no balance", "transaction": "", "network": "eip155:1"
    });
    let read: SettlementResponse = there_and_back(PAYMENT_RESPONSE, &failed);
    assert_eq!(read.error_reason.as_deref(), Some("no balance"));
}

#[test]
fn another_version_is_refused_by_name() {
    for version in [json!(1), json!(3), json!("2"), Value::Null] {
        let mut wire = required();
        wire["x402Version"] = version;
        let error = x402::decode::<PaymentRequired>(PAYMENT_REQUIRED, &header(&wire)).unwrap_err();
        assert!(matches!(error, PaymentError::Unsupported(_)), "{error}");
    }
}

#[test]
fn a_long_header_is_not_looked_at() {
    let mut wire = required();
    wire["error"] = "x".repeat(MAX_HEADER).into();
    let error = x402::decode::<PaymentRequired>(PAYMENT_REQUIRED, &header(&wire)).unwrap_err();
    assert!(error.to_string().contains("at most 32768 are read"), "{error}");
    assert!(x402::encode(PAYMENT_REQUIRED, &wire).is_err());
}

#[test]
fn a_number_in_the_place_of_money_is_refused() {
    for amount in [json!(10_000), json!("1e4"), json!("-1"), json!("0x10"), json!("010"), json!("")]
    {
        let mut wire = required();
        wire["accepts"][0]["amount"] = amount.clone();
        let read = x402::decode::<PaymentRequired>(PAYMENT_REQUIRED, &header(&wire));
        let understood = read.is_ok_and(|read| read.accepts[0].terms().is_ok());
        assert!(!understood, "{amount}");
        let mut wire = payload();
        wire["payload"]["authorization"]["value"] = amount.clone();
        assert!(
            serde_json::from_value::<ExactPayload>(wire["payload"].clone()).is_err(),
            "{amount}"
        );
    }
}

#[test]
fn only_canonical_evm_networks_are_chains() {
    assert_eq!(x402::network("eip155:1"), Some(1));
    assert_eq!(x402::network("eip155:18446744073709551615"), Some(u64::MAX));
    for text in [
        "",
        "eip155",
        "eip155:",
        "eip155:0",
        "eip155:01",
        "eip155:+1",
        "eip155:1 ",
        "eip155:0x1",
        "eip155:18446744073709551616",
        "EIP155:1",
        "base",
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    ] {
        assert_eq!(x402::network(text), None, "{text}");
    }
}

/// JSON of any shape, its keys often the protocol's.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(json!("exact")),
        Just(json!("eip155:1")),
        Just(json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e")),
    ];
    let key = prop_oneof![
        Just("scheme".to_owned()),
        Just("network".to_owned()),
        Just("amount".to_owned()),
        Just("asset".to_owned()),
        Just("payTo".to_owned()),
        Just("extra".to_owned()),
        Just("maxTimeoutSeconds".to_owned()),
        Just("name".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(3, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let encoded = STANDARD.encode(&bytes);
        for text in [&text, &encoded] {
            drop(x402::decode::<PaymentRequired>(PAYMENT_REQUIRED, text));
            drop(x402::decode::<PaymentPayload>(PAYMENT_SIGNATURE, text));
            drop(x402::decode::<SettlementResponse>(PAYMENT_RESPONSE, text));
        }
        let network = x402::network(&text).map(|id| format!("eip155:{id}"));
        prop_assert!(network.is_none_or(|canonical| canonical == text));
    }

    #[test]
    fn no_terms_make_the_reader_panic(entry in any_json(), field in 0..7_usize, value in any_json()) {
        let fields =
            ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds", "extra"];
        let mut wire = required();
        wire["accepts"][0][fields[field]] = value;
        wire["accepts"].as_array_mut().unwrap().push(entry);
        for wire in [wire.clone(), { wire["accepts"].as_array_mut().unwrap().pop(); wire }] {
            if let Ok(read) = x402::decode::<PaymentRequired>(PAYMENT_REQUIRED, &header(&wire)) {
                for entry in &read.accepts {
                    drop(entry.terms());
                }
            }
        }
    }

    #[test]
    fn any_amount_is_read_as_it_is_written(units in any::<[u8; 32]>()) {
        let units = U256::from_be_bytes(units);
        let mut wire = required();
        wire["accepts"][0]["amount"] = units.to_string().into();
        let read: PaymentRequired = x402::decode(PAYMENT_REQUIRED, &header(&wire)).unwrap();
        prop_assert_eq!(read.accepts[0].terms().unwrap().amount.units, units);
    }
}
