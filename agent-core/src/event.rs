//! What an agent is doing, for whoever watches: a story, a log, a screen.

use crate::Call;
use marque_models::Usage;
use marque_policies::{IntentId, Money, Row};
use serde_json::{Map, Value};

/// One thing that happened in a task. Watching changes nothing, and nobody has to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The model is asked for the next step.
    Thinking {
        /// The task's name.
        task: String,
        /// The step, from 0.
        step: u32,
    },
    /// A piece of the model's reply, as it is written. All of them together are the reply, which
    /// is read only once it is whole.
    Text {
        /// The task's name.
        task: String,
        /// The step, from 0.
        step: u32,
        /// The piece.
        text: String,
        /// Whether it is thought and not said.
        thinking: bool,
    },
    /// The model has replied.
    Thought {
        /// The task's name.
        task: String,
        /// The step, from 0.
        step: u32,
        /// The tokens that it took.
        usage: Usage,
    },
    /// The conversation did not fit any more: what was done before the newest turn is shown to the
    /// model in short from now on.
    Checkpoint {
        /// The task's name.
        task: String,
        /// The step under way.
        step: u32,
    },
    /// The model chose a call. Seen again when a task is taken up between call and result.
    Call {
        /// The task's name.
        task: String,
        /// The step, from 0.
        step: u32,
        /// What is called.
        call: Call,
    },
    /// The policy refused something that the call needed.
    Refused {
        /// The task's name.
        task: String,
        /// The refused intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The owner is asked.
    Held {
        /// The task's name.
        task: String,
        /// The held intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The owner is asked something in the agent's own words. It grants nothing.
    Asked {
        /// The task's name.
        task: String,
        /// By which it is answered.
        id: String,
        /// The words.
        question: String,
    },
    /// Something was bought or paid.
    Paid {
        /// The task's name.
        task: String,
        /// The payment.
        id: IntentId,
        /// The payee's name in the policy.
        payee: String,
        /// What was paid.
        amount: Money,
        /// The transaction that settled it, as the seller says.
        transaction: Option<alloy_primitives::B256>,
    },
    /// The call came back, as the model is shown it.
    Result {
        /// The task's name.
        task: String,
        /// The step, from 0.
        step: u32,
        /// The tool.
        tool: String,
        /// What it brought.
        result: Value,
    },
    /// The task has its answer.
    Answer {
        /// The task's name.
        task: String,
        /// The arguments of `finish`.
        answer: Map<String, Value>,
    },
}

impl Event {
    /// The name of the task in which it happened.
    #[must_use]
    pub fn task(&self) -> &str {
        match self {
            Self::Thinking { task, .. }
            | Self::Text { task, .. }
            | Self::Thought { task, .. }
            | Self::Checkpoint { task, .. }
            | Self::Call { task, .. }
            | Self::Refused { task, .. }
            | Self::Held { task, .. }
            | Self::Asked { task, .. }
            | Self::Paid { task, .. }
            | Self::Result { task, .. }
            | Self::Answer { task, .. } => task,
        }
    }
}
