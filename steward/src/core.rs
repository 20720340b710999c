//! The decider: a pure step from (state, event, now) to entries, an effect and a reply.
//!
//! No I/O, no clock, no key. The same function runs in production, in recovery and in tests. What
//! is to happen is written into entries first; the driver makes them durable and only then carries
//! the effect out and says the reply.
//!
//! INVARIANT: an effect that signs is a [`Permit`], and a permit is made only here, beside the
//! entry that reserves it (pinned by `core::permit`'s privacy: its constructor is visible to this
//! module alone).

mod chain;
mod fees;
pub mod news;
mod owner;
mod payer;
mod permit;
mod propose;

pub(crate) use owner::genesis;
pub use payer::Payer;
pub(crate) use payer::{Owed, owed, paying};
pub use permit::Permit;
pub use propose::{BlockFacts, Covered, Facts, GasPlan, Lack, Way};
pub(crate) use propose::{
    CANCEL_GAS, CLOCK_SKEW, Call, is_delegation, knows_more, leaves, refills, takes,
};

use crate::{
    entry::{Body, Entry, Foreign, VERSION, Word},
    error::fault,
    state::State,
};
use marque_policies::{Intent, IntentId, Row, SignedStatement, Statement, Timestamp};
use marque_steward_client::{Fault, Note, Proposal, Report, Said};

/// How many intents of one agent may wait for the owner at a time.
pub const HELD_AT_ONCE: usize = 64;

/// The same refusal of the same proposal is journalled once in so many milliseconds.
pub const REFUSAL_REST: Timestamp = 60_000;

/// The longest task name, in bytes.
const MAX_TASK: usize = 128;

/// The longest text of a mind's own words, in characters; the rest is cut.
const MAX_WORDS: usize = 500;

/// What happens to a steward.
#[derive(Clone, Debug)]
pub enum Event {
    /// A mind proposes, and this is what was found out about it.
    Propose {
        /// Who speaks, known from the connection.
        agent: String,
        /// What it proposes.
        proposal: Box<Proposal>,
        /// What the chain says.
        facts: Box<Facts>,
    },
    /// A mind commits to a step.
    Note {
        /// Who speaks.
        agent: String,
        /// To what.
        note: Note,
    },
    /// A mind says what a counterparty did.
    Report {
        /// Who speaks.
        agent: String,
        /// What.
        report: Report,
    },
    /// Somebody on a socket, or the steward itself, stops everything.
    Freeze {
        /// The agent it concerns or that speaks.
        agent: Option<String>,
        /// `mind` or `steward`.
        by: &'static str,
        /// Why.
        reason: String,
        /// What the chain knows of that agent and we did not.
        surplus: Surplus,
    },
    /// An act of the owner, from anywhere: its signature says whose it is.
    Submit(Box<SignedStatement>),
    /// The chain, or our own sending, moved an intent. The body is one of `signed`, `sent`, `seen`,
    /// `unseen`, `final`, `reverted`, `cancelled`, `released`, `expired`.
    Moved(Body),
    /// A transaction waits too long: the same with fees that get it mined now.
    Replace {
        /// Which intent.
        id: IntentId,
        /// What the chain asks now; the limit on gas is of no account.
        plan: GasPlan,
        /// The newest block's time, in Unix seconds.
        block_time: u64,
    },
    /// Money came to an agent's key, or the chain was read up to a block: `received`, `scanned`.
    Chain {
        /// Whose key.
        agent: String,
        /// What is known.
        body: Body,
    },
    /// A transaction is reserved and was never signed, or its bytes are lost: sign what the journal
    /// says, now.
    Resume(IntentId),
    /// The steward has something to say of itself: `started`, `index_rebuilt`,
    /// `recovered`, `stopped`.
    Own(Body),
}

