//! Every contract that Marque speaks to: Solidity of our own with its artifacts, Rust bindings, and
//! the EIP-712 messages that are signed for them.
//!
//! - [`token`]: ERC-20, EIP-3009 and the development dollar; the message of a payment.
//! - [`permit2`]: Permit2 and the x402 proxies that draw on it; the message of a permit.
//! - [`registry`]: the identity registry of ERC-8004; the message by which a wallet agrees to it.
//! - [`delegation`]: accounts that delegate under caveats; the message of a delegation.
//! - [`recover()`]: who signed a digest, by the rules that the contracts apply themselves.
//! - [`Contract`]: the creation code of what Marque deploys on a development chain, and
//!   [`everywhere`] the code of what public chains have at one address and it lacks.
//!
//! There is no key here, and no I/O but the reading of one npm package: what goes to a chain is
//! encoded with [`SolCall`](alloy_sol_types::SolCall), what comes back is decoded with it, and logs
//! with [`SolEvent`](alloy_sol_types::SolEvent).
//!
//! INVARIANT: a binding has no function, event or error that the compiled contract lacks; a changed
//! argument type in the Solidity fails `bindings_are_those_of_the_compiled_contracts`.

mod artifact;
pub mod delegation;
pub mod permit2;
mod recover;
pub mod registry;
pub mod token;

pub use artifact::{Contract, bytecode, everywhere};
pub use recover::{SignatureError, recover};
pub use registry::{IdentityRegistry, agent_wallet_set_digest};
pub use token::{
    Authorization, IERC20, IERC3009, IERC3009Bytes, TestDollar, TokenDomain, eip3009_cancel_digest,
    eip3009_digest,
};
