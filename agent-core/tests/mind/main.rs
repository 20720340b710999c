//! The mind as a whole, with a scripted model and a scripted steward, over real sockets and a real
//! store.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

mod answers;
mod arguments;
mod below;
mod desk;
mod http;
mod memory;
mod owner;
mod pays;
mod programs;
mod questions;
mod resume;
mod tools;
mod turns;
mod window;

use desk::Desk;
use marque_agent_core::{Agent, AgentBuilder};
use marque_models::Scripted;
use std::{path::Path, sync::Arc, time::Duration};

/// An agent `scout` that thinks as the script says.
fn scout(desk: &Arc<Desk>, dir: &Path, script: &[&str]) -> AgentBuilder {
    Agent::builder("scout")
        .model(Arc::new(Scripted::new(script.iter().copied())))
        .steward(Arc::clone(desk) as Arc<_>)
        .mind_dir(dir)
        .patience(Duration::from_millis(200))
}
