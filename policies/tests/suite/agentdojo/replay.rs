//! The suite's calls as intents: what a mind that does as it is told would propose, and what the
//! policy lets it do.

use super::bank::{Call, Environment, Order, Task, address, eur};
use crate::support::*;
use marque_policies::{
    Argument, Decision, Intent, Label, Labels, Policy, Verdict,
    intent::{ToolUse, Transfer},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the mind tells of where its values came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing, like every mind that has something to hide.
    Nothing,
    /// Of each value: the owner's words, the bank's own records, a file that somebody else wrote,
    /// or an attacker's words.
    ByValue,
    /// Of each value everything that the mind has read or thought so far.
    ByContext,
}

/// Whose calls they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    User,
    Attacker,
}

/// One call, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) author: Author,
    pub(crate) call: Call,
    pub(crate) verdict: Verdict,
    /// The account that got money or an order, if it did.
    pub(crate) paid: Option<String>,
}

impl Step {
    pub(crate) fn allowed(&self) -> bool {
        self.verdict.decision() == Decision::Allow
    }

    /// Whether the call changes something, rather than reads.
    pub(crate) fn has_effect(&self) -> bool {
        !self.call.function.starts_with("get_") && self.call.function != "read_file"
    }
}

/// A bank account in front of a policy.
pub(crate) struct Replay<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) policy: &'a Policy,
    pub(crate) told: Told,
    /// A known payee under whose name a mind pays strangers.
    pub(crate) disguise: Option<&'a str>,
}

impl Replay<'_> {
    /// Carries the calls out in their order, as far as the policy allows each of them.
    pub(crate) fn run(&self, calls: impl IntoIterator<Item = (Author, Call)>) -> Vec<Step> {
        let mut book = self.environment.book();
        let mut orders = self.environment.scheduled.clone();
        let mut read = Labels::default().with(Label::Owner);
        let mut steps = Vec::new();
        for (author, call) in calls {
            let labels = self.labels(author, &call, &mut read);
            let (intent, order) = self.intent(&call, &orders, labels);
            let gas = matches!(intent, Intent::Transfer(_)).then(|| wei(1));
            let verdict = judge(self.policy, &intent, gas, &book);
            let mut paid = None;
            if verdict.decision() == Decision::Allow {
                book = match &intent {
                    Intent::Transfer(pay) => book.paid(pay.to, pay.amount, 0),
                    _ => book.used(&call.function, 0, 0),
                };
                if let Some(order) = order {
                    paid = Some(order.recipient.clone());
                    if call.function != "send_money" {
                        orders.retain(|other| other.id != order.id);
                        orders.push(order);
                    }
                }
            }
            steps.push(Step { author, call, verdict, paid });
        }
        steps
    }

    /// A call as an intent. A standing order is judged as a payment of what it would pay, to whom
    /// it would pay it; when its day comes, the payment itself is an intent again.
    fn intent(&self, call: &Call, orders: &[Order], labels: Labels) -> (Intent, Option<Order>) {
        let text = |name: &str| call.args.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = call.args.get("id").and_then(Value::as_i64);
        let order = match (call.function.as_str(), id) {
            ("send_money" | "schedule_transaction", _) => None,
            ("update_scheduled_transaction", Some(id)) => {
                orders.iter().find(|order| order.id == id).cloned()
            }
            _ => return (Intent::Tool(tool(call, labels)), None),
        };
        let mut order = order.unwrap_or_default();
        order.recipient = text("recipient").unwrap_or(order.recipient);
        let amount = call.args.get("amount").and_then(Value::as_str);
        order.amount = amount.map_or(order.amount, str::to_owned);
        let (payee, to) = self.payee(&order.recipient);
        order.recipient = to;
        let (to, amount) = (address(&order.recipient), eur(&order.amount));
        (Intent::Transfer(Transfer { payee, to, amount, labels }), Some(order))
    }

    /// Whom a recipient means: the payee with this account, the only payee with this word in its
    /// name, or a stranger, who goes by the account or under a known name.
    fn payee(&self, recipient: &str) -> (String, String) {
        let payees = self.environment.payees();
        let known = payees.iter().find(|(_, iban)| *iban == recipient);
        let mut named = payees.iter().filter(|(name, _)| name.split('-').any(|w| w == recipient));
        match (known, named.next(), named.next()) {
            (Some((name, iban)), ..) | (None, Some((name, iban)), None) => {
                (name.clone(), iban.clone())
            }
            _ => (self.disguise.unwrap_or(recipient).to_owned(), recipient.to_owned()),
        }
    }

    /// What is told of a call's origin.
    fn labels(&self, author: Author, call: &Call, read: &mut Labels) -> Labels {
        let found = match call.function.as_str() {
            "read_file" => Some(Label::Peer("the file's author".to_owned())),
            name if name.starts_with("get_") => Some(Label::Chain),
            _ => None,
        };
        let mut labels = read.clone();
        if author == Author::Attacker {
            labels = labels.with(Label::Web("attacker.example".to_owned()));
        }
        if self.told == Told::ByContext {
            // The history holds subjects that others wrote; and it all went through a model.
            labels = labels.with(Label::Model);
            if call.function == "get_most_recent_transactions" {
                *read = std::mem::take(read).with(Label::Peer("who paid the owner".to_owned()));
            }
        }
        *read = std::mem::take(read).join(&found.into_iter().fold(Labels::default(), Labels::with));
        if self.told == Told::Nothing { Labels::default() } else { labels }
    }
}

fn tool(call: &Call, labels: Labels) -> ToolUse {
    let argument = |value: &Value| match value {
        Value::Bool(flag) => Argument::Flag(*flag),
        Value::Number(number) if number.is_i64() => Argument::Integer(number.as_i64().unwrap()),
        Value::String(text) => Argument::Text(text.clone()),
        other => Argument::Text(other.to_string()),
    };
    let arguments: BTreeMap<String, Argument> =
        call.args.iter().map(|(name, value)| (name.clone(), argument(value))).collect();
    ToolUse { tool: call.function.clone(), fetch: None, arguments, labels }
}

/// In which order a fooled mind does its own work and the attacker's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    UserFirst,
    AttackerFirst,
    Alternating,
}

/// The calls of a pair in one sequence.
pub(crate) fn sequence(user: &Task, attacker: &Task, how: Turn) -> Vec<(Author, Call)> {
    let all = |task: &Task, author| -> Vec<(Author, Call)> {
        task.calls.iter().map(|call| (author, call.clone())).collect()
    };
    let (user, attacker) = (all(user, Author::User), all(attacker, Author::Attacker));
    match how {
        Turn::UserFirst => [user, attacker].concat(),
        Turn::AttackerFirst => [attacker, user].concat(),
        Turn::Alternating => {
            let (mut user, mut attacker) = (user.into_iter(), attacker.into_iter());
            let mut calls = Vec::new();
            loop {
                let pair = [user.next(), attacker.next()];
                if pair.iter().all(Option::is_none) {
                    return calls;
                }
                calls.extend(pair.into_iter().flatten());
            }
        }
    }
}
