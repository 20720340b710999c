//! A call as the model writes it: `{"tool":"fetch_data","args":{"url":"https://feed.example/x"}}`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// The name under which a model gives its answer. Not a tool: it has no effect.
pub(crate) const FINISH: &str = "finish";

/// One call, its keys in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, by name.
    pub args: Map<String, Value>,
}

impl Call {
    /// Reads a model's reply.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text.trim()).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A map with string keys always serialises.
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}
