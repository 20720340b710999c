//! Peers that the policy does not name.

use crate::support::*;
use alloy_primitives::{Address, U256};
use marque_policies::{
    Decision, Intent, Policy, Verdict, budgets,
    document::{DAY, HOUR, Limits, Pool, SubAgent},
    intent::Authorise,
};

const PEER: Address = Address::repeat_byte(0x9e);

fn units(units: u64) -> Option<U256> {
    Some(U256::from(units))
}

fn with_pool() -> Policy {
    let limits = Limits {
        payment: units(50),
        hour: units(80),
        day: units(100),
        days30: units(200),
        total: units(300),
        ask_above: units(40),
        ask_above_day: units(55),
    };
    let pool = Pool { limits, peer_day: units(60), peer_total: units(90) };
    let mut policy = usual();
    policy.pools.insert(USDC, pool);
    policy
}

fn peer(to: Address, amount: u64) -> Intent {
    let host = "peer.example".to_owned();
    Intent::Authorise(Authorise { host, ..pay("a peer", to, usdc(amount)) })
}

fn to_peer(intent: &Intent, book: &Book) -> Verdict {
    judge(&with_pool(), intent, None, book)
}

fn spent(to: Address, amount: u64, age: u64) -> Book {
    Book::default().with(Debit::new(to, usdc(amount), NOW - age).paid_from_pool())
}

#[test]
fn a_peer_is_paid_from_the_pool_and_only_in_its_asset() {
    let verdict = to_peer(&peer(PEER, 40), &Book::default());
    assert_eq!(verdict.decision(), Decision::Allow, "{verdict:#?}");
    assert!(verdict.table.iter().all(|row| row.rule != "payee.known"));
    let Intent::Transfer(mut native) = transfer(wei(1)) else { panic!() };
    (native.payee, native.to) = ("a peer".to_owned(), PEER);
    let verdict = judge(&with_pool(), &Intent::Transfer(native), Some(wei(1)), &Book::default());
    assert_eq!(failed(&verdict), ["payee.known", "limits.ETH"]);
}

#[test]
fn the_pool_bounds_all_peers_together_and_each_by_itself() {
    let rules = |amount, book: Book| {
        let verdict = to_peer(&peer(PEER, amount), &book);
        let rules = [failed(&verdict), asked(&verdict)].concat();
        rules.into_iter().map(|rule| rule.replace("pool.USDC.", "")).collect::<Vec<_>>()
    };
    assert_eq!(rules(41, Book::default()), ["ask_above"]);
    assert_eq!(rules(51, Book::default()), ["payment", "ask_above"]);
    assert_eq!(rules(1, spent(STRANGER, 80, 1)), ["hour"]);
    assert_eq!(rules(1, spent(STRANGER, 100, 2 * HOUR)), ["day"]);
    assert_eq!(rules(1, spent(STRANGER, 200, 2 * DAY)), ["days30"]);
    assert_eq!(rules(1, spent(STRANGER, 300, 40 * DAY)), ["total"]);
    assert_eq!(rules(1, spent(PEER, 55, 2 * HOUR)), ["ask_above_day"]);
    assert_eq!(rules(1, spent(PEER, 60, 2 * HOUR)), ["peer_day", "ask_above_day"]);
    assert_eq!(rules(1, spent(PEER, 90, 2 * DAY)), ["peer_total"]);
    let of_a_payee = Book::default().paid(FEED, usdc(300), HOUR);
    assert_eq!(rules(1, of_a_payee), [""; 0], "payees are not counted in the pool");
}

#[test]
fn a_payee_is_never_paid_from_the_pool() {
    let mut policy = with_pool();
    let mut shop = policy.payees["weather-feed"].clone();
    (shop.address, shop.host) = (None, Some("shop.example".to_owned()));
    policy.payees.insert("shop".to_owned(), shop);
    let book = Book::default().pinning("shop.example", REGISTRY);
    for (to, says) in [
        (FEED, "it is weather-feed; pay it by its name"),
        (MUSCLE, "it is muscle"),
        (REGISTRY, "it is shop"),
        (AGENT, "an agent does not pay itself"),
    ] {
        let verdict = judge(&policy, &peer(to, 1), None, &book);
        assert_eq!(failed(&verdict), ["pool.USDC.peer"]);
        let row = verdict.table.iter().find(|row| row.rule == "pool.USDC.peer").unwrap();
        assert!(row.mend.as_deref().unwrap().starts_with(says), "{row}");
    }
}

#[test]
fn a_peer_that_did_not_deliver_is_held() {
    let book = Book { owing: [PEER].into(), ..Book::default() };
    assert_eq!(asked(&to_peer(&peer(PEER, 1), &book)), ["pool.USDC.delivery"]);
    assert_eq!(asked(&to_peer(&peer(STRANGER, 1), &book)), [""; 0]);
}

#[test]
fn the_agents_own_limits_hold_for_peers_and_no_sub_agent_reaches_them() {
    let mut policy = with_pool();
    let sub = SubAgent { limits: policy.limits.clone(), ..SubAgent::default() };
    policy.sub_agents.insert("helper".to_owned(), sub);
    let book = Book::default();
    let verdict = judge_as(&policy, Some("helper"), "t", &peer(PEER, 1), None, &book);
    assert_eq!(failed(&verdict), ["sub_agent.helper.payees"]);
    policy.limits.clear();
    assert_eq!(failed(&judge(&policy, &peer(PEER, 1), None, &book)), ["limits.USDC"]);
}

#[test]
fn budgets_tell_what_the_pool_has_left() {
    let rules = budgets(&with_pool(), &spent(PEER, 7, HOUR - 1), NOW);
    let pool: Vec<_> = rules.iter().filter(|it| it.rule.starts_with("pool.")).collect();
    let names: Vec<_> = pool.iter().map(|it| it.rule.as_str()).collect();
    assert_eq!(names, ["hour", "day", "days30", "total"].map(|kind| format!("pool.USDC.{kind}")));
    assert!(pool.iter().all(|it| it.spent == usdc(7)));
}
