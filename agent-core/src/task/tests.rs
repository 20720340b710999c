//! The step machine by itself.

use super::*;
use serde_json::json;

fn limits() -> TaskLimits {
    TaskLimits { steps: 4, repeats: 3, ..TaskLimits::default() }
}

fn task() -> Task {
    Task::new("t", "what is it?", limits()).unwrap()
}

fn think(task: &mut Task, text: &str) {
    task.feed(Feed::Thought { text: text.to_owned(), tokens: 10 }, Duration::ZERO).unwrap();
}

fn observe(task: &mut Task, result: Value) {
    observe_at(task, task.step(), result);
}

fn observe_at(task: &mut Task, step: u32, result: Value) {
    let labels = Labels::default();
    task.feed(Feed::Observed { step, result, labels }, Duration::from_secs(1)).unwrap();
}

fn said(task: &Task) -> Vec<String> {
    task.messages(None).into_iter().map(|message| message.content).collect()
}

const FETCH: &str = r#"{"tool":"fetch_data","args":{"url":"https://a.example/"}}"#;
const LOOK: &str = r#"{"tool":"look","args":{}}"#;
const BOTH: &str = r#"{"calls":[{"tool":"fetch_data","args":{"url":"https://a.example/"}},{"tool":"look","args":{}}]}"#;

