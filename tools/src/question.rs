//! `ask_owner`: a question in the agent's own words. It is shown as such, and an answer grants nothing.

use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::Serialize;

/// What [`ask_owner`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnersAnswer {
    /// The owner's words.
    pub answer: String,
}

/// Asks the owner something and waits for the answer (`marque answer`).
///
/// # Errors
/// As for [`Cx::ask_owner`].
#[tool(crate = marque_agent_core, description = "ask the owner a question and wait for the answer")]
pub async fn ask_owner(
    cx: &Cx,
    /// at most 500 characters
    question: String,
) -> Result<OwnersAnswer, ToolError> {
    Ok(OwnersAnswer { answer: cx.ask_owner(&question).await? })
}
