//! Goals below goals, and agents as tools of others.

use crate::{
    desk::{Desk, Say},
    scout,
};
use marque_agent_core::{Agent, AgentError, Cx, TaskLimits, ToolError};
use marque_macros::tool;
use marque_models::{Generation, Model, ModelError, ModelInfo, Request, Role, Scripted};
use marque_policies::{Intent, Label};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::{path::Path, sync::Arc};

const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

/// Replies by goal.
#[derive(Debug)]
struct Minds(Vec<(&'static str, Scripted)>);

impl Minds {
    fn of(minds: &[(&'static str, &[&str])]) -> Arc<Self> {
        let scripts =
            minds.iter().map(|(goal, script)| (*goal, Scripted::new(script.iter().copied())));
        Arc::new(Self(scripts.collect()))
    }
}

#[async_trait::async_trait]
impl Model for Minds {
    fn info(&self) -> &ModelInfo {
        self.0[0].1.info()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.0[0].1.count_tokens(text)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let goal = request.messages.iter().find(|message| message.role == Role::User).unwrap();
        let (_, script) = self.0.iter().find(|(of, _)| *of == goal.content).unwrap();
        script.generate(request.clone()).await
    }
}

#[derive(Deserialize, JsonSchema)]
struct Wind {
    knots: u32,
}

/// Finds out about the wind.
#[tool(crate = marque_agent_core)]
async fn forecast(cx: &Cx, place: String) -> Result<String, AgentError> {
    let wind: Wind = cx.agent().run(format!("wind at {place}")).await?;
    Ok(format!("{} kn", wind.knots))
}

/// Looks at a place.
#[tool(crate = marque_agent_core)]
async fn look(cx: &Cx) -> Result<String, ToolError> {
    cx.keep("seen.txt", b"seen")?;
    Ok("windy".to_owned())
}

/// Digs deeper.
#[tool(crate = marque_agent_core)]
async fn dig(cx: &Cx) -> Result<String, AgentError> {
    cx.agent().run("dig").await
}

const FORECAST: &str = r#"{"tool":"forecast","args":{"place":"Horta"}}"#;
const LOOK: &str = r#"{"tool":"look","args":{}}"#;
const KNOTS: &str = r#"{"tool":"finish","args":{"knots":14}}"#;

async fn sailor(desk: &Arc<Desk>, dir: &Path) -> Agent {
    let minds = Minds::of(&[("sail?", &[FORECAST, FINISH]), ("wind at Horta", &[LOOK, KNOTS])]);
    let agent = scout(desk, dir, &[]).model(minds).build().await.unwrap();
    agent.tool(forecast).tool(look)
}

#[tokio::test]
async fn a_tool_pursues_a_typed_goal_as_a_task_below_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
    let agent = sailor(&desk, dir.path()).await;
    let _: String = agent.run_as("trip", "sail?").await.unwrap();
    let task = agent.task("trip").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result, json!({ "value": "14 kn" }));
    let below = agent.task("trip/0.0").await.unwrap().unwrap();
    assert_eq!(below.goal(), "wind at Horta");
    assert!(below.labels().0.contains(&Label::Model), "a model had asked for it");
    let proposals = desk.proposals.lock().unwrap();
    let asked: Vec<_> = proposals.iter().map(|it| (it.task.as_str(), it.step)).collect();
    assert_eq!(asked, [("trip", 0), ("trip/0.0", 0)]);
}

#[tokio::test]
async fn a_task_that_is_taken_up_again_takes_up_the_task_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
    let answer = sailor(&desk, dir.path()).await.run_as::<String>("trip", "sail?").await.unwrap();
    let questions = desk.questions();
    let whole = desk.proposals.lock().unwrap().clone();
    for edge in 0..2 * questions {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
        desk.falls_silent_at(Some(edge));
        let agent = sailor(&desk, dir.path()).await;
        tokio::select! {
            answer = agent.run_as::<String>("trip", "sail?") => panic!("{edge}: {answer:?}"),
            () = desk.silent.notified() => {}
        }
        drop(agent);
        desk.falls_silent_at(None);
        let agent = sailor(&desk, dir.path()).await;
        assert_eq!(agent.run_as::<String>("trip", "sail?").await.unwrap(), answer, "edge {edge}");
        let mut proposals = desk.proposals.lock().unwrap().clone();
        proposals.dedup();
        for proposal in proposals {
            assert!(whole.contains(&proposal), "edge {edge}: {proposal:?}");
        }
    }
}

#[tokio::test]
async fn a_goal_below_that_waits_for_the_owner_ends_the_run_of_the_one_above() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
    desk.says("look", [Say::Hold]);
    let agent = sailor(&desk, dir.path()).await;
    let error = agent.run_as::<String>("trip", "sail?").await.unwrap_err();
    assert!(matches!(error, AgentError::Held { .. }), "{error}");
    assert!(agent.task("trip").await.unwrap().unwrap().steps().is_empty());
    let _: String = agent.run_as("trip", "sail?").await.unwrap();
}

