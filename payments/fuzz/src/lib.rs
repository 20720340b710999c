//! The laws that the fuzz targets hold to. Each takes any bytes and panics where a law is broken.
//!
//! The checks here are written a second time, without looking at the code that they check: whatever
//! is accepted must be on the short list of what an honest seller could have said.
//!
//! The fuzzer drives them (`fuzz_targets/`), and so does an ordinary test with a mutator of its own
//! (`payments/tests/payments/fuzz.rs`, which includes this file).

mod ground;

use alloy_primitives::{Address, B256, U256};
use ground::{DEAL, HOST, SELLER, URL, USDC, VIEW};
use marque_net::{
    Guard, HeaderMap, HeaderValue, Method, Request, Url, address as addresses, redirect,
};
use marque_payments::{
    Asked, quote,
    x402::{
        self, Method as Way, PaymentPayload, PaymentRequired, PaymentRequirements,
        SettlementResponse, Terms, a2a, mcp,
    },
};
use marque_policies::Money;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr};

/// A function, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 5] = [
    ("address", address),
    ("choice", choice),
    ("header", header),
    ("settlement", settlement),
    ("terms", terms),
];

/// No bytes in a header make the reader panic; what was read is written and read as the same. The
/// same object in the places of MCP and A2A is the same.
pub fn header(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (kind, text) = text.split_at(text.char_indices().nth(1).map_or(text.len(), |(at, _)| at));
    // Most texts are no base64; what they could have held is tried as well.
    let encoded = x402::encode("fuzz", &serde_json::from_str::<Value>(text).unwrap_or_default());
    for text in [Some(text), encoded.as_deref().ok()].into_iter().flatten() {
        match kind {
            "0" => there_and_back::<PaymentRequired>(text),
            "1" => there_and_back::<PaymentPayload>(text),
            _ => there_and_back::<SettlementResponse>(text),
        }
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let (by_tool, by_task) = (mcp::required(&value), a2a::required(&value));
    drop((
        by_tool,
        by_task,
        mcp::settlement(&value),
        a2a::settlement(&value),
        a2a::failure(&value),
    ));
    let plain = x402::read::<PaymentRequired>("fuzz", value.clone()).ok();
    let wrapped = json!({ "resultType": "payment_required", "paymentRequired": value });
    assert_eq!(mcp::required(&wrapped).ok().flatten(), plain);
}

fn there_and_back<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(read) = x402::decode::<T>("fuzz", text) else { return };
    // What is written may be longer than what was read: escapes.
    let Ok(written) = x402::encode("fuzz", &read) else { return };
    assert_eq!(x402::decode::<T>("fuzz", &written).unwrap(), read);
}

/// Terms that are understood hold no nonsense, and are the same after having been written.
pub fn terms(data: &[u8]) {
    let Ok(said) = serde_json::from_slice::<PaymentRequirements>(data) else { return };
    let Ok(terms) = said.terms() else { return };
    assert!(!terms.amount.units.is_zero() && !terms.pay_to.is_zero());
    assert!(!terms.amount.asset.token.is_zero());
    assert_eq!(said.network, format!("eip155:{}", terms.amount.asset.chain));
    assert_eq!(said.amount, terms.amount.units.to_string());
    assert_eq!(said.asset.to_lowercase(), terms.amount.asset.token.to_string().to_lowercase());
    assert_eq!(said.pay_to.to_lowercase(), terms.pay_to.to_string().to_lowercase());
    assert!((1..=x402::MAX_TIMEOUT).contains(&terms.max_timeout_seconds));
    match terms.method {
        Way::Eip3009 => assert!(said.scheme == "exact" && terms.domain.is_some()),
        Way::Permit2 => assert_eq!(said.scheme, "exact"),
        Way::Upto { facilitator } => assert!(said.scheme == "upto" && !facilitator.is_zero()),
        _ => panic!("a way to pay that nobody has judged"),
    }
    assert_eq!(PaymentRequirements::from(&terms).terms().unwrap(), terms);
}

/// Whatever a 402 says, what would be proposed pays somebody of the policy, whom this host may ask
/// for, in an asset of the policy, no more than the maximum, for what was asked for.
pub fn choice(data: &[u8]) {
    let Ok(mut said) = serde_json::from_slice::<Value>(data) else { return };
    // A mutator seldom writes a URL with the right port or an address by chance: short words stand
    // for what an honest seller would say, so that the rest of the answer gets to be judged.
    fill(&mut said);
    let Ok(required) = x402::read::<PaymentRequired>("fuzz", said) else { return };
    let asked = Url::parse(URL).unwrap();
    let max = Money::new(U256::from(50_000), USDC);
    for (asked, max) in [
        (Asked::url(&asked), Some(max)),
        (Asked::url(&asked), None::<Money>),
        (Asked::tool(&asked, "wind"), Some(max)),
        (Asked::agent(&asked), Some(max)),
    ] {
        let Ok(quote) = quote(&required, &asked, &VIEW, max) else { continue };
        let Terms { amount, pay_to, domain, .. } = &quote.terms;
        let known = VIEW.assets.iter().find(|asset| asset.id == amount.asset).unwrap();
        assert!(!amount.units.is_zero());
        assert!(max.is_none_or(|max| max.asset == amount.asset && amount.units <= max.units));
        assert!(domain.is_none() || *domain == known.domain);
        let payee = VIEW.payees.iter().find(|payee| payee.name == quote.payee).unwrap();
        assert_eq!(payee.host.as_deref(), Some(HOST));
        assert_eq!(payee.address, Some(*pay_to));
        let host = marque_net::host_port(&quote.resource);
        assert!(host == HOST || quote.resource.as_str().starts_with("mcp://tool/"));
        assert!(required.accepts[quote.entry].terms().unwrap() == quote.terms);
    }
}

