//! Thousands of authorisations at once: the tokens' own events tell of all that were settled or
//! cancelled in two questions to each witness, where asking for each by itself would cost thousands.
//!
//! It only spares questions. Who is asked, and what must agree before anything is given back or settled
//! for good, is as for one alone; what the events leave open is asked for each.

use super::lapsed_by;
use crate::{
    core::news::{self, Sight},
    entry::{AuthorisationOrder, Body, OnChain, Order},
    error::StewardError,
    links::{Link, Witnesses, chain_error},
    reconcile::since,
    state::Record,
};
use alloy_primitives::{Address, B256};
use marque_identity::Rpc;
use marque_steward_client::PaymentState;
use std::collections::{BTreeMap, BTreeSet};

/// So many are worth asking for together.
const MANY: usize = 4;

/// Authorisations by token and nonce.
type Nonce = (Address, B256);

/// What the events of one witness say.
#[derive(Default)]
struct Events {
    /// Where each was settled.
    settled: BTreeMap<Nonce, OnChain>,
    /// Not enough is known of these.
    open: BTreeSet<Nonce>,
}

/// What is known of all.
pub(super) struct Told {
    witnesses: Witnesses,
    /// Of each witness, in the same order.
    events: Vec<Events>,
}

/// What that means for one.
pub(super) enum Word {
    /// It has moved.
    Moved(Body),
    /// It stays as it is for now.
    Waits,
    /// That has to be asked.
    Ask,
}

/// Asks for what is out, where it is much. What one endpoint refuses is asked for each, as ever.
pub(super) async fn ask(link: &Link, out: &[&Record]) -> Option<Told> {
    if out.len() < MANY {
        return None;
    }
    match look(link, out).await {
        Ok(told) => Some(told),
        Err(error) => {
            tracing::warn!(%error, "what is out is asked for one by one");
            None
        }
    }
}

/// Whose authorisations are looked for, in which token, and from which block on.
type Places = BTreeMap<(Address, Address), u64>;

async fn look(link: &Link, out: &[&Record]) -> Result<Told, StewardError> {
    let mut places = Places::new();
    for record in out {
        if let Some(order) = authorisation(record) {
            let from = places.entry((order.amount.asset.token, order.from)).or_insert(u64::MAX);
            *from = since(record).min(*from);
        }
    }
    // Before the events are read: what is not among them by then was not settled in these blocks.
    let witnesses = link.witnesses().await?;
    let mut events = Vec::with_capacity(witnesses.len());
    for (rpc, _) in &witnesses {
        events.push(read(rpc, &places).await?);
    }
    Ok(Told { witnesses, events })
}

async fn read(rpc: &Rpc, places: &Places) -> Result<Events, StewardError> {
    let mut events = Events::default();
    for (&(token, from), &block) in places {
        let settled = rpc.authorizations_settled_by(token, from, block).await;
        for it in settled.map_err(chain_error)? {
            match it.block_hash {
                Some(block_hash) => {
                    let (transaction, block) = (it.transaction, it.block);
                    let at = OnChain { transaction, block, block_hash };
                    events.settled.insert((token, it.nonce), at);
                }
                None => drop(events.open.insert((token, it.nonce))),
            }
        }
        let cancelled = rpc.authorizations_canceled_by(token, from, block).await;
        let cancelled = cancelled.map_err(chain_error)?;
        events.open.extend(cancelled.into_iter().map(|nonce| (token, nonce)));
    }
    Ok(events)
}

/// The authorisation that is out, where it is one.
const fn authorisation(record: &Record) -> Option<&AuthorisationOrder> {
    match (record.state, &record.order) {
        (PaymentState::Sent | PaymentState::Seen, Some(Order::Authorisation(order))) => Some(order),
        _ => None,
    }
}

impl Told {
    /// What it means for an intent that is out on this chain.
    pub(super) async fn of(&self, record: &Record, chain: u64) -> Result<Word, StewardError> {
        let Some(order) = authorisation(record) else { return Ok(Word::Ask) };
        let nonce = (order.amount.asset.token, order.nonce);
        if self.events.iter().any(|events| events.open.contains(&nonce)) {
            return Ok(Word::Ask);
        }
        match record.seen {
            Some(seen) => Ok(self.confirm(record, chain, (nonce, seen))),
            None => self.settle(record, order, nonce).await,
        }
    }

