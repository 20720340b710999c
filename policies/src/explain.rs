//! A policy read aloud, and a verdict as a table: what an owner looks at before signing.
//!
//! [`read_aloud`] says everything that the policy permits; what it does not say is refused.

use crate::{
    document::{Asset, DAY, Finality, HOUR, Limits, Payee, Policy, Tool},
    money::{AssetId, Money},
    verdict::{Mark, Verdict},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// The policy in sentences, a paragraph a subject. Ends with a new line.
#[must_use]
pub fn read_aloud(policy: &Policy) -> String {
    let mut lines =
        vec![format!("Version {}, written for the owner {}.", policy.version, policy.owner)];
    lines.push(String::new());
    for (name, chain) in &policy.chains {
        let finality = match chain.finality {
            Finality::Safe => "once the chain calls it safe".to_owned(),
            Finality::Finalized => "once the chain calls it final".to_owned(),
            Finality::Confirmations(blocks) => format!("{blocks} blocks later"),
        };
        lines.push(format!(
            "On {name} (chain {}) the steward asks {}; a payment is final {finality}.",
            chain.id,
            chain.rpc.join(" and "),
        ));
    }
    lines.push(String::new());
    spending(policy, &mut lines);
    lines.push(String::new());
    if policy.payees.is_empty() {
        lines.push("It may pay nobody.".to_owned());
    }
    for (name, payee) in &policy.payees {
        lines.push(payee_aloud(policy, name, payee));
    }
    if policy.tools.is_empty() {
        lines.push("It may use no tool.".to_owned());
    }
    for (name, tool) in &policy.tools {
        lines.push(tool_aloud(name, tool));
    }
    if !policy.income.is_empty() {
        let names: Vec<&str> = policy.income.iter().filter_map(|id| name(policy, *id)).collect();
        lines.push(format!("It may be paid in {}.", list(&names)));
    }
    lines.push(
        "It may always return money to the owner, as far as the limits on transaction fees go."
            .to_owned(),
    );
    lines.push("Everything else is refused.".to_owned());
    lines.join("\n") + "\n"
}

fn spending(policy: &Policy, lines: &mut Vec<String>) {
    for (asset_name, Asset { id, .. }) in &policy.assets {
        let fees = policy.gas.get(id).or_else(|| policy.limits.get(id));
        match (policy.limits.get(id), fees) {
            (Some(limits), _) => {
                lines.push(limits_aloud(policy, "The agent may spend", *id, limits));
                lines.extend(asks_aloud(policy, *id, limits));
            }
            (None, Some(limits)) => {
                let start = "For transaction fees the agent may spend";
                lines.push(limits_aloud(policy, start, *id, limits));
                lines.extend(asks_aloud(policy, *id, limits));
            }
            (None, None) => lines.push(format!("The agent may not spend {asset_name}.")),
        }
    }
    let mut together = |all: &BTreeMap<AssetId, Limits>, start: &str| {
        for (id, limits) in all {
            lines.push(limits_aloud(policy, start, *id, limits));
        }
    };
    together(&policy.owner_limits, "All agents of the owner together may spend");
    together(&policy.owner_gas, "For transaction fees all agents together may spend");
}

fn limits_aloud(policy: &Policy, start: &str, asset: AssetId, limits: &Limits) -> String {
    let show = |units: U256| policy.show(Money::new(units, asset));
    let mut parts: Vec<String> = Vec::new();
    parts.extend(limits.payment.map(|units| format!("{} in one payment", show(units))));
    for (_, width, units) in limits.windows() {
        parts.push(match width {
            Some(HOUR) => format!("{} in any hour", show(units)),
            Some(DAY) => format!("{} in any day", show(units)),
            Some(_) => format!("{} in any 30 days", show(units)),
            None => format!("{} ever", show(units)),
        });
    }
    if parts.is_empty() {
        let name = name(policy, asset).unwrap_or("the asset");
        return format!("{start} {name} without a limit.");
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    format!("{start} at most {}.", list(&parts))
}

fn asks_aloud(policy: &Policy, asset: AssetId, limits: &Limits) -> Vec<String> {
    let show = |units: U256| policy.show(Money::new(units, asset));
    let mut lines = Vec::new();
    lines.extend(
        limits.ask_above.map(|units| format!("It asks before a payment above {}.", show(units))),
    );
    lines.extend(limits.ask_above_day.map(|units| {
        format!("It asks before a payment that brings a payee above {} in a day.", show(units))
    }));
    lines
}

fn payee_aloud(policy: &Policy, name: &str, payee: &Payee) -> String {
    let who = match &payee.identity {
        Some(pin) => format!(
            ", agent {} on chain {}, as long as {} owns it and its wallet is {}",
            pin.agent_id,
            pin.chain,
            pin.owner,
            payee.address.unwrap_or_default()
        ),
        None => format!(" at {}", payee.address.unwrap_or_default()),
    };
    let mut line = format!("It may pay {name}{who}");
    if let Some(host) = &payee.host {
        line.push_str(&format!(", when {host} asks for it"));
    }
    let limits: Vec<String> = payee
        .bound
        .into_iter()
        .flat_map(|bound| {
            [
                (bound.limits.payment, "in one payment"),
                (bound.limits.day, "in any day"),
                (bound.limits.total, "ever"),
            ]
            .into_iter()
            .filter_map(|(limit, what)| {
                limit.map(|limit| format!("{} {what}", policy.show(Money::new(limit, bound.asset))))
            })
            .collect::<Vec<_>>()
        })
        .collect();
    if !limits.is_empty() {
        let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
        line.push_str(&format!(", at most {}", list(&limits)));
    }
    line.push('.');
    line
}

fn tool_aloud(name: &str, tool: &Tool) -> String {
    let mut line = format!("It may use {name}");
    if !tool.hosts.is_empty() {
        let hosts: Vec<String> = tool
            .hosts
            .iter()
            .map(|host| match host.strip_prefix("*.") {
                Some(base) => format!("any host below {base}"),
                None => host.clone(),
            })
            .collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        line.push_str(&format!(", reaching {}", list(&hosts)));
    } else {
        line.push_str(", reaching no host");
    }
    if let Some((most, width)) = tool.rate {
        line.push_str(&format!(", {most} times {}", per(width)));
    }
    if let Some((most, width)) = tool.sends {
        line.push_str(&format!(", sending at most {} {}", bytes(most), per(width)));
    }
    line.push('.');
    line
}

fn name(policy: &Policy, asset: AssetId) -> Option<&str> {
    policy.asset(asset).map(|(name, _)| name)
}

/// `a`, `a and b`, `a, b and c`.
fn list(parts: &[&str]) -> String {
    match parts.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A window's width as people say it.
pub(crate) fn per(width: u64) -> String {
    match width {
        1_000 => "a second".to_owned(),
        60_000 => "a minute".to_owned(),
        HOUR => "an hour".to_owned(),
        DAY => "a day".to_owned(),
        _ => format!("in {width} ms"),
    }
}

/// A number of bytes in the largest binary unit that keeps it whole.
fn bytes(count: u64) -> String {
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, size)| count >= *size && count.is_multiple_of(*size))
        .map_or_else(|| format!("{count} bytes"), |(unit, size)| format!("{} {unit}", count / size))
}

/// The verdict as a table in plain text: the answer first, then a line a rule, failures and
/// questions with their mending. Ends with a new line.
#[must_use]
pub fn render_table(verdict: &Verdict) -> String {
    let width = |of: fn(&crate::verdict::Row) -> &str| {
        verdict.table.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let rule_width = width(|row| &row.rule);
    let measured_width = width(|row| &row.measured);
    let mut text = match verdict.decision() {
        crate::verdict::Decision::Allow => "allowed\n".to_owned(),
        crate::verdict::Decision::Hold => "held for the owner\n".to_owned(),
        crate::verdict::Decision::Refuse => "refused\n".to_owned(),
    };
    for row in &verdict.table {
        let mark = match row.mark {
            Mark::Pass => "pass",
            Mark::Ask => "ask ",
            Mark::Fail => "FAIL",
        };
        text.push_str(&format!(
            "  {mark}  {:<rule_width$}  {:<measured_width$}  limit {}\n",
            row.rule, row.measured, row.limit
        ));
        if let Some(mend) = &row.mend {
            text.push_str(&format!("        {mend}\n"));
        }
    }
    text
}
