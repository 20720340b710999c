//! x402 version 2: its messages, and where HTTP, MCP and A2A carry them.
//!
//! On HTTP there are three headers, each the base64 of a JSON object:
//!
//! | header | from | holds |
//! |---|---|---|
//! | [`PAYMENT_REQUIRED`] | seller, with status 402 | [`PaymentRequired`] |
//! | [`PAYMENT_SIGNATURE`] | buyer | [`PaymentPayload`] |
//! | [`PAYMENT_RESPONSE`] | seller | [`SettlementResponse`] |
//!
//! [`mcp`] and [`a2a`] carry the same objects as JSON; [`read()`] reads one from wherever it stands.
//!
//! The wire types keep what they do not know, so that a buyer echoes terms exactly as they came
//! and a seller's newer fields break nothing. They hold text where the wire holds text;
//! [`Terms`] is what the text must parse into before anyone reasons about money.
//!
//! INVARIANT: no header that a stranger sends makes the reader panic, and none longer than
//! [`MAX_HEADER`] is looked at (pinned by `tests/payments/wire.rs`).
//!
//! Source: the x402 v2 specification, its HTTP transport, and the `exact` and `upto` schemes on EVM.

pub mod a2a;
pub mod evidence;
mod header;
pub mod mcp;
mod terms;
mod wire;

pub use header::{MAX_HEADER, decode, encode, read};
pub(crate) use terms::units;
pub use terms::{MAX_TIMEOUT, Method, Terms, network};
pub use wire::{
    ExactAuthorization, ExactPayload, PaymentPayload, PaymentRequired, PaymentRequirements,
    Permit2Authorization, Permit2Payload, Permit2Witness, Permitted, Resource, SettlementResponse,
};

/// The protocol version that this crate speaks.
pub const VERSION: u64 = 2;

/// The scheme that takes the price that was asked.
pub const EXACT: &str = "exact";

/// The scheme that takes what was used, up to the price that was asked.
pub const UPTO: &str = "upto";

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
