//! A float that is not what it should be: whom that stops, whom not, and what its owner is told.

use crate::{
    account::{DOLLAR, Estate, FEED},
    command::{failure, ok},
    float::Steward,
    support::{Citizen, eventually},
};
use alloy_primitives::U256;
use marque_steward_client::{Client, ClientError, Outcome};
use serde_json::Value;
use std::time::Duration;

impl Estate {
    /// Another agent of the same home, which keeps no float, with a dollar.
    pub(crate) fn neighbour(&self) {
        let policy = |agent: &str| self.path().join(format!("home/agents/{agent}/policy.toml"));
        ok(&self.marque(&["new", "other"]));
        std::fs::copy(policy("scout"), policy("other")).unwrap();
        ok(&self.marque(&["policy", "adopt", "other"]));
        for amount in ["1 tUSD", "0.1 ETH"] {
            ok(&self.marque(&["fund", "other", amount, "--faucet"]));
        }
    }

    /// By what a payment is refused, and what would mend that.
    pub(crate) async fn refused(&self, mind: &Client, task: &str) -> (String, String) {
        let outcome = self.pay(mind, task, 30).await.unwrap();
        let Outcome::Refused { table, .. } = outcome else { panic!("{outcome:?}") };
        let row = table.into_iter().find(|row| row.rule == "float.tUSD.delegation").unwrap();
        (row.measured, row.mend.unwrap())
    }

