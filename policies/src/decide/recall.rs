//! A ledger that is asked for each sum once. Several rules look at the same window, and so do the
//! owner's forbids; adding it up is most of what a decision costs.

use crate::{
    ledger::{Ledger, Resolved, Scope, Timestamp},
    money::AssetId,
};
use alloy_primitives::{Address, B256, U256};
use std::cell::RefCell;

/// What a sum is of. Those of a task or a sub-agent are looked at once anyway.
type Question = (Scope<'static>, AssetId, Timestamp);

/// A ledger, and what it said during this decision.
pub(super) struct Recall<'a> {
    ledger: &'a dyn Ledger,
    said: RefCell<Vec<(Question, U256)>>,
}

impl<'a> Recall<'a> {
    pub(super) fn new(ledger: &'a dyn Ledger) -> Self {
        Self { ledger, said: RefCell::default() }
    }
}

impl Ledger for Recall<'_> {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: Timestamp) -> U256 {
        let kept = match scope {
            Scope::Owner => Scope::Owner,
            Scope::Agent => Scope::Agent,
            Scope::Payee(payee) => Scope::Payee(payee),
            Scope::Pool => Scope::Pool,
            Scope::SubAgent(_) | Scope::Task(_) => return self.ledger.spent(scope, asset, since),
        };
        let question = (kept, asset, since);
        let known =
            self.said.borrow().iter().find(|(asked, _)| *asked == question).map(|(_, sum)| *sum);
        known.unwrap_or_else(|| {
            let sum = self.ledger.spent(scope, asset, since);
            self.said.borrow_mut().push((question, sum));
            sum
        })
    }

    fn uses(&self, tool: &str, since: Timestamp) -> u64 {
        self.ledger.uses(tool, since)
    }

    fn bytes_out(&self, tool: &str, since: Timestamp) -> u64 {
        self.ledger.bytes_out(tool, since)
    }

    fn approved(&self, body: B256) -> Option<Timestamp> {
        self.ledger.approved(body)
    }

    fn pinned(&self, host: &str) -> Option<Address> {
        self.ledger.pinned(host)
    }

    fn resolved(&self, payee: &str) -> Option<Resolved> {
        self.ledger.resolved(payee)
    }

    fn owes_delivery(&self, payee: Address) -> bool {
        self.ledger.owes_delivery(payee)
    }

    fn agent_address(&self) -> Address {
        self.ledger.agent_address()
    }
}
