//! The policy language and its pure engine, and the vocabulary it judges.
//!
//! No I/O, no clock, no chain: a decision is a function of (policy, intent, ledger view, now).
//!
//! [`parse()`] reads a text that an owner wrote and answers a [`Policy`] in which nothing is left
//! open, or one mistake with its line and its mending. [`decide()`] judges one intent by it and
//! answers the whole table of rules. What no rule allows is refused.

pub mod budgets;
mod canonical;
pub mod cedar;
pub mod decide;
pub mod diff;
pub mod document;
pub mod error;
pub mod explain;
mod hidden;
pub mod host;
pub mod intent;
pub mod ledger;
mod loss;
pub mod money;
pub mod parse;
pub mod ready;
pub mod schema;
pub mod sources;
pub mod statement;
pub mod times;
pub mod trial;
pub mod verdict;

pub use budgets::{Budget, budgets};
pub use decide::{Request, decide};
pub use diff::{Diff, Direction, diff};
pub use document::Policy;
pub use error::{Mistake, PolicyError, Warning};
pub use explain::{read_aloud, render_table};
pub use intent::{Argument, Intent, IntentId, Label, Labels};
pub use ledger::{Ledger, Resolved, Scope, Timestamp};
pub use loss::{Loss, most_lost};
pub use money::{AssetId, Money};
pub use parse::parse;
pub use ready::{
    DraftFloat, DraftKind, DraftLimits, DraftParams, DraftPayee, Pin, draft, draft_sources,
};
pub use schema::{owner_schema, policy_schema};
pub use sources::Sources;
pub use statement::{SignedStatement, Statement};
pub use trial::{Past, TestResult, run_tests, try_out};
pub use verdict::{Decision, Mark, Row, Verdict};

/// The policy language by example.
#[cfg(doc)]
#[doc = include_str!("../../docs/policy.md")]
pub mod language {}
