//! A policy's own tests, and cases tried out of any document.

use crate::support::*;
use alloy_primitives::{Address, U256};
use marque_policies::{
    Argument, Decision, Label, Labels, Ledger as _, Past, Policy, Scope, Verdict,
    document::{
        Attitude, Constraint, DAY, Expectation, Given, HOUR, LabelRules, Limits, PaidBy,
        PastPayment, PolicyTest, Pool, SubAgent, When,
    },
    run_tests,
    times::{Moment, Span, Times},
    trial::{now, say_given, say_when},
    try_out,
};
use std::collections::BTreeMap;

const MONDAY_NOON: u64 = 1_704_110_400_000;

fn test(when: When) -> PolicyTest {
    PolicyTest {
        given: Vec::new(),
        when,
        at: None,
        sub_agent: None,
        task: None,
        asked_by: None,
        labels: Labels::default(),
        approved: false,
        then: Expectation::Allowed,
    }
}

fn paying(micros: u64, payee: &str) -> PolicyTest {
    test(When::Pay { amount: usdc(micros), payee: payee.to_owned() })
}

fn using(tool: &str) -> When {
    When::Use { tool: tool.to_owned(), fetch: None, bytes: 0, arguments: BTreeMap::new() }
}

fn paid(micros: u64, payee: &str, age: u64, by: PaidBy) -> Given {
    Given::Paid(PastPayment { amount: usdc(micros), payee: payee.to_owned(), age, by })
}

fn day(micros: u64) -> Limits {
    Limits { day: Some(U256::from(micros)), ..Limits::default() }
}

fn failing(policy: &Policy, test: PolicyTest) -> Vec<String> {
    failed(&try_out(policy, &test)).into_iter().map(str::to_owned).collect()
}

fn decision(verdict: &Verdict) -> Decision {
    verdict.decision()
}

#[test]
fn a_past_payment_counts_for_whoever_made_it() {
    let mut policy = usual();
    policy.task_limits.insert(USDC, day(1_000));
    policy.owner_limits.insert(USDC, day(1_000));
    let limits = BTreeMap::from([(USDC, day(1_000))]);
    let payees = ["weather-feed".to_owned()].into();
    policy
        .sub_agents
        .insert("helper".to_owned(), SubAgent { payees, limits, ..SubAgent::default() });
    policy.limits.insert(USDC, day(1_000));
    let owner = "owner.limits.USDC.day";
    let agent = ["limits.USDC.day", owner];
    let rules = |by| {
        let given = vec![paid(999, "muscle", HOUR, by)];
        let errand = Some("errand".to_owned());
        let sub_agent = Some("helper".to_owned());
        failing(&policy, PolicyTest { given, task: errand, sub_agent, ..paying(2, "weather-feed") })
    };
    assert_eq!(rules(PaidBy::Agent), agent);
    assert_eq!(rules(PaidBy::AnotherAgent), [owner]);
    assert_eq!(
        rules(PaidBy::SubAgent("helper".to_owned())),
        [agent[0], owner, "sub_agent.helper.limits.USDC.day"]
    );
    assert_eq!(rules(PaidBy::SubAgent("another".to_owned())), agent);
    assert_eq!(rules(PaidBy::Task("errand".to_owned())), ["task.limits.USDC.day", agent[0], owner]);
    assert_eq!(rules(PaidBy::Task("another".to_owned())), agent);
}

#[test]
fn what_is_given_is_what_happened() {
    let mut policy = usual();
    let given =
        |given: Vec<Given>, test: PolicyTest| try_out(&policy, &PolicyTest { given, ..test });
    let feed = || paying(1, "weather-feed");
    let undelivered = given(vec![Given::Undelivered("weather-feed".to_owned())], feed());
    assert_eq!(asked(&undelivered), ["payee.weather-feed.delivery"]);
    let muscle = || paying(1, "muscle");
    assert_eq!(decision(&given(vec![], muscle())), Decision::Allow, "the registry answers");
    for event in [Given::Unresolved("muscle".to_owned()), Given::ChangedHands("muscle".to_owned())]
    {
        assert_eq!(failed(&given(vec![event], muscle())), ["payee.muscle.identity"]);
    }
    let used = |age, bytes| Given::Used { tool: "fetch".to_owned(), age, bytes };
    let thrice = vec![used(1_000, 0), used(59_000, 0), used(59_999, 0)];
    assert_eq!(failed(&given(thrice, test(using("fetch")))), ["tool.fetch.rate"]);
    let sending =
        When::Use { tool: "fetch".to_owned(), fetch: None, bytes: 25, arguments: BTreeMap::new() };
    assert_eq!(failed(&given(vec![used(HOUR, 1_000)], test(sending))), ["tool.fetch.sends"]);

    let mut shop = policy.payees["weather-feed"].clone();
    (shop.address, shop.host) = (None, Some("shop.example".to_owned()));
    policy.payees.insert("shop".to_owned(), shop);
    let shop = |given| try_out(&policy, &PolicyTest { given, ..paying(1, "shop") });
    assert_eq!(asked(&shop(vec![])), ["payee.shop.pinned"]);
    let pinned = Given::Pinned { payee: "shop".to_owned(), address: STRANGER };
    assert_eq!(decision(&shop(vec![pinned.clone()])), Decision::Allow);
    let before = paid(2_500_000, "shop", HOUR, PaidBy::Agent);
    assert!(failed(&shop(vec![pinned, before])).contains(&"payee.shop.day"));
}

