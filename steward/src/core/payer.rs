//! What a payer has left for one more settlement.
//!
//! Every authorisation of one balance can be settled by itself, so each look at the chain sees all of
//! it. Settlements under way take their money a moment later: without counting them, whoever signs one
//! balance away many times has a seller pay for transactions that fail.

use crate::state::State;
use alloy_primitives::{Address, B256, U256};
use marque_policies::{AssetId, Intent, IntentId};
use marque_steward_client::PaymentState;
use std::collections::BTreeSet;

/// What the chain says of a payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payer {
    /// Base units that a settlement could take.
    pub balance: U256,
    /// Settlements under way that had been taken from it already.
    pub taken: BTreeSet<IntentId>,
}

/// A settlement under way, which takes its money a moment later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub(crate) id: IntentId,
    pub(crate) units: U256,
    /// The nonce, and whether it is Permit2's.
    pub(crate) nonce: (B256, bool),
}

/// Who pays with a settlement, of what, how much, and by which nonce.
pub(crate) fn paying(intent: &Intent) -> Option<(Address, AssetId, U256, (B256, bool))> {
    match intent {
        Intent::Settle(it) => Some((it.from, it.amount.asset, it.amount.units, (it.nonce, false))),
        Intent::SettlePermit(it) => {
            Some((it.from, it.amount.asset, it.charge.units, (it.nonce.into(), true)))
        }
        _ => None,
    }
}

/// Settlements by the same payer in the same asset that are under way and that no block was seen to
/// carry, of all agents, the newest first.
pub(crate) fn owed(state: &State, intent: &Intent, but: IntentId) -> Vec<Owed> {
    let Some((payer, asset, ..)) = paying(intent) else { return Vec::new() };
    let under_way =
        |state| matches!(state, PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent);
    let mut all: Vec<_> = state
        .intents()
        .iter()
        .filter(|(id, record)| **id != but && under_way(record.state))
        .filter(|(_, record)| record.order.as_ref().is_some_and(|it| it.transaction().is_some()))
        .filter_map(|(id, record)| {
            let (from, of, units, nonce) = paying(&record.decided.intent)?;
            let owed = Owed { id: *id, units, nonce };
            ((from, of) == (payer, asset)).then_some((record.entry, owed))
        })
        .collect();
    all.sort_by_key(|(entry, _)| std::cmp::Reverse(*entry));
    all.into_iter().map(|(_, owed)| owed).collect()
}

impl Payer {
    /// What is left of the balance once all that is `owed` is taken.
    pub(crate) fn left(&self, owed: &[Owed]) -> U256 {
        let still = owed.iter().filter(|it| !self.taken.contains(&it.id));
        still.fold(self.balance, |left, it| left.saturating_sub(it.units))
    }
}
