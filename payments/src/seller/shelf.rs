//! What was sold to whom and not yet forgotten: one slot an authorisation.
//!
//! A slot is bound to one request by its fingerprint, and holds the goods once they are made. Its
//! lock is held while a payment is settled and delivered, so that a repetition waits for the
//! first instead of doing it again. The steward's journal, not the shelf, is what keeps an
//! authorisation from buying twice.
//!
//! Signatures cost nothing, so only a payment that has bought something keeps its slot: else whoever
//! signs enough of them would have the paid ones forgotten, and their goods made again. Slots that
//! nobody uses are forgotten oldest first.
//!
//! What a buyer calls its payment (`payment-identifier`) is bound to the payment that came with it,
//! for each payer apart, so that nobody can take another's name.

use crate::signed_payment::Key;
use alloy_primitives::{Address, B256};
use axum::{body::Bytes, http::HeaderMap};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// The most slots that are kept.
const MAX_SLOTS: usize = 512;

/// The longest body that is kept, in bytes; longer goods are made again when they are asked again.
const MAX_KEPT: usize = 128 * 1024;

/// Goods that are too long to keep are made so often for one payment, at most.
const MOST_MADE: u32 = 4;

/// The most names that are kept.
const MAX_NAMES: usize = 4_096;

/// A response that was delivered, its receipt included.
#[derive(Clone, Debug)]
pub(super) struct Goods {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The place of one sale.
#[derive(Debug)]
pub(super) struct Slot {
    fingerprint: B256,
    pub(super) place: tokio::sync::Mutex<Place>,
}

/// What lies there.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Empty until the goods are made, and after that where they were too long to keep.
    pub(super) goods: Option<Goods>,
    /// How often they were made and delivered.
    made: u32,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// The authorisation has bought something else.
    Taken,
    /// Every slot is in use.
    Full,
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Arc<Slot>>,
    oldest_first: VecDeque<Key>,
    names: HashMap<(Address, String), B256>,
    oldest_names: VecDeque<(Address, String)>,
}

impl Shelf {
    /// The slot of an authorisation for the request with this fingerprint.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub(super) fn slot(&self, key: Key, fingerprint: B256) -> Result<Arc<Slot>, NoSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_key.get(&key) {
            let same = slot.fingerprint == fingerprint;
            return if same { Ok(Arc::clone(slot)) } else { Err(NoSlot::Taken) };
        }
        if slots.oldest_first.len() >= MAX_SLOTS {
            let first = |fits: fn(&Arc<Slot>) -> bool| {
                slots.oldest_first.iter().position(|key| slots.by_key.get(key).is_none_or(fits))
            };
            // A sale that broke off may have left one that bought nothing.
            let idle = first(|slot| slot.idle() && slot.unsold()).or_else(|| first(Slot::idle));
            let Some(oldest) = idle.and_then(|at| slots.oldest_first.remove(at)) else {
                return Err(NoSlot::Full);
            };
            slots.by_key.remove(&oldest);
        }
        let slot = Arc::new(Slot { fingerprint, place: tokio::sync::Mutex::default() });
        slots.by_key.insert(key, Arc::clone(&slot));
        slots.oldest_first.push_back(key);
        Ok(slot)
    }

    /// Whether the payer's name for a payment is free, or that of the same payment.
    pub(super) fn name(&self, payer: Address, name: String, sent: B256) -> bool {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (payer, name);
        if let Some(known) = slots.names.get(&name) {
            return *known == sent;
        }
        while slots.oldest_names.len() >= MAX_NAMES {
            if let Some(oldest) = slots.oldest_names.pop_front() {
                slots.names.remove(&oldest);
            }
        }
        slots.names.insert(name.clone(), sent);
        slots.oldest_names.push_back(name);
        true
    }

    /// Forgets a sale that did not come about, so that it can be tried again in any form. Where the
    /// same payment waits for the slot, it is left to that one.
    pub(super) fn forget(&self, key: &Key, slot: Arc<Slot>) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(slot);
        if slots.by_key.get(key).is_some_and(Slot::idle) {
            slots.by_key.remove(key);
            slots.oldest_first.retain(|kept| kept != key);
        }
    }
}

