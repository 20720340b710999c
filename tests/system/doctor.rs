//! A set-up that works, and each way in which it does not: the doctor names what is wrong.

use crate::{
    command::{failure, marque, ok},
    support::Town,
};
use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use std::{path::Path, process::Output};

/// What was found, and the exit code; no secret is there to be asked for.
fn examined(dir: &Path, home: &Path, args: &[&str]) -> (Vec<Value>, i32) {
    let all = [&["doctor", "--json", "--home", home.to_str().unwrap()], args].concat();
    let out: Output = marque(dir, &all);
    let said: Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)));
    (said["findings"].as_array().unwrap().clone(), out.status.code().unwrap())
}

/// What of it is of this kind, a line each.
fn of(findings: &[Value], health: &str) -> Vec<String> {
    let line = |it: &Value| {
        let word = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
        format!("{}: {} / {}", word("subject"), word("found"), word("mend"))
    };
    findings.iter().filter(|it| it["health"] == health).map(line).collect()
}

async fn facilitator(kinds: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = json!({ "kinds": kinds, "extensions": [], "signers": {} });
    let app = Router::new().route("/x402/supported", get(move || async move { Json(answer) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("{url}/x402")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_works_is_found_well_without_keys_and_without_a_steward() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.stop().await;
    let home = scout.party.home.path();
    let dir = tempfile::tempdir().unwrap();
    let network = format!("eip155:{}", town.economy.devnet.chain_id());
    let kind = json!([{ "x402Version": 2, "scheme": "exact", "network": network }]);
    let url = facilitator(kind).await;
    let (findings, code) = examined(dir.path(), home, &["scout", "--facilitator", &url]);
    assert_eq!(of(&findings, "wrong"), Vec::<String>::new());
    assert_eq!(code, 0);
    let good = of(&findings, "good").join("\n");
    for found in [
        "chain 31337",
        "tUSD at",
        "signing domain \"Marque Test Dollar\"",
        "identity registry",
        "payee feed: agent",
        "for fees",
        "it has 5.00 tUSD to spend",
        "it settles exact on devnet",
    ] {
        assert!(good.contains(found), "{found}: {good}");
    }
    // People are told the same, and how many.
    let out = marque(dir.path(), &["doctor", "--home", home.to_str().unwrap()]);
    assert!(ok(&out).contains("things are as they should be"), "{}", ok(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_a_set_up_is_named_and_ends_with_1() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let home = scout.party.home.path();
    let policy = std::fs::read_to_string(scout.party.home.policy("scout")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.toml");
    let rpc = town.economy.devnet.url();
    let dollar = town.economy.dollar.to_string();
    let stranger = "0x6666666666666666666666666666666666666666";
    let dead = "http://127.0.0.1:9";
    let two = format!("\"{rpc}\", \"{dead}\"");
    let owner = scout.party.owner.address().to_string();
    let feed_address = feed.party.address.to_string();
    let mistakes = [
        ("eip155:31337", "eip155:84532", "it serves chain 31337, and the policy says 84532"),
        (rpc, dead, "no RPC endpoint answered"),
        (&format!("\"{rpc}\""), &two, "no RPC endpoint answered"),
        (&dollar, stranger, "there is no contract at"),
        ("decimals = 6", "decimals = 8", "write decimals = 6 in [asset.tUSD]"),
        ("Marque Test Dollar", "USD Coin", "name = \"Marque Test Dollar\""),
        (&feed_address, stranger, "and pinned to 0x6666"),
        (&town.economy.registry.to_string(), stranger, "there is no identity registry at"),
        (&town.economy.registry.to_string(), &dollar, "is no identity registry"),
        (&owner, "0x0000000000000000000000000000000000000001", "is nobody's address"),
    ];
    for (right, mistake, found) in mistakes {
        assert!(policy.contains(right), "{right}: {policy}");
        std::fs::write(&file, policy.replace(right, mistake)).unwrap();
        let (findings, code) = examined(dir.path(), home, &[file.to_str().unwrap()]);
        let wrong = of(&findings, "wrong").join("\n");
        assert!(wrong.contains(found), "{mistake}: {wrong}");
        assert_eq!(code, 1, "{mistake}");
    }
    // A facilitator that settles something else, and one that is none.
    let other =
        facilitator(json!([{ "x402Version": 1, "scheme": "exact", "network": "base" }])).await;
    for (url, found) in [(other.as_str(), "it settles no \"exact\""), (rpc, "/supported")] {
        let (findings, code) = examined(dir.path(), home, &["scout", "--facilitator", url]);
        let wrong = of(&findings, "wrong").join("\n");
        assert!(wrong.contains(found) && code == 1, "{wrong}");
    }
    // Without money it works, and is told to be odd.
    let poor = town.economy.party("poor").await.unwrap();
    let names = policy.replace("name = \"feed\"", "name = \"shop\"");
    town.economy.devnet.give_eth(poor.address, alloy_primitives::U256::ZERO).await.unwrap();
    std::fs::write(poor.home.policy("poor"), names).unwrap();
    let (findings, code) = examined(dir.path(), poor.home.path(), &["poor"]);
    let odd = of(&findings, "odd").join("\n");
    assert!(odd.contains("enough for 0 transactions") && odd.contains("marque fund poor"), "{odd}");
    assert!(odd.contains("--faucet"), "{odd}");
    assert_eq!(code, 0, "{findings:?}");
}

#[test]
fn a_doctor_who_is_asked_nothing_says_what_to_ask() {
    let dir = tempfile::tempdir().unwrap();
    let (text, code) = failure(&marque(dir.path(), &["doctor"]));
    assert!(text.contains("there is no agent in") && text.contains("marque new"), "{text}");
    assert_eq!(code, 2);
    let (_, code) = failure(&marque(dir.path(), &["doctor", "nobody"]));
    assert_ne!(code, 0);
}

/// The guide's policy, as far as it can be tried without its network.
#[test]
fn the_policy_in_the_guide_to_a_public_test_network_is_one() {
    let guide = include_str!("../../docs/public-testnet.md");
    let policy = guide.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let (policy, _) = marque_policies::parse(policy).unwrap();
    assert_eq!(policy.chains["base-sepolia"].id, 84_532);
    assert_eq!(policy.assets["USDC"].decimals, 6);
}
