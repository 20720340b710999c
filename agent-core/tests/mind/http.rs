//! `cx.http()` over a real socket, from a tool that a scripted model calls.

use crate::{desk::Desk, scout, tools::Feed};
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use marque_policies::{AssetId, Intent};
use marque_steward_client::AssetView;
use std::sync::Arc;

/// Asks in every way that the builder has.
#[tool(crate = marque_agent_core)]
async fn visit(cx: &Cx, url: String) -> Result<String, ToolError> {
    let answer = cx
        .http()
        .post(&url)
        .header("x-note", "four")
        .query([("station", "kiel & co")])
        .json(&serde_json::json!({ "a": 1 }))
        .max_price("0.05 USDC")
        .send()
        .await?;
    assert_eq!((answer.status(), answer.bytes(), answer.paid()), (404, &b"gone"[..], None));
    assert_eq!(answer.headers()["content-length"], "4");
    let text = answer.text()?.to_owned();
    let status = answer.error_for_status().unwrap_err();
    assert!(matches!(status, ToolError::Status { status: 404, .. }), "{status}");

    let get = || cx.http().get(&url);
    let wrong = |error: ToolError| assert!(matches!(error, ToolError::Arguments(_)), "{error}");
    wrong(get().header("no name", "x").send().await.unwrap_err());
    wrong(get().header("x", "two\nlines").send().await.unwrap_err());
    wrong(get().max_price("0.05 GOLD").send().await.unwrap_err());
    wrong(get().max_price("cheap").send().await.unwrap_err());
    let nowhere = cx.http().get("not a url").send().await.unwrap_err();
    assert!(matches!(nowhere, ToolError::Url(_)), "{nowhere}");
    Ok(text)
}

#[tokio::test]
async fn a_request_is_proposed_as_it_is_made_and_an_answer_is_an_answer() {
    let feed = Feed::answering("404 Not Found", "gone").await;
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::permitting(&["visit"], &[&feed.host]));
    desk.change(|view| {
        view.assets.push(AssetView {
            name: "USDC".to_owned(),
            id: AssetId { chain: 1, token: [1; 20].into() },
            decimals: 6,
            domain: None,
        });
    });
    let script =
        [feed.call("visit", "data"), r#"{"tool":"finish","args":{"answer":"done"}}"#.to_owned()];
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    let agent = scout(&desk, dir.path(), &script).build().await.unwrap();
    let answer: String = agent.tool(visit).run("visit").await.unwrap();
    assert_eq!(answer, "done");

    let proposals = desk.proposals.lock().unwrap();
    let fetches: Vec<_> = proposals
        .iter()
        .filter_map(|proposal| match &proposal.intent {
            Intent::Tool(usage) => usage.fetch.clone(),
            _ => None,
        })
        .collect();
    let [fetch] = &fetches[..] else { panic!("{fetches:?}") };
    assert_eq!((fetch.method.as_str(), fetch.path.as_str()), ("POST", "/data?station=kiel+%26+co"));
    let url = format!("http://{}{}", fetch.host, fetch.path).len();
    let headers = "x-note".len() + "four".len() + "content-type".len() + "application/json".len();
    assert_eq!(fetch.bytes_out, (url + headers + r#"{"a":1}"#.len()) as u64);
    assert_eq!(feed.requests.load(std::sync::atomic::Ordering::SeqCst), 1);
}
