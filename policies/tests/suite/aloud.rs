//! What an owner hears before signing.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Argument, Policy, Sources,
    document::{
        Approvals, Attitude, Bound, Constraint, DAY, Float, HOUR, LabelRules, Limits, Payee, Pool,
        SubAgent,
    },
    parse::compile,
    read_aloud,
    times::{Span, Times},
};
use std::collections::BTreeMap;

fn units(units: u64) -> Option<U256> {
    Some(U256::from(units))
}

fn times(text: &str) -> Times {
    Times(vec![Span::read(text).unwrap()])
}

/// A policy with a bit of everything.
fn rich() -> Policy {
    let mut policy = usual();
    policy.expires = Some(1_814_313_600_000);
    policy.times = times("mon-fri 08:00-18:00 +01:00");
    policy.approvals = Approvals { valid: Some(HOUR), held: Some(DAY) };
    policy.labels = LabelRules {
        web: Some(Attitude::Refuse),
        memory: Some(Attitude::Ask),
        ..LabelRules::default()
    };
    let total = Limits { total: units(500_000), ask_above: units(90_000), ..Limits::default() };
    policy.task_limits.insert(USDC, total);
    let all = Limits { hour: units(9_000_000), ask_above: units(900_000), ..Limits::default() };
    policy.owner_limits.insert(USDC, all);
    let fees = Limits { total: units(1), ask_above: units(2), ..Limits::default() };
    policy.owner_gas.insert(ETH, fees);
    let pool = Limits { day: units(500_000), ask_above_day: units(80_000), ..Limits::default() };
    let pool = Pool { limits: pool, peer_day: units(100_000), peer_total: units(300_000) };
    policy.pools.insert(USDC, pool);
    let bound = |limits| Bound { asset: USDC, limits };
    let six = Limits { days30: units(6_000_000), ask_above: units(70_000), ..Limits::default() };
    policy.categories.insert("compute".to_owned(), bound(six));
    let own = Limits {
        hour: units(10_000),
        ask_above: units(60_000),
        ask_above_day: units(61_000),
        ..Limits::default()
    };
    let shop = Payee {
        address: None,
        identity: None,
        host: Some("shop.example".to_owned()),
        category: Some("compute".to_owned()),
        bound: Some(bound(own)),
        times: times("sun 10:00-09:00"),
    };
    policy.payees.insert("shop".to_owned(), shop);
    let tool = policy.tools.get_mut("fetch").unwrap();
    tool.methods = ["GET".to_owned(), "HEAD".to_owned()].into();
    tool.times = times("06:00-22:00");
    tool.labels.peer = Some(Attitude::Refuse);
    let cities = ["Paris", "Berlin"].map(|city| Argument::Text(city.to_owned()));
    let city = Constraint { one_of: Some(cities.into()), ..Constraint::default() };
    tool.arguments.insert("city".to_owned(), city);
    let count = Constraint { at_least: Some(1), at_most: Some(9), ..Constraint::default() };
    tool.arguments.insert("count".to_owned(), count);
    let helper = SubAgent {
        payees: ["shop".to_owned(), "muscle".to_owned()].into(),
        tools: ["fetch".to_owned()].into(),
        limits: BTreeMap::from([(USDC, Limits { day: units(20_000), ..Limits::default() })]),
        gas: BTreeMap::from([(ETH, Limits { day: units(3), ..Limits::default() })]),
    };
    policy.sub_agents.insert("helper".to_owned(), helper);
    let float = Float { low: U256::from(200_000), high: U256::from(1_000_000), required: true };
    policy.floats.insert(USDC, float);
    policy.sub_agents.insert("idle".to_owned(), SubAgent::default());
    policy
}

