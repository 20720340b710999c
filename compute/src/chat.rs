//! The part of OpenAI's chat completions that both sides speak, parsed into what a model takes.
//!
//! Fields that would change the answer and that are not supported are refused by name; fields that
//! would not (a user's name, metadata) are ignored. So nobody pays for something other than what
//! they asked for.
//!
//! Source: OpenAI's API reference, "Create chat completion".

use marque_models::{Constraint, Message, Request, Role, Sampling};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The most messages that a request may have.
pub const MAX_MESSAGES: usize = 256;

/// The most tokens that a request may ask for.
pub const MAX_TOKENS: u32 = 32_768;

/// The name by which any worker's model can be asked for.
pub const ANY_MODEL: &str = "default";

/// Fields that would change the answer and that are not supported, unless absent or `null`.
const UNSUPPORTED: [&str; 11] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "modalities",
    "presence_penalty",
    "stop",
    "tool_choice",
    "tools",
];

/// A request that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Chat {
    /// The model's name.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The most tokens that the reply may have; `None` leaves it to the worker.
    pub max_tokens: Option<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// What the reply must look like.
    pub constraint: Constraint,
}

/// Why a request makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonsense {
    /// The field, where it is one.
    pub param: Option<&'static str>,
    /// What is wrong with it.
    pub why: String,
}

