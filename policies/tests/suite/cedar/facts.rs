//! A forbid on each part of the context applies exactly when it should.

use super::{labelled, with};
use crate::support::*;
use alloy_primitives::{Address, U256};
use marque_policies::{
    Intent, Label, Money, Policy, Request, decide,
    document::{DAY, DAYS30, HOUR},
    intent::Transfer,
};

const MARKET: Address = Address::repeat_byte(0x31);

/// Monday, 1 January 2024, 00:00 UTC.
const MONDAY: u64 = 1_704_067_200_000;

fn forbidding(action: &str, when: &str) -> Policy {
    with(&format!(
        "@id(\"it\") forbid (principal, action == Action::\"{action}\", resource) when {{ {when} }};"
    ))
}

fn fails(policy: &Policy, request: &Request<'_>, book: &Book, now: u64) -> bool {
    failed(&decide(policy, request, book, now)).contains(&"cedar.it")
}

fn by_agent(intent: &Intent) -> Request<'_> {
    Request { agent: "scout", sub_agent: None, task: "errand", intent, gas: Some(wei(1)) }
}

/// What is judged, and the past that it is judged by.
type Told<'a> = (&'a Intent, &'a Book);

/// A condition, a case in which it holds, and one in which it does not.
fn table(action: &str, cases: &[(&str, Told<'_>, Told<'_>)]) {
    for (when, (yes, yes_book), (no, no_book)) in cases {
        let policy = forbidding(action, when);
        assert!(fails(&policy, &by_agent(yes), yes_book, NOW), "{when} holds for {yes:?}");
        assert!(!fails(&policy, &by_agent(no), no_book, NOW), "{when} does not for {no:?}");
    }
}

#[test]
fn of_a_payment() {
    let blank = &Book::default();
    let cheap = &feed(499_999);
    let dear = &feed(500_001);
    let over = &feed(1_000_001);
    let transfer = &transfer(usdc(1));
    let market = &Intent::Authorise(pay("market", MARKET, usdc(1)));
    let peer = &Intent::Authorise(pay("somebody", STRANGER, usdc(1)));
    let native = &Intent::Transfer(Transfer {
        payee: "market".to_owned(),
        to: MARKET,
        amount: Money::new(U256::from(1), ETH),
        labels: Default::default(),
    });
    let mut elsewhere = pay("market", MARKET, usdc(1));
    elsewhere.host = "Market.example:8443".to_owned();
    elsewhere.resource = "https://market.example/gpu".to_owned();
    let elsewhere = &Intent::Authorise(elsewhere);
    let paid = |age| Book::default().paid(FEED, usdc(1_500_000), age);
    let (now, earlier, yesterday, long_ago) = (&paid(0), &paid(HOUR), &paid(DAY), &paid(DAYS30));
    let other = &Book::default().paid_by_another_agent(FEED, usdc(1_500_000), 0);
    let mut owing = Book::default();
    owing.owing.insert(FEED);
    let owing = &owing;
    let hour = &Book::default().paid(MUSCLE, usdc(2_900_000), 1);
    let day = &Book::default().paid(MUSCLE, usdc(9_900_000), 2 * HOUR);
    let days30 = &Book::default().paid(MUSCLE, usdc(99_900_000), 2 * DAY);
    let total = &Book::default().paid(MUSCLE, usdc(199_900_000), 2 * DAYS30);
    let tagged = &labelled([Label::Web("a.example".to_owned()), Label::Owner]);
    table(
        "pay",
        &[
            ("context.asset == \"USDC\"", (cheap, blank), (native, blank)),
            ("context.amount_micros > 500000", (dear, blank), (cheap, blank)),
            // One wei is a millionth, rounded up.
            (
                "context.asset == \"ETH\" && context.amount_micros == 1",
                (native, blank),
                (cheap, blank),
            ),
            ("context.known", (cheap, blank), (peer, blank)),
            ("context.host == \"feed.example\"", (cheap, blank), (transfer, blank)),
            ("context.host == \"\"", (transfer, blank), (cheap, blank)),
            ("context.host == \"market.example:8443\"", (elsewhere, blank), (market, blank)),
            ("context.host like \"*.example:*\"", (elsewhere, blank), (market, blank)),
            ("context.resource like \"*/gpu\"", (elsewhere, blank), (market, blank)),
            ("context.resource == \"\"", (transfer, blank), (market, blank)),
            ("context.transaction", (transfer, blank), (cheap, blank)),
            ("context.labels.contains(\"web\")", (tagged, blank), (cheap, blank)),
            ("context.first_payment", (cheap, blank), (cheap, long_ago)),
            ("context.first_payment", (cheap, other), (cheap, now)),
            ("context.delivers", (cheap, blank), (cheap, owing)),
            ("context.fits.payment", (dear, blank), (over, blank)),
            ("!context.fits.hour", (dear, hour), (cheap, day)),
            ("!context.fits.day", (dear, day), (cheap, days30)),
            ("!context.fits.days30", (dear, days30), (cheap, total)),
            ("!context.fits.total", (dear, total), (cheap, blank)),
            ("context.fits.day && context.fits.total", (native, blank), (dear, day)),
            ("context.spent.hour >= 1500000", (cheap, now), (cheap, earlier)),
            ("context.spent.day >= 1500000", (cheap, earlier), (cheap, yesterday)),
            ("context.spent.days30 >= 1500000", (cheap, yesterday), (cheap, long_ago)),
            ("context.spent.total >= 1500000", (cheap, long_ago), (cheap, other)),
            ("context.payee_day >= 1500000", (cheap, now), (market, now)),
            ("context.payee_day >= 1500000", (cheap, earlier), (cheap, yesterday)),
            ("context.payee_total >= 1500000", (cheap, long_ago), (market, long_ago)),
            ("resource == Payee::\"market\"", (market, blank), (cheap, blank)),
            ("resource in Category::\"compute\"", (market, blank), (peer, blank)),
            ("resource is Payee in Category::\"compute\"", (market, blank), (cheap, blank)),
            (
                "if context.known then context.amount_micros > 1 else true",
                (peer, blank),
                (market, blank),
            ),
        ],
    );
}

