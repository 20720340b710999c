//! Whole-system tests: a real chain, real processes, a real model, real kills.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

mod account;
mod account_ends;
mod audit;
mod behind;
mod blocked;
mod canary;
mod command;
mod counter;
mod covers;
mod dear;
mod demo;
mod doctor;
mod door;
mod examples;
mod float;
mod float_owner;
mod injection;
mod keeping;
mod killed_mind;
mod layers;
mod lies;
mod messages;
mod models;
mod newcomer;
mod once;
mod owner;
mod owner_sends;
mod policy;
mod readme;
mod revoking;
mod robbed_endpoint;
mod robbed_home;
mod robbed_host;
mod robber;
mod selling;
mod service;
mod support;
mod tampering;
mod tools;
mod town;
mod worker;
