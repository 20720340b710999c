//! Which limits can never be reached, because another one comes first.
//!
//! Limits in one asset nest: what a payee gets is paid by the agent, and what the agent pays is
//! paid by all agents together. A limit is out of reach if one on the same sum, or on a larger one,
//! stops the money before.

use crate::{
    document::{DAY, Limits, Policy},
    money::{AssetId, Money},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// Limits on the same money, and those that hold around them.
pub(super) struct Limited {
    /// What they are called: `limits.USDC`, `payee.feed`.
    pub(super) path: String,
    pub(super) asset: AssetId,
    /// Whether they hold for nothing without `[limits.ASSET]`.
    pub(super) below_agent: bool,
    own: Vec<Limit>,
    /// Limits on larger sums, the nearest first.
    around: Vec<Limit>,
}

#[derive(Clone)]
struct Limit {
    rule: String,
    on: On,
    units: U256,
}

/// What a limit is on.
#[derive(Clone, Copy)]
enum On {
    /// What is paid within so many milliseconds: 0 for one payment, the largest number for ever.
    Sum(u64),
    /// One payment that the owner is not asked about.
    UnaskedPayment,
    /// A day's payments to one payee that the owner is not asked about.
    UnaskedDay,
}

impl Limit {
    /// Whether this limit stops the money before it reaches `other`.
    fn comes_before(&self, other: &Self) -> bool {
        let On::Sum(width) = self.on else { return false };
        // So many of these fill what the other one is on.
        let fills = |longer: u64| match longer.checked_div(width) {
            Some(times) if width < longer && longer < u64::MAX => {
                Some(self.units.saturating_mul(U256::from(times)))
            }
            _ => None,
        };
        match other.on {
            On::Sum(longer) if longer <= width => self.units < other.units,
            On::Sum(longer) => fills(longer).is_some_and(|most| most < other.units),
            On::UnaskedPayment => self.units <= other.units,
            On::UnaskedDay if DAY <= width => self.units <= other.units,
            On::UnaskedDay => fills(DAY).is_some_and(|most| most <= other.units),
        }
    }
}

impl Limited {
    fn new(path: String, asset: AssetId, limits: &Limits, around: Vec<Limit>) -> Self {
        let own = written(&path, limits);
        Self { path, asset, below_agent: false, own, around }
    }

    fn below_agent(self) -> Self {
        Self { below_agent: true, ..self }
    }

    /// Whether no sum is limited, but single payments are.
    pub(super) fn is_boundless(&self) -> bool {
        !self.below_agent && !self.own.iter().any(|limit| matches!(limit.on, On::Sum(1..)))
    }

    /// The rule that is written first.
    pub(super) fn first_rule(&self) -> &str {
        self.own.first().map_or("", |limit| &limit.rule)
    }

    /// Each limit that cannot be reached, and the one that comes before it, in words.
    pub(super) fn unreachable(&self, policy: &Policy) -> Vec<(String, String)> {
        let show = |limit: &Limit| policy.show(Money::new(limit.units, self.asset));
        let before = |(at, limit): (usize, &Limit)| {
            let others = self.own.iter().enumerate().filter(|(other, _)| *other != at);
            let mut others = others.map(|(_, other)| other).chain(&self.around);
            let other = others.find(|other| other.comes_before(limit))?;
            let message = format!(
                "{} ({}) can never be reached: {} ({}) comes first",
                limit.rule,
                show(limit),
                other.rule,
                show(other)
            );
            Some((limit.rule.clone(), message))
        };
        self.own.iter().enumerate().filter_map(before).collect()
    }
}

/// Every limit of a policy, with those around it.
pub(super) fn all(policy: &Policy) -> Vec<Limited> {
    let name = |asset: AssetId| policy.asset(asset).map_or("?", |(name, _)| name);
    let of = |path: &str, limits: &BTreeMap<AssetId, Limits>, asset: AssetId| {
        let found = limits.get(&asset);
        found.map(|limits| written(&format!("{path}.{}", name(asset)), limits)).unwrap_or_default()
    };
    let gas = |path: &str, limits: &BTreeMap<AssetId, Limits>, asset: AssetId| {
        limits.get(&asset).map(|limits| written(&format!("{path}.gas"), limits)).unwrap_or_default()
    };
    let owner = |asset| of("owner.limits", &policy.owner_limits, asset);
    let owner_fees = |asset| [owner(asset), gas("owner.limits", &policy.owner_gas, asset)].concat();
    let agent = |asset| [of("limits", &policy.limits, asset), owner(asset)].concat();
    let agent_fees = |asset| {
        let own = [of("limits", &policy.limits, asset), gas("limits", &policy.gas, asset)].concat();
        [own, owner_fees(asset)].concat()
    };

    let mut all = Vec::new();
    for (asset, limits) in &policy.owner_limits {
        all.push(Limited::new(format!("owner.limits.{}", name(*asset)), *asset, limits, vec![]));
    }
    for (asset, limits) in &policy.owner_gas {
        all.push(Limited::new("owner.limits.gas".to_owned(), *asset, limits, vec![]));
    }
    for (asset, limits) in &policy.limits {
        let path = format!("limits.{}", name(*asset));
        all.push(Limited::new(path, *asset, limits, owner(*asset)));
    }
    for (asset, limits) in &policy.gas {
        let path = "limits.gas".to_owned();
        all.push(Limited::new(path, *asset, limits, owner_fees(*asset)));
    }
    for (asset, limits) in &policy.task_limits {
        let path = format!("task.limits.{}", name(*asset));
        all.push(Limited::new(path, *asset, limits, agent(*asset)).below_agent());
    }
    for (sub_agent, account) in &policy.sub_agents {
        let path = format!("sub_agent.{sub_agent}.limits");
        for (asset, limits) in &account.limits {
            let path = format!("{path}.{}", name(*asset));
            all.push(Limited::new(path, *asset, limits, agent(*asset)).below_agent());
        }
        for (asset, limits) in &account.gas {
            let around = agent_fees(*asset);
            // What pays for fees alone needs no limits on payments.
            let below_agent = around.is_empty();
            let limited = Limited::new(format!("{path}.gas"), *asset, limits, around);
            all.push(Limited { below_agent, ..limited });
        }
    }
    for (category, bound) in &policy.categories {
        let path = format!("category.{category}");
        let around = agent(bound.asset);
        all.push(Limited::new(path, bound.asset, &bound.limits, around).below_agent());
    }
    for (payee, bound) in
        policy.payees.iter().filter_map(|(name, payee)| Some((name, payee.bound?)))
    {
        let category = policy.payees.get(payee).and_then(|payee| payee.category.as_ref());
        let category = category.and_then(|name| Some((name, policy.categories.get(name)?)));
        let category = category.filter(|(_, category)| category.asset == bound.asset);
        let category = category
            .map(|(name, category)| written(&format!("category.{name}"), &category.limits))
            .unwrap_or_default();
        let around = [category, agent(bound.asset)].concat();
        let path = format!("payee.{payee}");
        all.push(Limited::new(path, bound.asset, &bound.limits, around).below_agent());
    }
    for (asset, pool) in &policy.pools {
        let path = format!("pool.{}", name(*asset));
        let around = agent(*asset);
        // All peers together, then one of them.
        let (together, mut each): (Vec<Limit>, Vec<Limit>) = written(&path, &pool.limits)
            .into_iter()
            .partition(|limit| matches!(limit.on, On::Sum(1..)));
        let peer = [("peer_day", DAY, pool.peer_day), ("peer_total", u64::MAX, pool.peer_total)];
        each.extend(peer.into_iter().filter_map(|(kind, width, units)| {
            Some(Limit { rule: format!("{path}.{kind}"), on: On::Sum(width), units: units? })
        }));
        let around_each = [together.clone(), around.clone()].concat();
        for (own, around) in [(together, around), (each, around_each)] {
            let asset = *asset;
            all.push(Limited { path: path.clone(), asset, below_agent: true, own, around });
        }
    }
    all
}

/// The limits that are there, in the order in which people write them.
fn written(path: &str, limits: &Limits) -> Vec<Limit> {
    let Limits { payment, ask_above, ask_above_day, .. } = limits;
    let windows = limits.windows();
    let windows =
        windows.map(|(kind, width, units)| (kind, On::Sum(width.unwrap_or(u64::MAX)), Some(units)));
    [("payment", On::Sum(0), *payment)]
        .into_iter()
        .chain(windows)
        .chain([
            ("ask_above", On::UnaskedPayment, *ask_above),
            ("ask_above_day", On::UnaskedDay, *ask_above_day),
        ])
        .filter_map(|(kind, on, units)| {
            Some(Limit { rule: format!("{path}.{kind}"), on, units: units? })
        })
        .collect()
}
