//! A model of your own: any GGUF file by its path. Without one, the built-in model.
//!
//! `cargo run --example own_model -- ~/models/qwen3-4b-q4_k_m.gguf`

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use marque::{
    models::{Llama, LlamaOptions, Model as _},
    prelude::*,
    testing::Town,
};
use std::{path::PathBuf, sync::Arc};

/// get data from a url
#[tool]
async fn fetch_data(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

#[tokio::main]
async fn main() -> Result {
    let file = match std::env::args_os().nth(1) {
        Some(file) => PathBuf::from(file),
        None => Llama::built_in_path()?,
    };
    let model = Llama::load(file, LlamaOptions::default())?;
    println!("{} holds {} tokens", model.info().name, model.info().context_length);

    let town = Town::start().await?;
    let feed = town.seller("feed").sells("/wind.csv", "0.02 tUSD", "14.2").open().await?;
    let scout = town
        .agent("scout")
        .model(Arc::new(model))
        .pays(&feed)
        .may("fetch_data")
        .knows("https://feed.example", &feed)?
        .open()
        .await?;
    let goal = "Get the data at https://feed.example/wind.csv";
    let wind: String = scout.agent().tool(fetch_data).run(goal).await?;
    println!("{wind}, for {}", scout.spent().await?);
    Ok(())
}
