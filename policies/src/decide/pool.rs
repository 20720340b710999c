//! Peers that the policy does not name: a small pool of money for all of them together.
//!
//! INVARIANT: the pool pays nobody whom the policy names, so a payee's own limits cannot be got
//! round by calling it by another name (pinned by `tests/suite/decide/pools.rs`,
//! `a_payee_is_never_paid_from_the_pool`).

use super::{
    Judge,
    limits::Debits,
    payment::{Payment, address_of},
    quoted,
};
use crate::{
    document::{DAY, Pool},
    ledger::Scope,
    money::Money,
};
use alloy_primitives::U256;

impl Judge<'_> {
    /// The rules of somebody who is no payee of the policy, in an asset that has a pool.
    pub(super) fn peer(&mut self, payment: Payment<'_>, pool: &Pool) {
        let Payment { to, amount, .. } = payment;
        let asset = amount.asset;
        let path = format!("pool.{}", self.asset_name(asset));
        self.nobody_known(&path, payment);

        let (all, one) = (Debits::Of(Scope::Pool), Debits::Of(Scope::Payee(to)));
        self.limits(&path, (&pool.limits, asset), &all, amount, U256::ZERO);
        for (name, width, limit) in
            [("peer_day", Some(DAY), pool.peer_day), ("peer_total", None, pool.peer_total)]
        {
            let Some(limit) = limit else { continue };
            let limit = Money::new(limit, asset);
            self.window(format!("{path}.{name}"), &one, width, (amount, U256::ZERO), limit);
        }
        if let Some(limit) = pool.limits.ask_above_day {
            self.ask_above_day(&path, Money::new(limit, asset), to, amount);
        }
        self.delivery(&path, to);
    }

    /// Neither a payee under another name, nor the agent itself.
    fn nobody_known(&mut self, path: &str, payment: Payment<'_>) {
        let (policy, ledger) = (self.policy, self.ledger);
        let mut payees = policy.payees.iter();
        let payee = payees.find(|(_, payee)| address_of(payee, ledger) == Some(payment.to));
        let own = payment.to == ledger.agent_address();
        let measured = match payee {
            Some((name, _)) => format!("{} is {name}", payment.to),
            None if own => format!("{} is this agent", payment.to),
            None => format!("{} at {}", quoted(payment.payee), payment.to),
        };
        let limit = "a peer that the policy does not name".to_owned();
        self.check(
            format!("{path}.peer"),
            payee.is_none() && !own,
            measured,
            limit,
            || match payee {
                Some((name, _)) => format!("it is {name}; pay it by its name"),
                None => "an agent does not pay itself".to_owned(),
            },
        );
    }
}
