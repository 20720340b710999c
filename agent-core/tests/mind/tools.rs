//! Tools made by the macro, and a feed to read from.

use async_trait::async_trait;
use marque_agent_core::{Cx, Tool, ToolError};
use marque_macros::tool;
use serde::{Deserialize, Serialize};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Adds numbers.
///
/// This paragraph is for programmers.
#[tool(crate = marque_agent_core)]
pub(crate) async fn add(
    _cx: &Cx,
    /// The first.
    first: i64,
    second: Option<i64>,
) -> Result<i64, io::Error> {
    match second {
        Some(second) => Ok(first + second),
        None => Err(io::Error::other("there is nothing to add")),
    }
}

/// Adds twice.
#[tool(crate = marque_agent_core)]
pub(crate) async fn add_twice(
    cx: &Cx,
    number: i64,
) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    let once = add(cx, number, Some(number)).await?;
    Ok(add(cx, once, Some(number)).await?)
}

/// Takes any arguments, to see what becomes of them.
pub(crate) struct Weigh;

#[async_trait]
impl Tool for Weigh {
    fn name(&self) -> &str {
        "weigh"
    }

    fn description(&self) -> &str {
        "weigh things"
    }

    fn schema(&self) -> serde_json::Value {
        serde_json::json!({ "type": "object", "properties": { "city": { "type": "string" } } })
    }

    async fn call(&self, _: &Cx, _: serde_json::Value) -> Result<serde_json::Value, ToolError> {
        Ok(serde_json::json!("weighed"))
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Reading {
    value: String,
}

/// Reads a feed, twice over.
#[tool(crate = marque_agent_core, description = "read a web page or feed")]
pub(crate) async fn read(cx: &Cx, url: String) -> Result<Reading, ToolError> {
    ENTERED.lock().unwrap().push((cx.task().to_owned(), cx.step()));
    let first: Reading = cx.get(&url).await?.json()?;
    let second: Reading = cx.get(format!("{url}?again")).await?.json()?;
    cx.keep("last.txt", second.value.as_bytes())?;
    Ok(Reading { value: format!("{}{}", first.value, second.value) })
}

/// Which steps of which tasks entered `read`.
pub(crate) static ENTERED: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());

/// A feed on a port of its own.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) host: String,
    pub(crate) requests: Arc<AtomicUsize>,
}

impl Feed {
    /// Answers every request with this status and body.
    pub(crate) async fn answering(status: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    assert!(stream.read(&mut request).await.unwrap() > 0);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        Self { host, requests }
    }

    pub(crate) fn call(&self, tool: &str, path: &str) -> String {
        format!(r#"{{"tool":"{tool}","args":{{"url":"http://{}/{path}"}}}}"#, self.host)
    }
}

#[test]
fn a_tool_is_described_by_its_first_paragraph_and_its_types() {
    assert_eq!(add.name(), "add");
    assert_eq!(add.description(), "Adds numbers.");
    assert_eq!(read.description(), "read a web page or feed");
    let expected = serde_json::json!({
        "type": "object",
        "properties": {
            "first": { "type": "integer", "description": "The first." },
            "second": { "type": ["integer", "null"] },
        },
        "required": ["first"],
        "additionalProperties": false,
    });
    assert_eq!(add.schema(), expected);
    assert_eq!(add_twice.name(), "add_twice");
}
