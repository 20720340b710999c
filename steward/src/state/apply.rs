//! The fold: one entry after the other.

use crate::{
    entry::{Allowed, Body, Decided, Entry, Genesis, Order},
    error::StewardError,
    state::{
        Account, Adopted, Approval, Archived, Debit, Frozen, HELD_FOR, Record, Rotated, Standing,
        State, account::Use, record::payee,
    },
};
use alloy_primitives::U256;
use marque_policies::{AssetId, Intent, IntentId, Money, Timestamp, document::Payee};
use marque_steward_client::{PaymentState, Said};
use std::{borrow::Cow, sync::Arc};

impl State {
    /// Folds a whole journal.
    ///
    /// # Errors
    /// As [`State::apply`], for the first entry that does not fit.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, StewardError> {
        let mut state = Self::default();
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Takes one entry.
    ///
    /// # Errors
    /// [`StewardError::Entry`] where it does not follow from what came before. The state is then
    /// not to be used any more.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), StewardError> {
        self.absorb(Cow::Borrowed(entry))
    }

    /// The same; what is kept of an entry that nobody else needs is not copied.
    pub(crate) fn absorb(&mut self, entry: Cow<'_, Entry>) -> Result<(), StewardError> {
        let (seq, at) = (entry.seq, entry.at);
        let outcome = self.place(&entry).and_then(|()| self.take(entry));
        outcome.map_err(|why| StewardError::Entry { seq, why: why.to_owned() })?;
        self.next += 1;
        self.time = at;
        Ok(())
    }

    fn place(&self, entry: &Entry) -> Result<(), &'static str> {
        if entry.seq != self.next {
            return Err("is out of its place");
        }
        if entry.at < self.time {
            return Err("goes back in time");
        }
        match (&entry.body, &self.genesis) {
            (Body::Genesis(_), Some(_)) => Err("begins a journal that has begun"),
            (Body::Genesis(_), None) | (_, Some(_)) => Ok(()),
            (_, None) => Err("comes before the genesis"),
        }
    }

    fn take(&mut self, entry: Cow<'_, Entry>) -> Result<(), &'static str> {
        const NAMELESS: &str = "names no agent";
        let entry = match entry {
            Cow::Owned(Entry { seq, at, agent, body: Body::Allowed(allowed), .. }) => {
                return self.allow(agent.as_deref().ok_or(NAMELESS)?, *allowed, seq, at);
            }
            entry => entry,
        };
        let Entry { seq, at, agent, .. } = &*entry;
        let (seq, at) = (*seq, *at);
        let name = || agent.as_deref().ok_or(NAMELESS);
        match &entry.body {
            Body::Genesis(genesis) => self.genesis = Some(Genesis::clone(genesis)),
            Body::Enroll { key, .. } => {
                let account = Account {
                    key: *key,
                    enrolled: seq,
                    policy: None,
                    nonce: 0,
                    accepted: Default::default(),
                    pinned: Default::default(),
                    undelivered: Default::default(),
                    scanned: Default::default(),
                    received: 0,
                    uses: Vec::new(),
                };
                if self.agents.insert(name()?.to_owned(), account).is_some() {
                    return Err("enrolls an agent twice");
                }
            }
            Body::Adopt { version, hash, document, .. } => {
                let (policy, _) = marque_policies::parse(document)
                    .map_err(|_| "adopts a policy that this program cannot read")?;
                if policy.hash != *hash || policy.version != *version {
                    return Err("adopts another policy than it says");
                }
                self.account(name()?)?.policy = Some(Adopted {
                    entry: seq,
                    version: *version,
                    hash: *hash,
                    document: document.clone(),
                    policy: Arc::new(policy),
                });
            }
            Body::Approve { intent, version, deadline, .. } => {
                let record = self.record(*intent, &[PaymentState::Held, PaymentState::Approved])?;
                let (version, deadline) = (*version, *deadline);
                record.approval = Some(Approval { entry: seq, at, version, deadline });
                record.state = PaymentState::Approved;
            }
            Body::Deny { intent, .. } => {
                let record = self.record(*intent, &[PaymentState::Held, PaymentState::Approved])?;
                record.approval = None;
                record.state = PaymentState::Denied;
            }
            Body::Frozen { by, reason, nonce, authorisations } => {
                let (by, reason) = (by.clone(), reason.clone());
                // A later entry says what became known meanwhile; what was known stays.
                let (mut nonces, mut known) = self
                    .frozen
                    .take()
                    .map_or_else(Default::default, |before| (before.nonces, before.authorisations));
                if let Some(nonce) = nonce {
                    nonces.insert(name()?.to_owned(), *nonce);
                }
                if !authorisations.is_empty() {
                    let pairs = authorisations.iter().map(|it| (it.token, it.nonce));
                    known.entry(name()?.to_owned()).or_default().extend(pairs);
                }
                self.frozen = Some(Frozen { seq, by, reason, nonces, authorisations: known });
            }
            Body::Thawed { frozen_at, .. } => {
                let frozen = self.frozen.take_if(|frozen| frozen.seq == *frozen_at);
                let frozen = frozen.ok_or("thaws what is not frozen")?;
                // The owner has looked at it: what the chain knew more is the owner's.
                for (agent, nonce) in frozen.nonces {
                    let account = self.account(&agent)?;
                    account.nonce = account.nonce.max(nonce);
                }
                for (agent, known) in frozen.authorisations {
                    self.account(&agent)?.accepted.extend(known);
                }
            }
            Body::Rotate { owner, since, .. } => {
                if *since != self.owner_since() {
                    return Err("rotates an owner who is not in force");
                }
                self.rotated = Some(Rotated { owner: *owner, entry: seq, since: *since });
                // What only the owner before has approved waits for the new one.
                let approved = |record: &&Record| record.state == PaymentState::Approved;
                let approved = self.intents.values().filter(approved);
                let approved: Vec<IntentId> = approved.map(|record| record.decided.id).collect();
                for id in approved {
                    let record = self.record(id, &[PaymentState::Approved])?;
                    record.state = PaymentState::Held;
                    record.approval = None;
                }
            }
            Body::Refused(decided) => {
                let decided = Decided::clone(decided);
                self.decide(name()?, decided, PaymentState::Refused, seq, at)?;
            }
            Body::Held(decided) => {
                let decided = Decided::clone(decided);
                self.decide(name()?, decided, PaymentState::Held, seq, at)?;
            }
            Body::Allowed(allowed) => self.allow(name()?, Allowed::clone(allowed), seq, at)?,
            Body::Signed { id, hash } => {
                let record = self.intents.get_mut(id).ok_or("names an unknown intent")?;
                if !record.awaits_signature() {
                    return Err("signs what is signed");
                }
                if record.state != PaymentState::Seen {
                    record.state = PaymentState::Signed;
                }
                record.hash = Some(*hash);
            }
            Body::Sent { id } => {
                self.record(*id, &[PaymentState::Signed])?.state = PaymentState::Sent;
            }
            Body::Seen { id, at: place } => {
                let record = self.record(*id, &[PaymentState::Signed, PaymentState::Sent])?;
                record.state = PaymentState::Seen;
                record.seen = Some(*place);
                self.debits.seen(*id, at);
            }
            Body::Unseen { id } => {
                let record = self.record(*id, &[PaymentState::Seen])?;
                record.state = PaymentState::Sent;
                record.seen = None;
            }
            Body::Final { id, actual, time } => {
                let record = self.record(*id, &[PaymentState::Seen, PaymentState::Sent])?;
                // Without a block that carries it a permit's maximum is spent, and nothing else is.
                let all = match &record.order {
                    Some(Order::PermitTransfer(order)) => actual.as_slice() == [order.amount],
                    _ => false,
                };
                if record.state != PaymentState::Seen && !all {
                    return Err("settles what was seen in no block");
                }
                record.state = PaymentState::Final;
                self.debits.settle(*id, actual, latest(at, *time));
            }
            Body::Reverted { id, at: place, actual, time } => {
                let record = self.record(*id, &[PaymentState::Signed, PaymentState::Sent])?;
                record.state = PaymentState::Expired;
                record.seen = Some(*place);
                self.debits.settle(*id, actual, latest(at, *time));
            }
            Body::Cancelled { id, at: place } => {
                let record = self.record(*id, &[PaymentState::Signed, PaymentState::Sent])?;
                if !record.order.as_ref().is_some_and(Order::is_handed_out) {
                    return Err("cancels what is no authorisation and no permit");
                }
                record.state = PaymentState::Cancelled;
                record.seen = Some(*place);
                self.debits.remove(*id);
            }
            Body::Replaced { id, max_fee, max_priority_fee } => {
                self.replace(*id, *max_fee, *max_priority_fee)?;
            }
            Body::Filled { id, .. } => self.fill(*id)?,
            Body::Received { upto, .. } => {
                let account = self.account(name()?)?;
                account.received = account.received.max(*upto);
            }
            Body::Scanned { block, tokens } => {
                let account = self.account(name()?)?;
                for token in tokens {
                    let known = account.scanned.entry(*token).or_default();
                    *known = (*known).max(*block);
                }
            }
            Body::Released { id, .. } => self.release(*id)?,
            Body::Expired { id, .. } => {
                let record = self.record(*id, &[PaymentState::Signed, PaymentState::Sent])?;
                record.state = PaymentState::Expired;
                self.debits.remove(*id);
            }
            Body::Reported { id, said } => {
                let known = match (self.intents.get(id), self.archive.get(id)) {
                    (Some(record), _) => Some(&record.agent) == agent.as_ref(),
                    (None, Some(archived)) => self.is_of(archived, name()?),
                    (None, None) => false,
                };
                // Journals of before have claims without an amount, and states that do not know them.
                if let Said::Settled { transaction, amount: Some(_) } = said
                    && known
                    && let Some(record) = self.intents.get_mut(id)
                    && record.is_live()
                {
                    record.claim = Some(*transaction);
                }
                if known && matches!(said, Said::Undelivered { .. }) {
                    self.account(name()?)?.undelivered.insert(*id);
                }
            }
            Body::Checkpointed { .. } => {
                // Places where every replay does the same, and often enough.
                self.archive(at);
                self.debits.sum_up(at);
                self.agents.values_mut().for_each(|account| account.forget_uses(at));
            }
            Body::Noted { .. }
            | Body::Contradicted { .. }
            | Body::Started { .. }
            | Body::IndexRebuilt { .. }
            | Body::Recovered { .. }
            | Body::Stopped => {}
        }
        Ok(())
    }

    fn account(&mut self, name: &str) -> Result<&mut Account, &'static str> {
        self.agents.get_mut(name).ok_or("names an agent that is not enrolled")
    }

    fn record(&mut self, id: IntentId, from: &[PaymentState]) -> Result<&mut Record, &'static str> {
        let record = self.intents.get_mut(&id).ok_or("names an intent that is not known")?;
        if from.contains(&record.state) {
            Ok(record)
        } else {
            Err("moves an intent in a way that there is not")
        }
    }

    /// Notes a verdict that reserves nothing.
    fn decide(
        &mut self,
        agent: &str,
        decided: Decided,
        state: PaymentState,
        entry: u64,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let id = decided.id;
        let policy = self.account(agent)?.policy.as_ref();
        let held = policy.and_then(|adopted| adopted.policy.approvals.held).unwrap_or(HELD_FOR);
        if self.intents.get(&id).is_some_and(Record::is_spent)
            || self.archive.get(&id).is_some_and(Archived::is_spent)
        {
            return Err("decides again what was allowed");
        }
        self.archive.remove(&id);
        let record = Record {
            agent: agent.to_owned(),
            decided,
            at,
            entry,
            closes: at.saturating_add(held),
            state,
            approval: None,
            debits: Vec::new(),
            order: None,
            hash: None,
            earlier: Vec::new(),
            filled: false,
            seen: None,
            claim: None,
        };
        self.intents.insert(id, record);
        Ok(())
    }

    /// Notes a verdict that reserves: every scope is debited by the same rows, or none.
    fn allow(
        &mut self,
        agent: &str,
        allowed: Allowed,
        entry: u64,
        at: Timestamp,
    ) -> Result<(), &'static str> {
        let Allowed { decided, debits, order } = allowed;
        let id = decided.id;
        let approved =
            self.intents.get(&id).is_some_and(|before| before.state == PaymentState::Approved);
        let state = match order {
            Order::Permission | Order::Wallet(_) => PaymentState::Final,
            Order::Authorisation(_) | Order::PermitTransfer(_) | Order::Elsewhere => {
                PaymentState::Sent
            }
            Order::Transaction(_) | Order::Cancel(_) => PaymentState::Reserved,
        };
        let paid = payee(&decided.intent);
        let spends = decided.intent.spends();
        let known = self.known(agent, &decided.intent);
        // What is spent comes first, and only that is somebody's; fees may be of the same amount.
        let rows = debits.iter().enumerate().map(|(place, amount)| Debit {
            agent: agent.to_owned(),
            sub_agent: decided.sub_agent.clone(),
            task: decided.task.clone(),
            payee: paid.filter(|_| place == 0 && spends == Some(*amount)),
            pool: paid.is_some() && place == 0 && spends == Some(*amount) && known.is_none(),
            amount: *amount,
            at,
            standing: Standing::InFlight,
        });
        let rows: Vec<Debit> = rows.collect();
        // Approved by the owner and not denied by the policy: from now on this host has an address.
        let pin = known
            .filter(|payee| approved && payee.address.is_none())
            .and_then(|payee| payee.host.clone())
            .zip(paid);
        let used = match &decided.intent {
            Intent::Tool(used) => Some(Use {
                at,
                tool: used.tool.clone(),
                bytes: used.fetch.as_ref().map_or(0, |fetch| fetch.bytes_out),
            }),
            _ => None,
        };
        let nonce = order.transaction().map(|transaction| transaction.nonce);
        self.decide(agent, decided, state, entry, at)?;
        self.debits.reserve(id, rows);
        if let Some(record) = self.intents.get_mut(&id) {
            record.debits = debits;
            record.order = Some(order);
        }
        // The owner has looked at this payee: what it failed to deliver before is forgiven.
        let forgiven: Vec<IntentId> = match (approved, paid) {
            (true, Some(payee)) => self.undelivered_by(agent, payee),
            _ => Vec::new(),
        };
        let account = self.account(agent)?;
        account.undelivered.retain(|id| !forgiven.contains(id));
        if let Some((host, address)) = pin {
            account.pinned.entry(host).or_insert(address);
        }
        match (used, nonce) {
            (Some(used), _) => account.uses.push(used),
            (None, Some(nonce)) => {
                if nonce < account.nonce {
                    return Err("uses an account nonce again");
                }
                account.nonce = nonce + 1;
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The payee that an intent pays, where the policy in force knows it.
    fn known(&self, agent: &str, intent: &Intent) -> Option<&Payee> {
        let name = match intent {
            Intent::Authorise(pay) => &pay.payee,
            Intent::Transfer(pay) => &pay.payee,
            Intent::PermitTransfer(pay) => &pay.payee,
            _ => return None,
        };
        self.agents.get(agent)?.policy.as_ref()?.policy.payees.get(name)
    }

    /// Gives back what never went out.
    fn release(&mut self, id: IntentId) -> Result<(), &'static str> {
        let record = self.record(id, &[PaymentState::Reserved])?;
        record.state = PaymentState::Released;
        let (agent, order) = (record.agent.clone(), record.order.clone());
        self.debits.remove(id);
        // Nothing was signed with this nonce; it is free again if it was the last one taken.
        if let Some(transaction) = order.as_ref().and_then(Order::transaction) {
            let account = self.account(&agent)?;
            if account.nonce == transaction.nonce + 1 {
                account.nonce = transaction.nonce;
            }
        }
        Ok(())
    }

    /// The same transaction with other fees. What was signed before may be mined as well as what
    /// is signed next.
    fn replace(&mut self, id: IntentId, fee: U256, priority: U256) -> Result<(), &'static str> {
        let record = self.record(id, &[PaymentState::Signed, PaymentState::Sent])?;
        let order = record.order.as_mut().and_then(Order::transaction_mut);
        let order = order.ok_or("replaces what is no transaction")?;
        if fee <= order.max_fee {
            return Err("replaces a transaction by one with no higher fees");
        }
        (order.max_fee, order.max_priority_fee) = (fee, priority);
        let most = U256::from(order.gas_limit).saturating_mul(fee);
        let gas = Money::new(most, AssetId::native(order.chain));
        record.earlier.extend(record.hash.take());
        if let Some(reserved) = record.debits.iter_mut().rfind(|it| it.asset == gas.asset) {
            reserved.units = reserved.units.max(gas.units);
        }
        self.debits.raise_gas(id, gas);
        Ok(())
    }

    /// Keeps the nonce of what came to nothing, for later ones wait behind it.
    fn fill(&mut self, id: IntentId) -> Result<(), &'static str> {
        let record = self.record(id, &[PaymentState::Reserved])?;
        let order = record.order.as_ref().and_then(Order::transaction);
        let order = order.ok_or("fills the nonce of what is no transaction")?;
        record.order = Some(Order::Transaction(order.to_nowhere()));
        record.filled = true;
        let gas = record.debits.iter().rfind(|it| it.asset.is_native()).copied();
        record.debits = gas.into_iter().collect();
        self.debits.keep_gas(id);
        Ok(())
    }

    fn undelivered_by(&self, agent: &str, payee: alloy_primitives::Address) -> Vec<IntentId> {
        let ids = self.agents.get(agent).into_iter().flat_map(|account| &account.undelivered);
        ids.copied().filter(|id| self.payee_of(*id) == Some(payee)).collect()
    }
}

/// From when a settled amount counts: by our clock or the chain's, whichever is ahead, so that a
/// clock that was set back takes nothing out of a window early.
fn latest(at: Timestamp, block_time: Option<u64>) -> Timestamp {
    at.max(block_time.unwrap_or_default().saturating_mul(1_000))
}
