//! What an owner's commands say before and while they send: what goes out is told, what would be refused
//! is told before a passphrase is asked for, and what comes next is what is not done yet.

use crate::{
    account::{DOLLAR, Estate},
    command::{failure, ok, start},
    support::{MARQUE, Town},
};
use std::process::{Command, Output, Stdio};

impl Estate {
    /// A command whose passphrase is wrong: what it says is said without it.
    fn without_passphrase(&self, args: &[&str]) -> Output {
        let credentials = self.path().join("nothing");
        std::fs::create_dir_all(&credentials).unwrap();
        let command = Command::new(MARQUE)
            .args(args)
            .arg("--home")
            .arg(self.path().join("home"))
            .arg("--owner-home")
            .arg(self.path().join("owner"))
            .env("CREDENTIALS_DIRECTORY", credentials)
            .stdin(Stdio::null())
            .output();
        command.unwrap()
    }
}

fn told(out: &Output) -> String {
    ok(out);
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_is_told_at_once_and_all_there_is_can_be_withdrawn() {
    let estate = Estate::delegated().await;
    let sent = |args: &[&str]| {
        let out = estate.marque(args);
        let text = told(&out);
        assert_eq!(text.matches("sent 0x").count(), 1, "{args:?}: {text}");
        assert!(
            text.contains("it may go through even if you end this here; waiting for a block"),
            "{text}"
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    sent(&["fund", "scout", "0.01 ETH"]);
    let said = sent(&["account", "withdraw", "scout", "all tUSD"]);
    assert!(said.contains("20.00 tUSD returned"), "{said}");
    assert_eq!(estate.has(estate.owner.parse().unwrap()).await, 20 * DOLLAR);
    let (text, code) = failure(&estate.account(&["withdraw", "scout", "all tUSD"]));
    assert!(code == 1 && text.contains("there is nothing of it to withdraw"), "{text}");
    let (text, code) = failure(&estate.account(&["withdraw", "scout", "all gold"]));
    assert!(code == 2 && text.contains("knows no asset gold"), "{text}");
    sent(&["account", "revoke", "scout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_delegations_at_once_leave_one_alive() {
    let estate = Estate::delegated().await;
    let first = estate.permissions();
    let both = ["a", "b"]
        .map(|_| start(estate.path(), &["account", "delegate", "scout", "--yes", "--anew"]));
    let both = both.map(|one| tokio::task::block_in_place(|| one.wait_with_output().unwrap()));
    let (well, other): (Vec<_>, Vec<_>) = both.iter().partition(|out| out.status.success());
    assert_eq!((well.len(), other.len()), (1, 1), "{both:?}");
    let (text, code) = failure(other[0]);
    assert!(code == 1 && text.contains("another command is delegating"), "{text}");
    assert!(estate.over(&first).await && !estate.over(&estate.permissions()).await);
    let notes = std::fs::read_to_string(estate.path().join("owner/notes.jsonl")).unwrap();
    assert_eq!(notes.matches("\"note\":\"delegated\"").count(), 2, "nobody signed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_would_refuse_is_told_before_a_passphrase_is_asked_for() {
    let estate = Estate::new().await;
    estate.draft(1, "day = \"2.00\"", "");
    let (text, code) = failure(&estate.without_passphrase(&["policy", "adopt", "scout"]));
    assert!(code == 2 && text.contains("version 1 is in force, and the draft"), "{text}");
    assert!(text.contains("write version = 2 into the draft"), "{text}");
    let mut draft = std::fs::read_to_string(estate.path().join("home/agents/scout/policy.toml"))
        .unwrap()
        .replace("version = 1", "version = 2");
    draft = draft.replace(&estate.owner, "0x6666666666666666666666666666666666666666");
    std::fs::write(estate.path().join("home/agents/scout/policy.toml"), draft).unwrap();
    let (text, code) = failure(&estate.without_passphrase(&["policy", "adopt", "scout"]));
    assert!(code == 1 && text.contains("the policy names owner 0x6666"), "{text}");
    // Nothing is in force: one exit code, whoever asks.
    ok(&estate.marque(&["new", "other"]));
    for args in [&["delegate", "other"][..], &["withdraw", "other", "1 tUSD"], &["revoke", "other"]]
    {
        let (text, code) = failure(&estate.account(args));
        assert!(code == 1 && text.contains("no policy is in force for other yet"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_names_the_steps_that_are_not_done_yet() {
    let estate = Estate::new().await;
    let floats = "hour = \"2.00\"\n\n[float.tUSD]\nlow = \"0.25\"\nhigh = \"2.00\"";
    let next = |version: u64| {
        estate.draft(version, floats, "");
        let said = ok(&estate.marque(&["policy", "adopt", "scout"]));
        said.lines().find(|line| line.contains("next: ")).unwrap().to_owned()
    };
    // Owner, key and account have got something already.
    let said = next(2);
    assert!(said.contains("next: marque account deploy scout, marque account delegate scout"));
    ok(&estate.account(&["deploy", "scout"]));
    let said = next(3);
    assert!(said.contains("next: marque account delegate scout, so that"), "{said}");
    let owner = estate.owner.parse().unwrap();
    let town = &estate.town.economy;
    ok(&estate.account(&["withdraw", "scout", "all tUSD"]));
    // Nobody has got anything.
    let (elsewhere, none) = (Town::new().await, Estate::new().await);
    assert!(elsewhere.economy.rpc.balance(owner).await.unwrap().is_zero());
    assert!(!town.rpc.balance(owner).await.unwrap().is_zero());
    drop(none);
    let said = next(4);
    assert!(said.contains("next: marque fund scout \"20 tUSD\" --account --faucet, "), "{said}");
    estate.draft(5, floats, "");
    estate.name_endpoints(&[elsewhere.economy.devnet.url()]);
    let file = estate.path().join("home/agents/scout/policy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let token = elsewhere.economy.dollar.to_string();
    std::fs::write(&file, text.replace(&town.dollar.to_string(), &token)).unwrap();
    let said = ok(&estate.marque(&["policy", "adopt", "scout"]));
    let line = "next: marque fund scout \"1 ETH\" --faucet --owner, marque fund scout \"0.05 ETH\" \
                --faucet (for fees), marque account deploy scout, marque fund scout \"20 tUSD\" \
                --account --faucet, marque account delegate scout";
    assert!(said.contains(line), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_begun_anew_and_a_message_without_coins_have_a_way_out() {
    let estate = Estate::delegated().await;
    let switch = estate.path().join("switch.json");
    let switch = switch.to_str().unwrap();
    ok(&estate.account(&["revoke", "scout", "--prepare", switch]));
    let friend = estate.path().join("friend");
    let friend = ["--owner-home", friend.to_str().unwrap()];
    ok(&estate.marque(&[&friend[..], &["owner", "init"]].concat()));
    let url = estate.town.economy.devnet.url();
    let send = ["account", "revoke", "--send", switch, "--rpc", url];
    let (text, code) = failure(&estate.marque(&[&friend[..], &send].concat()));
    assert!(code == 1 && text.contains("`data` to `to`, on chain 31337"), "{text}");
    assert!(!text.contains("marque fund"), "{text}");
    // Another chain at the same place: nothing of it is there.
    let anew = Town::new().await;
    estate.draft(2, "day = \"3.00\"", "");
    estate.name_endpoints(&[anew.economy.devnet.url()]);
    ok(&estate.marque(&["policy", "adopt", "scout"]));
    let out = estate.account(&["status", "scout"]);
    let (text, code) = failure(&out);
    assert!(code == 1 && text.contains("there is no contract at"), "{text}");
    assert!(text.contains("begun anew?") && text.contains("marque doctor"), "{text}");
}
