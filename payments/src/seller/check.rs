//! Is this payment one for what we ask, and for this request?
//!
//! What a payment is in itself is told by [`crate::verify`]; here it is bound to the request.

use crate::{
    PaymentError,
    error::shortened,
    signed_payment::SignedPayment,
    verify::{self, Flaw, Reason},
    x402::{self, PAYMENT_IDENTIFIER, PaymentPayload, Terms},
};
use alloy_primitives::{B256, hex};
use axum::http::{Method, header, request::Parts};
use marque_policies::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

/// A payment is valid for so many seconds at most.
const LONGEST: u64 = 3_600;

/// So many seconds after it has expired, the buyer of a settled payment may still ask for the goods
/// again: a crash or a lost connection takes no longer to mend.
const REPEATABLE: u64 = 3_600;

/// A payment that says it is for this request, from somebody who signed it.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// What the steward is asked to settle.
    pub(super) claim: SignedPayment,
    /// Which request it is for.
    pub(super) fingerprint: B256,
    /// How the buyer calls it, where it does, and the hash of all that it sent.
    pub(super) name: Option<(String, B256)>,
    /// As it came, for a facilitator.
    pub(super) sent: PaymentPayload,
}

/// Reads the buyer's header and compares it with our terms.
///
/// # Errors
/// Why the payment will not do.
pub(super) fn check(
    header: &str,
    terms: &Terms,
    resource: &Url,
    parts: &Parts,
    body: &[u8],
) -> Result<Payment, Flaw> {
    let sent: PaymentPayload =
        x402::decode(x402::PAYMENT_SIGNATURE, header).map_err(|error| match error {
            PaymentError::Unsupported(why) => Flaw::new(Reason::Version, why),
            error => Flaw::new(Reason::Payload, error.to_string()),
        })?;
    if let Some(said) = &sent.resource
        && Url::parse(&said.url).as_ref() != Ok(resource)
    {
        let why = format!("it is for {}, not {resource}", shortened(&said.url));
        return Err(Flaw::new(Reason::Payload, why));
    }
    let request = Asked::new(resource, parts, body);
    let name = name(&sent)?.map(|name| (name, B256::from_slice(&Sha256::digest(header))));
    let claim = verify::claim(&sent, terms, request.name)?;
    Ok(Payment { claim, fingerprint: request.fingerprint, name, sent })
}

/// How the buyer calls its payment: 16 to 128 letters, digits, `-` and `_`.
fn name(sent: &PaymentPayload) -> Result<Option<String>, Flaw> {
    let said = sent.extensions.get(PAYMENT_IDENTIFIER).and_then(|it| it.pointer("/info/id"));
    match said {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id))
            if (16..=128).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) =>
        {
            Ok(Some(id.clone()))
        }
        Some(other) => Err(Flaw::new(
            Reason::Payload,
            format!(
                "{} is no payment identifier: 16 to 128 letters, digits, - and _",
                shortened(&other.to_string())
            ),
        )),
    }
}

/// Until when the buyer of a settled payment may ask for the goods again, in Unix seconds.
pub(super) fn repeatable_until(claim: &SignedPayment) -> u64 {
    claim.valid_before().saturating_add(REPEATABLE)
}

/// Whether a payment is one of these days. Once it is settled its bytes are on chain for all to
/// read, so that a repetition, which needs nobody's signature anew, has an end.
///
/// # Errors
/// What is wrong with its time.
pub(super) fn in_time(claim: &SignedPayment, now: Timestamp) -> Result<(), Flaw> {
    let now = now / 1000;
    let before = claim.valid_before();
    if before > now.saturating_add(LONGEST) {
        let why = format!("it is valid for more than {LONGEST} s; sign a shorter one");
        return Err(Flaw::new(Reason::ValidBefore, why));
    }
    if repeatable_until(claim) < now {
        let why = format!(
            "it has expired, at {before}; what it bought is delivered for {REPEATABLE} s after that"
        );
        return Err(Flaw::new(Reason::ValidBefore, why));
    }
    Ok(())
}

/// Whether a payment that was not settled before is enough, and valid for long enough.
///
/// # Errors
/// What is missing.
pub(super) fn fresh(claim: &SignedPayment, terms: &Terms, now: Timestamp) -> Result<(), Flaw> {
    let (paid, asked) = (claim.amount().units, terms.amount.units);
    if paid < asked {
        let why = format!("it pays {paid} base units, but {asked} are asked");
        return Err(Flaw::new(Reason::Value, why));
    }
    verify::valid_now(claim, now)
}

/// A request as a settlement remembers it.
struct Asked {
    /// The URL; with a fragment that binds method, type and body where there is more than a `GET`.
    name: String,
    fingerprint: B256,
}

impl Asked {
    fn new(resource: &Url, parts: &Parts, body: &[u8]) -> Self {
        let media = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
        let mut hasher = Sha256::new();
        for field in [parts.method.as_str().as_bytes(), resource.as_str().as_bytes(), media, body] {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        let fingerprint = B256::from_slice(&hasher.finalize());
        let plain = parts.method == Method::GET && body.is_empty() && media.is_empty();
        let name = if plain {
            resource.as_str().to_owned()
        } else {
            format!("{resource}#request={}", hex::encode(fingerprint))
        };
        Self { name, fingerprint }
    }
}
