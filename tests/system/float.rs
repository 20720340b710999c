//! The float, through real commands, a real steward and a real chain: what the agent's key holds is
//! refilled from the owner's account, within what the owner delegated, until that ends.

use crate::{
    account::{DOLLAR, Estate, FEED},
    command::{ok, start_with},
    support::eventually,
};
use alloy_primitives::U256;
use marque_policies::{Intent, Money, intent::Transfer};
use marque_steward::{Body, Entry};
use marque_steward_client::{Client, ClientError, Outcome, Proposal};
use std::{process::Child, time::Duration};

/// A steward's process, which does not outlive its test.
pub(crate) struct Steward(pub(crate) Child);

impl Drop for Steward {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Steward {
    /// What it logs, for whoever reads it first.
    pub(crate) fn log(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }
}

impl Estate {
    /// Adopts a policy whose float is between the marks, in cents.
    pub(crate) fn floats(&self, version: u64, marks: (u64, u64), hour: &str) {
        self.keeps(version, marks, hour, "wanted");
    }

    /// The same, and nothing is paid unless that is on chain.
    pub(crate) fn requires(&self, version: u64, marks: (u64, u64), hour: &str) {
        self.keeps(version, marks, hour, "required");
    }

    /// The same on other endpoints.
    pub(crate) fn requires_on(&self, version: u64, endpoints: &[&str]) {
        self.keep(version, (25, 100), "5.00", "required");
        self.name_endpoints(endpoints);
        ok(&self.marque(&["policy", "adopt", "scout"]));
    }

    fn keeps(&self, version: u64, marks: (u64, u64), hour: &str, delegation: &str) {
        self.keep(version, marks, hour, delegation);
        let said = ok(&self.marque(&["policy", "adopt", "scout"]));
        assert!(said.contains("marque account delegate scout"), "{said}");
    }

    fn keep(&self, version: u64, (low, high): (u64, u64), hour: &str, delegation: &str) {
        let cents = |n: u64| format!("{}.{:02}", n / 100, n % 100);
        let limits = format!(
            "hour = \"{hour}\"\nday = \"9.00\"\n\n[float.tUSD]\nlow = \"{}\"\nhigh = \"{}\"\n\
             delegation = \"{delegation}\"",
            cents(low),
            cents(high)
        );
        self.draft_paying(version, ("0.50", &limits, ""), "");
    }

    pub(crate) fn delegate(&self) {
        ok(&self.account(&["deploy", "scout"]));
        ok(&self.account(&["delegate", "scout", "--yes"]));
    }

    pub(crate) fn steward(&self, env: &[(&str, &str)]) -> Steward {
        Steward(start_with(self.path(), &["steward", "run"], env))
    }

    pub(crate) async fn mind(&self) -> Client {
        self.mind_of("scout").await
    }

    pub(crate) async fn mind_of(&self, agent: &str) -> Client {
        let socket = self.path().join(format!("home/agents/{agent}/steward.sock"));
        marque::owner::connect(&socket, Duration::from_secs(60)).await.unwrap()
    }

    /// Pays the feed in a transaction.
    pub(crate) async fn pay(
        &self,
        mind: &Client,
        task: &str,
        cents: u64,
    ) -> Result<Outcome, ClientError> {
        let amount = Money::new(U256::from(cents * 10_000), self.dollars());
        let (payee, labels) = ("feed".to_owned(), Default::default());
        let intent = Intent::Transfer(Transfer { payee, to: FEED, amount, labels });
        let task = task.to_owned();
        mind.propose(Proposal { task, step: 0, ordinal: 0, attempt: 0, intent }).await
    }

    pub(crate) async fn float_is(&self, cents: u64) {
        let scout = self.stolen().address();
        let what = format!("a float of {cents} cents");
        eventually(&what, 60, || async { self.has(scout).await == cents * 10_000 }).await;
    }

