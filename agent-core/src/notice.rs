//! What somebody has to do before an agent goes on, for people who only see a program that waits.
//!
//! A program that shows the agent's [`Event`]s tells this by itself. For the others
//! `#[marque::main]` says where the lines go.

use crate::Event;
use std::sync::OnceLock;

static TOLD: OnceLock<fn(&str)> = OnceLock::new();

/// From now on notices are told here. The first one to ask is given them.
pub fn tell(told: fn(&str)) {
    TOLD.get_or_init(|| told);
}

/// Something that whoever wrote the program did not mean.
pub(crate) fn warn(text: &str) {
    match TOLD.get() {
        Some(told) => told(&format!("warning: {text}")),
        None => tracing::warn!("{text}"),
    }
}

/// What an event asks of the owner, if it does.
pub(crate) fn of(event: &Event) {
    let Some(told) = TOLD.get() else { return };
    match event {
        Event::Held { id, .. } => told(&format!("held for the owner: marque approve {id}")),
        Event::Asked { id, question, .. } => told(&format!(
            "asks its owner, in its own words: \"{}\"; marque answer {id} \"...\"",
            question.escape_debug()
        )),
        _ => {}
    }
}
