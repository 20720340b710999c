//! `marque account revoke` on a bad day: the home is gone, an endpoint is silent, an earlier transaction is
//! stuck. Each leads on to what still works, and to nothing else.

use crate::{
    account::Estate,
    command::{failure, marque, ok, start},
    support::eventually,
};
use alloy_primitives::{B256, Bytes, U256};
use marque_identity_keys::{KeyDir, UnsignedTransaction};
use serde_json::{Value, json};

impl Estate {
    /// A transaction of the owner's own that pays the owner nothing, at a fee; its hash.
    pub(crate) async fn owner_sends(&self, fee: u128) -> B256 {
        let keys = KeyDir::open(self.path().join("owner")).unwrap();
        let key = keys.key("owner", &"correct horse battery staple".to_owned().into()).unwrap();
        let rpc = &self.town.economy.rpc;
        let signed = key.sign_transaction(&UnsignedTransaction {
            chain_id: self.town.economy.devnet.chain_id(),
            nonce: rpc.transaction_count(key.address(), true).await.unwrap(),
            to: Some(key.address()),
            value: U256::ZERO,
            data: Bytes::new(),
            gas_limit: 21_000,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: 1,
        });
        rpc.send_raw(&signed.unwrap().raw).await.unwrap()
    }

    /// Whether the chain's pool has a transaction, or a block.
    pub(crate) async fn knows(&self, hash: B256) -> bool {
        let asked = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [hash],
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client.post(self.town.economy.devnet.url()).json(&asked);
        let said: Value = asked.send().await.unwrap().json().await.unwrap();
        !said["result"].is_null()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_delegation_overtakes_what_no_block_takes() {
    let estate = Estate::delegated().await;
    let (devnet, living) = (&estate.town.economy.devnet, estate.permissions());
    devnet.set_interval(0).await.unwrap();
    let fee = estate.town.economy.rpc.fees().await.unwrap().max_fee_per_gas;
    let stuck = estate.owner_sends(fee).await;
    let behind = estate.owner_sends(fee).await;
    let revoke = start(estate.path(), &["account", "revoke", "--all"]);
    eventually("it is replaced", 60, || async { !estate.knows(stuck).await }).await;
    assert!(estate.knows(behind).await, "it takes the place of one");
    devnet.set_interval(1).await.unwrap();
    let out = tokio::task::block_in_place(|| revoke.wait_with_output().unwrap());
    ok(&out);
    let told = String::from_utf8_lossy(&out.stderr);
    let waits = told.find("is in no block yet: waiting 15 s for it, then this takes its place");
    assert!(waits < told.find("this takes its place: what that one was to do"), "{told}");
    assert!(waits.is_some() && estate.over(&living).await, "{told}");
    assert!(estate.town.economy.rpc.receipt(stuck).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_ended_by_the_owners_folder_alone() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    std::fs::rename(estate.path().join("home"), estate.path().join("gone")).unwrap();
    assert!(ok(&estate.account(&["revoke", "--all"])).contains("has ended"));
    assert!(estate.over(&living).await);
    assert!(ok(&estate.account(&["revoke", "--all"])).contains("has ended already"));
    assert!(ok(&estate.account(&["revoke", "scout"])).contains("has ended already"));
    // Of an agent that the folder does not know there is nothing to go by, and all of them can be ended.
    let (text, code) = failure(&estate.account(&["revoke", "other"]));
    assert!(code == 1 && text.contains("marque account revoke --all"), "{text}");
    assert!(!text.contains("marque new"), "{text}");
    // A folder that adopted nothing names no chain.
    std::fs::remove_file(estate.path().join("owner/notes.jsonl")).unwrap();
    let (text, code) = failure(&estate.account(&["revoke", "--all"]));
    assert!(code == 1 && text.contains("--owner-home DIR") && text.contains("--rpc URL"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_without_a_home_goes_by_the_owners_folder() {
    let estate = Estate::delegated().await;
    std::fs::rename(estate.path().join("home"), estate.path().join("gone")).unwrap();
    let elsewhere = estate.path().join("another");
    let status = ["account", "status", "scout"];
    for home in [None, Some(["--home", elsewhere.to_str().unwrap()])] {
        let home = home.as_ref().map_or(&[][..], |home| &home[..]);
        let out = estate.marque(&[home, &status].concat());
        let (said, told) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(1), "{told}");
        assert!(said.contains("it holds 20.00 tUSD") && said.contains("3.00 tUSD left"), "{said}");
        assert!(said.contains("the chain says what version 1 of the policy says"), "{said}");
        assert!(told.contains("there is no home at ") && !told.contains("error: "), "{told}");
        assert!(told.contains("marque account revoke scout ends what may live"), "{told}");
    }
    // Of an agent that the folder does not know there is nothing to say.
    let (text, code) = failure(&estate.account(&["status", "other"]));
    assert!(code == 1 && text.contains("marque account revoke --all"), "{text}");
    ok(&estate.account(&["revoke", "scout"]));
    let out = estate.account(&["status", "scout"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.code() == Some(1) && said.contains("it was revoked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_an_emptied_or_damaged_home_goes_by_the_owners_folder() {
    let estate = Estate::delegated().await;
    let (home, whole) = (estate.path().join("home"), estate.path().join("whole"));
    crate::robbed_host::copy(&home, &whole);
    let damages: [&dyn Fn(); 3] = [
        &|| {
            std::fs::remove_dir_all(&home).unwrap();
            std::fs::create_dir(&home).unwrap();
        },
        &|| std::fs::remove_dir_all(home.join("keys")).unwrap(),
        &|| {
            for segment in std::fs::read_dir(home.join("journal/entries")).unwrap().flatten() {
                std::fs::write(segment.path(), "what somebody wrote").unwrap();
            }
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        damage();
        let out = estate.account(&["status", "scout"]);
        let (said, told) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(1), "{number}: {told}");
        assert!(said.contains("it holds 20.00 tUSD"), "{number}: {said}{told}");
        assert!(said.contains("3.00 tUSD left"), "{number}: {said}{told}");
        assert!(told.contains("was emptied or is damaged ("), "{number}: {told}");
        assert!(told.contains("marque account revoke scout ends what may live"), "{told}");
        assert!(!told.contains("error: "), "{number}: {told}");
        std::fs::remove_dir_all(&home).unwrap();
        crate::robbed_host::copy(&whole, &home);
    }
    assert!(ok(&estate.account(&["status", "scout"])).contains("3.00 tUSD left"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_fails_says_what_is_wrong_and_no_way_that_does_not_help() {
    let estate = Estate::delegated().await;
    const HOMELESS: &str = "marque account revoke --all";
    // Nothing is wrong with home or endpoint.
    let switch = estate.path().join("switch.json");
    let prepare = ["revoke", "scout", "--prepare", switch.to_str().unwrap(), "--fee"];
    for fee in ["1 tUSD", "0.0000001 ETH"] {
        let (text, code) = failure(&estate.account(&[&prepare[..], &[fee]].concat()));
        assert!(code == 2 && !text.contains(HOMELESS) && !text.contains("wei"), "{text}");
        assert!(text.contains("the chain's own coin") || text.contains("0.0000001 ETH is less"));
    }
    let (text, code) = failure(&estate.account(&["revoke", "--all", "--rpc", "127.0.0.1:18645"]));
    assert!(code == 2 && text.contains("as in http://") && !text.contains(HOMELESS), "{text}");
    let empty = estate.path().join("empty");
    let empty = ["--owner-home", empty.to_str().unwrap(), "account", "revoke"];
    for args in [&["scout"][..], &["--all"]] {
        let (text, code) = failure(&estate.marque(&[&empty[..], args].concat()));
        assert!(code == 1 && text.contains("--owner-home DIR"), "{text}");
        assert!(!text.contains("owner init") && !text.contains(HOMELESS), "{text}");
    }
    let credentials = estate.path().join("credentials/marque-owner");
    let out = std::process::Command::new(crate::support::MARQUE)
        .args(["account", "revoke", "scout", "--home"])
        .arg(estate.path().join("home"))
        .arg("--owner-home")
        .arg(estate.path().join("owner"))
        .arg("--owner-fd=0")
        .stdin({
            std::fs::write(&credentials, "not this one").unwrap();
            std::fs::File::open(&credentials).unwrap()
        })
        .output()
        .unwrap();
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("passphrase") && !text.contains(HOMELESS), "{text}");

    // Nobody answers.
    estate.draft(2, "day = \"3.00\"", "");
    estate.name_endpoints(&["http://127.0.0.1:9"]);
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    for args in [&["scout"][..], &["--all"], &["scout", "--all"]] {
        let (text, code) = failure(&estate.account(&[&["revoke"], args].concat()));
        assert!(code == 1 && text.contains("Connection refused"), "{text}");
        assert!(text.contains("marque account revoke --all --rpc URL"), "{text}");
        assert!(text.contains("/owner/end-31337-0.json --rpc URL"), "{text}");
    }
    let url = estate.town.economy.devnet.url();
    assert!(ok(&estate.account(&["revoke", "--all", "--rpc", url])).contains("has ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_on_which_nothing_is_known_keeps_nothing_alive_on_another() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    estate.elsewhere("other", &[]);
    let out = estate.account(&["revoke", "--all"]);
    assert!(ok(&out).contains("has ended"), "{out:?}");
    assert!(estate.over(&living).await);
    assert!(String::from_utf8_lossy(&out.stderr).contains("note: there is no "), "{out:?}");
}

#[test]
fn whose_delegations_are_to_end_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (text, code) = failure(&marque(dir.path(), &["account", "revoke"]));
    assert!(code == 2 && text.contains("marque account revoke --all"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_revocations_at_once_both_reach_what_they_are_for() {
    let estate = Estate::delegated().await;
    for args in [["account", "revoke", "scout"], ["account", "revoke", "--all"]] {
        ok(&estate.account(&["delegate", "scout", "--yes"]));
        let living = estate.permissions();
        let all = ["a", "b"].map(|_| start(estate.path(), &args));
        for one in all {
            let out = tokio::task::block_in_place(|| one.wait_with_output().unwrap());
            let said = ok(&out);
            assert!(said.contains("can draw nothing") || said.contains("has ended"), "{out:?}");
        }
        assert!(estate.over(&living).await);
    }
}
