//! The loop as a step machine without I/O.
//!
//! A [`Task`] says what it wants next and is fed what came of it. It can be written down after any
//! transition and read again by a later process, which then wants exactly the same thing. That is
//! all there is to resuming: there is no second path.
//!
//! INVARIANT: a step whose result was fed is never acted on again, and a call that was not yet
//! answered keeps its step number, so its intents keep their ids (pinned by
//! `tests/mind/resume.rs::a_mind_killed_at_any_edge_proposes_the_same_ids_and_repeats_no_result`).

use crate::{
    AgentError,
    call::{Call, FINISH},
};
use marque_models::Message;
use marque_policies::{Label, Labels};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The version in which tasks are written. Newer ones are refused.
pub const VERSION: u16 = 1;

/// The longest name of a task, in bytes: the protocol's limit.
pub const MAX_ID: usize = 128;

/// A goal on its way to an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    v: u16,
    id: String,
    goal: String,
    limits: TaskLimits,
    steps: Vec<Step>,
    labels: Labels,
    state: State,
}

/// When a task gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLimits {
    /// The most calls before the answer.
    pub steps: u32,
    /// So many equal calls are a loop; the last of them is not made.
    pub repeats: u32,
}

/// A call and what it brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was called.
    pub call: Call,
    /// What the model is shown of the result.
    pub result: Value,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Thinking,
    Acting(Call),
    Done(Map<String, Value>),
    Failed(Failure),
}

