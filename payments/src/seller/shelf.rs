//! What was sold to whom and not yet forgotten: one slot an authorisation.
//!
//! A slot is bound to one request by its fingerprint, and holds the goods once they are made. Its
//! lock is held while a payment is settled and delivered, so that a repetition waits for the
//! first instead of doing it again. Slots are forgotten oldest first; the steward's journal, not
//! the shelf, is what keeps an authorisation from buying twice.

use alloy_primitives::{Address, B256};
use axum::{body::Bytes, http::HeaderMap};
use marque_policies::AssetId;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// The most slots that are kept.
const MAX_SLOTS: usize = 512;

/// The longest body that is kept, in bytes; longer goods are made again when they are asked again.
const MAX_KEPT: usize = 128 * 1024;

/// An authorisation: its token takes this payer's nonce once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) asset: AssetId,
    pub(super) from: Address,
    pub(super) nonce: B256,
}

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
    /// Empty until the goods are made.
    pub(super) goods: tokio::sync::Mutex<Option<Goods>>,
}

/// The authorisation has bought something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken;

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Arc<Slot>>,
    oldest_first: VecDeque<Key>,
}

impl Shelf {
    /// The slot of an authorisation for the request with this fingerprint.
    ///
    /// # Errors
    /// [`Taken`] if the authorisation is bound to another request.
    pub(super) fn slot(&self, key: Key, fingerprint: B256) -> Result<Arc<Slot>, Taken> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_key.get(&key) {
            return if slot.fingerprint == fingerprint { Ok(Arc::clone(slot)) } else { Err(Taken) };
        }
        while slots.oldest_first.len() >= MAX_SLOTS {
            if let Some(oldest) = slots.oldest_first.pop_front() {
                slots.by_key.remove(&oldest);
            }
        }
        let slot = Arc::new(Slot { fingerprint, goods: tokio::sync::Mutex::default() });
        slots.by_key.insert(key, Arc::clone(&slot));
        slots.oldest_first.push_back(key);
        Ok(slot)
    }

    /// Forgets a sale that did not come about, so that it can be tried again in any form.
    pub(super) fn clear(&self, key: &Key) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.by_key.remove(key);
        slots.oldest_first.retain(|kept| kept != key);
    }
}

impl Goods {
    /// Whether they are small enough to keep.
    pub(super) fn keepable(&self) -> bool {
        self.body.len() <= MAX_KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        let nonce = B256::left_padding_from(&n.to_be_bytes());
        Key { asset: AssetId::native(1), from: Address::ZERO, nonce }
    }

    #[test]
    fn the_shelf_is_bounded_and_forgets_the_oldest() {
        let shelf = Shelf::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        for n in 0..=MAX_SLOTS as u64 {
            shelf.slot(key(n), one).unwrap();
        }
        assert!(shelf.slot(key(1), other).is_err(), "the second is still bound");
        assert!(shelf.slot(key(0), other).is_ok(), "the first is forgotten");
        let slots = shelf.0.lock().unwrap();
        assert_eq!(slots.by_key.len(), MAX_SLOTS);
        assert_eq!(slots.oldest_first.len(), MAX_SLOTS);
    }

    #[test]
    fn a_cleared_slot_can_be_bound_again() {
        let shelf = Shelf::default();
        shelf.slot(key(1), B256::repeat_byte(1)).unwrap();
        shelf.clear(&key(1));
        assert!(shelf.slot(key(1), B256::repeat_byte(2)).is_ok());
    }
}
