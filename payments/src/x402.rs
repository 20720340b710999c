//! x402 version 2 on HTTP, as specified: three headers, each the base64 of a JSON object.
//!
//! | header | from | holds |
//! |---|---|---|
//! | [`PAYMENT_REQUIRED`] | seller, with status 402 | [`PaymentRequired`] |
//! | [`PAYMENT_SIGNATURE`] | buyer | [`PaymentPayload`] |
//! | [`PAYMENT_RESPONSE`] | seller | [`SettlementResponse`] |
//!
//! The wire types keep what they do not know, so that a buyer echoes terms exactly as they came
//! and a seller's newer fields break nothing. They hold text where the wire holds text;
//! [`Terms`] is what the text must parse into before anyone reasons about money.
//!
//! INVARIANT: no header that a stranger sends makes the reader panic, and none longer than
//! [`MAX_HEADER`] is looked at (pinned by `tests/payments/wire.rs`).
//!
//! Source: the x402 v2 specification, its HTTP transport, and the `exact` scheme on EVM.

mod header;
mod terms;
mod wire;

pub use header::{MAX_HEADER, decode, encode};
pub use terms::{Terms, network};
pub use wire::{
    ExactAuthorization, ExactPayload, PaymentPayload, PaymentRequired, PaymentRequirements,
    Resource, SettlementResponse,
};

/// The protocol version that this crate speaks.
pub const VERSION: u64 = 2;

/// The scheme that this crate speaks.
pub const EXACT: &str = "exact";

/// What a seller asks, with status 402.
pub const PAYMENT_REQUIRED: &str = "PAYMENT-REQUIRED";

/// What a buyer signed.
pub const PAYMENT_SIGNATURE: &str = "PAYMENT-SIGNATURE";

/// What became of it.
pub const PAYMENT_RESPONSE: &str = "PAYMENT-RESPONSE";

/// How version 1 named the buyer's header.
pub const X_PAYMENT: &str = "X-PAYMENT";

/// The extension by which a buyer names its payment, so that a seller can tell a repetition.
pub const PAYMENT_IDENTIFIER: &str = "payment-identifier";
