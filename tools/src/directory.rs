//! `find_agents`: who is registered under ERC-8004 and says that it can do something.
//!
//! The chain and its endpoints are the policy's; the mind chooses neither. The list is kept from one
//! call to the next, and grows with each. What a card says is a stranger's claim: whoever is found is
//! paid only if the policy names it.

use crate::text::beginning;
use alloy_primitives::U256;
use marque_agent_core::{Cx, ToolError};
use marque_identity::{Directory, Rpc, directory::Listing, registry::resolve};
use marque_macros::tool;
use marque_policies::{Label, Labels};
use serde::Serialize;
use std::collections::BTreeSet;

/// Pages of 5,000 blocks that one call reads.
const PAGES: u32 = 8;
/// Agents that are shown.
const SHOWN: usize = 3;
/// Characters of a description that are shown.
const ABOUT: usize = 160;

/// What [`find_agents`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundAgents {
    /// The best fit first.
    pub agents: Vec<FoundAgent>,
    /// Which blocks were read, where the registry's beginning is not among them yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<String>,
}

/// An agent that says it can do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundAgent {
    /// Its ERC-8004 id.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// What it says it does.
    pub about: String,
    /// Where it is reached: what is spoken there, and the place.
    pub services: Vec<String>,
    /// Where it is paid, as the registry has it now.
    pub wallet: String,
    /// Whether it takes x402 payments.
    pub x402: bool,
    /// What the policy calls it, if it may be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payee: Option<String>,
}

/// Looks for agents in the identity registry of the policy's chain by what they say of themselves.
///
/// # Errors
/// [`ToolError::Arguments`] for no word, [`ToolError::Failed`] where the policy names no registry or
/// the chain does not answer.
#[tool(crate = marque_agent_core, description = "find registered agents by what they say they do")]
pub async fn find_agents(
    cx: &Cx,
    /// a few words, such as "weather forecasts"
    skill: String,
) -> Result<FoundAgents, ToolError> {
    let wanted: BTreeSet<String> = words(&skill).collect();
    if wanted.is_empty() {
        return Err(ToolError::Arguments("skill has no words".to_owned()));
    }
    let view = cx.view().await?;
    let chains = view.chains.iter();
    let mut chains = chains.filter_map(|chain| Some((chain, chain.identity_registry?)));
    let (chain, registry) = chains.next().ok_or_else(|| {
        ToolError::Failed("the policy names no identity_registry on its chain".into())
    })?;
    let rpc = Rpc::new(&chain.rpc).map_err(ToolError::from_any)?;
    let name =
        format!("agents-{}-{}.json", chain.id, hex::encode(registry.get(..4).unwrap_or(&[])));
    let kept = cx.kept(&name)?.unwrap_or_default();
    let mut directory = Directory::kept(&kept, chain.id, registry);
    let updated = directory.update(&rpc, PAGES).await;
    let source = Labels::default().with(Label::Peer(format!("eip155:{}:{registry}", chain.id)));
    cx.keep_from(&name, &directory.to_bytes().map_err(ToolError::from_any)?, &source)?;
    updated.map_err(ToolError::from_any)?;
    cx.join_labels(&source);

    let mut agents = Vec::new();
    for (id, listing) in ranked(&directory, &wanted) {
        // Whose it is and where it is paid is asked of the chain now, and never of a card.
        let Ok(resolved) = resolve(&rpc, registry, id).await else { continue };
        let of_it =
            |payee: &&marque_steward_client::PayeeView| payee.address == Some(resolved.wallet);
        agents.push(FoundAgent {
            id: format!("eip155:{}:{registry}/{id}", chain.id),
            name: listing.name.clone(),
            about: beginning(&listing.about, ABOUT),
            services: listing.services.iter().map(|(what, at)| format!("{what} {at}")).collect(),
            wallet: resolved.wallet.to_string(),
            x402: listing.x402,
            payee: view.payees.iter().find(of_it).map(|payee| payee.name.clone()),
        });
    }
    let searched = directory.read().filter(|(first, _)| *first > 0);
    let searched =
        searched.map(|(first, last)| format!("blocks {first} to {last}; more next time"));
    Ok(FoundAgents { agents, searched })
}

/// Those that have most of the words, of equals the newest, and only those that are in business.
fn ranked<'a>(
    directory: &'a Directory,
    wanted: &BTreeSet<String>,
) -> impl Iterator<Item = (U256, &'a Listing)> {
    let score = |listing: &Listing| {
        let services = listing.services.iter().map(|(what, _)| what.as_str());
        let said = [listing.name.as_str(), listing.about.as_str()].into_iter().chain(services);
        let said: BTreeSet<String> = said.flat_map(words).collect();
        said.intersection(wanted).count()
    };
    let active = directory.agents().filter(|(_, listing)| listing.active);
    let mut found: Vec<_> = active.map(|(id, listing)| (score(listing), id, listing)).collect();
    found.retain(|(score, ..)| *score > 0);
    found.sort_by_key(|(score, id, listing)| {
        (std::cmp::Reverse(*score), std::cmp::Reverse(listing.block), *id)
    });
    found.into_iter().take(SHOWN).map(|(_, id, listing)| (id, listing))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| {
        let word = word.to_lowercase();
        match word.strip_suffix('s') {
            Some(one) if one.len() > 2 => one.to_owned(),
            _ => word,
        }
    })
}
