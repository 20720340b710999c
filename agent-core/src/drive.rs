//! The thin driver around the step machine: think, propose, act, observe, and write down each
//! transition before going on.

use crate::{
    Agent, AgentError, Call, Cx, Event, Task, Tool, ToolError,
    agent::Claim,
    context,
    cx::{Scope, lock},
    memory::Said,
    prompt, schema,
    task::{Feed, Want},
};
use marque_models::Request;
use marque_payments::{Authority, Buyer};
use marque_policies::{Argument, Labels};
use marque_steward_client::{Note, View};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tracing::Instrument as _;

/// The most tokens of one call.
const REPLY: u32 = 256;

/// Characters of an error that a model is shown.
const ERROR: usize = 160;

impl Agent {
    /// Runs a task to its end, or to where it has to stop for now.
    pub(crate) async fn drive<T>(&self, mut task: Task, claim: Claim) -> Result<T, AgentError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        for tool in &self.tools {
            if let Some(ty) = tool.lacks(&self.states) {
                return Err(AgentError::State { tool: tool.name().to_owned(), ty });
            }
        }
        let span = tracing::info_span!(
            "invoke_agent",
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = self.name(),
            gen_ai.conversation.id = task.id(),
        );
        let answer = async {
            loop {
                let (feed, said) = match task.next() {
                    Want::Think => {
                        let text = self.think::<T>(&task).await?;
                        (Feed::Thought(text.clone()), Said::new(task.step(), "call", text)?)
                    }
                    Want::Act { call, step } => {
                        let (result, labels) = self.act(&task, call, step).await?;
                        let said = Said::new(step, "result", result.to_string())?;
                        let result = context::shorten(result);
                        self.core.emit(Event::Result {
                            task: task.id().to_owned(),
                            step,
                            tool: call.tool.clone(),
                            result: result.clone(),
                        });
                        (Feed::Observed { result, labels }, said)
                    }
                    Want::Done(answer) => break Ok(answer.clone()),
                    Want::Failed(failure) => {
                        let (task, failure) = (task.id().to_owned(), failure.clone());
                        break Err(AgentError::Failed { task, failure });
                    }
                };
                task.feed(feed)?;
                self.core.memory.save(&task, Some(&said)).await?;
                self.commit(&task, &said).await;
            }
        }
        .instrument(span)
        .await?;
        drop(claim);
        self.core.emit(Event::Answer { task: task.id().to_owned(), answer: answer.clone() });
        read_answer(&task, answer)
    }

    /// Asks the model for the next call.
    async fn think<T: JsonSchema>(&self, task: &Task) -> Result<String, AgentError> {
        let core = &self.core;
        core.emit(Event::Thinking { task: task.id().to_owned(), step: task.step() });
        let view = self.standing().await?;
        if let Some(entry) = view.frozen_at {
            return Err(AgentError::Frozen(entry));
        }
        let offer = prompt::offer::<T>(&self.tools, &view)?;
        let messages = task.messages(&offer.system);
        let messages = context::fit(messages, core.model.as_ref(), REPLY)?;
        let request = Request::new(messages)
            .session(format!("{}/{}", core.name, task.id()))
            .json_schema(offer.reply)
            .max_tokens(REPLY);
        let span = tracing::info_span!(
            "chat",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = core.model.info().name,
            gen_ai.usage.input_tokens = tracing::field::Empty,
            gen_ai.usage.output_tokens = tracing::field::Empty,
        );
        let reply = core.model.generate(request).instrument(span.clone()).await?;
        span.record("gen_ai.usage.input_tokens", reply.usage.prompt_tokens);
        span.record("gen_ai.usage.output_tokens", reply.usage.completion_tokens);
        Ok(reply.text)
    }

    /// Makes a call and gives what came of it: a result, or words about why there is none.
    async fn act(
        &self,
        task: &Task,
        call: &Call,
        step: u32,
    ) -> Result<(Value, Labels), AgentError> {
        let core = &self.core;
        core.emit(Event::Call { task: task.id().to_owned(), step, call: call.clone() });
        let Some(tool) = self.tools.iter().find(|tool| tool.name() == call.tool) else {
            return Ok((json!({ "error": "no such tool" }), Labels::default()));
        };
        let view = self.standing().await?;
        let cx = Cx::new(self.scope(task, call, step, &view)?);
        let span = tracing::info_span!(
            "execute_tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = call.tool,
        );
        let outcome = perform(tool.as_ref(), &cx, call).instrument(span).await;
        let scope = cx.scope();
        if let Some(interruption) = lock(&scope.interrupted).take() {
            return Err(interruption);
        }
        let result = outcome.unwrap_or_else(|error| {
            let words = error.to_string();
            tracing::debug!(tool = call.tool, error = words, "a call brought nothing");
            json!({ "error": words.chars().take(ERROR).collect::<String>() })
        });
        let labels = lock(&scope.labels).clone();
        Ok((result, labels))
    }

    fn scope(&self, task: &Task, call: &Call, step: u32, view: &View) -> Result<Scope, AgentError> {
        let core = &self.core;
        let authority: Arc<dyn Authority> = Arc::clone(&core.steward) as Arc<dyn Authority>;
        Ok(Scope {
            steward: Arc::clone(&core.steward),
            buyer: Buyer::new(core.net(view)?, authority),
            memory: core.memory.clone(),
            events: core.events.clone(),
            names: Arc::clone(&core.names),
            states: self.states.clone(),
            tape: core.tape.clone(),
            patience: core.patience,
            task: task.id().to_owned(),
            step,
            tool: call.tool.clone(),
            arguments: constrained(call, view),
            ordinal: AtomicU32::new(0),
            labels: Mutex::new(task.labels().clone()),
            interrupted: Mutex::new(None),
        })
    }

    /// Commits to what was said. A commitment that does not arrive is a gap in the claims, not in
    /// the money, and stops nobody.
    async fn commit(&self, task: &Task, said: &Said) {
        let note = Note {
            task: task.id().to_owned(),
            step: said.step,
            what: match task.next() {
                Want::Done(_) => "answer".to_owned(),
                _ => said.what.to_owned(),
            },
            commitment: said.commitment(),
        };
        if let Err(error) = self.core.steward.note(note).await {
            tracing::warn!(%error, "a step's commitment was not journalled");
        }
    }
}

