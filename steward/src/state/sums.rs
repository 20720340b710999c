//! Sums of the rows, kept beside them, so that a limit costs what lies at the edge of its window
//! and not what was ever paid.
//!
//! They are derived: never written, never hashed, made again with the rows. They are wider than an
//! amount, so that nothing saturates before it is taken away again.
//!
//! INVARIANT: a sum is what adding up the rows gives (pinned by
//! `state::tests::the_sums_are_what_adding_up_the_rows_gives`).

use crate::state::{
    debits::{Debit, Standing},
    totals::Whose,
};
use alloy_primitives::{U256, Uint};
use marque_policies::{AssetId, Scope, Timestamp};
use std::collections::BTreeMap;

/// Holds any sum of fewer than 2^64 amounts.
type Wide = Uint<320, 5>;

/// Settled rows are summed up by so many milliseconds.
const HOUR: Timestamp = 3_600_000;

/// The sums, by whose they are and of what. No agent stands for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(BTreeMap<(Option<String>, Whose, AssetId), Sum>);

#[derive(Clone, Debug, Default)]
struct Sum {
    in_flight: Wide,
    /// By hour.
    settled: BTreeMap<Timestamp, Hour>,
}

#[derive(Clone, Debug, Default)]
struct Hour {
    sum: Wide,
    each: BTreeMap<Timestamp, Wide>,
}

impl Sums {
    pub(super) fn add(&mut self, row: &Debit) {
        let units = Wide::from(row.amount.units);
        for (agent, whose) in scopes(row) {
            let sum = self.0.entry((agent, whose, row.amount.asset)).or_default();
            match row.standing {
                Standing::InFlight => sum.in_flight += units,
                Standing::Settled => {
                    let hour = sum.settled.entry(row.at / HOUR).or_default();
                    hour.sum += units;
                    *hour.each.entry(row.at).or_default() += units;
                }
            }
        }
    }

    /// Takes back what was added for this row.
    pub(super) fn take(&mut self, row: &Debit) {
        let units = Wide::from(row.amount.units);
        for (agent, whose) in scopes(row) {
            let key = (agent, whose, row.amount.asset);
            let Some(sum) = self.0.get_mut(&key) else { continue };
            match row.standing {
                Standing::InFlight => sum.in_flight -= units,
                Standing::Settled => sum.take(row.at, units),
            }
            if sum.in_flight.is_zero() && sum.settled.is_empty() {
                self.0.remove(&key);
            }
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
        let whose = match scope {
            Scope::Owner | Scope::Agent => Whose::Agent,
            Scope::Task(task) => Whose::Task((*task).to_owned()),
            Scope::Payee(payee) => Whose::Payee(*payee),
            Scope::Pool => Whose::Pool,
            Scope::SubAgent(name) => Whose::SubAgent((*name).to_owned()),
        };
        let agent = (!matches!(scope, Scope::Owner)).then(|| agent.to_owned());
        let Some(sum) = self.0.get(&(agent, whose, asset)) else { return U256::ZERO };
        sum.after(since).saturating_to()
    }
}

impl Sum {
    fn take(&mut self, at: Timestamp, units: Wide) {
        let Some(hour) = self.settled.get_mut(&(at / HOUR)) else { return };
        hour.sum -= units;
        if let Some(each) = hour.each.get_mut(&at) {
            *each -= units;
            if each.is_zero() {
                hour.each.remove(&at);
            }
        }
        if hour.each.is_empty() {
            self.settled.remove(&(at / HOUR));
        }
    }

    fn after(&self, since: Timestamp) -> Wide {
        let edge = since / HOUR;
        let whole = self.settled.range(edge + 1..).map(|(_, hour)| hour.sum);
        let part = self.settled.get(&edge).into_iter();
        let part = part.flat_map(|hour| hour.each.range(since + 1..).map(|(_, units)| *units));
        whole.chain(part).fold(self.in_flight, |sum, units| sum + units)
    }
}

/// Whose sums a row is in.
fn scopes(row: &Debit) -> impl Iterator<Item = (Option<String>, Whose)> {
    let own = move |whose| (Some(row.agent.clone()), whose);
    let always = [(None, Whose::Agent), own(Whose::Agent), own(Whose::Task(row.task.clone()))];
    let named = row.sub_agent.iter().map(move |name| own(Whose::SubAgent(name.clone())));
    let paid = row.payee.into_iter().map(move |payee| own(Whose::Payee(payee)));
    let pool = row.pool.then(|| own(Whose::Pool)).into_iter();
    always.into_iter().chain(named).chain(paid).chain(pool)
}
