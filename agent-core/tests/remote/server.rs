//! A server that speaks OpenAI's chat completions, with the built-in model on the real engine behind
//! it. It can fail, refuse fields and say what a test puts into its mouth.

use crate::till::Till;
use alloy_primitives::Address;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use marque_models::{Constraint, Delta, Generation, Llama, Message, Model as _, Request, Role};
use marque_payments::{Paywall, Seller};
use marque_policies::Intent;
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const KEY: &str = "sk-remote-test";

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Status(u16, &'static str),
    /// The connection ends instead of an answer.
    HangUp,
    /// The answer ends in its middle.
    BreakOff,
    /// No answer ever comes.
    Silence,
}

#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

pub(crate) struct Server {
    pub(crate) model: Llama,
    host: String,
    till: Arc<Till>,
    asked: Mutex<Vec<Question>>,
    faults: Mutex<VecDeque<Fault>>,
    says: Mutex<VecDeque<String>>,
    refuses: Mutex<HashSet<String>>,
    counts: Mutex<Option<u32>>,
}

impl Server {
    /// Serves; behind a paywall where there is a price.
    pub(crate) async fn start(price: Option<&str>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let till = Till::new(2, None);
        let server = Arc::new(Self {
            model: Llama::built_in().unwrap(),
            host: host.clone(),
            till: Arc::clone(&till),
            asked: Mutex::default(),
            faults: Mutex::default(),
            says: Mutex::default(),
            refuses: Mutex::default(),
            counts: Mutex::default(),
        });
        let mut router = Router::new().route("/v1/chat/completions", post(complete));
        if let Some(price) = price {
            let base = Url::parse(&format!("http://{host}")).unwrap();
            router = router.layer(Paywall::fixed(Seller::new(till, base), price).unwrap());
        }
        let router = router.with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    pub(crate) fn endpoint(&self) -> Url {
        Url::parse(&format!("http://{}/v1", self.host)).unwrap()
    }

    pub(crate) fn payee(&self) -> Address {
        self.till.address()
    }

    /// Payments that were settled.
    pub(crate) fn settled(&self) -> usize {
        let proposals = self.till.proposals();
        let settled = proposals.iter().filter(|p| matches!(p.intent, Intent::Settle(_)));
        settled.map(|proposal| format!("{:?}", proposal.intent)).collect::<HashSet<_>>().len()
    }

    pub(crate) fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// What it says next, whatever the model would.
    pub(crate) fn says<'a>(&self, texts: impl IntoIterator<Item = &'a str>) {
        self.says.lock().unwrap().extend(texts.into_iter().map(str::to_owned));
    }

    /// How many tokens it says it has read and written, whatever they were.
    pub(crate) fn counts(&self, tokens: u32) {
        *self.counts.lock().unwrap() = Some(tokens);
    }

    /// Fields that it does not know.
    pub(crate) fn refuses(&self, fields: &[&str]) {
        self.refuses.lock().unwrap().extend(fields.iter().map(|field| (*field).to_owned()));
    }
}

fn refusal(status: u16, why: &str) -> Response {
    let body = json!({ "error": { "message": why, "type": "invalid_request_error" } });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// An answer that arrives as far as it goes, and then breaks off.
fn broken(piece: &'static str) -> Response {
    let pieces = futures::stream::unfold(Some(piece), |piece| async move {
        match piece {
            Some("") => None,
            Some(piece) => Some((Ok(piece), None)),
            None => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                Some((Err(std::io::Error::other("the line is dead")), Some("")))
            }
        }
    });
    let pieces = if piece.is_empty() {
        Body::from_stream(futures::stream::iter([Err::<&str, _>(std::io::Error::other("dead"))]))
    } else {
        Body::from_stream(pieces)
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], pieces).into_response()
}

async fn complete(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let key = headers.get(header::AUTHORIZATION).map(|key| key.to_str().unwrap().to_owned());
    server.asked.lock().unwrap().push(Question { key: key.clone(), body: body.clone() });
    let fault = server.faults.lock().unwrap().pop_front();
    match fault {
        None => {}
        Some(Fault::Status(429, why)) => {
            let mut answer = refusal(429, why);
            answer.headers_mut().insert(header::RETRY_AFTER, "0".parse().unwrap());
            return answer;
        }
        Some(Fault::Status(status, why)) => return refusal(status, why),
        Some(Fault::HangUp) => return broken(""),
        Some(Fault::BreakOff) => {
            return broken("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
        }
        Some(Fault::Silence) => return std::future::pending().await,
    }
    if key != Some(format!("Bearer {KEY}")) {
        return refusal(401, "this key is unknown");
    }
    for field in server.refuses.lock().unwrap().iter() {
        if body.get(field).is_some() {
            return refusal(400, &format!("{field} is not supported"));
        }
    }
    let said = server.says.lock().unwrap().pop_front();
    if let Some(text) = said {
        let answer = Generation { text, ..server.model.generate(any()).await.unwrap() };
        return whole(&answer);
    }
    let request = read(&body);
    if body["stream"] != true {
        let mut done = server.model.generate(request).await.unwrap();
        if let Some(tokens) = *server.counts.lock().unwrap() {
            (done.usage.prompt_tokens, done.usage.completion_tokens) = (tokens, tokens);
        }
        return whole(&done);
    }
    let (request, mut deltas) = request.stream();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let tell = |event: Value| sender.send(format!("data: {event}\n\n")).is_ok();
        let (done, ()) = tokio::join!(server.model.generate(request), async {
            while let Some(Delta::Text(text)) = deltas.next().await {
                tell(json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }));
            }
        });
        tell(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
        tell(json!({ "choices": [], "usage": usage(&done.unwrap()) }));
        sender.send("data: [DONE]\n\n".to_owned()).is_ok()
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (Ok::<_, Infallible>(piece), receiver))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
}

fn any() -> Request {
    Request::new(vec![Message::user("a")]).max_tokens(1)
}

fn usage(done: &Generation) -> Value {
    json!({
        "prompt_tokens": done.usage.prompt_tokens,
        "completion_tokens": done.usage.completion_tokens,
    })
}

fn whole(done: &Generation) -> Response {
    let message = json!({ "role": "assistant", "content": done.text });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    axum::Json(json!({ "choices": [choice], "usage": usage(done) })).into_response()
}

fn read(body: &Value) -> Request {
    let messages = body["messages"].as_array().unwrap().iter().map(|message| {
        let role = match message["role"].as_str().unwrap() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        Message::new(role, message["content"].as_str().unwrap())
    });
    let request = Request::new(messages.collect())
        .max_tokens(body["max_tokens"].as_u64().unwrap().try_into().unwrap());
    match body.pointer("/response_format/json_schema/schema") {
        Some(schema) => request.constraint(Constraint::JsonSchema(schema.clone())),
        None => request,
    }
}
