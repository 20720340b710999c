//! What was spent: a row for every reserved amount, never a bare counter.
//!
//! Every sum follows from the rows and changes with them, so a limit and the rows never disagree. A
//! row that is in flight counts whatever its age; one that is settled leaves a window when it is older than it;
//! one that is gone is deleted.

use crate::state::{
    sums::Sums,
    totals::{Totals, Whose},
    tracked::Tracked,
};
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, IntentId, Money, Scope, Timestamp, document::DAYS30};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::OnceLock,
};

/// The rows, by intent, and the sums of those that are older than every window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Debits {
    rows: Tracked<Vec<Debit>>,
    /// Made when first asked for: a fold over a long journal asks for none.
    #[serde(skip)]
    sums: OnceLock<Sums>,
    /// What has settled rows, the oldest first, so that nobody looks for them among all.
    #[serde(skip)]
    settled: BinaryHeap<Reverse<(Timestamp, IntentId)>>,
    pub(super) totals: Totals,
}

/// One amount that left, or may leave, an agent's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debit {
    /// Whose key.
    pub agent: String,
    /// For which account below the agent, if for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_agent: Option<String>,
    /// For which task.
    pub task: String,
    /// To which payee; gas has none.
    pub payee: Option<Address>,
    /// Whether that was a peer: no payee of the policy that was in force then.
    pub pool: bool,
    /// How much.
    pub amount: Money,
    /// When it was reserved; once a block carries it, when that was seen.
    pub at: Timestamp,
    /// Whether the chain has it for good.
    pub standing: Standing,
}

/// Whether a debit can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It can still happen, or be taken back.
    InFlight,
    /// It happened.
    Settled,
}

impl Debits {
    /// Base units of `asset` debited to `scope` of `agent` after `since`, and all in flight.
    /// Saturates: a sum past 2^256 - 1 is above every limit.
    #[must_use]
    pub fn spent(&self, agent: &str, scope: &Scope<'_>, asset: AssetId, since: Timestamp) -> U256 {
        let sum = self.sums().of(agent, scope, asset, since);
        // What is in the totals is older than the widest window that there is.
        match since {
            0 => sum.saturating_add(self.totals.of(agent, scope, asset)),
            _ => sum,
        }
    }

    fn sums(&self) -> &Sums {
        self.sums.get_or_init(|| Sums::new(self.rows.values().flatten()))
    }

    /// Makes the sums now, so that the first payment does not wait for them.
    pub(super) fn prepare(&self) {
        self.sums();
    }

    /// What is summed up already, without rows.
    pub(super) fn of_totals(totals: Totals) -> Self {
        Self { totals, ..Self::default() }
    }

    /// The rows, to be read.
    pub(super) const fn rows(&self) -> &Tracked<Vec<Debit>> {
        &self.rows
    }

    /// The rows, to be hashed or written.
    pub(super) const fn tracked(&mut self) -> &mut Tracked<Vec<Debit>> {
        &mut self.rows
    }

    /// Sets the rows of an intent.
    pub(super) fn set(&mut self, id: IntentId, rows: Vec<Debit>) {
        self.change(id, |all| drop(all.insert(id, rows)));
        self.queue(id);
    }

    /// Notes when the settled rows of an intent were settled. That never changes again.
    fn queue(&mut self, id: IntentId) {
        let rows = self.rows.get(&id).into_iter().flatten();
        let settled = rows.filter(|row| row.standing == Standing::Settled);
        self.settled.extend(settled.map(|row| Reverse((row.at, id))));
    }

    /// The one way to change rows: the sums follow.
    fn change(&mut self, id: IntentId, change: impl FnOnce(&mut Tracked<Vec<Debit>>)) {
        let Some(sums) = self.sums.get_mut() else { return change(&mut self.rows) };
        self.rows.get(&id).into_iter().flatten().for_each(|row| sums.take(row));
        change(&mut self.rows);
        self.rows.get(&id).into_iter().flatten().for_each(|row| sums.add(row));
    }

