//! Where terms and arguments came from: a label makes a verdict stricter or leaves it.

use crate::support::*;
use alloy_primitives::Address;
use marque_policies::{
    Intent, Label, Labels, Policy,
    document::{Attitude, LabelRules, Limits, Pool},
    intent::{Authorise, Transfer},
};

const OWN: &str = "feed.example";

fn web(host: &str) -> Label {
    Label::Web(host.to_owned())
}

fn all() -> [Label; 4] {
    [Label::Model, Label::Memory, Label::Peer("friend".to_owned()), web("evil.example")]
}

fn every(attitude: Attitude) -> LabelRules {
    let said = Some(attitude);
    LabelRules { web: said, peer: said, memory: said, model: said }
}

/// 2: refused, 1: held, 0: allowed, by the rule on labels alone.
fn strict(policy: &Policy, intent: &Intent) -> u8 {
    let verdict = judge(policy, intent, Some(wei(1)), &Book::default());
    match (failed(&verdict).as_slice(), asked(&verdict).as_slice()) {
        ([], []) => 0,
        ([], ["labels"]) => 1,
        (["labels"], []) => 2,
        other => panic!("{other:?}"),
    }
}

fn asked_by(host: &str, label: Label) -> Intent {
    let labels = Labels::default().with(label);
    let host = host.to_owned();
    Intent::Authorise(Authorise { host, labels, ..pay("weather-feed", FEED, usdc(1)) })
}

fn unasked(label: Label) -> Intent {
    let Intent::Transfer(pay) = transfer(usdc(1)) else { panic!() };
    Intent::Transfer(Transfer { labels: Labels::default().with(label), ..pay })
}

#[test]
fn what_the_owner_says_of_labels_holds_for_the_payees_own_host_as_well() {
    for label in all() {
        for (attitude, strictness) in [(Attitude::Ask, 1), (Attitude::Refuse, 2)] {
            let policy = Policy { labels: every(attitude), ..usual() };
            assert_eq!(strict(&policy, &asked_by(OWN, label.clone())), strictness, "{label:?}");
            assert_eq!(strict(&policy, &unasked(label.clone())), strictness, "{label:?}");
        }
        assert_eq!(strict(&usual(), &asked_by(OWN, label.clone())), 0);
        assert_eq!(strict(&usual(), &unasked(label)), 1);
    }
}

#[test]
fn terms_read_from_the_very_host_that_asks_are_its_own() {
    let policy = Policy { labels: every(Attitude::Refuse), ..usual() };
    for host in [OWN, "FEED.example"] {
        assert_eq!(strict(&policy, &asked_by(OWN, web(host))), 0, "{host}");
    }
    for host in ["feed.example:8443", "a.feed.example", "*.example", ""] {
        assert_eq!(strict(&policy, &asked_by(OWN, web(host))), 2, "{host}");
    }
}

#[test]
fn one_refused_label_outranks_those_that_are_asked_about() {
    let rules = LabelRules { peer: Some(Attitude::Refuse), ..LabelRules::default() };
    let policy = Policy { labels: rules, ..usual() };
    let Intent::Transfer(mut pay) = unasked(Label::Memory) else { panic!() };
    assert_eq!(strict(&policy, &Intent::Transfer(pay.clone())), 1);
    pay.labels = pay.labels.with(Label::Peer("friend".to_owned()));
    assert_eq!(strict(&policy, &Intent::Transfer(pay)), 2);
}

#[test]
fn a_peer_of_the_pool_may_name_its_own_terms_and_no_others() {
    let mut policy = usual();
    let limits = Limits { day: Some(usdc(100).units), ..Limits::default() };
    policy.pools.insert(USDC, Pool { limits, ..Pool::default() });
    let peer = |label| {
        let labels = Labels::default().with(label);
        let host = "peer.example".to_owned();
        let to = Address::repeat_byte(0x9e);
        Intent::Authorise(Authorise { host, labels, ..pay("a peer", to, usdc(1)) })
    };
    let own = web("peer.example");
    assert_eq!(strict(&policy, &peer(own.clone())), 0);
    for label in all() {
        assert_eq!(strict(&policy, &peer(label)), 1);
    }
    policy.labels = every(Attitude::Refuse);
    assert_eq!(strict(&policy, &peer(own)), 0);
    for label in all() {
        assert_eq!(strict(&policy, &peer(label)), 2);
    }
}

#[test]
fn labels_of_a_tools_arguments_matter_where_the_tool_says_so() {
    let used = |label| {
        let Intent::Tool(mut used) = fetch("fetch", "noaa.gov", 1) else { panic!() };
        used.labels = used.labels.with(label);
        Intent::Tool(used)
    };
    let mut policy = usual();
    for label in all() {
        assert_eq!(judge(&policy, &used(label), None, &Book::default()).table.len(), 4);
    }
    let rules = LabelRules {
        web: Some(Attitude::Refuse),
        memory: Some(Attitude::Ask),
        ..LabelRules::default()
    };
    policy.tools.get_mut("fetch").unwrap().labels = rules;
    let judge = |label| judge(&policy, &used(label), None, &Book::default());
    assert_eq!(failed(&judge(web("feed.example"))), ["tool.fetch.labels"]);
    assert_eq!(asked(&judge(Label::Memory)), ["tool.fetch.labels"]);
    for label in [Label::Model, Label::Peer("friend".to_owned()), Label::Owner] {
        let verdict = judge(label);
        assert_eq!((failed(&verdict), asked(&verdict)), (vec![], vec![]));
    }
}
