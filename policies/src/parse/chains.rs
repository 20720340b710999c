//! Chains and assets: whom the steward asks, and what an amount is of.

use super::{
    Spans,
    documents::{Documents, Taken},
    keys,
    section::{Found, Section, check_name, nothing_named},
};
use crate::{
    document::{Asset, Chain, Finality},
    error::PolicyError,
    money::AssetId,
};
use std::collections::BTreeMap;

pub(super) type Chains = BTreeMap<String, Chain>;
pub(super) type Assets = BTreeMap<String, Asset>;

/// Digits of every EVM chain's native coin.
const NATIVE_DECIMALS: u8 = 18;

/// More digits than any asset in use has; keeps amounts far from 256 bits.
const MOST_DECIMALS: u64 = 36;

/// `[chain.NAME]` and `[asset.NAME]`; the chains' native coins are assets of their symbols' names.
pub(super) fn ground<'a>(
    documents: &Documents<'a>,
    spans: &mut Spans<'a>,
) -> Result<(Chains, Assets), PolicyError> {
    let mut names = Taken::default();
    let (chains, natives) = chains(documents, &mut names, spans)?;
    let assets = assets(documents, &chains, natives, &mut names)?;
    Ok((chains, assets))
}

/// The chains, and the native coins, whose names are taken.
fn chains<'a>(
    documents: &Documents<'a>,
    coins: &mut Taken,
    spans: &mut Spans<'a>,
) -> Result<(Chains, Assets), PolicyError> {
    let (mut chains, mut assets) = (Chains::new(), Assets::new());
    let mut names = Taken::default();
    for (name, section) in documents.named("chain")? {
        let source = section.source;
        names.claim(source, &name)?;
        let chain = chain(&section)?;
        if let Some((other, _)) = chains.iter().find(|(_, other)| other.id == chain.id) {
            let message = format!("{} has the same id as chain.{other}", section.path);
            let help = "one chain has one name; list all its endpoints there";
            return Err(section.mistake("id", message, help));
        }
        let symbol = Found { value: chain.native.as_str(), span: section.span_of("native") };
        check_name(source, &symbol)?;
        if coins.has(&symbol) {
            let message = format!("another chain calls its coin \"{}\", too", symbol.value);
            let help = "give one of them another name, such as \"ETH-base\"";
            return Err(source.meaning(symbol.span, message, help));
        }
        coins.claim(source, &symbol)?;
        let native =
            Asset { id: AssetId::native(chain.id), decimals: NATIVE_DECIMALS, domain: None };
        for key in ["rpc", "finality"] {
            spans.mark(format!("{}.{key}", section.path), source, section.span_of(key));
        }
        assets.insert(chain.native.clone(), native);
        chains.insert(name.value.to_owned(), chain);
    }
    if chains.is_empty() {
        let help = "add `[chain.NAME]` with `id`, `rpc`, `finality` and `native`";
        return Err(documents.missing("chain", help));
    }
    Ok((chains, assets))
}

fn chain(section: &Section<'_>) -> Result<Chain, PolicyError> {
    section.only(keys::CHAIN)?;
    let help = "write it as CAIP-2 does: id = \"eip155:84532\"";
    let id = section.text("id")?.ok_or_else(|| section.missing("id", help))?;
    let digits = id.value.strip_prefix("eip155:").unwrap_or_default();
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    let number = digits.parse::<u64>().ok().filter(|_| canonical);
    let number = number.ok_or_else(|| {
        let message = format!("\"{}\" is no EVM chain id", id.value.escape_debug());
        section.source.meaning(id.span.clone(), message, help)
    })?;

    let help = "write rpc = [\"https://..\"]; with two endpoints, both must agree";
    let rpc = section.texts("rpc")?.ok_or_else(|| section.missing("rpc", help))?;
    if rpc.is_empty() {
        return Err(section.missing("rpc", help));
    }
    for endpoint in &rpc {
        let url = url::Url::parse(endpoint.value).ok();
        let good = |url: &url::Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
        if !url.as_ref().is_some_and(good) {
            let message = format!("\"{}\" is no http endpoint", endpoint.value.escape_debug());
            return Err(section.source.meaning(endpoint.span.clone(), message, help));
        }
    }
    let help = "write the symbol of the coin that pays for transactions: native = \"ETH\"";
    let native = section.text("native")?.ok_or_else(|| section.missing("native", help))?;
    Ok(Chain {
        id: number,
        rpc: rpc.into_iter().map(|endpoint| endpoint.value.to_owned()).collect(),
        finality: finality(section)?,
        native: native.value.to_owned(),
        identity_registry: section.address("identity_registry")?,
    })
}

