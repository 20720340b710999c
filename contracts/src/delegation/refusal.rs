//! Why a chain refused a redemption, in words.

use super::binding::{
    IDelegationManager::IDelegationManagerErrors as Manager, IRollingSpendEnforcer,
};
use IRollingSpendEnforcer::IRollingSpendEnforcerErrors as Rolling;
use alloy_sol_types::{Revert, SolError as _, SolInterface as _};

/// What the data of a revert says; `None` where that is nothing known.
#[must_use]
pub fn refusal(data: &[u8]) -> Option<String> {
    if let Ok(error) = Rolling::abi_decode(data) {
        return Some(rolling(&error));
    }
    if let Ok(error) = Manager::abi_decode(data) {
        return Some(manager(&error).to_owned());
    }
    // The framework's own enforcers answer "Name:reason".
    Revert::abi_decode(data).ok().map(|revert| revert.reason)
}

fn rolling(error: &Rolling) -> String {
    match error {
        Rolling::ModeNotAllowed(_) => {
            "rolling limit: only a single call that must succeed".to_owned()
        }
        Rolling::InvalidTerms(_) => "rolling limit: its terms are none".to_owned(),
        Rolling::NotATransfer(_) => {
            "rolling limit: the call is no plain transfer of the asset".to_owned()
        }
        Rolling::PayeeNotAllowed(it) => format!("rolling limit: {} is no payee of it", it.payee),
        Rolling::LimitExceeded(it) => {
            let (amount, available) = (it.amount, it.available);
            let window = match it.window.to::<u64>() {
                0 => "a single transfer".to_owned(),
                super::Limit::FOREVER => "all transfers together".to_owned(),
                seconds => format!("its window of {seconds} s"),
            };
            format!("rolling limit: {amount} base units, and {window} has room for {available}")
        }
    }
}

const fn manager(error: &Manager) -> &'static str {
    match error {
        Manager::AlreadyDisabled(_) => "the delegation is revoked already",
        Manager::AlreadyEnabled(_) => "the delegation is not revoked",
        Manager::CannotUseADisabledDelegation(_) => "the delegation was revoked",
        Manager::EnforcedPause(_) => "the delegation manager is paused",
        Manager::InvalidAuthority(_) => "the delegations do not hand on one another",
        Manager::InvalidDelegate(_) => "the sender is not the delegate",
        Manager::InvalidDelegator(_) => "only its delegator may revoke a delegation",
        Manager::InvalidEOASignature(_) => "a delegation is not signed by its delegator",
        Manager::InvalidERC1271Signature(_) => "a delegation is not signed as its account demands",
    }
}