    /// Folds what was settled before every window that ends at `now` or later into the sums.
    pub(super) fn sum_up(&mut self, now: Timestamp) {
        let old = now.saturating_sub(DAYS30);
        let is_old = |row: &Debit| row.standing == Standing::Settled && row.at <= old;
        let mut ids = BTreeSet::new();
        while let Some(Reverse((at, id))) = self.settled.peek()
            && *at <= old
        {
            ids.insert(*id);
            self.settled.pop();
        }
        for id in ids {
            for row in self.rows.get(&id).into_iter().flatten().filter(|row| is_old(row)) {
                let Money { units, asset } = row.amount;
                let mut add = |whose| self.totals.add(&row.agent, whose, asset, units);
                add(Whose::Agent);
                add(Whose::Task(row.task.clone()));
                row.sub_agent.iter().for_each(|name| add(Whose::SubAgent(name.clone())));
                row.payee.into_iter().for_each(|payee| add(Whose::Payee(payee)));
                if row.pool {
                    add(Whose::Pool);
                }
            }
            self.keep(id, |row| !is_old(row));
        }
    }

    /// The rows of one intent.
    #[must_use]
    pub fn of(&self, id: IntentId) -> &[Debit] {
        self.rows.get(&id).map_or(&[], Vec::as_slice)
    }

    /// All rows with their intents.
    pub fn iter(&self) -> impl Iterator<Item = (IntentId, &Debit)> {
        self.rows.iter().flat_map(|(id, rows)| rows.iter().map(move |row| (*id, row)))
    }

    /// Adds rows; what an earlier attempt of the same settlement really cost stays.
    pub(super) fn reserve(&mut self, id: IntentId, rows: Vec<Debit>) {
        if !rows.is_empty() {
            self.change(id, |all| all.or_default(id).extend(rows));
        }
    }

    /// Takes back what is in flight.
    pub(super) fn remove(&mut self, id: IntentId) {
        self.keep(id, |row| row.standing == Standing::Settled);
    }

    /// Gas may come to more than was reserved for it.
    pub(super) fn raise_gas(&mut self, id: IntentId, gas: Money) {
        self.change(id, |all| {
            let rows = in_flight(all, id).filter(|row| row.payee.is_none());
            if let Some(row) = rows.filter(|row| row.amount.asset == gas.asset).last() {
                row.amount.units = row.amount.units.max(gas.units);
            }
        });
    }

    /// Takes back what is in flight but gas.
    pub(super) fn keep_gas(&mut self, id: IntentId) {
        self.keep(id, |row| row.standing == Standing::Settled || row.payee.is_none());
    }

    /// A block carries it: the window counts from now.
    pub(super) fn seen(&mut self, id: IntentId, at: Timestamp) {
        self.change(id, |all| in_flight(all, id).for_each(|row| row.at = row.at.max(at)));
    }

    /// Settles to what was really debited, never above what was reserved.
    pub(super) fn settle(&mut self, id: IntentId, actual: &[Money], at: Timestamp) {
        self.change(id, |all| {
            let mut left = actual.to_vec();
            for row in in_flight(all, id) {
                let mut units = U256::ZERO;
                for money in left.iter_mut().filter(|money| money.asset == row.amount.asset) {
                    let taken = money.units.min(row.amount.units.saturating_sub(units));
                    money.units = money.units.saturating_sub(taken);
                    units = units.saturating_add(taken);
                }
                row.amount.units = units;
                row.standing = Standing::Settled;
                row.at = row.at.max(at);
            }
        });
        self.keep(id, |row| !row.amount.units.is_zero());
        self.queue(id);
    }

    fn keep(&mut self, id: IntentId, which: impl Fn(&Debit) -> bool) {
        self.change(id, |all| {
            if let Some(rows) = all.get_mut(&id) {
                rows.retain(which);
                if rows.is_empty() {
                    all.remove(&id);
                }
            }
        });
    }
}

fn in_flight(all: &mut Tracked<Vec<Debit>>, id: IntentId) -> impl Iterator<Item = &mut Debit> {
    let rows = all.get_mut(&id).into_iter().flatten();
    rows.filter(|row| row.standing == Standing::InFlight)
}
