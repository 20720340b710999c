//! `marque account deploy`.

use super::{Shared, Site, is_devnet};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::U256;
use marque::owner::{Note, Notes};
use marque_contracts::delegation::{DEPLOYER, DelegationError, Part, rolling_spend_enforcer};
use marque_identity::{account, devnet};
use std::process::ExitCode;

pub(super) async fn run(shared: &Shared, agent: &str) -> Done<ExitCode> {
    let site = Site::own_or_draft(shared, agent)?;
    let Site { rpc, framework, made_of, policy, .. } = &site;
    let (at, chain) = (site.account(), framework.chain);
    if !shared.json {
        say!("the account of owner {} on eip155:{chain} is {at}", policy.owner);
    }
    site.mine(&shared.owner_home()?, site.policy.owner)?;
    let mut lacking = account::lacking(rpc, framework).await?;
    if !lacking.is_empty() && is_devnet(chain) {
        devnet::place_framework(rpc).await?;
        lacking = account::lacking(rpc, framework).await?;
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
    let anew = !account::is_deployed(rpc, framework, made_of).await?;
    if anew {
        wanted.push(("the account", made_of.deployment(framework)));
    }
    let mut sent = Vec::new();
    if !wanted.is_empty() {
        let owner = site.unlock(shared).await?;
        super::revoke::settled(shared, rpc, owner.address()).await?;
        for (what, data) in wanted {
            let receipt = owner.send(rpc, framework.chain, DEPLOYER, U256::ZERO, data).await?;
            if !shared.json {
                say!("  {what} is deployed: {} gas, {}", receipt.gas_used, receipt.transaction);
            }
            sent.push(receipt.transaction);
        }
        if !account::is_deployed(rpc, framework, made_of).await? {
            return Err(Failure::new(format!("there is still nothing at {at}"))
                .help(format!("does this chain have the deployer {DEPLOYER}?")));
        }
        if anew {
            // From here on the owner's folder knows whatever is signed for it.
            let mut notes = Notes::of(&shared.owner_home()?)?;
            notes.add(Note::Deployed { chain, account: at })?;
        }
    } else if !shared.json {
        say!("  it is there already");
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
        say!("  next: send it money, then marque account delegate {agent}");
    }
    Ok(ExitCode::SUCCESS)
}
