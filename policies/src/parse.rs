//! From the text that an owner wrote to a [`Policy`] in which nothing is left open.
//!
//! The reader is strict: a key it does not know, a reference to nothing, an amount finer than its
//! asset or in another unit, and whatever else could mean two things is an error with its line and
//! its mending. `docs/policy.md` shows the language by example.
//!
//! INVARIANT: reading never panics, whatever the text (pinned by `tests/suite/laws.rs`), and every
//! example in `docs/policy.md` reads as it says there (pinned by `tests/suite/documentation.rs`).

mod advice;
mod chains;
mod documents;
mod floats;
pub(crate) mod keys;
mod labels;
mod limits;
mod payees;
mod pools;
mod scenario;
pub(crate) mod section;
mod sub_agents;
mod time;
mod tools;
mod units;

use crate::{
    canonical::policy_hash,
    cedar::{Forbids, Names},
    document::{Asset, Policy, PolicyTest},
    error::{PolicyError, Source, Warning},
    hidden::harmless,
    money::AssetId,
    sources::Sources,
};
use alloy_primitives::{Address, B256};
use documents::{Documents, Taken};
use payees::Around;
use scenario::Known;
use section::Section;
use std::{collections::BTreeMap, ops::Range};
use toml::de::DeTable;

/// The format that this version reads.
pub const FORMAT: u64 = 1;

/// The longest text that can be a policy, in bytes: it has to fit into a journal entry.
pub const MAX_DOCUMENT: usize = 40 * 1024;

/// Reads a policy from the one text that carries its documents ([`Sources::document`]).
///
/// # Errors
/// [`PolicyError`] with line, column and help: [`PolicyError::Syntax`] for what is not TOML,
/// [`PolicyError::Format`] for a newer format, [`PolicyError::Meaning`] for the rest.
pub fn parse(document: &str) -> Result<(Policy, Vec<Warning>), PolicyError> {
    compile(&Sources::read(document)?)
}

/// Reads a policy from its documents.
///
/// # Errors
/// As for [`parse`]; the mistake names the document that it is in.
pub fn compile(sources: &Sources) -> Result<(Policy, Vec<Warning>), PolicyError> {
    sources.check_size()?;
    let policy = Source { file: "policy.toml", text: &sources.policy };
    let owner = sources.owner.as_ref().map(|text| Source { file: "owner.toml", text });
    let policy_table = table(policy)?;
    let owner_table = owner.map(table).transpose()?;
    let documents = Documents::new((policy, &policy_table), owner.zip(owner_table.as_ref()))?;
    let mut spans = Spans::default();
    let mut policy = read(&documents, &mut spans)?;
    if let Some(text) = &sources.cedar {
        let source = Source { file: "policy.cedar", text };
        policy.forbids = Forbids::read(source, &names(&policy))?;
    }
    policy.hash = policy_hash(&policy);
    let warnings = advice::warnings(&policy, &spans);
    Ok((policy, warnings))
}

/// Reads one case that stands outside of a document: the keys of a `[[test]]` without its header,
/// as TOML, for [`crate::trial::try_out`].
///
/// # Errors
/// As for [`parse`].
pub fn case(policy: &Policy, text: &str) -> Result<PolicyTest, PolicyError> {
    let source = Source { file: "case", text };
    let table = table(source)?;
    let known = Known {
        assets: &policy.assets,
        payees: &policy.payees,
        pools: &policy.pools,
        tools: &policy.tools,
        sub_agents: &policy.sub_agents,
    };
    scenario::test(&Section::root(source, "the case", &table), &known)
}

