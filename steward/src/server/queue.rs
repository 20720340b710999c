//! What an owner's commands ask: how the steward stands, and what waits for the owner.
//!
//! Both are told to whoever is on an agent's socket, its mind included, so neither says anything of
//! other agents.

use crate::{
    core::Event,
    error::{StewardError, fault},
    float,
    server::{Kind, answer::noted},
    state::{Record, State},
    steward::Shared,
};
use alloy_primitives::B256;
use marque_policies::{Mark, SignedStatement, Statement, Timestamp};
use marque_steward_client::{Answer, DecisionView, FrozenView, HeldView, MAX_FRAME, Queue, Status};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

/// Decisions that are remembered for those who watch.
const REMEMBERED: usize = 256;

/// The room for held intents in an answer, in bytes of JSON.
const ROOM: usize = MAX_FRAME / 2;

/// The pause between two looks at a journal that grows all the time.
const PAUSE: Duration = Duration::from_millis(200);

/// How many may wait for news at a time, over all agents: so many minds, and so many of the owner's
/// commands. Whoever comes then is answered at once and asks again. A mind that waits a thousandfold would have each entry looked at so often.
const WATCHERS: usize = 16;

/// The places of those who wait for news.
#[derive(Debug)]
pub(crate) struct Watchers {
    minds: Semaphore,
    owners: Semaphore,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { minds: Semaphore::new(WATCHERS), owners: Semaphore::new(WATCHERS) }
    }
}

impl Watchers {
    pub(super) const fn at(&self, entrance: Kind) -> &Semaphore {
        match entrance {
            Kind::Mind => &self.minds,
            Kind::Owner => &self.owners,
        }
    }
}

/// What the owner decided since the steward began, the newest last, with whose intent it was.
#[derive(Debug, Default)]
pub(crate) struct Decisions(Mutex<VecDeque<(String, DecisionView)>>);

impl Decisions {
    fn note(&self, agent: String, decision: DecisionView) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The same act handed in twice is one.
        if all.iter().any(|(_, known)| known.entry == decision.entry) {
            return;
        }
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back((agent, decision));
    }

    fn of(&self, agent: &str) -> Vec<DecisionView> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(whose, _)| whose == agent).map(|(_, it)| it.clone()).collect()
    }
}

/// Hands in an act of the owner; those who watch are told who decided.
pub(super) async fn submit(
    shared: &Shared,
    signed: Box<SignedStatement>,
) -> Result<Answer, StewardError> {
    let decides = match &signed.statement {
        Statement::Approve { agent, intent, .. } => Some((agent.clone(), *intent, true)),
        Statement::Deny { agent, intent, .. } => Some((agent.clone(), *intent, false)),
        _ => None,
    };
    let answer = noted(shared, Event::Submit(signed)).await?;
    if let (Answer::Noted { entry }, Some((agent, id, approved))) = (&answer, decides) {
        // The core has accepted the signature, so it is that of the owner in force.
        let owner = shared.desk.look(|state, _| state.owner()).await?;
        if let Some(by) = owner {
            shared.decisions.note(agent, DecisionView { id, approved, by, entry: *entry });
        }
    }
    Ok(answer)
}

pub(super) async fn status(shared: &Shared, agent: String) -> Result<Answer, StewardError> {
    let (since, walls) = (shared.since, shared.walls.clone());
    let asked = shared.ready.borrow().get(&agent).copied();
    let floats = float::views(shared, &agent).await?;
    let status = shared.desk.look(move |state, now| {
        let (begun, account) = (state.genesis()?, state.agent(&agent)?);
        let mine = || state.intents().values().filter(|record| record.agent == agent);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let policy = account.policy.as_ref();
        let hash = policy.map(|policy| policy.hash);
        Some(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since,
            now,
            chain: begun.chain,
            origin: begun.origin,
            owner: state.owner().unwrap_or(begun.owner),
            entries: state.next(),
            frozen: frozen(state, &agent),
            enforced: walls.enforced,
            missing: walls.missing,
            address: account.key,
            policy_version: policy.map_or(0, |policy| policy.version),
            policy_hash: hash.unwrap_or(B256::ZERO),
            ready: hash.is_some() && asked == hash,
            held: count(mine().filter(|record| record.is_held(now)).count()),
            live: count(mine().filter(|record| record.is_live()).count()),
            floats,
            agent,
        })
    });
    Ok(match status.await? {
        Some(status) => Answer::Status(Box::new(status)),
        None => Answer::Error(fault("unknown", "this agent is not enrolled")),
    })
}