/// The request as it stands on the wire.
#[derive(Debug, Deserialize)]
struct Wire {
    model: String,
    messages: Vec<WireMessage>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    n: Option<u32>,
    stream: Option<bool>,
    response_format: Option<WireFormat>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: String,
    content: Option<WireContent>,
    tool_calls: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WireContent {
    Text(String),
    Parts(Vec<WirePart>),
}

#[derive(Debug, Deserialize)]
struct WirePart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat {
    Text,
    JsonSchema {
        json_schema: WireSchema,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct WireSchema {
    schema: Value,
}

impl Chat {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Nonsense`] with the field that is missing, wrong or not supported.
    pub fn parse(body: &[u8]) -> Result<Self, Nonsense> {
        let wire: Wire = serde_json::from_slice(body)
            .map_err(|error| Nonsense { param: None, why: format!("not a request: {error}") })?;
        wire.supported()?;
        if wire.messages.is_empty() || wire.messages.len() > MAX_MESSAGES {
            return Err(Nonsense::of(
                "messages",
                format!("{} messages; 1 to {MAX_MESSAGES} are read", wire.messages.len()),
            ));
        }
        let max_tokens = wire.max_completion_tokens.or(wire.max_tokens);
        if max_tokens.is_some_and(|tokens| tokens == 0 || tokens > MAX_TOKENS) {
            return Err(Nonsense::of("max_tokens", format!("it has to be 1 to {MAX_TOKENS}")));
        }
        let temperature = wire.temperature.unwrap_or(0.0);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(Nonsense::of("temperature", "it has to be 0 to 2"));
        }
        let constraint = match wire.response_format {
            None | Some(WireFormat::Text) => Constraint::None,
            Some(WireFormat::JsonSchema { json_schema: WireSchema { schema } })
                if schema.is_object() =>
            {
                Constraint::JsonSchema(schema)
            }
            Some(_) => {
                return Err(Nonsense::of(
                    "response_format",
                    "\"text\" and \"json_schema\" with an object as schema are supported",
                ));
            }
        };
        let messages =
            wire.messages.into_iter().map(WireMessage::parse).collect::<Result<_, _>>()?;
        Ok(Self {
            model: wire.model,
            messages,
            max_tokens,
            sampling: Sampling {
                temperature,
                seed: wire.seed.unwrap_or(0).cast_unsigned(),
                ..Sampling::default()
            },
            constraint,
        })
    }

    /// Whether the body can say everything that this request asks; what it cannot say is not
    /// asked of a stranger as if it had been.
    ///
    /// # Errors
    /// [`Nonsense`] with the field that a body has no words for.
    pub fn expressible(&self) -> Result<(), Nonsense> {
        let Sampling { temperature, seed, .. } = self.sampling;
        if self.sampling != (Sampling { temperature, seed, ..Sampling::default() }) {
            return Err(Nonsense::of("sampling", "only temperature and seed can be asked for"));
        }
        let words = |message: &Message| *message == Message::new(message.role, &*message.content);
        if !self.messages.iter().all(words) {
            return Err(Nonsense::of(
                "messages",
                "thoughts and calls cannot be sent; write them as content",
            ));
        }
        match self.constraint {
            Constraint::None | Constraint::JsonSchema(_) => Ok(()),
            _ => Err(Nonsense::of("constraint", "only a JSON schema can be asked for")),
        }
    }

    /// The body of this request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": self.messages,
            "temperature": self.sampling.temperature,
            "seed": self.sampling.seed.cast_signed(),
        });
        if let Some(body) = body.as_object_mut() {
            if let Some(tokens) = self.max_tokens {
                body.insert("max_tokens".to_owned(), tokens.into());
            }
            if let Constraint::JsonSchema(schema) = &self.constraint {
                let format = json!({
                    "type": "json_schema",
                    "json_schema": { "name": "answer", "strict": true, "schema": schema },
                });
                body.insert("response_format".to_owned(), format);
            }
        }
        body
    }

    /// What a model is asked, for a reply of at most `max_tokens`.
    #[must_use]
    pub fn into_request(self, max_tokens: u32) -> Request {
        let mut request =
            Request::new(self.messages).max_tokens(max_tokens).sampling(self.sampling);
        request.constraint = self.constraint;
        request
    }
}

impl Wire {
    fn supported(&self) -> Result<(), Nonsense> {
        if self.stream == Some(true) {
            return Err(Nonsense::of("stream", "streaming is not supported; leave it out"));
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(Nonsense::of("n", "one completion is made for one payment"));
        }
        if self.top_p.is_some_and(|top_p| (top_p - 1.0).abs() > f32::EPSILON) {
            return Err(Nonsense::of("top_p", "it is not supported; leave it out"));
        }
        // Values that switch a field off are as good as its absence.
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::String(_) | Value::Bool(true) => false,
        };
        let unsupported =
            UNSUPPORTED.iter().find(|name| self.rest.get(**name).is_some_and(|value| !off(value)));
        match unsupported {
            Some(name) => Err(Nonsense::of(name, "it is not supported; leave it out")),
            None => Ok(()),
        }
    }
}

impl WireMessage {
    fn parse(self) -> Result<Message, Nonsense> {
        if self.tool_calls.is_some_and(|calls| !calls.is_null()) {
            return Err(Nonsense::of(
                "messages",
                "tool_calls are not supported; write the call as content",
            ));
        }
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            _ => {
                return Err(Nonsense::of(
                    "messages",
                    "a role is \"system\", \"user\", \"assistant\" or \"tool\"",
                ));
            }
        };
        let content = match self.content {
            Some(WireContent::Text(text)) => text,
            Some(WireContent::Parts(parts)) => {
                let mut whole = String::new();
                for part in parts {
                    match part {
                        WirePart { kind, text: Some(text) } if kind == "text" => {
                            whole.push_str(&text);
                        }
                        _ => return Err(Nonsense::of("messages", "only text can be read")),
                    }
                }
                whole
            }
            None => return Err(Nonsense::of("messages", "a message has no content")),
        };
        Ok(Message::new(role, content))
    }
}

impl Nonsense {
    fn of(param: &'static str, why: impl Into<String>) -> Self {
        Self { param: Some(param), why: why.into() }
    }
}

/// A completion as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The worker's name for it.
    #[serde(default)]
    pub id: String,
    /// `chat.completion`.
    #[serde(default)]
    pub object: String,
    /// Unix seconds.
    #[serde(default)]
    pub created: u64,
    /// The model that the worker says it ran.
    #[serde(default)]
    pub model: String,
    /// One choice.
    pub choices: Vec<ReplyChoice>,
    /// What it took.
    pub usage: ReplyUsage,
    /// The hash of the model file, as the worker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
}

/// One completion of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyChoice {
    /// 0.
    #[serde(default)]
    pub index: u32,
    /// What the model wrote.
    pub message: ReplyMessage,
    /// `stop` or `length`.
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyMessage {
    /// `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// Tokens of one completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyUsage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the completion.
    pub completion_tokens: u32,
    /// Of both.
    #[serde(default)]
    pub total_tokens: u32,
}

#[cfg(test)]
mod tests {
    use marque_models::ToolCall;

    use super::*;

    fn parse(body: Value) -> Result<Chat, Nonsense> {
        Chat::parse(&serde_json::to_vec(&body).unwrap())
    }

    #[test]
    fn a_request_survives_the_wire() {
        let chat = Chat {
            model: "tiny".to_owned(),
            messages: vec![
                Message::system("be brief"),
                Message::user("wind?"),
                Message::assistant("{}"),
                Message::tool("14.2"),
            ],
            max_tokens: Some(40),
            sampling: Sampling { temperature: 0.5, seed: u64::MAX - 1, ..Sampling::default() },
            constraint: Constraint::JsonSchema(json!({ "type": "object" })),
        };
        assert_eq!(parse(chat.to_json()), Ok(chat));
    }

    #[test]
    fn what_a_body_has_no_words_for_is_not_sent() {
        let chat = |message| Chat {
            model: "tiny".to_owned(),
            messages: vec![Message::user("wind?"), message],
            max_tokens: None,
            sampling: Sampling::default(),
            constraint: Constraint::None,
        };
        assert_eq!(chat(Message::assistant("14.2")).expressible(), Ok(()));
        let call = ToolCall::new("c1", "wind", Map::new());
        for message in [Message::calls([call]), Message::assistant("14.2").thinking("hm")] {
            assert_eq!(chat(message).expressible().unwrap_err().param, Some("messages"));
        }
    }

    #[test]
    fn other_clients_requests_are_read() {
        let chat = parse(json!({
            "model": "default",
            "messages": [
                { "role": "developer", "content": "be brief" },
                { "role": "user", "content": [
                    { "type": "text", "text": "wi" }, { "type": "text", "text": "nd" }
                ] },
            ],
            "max_completion_tokens": 7, "max_tokens": 9, "stream": false, "n": 1, "top_p": 1,
            "tools": [], "logprobs": false, "presence_penalty": 0, "user": "u1", "store": true,
        }))
        .unwrap();
        assert_eq!(chat.messages, [Message::system("be brief"), Message::user("wind")]);
        assert_eq!(chat.max_tokens, Some(7));
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (field, value) in [
            ("stream", json!(true)),
            ("n", json!(2)),
            ("top_p", json!(0.5)),
            ("stop", json!("\n")),
            ("tools", json!([{ "type": "function" }])),
            ("logprobs", json!(true)),
            ("frequency_penalty", json!(0.5)),
            ("temperature", json!(2.5)),
            ("temperature", json!(-1)),
            ("max_tokens", json!(0)),
            ("max_tokens", json!(1_000_000)),
            ("response_format", json!({ "type": "json_object" })),
            ("response_format", json!({ "type": "json_schema", "json_schema": { "schema": 1 } })),
            ("messages", json!([])),
            ("messages", json!([{ "role": "wizard", "content": "x" }])),
            ("messages", json!([{ "role": "user" }])),
            ("messages", json!([{ "role": "user", "content": [{ "type": "image_url" }] }])),
            ("messages", json!([{ "role": "assistant", "content": "", "tool_calls": [1] }])),
        ] {
            let mut body = json!({
                "model": "default", "messages": [{ "role": "user", "content": "x" }],
            });
            body[field] = value.clone();
            let nonsense = parse(body).unwrap_err();
            assert_eq!(nonsense.param, Some(field), "{value}");
        }
    }

    #[test]
    fn a_body_that_is_no_request_is_told_so() {
        for body in [&b""[..], b"{", b"[]", b"{\"model\":\"x\"}", b"\xff\xff"] {
            assert_eq!(Chat::parse(body).unwrap_err().param, None);
        }
    }
}
