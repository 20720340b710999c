//! The thin driver around the step machine: think, propose, act, observe, and write down each
//! transition before going on.

use crate::{
    Agent, AgentError, Event, Task,
    agent::Claim,
    context,
    memory::Said,
    prompt::{self, Offer},
    remote::{THOUGHT, Thought},
    schema,
    task::{Failure, Feed, Want},
};
use futures::FutureExt as _;
use marque_models::{Constraint, Delta, Deltas, Generation, Model, ModelError, Request};
use marque_steward_client::Note;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

/// What the built-in model was trained to say where it does not know what to do.
const AT_A_LOSS: &str = "no tool for this";

/// The longest reply that is taken down, in bytes: a longer one ends its task, as asking again would
/// bring it again.
const LONGEST_REPLY: usize = 32 * 1024;

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
        task.tighten(&self.core.limits);
        let answer = async {
            // Calls that are under way now may have been made before.
            let mut first = false;
            loop {
                match task.next() {
                    Want::Think => {
                        first = true;
                        // A call under way keeps the labels that it was proposed with.
                        task.join(&self.labels);
                        self.take_thought::<T>(&mut task).await?;
                    }
                    Want::Act(due) => {
                        let due =
                            due.into_iter().map(|(step, call)| (step, call.clone())).collect();
                        self.act(&mut task, due, first).await?;
                    }
                    Want::Done(answer) => break Ok(answer.clone()),
                    Want::Failed(failure) => {
                        let (task, failure) = (task.id().to_owned(), failure.clone());
                        break Err(AgentError::Failed { task, failure });
                    }
                }
            }
        }
        .instrument(span)
        .await;
        drop(claim);
        self.join_above(&task);
        let answer = answer?;
        if self.core.model.info().built_in && is_at_a_loss(&answer) {
            return Err(AgentError::AtALoss(task.id().to_owned()));
        }
        self.core.emit(Event::Answer { task: task.id().to_owned(), answer: answer.clone() });
        read_answer(&task, answer)
    }

    /// Asks the model for the next reply, and takes it down.
    async fn take_thought<T: JsonSchema>(&self, task: &mut Task) -> Result<(), AgentError> {
        let began = Instant::now();
        let left = task.limits().time.map(|time| time.saturating_sub(task.used().time));
        let step = task.step();
        let mut lost = Lost::default();
        let thought = self.think::<T>(task, &mut lost);
        let thought = match left {
            Some(left) => timeout(left, thought).await.unwrap_or(Ok(None)),
            None => thought.await,
        };
        if !matches!(thought, Ok(Some(_))) {
            let tokens = lost.tokens(self.core.model.as_ref());
            task.count(tokens);
            if thought.is_err() && tokens > 0 {
                self.core.memory.save(task, None).await?;
            }
        }
        let (feed, text) = match thought? {
            Some(reply) => {
                let usage = reply.usage;
                let tokens = u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
                if reply.text.len() > LONGEST_REPLY {
                    task.count(tokens);
                    let why = format!(
                        "it has {} bytes, and at most {LONGEST_REPLY} are taken down",
                        reply.text.len()
                    );
                    let text = reply.text.chars().take(200).collect();
                    let failure = Failure::Unreadable { text, why };
                    let said = Said::new(step, "call", failure.to_string())?;
                    return self.take_down(task, Feed::Over(failure), began.elapsed(), &said).await;
                }
                (Feed::Thought { text: reply.text.clone(), tokens }, reply.text)
            }
            // Whichever of the two it was, the thought is not to be had.
            None => {
                let limits = task.limits();
                let failure = match (left.is_some_and(|left| began.elapsed() >= left), limits) {
                    (true, limits) => Failure::Time(limits.time.unwrap_or_default()),
                    (false, limits) => Failure::Tokens(limits.tokens.unwrap_or_default()),
                };
                (Feed::Over(failure.clone()), failure.to_string())
            }
        };
        let said = Said::new(step, "call", text)?;
        self.take_down(task, feed, began.elapsed(), &said).await
    }

    /// Feeds the task, writes it down and commits to what was said.
    pub(crate) async fn take_down(
        &self,
        task: &mut Task,
        feed: Feed,
        took: Duration,
        said: &Said,
    ) -> Result<(), AgentError> {
        task.feed(feed, took)?;
        self.core.memory.save(task, Some(said)).await?;
        self.commit(task, said).await;
        Ok(())
    }

    /// Asks the model for the next reply; `None` if its tokens are used up before that.
    async fn think<T: JsonSchema>(
        &self,
        task: &mut Task,
        lost: &mut Lost,
    ) -> Result<Option<Generation>, AgentError> {
        let core = &self.core;
        let step = task.step();
        core.emit(Event::Thinking { task: task.id().to_owned(), step });
        let view = self.standing().await?;
        if let Some(entry) = view.frozen_at {
            return Err(AgentError::Frozen(entry));
        }
        core.tell_of_missing(&self.tools, &self.spare, &view);
        let offer = prompt::offer::<T>(&self.tools, &view, core.model.info())?;
        let (request, prompt) = self.fit(task, &offer).await?;
        let used = task.used().tokens.saturating_add(prompt as u64);
        if task.limits().tokens.is_some_and(|limit| used >= limit) {
            return Ok(None);
        }
        let span = tracing::info_span!(
            "chat",
            gen_ai.operation.name = "chat",
            gen_ai.request.model = core.model.info().name,
            gen_ai.usage.input_tokens = tracing::field::Empty,
            gen_ai.usage.output_tokens = tracing::field::Empty,
        );
        let (request, deltas) = request.stream();
        lost.prompt = prompt as u64;
        let told = |delta: Delta| {
            let thinking = matches!(delta, Delta::Thinking(_));
            let (Delta::Text(text) | Delta::Thinking(text)) = delta;
            lost.text.push_str(&text);
            core.emit(Event::Text { task: task.id().to_owned(), step, text, thinking });
        };
        let purse = self.purse(task);
        let thought = Thought { purse, labels: task.labels().clone(), task: task.id().to_owned() };
        let reply = heard(THOUGHT.scope(thought, core.model.generate(request)), deltas, told);
        let reply = reply.instrument(span.clone()).await.inspect_err(|error| lost.end(error))?;
        span.record("gen_ai.usage.input_tokens", reply.usage.prompt_tokens);
        span.record("gen_ai.usage.output_tokens", reply.usage.completion_tokens);
        core.emit(Event::Thought { task: task.id().to_owned(), step, usage: reply.usage });
        Ok(Some(reply))
    }

    /// The request for the next reply and the tokens of its prompt. Where the conversation does not
    /// fit beside the reply, a checkpoint is made, and written down, until it does.
    async fn fit(&self, task: &mut Task, offer: &Offer) -> Result<(Request, usize), AgentError> {
        let core = &self.core;
        let context = core.model.info().context_length;
        let reply = context::room_for_reply(context);
        let limit = (context as usize).saturating_sub(reply as usize);
        let mut room = context::room_for_summary(context);
        let mut checked = false;
        loop {
            let mut request = Request::new(task.messages(offer.frame.as_ref()))
                .session(format!("{}/{}", core.name, task.id()))
                .constraint(Constraint::JsonSchema(offer.reply.clone()))
                .max_tokens(reply);
            request.tools.clone_from(&offer.tools);
            let tokens = match core.model.count_prompt(&request) {
                Ok(tokens) => tokens,
                Err(ModelError::PromptTooLong { tokens, .. }) => {
                    tokens.max(limit.saturating_add(1))
                }
                Err(error) => return Err(error.into()),
            };
            if tokens <= limit {
                if checked {
                    core.memory.save(task, None).await?;
                    core.emit(Event::Checkpoint { task: task.id().to_owned(), step: task.step() });
                }
                return Ok((request, tokens));
            }
            if !task.summarise(room) {
                return Err(AgentError::Context { tokens, limit });
            }
            checked = true;
            room /= 2;
        }
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

/// What a model has read and written for a thought that comes to nothing.
#[derive(Debug, Default)]
struct Lost {
    /// Tokens of the prompt.
    prompt: u64,
    /// What was told of the reply.
    text: String,
    /// Tokens of a reply of which more is known than was told.
    least: u64,
}

impl Lost {
    /// Learns from the model's error whether there was a reply.
    fn end(&mut self, error: &ModelError) {
        self.least = match error {
            ModelError::Truncated { tokens } => u64::from(*tokens).max(1),
            ModelError::Constraint(_) => 1,
            _ => 0,
        };
    }

    /// What counts: nothing where the model did not begin to answer.
    fn tokens(&self, model: &dyn Model) -> u64 {
        let told = match self.text.as_str() {
            "" => 0,
            // One that a model cannot count is longer than its context.
            text => model.count_tokens(text).unwrap_or(model.info().context_length as usize),
        };
        match (told as u64).max(self.least) {
            0 => 0,
            reply => self.prompt.saturating_add(reply),
        }
    }
}

/// A reply, and what is told of it on the way. It is over when the model says so, whoever still
/// could tell more.
async fn heard<T>(
    reply: impl Future<Output = T>,
    mut deltas: Deltas,
    mut told: impl FnMut(Delta),
) -> T {
    let mut reply = std::pin::pin!(reply);
    let reply = loop {
        tokio::select! {
            biased;
            Some(delta) = deltas.next() => told(delta),
            reply = reply.as_mut() => break reply,
        }
    };
    while let Some(Some(delta)) = deltas.next().now_or_never() {
        told(delta);
    }
    reply
}

/// Whether the built-in model found nothing to do: then all that its answer says is this.
fn is_at_a_loss(answer: &Map<String, Value>) -> bool {
    let mut words = answer.values().filter_map(Value::as_str).peekable();
    words.peek().is_some() && words.all(|words| words.trim() == AT_A_LOSS)
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
