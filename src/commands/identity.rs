//! `marque identity show | register`: an agent's ERC-8004 identity. The owner owns the token, the
//! agent is its wallet.

use super::{
    Shared,
    funds::{MostFee, gas},
    policy::{chain_of, draft_of},
    trust::{own_agent, own_policy, this_journal},
};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::U256;
use clap::Subcommand;
use marque::{economy::card, owner::connect};
use marque_identity::{card::Card, registry};
use std::{process::ExitCode, time::Duration};

/// Selector of `ERC721NonexistentToken(uint256)`.
const NONEXISTENT: &str = "0x7e273289";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// What the registry says of an agent id.
    Show {
        /// An agent of this home, whose policy names the registry.
        agent: String,
        /// The ERC-8004 agent id.
        id: U256,
    },
    /// Register the agent: the owner sends the transactions, the steward accepts to be the wallet.
    Register {
        /// The agent; its steward must be running.
        agent: String,
        /// Where it serves, if it serves.
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        /// What it does, in a sentence.
        #[arg(long, default_value = "an agent under an owner's policy")]
        description: String,
        #[command(flatten)]
        most: MostFee,
    },
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let home = shared.home()?;
    let (Act::Show { agent, .. } | Act::Register { agent, .. }) = &args.act;
    let policy = match &args.act {
        Act::Show { .. } => draft_of(&home, agent)?,
        Act::Register { .. } => own_policy(shared, agent)?,
    };
    let (chain, rpc) = chain_of(&policy)?;
    let at = policy
        .chains
        .values()
        .find_map(|chain| chain.identity_registry)
        .ok_or_else(|| Failure::new("the policy names no identity_registry for its chain"))?;
    match args.act {
        Act::Show { id, .. } => {
            let resolved = registry::resolve(&rpc, at, id).await.map_err(|error| {
                let text = error.to_string();
                if text.contains(NONEXISTENT) {
                    return Failure::new(format!("there is no identity {id} in registry {at}"));
                }
                Failure::new(text)
            })?;
            let uri = registry::agent_uri(&rpc, at, id).await?;
            let card = Card::from_data_uri(&uri).ok();
            if shared.json {
                say!(
                    "{}",
                    serde_json::json!({
                        "id": id.to_string(), "registry": at, "chain": chain,
                        "owner": resolved.owner, "wallet": resolved.wallet,
                        "uri": uri, "registration": card,
                    })
                );
            } else {
                say!("identity {id} in registry {at} on eip155:{chain}");
                say!("  owner  {}", resolved.owner);
                say!("  wallet {}", resolved.wallet);
                match card {
                    Some(card) => say!("  says of itself: {}: {}", card.name, card.description),
                    None => say!("  registration file: {uri}"),
                }
            }
        }
        Act::Register { agent, endpoint, description, most } => {
            let most = most.most_fee.on(&policy)?;
            let steward =
                connect(&home.owner_socket(&agent), Duration::ZERO).await.map_err(|error| {
                    Failure::new(error).help("in another terminal: marque steward run")
                })?;
            let wallet = own_agent(shared, &agent)?;
            let origin = steward.view().await?.origin;
            this_journal(shared, &home, chain, origin)?;
            let mut owner = shared.sender(&shared.owner_home()?)?;
            owner.pays_at_most(most);
            let uri = card(&agent, &description, endpoint.as_deref()).to_data_uri();
            gas(&rpc, owner.address(), &agent).await?;
            let id = owner.register(&rpc, chain, at, &uri.map_err(Failure::usage)?).await?;
            owner.set_wallet(&rpc, &steward, (chain, at), id, (wallet, origin)).await?;
            if shared.json {
                say!("{}", serde_json::json!({ "id": id.to_string(), "wallet": wallet }));
            } else {
                say!("{agent} is identity {id}: owner {}, wallet {wallet}", owner.address());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
