//! Inference for hire: an idle machine's model behind an OpenAI-compatible endpoint, paid per
//! completion, and the buyer who hires it.
//!
//! A [`Worker`] quotes `max_tokens × price` before it computes anything, is paid through the x402
//! paywall of `marque-payments`, and answers as any OpenAI-compatible server would, so other
//! clients can use it as well. [`hire()`] is the other side: it asks, pays within an errand, and
//! reads the answer as a stranger's.
//!
//! What is bought is a completion by the model that the worker says it runs. Nothing here proves
//! that it ran that model.

pub mod chat;
mod error;
pub mod hire;
pub mod worker;

pub use error::ComputeError;
pub use hire::{Completion, Job, hire};
pub use worker::Worker;
