//! A paid task of twelve steps whose mind is killed at every edge: before and after each question
//! that it asks its steward, the real one, with a real seller and a real chain.

use crate::support::{Town, eventually};
use async_trait::async_trait;
use marque_agent_core::{Agent, Cx, Steward, TaskLimits, Tool, ToolError};
use marque_models::Scripted;
use marque_payments::{Authority, PaymentError};
use marque_policies::IntentId;
use marque_steward_client::{Client, IntentState, Note, Outcome, Proposal, Report, View};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::Notify,
};

const STEPS: u64 = 12;

/// A steward's client that falls silent at an edge: before question `n` at `2 n`, after it at
/// `2 n + 1`, when what was asked has been done.
#[derive(Debug)]
struct Cut {
    client: Client,
    edge: usize,
    questions: AtomicUsize,
    silent: Notify,
}

impl Cut {
    fn at(client: &Client, edge: usize) -> Arc<Self> {
        let (questions, silent) = (AtomicUsize::new(0), Notify::new());
        Arc::new(Self { client: client.clone(), edge, questions, silent })
    }

    async fn asked<T>(&self, question: impl Future<Output = T>) -> T {
        let place = 2 * self.questions.fetch_add(1, Ordering::SeqCst);
        if place == self.edge {
            self.fall_silent().await;
        }
        let answer = question.await;
        if place + 1 == self.edge {
            self.fall_silent().await;
        }
        answer
    }

    async fn fall_silent(&self) {
        self.silent.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Authority for Cut {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        self.asked(Authority::propose(&self.client, proposal)).await
    }

    async fn view(&self) -> Result<View, PaymentError> {
        self.asked(Authority::view(&self.client)).await
    }

    async fn standing(&self) -> Result<View, PaymentError> {
        self.asked(Authority::standing(&self.client)).await
    }

    async fn report(&self, report: Report) -> Result<(), PaymentError> {
        self.asked(Authority::report(&self.client, report)).await
    }

    async fn wait(&self, id: IntentId, timeout: Duration) -> Result<IntentState, PaymentError> {
        self.asked(Authority::wait(&self.client, id, timeout)).await
    }
}

#[async_trait]
impl Steward for Cut {
    async fn note(&self, note: Note) -> Result<(), PaymentError> {
        self.asked(Steward::note(&self.client, note)).await
    }
}

/// Buys what is at a URL.
struct Fetch(String);

#[async_trait]
impl Tool for Fetch {
    fn name(&self) -> &str {
        "fetch_data"
    }

    fn description(&self) -> &str {
        "buy the data"
    }

    fn schema(&self) -> Value {
        let number = json!({ "type": "integer" });
        json!({ "type": "object", "properties": { "number": number }, "required": ["number"] })
    }

