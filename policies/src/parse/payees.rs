//! `[[payee]]`: who may be paid, by address, by an ERC-8004 id that is pinned, or by host until the
//! owner pins an address.

use super::{
    Spans,
    chains::{Assets, Chains, chain_named},
    documents::{Documents, Taken},
    keys,
    limits::{Unit, amounts},
    section::{Section, name_mistake},
    time::times,
};
use crate::{
    document::{Bound, Payee, PinnedIdentity},
    error::{PolicyError, did_you_mean},
    host::Host,
};
use alloy_primitives::{Address, U256};
use std::collections::BTreeMap;

pub(super) type Payees = BTreeMap<String, Payee>;

/// What [`payees`] needs of the rest.
pub(super) struct Around<'r> {
    pub(super) chains: &'r Chains,
    pub(super) assets: &'r Assets,
    /// The names of `[category.NAME]` and of what other payees call theirs.
    pub(super) categories: &'r mut Taken,
    /// The categories that have limits.
    pub(super) limited: &'r BTreeMap<String, Bound>,
}

pub(super) fn payees<'a>(
    documents: &Documents<'a>,
    around: &mut Around<'_>,
    spans: &mut Spans<'a>,
) -> Result<Payees, PolicyError> {
    let mut names = Taken::default();
    let mut payees = Payees::new();
    for mut section in documents.list("payee")? {
        let help = "give the payee a name: name = \"weather-feed\"";
        let name = section.text("name")?.ok_or_else(|| section.missing("name", help))?;
        names.claim(section.source, &name)?;
        section.path = format!("payee.{}", name.value);
        spans.mark(section.path.clone(), section.source, name.span.clone());
        let payee = payee(&section, around, spans)?;
        payees.insert(name.value.to_owned(), payee);
    }
    Ok(payees)
}

fn payee<'a>(
    section: &Section<'a>,
    around: &mut Around<'_>,
    spans: &mut Spans<'a>,
) -> Result<Payee, PolicyError> {
    section.only(keys::PAYEE)?;
    let (address, identity) = who(section, around.chains)?;
    let bound = amounts(section, keys::LIMITS, around.assets, Unit::Written, spans)?;
    Ok(Payee {
        address,
        identity,
        host: host(section)?,
        category: category(section, around, spans)?,
        bound: bound.map(|(asset, limits)| Bound { asset, limits }),
        times: times(section)?,
    })
}

/// The address, unless the payee is known by host only, and the identity where it has one.
fn who(
    section: &Section<'_>,
    chains: &Chains,
) -> Result<(Option<Address>, Option<PinnedIdentity>), PolicyError> {
    let by_id = ["agent_id", "chain", "owner", "wallet"];
    let extra = |keys: &[&'static str]| keys.iter().copied().find(|key| section.has(key));
    if let Some(address) = section.address("address")? {
        if let Some(extra) = extra(&by_id) {
            let message = format!("{} has both `address` and `{extra}`", section.path);
            let help = "name a payee by `address`, or by `agent_id`, `owner` and `wallet`";
            return Err(section.mistake(extra, message, help));
        }
        return Ok((Some(address), None));
    }
    let Some(agent_id) = section.integer("agent_id")? else {
        if let Some(extra) = extra(&by_id) {
            let message = format!("{} has `{extra}`, but no `agent_id`", section.path);
            let help = "name a payee by `address`, or by `agent_id`, `owner` and `wallet`";
            return Err(section.mistake(extra, message, help));
        }
        if section.has("host") {
            return Ok((None, None));
        }
        let help = "say who it is: `address`; or `agent_id` with `owner` and `wallet`; or `host` \
                    alone, and its first payment is held until the owner pins its address";
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
    Ok((Some(wallet), Some(PinnedIdentity { chain: chain.id, registry, agent_id, owner })))
}

fn host(section: &Section<'_>) -> Result<Option<String>, PolicyError> {
    let Some(text) = section.text("host")? else { return Ok(None) };
    if text.value.contains('*') {
        let message = format!("\"{}\" names no single host", text.value.escape_debug());
        let help = "a wildcard never names a payee; write its host";
        return Err(section.source.meaning(text.span, message, help));
    }
    Host::read_from(section.source, text.value, &text.span).map(Some)
}

/// The category, spelled as `[category.NAME]` and other payees spell it.
///
/// One that is nearly called like a category with limits is a slip of the pen: it would set the
/// payee free of them.
fn category<'a>(
    section: &Section<'a>,
    around: &mut Around<'_>,
    spans: &mut Spans<'a>,
) -> Result<Option<String>, PolicyError> {
    let Some(name) = section.text("category")? else { return Ok(None) };
    let taken = &mut *around.categories;
    match taken.spelling(name.value) {
        Some(same) if same == name.value => {}
        Some(other) => {
            let message = format!("\"{}\" is already written \"{other}\"", name.value);
            return Err(name_mistake(section.source, &name.span, &message));
        }
        None => taken.claim(section.source, &name)?,
    }
    let near = did_you_mean(name.value, around.limited.keys().map(String::as_str));
    if let Some(near) = near.filter(|_| !around.limited.contains_key(name.value)) {
        let message = format!("there is no section [category.{}]", name.value);
        let help = format!(
            "did you mean \"{near}\"? if not, give it limits of its own, or call it quite \
             otherwise"
        );
        return Err(section.source.meaning(name.span, message, help));
    }
    spans.mark(format!("{}.category", section.path), section.source, name.span);
    Ok(Some(name.value.to_owned()))
}
