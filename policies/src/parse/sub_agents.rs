//! `[sub_agent.NAME]`: accounts below the agent, each of which only narrows what it may do.

use super::{
    Spans,
    chains::Assets,
    documents::Taken,
    keys, limits,
    payees::Payees,
    section::{Section, nothing_named},
    tools::Tools,
};
use crate::{document::SubAgent, error::PolicyError};
use std::collections::{BTreeMap, BTreeSet};

pub(super) type SubAgents = BTreeMap<String, SubAgent>;

pub(super) fn sub_agents<'a>(
    root: &Section<'a>,
    assets: &Assets,
    payees: &Payees,
    tools: &Tools,
    spans: &mut Spans<'a>,
) -> Result<SubAgents, PolicyError> {
    let mut names = Taken::default();
    let mut sub_agents = SubAgents::new();
    let Some(section) = root.section("sub_agent")? else { return Ok(sub_agents) };
    for (name, section) in section.named()? {
        names.claim(section.source, &name)?;
        section.only(keys::SUB_AGENT)?;
        spans.mark(section.path.clone(), section.source, name.span.clone());
        let kinds = keys::LIMITS_WITHOUT_PAYEES;
        let (limits, gas) = limits::sections(&section, kinds, assets, spans)?;
        let sub_agent = SubAgent {
            payees: some_of(&section, "payees", "payee", payees)?,
            tools: some_of(&section, "tools", "tool", tools)?,
            limits,
            gas,
        };
        sub_agents.insert(name.value.to_owned(), sub_agent);
    }
    Ok(sub_agents)
}

/// A list of names, each of which the policy has.
fn some_of<T>(
    section: &Section<'_>,
    key: &str,
    what: &str,
    known: &BTreeMap<String, T>,
) -> Result<BTreeSet<String>, PolicyError> {
    let names = section.distinct_texts(key)?.into_iter().map(|name| {
        if known.contains_key(name.value) {
            return Ok(name.value.to_owned());
        }
        Err(nothing_named(section.source, what, &name, known.keys()))
    });
    names.collect()
}
