//! Owner, agent, sub-agent and task: each adds rules, none takes one away.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Decision, Intent, Policy, budgets,
    document::{HOUR, Limits, SubAgent},
    intent::{AcceptWallet, Sweep},
};
use std::collections::BTreeMap;

fn day(units: u64) -> Limits {
    Limits { day: Some(U256::from(units)), ..Limits::default() }
}

/// The usual policy with a helper that may pay the feed and fetch.
fn with_helper() -> Policy {
    let helper = SubAgent {
        payees: ["weather-feed".to_owned()].into(),
        tools: ["fetch".to_owned()].into(),
        limits: BTreeMap::from([(USDC, day(300_000))]),
        gas: BTreeMap::from([(ETH, day(1_000))]),
    };
    let mut policy = usual();
    policy.sub_agents.insert("helper".to_owned(), helper);
    policy
}

#[test]
fn each_task_has_a_budget_of_its_own() {
    let mut policy = usual();
    policy.task_limits.insert(USDC, Limits { total: Some(U256::from(500)), ..day(400) });
    let paid =
        |task| Book::default().with(Debit::new(STRANGER, usdc(300), NOW - HOUR).in_task(task));
    let failing = |book: &Book| {
        let verdict = judge_as(&policy, None, "errand", &feed(101), None, book);
        failed(&verdict).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(failing(&paid("errand")), ["task.limits.USDC.day"]);
    assert_eq!(failing(&paid("another")), [""; 0]);
    let old = Debit::new(STRANGER, usdc(400), NOW - 50 * HOUR).in_task("errand");
    assert_eq!(failing(&Book::default().with(old)), ["task.limits.USDC.total"]);
    policy.task_limits.insert(ETH, day(1));
    let verdict = judge(&policy, &feed(1), Some(wei(2)), &Book::default());
    assert_eq!(failed(&verdict), [""; 0], "fees of a payment in a token are no matter of the task");
}

#[test]
fn an_account_that_the_policy_does_not_name_may_do_nothing() {
    let sweep = Intent::Sweep(Sweep { amount: usdc(1) });
    for intent in [feed(1), fetch("fetch", "noaa.gov", 1), settle(AGENT, usdc(1)), sweep] {
        let verdict = judge_as(
            &with_helper(),
            Some("intruder"),
            "t",
            &intent,
            Some(wei(1)),
            &Book::default(),
        );
        assert_eq!(failed(&verdict), ["sub_agent.known"], "{intent:?}");
    }
}

#[test]
fn a_sub_agent_pays_and_uses_what_it_lists() {
    let mut policy = with_helper();
    let judge = |policy: &Policy, intent: &Intent| {
        judge_as(policy, Some("helper"), "t", intent, None, &Book::default())
    };
    assert_eq!(judge(&policy, &feed(1)).decision(), Decision::Allow);
    assert_eq!(judge(&policy, &fetch("fetch", "noaa.gov", 1)).decision(), Decision::Allow);
    let helper = policy.sub_agents.get_mut("helper").unwrap();
    helper.payees.clear();
    helper.tools.clear();
    assert_eq!(failed(&judge(&policy, &feed(1))), ["sub_agent.helper.payees"]);
    let verdict = judge(&policy, &fetch("fetch", "noaa.gov", 1));
    assert_eq!(failed(&verdict), ["sub_agent.helper.tools"]);
}

#[test]
fn a_sub_agent_spends_within_its_own_limits() {
    let policy = with_helper();
    let failing = |intent: &Intent, gas, book: &Book| {
        let verdict = judge_as(&policy, Some("helper"), "t", intent, gas, book);
        failed(&verdict).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let spent = Debit::new(STRANGER, usdc(250_000), NOW - HOUR);
    let by_helper = Book::default().with(spent.clone().of_sub_agent("helper"));
    assert_eq!(failing(&feed(50_001), None, &by_helper), ["sub_agent.helper.limits.USDC.day"]);
    assert_eq!(failing(&feed(50_000), None, &by_helper), [""; 0]);
    assert_eq!(failing(&feed(50_001), None, &Book::default().with(spent)), [""; 0]);
    let dear = failing(&transfer(usdc(1)), Some(wei(1_001)), &Book::default());
    assert_eq!(dear, ["sub_agent.helper.limits.gas.day"]);
}

#[test]
fn a_sub_agent_without_limits_may_spend_nothing_and_pay_no_fees() {
    let mut policy = with_helper();
    let helper = policy.sub_agents.get_mut("helper").unwrap();
    helper.limits.clear();
    helper.gas.clear();
    let verdict =
        judge_as(&policy, Some("helper"), "t", &transfer(usdc(1)), Some(wei(1)), &Book::default());
    assert_eq!(failed(&verdict), ["sub_agent.helper.limits.USDC", "sub_agent.helper.limits.gas"]);
}

#[test]
fn a_sub_agent_is_bound_by_everything_that_binds_the_agent() {
    let mut policy = with_helper();
    let generous = Limits { payment: Some(U256::MAX), ..Limits::default() };
    let helper = policy.sub_agents.get_mut("helper").unwrap();
    helper.limits.insert(USDC, generous);
    helper.gas.insert(ETH, generous);
    let spent = Book::default().paid(STRANGER, usdc(2_999_999), 1);
    for (intent, gas) in [(feed(2), None), (transfer(usdc(2)), Some(wei(u64::MAX)))] {
        let agent = judge(&policy, &intent, gas, &spent);
        let helper = judge_as(&policy, Some("helper"), "t", &intent, gas, &spent);
        assert!(failed(&agent).contains(&"limits.USDC.hour"));
        assert_eq!(failed(&helper), failed(&agent));
    }
}

#[test]
fn a_native_transfer_leaves_every_budget_with_its_fees() {
    let mut policy = with_helper();
    policy.payees.get_mut("weather-feed").unwrap().bound = None;
    policy.gas.clear();
    policy.limits.insert(ETH, day(100));
    policy.owner_limits.insert(ETH, day(100));
    policy.task_limits.insert(ETH, day(100));
    let helper = policy.sub_agents.get_mut("helper").unwrap();
    helper.gas.clear();
    helper.limits.insert(ETH, day(100));
    let judge = |amount, gas| {
        let intent = transfer(wei(amount));
        judge_as(&policy, Some("helper"), "t", &intent, Some(wei(gas)), &Book::default())
    };
    assert_eq!(judge(90, 10).decision(), Decision::Allow);
    assert_eq!(
        failed(&judge(90, 11)),
        [
            "task.limits.ETH.day",
            "limits.ETH.day",
            "owner.limits.ETH.day",
            "sub_agent.helper.limits.ETH.day"
        ]
    );
}

#[test]
fn only_the_agent_itself_collects_and_accepts() {
    let accept =
        AcceptWallet { chain: CHAIN, registry: REGISTRY, agent_id: U256::ONE, owner: OWNER };
    for intent in [settle(AGENT, usdc(1)), Intent::AcceptWallet(accept)] {
        let book = Book::default().approving(&intent);
        let verdict = judge_as(&with_helper(), Some("helper"), "t", &intent, Some(wei(1)), &book);
        assert_eq!(failed(&verdict), ["sub_agent.helper.acts"], "{intent:?}");
    }
    let sweep = Intent::Sweep(Sweep { amount: usdc(1) });
    let judge = |gas| {
        judge_as(&with_helper(), Some("helper"), "t", &sweep, Some(wei(gas)), &Book::default())
    };
    assert_eq!(judge(1_000).decision(), Decision::Allow);
    assert_eq!(failed(&judge(1_001)), ["sub_agent.helper.limits.gas.day"]);
}

#[test]
fn budgets_tell_what_a_sub_agent_has_left() {
    let debit = Debit::new(FEED, usdc(7), NOW - 1).of_sub_agent("helper");
    let budgets = budgets(&with_helper(), &Book::default().with(debit), NOW);
    let of = |rule: &str| {
        let found = budgets.iter().find(|it| it.rule == rule).unwrap();
        (found.spent.units.to::<u64>(), found.limit.units.to::<u64>())
    };
    assert_eq!(of("sub_agent.helper.limits.USDC.day"), (7, 300_000));
    assert_eq!(of("sub_agent.helper.limits.gas.day"), (0, 1_000));
}
