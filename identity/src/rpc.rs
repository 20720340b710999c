//! JSON-RPC over the endpoints that the policy names, the one that answered last first.
//!
//! An endpoint that cannot be reached, is rate-limited or talks nonsense is passed over for the next
//! one. An endpoint that answers, if only to refuse, has spoken for the chain. No proxy, no redirect:
//! nobody else is asked, whatever the environment or an endpoint says.

mod http;

use crate::IdentityError;
use alloy::{
    rpc::{client::RpcClient, json_rpc::ErrorPayload},
    transports::RpcError,
};
use alloy_primitives::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use http::Http;
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use url::Url;

/// How long one endpoint may take for one answer,
const TIMEOUT: Duration = Duration::from_secs(10);

/// where somebody waits for it,
const BRIEF: Duration = Duration::from_secs(4);

/// and has waited for that endpoint in vain before.
const BRIEFER: Duration = Duration::from_secs(1);

/// How long one endpoint may take for all that [`Rpc::all`] asks of it, however many answers that is,
const LOOK: Duration = Duration::from_secs(60);

/// and where somebody waits.
const BRIEF_LOOK: Duration = Duration::from_secs(8);

/// JSON-RPC code of an executed call that reverted, as geth and its kin use it.
const REVERTED: i64 = 3;

/// A chain as its RPC endpoints tell it. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Rpc {
    endpoints: Arc<[Endpoint]>,
    /// Where the last answer came from: the next question goes there first.
    preferred: Arc<AtomicUsize>,
    /// Whether somebody waits.
    brief: bool,
}

#[derive(Clone)]
struct Endpoint {
    /// Host and port. The whole URL may hold an access key and is never shown.
    host: String,
    url: Url,
    client: RpcClient,
    /// Whether it was waited for in vain last.
    late: Arc<AtomicBool>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hosts()).finish()
    }
}

