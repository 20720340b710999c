//! The TOML documents side by side: which of them may hold what, and what they hold together.
//!
//! Where there is no `owner.toml`, `policy.toml` holds everything. Where there is one, it has the
//! owner and the limits of all agents, and `policy.toml` adds to its chains, assets, categories and
//! payees.

use super::{
    FORMAT, keys,
    section::{Found, Name, Section, check_name, name_mistake},
};
use crate::error::{PolicyError, Source};
use std::collections::BTreeMap;
use toml::de::DeTable;

/// The tables of both documents.
#[derive(Debug)]
pub(super) struct Documents<'a> {
    owner: Option<Section<'a>>,
    pub(super) policy: Section<'a>,
}

impl<'a> Documents<'a> {
    /// Takes the documents' tables, of a known format and with known keys.
    pub(super) fn new(
        policy: (Source<'a>, &'a DeTable<'a>),
        owner: Option<(Source<'a>, &'a DeTable<'a>)>,
    ) -> Result<Self, PolicyError> {
        let policy = Section::root(policy.0, "the policy", policy.1);
        let owner = owner.map(|(source, table)| Section::root(source, "owner.toml", table));
        // Before all else: a newer format may have keys that this version does not know.
        format(&policy)?;
        owner.as_ref().map_or(Ok(()), format)?;
        policy.only(keys::POLICY)?;
        if let Some(owner) = &owner {
            only_shared(owner)?;
            if policy.has("owner") {
                let message = "the owner and the limits of all agents stand in owner.toml";
                let help = "remove `owner` from policy.toml";
                return Err(policy.source.meaning(policy.key_span("owner"), message, help));
            }
        }
        Ok(Self { owner, policy })
    }

    /// The document that names the owner.
    pub(super) fn owners(&self) -> &Section<'a> {
        self.owner.as_ref().unwrap_or(&self.policy)
    }

    fn both(&self) -> impl Iterator<Item = &Section<'a>> {
        self.owner.iter().chain(std::iter::once(&self.policy))
    }

    /// The tables `[key.NAME]` of both documents, by their names.
    pub(super) fn named(&self, key: &str) -> Result<Vec<(Name<'a>, Section<'a>)>, PolicyError> {
        let mut named = Vec::new();
        for document in self.both() {
            if let Some(section) = document.section(key)? {
                named.extend(section.named()?);
            }
        }
        Ok(named)
    }

    /// The tables `[[key]]` of both documents.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Section<'a>>, PolicyError> {
        let mut list = Vec::new();
        for document in self.both() {
            list.extend(document.list(key)?);
        }
        Ok(list)
    }

    /// The table `[key]` of whichever document has it.
    pub(super) fn either(&self, key: &str) -> Result<Option<Section<'a>>, PolicyError> {
        let own = self.policy.section(key)?;
        let Some(shared) = &self.owner else { return Ok(own) };
        match (shared.section(key)?, own) {
            (Some(_), Some(own)) => {
                let message = format!("`{key}` stands in owner.toml already");
                let help = "keep it in one of the two documents";
                Err(own.source.meaning(self.policy.key_span(key), message, help))
            }
            (shared, own) => Ok(shared.or(own)),
        }
    }

    /// The mistake of a key that neither document has.
    pub(super) fn missing(&self, key: &str, help: &str) -> PolicyError {
        self.policy.missing(key, help)
    }
}

fn format(root: &Section<'_>) -> Result<(), PolicyError> {
    let source = root.source;
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

/// Refuses what only one agent's policy may hold.
fn only_shared(owner: &Section<'_>) -> Result<(), PolicyError> {
    let elsewhere = |key: &&&str| !keys::OWNER_DOCUMENT.contains(*key) && owner.has(key);
    if let Some(key) = keys::POLICY.iter().find(elsewhere) {
        let help = match *key {
            "limits" => "write [owner.limits.ASSET] for all agents together, or move it to the \
                         policy.toml of one agent"
                .to_owned(),
            key => format!("`{key}` belongs in policy.toml, which says what one agent may do"),
        };
        let message = format!("unknown key \"{key}\" in owner.toml");
        return Err(owner.source.meaning(owner.key_span(key), message, help));
    }
    owner.only(keys::OWNER_DOCUMENT)
}

/// The names given to one kind of thing: no two may be equal up to upper and lower case.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<String, (String, &'static str)>);

impl Taken {
    /// Checks a name and takes it.
    pub(super) fn claim(&mut self, source: Source<'_>, name: &Name<'_>) -> Result<(), PolicyError> {
        check_name(source, name)?;
        let key = name.value.to_ascii_lowercase();
        if let Some((other, file)) = self.0.get(&key) {
            let place = if *file == source.file { String::new() } else { format!(" in {file}") };
            let message = format!("\"{}\" is already taken by \"{other}\"{place}", name.value);
            return Err(name_mistake(source, &name.span, &message));
        }
        self.0.insert(key, (name.value.to_owned(), source.file));
        Ok(())
    }

    /// Whether something has this name, whatever its case.
    pub(super) fn has(&self, name: &Found<&str>) -> bool {
        self.0.contains_key(&name.value.to_ascii_lowercase())
    }

    /// The name as it was given, for one that may differ from it in case.
    pub(super) fn spelling(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(|(name, _)| name.as_str())
    }
}
