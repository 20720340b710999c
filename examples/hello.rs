//! An agent of your own: one tool that buys something, one goal, a typed answer.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Report(String);

/// get data from a url
#[tool]
async fn fetch_data(cx: &Cx, url: String) -> Result<String> {
    Ok(format!("{} rows", cx.get(&url).await?.text()?.lines().count() - 1))
}

#[marque::main]
async fn main() -> Result {
    let agent = Agent::open("scout").await?.tool(fetch_data);
    let report: Report = agent.run("Get the data at https://feed.example/wind.csv").await?;
    println!("{}; {} spent so far", report.0, agent.spent().await?);
    Ok(())
}
