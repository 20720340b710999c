//! The steward of a world: the real core and the real fold, between a disk that forgets and nodes
//! that lie.
//!
//! [`World::handle`] does what the authority thread does, with a crash possible between any two of
//! its acts; [`World::reconcile`] asks what the reconciliation asks and takes the same functions to
//! say what the answers mean.

use crate::{
    chain::{Deed, Silent},
    laws::{self, Grant, law},
    support::CHAIN,
    world::{Stop, World},
};
use alloy_primitives::{B256, U256, keccak256};
use marque_contracts::delegation::{Delegation, Permission};
use marque_policies::{AssetId, Intent, IntentId, Money, Timestamp};
use marque_steward::{
    Entry, State,
    core::{BlockFacts, Effect, Event, Facts, GasPlan, Permit, Reply, Way, step},
    entry::{Body, CancelOrder, Foreign, Order},
};
use marque_steward_client::{PaymentState, Proposal};

/// Units of gas that a cancellation may use.
const CANCEL_GAS: u64 = 100_000;

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
        for (index, entry) in fresh.iter().enumerate() {
            self.date(entry.at);
            match &entry.body {
                Body::Signed { id, hash } => self.went_out(*id, *hash)?,
                Body::Filled { id, .. } => {
                    self.stats.filled += 1;
                    if let Some(Grant { order, paid, .. }) = self.grant(*id)
                        && let Some(transaction) = order.transaction()
                    {
                        // Its account nonce is used for nothing, and nobody is paid.
                        let mut nothing = transaction.clone();
                        (nothing.to, nothing.value) = (nothing.from, Default::default());
                        nothing.data = Default::default();
                        (*order, *paid) = (Order::Transaction(nothing), None);
                    }
                }
                Body::Replaced { id, max_fee, max_priority_fee } => {
                    self.stats.replaced += 1;
                    self.dearer(*id, (*max_fee, *max_priority_fee), entry.at)?;
                }
                Body::Cancelled { .. } => self.stats.cancelled += 1,
                _ => {}
            }
            if let Body::Allowed(allowed) = &entry.body {
                let agent = entry.agent.clone().unwrap_or_default();
                let sub_agent = allowed.decided.sub_agent.clone();
                let spends = allowed.decided.intent.spends();
                let sweep = matches!(allowed.decided.intent, Intent::Sweep(_));
                let paid = spends.filter(|paid| !sweep && allowed.debits.contains(paid));
                let grant = Grant {
                    id: allowed.decided.id,
                    place: match &allowed.decided.intent {
                        Intent::Cancel(cancel) => {
                            (agent.clone(), None, cancel.intent.to_string(), 0, 0)
                        }
                        _ => (
                            agent.clone(),
                            sub_agent.clone(),
                            allowed.decided.task.clone(),
                            allowed.decided.step,
                            allowed.decided.ordinal,
                        ),
                    },
                    agent,
                    sub_agent,
                    task: allowed.decided.task.clone(),
                    payee: match &allowed.decided.intent {
                        Intent::Authorise(pay) => Some(pay.to),
                        Intent::Transfer(pay) => Some(pay.to),
                        _ => None,
                    },
                    paid,
                    gas: allowed.debits.iter().find(|money| money.asset.is_native()).copied(),
                    intent: allowed.decided.intent.clone(),
                    order: allowed.order.clone(),
                    hashes: Vec::new(),
                    mined: None,
                };
                if let Intent::Refill { .. } = &grant.intent {
                    self.stats.refills += 1;
                    law!(
                        allowed.debits.iter().all(|debit| debit.asset.is_native()),
                        "a refill spends more than fees"
                    );
                    // When it was decided: the state is that of the whole group, in which a
                    // reorganisation may have taken one back that was in a block by then.
                    let later = fresh.get(index..).unwrap_or_default();
                    let in_a_block = |it: &marque_steward::state::Record| {
                        let unseen = Body::Unseen { id: it.decided.id };
                        later.iter().any(|entry| entry.body == unseen)
                    };
                    let under_way = self.state.intents().values().filter(|it| {
                        let out =
                            [PaymentState::Reserved, PaymentState::Signed, PaymentState::Sent];
                        matches!(it.decided.intent, Intent::Refill { .. })
                            && it.agent == grant.agent
                            && out.contains(&it.state)
                            && !in_a_block(it)
                    });
                    law!(under_way.count() <= 1, "two refills of {} at a time", grant.agent);
                }
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
                self.stats.below += u64::from(grant.sub_agent.is_some());
                // One that was released and never signed, and is allowed again, is one grant.
                self.grants.retain(|it| it.id != grant.id || !it.hashes.is_empty());
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

    fn grant(&mut self, id: IntentId) -> Option<&mut Grant> {
        self.grants.iter_mut().rev().find(|grant| grant.id == id)
    }

    /// Higher fees for the same transaction are as much a grant as the first ones.
    fn dearer(
        &mut self,
        id: IntentId,
        (fee, priority): (U256, U256),
        at: Timestamp,
    ) -> Result<(), Stop> {
        let place = self.grants.iter().rposition(|grant| grant.id == id);
        let Some(grant) = place.and_then(|place| self.grants.get_mut(place)) else {
            return Err(Stop::Law(format!("{id} gets higher fees, and nothing durable allows it")));
        };
        if let Order::Transaction(order) | Order::Cancel(CancelOrder { transaction: order, .. }) =
            &mut grant.order
        {
            (order.max_fee, order.max_priority_fee) = (fee, priority);
            let most = U256::from(order.gas_limit) * fee;
            grant.gas = Some(Money::new(most, AssetId::native(CHAIN)));
        }
        let policy = self.state.agent(&grant.agent).and_then(|it| it.policy.as_ref());
        let policy = policy.map(|it| it.hash).unwrap_or_default();
        if let Some(grant) = place.and_then(|place| self.grants.get(place)) {
            // Only fees grow: what is paid was judged by the policy of its day.
            let fees = Grant { paid: None, ..grant.clone() };
            let truth = (&self.chain, &self.state, at);
            laws::within_limits(self.setup, policy, &self.grants, &fees, truth)?;
        }
        Ok(())
    }

    /// From here on a transaction may be anywhere: no other one has its account nonce.
    fn went_out(&mut self, id: IntentId, hash: B256) -> Result<(), Stop> {
        let Some(grant) = self.grant(id) else {
            return Err(Stop::Law(format!("{id} is signed, and nothing durable allows it")));
        };
        if !grant.hashes.contains(&hash) {
            grant.hashes.push(hash);
        }
        if let Some(order) = grant.order.transaction() {
            let (from, nonce) = (order.from, order.nonce);
            let before = self.nonces.insert((from, nonce), id);
            law!(before.is_none_or(|it| it == id), "account nonce {nonce} was used twice");
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
        let record = self.state.intent(id);
        let (known, now_is) =
            (record.and_then(|it| it.hash), record.and_then(|it| it.order.clone()));
        let order = permit.spend();
        // As the authority does: in one group the record may have moved on.
        let out =
            [PaymentState::Reserved, PaymentState::Signed, PaymentState::Sent, PaymentState::Seen];
        let stands = record.is_some_and(|record| out.contains(&record.state));
        if order.transaction().is_some() && (now_is.as_ref() != Some(&order) || !stands) {
            return Ok(None);
        }
        let settles = record.and_then(|record| settlement(&record.decided.intent));
        // The outbox cannot be written: what was signed is dropped, and it stays reserved.
        if order.transaction().is_some() && self.dice.percent(self.fails / 3) {
            return Ok(None);
        }
        if let Some(before) = self.signed.insert(id, order.clone()) {
            // An authorisation that pays us may be settled by a second transaction.
            let nonce = |order: &Order| order.transaction().map(|order| order.nonce);
            let same = content(&before) == content(&order)
                && (settles.is_some() || nonce(&before) == nonce(&order));
            // Or by the first, where its account nonce was only filled then.
            let filled = settles.is_some() && moves_nothing(&before);
            law!(same || filled, "{id} was signed with two contents: {before:?}, then {order:?}");
        }
        let Some(grant) = self.grants.iter().rev().find(|grant| grant.id == id) else {
            return Err(Stop::Law(format!("{id} is signed, and nothing durable allows it")));
        };
        law!(grant.order == order, "{id} is signed otherwise than the journal says");
        if order.transaction().is_none() {
            return Ok(Some(order));
        }
        let hash = hash(&order);
        law!(known.is_none_or(|it| it == hash), "{id} would be signed with other bytes");
        self.may_crash("before the outbox")?;
        self.outbox.insert(id, order.clone());
        self.handle(vec![Event::Moved(Body::Signed { id, hash })])?;
        Ok(Some(order))
    }

    /// Kills the steward, with some luck, and says where.
    pub(crate) fn may_crash(&mut self, place: &str) -> Result<(), Stop> {
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
    pub(crate) fn facts(
        &mut self,
        (agent, sub_agent): (&str, Option<&str>),
        proposal: &Proposal,
    ) -> Facts {
        let Some(account) = self.state.agent(agent) else { return Facts::default() };
        let Some(policy) = account.policy.as_ref().map(|it| it.hash) else {
            return Facts::default();
        };
        let key = account.key;
        let below = sub_agent.map(str::to_owned);
        let mut facts = Facts { policy, sub_agent: below, ..Facts::default() };
        let id = proposal.id_of(crate::support::ORIGIN, agent, sub_agent);
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
        if let Intent::Cancel(cancel) = intent {
            let order = self.state.intent(cancel.intent).and_then(|it| it.order.clone());
            facts.nonce = Some(self.ask(|node, chain, dice| node.count(chain, key, dice))?);
            facts.gas = Some(self.plan(CANCEL_GAS));
            if let Some(Order::Authorisation(order)) = order {
                let of = (order.from, order.nonce);
                if self.ask(|node, chain, dice| node.used(chain, of, None, dice))? {
                    facts.trouble = Some("settled or cancelled already".to_owned());
                }
            }
            return Ok(());
        }
        if let Intent::Refill { .. } = intent {
            let root = Delegation::root(crate::support::TOKEN, key).signed(vec![1; 65]);
            let permission = Permission::new([root]).ok();
            let manager = crate::support::TOKEN;
            facts.way = permission.map(|permission| Way { manager, permission });
            facts.cover = Some(U256::from(self.dice.below(700_000)));
        }
        let transaction = matches!(
            intent,
            Intent::Transfer(_) | Intent::Settle(_) | Intent::Sweep(_) | Intent::Refill { .. }
        );
        if transaction && facts.elsewhere.is_none() {
            facts.nonce = Some(self.ask(|node, chain, dice| node.count(chain, key, dice))?);
            if self.dice.percent(6) {
                facts.trouble = Some("tried out, it fails".to_owned());
            } else {
                facts.gas = Some(self.plan(60_000));
            }
        }
        Ok(())
    }

    /// What the chain asks for gas just now.
    pub(crate) fn plan(&mut self, limit: u64) -> GasPlan {
        let max_fee = u128::from(self.dice.between(5, 40)) * 1_000_000_000;
        GasPlan { limit, max_fee, max_priority_fee: 1 }
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
}

/// What a settlement brings to the chain.
pub(crate) fn settlement(intent: &Intent) -> Option<(alloy_primitives::Address, B256)> {
    match intent {
        Intent::Settle(settle) => Some((settle.from, settle.nonce)),
        _ => None,
    }
}

/// What a signature does, at whatever price and place in line.
fn content(order: &Order) -> Order {
    let mut order = order.clone();
    if let Order::Transaction(it) | Order::Cancel(CancelOrder { transaction: it, .. }) = &mut order
    {
        (it.nonce, it.max_fee, it.max_priority_fee) = (0, U256::ZERO, U256::ZERO);
        (it.block, it.gas_limit) = (0, 0);
    }
    order
}

/// Whether it only uses an account nonce up.
fn moves_nothing(order: &Order) -> bool {
    order
        .transaction()
        .is_some_and(|it| it.to == it.from && it.value.is_zero() && it.data.is_empty())
}

/// The hash under which the chain knows what is signed for an order.
pub(crate) fn hash(order: &Order) -> B256 {
    keccak256(serde_json::to_vec(order).unwrap())
}

fn brief(entry: &Entry) -> String {
    let id = entry.body.intent().map(|id| id.to_string()).unwrap_or_default();
    let id = id.get(..10).unwrap_or_default();
    format!("{} {} {id}", entry.body.kind(), entry.agent.as_deref().unwrap_or(""))
}