    async fn call(&self, cx: &Cx, _: Value) -> Result<Value, ToolError> {
        let answer = cx.get(&self.0).await?;
        let text = answer.text()?;
        Ok(json!({ "bytes": text.len(), "paid": answer.paid().is_some() }))
    }
}

fn limits(spend: &str) -> TaskLimits {
    TaskLimits { steps: 16, ..TaskLimits::default() }.spend(spend)
}

async fn agent(scout: &Arc<Cut>, dir: &Path, goods: &str, spend: &str) -> Agent {
    let call = |number| format!(r#"{{"tool":"fetch_data","args":{{"number":{number}}}}}"#);
    let finish = r#"{"tool":"finish","args":{"answer":"all bought"}}"#.to_owned();
    let script: Vec<String> = (0..STEPS).map(call).chain([finish]).collect();
    let agent = Agent::builder("scout")
        .model(Arc::new(Scripted::new(script)))
        .steward(Arc::clone(scout) as Arc<_>)
        .mind_dir(dir)
        .limits(limits(spend))
        .build()
        .await
        .unwrap();
    agent.tool(Fetch(goods.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_task_killed_at_every_edge_answers_the_same_and_pays_for_each_step_once() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let dir = tempfile::tempdir().unwrap();
    // Exactly what twelve purchases cost: one that counts twice has no room.
    let spend = "0.24 tUSD";
    let (mut kills, mut edge) = (0, 0);
    let mut before = None;
    let answer = loop {
        let cut = Cut::at(scout.client(), edge);
        let agent = agent(&cut, dir.path(), &feed.goods(), spend).await;
        let answer = tokio::select! {
            answer = agent.run_as::<String>("twelve", "buy it all") => match answer {
                Ok(answer) => Some(answer),
                // So many runs ask more a second than one mind may.
                Err(error) if error.to_string().contains("too many questions") => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                Err(error) => panic!("edge {edge}: {error}"),
            },
            () = cut.silent.notified() => None,
        };
        if let Some(answer) = answer {
            break answer;
        }
        kills += 1;
        // Each transition from its first edge to its last.
        let now = agent.task("twelve").await.unwrap().map(|task| task.to_bytes().unwrap());
        edge = if now == before { edge + 1 } else { 0 };
        before = now;
    };
    assert_eq!(answer, "all bought");
    eprintln!("{kills} kills");
    assert!(kills > 12 * 12, "only {kills} kills");

    let cut = Cut::at(scout.client(), usize::MAX);
    let agent = agent(&cut, dir.path(), &feed.goods(), spend).await;
    let task = agent.task("twelve").await.unwrap().unwrap();
    assert_eq!(task.steps().len() as u64, STEPS);
    for step in task.steps() {
        assert_eq!(step.result["paid"], true, "{:?}", step.result);
    }
    eventually("paid for each once", 60, || async { town.dollars(&feed).await == STEPS * 20_000 })
        .await;
    assert_eq!(town.dollars(&scout).await, 5_000_000 - STEPS * 20_000);
}

/// Where the mind that is a process finds its steward, its folder, its goods and its edge.
const PLACES: [&str; 4] = ["TWELVE_SOCKET", "TWELVE_DIR", "TWELVE_GOODS", "TWELVE_EDGE"];

/// What such a mind says when it has fallen silent, and when it has answered.
const SAYS: [&str; 2] = ["silent at its edge", "answers: "];

/// A mind in a process of its own, which another test starts and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is started by a_real_process_killed_at_some_edges_pays_for_each_step_once"]
async fn a_mind_that_is_a_process() {
    let [socket, dir, goods, edge] = PLACES.map(|place| std::env::var(place).unwrap());
    let cut = Cut::at(&Client::connect(socket).await.unwrap(), edge.parse().unwrap());
    let agent = agent(&cut, Path::new(&dir), &goods, "0.24 tUSD").await;
    tokio::select! {
        answer = agent.run_as::<String>("twelve", "buy it all") => {
            println!("{}{}", SAYS[1], answer.unwrap());
        }
        () = cut.silent.notified() => {
            println!("{}", SAYS[0]);
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_process_killed_at_some_edges_pays_for_each_step_once() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let dir = tempfile::tempdir().unwrap();
    let (socket, goods) = (scout.party.home.socket("scout"), feed.goods());
    let mind = |edge: usize| {
        let values = [
            socket.as_os_str().to_owned(),
            dir.path().as_os_str().to_owned(),
            goods.clone().into(),
            edge.to_string().into(),
        ];
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["killed_mind::a_mind_that_is_a_process", "--exact", "--ignored", "--nocapture"])
            .envs(PLACES.into_iter().zip(values))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    // Before and after questions of the first call, of those in the middle and of the last; at the same
    // edge twice; and then at none.
    let edges = [0, 1, 6, 7, 7, 9, 10, 12, 13, 40, 55, usize::MAX];
    let mut answers = Vec::new();
    for edge in edges {
        let mut child = mind(edge);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("it says how it ends");
            // The name of the test stands before what it says first.
            if line.contains(SAYS[0]) {
                child.kill().await.unwrap();
                break;
            }
            if let Some((_, answer)) = line.split_once(SAYS[1]) {
                answers.push((edge, answer.to_owned()));
                assert!(child.wait().await.unwrap().success());
                break;
            }
        }
    }
    assert_eq!(answers, [(usize::MAX, "all bought".to_owned())], "all but the last were killed");
    let cut = Cut::at(scout.client(), usize::MAX);
    let agent = agent(&cut, dir.path(), &goods, "0.24 tUSD").await;
    let task = agent.task("twelve").await.unwrap().unwrap();
    assert_eq!(task.steps().len() as u64, STEPS);
    assert!(task.steps().iter().all(|step| step.result["paid"] == true), "{task:?}");
    eventually("paid for each once", 60, || async { town.dollars(&feed).await == STEPS * 20_000 })
        .await;
    assert_eq!(town.dollars(&scout).await, 5_000_000 - STEPS * 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_has_spent_its_own_limit_proposes_no_payment_more_also_when_it_is_run_again() {
    let town = Town::new().await;
    let feed = town.seller("feed", "0.02 tUSD").await;
    let scout = town.buyer("scout", &[&feed], "").await;
    let dir = tempfile::tempdir().unwrap();
    // Killed after the first purchase and before the second, so that both runs count.
    let cut = Cut::at(scout.client(), usize::MAX);
    let first = agent(&cut, dir.path(), &feed.goods(), "0.03 tUSD").await;
    let run = tokio::spawn(async move { first.run_as::<String>("few", "buy it all").await });
    eventually("the first is paid", 60, || async { town.dollars(&feed).await == 20_000 }).await;
    run.abort();
    drop(run.await);
    let again = agent(&cut, dir.path(), &feed.goods(), "0.03 tUSD").await;
    let _: String = again.run_as("few", "buy it all").await.unwrap();
    let task = again.task("few").await.unwrap().unwrap();
    let [first, rest @ ..] = task.steps() else { panic!("{task:?}") };
    assert_eq!(first.result["paid"], true);
    for step in rest {
        let error = step.result["error"].as_str().unwrap();
        assert!(error.contains("the task may spend 0.03 tUSD in all"), "{error}");
        assert_eq!(step.result["within_maximum"], false);
        assert_eq!(step.result["payee_known"], true);
    }
    assert_eq!(town.dollars(&feed).await, 20_000);
    let view = scout.client().view().await.unwrap();
    let payments = view.intents.iter().filter(|intent| intent.intent.spends().is_some());
    assert_eq!(payments.count(), 1, "the steward has not even heard of another");
}
