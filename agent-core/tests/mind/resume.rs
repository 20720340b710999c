//! A mind that is killed goes on where it was.

use crate::{
    desk::{Desk, Say},
    scout,
    tools::{ENTERED, Feed, read},
};
use marque_agent_core::AgentError;
use marque_steward_client::Proposal;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

const FINISH: &str = r#"{"tool":"finish","args":{"answer":"value is 77"}}"#;

/// Proposals by their place, each of which must have one body only.
fn by_place(proposals: &[Proposal]) -> BTreeMap<(u32, u32, u32), Proposal> {
    let mut places = BTreeMap::new();
    for proposal in proposals {
        let place = (proposal.step, proposal.ordinal, proposal.attempt);
        let before = places.insert(place, proposal.clone());
        assert!(before.is_none_or(|before| before == *proposal), "two bodies under one id");
    }
    places
}

async fn run(desk: &Arc<Desk>, dir: &Path, task: &str, script: &[&str]) -> Option<String> {
    let agent = scout(desk, dir, script).build().await.unwrap().tool(read);
    tokio::select! {
        answer = agent.run_as::<String>(task, "read it") => Some(answer.unwrap()),
        () = desk.silent.notified() => None,
    }
}

#[tokio::test]
async fn a_mind_killed_at_any_edge_proposes_the_same_ids_and_repeats_no_result() {
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let (one, two) = (feed.call("read", "1"), feed.call("read", "2"));
    let script = [one.as_str(), two.as_str(), FINISH];

    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let answer = run(&desk, dir.path(), "edge", &script).await;
    assert_eq!(answer.as_deref(), Some("value is 77"));
    let undisturbed = by_place(&desk.proposals.lock().unwrap());
    assert_eq!(undisturbed.len(), 6);
    let questions = desk.questions();

    let mut depths = BTreeSet::new();
    for edge in 0..2 * questions {
        let dir = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
        desk.falls_silent_at(Some(edge));
        assert_eq!(run(&desk, dir.path(), "edge", &script).await, None, "edge {edge}");

        desk.falls_silent_at(None);
        let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(read);
        let kept = agent.task("edge").await.unwrap();
        let done = kept.map_or(0, |task| task.step());
        depths.insert(done);
        drop(agent);
        ENTERED.lock().unwrap().clear();
        let answer = run(&desk, dir.path(), "edge", &script).await;
        assert_eq!(answer.as_deref(), Some("value is 77"), "edge {edge}");
        let places = by_place(&desk.proposals.lock().unwrap());
        assert_eq!(places, undisturbed, "edge {edge}");
        let entered = ENTERED.lock().unwrap().clone();
        let repeated = entered.iter().any(|(task, step)| task == "edge" && *step < done);
        assert!(!repeated, "edge {edge}: {done} steps were done, and {entered:?} were entered");
    }
    assert_eq!(depths, BTreeSet::from([0, 1, 2]), "results are kept as they come");
}

/// A run that is killed when it has noted its call.
async fn killed(desk: &Desk, run: impl Future<Output = Result<String, AgentError>>) {
    desk.falls_silent_at(Some(3));
    tokio::select! {
        answer = run => panic!("{answer:?}"),
        () = desk.silent.notified() => {}
    }
    desk.falls_silent_at(None);
}

#[tokio::test]
async fn running_the_same_goal_again_takes_up_the_unfinished_task_unless_it_has_a_name_of_its_own()
{
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let call = feed.call("read", "1");
    let agent = scout(&desk, dir.path(), &[&call, FINISH]).build().await.unwrap().tool(read);
    killed(&desk, agent.run_as("queue-wind", "the goal")).await;
    killed(&desk, agent.run("the goal")).await;
    for _ in 0..2 {
        let answer: String = agent.run("the goal").await.unwrap();
        assert_eq!(answer, "value is 77");
    }
    let tasks: BTreeSet<_> =
        desk.notes.lock().unwrap().iter().map(|note| note.task.clone()).collect();
    assert_eq!(tasks.len(), 3, "the first without a name goes on, and is over then: {tasks:?}");
    // That one is for whoever knows its name.
    assert!(!agent.task("queue-wind").await.unwrap().unwrap().is_over());
    let _: String = agent.run_as("queue-wind", "the goal").await.unwrap();
    assert!(agent.task("queue-wind").await.unwrap().unwrap().is_over());
}

