//! What is made of labels: `[labels]`, and `labels` of a tool.

use super::{keys, section::Section};
use crate::{
    document::{Attitude, LabelRules},
    error::PolicyError,
};

/// The `labels` of a table, or of the whole document.
pub(super) fn label_rules(section: &Section<'_>) -> Result<LabelRules, PolicyError> {
    let Some(section) = section.section("labels")? else { return Ok(LabelRules::default()) };
    section.only(keys::LABELS)?;
    Ok(LabelRules {
        web: attitude(&section, "web")?,
        peer: attitude(&section, "peer")?,
        memory: attitude(&section, "memory")?,
        model: attitude(&section, "model")?,
    })
}

fn attitude(section: &Section<'_>, key: &str) -> Result<Option<Attitude>, PolicyError> {
    let Some(text) = section.text(key)? else { return Ok(None) };
    match text.value {
        "ask" => Ok(Some(Attitude::Ask)),
        "refuse" => Ok(Some(Attitude::Refuse)),
        other => {
            let message = format!("`{key}` cannot be \"{}\"", other.escape_debug());
            let help =
                "write \"ask\" or \"refuse\": a label makes a verdict stricter, never milder";
            Err(section.source.meaning(text.span, message, help))
        }
    }
}
