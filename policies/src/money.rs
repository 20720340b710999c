//! Money as the chain counts it: an integer of base units and the asset they are of.
//!
//! There is no floating point in this crate and no addition across assets. A text with more
//! digits than the asset has is refused, never rounded.

use alloy_primitives::{Address, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One fungible asset: a token contract on a chain, or that chain's native coin.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct AssetId {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Token contract; the zero address stands for the chain's native coin.
    #[schemars(with = "String")]
    pub token: Address,
}

impl AssetId {
    /// The native coin of `chain`, in wei.
    #[must_use]
    pub const fn native(chain: u64) -> Self {
        Self { chain, token: Address::ZERO }
    }

    /// Whether this is the chain's native coin.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.token.is_zero()
    }
}

/// An amount of one asset, in that asset's base units (for USDC: 10^-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Base units; a decimal string on the wire, because JSON numbers lose digits.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub units: U256,
    /// What the units are of.
    pub asset: AssetId,
}

/// Why an amount could not be read or added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Two amounts of different assets.
    #[error("amounts of different assets cannot be added")]
    AssetMismatch,
    /// Past 2^256 - 1.
    #[error("the sum does not fit into 256 bits")]
    Overflow,
    /// Not a plain decimal number.
    #[error("\"{0}\" is not an amount; write digits with at most one point, such as \"2.50\"")]
    NotANumber(String),
    /// More digits after the point than the asset has.
    #[error("\"{text}\" has {digits} digits after the point, but the asset has {decimals}")]
    TooFine {
        /// The text as written.
        text: String,
        /// Digits after the point.
        digits: usize,
        /// Digits that the asset has.
        decimals: u8,
    },
}

impl Money {
    /// An amount of `units` base units of `asset`.
    #[must_use]
    pub const fn new(units: U256, asset: AssetId) -> Self {
        Self { units, asset }
    }

    /// Adds two amounts of the same asset.
    ///
    /// # Errors
    /// [`MoneyError::AssetMismatch`] for different assets, [`MoneyError::Overflow`] past 2^256 - 1.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.asset != other.asset {
            return Err(MoneyError::AssetMismatch);
        }
        let units = self.units.checked_add(other.units).ok_or(MoneyError::Overflow)?;
        Ok(Self { units, asset: self.asset })
    }
}

/// Reads a decimal text such as `"2.50"` as base units of an asset with `decimals` digits.
///
/// Accepts ASCII digits with at most one point, a digit on each side of it. No sign, no exponent,
/// no separators, no white space.
///
/// # Errors
/// [`MoneyError::NotANumber`], [`MoneyError::TooFine`] (never rounds) or [`MoneyError::Overflow`].
pub fn parse_units(text: &str, decimals: u8) -> Result<U256, MoneyError> {
    let not_a_number = || MoneyError::NotANumber(text.to_owned());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(not_a_number()),
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(not_a_number());
    }
    if fraction.len() > usize::from(decimals) {
        return Err(MoneyError::TooFine {
            text: text.to_owned(),
            digits: fraction.len(),
            decimals,
        });
    }
    let digits = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
    U256::from_str_radix(&digits, 10).map_err(|_| MoneyError::Overflow)
}

/// Writes base units as the shortest decimal text with at least two digits after the point
/// (where the asset has that many): `20000` of 6 decimals is `0.02`.
#[must_use]
pub fn format_units(units: U256, decimals: u8) -> String {
    let width = usize::from(decimals);
    // Nearly every amount fits into 64 bits, which are written several times as fast.
    let digits = match u64::try_from(units) {
        Ok(units) => units.to_string(),
        Err(_) => units.to_string(),
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(width));
    let zeros = width - fraction.len();
    let significant = match fraction.trim_end_matches('0').len() {
        0 => 0,
        digits => zeros + digits,
    };
    let kept = significant.max(width.min(2));

    let mut text = String::with_capacity(whole.len() + kept + 2);
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if kept > 0 {
        text.push('.');
        text.extend(std::iter::repeat_n('0', zeros.min(kept)));
        text.push_str(fraction.get(..kept.saturating_sub(zeros)).unwrap_or_default());
    }
    text
}

/// An amount that a person would type: two digits, and no less; `123` is `130`.
#[must_use]
pub fn round_up(units: U256) -> U256 {
    let digits = units.to_string().len();
    let step = U256::from(10).saturating_pow(U256::from(digits.saturating_sub(2)));
    units.div_ceil(step).saturating_mul(step)
}

/// Serde for a [`U256`] as a decimal string.
pub mod decimal {
    use super::U256;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes the decimal digits as a string.
    ///
    /// # Errors
    /// Whatever the serialiser answers.
    pub fn serialize<S: Serializer>(units: &U256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(units)
    }

    /// Reads decimal digits, and nothing else, from a string.
    ///
    /// # Errors
    /// Anything that is not a canonical decimal number of at most 256 bits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
        let text = String::deserialize(deserializer)?;
        let canonical = text == "0" || (!text.is_empty() && !text.starts_with('0'));
        if !canonical || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(D::Error::custom(format!("\"{text}\" is not a decimal number")));
        }
        U256::from_str_radix(&text, 10).map_err(D::Error::custom)
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_native() {
            write!(f, "eip155:{}/native", self.chain)
        } else {
            write!(f, "eip155:{}/erc20:{}", self.chain, self.token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_a_person_would_type_has_two_digits_and_is_enough() {
        let cases: [(u64, u64); 6] = [
            (0, 0),
            (7, 7),
            (10, 10),
            (123, 130),
            (999, 1_000),
            (3_000_000_000_001, 3_100_000_000_000),
        ];
        for (units, rounded) in cases {
            assert_eq!(round_up(U256::from(units)), U256::from(rounded), "{units}");
        }
        assert_eq!(round_up(U256::MAX), U256::MAX, "there is nothing above it");
    }
}
