//! A steward that dies in the middle: the task goes on where it was, and what was bought is not
//! bought again.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    testing::{Chain, Misbehaviour, Town, answer, call},
};

/// Reads something that costs.
#[tool]
async fn read(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let feed = town.seller("feed").sells("/wind", "0.02 tUSD", "14.2").open().await?;
    let mut scout = town
        .agent("scout")
        .pays(&feed)
        .may("read")
        .thinks([call("read", [("url", feed.url("/wind"))]), answer("14.2")])
        .open()
        .await?;

    // The seller hangs, so the run does not come back; the program gives up on it.
    feed.misbehaves(Misbehaviour::Silent);
    let agent = scout.agent().tool(read);
    let moment = std::time::Duration::from_secs(2);
    let cut = tokio::time::timeout(moment, agent.run_as::<String>("wind", "The wind?")).await;
    println!("cut off: {}", cut.is_err());

    // Then its steward dies, and even the chain is away for a while.
    town.chain_is(Chain::Gone);
    scout.restarts().await?;
    town.chain_is(Chain::Well);
    feed.misbehaves(Misbehaviour::None);

    let wind: String = agent.resume("wind").await?;
    let again: String = agent.run_as("wind", "The wind?").await?;
    println!("{wind}, and {again} again; scout has {}", town.holds(&scout).await?);
    Ok(())
}
