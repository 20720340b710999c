//! Several calls in one reply, the time that they may take, and watching them.

use crate::{
    desk::{Desk, Say},
    scout,
    tools::{add, add_twice},
};
use async_trait::async_trait;
use marque_agent_core::{Agent, AgentError, Cx, Event, TaskLimits, Tool, ToolError, task::Failure};
use marque_models::{Delta, Generation, Model, ModelError, ModelInfo, Request, Scripted};
use marque_steward_client::PaymentState;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Barrier;

const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;
const BOTH: &str =
    r#"{"calls":[{"tool":"meet","args":{"name":"a"}},{"tool":"meet","args":{"name":"b"}}]}"#;

/// Brings its name once as many are there as the barrier wants.
#[derive(Clone)]
struct Meet {
    independent: bool,
    barrier: Arc<Barrier>,
    entered: Arc<Mutex<Vec<String>>>,
    most: Arc<AtomicUsize>,
    now: Arc<AtomicUsize>,
    /// Never comes back for this name.
    lost: Option<&'static str>,
}

impl Meet {
    fn of(many: usize, independent: bool) -> Self {
        Self {
            independent,
            barrier: Arc::new(Barrier::new(many)),
            entered: Arc::default(),
            most: Arc::default(),
            now: Arc::default(),
            lost: None,
        }
    }
}

#[async_trait]
impl Tool for Meet {
    fn name(&self) -> &str {
        "meet"
    }

    fn description(&self) -> &str {
        "meet the others"
    }

    fn schema(&self) -> Value {
        let name = json!({ "type": "string" });
        json!({ "type": "object", "properties": { "name": name }, "required": ["name"] })
    }

    fn independent(&self) -> bool {
        self.independent
    }

    async fn call(&self, _: &Cx, args: Value) -> Result<Value, ToolError> {
        let name = args["name"].as_str().unwrap().to_owned();
        self.entered.lock().unwrap().push(name.clone());
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if self.lost == Some(name.as_str()) {
            std::future::pending::<()>().await;
        }
        self.barrier.wait().await;
        // The first to be called is the last to come back.
        let late = u64::from(name == "a") * 50;
        tokio::time::sleep(Duration::from_millis(late)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(json!({ "met": name }))
    }
}

async fn agent(desk: &Arc<Desk>, dir: &std::path::Path, script: &[&str]) -> Agent {
    scout(desk, dir, script).build().await.unwrap()
}

#[tokio::test]
async fn independent_calls_of_a_reply_are_made_at_the_same_time_and_told_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["meet"], &[]));
    let meet = Meet::of(2, true);
    let agent = agent(&desk, dir.path(), &[BOTH, FINISH]).await.tool(meet.clone());
    let run = agent.run_as::<String>("both", "meet");
    let answer = tokio::time::timeout(Duration::from_secs(20), run).await;
    assert_eq!(answer.ok().map(Result::unwrap).as_deref(), Some("done"), "one waits for the other");
    assert_eq!(meet.most.load(Ordering::SeqCst), 2);
    let task = agent.task("both").await.unwrap().unwrap();
    let results: Vec<_> = task.steps().iter().map(|step| step.result["met"].clone()).collect();
    assert_eq!(results, ["a", "b"]);
    let proposals = desk.proposals.lock().unwrap();
    let mut places: Vec<_> = proposals.iter().map(|it| (it.step, it.ordinal)).collect();
    places.sort_unstable();
    assert_eq!(places, [(0, 0), (1, 0)]);
}

/// Panics for one argument.
struct Brittle;

#[async_trait]
impl Tool for Brittle {
    fn name(&self) -> &str {
        "brittle"
    }

    fn description(&self) -> &str {
        "divide ten"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { "by": { "type": "integer" } } })
    }

    async fn call(&self, _: &Cx, args: Value) -> Result<Value, ToolError> {
        tokio::task::yield_now().await;
        Ok(json!({ "quotient": 10 / args["by"].as_i64().unwrap() }))
    }
}

