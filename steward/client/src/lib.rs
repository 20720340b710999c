//! The protocol between mind and steward, and the client that the mind links. Nothing that signs.
//!
//! [`protocol`] says what may cross the wall, [`frame`] how it is cut into frames, and [`Client`]
//! asks. A mind that holds a [`Client`] can propose, look and stop, and nothing else.

mod client;
pub mod door;
mod error;
pub mod frame;
mod link;
pub mod protocol;

pub use client::Client;
pub use error::ClientError;
pub use protocol::*;

/// JSON Schemas of a question and an answer, for other languages and for fuzzing.
///
/// The object has the keys `v`, `request` and `response`.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "v": VERSION,
        "request": schemars::schema_for!(Request),
        "response": schemars::schema_for!(Response),
    })
}