impl Event {
    /// The intents that it is about, and those that the rules look at beside them: what is archived
    /// of these has to be [recalled](State::recall) before [`step`].
    #[must_use]
    pub fn intents(&self, state: &State) -> Vec<IntentId> {
        match self {
            Self::Propose { agent, proposal, facts } => {
                let Some(begun) = state.genesis() else { return Vec::new() };
                let attempt = proposal.attempt;
                let later = propose::later_attempts(&proposal.intent, attempt);
                let around = [Some(attempt), attempt.checked_sub(1)].into_iter().flatten();
                let id = |attempt| {
                    let proposal = Proposal { attempt, ..Proposal::clone(proposal) };
                    proposal.id_of(begun.origin, agent, facts.sub_agent.as_deref())
                };
                let mut ids: Vec<IntentId> = around.chain(later).map(id).collect();
                match &proposal.intent {
                    Intent::Cancel(cancel) => ids.push(cancel.intent),
                    Intent::InvalidatePermit { intent } => ids.push(*intent),
                    _ => {}
                }
                ids
            }
            Self::Report { report, .. } => vec![report.intent],
            Self::Submit(signed) => match signed.statement {
                Statement::Approve { intent, .. } | Statement::Deny { intent, .. } => vec![intent],
                _ => Vec::new(),
            },
            Self::Moved(body) => body.intent().into_iter().collect(),
            Self::Resume(id) | Self::Replace { id, .. } => vec![*id],
            Self::Chain { .. } | Self::Note { .. } | Self::Freeze { .. } | Self::Own(_) => {
                Vec::new()
            }
        }
    }
}

/// What the chain knows of an agent beyond the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Its account nonce, where that is ahead.
    pub nonce: Option<u64>,
    /// Settled authorisations that are not in the ledger.
    pub authorisations: Vec<Foreign>,
}

/// What follows from an event.
#[derive(Debug)]
#[must_use = "entries must be journalled, and then the effect carried out"]
pub struct Step {
    /// What is written, in order, each with the agent it concerns and whose word it is.
    pub entries: Vec<(Option<String>, Word, Body)>,
    /// What is done once that is durable.
    pub effect: Effect,
    /// What is answered then.
    pub reply: Reply,
}

/// What is done once the entries are durable.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// Sign what the permit is for.
    Sign(Box<Permit>),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Allowed; what was made is the effect's.
    Allowed(IntentId),
    /// The owner is asked.
    Held(IntentId, Vec<Row>),
    /// Refused.
    Refused(IntentId, Vec<Row>),
    /// It is in the journal: at this number, or at the first entry of this step.
    Noted(Option<u64>),
    /// Not accepted; nothing was changed.
    Fault(Fault),
}

/// Decides what follows from an event. `now` is [`State::now`] of the wall clock.
pub fn step(state: &State, event: Event, now: Timestamp) -> Step {
    // An archived intent that nobody recalled would look like one that never was.
    let forgotten = |id: &IntentId| state.archived(*id).is_some() && state.intent(*id).is_none();
    if event.intents(state).iter().any(forgotten) {
        let fault = fault("internal", "what is archived of this intent was not read back");
        return Step { entries: Vec::new(), effect: Effect::None, reply: Reply::Fault(fault) };
    }
    let outcome = match event {
        Event::Propose { agent, proposal, facts } => {
            propose::propose(state, &agent, *proposal, &facts, now)
        }
        Event::Note { agent, note } => take_note(state, agent, note),
        Event::Report { agent, report } => take_report(state, agent, report),
        Event::Freeze { agent, by, reason, surplus } => {
            Ok(freeze(state, agent, by, &reason, surplus))
        }
        Event::Submit(signed) => owner::submit(state, *signed, now),
        Event::Moved(body) => Ok(chain::moved(state, body, now)),
        Event::Replace { id, plan, block_time } => {
            // Nothing here stops for a clock that is ahead, so its windows stay near the chain's time.
            Ok(chain::replace(state, id, plan, (now, propose::near(now, block_time))))
        }
        Event::Chain { agent, body } => Ok(chain::told(state, agent, body)),
        Event::Resume(id) => Ok(chain::resume(state, id, now)),
        Event::Own(body) => Ok(Step::noted(None, Word::Attested, body)),
    };
    outcome.unwrap_or_else(|fault| Step {
        entries: Vec::new(),
        effect: Effect::None,
        reply: Reply::Fault(fault),
    })
}