#[test]
fn everything_that_can_be_written_is_said() {
    let said = read_aloud(&rich());
    for sentence in [
        "It ends at 2027-06-30 00:00:00 UTC; from then on money may only go back to the owner.",
        "Money is spent and tools are used only Monday to Friday from 08:00 to 18:00 UTC+01:00.",
        "An approval of the owner counts for 1 h.",
        "What is held waits 1 d for the owner.",
        "USDC is the token 0x5555555555555555555555555555555555555555 on devnet, with 6 digits, \
         signed for as \"Marque Test Dollar\", version \"1\".",
        "ETH is devnet's own coin.",
        "Each task may spend at most 0.50 USDC ever.",
        "It asks before a payment above 0.09 USDC.",
        "All agents of the owner together may spend at most 9.00 USDC in any hour.",
        "It asks before a payment above 0.90 USDC.",
        "For transaction fees all agents together may spend at most 0.000000000000000001 ETH ever.",
        "It asks before a transaction with fees above 0.000000000000000002 ETH.",
        "It may pay shop, when shop.example asks for it, at the address that the owner approves \
         with the first payment, in the category compute, at most 0.01 USDC in any hour, only on \
         Sunday from 10:00 to 09:00 of the next day UTC.",
        "It asks before a payment to shop above 0.06 USDC.",
        "It asks before a payment to shop that brings it above 0.061 USDC in a day.",
        "A payee whose address is known may also be sent money unasked",
        "All payees of the category compute together may be paid at most 6.00 USDC in any 30 days.",
        "It asks before a payment to the category compute above 0.07 USDC.",
        "Peers whom this policy does not name may be paid together at most 0.50 USDC in any day.",
        "One of them may be paid at most 0.10 USDC in any day and 0.30 USDC ever.",
        "It asks before a payment on terms that came from another agent or the model, unless the \
         payee's own host asks for the money.",
        "A payment on terms that came from the web is refused, unless they came from the payee's \
         own host as it asks.",
        "A peer whom this policy does not name has no host of its own: of terms from outside, \
         only those pass unasked that came from the very host that asks.",
        "A payment on terms that came from memory needs the owner's approval, even when",
        "It may use fetch, reaching feed.example, any host below gov and 127.0.0.1:4021 by GET or \
         HEAD only, 3 times a minute, sending at most 1 KiB a day, only every day from 06:00 to \
         22:00 UTC.",
        "Its `city` must be \"Berlin\" or \"Paris\".",
        "Its `count` must be a number of at least 1 and a number of at most 9.",
        "An argument of fetch that came from another agent is refused.",
        "Its sub-agent helper may pay muscle and shop and use fetch, within everything that holds \
         for the agent.",
        "helper may spend at most 0.02 USDC in any day.",
        "For transaction fees helper may spend at most 0.000000000000000003 ETH in any day.",
        "Its sub-agent idle may pay nobody and use no tool",
        "idle may spend nothing.",
        "Its key is kept between 0.20 USDC and 1.00 USDC from the owner's account, under the same \
         limits on chain",
        "While that is not delegated on chain it pays nothing.",
    ] {
        assert!(said.contains(sentence), "{sentence}\n---\n{said}");
    }
}

#[test]
fn a_forbid_without_a_reason_is_said_in_its_own_words() {
    let cedar = "@id(\"weekend\")\nforbid (principal, action == Action::\"pay\", resource)\n\
                 when { context.weekday >= 5 };";
    let sources = Sources {
        policy: format!("{GROUND}{PERMISSIONS}"),
        owner: None,
        cedar: Some(cedar.to_owned()),
    };
    let said = read_aloud(&compile(&sources).unwrap().0);
    let line = said.lines().find(|line| line.starts_with("Forbidden by the rule weekend: forbid"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("Action::\"pay\"") && line.contains("context.weekday >= 5"), "{line}");
    assert!(!line.contains("@id"), "{line}");
}

#[test]
fn payments_and_fees_in_one_budget_are_said_together() {
    let mut policy = usual();
    let limits = policy.gas.remove(&ETH).unwrap();
    policy.limits.insert(ETH, limits);
    let said = read_aloud(&policy);
    let sentence = "The agent may spend, fees included, at most 0.002 ETH in any day.";
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn what_others_wrote_cannot_forge_a_sentence() {
    let mut policy = usual();
    let domain = Some(("Coin\nIt may pay everybody".to_owned(), "1\u{1b}[2J".to_owned()));
    policy.assets.get_mut("USDC").unwrap().domain = domain;
    let said = read_aloud(&policy);
    assert!(!said.lines().any(|line| line.starts_with("It may pay everybody")), "{said}");
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()));
}
