//! The steward of a world: the real core and the real fold, between a disk that forgets and nodes
//! that lie.
//!
//! [`World::handle`] does what the authority thread does, with a crash possible between any two of
//! its acts; [`World::reconcile`] asks what the reconciliation asks and takes the same functions to
//! say what the answers mean.

use crate::{
    chain::{Deed, Silent, Tx},
    laws::{self, Grant, law},
    setup::FINALITY,
    support::CHAIN,
    world::{Stop, World},
};
use alloy_primitives::{B256, keccak256};
use marque_policies::{Intent, IntentId, Timestamp};
use marque_steward::{
    Entry, State,
    core::{BlockFacts, Effect, Event, Facts, GasPlan, Permit, Reply, Surplus, news, step},
    entry::{Body, Foreign, Order, TransactionOrder},
    state::Record,
};
use marque_steward_client::{PaymentState, Proposal};

/// So many looks must agree that another transaction took our nonce.
const STRIKES: u32 = 5;

/// A reorganisation may lower a block's number by this.
const MARGIN: u64 = 64;

impl World {
    /// Time as the steward counts it.
    pub(crate) fn clock(&self) -> Timestamp {
        let wall = self.now.saturating_add_signed(self.offset);
        self.state.now(wall)
    }

    /// Takes a group of events, as the authority does.
    pub(crate) fn handle(
        &mut self,
        events: Vec<Event>,
    ) -> Result<Vec<(Reply, Option<Order>)>, Stop> {
        let first = self.entries.len();
        let mut steps = Vec::new();
        for event in events {
            let now = self.clock();
            let frozen = self.state.frozen().is_some();
            let mut next = step(&self.state, event, now);
            for entry in next.number(&self.state, now) {
                let applied = self.state.apply(&entry);
                law!(applied.is_ok(), "the core contradicts the fold: {applied:?}");
                self.say(|| format!("  #{} {}", entry.seq, brief(&entry)));
                self.disk.write(&entry);
                self.entries.push(entry);
            }
            if let Effect::Sign(permit) = &next.effect {
                let record = self.state.intent(permit.id());
                let passes = !frozen || record.is_some_and(|record| record.passes_frozen());
                law!(passes, "a permit for {} while frozen", permit.id());
            }
            steps.push((next.effect, next.reply));
        }
        if self.entries.len() > first {
            self.may_crash("before the disk has it")?;
            self.disk.sync();
            self.become_durable()?;
            self.may_crash("before the effect")?;
        }
        let mut done = Vec::new();
        for (effect, reply) in steps {
            let made = match effect {
                Effect::Sign(permit) => self.sign(*permit)?,
                Effect::None => None,
            };
            done.push((reply, made));
        }
        self.may_crash("before the answer")?;
        Ok(done)
    }

    /// What is on the disk now is what counts.
    fn become_durable(&mut self) -> Result<(), Stop> {
        let fresh: Vec<Entry> = self.entries[self.durable..].to_vec();
        self.durable = self.entries.len();
        for entry in &fresh {
            self.date(entry.at);
            if let Body::Signed { id, hash } = &entry.body {
                self.went_out(*id, *hash)?;
            }
            if let Body::Filled { id, .. } = &entry.body {
                let grant = self.grants.iter_mut().rev().find(|grant| grant.id == *id);
                if let Some(Grant { order: Order::Transaction(order), paid, .. }) = grant {
                    // Its account nonce is used for nothing, and nobody is paid.
                    (order.to, order.value, order.data) =
                        (order.from, Default::default(), Default::default());
                    *paid = None;
                }
            }
            if let Body::Allowed(allowed) = &entry.body {
                let spends = allowed.decided.intent.spends();
                let sweep = matches!(allowed.decided.intent, Intent::Sweep(_));
                let paid = spends.filter(|paid| !sweep && allowed.debits.contains(paid));
                let grant = Grant {
                    id: allowed.decided.id,
                    agent: entry.agent.clone().unwrap_or_default(),
                    task: allowed.decided.task.clone(),
                    place: (
                        entry.agent.clone().unwrap_or_default(),
                        allowed.decided.task.clone(),
                        allowed.decided.step,
                        allowed.decided.ordinal,
                    ),
                    payee: match &allowed.decided.intent {
                        Intent::Authorise(pay) => Some(pay.to),
                        Intent::Transfer(pay) => Some(pay.to),
                        _ => None,
                    },
                    paid,
                    gas: allowed.debits.iter().find(|money| money.asset.is_native()).copied(),
                    intent: allowed.decided.intent.clone(),
                    order: allowed.order.clone(),
                    hash: None,
                    mined: None,
                };
                if let Order::Authorisation(order) = &grant.order {
                    let ahead = order.valid_before.saturating_sub(self.chain.head().time);
                    let honest = self.nodes.iter().all(|node| !node.lies);
                    law!(
                        !honest || ahead <= 300,
                        "{} is valid for {ahead} s of block time",
                        grant.id
                    );
                }
                self.stats.grants += 1;
                self.grants.push(grant);
                if let Some(grant) = self.grants.last() {
                    let truth = (&self.chain, &self.state, entry.at);
                    let policy = allowed.decided.policy;
                    laws::within_limits(self.setup, policy, &self.grants, grant, truth)?;
                    laws::earlier_attempts_are_over(&self.grants, grant, &self.chain, &self.state)?;
                }
            }
        }
        Ok(())
    }

