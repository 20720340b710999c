//! A conversation in the shapes that templates understand, the natural one first.
//!
//! Templates differ in what they take: some know tools and some do not, some want arguments as an
//! object and some as a text, some insist on one call a turn, on users and models in alternation,
//! or on no system. Each [`Shape`] is one way to say the same; none leaves anything out.

use std::borrow::Cow;
use std::collections::HashMap;

use minijinja::Value;
use serde_json::{Map, Value as Json, json};

use super::marker::Texts;
use crate::message::{Message, Role, ToolCall, ToolDefinition, called};

/// Words of JSON Schema. Templates ask for them by name, and they say nothing else: they are shown
/// as they are, where every other text of a schema is shown as a marker.
const SCHEMA_WORDS: [&str; 53] = [
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "array",
    "boolean",
    "const",
    "contains",
    "date",
    "date-time",
    "default",
    "definitions",
    "dependentRequired",
    "deprecated",
    "description",
    "email",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "integer",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "null",
    "nullable",
    "number",
    "object",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "readOnly",
    "required",
    "string",
    "time",
    "title",
    "type",
    "uniqueItems",
];

/// How a conversation is told to a template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Tools and calls are told as such, and not in words.
    native: bool,
    /// Arguments of calls are a text of JSON, and not an object.
    arguments_as_text: bool,
    /// Words and calls of a turn become turns of their own, and each call is followed by its answer.
    one_call_a_turn: bool,
    /// Tools speak as users.
    tools_as_users: bool,
    /// The system speaks as the first user.
    system_as_user: bool,
    /// Content is a list with a part of the type `text`, as templates want it that take images.
    in_parts: bool,
    /// Arguments say that they are an object, as templates want it that look at their type.
    typed: bool,
}

impl Shape {
    /// The same for a template that looks at the types of schemas, or for one that does not.
    pub(crate) const fn typed(mut self, typed: bool) -> Self {
        self.typed = typed;
        self
    }

    /// The shapes to try, in this order; content in parts only where the template speaks of parts.
    pub(crate) fn all(
        messages: &[Message],
        tools: &[ToolDefinition],
        knows_parts: bool,
    ) -> Vec<Self> {
        let calls = messages.iter().any(|message| !message.calls.is_empty());
        let several = messages.iter().any(|message| {
            message.calls.len().saturating_add(usize::from(!message.content.is_empty())) > 1
                && !message.calls.is_empty()
        });
        let mut shapes = Vec::new();
        if calls || !tools.is_empty() {
            for system_as_user in [false, true] {
                for one_call_a_turn in [false, true] {
                    for arguments_as_text in [false, true] {
                        if (several || !one_call_a_turn) && (calls || !arguments_as_text) {
                            shapes.push(Self {
                                native: true,
                                arguments_as_text,
                                one_call_a_turn,
                                tools_as_users: false,
                                system_as_user,
                                in_parts: false,
                                typed: false,
                            });
                        }
                    }
                }
            }
        }
        for in_parts in [false, true].into_iter().take(if knows_parts { 2 } else { 1 }) {
            let words = Self { in_parts, ..Self::default() };
            let users = Self { tools_as_users: true, ..words };
            shapes.extend([words, users, Self { system_as_user: true, ..users }]);
        }
        shapes
    }

