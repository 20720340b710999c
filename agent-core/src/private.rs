//! What macros expand to. Not part of the interface.

pub use crate::{Cx, Tool, ToolError};
pub use async_trait::async_trait;
pub use schemars;
pub use serde;
pub use serde_json::Value;

use std::pin::Pin;

/// A tool function's future.
pub type ToolFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The schema of a tool's arguments.
#[must_use]
pub fn schema_of<T: schemars::JsonSchema>() -> Value {
    crate::schema::of::<T>()
}

/// Reads a tool's arguments.
///
/// # Errors
/// [`ToolError::Arguments`] where they do not fit.
pub fn arguments<T: serde::de::DeserializeOwned>(arguments: Value) -> Result<T, ToolError> {
    serde_json::from_value(arguments).map_err(|error| ToolError::Arguments(error.to_string()))
}

/// What a tool function returned, as the loop wants it.
///
/// # Errors
/// The function's own error; a [`ToolError`] that it passed on stays one.
pub fn outcome<T, E>(returned: Result<T, E>) -> Result<Value, ToolError>
where
    T: serde::Serialize,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match returned {
        Ok(value) => serde_json::to_value(value).map_err(|error| ToolError::Failed(error.into())),
        Err(error) => Err(ToolError::from_any(error)),
    }
}
