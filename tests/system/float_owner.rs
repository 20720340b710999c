//! A float that is not what it should be: whom that stops, whom not, and what its owner is told.

use crate::{
    account::{DOLLAR, Estate},
    command::ok,
    support::eventually,
};
use marque_steward_client::{Client, Outcome};

impl Estate {
    /// Another agent of the same home, which keeps no float, with a dollar.
    fn neighbour(&self) {
        let policy = |agent: &str| self.path().join(format!("home/agents/{agent}/policy.toml"));
        ok(&self.marque(&["new", "other"]));
        std::fs::copy(policy("scout"), policy("other")).unwrap();
        ok(&self.marque(&["policy", "adopt", "other"]));
        for amount in ["1 tUSD", "0.1 ETH"] {
            ok(&self.marque(&["fund", "other", amount, "--faucet"]));
        }
    }

    /// By what a payment is refused, and what would mend that.
    async fn refused(&self, mind: &Client, task: &str) -> (String, String) {
        let outcome = self.pay(mind, task, 30).await.unwrap();
        let Outcome::Refused { table, .. } = outcome else { panic!("{outcome:?}") };
        let row = table.into_iter().find(|row| row.rule == "float.tUSD.delegation").unwrap();
        (row.measured, row.mend.unwrap())
    }

    async fn pays(&self, mind: &Client, task: &str) {
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
    let out = estate.marque(&["run", "scout", "Report the wind."]);
    assert!(!String::from_utf8_lossy(&out.stderr).contains("cannot start"), "{out:?}");

    // No other start is needed.
    estate.delegate();
    estate.pays(&mind, "covered").await;

    // Noticed while it runs, and at a start.
    ok(&estate.account(&["revoke", "scout"]));
    eventually("noticed", 30, || async {
        let task = format!("{:?}", std::time::Instant::now());
        matches!(estate.pay(&mind, &task, 1).await, Ok(Outcome::Refused { .. }))
    })
    .await;
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
    ok(&estate.marque(&["audit", "verify"]));
}