/// Whether an input gets as far as to be accepted.
#[must_use]
pub fn reaches(target: &str, data: &[u8]) -> bool {
    let Ok(mut value) = serde_json::from_slice::<Value>(data) else { return false };
    fill(&mut value);
    match target {
        "terms" => serde_json::from_value::<PaymentRequirements>(value)
            .is_ok_and(|requirements| requirements.terms().is_ok()),
        "settlement" => x402::read::<SettlementResponse>("fuzz", value)
            .is_ok_and(|said| DEAL.claim(&said).is_ok()),
        _ => x402::read::<PaymentRequired>("fuzz", value).is_ok_and(|required| {
            let url = Url::parse(URL).unwrap();
            [Asked::url(&url), Asked::tool(&url, "wind")]
                .iter()
                .any(|asked| quote(&required, asked, &VIEW, None).is_ok())
        }),
    }
}

fn fill(value: &mut Value) {
    match value {
        Value::String(text) => match text.as_str() {
            "U" => URL.clone_into(text),
            "S" => *text = SELLER.to_string(),
            "T" => *text = USDC.token.to_string(),
            "N" => *text = format!("eip155:{}", USDC.chain),
            "M" => "mcp://tool/wind".clone_into(text),
            _ => {}
        },
        Value::Array(list) => list.iter_mut().for_each(fill),
        Value::Object(fields) => fields.values_mut().for_each(fill),
        _ => {}
    }
}

/// Whatever a seller says of a settlement, what is taken for its claim speaks of this payment.
pub fn settlement(data: &[u8]) {
    let Ok(mut value) = serde_json::from_slice::<Value>(data) else { return };
    fill(&mut value);
    let Ok(said) = x402::read::<SettlementResponse>("fuzz", value) else { return };
    let Ok(claim) = DEAL.claim(&said) else { return };
    assert!(said.success);
    assert_eq!(said.network, format!("eip155:{}", USDC.chain));
    assert_eq!(claim.charged, DEAL.terms().amount);
    assert_eq!(claim.transaction.unwrap(), said.transaction.parse::<B256>().unwrap());
    assert!(said.payer.is_none_or(|payer| payer.parse::<Address>() == Ok(VIEW.address)));
    assert!(said.amount.is_none_or(|amount| amount == "20000"));
}

/// Whatever a URL or a `Location` says, a guard lets through nothing that leads home: by the
/// standard library's opinion of addresses, which is not the guard's own.
pub fn address(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<16>() {
        let v6 = Ipv6Addr::from(*bytes);
        let v4 = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
        assert!(addresses::reserved(IpAddr::V6(v6)).is_some() || !leads_home(v4));
        assert!(addresses::reserved(v4).is_some() || !leads_home(v4));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let guard = Guard::default();
    let mut found = vec![Url::parse(text).ok(), Url::parse(&format!("https://{text}/")).ok()];
    if let Ok(location) = HeaderValue::from_str(text) {
        let request = Request {
            method: Method::POST,
            headers: HeaderMap::from_iter([(
                marque_net::header::AUTHORIZATION,
                HeaderValue::from_static("secret"),
            )]),
            ..Request::get(Url::parse("https://feed.example/one?two").unwrap())
        };
        let answer = HeaderMap::from_iter([(marque_net::header::LOCATION, location)]);
        if let Ok(Some(next)) = redirect::next_hop(&request, 307, &answer) {
            let home =
                next.url.scheme() == "https" && marque_net::host_port(&next.url) == "feed.example";
            assert_eq!(next.headers.contains_key(marque_net::header::AUTHORIZATION), home);
            found.push(Some(next.url));
        }
    }
    for url in found.into_iter().flatten() {
        if guard.vet(&url).is_err() {
            continue;
        }
        assert_eq!(url.scheme(), "https", "{url}");
        assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        assert!(matches!(url.port(), None | Some(80 | 8443)), "{url}");
        let host = url.host_str().unwrap();
        assert!(host != "localhost" && !host.ends_with(".localhost"), "{url}");
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(literal) = literal {
            assert!(!leads_home(literal), "{url}");
        }
    }
}

fn leads_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.to_ipv4().is_some_and(|v4| leads_home(IpAddr::V4(v4)))
        }
    }
}
