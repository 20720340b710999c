//! A run to watch, for a screen of your own: events as they happen, and the answer at the end.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    agent::Event,
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
    let feed = town.seller("feed").sells("/wind", "0.02 tUSD", "14.2 knots").open().await?;
    let scout = town
        .agent("scout")
        .pays(&feed)
        .may("read")
        .thinks([call("read", [("url", feed.url("/wind"))]), answer("14.2 knots")])
        .open()
        .await?;

    let agent = scout.agent().tool(read);
    let mut run = agent.run_stream::<String>("How windy is it?");
    while let Some(event) = run.next().await {
        match event {
            Event::Thinking { step, .. } => println!("step {step}"),
            Event::Call { call, .. } => println!("  calls {}", call.tool),
            Event::Paid { payee, .. } => println!("  pays {payee}"),
            Event::Result { result, .. } => println!("  hears {result}"),
            _ => {}
        }
    }
    println!("{}", run.answer().await?);
    Ok(())
}
