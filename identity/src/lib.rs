//! Who is who on chain: the RPC client, ERC-8004 registration and resolution, agent cards.
//!
//! - [`Rpc`] asks the endpoints that the owner's policy names, and nobody else. It reads, and it
//!   broadcasts bytes that somebody signed; it holds no key and no nonce.
//! - [`registry`] resolves an agent id to its owner and wallet, and builds the calls of an owner who
//!   registers one.
//! - [`account`] compiles a policy into what the owner's account on chain lets the agent draw, and
//!   reads how that stands.
//! - [`directory`] lists who is registered, by the registry's events.
//! - [`card`] is the registration file that an agent's id points to.
//! - [`devnet`] runs a development chain.
//!
//! What a chain answers is believed only as far as an endpoint can be: who needs more asks each
//! endpoint by itself ([`Rpc::each`]) and compares.

pub mod account;
pub mod card;
mod chain;
pub mod devnet;
pub mod directory;
mod error;
mod permit2;
mod probe;
mod receipt;
pub mod registry;
mod rpc;
mod token;

pub use card::Card;
pub use chain::{Block, BlockTag, Fees};
pub use devnet::Devnet;
pub use directory::Directory;
pub use error::IdentityError;
pub use permit2::{Outgoing, Sent};
pub use probe::TokenFacts;
pub use receipt::Receipt;
pub use rpc::Rpc;
pub use token::{Incoming, Settled};