/// Why a task ended without an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// Too many calls without an answer.
    Steps(u32),
    /// The same call again and again.
    Repeated(Call),
    /// The model wrote something that is no call.
    Unreadable {
        /// What it wrote, shortened.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What a task wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Want<'a> {
    /// The model's next reply to [`Task::messages`].
    Think,
    /// The result of a call.
    Act {
        /// The call.
        call: &'a Call,
        /// The step, from which the ids of its intents follow.
        step: u32,
    },
    /// Nothing: the arguments of `finish`.
    Done(&'a Map<String, Value>),
    /// Nothing any more.
    Failed(&'a Failure),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// The model's reply.
    Thought(String),
    /// The result of the call, as the model will be shown it.
    Observed {
        /// What came back.
        result: Value,
        /// Where it came from.
        labels: Labels,
    },
}

impl Default for TaskLimits {
    /// 16 steps, 3 repeats.
    fn default() -> Self {
        Self { steps: 16, repeats: 3 }
    }
}

impl Task {
    /// A goal of the owner, named `id`.
    ///
    /// # Errors
    /// [`AgentError::TaskName`] for a name that is empty, longer than [`MAX_ID`] or not printable
    /// ASCII.
    pub fn new(id: &str, goal: &str, limits: TaskLimits) -> Result<Self, AgentError> {
        let printable = id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > MAX_ID || !printable {
            return Err(AgentError::TaskName(id.escape_debug().take(MAX_ID).collect()));
        }
        Ok(Self {
            v: VERSION,
            id: id.to_owned(),
            goal: goal.to_owned(),
            limits,
            steps: Vec::new(),
            labels: Labels::default().with(Label::Owner),
            state: State::Thinking,
        })
    }

    /// Reads a task that [`Task::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`AgentError::TaskUnreadable`] for anything else, and for a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AgentError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u16,
        }
        let unreadable = |error: serde_json::Error| AgentError::TaskUnreadable(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if v != VERSION {
            return Err(AgentError::TaskUnreadable(format!(
                "it has version {v}, and this program knows version {VERSION}"
            )));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// The task as it is kept.
    ///
    /// # Errors
    /// [`AgentError::TaskUnreadable`] if it cannot be written, which no task of ours causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AgentError> {
        serde_json::to_vec(self).map_err(|error| AgentError::TaskUnreadable(error.to_string()))
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self) -> Want<'_> {
        match &self.state {
            State::Thinking => Want::Think,
            State::Acting(call) => Want::Act { call, step: self.step() },
            State::Done(answer) => Want::Done(answer),
            State::Failed(failure) => Want::Failed(failure),
        }
    }

    /// Goes on with what came of it.
    ///
    /// # Errors
    /// [`AgentError::OutOfTurn`] for an answer to something that was not asked; nothing changes.
    pub fn feed(&mut self, feed: Feed) -> Result<(), AgentError> {
        match (&self.state, feed) {
            (State::Thinking, Feed::Thought(text)) => {
                self.labels = std::mem::take(&mut self.labels).with(Label::Model);
                self.state = self.judge(&text);
                Ok(())
            }
            (State::Acting(call), Feed::Observed { result, labels }) => {
                self.steps.push(Step { call: call.clone(), result });
                self.labels = std::mem::take(&mut self.labels).join(&labels);
                self.state = State::Thinking;
                Ok(())
            }
            (_, Feed::Thought(_)) => Err(AgentError::OutOfTurn("a thought")),
            (_, Feed::Observed { .. }) => Err(AgentError::OutOfTurn("a result")),
        }
    }

    /// The state that follows from a reply.
    fn judge(&self, text: &str) -> State {
        let call = match Call::parse(text) {
            Ok(call) => call,
            Err(why) => {
                let text = text.chars().take(200).collect();
                return State::Failed(Failure::Unreadable { text, why });
            }
        };
        if call.tool == FINISH {
            return State::Done(call.args);
        }
        if self.step() >= self.limits.steps {
            return State::Failed(Failure::Steps(self.limits.steps));
        }
        let before = self.steps.iter().filter(|step| step.call == call).count();
        if before.saturating_add(1) >= self.limits.repeats.max(2) as usize {
            return State::Failed(Failure::Repeated(call));
        }
        State::Acting(call)
    }

    /// The conversation that the model continues, after the system text.
    #[must_use]
    pub fn messages(&self, system: &str) -> Vec<Message> {
        let mut messages = vec![Message::system(system), Message::user(&self.goal)];
        for step in &self.steps {
            messages.push(Message::assistant(step.call.to_string()));
            messages.push(Message::tool(step.result.to_string()));
        }
        messages
    }

    /// The number of the step under way, from 0.
    #[must_use]
    pub fn step(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// The task's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is to be reached, in the owner's words.
    #[must_use]
    pub fn goal(&self) -> &str {
        &self.goal
    }

    /// The steps that are done.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where everything that the model has seen came from.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done(_) | State::Failed(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(limit) => write!(f, "no answer after {limit} steps"),
            Self::Repeated(call) => write!(f, "the model repeats itself: {call}"),
            Self::Unreadable { text, why } => {
                write!(f, "the model wrote no call but {text:?} ({why})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task() -> Task {
        Task::new("t", "what is it?", TaskLimits { steps: 4, repeats: 3 }).unwrap()
    }

    fn think(task: &mut Task, text: &str) {
        task.feed(Feed::Thought(text.to_owned())).unwrap();
    }

    fn observe(task: &mut Task, result: Value) {
        task.feed(Feed::Observed { result, labels: Labels::default() }).unwrap();
    }

    const FETCH: &str = r#"{"tool":"fetch_data","args":{"url":"https://a.example/"}}"#;

    #[test]
    fn a_task_thinks_acts_observes_and_ends_with_the_arguments_of_finish() {
        let mut task = task();
        assert_eq!(task.next(), Want::Think);
        think(&mut task, FETCH);
        assert!(matches!(task.next(), Want::Act { step: 0, call } if call.tool == "fetch_data"));
        observe(&mut task, json!({"value": "7"}));
        assert_eq!(task.next(), Want::Think);
        let said: Vec<_> = task.messages("s").into_iter().map(|m| m.content).collect();
        assert_eq!(said, ["s", "what is it?", FETCH, r#"{"value":"7"}"#]);
        think(&mut task, r#"{"tool":"finish","args":{"answer":"value is 7"}}"#);
        let Want::Done(answer) = task.next() else { panic!("{task:?}") };
        assert_eq!(answer["answer"], "value is 7");
    }

    #[test]
    fn a_task_that_is_written_down_and_read_again_wants_the_same() {
        let mut task = task();
        for feed in [
            Feed::Thought(FETCH.to_owned()),
            Feed::Observed { result: json!({"error": "gone"}), labels: Labels::default() },
            Feed::Thought("nonsense".to_owned()),
        ] {
            let again = Task::from_bytes(&task.to_bytes().unwrap()).unwrap();
            assert_eq!(again, task);
            assert_eq!(again.next(), task.next());
            task.feed(feed).unwrap();
        }
    }

    #[test]
    fn the_third_equal_call_is_not_made() {
        let mut task = task();
        for _ in 0..2 {
            think(&mut task, FETCH);
            observe(&mut task, json!({"error": "gone"}));
        }
        think(&mut task, FETCH);
        assert!(matches!(task.next(), Want::Failed(Failure::Repeated(_))));
    }

    #[test]
    fn a_task_without_an_answer_gives_up_after_its_steps() {
        let mut task = task();
        for n in 0..4 {
            think(&mut task, &format!(r#"{{"tool":"fetch_data","args":{{"url":"{n}"}}}}"#));
            observe(&mut task, json!({}));
        }
        think(&mut task, r#"{"tool":"fetch_data","args":{"url":"5"}}"#);
        assert_eq!(task.next(), Want::Failed(&Failure::Steps(4)));
    }

    #[test]
    fn a_reply_that_is_no_call_ends_the_task_and_says_so() {
        let mut task = task();
        think(&mut task, "I would rather not");
        let Want::Failed(failure) = task.next() else { panic!("{task:?}") };
        assert!(failure.to_string().contains("I would rather not"), "{failure}");
    }

    #[test]
    fn what_was_not_asked_for_changes_nothing() {
        let mut task = task();
        let before = task.clone();
        let result = Feed::Observed { result: json!({}), labels: Labels::default() };
        assert!(task.feed(result).is_err());
        assert_eq!(task, before);
    }

    #[test]
    fn a_newer_task_is_refused_with_its_version() {
        let mut value: Value = serde_json::from_slice(&task().to_bytes().unwrap()).unwrap();
        value["v"] = json!(2);
        let error = Task::from_bytes(&serde_json::to_vec(&value).unwrap()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
