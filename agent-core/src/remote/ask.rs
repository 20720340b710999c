//! A request as OpenAI's chat completions have it, and as words where a server knows less.
//!
//! Source: OpenAI's API reference, "Create chat completion".

use marque_models::{
    Constraint, Message, ModelError, Request, Role, ToolCall, ToolDefinition, Trace,
};
use serde_json::{Map, Value, json};
use url::Url;

/// What a server has to be told in words, or asked for at once, because it refused it otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wording {
    /// The schema of the reply.
    schema: bool,
    /// The tools, their calls and their answers.
    tools: bool,
    /// The reply, whole and not as it is written.
    pub(super) whole: bool,
}

impl Wording {
    /// The wording that meets an objection, if it is one to the wording and not met yet.
    pub(super) fn instead_of(self, objection: &str) -> Option<Self> {
        let objection = objection.to_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| objection.contains(word));
        if !self.whole && names(&["stream"]) {
            return Some(Self { whole: true, ..self });
        }
        if !self.schema && names(&["response_format", "json_schema", "structured output"]) {
            return Some(Self { schema: true, ..self });
        }
        if !self.tools && names(&["tool", "function"]) {
            return Some(Self { tools: true, ..self });
        }
        None
    }
}

/// The URL of an endpoint's chat completions.
///
/// # Errors
/// [`ModelError::Options`], which says how one is written.
pub(super) fn completions(endpoint: &Url) -> Result<Url, ModelError> {
    let plain = matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host();
    let bare = endpoint.query().is_none() && endpoint.username().is_empty();
    if !plain || !bare || endpoint.password().is_some() {
        return Err(ModelError::Options(format!(
            "{} is no endpoint; write its base URL alone, like https://models.example/v1",
            endpoint.host_str().unwrap_or("the model's URL")
        )));
    }
    let mut url = endpoint.clone();
    url.set_fragment(None);
    let path = match endpoint.path().trim_end_matches('/') {
        "" => "/v1/chat/completions".to_owned(),
        path if path.ends_with("/chat/completions") => path.to_owned(),
        path => format!("{path}/chat/completions"),
    };
    url.set_path(&path);
    Ok(url)
}

/// Refuses what no such endpoint can do, rather than do something else.
pub(super) fn check(request: &Request) -> Result<(), ModelError> {
    let what = match &request.constraint {
        Constraint::Regex(_) => "a regular expression",
        Constraint::Gbnf(_) => "a grammar",
        _ if request.trace != Trace::default() => "a trace of tokens",
        _ if request.sampling.top_k != 0 || request.sampling.min_p > 0.0 => "top_k and min_p",
        _ => return Ok(()),
    };
    Err(ModelError::Request(format!(
        "{what} cannot be had from a remote model; use a JSON Schema, or a model in this process"
    )))
}

/// The body of a request. The same request has the same bytes.
pub(super) fn body(
    model: &str,
    request: &Request,
    messages: &[Message],
    wording: Wording,
) -> Value {
    let sampling = request.sampling;
    let mut body = json!({
        "model": model,
        "messages": conversation(request, messages, wording),
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,
    });
    let mut add = |key: &str, value: Value| {
        if let Some(fields) = body.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
    };
    if sampling.temperature > 0.0 {
        add("seed", json!(sampling.seed >> 1));
        add("top_p", json!(sampling.top_p));
    }
    if !request.stop.is_empty() {
        add("stop", json!(request.stop));
    }
    if let (Some(schema), false) = (schema(&request.constraint), wording.schema) {
        let named = json!({ "name": "reply", "strict": true, "schema": schema });
        add("response_format", json!({ "type": "json_schema", "json_schema": named }));
    }
    if !request.tools.is_empty() && !wording.tools {
        let tools: Vec<_> = request
            .tools
            .iter()
            .map(|tool| {
                json!({ "type": "function", "function": {
                    "name": tool.name, "description": tool.description,
                    "parameters": parameters(tool),
                }})
            })
            .collect();
        add("tools", json!(tools));
        // A reply that is held to a schema is the reply, and not a call beside it.
        if request.constraint != Constraint::None {
            add("tool_choice", json!("none"));
        }
    }
    body
}

/// The schema of a tool's arguments. Servers refuse one that does not say that it is an object.
fn parameters(tool: &ToolDefinition) -> Value {
    let mut schema = Map::from_iter([("type".to_owned(), json!("object"))]);
    schema.extend(tool.parameters.as_object().cloned().unwrap_or_default());
    Value::Object(schema)
}

/// The same body for an answer in pieces.
pub(super) fn streaming(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("stream".to_owned(), json!(true));
        fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    body
}

/// The schema that a reply is held to.
pub(super) fn schema(constraint: &Constraint) -> Option<Value> {
    match constraint {
        Constraint::JsonSchema(schema) => Some(schema.clone()),
        _ => None,
    }
}

fn conversation(request: &Request, messages: &[Message], wording: Wording) -> Vec<Value> {
    let mut said: Vec<Value> =
        messages.iter().map(|message| spoken(message, wording.tools)).collect();
    let frame = frame(request, wording);
    if frame.is_empty() {
        return said;
    }
    let first = said.first_mut().filter(|first| first.get("role") == Some(&json!("system")));
    match first.and_then(|first| first.get_mut("content")) {
        Some(content) => {
            let before = content.as_str().unwrap_or_default();
            *content = json!(format!("{before}\n\n{frame}"));
        }
        None => said.insert(0, json!({ "role": "system", "content": frame })),
    }
    said
}

