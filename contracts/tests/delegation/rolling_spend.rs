//! Limits in rolling windows: to the second, for what is a payment, and in chains of delegations.

use crate::{
    estate::{DAY, DOLLAR, Estate, MIDNIGHT, dollars, leaf},
    support::Chain,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::{
    TestDollar,
    delegation::{
        Caveat, Delegation, Erc20Period, Execution, Permission, RollingSpend, SINGLE_CALL,
        Terms as _,
        binding::{IDelegationManager, IRollingSpendEnforcer},
        redeem, revoke,
    },
    permit2::IERC20Approve,
};
use serde_json::json;

#[test]
fn an_amount_leaves_a_window_exactly_its_length_after_its_block() {
    let estate = Estate::found();
    let permission = estate.grant_limits(estate.limits().window(DAY, dollars(10)));
    let at = MIDNIGHT - 600;
    assert!(estate.pays(&permission, 10 * DOLLAR, at));
    assert!(!estate.pays(&permission, 1, at + 1));
    assert!(!estate.pays(&permission, 1, at + DAY - 1));
    assert!(!estate.pays(&permission, 10 * DOLLAR + 1, at + DAY));
    // In a block of time at + DAY it has left: as the ledger counts what is after now - window.
    assert!(estate.pays(&permission, 10 * DOLLAR, at + DAY + 1));
    assert!(!estate.pays(&permission, 1, at + 2 * DAY));
    assert!(estate.pays(&permission, 1, at + 2 * DAY + 1));

    let another = estate.grant_limits(estate.limits().window(60, dollars(1)));
    let at = at + 3 * DAY;
    assert!(estate.pays(&another, DOLLAR, at));
    assert!(estate.pays(&another, DOLLAR, at + 60), "to the second");
}

#[test]
fn two_full_caps_either_side_of_midnight_are_one_too_many() {
    let estate = Estate::found();
    let (framework, token) = (&estate.framework, estate.token);
    let fixed = Erc20Period::new(token, dollars(100), DAY, MIDNIGHT - 7 * DAY).unwrap();
    let rolling = || estate.limits().window(DAY, dollars(100));
    let period_only = estate.grant([fixed.caveat(framework)]);
    let both =
        estate.grant([rolling().build().unwrap().caveat(framework), fixed.caveat(framework)]);

    // The shipped enforcer alone lets it through; that is why ours is there.
    assert!(estate.pays(&period_only, 100 * DOLLAR, MIDNIGHT - 4));
    assert!(estate.pays(&period_only, 100 * DOLLAR, MIDNIGHT + 4));

    let next = MIDNIGHT + DAY;
    assert!(estate.pays(&both, 100 * DOLLAR, next - 4));
    assert!(!estate.pays(&both, 1, next + 4));
    assert!(!estate.pays(&both, 1, next + DAY - 5));
    assert!(estate.pays(&both, 100 * DOLLAR, next + DAY - 4));
}

#[test]
fn every_limit_of_a_caveat_binds() {
    let estate = Estate::found();
    let limits =
        estate.limits().each(dollars(4)).window(3_600, dollars(6)).window(DAY, dollars(10));
    let permission = estate.grant_limits(limits.total(dollars(13)));
    let left = |words: &str| format!("rolling limit: {words}");
    let answer = |units| estate.answer(&permission, &estate.transfer(estate.payee, units));
    let at = MIDNIGHT;
    assert!(!estate.pays(&permission, 4 * DOLLAR + 1, at));
    assert_eq!(
        answer(4_000_001),
        left("4000001 base units, and a single transfer has room for 4000000")
    );
    assert!(estate.pays(&permission, 4 * DOLLAR, at + 1));
    assert!(!estate.pays(&permission, 3 * DOLLAR, at + 2));
    assert_eq!(
        answer(3_000_000),
        left("3000000 base units, and its window of 3600 s has room for 2000000")
    );
    assert!(estate.pays(&permission, 2 * DOLLAR, at + 3));
    assert!(estate.pays(&permission, 4 * DOLLAR, at + 3_601));
    assert!(!estate.pays(&permission, 1, at + 7_202));
    assert_eq!(answer(1), left("1 base units, and its window of 86400 s has room for 0"));
    assert!(estate.pays(&permission, 3 * DOLLAR, at + DAY + 3));
    assert!(!estate.pays(&permission, 1, at + 9 * DAY));
    assert_eq!(answer(1), left("1 base units, and all transfers together has room for 0"));
}

#[test]
fn only_a_plain_transfer_to_a_named_payee_is_a_payment() {
    let estate = Estate::found();
    let limits = estate.limits().window(DAY, dollars(10)).to(estate.payee).to(estate.helper);
    let permission = estate.grant_limits(limits);
    let answer = |execution: Execution| estate.answer(&permission, &execution);
    let (token, payee) = (estate.token, estate.payee);
    assert_eq!(answer(estate.transfer(payee, 5)), "accepted");
    assert_eq!(answer(estate.transfer(estate.helper, 5)), "accepted");
    let refused = format!("rolling limit: {} is no payee of it", estate.stranger);
    assert_eq!(answer(estate.transfer(estate.stranger, 5)), refused);

    let none = "rolling limit: the call is no plain transfer of the asset";
    let good = estate.transfer(payee, 5);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut data = good.data.to_vec();
        change(&mut data);
        Execution { data: data.into(), ..good.clone() }
    };
    let approve = IERC20Approve::approveCall { spender: payee, value: U256::ONE };
    let mint = TestDollar::mintCall { to: payee, value: U256::ONE };
    let others = [
        ("another token", Execution { target: estate.stranger, ..good.clone() }),
        ("wei with it", Execution { value: U256::ONE, ..good.clone() }),
        ("native", Execution::pay(payee, U256::from(5))),
        ("approve", Execution::call(token, &approve)),
        ("another method", Execution::call(token, &mint)),
        ("a longer call", with(&|data| data.push(0))),
        ("a shorter call", with(&|data| data.truncate(67))),
        ("dirt above the address", with(&|data| data[15] = 1)),
        ("dirt far above the address", with(&|data| data[4] = 0x80)),
        ("no data", with(&|data| data.clear())),
    ];
    for (what, execution) in others {
        assert_eq!(answer(execution), none, "{what}");
    }
    let short = Bytes::from(good.encode()[..51].to_vec());
    assert_eq!(estate.answer_to(estate.agent, &raw(&permission, SINGLE_CALL, short)), none);
}

