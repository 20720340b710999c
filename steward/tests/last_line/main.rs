//! The chain as the last line, on a real anvil whose time the test sets: what whoever stole the whole
//! host can take, that the chain and the steward judge payments alike, and what it all costs.

#![cfg(test)]
#[path = "../support/dice.rs"]
#[expect(dead_code, reason = "each test uses a part of it")]
mod dice;
mod differential;
#[path = "../../../contracts/tests/delegation/estate.rs"]
#[expect(dead_code, reason = "the contracts' tests use all of it")]
mod estate;
mod gas;
mod ledger;
mod rooms;
#[path = "../../../contracts/tests/support/mod.rs"]
#[expect(dead_code, reason = "the contracts' tests use all of it")]
mod support;
mod thief;