impl Step {
    fn noted(agent: Option<String>, word: Word, body: Body) -> Self {
        let entries = vec![(agent, word, body)];
        Self { entries, effect: Effect::None, reply: Reply::Noted(None) }
    }

    fn already(seq: u64) -> Self {
        Self { entries: Vec::new(), effect: Effect::None, reply: Reply::Noted(Some(seq)) }
    }

    fn nothing() -> Self {
        Self { entries: Vec::new(), effect: Effect::None, reply: Reply::Noted(None) }
    }

    /// The entries as they go into the journal after `state`, at `now`.
    pub fn number(&mut self, state: &State, now: Timestamp) -> Vec<Entry> {
        let bodies = std::mem::take(&mut self.entries);
        (state.next()..)
            .zip(bodies)
            .map(|(seq, (agent, word, body))| Entry { v: VERSION, seq, at: now, agent, word, body })
            .collect()
    }
}

fn take_note(state: &State, agent: String, note: Note) -> Result<Step, Fault> {
    enrolled(state, &agent)?;
    task_name(&note.task)?;
    let Note { task, step, what, commitment } = note;
    if !matches!(what.as_str(), "prompt" | "call" | "result" | "answer" | "model") {
        let line = "a note commits to a prompt, call, result, answer or model";
        return Err(fault("malformed", line));
    }
    let body = Body::Noted { task, step, what, commitment };
    Ok(Step::noted(Some(agent), Word::Claimed, body))
}

fn take_report(state: &State, agent: String, report: Report) -> Result<Step, Fault> {
    enrolled(state, &agent)?;
    let known = state.intent(report.intent).is_some_and(|record| record.agent == agent);
    if !known {
        return Err(fault("unknown", format!("there is no intent {} here", report.intent)));
    }
    let said = match report.said {
        Said::Undelivered { why } => Said::Undelivered { why: shorten(&why) },
        said => said,
    };
    let contradicted = match (&said, state.intent(report.intent)) {
        (Said::Settled { transaction, amount: Some(_) }, Some(record)) => {
            record.contradicts(*transaction, record.state)
        }
        _ => None,
    };
    let body = Body::Reported { id: report.intent, said };
    let mut step = Step::noted(Some(agent.clone()), Word::Claimed, body);
    step.entries.extend(contradicted.map(|body| (Some(agent), Word::Attested, body)));
    Ok(step)
}

/// Who froze it, where somebody asked for it: over a mind's socket,
pub(crate) const FROM_A_MINDS: &str = "mind";

/// or over the owner's.
pub(crate) const FROM_THE_OWNERS: &str = "command";

/// or the steward by itself.
pub(crate) const STEWARD: &str = "steward";

fn freeze(state: &State, agent: Option<String>, by: &str, reason: &str, surplus: Surplus) -> Step {
    let Surplus { nonce, authorisations } = surplus;
    // Frozen once. But what the chain knows more is written all the same, so that the owner cannot
    // thaw without having been told of it.
    if let Some(frozen) = state.frozen()
        && frozen.covers(agent.as_deref().unwrap_or_default(), nonce, &authorisations)
    {
        return Step::already(frozen.seq);
    }
    let asked = [FROM_A_MINDS, FROM_THE_OWNERS].contains(&by);
    let word = if asked { Word::Claimed } else { Word::Attested };
    let body = Body::Frozen { by: by.to_owned(), reason: shorten(reason), nonce, authorisations };
    Step::noted(agent, word, body)
}

fn enrolled(state: &State, agent: &str) -> Result<(), Fault> {
    match state.agent(agent) {
        Some(_) => Ok(()),
        None => Err(fault("unknown", format!("there is no agent \"{agent}\" here"))),
    }
}

fn task_name(task: &str) -> Result<(), Fault> {
    if task.is_empty() || task.len() > MAX_TASK {
        let line = format!("a task's name has 1 to {MAX_TASK} bytes, and this one {}", task.len());
        return Err(fault("malformed", line));
    }
    Ok(())
}

/// A mind's own words, bounded.
fn shorten(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}
