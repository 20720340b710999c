//! A payment above `ask_above` waits for the owner, and goes on once it is approved.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    testing::{Town, answer, call},
};

/// Buys a chart.
#[tool]
async fn chart(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let shop =
        town.seller("shop").sells("/chart", "0.80 tUSD", "chart of the Azores").open().await?;
    let scout = town
        .agent("scout")
        .limits("payment = \"1.00\"\nday = \"2.00\"\nask_above = \"0.50\"")
        .pays(&shop)
        .may("chart")
        .thinks([call("chart", [("url", shop.url("/chart"))]), answer("bought")])
        .open()
        .await?;

    // The run waits inside the tool. On a real home the owner sees it with `marque approvals` and
    // signs with `marque approve`; here the owner is a line of this program.
    let agent = scout.agent().tool(chart);
    let (bought, approved) = tokio::join!(agent.run::<String>("Buy the chart"), scout.approves());
    println!("the owner approved {}, and it was {}", approved?, bought?);
    println!("scout has {}", town.holds(&scout).await?);
    Ok(())
}
