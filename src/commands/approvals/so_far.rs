//! What was paid before to whom a payment that waits would go, and what is on its way there: in the same
//! task, and in all. It is what the journal has. Only which payments belong to one task is the mind's to
//! say, and so what all of them come to stands beside it.

use super::show::{Names, amount};
use crate::story::harmless;
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, IntentId, Money};
use marque_steward::{Body, Entry};
use std::collections::BTreeMap;

/// A payment that is out, or on chain.
#[derive(Debug)]
struct Payment {
    agent: String,
    task: String,
    to: Address,
    amount: Money,
    /// Whether the chain has it.
    paid: bool,
}

/// Payments as the journal tells them, without those that came to nothing.
#[derive(Debug, Default)]
pub(super) struct SoFar(BTreeMap<IntentId, Payment>);

/// What several payments come to.
#[derive(Debug, Default)]
struct Sums {
    paid: BTreeMap<AssetId, U256>,
    under_way: BTreeMap<AssetId, U256>,
}

impl SoFar {
    pub(super) fn learn(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Allowed(allowed) => {
                let decided = &allowed.decided;
                if let (Some(to), Some(amount), Some(agent)) =
                    (super::past::payee(&decided.intent), decided.intent.spends(), &entry.agent)
                {
                    let (agent, task) = (agent.clone(), decided.task.clone());
                    self.0.insert(decided.id, Payment { agent, task, to, amount, paid: false });
                }
            }
            Body::Seen { id, .. } => self.change(id, |payment| payment.paid = true),
            Body::Unseen { id } => self.change(id, |payment| payment.paid = false),
            Body::Final { id, actual, .. } => self.change(id, |payment| {
                payment.paid = true;
                // Less than was signed for, where it was metered.
                let asset = payment.amount.asset;
                let taken = actual.iter().find(|taken| taken.asset == asset);
                payment.amount = taken.copied().unwrap_or(payment.amount);
            }),
            Body::Reverted { id, .. }
            | Body::Cancelled { id, .. }
            | Body::Filled { id, .. }
            | Body::Released { id, .. }
            | Body::Expired { id, .. } => drop(self.0.remove(id)),
            _ => {}
        }
    }

    fn change(&mut self, id: &IntentId, change: impl FnOnce(&mut Payment)) {
        self.0.get_mut(id).map(change);
    }

    /// In words, for a payment of this task to this address.
    pub(super) fn line(&self, names: &Names, agent: &str, task: &str, to: Address) -> String {
        let ours = || self.0.values().filter(|it| it.agent == agent && it.to == to);
        let all = Sums::of(ours());
        if all.is_nothing() {
            return "nothing was paid to this address, and nothing is on its way there".to_owned();
        }
        let task = Sums::of(ours().filter(|it| it.task == task));
        harmless(&format!(
            "in this task {}; in all tasks {}, to this address",
            task.words(names),
            all.words(names)
        ))
    }
}

impl Sums {
    fn of<'a>(payments: impl Iterator<Item = &'a Payment>) -> Self {
        let mut sums = Self::default();
        for Payment { amount, paid, .. } in payments {
            let sum = if *paid { &mut sums.paid } else { &mut sums.under_way };
            let sum = sum.entry(amount.asset).or_default();
            *sum = sum.saturating_add(amount.units);
        }
        sums
    }

    fn is_nothing(&self) -> bool {
        self.paid.is_empty() && self.under_way.is_empty()
    }

    fn words(&self, names: &Names) -> String {
        let amounts = |sums: &BTreeMap<AssetId, U256>, what: &str| {
            let amounts =
                sums.iter().map(|(asset, units)| amount(names, Money::new(*units, *asset)));
            let amounts: Vec<_> = amounts.collect();
            (!amounts.is_empty()).then(|| format!("{} {what}", amounts.join(", ")))
        };
        let parts = [amounts(&self.paid, "paid"), amounts(&self.under_way, "under way")];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(" and ") }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::show::tests::item, *};
    use marque_policies::Intent;
    use serde_json::json;

    const TO: Address = Address::repeat_byte(7);

    fn entry(body: serde_json::Value) -> Entry {
        let mut entry = json!({ "v": 1, "seq": 0, "at": 1, "agent": "scout", "word": "attested" });
        entry["body"] = body;
        serde_json::from_value(entry).unwrap()
    }

    fn allowed(id: u8, task: &str, intent: &Intent) -> Entry {
        let decided = json!({
            "id": id_of(id), "task": task, "step": 0, "ordinal": 1, "attempt": 0, "intent": intent,
            "body": intent.body_hash(), "policy": alloy_primitives::B256::ZERO, "version": 1, "table": [],
        });
        let order = json!({ "order": "permission" });
        entry(json!({ "kind": "allowed", "decided": decided, "debits": [], "order": order }))
    }

    fn id_of(id: u8) -> IntentId {
        IntentId(alloy_primitives::B256::repeat_byte(id))
    }

    #[test]
    fn what_was_paid_and_what_is_out_is_told_for_the_task_and_for_all_and_nothing_else_is() {
        let waits = item("feed", "wind", "https://feed.example");
        let (names, intent) = (&waits.names, &waits.held.intent);
        let mut so_far = SoFar::default();
        let none = "nothing was paid to this address, and nothing is on its way there";
        assert_eq!(so_far.line(names, "scout", "wind", TO), none);
        for (id, task) in [(1, "wind"), (2, "wind"), (3, "rain"), (4, "rain")] {
            so_far.learn(&allowed(id, task, intent));
        }
        let on_chain = json!({ "transaction": alloy_primitives::B256::ZERO, "block": 1,
            "block_hash": alloy_primitives::B256::ZERO });
        so_far.learn(&entry(json!({ "kind": "seen", "id": id_of(1), "at": on_chain })));
        so_far.learn(&entry(json!({ "kind": "expired", "id": id_of(4), "block": 9 })));
        assert_eq!(
            so_far.line(names, "scout", "wind", TO),
            "in this task 0.60 USDC paid and 0.60 USDC under way; in all tasks 0.60 USDC paid and \
             1.20 USDC under way, to this address"
        );
        assert_eq!(
            so_far.line(names, "scout", "snow", TO),
            "in this task nothing; in all tasks 0.60 USDC paid and 1.20 USDC under way, to this address"
        );
        assert_eq!(so_far.line(names, "other", "wind", TO), none);
        assert_eq!(so_far.line(names, "scout", "wind", Address::repeat_byte(8)), none);
        so_far.learn(&entry(json!({ "kind": "unseen", "id": id_of(1) })));
        assert!(
            so_far.line(names, "scout", "wind", TO).starts_with("in this task 1.20 USDC under")
        );
    }
}
