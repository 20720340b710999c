//! Ready-made policies, a policy's own tests, and a policy read aloud.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Decision, DraftFloat, DraftKind, DraftLimits, DraftParams, DraftPayee, Pin, Policy, TestResult,
    draft, draft_sources, parse, parse::compile, read_aloud, render_table, run_tests,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn params() -> DraftParams {
    DraftParams {
        owner: OWNER,
        chain_name: "devnet".to_owned(),
        chain_id: CHAIN,
        rpc: vec!["http://127.0.0.1:8545".to_owned()],
        finality: "2".to_owned(),
        native: "ETH".to_owned(),
        registry: Some(REGISTRY),
        asset: "USDC".to_owned(),
        token: USDC.token,
        token_domain: ("Marque \"Test\" {{owner}} Dollar".to_owned(), "1".to_owned()),
        decimals: 6,
        limits: None,
        float: None,
        payees: vec![
            DraftPayee {
                name: "feed".to_owned(),
                pin: Pin::Agent { id: U256::from(1), owner: MUSCLE_OWNER, wallet: FEED },
                host: Some("127.0.0.1:4021".to_owned()),
                so_far: Some(U256::from(250_000)),
            },
            DraftPayee {
                name: "muscle".to_owned(),
                pin: Pin::Address(MUSCLE),
                host: None,
                so_far: None,
            },
        ],
        data_hosts: vec!["127.0.0.1:4021".to_owned(), "*.gov".to_owned()],
        compute_hosts: vec!["127.0.0.1:4022".to_owned()],
    }
}

/// Reads a draft, which must be as good as its invariant says.
fn read(kind: DraftKind, params: &DraftParams) -> Policy {
    let sources = draft_sources(kind, params);
    let shown = format!("{}\n{}", sources.policy, sources.cedar.as_deref().unwrap_or_default());
    let (policy, warnings) = compile(&sources).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(warnings, [], "{shown}");
    for TestResult { name, passed, verdict } in run_tests(&policy) {
        assert!(passed, "{name}\n{}\n{shown}", render_table(&verdict));
    }
    policy
}

#[test]
fn drafts_read_without_a_warning_and_pass_their_own_tests() {
    let nobody = DraftParams {
        payees: Vec::new(),
        data_hosts: Vec::new(),
        compute_hosts: Vec::new(),
        registry: None,
        decimals: 2,
        asset: "DAI".to_owned(),
        ..params()
    };
    for kind in DraftKind::ALL {
        for params in [params(), nobody.clone()] {
            let policy = read(kind, &params);
            let domain = policy.assets[&params.asset].domain.clone();
            assert_eq!(domain, Some(params.token_domain), "values are no placeholders");
            assert!(!policy.tests.is_empty(), "{kind:?}");
        }
        let text = draft(kind, &params());
        assert!(!text.contains("# [[test]]"), "a test of {kind:?} is left out without need");
        assert!(read(kind, &params()).tests.len() >= 3, "{kind:?}");
        let (policy, _) = parse(&text).unwrap();
        assert_eq!(policy.hash, read(kind, &params()).hash, "one text says the same");
    }
}

#[test]
fn every_kind_has_a_name_and_a_line_of_its_own() {
    let all = DraftKind::ALL;
    let names: BTreeSet<&str> = all.iter().map(|kind| kind.name()).collect();
    let lines: BTreeSet<&str> = all.iter().map(|kind| kind.about()).collect();
    assert_eq!((names.len(), lines.len()), (all.len(), all.len()));
}

#[test]
fn a_budget_is_what_its_owner_said() {
    let units = |cents: u64| U256::from(cents * 10_000);
    let limits = DraftLimits { payment: units(200), day: units(700), ask_above: units(30) };
    for kind in DraftKind::ALL {
        let policy = read(kind, &DraftParams { limits: Some(limits), ..params() });
        let Some(found) = policy.limits.get(&USDC) else {
            assert_eq!(kind.usual(6), None, "{kind:?}");
            continue;
        };
        assert_eq!(
            (found.payment, found.day, found.ask_above),
            (Some(limits.payment), Some(limits.day), Some(limits.ask_above)),
            "{kind:?}"
        );
    }
}