    /// The `messages` and `tools` of a template.
    pub(crate) fn tell<'a>(
        self,
        messages: &'a [Message],
        tools: &'a [ToolDefinition],
        texts: &mut Texts<'a>,
    ) -> (Value, Value) {
        let names = called(messages);
        let mut turns: Vec<Turn> = Vec::new();
        if !self.native && !tools.is_empty() {
            let list = texts.needed(in_words(tools), true, || "the tools".to_owned());
            turns.push(Turn { content: list, ..Turn::new(Role::System) });
        }
        for (number, message) in (1_usize..).zip(messages) {
            let turn = self.turn(number, message, &names, texts);
            match turns.last_mut() {
                // The caller's frame stands before the list of tools.
                Some(list) if number == 1 && turn.role == Role::System => {
                    list.content = joined(&turn.content, &list.content);
                }
                _ => turns.push(turn),
            }
        }
        if self.one_call_a_turn {
            turns = apart(turns);
        }
        for turn in &mut turns {
            let becomes_user = match turn.role {
                Role::Tool => self.tools_as_users,
                Role::System => self.system_as_user,
                Role::User | Role::Assistant => false,
            };
            if becomes_user {
                turn.role = Role::User;
            }
        }
        if self.tools_as_users || self.system_as_user {
            turns = merged(turns);
        }
        let turns = turns.into_iter().map(|turn| turn.value(self.in_parts)).collect();
        (turns, self.definitions(tools, texts))
    }

    fn turn<'a>(
        self,
        number: usize,
        message: &'a Message,
        names: &HashMap<&'a str, &'a str>,
        texts: &mut Texts<'a>,
    ) -> Turn {
        let shared = message.role == Role::System;
        let what = || format!("message {number}");
        if !self.native {
            let calls = message.calls.iter().map(call_in_words);
            let said = [Cow::Borrowed(message.content.as_str())].into_iter();
            let said = said.chain(calls.map(Cow::Owned)).filter(|text| !text.is_empty());
            let parts: Vec<_> = said.map(|text| texts.needed(text, shared, what)).collect();
            return Turn { content: parts.join("\n"), ..Turn::new(message.role) };
        }
        let content = texts.needed(message.content.as_str(), shared, what);
        let thinking = texts.optional(message.thinking.as_str(), false);
        let calls = message.calls.iter().map(|call| self.call(number, call, texts)).collect();
        let answers = message.answers.as_deref().map(|id| {
            let name = names.get(id).copied().unwrap_or_default();
            (texts.name(id, false), texts.optional(name, false))
        });
        Turn { role: message.role, content, thinking, calls, answers }
    }

    fn call<'a>(self, number: usize, call: &'a ToolCall, texts: &mut Texts<'a>) -> (String, Value) {
        let what = || format!("a call in message {number}");
        let id = texts.name(call.id.as_str(), false);
        let name = texts.needed(call.name.as_str(), false, what);
        let arguments = match self.arguments_as_text {
            true => {
                let text = Json::Object(call.arguments.clone()).to_string();
                Value::from(texts.needed(text, false, what))
            }
            false => object(&call.arguments, &mut |text| texts.needed(text, false, what)),
        };
        let function = Value::from_pairs([("name", Value::from(name)), ("arguments", arguments)]);
        let call = Value::from_pairs([
            ("type", Value::from("function")),
            ("id", Value::from(id.as_str())),
            ("function", function),
        ]);
        (id, call)
    }

    fn definitions<'a>(self, tools: &'a [ToolDefinition], texts: &mut Texts<'a>) -> Value {
        if !self.native || tools.is_empty() {
            return Value::from(());
        }
        let definition = |tool: &'a ToolDefinition| {
            let name = texts.needed(tool.name.as_str(), true, || format!("tool {:?}", tool.name));
            let description = texts.optional(tool.description.as_str(), true);
            let mut word = |text: &'a str| match schema_word(text) {
                true => text.to_owned(),
                false => texts.name(text, true),
            };
            let parameters = match &tool.parameters {
                Json::Object(map) if self.typed && !map.contains_key("type") => {
                    let mut pairs = vec![("type".to_owned(), Value::from("object"))];
                    for (key, item) in map {
                        pairs.push((word(key), value(item, &mut word)));
                    }
                    Value::from_pairs(pairs)
                }
                parameters => value(parameters, &mut word),
            };
            let function = Value::from_pairs([
                ("name", Value::from(name)),
                ("description", Value::from(description)),
                ("parameters", parameters),
            ]);
            Value::from_pairs([("type", Value::from("function")), ("function", function)])
        };
        tools.iter().map(definition).collect()
    }
}

/// A message as a template sees it.
#[derive(Debug, Clone)]
struct Turn {
    role: Role,
    content: String,
    thinking: String,
    /// Ids and what is shown of the calls.
    calls: Vec<(String, Value)>,
    /// The id and the name of the call that is answered.
    answers: Option<(String, String)>,
}

impl Turn {
    fn new(role: Role) -> Self {
        Self {
            role,
            content: String::new(),
            thinking: String::new(),
            calls: Vec::new(),
            answers: None,
        }
    }

    fn is_words(&self) -> bool {
        self.calls.is_empty() && self.answers.is_none()
    }

