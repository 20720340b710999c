//! An answer with a type: what the model writes cannot be anything else.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    prelude::*,
    testing::{Town, answer, call},
};

/// What is asked for. Its schema is the grammar under which the answer is written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Advice {
    sail: bool,
    /// At most.
    #[schemars(range(max = 64))]
    knots: u8,
    reasons: Vec<String>,
}

/// The wind at a station, in knots.
#[tool]
async fn wind(_cx: &Cx, station: String, #[default(24)] hours: u8) -> Result<u8> {
    Ok(if station == "Horta" { 14 } else { hours })
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let advice = Advice { sail: true, knots: 14, reasons: vec!["a steady breeze".to_owned()] };
    let scout = town
        .agent("scout")
        .may("wind")
        .thinks([call("wind", [("station", "Horta")]), answer(advice)])
        .open()
        .await?;

    let advice: Advice = scout.agent().tool(wind).run("Is it worth sailing in Horta?").await?;
    println!("sail: {}, at {} knots, for {}", advice.sail, advice.knots, advice.reasons.join(", "));
    Ok(())
}
