//! What `examples/hello.rs` is in Marque, in rig with `x402-reqwest`: one tool that buys something,
//! one goal, a typed answer.
//!
//! Written as their own documentation does it, in the fewest lines that keep to it. `MaxAmount` is
//! all that stands between the model and the money, so it is used.

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use reqwest::Client;
use reqwest_middleware::ClientWithMiddleware;
use rig::{AgentBuilder, providers::openai::OpenAI, rig_tool};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    env,
    error::Error,
    sync::{Arc, LazyLock},
};
use x402_chain_eip155::V2Eip155ExactClient;
use x402_reqwest::{ReqwestWithPayments as _, ReqwestWithPaymentsBuild as _, X402Client};
use x402_types::scheme::client::MaxAmount;

// A tool made of a function holds no state, and what a `ToolContext` holds must be serialisable.
static PAYING: LazyLock<ClientWithMiddleware> = LazyLock::new(|| {
    let key: PrivateKeySigner = env::var("WALLET_KEY").expect("WALLET_KEY").parse().expect("a key");
    let wallet = X402Client::new()
        .register(V2Eip155ExactClient::new(Arc::new(key)))
        .with_selector(MaxAmount(U256::from(50_000)));
    Client::new().with_payments(wallet).build()
});

#[derive(Deserialize, JsonSchema)]
struct Report {
    said: String,
}

/// get data from a url
#[rig_tool]
async fn fetch_data(url: String) -> Result<String, reqwest_middleware::Error> {
    let answer = PAYING.get(url).send().await?.error_for_status()?;
    Ok(format!("{} rows", answer.text().await?.lines().count() - 1))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let goal = env::args().nth(1).expect("a goal");
    let model = OpenAI::from_env()?.chat("scripted");
    let agent = AgentBuilder::new(model).tool(FetchData).default_max_turns(20).build();
    let report = agent.prompt_typed::<Report>(goal).await?.output;
    println!("{}", report.said);
    Ok(())
}
