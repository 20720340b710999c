//! One world: what happens in it, one thing after another, as its dice say.

use crate::{
    chain::{Chain, DEPTH, Deed, Node, Out, SPACING, Silent, Tx},
    disk::Disk,
    laws::{self, Grant, law},
    minds::{Attempts, Caller},
    setup::{NAMES, Setup, setup},
    support::{START, dice::Dice, owner, signed},
};
use alloy_primitives::Address;
use marque_policies::{Intent, IntentId, Statement, Timestamp};
use marque_steward::{
    Entry, State,
    core::{Event, Reply, Surplus},
    entry::Order,
};
use marque_steward_client::PaymentState;
use std::collections::{BTreeMap, BTreeSet};

/// Why a stretch of work ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The steward was killed.
    Crash,
    /// A law did not hold.
    Law(String),
}

impl From<String> for Stop {
    fn from(line: String) -> Self {
        Self::Law(line)
    }
}

/// What was reached, so that a run can say what it has tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) entries: u64,
    pub(crate) grants: u64,
    pub(crate) crashes: u64,
    pub(crate) reorganisations: u64,
    pub(crate) settled: u64,
    pub(crate) below: u64,
    pub(crate) cancelled: u64,
    pub(crate) replaced: u64,
    pub(crate) filled: u64,
    pub(crate) refills: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: &'static Setup,
    pub(crate) dice: Dice,
    /// True time, Unix milliseconds, and how far the steward's clock is off.
    pub(crate) now: Timestamp,
    pub(crate) offset: i64,
    pub(crate) chain: Chain,
    pub(crate) nodes: Vec<Node>,
    pub(crate) preferred: usize,
    pub(crate) disk: Disk,
    pub(crate) state: State,
    pub(crate) entries: Vec<Entry>,
    /// So many entries were synced.
    pub(crate) durable: usize,
    /// The newest bytes of each intent.
    pub(crate) outbox: BTreeMap<IntentId, Order>,
    pub(crate) ready: BTreeSet<String>,
    pub(crate) strikes: BTreeMap<IntentId, u32>,
    pub(crate) inbox: Vec<(Event, Option<usize>)>,
    pub(crate) grants: Vec<Grant>,
    /// What was last signed for each intent.
    pub(crate) signed: BTreeMap<IntentId, Order>,
    /// Whose each account nonce is.
    pub(crate) nonces: BTreeMap<(Address, u64), IntentId>,
    /// Of a thousand acts, so many end in a crash.
    pub(crate) crashes: u64,
    pub(crate) fails: u64,
    pub(crate) silence: u64,
    pub(crate) stats: Stats,
    /// Whether one of the nodes lied.
    lied: bool,
    out: Out,
    pub(crate) callers: Vec<Caller>,
    pub(crate) attempts: Attempts,
    drafts: Vec<usize>,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let setup = setup(dice.index(6));
        let mut disk = Disk::default();
        setup.entries.iter().for_each(|entry| disk.write(entry));
        disk.sync();
        let now = START + 10_000;
        let chain = Chain::new(now / 1_000, &mut dice);
        let lag = dice.one(&[0, 0, 3, 6, 30]);
        let mut nodes =
            vec![Node { lag, silent: dice.one(&[0, 2, 10]), lies: false }; setup.endpoints];
        // Where there are two, one may be a liar; where there is one, nothing could be known.
        if setup.endpoints == 2 && dice.percent(60) {
            let liar = dice.index(2);
            nodes[liar].lies = true;
        }
        Self {
            setup,
            lied: nodes.iter().any(|node| node.lies),
            now,
            offset: 0,
            chain,
            nodes,
            preferred: dice.index(setup.endpoints),
            disk,
            state: setup.state.clone(),
            entries: setup.entries.clone(),
            durable: setup.entries.len(),
            outbox: BTreeMap::new(),
            ready: BTreeSet::new(),
            strikes: BTreeMap::new(),
            inbox: Vec::new(),
            grants: Vec::new(),
            signed: BTreeMap::new(),
            nonces: BTreeMap::new(),
            crashes: dice.one(&[0, 3, 15, 40]),
            fails: 40,
            silence: 10,
            stats: Stats::default(),
            out: Out::default(),
            callers: Vec::new(),
            attempts: BTreeMap::new(),
            drafts: vec![0; setup.agents],
            trace: traced.then(Vec::new),
            dice,
        }
    }

    /// Lives through it; says which law did not hold.
    pub(crate) fn live(&mut self) -> Result<Stats, String> {
        let acts = self.dice.between(40, 160);
        let looked = self.reconcile();
        self.settle_up(looked)?;
        for _ in 0..acts {
            let happened = self.happen();
            self.settle_up(happened)?;
            self.check(false)?;
        }
        self.calm_down()?;
        self.stats.entries = self.entries.len() as u64;
        self.stats.settled =
            self.grants.iter().filter(|it| it.block(&self.chain).is_some()).count() as u64;
        Ok(self.stats)
    }

    /// A crash is no end: the steward starts again, and may crash again.
    fn settle_up(&mut self, mut happened: Result<(), Stop>) -> Result<(), String> {
        loop {
            match happened {
                Ok(()) => return Ok(()),
                Err(Stop::Law(line)) => return Err(line),
                Err(Stop::Crash) => happened = self.restart(),
            }
        }
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(mut trace) = self.trace.take() {
            let time = (self.now - START) / 1_000;
            trace.push(format!("{time:>7} s  {}", line()));
            self.trace = Some(trace);
        }
    }

    /// Asks the node that answered last, then the others.
    pub(crate) fn ask<T>(
        &mut self,
        question: impl Fn(&Node, &Chain, &mut Dice) -> Result<T, Silent>,
    ) -> Result<T, Silent> {
        let first = self.preferred;
        for n in 0..self.nodes.len() {
            let which = (first + n) % self.nodes.len();
            if let Ok(answer) = question(&self.nodes[which], &self.chain, &mut self.dice) {
                self.preferred = which;
                return Ok(answer);
            }
        }
        Err(Silent)
    }

    fn happen(&mut self) -> Result<(), Stop> {
        match self.dice.below(100) {
            _ if self.state.frozen().is_some() && self.dice.percent(8) => self.owner(),
            0..=27 => self.speak(),
            28..=47 => self.work(),
            48..=62 => self.reconcile(),
            63..=76 => {
                let seconds = self.dice.between(1, 40);
                self.pass(seconds);
                Ok(())
            }
            77..=78 => {
                let seconds = self.dice.one(&[120, 700, 1_900, 3_700, 20_000, 90_000]);
                self.pass(seconds);
                Ok(())
            }
            79..=84 => {
                self.payees_settle();
                Ok(())
            }
            85..=87 => {
                let depth = self.dice.between(1, DEPTH);
                self.chain.reorganise(depth, self.now / 1_000, &mut self.dice);
                self.stats.reorganisations += 1;
                self.say(|| format!("reorganised, {depth} deep"));
                Ok(())
            }
            88 => {
                self.chain.forget(&mut self.dice);
                Ok(())
            }
            89..=93 => self.owner(),
            94 if self.dice.percent(40) => {
                let (agent, reason) = (self.an_agent().1, "odd".to_owned());
                let surplus = Surplus::default();
                self.inbox.push((
                    Event::Freeze { agent: Some(agent), by: "mind", reason, surplus },
                    None,
                ));
                Ok(())
            }
            94..=96 => {
                self.jump();
                Ok(())
            }
            97..=98 => self.report(),
            _ => Err(Stop::Crash),
        }
    }

    pub(crate) fn an_agent(&mut self) -> (usize, String) {
        let agent = self.dice.index(self.setup.agents);
        (agent, NAMES[agent].to_owned())
    }

    /// The wall clock is set: a little, by minutes, by days.
    fn jump(&mut self) {
        let liar = self.nodes.iter().any(|node| node.lies);
        // A clock that is far off and an endpoint that lies about the time at once are two faults.
        let far: &[i64] =
            if liar { &[20_000] } else { &[3_000, 200_000, 590_000, 3_600_000, 172_800_000] };
        let far = self.dice.one(far);
        self.offset = match self.dice.below(if self.offset == 0 { 3 } else { 8 }) {
            0 => far,
            1 => -far,
            _ => 0,
        };
        let offset = self.offset;
        self.say(|| format!("the clock is {} s off", offset / 1_000));
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.now / 1_000 + seconds;
        // Long times pass in few blocks.
        let spacing = SPACING.max(seconds / 14);
        while self.chain.head().time + spacing <= end {
            let time = self.chain.head().time + spacing;
            let chance = self.dice.one(&[0, 50, 100, 100]);
            self.chain.mine(time, chance, &mut self.dice);
        }
        self.now = end * 1_000;
    }

    fn payees_settle(&mut self) {
        let orders: Vec<_> = self.out.0.values().cloned().collect();
        for order in orders {
            if self.dice.percent(40) {
                let (from, nonce, valid_before) = (order.from, order.nonce, order.valid_before);
                let deed = Deed::Settle { from, nonce, valid_before };
                let hash = self.dice.hash();
                self.chain.broadcast(Tx { hash, deed });
            }
        }
        // Somebody is faster with an authorisation that pays us.
        let (agent, _) = self.an_agent();
        let which = self.dice.index(8);
        if self.dice.percent(30)
            && let Intent::Settle(settle) = &self.setup.income[agent][which]
        {
            let (from, nonce, valid_before) = (settle.from, settle.nonce, settle.valid_before);
            let hash = self.dice.hash();
            self.chain.broadcast(Tx { hash, deed: Deed::Settle { from, nonce, valid_before } });
        }
    }

    /// The authority takes a group of what waits.
    fn work(&mut self) -> Result<(), Stop> {
        let many = usize::try_from(self.dice.between(1, 6)).unwrap().min(self.inbox.len());
        let group: Vec<_> = self.inbox.drain(..many).collect();
        let (events, callers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let done = self.handle(events)?;
        for ((reply, made), caller) in done.into_iter().zip(callers) {
            self.say(|| format!("  answered {}", spoken(&reply)));
            match made {
                // The mind has it now, and whoever it gives it to.
                Some(Order::Authorisation(order)) => drop(self.out.0.insert(order.nonce, order)),
                Some(Order::Transaction(_) | Order::Cancel(_)) => {
                    if let (Reply::Allowed(id), true) = (&reply, self.dice.percent(80)) {
                        self.bring(*id)?;
                    }
                }
                _ => {}
            }
            if let Some(caller) = caller {
                self.check_answer(caller, &reply)?;
                let tries = self.callers[caller].tries;
                let again = matches!(reply, Reply::Fault(_)) && tries < 3;
                if again {
                    self.propose(caller);
                }
            }
        }
        Ok(())
    }

    fn owner(&mut self) -> Result<(), Stop> {
        let frozen = self.state.frozen().map(|frozen| frozen.seq);
        let statement = match self.dice.below(10) {
            0..=1 => {
                let (agent, _) = self.an_agent();
                let next = self.drafts[agent];
                let Some(draft) = self.setup.drafts[agent].get(next) else { return Ok(()) };
                self.drafts[agent] += 1;
                self.inbox.push((Event::Submit(Box::new(draft.clone())), None));
                return Ok(());
            }
            2..=8 if frozen.is_some() => Statement::Thaw { frozen_at: frozen.unwrap_or_default() },
            _ => {
                let held = |state| matches!(state, PaymentState::Held | PaymentState::Approved);
                let held: Vec<_> =
                    self.state.intents().values().filter(|it| held(it.state)).collect();
                if held.is_empty() {
                    return Ok(());
                }
                let which = self.dice.index(held.len());
                let (agent, intent, body) =
                    (held[which].agent.clone(), held[which].decided.id, held[which].decided.body);
                let version = held[which].decided.version;
                if self.dice.percent(25) {
                    Statement::Deny { agent, intent, body }
                } else {
                    let deadline = self.now / 1_000 + self.dice.one(&[10, 600, 5_000]);
                    Statement::Approve { agent, intent, body, version, deadline }
                }
            }
        };
        self.inbox.push((Event::Submit(Box::new(signed(&owner(), statement, None))), None));
        Ok(())
    }

    /// What holds at any time.
    fn check(&mut self, exactly: bool) -> Result<(), String> {
        laws::ledger_covers_chain(&self.state, &self.grants, &self.chain, exactly)?;
        for name in &NAMES[..self.setup.agents] {
            let Some(account) = self.state.agent(name) else { continue };
            let foreign = self.state.foreign(name, self.left(account.key));
            law!(
                foreign.is_empty(),
                "the ledger of {name} does not know what left its key: {foreign:?}"
            );
            law!(self.chain.count(account.key) <= account.nonce, "the chain counts more of {name}");
        }
        if exactly || self.dice.percent(3) {
            self.check_replay()?;
        }
        Ok(())
    }

    /// The faults end, the owner wakes up, and everything must come to its end.
    fn calm_down(&mut self) -> Result<(), String> {
        self.say(|| "the faults end".to_owned());
        (self.crashes, self.fails, self.silence, self.offset) = (0, 0, 0, 0);
        self.nodes.iter_mut().for_each(|node| *node = Node::default());
        let restarted = self.restart();
        self.settle_up(restarted)?;
        for round in 0..60 {
            if let Some(frozen_at) = self.state.frozen().map(|it| it.seq) {
                let thaw = signed(&owner(), Statement::Thaw { frozen_at }, None);
                let thawed = self.handle(vec![Event::Submit(Box::new(thaw))]).map(drop);
                self.settle_up(thawed)?;
            }
            let looked = self.reconcile();
            self.settle_up(looked)?;
            let live = self.state.intents().values().filter(|it| it.is_live()).count();
            if live == 0 {
                break;
            }
            // Authorisations that pay us last for days.
            self.pass(if round > 20 { 9_000 } else { 40 });
            let end = self.now / 1_000;
            self.chain.mine(end, 100, &mut self.dice);
        }
        let live: Vec<_> = self.state.intents().values().filter(|it| it.is_live()).collect();
        if let Some(record) = live.first() {
            let nonce = |it: &&marque_steward::state::Record| {
                it.order.as_ref()?.transaction().map(|it| it.nonce)
            };
            let key = self.state.agent(&record.agent).unwrap().key;
            let count = self.chain.count(key);
            let each = live
                .iter()
                .map(|it| format!("{} {:?} nonce {:?}", it.decided.id, it.state, nonce(it)));
            return Err(format!(
                "{} has {count} on chain, and these never come to an end: {}",
                record.agent,
                each.collect::<Vec<_>>().join("; ")
            ));
        }
        self.pass(4 * 86_400);
        let now = self.clock();
        for record in self.state.intents().values() {
            let last = record.is_closed(now) || record.state == PaymentState::Final;
            law!(last, "{} is {:?} for ever", record.decided.id, record.standing(now));
        }
        laws::within_limits_by_block_time(
            self.setup,
            &self.grants,
            &self.chain,
            600 + 10 * SPACING,
        )?;
        // A liar may have had more gas counted than was burnt, never less.
        self.check(self.setup.endpoints == 1 || !self.lied)
    }

    /// The first broadcast comes right with the answer.
    fn bring(&mut self, id: IntentId) -> Result<(), Stop> {
        self.send(id)
    }
}

fn spoken(reply: &Reply) -> String {
    match reply {
        Reply::Allowed(_) => "allowed".to_owned(),
        Reply::Held(..) => "held".to_owned(),
        Reply::Refused(_, table) => {
            let failed = table.iter().filter(|row| row.mark == marque_policies::Mark::Fail);
            let failed: Vec<_> = failed.map(|row| row.rule.as_str()).collect();
            format!("refused by {}", failed.join(", "))
        }
        Reply::Noted(_) => "noted".to_owned(),
        Reply::Fault(fault) => format!("{}: {}", fault.code, fault.message),
    }
}