#[test]
fn only_a_single_call_that_must_succeed_is_accepted() {
    let estate = Estate::found();
    let permission = estate.grant_limits(estate.limits().window(DAY, dollars(10)));
    let execution = estate.transfer(estate.payee, 5).encode();
    let answer = |mode| estate.answer_to(estate.agent, &raw(&permission, mode, execution.clone()));
    assert_eq!(answer(SINGLE_CALL), "accepted");
    // Batch, try, delegate call, a selector, a payload.
    for (at, byte) in [(0, 1), (1, 1), (0, 0xff), (6, 1), (31, 1)] {
        let mut mode = SINGLE_CALL;
        mode[at] = byte;
        assert_eq!(answer(mode), "rolling limit: only a single call that must succeed");
    }
}

#[test]
fn the_native_coin_is_limited_by_value() {
    let estate = Estate::found();
    estate.chain.rpc("anvil_setBalance", json!([estate.account, "0x3e8"])).unwrap();
    let limits = || RollingSpend::native().window(DAY, U256::from(10));
    let permission = estate.grant_limits(limits().to(estate.payee));
    let pay = |to, wei| Execution::pay(to, U256::from(wei));
    let answer = |execution: &Execution| estate.answer(&permission, execution);
    assert!(estate.redeem(&permission, &pay(estate.payee, 7)).succeeded);
    assert_eq!(answer(&pay(estate.payee, 3)), "accepted");
    assert!(answer(&pay(estate.payee, 4)).ends_with("has room for 3"));
    assert!(answer(&pay(estate.stranger, 1)).ends_with("is no payee of it"));
    let none = "rolling limit: the call is no plain transfer of the asset";
    assert_eq!(answer(&estate.transfer(estate.payee, 1)), none);
    let with_data = Execution { data: Bytes::from_static(&[0]), ..pay(estate.payee, 1) };
    assert_eq!(answer(&with_data), none);
}

