//! What the owner's commands believe of endpoints, one of which may be the thief's: none alone says that
//! anything is new, mined, ended, or what a token is.

use crate::{
    account::{DOLLAR, Estate},
    command::{failure, ok},
    robbed_host::between,
};
use alloy_primitives::{Address, U256, hex};
use marque_contracts::{
    IERC20,
    delegation::binding::{IDelegationManager, INonceEnforcer},
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Mined, says the liar of whatever it is handed, and the chain has never heard of it.
pub(crate) fn swallows(asked: &Value) -> Option<Value> {
    match asked["method"].as_str() {
        Some("eth_sendRawTransaction") => Some(json!(format!("0x{:064x}", 7))),
        Some("eth_getTransactionReceipt") => Some(json!({
            "transactionHash": asked["params"][0], "blockHash": format!("0x{:064x}", 8),
            "blockNumber": "0x1", "status": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1",
            "logs": [], "from": Address::ZERO, "to": Address::ZERO, "transactionIndex": "0x0",
            "cumulativeGasUsed": "0x1", "logsBloom": format!("0x{}", "00".repeat(256)), "type": "0x2",
        })),
        _ => None,
    }
}

fn calls<C: alloy_sol_types::SolCall>(asked: &Value) -> bool {
    asked["method"] == "eth_call" && asked.to_string().contains(&hex::encode(C::SELECTOR))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_alone_makes_no_account_look_new() {
    let estate = Estate::delegated().await;
    let (honest, living) = (estate.town.economy.devnet.url().to_owned(), estate.permissions());
    let account = living.account.to_string().to_lowercase();
    let sent = AtomicBool::new(false);
    let liar = between(honest.clone(), move |asked| {
        let code = asked["method"] == "eth_getCode";
        if asked["method"] == "eth_sendRawTransaction" {
            sent.store(true, Ordering::Relaxed);
        }
        let hidden = code && asked["params"][0].to_string().to_lowercase().contains(&account);
        match hidden && !sent.load(Ordering::Relaxed) {
            true => Some(json!("0x")),
            false => swallows(asked),
        }
    });
    estate.adopt_on(2, &[&liar, &honest]);
    // Another folder with the same key: what it adopted it knows, and nothing of what is on chain.
    let notes = estate.path().join("owner/notes.jsonl");
    let text = std::fs::read_to_string(&notes).unwrap();
    let adopted: Vec<&str> = text.lines().filter(|line| line.contains("\"adopted\"")).collect();
    std::fs::write(&notes, adopted.join("\n") + "\n").unwrap();
    std::fs::remove_file(estate.file()).unwrap();
    let said = ok(&estate.account(&["deploy", "scout"]));
    assert!(said.contains("it is there already"), "{said}");
    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("does not know what was signed for this account before"), "{said}");
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_alone_says_that_the_owners_money_has_moved() {
    let estate = Estate::delegated().await;
    let (honest, living) = (estate.town.economy.devnet.url().to_owned(), estate.permissions());
    // It also says that the key has sent nothing yet, so that no other one would take it.
    let low = between(honest.clone(), |asked| match asked["method"].as_str() {
        Some("eth_getTransactionCount") => Some(json!("0x0")),
        _ => swallows(asked),
    });
    estate.adopt_on(2, &[&low, &honest]);
    let scout = estate.stolen().address();
    let before = estate.town.economy.rpc.balance(scout).await.unwrap();
    for args in [&["fund", "scout", "0.01 ETH"][..], &["account", "withdraw", "scout", "1 tUSD"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("nothing was signed"), "{args:?}: {text}");
    }
    // What ends something may be sent twice, and gets past it.
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&living).await);
    // Where the numbers agree, its word is still one of two.
    let liar = between(honest.clone(), swallows);
    let mirror = between(honest, |asked| {
        (asked["method"] == "eth_sendRawTransaction").then(|| json!(format!("0x{:064x}", 7)))
    });
    estate.adopt_on(3, &[&liar, &mirror]);
    for args in [&["fund", "scout", "0.01 ETH"][..], &["account", "withdraw", "scout", "1 tUSD"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("does not see it"), "{args:?}: {text}");
    }
    assert_eq!(estate.town.economy.rpc.balance(scout).await.unwrap(), before);
    assert_eq!(estate.has(living.account).await, 20 * DOLLAR);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_other_digits_than_its_token_is_not_signed() {
    let estate = Estate::new().await;
    ok(&estate.account(&["deploy", "scout"]));
    let honest = estate.town.economy.devnet.url().to_owned();
    // It says so as long as the owner adopts.
    let lies = Arc::new(AtomicBool::new(true));
    let liar = {
        let lies = Arc::clone(&lies);
        between(honest.clone(), move |asked| {
            let nine = calls::<IERC20::decimalsCall>(asked) && lies.load(Ordering::Relaxed);
            nine.then(|| json!(format!("0x{:064x}", 9)))
        })
    };
    estate.draft(2, "day = \"3.00\"", "");
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("decimals = 6", "decimals = 9");
    std::fs::write(&file, &text).unwrap();
    let refused = |args: &[&str]| {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("tUSD has 6 decimals"), "{args:?}: {text}");
        assert!(text.contains("the policy says 9") && text.contains("decimals = 6"), "{text}");
    };
    refused(&["policy", "adopt", "scout"]);
    std::fs::write(&file, text.replace(&honest, &liar)).unwrap();
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    ok(&estate.marque(&["fund", "scout", "9 tUSD", "--faucet", "--owner"]));
    lies.store(false, Ordering::Relaxed);
    refused(&["account", "delegate", "scout", "--yes"]);
    refused(&["fund", "scout", "0.001 tUSD"]);
    assert!(!estate.file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_required_is_covered_by_the_word_of_every_endpoint() {
    let estate = Estate::new().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let says = Arc::new(std::sync::Mutex::new("the truth"));
    let liar = {
        let says = Arc::clone(&says);
        between(honest.clone(), move |asked| match *says.lock().unwrap() {
            "over" if calls::<IDelegationManager::disabledDelegationsCall>(asked) => {
                Some(json!(format!("0x{:064x}", 1)))
            }
            // No answer that anybody could read.
            "nothing" if calls::<IDelegationManager::disabledDelegationsCall>(asked) => {
                Some(json!(17))
            }
            _ => None,
        })
    };
    estate.requires_on(2, &[&honest, &liar]);
    estate.delegate();
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;
    estate.pays(&mind, "covered").await;
    for (word, why) in [("over", "the endpoints differ"), ("nothing", "does not say")] {
        *says.lock().unwrap() = word;
        estate.noticed(&mind).await;
        let (measured, _) = estate.refused(&mind, word).await;
        assert!(measured.contains(why), "{measured}");
        *says.lock().unwrap() = "the truth";
        estate.pays(&mind, &format!("after {word}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_with_an_old_key_is_told_by_what_it_signed_and_by_every_endpoint() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let account = estate.permissions().account.to_string().to_lowercase();
    let empty = between(honest.clone(), move |asked| {
        let of_it = asked.to_string().to_lowercase().contains(account.trim_start_matches("0x"));
        match asked["method"].as_str() {
            Some("eth_getCode") if of_it => Some(json!("0x")),
            Some("eth_getBalance") if of_it => Some(json!("0x0")),
            Some("eth_call") if of_it => Some(json!(format!("0x{:064x}", 0))),
            _ => None,
        }
    });
    estate.adopt_on(2, &[&empty, &honest]);
    // The draft is the thief's alone.
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&honest, &empty)).unwrap();
    let successor = estate.path().join("successor");
    let successor = successor.to_str().unwrap();
    ok(&estate.marque(&["--owner-home", successor, "owner", "init"]));
    let credentials = estate.path().join("credentials");
    std::fs::copy(credentials.join("marque-owner"), credentials.join("marque-new-owner")).unwrap();
    let out = estate.marque(&["owner", "rotate", "--yes", "--new-owner-home", successor]);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(told.contains("it holds 20.00 tUSD") && told.contains("before you rotate"), "{told}");
}

/// It keeps to itself what it is handed, calls it mined, and counts it as if it had ended all; the other one
/// answers nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_endpoint_says_has_ended_is_not_over_while_another_is_silent() {
    let estate = Estate::delegated().await;
    let (honest, living) = (estate.town.economy.devnet.url().to_owned(), estate.permissions());
    let (robbed, handed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let liar = {
        let (robbed, handed) = (Arc::clone(&robbed), Arc::clone(&handed));
        between(honest.clone(), move |asked| {
            if !robbed.load(Ordering::Relaxed) {
                return None;
            }
            if asked["method"] == "eth_sendRawTransaction" {
                handed.store(true, Ordering::Relaxed);
            }
            let over = handed.load(Ordering::Relaxed);
            match over && calls::<INonceEnforcer::currentNonceCall>(asked) {
                true => Some(json!(format!("0x{:064x}", 9))),
                false => swallows(asked),
            }
        })
    };
    // No answer that anybody could read.
    let silent = {
        let robbed = Arc::clone(&robbed);
        between(honest.clone(), move |_| robbed.load(Ordering::Relaxed).then(|| json!(17)))
    };
    let switch = estate.path().join("switch.json");
    let switch = switch.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", switch]));
    estate.adopt_on(2, &[&liar, &silent]);
    robbed.store(true, Ordering::Relaxed);
    for args in [&["revoke", "--all"][..], &["revoke", "--send", switch]] {
        handed.store(false, Ordering::Relaxed);
        let (text, code) = failure(&estate.account(args));
        assert!(code == 1 && text.contains("may live"), "{text}");
        assert!(text.contains("does not answer") && text.contains("--rpc URL"), "{text}");
    }
    assert!(!estate.over(&living).await);
    let said = ok(&estate.account(&["revoke", "--all", "--rpc", &honest]));
    assert!(said.contains("on eip155:31337 has ended"), "{said}");
    assert!(estate.over(&living).await);
}

/// By the word of the one that answers it is over, and the other one is silent: it is ended anyway. Where
/// that does not get through either, the message does, wherever its owner takes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_live_is_ended_anyway_and_its_owner_gets_the_message() {
    let estate = Estate::delegated().await;
    let honest = estate.town.economy.devnet.url().to_owned();
    let says = Arc::new(std::sync::Mutex::new("the truth"));
    let liar = {
        let says = Arc::clone(&says);
        between(honest.clone(), move |asked| match *says.lock().unwrap() {
            "the truth" => None,
            _ if calls::<IDelegationManager::disabledDelegationsCall>(asked) => {
                Some(json!(format!("0x{:064x}", 1)))
            }
            "it is over and mined" => swallows(asked),
            _ => None,
        })
    };
    let silent = {
        let says = Arc::clone(&says);
        between(honest.clone(), move |_| (*says.lock().unwrap() != "the truth").then(|| json!(17)))
    };
    estate.adopt_on(2, &[&liar, &silent]);
    let message = estate.path().join("owner/end-31337-0.json");
    let message = message.to_str().unwrap();
    for (word, ends) in [("it is over", true), ("it is over and mined", false)] {
        ok(&estate.account(&["delegate", "scout", "--yes"]));
        let living = estate.permissions();
        *says.lock().unwrap() = word;
        let (text, code) = failure(&estate.account(&["revoke", "scout"]));
        *says.lock().unwrap() = "the truth";
        assert!(code == 1 && text.contains("may live"), "{text}");
        assert!(text.contains("does not answer") && text.contains(message), "{text}");
        assert_eq!(estate.over(&living).await, ends, "{word}: {text}");
    }
    // Nobody needs its owner's key for it.
    let friend = ["--owner-home", "friend"].map(|it| match it {
        "friend" => estate.path().join(it).to_str().unwrap().to_owned(),
        it => it.to_owned(),
    });
    let friend = friend.each_ref().map(String::as_str);
    let made = ok(&estate.marque(&[&friend[..], &["--json", "owner", "init"]].concat()));
    let made: Value = serde_json::from_str(&made).unwrap();
    let friends: Address = made["address"].as_str().unwrap().parse().unwrap();
    let ether = U256::from(10).pow(U256::from(18));
    estate.town.economy.devnet.give_eth(friends, ether).await.unwrap();
    let account = estate.permissions().account.to_string();
    let send = ["account", "revoke", "--send", message, "--rpc", &honest, "--of", &account];
    assert!(ok(&estate.marque(&[&friend[..], &send].concat())).contains("has ended"));
    assert!(estate.over(&estate.permissions()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_not_used_up_by_one_word_while_another_endpoint_is_silent() {
    let estate = Estate::delegated().await;
    let (honest, living) = (estate.town.economy.devnet.url().to_owned(), estate.permissions());
    let switch = estate.path().join("switch.json");
    let switch = switch.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", switch]));
    // It says from the first that the account is far beyond it.
    let liar = between(honest.clone(), |asked| {
        calls::<INonceEnforcer::currentNonceCall>(asked).then(|| json!(format!("0x{:064x}", 9)))
    });
    let silent = between(honest, |_| Some(json!(17)));
    estate.adopt_on(2, &[&liar, &silent]);
    let (text, code) = failure(&estate.account(&["revoke", "--send", switch]));
    assert!(code == 1 && text.contains("may live") && !text.contains("used up"), "{text}");
    assert!(estate.over(&living).await, "{text}");
}
