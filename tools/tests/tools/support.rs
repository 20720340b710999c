//! A steward that allows everything and remembers what it was asked, and a server that answers
//! everything.

use async_trait::async_trait;
use marque_agent_core::Steward;
use marque_payments::{Authority, PaymentError};
use marque_policies::{AssetId, Intent, IntentId, Labels, Money};
use marque_steward_client::{
    Artifact, AssetView, Budget, IntentState, Note, Outcome, PayeeView, PaymentState, Proposal,
    Report, ToolView, View,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

#[derive(Debug)]
pub(crate) struct Generous {
    view: View,
    pub(crate) proposals: Mutex<Vec<Proposal>>,
}

impl Generous {
    pub(crate) fn new(view: View) -> Arc<Self> {
        Arc::new(Self { view, proposals: Mutex::default() })
    }

    /// The labels of the newest intent.
    pub(crate) fn labels(&self) -> Labels {
        let proposals = self.proposals.lock().unwrap();
        match &proposals.last().unwrap().intent {
            Intent::Tool(usage) => usage.labels.clone(),
            Intent::Transfer(transfer) => transfer.labels.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[async_trait]
impl Authority for Generous {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let id = proposal.id(self.view.origin, &self.view.agent);
        let artifact = match &proposal.intent {
            Intent::Transfer(_) => Artifact::Transaction { hash: Default::default() },
            _ => Artifact::Permission,
        };
        self.proposals.lock().unwrap().push(proposal);
        Ok(Outcome::Allowed { id, artifact })
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Ok(self.view.clone())
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        Ok(())
    }

    async fn wait(&self, id: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        Ok(IntentState { id, state: PaymentState::Seen, transaction: None, block: None })
    }
}

#[async_trait]
impl Steward for Generous {
    async fn note(&self, _: Note) -> Result<(), PaymentError> {
        Ok(())
    }
}

/// A server that answers everything with `body`, and what it was asked last.
pub(crate) async fn server(body: &'static str) -> (String, Arc<Mutex<String>>) {
    server_of("", body).await
}

/// As [`server`], with a content type; an empty one is left out.
pub(crate) async fn server_of(
    kind: &'static str,
    body: impl Into<String>,
) -> (String, Arc<Mutex<String>>) {
    let body = body.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(String::new()));
    let last = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while let Ok(read) = stream.read(&mut part).await {
                request.extend_from_slice(&part[..read]);
                if read < part.len() {
                    break;
                }
            }
            *last.lock().unwrap() = String::from_utf8(request).unwrap();
            let kind = match kind {
                "" => String::new(),
                kind => format!("content-type: {kind}\r\n"),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\n{kind}content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    });
    (host, asked)
}

pub(crate) fn view(tools: &[(&str, &str)]) -> View {
    let token = AssetId { chain: 31337, token: [7; 20].into() };
    let money = |units: u64| Money::new(units.try_into().unwrap(), token);
    View {
        agent: "scout".to_owned(),
        address: Default::default(),
        owner: Default::default(),
        sub_agent: None,
        owner_since: 0,
        origin: Default::default(),
        policy_version: 1,
        policy_hash: Default::default(),
        now: Default::default(),
        frozen_at: None,
        tools: tools
            .iter()
            .map(|(name, host)| ToolView {
                name: (*name).to_owned(),
                hosts: vec![(*host).to_owned()],
                methods: Vec::new(),
                arguments: Vec::new(),
            })
            .collect(),
        payees: tools
            .iter()
            .map(|(name, host)| PayeeView {
                name: format!("{name}-seller"),
                address: Some(Default::default()),
                host: Some((*host).to_owned()),
            })
            .collect(),
        assets: vec![AssetView { name: "tUSD".to_owned(), id: token, decimals: 6, domain: None }],
        budgets: vec![
            Budget {
                rule: "limits.tUSD.day".to_owned(),
                spent: money(3_000_000),
                in_flight: None,
                limit: money(10_000_000),
                next: None,
            },
            Budget {
                rule: "limits.tUSD.total".to_owned(),
                spent: money(3_000_000),
                in_flight: None,
                limit: money(50_000_000),
                next: None,
            },
        ],
        income: Vec::new(),
        facilitates: Vec::new(),
        pools: Vec::new(),
        chains: Vec::new(),
        intents: Vec::new(),
    }
}
