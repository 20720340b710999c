//! A new policy over old history: which decisions would have been others, and the money involved.
//!
//! The journal's own entries go through the same [`step`] that decided them, with the new policy in
//! the place of the one that was in force. Pure: entries in, a report out.
//!
//! Two readings are possible, and [`Reading`] names them. Followed, a decision has consequences:
//! what the new policy refuses is not spent, so later windows are emptier, and what it allows beyond
//! the old one is. Fixed, each decision is judged on the ledger as it really was.
//!
//! What history cannot say is taken as narrowly as it can be: a question that the owner was never
//! asked counts as not approved, and an approval or a denial that was given counts under the new
//! policy as well. Where the journal lacks a fact that the decision would have needed, the answer
//! is [`Outcome::Unknown`], never a guess.
//!
//! INVARIANT: the policy that was in force changes nothing (pinned by `tests/replay.rs`,
//! `the_policy_that_was_in_force_changes_nothing`), and a naive recount agrees with every decision
//! (`a_naive_recount_of_the_windows_agrees`).

use crate::{
    core::{BlockFacts, Covered, Event, Facts, GasPlan, Lack, Reply, Way, is_delegation, step},
    entry::{Allowed, Body, Decided, Entry, Found, OnChain, Order, VERSION, Word},
    error::StewardError,
    state::{Record, State},
};
use alloy_primitives::{B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, IntentId, Mark, Money, Policy, PolicyError, Row, Timestamp,
};
use marque_steward_client::{PaymentState, Proposal};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose policy it is.
    pub agent: String,
    /// The new policy, all its documents in one text.
    pub document: String,
    /// Unix milliseconds from which it is in force; before, history stands.
    pub since: Timestamp,
    /// How decisions bear on later ones.
    pub reading: Reading,
}

/// How decisions bear on later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// What the new policy decides is what was spent from then on.
    #[default]
    Followed,
    /// What was really spent is what was spent.
    Fixed,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Decisions that were tried.
    pub decisions: u64,
    /// Those that would have been others, in order.
    pub changes: Vec<Change>,
    /// What would have been spent beyond what was allowed, by asset: first allowed by the new one.
    #[serde(with = "amounts")]
    pub more: BTreeMap<AssetId, U256>,
    /// What was allowed and would not have been spent.
    #[serde(with = "amounts")]
    pub less: BTreeMap<AssetId, U256>,
}

/// A decision that would have been another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The journal's entry of the decision as it was.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub agent: String,
    /// Of which intent.
    pub id: IntentId,
    /// What was asked.
    pub intent: Intent,
    /// What was decided.
    pub was: Decision,
    /// What would have been.
    pub now: Outcome,
    /// The rules that make the difference: those of the new policy that stopped it, or those of the
    /// old one that do so no more.
    pub rules: Vec<String>,
    /// The new table, where there is one.
    pub table: Vec<Row>,
}

/// What would have been decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed.
    Allow,
    /// The owner would have been asked.
    Hold,
    /// Refused.
    Refuse,
    /// The question would not have come: the same one had gone through before.
    NotAsked {
        /// Why not.
        why: String,
    },
    /// The journal does not hold what the decision would have needed.
    Unknown {
        /// What is missing.
        why: String,
    },
}

impl Replay {
    /// Whether anything more would have been allowed, or may have been.
    #[must_use]
    pub fn is_wider(&self) -> bool {
        self.changes.iter().any(|change| match change.now {
            Outcome::Allow => true,
            // What was allowed cannot be more allowed.
            Outcome::Unknown { .. } => change.was != Decision::Allow,
            Outcome::Hold | Outcome::Refuse | Outcome::NotAsked { .. } => false,
        })
    }

    /// How many decisions each rule makes the difference in, and the money of these, by asset.
    #[must_use]
    pub fn by_rule(&self) -> BTreeMap<&str, (u64, BTreeMap<AssetId, U256>)> {
        let mut rules: BTreeMap<&str, (u64, BTreeMap<AssetId, U256>)> = BTreeMap::new();
        for change in &self.changes {
            for rule in &change.rules {
                let (count, sums) = rules.entry(rule).or_default();
                *count += 1;
                add(sums, change.amount());
            }
        }
        rules
    }
}

impl Change {
    /// The money that it is about, gas apart; a return to the owner is none.
    #[must_use]
    pub fn amount(&self) -> Option<Money> {
        match &self.intent {
            Intent::Sweep(_) => None,
            intent => intent.spends(),
        }
    }
}

