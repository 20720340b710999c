//! The built-in tools, each as a model calls it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

mod built_in;
mod each;
mod policy;
mod support;
