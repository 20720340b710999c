//! The mind: think, propose, act, observe.
//!
//! Everything in this crate is untrusted. It holds no key and decides nothing about money: whatever
//! a model, a page or a peer makes of it, an effect happens only after the steward has allowed the
//! intent that names it.
//!
//! - [`Agent`] opens an agent, takes tools and runs goals to a typed answer.
//! - [`Task`] is the loop itself: a serialisable step machine without I/O. The driver stores it
//!   after every transition, before it goes on, so that a killed mind takes up where it was, with
//!   the same intents under the same ids.
//! - [`Tool`] is what a model can call, [`Cx`] is a tool's only way out: to the network, to money,
//!   to memory. Each request is proposed before it is made.
//! - The model writes its calls under a grammar of the tools that the policy permits at that
//!   moment, so a call is always one that could be allowed.
//! - [`fence`](mod@fence) takes from the process what a mind never needs, before it loads a model.

mod act;
mod agent;
mod below;
mod call;
mod config;
mod context;
mod cx;
mod drive;
mod error;
mod event;
pub mod fence;
pub mod files;
mod http;
mod memory;
pub mod notice;
#[cfg(feature = "otel")]
pub mod otel;
#[doc(hidden)]
pub mod private;
mod prompt;
mod purse;
pub mod questions;
mod remote;
mod schema;
mod spent;
mod state;
mod steward;
mod stream;
mod tape;
pub mod task;
mod tool;

pub use agent::{Agent, AgentBuilder};
pub use call::Call;
pub use config::{granted_files, key_file, model_file};
pub use cx::{Cx, Response, Transferred};
pub use error::{AgentError, RUN_AGAIN};
pub use event::Event;
pub use files::Files;
pub use http::{Http, Price, RequestBuilder};
pub use memory::{Memorised, Recalled};
pub use private as __private;
pub use remote::{Remote, RemoteOptions};
pub use spent::{Cost, Part, Spending, Spent};
pub use state::{State, States};
pub use steward::Steward;
pub use stream::Run;
pub use task::{Task, TaskLimits};
pub use tool::{Tool, ToolError};
