//! The worker: sells completions of one model over HTTP.
//!
//! | route | costs |
//! |---|---|
//! | `POST /v1/chat/completions` | `max_tokens` × the price of a token, quoted before anything is computed |
//! | `GET /v1/models` | nothing |
//!
//! A request that the model could not answer (too long, unsupported, another model) is refused
//! before it is priced, so that nobody pays to be told so.
//!
//! INVARIANT: nothing is computed before it is paid for (pinned by
//! `tests/hire.rs::without_a_payment_nothing_is_computed`).

use crate::chat::{Chat, Nonsense, Reply, ReplyChoice, ReplyMessage, ReplyUsage};
use alloy_primitives::U256;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use marque_models::{Generation, Model, ModelError, Stop, Usage};
use marque_payments::{Paywall, Seller, seller::Refusal};
use marque_policies::Money;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Tokens of a reply where the request does not say.
const DEFAULT_TOKENS: u32 = 128;

/// A model for hire.
#[derive(Clone, Debug)]
pub struct Worker {
    model: Arc<dyn Model>,
    seller: Seller,
    price_per_token: Money,
    default_tokens: u32,
}

impl Worker {
    /// Sells completions of `model` at `price_per_token` for each token that a request asks for.
    #[must_use]
    pub fn new(model: Arc<dyn Model>, seller: Seller, price_per_token: Money) -> Self {
        Self { model, seller, price_per_token, default_tokens: DEFAULT_TOKENS }
    }

    /// How many tokens a request buys that does not say; 128 unless said otherwise.
    #[must_use]
    pub fn default_tokens(self, default_tokens: u32) -> Self {
        Self { default_tokens, ..self }
    }

    /// The endpoint as an axum router.
    pub fn router(self) -> Router {
        let bench = Arc::new(Bench {
            model: self.model,
            price_per_token: self.price_per_token,
            default_tokens: self.default_tokens,
            made: AtomicU64::new(0),
        });
        let quoting = Arc::clone(&bench);
        let name = bench.model.info().name.clone();
        let paywall =
            Paywall::quoted(self.seller, move |_, body| quoting.quote(body).map_err(Refusal::from))
                .describe(&format!("one completion by {name}"));
        Router::new()
            .route("/v1/chat/completions", post(complete))
            .layer(paywall)
            .route("/v1/models", get(models))
            .with_state(bench)
    }
}

/// The model with its price tag.
#[derive(Debug)]
struct Bench {
    model: Arc<dyn Model>,
    price_per_token: Money,
    default_tokens: u32,
    made: AtomicU64,
}

impl Bench {
    /// What a request costs, or why it cannot be answered.
    fn quote(&self, body: &[u8]) -> Result<Money, Fault> {
        let (_, tokens) = self.read(body)?;
        let Money { units, asset } = self.price_per_token;
        let units = units.checked_mul(U256::from(tokens)).ok_or_else(|| {
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "the price cannot be counted")
        })?;
        Ok(Money::new(units, asset))
    }

    /// A request that this model can answer, and the most tokens of the reply.
    fn read(&self, body: &[u8]) -> Result<(Chat, u32), Fault> {
        let chat = Chat::parse(body)?;
        let info = self.model.info();
        if ![crate::chat::ANY_MODEL, &info.name, &info.sha256].contains(&chat.model.as_str()) {
            let name = &info.name;
            return Err(Fault {
                status: StatusCode::NOT_FOUND,
                param: Some("model"),
                code: Some("model_not_found"),
                message: format!("this worker runs \"{name}\" and no other model"),
            });
        }
        let tokens = chat.max_tokens.unwrap_or(self.default_tokens);
        let mut needed = u64::from(tokens);
        for message in &chat.messages {
            let count = self.model.count_tokens(&message.content)?;
            needed = needed.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        if needed > u64::from(info.context_length) {
            return Err(Fault {
                status: StatusCode::BAD_REQUEST,
                param: Some("messages"),
                code: Some("context_length_exceeded"),
                message: format!(
                    "messages and reply need {needed} tokens at least, and the model has {}",
                    info.context_length
                ),
            });
        }
        Ok((chat, tokens))
    }

    /// Computes a reply.
    async fn answer(&self, body: &[u8]) -> Result<Reply, Fault> {
        let (chat, tokens) = self.read(body)?;
        let (text, usage, stop) = match self.model.generate(chat.into_request(tokens)).await {
            Ok(Generation { text, usage, stop, .. }) => (text, usage, stop),
            // What was bought was computed and is used up, as other endpoints say it: by an
            // unfinished reply, not by an error.
            Err(ModelError::Truncated { tokens }) => {
                let usage = Usage { completion_tokens: tokens, ..Usage::default() };
                (String::new(), usage, Stop::Length)
            }
            Err(error) => return Err(error.into()),
        };
        let info = self.model.info();
        let created =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Reply {
            id: format!("chatcmpl-{created:x}-{number:x}"),
            object: "chat.completion".to_owned(),
            created,
            model: info.name.clone(),
            choices: vec![ReplyChoice {
                index: 0,
                message: ReplyMessage { role: "assistant".to_owned(), content: text },
                finish_reason: Some(finish_reason(stop).to_owned()),
            }],
            usage: ReplyUsage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            },
            system_fingerprint: Some(info.sha256.clone()),
        })
    }
}

async fn complete(State(bench): State<Arc<Bench>>, body: Bytes) -> Response {
    match bench.answer(&body).await {
        Ok(reply) => Json(reply).into_response(),
        Err(fault) => fault.into_response(),
    }
}

async fn models(State(bench): State<Arc<Bench>>) -> Json<Value> {
    let info = bench.model.info();
    Json(json!({
        "object": "list",
        "data": [{
            "id": info.name,
            "object": "model",
            "created": 0,
            "owned_by": "marque",
            "context_length": info.context_length,
            "sha256": info.sha256,
        }],
    }))
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Length => "length",
        _ => "stop",
    }
}

/// An error in OpenAI's shape.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    param: Option<&'static str>,
    code: Option<&'static str>,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, message: &str) -> Self {
        Self { status, param: None, code: None, message: message.to_owned() }
    }
}

impl From<Nonsense> for Fault {
    fn from(Nonsense { param, why }: Nonsense) -> Self {
        let message = match param {
            Some(param) => format!("{param}: {why}"),
            None => why,
        };
        Self { status: StatusCode::BAD_REQUEST, param, code: None, message }
    }
}

impl From<ModelError> for Fault {
    fn from(error: ModelError) -> Self {
        let (status, code) = match &error {
            ModelError::PromptTooLong { .. } => {
                (StatusCode::BAD_REQUEST, Some("context_length_exceeded"))
            }
            ModelError::Request(_) | ModelError::Template(_) | ModelError::Constraint(_) => {
                (StatusCode::BAD_REQUEST, None)
            }
            _ => {
                tracing::error!(%error, "a completion failed");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the completion failed; send the same payment again",
                );
            }
        };
        Self { status, param: None, code, message: error.to_string() }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let kind =
            if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let body = json!({
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            },
        });
        (self.status, Json(body)).into_response()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        fault.into_response().into()
    }
}
