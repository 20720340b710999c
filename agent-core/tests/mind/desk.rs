//! A steward that decides as a test tells it, remembers what it was asked, and can fall silent in
//! the middle of it.

use alloy_primitives::B256;
use async_trait::async_trait;
use marque_agent_core::Steward;
use marque_payments::{Authority, PaymentError};
use marque_policies::{Intent, IntentId, Mark, Row};
use marque_steward_client::{
    Artifact, Fault, IntentState, Note, Outcome, PaymentState, Proposal, Report, ToolView, View,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How a proposal is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Allow,
    Hold,
    Refuse(&'static str),
    Fault(&'static str),
}

#[derive(Debug)]
pub(crate) struct Desk {
    view: Mutex<View>,
    /// Answers in order, by tool; when they run out, what is permitted is allowed.
    says: Mutex<HashMap<String, VecDeque<Say>>>,
    /// Answers to `wait`, in order; when they run out, held.
    states: Mutex<VecDeque<PaymentState>>,
    pub(crate) proposals: Mutex<Vec<Proposal>>,
    pub(crate) notes: Mutex<Vec<Note>>,
    /// The question before (even) or after (odd) which the steward falls silent for good.
    silent_at: Mutex<Option<usize>>,
    questions: AtomicUsize,
    pub(crate) silent: Notify,
}

impl Desk {
    /// Permits these tools, each on these hosts.
    pub(crate) fn permitting(tools: &[&str], hosts: &[&str]) -> Self {
        let tools = tools
            .iter()
            .map(|name| ToolView {
                name: (*name).to_owned(),
                hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
                methods: Vec::new(),
                arguments: Vec::new(),
            })
            .collect();
        let view = View {
            agent: "scout".to_owned(),
            address: Default::default(),
            owner: Default::default(),
            sub_agent: None,
            owner_since: 0,
            origin: Default::default(),
            policy_version: 1,
            policy_hash: Default::default(),
            now: 0,
            frozen_at: None,
            tools,
            payees: Vec::new(),
            assets: Vec::new(),
            budgets: Vec::new(),
            income: Vec::new(),
            facilitates: Vec::new(),
            pools: Vec::new(),
            chains: Vec::new(),
            intents: Vec::new(),
        };
        Self {
            view: Mutex::new(view),
            says: Mutex::default(),
            states: Mutex::default(),
            proposals: Mutex::default(),
            notes: Mutex::default(),
            silent_at: Mutex::default(),
            questions: AtomicUsize::new(0),
            silent: Notify::new(),
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.lock().unwrap());
    }

    pub(crate) fn says(&self, tool: &str, says: impl IntoIterator<Item = Say>) {
        self.says.lock().unwrap().entry(tool.to_owned()).or_default().extend(says);
    }

    pub(crate) fn states(&self, states: impl IntoIterator<Item = PaymentState>) {
        self.states.lock().unwrap().extend(states);
    }

    /// Questions so far.
    /// From now on everything that was sent is in a block.
    pub(crate) fn arrives(&self) {
        *self.states.lock().unwrap() = VecDeque::from([PaymentState::Seen]);
    }

    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// Falls silent before (`2 n`) or after (`2 n + 1`) question `n` from now.
    pub(crate) fn falls_silent_at(&self, edge: Option<usize>) {
        self.questions.store(0, Ordering::SeqCst);
        *self.silent_at.lock().unwrap() = edge;
    }

    /// Does what a question does, unless silence comes before or after it.
    async fn asked<T>(&self, work: impl FnOnce() -> T) -> T {
        let question = self.questions.fetch_add(1, Ordering::SeqCst);
        let silent_at = *self.silent_at.lock().unwrap();
        if silent_at == Some(2 * question) {
            self.fall_silent().await;
        }
        let done = work();
        if silent_at == Some(2 * question + 1) {
            self.fall_silent().await;
        }
        done
    }

    async fn fall_silent(&self) {
        self.silent.notify_one();
        std::future::pending::<()>().await;
    }

    fn decide(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        let view = self.view.lock().unwrap();
        let id = proposal.id(view.origin, &view.agent);
        let (name, artifact) = match &proposal.intent {
            Intent::Tool(usage) => (usage.tool.clone(), Artifact::Permission),
            Intent::Transfer(_) => {
                ("transfer".to_owned(), Artifact::Transaction { hash: B256::repeat_byte(9) })
            }
            other => panic!("{other:?}"),
        };
        let permitted = name == "transfer" || view.tools.iter().any(|tool| tool.name == name);
        let default = if permitted { Say::Allow } else { Say::Refuse("tool.known") };
        let say = self.says.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
        self.proposals.lock().unwrap().push(proposal);
        match say.unwrap_or(default) {
            Say::Allow => Ok(Outcome::Allowed { id, artifact }),
            Say::Hold => Ok(Outcome::Held { id, table: vec![row("ask.first", Mark::Ask)] }),
            Say::Refuse(rule) => Ok(Outcome::Refused { id, table: vec![row(rule, Mark::Fail)] }),
            Say::Fault(code) => Err(PaymentError::Fault(Fault {
                code: code.to_owned(),
                message: format!("{code}: as the test wants it"),
            })),
        }
    }
}

pub(crate) fn row(rule: &str, mark: Mark) -> Row {
    Row {
        rule: rule.to_owned(),
        measured: "what it is".to_owned(),
        limit: "what it may be".to_owned(),
        mark,
        mend: None,
    }
}

#[async_trait]
impl Authority for Desk {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        self.asked(|| self.decide(proposal)).await
    }

    async fn view(&self) -> Result<View, PaymentError> {
        self.asked(|| Ok(self.view.lock().unwrap().clone())).await
    }

    async fn report(&self, _: Report) -> Result<(), PaymentError> {
        self.asked(|| Ok(())).await
    }

    async fn wait(&self, id: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
        self.asked(|| {
            let view = self.view.lock().unwrap();
            let proposals = self.proposals.lock().unwrap();
            let known = proposals.iter().any(|it| it.id(view.origin, &view.agent) == id);
            // A test that makes up a purchase makes up its id.
            if !known && id != IntentId(B256::ZERO) {
                let message = format!("there is no intent {id} here");
                return Err(PaymentError::Fault(Fault { code: "unknown".to_owned(), message }));
            }
            let state = self.states.lock().unwrap().pop_front().unwrap_or(PaymentState::Held);
            Ok(IntentState { id, state, transaction: None, block: None })
        })
        .await
    }
}

#[async_trait]
impl Steward for Desk {
    async fn note(&self, note: Note) -> Result<(), PaymentError> {
        self.asked(|| {
            self.notes.lock().unwrap().push(note);
            Ok(())
        })
        .await
    }
}
