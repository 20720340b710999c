//! How permissions end.

use crate::estate::{DAY, Estate, dollars, gas_used, leaf};
use alloy_primitives::U256;
use marque_contracts::delegation::{
    Execution, Permission, Terms as _,
    binding::{IDelegationManager, INonceEnforcer},
    kill_switch, revoke, revoke_all,
};

#[test]
fn a_revoked_delegation_is_dead_and_so_is_what_hands_it_on() {
    let estate = Estate::found();
    let limits = || estate.limits().window(DAY, dollars(10));
    let permission = estate.grant_limits(limits());
    let below = estate.hand_on(&permission, limits());
    let other = estate.grant([estate.nonce(0)]);
    let pay = estate.transfer(estate.payee, 5);
    assert_eq!(estate.answer(&below, &pay), "accepted");

    // Only the account can; it is the owner who has it do so.
    let execution = revoke(&estate.framework, leaf(&permission));
    let send = |from| estate.chain.send(from, Some(execution.target), execution.data.clone());
    assert!(!send(estate.agent).succeeded && !send(estate.owner).succeeded);
    let receipt = estate.owner_does(&execution);
    println!("gas: revoking one delegation {}", gas_used(&estate.chain));
    assert_eq!(receipt.events::<IDelegationManager::DisabledDelegation>().len(), 1);
    for dead in [&permission, &below] {
        assert_eq!(estate.answer(dead, &pay), "the delegation was revoked");
    }
    let call =
        IDelegationManager::disabledDelegationsCall { delegationHash: leaf(&permission).hash() };
    assert_eq!(estate.chain.call(estate.framework.manager, call), Ok(true));
    assert_eq!(estate.answer(&other, &pay), "accepted");
}

#[test]
fn a_raised_nonce_revokes_every_delegation_that_names_it() {
    let estate = Estate::found();
    let limits = || estate.limits().window(DAY, dollars(10));
    let first = estate.grant([estate.nonce(0)]);
    let second =
        estate.grant([limits().build().unwrap().caveat(&estate.framework), estate.nonce(0)]);
    let below = estate.hand_on(&second, limits());
    let pay = estate.transfer(estate.payee, 5);
    for alive in [&first, &second, &below] {
        assert_eq!(estate.answer(alive, &pay), "accepted");
    }
    // Raising one's own does nothing to the account's.
    let own = revoke_all(&estate.framework);
    assert!(estate.chain.send(estate.agent, Some(own.target), own.data.clone()).succeeded);
    assert_eq!(estate.answer(&first, &pay), "accepted");
    let receipt = estate.owner_does(&own);
    println!("gas: revoking all delegations {}", gas_used(&estate.chain));
    assert_eq!(receipt.events::<INonceEnforcer::UsedNonce>().len(), 1);
    for dead in [&first, &second, &below] {
        assert_eq!(estate.answer(dead, &pay), "NonceEnforcer:invalid-nonce");
    }
    assert_eq!(estate.answer(&estate.grant([estate.nonce(1)]), &pay), "accepted");
}

#[test]
fn a_kill_switch_revokes_all_once_and_does_nothing_else() {
    let estate = Estate::found();
    let agents = estate.grant([estate.nonce(0)]);
    let switch = kill_switch(&estate.framework, estate.account, U256::ZERO).unwrap();
    let switch = Permission::new([estate.sign(&switch)]).unwrap();
    let pay = estate.transfer(estate.payee, 5);
    let data = |execution| switch.redeem(execution);
    let from = estate.stranger;
    assert_eq!(
        estate.answer_to(from, &data(&pay)),
        "AllowedTargetsEnforcer:target-address-not-allowed"
    );
    let elsewhere = INonceEnforcer::incrementNonceCall { delegationManager: from };
    let elsewhere = Execution::call(estate.framework.nonce, &elsewhere);
    assert_eq!(
        estate.answer_to(from, &data(&elsewhere)),
        "AllowedCalldataEnforcer:invalid-calldata"
    );
    let message = data(&revoke_all(&estate.framework));
    println!("kill switch: {} bytes of data", message.len());
    let receipt = estate.send(from, message.clone());
    println!("gas: kill switch {}", gas_used(&estate.chain));
    assert!(receipt.succeeded);
    assert_eq!(estate.answer(&agents, &pay), "NonceEnforcer:invalid-nonce");
    assert_eq!(estate.answer_to(from, &message), "NonceEnforcer:invalid-nonce");
}