/// The other history in the making. It takes the journal's entries one after the other, from the
/// first on.
#[derive(Debug)]
pub struct Replayer {
    plan: Plan,
    policy: Policy,
    state: State,
    /// Entries taken.
    taken: u64,
    /// Whether the new policy is in force.
    begun: bool,
    replay: Replay,
}

impl Replayer {
    /// Begins with nothing.
    ///
    /// # Errors
    /// [`PolicyError`] where the new policy is none.
    pub fn new(plan: Plan) -> Result<Self, PolicyError> {
        let (policy, _) = marque_policies::parse(&plan.document)?;
        let (state, replay) = Default::default();
        Ok(Self { plan, policy, state, taken: 0, begun: false, replay })
    }

    /// What came of it; `None` where the agent is not in the journal.
    #[must_use]
    pub fn finish(self) -> Option<Replay> {
        self.known().then_some(self.replay)
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`StewardError::Entry`] where the entries are no journal.
    pub fn take(&mut self, entry: &Entry) -> Result<(), StewardError> {
        if entry.seq != self.taken {
            let why = format!("comes where entry {} should", self.taken);
            return Err(StewardError::Entry { seq: entry.seq, why });
        }
        self.taken += 1;
        if !self.begun && entry.at >= self.plan.since && self.known() {
            self.adopt(entry.at)?;
        }
        let Entry { at, agent, word, body, .. } = entry;
        match body {
            // Places where a long ledger is made small; here everything stays at hand.
            _ if body.kind() == "checkpointed" => Ok(()),
            // Numbers of entries are others here.
            Body::Thawed { signature, .. } => match self.state.frozen() {
                Some(frozen) => {
                    let (frozen_at, signature) = (frozen.seq, signature.clone());
                    self.write(*at, agent, *word, Body::Thawed { frozen_at, signature })
                }
                None => Ok(()),
            },
            Body::Rotate { owner, signature, countersignature, .. } => {
                let body = Body::Rotate {
                    owner: *owner,
                    since: self.state.owner_since(),
                    signature: signature.clone(),
                    countersignature: countersignature.clone(),
                };
                self.write(*at, agent, *word, body)
            }
            _ if !self.begun => self.write(*at, agent, *word, body.clone()),
            Body::Refused(decided) => self.judge(entry, decided, Decision::Refuse, None),
            Body::Held(decided) => self.judge(entry, decided, Decision::Hold, None),
            Body::Allowed(allowed) => {
                self.judge(entry, &allowed.decided, Decision::Allow, Some(allowed))
            }
            // The new policy stays in force.
            Body::Adopt { .. } if agent.as_ref() == Some(&self.plan.agent) => Ok(()),
            Body::Approve { intent, .. } | Body::Deny { intent, .. } => {
                let waits = self.state.intent(*intent).is_some_and(|record| {
                    matches!(record.state, PaymentState::Held | PaymentState::Approved)
                });
                if waits { self.write(*at, agent, *word, self.renewed(entry)) } else { Ok(()) }
            }
            Body::Reported { .. } | Body::Contradicted { .. } => {
                self.write(*at, agent, *word, body.clone())
            }
            body if body.intent().is_some() => {
                // What is under way here came the same way; news of anything else is none.
                let record = body.intent().and_then(|id| self.state.intent(id));
                let live = record.is_some_and(Record::is_live);
                if live { self.write(*at, agent, *word, body.clone()) } else { Ok(()) }
            }
            _ => self.write(*at, agent, *word, body.clone()),
        }
    }

    fn known(&self) -> bool {
        self.state.agent(&self.plan.agent).is_some()
    }

    /// Puts the new policy in force.
    fn adopt(&mut self, at: Timestamp) -> Result<(), StewardError> {
        self.begun = true;
        let body = Body::Adopt {
            version: self.policy.version,
            hash: self.policy.hash,
            document: self.plan.document.clone(),
            signature: String::new(),
        };
        self.write(at, &Some(self.plan.agent.clone()), Word::Attested, body)
    }

    /// The owner's word, read as given under the policy that is in force here.
    fn renewed(&self, entry: &Entry) -> Body {
        let mut body = entry.body.clone();
        let in_force = entry
            .agent
            .as_ref()
            .and_then(|agent| self.state.agent(agent))
            .and_then(|account| account.policy.as_ref());
        if let (Body::Approve { version, .. }, Some(in_force)) = (&mut body, in_force) {
            *version = in_force.version;
        }
        body
    }

