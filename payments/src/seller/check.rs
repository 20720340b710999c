//! Is this payment one for what we ask? Everything that can be told without the chain.
//!
//! The chain has the last word when the steward settles; these checks keep nonsense away from it
//! and give the buyer a reason that it can act on.

use super::shelf::Key;
use crate::{
    PaymentError,
    error::shortened,
    x402::{self, ExactPayload, PaymentPayload, Terms},
};
use alloy_primitives::{B256, hex};
use axum::http::{Method, header, request::Parts};
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, recover};
use marque_policies::{Money, Timestamp, intent::Settle};
use sha2::{Digest as _, Sha256};
use url::Url;

/// A payment has to stay valid for so many seconds, or it may lapse before it is in a block.
const MARGIN: u64 = 6;

/// A payment is valid for so many seconds at most.
const LONGEST: u64 = 3_600;

/// So many seconds after it has expired, the buyer of a settled payment may still ask for the goods
/// again: a crash or a lost connection takes no longer to mend.
const REPEATABLE: u64 = 3_600;

/// A payment that says it is for this request, from somebody who signed it.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    /// What the steward is asked to settle.
    pub(super) settle: Settle,
    /// Which authorisation it is.
    pub(super) key: Key,
    /// Which request it is for.
    pub(super) fingerprint: B256,
}

/// Reads the buyer's header and compares it with our terms.
///
/// # Errors
/// Why the payment will not do, in words for the buyer.
pub(super) fn check(
    header: &str,
    terms: &Terms,
    resource: &Url,
    parts: &Parts,
    body: &[u8],
) -> Result<Payment, PaymentError> {
    let sent: PaymentPayload = x402::decode(x402::PAYMENT_SIGNATURE, header)?;
    let wrong = |why: String| PaymentError::Header { header: x402::PAYMENT_SIGNATURE, why };
    if sent.x402_version != x402::VERSION {
        return Err(wrong(format!("x402 version {} is not spoken here", sent.x402_version)));
    }
    if let Some(said) = &sent.resource
        && Url::parse(&said.url).as_ref() != Ok(resource)
    {
        return Err(wrong(format!("it is for {}, not {resource}", shortened(&said.url))));
    }
    let accepted = sent.accepted.terms().map_err(|objection| wrong(objection.to_string()))?;
    if accepted.method != terms.method {
        return Err(wrong(format!(
            "it pays {} by {}, but {} by {} is asked",
            accepted.method.scheme(),
            accepted.method.transfer(),
            terms.method.scheme(),
            terms.method.transfer()
        )));
    }
    if accepted.amount.asset != terms.amount.asset {
        return Err(wrong(format!(
            "it pays in {}, but {} is asked",
            accepted.amount.asset, terms.amount.asset
        )));
    }
    let exact: ExactPayload =
        serde_json::from_value(sent.payload).map_err(|error| wrong(error.to_string()))?;
    let authorisation = exact.authorization;
    if accepted.pay_to != terms.pay_to || authorisation.to != terms.pay_to {
        return Err(wrong(format!("it pays {}, not {}", authorisation.to, terms.pay_to)));
    }
    if authorisation.value != accepted.amount.units {
        return Err(wrong(format!(
            "it accepts {} base units and pays {}",
            accepted.amount.units, authorisation.value
        )));
    }
    let signature = canonical(&exact.signature).map_err(&wrong)?;
    let digest = eip3009_digest(
        &domain(terms),
        &Authorization {
            from: authorisation.from,
            to: authorisation.to,
            value: authorisation.value,
            valid_after: authorisation.valid_after,
            valid_before: authorisation.valid_before,
            nonce: authorisation.nonce,
        },
    );
    let signer = recover(digest, &signature).map_err(|error| wrong(error.to_string()))?;
    if signer != authorisation.from {
        return Err(wrong(format!("it is not signed by {}", authorisation.from)));
    }
    let request = Asked::new(resource, parts, body);
    Ok(Payment {
        settle: Settle {
            from: authorisation.from,
            to: authorisation.to,
            amount: Money::new(authorisation.value, terms.amount.asset),
            valid_after: authorisation.valid_after,
            valid_before: authorisation.valid_before,
            nonce: authorisation.nonce,
            signature: hex::encode_prefixed(signature),
            resource: request.name,
        },
        key: Key {
            asset: terms.amount.asset,
            from: authorisation.from,
            nonce: authorisation.nonce,
        },
        fingerprint: request.fingerprint,
    })
}

/// Whether a payment is one of these days. Once it is settled its bytes are on chain for all to
/// read, so that a repetition, which needs nobody's signature anew, has an end.
///
/// # Errors
/// What is wrong with its time, in words for the buyer.
pub(super) fn in_time(settle: &Settle, now: Timestamp) -> Result<(), PaymentError> {
    let wrong = |why: String| Err(PaymentError::Header { header: x402::PAYMENT_SIGNATURE, why });
    let now = now / 1000;
    if settle.valid_before > now.saturating_add(LONGEST) {
        return wrong(format!("it is valid for more than {LONGEST} s; sign a shorter one"));
    }
    if settle.valid_before.saturating_add(REPEATABLE) < now {
        return wrong(format!(
            "it has expired, at {}; what it bought is delivered for {REPEATABLE} s after that",
            settle.valid_before
        ));
    }
    Ok(())
}

/// Whether a payment that was not settled before is enough, and valid for long enough.
///
/// # Errors
/// What is missing, in words for the buyer.
pub(super) fn fresh(settle: &Settle, terms: &Terms, now: Timestamp) -> Result<(), PaymentError> {
    let wrong = |why: String| Err(PaymentError::Header { header: x402::PAYMENT_SIGNATURE, why });
    if settle.amount.units < terms.amount.units {
        return wrong(format!(
            "it pays {} base units, but {} are asked",
            settle.amount.units, terms.amount.units
        ));
    }
    let now = now / 1000;
    if settle.valid_after >= now {
        return wrong(format!("it is not valid before {}", settle.valid_after));
    }
    if settle.valid_before <= now {
        return wrong(format!("it has expired, at {}", settle.valid_before));
    }
    if settle.valid_before <= now.saturating_add(MARGIN) {
        return wrong(format!("it expires within {MARGIN} s, too soon to be settled"));
    }
    Ok(())
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

/// The one encoding of a signature that is journalled: `v` is 27 or 28.
fn canonical(signature: &[u8]) -> Result<[u8; 65], String> {
    let mut bytes: [u8; 65] = signature
        .try_into()
        .map_err(|_| format!("the signature has {} bytes instead of 65", signature.len()))?;
    let [.., v] = &mut bytes;
    if *v < 27 {
        *v = v.saturating_add(27);
    }
    Ok(bytes)
}

fn domain(terms: &Terms) -> TokenDomain {
    let (name, version) = terms.domain.clone().unwrap_or_default();
    let asset = terms.amount.asset;
    TokenDomain { name, version, chain: asset.chain, token: asset.token }
}
