//! A case and its past: one ledger, about which both policies are asked.
//!
//! Names are those of the old policy, and of the new one where the old one does not know them. The
//! registry answers what the new policy pins, or the old one where the case says so.

use super::{case::Case, cases::Cases};
use crate::{
    decide::{Request, decide},
    document::{Given, PaidBy, Payee, Policy},
    intent::tagged,
    ledger::{Resolved, Timestamp},
    trial::{Debit, Past, Use},
    verdict::Verdict,
};
use alloy_primitives::Address;

/// The task of every case.
pub(super) const TASK: &str = "errand";
/// The agent of every case.
const AGENT: &str = "agent";
/// Somebody who was a payee once and is none of either policy's.
pub(super) const FORMER: &str = "former-payee";

impl Case {
    /// What a policy says to this case.
    pub(super) fn judge(&self, cases: Cases<'_>, policy: &Policy) -> Verdict {
        let request = Request {
            agent: AGENT,
            sub_agent: self.sub_agent.as_deref(),
            task: &self.task,
            intent: &self.intent,
            gas: self.gas,
        };
        decide(policy, &request, &self.past(cases), self.now)
    }

    fn past(&self, cases: Cases<'_>) -> Past {
        let approved = self.approved.map(|age| self.now.saturating_sub(age));
        let mut past = Past { approved, ..Past::default() };
        let [first, last] =
            if self.as_of_old { [cases.new, cases.old] } else { [cases.old, cases.new] };
        for (name, payee) in first.payees.iter().chain(&last.payees) {
            if let (Some(pin), Some(wallet)) = (&payee.identity, payee.address) {
                past.resolved.insert(name.clone(), Resolved { owner: pin.owner, wallet });
            }
        }
        for (event, times) in &self.given {
            for _ in 0..*times {
                tell(&mut past, cases, event, self.now);
            }
        }
        past
    }
}

fn tell(past: &mut Past, cases: Cases<'_>, event: &Given, now: Timestamp) {
    let at = |age: u64| now.saturating_sub(age).max(1);
    match event {
        Given::Paid(paid) => past.debits.push(Debit {
            to: cases.address(&paid.payee),
            amount: paid.amount,
            at: at(paid.age),
            by: paid.by.clone(),
            pool: paid.payee != FORMER && !cases.old.payees.contains_key(&paid.payee),
        }),
        Given::Used { tool, age, bytes } => {
            past.uses.push(Use { tool: tool.clone(), at: at(*age), bytes: *bytes });
        }
        Given::Pinned { payee, address } => {
            let hosts = cases.entries(payee).into_iter().filter_map(|payee| payee.host.clone());
            past.pinned.extend(hosts.map(|host| (host, *address)));
        }
        Given::Undelivered(payee) => {
            past.owing.insert(cases.address(payee));
        }
        Given::Unresolved(payee) => {
            past.resolved.remove(payee);
        }
        Given::ChangedHands(payee) => {
            if let Some(found) = past.resolved.get_mut(payee) {
                found.owner = somebody("another owner");
            }
        }
    }
}

impl<'a> Cases<'a> {
    /// What the two policies say of a payee of this name, the new one's first.
    pub(super) fn entries(self, name: &str) -> Vec<&'a Payee> {
        [self.new, self.old].into_iter().filter_map(|policy| policy.payees.get(name)).collect()
    }

    /// Where money to this name went: the old policy's address, the new one's, or one that is made
    /// of the name.
    pub(super) fn address(self, name: &str) -> Address {
        let mut known = self.entries(name).into_iter().rev();
        known.find_map(|payee| payee.address).unwrap_or_else(|| somebody(name))
    }
}

/// The address of somebody who exists in cases only; also what the owner pins for a payee that is
/// known by its host.
pub(super) fn somebody(name: &str) -> Address {
    Address::from_word(tagged("marque/policy-diff/address/v1", &[name.as_bytes()]))
}

/// By whom a past payment was made, where it was not the agent in another task.
pub(super) fn by_task() -> PaidBy {
    PaidBy::Task(TASK.to_owned())
}
