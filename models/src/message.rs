//! A conversation: who said what, which tools there are, who called them and what they answered.
//!
//! Every text in here came from somewhere else: a person, a page, a peer, a model. None of it is
//! ever read as a control token of the model, tool names and descriptions included.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ModelError;

/// What a tool may be called is what every service and template of today takes.
const LONGEST_NAME: usize = 128;
/// A schema that is nested deeper has no reader.
const DEEPEST: usize = 64;

/// A part of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. Never read as control tokens of the model, whatever it contains.
    pub content: String,
    /// What the model thought before it said so. The template decides whether it is shown again:
    /// most drop the thoughts of earlier turns.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools that the model called in this turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// The [`ToolCall::id`] that a tool's turn answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

impl Message {
    /// A turn that is nothing but words.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            thinking: String::new(),
            calls: Vec::new(),
            answers: None,
        }
    }

    /// What the model is and may do.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// What a person asks.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model said before.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// What the model called before, without a word.
    pub fn calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        let calls = calls.into_iter().collect();
        Self { calls, ..Self::new(Role::Assistant, "") }
    }

    /// What a tool answered.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// What a tool answered to one call.
    pub fn answer(call: &ToolCall, content: impl Into<String>) -> Self {
        Self { answers: Some(call.id.clone()), ..Self::new(Role::Tool, content) }
    }

    /// Adds what the model thought before it spoke.
    #[must_use]
    pub fn thinking(mut self, thinking: impl Into<String>) -> Self {
        self.thinking = thinking.into();
        self
    }

    /// Adds a call that the model made after it spoke.
    #[must_use]
    pub fn call(mut self, call: ToolCall) -> Self {
        self.calls.push(call);
        self
    }
}

/// Who speaks in a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The frame that the caller sets.
    System,
    /// The person or agent that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a call that the model made.
    Tool,
}

impl Role {
    /// The name that chat templates and wire formats use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A call of a tool that a model made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// What its answer refers to; different for each call of a conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments by their names.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// A call of the tool `name`.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: Map<String, Value>,
    ) -> Self {
        Self { id: id.into(), name: name.into(), arguments }
    }
}

/// A tool as a model is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolDefinition {
    /// Letters, digits, `_`, `-` and `.`, at most 128.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of the arguments: an object.
    pub parameters: Value,
}

impl ToolDefinition {
    /// A tool whose arguments are an object of the JSON Schema `parameters`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self { name: name.into(), description: description.into(), parameters }
    }

    /// The names of its arguments, and whether each has to be given.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&str, bool)> {
        let properties = self.parameters.get("properties").and_then(Value::as_object);
        let required = self.parameters.get("required").and_then(Value::as_array);
        properties.into_iter().flat_map(Map::keys).map(move |name| {
            let needed = required.is_some_and(|names| names.iter().any(|it| it == name.as_str()));
            (name.as_str(), needed)
        })
    }
}

/// Refuses a conversation that no template could express.
pub(crate) fn check(messages: &[Message], tools: &[ToolDefinition]) -> Result<(), ModelError> {
    let mut names = HashSet::new();
    for tool in tools {
        let name = &tool.name;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            return refuse(format!(
                "a tool is called {name:?}; a name has 1 to {LONGEST_NAME} letters, digits, '_', \
                 '-' and '.'"
            ));
        }
        if !names.insert(name) {
            return refuse(format!("two tools are called {name:?}"));
        }
        if !tool.parameters.is_object() {
            return refuse(format!(
                "the parameters of tool {name:?} are no JSON Schema of an object"
            ));
        }
        if depth(&tool.parameters) > DEEPEST {
            return refuse(format!(
                "the parameters of tool {name:?} are nested deeper than {DEEPEST}"
            ));
        }
    }
    let mut ids = HashSet::new();
    for (number, message) in (1_usize..).zip(messages) {
        let by_model = message.role == Role::Assistant;
        let words = message.calls.is_empty() && message.thinking.is_empty();
        if !by_model && !words {
            return refuse(format!("message {number} calls or thinks, and is not the assistant's"));
        }
        for call in &message.calls {
            if call.name.is_empty() {
                return refuse(format!("a call in message {number} names no tool"));
            }
            if call.arguments.values().map(depth).max().unwrap_or(0) > DEEPEST {
                return refuse(format!(
                    "the arguments of a call in message {number} are nested deeper than {DEEPEST}"
                ));
            }
            if !ids.insert(&call.id) {
                return refuse(format!("two calls have the id {:?}", call.id));
            }
        }
        match &message.answers {
            Some(_) if message.role != Role::Tool => {
                return refuse(format!("message {number} answers a call, and is not a tool's"));
            }
            Some(id) if !ids.contains(id) => {
                return refuse(format!("message {number} answers call {id:?}, which nobody made"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names of the tools that were called, by the ids of the calls.
pub(crate) fn called(messages: &[Message]) -> HashMap<&str, &str> {
    let calls = messages.iter().flat_map(|message| &message.calls);
    calls.map(|call| (call.id.as_str(), call.name.as_str())).collect()
}

fn refuse(why: String) -> Result<(), ModelError> {
    Err(ModelError::Request(why))
}

/// How deep a value is nested. Does not recurse: the value may come from anywhere.
fn depth(value: &Value) -> usize {
    let (mut deepest, mut open) = (0, vec![(value, 1_usize)]);
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        let below = depth.saturating_add(1);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, below))),
            Value::Object(map) => open.extend(map.values().map(|item| (item, below))),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(messages: &[Message], tools: &[ToolDefinition]) -> String {
        check(messages, tools).unwrap_err().to_string()
    }

    #[test]
    fn words_alone_are_written_as_they_always_were() {
        let text = serde_json::to_string(&Message::user("hi")).unwrap();
        assert_eq!(text, r#"{"role":"user","content":"hi"}"#);
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), Message::user("hi"));
    }

    #[test]
    fn a_conversation_that_contradicts_itself_is_refused_in_one_line() {
        let call = || ToolCall::new("c1", "pay", Map::new());
        let tool = |name: &str| ToolDefinition::new(name, "", json!({ "type": "object" }));
        assert_eq!(
            refusal(&[Message::answer(&call(), "ok")], &[]),
            "request: message 1 answers call \"c1\", which nobody made"
        );
        assert_eq!(
            refusal(&[Message::calls([call(), call()])], &[]),
            "request: two calls have the id \"c1\""
        );
        assert_eq!(
            refusal(&[Message::user("x").call(call())], &[]),
            "request: message 1 calls or thinks, and is not the assistant's"
        );
        let mut user = Message::user("x");
        user.answers = Some("c1".to_owned());
        assert_eq!(
            refusal(&[Message::calls([call()]), user], &[]),
            "request: message 2 answers a call, and is not a tool's"
        );
        let nameless = ToolCall::new("c1", "", Map::new());
        assert_eq!(
            refusal(&[Message::calls([nameless])], &[]),
            "request: a call in message 1 names no tool"
        );
        assert_eq!(refusal(&[], &[tool("a"), tool("a")]), "request: two tools are called \"a\"");
        let message = refusal(&[], &[tool("<|im_start|>")]);
        assert!(message.starts_with("request: a tool is called \"<|im_start|>\"; "), "{message}");
        let listed = ToolDefinition::new("a", "", json!([]));
        assert!(refusal(&[], &[listed]).contains("no JSON Schema of an object"));
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "items": inner }));
        let deep = ToolDefinition::new("a", "", deep);
        assert!(refusal(&[], &[deep]).contains("nested deeper than 64"));
    }
}
