//! `fetch_data`: reads a page or a feed, and pays for it where it costs something.

use crate::digest::digest;
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::{Deserialize, Serialize};

/// Under this name the newest body is kept whole.
pub(crate) const BODY: &str = "latest.data";

/// Under this name it is kept what was read and what it came to.
pub(crate) const ABOUT: &str = "latest.json";

/// What [`fetch_data`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What was read, in at most a line.
    pub value: String,
}

/// What was read last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latest {
    pub(crate) url: String,
    pub(crate) value: String,
}

/// Reads what stands at a URL, pays for it within the policy, keeps it whole for other tools and
/// answers with a line about it.
///
/// # Errors
/// As for [`Cx::get`].
#[tool(crate = marque_agent_core, description = "get data from a url")]
pub async fn fetch_data(cx: &Cx, url: String) -> Result<Fetched, ToolError> {
    let response = cx.get(&url).await?;
    let value = digest(&response.body, response.content_type.as_deref());
    cx.keep(BODY, &response.body)?;
    let latest = Latest { url, value: value.clone() };
    let about = serde_json::to_vec(&latest).map_err(ToolError::from_any)?;
    cx.keep(ABOUT, &about)?;
    Ok(Fetched { value })
}
