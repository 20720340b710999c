//! A tool's only way out: to the network, to money, to memory.
//!
//! A request through [`Cx`] is an intent of its own: it is proposed before it is made, under an
//! ordinal that counts up in the order of the requests, so that a call that is made again after a
//! crash proposes the same intents under the same ids and pays nothing twice. Where the owner has
//! to be asked, the request waits; where the owner takes too long, the run ends and the task stays.
//!
//! Native code in a tool can open its own socket: hosts and byte budgets bind honest tools. Money
//! does not depend on that, since only the steward signs.

mod asks;
mod keeps;
mod pays;

pub use pays::Transferred;

use crate::{
    Agent, AgentError, Event, Http, Steward, ToolError, config::Names, memory::Memory, notice,
    purse::Purse, state::States, tape::Tape,
};
use marque_net::{HeaderMap, HeaderValue, Method, Request, bytes_out, header, host_port};
use marque_payments::{Authority as _, Buyer, Errand, Paid, PaymentError};
use marque_policies::{
    Argument, Intent, IntentId, Label, Labels, Money, Row,
    intent::{Fetch, ToolUse},
    money::parse_units,
};
use marque_steward_client::{Artifact, Outcome, PaymentState, Proposal, View};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};
use url::Url;

/// The longest that one question to the steward waits for the owner.
const WAIT: Duration = Duration::from_secs(30);

/// How often something approved is proposed again before the owner is left to it.
const ROUNDS: u32 = 3;

/// Characters of a stranger's error that a model is shown.
const EXCERPT: usize = 80;

/// What a call has to itself: where it stands, and its way out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cx {
    scope: Arc<Scope>,
    max: Option<Money>,
}

/// One call's surroundings.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Who decides.
    pub(crate) steward: Arc<dyn Steward>,
    /// Who buys.
    pub(crate) buyer: Buyer,
    /// The mind's folder.
    pub(crate) memory: Memory,
    /// Who watches.
    pub(crate) events: broadcast::Sender<Event>,
    /// What the model calls a place, and where it is.
    pub(crate) names: Arc<Names>,
    /// What the program lends to its tools.
    pub(crate) states: States,
    /// Where the run is written down, or read from.
    pub(crate) tape: Option<Arc<Tape>>,
    /// How long to wait for the owner.
    pub(crate) patience: Duration,
    /// The task's name.
    pub(crate) task: String,
    /// The step.
    pub(crate) step: u32,
    /// Whether the call was never made before, as far as its task knows.
    pub(crate) first: bool,
    /// Whether it turned out that another task of this name had this place.
    pub(crate) used_before: AtomicBool,
    /// The tool that was called.
    pub(crate) tool: String,
    /// Its arguments, as far as the policy constrains them.
    pub(crate) arguments: BTreeMap<String, Argument>,
    /// The next ordinal; 0 is the use of the tool itself.
    pub(crate) ordinal: AtomicU32,
    /// Where everything came from that the call has seen.
    pub(crate) labels: Mutex<Labels>,
    /// Why the run has to end although the task has not.
    pub(crate) interrupted: Mutex<Option<AgentError>>,
    /// Whose call it is.
    pub(crate) agent: Agent,
    /// What it may spend.
    pub(crate) purse: Arc<Purse>,
    /// The number of the next goal below this call.
    pub(crate) below: AtomicU32,
    /// Tokens that the goals below took.
    pub(crate) tokens: AtomicU64,
    /// Tokens that the task had left when the call began, if they are limited.
    pub(crate) tokens_left: Option<u64>,
    /// How long it waited for the owner, and since when it waits.
    pub(crate) waits: Mutex<(Duration, Option<Instant>)>,
}

/// An answer from outside.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status; a success unless [`Cx::http`] was asked.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Who answered, as a policy names hosts.
    pub host: String,
    /// The content type, if the answer names one.
    pub content_type: Option<String>,
    /// What was paid for it, if anything.
    pub paid: Option<Paid>,
}

impl Response {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What was paid for it, if anything.
    #[must_use]
    pub const fn paid(&self) -> Option<&Paid> {
        self.paid.as_ref()
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// This answer, if its status is 2xx.
    ///
    /// # Errors
    /// [`ToolError::Status`] for any other.
    pub fn error_for_status(self) -> Result<Self, ToolError> {
        if matches!(self.status, 200..300) {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body);
        let body = body.chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
        Err(ToolError::Status { host: self.host, status: self.status, body })
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`ToolError::Unreadable`] where it is not UTF-8.
    pub fn text(&self) -> Result<&str, ToolError> {
        std::str::from_utf8(&self.body).map_err(|error| self.unreadable(error.to_string()))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`ToolError::Unreadable`] where it is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ToolError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unreadable(error.to_string()))
    }

    fn unreadable(&self, why: String) -> ToolError {
        ToolError::Unreadable { host: self.host.clone(), why }
    }
}

