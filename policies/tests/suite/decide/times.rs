//! Hours of the week, the end of a policy, and how long an approval counts.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Decision, Intent, Policy, Request, Verdict, decide,
    document::{DAY, HOUR},
    intent::{AcceptWallet, Sweep},
    times::{Span, Times},
};

/// A Monday noon, UTC.
const MONDAY: u64 = 1_704_110_400_000;

fn at(policy: &Policy, intent: &Intent, now: u64) -> Verdict {
    let gas = Some(wei(0));
    let request = Request { agent: "scout", sub_agent: None, task: "t", intent, gas };
    decide(policy, &request, &Book::default(), now)
}

fn times(text: &str) -> Times {
    Times(vec![Span::read(text).unwrap()])
}

fn sweep() -> Intent {
    Intent::Sweep(Sweep { amount: usdc(1) })
}

#[test]
fn outside_the_policys_times_money_only_goes_back_or_comes_in() {
    let policy = Policy { times: times("mon-fri 08:00-18:00 +01:00"), ..usual() };
    for intent in [feed(1), transfer(usdc(1)), fetch("fetch", "noaa.gov", 1)] {
        for (now, inside) in [
            (MONDAY, true),
            (MONDAY + 5 * HOUR - 1, true),
            (MONDAY + 5 * HOUR, false),
            (MONDAY - DAY, false),
        ] {
            let verdict = at(&policy, &intent, now);
            assert_eq!(failed(&verdict), if inside { vec![] } else { vec!["times"] }, "{intent:?}");
        }
    }
    for intent in [sweep(), settle(AGENT, usdc(1))] {
        assert_eq!(at(&policy, &intent, MONDAY - DAY).decision(), Decision::Allow);
    }
}

#[test]
fn a_payee_and_a_tool_have_times_of_their_own() {
    let mut policy = usual();
    policy.payees.get_mut("weather-feed").unwrap().times = times("mon 11:00-13:00");
    policy.tools.get_mut("fetch").unwrap().times = times("mon 11:00-13:00");
    for (intent, rule) in
        [(feed(1), "payee.weather-feed.times"), (fetch("fetch", "noaa.gov", 1), "tool.fetch.times")]
    {
        assert_eq!(at(&policy, &intent, MONDAY).decision(), Decision::Allow);
        let late = at(&policy, &intent, MONDAY + HOUR);
        assert_eq!(failed(&late), [rule]);
        let row = late.table.iter().find(|row| row.rule == rule).unwrap();
        assert_eq!(
            (row.measured.as_str(), row.limit.as_str()),
            ("mon 13:00 UTC", "mon 11:00-13:00")
        );
    }
}

#[test]
fn a_policy_that_has_ended_permits_only_the_way_back() {
    let policy = Policy { expires: Some(MONDAY), ..usual() };
    let accept =
        AcceptWallet { chain: CHAIN, registry: REGISTRY, agent_id: U256::ONE, owner: OWNER };
    for intent in [
        feed(1),
        transfer(usdc(1)),
        fetch("fetch", "noaa.gov", 1),
        settle(AGENT, usdc(1)),
        Intent::AcceptWallet(accept),
    ] {
        assert_eq!(failed(&at(&policy, &intent, MONDAY - 1)), [""; 0]);
        let ended = at(&policy, &intent, MONDAY);
        assert_eq!(failed(&ended), ["policy.expires"], "{intent:?}");
        assert_eq!(ended.table[0].limit, "before 2024-01-01 12:00:00 UTC");
    }
    assert_eq!(at(&policy, &sweep(), u64::MAX).decision(), Decision::Allow);
}

#[test]
fn an_approval_counts_as_long_as_the_policy_says() {
    let intent = feed(500_001);
    let mut policy = usual();
    let decision = |policy: &Policy, age: u64| {
        let book = Book::default().approving_at(&intent, NOW - age);
        judge(policy, &intent, None, &book)
    };
    assert_eq!(decision(&policy, 300 * DAY).decision(), Decision::Allow, "without a limit");
    policy.approvals.valid = Some(HOUR);
    assert_eq!(decision(&policy, 0).decision(), Decision::Allow);
    assert_eq!(decision(&policy, HOUR).decision(), Decision::Allow);
    let lapsed = decision(&policy, HOUR + 1);
    assert_eq!(asked(&lapsed), ["limits.USDC.ask_above"]);
    let row = lapsed.table.iter().find(|row| row.mend.is_some()).unwrap();
    assert!(row.mend.as_deref().unwrap().contains("of 1 h ago has lapsed"), "{row}");
}
