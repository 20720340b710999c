//! The mind's handle on its steward.
//!
//! Cheap to clone; all clones share one connection, and any number of questions may be under way
//! on it. A connection that breaks is made again and the open questions are asked again: the same
//! proposal has the same id and gets the same answer, so asking twice changes nothing.

use crate::{
    View, door,
    error::ClientError,
    link::{self, Call},
    protocol::{
        Answer, Ask, IntentState, Note, Outcome, Preview, Proposal, Queue, Report, SettlingView,
        Status,
    },
};
use marque_policies::{IntentId, SignedStatement};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// The longest that a question may take, in seconds. A `wait` ends by itself before that.
const PATIENCE: u64 = 120;

/// A connection to the steward of one agent.
#[derive(Clone, Debug)]
pub struct Client {
    calls: mpsc::Sender<Call>,
}

impl Client {
    /// Connects to the socket of an agent.
    ///
    /// # Errors
    /// [`ClientError::NoSteward`] where nobody listens there.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        Self::within(path.as_ref(), link::BACK_WITHIN).await
    }

    /// The same, for a steward that has another time to come back.
    pub(crate) async fn within(path: &Path, back: Duration) -> Result<Self, ClientError> {
        let path = path.to_owned();
        let stream = door::to(&path)
            .await
            .map_err(|source| ClientError::NoSteward { path: path.clone(), source })?;
        let (calls, inbox) = mpsc::channel(64);
        tokio::spawn(link::run(path, stream, inbox, back));
        Ok(Self { calls })
    }

    /// Connects as the environment says: `MARQUE_HOME` is the steward's home and `MARQUE_AGENT`
    /// the agent's name.
    ///
    /// # Errors
    /// [`ClientError::Environment`] where one is not set, [`ClientError::NoSteward`].
    pub async fn from_env() -> Result<Self, ClientError> {
        let get = |name: &'static str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .ok_or(ClientError::Environment(name))
        };
        let mut path = PathBuf::from(get("MARQUE_HOME")?);
        path.push("agents");
        path.push(get("MARQUE_AGENT")?);
        path.push("steward.sock");
        Self::connect(path).await
    }

    /// Proposes an intent and gets the verdict, with what was signed.
    ///
    /// # Errors
    /// [`ClientError::Fault`] where the question was not accepted. Refused and held are outcomes,
    /// not errors.
    pub async fn propose(&self, proposal: Proposal) -> Result<Outcome, ClientError> {
        match self.ask(Ask::Propose(proposal)).await? {
            Answer::Outcome(outcome) => Ok(outcome),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// What would come of a proposal; nothing is done.
    ///
    /// # Errors
    /// [`ClientError`]. A fault that the proposal itself would meet is part of the answer.
    pub async fn preview(&self, proposal: Proposal) -> Result<Preview, ClientError> {
        match self.ask(Ask::Preview(proposal)).await? {
            Answer::Preview(preview) => Ok(*preview),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// What this agent may do and has left.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn view(&self) -> Result<View, ClientError> {
        self.look(Ask::View).await
    }

    /// What this agent may do and has left: a [`View`] without the intents, and quick.
    ///
    /// # Errors
    /// As for [`Client::propose`].
    pub async fn standing(&self) -> Result<View, ClientError> {
        self.look(Ask::Standing).await
    }

    async fn look(&self, ask: Ask) -> Result<View, ClientError> {
        match self.ask(ask).await? {
            Answer::View(view) => Ok(*view),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Commits to a step; answers the sequence number of the journal entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn note(&self, note: Note) -> Result<u64, ClientError> {
        self.noted(Ask::Note(note)).await
    }

    /// Says what a counterparty did; answers the sequence number of the journal entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report(&self, report: Report) -> Result<u64, ClientError> {
        self.noted(Ask::Report(report)).await
    }

    /// Waits until an intent's state is another than this connection was told before, at most
    /// `timeout` (60 s where it is longer), and answers the state then. An intent that stands
    /// still for good is answered at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wait(
        &self,
        intent: IntentId,
        timeout: Duration,
    ) -> Result<IntentState, ClientError> {
        match self.ask(Ask::Wait { intent, timeout_ms: millis(timeout) }).await? {
            Answer::State(state) => Ok(state),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Stops everything; answers the sequence number of the entry that only the owner can thaw.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn freeze(&self, reason: impl Into<String>) -> Result<u64, ClientError> {
        self.noted(Ask::Freeze { reason: reason.into() }).await
    }

    /// Hands in an act of the owner; answers the sequence number of the journal entry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, statement: SignedStatement) -> Result<u64, ClientError> {
        self.noted(Ask::Submit(Box::new(statement))).await
    }

    /// How the steward stands, and this agent with it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        match self.ask(Ask::Status).await? {
            Answer::Status(status) => Ok(*status),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// What of this agent's waits for the owner: at once, or, given the mark of a queue that is
    /// known, when there is another, at most after `timeout` (60 s where it is longer).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self, seen: Option<u64>, timeout: Duration) -> Result<Queue, ClientError> {
        match self.ask(Ask::Queue { seen, timeout_ms: millis(timeout) }).await? {
            Answer::Queue(queue) => Ok(*queue),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Settlements that are under way and that no block was seen to carry, ordered by id: those after
    /// `after`, a page of them. An empty page is the last.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settling(
        &self,
        after: Option<IntentId>,
    ) -> Result<Vec<SettlingView>, ClientError> {
        match self.ask(Ask::Settling { after }).await? {
            Answer::Settling { settlements } => Ok(settlements),
            _ => Err(ClientError::Unexpected),
        }
    }

    async fn noted(&self, ask: Ask) -> Result<u64, ClientError> {
        match self.ask(ask).await? {
            Answer::Noted { entry } => Ok(entry),
            _ => Err(ClientError::Unexpected),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, ClientError> {
        let (reply, answer) = oneshot::channel();
        let lost = || ClientError::Lost(link::BACK_WITHIN.as_secs());
        self.calls.send(Call { ask, reply }).await.map_err(|_| lost())?;
        let answer = tokio::time::timeout(Duration::from_secs(PATIENCE), answer)
            .await
            .map_err(|_| ClientError::Silent(PATIENCE))?
            .map_err(|_| lost())??;
        match answer {
            Answer::Error(fault) => Err(fault.into()),
            answer => Ok(answer),
        }
    }
}

/// The longest that a question may wait is a minute.
fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).min(60_000)
}
