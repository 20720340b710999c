//! A model that answers from a list: for tests of everything around a model.
//!
//! The reply is chosen by the number of assistant messages in the request, not by a counter, so
//! that a task that resumes after a crash gets the same answer again.

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::message::Role;
use crate::model::{Model, ModelInfo};
use crate::request::{Generation, Request, Stop, Usage};
use crate::stream::Delta;

/// Bytes that count as one token here.
const BYTES_PER_TOKEN: usize = 4;

/// A model whose replies are written beforehand.
#[derive(Debug)]
pub struct Scripted {
    replies: Vec<String>,
    info: ModelInfo,
}

impl Scripted {
    /// Answers the first turn with the first reply, the second turn with the second, and so on.
    ///
    /// Constraints are not applied: a script can play a model that breaks them.
    pub fn new(replies: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let replies: Vec<String> = replies.into_iter().map(Into::into).collect();
        let mut hash = Sha256::new();
        for reply in &replies {
            hash.update((reply.len() as u64).to_le_bytes());
            hash.update(reply);
        }
        let info = ModelInfo {
            name: "scripted".to_owned(),
            sha256: hex::encode(hash.finalize()),
            context_length: u32::MAX,
            built_in: false,
        };
        Self { replies, info }
    }
}

#[async_trait]
impl Model for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        Ok(text.len().div_ceil(BYTES_PER_TOKEN))
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        if request.cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let turn = request.messages.iter().filter(|m| m.role == Role::Assistant).count();
        let text = self.replies.get(turn).cloned().ok_or(ModelError::ScriptEnded {
            replies: self.replies.len(),
            wanted: turn.saturating_add(1),
        })?;
        let mut prompt_tokens = 0_usize;
        for message in &request.messages {
            prompt_tokens = prompt_tokens.saturating_add(self.count_tokens(&message.content)?);
        }
        let usage = Usage {
            prompt_tokens: u32::try_from(prompt_tokens).unwrap_or(u32::MAX),
            reused_tokens: 0,
            completion_tokens: u32::try_from(self.count_tokens(&text)?).unwrap_or(u32::MAX),
        };
        if let Some(sink) = &request.sink {
            sink.tell(Delta::Text(text.clone()));
        }
        Ok(Generation { text, thinking: String::new(), usage, stop: Stop::End, tokens: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    #[tokio::test]
    async fn the_reply_follows_from_the_turn_so_a_resumed_task_hears_the_same() {
        let model = Scripted::new(["first", "second"]);
        let start = vec![Message::user("go")];
        let mut later = start.clone();
        later.push(Message::assistant("first"));
        for _ in 0..2 {
            assert_eq!(model.generate(Request::new(start.clone())).await.unwrap().text, "first");
            assert_eq!(model.generate(Request::new(later.clone())).await.unwrap().text, "second");
        }
    }

    #[tokio::test]
    async fn past_the_end_of_the_script_the_error_says_so() {
        let model = Scripted::new(["only"]);
        let request = Request::new(vec![Message::assistant("only")]);
        let error = model.generate(request).await.unwrap_err();
        assert_eq!(error.to_string(), "script has 1 replies, and reply 2 was asked for");
    }

    #[test]
    fn two_scripts_that_differ_only_in_their_cuts_have_different_hashes() {
        assert_ne!(
            Scripted::new(["ab", "c"]).info().sha256,
            Scripted::new(["a", "bc"]).info().sha256
        );
    }
}