#[tokio::test]
async fn a_tool_that_panics_is_an_error_of_its_call_and_the_task_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["brittle"], &[]));
    let by = |by: u8| format!(r#"{{"tool":"brittle","args":{{"by":{by}}}}}"#);
    let agent = agent(&desk, dir.path(), &[&by(0), &by(5), FINISH]).await.tool(Brittle);
    let answer: String = agent.run_as("ten", "divide").await.unwrap();
    assert_eq!(answer, "done");
    let task = agent.task("ten").await.unwrap().unwrap();
    let results: Vec<_> = task.steps().iter().map(|step| step.result.clone()).collect();
    let why = results[0]["error"].as_str().unwrap();
    assert!(why.contains("the tool broke"), "{why}");
    assert_eq!(results[1]["quotient"], 2);
}

#[tokio::test]
async fn calls_that_may_need_each_other_are_made_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["meet"], &[]));
    let meet = Meet::of(1, false);
    let agent = agent(&desk, dir.path(), &[BOTH, FINISH]).await.tool(meet.clone());
    let _: String = agent.run("meet").await.unwrap();
    assert_eq!(meet.most.load(Ordering::SeqCst), 1);
    assert_eq!(*meet.entered.lock().unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn a_mind_killed_between_the_results_of_a_reply_makes_again_only_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["meet"], &[]));
    let meet = Meet { lost: Some("b"), ..Meet::of(1, true) };
    let first = agent(&desk, dir.path(), &[BOTH, FINISH]).await.tool(meet.clone());
    let kept = first.clone();
    let run = tokio::spawn(async move { first.run_as::<String>("half", "meet").await });
    loop {
        let task = kept.task("half").await.unwrap();
        let due = task.as_ref().map(|task| match task.next() {
            marque_agent_core::task::Want::Act(due) => due.len(),
            _ => 0,
        });
        if due == Some(1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    drop(kept);

    let again = Meet::of(1, true);
    let agent = agent(&desk, dir.path(), &[BOTH, FINISH]).await.tool(again.clone());
    let _: String = agent.run_as("half", "meet").await.unwrap();
    assert_eq!(*again.entered.lock().unwrap(), ["b"]);
    let proposals = desk.proposals.lock().unwrap();
    let of_b: Vec<_> = proposals.iter().filter(|proposal| proposal.step == 1).collect();
    assert_eq!(of_b.len(), 2);
    assert_eq!(of_b[0], of_b[1], "the same id has the same body");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_told_and_waiting_for_the_owner_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["meet"], &[]));
    desk.says("meet", [Say::Hold]);
    // Longer than the call may take.
    desk.states([PaymentState::Held; 25].into_iter().chain([PaymentState::Approved]));
    let limits = TaskLimits { timeout: Duration::from_secs(1), ..TaskLimits::default() };
    let (a, b) =
        (r#"{"tool":"meet","args":{"name":"b"}}"#, r#"{"tool":"meet","args":{"name":"lost"}}"#);
    let meet = Meet { lost: Some("lost"), ..Meet::of(1, false) };
    let agent = scout(&desk, dir.path(), &[a, b, FINISH])
        .patience(Duration::from_secs(30))
        .limits(limits)
        .build()
        .await
        .unwrap()
        .tool(meet);
    let _: String = agent.run_as("slow", "meet").await.unwrap();
    let task = agent.task("slow").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result, json!({ "met": "b" }));
    assert_eq!(task.steps()[1].result, json!({ "error": "no result within 1 s" }));
}

