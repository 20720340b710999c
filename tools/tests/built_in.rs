//! The built-in tools under the built-in model: the goals that it can do, from words to answer,
//! with a real model and real sockets. The steward allows everything.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

use async_trait::async_trait;
use marque_agent_core::{Agent, Steward};
use marque_models::Llama;
use marque_payments::{Authority, PaymentError};
use marque_policies::{AssetId, IntentId, Money};
use marque_steward_client::{
    Artifact, AssetView, Budget, IntentState, Note, Outcome, PayeeView, Proposal, Report, ToolView,
    View,
};
use marque_tools::{fetch_data, get_balance, hire_compute};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const TABLE: &str = "time,station,wind_ms\n2026,Horta,7.5\n2026,Flores,12.7\n2026,Angra,11.2\n";

const COMPLETION: &str = r#"{"choices":[{"message":{"role":"assistant","content":
    "{\"tool\":\"finish\",\"args\":{\"answer\":\"value is Flores 12.7\"}}"}}],
    "usage":{"prompt_tokens":50,"completion_tokens":20}}"#;

#[derive(Debug)]
struct Generous(View);

#[async_trait]
impl Authority for Generous {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = proposal.id(self.0.origin, &self.0.agent);
        Ok(Outcome::Allowed { id, artifact: Artifact::Permission })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(self.0.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        Err(PaymentError::Steward("nothing is ever held here".to_owned()))
    }
}

#[async_trait]
impl Steward for Generous {
    async fn note(&self, _: Note) -> Result<(), PaymentError> {
        Ok(())
    }
}

/// A server that answers everything with `body`, and what it was asked last.
async fn server(body: &'static str) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(String::new()));
    let last = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while let Ok(read) = stream.read(&mut part).await {
                request.extend_from_slice(&part[..read]);
                if read < part.len() {
                    break;
                }
            }
            *last.lock().unwrap() = String::from_utf8(request).unwrap();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
            stream
                .write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
                .await
                .unwrap();
        }
    });
    (host, asked)
}

fn view(tools: &[(&str, &str)]) -> View {
    let token = AssetId { chain: 31337, token: [7; 20].into() };
    let money = |units: u64| Money::new(units.try_into().unwrap(), token);
    View {
        agent: "scout".to_owned(),
        address: Default::default(),
        owner: Default::default(),
        sub_agent: None,
        owner_since: 0,
        origin: Default::default(),
        policy_version: 1,
        policy_hash: Default::default(),
        now: Default::default(),
        frozen_at: None,
        tools: tools
            .iter()
            .map(|(name, host)| ToolView {
                name: (*name).to_owned(),
                hosts: vec![(*host).to_owned()],
                methods: Vec::new(),
                arguments: Vec::new(),
            })
            .collect(),
        payees: tools
            .iter()
            .map(|(name, host)| PayeeView {
                name: format!("{name}-seller"),
                address: Some(Default::default()),
                host: Some((*host).to_owned()),
            })
            .collect(),
        assets: vec![AssetView { name: "tUSD".to_owned(), id: token, decimals: 6, domain: None }],
        budgets: vec![
            Budget {
                rule: "limits.tUSD.day".to_owned(),
                spent: money(3_000_000),
                in_flight: None,
                limit: money(10_000_000),
                next: None,
            },
            Budget {
                rule: "limits.tUSD.total".to_owned(),
                spent: money(3_000_000),
                in_flight: None,
                limit: money(50_000_000),
                next: None,
            },
        ],
        income: Vec::new(),
        facilitates: Vec::new(),
        pools: Vec::new(),
        chains: Vec::new(),
        intents: Vec::new(),
    }
}

async fn scout(view: View, dir: &Path, names: BTreeMap<String, url::Url>) -> Agent {
    let agent = Agent::builder("scout")
        .model(Arc::new(Llama::built_in().unwrap()))
        .steward(Arc::new(Generous(view)))
        .mind_dir(dir)
        .names(names)
        .build()
        .await
        .unwrap();
    agent.tool(fetch_data).tool(hire_compute).tool(get_balance)
}

#[tokio::test]
async fn the_built_in_model_reads_a_table_and_hires_a_machine_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (feed, _) = server(TABLE).await;
    let (muscle, asked) = server(COMPLETION).await;
    let names = [("https://feed.example".to_owned(), format!("http://{feed}").parse().unwrap())];
    let view = view(&[("fetch_data", &feed), ("hire_compute", &muscle)]);
    let agent = scout(view, dir.path(), names.into()).await;

    let goal = "Fetch https://feed.example/wind.csv and report the value. Spend at most 2.";
    let answer: String = agent.run(goal).await.unwrap();
    assert_eq!(answer, "value is Flores 12.7");

    let goal = "Hire compute to index wind for at most 2.";
    let answer: String = agent.run_as("hire", goal).await.unwrap();
    let task = agent.task("hire").await.unwrap().unwrap();
    let id = task.steps()[0].result["id"].as_str().unwrap().to_owned();
    assert_eq!(answer, format!("hired {id} for index wind"));
    let kept = std::fs::read_to_string(dir.path().join(format!("kept/{id}.txt"))).unwrap();
    assert_eq!(kept, "value is Flores 12.7");
    let asked = asked.lock().unwrap();
    assert!(asked.starts_with("POST /v1/chat/completions"), "{asked}");
    assert!(asked.contains("Flores 12.7") && asked.contains("index wind"), "{asked}");
}

#[tokio::test]
async fn the_balance_is_what_the_tightest_limit_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let agent =
        scout(view(&[("get_balance", "unused.example")]), dir.path(), BTreeMap::new()).await;
    let answer: String = agent.run("What is my balance?").await.unwrap();
    assert_eq!(answer, "balance is 7");
}

#[tokio::test]
async fn without_a_seller_in_the_policy_there_is_no_offer() {
    let dir = tempfile::tempdir().unwrap();
    let mut view = view(&[("hire_compute", "127.0.0.1:9")]);
    view.payees.clear();
    let agent = scout(view, dir.path(), BTreeMap::new()).await;
    let goal = "Hire compute to index wind for at most 2.";
    let answer: String = agent.run(goal).await.unwrap();
    assert_eq!(answer, "failed: no offer");
}