fn table(source: Source<'_>) -> Result<DeTable<'_>, PolicyError> {
    match DeTable::parse(source.text) {
        Ok(table) => {
            // Editors on Windows begin a text so, and TOML permits it.
            harmless(source, Some('\u{feff}'))?;
            Ok(table.into_inner())
        }
        Err(error) => Err(syntax(source, &error)),
    }
}

fn syntax(source: Source<'_>, error: &toml::de::Error) -> PolicyError {
    let message = error.message().replace('\n', ", ");
    let span = error.span().unwrap_or(0..0);
    let line = line_at(source.text, span.start);
    let curly = |c: char| "\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{201a}".contains(c);
    let twice = ["duplicate", "cannot extend"].iter().any(|words| message.contains(words));
    let help = if line.split('#').next().is_some_and(|line| line.contains(curly)) {
        "these quotation marks are curly; TOML wants straight ones: \"..\""
    } else if twice && key_of(line) == "owner" {
        "each key may be written once; to add limits for all agents, write the owner as \
         `[owner]` with `address = \"0x..\"`"
    } else if twice {
        "each key and each `[section]` may be written once; take one of the two out"
    } else {
        "a policy is written in TOML: https://toml.io"
    };
    PolicyError::Syntax(source.mistake(span, message, Some(help.to_owned())))
}

/// The line of the text that this byte is in.
fn line_at(text: &str, offset: usize) -> &str {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = after.find('\n').map_or(text.len(), |newline| before.len() + newline);
    text.get(start..end).unwrap_or_default()
}

/// The first name of the key or the section that a line begins with.
fn key_of(line: &str) -> &str {
    let line = line.trim_start().trim_start_matches('[').trim_start();
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Everything but the forbids and the hash.
fn read<'a>(documents: &Documents<'a>, spans: &mut Spans<'a>) -> Result<Policy, PolicyError> {
    let root = &documents.policy;
    let version = version(root)?;
    let (owner, owner_section) = owner(documents.owners())?;
    let (chains, assets) = chains::ground(documents, spans)?;

    let (limits, gas) = limits::sections(root, keys::LIMITS, &assets, spans)?;
    let (owner_limits, owner_gas) = match &owner_section {
        Some(owner) => limits::sections(owner, keys::LIMITS_WITHOUT_PAYEES, &assets, spans)?,
        None => Default::default(),
    };
    let task_limits = limits::task(root, &assets, spans)?;
    let pools = pools::pools(root, &assets, spans)?;

    let floats = floats::floats(root, &assets, &limits, spans)?;

    let mut category_names = Taken::default();
    let categories = pools::categories(documents, &assets, &mut category_names, spans)?;
    let mut around = Around {
        chains: &chains,
        assets: &assets,
        categories: &mut category_names,
        limited: &categories,
    };
    let payees = payees::payees(documents, &mut around, spans)?;
    let tools = tools::tools(root, spans)?;
    let sub_agents = sub_agents::sub_agents(root, &assets, &payees, &tools, spans)?;
    let known = Known {
        assets: &assets,
        payees: &payees,
        pools: &pools,
        tools: &tools,
        sub_agents: &sub_agents,
    };
    let tests = scenario::tests(root, &known, spans)?;

    Ok(Policy {
        version,
        owner,
        expires: time::expires(root)?,
        times: time::times(root)?,
        labels: labels::label_rules(root)?,
        approvals: time::approvals(documents.either("approvals")?)?,
        income: settled(root, ("income", keys::INCOME), &assets)?,
        facilitator: settled(root, ("facilitator", keys::FACILITATOR), &assets)?,
        chains,
        assets,
        limits,
        gas,
        owner_limits,
        owner_gas,
        task_limits,
        pools,
        floats,
        payees,
        categories,
        tools,
        sub_agents,
        tests,
        forbids: Forbids::default(),
        hash: B256::ZERO,
    })
}

fn version(root: &Section<'_>) -> Result<u64, PolicyError> {
    let found = root.integer("version")?;
    let found = found
        .ok_or_else(|| root.missing("version", "write `version = 1`; it rises by adoption"))?;
    if found.value == 0 {
        let help = "versions begin at 1 and rise with each adoption";
        return Err(root.source.meaning(found.span, "there is no version 0", help));
    }
    Ok(found.value)
}

/// `owner = "0x.."`, or `[owner]` with `address` where all agents together have limits.
fn owner<'a>(root: &Section<'a>) -> Result<(Address, Option<Section<'a>>), PolicyError> {
    let help = "write `owner = \"0x..\"`, the address whose signature adopts policies";
    if root.is_table("owner") {
        let section = root.section("owner")?.ok_or_else(|| root.missing("owner", help))?;
        section.only(keys::OWNER)?;
        let owner = section.address("address")?.ok_or_else(|| section.missing("address", help))?;
        return Ok((owner, Some(section)));
    }
    let owner = root.address("owner")?.ok_or_else(|| root.missing("owner", help))?;
    Ok((owner, None))
}

/// The assets of `[income]` and of `[facilitator]`.
fn settled(
    root: &Section<'_>,
    (name, keys): (&str, &'static [&'static str]),
    assets: &BTreeMap<String, Asset>,
) -> Result<Vec<AssetId>, PolicyError> {
    let Some(section) = root.section(name)? else { return Ok(Vec::new()) };
    section.only(keys)?;
    let mut income = Vec::new();
    for name in section.texts("assets")?.unwrap_or_default() {
        let asset = limits::asset(root.source, assets, &name)?;
        if asset.id.is_native() {
            let help = "name a token; payments in it are settled by what their payers sign";
            let message = format!("{} is no token", name.value);
            return Err(root.source.meaning(name.span, message, help));
        }
        if !income.contains(&asset.id) {
            income.push(asset.id);
        }
    }
    Ok(income)
}

/// What a forbid may name.
fn names(policy: &Policy) -> Names<'_> {
    let called = policy.payees.values().filter_map(|payee| payee.category.as_deref());
    Names {
        payees: policy.payees.keys().map(String::as_str).collect(),
        categories: policy.categories.keys().map(String::as_str).chain(called).collect(),
        tools: policy.tools.keys().map(String::as_str).collect(),
        assets: policy.assets.keys().map(String::as_str).collect(),
        sub_agents: policy.sub_agents.keys().map(String::as_str).collect(),
    }
}

/// Where each rule is written, by the rule's name; for warnings.
#[derive(Debug, Default)]
struct Spans<'a>(BTreeMap<String, (Source<'a>, Range<usize>)>);

impl<'a> Spans<'a> {
    fn mark(&mut self, rule: String, source: Source<'a>, span: Range<usize>) {
        self.0.insert(rule, (source, span));
    }

    /// What stands in for a rule's name for the test at this place, from 0.
    fn test(at: usize) -> String {
        format!("test {at}")
    }

    /// Something odd about a rule.
    fn warning(&self, rule: &str, message: String) -> Warning {
        let nowhere = (Source { file: "policy.toml", text: "" }, 0..0);
        let (source, span) = self.0.get(rule).unwrap_or(&nowhere);
        source.warning(span, message)
    }
}
