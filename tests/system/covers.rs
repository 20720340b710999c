//! What an owner is told when what was delegated is over, lost, or of no use: before it is needed, and with
//! the command that mends it.

use crate::{account::Estate, command::ok, float::Steward, support::eventually};
use serde_json::json;
use std::{io::Read as _, time::Duration};

impl Steward {
    /// What it logs from now on, until a line has `what`.
    pub(crate) fn logs(&mut self, what: &str, seconds: u64) -> String {
        let mut log = self.log().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = log.read(&mut chunk) {
                if sender.send(String::from_utf8_lossy(&chunk[..read]).into_owned()).is_err() {
                    break;
                }
            }
        });
        let (start, mut told) = (std::time::Instant::now(), String::new());
        while start.elapsed() < Duration::from_secs(seconds) {
            told.extend(lines.recv_timeout(Duration::from_secs(1)));
            if told.contains(what) {
                return told;
            }
        }
        panic!("{what}: not within {seconds} s: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cover_that_is_lost_is_told_while_the_float_is_full() {
    let estate = Estate::new().await;
    estate.requires(2, (25, 100), "5.00");
    estate.delegate();
    let mut steward = estate.steward(&[]);
    estate.mind().await;
    estate.float_is(100).await;
    assert!(!ok(&estate.marque(&["status"])).contains("NOTHING IS PAID"));
    ok(&estate.account(&["revoke", "--all"]));
    // Nobody pays, and nothing has to be refilled.
    let why = "all delegations of the account were ended; marque account delegate scout";
    let told = format!("NOTHING IS PAID: {why}");
    eventually("it is told", 60, || async { ok(&estate.marque(&["status"])).contains(&told) })
        .await;
    let log = tokio::task::block_in_place(|| steward.logs("it pays nothing", 60));
    assert_eq!(log.matches("all delegations of the account were ended").count(), 1, "{log}");
    assert!(log.contains("tUSD") && !log.contains("erc20:"), "{log}");

    // The same of one that does without.
    estate.floats(3, (25, 100), "5.00");
    let mut text = String::new();
    eventually("it is told", 60, || {
        text = ok(&estate.marque(&["status"]));
        std::future::ready(text.contains("it would not be refilled: "))
    })
    .await;
    assert!(!text.contains("NOTHING IS PAID"), "{text}");
    assert!(text.contains("marque account delegate scout"), "{text}");
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(!ok(&estate.marque(&["status"])).contains("refilled: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_whose_file_is_lost_or_broken_is_told_and_written_again() {
    let estate = Estate::new().await;
    estate.floats(2, (25, 100), "5.00");
    estate.delegate();
    let file = std::fs::read(estate.file()).unwrap();
    for broken in [None, Some("garbage")] {
        std::fs::remove_file(estate.file()).unwrap();
        if let Some(broken) = broken {
            std::fs::write(estate.file(), broken).unwrap();
        }
        let out = estate.account(&["status", "scout"]);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(out.status.code() == Some(1) && text.contains("delegation.json"), "{text}");
        assert!(text.contains("marque account delegate "), "{text}");
        let out = estate.marque(&["doctor", "scout"]);
        let text = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(1), "{text}");
        assert!(text.contains("its steward draws nothing: "), "{text}");
        assert!(text.contains("for fees") && text.contains("block"), "the rest: {text}");
        assert!(text.contains("marque account delegate scout"), "{text}");
        assert_eq!(text.matches('✗').count(), 1, "{text}");
        // What stands is written again as it was.
        let said = ok(&estate.account(&["delegate", "scout"]));
        assert!(said.contains("nothing was signed") && said.contains("--anew"), "{said}");
        assert_eq!(std::fs::read(estate.file()).unwrap(), file);
        assert_eq!(estate.status().1, 0);
        ok(&estate.marque(&["doctor", "scout"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_steward_draws_is_told_before_it_is_signed() {
    let estate = Estate::new().await;
    ok(&estate.account(&["deploy", "scout"]));
    // Nobody can be asked here, so nothing is signed.
    let out = estate.account(&["delegate", "scout"]);
    let told = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(2), "{told}");
    assert!(told.contains("The policy has no [float.tUSD]: its steward draws nothing"), "{told}");
    assert!(!estate.file().exists());
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let told = ok(&estate.account(&["status", "scout"]));
    assert!(told.contains("no [float.tUSD]"), "{told}");
    let told = ok(&estate.marque(&["doctor", "scout"]));
    assert!(told.contains("! scout: it may draw tUSD on the account"), "{told}");

    // A draft that is not in force is not what is delegated.
    estate.draft(2, "day = \"2.00\"", "");
    let out = estate.account(&["delegate", "scout", "--yes"]);
    assert!(ok(&out).contains("nothing was signed"), "{out:?}");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains("the draft of scout, version 2, is not in force"), "{told}");
    assert_eq!(estate.json(&["account", "delegate", "scout", "--yes"])["signed"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_what_has_ended_what_is_on_its_way_and_what_coins_there_are() {
    let estate = Estate::delegated().await;
    let devnet = &estate.town.economy.devnet;
    let account = estate.permissions().account;
    let ether = alloy_primitives::U256::from(10).pow(alloy_primitives::U256::from(18));
    devnet.give_eth(account, ether).await.unwrap();
    let (said, code) = estate.status();
    assert_eq!((code, &said["delegated"], &said["pending"]), (0, &json!(true), &json!(null)));
    assert!(ok(&estate.account(&["status", "scout"])).contains("it holds 1.00 ETH"));
    devnet.set_interval(0).await.unwrap();
    let revoke = crate::command::start(estate.path(), &["account", "revoke", "scout"]);
    eventually("sent", 60, || async { !estate.status().0["pending"].is_null() }).await;
    let out = estate.account(&["status", "scout"]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains("is in no block yet: what it ends has not ended"), "{told}");
    devnet.set_interval(1).await.unwrap();
    ok(&tokio::task::block_in_place(|| revoke.wait_with_output().unwrap()));
    let (said, code) = estate.status();
    assert_eq!((code, &said["delegated"]), (1, &json!(false)), "{said}");
    assert_eq!(said["assets"][0]["revoked"], json!(true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_of_which_a_part_was_revoked_is_told_and_signed_anew() {
    let estate = Estate::new().await;
    estate.draft(2, "day = \"3.00\"", "");
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("[limits.gas]"));
    std::fs::write(&file, text.replace("[limits.gas]", "[limits.ETH]")).unwrap();
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    ok(&estate.account(&["deploy", "scout"]));
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let half = estate.permissions();
    let [first, second] = &half.unsigned()[..] else { panic!("{half:?}") };
    assert_ne!(first.asset, second.asset);
    let (framework, rpc) = (&half.framework, &estate.town.economy.rpc);
    let end = marque_contracts::delegation::revoke(framework, &first.leaf);
    estate.unlocked().act(rpc, framework, half.account, &end).await.unwrap();
    let out = estate.account(&["status", "scout"]);
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.code() == Some(1), "{told}");
    assert!(told.contains("a part of it was revoked, and the rest can be drawn"), "{told}");
    assert!(told.contains("marque account revoke scout ends the rest"), "{told}");
    assert!(!estate.over(&half).await);
    // What stands is not what the policy says, whatever its caveats are.
    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("what it had before is revoked"), "{said}");
    assert!(estate.over(&half).await && estate.permissions() != half);
    assert_eq!(estate.status().1, 0);
}
