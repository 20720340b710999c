//! A new policy over what really happened: which decisions would have been others, and for how much
//! money. `marque policy replay FILE --since 30d` does the same for a home.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    steward::{
        audit::entries,
        replay::{Plan, Replayer},
    },
    testing::{Town, answer, call},
};
use std::time::Duration;

/// Reads something that costs.
#[tool]
async fn read(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let feed = town.seller("feed").sells("/wind", "0.08 tUSD", "14.2").open().await?;
    let script = [call("read", [("url", feed.url("/wind"))]), answer("14.2")];
    let limits = "payment = \"0.10\"\nhour = \"0.50\"\nday = \"0.50\"";
    let scout =
        town.agent("scout").limits(limits).pays(&feed).may("read").thinks(script).open().await?;
    let agent = scout.agent().tool(read);
    for hour in 0..3 {
        let _: String = agent.run_as(&format!("hour-{hour}"), "The wind?").await?;
        town.advance(Duration::from_secs(3600)).await?;
    }
    println!("three hours cost {}", town.holds(&feed).await?);

    // The draft would have allowed 0.20 a day.
    let adopted = std::fs::read_to_string(scout.policy())?;
    let document = adopted.replace("day = \"0.50\"", "day = \"0.20\"");
    let plan = Plan { agent: "scout".to_owned(), document, since: 0, reading: Default::default() };
    let mut replay = Replayer::new(plan)?;
    for entry in entries(&scout.journal())? {
        replay.take(&entry)?;
    }
    let replay = replay.finish().ok_or("scout is not in the journal")?;
    println!("of {} decisions {} would have been others:", replay.decisions, replay.changes.len());
    for (rule, (decisions, _)) in replay.by_rule() {
        println!("  {decisions} by {rule}");
    }
    Ok(())
}
