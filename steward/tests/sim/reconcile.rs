//! What the steward of a world does about what is out: the questions of the reconciliation, asked of
//! nodes that lag and lie, and the same functions as in the real one to say what the answers mean.

use crate::{
    chain::{Call, Deed, Silent, Tx},
    setup::FINALITY,
    steward::{hash, settlement},
    support::{CHAIN, ORIGIN},
    world::{Stop, World},
};
use alloy_primitives::{Address, B256, U256};
use marque_identity::Receipt;
use marque_policies::{Intent, IntentId, intent::Cancel};
use marque_steward::{
    core::{Event, Reply, Surplus, news},
    entry::{Body, CancelOrder, OnChain, Order, TransactionOrder},
    state::Record,
};
use marque_steward_client::{PaymentState, Proposal};

/// So many looks must agree that another transaction took our nonce.
const STRIKES: u32 = 5;

/// A reorganisation may lower a block's number by this.
const MARGIN: u64 = 64;

impl World {
    /// One look at everything that is live, as the reconciliation does it.
    pub(crate) fn reconcile(&mut self) -> Result<(), Stop> {
        let names: Vec<String> = self.state.agents().keys().cloned().collect();
        for name in names {
            if self.compare(&name)?.is_err() {
                continue;
            }
            if self.state.frozen().is_some() {
                self.release(&name)?;
            }
            let live = self.state.intents().values();
            let live: Vec<Record> =
                live.filter(|it| it.agent == name && it.is_live()).cloned().collect();
            let mut heard = true;
            for record in live {
                match self.advance(&record)? {
                    // What minds ask for may be decided before it, in the same group.
                    Ok(Some(body)) if self.dice.percent(25) => {
                        self.inbox.push((Event::Moved(body), None));
                    }
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
                if self.state.frozen().is_some() {
                    self.withdraw(&name)?;
                }
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

    /// A freeze gives back what is reserved and was never signed.
    fn release(&mut self, name: &str) -> Result<(), Stop> {
        let waits = |it: &&Record| {
            it.agent == name
                && it.state == PaymentState::Reserved
                && it.order.as_ref().is_some_and(|order| order.transaction().is_some())
                && !it.passes_frozen()
        };
        let waits = self.state.intents().values().filter(waits);
        let waits: Vec<IntentId> = waits.map(|it| it.decided.id).collect();
        for id in waits.into_iter().filter(|id| !self.signed.contains_key(id)).collect::<Vec<_>>() {
            let why = "frozen before it was signed".to_owned();
            self.handle(vec![Event::Moved(Body::Released { id, why })])?;
        }
        Ok(())
    }

    /// A freeze takes back what is out.
    fn withdraw(&mut self, name: &str) -> Result<(), Stop> {
        let live = self.state.intents().values().filter(|it| it.agent == name);
        let out: Vec<IntentId> = live
            .filter(|it| {
                it.state == PaymentState::Sent && matches!(it.order, Some(Order::Authorisation(_)))
            })
            .map(|it| it.decided.id)
            .collect();
        for cancelled in out {
            let now = self.clock();
            let next = (0..8).find_map(|attempt| {
                let id = IntentId::cancellation(ORIGIN, name, cancelled, attempt);
                match self.state.intent(id) {
                    None => Some(Some(attempt)),
                    Some(record) if !record.is_closed(now) => Some(None),
                    Some(_) => None,
                }
            });
            let Some(Some(attempt)) = next else { continue };
            let (task, intent) =
                ("freeze".to_owned(), Intent::Cancel(Cancel { intent: cancelled }));
            let proposal = Proposal { task, step: 0, ordinal: 0, attempt, intent };
            let facts = Box::new(self.facts((name, None), &proposal));
            let (agent, proposal) = (name.to_owned(), Box::new(proposal));
            let done = self.handle(vec![Event::Propose { agent, proposal, facts }])?.pop();
            if let Some((Reply::Allowed(id), _)) = done {
                self.send(id)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, record: &Record) -> Result<Result<Option<Body>, Silent>, Stop> {
        let id = record.decided.id;
        let answer = match (record.state, &record.order) {
            (PaymentState::Seen, order) => match self.confirm(record) {
                Ok((None, true)) if order.as_ref().and_then(Order::transaction).is_some() => {
                    self.send(id)?;
                    Ok(None)
                }
                answer => answer.map(|(body, _)| body),
            },
            (_, Some(Order::Authorisation(order))) => {
                let since = order.block.saturating_sub(MARGIN);
                self.authorised(id, (order.from, order.nonce), since, order.valid_before)
            }
            (_, Some(Order::Elsewhere)) => self.taken_back(record),
            (PaymentState::Reserved, Some(Order::Cancel(order))) => {
                let of = (order.transaction.from, order.nonce);
                let used = self.ask(|node, chain, dice| node.used(chain, of, None, dice));
                match used {
                    Ok(true) if !self.signed.contains_key(&id) => {
                        let why = "what it was to cancel was settled or cancelled first".to_owned();
                        Ok(Some(Body::Released { id, why }))
                    }
                    Ok(_) => {
                        self.send(id)?;
                        Ok(None)
                    }
                    Err(Silent) => Err(Silent),
                }
            }
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
            (PaymentState::Signed, Some(Order::Transaction(_) | Order::Cancel(_))) => {
                self.send(id)?;
                Ok(None)
            }
            (_, Some(Order::Transaction(order))) => return self.sent(record, order),
            (_, Some(Order::Cancel(order))) => return self.sent(record, &order.transaction),
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
            let Some(hash) = used else { return self.cancelled(id, of, since) };
            let receipt = self.ask(|node, chain, dice| node.receipt(chain, hash, dice))?;
            return Ok(receipt.map(|it| Body::Seen { id, at: news::place(&it) }));
        }
        self.lapsed(id, of, valid_before)
    }

    fn cancelled(
        &mut self,
        id: IntentId,
        of: (Address, B256),
        since: u64,
    ) -> Result<Option<Body>, Silent> {
        let mut said = Vec::new();
        for node in self.nodes.clone() {
            let last = node.last(&self.chain, FINALITY, &mut self.dice)?;
            let found = node.cancelled_in(&self.chain, of, since, &mut self.dice)?;
            let Some(hash) = found else { return Ok(None) };
            said.push((node.receipt(&self.chain, hash, &mut self.dice)?, last));
        }
        Ok(news::cancelled(id, &said))
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
        if record.awaits_signature() {
            self.send(id)?;
            return Ok(Ok(None));
        }
        let Ok(count) = self.ask(|node, chain, dice| node.count(chain, order.from, dice)) else {
            return Ok(Err(Silent));
        };
        for hash in record.hashes() {
            match self.ask(|node, chain, dice| node.receipt(chain, hash, dice)) {
                Ok(Some(receipt)) => return Ok(self.carried(record, order, &receipt)),
                Ok(None) => {}
                Err(Silent) => return Ok(Err(Silent)),
            }
        }
        if count > order.nonce {
            let strikes = self.strikes.entry(id).or_default();
            *strikes += 1;
            if *strikes >= STRIKES {
                let agent = Some(record.agent.clone());
                let reason = "another transaction took its nonce".to_owned();
                let surplus = Surplus::default();
                self.handle(vec![Event::Freeze { agent, by: "steward", reason, surplus }])?;
            }
            return Ok(Ok(None));
        }
        // It waits too long.
        if count == order.nonce && self.dice.percent(30) {
            let mut plan = self.plan(order.gas_limit);
            // Now and then more than the limits have room for.
            plan.max_fee *= self.dice.one(&[1, 1, 2, 4]);
            let higher = U256::from(plan.max_fee) > order.max_fee;
            let made = match higher {
                true => {
                    let block_time = self.chain.head().time;
                    self.handle(vec![Event::Replace { id, plan, block_time }])?.pop()
                }
                false => None,
            };
            if let Some((_, Some(_))) = made {
                self.send(id)?;
                return Ok(Ok(None));
            }
        }
        if self.dice.percent(30) {
            self.send(id)?;
        }
        Ok(Ok(None))
    }

    /// What a block with one of our own transactions means.
    fn carried(
        &mut self,
        record: &Record,
        order: &TransactionOrder,
        receipt: &Receipt,
    ) -> Result<Option<Body>, Silent> {
        let id = record.decided.id;
        if receipt.success && !record.filled {
            return Ok(Some(Body::Seen { id, at: news::place(receipt) }));
        }
        if let (false, Some(of)) = (record.filled, settlement(&record.decided.intent)) {
            let since = order.block.saturating_sub(MARGIN);
            if let Some(at) = self.elsewhere(of, since)? {
                return Ok(Some(Body::Seen { id, at }));
            }
        }
        let mut said = Vec::new();
        for node in self.nodes.clone() {
            let last = node.last(&self.chain, FINALITY, &mut self.dice)?;
            let receipt = node.receipt(&self.chain, receipt.transaction, &mut self.dice)?;
            said.push((receipt, last));
        }
        Ok(match record.filled {
            true => news::filled(id, CHAIN, &said),
            false => news::reverted(id, CHAIN, &said),
        })
    }

    /// Also whether our own transaction is on no chain that is asked.
    fn confirm(&mut self, record: &Record) -> Result<(Option<Body>, bool), Silent> {
        let Some(seen) = record.seen else { return Ok((None, false)) };
        let mut said = Vec::new();
        for node in self.nodes.clone() {
            let last = node.last(&self.chain, FINALITY, &mut self.dice)?;
            let receipt = node.receipt(&self.chain, seen.transaction, &mut self.dice)?;
            let mut ours = None;
            for hash in record.hashes() {
                ours = match hash == seen.transaction {
                    true => receipt.clone(),
                    false => node.receipt(&self.chain, hash, &mut self.dice)?,
                };
                if ours.is_some() {
                    break;
                }
            }
            let carried = news::carried(receipt.as_ref());
            said.push(news::Sight { carried, ours, taken: None, last });
        }
        let lost = said.iter().all(|sight| sight.ours.is_none());
        Ok((news::confirmed(record, CHAIN, &said), lost))
    }

    pub(crate) fn elsewhere(
        &mut self,
        of: (Address, B256),
        since: u64,
    ) -> Result<Option<OnChain>, Silent> {
        if !self.ask(|node, chain, dice| node.used(chain, of, None, dice))? {
            return Ok(None);
        }
        let Some(hash) = self.ask(|node, chain, dice| node.used_in(chain, of, since, dice))? else {
            return Ok(None);
        };
        let receipt = self.ask(|node, chain, dice| node.receipt(chain, hash, dice))?;
        Ok(receipt.filter(|it| it.success).map(|it| news::place(&it)))
    }

    /// Brings a transaction to the chain.
    pub(crate) fn send(&mut self, id: IntentId) -> Result<(), Stop> {
        let Some(record) = self.state.intent(id) else { return Ok(()) };
        if self.state.frozen().is_some() && !record.passes_frozen() {
            return Ok(());
        }
        let settles = settlement(&record.decided.intent).filter(|_| !record.filled);
        let waiting = match record.state {
            PaymentState::Reserved => None,
            PaymentState::Signed | PaymentState::Sent | PaymentState::Seen => {
                self.outbox.get(&id).filter(|_| !record.awaits_signature()).cloned()
            }
            _ => return Ok(()),
        };
        let order = match waiting {
            Some(order) => order,
            None => match self.handle(vec![Event::Resume(id)])?.pop() {
                Some((_, Some(order))) => order,
                _ => return Ok(()),
            },
        };
        if self.dice.percent(self.silence) {
            return Ok(());
        }
        let hash = hash(&order);
        let (order, call) = match order {
            Order::Transaction(order) => (order, settles.map(Call::Settle)),
            Order::Cancel(CancelOrder { nonce, transaction, .. }) => {
                let of = (transaction.from, nonce);
                (transaction, Some(Call::Cancel(of)))
            }
            _ => return Ok(()),
        };
        self.chain.broadcast(Tx { hash, deed: Deed::Ours { order, call } });
        self.may_crash("before it is noted that it was sent")?;
        self.handle(vec![Event::Moved(Body::Sent { id })])?;
        Ok(())
    }
}
