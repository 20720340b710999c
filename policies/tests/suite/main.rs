//! What the policy crate promises: its rules, its laws, its language and its drafts.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may fail the test"
)]

mod agentdojo;
mod aloud;
mod cedar;
mod corpus;
mod decide;
mod diff;
mod documentation;
mod drafts;
mod forbids;
mod laws;
mod reading;
mod reference;
mod robbery;
mod schema;
mod sketch;
mod structuring;
mod support;
mod trial;
