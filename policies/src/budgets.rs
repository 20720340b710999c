//! What is left: every limit on a sum, with what is already debited to it and when the next bit of
//! it comes free.
//!
//! Limits of one task, and of one peer of a pool, are not listed: there are as many of them as the
//! mind likes to name.

use crate::{
    decide::{Debits, address_of, members, since},
    document::{Limits, Policy},
    ledger::{Ledger, Scope, Timestamp},
    money::{AssetId, Money},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// One window of one limit, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The rule: `limits.USDC.day`.
    pub rule: String,
    /// What counts in the window now.
    pub spent: Money,
    /// The part of it that is in flight: it counts whatever its age, until the chain has decided.
    pub in_flight: Money,
    /// The limit.
    pub limit: Money,
    /// When the oldest settled part leaves the window, and how much that is. `None` where nothing
    /// will: the window is empty, has no end, or all in it is in flight.
    pub next: Option<(Timestamp, Money)>,
}

/// Every window of every limit.
#[must_use]
pub fn budgets(policy: &Policy, ledger: &dyn Ledger, now: Timestamp) -> Vec<Budget> {
    let mut budgets = Budgets { policy, ledger, now, found: Vec::new() };
    budgets.account("limits", &policy.limits, &policy.gas, Scope::Agent);
    budgets.account("owner.limits", &policy.owner_limits, &policy.owner_gas, Scope::Owner);
    for (name, payee) in &policy.payees {
        let (Some(address), Some(bound)) = (address_of(payee, ledger), payee.bound) else {
            continue;
        };
        let debits = Debits::Of(Scope::Payee(address));
        budgets.section(&format!("payee.{name}"), &bound.limits, bound.asset, &debits);
    }
    for (name, bound) in &policy.categories {
        let debits = Debits::To(members(policy, name, ledger, None));
        budgets.section(&format!("category.{name}"), &bound.limits, bound.asset, &debits);
    }
    for (asset, pool) in &policy.pools {
        let Some((name, _)) = policy.asset(*asset) else { continue };
        let debits = Debits::Of(Scope::Pool);
        budgets.section(&format!("pool.{name}"), &pool.limits, *asset, &debits);
    }
    for (name, sub) in &policy.sub_agents {
        let path = format!("sub_agent.{name}.limits");
        budgets.account(&path, &sub.limits, &sub.gas, Scope::SubAgent(name));
    }
    budgets.found
}

struct Budgets<'a> {
    policy: &'a Policy,
    ledger: &'a dyn Ledger,
    now: Timestamp,
    found: Vec<Budget>,
}

impl Budgets<'_> {
    /// The limits of one account, and those on its fees.
    fn account(
        &mut self,
        path: &str,
        limits: &BTreeMap<AssetId, Limits>,
        gas: &BTreeMap<AssetId, Limits>,
        scope: Scope<'_>,
    ) {
        let debits = Debits::Of(scope);
        for (asset, limits) in limits {
            let Some((name, _)) = self.policy.asset(*asset) else { continue };
            self.section(&format!("{path}.{name}"), limits, *asset, &debits);
        }
        for (asset, limits) in gas {
            self.section(&format!("{path}.gas"), limits, *asset, &debits);
        }
    }

    fn section(&mut self, path: &str, limits: &Limits, asset: AssetId, debits: &Debits<'_>) {
        // Nothing is debited after the end of time, so what counts since then is in flight.
        let in_flight = debits.sum(self.ledger, asset, Timestamp::MAX);
        for (window, width, limit) in limits.windows() {
            let spent = debits.sum(self.ledger, asset, since(self.now, width));
            let rule = format!("{path}.{window}");
            let next = width.and_then(|width| self.next(debits, asset, width, spent));
            let money = |units| Money::new(units, asset);
            let (spent, in_flight, limit) = (money(spent), money(in_flight), money(limit));
            self.found.push(Budget { rule, spent, in_flight, limit, next });
        }
    }

    /// When less than `spent` is left in a window of this width. The sum since a time only falls as
    /// that time rises, so the first fall is found by halving.
    fn next(
        &self,
        debits: &Debits<'_>,
        asset: AssetId,
        width: u64,
        spent: U256,
    ) -> Option<(Timestamp, Money)> {
        let sum = |since| debits.sum(self.ledger, asset, since);
        let (mut all, mut less) = (since(self.now, Some(width)), self.now);
        if sum(less) >= spent {
            return None;
        }
        while less - all > 1 {
            let middle = all + (less - all) / 2;
            if sum(middle) < spent {
                less = middle;
            } else {
                all = middle;
            }
        }
        let freed = Money::new(spent.saturating_sub(sum(less)), asset);
        Some((less.saturating_add(width), freed))
    }
}
