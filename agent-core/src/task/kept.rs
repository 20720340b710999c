//! How a task is written down, and how what an older program wrote is read.

use super::{Task, VERSION};
use crate::AgentError;
use serde::Deserialize;
use serde_json::{Value, json};

impl Task {
    /// Reads a task that [`Task::to_bytes`] wrote, also that of an older version.
    ///
    /// # Errors
    /// [`AgentError::TaskUnreadable`] for anything else, and for a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AgentError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u16,
        }
        let unreadable = |error: serde_json::Error| AgentError::TaskUnreadable(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
        match v {
            VERSION => serde_json::from_slice(bytes).map_err(unreadable),
            1 => {
                let kept = serde_json::from_slice(bytes).map_err(unreadable)?;
                serde_json::from_value(from_first(kept)).map_err(unreadable)
            }
            _ => Err(AgentError::TaskUnreadable(format!(
                "it has version {v}, and this program knows version {VERSION}"
            ))),
        }
    }

    /// The task as it is kept.
    ///
    /// # Errors
    /// [`AgentError::TaskUnreadable`] if it cannot be written, which no task of ours causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AgentError> {
        serde_json::to_vec(self).map_err(|error| AgentError::TaskUnreadable(error.to_string()))
    }
}

/// Version 1 had one call at a time, and no limits but steps and repeats.
fn from_first(mut kept: Value) -> Value {
    if let Value::Object(task) = &mut kept {
        task.insert("v".to_owned(), json!(VERSION));
        if let Some(acting) = task.get_mut("state").and_then(|state| state.get_mut("acting")) {
            *acting = json!([{ "call": acting.take() }]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{TaskLimits, Want};

    #[test]
    fn a_task_of_the_first_version_wants_what_it_wanted() {
        let kept = br#"{"v":1,"id":"t","goal":"g","limits":{"steps":4,"repeats":3},
            "steps":[{"call":{"tool":"a","args":{"x":1}},"result":{"value":"7"}}],
            "labels":["owner","model"],"state":{"acting":{"tool":"b","args":{}}}}"#;
        let task = Task::from_bytes(kept).unwrap();
        let Want::Act(due) = task.next() else { panic!("{task:?}") };
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].0, due[0].1.tool.as_str()), (1, "b"));
        assert_eq!(task.limits().timeout, TaskLimits::default().timeout);
        assert_eq!(Task::from_bytes(&task.to_bytes().unwrap()).unwrap(), task);
        for state in [r#""thinking""#, r#"{"done":{"answer":"x"}}"#, r#"{"failed":{"steps":4}}"#] {
            let kept = format!(
                r#"{{"v":1,"id":"t","goal":"g","limits":{{"steps":4,"repeats":3}},"steps":[],
                "labels":[],"state":{state}}}"#
            );
            Task::from_bytes(kept.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_newer_task_is_refused_with_its_version() {
        let task = Task::new("t", "g", TaskLimits::default()).unwrap();
        let mut value: Value = serde_json::from_slice(&task.to_bytes().unwrap()).unwrap();
        value["v"] = json!(VERSION + 1);
        let error = Task::from_bytes(&serde_json::to_vec(&value).unwrap()).unwrap_err();
        assert!(error.to_string().contains("version 3"), "{error}");
    }
}
