//! What was sold to whom and not yet forgotten: one slot an authorisation.
//!
//! A slot is bound to one request by its fingerprint, and holds the goods once they are made. Its
//! lock is held while a payment is settled and delivered, so that a repetition waits for the
//! first instead of doing it again. The steward's journal, not the shelf, is what keeps an
//! authorisation from buying twice.
//!
//! Signatures cost nothing, so only a payment that has bought something keeps its slot. That one it
//! keeps for as long as it may be sent again, whoever buys how much meanwhile: else its goods would be
//! made anew, as often as somebody pays for enough sales in between. Where the shelf is full of such
//! slots nothing is sold until the oldest has run out. The goods themselves lie there as long as there
//! is room; after that they are made again, a few times in all.
//!
//! What a buyer calls its payment (`payment-identifier`) is bound to the payment that came with it,
//! for each payer apart, so that nobody can take another's name.
//!
//! INVARIANT: what has bought something is forgotten once it can no longer be sent again, and not
//! before (pinned by `tests::what_was_bought_is_kept_until_it_cannot_be_sent_again`).

use crate::signed_payment::Key;
use alloy_primitives::{Address, B256};
use axum::{body::Bytes, http::HeaderMap};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque, btree_map::Entry},
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// The most slots that are kept: less than 32 MiB of them.
const MAX_SLOTS: usize = 65_536;

/// The most sales that are under way at a time.
const MAX_UNDER_WAY: usize = 512;

/// The longest body that is kept, in bytes; longer goods are made again when they are asked again.
const MAX_KEPT: usize = 128 * 1024;

/// The most bytes of goods that are kept; the oldest of them are made again when they are asked for.
const MAX_KEPT_IN_ALL: usize = 64 * 1024 * 1024;

/// Goods that are not kept are made so often for one payment, at most.
const MOST_MADE: u32 = 4;

/// The most names that are kept.
const MAX_NAMES: usize = 4_096;

/// A sale that is under way past the end of its slot keeps it so many seconds longer.
const LONGER: u64 = 60;

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
    /// When it may be forgotten, in Unix seconds.
    end: AtomicU64,
    pub(super) place: tokio::sync::Mutex<Place>,
    /// Bytes of goods that lie there.
    kept: AtomicUsize,
}

/// What lies there.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Empty until the goods are made, and after that where there was no room to keep them.
    pub(super) goods: Option<Goods>,
    /// How often they were made and delivered.
    made: u32,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// The authorisation has bought something else.
    Taken,
    /// Too many sales are under way, or were made in the last hours.
    Full,
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Key, Arc<Slot>>,
    /// When they may be forgotten, in Unix seconds.
    by_end: BTreeMap<u64, HashSet<Key>>,
    under_way: usize,
    /// Whose goods are kept, the oldest first. Some of them may be forgotten.
    kept: VecDeque<Key>,
    kept_bytes: usize,
    names: HashMap<(Address, String), B256>,
    oldest_names: VecDeque<(Address, String)>,
}

/// A slot in use. Where nothing was bought in it by the end it is forgotten, so that the same payment
/// can be tried again in any form; where the same payment waits for it, it is left to that one.
#[derive(Debug)]
pub(super) struct InUse {
    shelf: Arc<Shelf>,
    key: Key,
    /// None while it is dropped.
    slot: Option<Arc<Slot>>,
}

impl Shelf {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of an authorisation for the request with this fingerprint. It may be sent again until
    /// `end`, and it is `now`, both in Unix seconds.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub(super) fn slot(
        self: &Arc<Self>,
        key: Key,
        fingerprint: B256,
        (now, end): (u64, u64),
    ) -> Result<InUse, NoSlot> {
        let mut slots = self.slots();
        let slot = match slots.by_key.get(&key) {
            Some(slot) if slot.fingerprint != fingerprint => return Err(NoSlot::Taken),
            Some(slot) => Arc::clone(slot),
            None => {
                slots.forget_until(now);
                if slots.by_key.len() >= MAX_SLOTS || slots.under_way >= MAX_UNDER_WAY {
                    return Err(NoSlot::Full);
                }
                let (place, kept) = Default::default();
                let slot = Arc::new(Slot { fingerprint, end: AtomicU64::new(end), place, kept });
                slots.by_key.insert(key, Arc::clone(&slot));
                slots.by_end.entry(end).or_default().insert(key);
                slot
            }
        };
        slots.under_way += 1;
        drop(slots);
        Ok(InUse { shelf: Arc::clone(self), key, slot: Some(slot) })
    }

    /// Whether the payer's name for a payment is free, or that of the same payment.
    pub(super) fn name(&self, payer: Address, name: String, sent: B256) -> bool {
        let mut slots = self.slots();
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
}

