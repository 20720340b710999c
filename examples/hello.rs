//! An agent of your own: one tool that buys something, one goal, a typed answer.

use marque::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
struct Report {
    answer: String,
}

/// get data from a url
#[tool]
async fn fetch_data(cx: &Cx, url: String) -> Result<String> {
    let csv = cx.get(&url).await?;
    Ok(format!("{} rows", csv.text()?.lines().count() - 1))
}

#[marque::main]
async fn main() -> Result {
    let agent = Agent::open("scout").await?.tool(fetch_data);
    let report: Report =
        agent.run("Fetch https://feed.example/wind.csv and report the value.").await?;
    println!("{}, spent {}", report.answer, agent.spent().await?[0]);
    Ok(())
}
