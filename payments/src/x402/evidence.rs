//! What a seller says beside its terms: payment identifiers, signed offers, signed receipts.
//!
//! An identifier is ours to choose, so that a seller or a facilitator can tell a repetition. Offers
//! and receipts are the seller's signature under what it asked and what it got: kept where they are
//! given, because a dispute needs them later. A signature proves that a key signed; only one by the
//! payee's own key says by itself that it is the payee's word ([`Signed::by`]).
//!
//! Source: the x402 extensions `payment-identifier` and `offer-receipt`.

use super::{
    PAYMENT_IDENTIFIER, PaymentRequired, PaymentRequirements, SettlementResponse, Terms, network,
};
use crate::error::{Objection, Rule, shortened};
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use marque_contracts::recover;
use marque_policies::IntentId;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

/// The extension by which a seller signs what it offers and what it got.
pub const OFFER_RECEIPT: &str = "offer-receipt";

/// The most offers that are looked at.
const MAX_OFFERS: usize = 32;

/// Something that a seller signed, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The whole object: format, payload, signature.
    pub json: Value,
    /// Who signed it, where the signature tells: with a JWS that is whoever owns the key that its
    /// header names, which is not looked up here.
    pub by: Option<Address>,
    /// SHA-256 of the object as it is written here: what the journal keeps of it.
    pub hash: B256,
}

/// The parts that both kinds have.
#[derive(Deserialize)]
struct Artifact {
    format: String,
    #[serde(default)]
    payload: Value,
    signature: String,
    #[serde(rename = "acceptIndex", default)]
    accept_index: Option<u64>,
}

/// What an offer says. Unsigned fields beside these are nobody's word.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    version: u64,
    resource_url: String,
    scheme: String,
    network: String,
    asset: String,
    pay_to: String,
    amount: String,
    #[serde(default)]
    valid_until: u64,
}

/// What a receipt says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    version: u64,
    network: String,
    resource_url: String,
    payer: String,
    issued_at: u64,
    #[serde(default)]
    transaction: String,
}

/// The seller's extensions as they came, with this payment's own name.
///
/// The name is sent whether or not it is asked for: sellers leave alone what they did not offer, and
/// a facilitator behind them can still tell a repetition by it.
pub(crate) fn echoed(offered: &Map<String, Value>, id: IntentId) -> Map<String, Value> {
    let mut extensions = offered.clone();
    let named = extensions.entry(PAYMENT_IDENTIFIER).or_insert_with(|| {
        json!({
            "info": { "required": false },
            "schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "required": { "type": "boolean" },
                    "id": { "type": "string", "minLength": 16, "maxLength": 128 },
                },
                "required": ["required"],
            },
        })
    });
    if let Some(info) = named.get_mut("info").and_then(Value::as_object_mut) {
        info.insert("id".to_owned(), identifier(id).into());
    }
    extensions
}

/// This payment's name: 64 hexadecimal digits, the same for every try.
fn identifier(id: IntentId) -> String {
    hex::encode(id.0)
}

/// Whether the extensions can be echoed without saying what we did not mean to say.
///
/// # Errors
/// An [`Objection`] to one of them.
pub(crate) fn well_formed(extensions: &Map<String, Value>) -> Result<(), Objection> {
    let objection =
        |why: &str| Err(Objection::new(Rule::Extension, format!("{PAYMENT_IDENTIFIER}: {why}")));
    let Some(named) = extensions.get(PAYMENT_IDENTIFIER) else { return Ok(()) };
    let Some(info) = named.get("info").and_then(Value::as_object) else {
        return objection("info is missing or not an object");
    };
    // The buyer names its payment. A name that the seller chose could be another payment's, and what
    // was bought would be taken for what had been bought before.
    if info.contains_key("id") {
        return objection("the seller has named the payment itself");
    }
    match info.get("required") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => objection("info.required is not true or false"),
    }
}

/// Whether the offers that were signed for an entry of `accepts` say the same as the entry.
///
/// # Errors
/// An [`Objection`] to the offer: other terms, no valid signature, or expired at `now` (Unix
/// seconds).
pub(crate) fn agrees(
    required: &PaymentRequired,
    index: usize,
    now: u64,
) -> Result<Option<Signed>, Objection> {
    let Some(entry) = required.accepts.get(index) else { return Ok(None) };
    let mut kept = None;
    for value in offers(&required.extensions) {
        let Ok(artifact) = Artifact::deserialize(value) else { continue };
        let meant = artifact.accept_index == Some(index as u64);
        let Some(payload) = payload(&artifact) else {
            if meant {
                return Err(Objection::new(Rule::Offer, "it cannot be read"));
            }
            continue;
        };
        let Ok(offer) = Offer::deserialize(&payload) else {
            if meant {
                return Err(Objection::new(Rule::Offer, "it lacks a field, or has an odd one"));
            }
            continue;
        };
        match differs(&offer, entry, &required.resource.url) {
            Some(why) if meant => return Err(Objection::new(Rule::Offer, why)),
            Some(_) => continue,
            None => {}
        }
        if offer.valid_until != 0 && offer.valid_until < now {
            let why = format!("it expired at {}; ask again", offer.valid_until);
            return Err(Objection::new(Rule::Offer, why));
        }
        let by = signer(&artifact, offer_digest(&offer))
            .map_err(|why| Objection::new(Rule::Offer, why))?;
        kept.get_or_insert_with(|| Signed { json: value.clone(), by, hash: hash(value) });
    }
    Ok(kept)
}

