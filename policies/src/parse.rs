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
mod limits;
mod payees;
mod scenario;
mod section;
mod tools;
mod units;

use crate::sources::Sources;
use crate::{
    canonical::policy_hash,
    document::{Policy, Tool},
    error::{PolicyError, Source, Warning},
    money::AssetId,
};
use alloy_primitives::{Address, B256};
use section::{Section, name_mistake};
use std::{collections::BTreeMap, ops::Range};
use toml::de::DeTable;

/// The format that this version reads.
pub const FORMAT: u64 = 1;

/// The longest text that can be a policy, in bytes: it has to fit into a journal entry.
pub const MAX_DOCUMENT: usize = 40 * 1024;

/// Where each rule is written, by the rule's name; for warnings.
type Spans = BTreeMap<String, Range<usize>>;

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
    let text = sources.policy.as_str();
    let source = Source { file: "policy.toml", text };
    if text.len() > MAX_DOCUMENT {
        return Err(PolicyError::Syntax(source.mistake(
            0..0,
            format!("the text has {} bytes, a policy at most {MAX_DOCUMENT}", text.len()),
            Some("list fewer payees, tools or tests".to_owned()),
        )));
    }
    let table = DeTable::parse(text).map_err(|error| syntax(source, &error))?;
    let root = Section::root(source, table.get_ref());
    format(source, &root)?;
    root.only(&[
        "format", "version", "owner", "chain", "asset", "limits", "payee", "tool", "income", "test",
    ])?;

    let version = version(&root)?;
    let (owner, owner_section) = owner(&root)?;
    let mut spans = Spans::new();
    let (chains, mut assets) = chains::chains(&root, &mut spans)?;
    chains::assets(&root, &chains, &mut assets)?;

    let (limits, gas) = match root.section("limits")? {
        Some(section) => limits::sections(&section, "limits", &assets, &mut spans)?,
        None => Default::default(),
    };
    let owner_limits = match &owner_section {
        Some(owner) => owner.section("limits")?,
        None => None,
    };
    let (owner_limits, owner_gas) = match owner_limits {
        Some(section) => limits::sections(&section, "owner.limits", &assets, &mut spans)?,
        None => Default::default(),
    };
    let payees = payees::payees(&root, &chains, &assets, &mut spans)?;
    let tools: BTreeMap<String, Tool> = tools::tools(&root)?;
    let income = income(&root, &assets)?;
    let tests = scenario::tests(&root, &assets, &payees)?;

    let mut policy = Policy {
        version,
        owner,
        expires: None,
        times: Default::default(),
        labels: Default::default(),
        approvals: Default::default(),
        chains,
        assets,
        limits,
        gas,
        owner_limits,
        owner_gas,
        task_limits: BTreeMap::new(),
        pools: BTreeMap::new(),
        payees,
        categories: BTreeMap::new(),
        tools,
        sub_agents: BTreeMap::new(),
        income,
        tests,
        forbids: Default::default(),
        hash: B256::ZERO,
    };
    if let Some(text) = &sources.cedar {
        let source = Source { file: "policy.cedar", text };
        policy.forbids = crate::cedar::Forbids::read(source, &names(&policy))?;
    }
    policy.hash = policy_hash(&policy);
    let warnings = advice::warnings(source, &policy, &spans);
    Ok((policy, warnings))
}

fn syntax(source: Source<'_>, error: &toml::de::Error) -> PolicyError {
    let message = error.message().replace('\n', ", ");
    let help = if message.contains("duplicate") {
        "each key may be written once; to add limits for all agents, write the owner as \
         `[owner]` with `address = \"0x..\"`"
    } else {
        "a policy is written in TOML: https://toml.io"
    };
    let span = error.span().unwrap_or(0..0);
    PolicyError::Syntax(source.mistake(span, message, Some(help.to_owned())))
}

/// Judged before all else: a newer format may have keys that this version does not know.
fn format(source: Source<'_>, root: &Section<'_>) -> Result<(), PolicyError> {
    let found = root.integer("format")?.ok_or_else(|| {
        source.meaning(0..0, "the format is missing", format!("begin with `format = {FORMAT}`"))
    })?;
    match found.value {
        FORMAT => Ok(()),
        newer if newer > FORMAT => Err(PolicyError::Format(source.mistake(
            found.span,
            format!("format {newer} is newer than this version knows ({FORMAT})"),
            Some("update marque to a version that knows this format".to_owned()),
        ))),
        _ => Err(source.meaning(found.span, "there is no format 0", "write `format = 1`")),
    }
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
        section.only(&["address", "limits"])?;
        let owner = section.address("address")?.ok_or_else(|| section.missing("address", help))?;
        return Ok((owner, Some(section)));
    }
    let owner = root.address("owner")?.ok_or_else(|| root.missing("owner", help))?;
    Ok((owner, None))
}

fn income(
    root: &Section<'_>,
    assets: &BTreeMap<String, crate::document::Asset>,
) -> Result<Vec<AssetId>, PolicyError> {
    let Some(section) = root.section("income")? else { return Ok(Vec::new()) };
    section.only(&["assets"])?;
    let mut income = Vec::new();
    for name in section.texts("assets")?.unwrap_or_default() {
        let asset = limits::asset(root.source, assets, name.value, &name.span)?;
        if asset.id.is_native() {
            let help = "name a token; income is settled by its EIP-3009 authorisations";
            let message = format!("{} is no token", name.value);
            return Err(root.source.meaning(name.span, message, help));
        }
        if !income.contains(&asset.id) {
            income.push(asset.id);
        }
    }
    Ok(income)
}

/// Refuses a second name that differs from a first one in upper and lower case only.
fn distinct<'a>(
    section: &Section<'_>,
    span: &Range<usize>,
    name: &str,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<(), PolicyError> {
    match others.find(|other| other.eq_ignore_ascii_case(name)) {
        Some(other) => Err(name_mistake(
            section.source,
            span,
            &format!("\"{name}\" is already taken by \"{other}\""),
        )),
        None => Ok(()),
    }
}

fn names(policy: &Policy) -> crate::cedar::Names<'_> {
    let called = policy.payees.values().filter_map(|payee| payee.category.as_deref());
    crate::cedar::Names {
        payees: policy.payees.keys().map(String::as_str).collect(),
        categories: policy.categories.keys().map(String::as_str).chain(called).collect(),
        tools: policy.tools.keys().map(String::as_str).collect(),
        assets: policy.assets.keys().map(String::as_str).collect(),
        sub_agents: policy.sub_agents.keys().map(String::as_str).collect(),
    }
}
