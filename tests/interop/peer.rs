//! A Node process that plays the other side.
//!
//! It is spoken to in lines of JSON over its standard streams, and ends when they do: with the test
//! that started it, however that ends.

use serde_json::Value;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// How long a peer may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running peer.
pub(crate) struct Peer {
    name: &'static str,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said when it was ready.
    pub(crate) ready: Value,
    /// Killed with this value.
    _process: Child,
}

impl Peer {
    /// Starts one of the scripts in `tests/interop` and waits until it is ready.
    pub(crate) async fn start(script: &'static str, settings: &Value) -> Self {
        let folder = Path::new(crate::INTEROP);
        assert!(
            folder.join("node_modules").is_dir(),
            "the official packages are missing; run `make setup`"
        );
        let mut node = Command::new("node");
        node.arg(folder.join(script));
        Self::run(script, node, settings).await
    }

    /// Starts any program that speaks as the scripts do.
    pub(crate) async fn run(name: &'static str, mut program: Command, settings: &Value) -> Self {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut peer = Self { name, stdin, lines, ready: Value::Null, _process: process };
        peer.ready = peer.ask(settings).await;
        peer
    }

    /// Says one line and waits for the answer.
    pub(crate) async fn ask(&mut self, question: &Value) -> Value {
        self.stdin.write_all(format!("{question}\n").as_bytes()).await.unwrap();
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).unwrap(),
            Ok(ended) => panic!("{}: it ended: {ended:?}", self.name),
            Err(_) => panic!("{}: no answer within {} s", self.name, PATIENCE.as_secs()),
        }
    }

    /// A field of what it said when it was ready.
    pub(crate) fn told<T: std::str::FromStr>(&self, field: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        self.ready[field].as_str().unwrap().parse().unwrap()
    }
}
