//! The authority: ledger, journal, approvals, signing, chain submission and reconciliation.
//!
//! The mind proposes, the steward disposes. A steward alone holds the keys, the adopted policies,
//! the ledger and the journal of one owner on one host. It accepts intents, never hashes: it
//! decides, reserves, journals, and only then builds and signs the bytes itself.
//!
//! - [`entry`] says what the journal says, [`state`] is the fold over it, [`core`] the pure step
//!   from an event to entries, an effect and a reply.
//! - [`journal`] makes entries durable and provable. It knows bytes, not meanings.
//! - [`Steward`] is the driver: one authority thread that decides, journals and signs, a socket for
//!   each agent, and the reconciliation with the chain.
//! - [`home`] is the folder, [`hardening`] the walls, [`audit`] reads a journal without a steward,
//!   [`check`] recomputes a home from it, [`replay`] judges it by another policy.

pub mod audit;
mod authority;
mod canonical;
pub mod check;
mod clock;
mod copies;
pub mod core;
mod desk;
pub mod entry;
mod error;
mod failpoint;
mod float;
mod gather;
pub mod hardening;
pub mod home;
mod incoming;
mod index;
pub mod journal;
mod keys;
mod links;
#[doc(hidden)]
pub mod measure;
mod offline;
mod opening;
mod outbox;
mod outflow;
mod permits;
mod reconcile;
pub mod replay;
mod server;
mod signer;
pub mod state;
mod steward;
mod withdraw;

pub use entry::{Body, Entry, Word};
pub use error::StewardError;
pub use hardening::Walls;
pub use home::Home;
pub use marque_identity_keys::SecretString;
pub use offline::submit_offline;
pub use server::Minds;
pub use state::State;
pub use steward::{Options, Steward};