    /// The keys that Hugging Face's templates look for. Thoughts have had two names.
    fn value(self, in_parts: bool) -> Value {
        let content = Value::from(self.content);
        let content = match in_parts {
            true => {
                let part = [("type", Value::from("text")), ("text", content)];
                Value::from(vec![Value::from_pairs(part)])
            }
            false => content,
        };
        let mut pairs = vec![("role", Value::from(self.role.as_str())), ("content", content)];
        if !self.thinking.is_empty() {
            pairs.push(("reasoning_content", Value::from(self.thinking.as_str())));
            pairs.push(("thinking", Value::from(self.thinking)));
        }
        if !self.calls.is_empty() {
            let calls = self.calls.into_iter().map(|(_, call)| call);
            pairs.push(("tool_calls", calls.collect()));
        }
        if let Some((id, name)) = self.answers {
            pairs.push(("tool_call_id", Value::from(id)));
            pairs.push(("name", Value::from(name)));
        }
        Value::from_pairs(pairs)
    }
}

/// What a model is told of tools by a template that knows none: a line a tool, its name, the names
/// of its arguments, those that may be left out with a `?`, what it does. White space in a
/// description becomes one space, so that no description can pass for the line of another tool.
fn in_words(tools: &[ToolDefinition]) -> String {
    let line = |tool: &ToolDefinition| {
        let argument = |(name, needed)| match needed {
            true => one_line(name),
            false => format!("{}?", one_line(name)),
        };
        let arguments: Vec<String> = tool.arguments().map(argument).collect();
        let line =
            format!("{}({}) {}", tool.name, arguments.join(","), one_line(&tool.description));
        line.trim_end().to_owned()
    };
    tools.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A call as a template shows it that knows no calls.
fn call_in_words(call: &ToolCall) -> String {
    json!({ "tool": call.name, "args": call.arguments }).to_string()
}

fn schema_word(text: &str) -> bool {
    SCHEMA_WORDS.contains(&text)
}

fn value<'a>(json: &'a Json, text: &mut impl FnMut(&'a str) -> String) -> Value {
    match json {
        Json::String(string) => Value::from(text(string)),
        Json::Array(items) => items.iter().map(|item| value(item, text)).collect(),
        Json::Object(map) => object(map, text),
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (_, _, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
    }
}

fn object<'a>(map: &'a Map<String, Json>, text: &mut impl FnMut(&'a str) -> String) -> Value {
    let mut pairs = Vec::with_capacity(map.len());
    for (key, item) in map {
        let key = text(key);
        pairs.push((key, value(item, text)));
    }
    Value::from_pairs(pairs)
}

fn joined(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (false, false) => format!("{first}\n\n{second}"),
        _ => format!("{first}{second}"),
    }
}

/// Turns with one call each, and each call before its answer.
fn apart(turns: Vec<Turn>) -> Vec<Turn> {
    let mut apart: Vec<Turn> = Vec::with_capacity(turns.len());
    for mut turn in turns {
        if let Some((id, _)) = &turn.answers {
            let call = apart.iter().rposition(|turn| turn.calls.iter().any(|(call, _)| call == id));
            let after = call.map_or(apart.len(), |call| call.saturating_add(1));
            apart.insert(after, turn);
            continue;
        }
        let calls = std::mem::take(&mut turn.calls);
        let thinking = match calls.len() {
            0 => String::new(),
            _ if turn.content.is_empty() => std::mem::take(&mut turn.thinking),
            _ => String::new(),
        };
        if calls.is_empty() || !turn.content.is_empty() {
            apart.push(turn);
        }
        for (number, call) in calls.into_iter().enumerate() {
            let thinking = if number == 0 { thinking.clone() } else { String::new() };
            apart.push(Turn { calls: vec![call], thinking, ..Turn::new(Role::Assistant) });
        }
    }
    apart
}

/// Neighbours with the same role become one turn: many templates insist on alternation.
fn merged(turns: Vec<Turn>) -> Vec<Turn> {
    let mut merged: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match merged.last_mut() {
            Some(last) if last.role == turn.role && last.is_words() && turn.is_words() => {
                last.content = joined(&last.content, &turn.content);
            }
            _ => merged.push(turn),
        }
    }
    merged
}
