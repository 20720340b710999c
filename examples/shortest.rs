//! The shortest agent that pays: a tool that is there already, one goal, its answer.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::prelude::*;

#[marque::main]
async fn main() -> Result {
    let scout = Agent::open("scout").await?.tool(marque::tools::fetch_data);
    let wind: String = scout.run("Get the data at https://feed.example/wind.csv").await?;
    println!("{wind}");
    Ok(())
}
