//! Payments through Permit2, from both sides.
//!
//! A permit names a spender and a maximum, and carries a witness: whom an x402 proxy must pay, and,
//! for `upto`, who alone may settle it. The proxies have the same address on every chain, so an
//! intent names the scheme and never a spender.

use super::Labels;
use crate::money::Money;
use alloy_primitives::{Address, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Permit2 `PermitWitnessTransferFrom` from this agent. Deadline and nonce are the steward's and
/// no part of the intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitTransfer {
    /// The payee's name in the policy.
    pub payee: String,
    /// The address that is to receive the money; must be the one that the policy pins.
    #[schemars(with = "String")]
    pub to: Address,
    /// The most that is paid.
    pub amount: Money,
    /// The host that asked for it.
    pub host: String,
    /// What is bought: the resource's URL.
    pub resource: String,
    /// Which x402 proxy spends it.
    pub via: PermitVia,
    /// Where the terms came from.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// The x402 proxy that spends a permit, and the witness that is signed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum PermitVia {
    /// All of it is taken, whoever settles.
    Exact,
    /// At most as much is taken, and only by this facilitator.
    Upto {
        /// Who alone may settle.
        #[schemars(with = "String")]
        facilitator: Address,
    },
}

impl PermitVia {
    /// Who alone may settle, if the witness says so.
    #[must_use]
    pub const fn facilitator(self) -> Option<Address> {
        match self {
            Self::Exact => None,
            Self::Upto { facilitator } => Some(facilitator),
        }
    }
}

/// Somebody's signed Permit2 permit that pays this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettlePermit {
    /// Who pays.
    #[schemars(with = "String")]
    pub from: Address,
    /// Who is paid; must be this agent.
    #[schemars(with = "String")]
    pub to: Address,
    /// The most that was permitted.
    pub amount: Money,
    /// What is taken: all of it for `exact`, at most as much for `upto`, where it may be nothing;
    /// then nothing is sent.
    pub charge: Money,
    /// Which x402 proxy it was permitted to; for `upto` the facilitator must be this agent.
    pub via: PermitVia,
    /// Unix seconds of block time from which it is valid.
    pub valid_after: u64,
    /// Unix seconds of block time until which it is valid.
    pub deadline: u64,
    /// The permit's unordered nonce.
    #[serde(with = "crate::money::decimal")]
    #[schemars(with = "String")]
    pub nonce: U256,
    /// 65 bytes `r || s || v`, hex with `0x`. Usable only to pay us, hence not secret.
    pub signature: String,
    /// What is sold: the resource's URL.
    pub resource: String,
}
