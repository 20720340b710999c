//! Contracts of our own that have the same address on every chain, because of what they are: a
//! deployer that is on every chain, and on every anvil, derives it from their creation code.
//!
//! So an address that Marque computes stands for the code that Marque ships, and anybody may deploy it.

use crate::{Contract, bytecode};
use alloy_primitives::{Address, B256, Bytes, address};

/// The deterministic deployment proxy: takes a salt and creation code as plain data.
pub const DEPLOYER: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Where `creation` is once it was deployed under `salt`.
pub(super) fn address_of(salt: B256, creation: &[u8]) -> Address {
    DEPLOYER.create2_from_code(salt, creation)
}

/// The data of the transaction to [`DEPLOYER`] that deploys `creation`.
pub(super) fn deployment(salt: B256, creation: &[u8]) -> Bytes {
    [salt.as_slice(), creation].concat().into()
}

/// Where the `RollingSpendEnforcer` is, and the data of the transaction to [`DEPLOYER`] that puts it
/// there. It has no owner and no settings, so it does not matter who sends that.
#[must_use]
pub fn rolling_spend_enforcer() -> (Address, Bytes) {
    let creation = bytecode(Contract::RollingSpendEnforcer);
    (address_of(B256::ZERO, &creation), deployment(B256::ZERO, &creation))
}