#[test]
fn a_task_thinks_acts_observes_and_ends_with_the_arguments_of_finish() {
    let mut task = task();
    assert_eq!(task.next(), Want::Think);
    think(&mut task, FETCH);
    let Want::Act(due) = task.next() else { panic!("{task:?}") };
    assert_eq!((due.len(), due[0].0, due[0].1.tool.as_str()), (1, 0, "fetch_data"));
    observe(&mut task, json!({"value": "7"}));
    assert_eq!(task.next(), Want::Think);
    assert_eq!(said(&task), ["what is it?", FETCH, r#"{"value":"7"}"#]);
    think(&mut task, r#"{"tool":"finish","args":{"answer":"value is 7"}}"#);
    let Want::Done(answer) = task.next() else { panic!("{task:?}") };
    assert_eq!(answer["answer"], "value is 7");
    assert_eq!(task.used(), Used { tokens: 20, time: Duration::from_secs(1) });
}

#[test]
fn calls_of_one_reply_are_steps_of_their_own_and_join_the_conversation_together_in_order() {
    let mut task = task();
    think(&mut task, BOTH);
    let places = |task: &Task| match task.next() {
        Want::Act(due) => due.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(places(&task), [0, 1]);
    let web = Labels::default().with(Label::Web("a.example".to_owned()));
    let feed = Feed::Observed { step: 1, result: json!({"n": 2}), labels: web.clone() };
    task.feed(feed.clone(), Duration::ZERO).unwrap();
    let task = &mut Task::from_bytes(&task.to_bytes().unwrap()).unwrap();
    assert_eq!(places(task), [0], "what is back is not wanted again");
    assert!(task.feed(feed, Duration::ZERO).is_err(), "nor taken twice");
    assert!(!task.labels().0.contains(&Label::Web("a.example".to_owned())), "the other's ids");
    observe_at(task, 0, json!({"n": 1}));
    assert!(task.labels().0.is_superset(&web.0));
    assert_eq!(said(task), ["what is it?", BOTH, r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(task.step(), 2);
    think(task, FETCH);
    assert_eq!(places(task), [2]);
}

#[test]
fn a_task_that_is_written_down_and_read_again_wants_the_same() {
    let mut task = task();
    let thought = |text: &str| Feed::Thought { text: text.to_owned(), tokens: 1 };
    for feed in [
        thought(FETCH),
        Feed::Observed { step: 0, result: json!({"error": "gone"}), labels: Labels::default() },
        thought("nonsense"),
    ] {
        let again = Task::from_bytes(&task.to_bytes().unwrap()).unwrap();
        assert_eq!(again, task);
        assert_eq!(again.next(), task.next());
        task.feed(feed, Duration::ZERO).unwrap();
    }
}

#[test]
fn the_third_equal_call_is_not_made() {
    let mut task = task();
    for _ in 0..2 {
        think(&mut task, FETCH);
        observe(&mut task, json!({"error": "gone"}));
    }
    think(&mut task, FETCH);
    assert!(matches!(task.next(), Want::Failed(Failure::Repeated(_))));
}

#[test]
fn calls_that_go_to_and_fro_with_the_same_results_end_before_the_third_round() {
    let limits = TaskLimits { steps: 16, repeats: 9, ..limits() };
    let mut going = Task::new("t", "g", limits.clone()).unwrap();
    for round in 0..2 {
        for call in [FETCH, LOOK] {
            think(&mut going, call);
            observe(&mut going, json!({"round": round}));
        }
    }
    think(&mut going, FETCH);
    assert!(matches!(going.next(), Want::Act(_)), "results that change are no circle");

    let mut circling = Task::new("t", "g", limits).unwrap();
    for call in [FETCH, LOOK, FETCH, LOOK] {
        think(&mut circling, call);
        observe(&mut circling, json!({"error": "gone"}));
    }
    let mut other = circling.clone();
    think(&mut other, r#"{"tool":"look","args":{"at":"it"}}"#);
    assert!(matches!(other.next(), Want::Act(_)), "something else is a way out");
    think(&mut circling, FETCH);
    let Want::Failed(failure) = circling.next() else { panic!("{circling:?}") };
    let words = format!("the model goes round in a circle: {FETCH}, {LOOK}");
    assert_eq!(failure.to_string(), words);
}

#[test]
fn a_task_without_an_answer_gives_up_after_its_steps() {
    let mut task = task();
    for n in 0..4 {
        think(&mut task, &format!(r#"{{"tool":"fetch_data","args":{{"url":"{n}"}}}}"#));
        observe(&mut task, json!({}));
    }
    let mut late = task.clone();
    think(&mut task, r#"{"tool":"fetch_data","args":{"url":"5"}}"#);
    assert_eq!(task.next(), Want::Failed(&Failure::Steps(4)));
    think(&mut late, r#"{"tool":"finish","args":{}}"#);
    assert!(matches!(late.next(), Want::Done(_)), "an answer is no step");
}

#[test]
fn several_calls_at_once_count_as_several_steps() {
    let mut task = Task::new("t", "g", TaskLimits { steps: 1, ..limits() }).unwrap();
    think(&mut task, BOTH);
    assert_eq!(task.next(), Want::Failed(&Failure::Steps(1)));
}

#[test]
fn a_task_ends_with_its_tokens_or_its_time_also_over_several_runs() {
    let limited = |tokens, time| TaskLimits { tokens, time, ..limits() };
    let mut task = Task::new("t", "g", limited(Some(20), None)).unwrap();
    think(&mut task, FETCH);
    observe(&mut task, json!({}));
    let mut task = Task::from_bytes(&task.to_bytes().unwrap()).unwrap();
    think(&mut task, LOOK);
    assert_eq!(task.next(), Want::Failed(&Failure::Tokens(20)), "nothing is done any more");

    let second = Duration::from_secs(1);
    let mut task = Task::new("t", "g", limited(None, Some(second))).unwrap();
    think(&mut task, FETCH);
    observe(&mut task, json!({}));
    assert_eq!(task.next(), Want::Failed(&Failure::Time(second)));

    let mut task = Task::new("t", "g", limited(Some(5), None)).unwrap();
    think(&mut task, r#"{"tool":"finish","args":{}}"#);
    assert!(matches!(task.next(), Want::Done(_)), "an answer that came is an answer");
}

#[test]
fn a_checkpoint_keeps_the_goal_and_the_newest_turn_and_stays_until_the_next() {
    let mut task = Task::new("t", "g", TaskLimits { steps: 99, ..limits() }).unwrap();
    assert!(!task.summarise(1_000), "there is nothing to leave out");
    for n in 0..6 {
        think(&mut task, &format!(r#"{{"tool":"fetch_data","args":{{"url":"{n}"}}}}"#));
        observe(&mut task, json!({"value": "x".repeat(50)}));
    }
    let newest = said(&task).split_off(11);
    assert!(task.summarise(400));
    let short = said(&task);
    assert_eq!(short.len(), 5);
    assert_eq!((short[0].as_str(), &short[3..]), ("g", newest.as_slice()));
    assert!(short[2].len() <= 400 && short[2].contains("fetch_data"), "{}", short[2]);
    let mut task = Task::from_bytes(&task.to_bytes().unwrap()).unwrap();
    think(&mut task, FETCH);
    observe(&mut task, json!({}));
    assert_eq!(said(&task)[..5], short, "what was computed is only added to");
    assert_eq!(task.steps().len(), 7, "the steps themselves stay");
}

#[test]
fn a_reply_that_is_no_call_ends_the_task_and_says_so() {
    let mut task = task();
    think(&mut task, "I would rather not");
    let Want::Failed(failure) = task.next() else { panic!("{task:?}") };
    assert!(failure.to_string().contains("I would rather not"), "{failure}");
}

#[test]
fn what_was_not_asked_for_changes_nothing() {
    let mut task = task();
    let before = task.clone();
    let result = Feed::Observed { step: 0, result: json!({}), labels: Labels::default() };
    assert!(task.feed(result, Duration::ZERO).is_err());
    assert_eq!(task, before);
    think(&mut task, FETCH);
    let before = task.clone();
    for step in [1, u32::MAX] {
        let result = Feed::Observed { step, result: json!({}), labels: Labels::default() };
        assert!(task.feed(result, Duration::ZERO).is_err());
    }
    let thought = Feed::Thought { text: LOOK.to_owned(), tokens: 1 };
    assert!(task.feed(thought, Duration::ZERO).is_err());
    assert_eq!(task, before);
}