#[test]
fn of_a_tool() {
    let blank = &Book::default();
    let plain = &fetch("fetch", "feed.example", 10);
    let gov = &fetch("fetch", "A.GOV", 2_000);
    let more = &fetch("fetch", "feed.example", u64::MAX);
    let used = |change: &dyn Fn(&mut marque_policies::intent::ToolUse)| {
        let Intent::Tool(mut used) = plain.clone() else { panic!("a tool") };
        change(&mut used);
        Intent::Tool(used)
    };
    let silent = &used(&|used| used.fetch = None);
    let post = &used(&|used| used.fetch.as_mut().unwrap().method = "Post".to_owned());
    let secret = &used(&|used| used.fetch.as_mut().unwrap().path = "/secret?a".to_owned());
    let other = &used(&|used| used.tool = "other".to_owned());
    let recalled = &used(&|used| used.labels = used.labels.clone().with(Label::Memory));
    table(
        "use",
        &[
            ("context.fetches", (plain, blank), (silent, blank)),
            ("context.host like \"*.gov\"", (gov, blank), (plain, blank)),
            (
                "context.host == \"\" && context.method == \"\" && context.path == \"\"",
                (silent, blank),
                (plain, blank),
            ),
            ("context.method == \"POST\"", (post, blank), (plain, blank)),
            ("context.path like \"/secret*\"", (secret, blank), (plain, blank)),
            ("context.bytes_out > 1000", (gov, blank), (plain, blank)),
            ("context.bytes_out == 9223372036854775807", (more, blank), (plain, blank)),
            ("context.labels.contains(\"memory\")", (recalled, blank), (plain, blank)),
            ("resource == Tool::\"fetch\"", (plain, blank), (other, blank)),
        ],
    );
}

#[test]
fn of_a_settlement() {
    let blank = &Book::default();
    let (small, large) = (&settle(AGENT, usdc(1)), &settle(AGENT, usdc(2_000_000)));
    let native = &settle(AGENT, wei(1));
    table(
        "collect",
        &[
            ("context.asset == \"USDC\"", (small, blank), (native, blank)),
            ("context.amount_micros > 1000000", (large, blank), (small, blank)),
            (
                "context.resource like \"*feed.example*\" && context.amount_micros < 2",
                (small, blank),
                (large, blank),
            ),
            ("resource == Asset::\"USDC\"", (small, blank), (native, blank)),
        ],
    );
}

