//! What the policy names on a chain: tokens, registries, pinned identities; and what x402 needs there.

use super::{Examination, Finding, is_devnet};
use alloy_primitives::{Address, address};
use marque_contracts::{
    TokenDomain,
    permit2::{EXACT_PROXY, PERMIT2, UPTO_PROXY},
};
use marque_identity::{IdentityError, Rpc, registry};
use marque_policies::document::{Asset, Chain, Payee};

/// The public ERC-8004 identity registry of Ethereum, Base and other main networks.
const MAINNETS: Address = address!("0x8004A169FB4a3325136EB29fA0ceB6D2e539a432");

/// And that of their test networks.
const TESTNETS: Address = address!("0x8004A818BFB912233c491871b3d84c89A494BD9e");

pub(super) async fn look(
    of: &Examination<'_>,
    name: &str,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) {
    for (asset_name, asset) in &of.policy.assets {
        if asset.id.chain == chain.id && !asset.id.is_native() {
            tell_or_fail(asset_name, token(asset_name, asset, rpc, tell).await, tell);
        }
    }
    tell_or_fail(name, permit2(name, chain, rpc, tell).await, tell);
    if let Some(at) = chain.identity_registry {
        tell_or_fail(name, identity_registry(name, chain, at, rpc, tell).await, tell);
    }
    for (payee_name, payee) in &of.policy.payees {
        tell_or_fail(payee_name, pinned(payee_name, payee, chain, rpc, tell).await, tell);
    }
}

/// An endpoint that ends in the middle of it.
pub(super) fn tell_or_fail(
    subject: &str,
    outcome: Result<(), IdentityError>,
    tell: &mut impl FnMut(Finding),
) {
    if let Err(error) = outcome {
        tell(Finding::wrong(subject, error.to_string(), "ask again; else look at the endpoint"));
    }
}