#[tokio::test]
async fn a_task_ends_when_its_time_or_its_tokens_are_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["meet"], &[]));
    let call = r#"{"tool":"meet","args":{"name":"lost"}}"#;
    let meet = Meet { lost: Some("lost"), ..Meet::of(1, false) };
    let time = Some(Duration::from_millis(100));
    let limits = TaskLimits { time, ..TaskLimits::default() };
    let agent = scout(&desk, dir.path(), &[call, FINISH]).limits(limits).build().await.unwrap();
    let error = agent.tool(meet).run_as::<String>("time", "meet").await.unwrap_err();
    let words = r#"task "time" failed: no answer within 0.1 s of work"#;
    assert_eq!(error.to_string(), words);

    let dir = tempfile::tempdir().unwrap();
    let limits = TaskLimits { tokens: Some(20), ..TaskLimits::default() };
    let agent = scout(&desk, dir.path(), &[FINISH]).limits(limits).build().await.unwrap();
    let error = agent.run::<String>("so long a goal that it takes more ".repeat(9)).await;
    let Err(AgentError::Failed { failure, .. }) = error else { panic!("{error:?}") };
    assert_eq!(failure, Failure::Tokens(20), "the model is not even asked");
}

/// Asked again, the same model would say the same again.
#[tokio::test]
async fn a_reply_too_long_to_take_down_ends_its_task_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let long = FINISH.replace("done", &"long ".repeat(40 * 1024));
    let agent = scout(&desk, dir.path(), &[&long]).build().await.unwrap();
    let error = agent.run_as::<String>("t", "go").await.unwrap_err();
    assert!(!error.is_passing(), "{error}");
    let AgentError::Failed { failure: Failure::Unreadable { text, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(text.len() < 1_000 && error.to_string().contains("at most 32768"), "{error}");
    assert!(agent.task("t").await.unwrap().unwrap().used().tokens > 0);
}

/// Why a reply does not end.
type Why = fn() -> ModelError;

/// Begins a reply and does not end it.
#[derive(Debug)]
struct Breaking(ModelInfo, Why, &'static str);

#[async_trait]
impl Model for Breaking {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        Ok(text.len())
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        request.sink.iter().for_each(|sink| sink.tell(Delta::Text(self.2.to_owned())));
        Err((self.1)())
    }
}

#[tokio::test]
async fn what_a_thought_that_fails_has_read_and_written_counts_over_the_runs_of_its_task() {
    let broken = || ModelError::Remote("its reply broke off".to_owned());
    let cases: [(Why, _, bool); 4] = [
        (broken, "{\"tool\":", true),
        (|| ModelError::Constraint("no JSON".to_owned()), "", true),
        (|| ModelError::Truncated { tokens: 9 }, "", true),
        (broken, "", false),
    ];
    for (error, told, counts) in cases {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::permitting(&[], &[]));
        let info = Scripted::new([""]).info().clone();
        let model = Arc::new(Breaking(info, error, told));
        let build = || Agent::builder("scout").model(model.clone()).steward(desk.clone());
        let agent = build().mind_dir(dir.path()).build().await.unwrap();
        let run =
            |agent: Agent| async move { agent.run_as::<String>("t", "go").await.unwrap_err() };
        assert!(matches!(run(agent.clone()).await, AgentError::Model(_)));
        let used = agent.task("t").await.unwrap().map(|task| task.used().tokens);
        let reply =
            told.len().max(if matches!(error(), ModelError::Truncated { .. }) { 9 } else { 1 });
        // The goal is a part of the prompt.
        assert_eq!(
            used.is_some_and(|used| used >= (reply + "go".len()) as u64),
            counts,
            "{used:?}"
        );
        drop(agent);
        let limits = TaskLimits { tokens: used.map(|used| used + 1), ..TaskLimits::default() };
        let agent = build().mind_dir(dir.path()).limits(limits).build().await.unwrap();
        let again = run(agent).await;
        let over = matches!(&again, AgentError::Failed { failure: Failure::Tokens(_), .. });
        assert_eq!(over, counts, "{again}");
    }
}