    /// One that nobody has seen in a block so far.
    async fn settle(
        &self,
        record: &Record,
        order: &AuthorisationOrder,
        nonce: Nonce,
    ) -> Result<Word, StewardError> {
        let id = record.decided.id;
        if let Some(&at) = self.events.iter().find_map(|events| events.settled.get(&nonce)) {
            return Ok(Word::Moved(Body::Seen { id, at }));
        }
        if self.witnesses.iter().any(|(_, last)| last.timestamp < order.valid_before) {
            return Ok(Word::Waits);
        }
        let terms = (order.amount.asset.token, order.from, order.nonce);
        let lapsed = lapsed_by(&self.witnesses, id, terms, order.valid_before).await?;
        // Used by then, and no event says how.
        Ok(lapsed.map_or(Word::Ask, Word::Moved))
    }

    /// One that was seen: still there, and final, as every witness says?
    fn confirm(&self, record: &Record, chain: u64, (nonce, seen): (Nonce, OnChain)) -> Word {
        let mut said = Vec::with_capacity(self.events.len());
        for (events, (_, last)) in self.events.iter().zip(&self.witnesses) {
            // Anything else than what was seen is looked into by itself.
            let Some(carried) = events.settled.get(&nonce).filter(|at| **at == seen) else {
                return Word::Ask;
            };
            said.push(Sight { carried: Some(*carried), ours: None, taken: None, last: *last });
        }
        news::confirmed(record, chain, &said).map_or(Word::Waits, Word::Moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::tests::{event, laid_out};
    use alloy_primitives::U256;
    use marque_identity::Block;
    use marque_policies::{AssetId, Intent, Labels, Money, intent::Authorise};

    const TOKEN: Address = Address::repeat_byte(0xaa);
    const NONCE: Nonce = (TOKEN, B256::repeat_byte(5));

    const fn place(block: u64) -> OnChain {
        let block_hash = B256::repeat_byte(block as u8);
        OnChain { transaction: B256::repeat_byte(7), block, block_hash }
    }

    /// An authorisation that was seen in a block.
    fn seen(at: OnChain) -> Record {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut authority) = laid_out(dir.path());
        let asked = event(&authority, 0, "now");
        authority.handle(vec![asked]).unwrap();
        let mut record = authority.state().intents().values().next().unwrap().clone();
        let amount = Money::new(U256::from(5), AssetId { chain: 1, token: TOKEN });
        record.order = Some(Order::Authorisation(AuthorisationOrder {
            name: String::new(),
            version: String::new(),
            amount,
            from: Address::ZERO,
            to: Address::ZERO,
            valid_after: 0,
            valid_before: 1_000,
            nonce: NONCE.1,
            block: 1,
        }));
        record.decided.intent = Intent::Authorise(Authorise {
            payee: "shop".to_owned(),
            to: Address::ZERO,
            amount,
            host: String::new(),
            resource: String::new(),
            labels: Labels::default(),
        });
        (record.state, record.seen) = (PaymentState::Seen, Some(at));
        record
    }

    /// A witness that has the authorisation there, or nowhere, and whose final block is this.
    fn witness(at: Option<OnChain>, last: u64) -> (Events, (Rpc, Block)) {
        let mut events = Events::default();
        events.settled.extend(at.map(|at| (NONCE, at)));
        let rpc = Rpc::new(&["http://127.0.0.1:9".to_owned()]).unwrap();
        (events, (rpc, Block { number: last, hash: B256::ZERO, timestamp: 100 + last }))
    }

    async fn told(witnesses: Vec<(Events, (Rpc, Block))>) -> Word {
        let (events, witnesses) = witnesses.into_iter().unzip();
        Told { witnesses, events }.of(&seen(place(3)), 1).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_seen_is_final_once_every_witness_has_it_there_for_good() {
        let here = Some(place(3));
        let all = told(vec![witness(here, 4), witness(here, 3)]).await;
        let Word::Moved(Body::Final { actual, time, .. }) = all else { panic!() };
        assert_eq!(actual.first().map(|money| money.units), Some(U256::from(5)));
        assert_eq!(time, Some(104));
        let early = told(vec![witness(here, 4), witness(here, 2)]).await;
        assert!(matches!(early, Word::Waits));
        // What they do not agree on is looked into by itself.
        for other in [None, Some(place(4))] {
            let told = told(vec![witness(here, 9), witness(other, 9)]).await;
            assert!(matches!(told, Word::Ask), "{other:?}");
        }
    }
}