#[tokio::test]
async fn a_goal_below_that_fails_is_told_to_the_model_above() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast"], &[]));
    let minds = Minds::of(&[("sail?", &[FORECAST, FINISH]), ("wind at Horta", &["no idea"])]);
    let agent = scout(&desk, dir.path(), &[]).model(minds).build().await.unwrap().tool(forecast);
    let _: String = agent.run_as("trip", "sail?").await.unwrap();
    let task = agent.task("trip").await.unwrap().unwrap();
    let error = task.steps()[0].result["error"].as_str().unwrap();
    assert!(error.contains("the model wrote no call"), "{error}");
}

#[tokio::test]
async fn goals_cannot_lie_below_each_other_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["dig"], &[]));
    let minds = Minds::of(&[("dig", &[r#"{"tool":"dig","args":{}}"#, FINISH])]);
    let agent = scout(&desk, dir.path(), &[]).model(minds).build().await.unwrap().tool(dig);
    let _: String = agent.run_as("top", "dig").await.unwrap();
    let deepest = agent.task("top/0.0/0.0/0.0/0.0").await.unwrap().unwrap();
    let error = deepest.steps()[0].result["error"].as_str().unwrap();
    assert_eq!(error, "a goal below a goal may lie 4 deep, and this one lies deeper");
}

#[tokio::test]
async fn an_agent_is_anothers_tool_under_the_account_that_it_was_opened_as() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask_helper"], &[]));
    let below = Arc::new(Desk::permitting(&["look"], &[]));
    let ask = r#"{"tool":"ask_helper","args":{"goal":"how is it?"}}"#;
    let minds = Minds::of(&[("sail?", &[ask, FINISH]), ("how is it?", &[LOOK, FINISH])]);
    let agent = scout(&desk, dir.path(), &[])
        .model(minds)
        .limits(TaskLimits::default().spend("1 USDC"))
        .build()
        .await
        .unwrap();
    let helper = agent.as_account("helper", below.clone()).tool(look);
    let agent = agent.tool(helper.as_tool("ask_helper", "ask the helper"));
    let answer: String = agent.run_as("trip", "sail?").await.unwrap();
    assert_eq!(answer, "done");
    let tool = |desk: &Desk| {
        let proposals = desk.proposals.lock().unwrap();
        let Intent::Tool(used) = &proposals[0].intent else { panic!() };
        (proposals.len(), proposals[0].task.clone(), used.tool.clone())
    };
    assert_eq!(tool(&desk), (1, "trip".to_owned(), "ask_helper".to_owned()));
    assert_eq!(tool(&below), (1, "trip/0.0".to_owned(), "look".to_owned()));
}

#[tokio::test]
async fn tokens_below_count_above_and_a_goal_below_has_no_more_than_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
    let agent = sailor(&desk, dir.path()).await;
    let _: String = agent.run_as("trip", "sail?").await.unwrap();
    let tokens = async |id: &str| agent.task(id).await.unwrap().unwrap().used().tokens;
    let (all, below) = (tokens("trip").await, tokens("trip/0.0").await);
    assert!(below > 0 && all > below, "{all} with {below} below");

    let dir = tempfile::tempdir().unwrap();
    let minds = Minds::of(&[("sail?", &[FORECAST, FINISH]), ("wind at Horta", &[LOOK, KNOTS])]);
    let limits = TaskLimits { tokens: Some(all - 1), ..TaskLimits::default() };
    let agent = scout(&desk, dir.path(), &[]).model(minds).limits(limits).build().await.unwrap();
    let agent = agent.tool(forecast).tool(look);
    let ended = agent.run_as::<String>("trip", "sail?").await;
    assert!(ended.unwrap_err().to_string().contains("no answer within"), "{all}");
    let below = agent.task("trip/0.0").await.unwrap().unwrap();
    assert!(below.limits().tokens.unwrap() < all - 1, "{:?}", below.limits());
}

/// What a task above has left behind is its own, and not the beginning of the owner's next wish.
#[tokio::test]
async fn a_goal_of_the_owner_takes_up_no_task_below_another() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["forecast", "look"], &[]));
    desk.says("look", [Say::Hold]);
    let agent = sailor(&desk, dir.path()).await;
    assert!(agent.run_as::<String>("trip", "sail?").await.is_err());
    assert!(!agent.task("trip/0.0").await.unwrap().unwrap().is_over());
    let Ok(Wind { knots }) = agent.run("wind at Horta").await else { panic!() };
    assert_eq!(knots, 14);
    assert!(!agent.task("trip/0.0").await.unwrap().unwrap().is_over(), "it is as it was");
}
