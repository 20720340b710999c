//! Limits: of the agent, all agents together, tasks, sub-agents and the pool.
//!
//! A limit that is not there is one without end. An account that is closed without a section (the
//! agent's, a sub-agent's) permits nothing in an asset that it does not name.

use super::{
    Direction,
    case::Case,
    cases::{Cases, Who},
    compare::Comparison,
};
use crate::{
    document::{Limits, Policy, Pool},
    money::{AssetId, Money},
};
use alloy_primitives::U256;
use std::collections::{BTreeMap, BTreeSet};

/// Whose debits a limit sums, and so whose past can fill it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    /// All agents.
    Owner,
    /// The agent.
    Agent,
    /// One sub-agent.
    SubAgent(&'a str),
    /// The task.
    Task,
    /// What one payee got.
    Payee(&'a str),
    /// What a category's payees got.
    Category(&'a str),
    /// What peers got.
    Pool,
    /// What one peer got.
    Peer,
}

/// One limit in both policies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) asset: AssetId,
    /// `payment`, `day`, ...
    pub(super) kind: &'static str,
    pub(super) old: Option<U256>,
    pub(super) new: Option<U256>,
}

/// The sections of one account in one policy.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) limits: &'a BTreeMap<AssetId, Limits>,
    pub(super) gas: &'a BTreeMap<AssetId, Limits>,
}

impl<'a> Comparison<'a> {
    pub(super) fn accounts(&mut self) {
        let Cases { old, new } = self.cases;
        let agent = |policy: &'a Policy| Account { limits: &policy.limits, gas: &policy.gas };
        let owner =
            |policy: &'a Policy| Account { limits: &policy.owner_limits, gas: &policy.owner_gas };
        self.account("limits", Whose::Agent, agent(old), agent(new));
        self.account("owner.limits", Whose::Owner, owner(old), owner(new));
        for asset in keys(&old.task_limits, &new.task_limits) {
            let path = format!("task.limits.{}", self.cases.asset_name(asset));
            let (was, is) = (old.task_limits.get(&asset), new.task_limits.get(&asset));
            self.kinds(&path, Whose::Task, asset, was, is);
        }
    }

    /// An account: what it pays, and the fees it pays. Fees are limited by `gas`, or, without one,
    /// by the native coin's own section.
    pub(super) fn account(
        &mut self,
        path: &str,
        whose: Whose<'a>,
        old: Account<'a>,
        new: Account<'a>,
    ) {
        let closed = matches!(whose, Whose::Agent | Whose::SubAgent(_));
        for asset in keys(old.limits, new.limits) {
            let path = format!("{path}.{}", self.cases.asset_name(asset));
            match (old.limits.get(&asset), new.limits.get(&asset)) {
                (Some(_), None) if closed => {
                    let said = "gone; nothing may be spent in it";
                    self.changed(path, Direction::Narrower, said, |c| c.spending(whose, asset));
                }
                (None, Some(_)) if closed => {
                    let said = "new; nothing could be spent in it";
                    self.changed(path, Direction::Wider, said, |c| c.spending(whose, asset));
                }
                (was, is) => self.kinds(&path, whose, asset, was, is),
            }
        }
        let path = format!("{path}.gas");
        for asset in keys(old.gas, new.gas) {
            let (was, is) = (old.gas.get(&asset), new.gas.get(&asset));
            // INVARIANT: a coin is in one of the two maps (`parse/limits.rs` refuses both).
            let before = was.or_else(|| old.limits.get(&asset));
            let after = is.or_else(|| new.limits.get(&asset));
            match (before, after) {
                (Some(_), None) if closed => {
                    let said = "gone; no fees may be paid";
                    self.changed(&path, Direction::Narrower, said, |c| c.fees(whose, asset));
                }
                (None, Some(_)) if closed => {
                    let said = "new; no fees could be paid";
                    self.changed(&path, Direction::Wider, said, |c| c.fees(whose, asset));
                }
                // A transfer of the coin is judged with its fees where the coin has a section of
                // its own, so single fees of it no longer are.
                (Some(_), Some(_)) if is.is_none() => {
                    let said = "fees now share the limits of what is paid in the coin";
                    self.changed(&path, Direction::Different, said, |c| c.fees(whose, asset));
                    self.kinds(&path, whose, asset, before, after);
                }
                (before, after) => self.kinds(&path, whose, asset, before, after),
            }
        }
    }

