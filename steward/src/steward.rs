//! The steward at work: the authority thread, the sockets, and the reconciliation with the chain.

use crate::{
    authority::{Authority, Done, wall},
    clock::Clock,
    core::{Event, Reply, Surplus},
    desk::Desk,
    entry::Body,
    error::{StewardError, fault},
    failpoint::failpoint,
    float::{self, Floats},
    gather,
    hardening::Walls,
    home::Home,
    journal::{self, LogKey},
    links::{Link, Links},
    outbox::Outbox,
    reconcile::{self, Memory},
    server::{self, Decisions, Minds, Watchers},
    signer::Made,
    state::Record,
};
use alloy_primitives::B256;
use marque_identity_keys::SecretString;
use marque_policies::{Intent, IntentId, Timestamp};
use marque_steward_client::{Answer, Artifact, Fault, Outcome, PaymentState, Proposal};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// How a steward is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What [`Walls::raise`] put up before; it is journalled at the start.
    pub walls: Walls,
    /// The pause between two looks at the chain while something is live; it grows by itself.
    pub poll: Duration,
    /// The pause between two looks at what left the keys, where nothing is live.
    pub rest: Duration,
    /// A transaction that waits so long for a block is sent again with higher fees, where the chain
    /// asks for them.
    pub patience: Duration,
    /// Questions of one agent at once that may be journalled, and as many again in each 20 s; more
    /// are answered with the fault `rate`.
    pub rate: u32,
    /// Minds that run as other users.
    pub minds: Minds,
    /// A folder outside the home, for a copy of the newest checkpoint: a journal that does not
    /// extend the one that lies there was rolled back or rewritten, and nothing is signed.
    pub copies: Option<PathBuf>,
    /// How far the wall clock is moved ahead, in milliseconds: for tests that cannot wait a day.
    #[cfg(feature = "testing")]
    pub ahead: Arc<std::sync::atomic::AtomicU64>,
}

impl Default for Options {
    fn default() -> Self {
        let (poll, rest) = (Duration::from_millis(400), Duration::from_secs(30));
        let (walls, minds, patience) = (Walls::none(), Minds::default(), Duration::from_secs(45));
        Self {
            walls,
            poll,
            rest,
            patience,
            rate: 200,
            minds,
            copies: None,
            #[cfg(feature = "testing")]
            ahead: Arc::default(),
        }
    }
}

/// A steward that works, until it is stopped or dropped.
#[derive(Debug)]
pub struct Steward {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all tasks of a steward hold.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) home: Home,
    pub(crate) desk: Desk,
    pub(crate) links: Links,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Arc<Clock>,
    pub(crate) floats: Floats,
    /// A transaction that waits so long may get higher fees.
    pub(crate) patience: Duration,
    /// Which policy's chain was asked what it knows, by agent.
    pub(crate) ready: watch::Sender<BTreeMap<String, B256>>,
    pub(crate) poll: Duration,
    pub(crate) rest: Duration,
    pub(crate) rate: u32,
    /// Since when it works.
    pub(crate) since: Timestamp,
    pub(crate) walls: Walls,
    /// What the owner decided lately.
    pub(crate) decisions: Decisions,
    pub(crate) watchers: Watchers,
    pub(crate) minds: Minds,
}

