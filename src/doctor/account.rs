//! What an agent draws on its owner's account: whether its key is kept as its policy says.

use super::{Examination, Finding, agent::fund};
use alloy_primitives::Address;
use marque_identity::{
    IdentityError, Rpc,
    account::{AssetStanding, Permissions, Standing, drift},
};
use marque_policies::{
    Money, Policy,
    document::{Chain, Float},
};

/// What an agent's home has of what was delegated to it.
#[derive(Clone, Copy, Debug)]
pub enum Delegated<'a> {
    /// No file, and its owner's folder knows of nothing either, where it is here.
    Nothing,
    /// This.
    Signed(&'a Permissions),
    /// No file, and the owner's folder knows that this was signed.
    Lost(&'a Permissions),
    /// A file that cannot be used, and why.
    Broken(&'a str),
}

pub(super) async fn look(
    of: &Examination<'_>,
    (agent, address): (&str, Address),
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let policy = of.policy;
    let mut floats = policy.floats.iter().filter(|(asset, _)| asset.chain == chain.id).peekable();
    let required = floats.clone().any(|(_, float)| float.required);
    let delegated = match of.delegated {
        Delegated::Signed(signed) => Some(signed).filter(|it| it.framework.chain == chain.id),
        Delegated::Broken(why) => {
            let found = format!("its steward draws nothing: {why}");
            tell(Finding::wrong(agent, found, rewrite(agent)));
            return Ok(());
        }
        Delegated::Lost(signed) if signed.framework.chain == chain.id => {
            if !signed.standing(rpc).await?.is_over() {
                let found = "its steward draws nothing: delegation.json is gone, and what you signed stands";
                tell(Finding::wrong(agent, found, rewrite(agent)));
                return Ok(());
            }
            None
        }
        Delegated::Lost(_) | Delegated::Nothing => None,
    };
    let Some(delegated) = delegated else {
        // Who pays nobody needs nothing of the account.
        if policy.payees.is_empty() && policy.pools.is_empty() {
            for (asset, float) in floats {
                let high = policy.show(Money::new(float.high, *asset));
                tell(Finding::good(agent, format!("what it earns above {high} goes to its owner")));
            }
        } else if floats.peek().is_some() {
            let found = "it keeps a float, and nothing is delegated to it: it draws nothing";
            tell(lacking(agent, required, found, delegate(agent)));
        }
        return Ok(());
    };
    if let Some(now) = of.owners.last().filter(|now| **now != delegated.owner) {
        let found = format!(
            "what it could draw was delegated by another owner than {now}, who is in force"
        );
        let mend = format!(
            "write {now} as `owner` into the policy, marque policy adopt {agent}, then {}",
            delegate(agent)
        );
        tell(lacking(agent, required, found, mend));
        return Ok(());
    }
    let standing = delegated.standing(rpc).await?;
    if !drawn(policy, (agent, address), (delegated, &standing), required, tell)? {
        return Ok(());
    }
    for asset in undrawn(policy, delegated) {
        let found = format!(
            "it may draw {asset} on the account, and its policy has no [float.{asset}]: its steward draws \
             nothing of it, a thief of its key would"
        );
        let mend = format!(
            "marque account revoke {agent}; or [float.{asset}] in the policy, marque policy adopt {agent}, \
             then {}",
            delegate(agent)
        );
        tell(Finding::odd(agent, found, mend));
    }
    for (asset, float) in floats {
        let Some(held) = standing.assets.iter().find(|it| it.asset == *asset) else { continue };
        tell(kept(policy, agent, (held, float), (delegated.account, chain)));
    }
    Ok(())
}

/// What is not well with what it may draw: wrong where nothing is paid without.
fn lacking(agent: &str, required: bool, found: impl Into<String>, mend: String) -> Finding {
    if required {
        let found = format!("{}; its policy requires it, so nothing is paid", found.into());
        return Finding::wrong(agent, found, mend);
    }
    Finding::odd(agent, found, mend)
}

/// The command that writes a lost file again.
fn rewrite(agent: &str) -> String {
    format!("{}: what stands is not signed again", delegate(agent))
}

/// What is delegated that no steward draws, by name.
fn undrawn<'a>(policy: &'a Policy, delegated: &'a Permissions) -> impl Iterator<Item = &'a str> {
    let grants = delegated.grants.iter().filter(|grant| !policy.floats.contains_key(&grant.asset));
    grants.filter_map(|grant| policy.asset(grant.asset).map(|(name, _)| name))
}

fn delegate(agent: &str) -> String {
    format!("marque account delegate {agent}")
}

/// Whether what it may draw is what its policy says, and has not ended.
fn drawn(
    policy: &Policy,
    (agent, address): (&str, Address),
    (delegated, standing): (&Permissions, &Standing),
    required: bool,
    tell: &mut impl FnMut(Finding),
) -> Result<bool, IdentityError> {
    let account = delegated.account;
    let differs: Vec<String> =
        drift(policy, address, delegated)?.into_iter().map(|drift| drift.rule).collect();
    let well = !standing.is_over() && !standing.paused && differs.is_empty();
    tell(match (standing.is_over(), standing.paused) {
        (true, _) => {
            let found = format!("what it could draw on the account {account} has ended");
            let mend = if required { "" } else { ", if it should again" };
            lacking(agent, required, found, format!("{}{mend}", delegate(agent)))
        }
        (false, true) => {
            let found =
                format!("nothing can be drawn on the account {account}: its manager is paused");
            lacking(agent, required, found, format!("marque account status {agent}"))
        }
        (false, false) if differs.is_empty() => {
            let found = format!("it may draw on the account {account} what this policy says");
            Finding::good(agent, found)
        }
        (false, false) => {
            let found = format!(
                "on the account {account} the chain says otherwise: {}",
                differs.join(", ")
            );
            let mend = format!("marque account status {agent}, then {}", delegate(agent));
            lacking(agent, required, found, mend)
        }
    });
    Ok(well)
}

/// Whether the account can fill a float.
fn kept(
    policy: &Policy,
    agent: &str,
    (held, float): (&AssetStanding, &Float),
    (account, chain): (Address, &Chain),
) -> Finding {
    let show = |units| policy.show(Money::new(units, held.asset));
    let (key, rest) = (show(held.float.units), show(held.account.units));
    let marks = format!("kept between {} and {}", show(float.low), show(float.high));
    if held.account.units < float.high.saturating_sub(float.low) {
        let found = format!(
            "its key holds {key}, {marks}, and the account {account} holds {rest}: too little to fill it"
        );
        return Finding::odd(agent, found, fund(agent, &show(float.high), chain) + " --account");
    }
    Finding::good(
        agent,
        format!("its key holds {key}, {marks} from the account, which holds {rest}"),
    )
}
