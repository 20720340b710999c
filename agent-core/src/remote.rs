//! A model behind HTTP: any endpoint that speaks OpenAI's chat completions, free or paid by x402.
//!
//! Each request is a use of the tool `model`, which the policy has to permit on the endpoint's
//! host, so that what a mind tells a stranger's model is decided, counted and journalled like
//! everything else that leaves. Where the endpoint asks for money, the payment is an intent beside
//! it. Both ids follow from the task and from what is asked: a request that is made again after a
//! crash or a lost connection is the same intent, and is paid once.
//!
//! What comes back is a stranger's: bounded, parsed, and checked against the constraint here,
//! whatever the server promised. A server that knows no `response_format` or no `tools` is told of
//! them in words.
//!
//! INVARIANT: the key goes to the endpoint and nowhere else, and is never printed
//! (`tests/remote/main.rs::the_key_goes_to_the_endpoint_and_is_never_printed`).

mod answer;
mod ask;
mod sse;

use self::{answer::Answer, ask::Wording};
use crate::{RUN_AGAIN, Steward, cx::lock, purse::Purse, task::MAX_ID};
use async_trait::async_trait;
use marque_models::{Delta, Generation, Message, Model, ModelError, ModelInfo, Request, Usage};
use marque_net::{
    Client as Net, Guard, HeaderValue, Method, NetError, Request as HttpRequest, bytes_out, header,
    host_port,
};
use marque_payments::{Authority, Buyer, Errand, PaymentError};
use marque_policies::{
    Intent, IntentId, Label, Labels, Mark, Money, Row,
    intent::{Fetch, ToolUse},
    money::parse_units,
};
use marque_steward_client::{Outcome, PaymentState, Proposal, View};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use url::Url;

/// The tool that a policy permits for it.
const TOOL: &str = "model";

/// How long a reply may take; one that is streamed, between two pieces.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a reply that is streamed may take in all.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The longest that one question to the steward waits for the owner.
const WAIT: Duration = Duration::from_secs(30);
/// How often a server that is away or busy is asked.
const TRIES: u32 = 4;
/// The longest rest between two of them, whatever the server asks for.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often a reply that breaks its constraint is asked for again.
const REPLIES: u32 = 2;
/// The longest body, beside what the reply's tokens may take.
const FRAME: usize = 1 << 20;
/// Bytes that one token may stand for.
const BYTES_PER_TOKEN: usize = 64;
/// A token of words has four, and one of rare texts one.
const BYTES_OF_A_LONG_TOKEN: usize = 8;
/// Steps of a task's requests to its model begin here, beyond those of its tools.
const STEPS: u32 = 1 << 31;

tokio::task_local! {
    /// The thought that a model is asked for, where a task asks.
    pub(crate) static THOUGHT: Thought;
}

/// Whose thought it is: what may be spent on it, and what those words come from that leave with it.
#[derive(Clone, Debug)]
pub(crate) struct Thought {
    pub(crate) purse: Arc<Purse>,
    pub(crate) labels: Labels,
    pub(crate) task: String,
}

/// Where a remote model is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The base URL, as OpenAI's clients take it: `https://models.example/v1`.
    pub endpoint: Url,
    /// The model's name there.
    pub name: String,
    /// The key that is sent as a bearer token, if the endpoint wants one.
    pub key: Option<SecretString>,
    /// Tokens that prompt and reply may have together.
    pub context: u32,
    /// The most that one reply may cost, `"0.02 USDC"`; `None` leaves it to the policy.
    pub max_price: Option<String>,
    /// How long to wait for the owner.
    pub patience: Duration,
}

/// A model behind HTTP.
pub struct Remote {
    options: RemoteOptions,
    /// Where completions are asked for.
    url: Url,
    info: ModelInfo,
    steward: Arc<dyn Steward>,
    wording: Mutex<Wording>,
    net: Mutex<Option<Net>>,
}

impl Remote {
    /// A model at an endpoint. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ModelError::Options`] for an endpoint that is none.
    pub fn new(options: RemoteOptions, steward: Arc<dyn Steward>) -> Result<Self, ModelError> {
        let url = ask::completions(&options.endpoint)?;
        let info = ModelInfo {
            name: options.name.clone(),
            sha256: String::new(),
            context_length: options.context,
            built_in: false,
        };
        let (wording, net) = (Mutex::default(), Mutex::default());
        Ok(Self { options, url, info, steward, wording, net })
    }