    /// From here on a transaction may be anywhere: no other one has its account nonce.
    fn went_out(&mut self, id: IntentId, hash: B256) -> Result<(), Stop> {
        let Some(grant) = self.grants.iter_mut().rev().find(|grant| grant.id == id) else {
            return Err(Stop::Law(format!("{id} is signed, and nothing durable allows it")));
        };
        grant.hash = Some(hash);
        if let Order::Transaction(order) = &grant.order {
            let before = self.nonces.insert((order.from, order.nonce), hash);
            law!(
                before.is_none_or(|it| it == hash),
                "account nonce {} was used twice",
                order.nonce
            );
        }
        Ok(())
    }

    /// Notes the first durable entry after something was mined where it is now.
    fn date(&mut self, at: Timestamp) {
        for grant in &mut self.grants {
            match (grant.block(&self.chain), grant.mined) {
                (Some(block), Some((known, Some(_)))) if block == known => {}
                (Some(block), _) => grant.mined = Some((block, Some(at))),
                (None, _) => grant.mined = None,
            }
        }
    }

    /// Uses a permit: the law of one content.
    fn sign(&mut self, permit: Permit) -> Result<Option<Order>, Stop> {
        if self.clock() > permit.expires() {
            return Ok(None);
        }
        let id = permit.id();
        let order = permit.spend();
        let settles = self.state.intent(id).and_then(|record| settlement(&record.decided.intent));
        match self.signed.get(&id) {
            // An authorisation that pays us may be settled by a second transaction.
            Some(before) if settles.is_some() && before != &order => {
                law!(content(before) == content(&order), "{id} was signed with two contents");
                self.signed.insert(id, order.clone());
            }
            Some(before) => law!(before == &order, "{id} was signed with two contents"),
            None => drop(self.signed.insert(id, order.clone())),
        }
        let Some(grant) = self.grants.iter().rev().find(|grant| grant.id == id) else {
            return Err(Stop::Law(format!("{id} is signed, and nothing durable allows it")));
        };
        law!(grant.order == order, "{id} is signed otherwise than the journal says");
        let Order::Transaction(transaction) = &order else { return Ok(Some(order)) };
        let hash = keccak256(serde_json::to_vec(transaction).unwrap());
        let known = self.state.intent(id).and_then(|record| record.hash);
        law!(known.is_none_or(|it| it == hash), "{id} would be signed with other bytes");
        self.may_crash("before the outbox")?;
        self.outbox.insert(id, transaction.clone());
        self.handle(vec![Event::Moved(Body::Signed { id, hash })])?;
        Ok(Some(order))
    }

    /// Kills the steward, with some luck, and says where.
    fn may_crash(&mut self, place: &str) -> Result<(), Stop> {
        if self.crashes > 0 && self.dice.below(1_000) < self.crashes {
            self.say(|| format!("killed {place}"));
            return Err(Stop::Crash);
        }
        Ok(())
    }

    /// Opens what the disk has kept.
    pub(crate) fn restart(&mut self) -> Result<(), Stop> {
        self.stats.crashes += 1;
        self.disk.crash(&mut self.dice);
        let entries = self.disk.open();
        let (kept, had) = (entries.len(), self.entries.len());
        self.say(|| format!("opened with {kept} of {had} entries"));
        law!(entries.len() >= self.durable, "entries that were durable are gone");
        law!(entries[..] == self.entries[..entries.len()], "the disk has other entries");
        let whole = entries.len() == self.entries.len();
        let state = State::fold(&entries).map_err(|error| error.to_string())?;
        law!(!whole || state.hash() == self.state.hash(), "a replay rebuilds another state");
        self.state = state;
        self.entries = entries;
        self.inbox.clear();
        self.ready.clear();
        self.strikes.clear();
        self.lose_the_outbox();
        self.become_durable()?;
        let body = Body::Recovered { cut: 1, unsigned: 0, checkpoint_missing: false };
        self.handle(vec![Event::Own(body)])?;
        if self.dice.percent(85) {
            self.reconcile()?;
        }
        Ok(())
    }