#[tokio::test]
async fn a_watched_run_tells_its_events_with_the_tokens_and_ends_with_the_typed_answer() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    let call = r#"{"tool":"add","args":{"first":1,"second":2}}"#;
    let finish = r#"{"tool":"finish","args":{"answer":3}}"#;
    let agent = agent(&desk, dir.path(), &[call, finish]).await.tool(add);
    let other = agent.clone();
    let mut run = agent.run_stream::<u32>("add");
    let mut told = Vec::new();
    let mut text = String::new();
    while let Some(event) = run.next().await {
        told.push(match event {
            Event::Thinking { step, .. } => {
                // Somebody else's events are not of this run.
                let _: u32 = other.run_as(&format!("other-{step}"), "add").await.unwrap();
                "thinking"
            }
            Event::Text { text: piece, .. } => {
                text.push_str(&piece);
                "text"
            }
            Event::Thought { usage, .. } => {
                assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
                "thought"
            }
            Event::Call { .. } => "call",
            Event::Result { .. } => "result",
            Event::Answer { .. } => "answer",
            other => panic!("{other:?}"),
        });
    }
    let step = ["thinking", "text", "thought"];
    let expected = [&step[..], &["call", "result"], &step[..], &["answer"]].concat();
    assert_eq!(told, expected);
    assert_eq!(text, format!("{call}{finish}"));
    let task = run.task().unwrap().to_owned();
    assert_eq!(run.answer().await.unwrap(), 3);
    assert!(agent.task(&task).await.unwrap().unwrap().is_over());
}

#[tokio::test]
async fn a_watched_run_that_is_dropped_can_be_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add", "add_twice"], &[]));
    let script = [r#"{"tool":"add_twice","args":{"number":7}}"#, FINISH];
    let agent = agent(&desk, dir.path(), &script).await.tool(add).tool(add_twice);
    let mut run = agent.run_stream::<String>("add");
    while let Some(event) = run.next().await {
        if matches!(event, Event::Result { .. }) {
            break;
        }
    }
    let first = run.task().unwrap().to_owned();
    drop(run);
    let run = agent.run_stream::<String>("add");
    assert_eq!(run.answer().await.unwrap(), "done");
    let task = agent.task(&first).await.unwrap().unwrap();
    assert!(task.is_over(), "the same task was taken up");
}

#[tokio::test]
async fn a_model_that_can_call_several_tools_is_told_so_only_where_tools_are_independent() {
    use marque_models::{Constraint, Generation, Model, ModelError, ModelInfo, Request};

    #[derive(Debug)]
    struct Asked(Scripted, ModelInfo, Mutex<Vec<Request>>);

    #[async_trait]
    impl Model for Asked {
        fn info(&self) -> &ModelInfo {
            &self.1
        }

        fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
            self.0.count_tokens(text)
        }

        async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
            self.2.lock().unwrap().push(request.clone());
            self.0.generate(request).await
        }
    }

    for (built_in, independent) in [(false, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::permitting(&["meet"], &[]));
        let script = Scripted::new([FINISH]);
        let info = ModelInfo { built_in, ..script.info().clone() };
        let model = Arc::new(Asked(script, info, Mutex::default()));
        let agent = scout(&desk, dir.path(), &[]).model(model.clone()).build().await.unwrap();
        let _: String = agent.tool(Meet::of(1, independent)).run("meet").await.unwrap();
        let asked = model.2.lock().unwrap();
        let Constraint::JsonSchema(schema) = &asked[0].constraint else { panic!() };
        let several = independent && !built_in;
        assert_eq!(schema.to_string().contains(r#""calls""#), several);
        assert_eq!(asked[0].messages[0].content.contains(r#"{"calls":["#), several);
        let tools: Vec<_> = asked[0].tools.iter().map(|tool| tool.name.as_str()).collect();
        match built_in {
            true => assert_eq!(tools, ["meet", "finish"]),
            false => assert_eq!(tools, ["meet"]),
        }
        let first = &asked[0].messages[0].content;
        assert_eq!(first == "meet", built_in, "the built-in model is told the goal alone");
    }
}
