//! What the minds of a world ask for: new work, the same again, another body under the same id, the
//! next attempt too early, from the agents and from the accounts below them.

use crate::{
    laws::law,
    setup::{BELOW, PAYEES},
    support::{ORIGIN, fetch, usdc},
    world::{Stop, World},
};
use marque_policies::{
    Intent, IntentId,
    intent::{Authorise, Cancel, Sweep, Transfer},
};
use marque_steward::{
    core::{Event, Reply},
    entry::Order,
    state::Record,
};
use marque_steward_client::{PaymentState, Proposal, Report, Said};
use std::collections::BTreeMap;

/// A mind that waits for an answer.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    agent: String,
    sub_agent: Option<&'static str>,
    proposal: Proposal,
    pub(crate) tries: u32,
}

/// The last attempt of an agent, or of the account below it, at a task.
pub(crate) type Attempts = BTreeMap<(usize, Option<&'static str>, u64), u32>;

impl World {
    /// Minds propose: new work, the same again, another body under the same id, another attempt.
    pub(crate) fn speak(&mut self) -> Result<(), Stop> {
        for _ in 0..self.dice.between(1, 3) {
            let again = !self.callers.is_empty() && self.dice.percent(25);
            let caller = if again { self.dice.index(self.callers.len()) } else { self.somebody() };
            self.propose(caller);
        }
        Ok(())
    }

    /// A mind that has not spoken before: an agent's, or one of an account below it.
    fn somebody(&mut self) -> usize {
        let (agent, name) = self.an_agent();
        let sub_agent = match self.dice.below(100) {
            0..=29 => Some(self.dice.one(&BELOW)),
            30 => Some("stranger"),
            _ => None,
        };
        let task = self.dice.below(40);
        let (intent, attempt) = match self.cancellation(&name) {
            Some(intent) => (intent, self.dice.one(&[0, 0, 1])),
            None => (self.intent(agent), self.attempt((agent, sub_agent), &name, task)),
        };
        let (task, step) = named(task);
        let proposal = Proposal { task, step, ordinal: 0, attempt, intent };
        self.callers.push(Caller { agent: name, sub_agent, proposal, tries: 0 });
        self.callers.len() - 1
    }

    /// Now and then, to take back something of the agent, mostly what is out.
    fn cancellation(&mut self, name: &str) -> Option<Intent> {
        if !self.dice.percent(12) {
            return None;
        }
        let whatever = self.dice.percent(15);
        let out = |record: &&Record| {
            let authorised = matches!(record.order, Some(Order::Authorisation(_)));
            record.agent == name && (whatever || authorised && record.state == PaymentState::Sent)
        };
        let ids: Vec<_> =
            self.state.intents().values().filter(out).map(|record| record.decided.id).collect();
        let intent = *ids.get(self.dice.index(ids.len()))?;
        Some(Intent::Cancel(Cancel { intent }))
    }

    /// The next attempt where the one before has come to nothing, and now and then where it has not.
    fn attempt(
        &mut self,
        (agent, sub_agent): (usize, Option<&'static str>),
        name: &str,
        task: u64,
    ) -> u32 {
        let of = (agent, sub_agent, task);
        let known = self.attempts.get(&of).copied().unwrap_or_default();
        let (task_name, step) = named(task);
        let id = IntentId::derive(ORIGIN, name, &task_name, step, 0, known);
        let id = sub_agent.map_or(id, |name| id.below(name));
        let now = self.clock();
        let closed = self.state.intent(id).is_some_and(|record| record.is_closed(now));
        let attempt =
            if self.dice.percent(if closed { 85 } else { 3 }) { known + 1 } else { known };
        self.attempts.insert(of, attempt);
        attempt
    }

    pub(crate) fn propose(&mut self, caller: usize) {
        let Caller { agent, sub_agent, proposal, tries } = &mut self.callers[caller];
        *tries += 1;
        let (agent, sub_agent, proposal) = (agent.clone(), *sub_agent, proposal.clone());
        let facts = Box::new(self.facts((&agent, sub_agent), &proposal));
        let event = Event::Propose { agent, proposal: Box::new(proposal), facts };
        self.inbox.push((event, Some(caller)));
    }

    fn intent(&mut self, agent: usize) -> Intent {
        let (payee, to) = self.dice.one(&PAYEES);
        let units = match self.dice.below(8) {
            0 => 1_000_000,
            1 => 800_001,
            2 | 3 => 500_000,
            4 => self.dice.between(1, 1_200_000),
            5 => 100_000,
            _ => 750_000,
        };
        let (payee, amount, labels) = (payee.to_owned(), usdc(units), Default::default());
        match self.dice.below(22) {
            0..=9 => Intent::Authorise(Authorise {
                host: format!("{payee}.example"),
                resource: "https://shop.example/data".to_owned(),
                payee,
                to,
                amount,
                labels,
            }),
            10..=14 => Intent::Transfer(Transfer { payee, to, amount, labels }),
            15..=16 => self.setup.income[agent][self.dice.index(8)].clone(),
            17 => Intent::Sweep(Sweep { amount }),
            18 | 19 => Intent::Refill { amount: usdc(units.min(500_000)) },
            _ => fetch(),
        }
    }

    /// What is allowed is what was proposed.
    pub(crate) fn check_answer(&self, caller: usize, reply: &Reply) -> Result<(), Stop> {
        let Reply::Allowed(id) = reply else { return Ok(()) };
        let asked = self.callers[caller].proposal.intent.body_hash();
        let grant = self.grants.iter().rev().find(|grant| grant.id == *id);
        let same = grant.is_some_and(|grant| grant.intent.body_hash() == asked);
        law!(same, "{id} was allowed, and another body was proposed under it");
        Ok(())
    }

    pub(crate) fn report(&mut self) -> Result<(), Stop> {
        let known: Vec<_> =
            self.state.intents().iter().map(|(id, it)| (*id, it.agent.clone())).collect();
        if known.is_empty() {
            return Ok(());
        }
        let (intent, agent) = known[self.dice.index(known.len())].clone();
        let said = Said::Undelivered { why: "404".to_owned() };
        self.inbox.push((Event::Report { agent, report: Report { intent, said } }, None));
        Ok(())
    }
}

/// The task and step of one of a mind's pieces of work.
fn named(task: u64) -> (String, u32) {
    (format!("t{}", task / 4), u32::try_from(task % 4).unwrap())
}
