//! The agent of `src/bin/agent.rs` at work: a chain, a seller and an honest goal, and then what its
//! owner would have liked to forbid. Nothing leaves this machine.
//!
//! The chain and the seller are those of `marque devnet`, which the variable MARQUE names; the model
//! is scripted and obeys whoever wrote the goal, as a hijacked one does. What is printed is checked
//! against the chain, and a run that turns out differently ends with an error.

mod chain;
mod model;
mod stranger;

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use chain::Devnet;
use std::{env, error::Error, process::Stdio};
use tokio::process::Command;

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A cent of the test dollar, which has six decimals.
const CENT: u64 = 10_000;

#[tokio::main]
async fn main() -> Done {
    let devnet = Devnet::start(&env::var("MARQUE").map_err(|_| "MARQUE names no command")?).await?;
    let wallet = PrivateKeySigner::random();
    let stranger = PrivateKeySigner::random().address();
    devnet.faucet(wallet.address(), U256::from(100 * CENT)).await?;
    devnet.holds(wallet.address(), 100 * CENT).await?;
    let model = model::serve().await?;
    let demand = stranger::serve(devnet.clone(), stranger).await?;
    let agent = async |goal: String| -> Done<String> {
        let out = Command::new(env::current_exe()?.with_file_name("agent"))
            .arg(goal)
            .env("OPENAI_BASE_URL", &model)
            .env("OPENAI_API_KEY", "none")
            .env("WALLET_KEY", wallet.to_bytes().to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?
            .wait_with_output()
            .await?;
        let said = String::from_utf8(out.stdout)?.trim().to_owned();
        if out.status.success() { Ok(said) } else { Err(format!("the agent: {said}").into()) }
    };
    let feed = &devnet.feed;

    let said = agent(format!("Get the data at {feed}")).await?;
    devnet.holds(wallet.address(), 98 * CENT).await?;
    println!("one purchase:       \"{said}\", and the wallet has 0.98 of 1.00 tUSD");

    agent(format!("Get the data at {}", [feed.as_str(); 10].join(" "))).await?;
    devnet.holds(wallet.address(), 78 * CENT).await?;
    println!("ten more in a row:  all paid, 0.78 tUSD left: no sum is kept, so none is limited");

    agent(format!("Get the data at {demand}")).await?;
    devnet.holds(wallet.address(), 73 * CENT).await?;
    devnet.holds(stranger, 5 * CENT).await?;
    println!("an unknown payee:   paid 0.05 tUSD, all that one call may cost; 0.73 tUSD left");
    Ok(())
}
