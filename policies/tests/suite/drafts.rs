//! Ready-made policies, a policy's own tests, and a policy read aloud.

use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Decision, DraftKind, DraftParams, DraftPayee, Pin, draft, parse, read_aloud, render_table,
    run_tests,
};

fn params() -> DraftParams {
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
        payees: vec![
            DraftPayee {
                name: "feed".to_owned(),
                pin: Pin::Agent { id: U256::from(1), owner: MUSCLE_OWNER, wallet: FEED },
                host: Some("127.0.0.1:4021".to_owned()),
            },
            DraftPayee { name: "muscle".to_owned(), pin: Pin::Address(MUSCLE), host: None },
        ],
        data_hosts: vec!["127.0.0.1:4021".to_owned(), "*.gov".to_owned()],
        compute_hosts: vec!["127.0.0.1:4022".to_owned()],
    }
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
    for (kind, params, count) in [
        (DraftKind::Buyer, params(), 5),
        (DraftKind::Buyer, nobody.clone(), 1),
        (DraftKind::Seller, params(), 1),
        (DraftKind::Seller, nobody, 1),
    ] {
        let text = draft(kind, &params);
        let (policy, warnings) = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(warnings, [], "{text}");
        let results = run_tests(&policy);
        assert_eq!(results.len(), count, "{text}");
        for result in results {
            assert!(result.passed, "{}\n{}", result.name, render_table(&result.verdict));
        }
        let domain = policy.assets[&params.asset].domain.clone();
        assert_eq!(domain, Some(params.token_domain), "values are no placeholders");
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