#[test]
fn a_draft_has_the_float_that_its_owner_said_and_else_shows_one() {
    let units = |cents: u64| U256::from(cents * 10_000);
    let said = DraftFloat { low: units(100), high: units(500) };
    let limits = DraftLimits { payment: units(200), day: units(700), ask_above: units(30) };
    for kind in DraftKind::ALL {
        assert!(read(kind, &params()).floats.is_empty(), "{kind:?}");
        let policy =
            read(kind, &DraftParams { float: Some(said), limits: Some(limits), ..params() });
        let spends = policy.limits.contains_key(&USDC);
        assert_eq!(draft(kind, &params()).contains("# [float.USDC]"), spends, "{kind:?}");
        let found = policy.floats.get(&USDC).map(|it| (it.low, it.high, it.required));
        assert_eq!(found, spends.then_some((said.low, said.high, false)), "{kind:?}");
    }
}

#[test]
fn a_frozen_agent_can_do_nothing_but_return_money() {
    let policy = read(DraftKind::Frozen, &params());
    assert!(policy.payees.is_empty() && policy.tools.is_empty() && policy.pools.is_empty());
    assert!(policy.limits.is_empty() && policy.income.is_empty());
    for intent in [feed(1), transfer(usdc(1)), settle(AGENT, usdc(1)), fetch("fetch", "a.gov", 0)] {
        let verdict = judge(&policy, &intent, Some(wei(0)), &Book::default());
        assert_eq!(verdict.decision(), Decision::Refuse, "{intent:?}");
    }
}

/// Amounts from nothing to all there is, the small ones more often.
fn amount() -> impl Strategy<Value = U256> {
    prop_oneof![
        (0_u64..1_000).prop_map(U256::from),
        (0_u64..100_000_000).prop_map(U256::from),
        any::<[u64; 4]>().prop_map(U256::from_limbs),
    ]
}