    /// Decides again what was decided, and goes on from there.
    fn judge(
        &mut self,
        entry: &Entry,
        decided: &Decided,
        was: Decision,
        allowed: Option<&Allowed>,
    ) -> Result<(), StewardError> {
        self.replay.decisions += 1;
        let agent = entry.agent.clone().unwrap_or_default();
        let facts = self.facts(&agent, decided, allowed, entry.at);
        let resolved = !facts.resolved.is_empty();
        let proposal = Proposal {
            task: decided.task.clone(),
            step: decided.step,
            ordinal: decided.ordinal,
            attempt: decided.attempt,
            intent: decided.intent.clone(),
        };
        let before = self.state.intent(decided.id).is_some_and(|record| record.is_spent());
        let event = Event::Propose {
            agent: agent.clone(),
            proposal: Box::new(proposal),
            facts: Box::new(facts),
        };
        let step = step(&self.state, event, entry.at);
        let (now, table) = match step.reply {
            Reply::Allowed(_) if before && was != Decision::Allow => {
                let why = "it had been allowed when it was asked first".to_owned();
                (Outcome::NotAsked { why }, Vec::new())
            }
            Reply::Allowed(_) => (Outcome::Allow, Vec::new()),
            Reply::Held(_, table) => (Outcome::Hold, table),
            Reply::Refused(_, table) => (Outcome::Refuse, table),
            Reply::Fault(fault) if fault.code == "attempt" => {
                (Outcome::NotAsked { why: fault.message }, Vec::new())
            }
            Reply::Fault(fault) => (Outcome::Unknown { why: fault.message }, Vec::new()),
            Reply::Noted(_) => {
                (Outcome::Unknown { why: "it is no decision".to_owned() }, Vec::new())
            }
        };
        let now = match now {
            // A registry that was not asked then says nothing about today's rule.
            Outcome::Refuse if !resolved && only_identity(&table) => {
                let why = "the registry was not asked for this payee then".to_owned();
                Outcome::Unknown { why }
            }
            now => now,
        };
        let fresh = now == Outcome::Allow && was != Decision::Allow;
        self.note(entry, &agent, decided, was, now, table);
        match self.plan.reading {
            Reading::Followed => {
                self.write_all(entry.at, step.entries)?;
                if fresh { self.settle(decided.id, entry.at) } else { Ok(()) }
            }
            Reading::Fixed => self.write(entry.at, &entry.agent, entry.word, entry.body.clone()),
        }
    }

    /// What had been found out then, as far as the journal says.
    fn facts(
        &self,
        agent: &str,
        decided: &Decided,
        allowed: Option<&Allowed>,
        at: Timestamp,
    ) -> Facts {
        let account = self.state.agent(agent);
        let found = decided.found.clone().unwrap_or_else(|| from_order(allowed));
        let payee = match &decided.intent {
            Intent::Authorise(pay) => Some(&pay.payee),
            Intent::Transfer(pay) => Some(&pay.payee),
            Intent::PermitTransfer(pay) => Some(&pay.payee),
            _ => None,
        };
        Facts {
            sub_agent: decided.sub_agent.clone(),
            policy: account.and_then(|it| it.policy.as_ref()).map(|it| it.hash).unwrap_or_default(),
            // A payment is decided within minutes of block time.
            block: found.block.or(Some(BlockFacts { number: 0, timestamp: at / 1_000 })),
            resolved: payee.cloned().zip(found.payee).into_iter().collect(),
            gas: found.gas,
            nonce: account.map(|account| account.nonce),
            elsewhere: allowed.filter(|allowed| allowed.order == Order::Elsewhere).map(|_| NOWHERE),
            cover: found.cover,
            held: None,
            way: allowed.and_then(|allowed| Way::of(&allowed.order)),
            covered: covered(&decided.table),
            payer: None,
            trouble: None,
        }
    }