impl Rpc {
    /// A client for the endpoints in `urls`, which are copies of the same chain. Asks none of them
    /// yet.
    ///
    /// # Errors
    /// [`IdentityError::NoEndpoints`], [`IdentityError::Endpoint`] for something that is no http or
    /// https URL, [`IdentityError::Setup`] where TLS cannot be set up.
    pub fn new(urls: &[String]) -> Result<Self, IdentityError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| IdentityError::Setup(innermost(&error)))?;
        let endpoints = urls
            .iter()
            .enumerate()
            .map(|(index, text)| Endpoint::new(text, index + 1, http.clone()))
            .collect::<Result<Arc<[_]>, _>>()?;
        if endpoints.is_empty() {
            return Err(IdentityError::NoEndpoints);
        }
        Ok(Self { endpoints, preferred: Arc::default(), brief: false })
    }

    /// The same for whoever waits at a terminal: an endpoint gets seconds for an answer, and one second
    /// once it has been waited for in vain.
    #[must_use]
    pub const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// These endpoints and those of `other`, which is of the same chain: whoever is in both is asked once.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let more = other
            .endpoints
            .iter()
            .filter(|new| self.endpoints.iter().all(|old| old.url != new.url));
        Self {
            endpoints: self.endpoints.iter().chain(more).cloned().collect(),
            preferred: Arc::default(),
            brief: self.brief,
        }
    }

    /// The endpoints one by one, for questions on which more than one must agree.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.endpoints.iter().map(|endpoint| Self {
            endpoints: Arc::new([endpoint.clone()]),
            preferred: Arc::default(),
            brief: self.brief,
        })
    }

    /// Asks every endpoint at the same time; each one's host and what it says, in the policy's order. One
    /// that is silent keeps nobody waiting longer than it is given time.
    pub async fn all<T, E, F>(&self, ask: impl Fn(Self) -> F) -> Vec<(String, Result<T, E>)>
    where
        E: From<IdentityError>,
        F: Future<Output = Result<T, E>>,
    {
        self.all_with(std::iter::repeat(()), |each, ()| ask(each)).await
    }

    /// The same with something else for each endpoint, in the policy's order.
    pub async fn all_with<T, E, F, W>(
        &self,
        with: impl IntoIterator<Item = W>,
        ask: impl Fn(Self, W) -> F,
    ) -> Vec<(String, Result<T, E>)>
    where
        E: From<IdentityError>,
        F: Future<Output = Result<T, E>>,
    {
        futures::future::join_all(self.asked(with, ask)).await
    }

    /// The same for whoever goes on with one good answer: once there is one, the others get `more` time and
    /// count as silent then.
    pub async fn all_soon<T, E, F, W>(
        &self,
        more: Duration,
        with: impl IntoIterator<Item = W>,
        ask: impl Fn(Self, W) -> F,
    ) -> Vec<(String, Result<T, E>)>
    where
        E: From<IdentityError>,
        F: Future<Output = Result<T, E>>,
    {
        let asked = self.asked(with, ask).enumerate();
        let mut asked: FuturesUnordered<_> =
            asked.map(|(index, said)| async move { (index, said.await) }).collect();
        let mut said: BTreeMap<usize, (String, Result<T, E>)> = BTreeMap::new();
        let mut until = None;
        loop {
            let next = match until {
                None => asked.next().await,
                Some(until) => {
                    tokio::time::timeout_at(until, asked.next()).await.unwrap_or_default()
                }
            };
            let Some((index, (host, answer))) = next else { break };
            if answer.is_ok() {
                until = until.or_else(|| tokio::time::Instant::now().checked_add(more));
            }
            said.insert(index, (host, answer));
        }
        let late = |host: &str| {
            let tried = vec![format!("{host}: no answer yet, where others have answered")];
            Err(IdentityError::Unreachable { method: "all that was asked", tried }.into())
        };
        let hosts = self.hosts().enumerate();
        hosts
            .map(|(index, host)| {
                said.remove(&index).unwrap_or_else(|| (host.to_owned(), late(host)))
            })
            .collect()
    }

    fn asked<T, E, F, W>(
        &self,
        with: impl IntoIterator<Item = W>,
        ask: impl Fn(Self, W) -> F,
    ) -> impl Iterator<Item = impl Future<Output = (String, Result<T, E>)>>
    where
        E: From<IdentityError>,
        F: Future<Output = Result<T, E>>,
    {
        let within = if self.brief { BRIEF_LOOK } else { LOOK };
        let endpoints = self.endpoints.iter().zip(self.each()).zip(with);
        endpoints.map(move |((endpoint, each), with)| {
            let asked = tokio::time::timeout(within, ask(each, with));
            async move {
                let said = asked.await.unwrap_or_else(|_| {
                    endpoint.late.store(true, Ordering::Relaxed);
                    let tried = vec![format!("{}: {}", endpoint.host, too_late(within))];
                    Err(IdentityError::Unreachable { method: "all that was asked", tried }.into())
                });
                (endpoint.host.clone(), said)
            }
        })
    }

    /// The endpoints' hosts, in the policy's order.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.host.as_str())
    }

    /// Asks one question; the answer is `null` where the chain knows nothing of what is asked.
    pub(crate) async fn ask_maybe<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<R>, IdentityError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let order = self.endpoints.iter().enumerate().cycle();
        for (index, endpoint) in order.skip(first).take(self.endpoints.len()) {
            let within = self.patience(endpoint);
            let asked = endpoint.client.request::<_, Box<RawValue>>(method, params.clone());
            let said = tokio::time::timeout(within, asked).await;
            endpoint.late.store(said.is_err(), Ordering::Relaxed);
            let Ok(said) = said else {
                tried.push(format!("{}: {}", endpoint.host, too_late(within)));
                continue;
            };
            let failure = match said {
                Ok(answer) => match serde_json::from_str(answer.get()) {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => format!("an answer that cannot be read ({error})"),
                },
                Err(RpcError::ErrorResp(refusal)) if !refusal.is_retry_err() => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Err(refused(&endpoint.host, method, &refusal));
                }
                Err(RpcError::ErrorResp(refusal)) => shortened(&refusal.message),
                Err(RpcError::Transport(error)) => shortened(&innermost(&error)),
                Err(RpcError::DeserError { err, .. }) => {
                    format!("an answer that cannot be read ({err})")
                }
                Err(error) => shortened(&error.to_string()),
            };
            tracing::debug!(host = endpoint.host, method, failure, "an RPC endpoint failed");
            tried.push(format!("{}: {failure}", endpoint.host));
        }
        Err(IdentityError::Unreachable { method, tried })
    }

    fn patience(&self, endpoint: &Endpoint) -> Duration {
        match (self.brief, endpoint.late.load(Ordering::Relaxed)) {
            (false, _) => TIMEOUT,
            (true, false) => BRIEF,
            (true, true) => BRIEFER,
        }
    }

    /// Asks one question that always has an answer.
    pub(crate) async fn ask<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, IdentityError> {
        let answer = self.ask_maybe(method, params).await?;
        answer.ok_or_else(|| IdentityError::answer(method, "it is null"))
    }
}