    /// Two sections, limit by limit; `None` has none.
    pub(super) fn kinds(
        &mut self,
        path: &str,
        whose: Whose<'a>,
        asset: AssetId,
        old: Option<&Limits>,
        new: Option<&Limits>,
    ) {
        let (old, new) = (kinds(old), kinds(new));
        for ((kind, old), (_, new)) in old.into_iter().zip(new) {
            self.limit(path, Moved { whose, asset, kind, old, new });
        }
    }

    /// One limit: a lower one, or one where there was none, is stricter.
    pub(super) fn limit(&mut self, path: &str, moved: Moved<'a>) {
        let Cases { old, new } = self.cases;
        let Moved { asset, kind, .. } = moved;
        let show = |policy: &Policy, units| policy.show(Money::new(units, asset));
        let (direction, said) = match (moved.old, moved.new) {
            (Some(was), Some(is)) if was != is => {
                let word = if is > was { "raised" } else { "lowered" };
                let said = format!("{word} from {} to {}", show(old, was), show(new, is));
                (Direction::gained(is > was), said)
            }
            (Some(was), None) => {
                (Direction::Wider, format!("no limit any more; it was {}", show(old, was)))
            }
            (None, Some(is)) => (Direction::Narrower, format!("a new limit of {}", show(new, is))),
            _ => return,
        };
        self.changed(format!("{path}.{kind}"), direction, said, |cases| cases.sums(moved));
    }

    /// What may be paid to peers that the policy does not name.
    pub(super) fn pools(&mut self) {
        let Cases { old, new } = self.cases;
        let assets: BTreeSet<AssetId> = old.pools.keys().chain(new.pools.keys()).copied().collect();
        for asset in assets {
            let path = format!("pool.{}", self.cases.asset_name(asset));
            let (was, is) = match (old.pools.get(&asset), new.pools.get(&asset)) {
                (Some(was), Some(is)) => (was, is),
                (was, _) => {
                    let gone = was.is_some();
                    let said = if gone {
                        "gone; only payees of the policy may be paid"
                    } else {
                        "new; peers that the policy does not name may be paid"
                    };
                    self.changed(path, Direction::gained(!gone), said, |cases| {
                        cases.payments(Who::Peer, Some(asset), None)
                    });
                    continue;
                }
            };
            let Pool { limits, peer_day, peer_total } = was;
            self.kinds(&path, Whose::Pool, asset, Some(limits), Some(&is.limits));
            for (kind, old, new) in
                [("peer_day", *peer_day, is.peer_day), ("peer_total", *peer_total, is.peer_total)]
            {
                self.limit(&path, Moved { whose: Whose::Peer, asset, kind, old, new });
            }
        }
    }
}

/// Every limit of a section by its name.
pub(super) fn kinds(limits: Option<&Limits>) -> [(&'static str, Option<U256>); 7] {
    let Limits { payment, hour, day, days30, total, ask_above, ask_above_day } =
        limits.copied().unwrap_or_default();
    [
        ("payment", payment),
        ("hour", hour),
        ("day", day),
        ("days30", days30),
        ("total", total),
        ("ask_above", ask_above),
        ("ask_above_day", ask_above_day),
    ]
}

/// The keys of both maps, each once.
pub(super) fn keys<K: Ord + Clone, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> BTreeSet<K> {
    old.keys().chain(new.keys()).cloned().collect()
}

/// Every limit on amounts of this asset, wherever it stands.
pub(super) fn limits_in(policy: &Policy, asset: AssetId) -> Vec<Limits> {
    let accounts = [&policy.limits, &policy.gas, &policy.owner_limits, &policy.owner_gas];
    let below = policy.sub_agents.values().flat_map(|account| [&account.limits, &account.gas]);
    let sections = accounts.into_iter().chain([&policy.task_limits]).chain(below);
    let mut all: Vec<Limits> =
        sections.filter_map(|section| section.get(&asset)).copied().collect();
    let bounds = policy.payees.values().filter_map(|payee| payee.bound.as_ref());
    let bounds = bounds.chain(policy.categories.values());
    all.extend(bounds.filter(|bound| bound.asset == asset).map(|bound| bound.limits));
    if let Some(pool) = policy.pools.get(&asset) {
        all.push(pool.limits);
        all.push(Limits { day: pool.peer_day, total: pool.peer_total, ..Limits::default() });
    }
    all
}

/// Cases of one list and then the other's.
pub(super) fn both(mut one: Vec<Case>, other: Vec<Case>) -> Vec<Case> {
    one.extend(other);
    one
}
