//! Why an agent could not be opened, or a run ended without an answer.

use crate::task::{Failure, MAX_ID};
use marque_models::ModelError;
use marque_net::NetError;
use marque_payments::PaymentError;
use marque_policies::{IntentId, Row, verdict::Mark};
use marque_steward_client::ClientError;
use marque_store::StoreError;
use std::path::PathBuf;

/// How an error says what brings a task on that had to stop. Whoever runs tasks again by itself says
/// something else in its place.
pub const RUN_AGAIN: &str = "run the task again";

/// Why an agent could not be opened, or a run ended without an answer.
///
/// After [`AgentError::Held`], [`AgentError::Asked`], [`AgentError::Frozen`], [`AgentError::Steward`] and anything that
/// went wrong with memory or model the task is unfinished, not lost: running it again goes on where
/// it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The agent's name cannot be one.
    #[error(
        "\"{0}\" is not a name for an agent; use up to 32 lower-case letters, digits and \"-\""
    )]
    Name(String),
    /// Nobody said where agents live.
    #[error("MARQUE_HOME is not set; start the program through `#[marque::main]` or set it")]
    Home,
    /// There is no such agent.
    #[error("no agent \"{name}\" in {}; make one with `marque new {name}`", home.display())]
    Unknown {
        /// The name.
        name: String,
        /// The home that was looked at.
        home: PathBuf,
    },
    /// Somebody works with its memory: an agent is open once at a time.
    #[error(
        "{0} is at work already, in another process or in this one; wait until it is done, clone the \
         `Agent` that is open, or make another: marque new NAME"
    )]
    AtWork(String),
    /// No policy of this agent is in force, as far as can be seen.
    #[error(
        "no steward serves {0}: its policy is not in force yet (marque policy adopt {0}), or no steward \
         runs here (marque steward run)"
    )]
    Unserved(String),
    /// The policy in force names no such account.
    #[error(
        "no steward serves the account {name}: the policy of {agent} that is in force has no \
         [sub_agent.{name}], or no steward runs here (marque steward run)"
    )]
    NoAccount {
        /// The agent.
        agent: String,
        /// The account below it.
        name: String,
    },
    /// `agent.toml` cannot be used.
    #[error("{}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// One line that says what and where.
        why: String,
    },
    /// The builder lacks a part.
    #[error("the agent has no {0}; give the builder one")]
    Incomplete(&'static str),
    /// The steward could not be connected to.
    #[error(transparent)]
    Connect(#[from] ClientError),
    /// The steward could not be asked, or did not accept the question.
    #[error(transparent)]
    Steward(PaymentError),
    /// The steward is frozen.
    #[error("the steward is frozen since journal entry {0}; the owner thaws it with `marque thaw`")]
    Frozen(u64),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Spans cannot be exported.
    #[error("OpenTelemetry collector {0}; write its base URL, like http://127.0.0.1:4318")]
    Telemetry(String),
    /// The network could not be set up.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The tasks could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mind's folder could not be read or written.
    #[error("memory: {0}")]
    Memory(String),
    /// A kept task cannot be read.
    #[error("a kept task cannot be read: {0}")]
    TaskUnreadable(String),
    /// The task's name cannot be one.
    #[error(
        "\"{0}\" is not a name for a task; use 1 to {MAX_ID} printable ASCII characters without blanks, and \
         no \"/\", which the tasks below others have"
    )]
    TaskName(String),
    /// No task has this name.
    #[error("there is no task \"{0}\"")]
    NoTask(String),
    /// A task of this name has another goal.
    #[error("task \"{id}\" has another goal: \"{goal}\"; name the new task differently")]
    OtherGoal {
        /// The task's name.
        id: String,
        /// The goal that it has.
        goal: String,
    },
    /// The task is being run already.
    #[error("task \"{0}\" is being run already")]
    Running(String),
    /// The step machine was fed what it had not asked for.
    #[error("the task was fed {0} that it had not asked for")]
    OutOfTurn(&'static str),
    /// A tool cannot be offered.
    #[error("the tool \"{name}\" cannot be offered: {why}")]
    Tool {
        /// The tool.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A recording cannot be written or read.
    #[error("the recording {}: {why}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A tool takes a state that the agent was not given.
    #[error("the tool \"{tool}\" needs a {ty}: give it with `agent.state(..)`")]
    State {
        /// The tool.
        tool: String,
        /// The type.
        ty: &'static str,
    },
    /// The answer's type has no flat schema.
    #[error("an answer of type {0} cannot be asked for: the type contains itself")]
    AnswerType(&'static str),
    /// The conversation does not fit into the model's context.
    #[error(
        "the conversation needs {tokens} tokens and the model holds {limit} beside its reply; \
         permit fewer tools, shorten the goal or take a model with a longer context"
    )]
    Context {
        /// Tokens needed, or a lower bound.
        tokens: usize,
        /// Tokens that there are.
        limit: usize,
    },
    /// A call that pays for something took too long. Running the task again asks for the same goods,
    /// with the same payment.
    #[error(
        "\"{tool}\" brought nothing within {} s and has paid for something; {RUN_AGAIN}, which \
         pays nothing twice", .limit.as_secs_f32()
    )]
    Slow {
        /// The tool.
        tool: String,
        /// The limit.
        limit: std::time::Duration,
    },
    /// Goals lie too deep below each other.
    #[error("a goal below a goal may lie {0} deep, and this one lies deeper")]
    Deep(usize),
    /// A goal below another had to stop for a reason that ends the run of that one as well.
    #[error("{0}")]
    Interrupted(String),
    /// The owner has not decided yet.
    #[error(
        "intent {id} is held for the owner ({}); {RUN_AGAIN} once it is approved", asked(.table)
    )]
    Held {
        /// The held intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The owner has not answered a question yet.
    #[error("question {id} waits for the owner's answer; {RUN_AGAIN} once it is answered")]
    Asked {
        /// By which it is answered.
        id: String,
        /// The agent's words.
        question: String,
    },
    /// The built-in model found nothing to do, which it was trained to say and is no answer.
    #[error(
        "the model has no tool for the goal of task \"{0}\"; say it more plainly, permit the tool that it \
         takes ([[tool]] in the policy), or take a larger model (agent.toml)"
    )]
    AtALoss(String),
    /// The task ended without an answer.
    #[error("task \"{task}\" failed: {failure}")]
    Failed {
        /// The task's name.
        task: String,
        /// Why.
        failure: Failure,
    },
    /// The answer is not of the wanted type.
    #[error("the answer of task \"{task}\" is no {wanted}: {why}")]
    Answer {
        /// The task's name.
        task: String,
        /// The wanted type.
        wanted: &'static str,
        /// What does not fit.
        why: String,
    },
}

/// The rules that ask, by name.
fn asked(table: &[Row]) -> String {
    let rules: Vec<_> =
        table.iter().filter(|row| row.mark == Mark::Ask).map(|row| row.rule.as_str()).collect();
    rules.join(", ")
}

impl AgentError {
    /// Whether the task that ended with this is unfinished, and goes on when it is run again.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        !matches!(
            self,
            Self::Failed { .. }
                | Self::Answer { .. }
                | Self::AnswerType(_)
                | Self::AtALoss(_)
                | Self::Context { .. }
                | Self::Deep(_)
                | Self::NoTask(_)
                | Self::OtherGoal { .. }
                | Self::TaskName(_)
                | Self::Tool { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_finds_the_memory_in_use_waits_and_does_not_fail() {
        assert!(AgentError::AtWork("scout".to_owned()).is_passing());
        assert!(AgentError::Store(StoreError::Locked("mind/tasks".into())).is_passing());
        assert!(!AgentError::NoTask("wind".to_owned()).is_passing());
    }
}
