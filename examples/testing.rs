//! Testing an agent: once with everything real, written down, and then as often as one likes
//! without model, network or chain. `cargo test --example testing`

use marque::{
    agent::AgentError,
    prelude::*,
    testing::{Misbehaviour, Town, answer, call},
};

/// What is under test: the highest wind in a table.
#[tool]
async fn highest(cx: &Cx, url: String) -> Result<f64> {
    let table = cx.get(url).await?;
    let winds =
        table.text()?.lines().skip(1).filter_map(|line| line.rsplit(',').next()?.parse().ok());
    winds.reduce(f64::max).ok_or_else(|| "there is no wind in it".into())
}

const GOAL: &str = "How windy does it get?";

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let table = "hour,knots\n0,9.0\n1,14.2\n";
    let feed = town.seller("feed").sells("/wind.csv", "0.02 tUSD", table).open().await?;
    let scout = town
        .agent("scout")
        .pays(&feed)
        .may("highest")
        .knows("https://feed.example", &feed)?
        .thinks([call("highest", [("url", "https://feed.example/wind.csv")]), answer("14.2")])
        .records(town.dir().join("run.jsonl"))
        .open()
        .await?;
    let agent = scout.agent().tool(highest);
    assert_eq!(agent.run::<String>(GOAL).await?, "14.2");
    assert_eq!(town.holds(&scout).await?, "4.98 tUSD");

    // Without any of it, the same.
    feed.misbehaves(Misbehaviour::Answers(500));
    let mind = town.dir().join("replayed");
    let replayed = Agent::replaying("scout", town.dir().join("run.jsonl"), mind).await?;
    assert_eq!(replayed.clone().tool(highest).run_as::<String>("again", GOAL).await?, "14.2");
    assert_eq!(replayed.cost("again").await?.to_string(), "0.02 tUSD");
    assert_eq!(town.holds(&scout).await?, "4.98 tUSD");

    // Another question was never recorded.
    let other = replayed.tool(highest).run::<String>("Is it calm?").await;
    assert!(matches!(other, Err(AgentError::Model(_))));
    Ok(())
}

#[test]
fn scout_finds_the_highest_wind_and_pays_once() {
    main().unwrap();
}
