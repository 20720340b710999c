//! Questions to the owner, in the agent's own words.

use super::{Cx, lock};
use crate::{AgentError, Event, ToolError, questions};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

/// How often it is looked for an answer.
const LOOK: Duration = Duration::from_millis(250);

impl Cx {
    /// Asks the owner something and waits for the answer, which `marque answer` gives. Where it takes
    /// longer than the agent's patience the run ends with [`AgentError::Asked`], and the same task goes
    /// on with the same question once it is answered.
    ///
    /// An answer is advice and grants nothing: what is held is approved with `marque approve` alone.
    ///
    /// # Errors
    /// [`ToolError::Arguments`] for a question of no or more than 500 characters,
    /// [`ToolError::Failed`] where too many wait already, [`ToolError::Memory`] where it cannot be
    /// written, [`ToolError::Unanswered`] where the run has to end.
    pub async fn ask_owner(&self, question: &str) -> Result<String, ToolError> {
        let scope = &self.scope;
        let length = question.chars().count();
        if question.trim().is_empty() || length > questions::LONGEST {
            let most = questions::LONGEST;
            let why = format!("the question has {length} characters; it takes 1 to {most}");
            return Err(ToolError::Arguments(why));
        }
        // No intent, but a place of its own in the order of what the call does.
        let ordinal = scope.ordinal.fetch_add(1, Ordering::SeqCst);
        let mind = scope.memory.folder().to_owned();
        let (task, step) = (scope.task.clone(), scope.step);
        let asked = question.to_owned();
        let put = move || questions::put(&mind, &task, step, ordinal, &asked);
        let id = tokio::task::spawn_blocking(put)
            .await
            .map_err(ToolError::from_any)?
            .map_err(ToolError::from_any)?;
        let deadline = Instant::now() + scope.patience;
        let _waiting = scope.wait_for_owner();
        let mut told = false;
        loop {
            let (mind, id_of) = (scope.memory.folder().to_owned(), id.clone());
            let look = move || questions::answered(&mind, &id_of);
            let answer = tokio::task::spawn_blocking(look).await.map_err(ToolError::from_any)?;
            if let Some(answer) = answer.map_err(ToolError::from_any)? {
                return Ok(answer);
            }
            if !std::mem::replace(&mut told, true) {
                let (task, id, question) = (scope.task.clone(), id.clone(), question.to_owned());
                scope.emit(Event::Asked { task, id, question });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let question = question.to_owned();
                let interruption = AgentError::Asked { id: id.clone(), question };
                lock(&scope.interrupted).get_or_insert(interruption);
                return Err(ToolError::Unanswered { id });
            }
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }
}
