//! What a model can call.
//!
//! `#[tool]` above an async function makes one. Implement [`Tool`] by hand where name, description
//! or schema are known only at run time.

use crate::{Cx, state::States};
use async_trait::async_trait;
use marque_payments::PaymentError;
use marque_policies::{IntentId, Row, verdict::Mark};
use serde_json::Value;
use std::error::Error;

/// Something that a model can call, if the policy permits a tool of that name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tool",
    label = "not a tool",
    note = "put `#[tool]` above the function, which is `async` and takes a `cx: &Cx` first"
)]
#[async_trait]
pub trait Tool: Send + Sync {
    /// The name by which the policy permits it and the model calls it.
    fn name(&self) -> &str;

    /// One line by which the model chooses it.
    fn description(&self) -> &str;

    /// JSON schema of its arguments: an object.
    fn schema(&self) -> Value;

    /// Whether calls of it may be made at the same time as others: no call changes what another
    /// brings. A model may then write several calls in one reply.
    fn independent(&self) -> bool {
        false
    }

    /// Does it. Whatever leaves this machine on its way goes through `cx`.
    ///
    /// A task that is taken up after a crash calls again what had not come back, so a tool does the
    /// same requests in the same order for the same arguments.
    ///
    /// # Errors
    /// Anything; the model is told, except where the owner or the steward has to act first.
    async fn call(&self, cx: &Cx, arguments: Value) -> Result<Value, ToolError>;

    /// The type that it takes as a state and the program has not given to the agent. A run does not
    /// begin with such a tool.
    fn lacks(&self, _states: &States) -> Option<&'static str> {
        None
    }
}

/// Why a call brought nothing. Its words are what the model is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The arguments do not fit.
    #[error("bad arguments: {0}")]
    Arguments(String),
    /// The text is not a URL.
    #[error("\"{0}\" is not a url")]
    Url(String),
    /// The policy refuses.
    #[error("refused by policy: {}", failed(.table))]
    Refused {
        /// The refused intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The owner has not decided yet. Ends the run, not the task.
    #[error("waiting for the owner")]
    Held {
        /// The held intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The owner has not answered yet. Ends the run, not the task.
    #[error("waiting for the owner's answer to question {id}")]
    Unanswered {
        /// By which it is answered.
        id: String,
    },
    /// The owner said no.
    #[error("denied by the owner")]
    Denied {
        /// The denied intent.
        id: IntentId,
    },
    /// The question to the owner went stale, or what was signed can no longer be used.
    #[error("too late: the permission is over")]
    Over {
        /// The intent.
        id: IntentId,
    },
    /// The answer was not a success.
    #[error("{host} answered {status}: {body}")]
    Status {
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// The answer cannot be read.
    #[error("the answer of {host} cannot be read: {why}")]
    Unreadable {
        /// Who answered.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// The purchase did not come about.
    #[error(transparent)]
    Payment(PaymentError),
    /// A file of the mind could not be read or written.
    #[error("memory: {0}")]
    Memory(String),
    /// Anything else.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl ToolError {
    /// Any error as a tool's; one that is a [`ToolError`] or a [`PaymentError`] already keeps its
    /// meaning.
    pub fn from_any(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<Self>() {
            Ok(own) => return *own,
            Err(other) => other,
        };
        match error.downcast::<PaymentError>() {
            Ok(payment) => (*payment).into(),
            Err(other) => Self::Failed(other),
        }
    }
}

impl From<PaymentError> for ToolError {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Held { id, table } => Self::Held { id, table },
            PaymentError::Refused { id, table } => Self::Refused { id, table },
            other => Self::Payment(other),
        }
    }
}

/// The rules that failed, by name. What an argument must be like is said as well: a model can mend
/// that by itself.
fn failed(table: &[Row]) -> String {
    let failed = table.iter().filter(|row| row.mark == Mark::Fail);
    let mut rules: Vec<_> = failed
        .map(|Row { rule, limit, .. }| match rule.contains(".arguments.") {
            true => format!("{rule} (allowed: {limit})"),
            false => rule.clone(),
        })
        .collect();
    if rules.is_empty() {
        rules.push("nothing permits it".to_owned());
    }
    rules.join(", ")
}
