//! `marque account deploy`.

use super::{
    Shared, Site, is_devnet, keeper, steps,
    waits::{BEHIND, Patience, settled},
};
use crate::{
    commands::funds::{Coins, DEFAULT_MOST_FEE, coins},
    failure::{Done, Failure},
    story::{note, say},
};
use marque::owner::{Note, Notes};
use marque_contracts::delegation::{DEPLOYER, DelegationError, Part, rolling_spend_enforcer};
use marque_identity::devnet;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An agent of this owner's.
    agent: String,
    /// Where nothing is adopted for the agent yet: go by its draft without asking.
    #[arg(long)]
    yes: bool,
    /// What the word of one endpoint may cost in fees, in coins of the chain: 0.5, or "0.5 ETH".
    #[arg(
        long, value_name = "COINS", value_parser = coins, default_value = DEFAULT_MOST_FEE,
        allow_hyphen_values = true
    )]
    most_fee: Coins,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let agent = &args.agent;
    let (site, adopted) = Site::own_or_draft(shared, agent)?;
    let Site { rpc, framework, made_of, policy, .. } = &site;
    let most = args.most_fee.on(policy)?;
    let (at, chain) = (site.account(), framework.chain);
    if !shared.json {
        say!("the account of owner {} on eip155:{chain} is {at}", policy.owner);
    }
    site.mine(&shared.owner_home()?, site.policy.owner)?;
    let mut lacking = keeper::lacking(rpc, framework).await?;
    if !lacking.is_empty() && is_devnet(chain) {
        devnet::place_framework(rpc).await?;
        lacking = keeper::lacking(rpc, framework).await?;
        if !shared.json && lacking.is_empty() {
            say!("  the Delegation Framework is on this chain now");
        }
    }
    // What is missing of somebody else's, or is another contract, is not ours to mend.
    let ours = |(part, error): &(Part, DelegationError)| {
        *part == Part::RollingSpend && matches!(error, DelegationError::NoCode { .. })
    };
    if let Some((_, error)) = lacking.iter().find(|it| !ours(it)) {
        return Err(Failure::new(error)
            .help("nothing was sent; on this chain the account could not be trusted"));
    }
    let mut wanted = Vec::new();
    if !lacking.is_empty() {
        wanted.push(("the RollingSpendEnforcer", rolling_spend_enforcer().1));
    }
    // Every endpoint says that there is none, or one that says so is not believed.
    let before = keeper::seen(rpc, framework, made_of).await?;
    let anew = !before.any;
    if anew {
        wanted.push(("the account", made_of.deployment(framework)));
    }
    let mut sent = Vec::new();
    if !wanted.is_empty() {
        if !adopted {
            let hosts: Vec<&str> = rpc.hosts().collect();
            anstream::eprintln!(
                "nothing is adopted for {agent} yet: chain {chain} and the endpoints {} are those of a draft, \
                 which anybody with this host can write",
                hosts.join(", ")
            );
            shared.confirm(args.yes, "deploy there")?;
        }
        let owner = site.unlock(shared).await?;
        settled(shared, rpc, owner.address()).await?;
        let mut ends = owner.ends(rpc, framework.chain, most);
        for (what, data) in wanted {
            let receipt = ends.send(DEPLOYER, data).await?;
            if !shared.json {
                say!("  {what} is deployed: {} gas, {}", receipt.gas_used, receipt.transaction);
            }
            sent.push(receipt.transaction);
        }
        let patience = Patience::of(BEHIND);
        let mut now = keeper::seen(rpc, framework, made_of).await?;
        while !now.all && patience.lasts().await {
            now = keeper::seen(rpc, framework, made_of).await?;
        }
        if !now.any {
            return Err(Failure::new(format!("there is still nothing at {at}"))
                .help(format!("does this chain have the deployer {DEPLOYER}?")));
        }
        if !now.all {
            return Err(Failure::new(format!("not every endpoint of the policy sees {at}"))
                .help("one of them lags, lies or is silent: once more, or name another one"));
        }
        if anew {
            // From here on the owner's folder knows whatever is signed for it.
            let mut notes = Notes::of(&shared.owner_home()?)?;
            notes.add(Note::Deployed { chain, account: at })?;
        }
    } else if !shared.json {
        say!("  it is there already");
        if !before.all {
            note("not every endpoint of the policy says so: one of them lags, lies or is silent");
        }
    }
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "account": at, "owner": policy.owner, "chain": chain, "transactions": sent,
                "framework": framework,
            })
        );
    } else {
        say!("  next: {}", steps(policy, agent, None).await.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
