//! Thousands of authorisations at once: the tokens' own events tell of all that were settled or
//! cancelled in two questions, where asking for each by itself would cost thousands.
//!
//! It only spares questions. Who is asked, and what must agree before anything is given back, is as
//! for one alone; what the events leave open is asked for each.

use super::lapsed_by;
use crate::{
    entry::{AuthorisationOrder, Body, OnChain, Order},
    error::StewardError,
    links::{Link, Witnesses, chain_error},
    reconcile::since,
    state::Record,
};
use alloy_primitives::{Address, B256};
use marque_policies::IntentId;
use marque_steward_client::PaymentState;
use std::collections::{BTreeMap, BTreeSet};

/// So many are worth asking for together.
const MANY: usize = 4;

/// What is known of all.
pub(super) struct Told {
    /// Where each was settled, by token and nonce.
    settled: BTreeMap<(Address, B256), OnChain>,
    /// Not enough is known of these.
    open: BTreeSet<(Address, B256)>,
    witnesses: Witnesses,
}

/// What that means for one.
pub(super) enum Word {
    /// It has moved.
    Moved(Body),
    /// It is out and in time.
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

async fn look(link: &Link, out: &[&Record]) -> Result<Told, StewardError> {
    // Whose, in which token, from which block on.
    let mut places: BTreeMap<(Address, Address), u64> = BTreeMap::new();
    for record in out.iter().filter(|record| record.state == PaymentState::Sent) {
        if let Some(Order::Authorisation(order)) = &record.order {
            let from = places.entry((order.amount.asset.token, order.from)).or_insert(u64::MAX);
            *from = since(record).min(*from);
        }
    }
    // Before the events are read: what is not among them by then was not settled in these blocks.
    let witnesses = link.witnesses().await?;
    let mut told = Told { settled: BTreeMap::new(), open: BTreeSet::new(), witnesses };
    for ((token, from), block) in places {
        let settled = link.rpc.authorizations_settled_by(token, from, block).await;
        for it in settled.map_err(chain_error)? {
            match it.block_hash {
                Some(block_hash) => {
                    let (transaction, block) = (it.transaction, it.block);
                    let at = OnChain { transaction, block, block_hash };
                    told.settled.insert((token, it.nonce), at);
                }
                None => drop(told.open.insert((token, it.nonce))),
            }
        }
        let cancelled = link.rpc.authorizations_canceled_by(token, from, block).await;
        let cancelled = cancelled.map_err(chain_error)?;
        told.open.extend(cancelled.into_iter().map(|nonce| (token, nonce)));
    }
    Ok(told)
}

impl Told {
    /// What it means for the authorisation of this intent.
    pub(super) async fn of(
        &self,
        id: IntentId,
        order: &AuthorisationOrder,
    ) -> Result<Word, StewardError> {
        let known = (order.amount.asset.token, order.nonce);
        if self.open.contains(&known) {
            return Ok(Word::Ask);
        }
        if let Some(at) = self.settled.get(&known) {
            return Ok(Word::Moved(Body::Seen { id, at: *at }));
        }
        if self.witnesses.iter().any(|(_, last)| last.timestamp < order.valid_before) {
            return Ok(Word::Waits);
        }
        let terms = (order.amount.asset.token, order.from, order.nonce);
        let lapsed = lapsed_by(&self.witnesses, id, terms, order.valid_before).await?;
        // Used by then, and no event says how.
        Ok(lapsed.map_or(Word::Ask, Word::Moved))
    }
}
