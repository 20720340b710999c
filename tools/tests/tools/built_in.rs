//! The built-in tools under the built-in model: the goals that it can do, from words to answer,
//! with a real model and real sockets. The steward allows everything.

use crate::support::{Generous, server, view};
use marque_agent_core::Agent;
use marque_models::Llama;
use marque_steward_client::View;
use marque_tools::{fetch_data, get_balance, hire_compute};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const TABLE: &str = "time,station,wind_ms\n2026,Horta,7.5\n2026,Flores,12.7\n2026,Angra,11.2\n";

const COMPLETION: &str = r#"{"choices":[{"message":{"role":"assistant","content":
    "{\"tool\":\"finish\",\"args\":{\"answer\":\"value is Flores 12.7\"}}"}}],
    "usage":{"prompt_tokens":50,"completion_tokens":20}}"#;

async fn scout(view: View, dir: &Path, names: BTreeMap<String, url::Url>) -> Agent {
    let agent = Agent::builder("scout")
        .model(Arc::new(Llama::built_in().unwrap()))
        .steward(Generous::new(view))
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