#[tokio::test]
async fn a_finished_task_answers_again_what_it_answered_and_asks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let agent = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
    let first: String = agent.run_as("once", "the goal").await.unwrap();
    let before = desk.questions();
    assert_eq!(agent.run_as::<String>("once", "the goal").await.unwrap(), first);
    assert_eq!(agent.resume::<String>("once").await.unwrap(), first);
    assert_eq!(desk.questions(), before);
    let error = agent.run_as::<String>("once", "another goal").await.unwrap_err();
    assert!(matches!(error, AgentError::OtherGoal { .. }), "{error}");
    let error = agent.resume::<String>("never").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no task \"never\"");
}

#[tokio::test]
async fn one_task_is_never_run_twice_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let agent = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
    desk.falls_silent_at(Some(0));
    let other = agent.clone();
    let first = tokio::spawn(async move { other.run_as::<String>("one", "goal").await });
    desk.silent.notified().await;
    let error = agent.run_as::<String>("one", "goal").await.unwrap_err();
    assert!(matches!(error, AgentError::Running(_)), "{error}");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    desk.falls_silent_at(None);
    assert_eq!(agent.run_as::<String>("one", "goal").await.unwrap(), "value is 77");
}

#[tokio::test]
async fn a_name_that_another_goal_had_before_is_said_to_be_used() {
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let script = [feed.call("read", "1"), FINISH.to_owned()];
    let script: Vec<_> = script.iter().map(String::as_str).collect();
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap().tool(read);
    // What a task of this name did before it went stands with the steward.
    desk.says("read", [Say::Allow, Say::Fault("id_reused")]);
    let error = agent.run_as::<String>("wind", "read it").await.unwrap_err();
    assert!(!error.is_passing());
    let line = "task \"wind\" failed: its name was used before, for another goal or in another way, and \
                what was asked then stands; take another name";
    assert_eq!(error.to_string(), line);
    let questions = desk.questions();
    let again = agent.run_as::<String>("wind", "read it").await.unwrap_err();
    assert_eq!((again.to_string(), desk.questions()), (line.to_owned(), questions));
}

#[tokio::test]
async fn a_call_that_is_made_again_and_asks_for_something_else_is_told_to_the_model() {
    let feed = Feed::answering("200 OK", r#"{"value":"7"}"#).await;
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["read"], &[&feed.host]));
    let one = feed.call("read", "1");
    let script = [one.as_str(), FINISH];
    // The call is written down, and the steward is asked about it.
    let mut edge = 0;
    while !desk.proposals.lock().unwrap().iter().any(|it| it.task == format!("edge-{edge}")) {
        edge += 1;
        desk.falls_silent_at(Some(2 * edge + 1));
        assert_eq!(run(&desk, dir.path(), &format!("edge-{edge}"), &script).await, None);
    }
    desk.falls_silent_at(None);
    desk.says("read", [Say::Allow, Say::Fault("id_reused")]);
    let answer = run(&desk, dir.path(), &format!("edge-{edge}"), &script).await;
    assert_eq!(answer.as_deref(), Some("value is 77"));
}

#[tokio::test]
async fn a_name_that_tasks_below_others_have_is_refused_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&[], &[]));
    let agent = scout(&desk, dir.path(), &[FINISH]).build().await.unwrap();
    for name in ["reports/2026.11", "trip/0.0", "a/b", "", "two words", "ü", &"x".repeat(129)] {
        let error = agent.run_as::<String>(name, "read it").await.unwrap_err();
        assert!(matches!(error, AgentError::TaskName(_)), "{name}: {error}");
        assert!(error.to_string().contains("no \"/\""), "{error}");
        let watched = agent.run_stream_as::<String>(name, "read it").answer().await;
        assert!(matches!(watched, Err(AgentError::TaskName(_))), "{name}");
    }
    let _: String = agent.run_as("reports-2026.11", "read it").await.unwrap();
}
