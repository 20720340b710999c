//! `fetch`: a page, a feed or a file on the web as text, paid for where it costs something. `fetch_data`
//! is the same for the built-in model, which is shown a line of it.

use crate::{
    digest::digest,
    text::{LONGEST, beginning, failed, of_body, picked},
};
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use serde::{Deserialize, Serialize};

/// Characters of a text that are shown at once.
const SHOWN: usize = 1_000;

/// How what was put aside is named where a URL is expected.
const KEPT: &str = "kept:";

/// Under this name the newest body is kept whole.
pub(crate) const BODY: &str = "latest.data";

/// Under this name it is kept what was read and what it came to.
pub(crate) const ABOUT: &str = "latest.json";

/// What [`fetch`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The text, or the part that was asked for; cut where it is too long.
    pub text: String,
    /// Where the whole is kept if that is not all of it: a `url` for this tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// Reads what stands at a URL as text: HTML is rendered, a part is picked by an RFC 9535 path from
/// JSON or by words from anything else. It is paid for within the policy where it costs something. A
/// text that is longer than what is shown is kept whole, to be picked from by its `kept:` name without
/// another request.
///
/// # Errors
/// [`ToolError::Failed`] for what is no text or more than 1 MiB of it, [`ToolError::Arguments`] for a
/// `pick` that finds nothing, otherwise as for [`Cx::get`].
#[tool(
    crate = marque_agent_core,
    description = "read a web page, feed or file; pick a JSON path ($.a.b) or words from it"
)]
pub async fn fetch(
    cx: &Cx,
    /// where it is, or the "kept:" name of something longer that was read before
    url: String,
    /// which part: a JSON path, or words that stand in it
    pick: Option<String>,
) -> Result<Page, ToolError> {
    let (text, mut whole) = match url.strip_prefix(KEPT) {
        Some(name) => (kept(cx, name)?, Some(url.clone())),
        None => {
            let response = cx.get(&url).await?;
            let kind = response.content_type.clone();
            // Rendering takes its time, and others have steps to do meanwhile.
            let read = move || of_body(&response.body, kind.as_deref());
            (tokio::task::spawn_blocking(read).await.map_err(ToolError::from_any)??, None)
        }
    };
    let (text, part) = match pick.filter(|pick| !pick.trim().is_empty()) {
        None => (text.clone(), Ok(text)),
        Some(pick) => {
            let work = move || {
                let part = picked(&text, &pick);
                (text, part)
            };
            tokio::task::spawn_blocking(work).await.map_err(ToolError::from_any)?
        }
    };
    let shown = beginning(part.as_deref().unwrap_or_default(), SHOWN);
    if whole.is_none() && shown.len() != text.len() {
        whole = Some(format!("{KEPT}{}", cx.put_aside(&text)?));
    }
    match part {
        Ok(_) => Ok(Page { text: shown, whole }),
        // It was paid for, perhaps: another part of it needs no second request.
        Err(error) => Err(match (error, whole) {
            (ToolError::Arguments(why), Some(whole)) => {
                ToolError::Arguments(format!("{why}; the whole is {whole}"))
            }
            (error, _) => error,
        }),
    }
}

fn kept(cx: &Cx, name: &str) -> Result<String, ToolError> {
    let bytes = cx.kept(name)?.ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        ToolError::Arguments(format!("nothing is kept as {KEPT}{name}; fetch it again"))
    })?;
    match bytes.len() > LONGEST {
        true => Err(failed(format!("it has {} bytes; at most {LONGEST} are read", bytes.len()))),
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

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
