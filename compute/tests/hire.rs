//! A worker and who hires it, over a real socket; the stewards follow a short script.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

#[path = "../../payments/tests/support/signer.rs"]
mod signer;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use marque_compute::{ComputeError, Job, Worker, hire};
use marque_models::{
    Constraint, Generation, Message, Model, ModelError, ModelInfo, Request, Scripted,
};
use marque_net::{Client, Guard, Request as Get};
use marque_payments::{Authority, Buyer, Errand, PaymentError, Rule, Seller};
use marque_policies::{Intent, IntentId, Labels, Money};
use marque_steward_client::{Artifact, IntentState, Outcome, PaymentState, Proposal, Report, View};
use serde_json::{Value, json};
use signer::{Signer, USDC};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use url::Url;

/// Signs what it is asked and settles what it is shown.
#[derive(Debug)]
struct Steward {
    signer: Signer,
    proposals: Mutex<Vec<Proposal>>,
}

impl Steward {
    fn new(name: &str, seed: u8, muscle: Option<(String, Address)>) -> Arc<Self> {
        let signer = Signer::new(name, seed, muscle.as_ref());
        Arc::new(Self { signer, proposals: Mutex::default() })
    }
}

#[async_trait]
impl Authority for Steward {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = self.signer.id(&proposal);
        let artifact = match &proposal.intent {
            Intent::Authorise(authorise) => self.signer.authorise(id, authorise),
            _ => Artifact::Transaction { hash: id.0 },
        };
        self.proposals.lock().unwrap().push(proposal);
        Ok(Outcome::Allowed { id, artifact })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(self.signer.view.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, id: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        Ok(IntentState { id, state: PaymentState::Seen, transaction: Some(id.0), block: Some(1) })
    }
}

/// Counts what it is asked and remembers the last of it.
#[derive(Debug)]
struct Watched {
    inner: Scripted,
    info: ModelInfo,
    asked: AtomicUsize,
    last: Mutex<Option<Request>>,
}

#[async_trait]
impl Model for Watched {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.inner.count_tokens(text)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.last.lock().unwrap() = Some(request.clone());
        if request.max_tokens == 1 {
            return Err(ModelError::Truncated { tokens: 1 });
        }
        if request.constraint == Constraint::None {
            return Err(ModelError::Inference("out of order".to_owned()));
        }
        self.inner.generate(request).await
    }
}

struct World {
    model: Arc<Watched>,
    scout: Arc<Steward>,
    muscle: Arc<Steward>,
    net: Client,
    buyer: Buyer,
    base: Url,
}

impl World {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let base = Url::parse(&format!("http://{host}")).unwrap();
        let muscle = Steward::new("muscle", 2, None);
        let scout = Steward::new("scout", 1, Some((host.clone(), muscle.signer.view.address)));
        let inner = Scripted::new(["{\"wind\":14.2}"]);
        let info =
            ModelInfo { name: "tiny".to_owned(), context_length: 512, ..inner.info().clone() };
        let model =
            Arc::new(Watched { inner, info, asked: AtomicUsize::new(0), last: Mutex::default() });
        let seller = Seller::new(Arc::clone(&muscle) as _, base.clone());
        let price = Money::new(U256::from(100), USDC);
        let router = Worker::new(Arc::clone(&model) as _, seller, price).router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let guard = Guard { loopback: vec![host], ..Guard::default() };
        let net = Client::new(guard).unwrap();
        let buyer = Buyer::new(net.clone(), Arc::clone(&scout) as _);
        Self { model, scout, muscle, net, buyer, base }
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        let mut request = Get::get(self.base.join("/v1/chat/completions").unwrap());
        request.method = marque_net::Method::POST;
        request.body = serde_json::to_vec(body).unwrap();
        let response = self.net.send(request).await.unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    fn asked(&self) -> usize {
        self.model.asked.load(Ordering::SeqCst)
    }
}

fn errand() -> Errand {
    Errand {
        task: "wind".to_owned(),
        step: 1,
        ordinal: 0,
        attempt: 0,
        max: Some(Money::new(U256::from(5_000), USDC)),
        labels: Labels::default(),
    }
}

fn job(max_tokens: u32) -> Job {
    let schema = json!({ "type": "object" });
    Job {
        constraint: Constraint::JsonSchema(schema),
        ..Job::new(vec![Message::system("be brief"), Message::user("wind?")], max_tokens)
    }
}