/// What is told in words before the conversation.
fn frame(request: &Request, wording: Wording) -> String {
    let mut lines = Vec::new();
    if wording.tools && !request.tools.is_empty() {
        lines.push("Tools, called with {\"tool\": name, \"args\": {...}}:".to_owned());
        lines.extend(request.tools.iter().map(|tool| {
            format!("- {}: {} Arguments: {}", tool.name, tool.description, tool.parameters)
        }));
    }
    match &request.constraint {
        Constraint::JsonSchema(schema) if wording.schema => lines.push(format!(
            "Reply with JSON of this JSON Schema and with nothing else, without a code block: {schema}"
        )),
        Constraint::Choice(texts) => lines.push(format!(
            "Reply with exactly one of these texts and with nothing else: {}",
            json!(texts)
        )),
        _ => {}
    }
    lines.join("\n")
}

fn spoken(message: &Message, in_words: bool) -> Value {
    let (role, content) = (message.role, &message.content);
    match (role, &message.answers) {
        (Role::Tool, Some(id)) if !in_words => {
            json!({ "role": "tool", "tool_call_id": id, "content": content })
        }
        // What answers no call by its id cannot be said as a tool's word.
        (Role::Tool, _) => json!({ "role": "user", "content": format!("Result: {content}") }),
        (Role::Assistant, _) if !message.calls.is_empty() && in_words => {
            let calls = message.calls.iter().map(|call| in_text(&call.name, &call.arguments));
            let parts: Vec<_> = Some(content.clone())
                .filter(|content| !content.is_empty())
                .into_iter()
                .chain(calls)
                .collect();
            json!({ "role": "assistant", "content": parts.join("\n") })
        }
        (Role::Assistant, _) if !message.calls.is_empty() => {
            let calls: Vec<_> = message.calls.iter().map(called).collect();
            let content = Some(content).filter(|content| !content.is_empty());
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        _ => json!({ "role": role.as_str(), "content": content }),
    }
}

fn called(call: &ToolCall) -> Value {
    let arguments = Value::Object(call.arguments.clone()).to_string();
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// A call as it stands in a reply's text.
pub(super) fn in_text(name: &str, arguments: &Map<String, Value>) -> String {
    json!({ "tool": name, "args": arguments }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_models::ToolDefinition;

    fn request() -> Request {
        let call = ToolCall::new("c1", "get_wind", Map::from_iter([("at".into(), json!("Brest"))]));
        Request::new(vec![
            Message::system("Be terse."),
            Message::user("Wind?"),
            Message::calls([call.clone()]),
            Message::answer(&call, "14 m/s"),
        ])
        .tool(ToolDefinition::new("get_wind", "Wind at a place.", json!({ "type": "object" })))
        .json_schema(json!({ "type": "object" }))
    }

    #[test]
    fn an_endpoint_is_a_url_and_nothing_else() {
        for (endpoint, url) in [
            ("https://m.example", "https://m.example/v1/chat/completions"),
            ("https://m.example/api/v1/", "https://m.example/api/v1/chat/completions"),
            ("https://m.example/v1/chat/completions", "https://m.example/v1/chat/completions"),
        ] {
            assert_eq!(completions(&Url::parse(endpoint).unwrap()).unwrap().as_str(), url);
        }
        for endpoint in ["mailto:a@m.example", "https://m.example/?key=1", "https://a:b@m.example"]
        {
            let error = completions(&Url::parse(endpoint).unwrap()).unwrap_err().to_string();
            assert!(error.contains("like https://"), "{error}");
        }
    }

    #[test]
    fn tools_calls_and_answers_are_told_natively() {
        let request = request();
        let body = body("m", &request, &request.messages, Wording::default());
        assert_eq!(body["tools"][0]["function"]["name"], "get_wind");
        assert_eq!(body["tool_choice"], "none");
        assert_eq!(
            body["messages"][2]["tool_calls"][0]["function"]["arguments"],
            "{\"at\":\"Brest\"}"
        );
        assert_eq!(body["messages"][3]["tool_call_id"], "c1");
        assert_eq!(body["response_format"]["json_schema"]["schema"]["type"], "object");
        assert_eq!(streaming(&body)["stream"], true);
    }

    #[test]
    fn what_a_server_refuses_to_hear_is_told_in_words() {
        let request = request();
        let first = Wording::default().instead_of("Unknown field response_format").unwrap();
        let second = first.instead_of("tools are not supported").unwrap();
        assert_eq!(second.instead_of("tools are not supported"), None);
        let whole = second.instead_of("stream: streaming is not supported; leave it out").unwrap();
        assert!(whole.whole && whole.instead_of("no streams here").is_none());
        let body = body("m", &request, &request.messages, second);
        assert!(body.get("tools").is_none() && body.get("response_format").is_none());
        let system = body["messages"][0]["content"].as_str().unwrap();
        assert!(system.starts_with("Be terse.\n\n") && system.contains("get_wind"), "{system}");
        assert_eq!(body["messages"][2]["content"], r#"{"tool":"get_wind","args":{"at":"Brest"}}"#);
        assert_eq!(body["messages"][3], json!({ "role": "user", "content": "Result: 14 m/s" }));
    }

    #[test]
    fn what_no_endpoint_can_do_is_refused() {
        for constraint in [Constraint::Regex("a".into()), Constraint::Gbnf("a".into())] {
            let request = Request::new(Vec::new()).constraint(constraint);
            assert!(matches!(check(&request), Err(ModelError::Request(_))));
        }
    }
}