#[test]
fn of_who_proposes() {
    let (intent, book) = (&feed(1), &Book::default());
    let request = by_agent(intent);
    let cases = [
        ("principal == Agent::\"scout\"", request, Request { agent: "other", ..request }),
        (
            "context.sub_agent == \"helper\"",
            Request { sub_agent: Some("helper"), ..request },
            request,
        ),
        ("context.sub_agent == \"\"", request, Request { sub_agent: Some("helper"), ..request }),
        ("context.task == \"errand\"", request, Request { task: "Errand", ..request }),
    ];
    for (when, yes, no) in cases {
        let policy = forbidding("pay", when);
        assert!(fails(&policy, &yes, book, NOW) && !fails(&policy, &no, book, NOW), "{when}");
    }
    let tool = fetch("fetch", "feed.example", 1);
    let policy = forbidding("use", "context.sub_agent == \"helper\" && context.task == \"errand\"");
    let request = by_agent(&tool);
    assert!(fails(&policy, &Request { sub_agent: Some("helper"), ..request }, book, NOW));
    assert!(!fails(&policy, &request, book, NOW));
}

#[test]
fn of_the_time_to_the_millisecond() {
    let (intent, book) = (&feed(1), &Book::default());
    let noon = MONDAY + 12 * HOUR;
    let leap = 1_709_164_800_000; // 29 February 2024
    let cases = [
        ("context.minute < 360", MONDAY + 6 * HOUR - 1, MONDAY + 6 * HOUR),
        ("context.minute == 1439", MONDAY - 1, MONDAY),
        ("context.minute == 0", MONDAY, MONDAY - 1),
        ("context.weekday == 6", MONDAY - 1, MONDAY),
        ("context.weekday == 0", MONDAY + DAY - 1, MONDAY + DAY),
        ("context.weekday == 3", 0, DAY),
        ("context.now.toTime() < duration(\"6h\")", MONDAY + 6 * HOUR - 1, MONDAY + 6 * HOUR),
        ("context.now < datetime(\"2024-01-01\")", MONDAY - 1, MONDAY),
        ("context.now >= datetime(\"2024-01-01T12:00:00Z\")", noon, noon - 1),
        ("context.now == datetime(\"2024-01-01T12:00:00.001Z\")", noon + 1, noon),
        ("context.now == datetime(\"2024-02-29T00:00:00Z\")", leap, leap + 1),
        ("context.now.toDate() == datetime(\"2024-02-29\")", leap + DAY - 1, leap + DAY),
        ("context.now == datetime(\"1970-01-01\")", 0, 1),
        ("context.now == datetime(\"9999-12-31T23:59:59.999Z\")", u64::MAX, 253_402_300_799_998),
    ];
    for (when, yes, no) in cases {
        let policy = forbidding("pay", when);
        let request = by_agent(intent);
        assert!(fails(&policy, &request, book, yes), "{when} at {yes}");
        assert!(!fails(&policy, &request, book, no), "{when} at {no}");
    }
}

#[test]
fn a_forbid_speaks_to_the_actions_it_names_and_to_nothing_else() {
    let book = Book::default();
    let policy = with(
        "forbid (principal, action, resource);
         forbid (principal, action == Action::\"pay\", resource);
         forbid (principal, action in [Action::\"use\", Action::\"collect\"], resource);
         forbid (principal, action in Action::\"use\", resource);",
    );
    let rows = |intent: &Intent| {
        let verdict = judge(&policy, intent, Some(wei(1)), &book);
        let rows = verdict.table.into_iter().map(|row| row.rule);
        rows.filter(|rule| rule.starts_with("cedar.")).collect::<Vec<_>>()
    };
    assert_eq!(rows(&feed(1)), ["cedar.1", "cedar.2"]);
    assert_eq!(rows(&transfer(usdc(1))), ["cedar.1", "cedar.2"]);
    assert_eq!(rows(&fetch("fetch", "feed.example", 1)), ["cedar.1", "cedar.3", "cedar.4"]);
    assert_eq!(rows(&settle(AGENT, usdc(1))), ["cedar.1", "cedar.3"]);
    // The way home for the money is never closed.
    let sweep = Intent::Sweep(marque_policies::intent::Sweep { amount: usdc(1) });
    assert!(rows(&sweep).is_empty());
}

#[test]
fn forbids_that_apply_together_are_all_told() {
    let policy = with(
        "@id(\"a\") forbid (principal, action, resource);
         @id(\"b\") forbid (principal, action == Action::\"pay\", resource) when { context.transaction };
         @id(\"c\") forbid (principal, action == Action::\"pay\", resource) unless { context.transaction };",
    );
    let verdict = judge(&policy, &feed(1), None, &Book::default());
    assert_eq!(failed(&verdict), ["cedar.a", "cedar.c"]);
}
