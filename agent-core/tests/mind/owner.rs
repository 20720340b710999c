//! What happens when the owner has to be asked, or the steward cannot be.

use crate::{
    desk::{Desk, Say, row},
    scout,
    tools::add,
};
use async_trait::async_trait;
use marque_agent_core::{AgentError, Cx, Event, Tool, ToolError};
use marque_net::{Method, Url};
use marque_payments::PaymentError;
use marque_policies::{IntentId, Mark};
use marque_steward_client::PaymentState;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

const ADD: &str = r#"{"tool":"add","args":{"first":1,"second":1}}"#;
const FINISH: &str = r#"{"tool":"finish","args":{"answer":"done"}}"#;

#[tokio::test]
async fn a_held_call_waits_and_goes_on_once_it_is_approved() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    desk.says("add", [Say::Hold]);
    desk.states([PaymentState::Held, PaymentState::Approved]);
    let agent =
        scout(&desk, dir.path(), &[ADD, FINISH]).patience(std::time::Duration::from_secs(30));
    let agent = agent.build().await.unwrap().tool(add);
    let mut events = agent.events();
    let answer: String = agent.run("add").await.unwrap();
    assert_eq!(answer, "done");
    let proposals = desk.proposals.lock().unwrap();
    assert_eq!(proposals.len(), 2);
    assert_eq!(proposals[0], proposals[1], "the same intent is proposed again");
    let mut held = 0;
    while let Ok(event) = events.try_recv() {
        held += usize::from(matches!(event, Event::Held { .. }));
    }
    assert_eq!(held, 1);
}

#[tokio::test]
async fn a_run_that_waits_too_long_ends_and_the_task_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    desk.says("add", [Say::Hold]);
    let agent = scout(&desk, dir.path(), &[ADD, FINISH]).build().await.unwrap().tool(add);
    let error = agent.run::<String>("add").await.unwrap_err();
    let AgentError::Held { table, .. } = &error else { panic!("{error}") };
    assert_eq!(table[0].rule, "ask.first");
    assert!(error.to_string().contains("ask.first"), "{error}");
    let answer: String = agent.run("add").await.unwrap();
    assert_eq!(answer, "done");
    let proposals = desk.proposals.lock().unwrap();
    assert_eq!(proposals.len(), 2);
    assert_eq!(proposals[0], proposals[1], "the same task was taken up");
}

#[tokio::test]
async fn what_the_owner_denies_is_told_to_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    desk.says("add", [Say::Hold]);
    desk.states([PaymentState::Denied]);
    let agent = scout(&desk, dir.path(), &[ADD, FINISH]).build().await.unwrap().tool(add);
    let _: String = agent.run_as("denied", "add").await.unwrap();
    let task = agent.task("denied").await.unwrap().unwrap();
    let expected =
        json!({ "error": "denied by the owner", "instead": "do something else, or finish" });
    assert_eq!(task.steps()[0].result, expected);
}

#[tokio::test]
async fn a_steward_that_is_away_ends_the_run_and_never_becomes_a_result() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    desk.says("add", [Say::Fault("chain")]);
    let agent = scout(&desk, dir.path(), &[ADD, FINISH]).build().await.unwrap().tool(add);
    let error = agent.run_as::<String>("away", "add").await.unwrap_err();
    assert!(matches!(error, AgentError::Steward(PaymentError::Fault(_))), "{error}");
    assert!(agent.task("away").await.unwrap().unwrap().steps().is_empty());
    let _: String = agent.resume("away").await.unwrap();
    assert_eq!(agent.task("away").await.unwrap().unwrap().steps()[0].result, json!({"value": "2"}));
}

#[tokio::test]
async fn a_frozen_steward_is_named_before_the_model_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["add"], &[]));
    desk.change(|view| view.frozen_at = Some(7));
    let agent = scout(&desk, dir.path(), &[ADD, FINISH]).build().await.unwrap().tool(add);
    let error = agent.run::<String>("add").await.unwrap_err();
    assert!(matches!(error, AgentError::Frozen(7)), "{error}");
}

/// Buys something whose payment is held at first.
struct Purchase(AtomicU32);

#[async_trait]
impl Tool for Purchase {
    fn name(&self) -> &str {
        "purchase"
    }

    fn description(&self) -> &str {
        "buy it"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": {}, "additionalProperties": false })
    }

    async fn call(&self, cx: &Cx, _: Value) -> Result<Value, ToolError> {
        let url = Url::parse("https://shop.example/").unwrap();
        let ordinal = cx
            .buy(&Method::GET, &url, 21, |_, errand| {
                let round = self.0.fetch_add(1, Ordering::SeqCst);
                async move {
                    let id = IntentId(Default::default());
                    let table = vec![row("limits.USDC.ask_above", Mark::Ask)];
                    match round {
                        0 => Err(PaymentError::Held { id, table }),
                        _ => Ok(errand.ordinal),
                    }
                }
            })
            .await?;
        Ok(json!({ "ordinal": ordinal }))
    }
}

#[tokio::test]
async fn a_held_payment_is_attempted_again_under_the_same_errand_once_it_is_approved() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["purchase"], &["shop.example"]));
    desk.states([PaymentState::Approved]);
    let script = [r#"{"tool":"purchase","args":{}}"#, FINISH];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let agent = agent.tool(Purchase(AtomicU32::new(0)));
    let _: String = agent.run_as("buy", "buy").await.unwrap();
    let task = agent.task("buy").await.unwrap().unwrap();
    assert_eq!(task.steps()[0].result, json!({ "ordinal": 2 }));
    assert_eq!(desk.proposals.lock().unwrap().len(), 2, "the request is not proposed twice");
}

#[tokio::test]
async fn a_held_payment_that_nobody_approves_ends_the_run_even_if_the_tool_hides_it() {
    struct Hiding(Purchase);

    #[async_trait]
    impl Tool for Hiding {
        fn name(&self) -> &str {
            "purchase"
        }

        fn description(&self) -> &str {
            "buy it"
        }

        fn schema(&self) -> Value {
            self.0.schema()
        }

        async fn call(&self, cx: &Cx, args: Value) -> Result<Value, ToolError> {
            Ok(self.0.call(cx, args).await.unwrap_or(json!({ "ok": "not really" })))
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["purchase"], &["shop.example"]));
    let script = [r#"{"tool":"purchase","args":{}}"#, FINISH];
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let agent = agent.tool(Hiding(Purchase(AtomicU32::new(0))));
    let error = agent.run_as::<String>("buy", "buy").await.unwrap_err();
    assert!(matches!(error, AgentError::Held { .. }), "{error}");
    assert!(agent.task("buy").await.unwrap().unwrap().steps().is_empty());
}