impl Cx {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope: Arc::new(scope), max: None }
    }

    /// The same way out, on which one request may cost `max` at most. Without it the policy alone
    /// decides.
    #[must_use]
    pub fn max_price(&self, max: Money) -> Self {
        Self { scope: Arc::clone(&self.scope), max: Some(max) }
    }

    /// Gets a URL. Where the answer asks for a payment, it is made within the policy.
    ///
    /// # Errors
    /// [`ToolError::Refused`], [`ToolError::Held`], [`ToolError::Denied`], [`ToolError::Payment`]
    /// where the request did not come about, [`ToolError::Status`] for an answer that is no success.
    pub async fn get(&self, url: impl AsRef<str>) -> Result<Response, ToolError> {
        self.send(Request::get(self.scope.place(url.as_ref())?)).await
    }

    /// Posts JSON to a URL. Otherwise as [`Cx::get`].
    ///
    /// # Errors
    /// As for [`Cx::get`].
    pub async fn post_json(
        &self,
        url: impl AsRef<str>,
        body: &(impl serde::Serialize + Sync),
    ) -> Result<Response, ToolError> {
        let mut request = Request::get(self.scope.place(url.as_ref())?);
        request.method = Method::POST;
        request.body = serde_json::to_vec(body).map_err(|error| ToolError::Failed(error.into()))?;
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(request).await
    }

    /// Sends a request. Otherwise as [`Cx::get`].
    ///
    /// # Errors
    /// As for [`Cx::get`].
    pub async fn send(&self, request: Request) -> Result<Response, ToolError> {
        self.exchange(request).await?.error_for_status()
    }

    /// Requests in the making: `cx.http().get(url).max_price("0.05 USDC").send().await?`.
    #[must_use]
    pub const fn http(&self) -> Http<'_> {
        Http::new(self)
    }

    /// Sends a request and gives whatever is answered.
    pub(crate) async fn exchange(&self, request: Request) -> Result<Response, ToolError> {
        let Some(tape) = &self.scope.tape else { return self.perform(request).await };
        let (method, url) = (request.method.to_string(), self.scope.named(&request.url));
        let body = request.body.clone();
        let response = tape.http((&method, &url, &body), self.perform(request)).await;
        if tape.is_read() {
            // As it was made: it had two places, and what was paid was told and counted.
            let ordinal = self.scope.ordinal.fetch_add(2, Ordering::SeqCst).saturating_add(1);
            if let Ok(Response { paid: Some(paid), .. }) = &response {
                let place = (self.scope.task.as_str(), self.scope.step, ordinal);
                let counted = self.scope.purse.repeat(place, paid.amount).await;
                counted.map_err(|error| self.scope.sort(error.into()))?;
                self.announce(paid);
            }
        }
        let response = response?;
        self.join_labels(&Labels::default().with(Label::Web(response.host.clone())));
        Ok(response)
    }

    async fn perform(&self, request: Request) -> Result<Response, ToolError> {
        let bytes = bytes_out(&request);
        let purchase = self
            .buy(&request.method, &request.url, bytes, |buyer, errand| {
                let request = request.clone();
                async move { buyer.send(request, &errand).await }
            })
            .await?;
        if let Some(paid) = &purchase.paid {
            self.announce(paid);
            self.keep_evidence(paid);
        }
        let marque_net::Response { status, headers, body, url } = purchase.response;
        let content_type = headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let host = host_port(&url);
        Ok(Response { status, headers, body, host, content_type, paid: purchase.paid })
    }

    /// Keeps what the seller signed, under the payment's id: the journal has its hash, a dispute
    /// needs the thing itself. Goods that came are not thrown away because it could not be written.
    fn keep_evidence(&self, paid: &Paid) {
        let id: String = hex::encode(paid.id.0).chars().take(32).collect();
        for (what, signed) in [("offer", &paid.offer), ("receipt", &paid.receipt)] {
            let Some(signed) = signed else { continue };
            let name = format!("{what}-{id}.json");
            if let Err(error) = self.keep(&name, signed.json.to_string().as_bytes()) {
                tracing::warn!(%error, name, "what the seller signed could not be kept");
            }
        }
    }

    /// Makes one purchase by means of somebody else's client: proposes the request of `bytes` bytes
    /// to `url`, then hands out the buyer and the errand under which it pays. `attempt` is made
    /// again where the owner had to be asked in between; it must do the same each time.
    ///
    /// # Errors
    /// As for [`Cx::get`], and whatever `attempt` answers.
    pub async fn buy<T, E, F, Fut>(
        &self,
        method: &Method,
        url: &Url,
        bytes: u64,
        attempt: F,
    ) -> Result<T, ToolError>
    where
        F: Fn(Buyer, Errand) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
        E: Into<ToolError> + Send,
        T: Send,
    {
        let scope = &self.scope;
        let fetch_ordinal = scope.ordinal.fetch_add(2, Ordering::SeqCst);
        let host = host_port(url);
        let labels = self.labels();
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let fetch =
            Fetch { method: method.to_string(), host: host.clone(), path, bytes_out: bytes };
        scope.use_tool(fetch_ordinal, Some(fetch), labels.clone()).await?;
        let errand = Errand {
            task: scope.task.clone(),
            step: scope.step,
            ordinal: fetch_ordinal.saturating_add(1),
            attempt: 0,
            max: self.max,
            labels,
        };
        let mut round = 0;
        let bought = loop {
            let answer = attempt(scope.buyer.clone(), errand.clone()).await.map_err(Into::into);
            round += 1;
            match answer {
                Err(ToolError::Held { id, table }) => scope.ask_owner(id, table, round).await?,
                // A lost connection says nothing about the payment; the same errand asks again for
                // the same goods with the same bytes.
                Err(ToolError::Payment(PaymentError::Undelivered(lost)))
                    if lost.status.is_none() && round < ROUNDS =>
                {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                other => break other,
            }
        };
        self.join_labels(&Labels::default().with(Label::Web(host)));
        bought.map_err(|error| scope.sort(error))
    }

    /// Tells whoever watches what was paid. [`Cx::send`] does that by itself.
    pub fn announce(&self, paid: &Paid) {
        self.scope.emit(Event::Paid {
            task: self.scope.task.clone(),
            id: paid.id,
            payee: paid.payee.clone(),
            amount: paid.amount,
            transaction: paid.transaction,
        });
    }

    /// What this agent may do and has left, as the steward sees it now.
    ///
    /// # Errors
    /// [`ToolError::Payment`] where the steward does not answer.
    pub async fn view(&self) -> Result<View, ToolError> {
        self.scope.steward.view().await.map_err(|error| self.scope.sort(error.into()))
    }

    /// An amount as an owner writes it, `"0.05 USDC"`, of an asset in the policy.
    ///
    /// # Errors
    /// [`ToolError::Arguments`] for anything else.
    pub async fn amount(&self, text: &str) -> Result<Money, ToolError> {
        let standing = self.scope.steward.standing().await;
        let view = standing.map_err(|error| self.scope.sort(error.into()))?;
        let bad = |why: String| ToolError::Arguments(format!("\"{text}\": {why}"));
        let (number, name) = text.split_once(' ').ok_or_else(|| {
            bad("an amount is a number and an asset, such as \"0.05 USDC\"".into())
        })?;
        let asset = view
            .assets
            .iter()
            .find(|asset| asset.name == name)
            .ok_or_else(|| bad(format!("the policy knows no asset {name}")))?;
        let units = parse_units(number, asset.decimals).map_err(|error| bad(error.to_string()))?;
        Ok(Money::new(units, asset.id))
    }

    /// What the program gave to the agent under this type.
    ///
    /// # Errors
    /// [`ToolError::Failed`] where it gave no such thing.
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Result<T, ToolError> {
        self.scope.states.get().ok_or_else(|| {
            let ty = std::any::type_name::<T>();
            ToolError::from_any(format!("no {ty} was given to the agent: `agent.state(..)`"))
        })
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.scope.task
    }

    /// The step of the task, from 0.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.scope.step
    }

    /// The agent whose call this is, to pursue a goal on the way: `cx.agent().run::<Advice>(goal)`.
    /// That is a task of its own below this one: it is taken up with it, spends from its limits, and
    /// what it has seen this call has seen.
    #[must_use]
    pub fn agent(&self) -> Agent {
        self.scope.agent.below(self)
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }
}

