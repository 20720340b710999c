//! What a program of one's own meets: an agent that is open twice, a tool that nobody permits, a model
//! at a loss, what a task has cost, limits of its own, and recordings with accounts below.

use crate::{
    desk::{Desk, Say},
    scout,
    tools::{Feed, read},
};
use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use marque_agent_core::{
    Agent, AgentError, Cx, Event, TaskLimits, ToolError, notice, task::Failure,
};
use marque_macros::tool;
use marque_models::{Generation, Model, ModelError, ModelInfo, Request, Role, Scripted};
use marque_policies::{AssetId, Money};
use marque_steward_client::AssetView;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Looks at a place.
#[tool(crate = marque_agent_core)]
async fn look(_cx: &Cx) -> Result<String, ToolError> {
    Ok("windy".to_owned())
}

/// Looks at the sea.
#[tool(crate = marque_agent_core)]
async fn look_out(_cx: &Cx) -> Result<String, ToolError> {
    Ok("waves".to_owned())
}

const LOOK: &str = r#"{"tool":"look","args":{}}"#;
const ASK: &str = r#"{"tool":"ask_helper","args":{"goal":"how is it?"}}"#;
const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

/// A scripted model that passes for the built-in one, or has a script for a second goal.
#[derive(Debug)]
struct Mind {
    info: ModelInfo,
    script: Scripted,
    below: Scripted,
}

impl Mind {
    fn new(script: &[&str], below: &[&str], built_in: bool) -> Arc<Self> {
        let script = Scripted::new(script.iter().copied());
        let info = ModelInfo { built_in, ..script.info().clone() };
        Arc::new(Self { info, script, below: Scripted::new(below.iter().copied()) })
    }
}

#[async_trait]
impl Model for Mind {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.script.count_tokens(text)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let goal = request.messages.iter().find(|message| message.role == Role::User).unwrap();
        let script = if goal.content == "how is it?" { &self.below } else { &self.script };
        script.generate(request.clone()).await
    }
}

#[tokio::test]
async fn an_agent_that_is_open_already_is_said_to_be_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let first = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
    let error = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap_err();
    assert!(matches!(&error, AgentError::AtWork(name) if name == "scout"), "{error}");
    let words = error.to_string();
    assert!(words.contains("at work already") && !words.contains("aside"), "{words}");
    drop(first);
    scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
}

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[tokio::test]
async fn a_tool_that_the_policy_does_not_permit_is_told_of_once() {
    notice::tell(|line| TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["look"], &[]));
    let agent = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
    let agent = agent.tool(look).tool(look_out);
    let _: String = agent.run("first").await.unwrap();
    let _: String = agent.clone().run("second").await.unwrap();
    let lines = |of: &str| {
        let told = TOLD.lock().unwrap();
        told.iter().filter(|line| line.contains(of)).cloned().collect::<Vec<_>>()
    };
    let told = lines("\"look_out\"");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("[[tool]] and name = \"look_out\""), "{told:?}");

    // One that need not be permitted is not missed.
    let dir = tempfile::tempdir().unwrap();
    let agent = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap().spare_tool(look_out);
    let _: String = agent.run("third").await.unwrap();
    assert_eq!(lines("\"look_out\"").len(), 1);
}

#[tokio::test]
async fn the_built_in_model_at_a_loss_is_an_error_and_no_answer() {
    let lost = r#"{"tool":"finish","args":{"answer":"no tool for this"}}"#;
    for built_in in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::permitting(&[], &[]));
        let mind = Mind::new(&[lost], &[], built_in);
        let agent = scout(&desk, dir.path(), &[]).model(mind).build().await.unwrap();
        let answer = agent.run_as::<String>("t", "compose a symphony").await;
        if built_in {
            let error = answer.unwrap_err();
            assert!(matches!(&error, AgentError::AtALoss(task) if task == "t"), "{error}");
            assert!(!error.is_passing());
        } else {
            // Of another model these are words like others.
            assert_eq!(answer.unwrap(), "no tool for this");
        }
    }
}

#[tokio::test]
async fn limits_of_the_programs_own_are_those_of_its_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["look"], &[]));
    let script = [LOOK, FINISH];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(look);
    let strict = agent.clone().limits(TaskLimits { steps: 0, ..TaskLimits::default() });
    let ended = strict.run::<String>("look around").await;
    let Err(AgentError::Failed { failure, .. }) = ended else { panic!("{ended:?}") };
    assert!(matches!(failure, Failure::Steps(0)), "{failure}");
    let _: String = agent.run("look around").await.unwrap();
}

#[tokio::test]
async fn a_task_that_is_taken_up_takes_on_limits_that_are_lower_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["look", "look_out"], &[]));
    desk.says("look", [Say::Hold]);
    let script = [LOOK, r#"{"tool":"look_out","args":{}}"#, FINISH];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let agent = agent.tool(look).tool(look_out);
    let held = agent.run_as::<String>("trip", "look around").await.unwrap_err();
    assert!(matches!(held, AgentError::Held { .. }), "{held}");
    let strict = agent.limits(TaskLimits { steps: 1, ..TaskLimits::default() });
    let ended = strict.run_as::<String>("trip", "look around").await;
    let Err(AgentError::Failed { failure, .. }) = ended else { panic!("{ended:?}") };
    assert!(matches!(failure, Failure::Steps(1)), "{failure}");
}