    fn lose_the_outbox(&mut self) {
        if self.dice.percent(15) {
            self.outbox.clear();
        }
    }

    /// Law: the journal, read from its bytes, rebuilds the state byte for byte.
    pub(crate) fn check_replay(&self) -> Result<(), String> {
        let read = self.disk.clone().open();
        law!(read == self.entries, "the disk has other entries");
        let rebuilt = State::fold(&read).map_err(|error| error.to_string())?;
        law!(rebuilt.hash() == self.state.hash(), "a replay rebuilds another state");
        Ok(())
    }

    /// What is found out about a proposal before it is decided. Nothing, where nobody answers.
    pub(crate) fn facts(&mut self, agent: &str, proposal: &Proposal) -> Facts {
        let Some(account) = self.state.agent(agent) else { return Facts::default() };
        let Some(policy) = account.policy.as_ref().map(|it| it.hash) else {
            return Facts::default();
        };
        let key = account.key;
        let mut facts = Facts { policy, ..Facts::default() };
        let id = proposal.id(crate::support::ORIGIN, agent);
        let answered = self
            .state
            .intent(id)
            .is_some_and(|it| it.is_spent() || it.state == PaymentState::Denied);
        if answered || matches!(proposal.intent, Intent::Tool(_)) {
            return facts;
        }
        if !self.ready.contains(agent) {
            facts.trouble = Some("the chain was not asked yet".to_owned());
            return facts;
        }
        if self.look_up(key, &proposal.intent, &mut facts).is_err() {
            facts.trouble = Some("nobody answers".to_owned());
        }
        facts
    }

    fn look_up(
        &mut self,
        key: alloy_primitives::Address,
        intent: &Intent,
        facts: &mut Facts,
    ) -> Result<(), Silent> {
        let mut block = self.ask(|node, chain, dice| node.newest(chain, dice))?;
        if self.nodes[self.preferred].lie(&mut self.dice) {
            block.timestamp = (block.timestamp + self.dice.below(1_200)).saturating_sub(600);
        }
        facts.block = Some(BlockFacts { number: block.number, timestamp: block.timestamp });
        if let Some((from, nonce)) = settlement(intent) {
            facts.elsewhere = self.elsewhere((from, nonce), 0)?;
        }
        let transaction =
            matches!(intent, Intent::Transfer(_) | Intent::Settle(_) | Intent::Sweep(_));
        if transaction && facts.elsewhere.is_none() {
            facts.nonce = Some(self.ask(|node, chain, dice| node.count(chain, key, dice))?);
            if self.dice.percent(6) {
                facts.trouble = Some("tried out, it fails".to_owned());
            } else {
                let max_fee = u128::from(self.dice.between(5, 40)) * 1_000_000_000;
                facts.gas = Some(GasPlan { limit: 60_000, max_fee, max_priority_fee: 1 });
            }
        }
        Ok(())
    }

    fn elsewhere(
        &mut self,
        of: (alloy_primitives::Address, B256),
        since: u64,
    ) -> Result<Option<marque_steward::entry::OnChain>, Silent> {
        if !self.ask(|node, chain, dice| node.used(chain, of, None, dice))? {
            return Ok(None);
        }
        let Some(hash) = self.ask(|node, chain, dice| node.used_in(chain, of, since, dice))? else {
            return Ok(None);
        };
        let receipt = self.ask(|node, chain, dice| node.receipt(chain, hash, dice))?;
        Ok(receipt.filter(|it| it.success).map(|it| news::place(&it)))
    }

    /// One look at everything that is live, as the reconciliation does it.
    pub(crate) fn reconcile(&mut self) -> Result<(), Stop> {
        let names: Vec<String> = self.state.agents().keys().cloned().collect();
        for name in names {
            if self.compare(&name)?.is_err() {
                continue;
            }
            let live = self.state.intents().values();
            let live: Vec<Record> =
                live.filter(|it| it.agent == name && it.is_live()).cloned().collect();
            let mut heard = true;
            for record in live {
                match self.advance(&record)? {
                    Ok(Some(body)) => drop(self.handle(vec![Event::Moved(body)])?),
                    Ok(None) => {}
                    // The pass ends here and is tried again.
                    Err(Silent) => {
                        heard = false;
                        break;
                    }
                }
            }
            if heard {
                self.ready.insert(name);
            }
        }
        Ok(())
    }

