//! Warnings: rules that can never have an effect, and openings that an owner may not have meant.

use super::Spans;
use crate::{
    document::{Finality, Limits, Payee, Policy},
    error::{Source, Warning},
    money::{AssetId, Money},
};
use alloy_primitives::U256;
use std::collections::BTreeMap;

pub(super) fn warnings(source: Source<'_>, policy: &Policy, spans: &Spans) -> Vec<Warning> {
    let mut advice = Advice { source, policy, spans, warnings: Vec::new() };
    advice.chains();
    for (path, sections, gas) in [
        ("limits", &policy.limits, false),
        ("limits", &policy.gas, true),
        ("owner.limits", &policy.owner_limits, false),
        ("owner.limits", &policy.owner_gas, true),
    ] {
        for (asset, limits) in sections {
            let name = if gas { "gas" } else { policy.asset(*asset).map_or("?", |(name, _)| name) };
            advice.section(&format!("{path}.{name}"), *asset, limits);
        }
    }
    advice.below_owner("limits", &policy.limits, &policy.owner_limits);
    for (name, payee) in &policy.payees {
        advice.payee(name, payee);
    }
    advice.shared_addresses();
    advice.warnings.sort_by_key(|warning| (warning.line, warning.column));
    advice.warnings
}

struct Advice<'a> {
    source: Source<'a>,
    policy: &'a Policy,
    spans: &'a Spans,
    warnings: Vec<Warning>,
}

