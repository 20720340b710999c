//! What is still to be done before an agent draws on the account, as commands in their order.

use super::{framework_on, is_devnet, keeper::is_deployed};
use crate::{
    commands::{
        funds::{coin, holding},
        policy::chain_of,
    },
    failure::Done,
};
use alloy_primitives::{Address, U256};
use marque::owner::account_of;
use marque_policies::Policy;

/// By what the chain says; where it says nothing, a step that may be needed is named. `key` is the
/// agent's, where its coins are of interest.
pub(in super::super) async fn steps(
    policy: &Policy,
    agent: &str,
    key: Option<Address>,
) -> Vec<String> {
    let mut steps = Vec::new();
    let chain = policy.chains.values().next();
    let coin = coin(policy);
    let faucet = if chain.is_some_and(|it| is_devnet(it.id)) { " --faucet" } else { "" };
    if lacks(policy, Address::ZERO, policy.owner).await {
        steps.push(match faucet {
            "" => format!("some {coin} for {}, who pays the owner's fees", policy.owner),
            _ => format!("marque fund {agent} \"1 {coin}\"{faucet} --owner"),
        });
    }
    if let Some(key) = key
        && lacks(policy, Address::ZERO, key).await
    {
        steps.push(format!("marque fund {agent} \"0.05 {coin}\"{faucet} (for fees)"));
    }
    let account = account(policy).await;
    if !account.as_ref().is_ok_and(|(_, deployed)| *deployed) {
        steps.push(format!("marque account deploy {agent}"));
    }
    let float = policy.floats.keys().next().and_then(|float| policy.asset(*float));
    if let Some((name, asset)) = float {
        let empty = match &account {
            Ok((account, _)) => lacks(policy, asset.id.token, *account).await,
            Err(_) => true,
        };
        if empty {
            steps.push(format!("marque fund {agent} \"20 {name}\" --account{faucet}"));
        }
    }
    steps.push(format!("marque account delegate {agent}"));
    steps
}

/// The account, and whether it is deployed.
async fn account(policy: &Policy) -> Done<(Address, bool)> {
    let (chain, rpc) = chain_of(policy)?;
    let (framework, made_of) = (framework_on(chain)?, account_of(policy.owner)?);
    let deployed = is_deployed(&rpc, &framework, &made_of).await?;
    Ok((made_of.address(&framework), deployed))
}

/// Whether somebody has nothing of a token, as far as the chain says.
async fn lacks(policy: &Policy, token: Address, whose: Address) -> bool {
    let Ok((_, rpc)) = chain_of(policy) else { return true };
    holding(&rpc, token, whose).await.map_or(true, |held| held == U256::ZERO)
}
