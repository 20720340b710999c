//! A tool that costs something: the price is met within the policy, and the author of the tool
//! writes one line for it.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    testing::{Town, answer, call},
};

/// The wind at a station, in knots.
#[tool]
async fn wind(cx: &Cx, station: String) -> Result<f64> {
    let feed: String = cx.state()?;
    // The feed asks 0.02 tUSD; the steward pays if the owner's policy allows it.
    let answer =
        cx.http().get(format!("{feed}?at={station}")).max_price("0.05 tUSD").send().await?;
    Ok(answer.text()?.parse()?)
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let feed = town.seller("feed").sells("/wind", "0.02 tUSD", "14.2").open().await?;
    let scout = town
        .agent("scout")
        .holds("1.00 tUSD")
        .limits("payment = \"0.05\"\nday = \"0.10\"")
        .pays(&feed)
        .may("wind")
        .thinks([call("wind", [("station", "Horta")]), answer("14.2 knots")])
        .open()
        .await?;

    let agent = scout.agent().tool(wind).state(feed.url("/wind"));
    let said: String = agent.run("How windy is it in Horta?").await?;
    println!("{said}, for {}", scout.spent().await?);
    println!("scout has {}, feed has {}", town.holds(&scout).await?, town.holds(&feed).await?);
    Ok(())
}
