//! What fees may still come to: every limit on a chain's native coin that binds an account.

use crate::state::{Ledger, State};
use alloy_primitives::U256;
use marque_policies::{AssetId, Timestamp, budgets};
use std::collections::BTreeMap;

/// The windows that fees of an account are counted in: the rule, what is spent and the limit, in
/// base units of the `native` coin.
pub(super) fn limits(
    state: &State,
    (agent, sub_agent): (&str, Option<&str>),
    native: AssetId,
    now: Timestamp,
) -> Vec<(String, U256, U256)> {
    let adopted = state.agent(agent).and_then(|account| account.policy.as_ref());
    let Some(adopted) = adopted else { return Vec::new() };
    let nobody = BTreeMap::new();
    let ledger = Ledger::new(state, agent, None, &nobody, now);
    let below = sub_agent.map(|name| format!("sub_agent.{name}.limits."));
    budgets(&adopted.policy, &ledger, now)
        .into_iter()
        .map(|it| (it.rule, it.spent, it.limit))
        .filter(|(rule, _, limit)| {
            limit.asset == native
                && (rule.starts_with("limits.")
                    || rule.starts_with("owner.limits.")
                    || below.as_ref().is_some_and(|below| rule.starts_with(below)))
        })
        .map(|(rule, spent, limit)| (rule, spent.units, limit.units))
        .collect()
}

/// Whether `more` fees fit beside what an account has spent, and one transaction's fees of `whole`
/// pass without the owner. Where nothing is said of fees, nothing fits.
pub(super) fn fit(
    state: &State,
    (agent, sub_agent): (&str, Option<&str>),
    native: AssetId,
    (more, whole): (U256, U256),
    now: Timestamp,
) -> bool {
    let adopted = state.agent(agent).and_then(|account| account.policy.as_ref());
    let Some(policy) = adopted.map(|adopted| &adopted.policy) else { return false };
    let Some(own) = policy.gas.get(&native).or_else(|| policy.limits.get(&native)) else {
        return false;
    };
    let owners = policy.owner_gas.get(&native).or_else(|| policy.owner_limits.get(&native));
    let below = sub_agent.map(|name| {
        let sub = policy.sub_agents.get(name)?;
        sub.gas.get(&native).or_else(|| sub.limits.get(&native))
    });
    // An account below the agent that the policy does not know any more pays nothing.
    if matches!(below, Some(None)) {
        return false;
    }
    let one = [Some(own), owners, below.flatten()].into_iter().flatten().all(|limits| {
        let most = [limits.payment, limits.ask_above].into_iter().flatten().min();
        most.is_none_or(|most| whole <= most)
    });
    one && limits(state, (agent, sub_agent), native, now)
        .into_iter()
        .all(|(_, spent, limit)| spent.saturating_add(more) <= limit)
}
