//! JSON schemas as the grammar engine wants them: whole, closed and plain.
//!
//! Types become schemas through `schemars`. What is left out is what neither a grammar nor a model
//! can use: titles, defaults, formats of numbers. Descriptions of arguments stay, for models that
//! are told of tools by their schemas; a grammar does without them. Objects are closed, so that a
//! model cannot add what nobody reads.

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
    if let Value::Object(root) = &mut schema {
        // What a type is for its author; a tool says what it does in its own words.
        root.remove("description");
    }
    walk(&mut schema, &close);
    schema
}

/// The same schema as a grammar wants it, without a word for people.
pub(crate) fn plain(schema: &Value) -> Value {
    let mut schema = schema.clone();
    walk(&mut schema, &|map| {
        map.remove("description");
    });
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

/// A value of one of these schemas.
pub(crate) fn one_of(mut schemas: Vec<Value>) -> Value {
    match schemas.len() {
        1 => schemas.swap_remove(0),
        _ => json!({ "oneOf": schemas }),
    }
}

/// The schema of a call of one tool, its name first.
pub(crate) fn of_call(tool: &str, args: Value) -> Value {
    debug_assert!(tool != FINISH || is_object(&args), "an answer has fields");
    json!({
        "type": "object",
        "properties": { "tool": { "const": tool }, "args": args },
        "required": ["tool", "args"],
        "additionalProperties": false,
    })
}

/// The schema of several calls, each of one of these schemas.
pub(crate) fn of_calls(calls: Vec<Value>, most: usize) -> Value {
    let list = json!({ "type": "array", "items": one_of(calls), "minItems": 2, "maxItems": most });
    json!({
        "type": "object",
        "properties": { "calls": list },
        "required": ["calls"],
        "additionalProperties": false,
    })
}

/// Closes an object and drops what nobody can use.
fn close(map: &mut Map<String, Value>) {
    for word in ["$schema", "title", "default", "examples", "deprecated"] {
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
}

/// Changes a schema and every schema in it. The names of properties are no words of the schema.
fn walk(schema: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    let Value::Object(map) = schema else { return };
    change(map);
    for word in ["properties", "$defs"] {
        if let Some(Value::Object(parts)) = map.get_mut(word) {
            parts.values_mut().for_each(|part| walk(part, change));
        }
    }
    for word in ["items", "additionalProperties", "not"] {
        if let Some(part) = map.get_mut(word) {
            walk(part, change);
        }
    }
    for word in ["oneOf", "anyOf", "allOf", "prefixItems"] {
        if let Some(Value::Array(parts)) = map.get_mut(word) {
            parts.iter_mut().for_each(|part| walk(part, change));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn arguments(schema: &Value) -> Vec<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

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
            plain(&of_answer::<Advice>()),
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
    fn what_a_field_is_for_is_told_to_models_and_kept_from_grammars() {
        let schema = of::<Advice>();
        assert_eq!(schema["properties"]["sail"]["description"], "Whether to go.");
        assert!(!plain(&schema).to_string().contains("Whether to go."));
        // A property may be called like a word of the schema.
        assert!(plain(&schema).to_string().contains(r#""title":{"type":"string"}"#));
    }

    #[test]
    fn a_plain_value_is_answered_as_answer() {
        let schema = of_answer::<String>();
        assert_eq!(arguments(&schema), ["answer"]);
        let args = json!({"answer": "7"}).as_object().cloned().unwrap();
        assert_eq!(unwrap_answer::<String>(args), json!("7"));
    }

    #[test]
    fn arguments_keep_the_order_in_which_they_are_declared() {
        let schema = of::<Wind>();
        assert_eq!(arguments(&schema), ["title", "knots"]);
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