    /// Does the chain know more than the ledger?
    fn compare(&mut self, name: &str) -> Result<Result<(), Silent>, Stop> {
        let Some((key, ours)) = self.state.agent(name).map(|it| (it.key, it.nonce)) else {
            return Ok(Ok(()));
        };
        let Ok(count) = self.ask(|node, chain, dice| node.count(chain, key, dice)) else {
            return Ok(Err(Silent));
        };
        let foreign = self.state.foreign(name, self.left(key));
        if count > ours || !foreign.is_empty() {
            return Err(Stop::Law(format!("the chain knows more of {name} than its own ledger")));
        }
        Ok(Ok(()))
    }

    /// The authorisations of a key that were really settled.
    pub(crate) fn left(&self, key: alloy_primitives::Address) -> Vec<Foreign> {
        let all = self.chain.blocks.iter().flat_map(|block| &block.mined);
        let left = all.filter_map(|it| match &it.tx.deed {
            Deed::Settle { from, nonce, .. } if *from == key && it.success => Some(Foreign {
                token: crate::support::TOKEN,
                nonce: *nonce,
                transaction: it.tx.hash,
            }),
            _ => None,
        });
        left.collect()
    }

    fn advance(&mut self, record: &Record) -> Result<Result<Option<Body>, Silent>, Stop> {
        let id = record.decided.id;
        let answer = match (record.state, &record.order) {
            (PaymentState::Seen, _) => self.confirm(record),
            (_, Some(Order::Authorisation(order))) => {
                let since = order.block.saturating_sub(MARGIN);
                self.authorised(id, (order.from, order.nonce), since, order.valid_before)
            }
            (_, Some(Order::Elsewhere)) => self.taken_back(record),
            (PaymentState::Reserved, Some(Order::Transaction(_))) => {
                // What was signed is in the outbox, and goes out.
                if !self.signed.contains_key(&id) && self.dice.percent(self.fails) {
                    let why = "tried out before it was signed, it fails".to_owned();
                    Ok(Some(Body::Released { id, why }))
                } else {
                    self.send(id)?;
                    Ok(None)
                }
            }
            (PaymentState::Signed, Some(Order::Transaction(_))) => {
                self.send(id)?;
                Ok(None)
            }
            (_, Some(Order::Transaction(order))) => return self.sent(record, &order.clone()),
            _ => Ok(None),
        };
        Ok(answer)
    }

    fn authorised(
        &mut self,
        id: IntentId,
        of: (alloy_primitives::Address, B256),
        since: u64,
        valid_before: u64,
    ) -> Result<Option<Body>, Silent> {
        if self.ask(|node, chain, dice| node.used(chain, of, None, dice))? {
            let used = self.ask(|node, chain, dice| node.used_in(chain, of, since, dice))?;
            let Some(hash) = used else { return Ok(None) };
            let receipt = self.ask(|node, chain, dice| node.receipt(chain, hash, dice))?;
            return Ok(receipt.map(|it| Body::Seen { id, at: news::place(&it) }));
        }
        self.lapsed(id, of, valid_before)
    }

    fn lapsed(
        &mut self,
        id: IntentId,
        of: (alloy_primitives::Address, B256),
        valid_before: u64,
    ) -> Result<Option<Body>, Silent> {
        let mut said = Vec::new();
        for node in self.nodes.clone() {
            let last = node.last(&self.chain, FINALITY, &mut self.dice)?;
            let used = node.used(&self.chain, of, Some(last.number), &mut self.dice)?;
            said.push((used, last));
        }
        Ok(news::lapsed(id, valid_before, &said))
    }

    fn taken_back(&mut self, record: &Record) -> Result<Option<Body>, Silent> {
        let id = record.decided.id;
        let Intent::Settle(settle) = &record.decided.intent else { return Ok(None) };
        let of = (settle.from, settle.nonce);
        match self.elsewhere(of, 0)? {
            Some(at) => Ok(Some(Body::Seen { id, at })),
            None => self.lapsed(id, of, settle.valid_before),
        }
    }

