//! A reverse proxy before an RPC endpoint, which misbehaves when it is told to.

use crate::dice::Dice;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// What an endpoint does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It takes this long.
    Slow(Duration),
    /// It accepts the question and never answers.
    Silent,
    /// It closes the connection and has done nothing.
    Gone,
    /// It does what is asked and closes the connection.
    AnswerLost,
    /// 429.
    Limits,
    /// It answers what was at this block.
    Stale(u64),
    /// It answers what is not so.
    Lies(Lie),
}

/// What it says that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// No transaction was mined.
    NoReceipt,
    /// Every transaction failed.
    Reverted,
    /// Every authorisation is in the state that it is not in.
    Authorisations,
    /// Nothing ever happened.
    NoLogs,
    /// The chain is a thousand blocks and seconds further.
    Ahead,
    /// What is no answer at all.
    Nonsense,
}

/// A running proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    /// What is wrong, and with how many answers of a hundred.
    trouble: Mutex<(Trouble, u64)>,
    dice: Mutex<Dice>,
    hits: Mutex<u64>,
}

impl Proxy {
    pub(crate) async fn start(upstream: &str, dice: Dice) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            trouble: Mutex::new((Trouble::None, 0)),
            dice: Mutex::new(dice),
            hits: Mutex::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    /// From now on this is wrong with `percent` of the answers.
    pub(crate) fn has(&self, trouble: Trouble, percent: u64) {
        *self.shared.trouble.lock().unwrap() = (trouble, percent);
    }

    pub(crate) fn mend(&self) {
        self.has(Trouble::None, 0);
    }

    /// How many answers were spoiled so far.
    pub(crate) fn hits(&self) -> u64 {
        *self.shared.hits.lock().unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let (trouble, percent) = *shared.trouble.lock().unwrap();
    if trouble == Trouble::None || !shared.dice.lock().unwrap().percent(percent) {
        return forward(&shared, body).await.into_response();
    }
    *shared.hits.lock().unwrap() += 1;
    match trouble {
        Trouble::None => forward(&shared, body).await.into_response(),
        Trouble::Slow(time) => {
            tokio::time::sleep(time).await;
            forward(&shared, body).await.into_response()
        }
        Trouble::Silent => std::future::pending().await,
        Trouble::Gone => closed(),
        Trouble::AnswerLost => {
            drop(forward(&shared, body).await);
            closed()
        }
        Trouble::Limits => (StatusCode::TOO_MANY_REQUESTS, "slow down").into_response(),
        Trouble::Stale(block) => {
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            let asked = at(question.clone(), block).to_string();
            let mut said: Value =
                serde_json::from_slice(&forward(&shared, asked.into()).await.1).unwrap_or_default();
            as_of(block, &question, &mut said["result"]);
            axum::Json(said).into_response()
        }
        Trouble::Lies(Lie::Nonsense) => "<html>It works!</html>".into_response(),
        Trouble::Lies(lie) => {
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            let mut said: Value =
                serde_json::from_slice(&forward(&shared, body).await.1).unwrap_or_default();
            lie.tell(&question, &mut said["result"]);
            axum::Json(said).into_response()
        }
    }
}

/// An answer of which the beginning comes and the rest does not.
fn closed() -> Response {
    let broken = std::io::Error::other("the connection is closed");
    Response::new(Body::from_stream(futures::stream::once(async { Err::<Bytes, _>(broken) })))
}

async fn forward(shared: &Shared, body: Bytes) -> (StatusCode, Bytes) {
    let sent = shared
        .client
        .post(&shared.upstream)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, answer.bytes().await.unwrap_or_default())
        }
        Err(_) => (StatusCode::BAD_GATEWAY, Bytes::new()),
    }
}

/// The same question about an older block.
fn at(mut question: Value, block: u64) -> Value {
    let old = json!(format!("{block:#x}"));
    for word in question["params"].as_array_mut().into_iter().flatten() {
        if matches!(word.as_str(), Some("latest" | "pending" | "safe" | "finalized")) {
            *word = old.clone();
        }
        if word.get("toBlock").is_some_and(|to| to == "latest") {
            word["toBlock"] = old.clone();
        }
    }
    question
}

/// What was known of it at that block.
fn as_of(block: u64, question: &Value, result: &mut Value) {
    match question["method"].as_str().unwrap_or_default() {
        "eth_blockNumber" => *result = json!(format!("{block:#x}")),
        "eth_getTransactionReceipt" => {
            let mined = number(&result["blockNumber"]);
            if mined.is_some_and(|mined| mined > block) {
                *result = Value::Null;
            }
        }
        _ => {}
    }
}

/// A number as JSON-RPC writes it.
fn number(word: &Value) -> Option<u64> {
    u64::from_str_radix(word.as_str()?.strip_prefix("0x")?, 16).ok()
}

impl Lie {
    fn tell(self, question: &Value, result: &mut Value) {
        let method = question["method"].as_str().unwrap_or_default();
        let more = |word: &Value| json!(format!("{:#x}", number(word).unwrap_or_default() + 1_000));
        match (self, method) {
            (Self::NoReceipt, "eth_getTransactionReceipt" | "eth_getTransactionByHash") => {
                *result = Value::Null;
            }
            (Self::Reverted, "eth_getTransactionReceipt") if result.is_object() => {
                result["status"] = json!("0x0");
            }
            (Self::Authorisations, "eth_call") => {
                // authorizationState(address,bytes32)
                let data = &question["params"][0]["data"];
                if data.as_str().is_some_and(|data| data.starts_with("0xe94a0102")) {
                    let used = result.as_str().is_some_and(|word| word.ends_with('1'));
                    *result = json!(format!("{:#066x}", u8::from(!used)));
                }
            }
            (Self::NoLogs, "eth_getLogs") => *result = json!([]),
            (Self::Ahead, "eth_blockNumber") => *result = more(result),
            (Self::Ahead, "eth_getBlockByNumber") if result.is_object() => {
                for field in ["number", "timestamp"] {
                    result[field] = more(&result[field]);
                }
            }
            _ => {}
        }
    }
}