/// The arguments of a call that the policy constrains, as an intent tells them.
fn constrained(call: &Call, view: &View) -> BTreeMap<String, Argument> {
    let tool = view.tools.iter().find(|tool| tool.name == call.tool);
    let names = tool.into_iter().flat_map(|tool| &tool.arguments);
    names.filter_map(|name| Some((name.clone(), argument(call.args.get(name)?)))).collect()
}

fn argument(value: &Value) -> Argument {
    match value {
        Value::Bool(flag) => Argument::Flag(*flag),
        Value::String(text) => Argument::Text(text.clone()),
        other => match other.as_i64() {
            Some(number) => Argument::Integer(number),
            None => Argument::Text(other.to_string()),
        },
    }
}

/// Proposes the use of the tool, then uses it.
async fn perform(tool: &dyn Tool, cx: &Cx, call: &Call) -> Result<Value, ToolError> {
    let scope = cx.scope();
    let ordinal = scope.ordinal.fetch_add(1, Ordering::SeqCst);
    let labels = lock(&scope.labels).clone();
    scope.use_tool(ordinal, None, labels).await?;
    tool.call(cx, Value::Object(call.args.clone())).await
}

/// The answer as the type that was asked for.
fn read_answer<T>(task: &Task, answer: Map<String, Value>) -> Result<T, AgentError>
where
    T: DeserializeOwned + JsonSchema,
{
    serde_json::from_value(schema::unwrap_answer::<T>(answer)).map_err(|error| AgentError::Answer {
        task: task.id().to_owned(),
        wanted: std::any::type_name::<T>(),
        why: error.to_string(),
    })
}