/// The receipt of a settlement, if it is one for this payment.
///
/// # Errors
/// An [`Objection`] to a receipt that says something else.
pub(crate) fn receipt(
    settlement: &SettlementResponse,
    terms: &Terms,
    resource: &Url,
    payer: Address,
) -> Result<Option<Signed>, Objection> {
    let value = settlement.extensions.get(OFFER_RECEIPT);
    let Some(value) = value.and_then(|value| value.pointer("/info/receipt")) else {
        return Ok(None);
    };
    let objection = |why: &str| Err(Objection::new(Rule::Receipt, why));
    let Ok(artifact) = Artifact::deserialize(value) else { return objection("it is no receipt") };
    let receipt = payload(&artifact).and_then(|payload| Receipt::deserialize(&payload).ok());
    let Some(receipt) = receipt else { return objection("it cannot be read") };
    if receipt.version != 1 {
        return objection("it is of a version other than 1");
    }
    if network(&receipt.network) != Some(terms.amount.asset.chain) {
        return objection("it is for another network");
    }
    if receipt.payer.parse() != Ok(payer) {
        return objection("it is for another payer");
    }
    if !same_url(&receipt.resource_url, resource.as_str()) {
        return objection("it is for another resource");
    }
    let transaction = &receipt.transaction;
    if !transaction.is_empty() && !transaction.eq_ignore_ascii_case(&settlement.transaction) {
        return objection("it names another transaction than the answer that it came with");
    }
    let by = signer(&artifact, receipt_digest(&receipt))
        .map_err(|why| Objection::new(Rule::Receipt, why))?;
    Ok(Some(Signed { json: value.clone(), by, hash: hash(value) }))
}

fn offers(extensions: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let offers = extensions.get(OFFER_RECEIPT).and_then(|value| value.pointer("/info/offers"));
    offers.and_then(Value::as_array).into_iter().flatten().take(MAX_OFFERS)
}

/// The signed part: given beside an EIP-712 signature, inside a JWS.
fn payload(artifact: &Artifact) -> Option<Value> {
    match artifact.format.as_str() {
        "eip712" => Some(artifact.payload.clone()),
        "jws" => {
            let mut parts = artifact.signature.split('.');
            let (_, body, _) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
        }
        _ => None,
    }
}

/// What an offer says otherwise than the entry that it is said to be for.
fn differs(offer: &Offer, entry: &PaymentRequirements, resource: &str) -> Option<String> {
    let same_address = |one: &str, other: &str| {
        one == other
            || matches!((one.parse::<Address>(), other.parse::<Address>()), (Ok(a), Ok(b)) if a == b)
    };
    let said = if offer.version != 1 {
        ("version", offer.version.to_string())
    } else if offer.scheme != entry.scheme {
        ("scheme", offer.scheme.clone())
    } else if offer.network != entry.network {
        ("network", offer.network.clone())
    } else if !same_address(&offer.asset, &entry.asset) {
        ("asset", offer.asset.clone())
    } else if !same_address(&offer.pay_to, &entry.pay_to) {
        ("payTo", offer.pay_to.clone())
    } else if offer.amount != entry.amount {
        ("amount", offer.amount.clone())
    } else if !same_url(&offer.resource_url, resource) {
        ("resourceUrl", offer.resource_url.clone())
    } else {
        return None;
    };
    Some(format!("it was signed for the {} {}", said.0, shortened(&said.1)))
}

fn same_url(one: &str, other: &str) -> bool {
    one == other || matches!((Url::parse(one), Url::parse(other)), (Ok(a), Ok(b)) if a == b)
}

/// Who signed, where that can be told.
fn signer(artifact: &Artifact, digest: B256) -> Result<Option<Address>, String> {
    if artifact.format != "eip712" {
        return Ok(None);
    }
    let bytes = hex::decode(&artifact.signature)
        .map_err(|_| "its signature is not hexadecimal".to_owned())?;
    recover(digest, &bytes).map(Some).map_err(|error| format!("its signature: {error}"))
}

fn hash(value: &Value) -> B256 {
    B256::from_slice(&Sha256::digest(value.to_string()))
}

/// EIP-712 in the domain of an artifact: a name, version 1 and, whatever the payment's chain, 1.
fn typed(name: &str, type_text: &str, fields: &[B256]) -> B256 {
    let domain = keccak256(
        [
            keccak256("EIP712Domain(string name,string version,uint256 chainId)"),
            keccak256(name),
            keccak256("1"),
            B256::from(U256::from(1)),
        ]
        .concat(),
    );
    let mut body = keccak256(type_text).to_vec();
    fields.iter().for_each(|field| body.extend_from_slice(field.as_slice()));
    keccak256([&[0x19, 0x01], domain.as_slice(), keccak256(body).as_slice()].concat())
}

fn offer_digest(offer: &Offer) -> B256 {
    let word = |number: u64| B256::from(U256::from(number));
    typed(
        "x402 offer",
        "Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,\
         string payTo,string amount,uint256 validUntil)",
        &[
            word(offer.version),
            keccak256(&offer.resource_url),
            keccak256(&offer.scheme),
            keccak256(&offer.network),
            keccak256(&offer.asset),
            keccak256(&offer.pay_to),
            keccak256(&offer.amount),
            word(offer.valid_until),
        ],
    )
}

fn receipt_digest(receipt: &Receipt) -> B256 {
    let word = |number: u64| B256::from(U256::from(number));
    typed(
        "x402 receipt",
        "Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,\
         string transaction)",
        &[
            word(receipt.version),
            keccak256(&receipt.network),
            keccak256(&receipt.resource_url),
            keccak256(&receipt.payer),
            word(receipt.issued_at),
            keccak256(&receipt.transaction),
        ],
    )
}
