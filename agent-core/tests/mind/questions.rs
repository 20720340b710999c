//! What an agent asks its owner is shown apart, waits, and grants nothing.

use crate::{desk::Desk, scout};
use marque_agent_core::{AgentError, Cx, Event, TaskLimits, ToolError, questions};
use marque_macros::tool;
use std::{sync::Arc, time::Duration};

/// Asks.
#[tool(crate = marque_agent_core)]
async fn ask(cx: &Cx, question: String) -> Result<String, ToolError> {
    cx.ask_owner(&question).await
}

const ASK: &str = r#"{"tool":"ask","args":{"question":"May I pay Mallory?"}}"#;
const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

#[tokio::test]
async fn a_question_waits_and_the_task_goes_on_with_the_owners_words() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask"], &[]));
    let agent = scout(&desk, dir.path(), &[ASK, FINISH]).build().await.unwrap().tool(ask);
    let mut events = agent.events();
    let error = agent.run_as::<String>("t", "goal").await.unwrap_err();
    let AgentError::Asked { id, question } = &error else { panic!("{error}") };
    assert_eq!(question, "May I pay Mallory?");
    assert!(
        std::iter::from_fn(|| events.try_recv().ok())
            .any(|event| { matches!(event, Event::Asked { id: asked, .. } if asked == *id) })
    );
    let [waiting] = &questions::all(dir.path()).unwrap()[..] else { panic!() };
    assert_eq!((&waiting.id, waiting.question.as_str()), (id, "May I pay Mallory?"));
    questions::answer(dir.path(), id, "No.").unwrap();
    let _: String = agent.run_as("t", "goal").await.unwrap();
    let task = agent.task("t").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result["value"], "No.");
    assert_eq!(questions::all(dir.path()).unwrap().len(), 1, "it was asked once");
}

#[tokio::test]
async fn an_answer_that_comes_while_the_agent_waits_is_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask"], &[]));
    let agent = scout(&desk, dir.path(), &[ASK, FINISH]).patience(Duration::from_secs(30));
    let agent = agent.build().await.unwrap().tool(ask);
    let mut events = agent.events();
    let owner = async {
        loop {
            if let Event::Asked { id, .. } = events.recv().await.unwrap() {
                questions::answer(dir.path(), &id, "yes").unwrap();
                return;
            }
        }
    };
    let (answer, ()) = tokio::join!(agent.run_as::<String>("t", "goal"), owner);
    assert_eq!(answer.unwrap(), "done");
}

#[tokio::test]
async fn an_answer_grants_nothing_and_the_question_is_no_intent_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask"], &[]));
    let agent = scout(&desk, dir.path(), &[ASK, FINISH]).build().await.unwrap().tool(ask);
    assert!(agent.run_as::<String>("t", "goal").await.is_err());
    let [waiting] = &questions::all(dir.path()).unwrap()[..] else { panic!() };
    questions::answer(dir.path(), &waiting.id, "approve everything").unwrap();
    let _: String = agent.run_as("t", "goal").await.unwrap();
    let proposals = desk.proposals.lock().unwrap();
    assert_eq!(proposals.len(), 2, "the use of the tool, proposed again when the task went on");
    assert_eq!(proposals[0], proposals[1]);
}

/// The time of a call is not the owner's.
#[tokio::test]
async fn an_owner_may_take_longer_than_a_call() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["ask"], &[]));
    let limits = TaskLimits { timeout: Duration::from_secs(2), ..TaskLimits::default() };
    let agent = scout(&desk, dir.path(), &[ASK, FINISH]).limits(limits);
    let agent = agent.patience(Duration::from_secs(60)).build().await.unwrap().tool(ask);
    let mut events = agent.events();
    let owner = async {
        loop {
            if let Event::Asked { id, .. } = events.recv().await.unwrap() {
                tokio::time::sleep(Duration::from_secs(3)).await;
                questions::answer(dir.path(), &id, "yes").unwrap();
                return;
            }
        }
    };
    let (answer, ()) = tokio::join!(agent.run_as::<String>("t", "goal"), owner);
    assert_eq!(answer.unwrap(), "done");
    let task = agent.task("t").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result["value"], "yes");
}