fn finality(section: &Section<'_>) -> Result<Finality, PolicyError> {
    let help = "write \"safe\", \"finalized\" or a number of blocks, as on a devnet: finality = 2";
    if !section.has("finality") {
        return Err(section.missing("finality", help));
    }
    match section.text("finality").ok().flatten().map(|text| text.value) {
        Some("safe") => return Ok(Finality::Safe),
        Some("finalized") => return Ok(Finality::Finalized),
        _ => {}
    }
    match section.integer("finality") {
        Ok(Some(blocks)) => Ok(Finality::Confirmations(blocks.value)),
        _ => Err(section.source.meaning(
            section.span_of("finality"),
            format!("{} has an unknown finality", section.path),
            help,
        )),
    }
}

/// `[asset.NAME]`, added to the native coins.
fn assets(
    documents: &Documents<'_>,
    chains: &Chains,
    mut assets: Assets,
    names: &mut Taken,
) -> Result<Assets, PolicyError> {
    for (name, section) in documents.named("asset")? {
        names.claim(section.source, &name)?;
        let asset = asset(&section, chains)?;
        if let Some((other, _)) = assets.iter().find(|(_, other)| other.id == asset.id) {
            let message = format!("{} is the same token as asset.{other}", section.path);
            let help = "one token has one name, so that its limits cannot be got around";
            return Err(section.mistake("token", message, help));
        }
        assets.insert(name.value.to_owned(), asset);
    }
    Ok(assets)
}

fn asset(section: &Section<'_>, chains: &Chains) -> Result<Asset, PolicyError> {
    section.only(keys::ASSET)?;
    let chain = chain_named(section, chains)?;
    let help = "write the token's contract: token = \"0x..\"; native coins need no section";
    let token = section.address("token")?.ok_or_else(|| section.missing("token", help))?;
    let help = "write what the token's `decimals()` answers: decimals = 6";
    let decimals = section.integer("decimals")?;
    let decimals = decimals.ok_or_else(|| section.missing("decimals", help))?;
    let digits = u8::try_from(decimals.value).ok().filter(|_| decimals.value <= MOST_DECIMALS);
    let digits = digits.ok_or_else(|| {
        let message = format!("{} decimals are more than {MOST_DECIMALS}", decimals.value);
        section.source.meaning(decimals.span.clone(), message, help)
    })?;
    Ok(Asset { id: AssetId { chain: chain.id, token }, decimals: digits, domain: domain(section)? })
}

fn domain(section: &Section<'_>) -> Result<Option<(String, String)>, PolicyError> {
    let Some(domain) = section.section("domain")? else { return Ok(None) };
    domain.only(keys::DOMAIN)?;
    let field = |key: &str| {
        let help = "write the token's EIP-712 domain: domain = { name = \"..\", version = \"..\" }";
        let text = domain.text(key)?.ok_or_else(|| domain.missing(key, help))?;
        let printable = !text.value.chars().any(char::is_control);
        if text.value.is_empty() || text.value.len() > 128 || !printable {
            let message = format!("`{key}` of a domain is a short printable text");
            return Err(section.source.meaning(text.span, message, help));
        }
        Ok(text.value.to_owned())
    };
    Ok(Some((field("name")?, field("version")?)))
}

/// The chain that a section's `chain` names; the only chain if it names none.
pub(super) fn chain_named<'c>(
    section: &Section<'_>,
    chains: &'c Chains,
) -> Result<&'c Chain, PolicyError> {
    let Some(name) = section.text("chain")? else {
        let mut all = chains.values();
        return match (all.next(), all.next()) {
            (Some(chain), None) => Ok(chain),
            _ => Err(section.missing("chain", "there are several chains; say which")),
        };
    };
    let chain = chains.get(name.value);
    chain.ok_or_else(|| nothing_named(section.source, "chain", &name, chains.keys()))
}
