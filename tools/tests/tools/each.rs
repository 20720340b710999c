//! Each tool as a scripted model calls it, over real sockets, with a real memory and real files.

use crate::support::{Generous, server, server_of, view};
use marque_agent_core::{Agent, Files, Task, Tool, questions};
use marque_models::Scripted;
use marque_policies::{Intent, Label};
use marque_steward_client::View;
use marque_tools::{
    ask_owner, balance, calculate, fetch, fetch_data, find_agents, get_balance, hire, hire_compute,
    now, pay, read_file, recall, remember, write_file,
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// A mind in a folder, with what it may do.
struct Mind {
    dir: tempfile::TempDir,
    steward: Arc<Generous>,
}

impl Mind {
    fn new(view: View) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("granted")).unwrap();
        Self { dir, steward: Generous::new(view) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes the calls in a task of this name, and gives what the model was shown.
    async fn calls(&self, task: &str, calls: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let calls = calls.into_iter().map(|call| call.to_string());
        let script = calls.chain([json!({"tool":"finish","args":{"answer":"done"}}).to_string()]);
        let agent = Agent::builder("scout")
            .model(Arc::new(Scripted::new(script)))
            .steward(Arc::clone(&self.steward) as Arc<_>)
            .mind_dir(self.path().join("mind"))
            .files(Files::new(self.path().join("granted"), true))
            .patience(Duration::from_millis(100));
        let agent = marque_tools::all(agent.build().await.unwrap());
        let _: String = agent.run_as(task, format!("the goal of {task}")).await.unwrap();
        let task: Task = agent.task(task).await.unwrap().unwrap();
        task.steps().iter().map(|step| step.result.clone()).collect()
    }
}

fn call(tool: &str, args: Value) -> Value {
    json!({ "tool": tool, "args": args })
}

#[test]
fn names_and_arguments_are_those_that_models_are_trained_with() {
    let tools: [(&dyn Tool, &str); 15] = [
        (&fetch, "fetch(url,pick?)"),
        (&read_file, "read_file(path)"),
        (&write_file, "write_file(path,text)"),
        (&remember, "remember(topic,text)"),
        (&recall, "recall(query)"),
        (&ask_owner, "ask_owner(question)"),
        (&pay, "pay(payee,amount,reason?)"),
        (&hire, "hire(job,max_price?)"),
        (&find_agents, "find_agents(skill)"),
        (&calculate, "calculate(expression)"),
        (&now, "now(zone?)"),
        (&balance, "balance()"),
        (&fetch_data, "fetch_data(url)"),
        (&hire_compute, "hire_compute(job,max_price)"),
        (&get_balance, "get_balance()"),
    ];
    for (tool, expected) in tools {
        let schema = tool.schema();
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let arguments = schema["properties"].as_object().unwrap().keys().map(|name| {
            let mark = if required.contains(&json!(name)) { "" } else { "?" };
            format!("{name}{mark}")
        });
        let arguments: Vec<_> = arguments.collect();
        assert_eq!(format!("{}({})", tool.name(), arguments.join(",")), expected);
        assert!(!tool.description().contains('\n') && tool.description().len() <= 140);
    }
}

#[tokio::test]
async fn a_page_is_read_as_text_and_what_is_long_is_kept_and_picked_from() {
    let page = format!(
        "<html><body><h1>Azores</h1><p>{}</p><p>The ferry to Flores leaves at nine.</p></body></html>",
        "Wind and waves. ".repeat(200)
    );
    let (host, asked) = server_of("text/html", page).await;
    let mind = Mind::new(view(&[("fetch", &host)]));
    let shown =
        mind.calls("read", [call("fetch", json!({"url": format!("http://{host}/azores")}))]);
    let shown = shown.await;
    assert!(shown[0]["text"].as_str().unwrap().starts_with("# Azores"), "{shown:?}");
    let whole = shown[0]["whole"].as_str().unwrap().to_owned();
    assert!(whole.starts_with("kept:page-"), "{whole}");
    asked.lock().unwrap().clear();

    // Another task has it without another request, and with its origin.
    let pick = json!({"url": whole, "pick": "ferry Flores"});
    let lost = json!({"url": "kept:page-000000000000.txt"});
    let shown = mind.calls("pick", [call("fetch", pick), call("fetch", lost)]).await;
    assert_eq!(shown[0]["text"], "The ferry to Flores leaves at nine.");
    assert!(shown[1]["error"].as_str().unwrap().contains("fetch it again"), "{shown:?}");
    assert_eq!(*asked.lock().unwrap(), "", "nothing was asked for again");
    assert!(mind.steward.labels().0.contains(&Label::Web(host)), "{:?}", mind.steward.labels());
}

#[tokio::test]
async fn json_is_picked_from_and_what_is_no_text_is_refused() {
    let (host, _) = server_of("application/json", r#"{"wind":{"knots":14.2}}"#).await;
    let (pictures, _) = server_of("image/png", "png").await;
    let mut both = view(&[("fetch", &host)]);
    both.tools[0].hosts.push(pictures.clone());
    let mind = Mind::new(both);
    let url = format!("http://{host}/");
    let shown = mind.calls(
        "json",
        [
            call("fetch", json!({"url": url, "pick": "$.wind.knots"})),
            call("fetch", json!({"url": url, "pick": "$.waves"})),
            call("fetch", json!({"url": url, "pick": null})),
            call("fetch", json!({"url": format!("http://{pictures}/")})),
        ],
    );
    let shown = shown.await;
    assert_eq!(shown[0]["text"], "14.2");
    assert!(shown[1]["error"].as_str().unwrap().contains("there is wind"), "{shown:?}");
    assert_eq!(shown[2]["text"], r#"{"wind":{"knots":14.2}}"#);
    assert!(shown[3]["error"].as_str().unwrap().contains("image/png"), "{shown:?}");
}

#[tokio::test]
async fn files_are_read_and_written_in_the_granted_folder_alone() {
    let mind = Mind::new(view(&[("read_file", "-"), ("write_file", "-")]));
    std::fs::write(mind.path().join("granted/notes.txt"), "first\nsecond\n").unwrap();
    let shown = mind.calls(
        "files",
        [
            call("read_file", json!({"path": "notes.txt"})),
            call("read_file", json!({"path": "notes.txt:2"})),
            call("write_file", json!({"path": "out/wind.txt", "text": "14 knots"})),
            call("read_file", json!({"path": "out/wind.txt"})),
            call("read_file", json!({"path": "../mind/tasks/conf"})),
            call("write_file", json!({"path": "/tmp/x", "text": "x"})),
            call("read_file", json!({"path": "winds.txt"})),
        ],
    );
    let shown = shown.await;
    assert_eq!(shown[0]["text"], "first\nsecond");
    assert_eq!(shown[1]["text"], "second");
    assert_eq!(shown[2], json!({"written": "out/wind.txt", "bytes": 8}));
    assert_eq!(shown[3]["text"], "14 knots");
    for refused in [&shown[4], &shown[5]] {
        assert!(refused["error"].as_str().unwrap().contains("granted folder"), "{refused}");
    }
    assert!(shown[6]["error"].as_str().unwrap().contains("there is notes.txt, out"), "{shown:?}");
    assert!(mind.steward.labels().0.contains(&Label::Memory), "what was read counts as remembered");
}

#[tokio::test]
async fn what_a_page_said_is_recalled_with_its_origin() {
    let (host, _) = server("Mallory is owed 100").await;
    let mind = Mind::new(view(&[("fetch", &host), ("remember", "-"), ("recall", "-")]));
    let fetched = call("fetch", json!({"url": format!("http://{host}/")}));
    let note = call("remember", json!({"topic": "debts", "text": "Mallory is owed 100"}));
    mind.calls("first", [fetched, note]).await;
    let shown = mind.calls("second", [call("recall", json!({"query": "debt"}))]).await;
    let memory = &shown[0]["memories"][0];
    assert_eq!(
        (&memory["about"], &memory["text"]),
        (&json!("debts"), &json!("Mallory is owed 100"))
    );
    assert_eq!(memory["from"], json!([format!("web {host}")]));
    let empty = mind.calls("third", [call("recall", json!({"query": "submarine"}))]).await;
    assert_eq!(empty[0], json!({"memories": []}));
}

#[tokio::test]
async fn sums_times_and_balances_are_told_in_a_line() {
    let mut view = view(&[("calculate", "-"), ("now", "-"), ("balance", "-")]);
    view.now = 1_782_862_200_000;
    let mind = Mind::new(view);
    let shown = mind.calls(
        "lines",
        [
            call("calculate", json!({"expression": "12 USDC/h * 20 min"})),
            call("calculate", json!({"expression": "1 USDC + 1 ETH"})),
            call("now", json!({})),
            call("now", json!({"zone": "Europe/Lisbon"})),
            call("balance", json!({})),
        ],
    );
    let shown = shown.await;
    assert_eq!(shown[0], json!({"value": "4 USDC", "exact": true}));
    assert!(shown[1]["error"].as_str().unwrap().contains("USDC and ETH"), "{shown:?}");
    assert_eq!(shown[2], json!({"time": "2026-06-30T23:30:00Z", "weekday": "Tuesday"}));
    assert_eq!(shown[3], json!({"time": "2026-07-01T00:30:00+01:00", "weekday": "Wednesday"}));
    assert_eq!(shown[4], json!({"balance": "7 tUSD"}));
}

#[tokio::test]
async fn a_hired_model_sees_the_job_and_nothing_else() {
    let (muscle, asked) = server(
        r#"{"choices":[{"message":{"role":"assistant","content":"It blows."}}],
        "usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    )
    .await;
    let mind = Mind::new(view(&[("hire", &muscle)]));
    let shown = mind.calls(
        "hire",
        [
            call("hire", json!({"job": "Say how it blows.", "max_price": "0.05 tUSD"})),
            call("hire", json!({"job": " "})),
            call("hire", json!({"job": "x", "max_price": "5"})),
        ],
    );
    let shown = shown.await;
    assert_eq!(shown[0], json!({"text": "It blows."}));
    assert!(shown[1]["error"].as_str().unwrap().contains("it takes 1 to"), "{shown:?}");
    assert!(shown[2]["error"].as_str().unwrap().contains("a number and an asset"), "{shown:?}");
    let asked = asked.lock().unwrap();
    assert!(asked.contains("Say how it blows.") && !asked.contains("the goal of"), "{asked}");
}

#[tokio::test]
async fn money_goes_to_the_address_of_the_policy() {
    let mut view = view(&[("pay", "-")]);
    view.payees[0].name = "ana".to_owned();
    let mind = Mind::new(view);
    let shown = mind.calls(
        "pay",
        [
            call("pay", json!({"payee": "mallory", "amount": "1 tUSD"})),
            call(
                "pay",
                json!({"payee": "ana", "amount": "0.50 tUSD", "reason": "for the barometer"}),
            ),
        ],
    );
    let shown = shown.await;
    assert!(shown[0]["error"].as_str().unwrap().contains("the policy names ana"), "{shown:?}");
    assert_eq!((&shown[1]["paid"], &shown[1]["to"]), (&json!("0.50 tUSD"), &json!("ana")));
    assert_eq!(shown[1]["state"], "done");
    let proposals = mind.steward.proposals.lock().unwrap();
    let transfers: Vec<_> =
        proposals.iter().filter(|it| matches!(it.intent, Intent::Transfer(_))).collect();
    assert_eq!(transfers.len(), 1, "{proposals:?}");
}

#[tokio::test]
async fn the_owner_is_asked_in_the_agents_words() {
    let mind = Mind::new(view(&[("ask_owner", "-")]));
    let folder = mind.path().join("mind");
    let owner = tokio::spawn(async move {
        for _ in 0..12_000 {
            if let Some(question) = questions::all(&folder).unwrap_or_default().first() {
                questions::answer(&folder, &question.id, "Horta").unwrap();
                return question.question.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nothing was asked");
    });
    let shown = mind.calls("ask", [call("ask_owner", json!({"question": "Which harbour?"}))]).await;
    assert_eq!(shown[0], json!({"answer": "Horta"}));
    assert_eq!(owner.await.unwrap(), "Which harbour?");
}
