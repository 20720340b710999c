//! How what was delegated ends, and with whose key: nobody is told that it ended when it did not, or
//! sent in a circle between two keys.

use crate::{
    account::Estate,
    command::{failure, marque, ok},
    support::{MARQUE, Town},
};
use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

fn ether(estate: &Estate, who: &str) -> impl Future<Output = ()> {
    let ether = U256::from(10).pow(U256::from(18));
    let who: Address = who.parse().unwrap();
    async move { estate.town.economy.devnet.give_eth(who, ether).await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_switch_that_was_used_says_that_it_ends_nothing_any_more() {
    let estate = Estate::delegated().await;
    let switch = estate.path().join("switch.json");
    let switch = switch.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", switch, "--fee", "0.05 ETH"]));
    assert!(ok(&estate.account(&["revoke", "--send", switch])).contains("has ended"));
    assert_eq!(estate.status().0["ended"], json!(true));

    // What is signed afterwards lives, and the message that is found in a block says so.
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let out = estate.account(&["revoke", "--send", switch]);
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("used up") && text.contains("--prepare FILE"), "{text}");
    assert!(!String::from_utf8_lossy(&out.stdout).contains("has ended"), "{out:?}");
    assert_eq!(estate.status().1, 0, "what was delegated since is alive");
    let scout = estate.stolen().address();
    estate.draw(&estate.permissions(), scout, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_another_contract_is_no_kill_switch() {
    let estate = Estate::delegated().await;
    let switch = estate.path().join("switch.json");
    ok(&estate.account(&["revoke", "scout", "--prepare", switch.to_str().unwrap()]));
    let text = std::fs::read_to_string(&switch).unwrap();
    let mut other: Value = serde_json::from_str(&text).unwrap();
    other["to"] = json!(Address::repeat_byte(0x66));
    std::fs::write(&switch, other.to_string()).unwrap();
    let (text, code) = failure(&estate.account(&["revoke", "--send", switch.to_str().unwrap()]));
    assert!(code == 2 && text.contains("the chain's DelegationManager is"), "{text}");
    assert_eq!(estate.status().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_there_is_no_all_clear() {
    let estate = Estate::delegated().await;
    let url = estate.town.economy.devnet.url();
    let other = estate.path().join("other");
    let other = ["--owner-home", other.to_str().unwrap()];
    ok(&estate.marque(&[&other[..], &["owner", "init"]].concat()));
    let end = ["account", "revoke", "--all", "--rpc"];
    let (text, code) = failure(&estate.marque(&[&other[..], &end, &[url]].concat()));
    assert!(code == 1 && text.contains("is it the right owner (--owner-home DIR)"), "{text}");
    // The right key, on a chain of the same number on which nothing was delegated.
    let elsewhere = Town::new().await;
    marque_identity::devnet::place_framework(&elsewhere.economy.rpc).await.unwrap();
    let url = elsewhere.economy.devnet.url();
    let (text, code) = failure(&estate.marque(&[&end[..], &[url]].concat()));
    assert!(code == 1 && text.contains("this folder knows what was delegated"), "{text}");
    assert_eq!(estate.status().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fee_is_paid_for_a_message_that_has_no_place() {
    let estate = Estate::delegated().await;
    let owner: Address = estate.owner.parse().unwrap();
    let before = estate.town.economy.rpc.balance(owner).await.unwrap();
    let nowhere = estate.path().join("nowhere/switch.json");
    let prepare = |file: &std::path::Path| {
        let file = file.to_str().unwrap();
        estate.account(&["revoke", "scout", "--prepare", file, "--fee", "0.05 ETH"])
    };
    let (text, code) = failure(&prepare(&nowhere));
    assert!(code == 1 && text.contains("switch.json"), "{text}");
    assert_eq!(estate.town.economy.rpc.balance(owner).await.unwrap(), before);
    let said = ok(&prepare(&estate.path().join("switch.json")));
    assert!(said.contains("0.05 ETH that went to 0x"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_to_end_what_has_ended() {
    let estate = Estate::new().await;
    // Nothing is there yet.
    for args in [&["revoke", "scout"][..], &["revoke", "scout", "--all"]] {
        let said = ok(&estate.account(args));
        assert!(said.contains("it is not deployed"), "{said}");
    }
    ok(&estate.account(&["deploy", "scout"]));
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let sent = |args: &[&str]| {
        let args = [&["account", "revoke", "scout", "--all"], args].concat();
        estate.json(&args)["transactions"].as_array().unwrap().len()
    };
    assert_eq!(sent(&[]), 1);
    assert_eq!(sent(&[]), 0);
    assert!(ok(&estate.account(&["revoke", "scout", "--all"])).contains("has ended already"));
    // Another home may have signed something since.
    assert_eq!(sent(&["--again"]), 1);
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert_eq!(sent(&[]), 1);
    let out = estate.account(&["status", "scout"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("nothing can be drawn") && !said.contains("left"), "{said}");
}

#[test]
fn what_does_not_go_with_a_message_that_is_sent_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["nobody", "--send", "x"][..],
        &["--send", "x", "--fee", "1 ETH"],
        &["--send", "x", "--all"],
        &["nobody", "--all", "--of", "0x6666666666666666666666666666666666666666"],
        &["nobody", "--all", "--fee", "1 ETH"],
        &["nobody", "--all", "--rpc", "http://127.0.0.1:9"],
        &["nobody", "--rpc", "http://127.0.0.1:9"],
    ] {
        let out = marque(dir.path(), &[&["account", "revoke"], args].concat());
        let (text, code) = failure(&out);
        assert!(code == 2 && text.contains("the argument") || text.contains("required"), "{text}");
        assert!(text.contains("Usage"), "{text}");
    }
}

/// Steps and mistakes of an owner who rotates, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_tells_what_stays_with_the_old_key_and_how_to_reach_it() {
    let mut estate = Estate::delegated().await;
    let (old, account) = (estate.owner.clone(), estate.permissions().account.to_string());
    let folder = estate.path().join("successor");
    let successor = folder.to_str().unwrap().to_owned();
    let made = ok(&estate.marque(&["--owner-home", &successor, "--json", "owner", "init"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let new = made["address"].as_str().unwrap().to_owned();
    let credentials = estate.path().join("credentials");
    std::fs::copy(credentials.join("marque-owner"), credentials.join("marque-new-owner")).unwrap();
    let out = estate.marque(&["owner", "rotate", "--yes", "--new-owner-home", &successor]);
    ok(&out);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains(&account) && told.contains("20.00 tUSD"), "{told}");
    assert!(told.contains("before you rotate") && told.contains("--owner-home"), "{told}");
    ether(&estate, &new).await;

    let fund = ["fund", "scout", "1 tUSD", "--account", "--faucet"];
    let with = |estate: &Estate, args: &[&str]| {
        estate.marque(&[&["--owner-home", successor.as_str()], args].concat())
    };
    // The policy names the old one still: no money goes there, and nobody is sent in a circle.
    let (text, code) = failure(&estate.marque(&fund));
    assert!(code == 1 && text.contains(&old) && text.contains("marque policy adopt"), "{text}");
    assert_eq!(estate.has(account.parse().unwrap()).await, 20_000_000);
    for args in [&["account", "withdraw", "scout", "1 tUSD"][..], &["account", "deploy", "scout"]] {
        let (text, code) = failure(&with(&estate, args));
        assert!(code == 1 && text.contains(&old), "{text}");
        assert!(text.contains("--owner-home") && text.contains("marque policy adopt"), "{text}");
    }
    let out = estate.account(&["status", "scout"]);
    let told = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{told}");
    assert!(told.contains(&new) && told.contains("with the old key: --owner-home"), "{told}");
    let (text, code) = failure(&estate.account(&["delegate", "scout", "--yes", "--anew"]));
    assert!(code == 1 && text.contains(&new) && text.contains("marque policy adopt"), "{text}");
    let told = ok(&estate.marque(&["doctor", "scout"]));
    assert!(told.contains(&format!("the owner in force is {new}")), "{told}");
    assert!(told.contains(&format!("by another owner than {new}")), "{told}");

    // Named in the policy, it has an account of its own, and hears of the other one.
    estate.owner.clone_from(&new);
    estate.draft(2, "day = \"3.00\"", "");
    ok(&with(&estate, &["policy", "adopt", "scout"]));
    let (text, _) = failure(&with(&estate, &["account", "withdraw", "scout", "1 tUSD"]));
    assert!(text.contains(&account) && text.contains("marque account deploy"), "{text}");
    let (said, _) = estate.status();
    assert_eq!(said["left"][0]["account"], account.to_lowercase(), "{said}");
    let told = ok(&estate.marque(&["doctor", "scout"]));
    assert!(told.contains(&format!("the account {account} of {old}")), "{told}");
    ok(&with(&estate, &["account", "deploy", "scout"]));
    ok(&estate.marque(&fund));
    let (text, _) = failure(&with(&estate, &["account", "withdraw", "scout", "2 tUSD"]));
    assert!(text.contains("has 1.00 tUSD") && text.contains(&account), "{text}");
    let out = with(&estate, &["account", "revoke", "scout", "--all"]);
    ok(&out);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains("scout still draws on") && told.contains(&old), "{told}");

    // The old key ends and empties its own, whoever the policy names.
    ok(&estate.account(&["revoke", "scout", "--all"]));
    assert!(estate.draw(&estate.permissions(), estate.stolen().address(), 1).await.is_err());
    ok(&estate.account(&["withdraw", "scout", "20 tUSD"]));
    assert_eq!(estate.has(old.parse().unwrap()).await, 20_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_is_told_whose_account_it_is() {
    let estate = Estate::delegated().await;
    let stranger = estate.path().join("stranger");
    let with = |args: &[&str]| {
        estate.marque(&[&["--owner-home", stranger.to_str().unwrap()], args].concat())
    };
    let withdraw = ["account", "withdraw", "scout", "1 tUSD"];
    let (text, code) = failure(&with(&withdraw));
    assert!(code == 1 && text.contains("there is no owner's key in"), "{text}");
    ok(&with(&["owner", "init"]));
    let (text, code) = failure(&with(&withdraw));
    assert!(code == 1 && text.contains(&estate.owner) && text.contains("--owner-home"), "{text}");
    assert!(!text.contains("marque account deploy"), "{text}");
    let (text, _) = failure(&estate.account(&["withdraw", "scout", "21 tUSD"]));
    assert!(text.contains("marque account withdraw scout \"20.00 tUSD\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_an_owner_from_the_chain_is_told_with_a_way_out() {
    let estate = Estate::new().await;
    // No more than the fee is missing.
    let (text, code) = failure(&estate.marque(&["fund", "scout", "0.9999999 ETH"]));
    assert!(code == 1 && text.contains("of the chain's coin, and this may take"), "{text}");
    assert!(text.contains("--faucet --owner"), "{text}");
    let out = std::process::Command::new(MARQUE)
        .args(["account", "deploy", "scout", "--home"])
        .arg(estate.path().join("home"))
        .env("MARQUE_OWNER_HOME", estate.path().join("owner"))
        .env("MARQUE_DELEGATION_ABIS", "/nothing")
        .output()
        .unwrap();
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("MARQUE_DELEGATION_ABIS is /nothing"), "{text}");
    // Nobody answers any more.
    let file = estate.path().join("home/agents/scout/policy.toml");
    estate.draft(2, "day = \"3.00\"", "");
    let draft = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, draft.replace(estate.town.economy.devnet.url(), "http://127.0.0.1:9"))
        .unwrap();
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    for args in [&["balance", "scout"][..], &["fund", "scout", "1 tUSD"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("Connection refused"), "{text}");
        assert!(text.contains("is the chain up") && text.contains("marque doctor"), "{text}");
    }
}