impl Steward {
    /// Opens a home, reconciles its ledger with the chain and listens on a socket for each agent.
    ///
    /// Where the chain does not answer yet the steward listens all the same, and signs nothing
    /// before it does.
    ///
    /// # Errors
    /// [`StewardError::Locked`] where another steward works there, [`StewardError::Journal`] where
    /// the journal is not to be believed, [`StewardError::Wrong`] on another chain than genesis
    /// names, [`StewardError::Keys`] for a wrong unlock secret.
    pub async fn start(
        home: Home,
        unlock: SecretString,
        options: Options,
    ) -> Result<Self, StewardError> {
        let lock = home.lock()?;
        let at = home.clone();
        let copies = options.copies.clone();
        // Reading a journal and unlocking keys takes a moment; others on this runtime go on.
        let opened = tokio::task::spawn_blocking(move || {
            let mut authority = Authority::open(&at, unlock)?;
            authority.unlock()?;
            if let Some(dir) = copies {
                authority.keep_copies(&dir)?;
            }
            let unread = authority.unread()?;
            Ok::<_, StewardError>((authority, unread))
        });
        let (authority, unread) = opened.await.map_err(|_| StewardError::Stopped)??;
        let clock = authority.clock();
        #[cfg(feature = "testing")]
        clock.ahead.get_or_init(|| Arc::clone(&options.ahead));
        let shared = Arc::new(Shared {
            desk: Desk::open(authority, lock)?,
            links: Links::default(),
            outbox: Outbox::new(home.outbox()),
            clock,
            floats: Floats::default(),
            patience: options.patience,
            ready: watch::Sender::default(),
            poll: options.poll,
            rest: options.rest,
            rate: options.rate,
            since: wall(),
            walls: options.walls,
            decisions: Decisions::default(),
            watchers: Watchers::default(),
            minds: options.minds,
            home,
        });
        let Walls { enforced, missing } = shared.walls.clone();
        tracing::info!(enforced = enforced.join(", "), missing = missing.join(", "), "walls");
        let version = env!("CARGO_PKG_VERSION").to_owned();
        // Before the first entry is stamped: this machine's clock may be wrong since it was booted.
        reconcile::learn_time(&shared).await;
        shared.desk.submit(Event::Own(Body::Started { version, enforced, missing })).await?;

        let mut memory = Memory::default();
        match reconcile::pass(&shared, &mut memory).await {
            Ok(_) => {}
            Err(error @ (StewardError::Wrong(_) | StewardError::Stopped)) => {
                shared.desk.close().await?;
                return Err(error);
            }
            Err(error) => tracing::warn!(%error, "nothing is signed until the chain answers"),
        }
        if let Err(error) = float::at_start(&shared).await {
            shared.desk.close().await?;
            return Err(error);
        }
        let (stop, stopping) = watch::channel(false);
        let listeners = match server::bind_all(&shared).await {
            Ok(listeners) => listeners,
            Err(error) => {
                shared.desk.close().await?;
                return Err(error);
            }
        };
        let mut tasks = vec![
            tokio::spawn(server::run(Arc::clone(&shared), listeners, stopping)),
            tokio::spawn(reconcile::run(Arc::clone(&shared), memory)),
        ];
        if let Some((dir, key)) = unread {
            tasks.push(tokio::spawn(read_the_rest(Arc::clone(&shared), dir, key)));
        }
        Ok(Self { shared, stop, tasks })
    }

