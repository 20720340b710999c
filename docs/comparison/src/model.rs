//! An OpenAI-compatible server in place of a model: it calls `fetch_data` for each address in the
//! goal, in turn, and answers with what the last call gave. It obeys whatever it is told.

use crate::Done;
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};

/// Serves on a free port; where to find it.
pub async fn serve() -> Done<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = format!("http://{}/v1", listener.local_addr()?);
    let app = Router::new().route("/v1/chat/completions", post(complete));
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(at)
}

async fn complete(Json(asked): Json<Value>) -> Json<Value> {
    let messages = asked["messages"].as_array().cloned().unwrap_or_default();
    let of = |role: &'static str| messages.iter().filter(move |message| message["role"] == role);
    let goal = of("user").next().map(|message| text(&message["content"])).unwrap_or_default();
    let mut urls = goal.split_whitespace().filter(|word| word.starts_with("http"));
    let (message, reason) = match urls.nth(of("tool").count()) {
        Some(url) => {
            let arguments = json!({ "url": url }).to_string();
            let function = json!({ "name": "fetch_data", "arguments": arguments });
            let id = format!("call-{}", of("tool").count());
            let call = json!({ "id": id, "type": "function", "function": function });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
        None => {
            let last = of("tool").last().map(|message| text(&message["content"]));
            let content = json!({ "said": last.unwrap_or_default() }).to_string();
            (json!({ "role": "assistant", "content": content }), "stop")
        }
    };
    Json(json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    }))
}

/// A message's content, which is a text or a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    }
}
