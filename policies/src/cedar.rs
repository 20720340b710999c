//! `policy.cedar`: what the owner forbids beyond the limits, in the Cedar language.

use crate::error::{PolicyError, Source};
use serde_json::Value;

/// Everything that `policy.cedar` forbids.
#[derive(Clone, Debug, Default)]
pub struct Forbids {
    forbids: Vec<Forbid>,
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
    /// Reads `policy.cedar`.
    pub(crate) fn read(_source: Source<'_>) -> Result<Self, PolicyError> {
        Ok(Self::default())
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