    /// A question of the task that asks; or of nobody's in particular, which is one task as well.
    fn question(&self, request: &Request, body: &serde_json::Value, number: u32) -> Question {
        let digest = Sha256::digest(body.to_string());
        let bytes = digest.first_chunk::<4>().copied().unwrap_or_default();
        let steward = || Arc::clone(&self.steward) as Arc<dyn Authority>;
        let thought = THOUGHT.try_with(|thought| {
            let purse = Arc::clone(&thought.purse) as Arc<dyn Authority>;
            (purse, thought.labels.clone(), thought.task.clone())
        });
        let (authority, labels, task) = thought.unwrap_or_else(|_| {
            let session = request.session.as_ref().map_or(TOOL, |session| session.as_str());
            let task = session.split_once('/').map_or(session, |(_, task)| task);
            (steward(), Labels::default(), task.to_owned())
        });
        Question {
            authority,
            labels: labels.with(Label::Model),
            task: task.chars().take(MAX_ID).collect(),
            step: STEPS | u32::from_be_bytes(bytes),
            ordinal: number.saturating_mul(2),
        }
    }

    /// One answer to a conversation. Replies that were no use are numbered, and each is an intent
    /// of its own.
    async fn answer(
        &self,
        request: &Request,
        messages: &[Message],
        number: u32,
    ) -> Result<Answer, ModelError> {
        loop {
            let wording = *lock(&self.wording);
            let body = ask::body(&self.options.name, request, messages, wording);
            let question = self.question(request, &body, number);
            match self.put(request, body, wording, &question).await {
                Err(Trouble::Wording(objected)) if objected != wording => {
                    tracing::debug!(
                        host = host_port(&self.url),
                        ?objected,
                        "told in words from now on"
                    );
                    *lock(&self.wording) = objected;
                }
                Err(Trouble::Wording(_)) => {
                    return Err(self.failed("it refuses the request in every wording"));
                }
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(why, _)) => return Err(self.failed(why)),
                Err(Trouble::Priced) => return Err(self.failed("it asks for money")),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Puts a question until it is answered: what is passing passes, under the same intent.
    async fn put(
        &self,
        request: &Request,
        body: serde_json::Value,
        wording: Wording,
        question: &Question,
    ) -> Result<Answer, Trouble> {
        let view = question.authority.standing().await.map_err(|error| self.payment(error))?;
        if let Some(entry) = view.frozen_at {
            let why = format!("the steward is frozen since journal entry {entry}");
            return Err(Trouble::Final(ModelError::NotPermitted(why)));
        }
        let net = self.net(&view)?;
        let errand = question.errand(self.max(&view)?, &self.url);
        let plain = self.http(&body)?;
        self.permit(question, bytes_out(&plain)).await?;
        let mut tried = 0;
        loop {
            tried += 1;
            let answer = match request.sink.as_ref().filter(|_| !wording.whole) {
                Some(sink) => {
                    let streamed = self.http(&ask::streaming(&body))?;
                    let streamed = self.stream(&net, streamed, request, sink);
                    match timeout(LONGEST, streamed).await.unwrap_or_else(|_| {
                        let why = format!("no end of its reply within {} s", LONGEST.as_secs());
                        Err(Trouble::Final(self.failed(why)))
                    }) {
                        Err(Trouble::Priced) => {
                            self.buy(&net, &plain, request, question, &errand).await
                        }
                        other => other,
                    }
                }
                None => self.buy(&net, &plain, request, question, &errand).await,
            };
            match answer {
                Err(Trouble::Passing(why, rest)) if tried < TRIES => {
                    let rest = rest.unwrap_or_else(|| Duration::from_millis(250 << tried));
                    tracing::debug!(host = host_port(&self.url), why, ?rest, "asking again");
                    tokio::time::sleep(rest.min(LONGEST_REST)).await;
                }
                other => return other,
            }
        }
    }

    /// The whole answer at once, paid for where it has to be.
    async fn buy(
        &self,
        net: &Net,
        http: &HttpRequest,
        request: &Request,
        question: &Question,
        errand: &Errand,
    ) -> Result<Answer, Trouble> {
        let buyer = Buyer::new(net.clone(), Arc::clone(&question.authority));
        let deadline = Instant::now() + self.options.patience;
        let purchase = loop {
            match buyer.send(http.clone(), errand).await {
                Err(PaymentError::Held { id, table }) => {
                    self.ask_owner(question, id, table, deadline).await?
                }
                other => break other.map_err(|error| self.payment(error))?,
            }
        };
        if let Some(paid) = &purchase.paid {
            tracing::info!(payee = paid.payee, amount = ?paid.amount, id = %paid.id, "paid for a reply");
        }
        let response = purchase.response;
        self.judge(response.status, &response.headers, &response.body)?;
        let answer =
            answer::read(&response.body).map_err(|why| Trouble::Final(self.failed(why)))?;
        if let Some(sink) = &request.sink {
            sink.tell(Delta::Thinking(answer.thinking.clone()));
            sink.tell(Delta::Text(answer.text.clone()));
        }
        Ok(answer)
    }

    /// The answer as it is written; [`Trouble::Priced`] where it has to be paid.
    async fn stream(
        &self,
        net: &Net,
        http: HttpRequest,
        request: &Request,
        sink: &marque_models::Sink,
    ) -> Result<Answer, Trouble> {
        let mut stream = net.open(http, |_| false).await.map_err(|error| self.network(&error))?;
        if stream.status == 402 {
            return Err(Trouble::Priced);
        }
        let most = most_bytes(request.max_tokens);
        let is_stream = stream
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let (mut reader, mut whole, mut taken) = (sse::Reader::default(), Vec::new(), 0_usize);
        let mut answer = answer::Growing::default();
        let mut told = false;
        while let Some(piece) = stream.piece().await.map_err(|error| match told {
            // What was told cannot be taken back.
            true => Trouble::Final(self.failed(&error)),
            false => self.network(&error),
        })? {
            let piece = piece.as_ref();
            taken = taken.saturating_add(piece.len());
            if taken > most {
                return Err(Trouble::Final(
                    self.failed(format!("its reply is longer than {most} bytes")),
                ));
            }
            if !is_stream || !matches!(stream.status, 200..300) {
                whole.extend_from_slice(piece);
                continue;
            }
            for event in reader.read(piece) {
                let deltas = answer.hear(&event).map_err(|why| Trouble::Final(self.failed(why)))?;
                for delta in deltas {
                    told = true;
                    sink.tell(delta);
                }
            }
        }
        self.judge(stream.status, &stream.headers, &whole)?;
        if is_stream {
            return answer.finish().map_err(|why| Trouble::Final(self.failed(why)));
        }
        let answer = answer::read(&whole).map_err(|why| Trouble::Final(self.failed(why)))?;
        sink.tell(Delta::Text(answer.text.clone()));
        Ok(answer)
    }

    /// What a status that is no success means.
    fn judge(
        &self,
        status: u16,
        headers: &marque_net::HeaderMap,
        body: &[u8],
    ) -> Result<(), Trouble> {
        if matches!(status, 200..300) {
            return Ok(());
        }
        let said = answer::complaint(body);
        let words = format!("it answers {status}: {said}");
        Err(match status {
            408 | 409 | 425 | 429 | 500 | 502..=599 => {
                let after = headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
                let after = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
                Trouble::Passing(words, after)
            }
            401 | 403 => Trouble::Final(self.failed(format!(
                "{words}; look at the key in the file that agent.toml names as remote.key_file"
            ))),
            404 => Trouble::Final(
                self.failed(format!("{words}; look at model and remote.name in agent.toml")),
            ),
            400 | 422 | 501 => match lock(&self.wording).instead_of(&said) {
                Some(wording) => Trouble::Wording(wording),
                None => Trouble::Final(self.failed(words)),
            },
            _ => Trouble::Final(self.failed(words)),
        })
    }

    /// Has the use of the model, and what leaves with it, decided.
    async fn permit(&self, question: &Question, bytes: u64) -> Result<(), Trouble> {
        let fetch = Fetch {
            method: Method::POST.to_string(),
            host: host_port(&self.url),
            path: self.url.path().to_owned(),
            bytes_out: bytes,
        };
        let proposal = Proposal {
            task: question.task.clone(),
            step: question.step,
            ordinal: question.ordinal,
            attempt: 0,
            intent: Intent::Tool(ToolUse {
                tool: TOOL.to_owned(),
                fetch: Some(fetch),
                arguments: std::collections::BTreeMap::new(),
                labels: question.labels.clone(),
            }),
        };
        let deadline = Instant::now() + self.options.patience;
        loop {
            let outcome = question.authority.propose(proposal.clone()).await;
            match outcome.map_err(|error| self.payment(error))? {
                Outcome::Allowed { .. } => return Ok(()),
                Outcome::Held { id, table } => {
                    self.ask_owner(question, id, table, deadline).await?
                }
                Outcome::Refused { table, .. } => {
                    return Err(Trouble::Final(ModelError::NotPermitted(format!(
                        "the policy refuses to ask {}: {}; permit it with [[tool]] name = \"{TOOL}\", \
                         hosts = [\"{}\"]",
                        host_port(&self.url),
                        rules(&table, Mark::Fail),
                        host_port(&self.url),
                    ))));
                }
            }
        }
    }

    /// Waits until the owner has decided; an error once patience ends.
    async fn ask_owner(
        &self,
        question: &Question,
        id: IntentId,
        table: Vec<Row>,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let held = |why: String| Trouble::Final(ModelError::Held(why));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let rules = rules(&table, Mark::Ask);
                return Err(held(format!(
                    "asking the remote model is held for the owner: {rules}; {RUN_AGAIN} once it is approved \
                     (marque approve {id})"
                )));
            }
            let asked = Instant::now();
            let state = question.authority.wait(id, left.min(WAIT)).await;
            match state.map_err(|error| self.payment(error))?.state {
                PaymentState::Held if asked.elapsed() < Duration::from_millis(50) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                PaymentState::Held => {}
                PaymentState::Denied => {
                    let why = format!("the owner denied to ask the remote model ({id})");
                    return Err(Trouble::Final(ModelError::NotPermitted(why)));
                }
                _ => return Ok(()),
            }
        }
    }

