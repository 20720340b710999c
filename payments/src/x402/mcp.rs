//! x402 over MCP: where the three messages stand in calls and results.
//!
//! Pure functions over JSON, so that any MCP client can carry a payment: a result says its terms
//! ([`required`]), the next call carries the payment ([`attach`]), its result says what became of it
//! ([`settlement`]). Deciding and signing is [`crate::Buyer::agree`]'s.
//!
//! Both bindings are read: the tool result with `isError`, and `resultType: "payment_required"`,
//! which servers use only towards clients that announce [`CAPABILITY`].
//!
//! Source: the x402 v2 MCP transport.

use super::{PaymentPayload, PaymentRequired, SettlementResponse, read};
use crate::PaymentError;
use serde_json::{Map, Value};

/// The extension that a client announces to be answered with `payment_required`.
pub const CAPABILITY: &str = "org.x402/payment";

/// Where a call carries its payment, under `_meta`.
pub const PAYMENT: &str = "x402/payment";

/// Where a result says what became of it, under `_meta`.
pub const RESPONSE: &str = "x402/payment-response";

/// What a result asks for, if it asks for a payment.
///
/// # Errors
/// As [`read`], for terms that cannot be read.
pub fn required(result: &Value) -> Result<Option<PaymentRequired>, PaymentError> {
    if result.get("resultType").and_then(Value::as_str) == Some("payment_required") {
        let terms = result.get("paymentRequired").cloned().unwrap_or_default();
        return read("paymentRequired", terms).map(Some);
    }
    if result.get("isError").and_then(Value::as_bool) != Some(true) {
        return Ok(None);
    }
    if let Some(content) = result.get("structuredContent")
        && is_terms(content)
    {
        return read("structuredContent", content.clone()).map(Some);
    }
    let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    if text.len() > super::MAX_HEADER {
        return Ok(None);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(content) if is_terms(&content) => read("content[0].text", content).map(Some),
        _ => Ok(None),
    }
}

/// Puts a payment into the `params` of the call that is made again.
///
/// # Errors
/// [`PaymentError::Header`] where `params` or its `_meta` is something other than an object.
pub fn attach(params: &mut Value, payment: &PaymentPayload) -> Result<(), PaymentError> {
    let wrong = |why: String| PaymentError::Header { header: PAYMENT, why };
    let payment = serde_json::to_value(payment).map_err(|error| wrong(error.to_string()))?;
    let params = params.as_object_mut().ok_or_else(|| wrong("params is no object".to_owned()))?;
    let meta = params.entry("_meta").or_insert_with(|| Map::new().into());
    let meta = meta.as_object_mut().ok_or_else(|| wrong("_meta is no object".to_owned()))?;
    meta.insert(PAYMENT.to_owned(), payment);
    Ok(())
}

/// What a result says of the settlement, if it says anything.
///
/// # Errors
/// As [`read`].
pub fn settlement(result: &Value) -> Result<Option<SettlementResponse>, PaymentError> {
    let said = result.get("_meta").and_then(|meta| meta.get(RESPONSE));
    said.cloned().map(|said| read(RESPONSE, said)).transpose()
}

fn is_terms(content: &Value) -> bool {
    content.get("x402Version").is_some() && content.get("accepts").is_some()
}
