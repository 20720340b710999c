//! How much may be spent, by whom and on whom together.

use super::{
    parties::nobody,
    words::{hours, list},
};
use crate::{
    document::{DAY, Float, HOUR, Limits, Policy},
    money::{AssetId, Money},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// What the agent, its tasks and all agents together may spend.
pub(super) fn spending(policy: &Policy, lines: &mut Vec<String>) {
    for (name, asset) in &policy.assets {
        let id = asset.id;
        match (policy.limits.get(&id), policy.gas.get(&id)) {
            (Some(limits), _) => {
                let start = format!("The agent may spend{}", with_fees(id));
                section(policy, &start, "a payment", id, limits, lines);
            }
            (None, Some(limits)) => {
                let start = "For transaction fees the agent may spend";
                section(policy, start, "a transaction with fees", id, limits, lines);
            }
            (None, None) => lines.push(format!("The agent may not spend {name}.")),
        }
    }
    let mut together = |start: &str, what: &str, all: &BTreeMap<AssetId, Limits>| {
        for (id, limits) in all {
            section(policy, start, what, *id, limits, lines);
        }
    };
    together("Each task may spend", "a payment", &policy.task_limits);
    together("All agents of the owner together may spend", "a payment", &policy.owner_limits);
    let start = "For transaction fees all agents together may spend";
    together(start, "a transaction with fees", &policy.owner_gas);
}

/// What the agent's key holds of what waits in the owner's account.
pub(super) fn floats(policy: &Policy, lines: &mut Vec<String>) {
    for (asset, Float { low, high, required }) in &policy.floats {
        let show = |units: U256| policy.show(Money::new(units, *asset));
        lines.push(format!(
            "Its key is kept between {} and {} from the owner's account, under the same limits on \
             chain: whoever steals the key takes what it holds and what the limits let go.",
            show(*low),
            show(*high)
        ));
        lines.push(match required {
            true => "While that is not delegated on chain it pays nothing.".to_owned(),
            false => "Where that is not delegated on chain the steward warns.".to_owned(),
        });
    }
}

/// What all payees of a category may be paid together.
pub(super) fn categories(policy: &Policy, lines: &mut Vec<String>) {
    for (name, bound) in &policy.categories {
        let start = format!("All payees of the category {name} together may be paid");
        let what = format!("a payment to the category {name}");
        section(policy, &start, &what, bound.asset, &bound.limits, lines);
    }
}

/// What peers may be paid that the policy does not name.
pub(super) fn pools(policy: &Policy, lines: &mut Vec<String>) {
    for (asset, pool) in &policy.pools {
        let start = "Peers whom this policy does not name may be paid together";
        section(policy, start, "a payment to such a peer", *asset, &pool.limits, lines);
        let show = |units: U256| policy.show(Money::new(units, *asset));
        let mut each = Vec::new();
        each.extend(pool.peer_day.map(|units| format!("{} in any day", show(units))));
        each.extend(pool.peer_total.map(|units| format!("{} ever", show(units))));
        if !each.is_empty() {
            lines.push(format!("One of them may be paid at most {}.", list(&each)));
        }
    }
}

/// The accounts below the agent.
pub(super) fn sub_agents(policy: &Policy, lines: &mut Vec<String>) {
    for (name, sub) in &policy.sub_agents {
        let payees = nobody(&sub.payees, "nobody");
        let tools = nobody(&sub.tools, "no tool");
        lines.push(format!(
            "Its sub-agent {name} may pay {payees} and use {tools}, \
             within everything that holds for the agent."
        ));
        if sub.limits.is_empty() && sub.gas.is_empty() {
            lines.push(format!("{name} may spend nothing."));
        }
        for (asset, limits) in &sub.limits {
            let start = format!("{name} may spend{}", with_fees(*asset));
            section(policy, &start, &format!("a payment by {name}"), *asset, limits, lines);
        }
        for (asset, limits) in &sub.gas {
            let start = format!("For transaction fees {name} may spend");
            let what = format!("a transaction of {name} with fees");
            section(policy, &start, &what, *asset, limits, lines);
        }
    }
}

/// The section of a native coin is for fees as well.
fn with_fees(asset: AssetId) -> &'static str {
    if asset.is_native() { ", fees included," } else { "" }
}

/// One section: what it permits, and what it asks about.
fn section(
    policy: &Policy,
    start: &str,
    what: &str,
    asset: AssetId,
    limits: &Limits,
    lines: &mut Vec<String>,
) {
    let parts = at_most(policy, asset, limits);
    lines.push(if parts.is_empty() {
        let name = policy.asset(asset).map_or("the asset", |(name, _)| name);
        format!("{start} {name} without a limit.")
    } else {
        format!("{start} at most {}.", list(&parts))
    });
    asks(policy, what, "a payee", asset, limits, lines);
}

/// `1.00 USDC in one payment`, `3.00 USDC in any hour`, ..
pub(super) fn at_most(policy: &Policy, asset: AssetId, limits: &Limits) -> Vec<String> {
    let show = |units: U256| policy.show(Money::new(units, asset));
    let mut parts = Vec::new();
    parts.extend(limits.payment.map(|units| format!("{} in one payment", show(units))));
    for (_, width, units) in limits.windows() {
        parts.push(match width {
            Some(HOUR) => format!("{} in any hour", show(units)),
            Some(DAY) => format!("{} in any day", show(units)),
            Some(_) => format!("{} in any 30 days", show(units)),
            None => format!("{} ever", show(units)),
        });
    }
    parts
}

/// When the owner is asked.
pub(super) fn asks(
    policy: &Policy,
    what: &str,
    whom: &str,
    asset: AssetId,
    limits: &Limits,
    lines: &mut Vec<String>,
) {
    let show = |units: U256| policy.show(Money::new(units, asset));
    let above = |units| format!("It asks before {what} above {}.", show(units));
    lines.extend(limits.ask_above.map(above));
    let day =
        |units| format!("It asks before {what} that brings {whom} above {} in a day.", show(units));
    lines.extend(limits.ask_above_day.map(day));
}

/// When money may be spent and tools used, and when it ends.
pub(super) fn when(policy: &Policy, lines: &mut Vec<String>) {
    if !policy.times.is_always() {
        let hours = hours(&policy.times);
        lines.push(format!("Money is spent and tools are used only {hours}."));
    }
}
