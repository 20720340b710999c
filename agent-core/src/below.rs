//! Goals below goals: a tool that pursues one on its way, and an agent that is another's tool.
//!
//! A goal below a call is a task of its own, named after the call's place, so that a task that is
//! taken up again finds it where it was. It begins with the labels of everything that the call has
//! seen, and what it sees in turn the call has seen. It spends from the limits of every task above
//! it. Where it has to stop for the owner or the steward, so does the task above: that never becomes
//! a result.

use crate::{
    Agent, AgentError, Cx, Steward, Task, Tool, ToolError,
    agent::{Claim, Core, vet_name},
    cx::lock,
    tape::Taped,
};
use async_trait::async_trait;
use marque_steward_client::Client;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

/// So deep a goal may lie below others.
const DEEPEST: usize = 4;

impl Agent {
    /// This agent on the way of a call.
    pub(crate) fn below(&self, cx: &Cx) -> Self {
        Self { above: Some(Arc::clone(cx.scope())), ..self.clone() }
    }

    /// The name of a task, below the call on whose way it is.
    pub(crate) fn place(&self, task: &str) -> String {
        match &self.above {
            Some(scope) => format!("{}/{}.{task}", scope.task, scope.step),
            None => task.to_owned(),
        }
    }

    /// A task that begins now.
    pub(crate) fn new_task(&self, id: &str, goal: &str) -> Result<Task, AgentError> {
        let mut limits = self.core.limits.clone();
        let Some(scope) = &self.above else { return Task::new(id, goal, limits) };
        let above: BTreeSet<_> = scope.purse.allowances.iter().map(|(task, _)| task).collect();
        if above.len() > DEEPEST {
            return Err(AgentError::Deep(DEEPEST));
        }
        let taken = scope.tokens.load(Ordering::SeqCst);
        let left = scope.tokens_left.map(|left| left.saturating_sub(taken));
        limits.tokens = limits.tokens.into_iter().chain(left).min();
        Ok(Task::new(id, goal, limits)?.labelled(&lock(&scope.labels)))
    }

    /// Runs a task, and ends the run of the task above with it where it has to stop for now.
    pub(crate) async fn pursue<T>(&self, task: Task, claim: Claim) -> Result<T, AgentError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let ended = self.drive(task, claim).await;
        match (ended, &self.above) {
            (Err(error), Some(scope)) if error.is_passing() => {
                let words = error.to_string();
                lock(&scope.interrupted).get_or_insert(error);
                Err(AgentError::Interrupted(words))
            }
            (ended, _) => ended,
        }
    }

    /// Tells the call above where something came from, and how many tokens it took.
    pub(crate) fn join_above(&self, task: &Task) {
        if let Some(scope) = &self.above {
            scope.tokens.fetch_add(task.used().tokens, Ordering::SeqCst);
            let above = &mut *lock(&scope.labels);
            *above = std::mem::take(above).join(task.labels());
        }
    }

    /// The same agent as the account below it that its policy names `[sub_agent.NAME]`: with the
    /// tools, payees and budgets of that account, inside those of the agent itself.
    ///
    /// It begins without tools. An agent that repeats a recording has the accounts that were recorded
    /// with it.
    ///
    /// # Errors
    /// [`AgentError::Incomplete`] for an agent that was not opened from a home,
    /// [`AgentError::Name`], [`AgentError::NoAccount`] where the policy in force names no such
    /// account, and [`AgentError::Connect`].
    pub async fn sub_agent(&self, name: &str) -> Result<Self, AgentError> {
        vet_name(name)?;
        if let Some(tape) = self.core.tape.as_ref().filter(|tape| tape.is_read()) {
            return Ok(self.deciding(Arc::new(Taped::account(tape, name, None))));
        }
        let folder = self.core.folder.as_ref().ok_or(AgentError::Incomplete("home"))?;
        let socket = folder.join("sub").join(name).join("steward.sock");
        match Client::connect(&socket).await {
            // The steward makes it with the policy.
            Err(_) if !socket.exists() => {
                let (agent, name) = (self.core.name.clone(), name.to_owned());
                Err(AgentError::NoAccount { agent, name })
            }
            steward => Ok(self.as_account(name, Arc::new(steward?))),
        }
    }

    /// The same agent as the account `name`, whose effects another steward's connection decides.
    #[must_use]
    pub fn as_account(&self, name: &str, steward: Arc<dyn Steward>) -> Self {
        match &self.core.tape {
            Some(tape) => self.deciding(Arc::new(Taped::account(tape, name, Some(steward)))),
            None => self.deciding(steward),
        }
    }

    /// The same agent without tools, whose effects `steward` decides.
    fn deciding(&self, steward: Arc<dyn Steward>) -> Self {
        let core = Core { steward, ..self.core.twin() };
        Self { core: Arc::new(core), tools: Vec::new(), spare: BTreeSet::new(), ..self.clone() }
    }

    /// This agent as a tool of another's, which gives it goals in words and gets answers in words.
    ///
    /// Under the policy it is whoever it was opened as: the other's own account, or an account below
    /// it with a budget of its own, see [`Agent::sub_agent`].
    #[must_use]
    pub fn as_tool(&self, name: &str, description: &str) -> impl Tool + 'static {
        Delegate { agent: self.clone(), name: name.to_owned(), description: description.to_owned() }
    }
}

/// An agent in the shape of a tool.
struct Delegate {
    agent: Agent,
    name: String,
    description: String,
}

#[async_trait]
impl Tool for Delegate {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "goal": { "type": "string" } },
            "required": ["goal"],
            "additionalProperties": false,
        })
    }

    async fn call(&self, cx: &Cx, arguments: Value) -> Result<Value, ToolError> {
        let Some(goal) = arguments.get("goal").and_then(Value::as_str) else {
            return Err(ToolError::Arguments("goal is a text".to_owned()));
        };
        let answer = self.agent.below(cx).run::<String>(goal).await;
        answer.map(Value::String).map_err(ToolError::from_any)
    }
}
