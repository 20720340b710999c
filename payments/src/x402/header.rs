//! JSON in base64 in a header: the standard alphabet with padding, bounded, versioned.

use crate::{PaymentError, error::shortened};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The longest header value that is read or written, in bytes.
pub const MAX_HEADER: usize = 32 * 1024;

/// Reads the value of `header`.
///
/// An `x402Version` other than 2 is refused by name before anything else is looked at.
///
/// # Errors
/// [`PaymentError::Header`] for a value that is too long, not base64, not JSON, or not a `T`;
/// [`PaymentError::Unsupported`] for another version of the protocol.
pub fn decode<T: DeserializeOwned>(header: &'static str, text: &str) -> Result<T, PaymentError> {
    let wrong = |why: String| PaymentError::Header { header, why };
    if text.len() > MAX_HEADER {
        return Err(wrong(format!("{} bytes; at most {MAX_HEADER} are read", text.len())));
    }
    let json = STANDARD.decode(text).map_err(|error| wrong(format!("not base64: {error}")))?;
    let value: Value =
        serde_json::from_slice(&json).map_err(|error| wrong(format!("not JSON: {error}")))?;
    read(header, value)
}

/// Reads a message that came as JSON, in `place`: a field of MCP or A2A, or a header.
///
/// # Errors
/// As [`decode`].
pub fn read<T: DeserializeOwned>(place: &'static str, value: Value) -> Result<T, PaymentError> {
    if let Some(version) = value.get("x402Version")
        && version.as_u64() != Some(super::VERSION)
    {
        return Err(PaymentError::Unsupported(format!(
            "{place} speaks x402 version {}; only version {} is spoken here",
            shortened(&version.to_string()),
            super::VERSION
        )));
    }
    serde_json::from_value(value)
        .map_err(|error| PaymentError::Header { header: place, why: shortened(&error.to_string()) })
}

/// Writes `value` as the value of `header`.
///
/// # Errors
/// [`PaymentError::Header`] if it would be longer than [`MAX_HEADER`].
pub fn encode<T: Serialize>(header: &'static str, value: &T) -> Result<String, PaymentError> {
    let wrong = |why: String| PaymentError::Header { header, why };
    let json = serde_json::to_vec(value).map_err(|error| wrong(error.to_string()))?;
    let text = STANDARD.encode(json);
    if text.len() > MAX_HEADER {
        return Err(wrong(format!("{} bytes; at most {MAX_HEADER} are written", text.len())));
    }
    Ok(text)
}