    /// The home that it works in.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.shared.home
    }

    /// Returns when the steward has ended: by [`Self::stop`], or because its journal failed.
    pub async fn stopped(&self) {
        let mut changes = self.shared.desk.changes();
        while changes.changed().await.is_ok() {}
    }

    /// Ends in order: no new question is taken, what is under way is finished, the last entry says
    /// so.
    ///
    /// # Errors
    /// [`StewardError::Stopped`] where it had ended before, and whatever the journal says.
    pub async fn stop(self) -> Result<(), StewardError> {
        self.stop.send_replace(true);
        let closed = self.shared.desk.close().await;
        for task in &self.tasks {
            task.abort();
        }
        for name in self.shared.ready.borrow().keys() {
            drop(std::fs::remove_file(self.shared.home.socket(name)));
            drop(std::fs::remove_file(self.shared.home.owner_socket(name)));
        }
        for name in self.shared.minds.users.keys() {
            drop(std::fs::remove_file(self.shared.minds.socket(name, None)));
        }
        closed
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    /// Answers a proposal of `agent`.
    pub(crate) async fn propose(
        &self,
        agent: &str,
        sub_agent: Option<&str>,
        proposal: Proposal,
    ) -> Answer {
        match self.try_propose((agent, sub_agent), proposal).await {
            Ok(answer) => answer,
            Err(error) => Answer::Error(as_fault(error)),
        }
    }

    pub(crate) async fn try_propose(
        &self,
        who: (&str, Option<&str>),
        proposal: Proposal,
    ) -> Result<Answer, StewardError> {
        let agent = who.0;
        let mut tries = 0;
        let begun = Instant::now();
        let done = loop {
            float::afford(self, who, &proposal).await?;
            let facts = gather::facts(self, who, &proposal).await?;
            let event = Event::Propose {
                agent: agent.to_owned(),
                proposal: Box::new(proposal.clone()),
                facts: Box::new(facts),
            };
            let done = self.desk.submit(event).await?;
            // The policy may change between the look-ups and the decision; then look again.
            tries += 1;
            match &done.reply {
                Reply::Fault(fault) if fault.code == "stale" && tries < 3 => {}
                // Another payment was decided before, and took what was there.
                Reply::Fault(fault)
                    if fault.code == "float" && begun.elapsed() < float::PATIENCE =>
                {
                    tokio::time::sleep(self.poll).await;
                }
                _ => break done,
            }
        };
        let Done { reply, made } = done;
        Ok(match reply {
            Reply::Allowed(id) => {
                let artifact = self.artifact(agent, id, made).await?;
                Answer::Outcome(Outcome::Allowed { id, artifact })
            }
            Reply::Held(id, table) => Answer::Outcome(Outcome::Held { id, table }),
            Reply::Refused(id, table) => Answer::Outcome(Outcome::Refused { id, table }),
            Reply::Noted(_) => Answer::Error(fault("internal", "a proposal was merely noted")),
            Reply::Fault(fault) => Answer::Error(fault),
        })
    }

    async fn artifact(
        &self,
        agent: &str,
        id: IntentId,
        made: Option<Made>,
    ) -> Result<Artifact, StewardError> {
        match made {
            Some(Made::Authorisation(made)) => Ok(Artifact::Authorisation(Box::new(made))),
            Some(Made::PermitTransfer(made)) => Ok(Artifact::PermitTransfer(Box::new(made))),
            Some(Made::Signature { signature, deadline }) => {
                Ok(Artifact::Signature { signature, deadline })
            }
            Some(Made::Transaction(signed)) => {
                let agent = agent.to_owned();
                let policy = self.desk.look(move |state, _| {
                    let adopted = state.agent(&agent)?.policy.as_ref()?;
                    Some(Arc::clone(&adopted.policy))
                });
                if let Some(policy) = policy.await? {
                    let link = self.links.get(&policy, self.home.chain())?;
                    // What could not be sent now is sent again by the reconciliation.
                    if let Err(error) = self.send(&link, id).await {
                        tracing::warn!(%id, %error, "not sent yet");
                    }
                }
                Ok(Artifact::Transaction { hash: signed.hash })
            }
            // Answered before.
            None => {
                let agent = agent.to_owned();
                let carried = self.desk.look(move |state, now| {
                    let tool = |record: &Record| matches!(record.decided.intent, Intent::Tool(_));
                    // Nothing of a tool's use is on chain.
                    if state.intent(id).is_some_and(tool) {
                        return None;
                    }
                    state.status(&agent, id, now)?.transaction
                });
                let carried = carried.await?;
                Ok(carried.map_or(Artifact::Permission, |hash| Artifact::Transaction { hash }))
            }
        }
    }

    /// Brings a transaction to the chain: signs it first where it never was, and sends the bytes
    /// that wait where they do. While the steward is frozen only a sweep, a cancellation and what
    /// fills a nonce go out.
    pub(crate) async fn send(&self, link: &Link, id: IntentId) -> Result<(), StewardError> {
        let standing = self.desk.look(move |state, _| {
            let record = state.intent(id)?;
            let goes = record.passes_frozen() || state.frozen().is_none();
            goes.then_some((record.state, record.awaits_signature()))
        });
        let Some((standing, unsigned)) = standing.await? else { return Ok(()) };
        let waiting = match standing {
            PaymentState::Reserved => None,
            PaymentState::Signed | PaymentState::Sent | PaymentState::Seen => {
                self.outbox.get(id)?.filter(|_| !unsigned)
            }
            _ => return Ok(()),
        };
        let raw = match waiting {
            Some(raw) => raw,
            None => match self.desk.submit(Event::Resume(id)).await?.made {
                Some(Made::Transaction(signed)) => signed.raw,
                _ => return Ok(()),
            },
        };
        match link.rpc.send_raw(&raw).await {
            Ok(_) => {
                failpoint("sent");
                self.desk.submit(Event::Moved(Body::Sent { id })).await?;
                Ok(())
            }
            Err(error) => {
                if reconcile::is_refusal(&error) {
                    tracing::warn!(%id, %error, "the chain does not take the transaction");
                }
                Err(StewardError::Chain(error.to_string()))
            }
        }
    }
}

/// Verifies what a quick start has not read, beside the work; damage stops everything.
async fn read_the_rest(shared: Arc<Shared>, dir: PathBuf, key: LogKey) {
    let (say, heard) = oneshot::channel();
    // A thread of its own: no runtime waits for it when it ends.
    let verify = move || drop(say.send(journal::verify_and_mend(&dir, &key)));
    if let Err(error) = std::thread::Builder::new().name("verify".to_owned()).spawn(verify) {
        tracing::error!(%error, "older entries of the journal are not verified");
        return;
    }
    let reason = match heard.await {
        Ok(Ok(mended)) => {
            tracing::info!(mended, "all of the journal is verified");
            return;
        }
        Ok(Err(error)) => format!("the journal is damaged: {error}"),
        Err(_) => "the journal could not be verified to its end".to_owned(),
    };
    tracing::error!(reason, "frozen");
    let surplus = Surplus::default();
    let event = Event::Freeze { agent: None, by: "steward", reason, surplus };
    if let Err(error) = shared.desk.submit(event).await {
        tracing::error!(%error, "cannot freeze");
    }
}

/// An error of ours as the mind is told it.
pub(crate) fn as_fault(error: StewardError) -> Fault {
    match error {
        StewardError::Fault(fault) => fault,
        StewardError::Chain(why) => fault("chain", why),
        error => fault("internal", error.to_string()),
    }
}