    fn http(&self, body: &serde_json::Value) -> Result<HttpRequest, Trouble> {
        let wrong = |why: &dyn fmt::Display| Trouble::Final(self.failed(why));
        let body = serde_json::to_vec(body).map_err(|error| wrong(&error))?;
        let mut http =
            HttpRequest { method: Method::POST, body, ..HttpRequest::get(self.url.clone()) };
        http.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.options.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| wrong(&"the key has characters that no header can hold"))?;
            value.set_sensitive(true);
            http.headers.insert(header::AUTHORIZATION, value);
        }
        Ok(http)
    }

    /// The client that reaches what the policy names, patient enough for a model.
    fn net(&self, view: &View) -> Result<Net, Trouble> {
        let tools = view.tools.iter().flat_map(|tool| &tool.hosts);
        let payees = view.payees.iter().filter_map(|payee| payee.host.as_ref());
        let guard = Guard {
            timeout: PATIENCE,
            max_redirects: 0,
            ..Guard::naming(tools.chain(payees).map(String::as_str))
        };
        let net = &mut *lock(&self.net);
        match net {
            Some(net) if *net.guard() == guard => Ok(net.clone()),
            _ => {
                let made = Net::new(guard).map_err(|error| Trouble::Final(self.failed(&error)))?;
                Ok(net.insert(made).clone())
            }
        }
    }

    /// The most that a reply may cost, in the policy's asset of that name.
    fn max(&self, view: &View) -> Result<Option<Money>, Trouble> {
        let Some(text) = &self.options.max_price else { return Ok(None) };
        let wrong = |why: &str| {
            let why = format!("remote.max_price \"{text}\": {why}");
            Trouble::Final(ModelError::Options(why))
        };
        let (number, name) =
            text.split_once(' ').ok_or_else(|| wrong("write it like \"0.02 USDC\""))?;
        let asset = view.assets.iter().find(|asset| asset.name == name);
        let asset = asset.ok_or_else(|| wrong("the policy knows no such asset"))?;
        let units =
            parse_units(number, asset.decimals).map_err(|error| wrong(&error.to_string()))?;
        Ok(Some(Money::new(units, asset.id)))
    }

    /// What one asking took: what the server says it counted, held to what can be. A token rarely stands for
    /// more than eight bytes, and is no less than one.
    fn took(
        &self,
        request: &Request,
        messages: &[Message],
        answer: &Answer,
    ) -> Result<Usage, ModelError> {
        let asked = Request { messages: messages.to_vec(), ..request.clone() };
        let bytes = self.count_prompt(&asked)?.saturating_mul(3);
        let prompt_tokens = credible(answer.usage.prompt_tokens, bytes, bytes);
        let bytes = answer.text.len().saturating_add(answer.thinking.len());
        let most = usize::try_from(request.max_tokens).unwrap_or(usize::MAX).max(bytes);
        Ok(Usage {
            prompt_tokens,
            reused_tokens: answer.usage.reused_tokens.min(prompt_tokens),
            completion_tokens: credible(answer.usage.completion_tokens, bytes, most),
        })
    }

    /// What went wrong there. A server that repeats the key in its complaint is not quoted so far.
    fn failed(&self, why: impl fmt::Display) -> ModelError {
        let mut why = format!("{}: {why}", host_port(&self.url));
        if let Some(key) = self.options.key.as_ref().map(SecretString::expose_secret)
            && !key.is_empty()
        {
            why = why.replace(key, "[the key]");
        }
        ModelError::Remote(why)
    }

    fn network(&self, error: &NetError) -> Trouble {
        match error {
            NetError::Timeout { .. } | NetError::Transport { .. } => {
                Trouble::Passing(error.to_string(), None)
            }
            error => Trouble::Final(self.failed(error)),
        }
    }

    fn payment(&self, error: PaymentError) -> Trouble {
        match error {
            PaymentError::Net(error) => self.network(&error),
            // Nothing says that it did not arrive: the same bytes ask for the same goods.
            PaymentError::Undelivered(lost) if lost.status.is_none() => {
                Trouble::Passing(lost.to_string(), None)
            }
            refused @ PaymentError::Refused { .. } => {
                Trouble::Final(ModelError::NotPermitted(refused.to_string()))
            }
            error => Trouble::Final(self.failed(&error)),
        }
    }
}