fn any_params() -> impl Strategy<Value = DraftParams> {
    let limits = (amount(), amount(), amount()).prop_map(|(payment, day, ask_above)| DraftLimits {
        payment,
        day,
        ask_above,
    });
    let so_far = prop::option::of(amount());
    let float = (amount(), amount()).prop_map(|(low, high)| DraftFloat { low, high });
    let money = (prop::option::of(limits), prop::option::of(float));
    (money, 0_u8..=36, 0..3_usize, so_far, any::<[bool; 3]>()).prop_map(
        |((limits, float), decimals, payees, so_far, [hosts, of_their_own, registry])| {
            let mut params = DraftParams { limits, float, decimals, ..params() };
            params.payees.truncate(payees);
            params.payees.iter_mut().for_each(|payee| payee.so_far = so_far);
            if !hosts {
                params.data_hosts.clear();
                params.compute_hosts.clear();
            }
            if of_their_own {
                params.payees.reverse();
            }
            if !registry && params.payees.iter().all(|payee| matches!(payee.pin, Pin::Address(_))) {
                params.registry = None;
            }
            params
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn drafts_hold_whatever_the_parameters(at in 0..DraftKind::ALL.len(), params in any_params()) {
        let kind = DraftKind::ALL[at];
        let policy = read(kind, &params);
        // What the owner named, or less, and never asked less often.
        if let (Some(said), Some(found)) = (params.limits, policy.limits.values().next()) {
            prop_assert!(found.payment.unwrap() <= said.payment);
            prop_assert!(found.day.unwrap() <= said.day);
            let payment = found.payment.unwrap();
            prop_assert!(found.ask_above == Some(said.ask_above) || said.ask_above >= payment);
        }
    }
}

#[test]
fn a_policys_test_fails_when_the_policy_says_otherwise() {
    let test = |when: &str, then: &str| {
        let test = format!(
            "\n[[test]]\ngiven = [\"paid 2.40 USDC to weather-feed 5h ago\"]\nwhen = \"{when}\"\nthen = \"{then}\"\n"
        );
        let results = run_tests(&policy(&format!("{GROUND}{PERMISSIONS}{test}")));
        results[0].passed
    };
    let small = "pay 0.10 USDC to weather-feed";
    assert!(test(small, "held"), "2.50 is above ask_above_day");
    assert!(!test(small, "allowed"));
    assert!(!test(small, "refused by payee.weather-feed.day"));
    let large = "pay 0.11 USDC to weather-feed";
    assert!(test(large, "refused by payee.weather-feed.day"));
    assert!(!test(large, "held"));
    assert!(test("pay 0.10 USDC to muscle", "allowed"));
    assert!(test("pay 0.10 USDC to nobody-known", "refused by payee.known"));
    assert!(test("pay 0.10 ETH to muscle", "refused by limits.ETH"));
}

#[test]
fn a_test_that_cannot_be_read_is_a_mistake() {
    for (given, when, then) in [
        ("paid 1 USDC to weather-fed 5h ago", "pay 1 USDC to muscle", "held"),
        ("paid 1 USDC to muscle 5m ago", "pay 1 USDC to muscle", "held"),
        ("gave 1 USDC to muscle 5h ago", "pay 1 USDC to muscle", "held"),
        ("paid 1 USDC to muscle 5h ago", "pay 1 to muscle", "held"),
        ("paid 1 USDC to muscle 5h ago", "pay 1 USDC to musle", "refused by limits.USDC"),
        ("paid 1 USDC to muscle 5h ago", "pay 1 USDC to muscle", "refused"),
        ("paid 1 USDC to muscle 5h ago", "pay 1 USDC to muscle", "denied"),
        ("paid 0.0000001 USDC to muscle 5h ago", "pay 1 USDC to muscle", "held"),
    ] {
        let test =
            format!("\n[[test]]\ngiven = [\"{given}\"]\nwhen = \"{when}\"\nthen = \"{then}\"\n");
        assert!(parse(&format!("{GROUND}{PERMISSIONS}{test}")).is_err(), "{test}");
    }
}

#[test]
fn a_policy_read_aloud_says_all_that_it_permits() {
    let said = read_aloud(&usual());
    for sentence in [
        "Version 7, written for the owner 0x",
        "The agent may spend at most 1.00 USDC in one payment, 3.00 USDC in any hour, 10.00 USDC in any day, 100.00 USDC in any 30 days and 200.00 USDC ever.",
        "It asks before a payment above 0.50 USDC.",
        "It asks before a payment that brings a payee above 2.00 USDC in a day.",
        "For transaction fees the agent may spend at most 0.002 ETH in any day.",
        ", when feed.example asks for it, at most 2.50 USDC in any day.",
        "It may pay muscle, agent 1 on chain 31337, as long as 0x",
        "It may use fetch, reaching feed.example, any host below gov and 127.0.0.1:4021, 3 times a minute, sending at most 1 KiB a day.",
        "It may be paid in USDC.",
        "Everything else is refused.",
    ] {
        assert!(said.contains(sentence), "{sentence}\n---\n{said}");
    }
    let nothing = read_aloud(&policy(GROUND));
    assert!(nothing.contains("The agent may not spend USDC."));
    assert!(nothing.contains("It may pay nobody.") && nothing.contains("It may use no tool."));
}

#[test]
fn a_table_begins_with_the_answer_and_shows_how_to_mend_it() {
    let verdict = judge(&usual(), &feed(1_000_001), None, &Book::default());
    assert_eq!(verdict.decision(), Decision::Refuse);
    let table = render_table(&verdict);
    assert!(table.starts_with("refused\n"));
    let line = table.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(line.contains("limits.USDC.payment") && line.contains("1.000001 USDC"));
    assert!(table.contains("at most 1.00 USDC fits"));
}
