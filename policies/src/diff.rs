//! Two policies compared: where the new one is wider, narrower or different, with a witness.
//!
//! A verdict is as strict as its strictest rule. So the new policy is nowhere wider if, for every
//! rule of the old one, the new one has a rule that is at least as strict wherever the old rule
//! speaks. That is what is compared, part by part of the language; it holds for every intent,
//! ledger and time. Whatever is not proven to be as strict is said to be wider, also where another
//! rule may hide it. `version` and `tests` permit nothing and are not compared.
//!
//! A witness is a case that both policies were asked about and that they judge differently. It is
//! searched among the numbers, names, hosts and times that the two policies hold; where none is
//! found the direction stands all the same, and the change says so.
//!
//! INVARIANT: what the new policy permits and the old one does not is never missed (pinned by
//! `tests/suite/diff.rs`, `no_widening_is_missed`).

mod accounts;
mod case;
mod cases;
mod compare;
mod edges;
mod forbidden;
mod ground;
mod idle;
mod past;
mod payees;
mod tools;
mod weeks;
mod words;

use crate::{document::Policy, intent::Intent, ledger::Timestamp, money::Money, verdict::Decision};
use serde::Serialize;
use std::fmt;

/// What differs between two policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// In the order of the language: owner, chains, assets, limits, payees, tools, ...
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
    /// The account below the agent that proposes, if it is not the agent itself.
    pub sub_agent: Option<String>,
    /// How long ago the owner approved it, in milliseconds; it was not approved without it.
    pub approved: Option<u64>,
    /// The past, in the words of a test's `given`.
    pub given: Vec<String>,
    /// When, Unix milliseconds.
    pub now: Timestamp,
    /// What the old policy says.
    pub old: Decision,
    /// What the new policy says.
    pub new: Decision,
    /// All of that in a sentence.
    pub said: String,
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
pub fn diff(old: &Policy, new: &Policy) -> Diff {
    Diff { changes: compare::compare(old, new, true) }
}

/// What [`Diff::is_wider`] answers, without the search for witnesses.
#[must_use]
pub fn is_wider(old: &Policy, new: &Policy) -> bool {
    Diff { changes: compare::compare(old, new, false) }.is_wider()
}

impl fmt::Display for Diff {
    /// For people: what is wider first, each change on a line, its witness on the next one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return f.write_str("Nothing has changed: both permit the same.\n");
        }
        for (direction, title) in [
            (Direction::Wider, "WIDER: the new policy permits more"),
            (Direction::Different, "different: each permits what the other does not"),
            (Direction::Narrower, "narrower: the new policy permits less"),
        ] {
            let mut changes = self.changes.iter().filter(|c| c.direction == direction).peekable();
            if changes.peek().is_some() {
                writeln!(f, "{title}")?;
            }
            for Change { subject, said, witness, .. } in changes {
                writeln!(f, "  {subject}: {said}")?;
                if let Some(witness) = witness {
                    writeln!(f, "      e.g. {}", witness.said)?;
                }
            }
        }
        Ok(())
    }
}
