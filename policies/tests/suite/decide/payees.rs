//! Payees known by their host alone, limits of a payee's own, and categories.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Decision, Intent, Policy, budgets,
    document::{Bound, DAY, HOUR, Limits, Payee},
    intent::Authorise,
};

const SHOP: &str = "shop.example";

fn units(units: u64) -> Option<U256> {
    Some(U256::from(units))
}

fn by_host() -> Payee {
    Payee {
        address: None,
        identity: None,
        host: Some(SHOP.to_owned()),
        category: None,
        bound: None,
        times: Default::default(),
    }
}

fn with_shop() -> Policy {
    let mut policy = usual();
    policy.payees.insert("shop".to_owned(), by_host());
    policy
}

fn buy(to: alloy_primitives::Address) -> Intent {
    Intent::Authorise(Authorise { host: SHOP.to_owned(), ..pay("shop", to, usdc(10)) })
}

#[test]
fn the_first_payment_to_a_payee_known_by_host_waits_for_the_owner() {
    let policy = with_shop();
    let first = judge(&policy, &buy(MUSCLE), None, &Book::default());
    assert_eq!((first.decision(), asked(&first)), (Decision::Hold, vec!["payee.shop.pinned"]));
    let approved = Book::default().approving(&buy(MUSCLE));
    assert_eq!(judge(&policy, &buy(MUSCLE), None, &approved).decision(), Decision::Allow);
    assert_eq!(judge(&policy, &buy(STRANGER), None, &approved).decision(), Decision::Hold);
}

#[test]
fn once_pinned_only_that_address_is_paid() {
    let policy = with_shop();
    let pinned = Book::default().pinning(SHOP, MUSCLE);
    assert_eq!(judge(&policy, &buy(MUSCLE), None, &pinned).decision(), Decision::Allow);
    let other = pinned.approving(&buy(STRANGER));
    let verdict = judge(&policy, &buy(STRANGER), None, &other);
    assert_eq!(failed(&verdict), ["payee.shop.address"], "an approval does not move the pin");
}

#[test]
fn nobody_is_pinned_by_a_transfer_that_no_host_asked_for() {
    let intent = |to| {
        let Intent::Transfer(mut pay) = transfer(usdc(1)) else { panic!() };
        (pay.payee, pay.to) = ("shop".to_owned(), to);
        Intent::Transfer(pay)
    };
    let judge = |to, book: &Book| judge(&with_shop(), &intent(to), Some(wei(1)), book);
    let first = judge(MUSCLE, &Book::default());
    assert_eq!(
        (failed(&first), asked(&first)),
        (vec!["payee.shop.host"], vec!["payee.shop.pinned"])
    );
    let pinned = Book::default().pinning(SHOP, MUSCLE);
    assert_eq!(judge(MUSCLE, &pinned).decision(), Decision::Allow);
}

#[test]
fn a_payee_has_all_kinds_of_limits_of_its_own() {
    let mut policy = usual();
    policy.limits.insert(USDC, Limits { payment: Some(U256::MAX), ..Limits::default() });
    let limits = Limits {
        payment: units(100),
        hour: units(200),
        day: units(300),
        days30: units(400),
        total: units(500),
        ask_above: units(50),
        ask_above_day: units(250),
    };
    let bound = Some(Bound { asset: USDC, limits });
    policy.payees.get_mut("weather-feed").unwrap().bound = bound;
    let rules = |amount, spent, age| {
        let book = Book::default().paid(FEED, usdc(spent), age);
        let verdict = judge(&policy, &feed(amount), None, &book);
        let rules = [failed(&verdict), asked(&verdict)].concat();
        rules.into_iter().map(|rule| rule.replace("payee.weather-feed.", "")).collect::<Vec<_>>()
    };
    assert_eq!(rules(50, 150, 1), [""; 0]);
    assert_eq!(rules(51, 0, 1), ["ask_above"]);
    assert_eq!(rules(101, 0, 1), ["payment", "ask_above"]);
    assert_eq!(rules(1, 200, 1), ["hour"]);
    assert_eq!(rules(1, 250, 2 * HOUR), ["ask_above_day"]);
    assert_eq!(rules(1, 300, 2 * HOUR), ["day", "ask_above_day"]);
    assert_eq!(rules(1, 400, 2 * DAY), ["days30"]);
    assert_eq!(rules(1, 500, 40 * DAY), ["total"]);

    let bound = Bound { asset: ETH, limits };
    policy.payees.get_mut("weather-feed").unwrap().bound = Some(bound);
    let verdict = judge(&policy, &feed(1), None, &Book::default());
    let limits = ["payment", "hour", "day", "days30", "total"];
    assert_eq!(failed(&verdict), limits.map(|kind| format!("payee.weather-feed.{kind}")));
    assert_eq!(asked(&verdict), [""; 0], "what asks stays silent about another asset");
}

#[test]
fn a_category_counts_all_of_its_payees_each_once() {
    let mut policy = with_shop();
    policy.limits.insert(USDC, Limits { payment: Some(U256::MAX), ..Limits::default() });
    for payee in policy.payees.values_mut() {
        payee.category = Some("data".to_owned());
        payee.bound = None;
    }
    // Two names, one address.
    let twin = policy.payees["weather-feed"].clone();
    policy.payees.insert("twin".to_owned(), twin);
    let limits = Limits { ask_above: units(60), day: units(100), ..Limits::default() };
    policy.categories.insert("data".to_owned(), Bound { asset: USDC, limits });
    let spent = Book::default()
        .pinning(SHOP, REGISTRY)
        .paid(FEED, usdc(10), HOUR)
        .paid(MUSCLE, usdc(20), HOUR)
        .paid(REGISTRY, usdc(30), HOUR)
        .paid(STRANGER, usdc(1_000), HOUR);
    assert_eq!(judge(&policy, &feed(40), None, &spent).decision(), Decision::Allow);
    assert_eq!(failed(&judge(&policy, &feed(41), None, &spent)), ["category.data.day"]);
    assert_eq!(
        asked(&judge(&policy, &feed(61), None, &Book::default())),
        ["category.data.ask_above"]
    );
    let rules = budgets(&policy, &spent, NOW);
    let data = rules.iter().find(|it| it.rule == "category.data.day").unwrap();
    assert_eq!((data.spent, data.limit), (usdc(60), usdc(100)));

    policy.categories.insert("data".to_owned(), Bound { asset: ETH, limits });
    assert_eq!(failed(&judge(&policy, &feed(1), None, &spent)), ["category.data.day"]);
    policy.categories.clear();
    assert_eq!(judge(&policy, &feed(41), None, &spent).decision(), Decision::Allow);
}

#[test]
fn budgets_know_a_payee_by_its_pinned_address() {
    let mut policy = with_shop();
    let limits = Limits { day: units(100), ..Limits::default() };
    policy.payees.get_mut("shop").unwrap().bound = Some(Bound { asset: USDC, limits });
    let of_shop = |book: &Book| {
        let rules = budgets(&policy, book, NOW);
        rules.into_iter().find(|it| it.rule == "payee.shop.day").map(|it| it.spent)
    };
    let book = Book::default().paid(MUSCLE, usdc(9), 1);
    assert_eq!(of_shop(&book), None);
    assert_eq!(of_shop(&book.pinning(SHOP, MUSCLE)), Some(usdc(9)));
}
