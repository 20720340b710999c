//! The chain's endpoint as policies name it: a door before the real one, with a switch.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// How the chain's endpoint answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chain {
    /// As it should.
    #[default]
    Well,
    /// After this time.
    Slow(Duration),
    /// It takes every question and never answers.
    Silent,
    /// It closes every connection and does nothing.
    Gone,
    /// It does what is asked, and its answer is lost.
    AnswerLost,
    /// It asks for patience, with status 429.
    Limiting,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    url: String,
    door: Arc<Door>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Door {
    upstream: String,
    client: reqwest::Client,
    chain: Mutex<Chain>,
}

impl Endpoint {
    pub(super) async fn start(upstream: &str) -> super::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let door = Door { upstream: upstream.to_owned(), client, chain: Mutex::default() };
        let door = Arc::new(door);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(answer).with_state(Arc::clone(&door));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the endpoint of this town is gone");
            }
        });
        Ok(Self { url, door, task })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn becomes(&self, chain: Chain) {
        *self.door.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(door): State<Arc<Door>>, body: Bytes) -> Response {
    let chain = *door.chain.lock().unwrap_or_else(PoisonError::into_inner);
    match chain {
        Chain::Well => {}
        Chain::Slow(time) => tokio::time::sleep(time).await,
        Chain::Silent => std::future::pending().await,
        Chain::Gone => return closed(),
        Chain::Limiting => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Chain::AnswerLost => {
            drop(door.ask(body).await);
            return closed();
        }
    }
    match door.ask(body).await {
        Ok((status, bytes)) => (status, bytes).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl Door {
    async fn ask(&self, body: Bytes) -> reqwest::Result<(StatusCode, Bytes)> {
        let asked = self.client.post(&self.upstream);
        let answer =
            asked.header(header::CONTENT_TYPE, "application/json").body(body).send().await?;
        Ok((answer.status(), answer.bytes().await?))
    }
}

/// An answer of which the beginning comes and the rest does not.
fn closed() -> Response {
    let broken = std::io::Error::other("the connection is closed");
    Response::new(Body::from_stream(futures::stream::once(async { Err::<Bytes, _>(broken) })))
}
