//! How delegations end: one by one, all at once, and by anybody whom the owner gave the message for it.
//!
//! All of it is done by the account, so an owner redeems a delegation of the account for it. What was
//! signed off chain and never redeemed is revoked the same way.

use super::{
    AllowedCalldata, AllowedTargets, Delegation, DelegationError, Execution, Framework, Nonce,
    Terms as _, ValueLte,
    binding::{IDelegationManager, INonceEnforcer},
    message::ANYBODY,
};
use alloy_primitives::{Address, U256};

/// What the delegator executes to revoke `delegation`, and with it whatever hands it on.
#[must_use]
pub fn revoke(framework: &Framework, delegation: &Delegation) -> Execution {
    let call = IDelegationManager::disableDelegationCall { delegation: delegation.into() };
    Execution::call(framework.manager, &call)
}

/// What an account executes to revoke every delegation of its own that carries a [`Nonce`] caveat.
#[must_use]
pub fn revoke_all(framework: &Framework) -> Execution {
    Execution::call(framework.nonce, &increment(framework))
}

/// The kill switch: a delegation by which anybody can have `account` do [`revoke_all`], once, and
/// nothing else. Signed in advance, it needs no key where it is used, only gas. It carries the nonce
/// itself, so it ends with what it revokes.
///
/// # Errors
/// [`DelegationError::Terms`] where the framework has the zero address for a nonce enforcer.
pub fn kill_switch(
    framework: &Framework,
    account: Address,
    nonce: U256,
) -> Result<Delegation, DelegationError> {
    let only = AllowedCalldata::starting_with(&increment(framework));
    Ok(Delegation::root(account, ANYBODY)
        .with(AllowedTargets::new([framework.nonce])?.caveat(framework))
        .with(only.caveat(framework))
        .with(ValueLte::NOTHING.caveat(framework))
        .with(Nonce(nonce).caveat(framework)))
}

const fn increment(framework: &Framework) -> INonceEnforcer::incrementNonceCall {
    INonceEnforcer::incrementNonceCall { delegationManager: framework.manager }
}