#[test]
fn terms_that_are_none_permit_nothing() {
    let estate = Estate::found();
    let good = estate.limits().window(60, dollars(1)).window(DAY, dollars(2));
    let good = good.to(estate.payee).build().unwrap().encode().to_vec();
    let answer = |terms: Vec<u8>| {
        let enforcer = estate.framework.rolling_spend;
        let permission = estate.grant([Caveat { enforcer, terms: terms.into() }]);
        estate.answer(&permission, &estate.transfer(estate.payee, 5))
    };
    assert_eq!(answer(good.clone()), "accepted");
    let none = "rolling limit: its terms are none";
    // Cut anywhere but between payees.
    for length in (0..good.len()).filter(|length| ![85, 105].contains(length)) {
        assert_eq!(answer(good[..length].to_vec()), none, "{length} bytes");
    }
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut terms = good.clone();
        change(&mut terms);
        terms
    };
    assert_eq!(answer(with(&|it| it.push(0))), none);
    assert_eq!(answer(with(&|it| it[21..85].rotate_left(32))), none, "falling windows");
    assert_eq!(answer(with(&|it| it.copy_within(21..53, 53))), none, "a window twice");
    let each = [&good[..20], &[1], &[0; 6], &good[27..53]].concat();
    assert_eq!(answer(each), none, "no window");
    let head = [&good[..20], &[9]].concat();
    let nine = (1..=9_u8).fold(head, |mut terms, n| {
        terms.extend([&[0; 5], &[n][..], &good[27..53]].concat());
        terms
    });
    assert_eq!(answer(nine), none, "nine limits");
}

#[test]
fn a_looser_delegation_below_is_held_to_the_rest_of_the_one_above() {
    let estate = Estate::found();
    let above = estate.grant_limits(estate.limits().window(DAY, dollars(100)));
    let loose = estate.hand_on(&above, estate.limits().window(DAY, dollars(100_000)));
    let tight = estate.hand_on(&above, estate.limits().window(DAY, dollars(30)));
    let at = MIDNIGHT;
    assert!(estate.pays(&above, 60 * DOLLAR, at));
    assert!(!estate.pays(&loose, 41 * DOLLAR, at + 1));
    assert!(!estate.pays(&tight, 31 * DOLLAR, at + 2));
    assert!(estate.pays(&tight, 30 * DOLLAR, at + 3));
    assert!(!estate.pays(&tight, 1, at + 4));
    assert!(estate.pays(&loose, 10 * DOLLAR, at + 5));
    // What was spent below counts above.
    assert!(!estate.pays(&loose, 1, at + 6));
    assert!(!estate.pays(&above, 1, at + 7));
    assert_eq!(left(&estate, &above), U256::ZERO);
    assert!(estate.pays(&loose, 60 * DOLLAR, at + DAY));
    assert!(!estate.pays(&above, 1, at + DAY + 1));
    // As many copies as one likes draw on the same rest.
    let copies: Vec<Permission> = (0..3)
        .map(|salt| {
            let copy = Delegation::below(leaf(&above), estate.helper).salted(U256::from(salt));
            above.handed_on(estate.sign(&copy)).unwrap()
        })
        .collect();
    let paid = copies.iter().filter(|copy| estate.pays(copy, 30 * DOLLAR, at + DAY + 100)).count();
    assert_eq!(paid, 1, "30 of 40 are left, once");
}

