//! Checking a payment without the chain: from the header's text to a claim that a steward could
//! settle, the signature recovered. The chain's part, simulating the settlement, is not in here.

use crate::{at, row, sellers::payment, support::CHAIN, verdict};
use alloy_primitives::{Address, address};
use marque_contracts::TokenDomain;
use marque_identity_keys::{Key, Zeroizing};
use marque_payments::{
    verify,
    x402::{self, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequirements},
};
use serde_json::json;
use std::{hint::black_box, time::Instant};

const TOKEN: Address = address!("00000000000000000000000000000000000000aa");

pub(crate) fn measure() {
    let payer = Key::from_bytes(&Zeroizing::new([0x77; 32])).unwrap();
    let accepted = json!({
        "scheme": "exact",
        "network": format!("eip155:{CHAIN}"),
        "amount": "20000",
        "asset": TOKEN,
        "payTo": Address::repeat_byte(0x60),
        "maxTimeoutSeconds": 60,
        "extra": { "name": "Marque Test Dollar", "version": "1" },
    });
    let url = "http://feed.example/wind.csv";
    let required = json!({ "resource": { "url": url }, "accepts": [accepted] });
    let domain = TokenDomain::test_dollar(CHAIN, TOKEN);
    let headers: Vec<String> =
        (0..500).map(|n| payment(&payer, &domain, &required, &format!("verify {n}"))).collect();
    let terms: PaymentRequirements = serde_json::from_value(accepted).unwrap();
    let terms = terms.terms().unwrap();
    let mut times = Vec::new();
    for header in &headers {
        let begun = Instant::now();
        let sent: PaymentPayload = x402::decode(PAYMENT_SIGNATURE, header).unwrap();
        let claim = verify::claim(&sent, &terms, url.to_owned()).unwrap();
        black_box(claim);
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let (p50, p99) = (at(&mut times, 0.5), at(&mut times, 0.99));
    row(
        "verify a payment, without the chain, p50",
        &format!("{p50:.0} µs"),
        &format!("at most 300 µs: {}; p99 {p99:.0} µs", verdict(p50 <= 300.0)),
    );
}
