//! The official x402 packages on the other side of our counter, on a real chain.
//!
//! `@x402/fetch`, `@x402/express` and the official facilitator run unchanged as Node processes; the
//! scripts beside this file only set them up. Each pair is judged by the status, by the goods, and
//! by the balances on chain, to the unit. `make interop` installs the pinned packages and runs all
//! pairs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

/// Where the scripts and the pinned packages are.
const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

mod exact;
mod market;
mod peer;
#[path = "../system/support.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test target uses a part of it")]
mod support;
mod upto;