/// An owner who delegates to the own key first, and from there to each agent, has limits for all of them
/// together, which outlive what an agent is given anew.
#[test]
fn a_link_of_the_owners_own_limits_all_agents_together() {
    let estate = Estate::found();
    let limits = |most| {
        let limits = estate.limits().window(DAY, dollars(most)).build().unwrap();
        limits.caveat(&estate.framework)
    };
    let own = Delegation::root(estate.account, estate.owner).with(limits(10));
    let own = Permission::new([estate.sign(&own)]).unwrap();
    let to = |agent, most| {
        let link = Delegation::below(leaf(&own), agent).with(limits(most));
        own.handed_on(estate.sign(&link)).unwrap()
    };
    let (agent, helper) = (to(estate.agent, 8), to(estate.helper, 8));
    assert!(estate.pays(&agent, 8 * DOLLAR, MIDNIGHT));
    assert!(!estate.pays(&helper, 3 * DOLLAR, MIDNIGHT + 1));
    let anew = to(estate.agent, 9);
    assert!(!estate.pays(&anew, 3 * DOLLAR, MIDNIGHT + 2));
    assert!(estate.pays(&anew, 2 * DOLLAR, MIDNIGHT + 3));

    // The owner's key revokes such a link by a plain transaction.
    let execution = revoke(&estate.framework, leaf(&agent));
    let sent = estate.chain.send(estate.owner, Some(execution.target), execution.data);
    assert!(sent.succeeded);
    let later = MIDNIGHT + 2 * DAY;
    assert!(!estate.pays(&agent, 1, later) && estate.pays(&anew, 9 * DOLLAR, later + 1));
}

#[test]
fn each_delegation_has_a_history_of_its_own() {
    let estate = Estate::found();
    let limits = || estate.limits().window(DAY, dollars(10));
    let caveat = limits().build().unwrap().caveat(&estate.framework);
    let first = estate.grant_limits(limits());
    let again = Delegation::root(estate.account, estate.agent).with(caveat).salted(U256::ONE);
    let again = Permission::new([estate.sign(&again)]).unwrap();
    let below = estate.hand_on(&again, limits());
    assert!(estate.pays(&first, 10 * DOLLAR, MIDNIGHT));
    assert!(estate.pays(&below, 6 * DOLLAR, MIDNIGHT + 1));
    // Counted once above and once below, and not with what the first one spent.
    assert_eq!(left(&estate, &again), dollars(4));
    assert_eq!(left(&estate, &below), dollars(4));
    assert!(!estate.pays(&first, 1, MIDNIGHT + 2));
    // The same one signed again is the same one.
    assert!(!estate.pays(&estate.grant_limits(limits()), 1, MIDNIGHT + 3));
}

#[test]
fn what_several_redemptions_of_one_transaction_spend_adds_up() {
    let estate = Estate::found();
    let permission = estate.grant_limits(estate.limits().window(DAY, dollars(10)));
    let pay = estate.transfer(estate.payee, 4 * DOLLAR);
    let times = |n| redeem(std::iter::repeat_n((&permission, &pay), n));
    assert!(!estate.send(estate.agent, times(3)).succeeded);
    assert!(estate.send(estate.agent, times(2)).succeeded);
    assert_eq!(left(&estate, &permission), dollars(2));
}

#[test]
fn what_was_refused_elsewhere_is_not_counted() {
    let estate = Estate::found();
    let permission = estate.grant_limits(estate.limits().window(DAY, dollars(5_000)));
    // The account has a thousand.
    assert!(!estate.pays(&permission, 2_000 * DOLLAR, MIDNIGHT));
    assert_eq!(left(&estate, &permission), dollars(5_000));
    assert!(estate.pays(&permission, 1_000 * DOLLAR, MIDNIGHT + 1));
}

#[test]
fn a_stranger_who_plays_manager_changes_nothing_of_anybody_elses() {
    let estate = Estate::found();
    let limits = estate.limits().window(DAY, dollars(10));
    let permission = estate.grant_limits(limits);
    let delegation = leaf(&permission);
    let call = IRollingSpendEnforcer::beforeHookCall {
        terms: delegation.caveats[0].terms.clone(),
        args: Bytes::new(),
        mode: SINGLE_CALL,
        execution: estate.transfer(estate.payee, 10 * DOLLAR).encode(),
        delegationHash: delegation.hash(),
        delegator: estate.account,
        redeemer: estate.agent,
    };
    let enforcer = estate.framework.rolling_spend;
    let play = || estate.chain.transact(estate.stranger, enforcer, call.clone()).succeeded;
    // The stranger's own history is full then, and stays the stranger's.
    assert_eq!([play(), play()], [true, false]);
    assert_eq!(left(&estate, &permission), dollars(10));
    assert!(estate.pays(&permission, 10 * DOLLAR, MIDNIGHT));
}

