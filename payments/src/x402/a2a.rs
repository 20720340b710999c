//! x402 over A2A: where the three messages stand in tasks and messages.
//!
//! Pure functions over JSON. The metadata keys are the same in A2A 0.3 and 1.0; the names of task
//! states are not, so both are read: `input-required` and `TASK_STATE_INPUT_REQUIRED`. A task may
//! come bare or wrapped as `{"task": ...}`, as `SendMessage` answers.
//!
//! Source: the x402 v2 A2A transport; A2A 1.0.

use super::{PaymentPayload, PaymentRequired, SettlementResponse, read};
use crate::PaymentError;
use serde_json::{Map, Value, json};

const STATUS: &str = "x402.payment.status";
const REQUIRED: &str = "x402.payment.required";
const PAYLOAD: &str = "x402.payment.payload";
const RECEIPTS: &str = "x402.payment.receipts";
const ERROR: &str = "x402.payment.error";

/// What a task asks for before it goes on, if it asks for a payment.
///
/// # Errors
/// As [`read`], for terms that cannot be read.
pub fn required(answer: &Value) -> Result<Option<PaymentRequired>, PaymentError> {
    let task = task(answer);
    let state = task.pointer("/status/state").and_then(Value::as_str);
    if !matches!(state, Some("input-required" | "TASK_STATE_INPUT_REQUIRED")) {
        return Ok(None);
    }
    let Some(metadata) = metadata(task) else { return Ok(None) };
    if metadata.get(STATUS).and_then(Value::as_str) != Some("payment-required") {
        return Ok(None);
    }
    read(REQUIRED, metadata.get(REQUIRED).cloned().unwrap_or_default()).map(Some)
}

/// The metadata of the message that pays for a task. The message also carries the task's id.
///
/// # Errors
/// [`PaymentError::Header`] where the payment is no JSON.
pub fn submitted(payment: &PaymentPayload) -> Result<Map<String, Value>, PaymentError> {
    let payment = serde_json::to_value(payment)
        .map_err(|error| PaymentError::Header { header: PAYLOAD, why: error.to_string() })?;
    let fields = [(STATUS, json!("payment-submitted")), (PAYLOAD, payment)];
    Ok(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What a task says of its settlement: the newest receipt, and whether the payment failed.
///
/// # Errors
/// As [`read`].
pub fn settlement(answer: &Value) -> Result<Option<SettlementResponse>, PaymentError> {
    let receipts = metadata(task(answer)).and_then(|metadata| metadata.get(RECEIPTS));
    let newest = receipts.and_then(Value::as_array).and_then(|receipts| receipts.last());
    newest.cloned().map(|said| read(RECEIPTS, said)).transpose()
}

/// Why a payment was not taken, if the task says so.
#[must_use]
pub fn failure(answer: &Value) -> Option<&str> {
    let metadata = metadata(task(answer))?;
    let status = metadata.get(STATUS).and_then(Value::as_str);
    if !matches!(status, Some("payment-failed" | "payment-rejected")) {
        return None;
    }
    Some(metadata.get(ERROR).and_then(Value::as_str).unwrap_or("no reason is given"))
}

fn task(answer: &Value) -> &Value {
    answer.get("task").unwrap_or(answer)
}

fn metadata(task: &Value) -> Option<&Map<String, Value>> {
    task.pointer("/status/message/metadata").and_then(Value::as_object)
}
