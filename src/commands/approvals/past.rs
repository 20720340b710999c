//! What happened before with a payee that a payment is held for: money that it took, and what the
//! agent's runtime said of the goods. The chain's part is the steward's word; that nothing came, or that
//! a retry brought it after all, is the runtime's, and grants nothing: the payment waits all the same.

use super::{
    show::{Item, amount},
    so_far::SoFar,
};
use crate::{
    failure::Done,
    story::{harmless, quoted, span},
};
use alloy_primitives::Address;
use marque::home::Home;
use marque_policies::{Intent, IntentId, Money, Timestamp};
use marque_steward::{Body, Entry, StewardError, audit};
use marque_steward_client::Said;
use std::collections::{BTreeMap, BTreeSet};

/// What there is to tell of one payment.
#[derive(Debug)]
struct Paid {
    agent: String,
    to: Address,
    amount: Option<Money>,
    /// When the chain was seen to have it.
    taken: Option<Timestamp>,
    /// When the runtime first said that nothing came, and why.
    failed: Option<(Timestamp, String)>,
    /// When it said after that that it did.
    came: Option<Timestamp>,
}

/// Payments as the journal tells them.
#[derive(Debug, Default)]
struct Past {
    paid: BTreeMap<IntentId, Paid>,
    approved: BTreeSet<IntentId>,
}

/// Adds to payments what the journal has of those before them: what their payee got so far, and where they
/// are held for it, what came of that.
pub(super) fn tell(home: &Home, items: &mut [Item], now: Timestamp) -> Done {
    if !items.iter().any(|item| payee(&item.held.intent).is_some()) {
        return Ok(());
    }
    let (mut past, mut so_far) = (Past::default(), SoFar::default());
    audit::each(&home.journal(), 0, |read| {
        past.learn(&read.entry);
        so_far.learn(&read.entry);
        Ok::<_, StewardError>(())
    })?;
    for item in items {
        let Some(to) = payee(&item.held.intent) else { continue };
        item.so_far = Some(so_far.line(&item.names, &item.agent, &item.held.task, to));
        if item.held.why.iter().any(|row| row.rule.ends_with(".delivery")) {
            item.past = past.of(&item.agent, to).map(|paid| line(item, paid, now)).collect();
        }
    }
    Ok(())
}

pub(super) const fn payee(intent: &Intent) -> Option<Address> {
    match intent {
        Intent::Authorise(pay) => Some(pay.to),
        Intent::Transfer(pay) => Some(pay.to),
        Intent::PermitTransfer(pay) => Some(pay.to),
        _ => None,
    }
}

impl Past {
    fn learn(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Approve { intent, .. } => drop(self.approved.insert(*intent)),
            Body::Allowed(allowed) => {
                let (Some(to), Some(agent)) = (payee(&allowed.decided.intent), &entry.agent) else {
                    return;
                };
                let id = allowed.decided.id;
                // The owner has looked at this payee: what was before is forgiven.
                if self.approved.contains(&id) {
                    self.paid.retain(|_, paid| (paid.to, &paid.agent) != (to, agent));
                }
                let (agent, amount) = (agent.clone(), allowed.decided.intent.spends());
                let paid = Paid { agent, to, amount, taken: None, failed: None, came: None };
                self.paid.insert(id, paid);
            }
            Body::Seen { id, .. } => self.change(id, |paid| paid.taken = Some(entry.at)),
            Body::Unseen { id } => self.change(id, |paid| paid.taken = None),
            Body::Final { id, actual, .. } => self.change(id, |paid| {
                paid.taken.get_or_insert(entry.at);
                paid.amount = actual.first().copied().or(paid.amount);
            }),
            Body::Reported { id, said: Said::Undelivered { why } } => self.change(id, |paid| {
                paid.failed.get_or_insert_with(|| (entry.at, why.clone()));
                paid.came = None;
            }),
            Body::Reported { id, said: Said::Delivered { .. } } => self.change(id, |paid| {
                paid.came = paid.failed.as_ref().map(|_| entry.at);
            }),
            _ => {}
        }
    }

    fn change(&mut self, id: &IntentId, change: impl FnOnce(&mut Paid)) {
        self.paid.get_mut(id).map(change);
    }

    /// What this payee took of the agent and was said not to have delivered.
    fn of(&self, agent: &str, to: Address) -> impl Iterator<Item = &Paid> {
        let owes = move |paid: &&Paid| {
            paid.agent == agent && paid.to == to && paid.taken.is_some() && paid.failed.is_some()
        };
        self.paid.values().filter(owes)
    }
}

fn line(item: &Item, paid: &Paid, now: Timestamp) -> String {
    let ago = |at: Timestamp| format!("{} ago", span(now.saturating_sub(at)));
    let took = paid.amount.map_or_else(|| "money".to_owned(), |it| amount(&item.names, it));
    let took = format!("it took {took} {}", ago(paid.taken.unwrap_or(now)));
    let said = match (&paid.failed, paid.came) {
        (Some((_, why)), None) => format!("the runtime says that nothing came: {}", quoted(why)),
        (Some((_, why)), Some(came)) => format!(
            "the runtime says that nothing came ({}), and {} that a retry delivered",
            quoted(why),
            ago(came)
        ),
        (None, _) => String::new(),
    };
    harmless(&format!("{took}; {said}"))
}