impl Scope {
    /// Where a URL that a model wrote leads: its own place, or the one that its name stands for.
    pub(crate) fn place(&self, text: &str) -> Result<Url, ToolError> {
        let mut url = read_url(text)?;
        let name = url.origin().ascii_serialization();
        if let Some(place) = self.names.get(&name) {
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            url.clone_from(place);
            url.set_path(&path);
            url.set_query(query.as_deref());
        }
        Ok(url)
    }

    /// The other way: a URL as a model writes it, so that a recording knows no ports.
    fn named(&self, url: &Url) -> String {
        let (origin, mut names) = (url.origin(), self.names.iter());
        let Some((name, _)) = names.find(|(_, place)| place.origin() == origin) else {
            return url.to_string();
        };
        let rest = url.as_str().strip_prefix(&origin.ascii_serialization());
        format!("{name}{}", rest.unwrap_or(url.path()))
    }

    /// Proposes the use of the tool, alone or with a request, and waits for the owner if need be.
    pub(crate) async fn use_tool(
        &self,
        ordinal: u32,
        fetch: Option<Fetch>,
        labels: Labels,
    ) -> Result<(), ToolError> {
        let usage =
            ToolUse { tool: self.tool.clone(), fetch, arguments: self.arguments.clone(), labels };
        self.propose(self.proposal(ordinal, Intent::Tool(usage))).await.map(drop)
    }

