//! What an agent thinks with: the trait that local, remote and scripted models share.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::request::{Generation, Request};

/// Tokens that a template may put around one message.
const AROUND: usize = 8;

/// A language model that completes conversations.
#[async_trait]
pub trait Model: Send + Sync + Debug {
    /// Which model this is.
    fn info(&self) -> &ModelInfo;

    /// Counts the tokens of a text as message content, without the template around it.
    ///
    /// # Errors
    /// [`ModelError::PromptTooLong`] for a text that no context of this model could hold.
    fn count_tokens(&self, text: &str) -> Result<usize, ModelError>;

    /// Counts the tokens of a request's prompt. A model that renders its prompts itself counts what
    /// it would compute; without that it is the texts and a few tokens around each, which is close
    /// and not exact.
    ///
    /// # Errors
    /// [`ModelError::PromptTooLong`] for a prompt that no context of this model could hold, and
    /// whatever keeps it from being rendered.
    fn count_prompt(&self, request: &Request) -> Result<usize, ModelError> {
        let mut total = 0_usize;
        for message in &request.messages {
            let tokens = self.count_tokens(&message.content)?;
            total = total.saturating_add(tokens).saturating_add(AROUND);
        }
        for tool in &request.tools {
            let told = format!("{} {} {}", tool.name, tool.description, tool.parameters);
            total = total.saturating_add(self.count_tokens(&told)?).saturating_add(AROUND);
        }
        Ok(total)
    }

    /// Writes the assistant's next message.
    ///
    /// Dropping the future cancels the work, as [`Cancel`](crate::Cancel) does. A request with a
    /// [`Sink`](crate::Sink) is told the text while it is written; a model that cannot stream
    /// tells it at the end.
    ///
    /// # Errors
    /// Whatever keeps the reply from being whole: see [`ModelError`].
    async fn generate(&self, request: Request) -> Result<Generation, ModelError>;
}

/// Which model it is, for people, logs and receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The name in the model file, or the file's name where there is none.
    pub name: String,
    /// SHA-256 of the model file in lower-case hex; of the script for a [`Scripted`] model; empty
    /// for a model elsewhere, whose weights nobody here has seen.
    ///
    /// [`Scripted`]: crate::Scripted
    pub sha256: String,
    /// Tokens that prompt and reply of one request may have together.
    pub context_length: u32,
    /// Whether this is the model that ships inside the library.
    pub built_in: bool,
}

/// Names a conversation, so that its next request computes only what is new.
///
/// A session is a hint for speed: the answer is the same without one. Two callers that share a
/// name cannot read each other's text, they only evict each other's work.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Names a session.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for SessionId {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

impl Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:?})", self.0)
    }
}

#[async_trait]
impl<M: Model + ?Sized> Model for Arc<M> {
    fn info(&self) -> &ModelInfo {
        (**self).info()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        (**self).count_tokens(text)
    }

    fn count_prompt(&self, request: &Request) -> Result<usize, ModelError> {
        (**self).count_prompt(request)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        (**self).generate(request).await
    }
}
