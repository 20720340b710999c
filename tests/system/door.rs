//! A mind beside a steward that is a service: it holds no way to a Unix socket, and still outlives
//! its steward's death.

use crate::support::{MARQUE, Town, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_outlives_a_restart_of_its_steward_behind_its_door() {
    let town = Town::new().await;
    let mut feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    feed.stop().await;
    town.restart(&mut feed, &[]).await;
    let file = town.dir.path().join("wind.csv");
    let mut mind = tokio::process::Command::new(MARQUE)
        .args(["mind", "sell-file", "--agent", "feed", "--listen", &feed.host, "--file"])
        .arg(file)
        .args(["--price", "0.02 tUSD"])
        .env("MARQUE_ROLE", "mind")
        .env("MARQUE_HOME", feed.party.home.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("a purchase", 60, || async { scout.buy(&feed.goods(), "before").await.is_ok() })
        .await;
    feed.kill().await;
    town.restart(&mut feed, &[]).await;
    eventually("a purchase from the same mind", 60, || async {
        scout.buy(&feed.goods(), "after").await.is_ok()
    })
    .await;
    assert!(mind.try_wait().unwrap().is_none(), "it is the same mind");
    assert_eq!(town.dollars(&feed).await, 40_000);
}
