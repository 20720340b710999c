//! Whole-system tests: a real chain, real processes, a real model, real kills.

mod command;
mod demo;
mod layers;
mod lies;
mod once;
mod readme;
mod robber;
mod support;
mod tampering;
