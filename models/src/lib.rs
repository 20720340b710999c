//! Local inference on llama.cpp: engine, sequences, constraints, templates, and the built-in
//! model.
//!
//! [`Model`] is what an agent thinks with. [`Llama`] runs a GGUF file in this process: one
//! thread owns the model and its KV cache, callers send it [`Request`]s and await
//! [`Generation`]s. [`Scripted`] answers from a list, for tests. Models behind HTTP implement
//! the same trait elsewhere; this is the only crate that touches llama.cpp.
//!
//! Three promises hold whatever the model does:
//! - text that came from outside never becomes a special token of the model;
//! - under [`Constraint::JsonSchema`] the reply is complete, valid JSON of that schema, or an
//!   error;
//! - nothing is truncated silently: what does not fit is refused with the figures.
//!
//! ```no_run
//! use marque_models::{Llama, Message, Model, Request};
//!
//! # async fn example() -> Result<(), marque_models::ModelError> {
//! let model = Llama::built_in()?;
//! let request = Request::new(vec![
//!     Message::system("get_balance() show wallet balance\nfinish(answer) done, report the answer"),
//!     Message::user("What is my balance?"),
//! ]);
//! println!("{}", model.generate(request).await?.text);
//! # Ok(())
//! # }
//! ```

mod backend;
mod bite;
mod built_in;
mod cache;
mod channel;
mod constraint;
mod description;
mod embedding;
mod engine;
mod error;
pub mod exact;
#[cfg(test)]
mod families;
mod footprint;
pub mod gguf;
mod guard;
mod lanes;
mod llama;
#[doc(hidden)]
pub mod measure;
mod message;
mod model;
mod number;
mod parked;
mod prompt;
mod ranking;
mod request;
mod sampler;
mod scripted;
mod sequence;
mod stats;
mod stream;
pub mod synthetic;
mod template;
mod threads;
pub mod trial;
mod writer;

pub use crate::description::{Description, Exactness, Share, Template};
pub use crate::error::ModelError;
pub use crate::footprint::{Footprint, available, memory};
pub use crate::llama::{Llama, LlamaOptions, Profile};
pub use crate::message::{Message, Role, ToolCall, ToolDefinition};
pub use crate::model::{Model, ModelInfo, SessionId};
pub use crate::parked::Parked;
pub use crate::request::{
    Cancel, Constraint, Generation, Request, Sampling, Stop, Thinking, Trace, TracedToken, Usage,
};
pub use crate::scripted::Scripted;
pub use crate::sequence::Sequence;
pub use crate::stats::Stats;
pub use crate::stream::{Delta, Deltas, Sink, partial_json};
