//! Who may be paid, and what may be used.

use super::{
    accounts::{asks, at_most},
    words::{bytes, constraint, either, hours, list, per},
};
use crate::document::{Payee, Policy, Tool};

/// A sentence a payee, and what is asked about it.
pub(super) fn payee(policy: &Policy, name: &str, payee: &Payee, lines: &mut Vec<String>) {
    let mut line = format!("It may pay {name}");
    match (&payee.identity, payee.address) {
        (Some(pin), Some(wallet)) => line.push_str(&format!(
            ", agent {} on chain {}, as long as {} owns it and its wallet is {wallet}",
            pin.agent_id, pin.chain, pin.owner,
        )),
        (_, Some(address)) => line.push_str(&format!(" at {address}")),
        (_, None) => {}
    }
    if let Some(host) = &payee.host {
        line.push_str(&format!(", when {host} asks for it"));
    }
    if payee.address.is_none() {
        line.push_str(", at the address that the owner approves with the first payment");
    }
    if let Some(category) = &payee.category {
        line.push_str(&format!(", in the category {category}"));
    }
    if let Some(bound) = &payee.bound {
        let parts = at_most(policy, bound.asset, &bound.limits);
        if !parts.is_empty() {
            line.push_str(&format!(", at most {}", list(&parts)));
        }
    }
    if !payee.times.is_always() {
        line.push_str(&format!(", only {}", hours(&payee.times)));
    }
    lines.push(line + ".");
    if let Some(bound) = &payee.bound {
        asks(policy, &format!("a payment to {name}"), "it", bound.asset, &bound.limits, lines);
    }
}

/// A sentence a tool, and what is made of its arguments.
pub(super) fn tool(name: &str, tool: &Tool, lines: &mut Vec<String>) {
    let mut line = format!("It may use {name}");
    if tool.hosts.is_empty() {
        line.push_str(", reaching no host");
    } else {
        let host = |host: &String| match host.strip_prefix("*.") {
            Some(base) => format!("any host below {base}"),
            None => host.clone(),
        };
        let hosts: Vec<String> = tool.hosts.iter().map(host).collect();
        line.push_str(&format!(", reaching {}", list(&hosts)));
        if !tool.methods.is_empty() {
            let methods: Vec<&String> = tool.methods.iter().collect();
            line.push_str(&format!(" by {} only", either(&methods)));
        }
    }
    if let Some((most, width)) = tool.rate {
        line.push_str(&format!(", {most} times {}", per(width)));
    }
    if let Some((most, width)) = tool.sends {
        line.push_str(&format!(", sending at most {} {}", bytes(most), per(width)));
    }
    if !tool.times.is_always() {
        line.push_str(&format!(", only {}", hours(&tool.times)));
    }
    lines.push(line + ".");
    for (argument, wanted) in &tool.arguments {
        lines.push(format!("Its `{argument}` must be {}.", constraint(wanted)));
    }
    super::arguments(name, &tool.labels, lines);
}

/// `a and b`, or a word for none.
pub(super) fn nobody(names: &std::collections::BTreeSet<String>, none: &str) -> String {
    if names.is_empty() {
        return none.to_owned();
    }
    list(&names.iter().collect::<Vec<_>>())
}
