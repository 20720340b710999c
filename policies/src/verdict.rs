//! What the policy says to an intent: the whole table of rules, never only the first that failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One rule's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The rule is content.
    Pass,
    /// The rule wants the owner to decide.
    Ask,
    /// The rule forbids it.
    Fail,
}

/// One rule, what it measured and what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The rule's name, a path into the policy: `limits.USDC.day`, `payee.weather-feed.day`.
    pub rule: String,
    /// What was measured: "0.40 USDC in 24 h + 0.30 USDC".
    pub measured: String,
    /// What the rule allows: "0.50 USDC".
    pub limit: String,
    /// The answer.
    pub mark: Mark,
    /// What would make it pass, unless it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// The decision. Refused outranks held, held outranks allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Every rule passed.
    Allow,
    /// No rule failed, at least one asks the owner.
    Hold,
    /// At least one rule failed, or none spoke.
    Refuse,
}

/// Every rule's answer to one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Verdict {
    /// The rows, in the order of evaluation.
    pub table: Vec<Row>,
}

impl Verdict {
    /// The decision that the table amounts to. An empty table refuses: unknown means no.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let any = |mark| self.table.iter().any(|row| row.mark == mark);
        if self.table.is_empty() || any(Mark::Fail) {
            Decision::Refuse
        } else if any(Mark::Ask) {
            Decision::Hold
        } else {
            Decision::Allow
        }
    }

    /// The rules that answered with `mark`.
    pub fn rules(&self, mark: Mark) -> impl Iterator<Item = &str> {
        self.table.iter().filter(move |row| row.mark == mark).map(|row| row.rule.as_str())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Pass => "pass",
            Mark::Ask => "ask ",
            Mark::Fail => "FAIL",
        };
        write!(f, "{mark}  {}: {} (limit {})", self.rule, self.measured, self.limit)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}
