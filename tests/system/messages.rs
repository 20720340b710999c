//! What an owner gets in hand where an end does not get through: the message that ends everything, made from
//! the own folder alone, told as long as it would end something, and removed once nothing is left for it.

use crate::{
    account::Estate,
    command::{failure, ok},
    robbed_host::between,
    support::{MARQUE, Town},
};
use alloy_primitives::{Address, U256};
use marque_identity::devnet::Options;
use serde_json::{Value, json};
use std::{path::PathBuf, process::Output};

const NOBODY: &str = "http://127.0.0.1:9";

fn told(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

impl Estate {
    fn message(&self) -> PathBuf {
        self.path().join("owner/end-31337-0.json")
    }

    /// Somebody with coins and no key of the owner's sends it through the honest endpoint.
    async fn a_friend_sends(&self, file: &str) -> Output {
        let friend = self.path().join("friend");
        let friend = ["--owner-home", friend.to_str().unwrap()];
        let made = ok(&self.marque(&[&friend[..], &["--json", "owner", "init"]].concat()));
        let made: Value = serde_json::from_str(&made).unwrap();
        self.coins(made["address"].as_str().unwrap(), 1).await;
        let account = self.permissions().account.to_string();
        let url = self.town.economy.devnet.url();
        let send = ["account", "revoke", "--send", file, "--rpc", url, "--of", &account];
        self.marque(&[&friend[..], &send].concat())
    }

    async fn coins(&self, whose: &str, coins: u64) {
        let wei = U256::from(10).pow(U256::from(18)) * U256::from(coins);
        let whose: Address = whose.parse().unwrap();
        self.town.economy.devnet.give_eth(whose, wei).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_an_owner_gets_the_message_that_ends_everything() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    estate.adopt_on(2, &[NOBODY]);
    let message = estate.message();
    let file = message.to_str().unwrap();
    for args in [&["scout"][..], &["--all"], &["scout", "--all"], &["--all", "--rpc", NOBODY]] {
        let (text, code) = failure(&estate.account(&[&["revoke"], args].concat()));
        assert!(code == 1 && text.contains("Connection refused"), "{text}");
        assert!(text.contains(&format!("--send {file} --rpc URL")), "{args:?}: {text}");
        assert!(text.contains("by nonce 0, the newest that your folder knows"), "{text}");
        assert!(text.contains("marque account revoke --all --rpc URL"), "{text}");
        assert!(message.exists(), "{args:?}");
        if args != ["--all", "--rpc", NOBODY] {
            std::fs::remove_file(&message).unwrap();
        }
    }
    assert!(!estate.over(&living).await);
    assert!(ok(&estate.a_friend_sends(file).await).contains("has ended"));
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_is_named_where_no_message_can_be_made() {
    let estate = Estate::delegated().await;
    let switch = estate.path().join("switch.json");
    let file = switch.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", file]));
    let (said, code) = estate.status();
    let messages = json!([{ "file": file, "prepared": true }]);
    assert_eq!((code, &said["messages"]), (0, &messages), "{said}");
    estate.adopt_on(2, &[NOBODY]);
    let wrong = estate.path().join("wrong");
    std::fs::write(&wrong, "not this one").unwrap();
    for args in [&["scout"][..], &["--all"]] {
        let out = std::process::Command::new(MARQUE)
            .args(["account", "revoke", "--owner-fd=0"])
            .args(args)
            .arg("--home")
            .arg(estate.path().join("home"))
            .arg("--owner-home")
            .arg(estate.path().join("owner"))
            .stdin(std::fs::File::open(&wrong).unwrap())
            .output()
            .unwrap();
        let (text, code) = failure(&out);
        assert!(code == 1 && text.contains("Connection refused"), "{text}");
        assert!(text.contains("passphrase") && text.contains(&format!("--send {file} ")), "{text}");
        assert!(!estate.message().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_coins_gets_the_message_that_ends_everything() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    estate.coins(&estate.owner, 0).await;
    let message = estate.message();
    for args in [&["scout"][..], &["--all"]] {
        let (text, code) = failure(&estate.account(&[&["revoke"], args].concat()));
        assert!(code == 1 && text.contains(message.to_str().unwrap()), "{text}");
        assert!(text.contains("send it some"), "{text}");
        std::fs::rename(&message, estate.path().join("taken.json")).unwrap();
    }
    let taken = estate.path().join("taken.json");
    ok(&estate.a_friend_sends(taken.to_str().unwrap()).await);
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_told_as_long_as_it_ends_something_and_then_removed() {
    let estate = Estate::delegated().await;
    let message = estate.message();
    let file = message.to_str().unwrap();
    // What costs too much costs as much elsewhere.
    let little = ["revoke", "scout", "--most-fee", "0.000000000000000001"];
    let (text, _) = failure(&estate.account(&little));
    assert!(text.contains("is the most that its word may cost"), "{text}");
    assert!(!message.exists() && !text.contains("--send"), "{text}");
    for (end, nonce) in [(&["revoke", "scout"][..], 0), (&["revoke", "--all"], 0)] {
        estate.coins(&estate.owner, 0).await;
        failure(&estate.account(end));
        assert!(message.exists(), "{nonce}");
        let out = estate.account(&["status", "scout"]);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(said.contains(&format!("{file} ends everything on the account")), "{said}");
        let told_of = json!([{ "file": file, "prepared": false }]);
        assert_eq!(estate.status().0["messages"], told_of);
        estate.coins(&estate.owner, 1).await;
        let out = estate.account(end);
        ok(&out);
        assert!(told(&out).contains(&format!("{file} has nothing left to end")), "{}", told(&out));
        assert!(!message.exists());
        assert_eq!(estate.status().0["messages"], json!([]));
        ok(&estate.account(&["delegate", "scout", "--yes"]));
    }
}

/// A message that somebody prepared, or put there himself, is his, whatever it is called and wherever the way to
/// it leads along.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_owners_own_is_never_removed() {
    let estate = Estate::delegated().await;
    let (owner, link) = (estate.path().join("owner"), estate.path().join("link"));
    std::os::unix::fs::symlink(&owner, &link).unwrap();
    let prepared = link.join("end-31337-0.json");
    ok(&estate.account(&["revoke", "scout", "--prepare", prepared.to_str().unwrap()]));
    let (copy, paid) = (owner.join("end-of-all.json"), owner.join("end-31337-0-2.json"));
    std::fs::copy(&prepared, copy).unwrap();
    let elsewhere = estate.path().join("paid.json");
    let to = elsewhere.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--fee", "0.01", "--prepare", to]));
    std::fs::rename(&elsewhere, &paid).unwrap();
    ok(&estate.account(&["revoke", "scout"]));
    for file in ["end-31337-0.json", "end-31337-0-2.json", "end-of-all.json"] {
        assert!(owner.join(file).exists(), "{file}");
    }
}

/// What is in the way of the message is not followed, not written over, and in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_stands_in_its_place_keeps_a_message_from_being_made() {
    let estate = Estate::delegated().await;
    estate.adopt_on(2, &[NOBODY]);
    let (message, other) = (estate.message(), estate.path().join("owner/end-31337-0-2.json"));
    let made = |at: &PathBuf| {
        let (text, _) = failure(&estate.account(&["revoke", "--all"]));
        assert!(text.contains(&format!("--send {} --rpc", at.display())), "{text}");
        std::fs::read(at).unwrap()
    };
    let whole = made(&message);
    // It was being written when the machine stopped.
    for half in [0, 1, whole.len() / 2] {
        std::fs::write(&message, &whole[..half]).unwrap();
        assert_eq!(made(&message), whole, "{half}");
    }
    let precious = estate.path().join("precious");
    std::fs::write(&precious, "").unwrap();
    std::fs::remove_file(&message).unwrap();
    std::os::unix::fs::symlink(&precious, &message).unwrap();
    assert_eq!(made(&other), whole);
    assert_eq!(made(&other), whole, "once is enough");
    assert!(message.is_symlink() && std::fs::read(&precious).unwrap().is_empty());
    std::fs::remove_file(&message).unwrap();
    std::fs::write(&message, "what somebody wrote").unwrap();
    assert_eq!(made(&other), whole);
    assert_eq!(std::fs::read(&message).unwrap(), b"what somebody wrote");
    crate::robbed_host::pipe(&message);
    assert_eq!(made(&other), whole);
    let left = std::fs::read_dir(estate.path().join("owner")).unwrap().flatten();
    let left: Vec<_> = left.filter(|it| it.file_name().as_encoded_bytes()[0] == b'.').collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_refused_once() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let mirror = between(honest.clone(), |_| None);
    estate.adopt_on(2, &[&mirror, &honest]);
    for args in [&["scout"][..], &["--all"]] {
        let little = [&["revoke", "--most-fee", "0.000000000000000001"], args].concat();
        let (text, code) = failure(&estate.account(&little));
        assert_eq!(code, 1);
        assert_eq!(text.matches("is the most that its word may cost").count(), 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_a_chain_that_the_folder_does_not_know_is_told() {
    let estate = Estate::delegated().await;
    let other = Town::on(&Options { chain_id: 1337, ..Options::default() }).await;
    marque_identity::devnet::place_framework(&other.economy.rpc).await.unwrap();
    let url = other.economy.devnet.url();
    let (text, code) = failure(&estate.account(&["revoke", "--all", "--rpc", url]));
    let host = url.trim_start_matches("http://");
    let line =
        format!("{host} is of another chain, eip155:1337: your folder knows of eip155:31337");
    assert!(code == 1 && text.contains(&line), "{text}");
    let url = estate.town.economy.devnet.url();
    let out = estate.account(&["revoke", "--all", "--rpc", url]);
    assert!(ok(&out).contains("has ended") && !told(&out).contains("another chain"), "{out:?}");
}