    /// What a command says, an object a line.
    fn json_lines(&self, args: &[&str]) -> Vec<Value> {
        let said = ok(&self.marque(&[&["--json"], args].concat()));
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until payments are refused, which a revocation is followed by within seconds.
    pub(crate) async fn noticed(&self, mind: &Client) {
        eventually("noticed", 60, || async {
            // What is still paid is missing later.
            tokio::time::sleep(Duration::from_millis(800)).await;
            let task = format!("{:?}", std::time::Instant::now());
            matches!(self.pay(mind, &task, 1).await, Ok(Outcome::Refused { .. }))
        })
        .await;
    }

    pub(crate) async fn pays(&self, mind: &Client, task: &str) {
        let outcome = self.pay(mind, task, 30).await.unwrap();
        assert!(matches!(outcome, Outcome::Allowed { .. }), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cover_that_its_policy_requires_an_agent_pays_nothing_and_its_owner_is_served()
{
    let estate = Estate::new().await;
    estate.neighbour();
    estate.requires(2, (25, 100), "5.00");
    let delegate = "marque account delegate scout";

    // From the first moment, although the key could pay.
    ok(&estate.marque(&["fund", "scout", "1 tUSD", "--faucet"]));
    let steward = estate.steward(&[]);
    let (mind, other) = (estate.mind().await, estate.mind_of("other").await);
    let (why, mend) = estate.refused(&mind, "early").await;
    assert_eq!((why.as_str(), mend.as_str()), ("nothing is delegated", delegate));
    estate.pays(&other, "as ever").await;
    let text = ok(&estate.marque(&["status"]));
    let line = format!("NOTHING IS PAID: nothing is delegated; {delegate}");
    assert!(text.contains(&line), "{text}");

    // No other start is needed.
    estate.delegate();
    estate.pays(&mind, "covered").await;

    // Noticed while it runs, and at a start.
    ok(&estate.account(&["revoke", "scout"]));
    estate.noticed(&mind).await;
    drop((steward, mind));
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;
    let (why, mend) = estate.refused(&mind, "late").await;
    assert_eq!((why.as_str(), mend.as_str()), ("what was delegated was revoked", delegate));
    estate.pays(&estate.mind_of("other").await, "still").await;

    // Its owner gets money back, freezes and thaws, and adopts.
    let owner = estate.owner.parse().unwrap();
    ok(&estate.marque(&["withdraw", "scout", "0.20 tUSD"]));
    assert_eq!(estate.has(owner).await, DOLLAR / 5);
    ok(&estate.marque(&["freeze"]));
    ok(&estate.marque(&["thaw"]));
    estate.floats(3, (25, 100), "5.00");
    estate.pays(&mind, "no longer required").await;
    estate.requires(4, (25, 100), "5.00");
    assert_eq!(estate.refused(&mind, "required again").await.1, delegate);
    ok(&estate.account(&["delegate", "scout", "--yes"]));
    estate.pays(&mind, "covered again").await;
    let text = ok(&estate.marque(&["status"]));
    assert!(!text.contains("NOTHING IS PAID"), "{text}");
    ok(&estate.marque(&["audit", "verify"]));
    // What was refused for want of cover is so in a replay as well.
    let same = ok(&estate.marque(&["policy", "replay", "scout@adopted"]));
    assert!(same.contains("no decision would"), "{same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_reserved_is_released_where_the_chain_does_not_cover_it_any_more() {
    let estate = Estate::new().await;
    estate.requires(2, (25, 100), "5.00");
    estate.delegate();
    // Between the marks: the first that is reserved is the payment.
    ok(&estate.marque(&["fund", "scout", "0.60 tUSD", "--faucet"]));
    let mut dying = estate.steward(&[("MARQUE_FAILPOINT", "reserved")]);
    let mind = estate.mind().await;
    let died = gone(&mut dying);
    tokio::select! {
        answer = estate.pay(&mind, "left", 30) => panic!("it died before it answered: {answer:?}"),
        () = died => {}
    }
    drop((dying, mind));
    ok(&estate.account(&["revoke", "scout"]));
    let _steward = estate.steward(&[]);
    let entries = || estate.json_lines(&["audit", "show", "--kind", "released"]);
    eventually("released", 60, || async { entries().len() == 1 }).await;
    let why = entries()[0]["body"]["why"].to_string();
    assert!(why.contains("before it was signed: what was delegated was revoked"), "{why}");
    assert_eq!((estate.has(FEED).await, estate.nonce().await), (0, 0), "nothing was signed");
}

/// Waits until a steward is gone.
async fn gone(steward: &mut Steward) {
    for _ in 0..1_200 {
        if steward.0.try_wait().unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the steward lives");
}

impl Estate {
    /// Lets scout buy at a shop, from a float, by what it signs.
    fn buys_at(&self, version: u64, shop: &Citizen, delegation: &str) {
        let limits = format!(
            "hour = \"5.00\"\nday = \"9.00\"\n\n[float.tUSD]\nlow = \"0.25\"\nhigh = \"1.00\"\n\
             delegation = \"{delegation}\""
        );
        let shopping = format!(
            "\n[[payee]]\nname = \"shop\"\naddress = \"{}\"\nhost = \"{}\"\n\n[[tool]]\n\
             name = \"fetch_data\"\nhosts = [\"{}\"]\n",
            shop.party.address, shop.host, shop.host
        );
        self.draft_paying(version, ("0.50", &limits, ""), &shopping);
        let file = self.path().join("home/agents/scout/policy.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let domain = "decimals = 6\ndomain = { name = \"Marque Test Dollar\", version = \"1\" }";
        std::fs::write(&file, text.replacen("decimals = 6", domain, 1)).unwrap();
        ok(&self.marque(&["policy", "adopt", "scout"]));
        let names = format!("[names]\n\"https://shop.example\" = \"http://{}\"\n", shop.host);
        let file = self.path().join("home/agents/scout/agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let known = text.contains("[names]");
        std::fs::write(&file, if known { text } else { format!("{text}\n{names}") }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_coins_signs_no_refill_and_its_owner_is_told_what_to_fund() {
    let estate = Estate::new().await;
    let shop = estate.town.seller("shop", "0.02 tUSD").await;
    estate.buys_at(2, &shop, "wanted");
    estate.delegate();
    let scout = estate.stolen().address();
    estate.town.economy.devnet.give_eth(scout, U256::ZERO).await.unwrap();
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;

    let told = |text: &str| {
        text.contains("the key has 0.00 ETH for fees, and this may take 0.0")
            && text.contains("; marque fund scout \"0.0")
    };
    let refused = estate.pay(&mind, "one", 50).await;
    let Err(ClientError::Fault(why)) = refused else { panic!("{refused:?}") };
    assert!(why.code == "float" && told(&why.message), "{why:?}");
    let text = ok(&estate.marque(&["status"]));
    assert!(told(&text) && text.contains("not refilled: it would fail: the key has"), "{text}");
    // A model is not asked what to make of that: the run ends with what its owner has to do.
    let goal = "Fetch https://shop.example/wind.csv and report the value.";
    let (text, code) = failure(&estate.marque(&["run", "scout", goal]));
    assert!(code == 1 && told(&text) && !text.contains("no tool"), "{text}");
    assert_eq!((estate.refills(), estate.nonce().await), (0, 0), "nothing was signed");

    ok(&estate.marque(&["fund", "scout", "0.1 ETH", "--faucet"]));
    let answer = ok(&estate.marque(&["run", "scout", goal]));
    assert!(answer.contains("paid 0.02 tUSD to shop"), "{answer}");
    assert_eq!(estate.refills(), 1);

    // What a run cannot buy for want of the chain's cover it says with the command that brings it.
    estate.buys_at(3, &shop, "required");
    ok(&estate.account(&["revoke", "scout"]));
    estate.noticed(&mind).await;
    let out = estate.marque(&["run", "scout", goal, "--task", "uncovered"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = "refused by float.tUSD.delegation: what was delegated was revoked, limit one that \
                stands, as its policy requires: marque account delegate scout";
    assert!(said.contains(line) && !out.status.success(), "{out:?}");
}

impl Estate {
    /// What the doctor finds of the policy in force, as `health: found / mend`, and the exit code.
    fn doctor(&self, policy: &str) -> (String, i32) {
        let out = self.marque(&["--json", "doctor", policy]);
        let said: Value = serde_json::from_slice(&out.stdout).unwrap();
        let line = |it: &Value| format!("{}: {} / {}\n", it["health"], it["found"], it["mend"]);
        let lines = said["findings"].as_array().unwrap().iter().map(line).collect();
        (lines, out.status.code().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_of_a_float_what_keeps_it_from_being_filled() {
    let estate = Estate::new().await;
    estate.requires(2, (25, 100), "5.00");
    let (said, code) = estate.doctor("scout@adopted");
    assert!(
        said.contains("\"wrong\": \"it keeps a float, and nothing is delegated to it"),
        "{said}"
    );
    assert!(said.contains("nothing is paid\" / \"marque account delegate scout\""), "{said}");
    assert!(code == 1 && !said.contains("to spend") && !said.contains("marque fund"), "{said}");
    estate.delegate();
    let (said, code) = estate.doctor("scout@adopted");
    let kept = "\"good\": \"its key holds 0.00 tUSD, kept between 0.25 tUSD and 1.00 tUSD from the \
                account, which holds 20.00 tUSD\"";
    assert!(said.contains(kept) && code == 0, "{said}");
    ok(&estate.account(&["withdraw", "scout", "19.50 tUSD"]));
    let (said, code) = estate.doctor("scout@adopted");
    let mend =
        "too little to fill it\" / \"marque fund scout \\\"1.00 tUSD\\\" --faucet --account\"";
    assert!(said.contains(mend) && code == 0, "{said}");
    ok(&estate.account(&["revoke", "scout"]));
    let (said, code) = estate.doctor("scout@adopted");
    assert!(said.contains("has ended; its policy requires it, so nothing is paid"), "{said}");
    assert_eq!(code, 1);
    estate.floats(3, (25, 100), "5.00");
    let (said, code) = estate.doctor("scout@adopted");
    assert!(said.contains("\"odd\": \"what it could draw") && code == 0, "{said}");

    // Who pays nobody is not sent for money, and needs no delegation.
    ok(&estate.marque(&["new", "seller"]));
    let draft = |agent: &str| estate.path().join(format!("home/agents/{agent}/policy.toml"));
    let text = std::fs::read_to_string(draft("scout")).unwrap();
    let (head, _) = text.split_once("[[payee]]").unwrap();
    std::fs::write(draft("seller"), format!("{head}[income]\nassets = [\"tUSD\"]\n")).unwrap();
    let (said, code) = estate.doctor("seller");
    assert!(said.contains("what it earns above 1.00 tUSD goes to its owner"), "{said}");
    assert!(!said.contains("delegate") && !said.contains("to spend") && code == 0, "{said}");
}