async fn token(
    name: &str,
    asset: &Asset,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let token = asset.id.token;
    if rpc.code(token).await?.is_empty() {
        let found = format!("there is no contract at {token}");
        tell(Finding::wrong(
            name,
            found,
            format!("mend the address in [asset.{name}], or its chain"),
        ));
        return Ok(());
    }
    let facts = match rpc.token_facts(token).await {
        Ok(facts) => facts,
        Err(IdentityError::Answer { .. } | IdentityError::Reverted { .. }) => {
            let found = format!("the contract at {token} is no ERC-20 token");
            tell(Finding::wrong(name, found, format!("mend the address in [asset.{name}]")));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let symbol = facts.symbol.as_deref().unwrap_or("a token without a symbol");
    if facts.decimals != asset.decimals {
        let found = format!(
            "{symbol} has {} decimals, and the policy says {}",
            facts.decimals, asset.decimals
        );
        let mend = format!(
            "write decimals = {} in [asset.{name}]: every amount is wrong by that",
            facts.decimals
        );
        tell(Finding::wrong(name, found, mend));
    } else {
        tell(Finding::good(name, format!("{symbol} at {token}, {} decimals", facts.decimals)));
    }
    let own_words = match (&facts.name, &facts.version) {
        (Some(name), Some(version)) => {
            format!("domain = {{ name = {name:?}, version = {version:?} }}")
        }
        (Some(name), None) => format!("domain = {{ name = {name:?}, version = \"1\" }}"),
        _ => "domain = { name = \"…\", version = \"…\" }".to_owned(),
    };
    let Some((domain, version)) = &asset.domain else {
        if facts.authorisations {
            let mend = format!("write {own_words} in [asset.{name}]");
            tell(Finding::odd(
                name,
                "the policy names no signing domain, so x402 cannot pay with it",
                mend,
            ));
        }
        return Ok(());
    };
    if !facts.authorisations {
        let mend = format!(
            "it can be paid through Permit2 or by transfers; take the domain out of [asset.{name}]"
        );
        tell(Finding::wrong(name, "it knows no authorisations (EIP-3009)", mend));
        return Ok(());
    }
    let ours = TokenDomain {
        name: domain.clone(),
        version: version.clone(),
        chain: asset.id.chain,
        token,
    };
    match facts.separator {
        Some(separator) if separator == ours.separator() => {
            tell(Finding::good(
                name,
                format!("signing domain {domain:?} version {version:?}, EIP-3009"),
            ));
        }
        Some(_) => {
            let found = format!(
                "its signing domain is not {domain:?} version {version:?}: nobody would accept what is signed"
            );
            tell(Finding::wrong(name, found, format!("the token itself says {own_words}")));
        }
        None => {
            let found = format!(
                "it does not tell its signing domain; the policy says {domain:?} version {version:?}"
            );
            tell(Finding::odd(name, found, "compare it with what the token's makers publish"));
        }
    }
    Ok(())
}

/// What `exact` by Permit2 and `upto` need.
async fn permit2(
    name: &str,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let mut missing = Vec::new();
    for (what, at) in [
        ("Permit2", PERMIT2),
        ("x402's exact proxy", EXACT_PROXY),
        ("x402's upto proxy", UPTO_PROXY),
    ] {
        if rpc.code(at).await?.is_empty() {
            missing.push(what);
        }
    }
    if missing.is_empty() {
        tell(Finding::good(name, "Permit2 and both x402 proxies are there"));
        return Ok(());
    }
    let found = format!("it has no {}: \"upto\" cannot be used", missing.join(", no "));
    let mend = match is_devnet(chain) {
        true => "a chain that marque devnet starts has them; \"exact\" by EIP-3009 does without",
        false => "\"exact\" by EIP-3009 does without; for \"upto\" choose another chain",
    };
    tell(Finding::odd(name, found, mend));
    Ok(())
}

async fn identity_registry(
    name: &str,
    chain: &Chain,
    at: Address,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let public = match chain.id {
        1 | 8_453 => Some(MAINNETS),
        11_155_111 | 84_532 => Some(TESTNETS),
        _ => None,
    };
    let mend = match public {
        Some(public) => format!("the public one here is {public}"),
        None => format!("mend identity_registry in [chain.{name}]"),
    };
    if rpc.code(at).await?.is_empty() {
        tell(Finding::wrong(name, format!("there is no identity registry at {at}"), mend));
    } else if !rpc.is_registry(at).await? {
        let found =
            format!("the contract at {at} is no identity registry: it keeps no ERC-721 tokens");
        tell(Finding::wrong(name, found, mend));
    } else if public.is_some_and(|public| public != at) {
        tell(Finding::odd(
            name,
            format!("{at} is not the public ERC-8004 identity registry"),
            mend,
        ));
    } else {
        tell(Finding::good(name, format!("ERC-8004 identity registry {at}")));
    }
    Ok(())
}

async fn pinned(
    name: &str,
    payee: &Payee,
    chain: &Chain,
    rpc: &Rpc,
    tell: &mut impl FnMut(Finding),
) -> Result<(), IdentityError> {
    let Some(pin) = payee.identity.as_ref().filter(|pin| pin.chain == chain.id) else {
        return Ok(());
    };
    let subject = format!("payee {name}");
    let mend = "it will not be paid; ask it, and pin what is true";
    match registry::resolve(rpc, pin.registry, pin.agent_id).await {
        Ok(now) if now.owner != pin.owner => {
            let found = format!(
                "agent {} is owned by {}, and pinned to {}",
                pin.agent_id, now.owner, pin.owner
            );
            tell(Finding::wrong(&subject, found, mend));
        }
        Ok(now) if payee.address.is_some_and(|pinned| pinned != now.wallet) => {
            let pinned = payee.address.unwrap_or_default();
            let found =
                format!("agent {} is paid at {}, and pinned to {pinned}", pin.agent_id, now.wallet);
            tell(Finding::wrong(&subject, found, mend));
        }
        Ok(_) => tell(Finding::good(&subject, format!("agent {} is who it was", pin.agent_id))),
        Err(error @ IdentityError::Unreachable { .. }) => return Err(error),
        Err(error) => {
            tell(Finding::wrong(&subject, format!("agent {}: {error}", pin.agent_id), mend));
        }
    }
    Ok(())
}
