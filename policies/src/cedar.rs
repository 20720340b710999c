//! `policy.cedar`: what the owner forbids beyond the limits, in the Cedar language.

use crate::{
    decide::Request,
    document::Policy,
    error::{PolicyError, Source},
    ledger::{Ledger, Timestamp},
    verdict::Row,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Everything that `policy.cedar` forbids.
#[derive(Clone, Debug, Default)]
pub struct Forbids {
    forbids: Vec<Forbid>,
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
    pub(crate) fn read(_source: Source<'_>, _names: &Names<'_>) -> Result<Self, PolicyError> {
        Ok(Self::default())
    }

    /// A row for every forbid that concerns the intent's kind.
    pub(crate) fn judge(
        &self,
        _policy: &Policy,
        _request: &Request<'_>,
        _ledger: &dyn Ledger,
        _now: Timestamp,
    ) -> Vec<Row> {
        Vec::new()
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
