//! What macros expand to. Not part of the interface.

pub use crate::{Cx, State, States, Tool, ToolError};
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

/// What a tool takes as an argument: the macro asks, so that the compiler says it in these words.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a tool",
    note = "put `#[derive(Deserialize, JsonSchema)]` above it; a model fills it in from JSON"
)]
pub trait Argument: Sized {}

impl<T: serde::de::DeserializeOwned + schemars::JsonSchema> Argument for T {}

/// Asks whether `T` can be an argument.
pub const fn is_argument<T: Argument>() {}

/// What a tool answers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be what a tool answers",
    note = "return `Result<T, E>`: `T` with `#[derive(Serialize)]`, `E` any error or `ToolError`"
)]
pub trait Returned {
    /// As the loop wants it.
    ///
    /// # Errors
    /// The function's own error; a [`ToolError`] that it passed on stays one.
    fn outcome(self) -> Result<Value, ToolError>;
}

impl<T, E> Returned for Result<T, E>
where
    T: serde::Serialize,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn outcome(self) -> Result<Value, ToolError> {
        let value = self.map_err(ToolError::from_any)?;
        serde_json::to_value(value).map_err(|error| ToolError::Failed(error.into()))
    }
}

/// What the program gave to the agent.
///
/// # Errors
/// [`ToolError::Failed`] where it gave no such thing.
pub fn state<T: Clone + Send + Sync + 'static>(cx: &Cx) -> Result<State<T>, ToolError> {
    cx.state::<T>().map(State)
}

/// What a tool function returned, as the loop wants it.
///
/// # Errors
/// See [`Returned::outcome`].
pub fn outcome(returned: impl Returned) -> Result<Value, ToolError> {
    returned.outcome()
}
