//! The vocabulary of one completion: what is asked, under which constraint, and what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::message::{Message, ToolDefinition};
use crate::model::SessionId;
use crate::stream::{self, Deltas, Sink};

/// One completion to compute.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose work may be reused; `None` computes everything afresh.
    pub session: Option<SessionId>,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// What the model is told it may call, in the way that it was trained to be told. That says
    /// nothing about what a reply may hold: a [`Constraint`] does.
    pub tools: Vec<ToolDefinition>,
    /// What the reply must look like.
    pub constraint: Constraint,
    /// The most tokens that the reply may have; at least 1.
    pub max_tokens: u32,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Free text that comes before the reply proper, as reasoning models write it.
    pub thinking: Option<Thinking>,
    /// Texts that end a free reply; they are not part of it.
    pub stop: Vec<String>,
    /// What is written down about each token.
    pub trace: Trace,
    /// Who hears the reply while it is written.
    pub sink: Option<Sink>,
    /// Stops the work early.
    pub cancel: Cancel,
}

impl Request {
    /// Asks for a free, greedy reply of at most 256 tokens.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            session: None,
            messages,
            tools: Vec::new(),
            constraint: Constraint::None,
            max_tokens: 256,
            sampling: Sampling::default(),
            thinking: None,
            stop: Vec::new(),
            trace: Trace::default(),
            sink: None,
            cancel: Cancel::default(),
        }
    }

    /// Names the session whose work may be reused.
    #[must_use]
    pub fn session(mut self, session: impl Into<SessionId>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Tells the model of a tool.
    #[must_use]
    pub fn tool(mut self, tool: ToolDefinition) -> Self {
        self.tools.push(tool);
        self
    }

    /// Wants a reply that is JSON of this schema, without white space between its tokens.
    #[must_use]
    pub fn json_schema(mut self, schema: Value) -> Self {
        self.constraint = Constraint::JsonSchema(schema);
        self
    }

    /// Sets what the reply must look like.
    #[must_use]
    pub fn constraint(mut self, constraint: Constraint) -> Self {
        self.constraint = constraint;
        self
    }

    /// Lets the model write freely first; the constraint holds for what follows.
    #[must_use]
    pub fn thinking(mut self, thinking: Thinking) -> Self {
        self.thinking = Some(thinking);
        self
    }

    /// Ends a free reply before this text.
    #[must_use]
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stop.push(text.into());
        self
    }

    /// Sets what is written down about each token.
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Lets the returned receiver hear the reply while it is written.
    #[must_use]
    pub fn stream(mut self) -> (Self, Deltas) {
        let (sink, deltas) = stream::pair();
        self.sink = Some(sink);
        (self, deltas)
    }

    /// Sets the most tokens that the reply may have.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = max_tokens;
        self
    }

    /// Sets how the next token is chosen.
    #[must_use]
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Lets `cancel` stop the work.
    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }
}

/// What a reply must look like.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Constraint {
    /// Anything.
    #[default]
    None,
    /// JSON of this schema. A schema that the grammar engine cannot hold exactly is refused.
    JsonSchema(Value),
    /// A text that this regular expression matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of this grammar in llama.cpp's notation, whose first rule is `root`. Slower than
    /// the others, and for grammars that they cannot express.
    Gbnf(String),
}

/// How the next token is chosen. The default takes the likeliest one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 takes the likeliest token; 1 samples from the model's own distribution.
    pub temperature: f32,
    /// Start of the pseudo-random sequence. In the profile `exact` the same request and seed give
    /// the same reply; in `fast` they do as long as the model serves nobody else, since the
    /// company of other requests changes the last bits of the logits.
    pub seed: u64,
    /// Draws from this many of the likeliest tokens; 0 from all.
    pub top_k: u32,
    /// Draws from the likeliest tokens that together have this probability; 1 from all.
    pub top_p: f32,
    /// Draws from tokens that have at least this share of the likeliest one's probability; 0 from
    /// all.
    pub min_p: f32,
    /// Divides the positive and multiplies the negative logits of what was written before in this
    /// reply; 1 leaves them.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            seed: 0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
        }
    }
}

/// Free text before the reply proper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinking {
    /// What ends it, for example `</think>`. May name a control token of the model. `None` goes by
    /// the model file, and is refused where that marks no thoughts.
    #[serde(default)]
    pub end: Option<String>,
    /// The most tokens of it; then the end is written for the model.
    pub max_tokens: u32,
}

impl Thinking {
    /// Thinks as the model file says, with at most this many tokens.
    #[must_use]
    pub fn new(max_tokens: u32) -> Self {
        Self { end: None, max_tokens }
    }
}

/// What is written down about each token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The logarithm of the token's probability, and those of this many likeliest ones. At most
    /// [`Trace::MAX_ALTERNATIVES`].
    pub logprobs: Option<u8>,
    /// SHA-256 of the logits that the token was drawn from, as 32-bit floats in little-endian
    /// order. What makes a computation in the profile `exact` checkable.
    pub digests: bool,
}

impl Trace {
    /// Most alternatives of a token.
    pub const MAX_ALTERNATIVES: u8 = 20;
}

/// A flag that stops work early; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    changed: Notify,
}

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// Waits until the flag is set.
    pub async fn cancelled(&self) {
        // Made before the flag is read, so that no change falls between the two.
        let changed = self.0.changed.notified();
        if !self.is_cancelled() {
            changed.await;
        }
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The text, without control tokens.
    pub text: String,
    /// What the model wrote before it, where [`Thinking`] was allowed; without its end.
    #[serde(default)]
    pub thinking: String,
    /// What it took.
    pub usage: Usage,
    /// Why it ended.
    pub stop: Stop,
    /// The tokens, if a [`Trace`] was asked for.
    #[serde(default)]
    pub tokens: Vec<TracedToken>,
}

/// A token of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracedToken {
    /// Its number in the vocabulary.
    pub token: u32,
    /// The natural logarithm of its probability before sampling controls and constraints.
    pub logprob: Option<f64>,
    /// The likeliest tokens and the logarithms of their probabilities.
    pub likeliest: Vec<(u32, f64)>,
    /// SHA-256 of the logits, in lower-case hex.
    pub logits: Option<String>,
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the whole prompt, template included.
    pub prompt_tokens: u32,
    /// How many of them the session had computed before.
    pub reused_tokens: u32,
    /// Tokens that were generated, the one that ended the reply included.
    pub completion_tokens: u32,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The model ended it, a stop text came, or the constraint was complete.
    End,
    /// `max_tokens` or the context was used up. Never under a constraint.
    Length,
}
