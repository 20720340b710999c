//! What a payer signed, in the form in which a steward is asked to settle it.

use alloy_primitives::{Address, B256, U256};
use marque_policies::{AssetId, Intent, Money, intent::Settle};

/// A signed payment that pays somebody once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// By EIP-3009.
    Authorisation(Settle),
}

/// Which signed payment it is: the chain takes this payer's nonce once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) asset: AssetId,
    pub(crate) from: Address,
    pub(crate) nonce: B256,
    /// Permit2 counts nonces apart from the token.
    pub(crate) permit: bool,
}

impl Claim {
    /// Who pays.
    #[must_use]
    pub const fn from(&self) -> Address {
        match self {
            Self::Authorisation(settle) => settle.from,
        }
    }

    /// The most that it pays.
    #[must_use]
    pub const fn amount(&self) -> Money {
        match self {
            Self::Authorisation(settle) => settle.amount,
        }
    }

    /// What is taken of it.
    #[must_use]
    pub const fn charge(&self) -> Money {
        match self {
            Self::Authorisation(settle) => settle.amount,
        }
    }

    /// The same, of which so much is taken; never more than it pays. By EIP-3009 it is all or nothing.
    #[must_use]
    pub fn charging(self, units: U256) -> Self {
        let _ = units;
        self
    }

    /// Unix seconds of block time after which it is valid.
    #[must_use]
    pub const fn valid_after(&self) -> u64 {
        match self {
            Self::Authorisation(settle) => settle.valid_after,
        }
    }

    /// Unix seconds of block time before which it is valid.
    #[must_use]
    pub const fn valid_before(&self) -> u64 {
        match self {
            Self::Authorisation(settle) => settle.valid_before,
        }
    }

    /// What it buys.
    #[must_use]
    pub fn resource(&self) -> &str {
        match self {
            Self::Authorisation(settle) => &settle.resource,
        }
    }

    /// What a steward is asked.
    #[must_use]
    pub fn intent(&self) -> Intent {
        match self {
            Self::Authorisation(settle) => Intent::Settle(settle.clone()),
        }
    }

    pub(crate) const fn key(&self) -> Key {
        match self {
            Self::Authorisation(settle) => Key {
                asset: settle.amount.asset,
                from: settle.from,
                nonce: settle.nonce,
                permit: false,
            },
        }
    }
}