#[tokio::test]
async fn a_completion_costs_its_tokens_and_comes_back_parsed() {
    let world = World::new().await;
    let done = hire(&world.buyer, &world.base, &job(40), &errand()).await.unwrap();
    assert_eq!((done.text.as_str(), done.model.as_str()), ("{\"wind\":14.2}", "tiny"));
    let paid = done.paid.unwrap();
    assert_eq!((paid.payee.as_str(), paid.amount), ("muscle", Money::new(U256::from(4_000), USDC)));
    assert!(paid.transaction.is_some());
    let asked = world.model.last.lock().unwrap().take().unwrap();
    assert_eq!((asked.messages, asked.max_tokens), (job(40).messages, 40));
    assert_eq!(asked.constraint, job(40).constraint);

    let again = hire(&world.buyer, &world.base, &job(40), &errand()).await.unwrap();
    assert_eq!(again.paid.unwrap(), paid);
    assert_eq!(world.asked(), 1, "the same errand gets the same goods");
    assert_eq!(world.muscle.proposals.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_payment_nothing_is_computed() {
    let world = World::new().await;
    let chat = json!({ "model": "tiny", "messages": [{ "role": "user", "content": "wind?" }] });
    let (status, body) = world.post(&chat).await;
    assert_eq!((status, body["price"].as_str()), (402, Some("0.0128 USDC")), "128 tokens");
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn a_completion_above_the_errands_maximum_is_not_bought() {
    let world = World::new().await;
    let error = hire(&world.buyer, &world.base, &job(51), &errand()).await.unwrap_err();
    let ComputeError::Payment(PaymentError::Terms(objections)) = error else { panic!("{error}") };
    assert_eq!(objections[0].rule, Rule::Amount);
    assert!(world.scout.proposals.lock().unwrap().is_empty());
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_before_it_is_paid() {
    let world = World::new().await;
    let user = json!([{ "role": "user", "content": "wind?" }]);
    let long = json!([{ "role": "user", "content": "x".repeat(4 * 500) }]);
    for (body, status, code) in [
        (json!({ "model": "tiny", "messages": user, "stream": true }), 400, Value::Null),
        (json!({ "model": "gpt-9", "messages": user }), 404, json!("model_not_found")),
        (json!({ "model": "tiny", "messages": long }), 400, json!("context_length_exceeded")),
        (json!({ "messages": user }), 400, Value::Null),
        (json!([]), 400, Value::Null),
    ] {
        let (answered, said) = world.post(&body).await;
        assert_eq!((answered, &said["error"]["code"]), (status, &code), "{said}");
        assert_eq!(said["error"]["type"], "invalid_request_error");
    }
    let mut strange = job(40);
    strange.model = Some("gpt-9".to_owned());
    let error = hire(&world.buyer, &world.base, &strange, &errand()).await.unwrap_err();
    assert!(matches!(&error, ComputeError::Status { status: 404, .. }), "{error}");
    assert!(error.to_string().contains("this worker runs \"tiny\""), "{error}");
    assert!(world.scout.proposals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_that_is_cut_off_is_an_error_that_says_so() {
    let world = World::new().await;
    let error = hire(&world.buyer, &world.base, &job(1), &errand()).await.unwrap_err();
    assert!(matches!(error, ComputeError::Answer { .. }), "{error}");
    assert!(error.to_string().contains("buy more tokens"), "{error}");
}

#[tokio::test]
async fn a_model_that_breaks_does_not_tell_how() {
    let world = World::new().await;
    let job = Job::new(vec![Message::user("wind?")], 4);
    let error = hire(&world.buyer, &world.base, &job, &errand()).await.unwrap_err();
    let ComputeError::Payment(PaymentError::Undelivered(undelivered)) = error else {
        panic!("{error}")
    };
    assert_eq!(undelivered.status, Some(500));
    assert!(!undelivered.why.contains("out of order"), "{}", undelivered.why);
}

#[tokio::test]
async fn the_model_on_offer_is_shown_for_nothing() {
    let world = World::new().await;
    let request = Get::get(world.base.join("/v1/models").unwrap());
    let response = world.net.send(request).await.unwrap();
    let list: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status, list["data"][0]["id"].as_str()), (200, Some("tiny")));
}