impl Endpoint {
    fn new(text: &str, number: usize, http: reqwest::Client) -> Result<Self, IdentityError> {
        let wrong = |why: String| IdentityError::Endpoint { number, why };
        let url: Url = text.parse().map_err(|error: url::ParseError| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("its scheme is \"{}\"", url.scheme())));
        }
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(wrong("it has no host".to_owned())),
        };
        let client = RpcClient::new(Http::new(http, url.clone()), false);
        Ok(Self { host, url, client, late: Arc::default() })
    }
}

fn too_late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

/// The contract's words where it was a contract that refused, else the node's.
fn refused(host: &str, method: &'static str, refusal: &ErrorPayload) -> IdentityError {
    let data = refusal.as_revert_data();
    if refusal.code == REVERTED || data.is_some() {
        let reason = data.filter(|data| !data.is_empty());
        let reason = reason.map_or_else(|| shortened(&refusal.message), |data| explain(&data));
        return IdentityError::Reverted { reason };
    }
    IdentityError::Refused {
        host: host.to_owned(),
        method,
        code: refusal.code,
        message: shortened(&refusal.message),
    }
}

/// Revert data in words: `Error(string)`, `Panic(uint256)`, what a delegation is refused for, else as
/// hex.
fn explain(data: &Bytes) -> String {
    if let Some(reason) = marque_contracts::delegation::refusal(data) {
        return shortened(&reason);
    }
    match alloy_sol_types::decode_revert_reason(data) {
        Some(reason) => shortened(reason.trim_start_matches("revert: ")),
        None => shortened(&data.to_string()),
    }
}

/// Words from outside, bounded and on one line; cut between two words where that loses little.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    const WORD: usize = 40;
    let clean = || text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean().take(LONGEST).collect();
    let Some(next) = clean().nth(LONGEST) else { return short };
    let words = short.rsplit_once(' ').filter(|(_, cut)| next != ' ' && cut.len() < WORD);
    if let Some((words, _)) = words {
        short.truncate(words.trim_end().len());
    }
    short + " …"
}

/// The innermost cause: what a person can act on. An outer one may repeat the URL.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn endpoints_are_urls_and_their_keys_are_not_shown() {
        assert!(matches!(Rpc::new(&[]), Err(IdentityError::NoEndpoints)));
        for wrong in ["", "localhost:8545", "ws://localhost:8545", "https://"] {
            let answer = Rpc::new(&["http://one.example".to_owned(), wrong.to_owned()]);
            assert!(matches!(answer, Err(IdentityError::Endpoint { number: 2, .. })), "{wrong}");
        }
        let rpc = Rpc::new(&["https://rpc.example/v3/s3cret".to_owned()]).unwrap();
        assert_eq!(format!("{rpc:?}"), "[\"rpc.example\"]");
    }

    #[tokio::test]
    async fn the_silent_are_waited_for_together_and_more_briefly_the_next_time() {
        let silent = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let urls = silent.each_ref().map(|it| format!("http://{}", it.local_addr().unwrap()));
        let rpc = Rpc::new(&urls).unwrap().brief();
        for within in [BRIEF, BRIEFER] {
            let start = std::time::Instant::now();
            let said = rpc.all(|each| async move { each.chain_id().await }).await;
            assert!((within..within * 3).contains(&start.elapsed()), "{:?}", start.elapsed());
            assert_eq!(said.len(), 3);
            for ((host, said), url) in said.iter().zip(&urls) {
                assert_eq!(*url, format!("http://{host}"));
                let said = said.as_ref().unwrap_err().to_string();
                assert!(said.ends_with(&too_late(within)), "{said}");
            }
        }
    }

    #[test]
    fn a_revert_is_told_in_words_where_it_has_words() {
        let text = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "0000000000000000000000000000000000000000000000000000000000000008"
            "746f6f206c617465000000000000000000000000000000000000000000000000"
        );
        assert_eq!(explain(&Bytes::from(text)), "too late");
        assert_eq!(explain(&Bytes::from(hex!("7e273289"))), "0x7e273289");
    }

    #[test]
    fn long_words_from_outside_end_with_a_whole_word() {
        let words = "no funds\nleft ".repeat(50);
        let short = shortened(&words);
        assert!(short.ends_with("left no …") && short.chars().count() <= 302, "{short}");
        assert!(!short.contains('\n'));
        assert_eq!(shortened("too late"), "too late");
        let hex = format!("reverted {}", "ab".repeat(300));
        assert_eq!(shortened(&hex).chars().count(), 302, "a word of that length is cut");
    }
}
