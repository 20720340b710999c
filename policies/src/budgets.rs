//! What is left: every limit on a sum, with what is already debited to it.

use crate::{
    decide::since,
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
    let mut budgets = Vec::new();
    let mut sections =
        |prefix: &str, gas: bool, all: &BTreeMap<AssetId, Limits>, scope: Scope<'_>| {
            for (asset, limits) in all {
                let name = match policy.asset(*asset) {
                    _ if gas => "gas",
                    Some((name, _)) => name,
                    None => continue,
                };
                for (window, width, limit) in limits.windows() {
                    let spent = ledger.spent(scope.clone(), *asset, since(now, width));
                    let rule = format!("{prefix}.{name}.{window}");
                    budgets.push((rule, Money::new(spent, *asset), Money::new(limit, *asset)));
                }
            }
        };
    sections("limits", false, &policy.limits, Scope::Agent);
    sections("limits", true, &policy.gas, Scope::Agent);
    sections("owner.limits", false, &policy.owner_limits, Scope::Owner);
    sections("owner.limits", true, &policy.owner_gas, Scope::Owner);
    for (name, payee) in &policy.payees {
        let (Some(address), Some(bound)) = (payee.address, payee.bound) else { continue };
        for (window, width, limit) in bound.limits.windows() {
            let spent = ledger.spent(Scope::Payee(address), bound.asset, since(now, width));
            let rule = format!("payee.{name}.{window}");
            budgets.push((rule, Money::new(spent, bound.asset), Money::new(limit, bound.asset)));
        }
    }
    budgets
}
