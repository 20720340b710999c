//! The JSON objects of x402 v2, field by field as the specification names them.

use alloy_primitives::{Address, B256, Bytes, U256};
use marque_contracts::permit2::Permit;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a seller asks before it serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is sold.
    pub resource: Resource,
    /// The ways to pay, any one of which will do.
    pub accepts: Vec<PaymentRequirements>,
    /// Optional protocols beside the core, by name: `{info, schema}` each.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its URL.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is delivered as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Everything else that was said, kept so that an echo is exact.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One way to pay. Text as it came: [`PaymentRequirements::terms`] says whether we understand it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact`, `upto`, ...
    pub scheme: String,
    /// CAIP-2: `eip155:84532`.
    pub network: String,
    /// Base units of the asset, in decimal.
    pub amount: String,
    /// On EVM chains the token contract.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// How long the seller takes to complete a payment, in seconds.
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides; for `exact` the token's EIP-712 `name` and `version`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
    /// Everything else that was said, kept so that an echo is exact.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a buyer signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// What is bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// The way to pay that was chosen, exactly as the seller offered it.
    pub accepted: PaymentRequirements,
    /// What the scheme needs; for `exact` with EIP-3009 an [`ExactPayload`].
    pub payload: Value,
    /// The seller's extensions, echoed; a buyer may append to them, never alter them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// The `payload` of scheme `exact` by EIP-3009.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactPayload {
    /// 65 bytes `r || s || v`.
    pub signature: Bytes,
    /// What is signed.
    pub authorization: ExactAuthorization,
}

/// The fields of an EIP-3009 `TransferWithAuthorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExactAuthorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// Base units of the asset.
    #[serde(with = "marque_policies::money::decimal")]
    pub value: U256,
    /// Unix seconds of block time after which it is valid.
    #[serde(with = "seconds")]
    pub valid_after: u64,
    /// Unix seconds of block time before which it is valid.
    #[serde(with = "seconds")]
    pub valid_before: u64,
    /// Chosen by the payer; the token accepts it once.
    pub nonce: B256,
}

/// The `payload` of schemes `exact` and `upto` by Permit2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permit2Payload {
    /// 65 bytes `r || s || v`.
    pub signature: Bytes,
    /// What is signed.
    #[serde(rename = "permit2Authorization")]
    pub authorization: Permit2Authorization,
}

/// The fields of a Permit2 `PermitWitnessTransferFrom` under an x402 proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permit2Authorization {
    /// Who pays.
    pub from: Address,
    /// What may be taken at most.
    pub permitted: Permitted,
    /// The x402 proxy that may take it.
    pub spender: Address,
    /// Chosen by the payer; Permit2 accepts it once. Written in decimal, read in both notations.
    #[serde(with = "number")]
    pub nonce: U256,
    /// Unix seconds of block time until which it is valid.
    #[serde(with = "seconds")]
    pub deadline: u64,
    /// What the proxy is bound to.
    pub witness: Permit2Witness,
}

impl Permit2Authorization {
    /// The permit that is signed. Which proxy may spend it follows from the witness: whether that is
    /// the one that is named here is for the caller to see.
    #[must_use]
    pub const fn permit(&self) -> Permit {
        let Self { from, permitted, nonce, deadline, witness, spender: _ } = *self;
        Permit {
            from,
            to: witness.to,
            token: permitted.token,
            amount: permitted.amount,
            facilitator: witness.facilitator,
            valid_after: witness.valid_after,
            deadline,
            nonce,
        }
    }
}

/// A token and an amount of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permitted {
    /// The token contract.
    pub token: Address,
    /// Base units.
    #[serde(with = "marque_policies::money::decimal")]
    pub amount: U256,
}

/// What the proxy is bound to: the payee, from when, and for `upto` who may settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permit2Witness {
    /// Who is paid.
    pub to: Address,
    /// Under `upto`, the only account that may settle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facilitator: Option<Address>,
    /// Unix seconds of block time from which it is valid.
    #[serde(with = "seconds")]
    pub valid_after: u64,
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementResponse {
    /// Whether it is settled.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Transaction hash; empty if it is not settled.
    pub transaction: String,
    /// CAIP-2: `eip155:84532`.
    pub network: String,
    /// Base units that were moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Optional protocols beside the core.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// Serde for Unix seconds as a decimal string.
mod seconds {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(D::Error::custom(format!("\"{text}\" is not a number of seconds")));
        }
        text.parse().map_err(D::Error::custom)
    }
}

/// Serde for a 256-bit number: decimal when written, decimal or `0x` hex when read. The
/// specification's examples write one, its reference software the other.
mod number {
    use alloy_primitives::U256;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &U256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<U256, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (text.as_str(), 10),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| char::from(b).is_digit(radix));
        let number = plain.then(|| U256::from_str_radix(digits, radix.into()).ok()).flatten();
        number.ok_or_else(|| {
            D::Error::custom(format!("\"{text}\" is not a number of at most 256 bits"))
        })
    }
}
