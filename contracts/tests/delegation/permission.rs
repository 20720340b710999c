//! What an agent may do with a permission, and by which terms the framework's own enforcers judge.

use crate::estate::{DAY, Estate, MIDNIGHT, leaf};
use alloy_primitives::{Address, Bytes, U256};
use marque_contracts::{
    IERC20,
    delegation::{
        AllowedCalldata, AllowedMethods, AllowedTargets, Caveat, Delegation, Erc20Period,
        Erc20Total, Execution, LimitedCalls, NativePeriod, Permission, Redeemers, Terms, Timestamp,
        ValueLte,
        binding::{
            IDelegationManager, IErc20PeriodEnforcer, IErc20TotalEnforcer, ILimitedCallsEnforcer,
            IMultiSigAccount,
        },
        redeem, separator,
    },
    permit2::IERC20Approve,
};
use serde_json::json;

fn caveat(estate: &Estate, terms: &impl Terms) -> Caveat {
    terms.caveat(&estate.framework)
}

#[test]
fn delegations_have_the_hash_and_the_domain_of_the_manager() {
    let estate = Estate::found();
    let (chain, framework) = (&estate.chain, &estate.framework);
    let domain = chain.call(framework.manager, IDelegationManager::getDomainHashCall {});
    assert_eq!(domain, Ok(separator(framework)));
    let plain = Delegation::root(estate.account, estate.agent);
    let full = plain
        .clone()
        .with(estate.nonce(7))
        .with(caveat(&estate, &AllowedTargets::new([estate.token, estate.payee]).unwrap()))
        .salted(U256::MAX);
    for delegation in [&plain, &full, &Delegation::below(&full, estate.helper)] {
        let call = IDelegationManager::getDelegationHashCall { delegation: delegation.into() };
        assert_eq!(chain.call(framework.manager, call), Ok(delegation.hash()));
    }
}

#[test]
fn an_agent_redeems_what_was_delegated_to_it_and_nobody_else_does() {
    let estate = Estate::found();
    let permission = estate.grant([caveat(&estate, &AllowedTargets::new([estate.token]).unwrap())]);
    let pay = estate.transfer(estate.payee, 5);
    assert_eq!(
        estate.answer_to(estate.stranger, &permission.redeem(&pay)),
        "the sender is not the delegate"
    );
    let receipt = estate.redeem(&permission, &pay);
    assert!(receipt.succeeded);
    assert_eq!(estate.got(), 5);
    let [event] = &receipt.events::<IDelegationManager::RedeemedDelegation>()[..] else { panic!() };
    assert_eq!((event.rootDelegator, event.redeemer), (estate.account, estate.agent));

    // A delegation that was changed, or that somebody else signed.
    let [signed] = &permission.delegations().cloned().collect::<Vec<_>>()[..] else { panic!() };
    let mut changed = signed.clone();
    changed.delegation.caveats.clear();
    let changed = Permission::new([changed]).unwrap();
    let refused = "a delegation is not signed as its account demands";
    assert_eq!(estate.answer(&changed, &pay), refused);
    let forged = Delegation::root(estate.stranger, estate.agent);
    let forged = forged.signed(signed.signature.clone());
    let forged = Permission::new([forged]).unwrap();
    assert_eq!(estate.answer(&forged, &pay), "a delegation is not signed by its delegator");
}

#[test]
fn several_redemptions_happen_all_or_none() {
    let estate = Estate::found();
    let once = estate.grant([caveat(&estate, &LimitedCalls::new(2).unwrap())]);
    let pay = estate.transfer(estate.payee, 5);
    let three = redeem([(&once, &pay), (&once, &pay), (&once, &pay)]);
    assert_eq!(estate.answer_to(estate.agent, &three), "LimitedCallsEnforcer:limit-exceeded");
    assert!(estate.send(estate.agent, redeem([(&once, &pay), (&once, &pay)])).succeeded);
    assert_eq!(estate.got(), 10);
    let delegation_hash = once.delegations().next().unwrap().delegation.hash();
    let count = ILimitedCallsEnforcer::callCountsCall {
        delegationManager: estate.framework.manager,
        delegationHash: delegation_hash,
    };
    assert_eq!(estate.chain.call(estate.framework.limited_calls, count), Ok(U256::from(2)));
}

