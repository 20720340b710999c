//! The framework's contracts as they are deployed, and owners' accounts on them.

use crate::{
    estate::{Estate, code, dollars},
    support::Chain,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use marque_contracts::{
    Contract, TestDollar, bytecode,
    delegation::{
        ACCOUNT_PROXY, DEPLOYER, Delegation, DelegationError, Framework, OwnerAccount,
        PUBLIC_CHAINS, Part, Permission, binding::IMultiSigAccount, rolling_spend_enforcer,
    },
    recover,
};

#[test]
fn the_code_on_a_chain_is_compared_with_what_is_known() {
    let estate = Estate::found();
    let framework = estate.framework;
    for (part, at) in framework.parts() {
        let code = code(&estate.chain, at);
        assert_eq!(framework.check(part, &code), Ok(()), "{part:?}");
        let mut other = code.to_vec();
        other[40] ^= 1;
        let refusal = DelegationError::OtherCode { part, at };
        assert_eq!(framework.check(part, &other), Err(refusal), "{part:?}");
        assert_eq!(framework.check(part, &[]), Err(DelegationError::NoCode { part, at }));
    }
    assert_eq!(framework.rolling_spend, rolling_spend_enforcer().0);

    // The same bodies, and what their constructors wrote is not what this framework says.
    let (manager, account) =
        (code(&estate.chain, framework.manager), code(&estate.chain, framework.account));
    let elsewhere = Framework { manager: estate.stranger, ..framework };
    assert!(elsewhere.check(Part::Manager, &manager).is_err());
    assert!(elsewhere.check(Part::Account, &account).is_err());
    let entered = Framework { entry_point: estate.stranger, ..framework };
    assert!(entered.check(Part::Account, &account).is_err());
    // A name of ours where a value should be.
    let this = framework.manager.into_word();
    let place = manager.windows(32).position(|word| word == this.as_slice()).unwrap();
    let mut named = manager.to_vec();
    named[place..place + 32].copy_from_slice(keccak256("this").as_slice());
    assert!(framework.check(Part::Manager, &named).is_err());
    let crossed = Framework { chain: 1, ..framework };
    assert!(crossed.check(Part::Manager, &manager).is_err());
}

#[test]
fn an_account_is_where_it_was_said_to_be_and_is_its_owners() {
    let estate = Estate::found();
    let (chain, framework, at) = (&estate.chain, &estate.framework, estate.account);
    assert_eq!(keccak256(code(chain, at)), ACCOUNT_PROXY);
    let implementation = chain.call(at, IMultiSigAccount::getImplementationCall {});
    assert_eq!(implementation, Ok(framework.account));
    assert_eq!(chain.call(at, IMultiSigAccount::getSignersCall {}), Ok(vec![estate.owner]));
    assert_eq!(chain.call(at, IMultiSigAccount::getThresholdCall {}), Ok(U256::ONE));
    let manager = chain.call(at, IMultiSigAccount::delegationManagerCall {});
    assert_eq!(manager, Ok(framework.manager));
    let again =
        IMultiSigAccount::initializeCall { signers: vec![estate.stranger], threshold: U256::ONE };
    assert!(!chain.transact(estate.stranger, at, again).succeeded);
    // The implementation itself is nobody's.
    let call =
        IMultiSigAccount::initializeCall { signers: vec![estate.stranger], threshold: U256::ONE };
    assert!(!chain.transact(estate.stranger, framework.account, call).succeeded);
}

#[test]
fn an_account_of_several_owners_needs_as_many_signatures_as_it_says() {
    let estate = Estate::found();
    let owners = [estate.owner, estate.helper, estate.stranger];
    let account = OwnerAccount::new(owners, 2, B256::repeat_byte(1)).unwrap();
    let data = account.deployment(&estate.framework);
    assert!(estate.chain.send(estate.payee, Some(DEPLOYER), data).succeeded);
    let at = account.address(&estate.framework);
    let mint = TestDollar::mintCall { to: at, value: dollars(1) };
    assert!(estate.chain.transact(estate.payee, estate.token, mint).succeeded);
    let delegation = Delegation::root(at, estate.agent);
    let digest = delegation.digest(&estate.framework);
    let signature = |owner: Address| {
        // Each as if it were its own delegator: the digest is what counts.
        let signed = estate.sign_digest_of(&delegation, owner);
        assert_eq!(recover(digest, &signed), Ok(owner));
        signed
    };
    let [a, b, c] = owners.map(signature);
    let mut v0 = c.clone();
    v0[64] -= 27;
    let pay = estate.transfer(estate.payee, 5);
    for pair in [[&a, &b], [&b, &a], [&v0, &a]] {
        let joined = account.signature(digest, pair.map(|it| &it[..])).unwrap();
        let permission = Permission::new([delegation.clone().signed(joined)]).unwrap();
        assert_eq!(estate.answer(&permission, &pay), "accepted");
    }
    assert!(account.signature(digest, [&a[..]]).is_err());
    assert!(account.signature(digest, [&a[..], &a[..]]).is_err());
    let alone = Permission::new([delegation.clone().signed(a)]).unwrap();
    assert_eq!(estate.answer(&alone, &pay), "a delegation is not signed as its account demands");
}

#[test]
fn the_public_framework_is_the_same_on_every_chain_but_for_its_number() {
    for chain in PUBLIC_CHAINS {
        let framework = Framework::public(chain).unwrap();
        let base = Framework { chain, ..Framework::public(84_532).unwrap() };
        assert_eq!(framework, base);
        let text = serde_json::to_string(&framework).unwrap();
        assert_eq!(serde_json::from_str::<Framework>(&text).unwrap(), framework);
    }
}

#[test]
fn anybody_may_put_the_enforcer_of_our_own_where_it_belongs() {
    let chain = Chain::start();
    let (at, data) = rolling_spend_enforcer();
    assert!(chain.send(chain.accounts[3], Some(DEPLOYER), data.clone()).succeeded);
    let receipt = chain.send(chain.accounts[3], None, bytecode(Contract::RollingSpendEnforcer));
    assert_eq!(code(&chain, at), code(&chain, receipt.created.unwrap()));
    assert!(!chain.send(chain.accounts[3], Some(DEPLOYER), data).succeeded);
}