impl Slots {
    /// Forgets what cannot be sent again.
    fn forget_until(&mut self, now: u64) {
        while let Some(entry) = self.by_end.first_entry() {
            if *entry.key() >= now {
                return;
            }
            for key in entry.remove() {
                match self.by_key.get(&key) {
                    Some(slot) if !slot.is_idle() => {
                        let end = now.saturating_add(LONGER);
                        slot.end.store(end, Ordering::Relaxed);
                        self.by_end.entry(end).or_default().insert(key);
                    }
                    _ => self.forget(&key),
                }
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(slot) = self.by_key.remove(key) {
            self.kept_bytes -= slot.kept.load(Ordering::Relaxed).min(self.kept_bytes);
        }
    }

    /// Counts goods that were put away, and clears the oldest away where there are too many.
    fn keep(&mut self, key: Key, slot: &Slot, bytes: usize) {
        slot.kept.store(bytes, Ordering::Relaxed);
        self.kept_bytes += bytes;
        self.kept.push_back(key);
        let mut left = self.kept.len();
        while self.kept_bytes > MAX_KEPT_IN_ALL && left > 0 {
            left -= 1;
            let Some(oldest) = self.kept.pop_front() else { return };
            let Some(slot) = self.by_key.get(&oldest) else { continue };
            match slot.place.try_lock() {
                Ok(mut place) => {
                    place.goods = None;
                    self.kept_bytes -= slot.kept.swap(0, Ordering::Relaxed).min(self.kept_bytes);
                }
                // It is being delivered.
                Err(_) => self.kept.push_back(oldest),
            }
        }
        // What was forgotten needs no place in the row.
        while self.kept.front().is_some_and(|key| !self.by_key.contains_key(key)) {
            self.kept.pop_front();
        }
    }
}

impl Slot {
    /// Whether no sale uses it. One that is under way keeps its slot: without it the same payment
    /// could be at work twice.
    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

impl InUse {
    /// Puts delivered goods there, if they are small enough to keep.
    pub(super) fn put(&self, place: &mut Place, goods: &Goods) {
        place.made = place.made.saturating_add(1);
        let bytes = goods.body.len();
        if bytes <= MAX_KEPT {
            place.goods = Some(goods.clone());
            self.shelf.slots().keep(self.key, self, bytes);
        }
    }
}

impl Deref for InUse {
    type Target = Slot;

    #[expect(clippy::expect_used, reason = "it is there until it is dropped")]
    fn deref(&self) -> &Slot {
        self.slot.as_deref().expect("a slot in use")
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut slots = self.shelf.slots();
        self.slot = None;
        slots.under_way = slots.under_way.saturating_sub(1);
        let unsold = |slot: &Arc<Slot>| {
            slot.is_idle() && slot.place.try_lock().is_ok_and(|place| !place.sold())
        };
        let Some(end) = slots
            .by_key
            .get(&self.key)
            .filter(|it| unsold(it))
            .map(|it| it.end.load(Ordering::Relaxed))
        else {
            return;
        };
        slots.by_key.remove(&self.key);
        if let Entry::Occupied(mut entry) = slots.by_end.entry(end) {
            entry.get_mut().remove(&self.key);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }
}

impl Place {
    /// Whether the goods may be made for it, once more.
    pub(super) const fn may_make(&self) -> bool {
        self.made < MOST_MADE
    }

    /// Whether anything was delivered for it.
    const fn sold(&self) -> bool {
        self.made > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::AssetId;

    const NOW: (u64, u64) = (1_000, 2_000);

    fn key(n: u64) -> Key {
        let nonce = B256::left_padding_from(&n.to_be_bytes());
        Key { asset: AssetId::native(1), from: Address::ZERO, nonce, permit: false }
    }

    fn goods(bytes: usize) -> Goods {
        Goods { status: 200, headers: HeaderMap::new(), body: Bytes::from(vec![0; bytes]) }
    }

    fn buy(shelf: &Arc<Shelf>, n: u64, goods: &Goods, times: (u64, u64)) -> Result<(), NoSlot> {
        let slot = shelf.slot(key(n), B256::repeat_byte(1), times)?;
        slot.put(&mut slot.place.try_lock().unwrap(), goods);
        Ok(())
    }

    #[test]
    fn what_was_bought_is_kept_until_it_cannot_be_sent_again() {
        let (shelf, other) = (Arc::<Shelf>::default(), B256::repeat_byte(2));
        let (small, mut sold) = (goods(1), 0);
        buy(&shelf, 0, &small, NOW).unwrap();
        // A stranger buys as much as there is.
        for n in 1..=MAX_SLOTS as u64 {
            sold += u64::from(buy(&shelf, n, &small, (1_000, 3_000)).is_ok());
        }
        assert_eq!(sold, MAX_SLOTS as u64 - 1);
        assert_eq!(shelf.slot(key(0), other, NOW).unwrap_err(), NoSlot::Taken, "still bound");
        let slot = shelf.slot(key(0), B256::repeat_byte(1), NOW).unwrap();
        assert!(slot.place.try_lock().unwrap().goods.is_some());
        drop(slot);
        let none = |now| buy(&shelf, 99_999, &small, (now, 9_000)).unwrap_err();
        assert_eq!((none(1_000), none(2_000)), (NoSlot::Full, NoSlot::Full));
        buy(&shelf, 99_999, &small, (2_001, 9_000)).unwrap();
        assert_eq!(buy(&shelf, 99_997, &small, (2_001, 9_000)), Err(NoSlot::Full));
        buy(&shelf, 99_998, &small, (3_001, 9_000)).unwrap();
        let slots = shelf.slots();
        assert_eq!((slots.by_key.len(), slots.kept_bytes), (2, 2));
        assert!(slots.kept.len() <= 2, "{}", slots.kept.len());
    }

    #[test]
    fn goods_have_their_room_and_are_made_again_a_few_times_where_it_is_full() {
        let (shelf, long) = (Arc::<Shelf>::default(), goods(MAX_KEPT));
        let most = (MAX_KEPT_IN_ALL / MAX_KEPT) as u64;
        for n in 0..=most {
            buy(&shelf, n, &long, NOW).unwrap();
        }
        assert_eq!(shelf.slots().kept_bytes, MAX_KEPT_IN_ALL);
        let lies = |n| {
            let slot = shelf.slot(key(n), B256::repeat_byte(1), NOW).unwrap();
            let place = slot.place.try_lock().unwrap();
            (place.goods.is_some(), place.may_make())
        };
        assert_eq!((lies(0), lies(1), lies(most)), ((false, true), (true, true), (true, true)));
        // It is bound all the same, and made again four times in all.
        let other = shelf.slot(key(0), B256::repeat_byte(2), NOW);
        assert_eq!(other.unwrap_err(), NoSlot::Taken);
        let too_long = goods(MAX_KEPT + 1);
        for _ in 0..3 {
            assert!(lies(0).1);
            buy(&shelf, 0, &too_long, NOW).unwrap();
        }
        assert_eq!(lies(0), (false, false));
    }

    #[test]
    fn where_too_many_sales_are_under_way_there_is_no_slot() {
        let (shelf, one) = (Arc::<Shelf>::default(), B256::repeat_byte(1));
        let used: Vec<_> =
            (0..MAX_UNDER_WAY as u64).map(|n| shelf.slot(key(n), one, NOW).unwrap()).collect();
        assert_eq!(shelf.slot(key(9_999), one, NOW).unwrap_err(), NoSlot::Full);
        let late = shelf.slot(key(9_999), one, (5_000, 6_000));
        assert_eq!(late.unwrap_err(), NoSlot::Full, "what is under way is not forgotten");
        assert_eq!(shelf.slots().by_key.len(), MAX_UNDER_WAY);
        drop(used);
        assert!(shelf.slot(key(9_999), one, NOW).is_ok());
        let slots = shelf.slots();
        assert!(slots.by_key.is_empty() && slots.by_end.is_empty(), "and nothing was bought");
    }

    #[test]
    fn a_slot_in_which_nothing_was_bought_can_be_bound_again_once_nobody_waits_for_it() {
        let shelf = Arc::<Shelf>::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let slot = shelf.slot(key(1), one, NOW).unwrap();
        let waits = shelf.slot(key(1), one, NOW).unwrap();
        drop(slot);
        assert_eq!(shelf.slot(key(1), other, NOW).unwrap_err(), NoSlot::Taken);
        drop(waits);
        assert!(shelf.slot(key(1), other, NOW).is_ok());
    }

    #[test]
    fn a_name_is_one_payment_of_one_payer() {
        let shelf = Arc::<Shelf>::default();
        let name = || "pay_0123456789abcdef".to_owned();
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        assert!(shelf.name(one, name(), B256::repeat_byte(1)));
        assert!(shelf.name(one, name(), B256::repeat_byte(1)));
        assert!(!shelf.name(one, name(), B256::repeat_byte(2)));
        assert!(shelf.name(other, name(), B256::repeat_byte(2)));
    }
}
