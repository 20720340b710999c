//! `[[payee]]`: who may be paid, by address or by an ERC-8004 id that is pinned.

use super::{
    Spans,
    chains::{Assets, Chains, chain_named},
    distinct,
    limits::amount_of,
    section::{Section, check_name},
};
use crate::{
    document::{Bound, Limits, Payee, PinnedIdentity},
    error::PolicyError,
    host::Host,
    money::Money,
};
use alloy_primitives::{Address, U256};
use std::collections::BTreeMap;

pub(super) type Payees = BTreeMap<String, Payee>;

pub(super) fn payees(
    root: &Section<'_>,
    chains: &Chains,
    assets: &Assets,
    spans: &mut Spans,
) -> Result<Payees, PolicyError> {
    let mut payees = Payees::new();
    for mut section in root.list("payee")? {
        let help = "give the payee a name: name = \"weather-feed\"";
        let name = section.text("name")?.ok_or_else(|| section.missing("name", help))?;
        check_name(root.source, &name)?;
        distinct(root, &name.span, name.value, payees.keys())?;
        section.path = format!("payee.{}", name.value);
        spans.insert(section.path.clone(), name.span.clone());
        let payee = payee(&section, chains, assets, spans)?;
        payees.insert(name.value.to_owned(), payee);
    }
    Ok(payees)
}

fn payee(
    section: &Section<'_>,
    chains: &Chains,
    assets: &Assets,
    spans: &mut Spans,
) -> Result<Payee, PolicyError> {
    section.only(&[
        "name", "address", "agent_id", "chain", "owner", "wallet", "host", "payment", "day",
        "total",
    ])?;
    let (address, identity) = who(section, chains)?;
    let mut limit = |key: &str| -> Result<Option<Money>, PolicyError> {
        let Some(found) = amount_of(section, key, assets, None)? else { return Ok(None) };
        spans.insert(format!("{}.{key}", section.path), found.span);
        Ok(Some(found.value))
    };
    let (payment, day, total) = (limit("payment")?, limit("day")?, limit("total")?);
    let mut limits = [payment, day, total].into_iter().flatten();
    if let Some(first) = limits.next()
        && limits.any(|other| other.asset != first.asset)
    {
        let message = format!("the limits of {} are in different assets", section.path);
        let help = "write them in one: a payee with a limit is paid in that asset only";
        return Err(section.source.meaning(section.span_of("name"), message, help));
    }
    let units = |limit: Option<Money>| limit.map(|limit| limit.units);
    let limits = Limits {
        payment: units(payment),
        day: units(day),
        total: units(total),
        ..Limits::default()
    };
    let asset = [payment, day, total].into_iter().flatten().next().map(|limit| limit.asset);
    Ok(Payee {
        address: Some(address),
        identity,
        host: host(section)?,
        category: None,
        bound: asset.map(|asset| Bound { asset, limits }),
        times: Default::default(),
    })
}

/// The address, and the identity where the payee is named by one.
fn who(
    section: &Section<'_>,
    chains: &Chains,
) -> Result<(Address, Option<PinnedIdentity>), PolicyError> {
    let by_id = ["agent_id", "chain", "owner", "wallet"];
    if let Some(address) = section.address("address")? {
        if let Some(extra) = by_id.into_iter().find(|key| section.has(key)) {
            let message = format!("{} has both `address` and `{extra}`", section.path);
            let help = "name a payee by `address`, or by `agent_id`, `owner` and `wallet`";
            return Err(section.source.meaning(section.span_of(extra), message, help));
        }
        return Ok((address, None));
    }
    let Some(agent_id) = section.integer("agent_id")? else {
        let help = "say who it is: `address`, or `agent_id` with `owner` and `wallet`";
        return Err(section.missing("address", help));
    };
    let chain = chain_named(section, chains)?;
    let registry = chain.identity_registry.ok_or_else(|| {
        let message =
            format!("chain {} has no identity registry to look {} up in", chain.id, section.path);
        let help = "add `identity_registry = \"0x..\"` to the chain";
        section.source.meaning(agent_id.span.clone(), message, help)
    })?;
    let pin = |key: &str| {
        let help = "an agent id is pinned: write the `owner` and the `wallet` that it must have";
        section.address(key)?.ok_or_else(|| section.missing(key, help))
    };
    let (owner, wallet) = (pin("owner")?, pin("wallet")?);
    let agent_id = U256::from(agent_id.value);
    Ok((wallet, Some(PinnedIdentity { chain: chain.id, registry, agent_id, owner })))
}

fn host(section: &Section<'_>) -> Result<Option<String>, PolicyError> {
    let Some(text) = section.text("host")? else { return Ok(None) };
    let mistake = |message: &str, help: &str| {
        let message = format!("\"{}\" {message}", text.value.escape_debug());
        Err(section.source.meaning(text.span.clone(), message, help))
    };
    if text.value.contains('*') {
        return mistake("names no single host", "a wildcard never names a payee; write its host");
    }
    match Host::read(text.value) {
        Some(host) => Ok(Some(host.text())),
        None => mistake("is no host", "write host or host:port, without `https://` and path"),
    }
}
