//! JSON schemas as the grammar engine wants them: whole, closed and plain.
//!
//! Types become schemas through `schemars`. What is left out is what a grammar cannot use: titles,
//! descriptions, formats of numbers. Objects are closed, so that a model cannot add what nobody
//! reads.

use crate::call::FINISH;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of `T`, references resolved.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    close(&mut schema);
    schema
}

/// What the model answers with when the answer is a `T`: the fields of `T` where it has fields,
/// else `{"answer": T}`.
pub(crate) fn of_answer<T: JsonSchema>() -> Value {
    let schema = of::<T>();
    if is_object(&schema) {
        return schema;
    }
    json!({
        "type": "object",
        "properties": { "answer": schema },
        "required": ["answer"],
        "additionalProperties": false,
    })
}

/// The value of the answer inside the arguments of `finish`: the counterpart of [`of_answer`].
pub(crate) fn unwrap_answer<T: JsonSchema>(mut args: Map<String, Value>) -> Value {
    if is_object(&of::<T>()) {
        return Value::Object(args);
    }
    args.remove("answer").unwrap_or(Value::Null)
}

/// Whether this describes a struct with named fields.
fn is_object(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && schema.get("properties").is_some()
}

/// Whether a schema refers to itself, which no flat grammar can hold.
pub(crate) fn is_recursive(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("$ref") || map.values().any(is_recursive),
        Value::Array(items) => items.iter().any(is_recursive),
        _ => false,
    }
}

/// The arguments that a schema names, in order.
pub(crate) fn arguments(schema: &Value) -> impl Iterator<Item = &str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str))
}

/// The schema of one reply: a call of one of `tools`, the tool's name first.
pub(crate) fn of_reply<'a>(tools: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    let mut calls: Vec<_> = tools.into_iter().map(|(name, args)| of_call(name, args)).collect();
    match calls.len() {
        1 => calls.swap_remove(0),
        _ => json!({ "oneOf": calls }),
    }
}

/// The schema of a call of one tool.
fn of_call(tool: &str, args: &Value) -> Value {
    debug_assert!(tool != FINISH || is_object(args), "an answer has fields");
    json!({
        "type": "object",
        "properties": { "tool": { "const": tool }, "args": args },
        "required": ["tool", "args"],
        "additionalProperties": false,
    })
}

/// Closes every object and drops what a grammar cannot use.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for word in ["$schema", "title", "description", "default", "examples", "deprecated"] {
        map.remove(word);
    }
    let number = |kind: &Value| kind == "integer" || kind == "number";
    let is_number = map.get("type").is_some_and(|kind| match kind {
        Value::Array(kinds) => kinds.iter().any(number),
        kind => number(kind),
    });
    if is_number {
        map.remove("format");
    }
    if map.get("type").is_some_and(|kind| kind == "object") {
        let is_map = map.get("additionalProperties").is_some_and(Value::is_object);
        if !is_map {
            map.entry("properties").or_insert_with(|| json!({}));
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
    for word in ["properties", "$defs"] {
        if let Some(Value::Object(parts)) = map.get_mut(word) {
            parts.values_mut().for_each(close);
        }
    }
    for word in ["items", "additionalProperties", "not"] {
        if let Some(part) = map.get_mut(word) {
            close(part);
        }
    }
    for word in ["oneOf", "anyOf", "allOf", "prefixItems"] {
        if let Some(Value::Array(parts)) = map.get_mut(word) {
            parts.iter_mut().for_each(close);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Advice {
        /// Whether to go.
        sail: bool,
        wind: Wind,
        reasons: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Wind {
        title: String,
        knots: u32,
    }

    #[test]
    fn a_struct_is_answered_by_its_fields_and_closed_at_every_depth() {
        assert_eq!(
            of_answer::<Advice>(),
            json!({
                "type": "object",
                "properties": {
                    "sail": { "type": "boolean" },
                    "wind": {
                        "type": "object",
                        "properties": {
                            "title": { "type": "string" },
                            "knots": { "type": "integer", "minimum": 0 },
                        },
                        "required": ["title", "knots"],
                        "additionalProperties": false,
                    },
                    "reasons": { "type": "array", "items": { "type": "string" } },
                },
                "required": ["sail", "wind", "reasons"],
                "additionalProperties": false,
            })
        );
    }

    #[test]
    fn a_plain_value_is_answered_as_answer() {
        let schema = of_answer::<String>();
        assert_eq!(arguments(&schema).collect::<Vec<_>>(), ["answer"]);
        let args = json!({"answer": "7"}).as_object().cloned().unwrap();
        assert_eq!(unwrap_answer::<String>(args), json!("7"));
    }

    #[test]
    fn arguments_keep_the_order_in_which_they_are_declared() {
        let schema = of::<Wind>();
        assert_eq!(arguments(&schema).collect::<Vec<_>>(), ["title", "knots"]);
    }

    #[test]
    fn a_type_that_contains_itself_is_recognised() {
        #[derive(Deserialize, JsonSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Tree {
            children: Vec<Tree>,
        }
        assert!(is_recursive(&of::<Tree>()));
        assert!(!is_recursive(&of::<Advice>()));
    }
}