impl Slot {
    /// Whether no sale uses it. One that is under way keeps its slot: without it the same payment
    /// could be at work twice.
    fn idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    fn unsold(&self) -> bool {
        self.place.try_lock().is_ok_and(|place| !place.sold())
    }
}

impl Place {
    /// Whether the goods may be made for it, once more.
    pub(super) const fn may_make(&self) -> bool {
        self.made < MOST_MADE
    }

    /// Whether anything was delivered for it.
    pub(super) const fn sold(&self) -> bool {
        self.made > 0
    }

    /// Puts delivered goods there, if they are small enough to keep.
    pub(super) fn put(&mut self, goods: &Goods) {
        self.made = self.made.saturating_add(1);
        if goods.body.len() <= MAX_KEPT {
            self.goods = Some(goods.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::AssetId;

    fn key(n: u64) -> Key {
        let nonce = B256::left_padding_from(&n.to_be_bytes());
        Key { asset: AssetId::native(1), from: Address::ZERO, nonce, permit: false }
    }

    #[test]
    fn the_shelf_is_bounded_and_forgets_the_oldest_that_nobody_uses() {
        let shelf = Shelf::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let used = shelf.slot(key(0), one).unwrap();
        for n in 1..=MAX_SLOTS as u64 {
            shelf.slot(key(n), one).unwrap();
        }
        assert_eq!(shelf.slot(key(0), other).unwrap_err(), NoSlot::Taken, "it is in use");
        assert_eq!(shelf.slot(key(2), other).unwrap_err(), NoSlot::Taken, "still bound");
        assert!(shelf.slot(key(1), other).is_ok(), "the oldest idle one is forgotten");
        drop(used);
        let slots = shelf.0.lock().unwrap();
        assert_eq!(slots.by_key.len(), MAX_SLOTS);
        assert_eq!(slots.oldest_first.len(), MAX_SLOTS);
    }

    #[test]
    fn where_every_slot_is_in_use_there_is_none() {
        let shelf = Shelf::default();
        let one = B256::repeat_byte(1);
        let used: Vec<_> = (0..MAX_SLOTS as u64).map(|n| shelf.slot(key(n), one)).collect();
        assert_eq!(shelf.slot(key(9_999), one).unwrap_err(), NoSlot::Full);
        drop(used);
        assert!(shelf.slot(key(9_999), one).is_ok());
    }

    #[test]
    fn a_forgotten_slot_can_be_bound_again_once_nobody_waits_for_it() {
        let shelf = Shelf::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let slot = shelf.slot(key(1), one).unwrap();
        let waits = shelf.slot(key(1), one).unwrap();
        shelf.forget(&key(1), slot);
        assert_eq!(shelf.slot(key(1), other).unwrap_err(), NoSlot::Taken);
        shelf.forget(&key(1), waits);
        assert!(shelf.slot(key(1), other).is_ok());
        assert_eq!(shelf.0.lock().unwrap().oldest_first.len(), 1);
    }

    #[test]
    fn what_was_bought_is_forgotten_after_what_was_not() {
        let shelf = Shelf::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let long = Bytes::from(vec![0; MAX_KEPT + 1]);
        let goods = Goods { status: 200, headers: HeaderMap::new(), body: long };
        for n in 0..MAX_SLOTS as u64 {
            let slot = shelf.slot(key(n), one).unwrap();
            if n != 7 {
                slot.place.try_lock().unwrap().put(&goods);
            }
        }
        shelf.slot(key(9_999), one).unwrap().place.try_lock().unwrap().put(&goods);
        assert_eq!(shelf.slot(key(0), other).unwrap_err(), NoSlot::Taken, "it was bought");
        assert!(shelf.slot(key(7), other).is_ok(), "nothing was bought");
    }

    #[test]
    fn a_name_is_one_payment_of_one_payer() {
        let shelf = Shelf::default();
        let name = || "pay_0123456789abcdef".to_owned();
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        assert!(shelf.name(one, name(), B256::repeat_byte(1)));
        assert!(shelf.name(one, name(), B256::repeat_byte(1)));
        assert!(!shelf.name(one, name(), B256::repeat_byte(2)));
        assert!(shelf.name(other, name(), B256::repeat_byte(2)));
    }
}
