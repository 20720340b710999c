//! Sums of the rows, kept beside them, so that a limit costs what lies at the edge of its window
//! and not what was ever paid.
//!
//! They are derived: never written, never hashed, made again with the rows. They are wider than an
//! amount, so that nothing saturates before it is taken away again.
//!
//! INVARIANT: a sum is what adding up the rows gives (pinned by
//! `state::tests::the_sums_are_what_adding_up_the_rows_gives`).

use crate::state::debits::{Debit, Standing};
use alloy_primitives::{Address, U256, Uint};
use marque_policies::{AssetId, Scope, Timestamp};
use std::{borrow::Borrow, collections::BTreeMap};

/// Holds any sum of fewer than 2^64 amounts.
type Wide = Uint<320, 5>;

/// Settled rows are summed up by so many milliseconds.
const HOUR: Timestamp = 3_600_000;

/// The sums, by whose they are and of what.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    owner: ByAsset,
    agents: BTreeMap<String, Account>,
}

/// The sums of one agent. Where there is nothing to sum up there is no sum.
#[derive(Clone, Debug, Default)]
struct Account {
    all: ByAsset,
    pool: ByAsset,
    tasks: BTreeMap<String, ByAsset>,
    sub_agents: BTreeMap<String, ByAsset>,
    payees: BTreeMap<Address, ByAsset>,
}

/// The few assets of a policy.
#[derive(Clone, Debug, Default)]
struct ByAsset(Vec<(AssetId, Sum)>);

#[derive(Clone, Debug, Default)]
struct Sum {
    in_flight: Wide,
    /// By hour.
    settled: BTreeMap<Timestamp, Hour>,
}

#[derive(Clone, Debug, Default)]
struct Hour {
    sum: Wide,
    /// In the order of time.
    each: Vec<(Timestamp, Wide)>,
}

impl Sums {
    /// The sums of these rows.
    pub(super) fn new<'a>(rows: impl Iterator<Item = &'a Debit>) -> Self {
        let mut rows: Vec<&Debit> = rows.collect();
        // In the order of time, so that each row comes to an end.
        rows.sort_unstable_by_key(|row| row.at);
        let mut sums = Self::default();
        rows.into_iter().for_each(|row| sums.add(row));
        sums
    }

    pub(super) fn add(&mut self, row: &Debit) {
        self.change(row, Sum::add);
    }

    /// Takes back what was added for this row.
    pub(super) fn take(&mut self, row: &Debit) {
        self.change(row, Sum::take);
    }

    /// Changes every sum that a row is in.
    fn change(&mut self, row: &Debit, change: fn(&mut Sum, &Debit)) {
        let change = |sums: &mut ByAsset| sums.change(row, change);
        change(&mut self.owner);
        if !self.agents.contains_key(&row.agent) {
            self.agents.insert(row.agent.clone(), Account::default());
        }
        let Some(account) = self.agents.get_mut(&row.agent) else { return };
        change(&mut account.all);
        change_of(&mut account.tasks, row.task.as_str(), change);
        if let Some(name) = &row.sub_agent {
            change_of(&mut account.sub_agents, name.as_str(), change);
        }
        if let Some(payee) = &row.payee {
            change_of(&mut account.payees, payee, change);
        }
        if row.pool {
            change(&mut account.pool);
        }
    }

    /// What was debited after `since`, and all in flight. Saturates.
    pub(super) fn of(
        &self,
        agent: &str,
        scope: &Scope<'_>,
        asset: AssetId,
        since: Timestamp,
    ) -> U256 {
        let account = self.agents.get(agent);
        let sums = match scope {
            Scope::Owner => Some(&self.owner),
            Scope::Agent => account.map(|account| &account.all),
            Scope::Pool => account.map(|account| &account.pool),
            Scope::Task(task) => account.and_then(|account| account.tasks.get(*task)),
            Scope::Payee(payee) => account.and_then(|account| account.payees.get(payee)),
            Scope::SubAgent(name) => account.and_then(|account| account.sub_agents.get(*name)),
        };
        let sum = sums.and_then(|sums| sums.0.iter().find(|(of, _)| *of == asset));
        sum.map_or(U256::ZERO, |(_, sum)| sum.after(since).saturating_to())
    }
}

/// Changes the sums of one of many, which are there only as long as there is something in them.
fn change_of<K, Q>(all: &mut BTreeMap<K, ByAsset>, of: &Q, change: impl Fn(&mut ByAsset))
where
    K: Borrow<Q> + Ord,
    Q: Ord + ToOwned<Owned = K> + ?Sized,
{
    if let Some(sums) = all.get_mut(of) {
        change(sums);
        if sums.0.is_empty() {
            all.remove(of);
        }
        return;
    }
    let mut sums = ByAsset::default();
    change(&mut sums);
    if !sums.0.is_empty() {
        all.insert(of.to_owned(), sums);
    }
}

impl ByAsset {
    fn change(&mut self, row: &Debit, change: fn(&mut Sum, &Debit)) {
        let asset = row.amount.asset;
        let at = self.0.iter().position(|(of, _)| *of == asset);
        let mut sum = at.map_or_else(Sum::default, |at| self.0.swap_remove(at).1);
        change(&mut sum, row);
        if !(sum.in_flight.is_zero() && sum.settled.is_empty()) {
            self.0.push((asset, sum));
        }
    }
}

impl Sum {
    fn add(&mut self, row: &Debit) {
        let units = Wide::from(row.amount.units);
        if row.standing == Standing::InFlight {
            self.in_flight += units;
            return;
        }
        let hour = self.settled.entry(row.at / HOUR).or_default();
        hour.sum += units;
        let end = hour.each.partition_point(|(at, _)| *at <= row.at);
        match end.checked_sub(1).and_then(|last| hour.each.get_mut(last)) {
            Some((at, sum)) if *at == row.at => *sum += units,
            _ => hour.each.insert(end, (row.at, units)),
        }
    }

    fn take(&mut self, row: &Debit) {
        let units = Wide::from(row.amount.units);
        if row.standing == Standing::InFlight {
            self.in_flight -= units;
            return;
        }
        let Some(hour) = self.settled.get_mut(&(row.at / HOUR)) else { return };
        hour.sum -= units;
        if let Ok(at) = hour.each.binary_search_by_key(&row.at, |(at, _)| *at)
            && let Some((_, sum)) = hour.each.get_mut(at)
        {
            *sum -= units;
            if sum.is_zero() {
                hour.each.remove(at);
            }
        }
        if hour.each.is_empty() {
            self.settled.remove(&(row.at / HOUR));
        }
    }

    fn after(&self, since: Timestamp) -> Wide {
        let edge = since / HOUR;
        let whole = self.settled.range(edge + 1..).map(|(_, hour)| hour.sum);
        let part = self.settled.get(&edge).into_iter().flat_map(|hour| {
            let from = hour.each.partition_point(|(at, _)| *at <= since);
            hour.each.iter().skip(from).map(|(_, units)| *units)
        });
        whole.chain(part).fold(self.in_flight, |sum, units| sum + units)
    }
}
