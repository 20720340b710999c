//! The Delegation Framework on a real chain, from its npm package, and the enforcer of our own in it.

#![cfg(test)]

mod estate;
mod framework;
mod gas;
mod model;
mod permission;
mod revoke;
mod rolling_spend;
#[path = "../support/mod.rs"]
mod support;