#[test]
fn whatever_a_test_can_say_reaches_the_engine() {
    let mut policy = usual();
    let times = Times(vec![Span::read("mon-fri 08:00-18:00").unwrap()]);
    policy.payees.get_mut("weather-feed").unwrap().times = times;
    let feed = || paying(1, "weather-feed");
    let at = |at: &str| failing(&policy, PolicyTest { at: Moment::read(at), ..feed() });
    assert_eq!(at("mon 03:00"), ["payee.weather-feed.times"]);
    assert_eq!(at("fri 17:59"), [""; 0]);
    let by =
        |host: &str| failing(&policy, PolicyTest { asked_by: Some(host.to_owned()), ..feed() });
    assert_eq!(by("evil.example"), ["payee.weather-feed.host"]);
    let labels = Labels::default().with(Label::Memory);
    policy.labels = LabelRules { memory: Some(Attitude::Refuse), ..LabelRules::default() };
    assert_eq!(failing(&policy, PolicyTest { labels, ..feed() }), ["labels"]);
    let large = paying(500_001, "weather-feed");
    assert_eq!(decision(&try_out(&policy, &large)), Decision::Hold);
    let approved = PolicyTest { approved: true, ..large };
    assert_eq!(decision(&try_out(&policy, &approved)), Decision::Allow);
    assert_eq!(failing(&policy, test(using("shell"))), ["tool.known"]);
    assert_eq!(failing(&policy, test(When::Collect(usdc(1)))), [""; 0]);
    assert_eq!(failing(&policy, test(When::Collect(wei(1)))), ["asset.domain", "income.asset"]);
    assert_eq!(failing(&policy, test(When::Return(usdc(1)))), [""; 0]);
    let intruder = PolicyTest { sub_agent: Some("intruder".to_owned()), ..feed() };
    assert_eq!(failing(&policy, intruder), ["sub_agent.known"]);

    let tool = policy.tools.get_mut("fetch").unwrap();
    let wanted = Constraint { at_most: Some(10), ..Constraint::default() };
    tool.arguments.insert("limit".to_owned(), wanted);
    let with = |host: &str, limit| {
        let when = When::Use {
            tool: "fetch".to_owned(),
            fetch: Some(("GET".to_owned(), host.to_owned())),
            bytes: 0,
            arguments: BTreeMap::from([("limit".to_owned(), Argument::Integer(limit))]),
        };
        failing(&policy, test(when))
    };
    assert_eq!(with("noaa.gov", 10), [""; 0]);
    assert_eq!(with("evil.example", 11), ["tool.fetch.hosts", "tool.fetch.arguments.limit"]);
}

#[test]
fn peers_of_a_test_have_addresses_of_their_own() {
    let mut policy = usual();
    let pool = Pool { limits: day(100), peer_day: Some(U256::from(60)), peer_total: None };
    policy.pools.insert(USDC, pool);
    let given = vec![paid(60, "peer-a", HOUR, PaidBy::Agent)];
    let to = |payee| failing(&policy, PolicyTest { given: given.clone(), ..paying(1, payee) });
    assert_eq!(to("peer-a"), ["pool.USDC.peer_day"]);
    assert_eq!(to("peer-b"), [""; 0]);
    let labels = Labels::default().with(Label::Web("peer.example".to_owned()));
    let own_terms = PolicyTest { labels, ..paying(1, "peer-b") };
    assert_eq!(decision(&try_out(&policy, &own_terms)), Decision::Allow);
}

#[test]
fn a_test_holds_only_for_what_it_expects() {
    let mut policy = usual();
    let expecting = |micros, then| PolicyTest { then, ..paying(micros, "weather-feed") };
    let rule = |rule: &str| rule.to_owned();
    policy.tests = vec![
        expecting(1, Expectation::Allowed),
        expecting(500_001, Expectation::Allowed),
        expecting(500_001, Expectation::Held),
        expecting(500_001, Expectation::HeldBy(rule("limits.USDC.ask_above"))),
        expecting(500_001, Expectation::HeldBy(rule("labels"))),
        expecting(1_000_001, Expectation::HeldBy(rule("limits.USDC.ask_above"))),
        expecting(1_000_001, Expectation::RefusedBy(rule("limits.USDC.payment"))),
        expecting(1_000_001, Expectation::RefusedBy(rule("limits.USDC.ask_above"))),
        expecting(1_000_001, Expectation::Held),
    ];
    let passed: Vec<bool> = run_tests(&policy).iter().map(|result| result.passed).collect();
    assert_eq!(passed, [true, false, true, true, false, false, true, false, false]);
}

