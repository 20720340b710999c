//! The loop as a step machine without I/O.
//!
//! A [`Task`] says what it wants next and is fed what came of it. It can be written down after any
//! transition and read again by a later process, which then wants exactly the same thing. That is
//! all there is to resuming: there is no second path.
//!
//! Each call is a step of its own, also where the model made several in one reply, so that the ids
//! of its intents follow from its place alone. What such calls bring joins the conversation
//! together, once all of them are back.
//!
//! INVARIANT: a step whose result was fed is never acted on again, and a call that was not yet
//! answered keeps its step number and its labels, so its intents keep their ids and their bodies
//! (pinned by `tests/mind/resume.rs::a_mind_killed_at_any_edge_proposes_the_same_ids_and_repeats_no_result`).

mod kept;
mod limits;

pub use limits::{Failure, TaskLimits};

use crate::{
    AgentError,
    call::{Call, FINISH},
    context,
};
use marque_models::Message;
use marque_policies::{Label, Labels};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// The version in which tasks are written. Newer ones are refused, older ones are read.
pub const VERSION: u16 = 2;

/// The longest name of a task, in bytes: the protocol's limit.
pub const MAX_ID: usize = 128;

/// The longest circle that is looked for, in calls.
const CIRCLE: usize = 4;

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
    #[serde(default)]
    used: Used,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    state: State,
}

/// A call and what it brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What was called.
    pub call: Call,
    /// What the model is shown of the result.
    pub result: Value,
    /// Whether it was called in the same reply as the step before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alongside: bool,
}

/// What a task has taken so far, over all its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Tokens that the model read and wrote.
    pub tokens: u64,
    /// Time at work.
    pub time: Duration,
}

/// Steps that the model is shown in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    /// How many, from the first.
    steps: usize,
    /// What is left of them.
    summary: Value,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Thinking,
    Acting(Vec<Pending>),
    Done(Map<String, Value>),
    Failed(Failure),
}

/// A call of the reply under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    call: Call,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observed: Option<Observed>,
}

/// What one brought, while others are not back yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Observed {
    result: Value,
    labels: Labels,
}

