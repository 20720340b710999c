//! What the owner's commands do in a home where somebody else was: whatever lies there, and wherever it
//! leads, nothing of the owner's is written over, waited for, or taken for another home's.

use crate::{
    account::Estate,
    command::{failure, marque, ok},
    robbed_host::{between, copy, edit, pipe},
};
use alloy_primitives::{B256, U256, hex};
use alloy_sol_types::SolCall as _;
use marque::{
    home::OwnerHome,
    owner::{Note, Notes, Owner},
};
use marque_contracts::delegation::{
    Framework,
    binding::{IDelegationManager, INonceEnforcer},
};
use marque_identity::account::{Ground, Permissions};
use serde_json::json;
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The journal's first and only segment.
fn segment(estate: &Estate) -> PathBuf {
    estate.path().join("home/journal/entries/00000000000000000000.seg")
}

/// An endpoint that says of every delegation that it is disabled.
fn says_disabled(honest: String) -> String {
    let selector = hex::encode(IDelegationManager::disabledDelegationsCall::SELECTOR);
    between(honest, move |asked| {
        let disabled = asked["method"] == "eth_call" && asked.to_string().contains(&selector);
        disabled.then(|| json!(format!("0x{:064x}", 1)))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_in_a_home_leads_an_owners_command_to_the_owners_files() {
    let estate = Estate::delegated().await;
    let owner = estate.path().join("owner");
    let (key, notes) = (owner.join("owner.json"), owner.join("notes.jsonl"));
    let before = [std::fs::read(&key).unwrap(), std::fs::read(&notes).unwrap()];
    let home = estate.path().join("home");
    for (version, (left, leads)) in (2..).zip([
        ("journal/reserve", &key),
        ("journal/checkpoint.new", &notes),
        ("journal/tile/0/000.p/4.new", &notes),
        ("agents/scout/delegation.json.new", &notes),
        ("lock", &key),
        ("index/db", &key),
        ("journal", &owner),
    ]) {
        let at = home.join(left);
        let aside = estate.path().join("aside");
        let there = std::fs::rename(&at, &aside).is_ok();
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(leads, &at).unwrap();
        estate.draft(version, "day = \"2.00\"", "");
        // Refused with what to do, or done beside it; the notes grow by what was adopted.
        for args in [&["policy", "adopt", "scout"][..], &["account", "delegate", "scout", "--yes"]]
        {
            let out = estate.marque(args);
            if !out.status.success() {
                let (text, code) = failure(&out);
                assert!(code == 1, "{left}: {text}");
            }
        }
        assert_eq!(std::fs::read(&key).unwrap(), before[0], "{left}");
        assert!(std::fs::read(&notes).unwrap().starts_with(&before[1]), "{left}");
        assert_eq!(std::fs::read_dir(&owner).unwrap().count(), 2, "{left}");
        drop(std::fs::remove_file(&at));
        if there {
            drop(std::fs::remove_dir_all(&at));
            std::fs::rename(&aside, &at).unwrap();
        }
    }
    symlink(&key, home.join("journal/reserve.link")).unwrap();
    std::fs::rename(home.join("journal/reserve.link"), home.join("journal/reserve")).unwrap();
    estate.draft(20, "day = \"2.00\"", "");
    let (text, code) = failure(&estate.marque(&["policy", "adopt", "scout"]));
    assert!(
        code == 1 && text.contains("journal/reserve") && text.contains("it is a link"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pipe_in_a_home_keeps_a_delegation_alive() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let home = estate.path().join("home");
    for at in [home.join("keys/scout.json"), segment(&estate), home.join("home.json")] {
        pipe(&at);
        // With it, and with those before it.
        let out = estate.account(&["status", "scout"]);
        assert!(String::from_utf8_lossy(&out.stderr).contains("no plain file"), "{out:?}");
    }
    ok(&estate.account(&["revoke", "scout"]));
    assert!(estate.over(&living).await);
}

/// An older journal of the owner's own, in which an endpoint of the thief's was in force, under another
/// name: neither the folder nor what it says of itself is one that the owner knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_its_owner_does_not_know_is_not_taken_for_a_new_one() {
    let estate = Estate::new().await;
    ok(&estate.account(&["deploy", "scout"]));
    let honest = estate.town.economy.devnet.url().to_owned();
    estate.adopt_on(2, &[&says_disabled(honest.clone())]);
    let (home, elsewhere) = (estate.path().join("home"), estate.path().join("elsewhere"));
    copy(&home, &elsewhere);
    estate.adopt_on(3, &[&honest]);
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    let living = estate.permissions();

    std::fs::remove_dir_all(&home).unwrap();
    symlink(&elsewhere, &home).unwrap();
    edit(&elsewhere.join("home.json"), "origin", json!(B256::repeat_byte(0x66)));
    estate.draft(4, "day = \"3.00\"", "");
    for args in [
        &["account", "delegate", "scout", "--yes", "--anew"][..],
        &["policy", "adopt", "scout"],
        &["fund", "scout", "0.01 ETH"],
        &["account", "withdraw", "scout", "1 tUSD"],
    ] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("somebody changed one of them"), "{args:?}: {text}");
    }
    assert!(!elsewhere.join("agents/scout/delegation.json").exists(), "nothing was signed");
    // Without its journal it contradicts itself no more, and is still none that the owner knows.
    std::fs::remove_dir_all(elsewhere.join("journal")).unwrap();
    for args in [&["fund", "scout", "0.01 ETH"][..], &["policy", "adopt", "scout"]] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("another home in its place"), "{args:?}: {text}");
        assert!(text.contains("marque policy adopt scout --anew"), "{text}");
    }
    let out = estate.account(&["revoke", "scout"]);
    assert!(ok(&out).contains("can draw nothing"), "{out:?}");
    assert!(estate.over(&living).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_signs_for_no_journal_that_the_own_folder_does_not_know() {
    let estate = Estate::new().await;
    let theirs = stranger(&estate);
    ok(&tokio::task::block_in_place(|| marque(&theirs, &["policy", "adopt", "decoy"])));
    let rotate = |home: &Path| {
        let (home, to) = (home.to_str().unwrap(), theirs.join("owner"));
        let to = to.to_str().unwrap();
        failure(&estate.marque(&[
            "--home",
            home,
            "owner",
            "rotate",
            "--yes",
            "--new-owner-home",
            to,
        ]))
    };
    let (text, code) = rotate(&theirs.join("home"));
    assert!(code == 1 && text.contains("you never adopted a policy in the journal"), "{text}");
    assert!(text.contains("nothing was signed"), "{text}");
}

/// Another owner on the same chain, with a home of their own; up to a draft, and coins for fees.
fn stranger(estate: &Estate) -> PathBuf {
    let theirs = estate.path().join("theirs");
    std::fs::create_dir_all(theirs.join("home")).unwrap();
    std::fs::copy(estate.path().join("home/devnet.toml"), theirs.join("home/devnet.toml")).unwrap();
    for args in [
        &["owner", "init"][..],
        &["new", "decoy"],
        &["fund", "decoy", "1 ETH", "--faucet", "--owner"],
    ] {
        ok(&tokio::task::block_in_place(|| marque(&theirs, args)));
    }
    theirs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_does_not_say_where_the_owners_key_sends_a_transaction() {
    let estate = Estate::new().await;
    let theirs = stranger(&estate);
    let deploy = |more: &[&str]| {
        let args = [&["account", "deploy", "decoy"], more].concat();
        tokio::task::block_in_place(|| marque(&theirs, &args))
    };
    let (text, code) = failure(&deploy(&[]));
    assert!(code == 2 && text.contains("nothing is adopted for decoy yet"), "{text}");
    assert!(text.contains("of a draft") && text.contains("127.0.0.1"), "{text}");
    assert!(ok(&deploy(&["--yes"])).contains("the account is deployed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_exchanged_ends_nothing_of_the_owners_and_says_so() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let theirs = stranger(&estate);
    let switch = estate.path().join("switch.json");
    let switch = switch.to_str().unwrap();
    for args in [
        &["policy", "adopt", "decoy"][..],
        &["account", "deploy", "decoy"],
        &["account", "revoke", "decoy", "--prepare", switch],
    ] {
        ok(&tokio::task::block_in_place(|| marque(&theirs, args)));
    }
    let out = estate.account(&["revoke", "--send", switch]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && text.contains("the account of somebody else"),
        "{text}"
    );
    assert!(!estate.over(&living).await);

    // The owner's own, which does something else.
    std::fs::remove_file(switch).unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", switch]));
    let text = std::fs::read_to_string(switch).unwrap();
    let ends = hex::encode(INonceEnforcer::incrementNonceCall::SELECTOR);
    assert!(text.contains(&ends), "{text}");
    std::fs::write(switch, text.replace(&ends, "00000000")).unwrap();
    let (text, code) = failure(&estate.account(&["revoke", "--send", switch]));
    assert!(code == 1 && text.contains("something else than ending delegations"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn narrower_limits_of_all_agents_leave_no_wider_ones_beside_them() {
    let estate = Estate::new().await;
    let all = |most: &str| format!(", limits = {{ tUSD = {{ day = \"{most}\" }} }}");
    estate.adopt(2, "day = \"3.00\"", &all("4.00"));
    estate.neighbour();
    ok(&estate.account(&["deploy", "scout"]));
    for agent in ["scout", "other"] {
        ok(&estate.account(&["delegate", agent, "--yes"]));
    }
    let other = estate.path().join("home/agents/other/delegation.json");
    let other = Permissions::read(&other).unwrap().unwrap();
    estate.adopt(3, "day = \"3.00\"", &all("2.00"));

    // Signed beside the other one, as it once was: together they let out the sum.
    let folder = OwnerHome::locate(Some(estate.path().join("owner"))).unwrap();
    let owner = Owner::unlock(&folder, &"correct horse battery staple".to_owned().into()).unwrap();
    let before = estate.permissions();
    let ground = Ground { salt: before.salt + U256::ONE, ..before.ground() };
    let narrow = owner.delegate(&estate.policy(), &ground).unwrap();
    Notes::of(&folder).unwrap().add(Note::Delegated(Box::new(narrow.clone()))).unwrap();
    narrow.write(&estate.file()).unwrap();
    let (said, code) = estate.status();
    assert_eq!((code, &said["beside"]), (1, &json!(["other"])), "{said}");
    assert_eq!(said["together"][0][0], "owner.limits.day");
    assert_eq!(said["together"][0][1]["units"], "6000000", "{said}");

    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("other draws under other limits for all agents together"), "{said}");
    assert!(said.contains("marque account delegate other"), "{said}");
    assert!(estate.over(&other).await && estate.over(&before).await);
    let (said, code) = estate.status();
    assert_eq!((code, &said["beside"]), (0, &json!([])), "{said}");
}

/// A thief edits the home; an agent of the same name on another chain was adopted after its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_same_name_in_another_home_is_not_ended_in_place_of_the_one_that_is_meant()
{
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    estate.elsewhere("scout", &["--anew"]);
    let robbed = estate.path().join("home");
    edit(&robbed.join("home.json"), "origin", json!(B256::repeat_byte(0x66)));
    // In a place that the folder does not know nobody can say which is meant.
    let moved = estate.path().join("moved");
    copy(&robbed, &moved);
    let moved = ["--home", moved.to_str().unwrap(), "account", "revoke", "scout"];
    let (text, code) = failure(&estate.marque(&moved));
    assert!(code == 1 && text.contains("which one is meant is not known"), "{text}");
    assert!(text.contains("marque account revoke --all"), "{text}");
    assert!(!estate.over(&living).await);
    let out = estate.account(&["revoke", "scout"]);
    assert!(ok(&out).contains("on eip155:31337 any more"), "{out:?}");
    assert!(estate.over(&living).await);
}

/// The account has the same address on every chain, and one endpoint is of one.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_on_one_chain_is_no_all_clear_for_another() {
    let estate = Estate::delegated().await;
    let living = estate.permissions();
    let folder = OwnerHome::locate(Some(estate.path().join("owner"))).unwrap();
    let owner = Owner::unlock(&folder, &"correct horse battery staple".to_owned().into()).unwrap();
    let framework = Framework { chain: 1_337, ..living.framework };
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(file).unwrap().replace("eip155:31337", "eip155:1337");
    let (policy, _) = marque_policies::parse(&text).unwrap();
    let there = owner.delegate(&policy, &Ground { framework, ..living.ground() }).unwrap();
    Notes::of(&folder).unwrap().add(Note::Delegated(Box::new(there))).unwrap();
    let out = estate.account(&["revoke", "--all", "--rpc", estate.town.economy.devnet.url()]);
    let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("on eip155:31337 has ended"), "{said}");
    assert!(told.contains("on eip155:1337 may live: marque account revoke --all"), "{told}");
    assert!(out.status.code() == Some(1) && estate.over(&living).await, "{told}");
}
