//! Both sides of the counter: an x402 v2 buyer and an x402 v2 seller.
//!
//! This crate turns what strangers write on the wire into intents, and what the steward signs back
//! into wire. It holds no key and decides nothing about money: the [`Buyer`] proposes
//! `Intent::Authorise` and the [`Seller`] proposes `Intent::Settle`, each to its own agent's
//! steward, through the small [`Authority`] trait that the steward's client implements.
//!
//! What it adds on the buyer's side is disbelief: a 402 answer is compared with the request that
//! was made and with the policy's own names before anything is proposed. What it adds on the
//! seller's side is order: settle first, deliver once, and deliver the same goods again to whoever
//! lost the connection.

pub mod authority;
pub mod buyer;
mod error;
pub mod facilitator;
pub mod seller;
pub mod signed_payment;
pub mod verify;
pub mod x402;

pub use authority::Authority;
pub use buyer::{Asked, Buyer, Claim, Deal, Errand, Paid, Purchase, Quote, quote};
pub use error::{Objection, PaymentError, Rule, Undelivered};
pub use facilitator::Facilitator;
pub use seller::{Confirm, Meter, Paywall, Seller, Settlement};