/// What a task wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Want<'a> {
    /// The model's next reply to [`Task::messages`].
    Think,
    /// The results of these calls, in any order, each with its step, from which the ids of its
    /// intents follow.
    Act(Vec<(u32, &'a Call)>),
    /// Nothing: the arguments of `finish`.
    Done(&'a Map<String, Value>),
    /// Nothing any more.
    Failed(&'a Failure),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// The model's reply.
    Thought {
        /// What it wrote.
        text: String,
        /// Tokens that it read and wrote.
        tokens: u64,
    },
    /// The result of a call, as the model will be shown it.
    Observed {
        /// The call's step.
        step: u32,
        /// What came back.
        result: Value,
        /// Where it came from.
        labels: Labels,
    },
    /// A limit was reached on the way.
    Over(Failure),
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
            return Err(no_name(id));
        }
        Ok(Self {
            v: VERSION,
            id: id.to_owned(),
            goal: goal.to_owned(),
            limits,
            steps: Vec::new(),
            labels: Labels::default().with(Label::Owner),
            used: Used::default(),
            checkpoint: None,
            state: State::Thinking,
        })
    }

    /// Refuses what whoever begins a task cannot call it: as [`Task::new`], and a name with a `/`, which
    /// the tasks below others have.
    ///
    /// # Errors
    /// [`AgentError::TaskName`].
    pub fn vet_name(name: &str) -> Result<(), AgentError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if plain && (1..=MAX_ID).contains(&name.len()) { Ok(()) } else { Err(no_name(name)) }
    }

    /// The same, where the goal was made from what has these labels.
    #[must_use]
    pub fn labelled(mut self, labels: &Labels) -> Self {
        self.join(labels);
        self
    }

    /// Takes labels on that were not known when it began.
    pub(crate) fn join(&mut self, labels: &Labels) {
        self.labels = std::mem::take(&mut self.labels).join(labels);
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self) -> Want<'_> {
        match &self.state {
            State::Thinking => Want::Think,
            State::Acting(calls) => {
                let due = (self.step()..).zip(calls);
                let due = due.filter(|(_, pending)| pending.observed.is_none());
                Want::Act(due.map(|(step, pending)| (step, &pending.call)).collect())
            }
            State::Done(answer) => Want::Done(answer),
            State::Failed(failure) => Want::Failed(failure),
        }
    }

    /// Goes on with what came of it, and the time that it took.
    ///
    /// # Errors
    /// [`AgentError::OutOfTurn`] for an answer to something that was not asked; nothing changes.
    pub fn feed(&mut self, feed: Feed, took: Duration) -> Result<(), AgentError> {
        match feed {
            Feed::Thought { text, tokens } => {
                if self.state != State::Thinking {
                    return Err(AgentError::OutOfTurn("a thought"));
                }
                self.join(&Labels::default().with(Label::Model));
                self.used.tokens = self.used.tokens.saturating_add(tokens);
                self.state = self.judge(&text);
            }
            Feed::Observed { step, result, labels } => {
                let first = self.step();
                let place = step.checked_sub(first).and_then(|place| usize::try_from(place).ok());
                let State::Acting(calls) = &mut self.state else {
                    return Err(AgentError::OutOfTurn("a result"));
                };
                let pending = place.and_then(|place| calls.get_mut(place));
                let Some(pending) = pending.filter(|pending| pending.observed.is_none()) else {
                    return Err(AgentError::OutOfTurn("a result"));
                };
                pending.observed = Some(Observed { result, labels });
                self.settle();
            }
            Feed::Over(failure) => {
                if self.is_over() {
                    return Err(AgentError::OutOfTurn("an end"));
                }
                self.state = State::Failed(failure);
            }
        }
        self.used.time = self.used.time.saturating_add(took);
        if self.state == State::Thinking
            && let Some(failure) = self.exhausted()
        {
            self.state = State::Failed(failure);
        }
        Ok(())
    }

    /// Counts tokens that goals below took.
    pub(crate) fn count(&mut self, tokens: u64) {
        self.used.tokens = self.used.tokens.saturating_add(tokens);
    }

    /// Takes on limits that are lower than its own, as an owner has lowered them since it began.
    pub(crate) fn tighten(&mut self, limits: &TaskLimits) {
        let own = &mut self.limits;
        own.steps = own.steps.min(limits.steps);
        own.timeout = own.timeout.min(limits.timeout);
        own.tokens = own.tokens.into_iter().chain(limits.tokens).min();
        own.time = own.time.into_iter().chain(limits.time).min();
    }

    /// Takes the calls of a reply into the conversation once all of them are back.
    fn settle(&mut self) {
        let State::Acting(calls) = &mut self.state else { return };
        if calls.iter().any(|pending| pending.observed.is_none()) {
            return;
        }
        for (place, Pending { call, observed }) in std::mem::take(calls).into_iter().enumerate() {
            let Some(Observed { result, labels }) = observed else { continue };
            self.steps.push(Step { call, result, alongside: place > 0 });
            self.join(&labels);
        }
        self.state = State::Thinking;
    }

    /// The state that follows from a reply.
    fn judge(&self, text: &str) -> State {
        let calls = match Call::parse(text) {
            Ok(calls) => calls,
            Err(why) => {
                let text = text.chars().take(200).collect();
                return State::Failed(Failure::Unreadable { text, why });
            }
        };
        if let [Call { tool, args }] = calls.as_slice()
            && tool == FINISH
        {
            return State::Done(args.clone());
        }
        if let Some(failure) = self.exhausted() {
            return State::Failed(failure);
        }
        let steps = self.steps.len().saturating_add(calls.len());
        if steps > self.limits.steps as usize {
            return State::Failed(Failure::Steps(self.limits.steps));
        }
        if let Some(circle) = calls.first().and_then(|call| self.circle(call)) {
            return State::Failed(Failure::Circle(circle));
        }
        for (place, call) in calls.iter().enumerate() {
            let before = self.steps.iter().map(|step| &step.call);
            let before = before.chain(calls.iter().take(place)).filter(|other| *other == call);
            if before.count().saturating_add(1) >= self.limits.repeats.max(2) as usize {
                return State::Failed(Failure::Repeated(call.clone()));
            }
        }
        State::Acting(calls.into_iter().map(|call| Pending { call, observed: None }).collect())
    }

    /// The circle that `next` would begin a third time: the same calls in turn, with the same
    /// results, twice.
    fn circle(&self, next: &Call) -> Option<Vec<Call>> {
        (2..=CIRCLE).find_map(|length| {
            let start = self.steps.len().checked_sub(length.saturating_mul(2))?;
            let (first, second) = self.steps.get(start..)?.split_at_checked(length)?;
            let mut pairs = first.iter().zip(second);
            let same =
                pairs.all(|(one, other)| one.call == other.call && one.result == other.result);
            let again = first.first().is_some_and(|step| step.call == *next);
            (same && again).then(|| first.iter().map(|step| step.call.clone()).collect())
        })
    }

    /// The limit that is used up, if one is.
    fn exhausted(&self) -> Option<Failure> {
        let TaskLimits { tokens, time, .. } = self.limits;
        let tokens = tokens.filter(|limit| self.used.tokens >= *limit).map(Failure::Tokens);
        tokens.or_else(|| time.filter(|limit| self.used.time >= *limit).map(Failure::Time))
    }

    /// The conversation that the model continues, after the frame.
    #[must_use]
    pub fn messages(&self, frame: Option<&Message>) -> Vec<Message> {
        let mut messages: Vec<_> = frame.cloned().into_iter().collect();
        messages.push(Message::user(&self.goal));
        let mut rest = self.steps.as_slice();
        if let Some(Checkpoint { steps, summary }) = &self.checkpoint {
            messages.push(Message::assistant(context::SUMMARY));
            messages.push(Message::tool(summary.to_string()));
            rest = rest.get(*steps..).unwrap_or_default();
        }
        for turn in rest.chunk_by(|_, next| next.alongside) {
            let calls: Vec<_> = turn.iter().map(|step| &step.call).collect();
            messages.push(Message::assistant(Call::reply(&calls)));
            messages.extend(turn.iter().map(|step| Message::tool(step.result.to_string())));
        }
        messages
    }

    /// Shows all but the newest turn in short from now on, in at most `room` characters. Says
    /// whether that is shorter than before.
    pub(crate) fn summarise(&mut self, room: usize) -> bool {
        let newest = self.steps.iter().rposition(|step| !step.alongside).unwrap_or(0);
        let Some(before) = self.steps.get(..newest).filter(|before| !before.is_empty()) else {
            return false;
        };
        let checkpoint = Checkpoint { steps: newest, summary: context::summary(before, room) };
        let shorter = self.checkpoint.as_ref().is_none_or(|held| {
            held.steps < newest
                || held.summary.to_string().len() > checkpoint.summary.to_string().len()
        });
        if shorter {
            self.checkpoint = Some(checkpoint);
        }
        shorter
    }

    /// The number of the first step under way, from 0.
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

    /// When it gives up.
    #[must_use]
    pub const fn limits(&self) -> &TaskLimits {
        &self.limits
    }

    /// What it has taken so far, over all its runs.
    #[must_use]
    pub const fn used(&self) -> Used {
        self.used
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

fn no_name(name: &str) -> AgentError {
    AgentError::TaskName(name.escape_debug().take(MAX_ID).collect())
}

#[cfg(test)]
mod tests;