#[test]
fn two_limits_of_one_delegation_each_have_a_history() {
    let estate = Estate::found();
    let caveat = |seconds, most| {
        let limits = estate.limits().window(seconds, dollars(most));
        limits.build().unwrap().caveat(&estate.framework)
    };
    let permission = estate.grant([caveat(DAY, 10), caveat(3_600, 6)]);
    assert!(estate.pays(&permission, 6 * DOLLAR, MIDNIGHT));
    assert!(!estate.pays(&permission, 1, MIDNIGHT + 1));
    assert!(estate.pays(&permission, 4 * DOLLAR, MIDNIGHT + 3_600));
    assert!(!estate.pays(&permission, 1, MIDNIGHT + 7_200));
}

#[test]
fn what_is_left_and_used_is_answered_for_a_status() {
    let estate = Estate::found();
    let limits = estate.limits().each(dollars(4)).window(3_600, dollars(6)).window(DAY, dollars(7));
    let permission = estate.grant_limits(limits);
    let used = || -> Vec<u64> {
        let (manager, hash, terms) = asked(&estate, &permission);
        let call = IRollingSpendEnforcer::usedCall { manager, delegationHash: hash, terms };
        let used = estate.chain.call(estate.framework.rolling_spend, call).unwrap();
        used.iter().map(|units| units.to::<u64>() / DOLLAR).collect()
    };
    assert_eq!((left(&estate, &permission), used()), (dollars(4), vec![0, 0, 0]));
    assert!(estate.pays(&permission, 3 * DOLLAR, MIDNIGHT));
    assert_eq!((left(&estate, &permission), used()), (dollars(3), vec![0, 3, 3]));
    mine_at(&estate.chain, MIDNIGHT + 3_599);
    assert_eq!((left(&estate, &permission), used()), (dollars(3), vec![0, 3, 3]));
    mine_at(&estate.chain, MIDNIGHT + 3_600);
    assert_eq!((left(&estate, &permission), used()), (dollars(4), vec![0, 0, 3]));
    assert!(estate.pays(&permission, 4 * DOLLAR, MIDNIGHT + 3_601));
    assert_eq!((left(&estate, &permission), used()), (dollars(0), vec![0, 4, 7]));
    mine_at(&estate.chain, MIDNIGHT + DAY);
    assert_eq!((left(&estate, &permission), used()), (dollars(3), vec![0, 0, 4]));
}

pub(crate) fn left(estate: &Estate, permission: &Permission) -> U256 {
    let (manager, hash, terms) = asked(estate, permission);
    let call = IRollingSpendEnforcer::availableCall { manager, delegationHash: hash, terms };
    estate.chain.call(estate.framework.rolling_spend, call).unwrap()
}

/// What the views of the enforcer are asked about a permission whose first caveat is one of it.
pub(crate) fn asked(estate: &Estate, permission: &Permission) -> (Address, B256, Bytes) {
    let delegation = leaf(permission);
    (estate.framework.manager, delegation.hash(), delegation.caveats[0].terms.clone())
}

/// A redemption in another mode, or of another execution, than Marque makes.
fn raw(permission: &Permission, mode: B256, execution: Bytes) -> Bytes {
    let call = IDelegationManager::redeemDelegationsCall {
        permissionContexts: vec![permission.encode()],
        modes: vec![mode],
        executionCallDatas: vec![execution],
    };
    call.abi_encode().into()
}

fn mine_at(chain: &Chain, seconds: u64) {
    chain.next_block_at(seconds);
    chain.rpc("evm_mine", json!([])).unwrap();
}
