//! One intent pays at most once, whatever is killed when.

use crate::support::{Town, eventually};
use marque_policies::IntentId;
use marque_steward_client::PaymentState;

/// The journal's origin and the id of the purchase that `Citizen::buy` makes for `task`.
async fn purchase_id(scout: &crate::support::Citizen, task: &str) -> IntentId {
    let view = scout.client().view().await.unwrap();
    IntentId::derive(view.origin, &view.agent, task, 0, 1, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_killed_at_any_edge_pays_once() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    let mut bought = 0;
    for edge in ["reserved", "signed", "sent"] {
        scout.stop().await;
        town.restart(&mut scout, &[("MARQUE_FAILPOINT", edge)]).await;
        let task = format!("killed-{edge}");
        let interrupted = tokio::time::timeout(
            std::time::Duration::from_secs(5),
            scout.buy(&feed.goods(), &task),
        )
        .await;
        assert!(!matches!(interrupted, Ok(Ok(_))), "{edge}: the steward should have died");
        scout.kill().await;
        town.restart(&mut scout, &[]).await;
        let purchase = scout.buy(&feed.goods(), &task).await.unwrap();
        assert_eq!(purchase.response.status, 200, "{edge}");
        bought += 1;
        // Once more: the same id, the same bytes, the same goods, no more money.
        let again = scout.buy(&feed.goods(), &task).await.unwrap();
        assert_eq!(again.response.body, purchase.response.body, "{edge}");
    }
    assert_eq!(town.dollars(&feed).await, bought * 20_000);
    assert_eq!(town.dollars(&scout).await, 5_000_000 - bought * 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_killed_between_sent_and_seen_finds_the_payment_again() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.buy(&feed.goods(), "task").await.unwrap();
    let id = purchase_id(&scout, "task").await;
    scout.kill().await;
    town.restart(&mut scout, &[]).await;
    eventually("final", 60, || async {
        let wait = scout.client().wait(id, std::time::Duration::from_millis(100)).await;
        wait.is_ok_and(|state| state.state == PaymentState::Final)
    })
    .await;
    assert_eq!(town.dollars(&feed).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_killed_while_opening_opens_the_next_time() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let mut scout = town.buyer("scout", &[&feed], "").await;
    scout.buy(&feed.goods(), "task").await.unwrap();
    for _ in 0..3 {
        scout.kill().await;
        let opening =
            town.economy.run_with(&scout.party, &[], &[("MARQUE_FAILPOINT", "opening")]).await;
        assert!(opening.is_err(), "the steward should have died while opening");
        town.restart(&mut scout, &[]).await;
    }
    let again = scout.buy(&feed.goods(), "task").await.unwrap();
    assert_eq!(again.response.status, 200);
    assert_eq!(town.dollars(&feed).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_killed_at_any_moment_pays_once_and_answers_when_run_again() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let place = format!("http://{}", feed.host);
    let names = [(marque::economy::FEED, place.as_str())];
    marque::economy::configure(&scout.party.home, "scout", &names).unwrap();
    let mind = |task: &str| {
        let mut command = tokio::process::Command::new(crate::support::MARQUE);
        command
            .args(["mind", "run", "--agent", "scout", "--events", "--task", task, "--goal"])
            .arg("Fetch https://feed.example/wind.csv and report the value.")
            .env("MARQUE_ROLE", "mind")
            .env("MARQUE_HOME", scout.party.home.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    };
    let mut killed = 0;
    // From before the first thought, over the payment, to after the settlement.
    for (task, delay) in [20_u64, 60, 120, 250, 500, 900].into_iter().enumerate() {
        let task = format!("mind-{task}");
        let mut child = mind(&task).spawn().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        killed += u64::from(child.try_wait().unwrap().is_none());
        child.kill().await.unwrap();
        let out = mind(&task).output().await.unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "killed after {delay} ms: {said}");
        assert!(said.contains("value is"), "killed after {delay} ms: {said}");
    }
    assert!(killed >= 4, "only {killed} minds were still at work when they were killed");
    assert_eq!(town.dollars(&feed).await, 6 * 20_000);
}