/// Why there is no answer yet.
enum Trouble {
    /// It may pass; after this long, if the server says so.
    Passing(String, Option<Duration>),
    /// It has to be paid for.
    Priced,
    /// The server wants it said otherwise.
    Wording(Wording),
    Final(ModelError),
}

/// A place in the mind's work from which the intents of a request follow, and who decides them.
struct Question {
    authority: Arc<dyn Authority>,
    /// Where the words come from that leave.
    labels: Labels,
    task: String,
    step: u32,
    ordinal: u32,
}

impl Question {
    fn errand(&self, max: Option<Money>, url: &Url) -> Errand {
        Errand {
            task: self.task.clone(),
            step: self.step,
            ordinal: self.ordinal.saturating_add(1),
            attempt: 0,
            max,
            labels: self.labels.clone().with(Label::Web(host_port(url))),
        }
    }
}

#[async_trait]
impl Model for Remote {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// An estimate on the safe side, as nobody here has the vocabulary: three letters of ASCII a
    /// token, and a token for each other character.
    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        let letters = text.chars().filter(char::is_ascii).count();
        let others = text.chars().filter(|letter| !letter.is_ascii()).count();
        Ok(letters.div_ceil(3).saturating_add(others))
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        ask::check(&request)?;
        let mut messages = request.messages.clone();
        // A reply that was told while it was written cannot be taken back.
        let replies = if request.sink.is_some() { 1 } else { REPLIES };
        let work = async {
            let (mut number, mut all) = (0, Usage::default());
            loop {
                let answer = self.answer(&request, &messages, number).await?;
                let cut = answer.cut;
                let tokens = answer.usage.completion_tokens;
                // A reply that is no use was read and written all the same.
                all = sum(all, self.took(&request, &messages, &answer)?);
                match answer.held_to(&request.constraint) {
                    Ok(generation) => return Ok(Generation { usage: all, ..generation }),
                    Err(_) if cut => return Err(ModelError::Truncated { tokens }),
                    Err((text, why)) if number + 1 < replies => {
                        tracing::debug!(why, "the reply is no use, and is asked for again");
                        messages.push(Message::assistant(text));
                        messages.push(Message::user(format!(
                            "That is not what was asked for: {why}. Answer again, with nothing else."
                        )));
                        number += 1;
                    }
                    Err((_, why)) => {
                        return Err(ModelError::Constraint(format!(
                            "{} replied with something else: {why}",
                            host_port(&self.url)
                        )));
                    }
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = request.cancel.cancelled() => Err(ModelError::Cancelled),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.url.as_str())
            .field("name", &self.info.name)
            .finish()
    }
}

/// A number of tokens for so many bytes, at most `most`.
fn credible(said: u32, bytes: usize, most: usize) -> u32 {
    let number = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
    let least = number(bytes.div_ceil(BYTES_OF_A_LONG_TOKEN));
    said.clamp(least, number(most).max(least))
}

fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        prompt_tokens: one.prompt_tokens.saturating_add(other.prompt_tokens),
        reused_tokens: one.reused_tokens.saturating_add(other.reused_tokens),
        completion_tokens: one.completion_tokens.saturating_add(other.completion_tokens),
    }
}

fn most_bytes(tokens: u32) -> usize {
    let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
    // A streamed token comes in a frame of its own.
    tokens.saturating_mul(BYTES_PER_TOKEN.saturating_mul(16)).saturating_add(FRAME)
}

/// The rules of a table with this mark, by name.
fn rules(table: &[Row], mark: Mark) -> String {
    let names = table.iter().filter(|row| row.mark == mark).map(|row| row.rule.clone());
    names.collect::<Vec<_>>().join(", ")
}
