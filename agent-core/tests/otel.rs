//! Spans in a collector: a real socket that takes OTLP over HTTP, and an agent that works beside it.
#![cfg(feature = "otel")]
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

#[path = "mind/desk.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod desk;

use axum::{Json, Router, extract::State, routing::post};
use desk::Desk;
use marque_agent_core::{Agent, AgentError, otel};
use marque_models::Scripted;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

type Taken = Arc<Mutex<Vec<Value>>>;

async fn collector() -> (String, Taken) {
    let taken = Taken::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let take = |State(taken): State<Taken>, Json(body): Json<Value>| async move {
        taken.lock().unwrap().push(body);
        Json(serde_json::json!({}))
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, taken)
}

/// Each span by its name, with its attributes as text, and its parent's id.
fn spans(taken: &Taken) -> Vec<(String, String, String, Value)> {
    let taken = taken.lock().unwrap();
    let all = taken.iter().flat_map(|body| {
        let scopes = body["resourceSpans"][0]["scopeSpans"].as_array().unwrap();
        scopes.iter().flat_map(|scope| scope["spans"].as_array().unwrap())
    });
    let text = |span: &Value, key: &str| span[key].as_str().unwrap_or_default().to_owned();
    all.map(|span| {
        let attributes = span["attributes"].clone();
        (text(span, "name"), text(span, "spanId"), text(span, "parentSpanId"), attributes)
    })
    .collect()
}

fn value(attributes: &Value, key: &str) -> Option<String> {
    let found = attributes.as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    let value = &found["value"];
    let text = value["stringValue"].as_str().map(str::to_owned);
    text.or_else(|| Some(value["intValue"].to_string().trim_matches('"').to_owned()))
}

#[tokio::test]
async fn a_run_is_a_tree_of_spans_in_the_words_of_the_conventions_without_what_was_said() {
    let (url, taken) = collector().await;
    let (layer, delivery) = otel::exporter::<Registry>(&url, "marque").unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let script = [r#"{"tool":"finish","args":{"answer":"a secret answer"}}"#];
    let agent = Agent::builder("scout")
        .model(Arc::new(Scripted::new(script)))
        .steward(Arc::new(Desk::permitting(&[], &[])))
        .mind_dir(folder.path())
        .build()
        .await
        .unwrap();
    let answer = delivery.during(agent.run::<String>("a secret goal")).await;
    let answer: Result<String, AgentError> = answer;
    assert_eq!(answer.unwrap(), "a secret answer");
    drop(guard);
    let spans = spans(&taken);
    let named = |name: &str| spans.iter().find(|span| span.0.starts_with(name)).unwrap();
    let (run, chat) = (named("invoke_agent"), named("chat"));
    assert_eq!(chat.2, run.1, "the chat is a part of the run");
    for (span, key, expected) in [
        (run, "gen_ai.operation.name", "invoke_agent"),
        (run, "gen_ai.agent.name", "scout"),
        (chat, "gen_ai.operation.name", "chat"),
        (chat, "gen_ai.request.model", "scripted"),
    ] {
        assert_eq!(value(&span.3, key).as_deref(), Some(expected), "{key} of {span:?}");
    }
    assert!(value(&chat.3, "gen_ai.usage.output_tokens").is_some(), "{chat:?}");
    assert!(value(&run.3, "gen_ai.conversation.id").is_some_and(|id| id.starts_with("task-")));
    let all = format!("{:?}", taken.lock().unwrap());
    assert!(!all.contains("secret"), "no prompt, answer or argument leaves: {all}");
    assert!(all.contains("\"marque\""), "the service has its name");
}

#[tokio::test]
async fn a_collector_that_is_away_or_no_url_holds_up_nobody() {
    let (layer, delivery) = otel::exporter::<Registry>("http://127.0.0.1:9", "marque").unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::info_span!("chat").in_scope(|| {});
    assert_eq!(delivery.during(async { 7 }).await, 7);
    drop(guard);
    for url in ["collector", "ftp://127.0.0.1:4318", "http://collector.example:4318"] {
        let error = otel::exporter::<Registry>(url, "marque").err().unwrap().to_string();
        assert!(
            error.contains("like http://127.0.0.1:4318") && error.lines().count() == 1,
            "{error}"
        );
    }
}