#[test]
fn a_test_is_called_by_its_own_words() {
    let mut policy = usual();
    policy.tests = vec![
        PolicyTest {
            at: Moment::read("sun 00:30"),
            sub_agent: Some("helper".to_owned()),
            task: Some("errand".to_owned()),
            asked_by: Some("evil.example".to_owned()),
            labels: Labels::default().with(Label::Peer("friend".to_owned())).with(Label::Model),
            approved: true,
            then: Expectation::HeldBy("labels".to_owned()),
            ..paying(300_000, "weather-feed")
        },
        test(When::Return(wei(1))),
    ];
    let names: Vec<String> = run_tests(&policy).into_iter().map(|result| result.name).collect();
    assert_eq!(
        names,
        [
            "pay 0.30 USDC to weather-feed as helper in task errand, asked by evil.example, \
             sun 00:30, labelled model, peer:friend, approved: held by labels",
            "return 0.000000000000000001 ETH: allowed",
        ]
    );
}

#[test]
fn the_past_and_the_proposal_are_said_in_the_words_of_the_language() {
    let policy = usual();
    for (given, words) in [
        (paid(400_000, "muscle", 5 * HOUR, PaidBy::Agent), "paid 0.40 USDC to muscle 5h ago"),
        (
            paid(1, "muscle", 2 * DAY, PaidBy::AnotherAgent),
            "paid 0.000001 USDC to muscle 2d ago by another agent",
        ),
        (
            paid(1_000_000, "muscle", 90_000, PaidBy::SubAgent("helper".to_owned())),
            "paid 1.00 USDC to muscle 90s ago by helper",
        ),
        (
            paid(1_000_000, "muscle", 0, PaidBy::Task("errand".to_owned())),
            "paid 1.00 USDC to muscle 0s ago in task errand",
        ),
        (
            Given::Used { tool: "fetch".to_owned(), age: 120_000, bytes: 10_240 },
            "used fetch 2min ago sending 10 KiB",
        ),
        (Given::Used { tool: "fetch".to_owned(), age: 1, bytes: 0 }, "used fetch 1s ago"),
        (Given::Undelivered("muscle".to_owned()), "muscle did not deliver"),
        (Given::Unresolved("muscle".to_owned()), "muscle does not resolve"),
        (Given::ChangedHands("muscle".to_owned()), "muscle changed hands"),
        (
            Given::Pinned { payee: "shop".to_owned(), address: Address::ZERO },
            "pinned shop to 0x0000000000000000000000000000000000000000",
        ),
    ] {
        assert_eq!(say_given(&policy, &given), words);
    }
    let when = When::Use {
        tool: "fetch".to_owned(),
        fetch: Some(("GET".to_owned(), "noaa.gov".to_owned())),
        bytes: 1_000,
        arguments: BTreeMap::from([
            ("city".to_owned(), Argument::Text("Berlin".to_owned())),
            ("limit".to_owned(), Argument::Integer(-3)),
        ]),
    };
    let words = "use fetch to GET noaa.gov sending 1000 B with city=Berlin limit=-3";
    assert_eq!(say_when(&policy, &when), words);
    assert_eq!(say_when(&policy, &When::Collect(usdc(1_000_000))), "collect 1.00 USDC");
}

#[test]
fn a_test_happens_on_a_monday_noon_on_which_the_policy_still_holds() {
    let mut policy = usual();
    assert_eq!(now(&policy, None), MONDAY_NOON);
    assert_eq!(now(&policy, Moment::read("mon 12:00")), MONDAY_NOON);
    assert_eq!(now(&policy, Moment::read("mon 11:59")), MONDAY_NOON + 7 * DAY - 60_000);
    assert_eq!(now(&policy, Moment::read("tue 00:00")), MONDAY_NOON + DAY / 2);
    for (expires, noon) in [
        (MONDAY_NOON + 1, MONDAY_NOON),
        (MONDAY_NOON, MONDAY_NOON - 7 * DAY),
        (MONDAY_NOON - 7 * DAY + 1, MONDAY_NOON - 7 * DAY),
        (MONDAY_NOON - 7 * DAY, MONDAY_NOON - 14 * DAY),
    ] {
        policy.expires = Some(expires);
        assert_eq!(now(&policy, None), noon);
    }
    policy.expires = Some(0);
    assert_eq!(Moment::of(now(&policy, None)).to_string(), "mon 12:00", "no time is too early");
}

#[test]
fn one_past_serves_two_policies() {
    let (old, mut new) = (usual(), usual());
    new.payees.get_mut("weather-feed").unwrap().address = Some(STRANGER);
    let given = [paid(7, "weather-feed", HOUR, PaidBy::Agent)];
    let past = Past::of(&old, &given, NOW);
    assert_eq!(past.spent(Scope::Payee(FEED), USDC, 0), U256::from(7));
    assert_eq!(past.spent(Scope::Payee(STRANGER), USDC, 0), U256::ZERO);
    assert_eq!(Past::of(&new, &given, NOW).spent(Scope::Payee(STRANGER), USDC, 0), U256::from(7));
}
