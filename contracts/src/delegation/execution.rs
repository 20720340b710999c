//! What an account is to do: one call, in the packed form of ERC-7579.

use crate::IERC20;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;

/// The mode of ERC-7579 in which Marque executes: a single call, and its failure fails everything.
pub const SINGLE_CALL: B256 = B256::ZERO;

/// One call by an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Execution {
    /// Who is called.
    pub target: Address,
    /// With how many wei.
    pub value: U256,
    /// With which data.
    pub data: Bytes,
}

impl Execution {
    /// Gives `units` base units of the account's `token` to `payee`.
    #[must_use]
    pub fn transfer(token: Address, payee: Address, units: U256) -> Self {
        Self::call(token, &IERC20::transferCall { to: payee, value: units })
    }

    /// Gives `wei` of the account's native coin to `payee`.
    #[must_use]
    pub const fn pay(payee: Address, wei: U256) -> Self {
        Self { target: payee, value: wei, data: Bytes::new() }
    }

    /// Calls `target` without value.
    #[must_use]
    pub fn call(target: Address, call: &impl SolCall) -> Self {
        Self { target, value: U256::ZERO, data: call.abi_encode().into() }
    }

    /// Target (20 bytes), value (32 bytes), data.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        [self.target.as_slice(), &self.value.to_be_bytes::<32>(), &self.data].concat().into()
    }
}
