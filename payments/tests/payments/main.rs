//! Payments from outside: the wire, each side of the counter against a scripted other, and both.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod buyer;
mod carriers;
mod counter;
mod facilitator;
mod fuzz;
mod lies;
mod seller;
mod settling;
mod support;
mod wire;
