//! `remember` and `recall`: what an agent knows from one task to the next.
//!
//! What came from a page or a peer stays so: a memory has the labels of everything that the task had
//! seen when it was written, and gives them to the task that recalls it. The policy judges payments by
//! them (`[labels]`).

use crate::text::beginning;
use jiff::Timestamp;
use marque_agent_core::{Cx, Memorised, Recalled, ToolError};
use marque_macros::tool;
use marque_policies::{Label, Labels};
use serde::Serialize;

/// Memories that are shown at once.
const MOST: usize = 4;
/// Characters of one that are shown.
const SHOWN: usize = 300;

/// What [`remember`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// Under which topic.
    pub remembered: String,
}

/// What [`recall`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memories {
    /// The best fit first; none where nothing fits.
    pub memories: Vec<MemoryLine>,
}

/// One memory, as a model is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryLine {
    /// The topic, the task's goal, or the step.
    pub about: String,
    /// What is remembered, cut where it is too long.
    pub text: String,
    /// The day it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Who had said something to the task that wrote it, the owner apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// Keeps a text under a topic for all tasks to come, in place of what was kept there.
///
/// # Errors
/// As for [`Cx::remember`].
#[tool(crate = marque_agent_core, description = "keep a note under a topic for later tasks")]
pub async fn remember(
    cx: &Cx,
    /// a few words to find it by
    topic: String,
    /// at most 2,000 characters
    text: String,
) -> Result<Remembered, ToolError> {
    cx.remember(&topic, &text).await?;
    Ok(Remembered { remembered: topic })
}

/// Looks up what was remembered, what earlier tasks came to, and what this one has seen.
///
/// # Errors
/// As for [`Cx::recall`].
#[tool(crate = marque_agent_core, description = "look up notes, earlier tasks and earlier steps by words")]
pub async fn recall(
    cx: &Cx,
    /// words that stand in it
    query: String,
) -> Result<Memories, ToolError> {
    let found = cx.recall(&query, MOST).await?;
    Ok(Memories { memories: found.into_iter().map(line).collect() })
}

fn line(memory: Recalled) -> MemoryLine {
    let Recalled { by, topic, text, labels, at } = memory;
    let day = match by {
        Memorised::Step => None,
        _ => i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok()),
    };
    MemoryLine {
        about: beginning(&topic, SHOWN),
        text: beginning(&text, SHOWN),
        day: day.map(|day| day.strftime("%Y-%m-%d").to_string()),
        from: strangers(&labels),
    }
}

/// The origins that carry no authority, by name.
fn strangers(labels: &Labels) -> Vec<String> {
    let name = |label: &Label| match label {
        Label::Web(host) => Some(format!("web {host}")),
        Label::Peer(peer) => Some(format!("agent {peer}")),
        _ => None,
    };
    labels.0.iter().filter_map(name).take(8).collect()
}