    fn sent(
        &mut self,
        record: &Record,
        order: &TransactionOrder,
    ) -> Result<Result<Option<Body>, Silent>, Stop> {
        let id = record.decided.id;
        let Some(hash) = record.hash else { return Ok(Ok(None)) };
        let found = self.ask(|node, chain, dice| {
            Ok((node.count(chain, order.from, dice)?, node.receipt(chain, hash, dice)?))
        });
        let Ok((count, receipt)) = found else { return Ok(Err(Silent)) };
        match receipt {
            Some(receipt) if receipt.success && !record.filled => {
                Ok(Ok(Some(Body::Seen { id, at: news::place(&receipt) })))
            }
            Some(_) => {
                if let (false, Some(of)) = (record.filled, settlement(&record.decided.intent)) {
                    let since = order.block.saturating_sub(MARGIN);
                    match self.elsewhere(of, since) {
                        Ok(Some(at)) => return Ok(Ok(Some(Body::Seen { id, at }))),
                        Ok(None) => {}
                        Err(Silent) => return Ok(Err(Silent)),
                    }
                }
                let mut said = Vec::new();
                for node in self.nodes.clone() {
                    let last = node.last(&self.chain, FINALITY, &mut self.dice);
                    let receipt = node.receipt(&self.chain, hash, &mut self.dice);
                    let (Ok(last), Ok(receipt)) = (last, receipt) else { return Ok(Err(Silent)) };
                    said.push((receipt, last));
                }
                Ok(Ok(match record.filled {
                    true => news::filled(id, CHAIN, &said),
                    false => news::reverted(id, CHAIN, &said),
                }))
            }
            None if count > order.nonce => {
                let strikes = self.strikes.entry(id).or_default();
                *strikes += 1;
                if *strikes >= STRIKES {
                    let agent = Some(record.agent.clone());
                    let reason = "another transaction took its nonce".to_owned();
                    let surplus = Surplus::default();
                    self.handle(vec![Event::Freeze { agent, by: "steward", reason, surplus }])?;
                }
                Ok(Ok(None))
            }
            None => {
                if self.dice.percent(30) {
                    self.send(id)?;
                }
                Ok(Ok(None))
            }
        }
    }

    fn confirm(&mut self, record: &Record) -> Result<Option<Body>, Silent> {
        let Some(seen) = record.seen else { return Ok(None) };
        let mut said = Vec::new();
        for node in self.nodes.clone() {
            let last = node.last(&self.chain, FINALITY, &mut self.dice)?;
            let carried = node.receipt(&self.chain, seen.transaction, &mut self.dice)?;
            let ours = match record.hash {
                Some(hash) if hash != seen.transaction => {
                    node.receipt(&self.chain, hash, &mut self.dice)?
                }
                Some(_) => carried.clone(),
                None => None,
            };
            said.push(news::Sight { carried, ours, taken: None, last });
        }
        Ok(news::confirmed(record, CHAIN, &said))
    }

    /// Brings a transaction to the chain.
    pub(crate) fn send(&mut self, id: IntentId) -> Result<(), Stop> {
        let Some(record) = self.state.intent(id) else { return Ok(()) };
        if self.state.frozen().is_some() && !record.passes_frozen() {
            return Ok(());
        }
        let settles = settlement(&record.decided.intent).filter(|_| !record.filled);
        let waiting = match record.state {
            PaymentState::Signed | PaymentState::Sent => self.outbox.get(&id).cloned(),
            PaymentState::Reserved => None,
            _ => return Ok(()),
        };
        let order = match waiting {
            Some(order) => order,
            None => match self.handle(vec![Event::Resume(id)])?.pop() {
                Some((_, Some(Order::Transaction(order)))) => order,
                _ => return Ok(()),
            },
        };
        if self.dice.percent(self.silence) {
            return Ok(());
        }
        let hash = keccak256(serde_json::to_vec(&order).unwrap());
        self.chain.broadcast(Tx { hash, deed: Deed::Ours { order, settles } });
        self.may_crash("before it is noted that it was sent")?;
        self.handle(vec![Event::Moved(Body::Sent { id })])?;
        Ok(())
    }
}

/// What a settlement brings to the chain.
pub(crate) fn settlement(intent: &Intent) -> Option<(alloy_primitives::Address, B256)> {
    match intent {
        Intent::Settle(settle) => Some((settle.from, settle.nonce)),
        _ => None,
    }
}

fn content(order: &Order) -> Option<(alloy_primitives::Address, alloy_primitives::U256, &[u8])> {
    match order {
        Order::Transaction(order) => Some((order.to, order.value, &order.data)),
        _ => None,
    }
}

fn brief(entry: &Entry) -> String {
    let id = entry.body.intent().map(|id| id.to_string()).unwrap_or_default();
    let id = id.get(..10).unwrap_or_default();
    format!("{} {} {id}", entry.body.kind(), entry.agent.as_deref().unwrap_or(""))
}
