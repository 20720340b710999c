//! JSON schemas as the grammar engine wants them: whole, closed and plain.
//!
//! Types become schemas through `schemars`. What is left out is what neither a grammar nor a model
//! can use: titles, defaults, formats of numbers. Descriptions of arguments stay, for models that
//! are told of tools by their schemas; a grammar does without them. Objects are closed, so that a
//! model cannot add what nobody reads.
//!
//! What a model is shown is leaner than what its reply is held to ([`shown`], [`sketch`]): it stands in
//! every prompt, and what a grammar sees to needs no words.

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

/// The arguments of a tool as a model is shown them: without what says nothing to whoever writes them.
/// That is what closes an object, that a whole number without a sign is not below zero, the `null` of what
/// may be left out, the pattern of what is described, and at the top that arguments are an object.
pub(crate) fn shown(schema: &Value) -> Value {
    let mut schema = schema.clone();
    walk(&mut schema, &lean);
    if let Value::Object(root) = &mut schema
        && root.contains_key("properties")
    {
        root.remove("type");
    }
    schema
}

/// A value in few words: `{"sail":boolean,"wind"?:{"knots":integer}}`, where `?` is what may be left out.
/// What is more than that is told by its schema.
pub(crate) fn sketch(schema: &Value) -> String {
    let mut schema = schema.clone();
    walk(&mut schema, &lean);
    sketched(&schema)
}

fn sketched(schema: &Value) -> String {
    let map = match schema {
        Value::Object(map) if !map.is_empty() => map,
        Value::Object(_) | Value::Bool(true) => return "any".to_owned(),
        _ => return schema.to_string(),
    };
    let known = ["type", "description", "properties", "required", "items", "enum"];
    let words =
        if map.keys().all(|word| known.contains(&word.as_str())) { map } else { &Map::new() };
    let kind = words.get("type").and_then(Value::as_str);
    let sketch = match (words.get("properties"), words.get("items"), words.get("enum"), kind) {
        (Some(Value::Object(fields)), ..) => {
            let needed = words.get("required").and_then(Value::as_array);
            let field = |(name, schema): (&String, &Value)| {
                let is_needed = needed.is_some_and(|names| names.iter().any(|it| it == name));
                let may_be_left_out = if is_needed { "" } else { "?" };
                format!("{}{may_be_left_out}:{}", Value::from(name.clone()), sketched(schema))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        (None, Some(items), ..) => format!("[{},...]", sketched(items)),
        (None, None, Some(Value::Array(values)), _) => {
            values.iter().map(Value::to_string).collect::<Vec<_>>().join("|")
        }
        (None, None, None, Some(kind)) if kind != "object" && kind != "array" => kind.to_owned(),
        _ => return schema.to_string(),
    };
    match map.get("description").and_then(Value::as_str) {
        Some(description) => format!("{sketch} ({description})"),
        None => sketch,
    }
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

/// Drops what says nothing to whoever writes a value.
fn lean(map: &mut Map<String, Value>) {
    for word in ["$schema", "title"] {
        map.remove(word);
    }
    if map.get("additionalProperties").is_some_and(Value::is_boolean) {
        map.remove("additionalProperties");
    }
    if map.get("type").is_some_and(|kind| kind == "integer")
        && map.get("minimum").is_some_and(|least| least == 0)
    {
        map.remove("minimum");
    }
    if map.contains_key("description") {
        map.remove("pattern");
    }
    let needed = map.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if needed.is_empty() {
        map.remove("required");
    }
    if let Some(Value::Object(fields)) = map.get_mut("properties") {
        let optional = |(name, _): &(&String, &mut Value)| !needed.iter().any(|it| it == *name);
        fields.iter_mut().filter(optional).for_each(|(_, field)| without_null(field));
    }
}

/// What may be left out need not be said to be `null` as well.
fn without_null(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            map.insert("type".to_owned(), kind);
        }
        if let Some(Value::Array(values)) = map.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
    }
    for word in ["anyOf", "oneOf"] {
        let Some(Value::Array(schemas)) = map.get_mut(word) else { continue };
        schemas.retain(|schema| *schema != json!({ "type": "null" }));
        if let [Value::Object(only)] = schemas.as_slice() {
            let only = only.clone();
            map.remove(word);
            for (word, value) in only {
                map.entry(word).or_insert(value);
            }
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

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Order {
        /// Which.
        #[schemars(regex(pattern = r"^[a-z]{1,40}$"))]
        title: String,
        #[schemars(regex(pattern = r"^\d{4}$"))]
        code: String,
        count: Option<u32>,
        wind: Option<Wind>,
        #[schemars(range(min = 1, max = 7))]
        days: u32,
        depth: Option<Depth>,
        by_port: std::collections::BTreeMap<String, u32>,
        tags: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Depth {
        Low,
        High,
    }

    #[test]
    fn a_model_is_shown_what_says_something_to_whoever_writes_it() {
        let number = json!({ "type": "integer" });
        assert_eq!(
            shown(&of::<Order>()),
            json!({
                "properties": {
                    "title": { "type": "string", "description": "Which." },
                    "code": { "type": "string", "pattern": r"^\d{4}$" },
                    "count": number,
                    "wind": {
                        "type": "object",
                        "properties": { "title": { "type": "string" }, "knots": number },
                        "required": ["title", "knots"],
                    },
                    "days": { "type": "integer", "minimum": 1, "maximum": 7 },
                    "depth": { "type": "string", "enum": ["low", "high"] },
                    "by_port": { "type": "object", "additionalProperties": number },
                    "tags": { "type": "array", "items": { "type": "string" } },
                },
                "required": ["title", "code", "days", "by_port", "tags"],
            })
        );
        // What has to be there may have to be null.
        let null = json!({
            "type": "object",
            "properties": { "a": { "type": ["string", "null"] } },
            "required": ["a"],
        });
        assert_eq!(shown(&null)["properties"], null["properties"]);
        assert_eq!(shown(&json!({ "type": "object" })), json!({ "type": "object" }));
    }

    #[test]
    fn an_answer_is_told_in_few_words_and_in_whole_ones_where_those_do_not_do() {
        assert_eq!(sketch(&of_answer::<String>()), r#"{"answer":string}"#);
        assert_eq!(
            sketch(&of::<Advice>()),
            r#"{"sail":boolean (Whether to go.),"wind":{"title":string,"knots":integer},"reasons":[string,...]}"#
        );
        let order = sketch(&of::<Order>());
        for part in [
            r#""title":string (Which.),"#,
            r#""code":{"type":"string","pattern":"^\\d{4}$"},"#,
            r#""count"?:integer,"wind"?:{"title":string,"knots":integer},"#,
            r#""days":{"type":"integer","maximum":7,"minimum":1},"depth"?:"low"|"high","#,
            r#""by_port":{"type":"object","additionalProperties":{"type":"integer"}},"#,
        ] {
            assert!(order.contains(part), "{part} {order}");
        }
        let fields = json!({ "a": true, "b": {}, "c": { "type": "string", "const": "A" } });
        let of = json!({ "type": "object", "properties": fields, "required": ["a", "b", "c"] });
        let told = sketch(&of);
        assert!(told.starts_with(r#"{"a":any,"b":any,"c":{"#), "{told}");
        assert!(told.contains(r#""const":"A""#), "{told}");
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