    /// An intent of this call, in its place.
    fn proposal(&self, ordinal: u32, intent: Intent) -> Proposal {
        // A refusal goes to the model, whose next call is another step, so nothing here is ever
        // attempted under the same step twice.
        Proposal { task: self.task.clone(), step: self.step, ordinal, attempt: 0, intent }
    }

    /// Proposes an intent and waits for the owner if need be.
    async fn propose(&self, proposal: Proposal) -> Result<(IntentId, Artifact), ToolError> {
        let mut round = 0;
        loop {
            let outcome = self.purse.propose(proposal.clone()).await;
            round += 1;
            if let Err(PaymentError::Fault(fault)) = &outcome
                && fault.code == "id_reused"
                && (self.first && round == 1)
            {
                self.used_before.store(true, Ordering::SeqCst);
            }
            match outcome.map_err(|error| self.sort(error.into()))? {
                Outcome::Allowed { id, artifact } => return Ok((id, artifact)),
                Outcome::Held { id, table } => self.ask_owner(id, table, round).await?,
                Outcome::Refused { id, table } => {
                    return Err(self.sort(ToolError::Refused { id, table }));
                }
            }
        }
    }

    /// Waits until the owner has approved. In the last round, and when patience ends, the run is
    /// interrupted instead.
    async fn ask_owner(&self, id: IntentId, table: Vec<Row>, round: u32) -> Result<(), ToolError> {
        let held = || ToolError::Held { id, table: table.clone() };
        self.emit(Event::Held { task: self.task.clone(), id, table: table.clone() });
        let deadline = Instant::now() + self.patience;
        if round >= ROUNDS {
            return Err(self.sort(held()));
        }
        let _waiting = self.wait_for_owner();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.sort(held()));
            }
            let asked = Instant::now();
            let state = self.steward.wait(id, left.min(WAIT)).await;
            match state.map_err(|error| self.sort(error.into()))?.state {
                PaymentState::Held => {
                    if asked.elapsed() < Duration::from_millis(50) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                PaymentState::Denied => return Err(ToolError::Denied { id }),
                PaymentState::Expired | PaymentState::Released | PaymentState::Cancelled => {
                    return Err(ToolError::Over { id });
                }
                // Approved, or decided meanwhile: proposing again tells.
                _ => return Ok(()),
            }
        }
    }

    /// Counts the time until the guard is dropped as waiting for the owner.
    fn wait_for_owner(&self) -> impl Drop {
        struct Waiting<'a>(&'a Scope);

        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                let (waited, since) = &mut *lock(&self.0.waits);
                *waited += since.take().map(|since| since.elapsed()).unwrap_or_default();
            }
        }

        lock(&self.waits).1.get_or_insert_with(Instant::now);
        Waiting(self)
    }

    /// How long it has waited for the owner so far.
    pub(crate) fn waited(&self) -> Duration {
        let (waited, since) = *lock(&self.waits);
        waited + since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Tells apart what the model is told and what ends the run while the task stays as it is. A
    /// steward that is away must not become a result: the payment under way may have been signed.
    fn sort(&self, error: ToolError) -> ToolError {
        let interruption = match &error {
            ToolError::Held { id, table } => {
                Some(AgentError::Held { id: *id, table: table.clone() })
            }
            ToolError::Refused { id, table } => {
                let table = table.clone();
                self.emit(Event::Refused { task: self.task.clone(), id: *id, table });
                None
            }
            ToolError::Payment(PaymentError::Steward(why)) => {
                Some(AgentError::Steward(PaymentError::Steward(why.clone())))
            }
            ToolError::Payment(PaymentError::Fault(fault)) if is_passing(&fault.code) => {
                Some(AgentError::Steward(PaymentError::Fault(fault.clone())))
            }
            _ => None,
        };
        if let Some(interruption) = interruption {
            lock(&self.interrupted).get_or_insert(interruption);
        }
        error
    }

    /// Nobody has to watch.
    pub(crate) fn emit(&self, event: Event) {
        notice::of(&event);
        drop(self.events.send(event));
    }
}

/// Whether a question that was not accepted for this reason may be accepted later.
fn is_passing(code: &str) -> bool {
    matches!(code, "frozen" | "chain" | "float" | "rate" | "internal" | "stale" | "version")
}

fn read_url(text: &str) -> Result<Url, ToolError> {
    Url::parse(text).map_err(|_| ToolError::Url(text.chars().take(EXCERPT).collect()))
}

/// What a panicking thread left behind is as good as before: every value here is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
