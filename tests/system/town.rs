//! The economy that tests are given: what passes in it passes for all.

use marque::testing::{Town, answer, call};
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use std::time::Duration;

/// Reads something that costs.
#[tool]
async fn read(cx: &Cx, url: String) -> Result<String, ToolError> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn time_passes_for_sellers_that_have_just_looked_and_for_those_that_rest() {
    let town = Town::start().await.unwrap();
    let feed = town.seller("feed").sells("/wind", "0.02 tUSD", "14.2").open().await.unwrap();
    let script = [call("read", [("url", feed.url("/wind"))]), answer("14.2")];
    let scout = town.agent("scout").pays(&feed).may("read").thinks(script).open().await.unwrap();
    let agent = scout.agent().tool(read);
    for (n, rest) in [0, 0, 0, 5].into_iter().enumerate() {
        let name = format!("day-{n}");
        let _: String = agent.run_as(&name, "The wind?").await.unwrap();
        let task = agent.task(&name).await.unwrap().unwrap();
        assert_eq!(task.steps()[0].result["value"], "14.2", "{name}: {:?}", task.steps());
        // With nothing under way a steward asks the chain for nothing.
        tokio::time::sleep(Duration::from_secs(rest)).await;
        town.advance(Duration::from_secs(86_400)).await.unwrap();
    }
    let _: String = agent.run_as("last", "The wind?").await.unwrap();
    assert_eq!(town.holds(&feed).await.unwrap(), "0.10 tUSD");
}
