//! What is left: every limit on a sum, with what is already debited to it.
//!
//! Limits of one task, and of one peer of a pool, are not listed: there are as many of them as the
//! mind likes to name.

use crate::{
    decide::{Debits, address_of, members, since},
    document::{Limits, Policy},
    ledger::{Ledger, Scope, Timestamp},
    money::{AssetId, Money},
};
use std::collections::BTreeMap;

/// Every window of every limit: the rule, what is spent in it now, and the limit.
#[must_use]
pub fn budgets(
    policy: &Policy,
    ledger: &dyn Ledger,
    now: Timestamp,
) -> Vec<(String, Money, Money)> {
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
    found: Vec<(String, Money, Money)>,
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
        for (window, width, limit) in limits.windows() {
            let spent = debits.sum(self.ledger, asset, since(self.now, width));
            let rule = format!("{path}.{window}");
            self.found.push((rule, Money::new(spent, asset), Money::new(limit, asset)));
        }
    }
}
