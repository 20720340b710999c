//! A witness in a sentence: `pay 0.60 USDC to feed: old refuses, new allows`.

use super::{Witness, case::Case, cases::Cases};
use crate::{
    document::{Given, Policy},
    explain::{bytes, duration, list, said},
    intent::{
        AcceptWallet, Authorise, Fetch, Intent, Label, Labels, PermitTransfer, Settle,
        SettlePermit, Sweep, ToolUse, Transfer,
    },
    money::Money,
    times::Moment,
    trial::say_given,
    verdict::Decision,
};
use alloy_primitives::{Address, U256};

/// The host that asks for a payment in a case unless the words say another one.
pub(super) const SHOP: &str = "shop.example";
/// The host of a peer.
pub(super) const PEER: &str = "peer.example";

/// What was found, in words and as it is.
pub(super) fn witness(cases: Cases<'_>, case: Case, old: Decision, new: Decision) -> Witness {
    let given: Vec<String> = case.given.iter().map(|(event, n)| told(cases, event, *n)).collect();
    let mut said = proposal(cases, &case);
    if let Some(age) = case.approved {
        said.push_str(&format!(", approved {} ago", duration(age)));
    }
    let minute = Moment::of(case.now).to_string();
    if minute != "mon 12:00" {
        said.push_str(&format!(", {minute} UTC"));
    }
    if case.as_of_old && matters(cases, &case) {
        said.push_str(", while the registry answers what the old policy pins");
    }
    if !given.is_empty() {
        said.push_str(&format!(", after: {}", given.join("; ")));
    }
    said.push_str(&format!(": old {}, new {}", says(old), says(new)));
    let Case { intent, gas, sub_agent, approved, now, .. } = case;
    Witness { intent, gas, sub_agent, approved, given, now, old, new, said }
}

/// Whether the two policies pin the payee to somebody else.
fn matters(cases: Cases<'_>, case: &Case) -> bool {
    let payee = |policy: &Policy| {
        let payee = policy.payees.get(case.payee()?)?;
        Some((payee.identity.clone()?, payee.address))
    };
    payee(cases.old) != payee(cases.new)
}

fn told(cases: Cases<'_>, event: &Given, times: u64) -> String {
    let said = say_given(naming(cases, event), event);
    if times == 1 { said } else { format!("{said}, {times} times") }
}

/// The policy that has the names in which something is told.
fn naming<'a>(cases: Cases<'a>, event: &Given) -> &'a Policy {
    match event {
        Given::Paid(paid) if cases.old.asset(paid.amount.asset).is_some() => cases.old,
        _ => cases.new,
    }
}

const fn says(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allows",
        Decision::Hold => "holds",
        Decision::Refuse => "refuses",
    }
}

fn proposal(cases: Cases<'_>, case: &Case) -> String {
    let show = |amount: Money| {
        let known = cases.new.asset(amount.asset).is_some();
        if known { cases.new.show(amount) } else { cases.old.show(amount) }
    };
    let mut text = match &case.intent {
        Intent::Tool(ToolUse { tool, fetch, arguments, labels: _ }) => {
            let mut text = format!("use {tool}");
            if let Some(Fetch { method, host, path, bytes_out }) = fetch {
                text.push_str(&format!(" to {method} {host}"));
                if path != "/" {
                    text.push_str(path);
                }
                if *bytes_out > 1 {
                    text.push_str(&format!(" sending {}", bytes(*bytes_out)));
                }
            }
            let with: Vec<String> =
                arguments.iter().map(|(name, value)| format!("{name}={}", said(value))).collect();
            if !with.is_empty() {
                text.push_str(&format!(" with {}", list(&with)));
            }
            text
        }
        Intent::Authorise(Authorise { payee, to, amount, host, .. })
        | Intent::PermitTransfer(PermitTransfer { payee, to, amount, host, .. }) => {
            let mut text = format!("pay {} to {payee}{}", show(*amount), at(cases, payee, *to));
            if !usual(cases, payee, host) {
                text.push_str(&format!(" because {host} asks for it"));
            }
            text
        }
        Intent::Transfer(Transfer { payee, to, amount, .. }) => {
            let how = if amount.asset.is_native() { "pay" } else { "transfer" };
            format!("{how} {} to {payee}{}", show(*amount), at(cases, payee, *to))
        }
        Intent::Settle(Settle { amount, to, .. })
        | Intent::SettlePermit(SettlePermit { charge: amount, to, .. }) => {
            let own = *to == crate::trial::Past::default().agent;
            if own {
                format!("collect {}", show(*amount))
            } else {
                format!("settle {} that somebody pays to {to}", show(*amount))
            }
        }
        Intent::AcceptWallet(AcceptWallet { chain, registry, owner, .. }) => {
            format!("become the wallet of an identity of {owner} in {registry} on eip155:{chain}")
        }
        Intent::Sweep(Sweep { amount }) => format!("return {}", show(*amount)),
        Intent::Cancel(_) => "cancel an authorisation".to_owned(),
        Intent::InvalidatePermit { .. } => "take a permit back".to_owned(),
        Intent::ApprovePermit2 { amount } => format!("approve Permit2 for {}", show(*amount)),
        Intent::Refill { amount } => format!("draw {} on the account", show(*amount)),
    };
    if let Some(fees) = case.gas.filter(|fees| fees.units > U256::ZERO) {
        text.push_str(&format!(" with fees of {}", show(fees)));
    }
    if let Some(name) = &case.sub_agent {
        text.push_str(&format!(" as {name}"));
    }
    if case.task != super::past::TASK {
        text.push_str(&format!(" in task {}", case.task));
    }
    let labels: Vec<String> =
        labels(&case.intent).into_iter().flat_map(|l| l.0.iter().map(label)).collect();
    if !labels.is_empty() {
        text.push_str(&format!(", with terms from {}", list(&labels)));
    }
    text
}

/// The address, where the name alone does not say it.
fn at(cases: Cases<'_>, payee: &str, to: Address) -> String {
    let entries = cases.entries(payee);
    let differ = entries.iter().any(|entry| entry.address.is_some_and(|address| address != to));
    if differ { format!(" at {to}") } else { String::new() }
}

/// Whether a host is the one that asks for this payee's money in both policies.
fn usual(cases: Cases<'_>, payee: &str, host: &str) -> bool {
    let entries = cases.entries(payee);
    let known = entries.iter().filter_map(|entry| entry.host.as_deref());
    let stranger = if entries.is_empty() { PEER } else { SHOP };
    known.clone().all(|own| own == host) && (known.count() > 0 || host == stranger)
}

fn labels(intent: &Intent) -> Option<&Labels> {
    match intent {
        Intent::Tool(used) => Some(&used.labels),
        Intent::Authorise(pay) => Some(&pay.labels),
        Intent::Transfer(pay) => Some(&pay.labels),
        Intent::PermitTransfer(pay) => Some(&pay.labels),
        Intent::Settle(_)
        | Intent::AcceptWallet(_)
        | Intent::Sweep(_)
        | Intent::Cancel(_)
        | Intent::InvalidatePermit { .. }
        | Intent::ApprovePermit2 { .. }
        | Intent::SettlePermit(_)
        | Intent::Refill { .. } => None,
    }
}

fn label(label: &Label) -> String {
    match label {
        Label::Owner => "the owner".to_owned(),
        Label::Policy => "the policy".to_owned(),
        Label::Chain => "the chain".to_owned(),
        Label::Model => "the model".to_owned(),
        Label::Memory => "memory".to_owned(),
        Label::Peer(peer) => format!("agent {peer}"),
        Label::Web(host) => format!("web host {host}"),
    }
}
