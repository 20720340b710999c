//! How much was delivered that is not settled yet, bounded per payer and in all.
//!
//! A stake is taken before goods leave and given back when the settlement can be believed. A payer
//! whose settlement came to nothing is remembered and pays before from then on. Its stake is never
//! given back, because addresses cost nothing: the next one would take the same credit again.
//!
//! INVARIANT: open and lost stakes never sum to more than the limit (pinned by
//! `tests/payments/settling.rs::the_risk_is_never_exceeded` and
//! `::new_payers_whose_money_never_comes_cost_no_more_than_the_risk_in_all`).

use alloy_primitives::{Address, U256};
use marque_policies::Money;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// Payers that are remembered as bad, at most; after that nobody new gets credit.
const MAX_BAD: usize = 4_096;

/// What is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposure(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// What is open, and all that was lost since the process began.
    all: U256,
    payers: HashMap<Address, U256>,
    bad: HashSet<Address>,
}

/// A delivery that is not settled yet. Given back when it is dropped, unless it is lost.
#[derive(Debug)]
pub(super) struct Stake {
    exposure: Exposure,
    payer: Address,
    units: U256,
}

impl Exposure {
    /// A stake of `amount` by `payer`, if both limits leave room for it.
    pub(super) fn stake(
        &self,
        payer: Address,
        amount: Money,
        all: Money,
        each: Money,
    ) -> Option<Stake> {
        if amount.asset != all.asset || amount.asset != each.asset {
            return None;
        }
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bad.contains(&payer) || open.bad.len() >= MAX_BAD {
            return None;
        }
        let sum = open.all.checked_add(amount.units)?;
        let own = open.payers.get(&payer).copied().unwrap_or_default();
        let own = own.checked_add(amount.units)?;
        if sum > all.units || own > each.units {
            return None;
        }
        open.all = sum;
        open.payers.insert(payer, own);
        drop(open);
        Some(Stake { exposure: self.clone(), payer, units: amount.units })
    }

    /// A stake that was taken before this process began: it counts, whatever the limits are.
    pub(super) fn inherited(&self, payer: Address, units: U256) -> Stake {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_add(units);
        let own = open.payers.entry(payer).or_default();
        *own = own.saturating_add(units);
        drop(open);
        Stake { exposure: self.clone(), payer, units }
    }

    /// What is open or lost in all, in base units.
    pub(super) fn open(&self) -> U256 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Stake {
    /// The settlement came to nothing: this payer has no more credit, and everybody so much less,
    /// for as long as this process lives.
    pub(super) fn lost(mut self) {
        let mut open = self.exposure.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.bad.insert(self.payer);
        open.payers.remove(&self.payer);
        drop(open);
        // Nothing is left to give back.
        self.units = U256::ZERO;
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        let mut open = self.exposure.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(self.units);
        let left = open.payers.get(&self.payer).copied().unwrap_or_default();
        let left = left.saturating_sub(self.units);
        if left.is_zero() {
            open.payers.remove(&self.payer);
        } else {
            open.payers.insert(self.payer, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::AssetId;

    const ASSET: AssetId = AssetId { chain: 1, token: Address::repeat_byte(9) };

    fn money(units: u64) -> Money {
        Money::new(U256::from(units), ASSET)
    }

    #[test]
    fn stakes_are_bounded_in_all_and_for_each_payer_and_given_back() {
        let exposure = Exposure::default();
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let stake = |payer, units| exposure.stake(payer, money(units), money(100), money(60));
        let first = stake(one, 60).unwrap();
        assert!(stake(one, 1).is_none(), "the payer's own limit");
        let second = stake(other, 40).unwrap();
        assert!(stake(other, 1).is_none(), "the limit on all");
        drop(first);
        assert_eq!(exposure.open(), U256::from(40));
        second.lost();
        assert_eq!(exposure.open(), U256::from(40), "what is lost is not lent again");
        assert!(stake(other, 1).is_none(), "a bad payer has no credit");
        assert!(stake(one, 60).is_some());
        assert!(stake(one, 61).is_none());
        let other_asset = Money::new(U256::ONE, AssetId::native(1));
        assert!(exposure.stake(one, other_asset, money(100), money(60)).is_none());
    }
}