#[test]
fn each_of_the_shipped_enforcers_judges_by_the_terms_that_are_encoded_here() {
    let estate = Estate::found();
    let (token, agent, payee) = (estate.token, estate.agent, estate.payee);
    estate.chain.rpc("anvil_setBalance", json!([estate.account, "0x64"])).unwrap();
    let now = estate.chain.now();
    let pay = |units| estate.transfer(payee, units);
    let approve =
        Execution::call(token, &IERC20Approve::approveCall { spender: agent, value: U256::ONE });
    let other = estate.transfer(estate.stranger, 5);
    let native = |wei| Execution::pay(payee, U256::from(wei));

    let cases: [(Caveat, Execution, Execution, &str); 10] = [
        (
            caveat(&estate, &AllowedTargets::new([payee, token]).unwrap()),
            pay(5),
            Execution::call(estate.account, &IMultiSigAccount::addSignerCall { newSigner: agent }),
            "AllowedTargetsEnforcer:target-address-not-allowed",
        ),
        (
            caveat(&estate, &AllowedMethods::only::<IERC20::transferCall>()),
            pay(5),
            approve.clone(),
            "AllowedMethodsEnforcer:method-not-allowed",
        ),
        (
            caveat(&estate, &AllowedCalldata::first_argument(payee)),
            pay(5),
            other,
            "AllowedCalldataEnforcer:invalid-calldata",
        ),
        (
            caveat(&estate, &ValueLte(U256::from(3))),
            native(3),
            native(4),
            "ValueLteEnforcer:value-too-high",
        ),
        (caveat(&estate, &Timestamp::between(now - 1, now + 500).unwrap()), pay(5), pay(5), ""),
        (caveat(&estate, &Redeemers::new([estate.stranger, agent]).unwrap()), pay(5), pay(5), ""),
        (
            caveat(&estate, &Erc20Total::new(token, U256::from(9)).unwrap()),
            pay(9),
            pay(10),
            "ERC20TransferAmountEnforcer:allowance-exceeded",
        ),
        (
            caveat(&estate, &Erc20Period::new(token, U256::from(9), DAY, now).unwrap()),
            pay(9),
            pay(10),
            "ERC20PeriodTransferEnforcer:transfer-amount-exceeded",
        ),
        (
            caveat(&estate, &NativePeriod::new(U256::from(9), DAY, now).unwrap()),
            native(9),
            native(10),
            "NativeTokenPeriodTransferEnforcer:transfer-amount-exceeded",
        ),
        (estate.nonce(0), pay(5), pay(5), ""),
    ];
    for (caveat, good, bad, why) in cases {
        let permission = estate.grant([caveat]);
        assert_eq!(estate.answer(&permission, &good), "accepted", "{why}");
        if !why.is_empty() {
            assert_eq!(estate.answer(&permission, &bad), why);
        }
    }
    let refused: [(Caveat, &str); 3] = [
        (
            caveat(&estate, &Timestamp::until(now - 1).unwrap()),
            "TimestampEnforcer:expired-delegation",
        ),
        (
            caveat(&estate, &Timestamp::between(now + 100, now + 500).unwrap()),
            "TimestampEnforcer:early-delegation",
        ),
        (
            caveat(&estate, &Redeemers::new([estate.stranger]).unwrap()),
            "RedeemerEnforcer:unauthorized-redeemer",
        ),
    ];
    for (caveat, why) in refused {
        assert_eq!(estate.answer(&estate.grant([caveat]), &pay(5)), why);
    }
    assert_eq!(
        estate.answer(&estate.grant([estate.nonce(1)]), &pay(5)),
        "NonceEnforcer:invalid-nonce"
    );

    // What a status reads.
    let total = estate.grant([caveat(&estate, &Erc20Total::new(token, U256::from(9)).unwrap())]);
    assert!(estate.redeem(&total, &pay(4)).succeeded);
    let (manager, hash) = (estate.framework.manager, leaf(&total).hash());
    let spent =
        IErc20TotalEnforcer::spentMapCall { delegationManager: manager, delegationHash: hash };
    assert_eq!(estate.chain.call(estate.framework.erc20_total, spent), Ok(U256::from(4)));
    let terms = Erc20Period::new(token, U256::from(9), DAY, now).unwrap();
    let period = estate.grant([caveat(&estate, &terms)]);
    assert!(estate.redeem(&period, &pay(4)).succeeded);
    let left = IErc20PeriodEnforcer::getAvailableAmountCall {
        delegationHash: leaf(&period).hash(),
        delegationManager: manager,
        terms: terms.encode(),
    };
    let left = estate.chain.call(estate.framework.erc20_period, left).unwrap();
    assert_eq!(left.availableAmount, U256::from(5));
}

#[test]
fn a_timestamp_is_valid_strictly_inside_its_bounds() {
    let estate = Estate::found();
    let terms = Timestamp::between(MIDNIGHT, MIDNIGHT + 100).unwrap();
    let permission = estate.grant([caveat(&estate, &terms)]);
    let passed = [0, 1, 99, 100].map(|at| estate.pays(&permission, 1, MIDNIGHT + at));
    assert_eq!(passed, [false, true, true, false]);
}

#[test]
fn a_paused_manager_refuses_everything() {
    let estate = Estate::found();
    let permission = estate.grant([]);
    let pauser = estate.chain.call(estate.framework.manager, IDelegationManager::ownerCall {});
    let pause = Bytes::from_static(&[0x84, 0x56, 0xcb, 0x59]);
    assert!(estate.send(pauser.unwrap(), pause).succeeded);
    let pay = estate.transfer(estate.payee, 5);
    assert_eq!(estate.answer(&permission, &pay), "the delegation manager is paused");
    assert_eq!(
        estate.chain.call(estate.framework.manager, IDelegationManager::pausedCall {}),
        Ok(true)
    );
}

#[test]
fn a_contract_hands_on_by_its_own_judgement() {
    let estate = Estate::found();
    let wallet = Address::repeat_byte(0x77);
    estate.chain.put_trusting_wallet(wallet);
    let root = estate.sign(&Delegation::root(estate.account, wallet));
    let below = Delegation::below(&root.delegation, estate.helper).signed(vec![1]);
    let permission = Permission::new([below, root]).unwrap();
    assert_eq!(estate.answer(&permission, &estate.transfer(estate.payee, 5)), "accepted");
}