    /// The account, of which nobody but a refill takes.
    pub(crate) async fn account_has(&self) -> u64 {
        self.has(self.permissions().account).await
    }

    /// Why a steward that finds this in the place of what was delegated pays nothing. Nothing stands
    /// there, so a payment is answered at once; whoever would wait for a refill waits no longer than this.
    async fn refused_with(&self, file: &str) -> String {
        std::fs::write(self.file(), file).unwrap();
        let _steward = self.steward(&[]);
        let mind = self.mind().await;
        let asked = self.pay(&mind, "drift", 50);
        let outcome = tokio::time::timeout(Duration::from_secs(60), asked).await;
        let Ok(outcome) = outcome else { panic!("no answer within a minute") };
        let outcome = outcome.unwrap();
        let Outcome::Refused { table, .. } = outcome else { panic!("{outcome:?}") };
        let row = table.into_iter().find(|row| row.rule == "float.tUSD.delegation").unwrap();
        assert_eq!(row.mend.as_deref(), Some("marque account delegate scout"));
        row.measured
    }

    /// How many refills the journal allowed.
    pub(crate) fn refills(&self) -> usize {
        let entries = marque_steward::audit::entries(&self.path().join("home/journal")).unwrap();
        let refill = |entry: &&Entry| match &entry.body {
            Body::Allowed(it) => matches!(it.decided.intent, Intent::Refill { .. }),
            _ => false,
        };
        entries.iter().filter(refill).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_float_is_refilled_by_itself_until_its_window_is_used_up() {
    let estate = Estate::new().await;
    estate.floats(2, (25, 100), "2.00");
    estate.delegate();
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;
    // Nobody gave the key a cent.
    estate.float_is(100).await;
    assert_eq!(estate.account_has().await, 19 * DOLLAR);
    for task in ["one", "two", "three", "four"] {
        let outcome = estate.pay(&mind, task, 50).await.unwrap();
        assert!(matches!(outcome, Outcome::Allowed { .. }), "{task}: {outcome:?}");
    }
    eventually("paid", 60, || async { estate.has(FEED).await == 2 * DOLLAR }).await;
    assert_eq!(estate.account_has().await, 18 * DOLLAR, "what was paid, and nothing else");
    let Outcome::Refused { table, .. } = estate.pay(&mind, "five", 50).await.unwrap() else {
        panic!("the hour is used up");
    };
    assert!(table.iter().any(|row| row.rule == "limits.tUSD.hour" && row.mend.is_some()));

    // The owner reads what the float is at, and why it stays there.
    eventually("the reason", 60, || async {
        let float = estate.json(&["status"])["agents"][0]["floats"][0].clone();
        float["trouble"]
            .to_string()
            .contains("limits.hour on chain has 0.00 tUSD left; marque account status scout")
    })
    .await;
    let text = ok(&estate.marque(&["status"]));
    assert!(text.contains("not refilled: 0.75 tUSD is wanted, and limits.hour"), "{text}");
    assert!(text.contains("kept between 0.25 tUSD and 1.00 tUSD; last refill 1.00 tUSD"), "{text}");
    assert_eq!(estate.json(&["status"])["agents"][0]["floats"][0]["held"]["units"], "0");
    let text = ok(&estate.account(&["status", "scout"]));
    assert!(text.contains("keeps between 0.25 tUSD and 1.00 tUSD"), "{text}");
    assert!(text.contains("2.00 tUSD of 2.00 tUSD, 0.00 tUSD left"), "{text}");

    let text = ok(&estate.marque(&["budget", "scout"]));
    assert!(
        text.contains("float.tUSD                 0.00 tUSD on the key, kept between"),
        "{text}"
    );
    assert!(text.contains("the account may still give 0.00; it holds 18.00"), "{text}");
    assert!(text.contains("drawn 2.00 of 2.00 (limits.hour on chain)"), "{text}");
    let float = estate.json(&["budget", "scout"])["floats"][0].clone();
    assert_eq!(
        (&float["asset"], &float["left"]["units"]),
        (&"tUSD".into(), &"0".into()),
        "{float}"
    );

    // A captured mind may ask for more: no fees are burnt for what the chain would refuse.
    let amount = Money::new(U256::from(DOLLAR), estate.dollars());
    let nonce = estate.nonce().await;
    for step in 0..3 {
        let (task, intent) = ("greed".to_owned(), Intent::Refill { amount });
        let asked = mind.propose(Proposal { task, step, ordinal: 0, attempt: 0, intent }).await;
        assert!(
            matches!(&asked, Err(ClientError::Fault(it)) if it.message.contains("has room for 0"))
        );
    }
    assert_eq!(estate.nonce().await, nonce);
    assert_eq!(estate.refills(), 2);
    ok(&estate.marque(&["audit", "verify"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_refills_and_what_comes_in_above_the_float_goes_back() {
    let estate = Estate::new().await;
    estate.floats(2, (25, 100), "5.00");
    estate.delegate();
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;
    estate.float_is(100).await;
    // Somebody pays the key five dollars: that adds no authority, and does not stay there.
    let scout = estate.stolen().address();
    estate.town.economy.mint(scout, 5 * DOLLAR).await.unwrap();
    estate.pay(&mind, "wakes it", 1).await.unwrap();
    let owner: alloy_primitives::Address = estate.owner.parse().unwrap();
    eventually("given back", 60, || async { estate.has(owner).await >= 4 * DOLLAR }).await;
    assert!(estate.has(scout).await <= DOLLAR);

    // Several at once, of which the first empties the key: each waits for what it lacks.
    let all = ["a", "b", "c", "d"].map(|task| estate.pay(&mind, task, 45));
    for outcome in futures::future::join_all(all).await {
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, Outcome::Allowed { .. }), "{outcome:?}");
    }
    let cents = |n: u64| n * 10_000;
    eventually("paid", 60, || async { estate.has(FEED).await == cents(181) }).await;

    ok(&estate.account(&["revoke", "scout"]));
    let left = estate.account_has().await;
    // The steward may pay what the key still holds; nothing else comes.
    while estate.has(scout).await >= cents(45) {
        let task = format!("{}", estate.has(scout).await);
        let before = estate.has(scout).await;
        estate.pay(&mind, &task, 45).await.unwrap();
        eventually("paid", 60, || async { estate.has(scout).await < before }).await;
    }
    let refused = estate.pay(&mind, "three", 50).await;
    let Err(ClientError::Fault(why)) = refused else { panic!("{refused:?}") };
    assert_eq!(why.code, "float");
    assert!(why.message.contains("what was delegated was revoked"), "{}", why.message);
    assert!(why.message.contains("marque account delegate scout"), "{}", why.message);
    assert_eq!(estate.account_has().await, left, "nothing leaves any more");
    // What comes in does not stay on the key for that: it goes back as before.
    let before = estate.has(owner).await;
    estate.town.economy.mint(scout, 5 * DOLLAR).await.unwrap();
    estate.pay(&mind, "wakes it again", 1).await.unwrap();
    eventually("given back", 60, || async { estate.has(owner).await >= before + 4 * DOLLAR }).await;
    assert!(estate.has(scout).await <= DOLLAR);

    // An export says of each of these how much of what went where.
    let told = || ok(&estate.marque(&["audit", "export", "--format", "csv"]));
    let came = format!(",{scout},5.00,tUSD,");
    eventually("received", 60, || async { told().matches(&came).count() == 2 }).await;
    let told = told();
    let row = |kind: &str, cells: &str| {
        let row = |line: &&str| line.contains(&format!(",{kind},")) && line.contains(cells);
        assert!(told.lines().any(|line| row(&line)), "{kind} {cells}: {told}");
    };
    row("received", &came);
    row("allowed", &format!(",refill,,{scout},1.00,tUSD,"));
    row("final", &format!(",refill,,{scout},1.00,tUSD,"));
    row("allowed", &format!(",sweep,,{owner},"));
    assert!(
        told.lines().filter(|line| line.contains(",received,")).all(|line| line.contains(",tUSD,"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_permit2_waits_for_the_money_that_it_covers() {
    let estate = Estate::new().await;
    estate.floats(2, (25, 100), "5.00");
    estate.delegate();
    let _steward = estate.steward(&[]);
    let mind = estate.mind().await;
    estate.float_is(100).await;
    estate.pay(&mind, "half", 50).await.unwrap();
    // Between the marks nothing is drawn for itself.
    estate.float_is(50).await;
    let approve = async |task: &str, cents: u64| {
        let amount = Money::new(U256::from(cents * 10_000), estate.dollars());
        let (task, intent) = (task.to_owned(), Intent::ApprovePermit2 { amount });
        mind.propose(Proposal { task, step: 0, ordinal: 0, attempt: 0, intent }).await
    };
    let outcome = approve("covered", 80).await.unwrap();
    assert!(matches!(outcome, Outcome::Allowed { .. }), "{outcome:?}");
    estate.float_is(100).await;
    assert_eq!((estate.refills(), estate.account_has().await), (2, 18 * DOLLAR + DOLLAR / 2));
    let scout = estate.stolen().address();
    let rpc = &estate.town.economy.rpc;
    eventually("approved", 60, || async {
        let allowed = rpc.permit2_allowance(estate.town.economy.dollar, scout).await.unwrap();
        allowed == U256::from(800_000)
    })
    .await;
    // For more than the key ever holds nothing is drawn.
    let refused = approve("more than there is", 150).await;
    let Err(ClientError::Fault(why)) = refused else { panic!("{refused:?}") };
    assert!(why.code == "float" && why.message.contains("the float is full"), "{why:?}");
    assert_eq!(estate.refills(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_killed_at_any_edge_of_a_refill_draws_once() {
    let estate = Estate::new().await;
    let mut drawn = 0;
    for (version, edge) in [(2, "reserved"), (3, "signed"), (4, "sent")] {
        let dollars = version - 1;
        estate.floats(version, (100 * dollars - 60, 100 * dollars), "9.00");
        estate.delegate();
        let mut dying = estate.steward(&[("MARQUE_FAILPOINT", edge)]);
        tokio::task::block_in_place(|| dying.0.wait()).unwrap();
        let _steward = estate.steward(&[]);
        estate.float_is(100 * dollars).await;
        drawn += 1;
        assert_eq!(estate.account_has().await, (20 - dollars) * DOLLAR, "{edge}");
        assert_eq!(estate.refills(), drawn, "{edge}: one id, one refill");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_the_owner_signed_is_not_used() {
    let estate = Estate::new().await;
    estate.requires(2, (25, 100), "2.00");
    estate.delegate();
    let text = std::fs::read_to_string(estate.file()).unwrap();
    let lower = |it: alloy_primitives::Address| format!("{it:#x}");
    let permissions = estate.permissions();
    let token = lower(estate.town.economy.dollar);
    // Another manager: the key would call it. The signature is for one.
    let manager = lower(permissions.framework.manager);
    let other = text.replace(&manager, &token);
    let said = estate.refused_with(&other).await;
    assert!(said.contains("is not signed by the owner"), "{said}");
    let stranger = lower(FEED);
    let other = text.replace(&permissions.owner.to_string().to_lowercase(), &stranger);
    let said = estate.refused_with(&other).await;
    assert!(said.contains("not signed") || said.contains("another owner"), "{said}");
    // An older one, of the owner's as well, under which more may be drawn.
    estate.requires(3, (25, 100), "1.00");
    let said = estate.refused_with(&text).await;
    assert!(said.contains("not what version 3 of the policy says: limits.tUSD.hour"), "{said}");
    assert_eq!((estate.nonce().await, estate.refills()), (0, 0));
}