fn frozen(state: &State, agent: &str) -> Option<FrozenView> {
    let frozen = state.frozen()?;
    let foreign = frozen.authorisations.get(agent).map_or(0, |all| all.len());
    Some(FrozenView {
        entry: frozen.seq,
        by: frozen.by.clone(),
        reason: frozen.reason.clone(),
        nonce: frozen.nonces.get(agent).copied(),
        foreign: u64::try_from(foreign).unwrap_or(u64::MAX),
    })
}

/// Answers with the queue, once it is another than the one that is `seen`.
pub(super) async fn queue(
    shared: &Shared,
    places: &Semaphore,
    agent: String,
    (seen, timeout_ms): (Option<u64>, u64),
) -> Result<Answer, StewardError> {
    let place = places.try_acquire();
    let patience = if place.is_ok() { timeout_ms } else { 0 };
    let mut deadline = Instant::now() + Duration::from_millis(patience);
    let mut changes = shared.desk.changes();
    loop {
        changes.mark_unchanged();
        let (name, decided) = (agent.clone(), shared.decisions.of(&agent));
        let queue = shared.desk.look(move |state, now| look(state, &name, now, decided)).await?;
        let Some(queue) = queue else {
            return Ok(Answer::Error(fault("unknown", "this agent is not enrolled")));
        };
        if seen != Some(queue.mark) || Instant::now() >= deadline {
            return Ok(Answer::Queue(Box::new(queue)));
        }
        // What expires writes no entry.
        if let Some(closes) = queue.held.iter().map(|held| held.closes).min() {
            let left = Duration::from_millis(closes.saturating_sub(queue.now).saturating_add(1));
            deadline = deadline.min(Instant::now() + left);
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Err(_)) => return Err(StewardError::Stopped),
            Ok(Ok(())) => sleep(PAUSE).await,
            Err(_) => {}
        }
    }
}

fn look(state: &State, agent: &str, now: Timestamp, decided: Vec<DecisionView>) -> Option<Queue> {
    let (begun, account) = (state.genesis()?, state.agent(agent)?);
    let mut records: Vec<&Record> = state
        .intents()
        .values()
        .filter(|record| record.agent == agent && record.is_held(now))
        .collect();
    records.sort_by_key(|record| record.entry);
    let policy_version = account.policy.as_ref().map_or(0, |policy| policy.version);
    let mut mark = DefaultHasher::new();
    (state.owner(), policy_version).hash(&mut mark);
    for record in &records {
        (record.decided.id, record.entry).hash(&mut mark);
    }
    decided.last().map(|last| last.entry).hash(&mut mark);
    let (mut held, mut left_out, mut room) = (Vec::new(), 0, ROOM);
    for record in records {
        let view = view(record);
        let bytes = serde_json::to_vec(&view).map_or(usize::MAX, |json| json.len());
        match room.checked_sub(bytes) {
            Some(left) => {
                room = left;
                held.push(view);
            }
            None => left_out += 1,
        }
    }
    Some(Queue {
        mark: mark.finish(),
        now,
        chain: begun.chain,
        origin: begun.origin,
        owner: state.owner().unwrap_or(begun.owner),
        policy_version,
        held,
        left_out,
        decided,
    })
}

fn view(record: &Record) -> HeldView {
    let asks = record.decided.table.iter().filter(|row| row.mark != Mark::Pass);
    HeldView {
        id: record.decided.id,
        task: record.decided.task.clone(),
        intent: record.decided.intent.clone(),
        body: record.decided.body,
        at: record.at,
        closes: record.closes,
        why: asks.cloned().collect(),
    }
}