#[tokio::test]
async fn what_was_paid_is_told_and_counted_when_a_recording_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let id = AssetId { chain: 1, token: Address::repeat_byte(1) };
    let (name, decimals) = ("USDC".to_owned(), 6);
    desk.change(|view| view.assets = vec![AssetView { name, id, decimals, domain: None }]);
    let recording = dir.path().join("run.jsonl");
    let (call, real) = (feed.call("read", "1"), dir.path().join("real"));
    let agent = scout(&desk, &real, &[&call, FINISH]).record(&recording);
    let agent = agent.build().await.unwrap().tool(read);
    let _: String = agent.run("how windy?").await.unwrap();

    // As if the feed had been paid for both answers.
    let paid = json!({
        "id": B256::repeat_byte(7), "payee": "feed", "to": Address::ZERO,
        "amount": Money::new(U256::from(20_000), id), "charged": null, "transaction": null,
    });
    let lines = std::fs::read_to_string(&recording).unwrap();
    let free = r#""ok":{"status":200,"#;
    assert_eq!(lines.matches(free).count(), 2);
    std::fs::write(&recording, lines.replace(free, &format!("{free}\"paid\":{paid},"))).unwrap();
    let again = Agent::replaying("scout", &recording, dir.path().join("again")).await.unwrap();
    let again = again.tool(read);
    let mut events = again.events();
    let _: String = again.run_as("trip", "how windy?").await.unwrap();
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        told += usize::from(matches!(event, Event::Paid { .. }));
    }
    assert_eq!((told, again.cost("trip").await.unwrap().to_string()), (2, "0.04 USDC".to_owned()));
}

#[tokio::test]
async fn a_watched_run_can_have_a_name_and_be_taken_up_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["look"], &[]));
    let agent = scout(&desk, dir.path(), &[LOOK, FINISH]).build().await.unwrap().tool(look);
    let mut run = agent.run_stream_as::<String>("trip", "look around");
    run.next().await.unwrap();
    assert_eq!(run.task(), Some("trip"));
    drop(run);
    assert_eq!(agent.resume_stream::<String>("trip").answer().await.unwrap(), "done");
    let error = agent.resume_stream::<String>("never").answer().await.unwrap_err();
    assert!(matches!(error, AgentError::NoTask(_)), "{error}");
}

#[tokio::test]
async fn an_agent_with_an_account_below_it_is_recorded_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask_helper", "look"], &[]));
    let below = Arc::new(Desk::permitting(&["look"], &[]));
    // Its tools have to be told apart from the agent's: a view of its own.
    below.change(|view| view.sub_agent = Some("helper".to_owned()));
    let recording = dir.path().join("run.jsonl");
    let agent = scout(&desk, &dir.path().join("real"), &[])
        .model(Mind::new(&[LOOK, ASK, FINISH], &[LOOK, FINISH], false))
        .record(&recording)
        .build()
        .await
        .unwrap();
    let tools = |agent: Agent, helper: Agent| {
        agent.tool(look).tool(helper.tool(look).as_tool("ask_helper", "ask the helper"))
    };
    let helper = agent.as_account("helper", below.clone());
    let _: String = tools(agent, helper).run("sail?").await.unwrap();
    assert_eq!(below.proposals.lock().unwrap().len(), 1);

    let proposals = desk.proposals.lock().unwrap().len();
    let again = Agent::replaying("scout", &recording, dir.path().join("again")).await.unwrap();
    let helper = again.sub_agent("helper").await.unwrap();
    assert_eq!(helper.view().await.unwrap_err().to_string().matches("has no answer").count(), 1);
    assert_eq!(tools(again, helper).run::<String>("sail?").await.unwrap(), "done");
    assert_eq!(below.proposals.lock().unwrap().len(), 1, "nobody is asked");
    assert_eq!(desk.proposals.lock().unwrap().len(), proposals);

    // What has changed since is told.
    let other = Agent::replaying("scout", &recording, dir.path().join("goal")).await.unwrap();
    let helper = other.sub_agent("helper").await.unwrap();
    let error = tools(other, helper).run::<String>("stay?").await.unwrap_err().to_string();
    assert!(error.contains("has no answer to") && error.contains("\"stay?\""), "{error}");
    let other = Agent::replaying("scout", &recording, dir.path().join("tool")).await.unwrap();
    let helper = other.sub_agent("helper").await.unwrap().tool(look);
    let agent = other.tool(look).tool(helper.as_tool("ask_helper", "ask the new helper"));
    let error = agent.run::<String>("sail?").await.unwrap_err().to_string();
    assert!(
        error.contains("ask_helper ask the new") && error.contains("ask the helper"),
        "{error}"
    );

    // An account that was not there when it was recorded has nothing to say.
    let other = Agent::replaying("scout", &recording, dir.path().join("other")).await.unwrap();
    let stranger = other.sub_agent("stranger").await.unwrap();
    let error = stranger.tool(look).run::<String>("how is it?").await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains("has no answer to") && !words.contains("remote"), "{words}");
}
