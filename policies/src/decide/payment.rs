//! Who may be paid, by which request, and how much.

use super::{Judge, quoted};
use crate::{
    document::{Bound, Payee},
    host,
    intent::{Authorise, Label, Labels, Transfer},
    ledger::Scope,
    money::Money,
};
use alloy_primitives::{Address, U256};

impl Judge<'_> {
    /// An EIP-3009 authorisation that a host asked for.
    pub(super) fn authorise(&mut self, pay: &Authorise) {
        self.positive(pay.amount);
        self.asset_known(pay.amount.asset);
        self.domain_known(pay.amount.asset);
        self.payee(&pay.payee, pay.to, pay.amount, Some(&pay.host));
        self.spending(pay.to, pay.amount, U256::ZERO);
        self.labels(&pay.labels, &pay.payee, Some(&pay.host));
    }

    /// A transfer in a transaction of our own.
    pub(super) fn transfer(&mut self, pay: &Transfer, gas: Option<Money>) {
        let asset = pay.amount.asset;
        self.positive(pay.amount);
        self.asset_known(asset);
        self.payee(&pay.payee, pay.to, pay.amount, None);
        // INVARIANT: a native transfer and its fees leave one budget, so their sum must fit
        // (pinned by `tests/suite/decide.rs`, `a_native_transfer_and_its_fees_must_fit_together`).
        let shared = gas.filter(|gas| gas.asset == asset);
        self.spending(pay.to, pay.amount, shared.map_or(U256::ZERO, |gas| gas.units));
        self.labels(&pay.labels, &pay.payee, None);
        self.gas_known(asset.chain, gas);
        let policy = self.policy;
        if shared.is_none() || !policy.limits.contains_key(&asset) {
            self.agent_gas(gas);
        }
        if shared.is_none() || !policy.owner_limits.contains_key(&asset) {
            self.owner_gas(gas);
        }
    }

    /// The rules of one payee.
    fn payee(&mut self, name: &str, to: Address, amount: Money, asked_by: Option<&str>) {
        let policy = self.policy;
        let payee = policy.payees.get(name);
        let known: Vec<&str> = policy.payees.keys().map(String::as_str).collect();
        self.check("payee.known", payee.is_some(), quoted(name), known.join(", "), || {
            "have the owner add a [[payee]] to the policy".to_owned()
        });
        let Some(payee) = payee else { return };
        let path = format!("payee.{name}");
        self.check(
            format!("{path}.address"),
            Some(to) == payee.address,
            to.to_string(),
            payee.address.map_or_else(String::new, |address| address.to_string()),
            || "only the address in the policy may be paid".to_owned(),
        );
        self.identity(&path, name, payee);
        if let (Some(asked_by), Some(host)) = (asked_by, &payee.host) {
            self.check(
                format!("{path}.host"),
                host::matches(host, asked_by),
                quoted(asked_by),
                host.clone(),
                || "only the host in the policy may ask for this payee's money".to_owned(),
            );
        }
        if let Some(Bound { asset, limits }) = payee.bound {
            if let Some(limit) = limits.payment {
                self.at_most(format!("{path}.payment"), amount, Money::new(limit, asset));
            }
            for (kind, width, limit) in limits.windows() {
                let rule = format!("{path}.{kind}");
                let limit = Money::new(limit, asset);
                self.window(rule, Scope::Payee(to), width, (amount, U256::ZERO), limit);
            }
        }
        let owes = self.ledger.owes_delivery(to);
        let measured = if owes { "took money and did not deliver" } else { "delivered so far" };
        self.ask(format!("{path}.delivery"), owes, measured.to_owned(), "delivers".to_owned());
    }

    /// A payee that is pinned by its ERC-8004 id must still be who it was.
    fn identity(&mut self, path: &str, name: &str, payee: &Payee) {
        let Some(pin) = &payee.identity else { return };
        let found = self.ledger.resolved(name);
        let same =
            found.is_some_and(|id| id.owner == pin.owner && Some(id.wallet) == payee.address);
        let measured = match found {
            Some(id) => format!("owner {}, wallet {}", id.owner, id.wallet),
            None => "the registry has not answered".to_owned(),
        };
        let limit =
            format!("agent {}: owner {}, wallet {:?}", pin.agent_id, pin.owner, payee.address);
        self.check(format!("{path}.identity"), same, measured, limit, || match found {
            Some(_) => "the identity changed hands; have the owner look at it".to_owned(),
            None => "try again once the registry can be reached".to_owned(),
        });
    }

    /// What this agent and what all agents together may spend.
    fn spending(&mut self, to: Address, payment: Money, fees: U256) {
        let policy = self.policy;
        let asset = payment.asset;
        let name = self.asset_name(asset).to_owned();
        let path = format!("limits.{name}");
        match policy.limits.get(&asset) {
            None => {
                let measured = policy.show(payment);
                let mend = format!("add `[limits.{name}]`");
                self.check(path, false, measured, "nothing at all".to_owned(), || mend);
            }
            Some(limits) => {
                self.limits(&path, limits, Scope::Agent, payment, fees);
                if let Some(limit) = limits.ask_above_day {
                    self.ask_above_day(&path, limit, to, payment);
                }
            }
        }
        if let Some(limits) = policy.owner_limits.get(&asset) {
            self.limits(&format!("owner.limits.{name}"), limits, Scope::Owner, payment, fees);
        }
    }

    /// Terms that came from outside are fine when the payee's own host asks for the money; else
    /// the owner is asked. Labels are the mind's word, so their absence proves nothing and gains
    /// nothing: every other rule still holds.
    fn labels(&mut self, labels: &Labels, payee: &str, asked_by: Option<&str>) {
        let payee_host = self.policy.payees.get(payee).and_then(|payee| payee.host.as_deref());
        let own_host = match (payee_host, asked_by) {
            (Some(host), Some(asked_by)) => host::matches(host, asked_by),
            _ => false,
        };
        let foreign: Vec<String> = labels.0.iter().filter_map(foreign).collect();
        let measured = if foreign.is_empty() {
            "the owner, the policy or the chain".to_owned()
        } else {
            foreign.join(", ")
        };
        let limit = "terms from the payee's own host, or not from outside".to_owned();
        self.ask("labels", !own_host && !foreign.is_empty(), measured, limit);
    }
}

/// How an origin that carries no authority is called.
fn foreign(label: &Label) -> Option<String> {
    match label {
        Label::Owner | Label::Policy | Label::Chain => None,
        Label::Model => Some("the model".to_owned()),
        Label::Memory => Some("memory".to_owned()),
        Label::Peer(peer) => Some(format!("agent {}", quoted(peer))),
        Label::Web(site) => Some(format!("web host {}", quoted(site))),
    }
}
