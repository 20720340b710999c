//! `policy.cedar`: what the owner forbids beyond the limits, in the Cedar language.
//!
//! Only forbids: what is permitted stands in `policy.toml`, so this file can take away and never
//! add. What would disarm a forbid without a word is not read at all: permits, arithmetic, names
//! that stand for nothing, conditions that can never hold. [`SCHEMA`] says what a forbid may speak
//! about.
//!
//! INVARIANT: adding a forbid, or a label to what a mind proposes, never turns a refusal into a
//! permission (pinned by `tests/suite/cedar.rs`).

mod context;
mod engine;
mod lint;
mod read;
#[cfg(test)]
mod tests;
mod text;

pub use read::SCHEMA;

use crate::{
    decide::Request,
    document::Policy,
    error::{PolicyError, Source},
    ledger::{Ledger, Timestamp},
    verdict::{Mark, Row},
};
use context::Facts;
use engine::{Answer, Engine};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// Everything that `policy.cedar` forbids. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Forbids {
    forbids: Arc<[Forbid]>,
    /// There unless nothing is forbidden.
    engine: Option<Arc<Engine>>,
}

/// What the rest of the policy names, so that a slip of the pen in a forbid does not disarm it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) payees: BTreeSet<&'a str>,
    pub(crate) categories: BTreeSet<&'a str>,
    pub(crate) tools: BTreeSet<&'a str>,
    pub(crate) assets: BTreeSet<&'a str>,
    pub(crate) sub_agents: BTreeSet<&'a str>,
}

/// One `forbid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbid {
    /// Its name in rules, `cedar.NAME`: the `@id`, or its place from 1.
    pub name: String,
    /// The `@reason`, if it has one.
    pub reason: Option<String>,
    /// What it means, as Cedar's JSON form; the same for every layout.
    pub meaning: Value,
}

impl PartialEq for Forbids {
    fn eq(&self, other: &Self) -> bool {
        self.forbids == other.forbids
    }
}

impl Eq for Forbids {}

impl Forbids {
    /// Reads `policy.cedar`. What it names must be in the policy.
    pub(crate) fn read(source: Source<'_>, names: &Names<'_>) -> Result<Self, PolicyError> {
        let (forbids, rules): (Vec<Forbid>, Vec<_>) =
            read::read(source, names)?.into_iter().unzip();
        if forbids.is_empty() {
            return Ok(Self::default());
        }
        let engine = Engine::new(&rules).map_err(|error| {
            source.meaning(0..0, error, "this is a defect of marque; please report it")
        })?;
        Ok(Self { forbids: forbids.into(), engine: Some(Arc::new(engine)) })
    }

    /// A row for every forbid that concerns the intent's kind.
    pub(crate) fn judge(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        ledger: &dyn Ledger,
        now: Timestamp,
    ) -> Vec<Row> {
        let facts = Facts::of(policy, request, ledger, now);
        let (Some(engine), Some(facts)) = (&self.engine, facts) else { return Vec::new() };
        let answers = engine.judge(&facts).into_iter();
        answers.filter_map(|(place, answer)| Some(self.forbids.get(place)?.row(answer))).collect()
    }

    /// All of them, in the order of the document.
    pub fn iter(&self) -> impl Iterator<Item = &Forbid> {
        self.forbids.iter()
    }

    /// Whether nothing is forbidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forbids.is_empty()
    }
}

impl Forbid {
    /// What it forbids, in Cedar's own words, on one line and without its annotations.
    pub(crate) fn said(&self) -> Option<String> {
        let mut meaning = self.meaning.clone();
        meaning.as_object_mut()?.remove("annotations");
        let text = cedar_policy::Policy::from_json(None, meaning).ok()?.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut said = String::new();
        for letter in lines.join(" ").chars() {
            // Quotation marks are Cedar's own; what cannot be seen is written out.
            match letter {
                '"' | '\'' | '\\' => said.push(letter),
                other => said.extend(other.escape_debug()),
            }
        }
        Some(said)
    }

    fn row(&self, answer: Answer) -> Row {
        let reason =
            || self.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (mark, measured, mend) = match answer {
            Answer::Silent => (Mark::Pass, "does not apply".to_owned(), None),
            Answer::Applies => (
                Mark::Fail,
                format!("applies{}", reason()),
                Some(
                    "propose what it does not apply to; only the owner can lift it, with a new policy.cedar",
                ),
            ),
            Answer::Broken(error) => (
                Mark::Fail,
                format!("cannot be judged, {error}{}", reason()),
                Some("what cannot be judged is forbidden; have the owner mend policy.cedar"),
            ),
        };
        Row {
            rule: format!("cedar.{}", self.name),
            measured,
            limit: "must not apply".to_owned(),
            mark,
            mend: mend.map(str::to_owned),
        }
    }
}