impl Advice<'_> {
    fn say(&mut self, rule: &str, message: String) {
        let start = 0..0;
        let span = self.spans.get(rule).unwrap_or(&start);
        self.warnings.push(self.source.warning(span, message));
    }

    fn chains(&mut self) {
        let policy = self.policy;
        for (name, chain) in &policy.chains {
            if chain.finality == Finality::Confirmations(0) {
                let message = format!(
                    "chain.{name}: with finality 0 a payment that the chain takes back still counts as final"
                );
                self.say(&format!("chain.{name}.finality"), message);
            }
            for endpoint in chain.rpc.iter().filter(|endpoint| !is_private(endpoint)) {
                let message = format!("chain.{name}: {endpoint} is asked without encryption");
                self.say(&format!("chain.{name}.rpc"), message);
            }
        }
    }

    /// Limits of one section that another one of it makes unreachable.
    fn section(&mut self, path: &str, asset: AssetId, limits: &Limits) {
        let windows: Vec<(&str, Option<u64>, U256)> = limits.windows().collect();
        for (at, (name, width, limit)) in windows.iter().enumerate() {
            for (longer, longer_width, longer_limit) in windows.iter().skip(at + 1) {
                if limit > longer_limit {
                    self.unreachable(path, name, *limit, longer, *longer_limit, asset);
                }
                // So many of the shorter windows fill the longer one.
                let (Some(width), Some(longer_width)) = (width, longer_width) else { continue };
                let filled = limit.saturating_mul(U256::from(longer_width / width));
                if filled < *longer_limit {
                    self.unreachable(path, longer, *longer_limit, name, *limit, asset);
                }
            }
        }
        let smallest = windows.iter().min_by_key(|(_, _, limit)| *limit);
        if let (Some(payment), Some((name, _, limit))) = (limits.payment, smallest)
            && payment > *limit
        {
            self.unreachable(path, "payment", payment, name, *limit, asset);
        }
        if let (Some(ask), Some(payment)) = (limits.ask_above, limits.payment)
            && ask >= payment
        {
            self.unreachable(path, "ask_above", ask, "payment", payment, asset);
        }
        if let (Some(ask), Some(day)) = (limits.ask_above_day, limits.day)
            && ask >= day
        {
            self.unreachable(path, "ask_above_day", ask, "day", day, asset);
        }
        if windows.is_empty() {
            let first = ["payment", "ask_above", "ask_above_day"];
            let rule = first.iter().map(|kind| format!("{path}.{kind}"));
            let rule = rule.into_iter().find(|rule| self.spans.contains_key(rule));
            let message = format!(
                "{path} has no limit on a sum (hour, day, days30 or total), so all of it can be spent in small payments"
            );
            self.say(&rule.unwrap_or_default(), message);
        }
    }

    fn unreachable(
        &mut self,
        path: &str,
        name: &str,
        limit: U256,
        by: &str,
        by_limit: U256,
        asset: AssetId,
    ) {
        let show = |units| self.policy.show(Money::new(units, asset));
        let message = format!(
            "{path}.{name} ({}) can never be reached: {path}.{by} ({}) comes first",
            show(limit),
            show(by_limit)
        );
        self.say(&format!("{path}.{name}"), message);
    }

    /// Limits of one agent above those of all agents together.
    fn below_owner(
        &mut self,
        path: &str,
        own: &BTreeMap<AssetId, Limits>,
        all: &BTreeMap<AssetId, Limits>,
    ) {
        for (asset, own) in own {
            let (Some(all), Some((name, _))) = (all.get(asset), self.policy.asset(*asset)) else {
                continue;
            };
            let pairs = [
                ("payment", own.payment, all.payment),
                ("hour", own.hour, all.hour),
                ("day", own.day, all.day),
                ("days30", own.days30, all.days30),
                ("total", own.total, all.total),
            ];
            for (kind, own, all) in pairs {
                if let (Some(own), Some(all)) = (own, all)
                    && own > all
                {
                    let show = |units| self.policy.show(Money::new(units, *asset));
                    let rule = format!("{path}.{name}.{kind}");
                    let message = format!(
                        "{rule} ({}) can never be reached: owner.{rule} ({}) comes first",
                        show(own),
                        show(all)
                    );
                    self.say(&rule, message);
                }
            }
        }
    }

    fn payee(&mut self, name: &str, payee: &Payee) {
        let policy = self.policy;
        let path = format!("payee.{name}");
        let bound = payee.bound;
        let limit = |of: fn(&Limits) -> Option<U256>| {
            bound.and_then(|bound| of(&bound.limits).map(|units| Money::new(units, bound.asset)))
        };
        let kinds = [
            ("payment", limit(|l| l.payment)),
            ("day", limit(|l| l.day)),
            ("total", limit(|l| l.total)),
        ];
        let written: Vec<(&str, Money)> = kinds
            .into_iter()
            .filter_map(|(kind, limit)| limit.map(|limit| (kind, limit)))
            .collect();
        for (at, (kind, limit)) in written.iter().enumerate() {
            for (longer, above) in written.iter().skip(at + 1) {
                if limit.units > above.units {
                    self.unreachable(&path, kind, limit.units, longer, above.units, limit.asset);
                }
            }
            let Some(own) = policy.limits.get(&limit.asset) else {
                let asset = policy.asset(limit.asset).map_or("?", |(name, _)| name);
                let message = format!(
                    "{path}.{kind}: nothing in {asset} may be spent without [limits.{asset}]"
                );
                self.say(&format!("{path}.{kind}"), message);
                continue;
            };
            let agent = match *kind {
                "payment" => own.payment,
                "day" => own.day,
                _ => own.total,
            };
            if let Some(agent) = agent.filter(|agent| limit.units > *agent) {
                let asset = policy.asset(limit.asset).map_or("?", |(name, _)| name);
                let message = format!(
                    "{path}.{kind} ({}) can never be reached: limits.{asset}.{kind} ({}) comes first",
                    policy.show(*limit),
                    policy.show(Money::new(agent, limit.asset))
                );
                self.say(&format!("{path}.{kind}"), message);
            }
        }
    }

    /// What was paid is counted by address, so two payees at one address share a budget.
    fn shared_addresses(&mut self) {
        let policy = self.policy;
        let mut first = BTreeMap::new();
        for (name, payee) in &policy.payees {
            if let Some(other) = first.insert(payee.address, name) {
                let message = format!(
                    "payee.{name} and payee.{other} have the same address, so they share what was paid"
                );
                self.say(&format!("payee.{name}"), message);
            }
        }
    }
}

/// Whether nobody on the way can read or change what this endpoint answers.
fn is_private(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_or_local_endpoints_are_private() {
        for private in ["https://rpc.example", "http://127.0.0.1:8545", "http://[::1]:8545"] {
            assert!(is_private(private), "{private}");
        }
        for open in ["http://rpc.example", "http://10.0.0.1:8545", "http://127.0.0.1.example"] {
            assert!(!is_private(open), "{open}");
        }
    }
}
