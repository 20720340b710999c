//! Where what was delegated and what a policy says differ.
//!
//! The policy is compiled on the ground of what was signed; equal delegations are no drift. Where they
//! differ, their terms are read back and compared rule by rule.

use super::{Grant, Permissions, compile};
use alloy_primitives::Address;
use marque_contracts::delegation::{Delegation, DelegationError, Limit, RollingSpend};
use marque_policies::{Money, Policy};
use serde::Serialize;
use std::collections::BTreeMap;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What: `limits.USDC.day`.
    pub rule: String,
    /// What the chain goes by; nothing where it knows of none.
    pub chain: Option<String>,
    /// What the policy says; nothing where it says none.
    pub policy: Option<String>,
}

/// What the policy of the agent with the key `agent` says otherwise than what was delegated; nothing
/// where they agree.
///
/// # Errors
/// As [`compile()`].
pub fn drift(
    policy: &Policy,
    agent: Address,
    delegated: &Permissions,
) -> Result<Vec<Drift>, DelegationError> {
    let keys = [("agent", delegated.agent, agent), ("owner", delegated.owner, policy.owner)];
    let keys = keys.into_iter().filter(|(_, signed, now)| signed != now);
    let mut found: Vec<Drift> = keys
        .map(|(rule, signed, now)| Drift {
            rule: rule.to_owned(),
            chain: Some(signed.to_string()),
            policy: Some(now.to_string()),
        })
        .collect();
    if !found.is_empty() {
        // For other keys, or by another: all of it is.
        return Ok(found);
    }
    let (chain, wanted) = (delegated.unsigned(), compile(policy, &delegated.ground())?);
    if chain == wanted {
        return Ok(found);
    }
    let said = |grants: &[Grant], until| {
        let mut facts = BTreeMap::new();
        grants.iter().for_each(|grant| facts.extend(terms(policy, grant)));
        facts.insert("expires".to_owned(), until);
        facts
    };
    let mut on_chain = said(&chain, delegated.until.to_string());
    let mut in_policy = said(&wanted, super::end(policy, delegated.until).to_string());
    let mut rules: Vec<String> = on_chain.keys().chain(in_policy.keys()).cloned().collect();
    rules.sort();
    rules.dedup();
    let differ = rules
        .into_iter()
        .map(|rule| Drift { chain: on_chain.remove(&rule), policy: in_policy.remove(&rule), rule })
        .filter(|drift| drift.chain != drift.policy);
    found.extend(differ);
    if found.is_empty() {
        // What is no rule of a policy: caveats that another version of Marque wrote.
        let count = |grants: &[Grant]| grants.iter().map(|it| it.leaf.caveats.len()).sum::<usize>();
        let caveats = |grants| Some(format!("{} caveats", count(grants)));
        let rule = "caveats".to_owned();
        found.push(Drift { rule, chain: caveats(&chain), policy: caveats(&wanted) });
    }
    Ok(found)
}

/// What the delegations of an asset say, by rule.
fn terms(policy: &Policy, grant: &Grant) -> Vec<(String, String)> {
    let asset = policy.asset(grant.asset);
    let name = asset.map_or_else(|| grant.asset.to_string(), |(name, _)| name.to_owned());
    let mut said = Vec::new();
    let sides = [("limits", Some(&grant.leaf)), ("owner.limits", grant.link.as_ref())];
    for (path, delegation) in sides {
        let Some(rolling) = delegation.and_then(rolling) else { continue };
        for Limit { window, most } in rolling.limits() {
            let floats = policy.floats.contains_key(&grant.asset) && path == "limits";
            let rule = match (*window, floats) {
                (0, true) => format!("float.{name}.high"),
                _ => format!("{path}.{name}.{}", called(*window)),
            };
            said.push((rule, policy.show(Money::new(*most, grant.asset))));
        }
        if !rolling.payees().is_empty() {
            let whom = |payee: &Address| whom(policy, *payee, grant.leaf.delegate);
            let payees: Vec<String> = rolling.payees().iter().map(whom).collect();
            said.push((format!("payees.{name}"), payees.join(", ")));
        }
    }
    said
}

/// The limits in rolling windows of a delegation.
pub(super) fn rolling(delegation: &Delegation) -> Option<RollingSpend> {
    delegation.caveats.iter().find_map(|caveat| RollingSpend::decode(&caveat.terms).ok())
}

/// What a policy calls a window of so many seconds.
pub(super) fn called(window: u64) -> String {
    match window {
        0 => "payment".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        2_592_000 => "days30".to_owned(),
        Limit::FOREVER => "total".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

fn whom(policy: &Policy, payee: Address, agent: Address) -> String {
    if payee == agent {
        return "the agent's float".to_owned();
    }
    let named = policy.payees.iter().find(|(_, it)| it.address == Some(payee));
    named.map_or_else(|| payee.to_string(), |(name, _)| name.clone())
}
