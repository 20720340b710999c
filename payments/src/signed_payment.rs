//! What a payer signed, in the form in which a steward is asked to settle it.

use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Intent, Money,
    intent::{Settle, SettlePermit},
};

/// A signed payment that pays somebody once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedPayment {
    /// By EIP-3009: all of it or nothing.
    Authorisation(Settle),
    /// By Permit2: under `upto`, as much of it as was used.
    Permit(SettlePermit),
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

impl SignedPayment {
    /// Who pays.
    #[must_use]
    pub const fn from(&self) -> Address {
        match self {
            Self::Authorisation(settle) => settle.from,
            Self::Permit(settle) => settle.from,
        }
    }

    /// Who is paid.
    #[must_use]
    pub const fn to(&self) -> Address {
        match self {
            Self::Authorisation(settle) => settle.to,
            Self::Permit(settle) => settle.to,
        }
    }

    /// The most that it pays.
    #[must_use]
    pub const fn amount(&self) -> Money {
        match self {
            Self::Authorisation(settle) => settle.amount,
            Self::Permit(settle) => settle.amount,
        }
    }

    /// What is taken of it.
    #[must_use]
    pub const fn charge(&self) -> Money {
        match self {
            Self::Authorisation(settle) => settle.amount,
            Self::Permit(settle) => settle.charge,
        }
    }

    /// The same, of which so much is taken, and never more than it pays. What pays all or nothing
    /// stays as it is.
    #[must_use]
    pub fn charging(mut self, units: U256) -> Self {
        if let Self::Permit(settle) = &mut self
            && settle.via.facilitator().is_some()
        {
            settle.charge.units = units.min(settle.amount.units);
        }
        self
    }

    /// Unix seconds of block time from about which it is valid: for EIP-3009 after it, for Permit2
    /// from it on.
    #[must_use]
    pub const fn valid_after(&self) -> u64 {
        match self {
            Self::Authorisation(settle) => settle.valid_after,
            Self::Permit(settle) => settle.valid_after,
        }
    }

    /// Unix seconds of block time before which it is valid, to the second.
    #[must_use]
    pub const fn valid_before(&self) -> u64 {
        match self {
            Self::Authorisation(settle) => settle.valid_before,
            Self::Permit(settle) => settle.deadline,
        }
    }

    /// What it buys.
    #[must_use]
    pub fn resource(&self) -> &str {
        match self {
            Self::Authorisation(settle) => &settle.resource,
            Self::Permit(settle) => &settle.resource,
        }
    }

    /// What a steward is asked.
    #[must_use]
    pub fn intent(&self) -> Intent {
        match self {
            Self::Authorisation(settle) => Intent::Settle(settle.clone()),
            Self::Permit(settle) => Intent::SettlePermit(settle.clone()),
        }
    }

    /// The claim that a steward was asked to settle, if the intent is one.
    #[must_use]
    pub fn of(intent: &Intent) -> Option<Self> {
        match intent {
            Intent::Settle(settle) => Some(Self::Authorisation(settle.clone())),
            Intent::SettlePermit(settle) => Some(Self::Permit(settle.clone())),
            _ => None,
        }
    }

    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Authorisation(settle) => Key {
                asset: settle.amount.asset,
                from: settle.from,
                nonce: settle.nonce,
                permit: false,
            },
            Self::Permit(settle) => Key {
                asset: settle.amount.asset,
                from: settle.from,
                nonce: settle.nonce.into(),
                permit: true,
            },
        }
    }
}
