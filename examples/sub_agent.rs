//! An agent as another's tool, with an account of its own: whatever the helper is told, it spends
//! from the smaller budget that the owner gave it.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    testing::{Town, answer, call},
};

/// Reads something that costs.
#[tool]
async fn read(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let feed = town.seller("feed").sells("/wind", "0.06 tUSD", "14.2").open().await?;
    let wind = call("read", [("url", feed.url("/wind"))]);
    let scout = town
        .agent("scout")
        .pays(&feed)
        .may("read")
        .may("helper")
        .policy(
            "[sub_agent.helper]\npayees = [\"feed\"]\ntools = [\"read\"]\n\
             [sub_agent.helper.limits.tUSD]\nday = \"0.10\"",
        )
        .thinks_about("The wind, twice", [wind.clone(), wind, answer("14.2, and no money left")])
        .thinks([call("helper", [("goal", "The wind, twice")]), answer("14.2")])
        .open()
        .await?;

    let helper = scout.sub_agent("helper").await?.tool(read);
    let agent = scout.agent().tool(helper.as_tool("helper", "finds things out")).tool(read);
    let said: String = agent.run("How windy is it?").await?;
    println!("{said}; scout has {} left", town.holds(&scout).await?);
    println!("{}", helper.spent().await?);
    Ok(())
}
