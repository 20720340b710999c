//! A mind that says what the test wrote: one script for each goal, and one for all others.

use async_trait::async_trait;
use marque_models::{Generation, Model, ModelError, ModelInfo, Request, Role, Scripted};

/// Scripts by goal.
#[derive(Debug)]
pub(super) struct Mind {
    goals: Vec<(String, Scripted)>,
    others: Scripted,
}

impl Default for Mind {
    fn default() -> Self {
        Self { goals: Vec::new(), others: Scripted::new(Vec::<String>::new()) }
    }
}

impl Mind {
    /// Has this script for a goal, or for every goal that has no other.
    pub(super) fn thinks(&mut self, goal: Option<&str>, script: Scripted) {
        match goal {
            Some(goal) => self.goals.push((goal.to_owned(), script)),
            None => self.others = script,
        }
    }
}

#[async_trait]
impl Model for Mind {
    fn info(&self) -> &ModelInfo {
        self.others.info()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.others.count_tokens(text)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let mut said = request.messages.iter();
        let goal = said.find(|message| message.role == Role::User).map(|it| it.content.as_str());
        let script = self.goals.iter().find(|(known, _)| Some(known.as_str()) == goal);
        script.map_or(&self.others, |(_, script)| script).generate(request).await
    }
}