    fn note(
        &mut self,
        entry: &Entry,
        agent: &str,
        decided: &Decided,
        was: Decision,
        now: Outcome,
        table: Vec<Row>,
    ) {
        let same = matches!(
            (was, &now),
            (Decision::Allow, Outcome::Allow)
                | (Decision::Hold, Outcome::Hold)
                | (Decision::Refuse, Outcome::Refuse)
        );
        if same {
            return;
        }
        let stopped_by = |table: &[Row]| {
            let worst =
                if table.iter().any(|row| row.mark == Mark::Fail) { Mark::Fail } else { Mark::Ask };
            let rows = table.iter().filter(move |row| row.mark == worst);
            rows.map(|row| row.rule.clone()).collect::<Vec<_>>()
        };
        let rules = match now {
            Outcome::Hold | Outcome::Refuse if was == Decision::Allow => stopped_by(&table),
            // It was stopped and is stopped otherwise: the old rules give way to these.
            Outcome::Hold | Outcome::Refuse => {
                let mut rules = stopped_by(&decided.table);
                rules.extend(stopped_by(&table));
                rules.sort();
                rules.dedup();
                rules
            }
            Outcome::Allow => stopped_by(&decided.table),
            Outcome::NotAsked { .. } | Outcome::Unknown { .. } => Vec::new(),
        };
        let change = Change {
            seq: entry.seq,
            at: entry.at,
            agent: agent.to_owned(),
            id: decided.id,
            intent: decided.intent.clone(),
            was,
            now,
            rules,
            table,
        };
        match (was, &change.now) {
            (Decision::Allow, Outcome::Unknown { .. }) => {}
            (Decision::Allow, _) => add(&mut self.replay.less, change.amount()),
            (_, Outcome::Allow) => add(&mut self.replay.more, change.amount()),
            _ => {}
        }
        self.replay.changes.push(change);
    }

    /// What happens here only is final at once, at all that was reserved: no chain says otherwise.
    fn settle(&mut self, id: IntentId, at: Timestamp) -> Result<(), StewardError> {
        let Some(record) = self.state.intent(id) else { return Ok(()) };
        let (agent, actual) = (record.agent.clone(), record.debits.clone());
        let skip = match record.state {
            PaymentState::Reserved => 0,
            PaymentState::Signed => 1,
            PaymentState::Sent => 2,
            PaymentState::Seen => 3,
            _ => return Ok(()),
        };
        let moves = [
            Body::Signed { id, hash: B256::ZERO },
            Body::Sent { id },
            Body::Seen { id, at: NOWHERE },
            Body::Final { id, actual, time: None },
        ];
        let agent = Some(agent);
        for body in moves.into_iter().skip(skip) {
            self.write(at, &agent, Word::Attested, body)?;
        }
        Ok(())
    }

    fn write_all(
        &mut self,
        at: Timestamp,
        entries: Vec<(Option<String>, Word, Body)>,
    ) -> Result<(), StewardError> {
        entries.into_iter().try_for_each(|(agent, word, body)| self.write(at, &agent, word, body))
    }

    /// Adds an entry to the other history, in its own count.
    fn write(
        &mut self,
        at: Timestamp,
        agent: &Option<String>,
        word: Word,
        body: Body,
    ) -> Result<(), StewardError> {
        let (seq, agent) = (self.state.next(), agent.clone());
        self.state.apply(&Entry { v: VERSION, seq, at, agent, word, body })
    }
}

/// A place on chain of what happens in a replay only.
const NOWHERE: OnChain = OnChain { transaction: B256::ZERO, block: 0, block_hash: B256::ZERO };

/// What an order tells of what had been found out, in journals that do not say it themselves.
fn from_order(allowed: Option<&Allowed>) -> Found {
    let Some(order) = allowed.and_then(|allowed| allowed.order.transaction()) else {
        return Found::default();
    };
    let gas = GasPlan {
        limit: order.gas_limit,
        max_fee: u128::try_from(order.max_fee).unwrap_or(u128::MAX),
        max_priority_fee: u128::try_from(order.max_priority_fee).unwrap_or(u128::MAX),
    };
    Found { gas: Some(gas), ..Found::default() }
}

/// What the chain held then, where it was asked; a policy of then that did not require it says
/// nothing of today's rule.
fn covered(table: &[Row]) -> Covered {
    let lacks = table.iter().find(|row| row.mark == Mark::Fail && is_delegation(&row.rule));
    lacks.map_or(Covered::Stands, |row| {
        let mend = row.mend.clone().unwrap_or_default();
        Covered::Lacks(Lack { why: row.measured.clone(), mend })
    })
}

/// Whether nothing but a payee's identity stands against it.
fn only_identity(table: &[Row]) -> bool {
    let mut failed = table.iter().filter(|row| row.mark == Mark::Fail);
    failed.all(|row| row.rule.starts_with("payee.") && row.rule.ends_with(".identity"))
}

fn add(sums: &mut BTreeMap<AssetId, U256>, money: Option<Money>) {
    if let Some(Money { units, asset }) = money {
        let sum = sums.entry(asset).or_default();
        *sum = sum.saturating_add(units);
    }
}

/// Sums by asset as a list of amounts: JSON has texts for keys.
mod amounts {
    use super::{AssetId, BTreeMap, Money, U256};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        sums: &BTreeMap<AssetId, U256>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(sums.iter().map(|(asset, units)| Money::new(*units, *asset)))
    }
}
