//! Who may be paid, by which request, and how much.

use super::{Judge, labels::Asking, limits::Debits, quoted};
use crate::{
    document::{Bound, Payee, Policy},
    explain::list_all,
    host,
    intent::{Authorise, Transfer},
    ledger::{Ledger, Scope},
    money::Money,
};
use alloy_primitives::{Address, U256};

/// A payment, whichever way it is made.
#[derive(Clone, Copy)]
pub(super) struct Payment<'a> {
    /// Whom the mind names.
    pub(super) payee: &'a str,
    /// Who is to receive the money.
    pub(super) to: Address,
    pub(super) amount: Money,
    /// The host that asks for it; none asks for a transfer.
    pub(super) asked_by: Option<&'a str>,
}

impl<'a> Judge<'a> {
    /// An EIP-3009 authorisation that a host asked for.
    pub(super) fn authorise(&mut self, pay: &Authorise, gas: Option<Money>) {
        let Authorise { payee, to, amount, host, .. } = pay;
        let payment = Payment { payee, to: *to, amount: *amount, asked_by: Some(host) };
        self.positive(payment.amount);
        self.asset_known(payment.amount.asset);
        self.domain_known(payment.amount.asset);
        let asking = self.paid(payment, U256::ZERO);
        self.labels(&pay.labels, asking);
        self.fees(gas);
    }

    /// A transfer in a transaction of our own.
    pub(super) fn transfer(&mut self, pay: &Transfer, gas: Option<Money>) {
        let Transfer { payee, to, amount, .. } = pay;
        let payment = Payment { payee, to: *to, amount: *amount, asked_by: None };
        let asset = payment.amount.asset;
        self.positive(payment.amount);
        self.asset_known(asset);
        // INVARIANT: a native transfer and its fees leave one budget, so their sum must fit
        // (pinned by `tests/suite/decide.rs`, `a_native_transfer_and_its_fees_must_fit_together`).
        let shared = gas.filter(|gas| gas.asset == asset);
        let asking = self.paid(payment, shared.map_or(U256::ZERO, |gas| gas.units));
        self.labels(&pay.labels, asking);
        self.fees_known(asset.chain, gas);
        self.fees_beside(Some(asset), gas);
    }

    /// The rules of whom is paid and of every account that is debited.
    pub(super) fn paid<'p>(&mut self, payment: Payment<'p>, fees: U256) -> Asking<'p> {
        let policy = self.policy;
        let payee = policy.payees.get_key_value(payment.payee);
        let pool = policy.pools.get(&payment.amount.asset);
        let asking = match (payee, pool) {
            (None, Some(pool)) => {
                self.peer(payment, pool);
                Asking::peer(payment.asked_by)
            }
            _ => {
                let known = list_all(policy.payees.keys().map(String::as_str));
                let named = quoted(payment.payee);
                self.check("payee.known", payee.is_some(), named, known, || {
                    "have the owner add a [[payee]] to the policy".to_owned()
                });
                match payee {
                    Some((name, payee)) => {
                        self.payee(name, payee, payment);
                        Asking::payee(payment.asked_by, payee)
                    }
                    None => Asking::stranger(payment.asked_by),
                }
            }
        };
        self.spending(payment.to, payment.amount, fees);
        if let Some((name, sub_agent)) = self.sub_agent {
            self.check(
                format!("sub_agent.{name}.payees"),
                payee.is_some() && sub_agent.payees.contains(payment.payee),
                quoted(payment.payee),
                list_or(&sub_agent.payees, "no payee"),
                || format!("add the payee to `payees` of [sub_agent.{name}]"),
            );
            self.spending_below(payment.amount, fees);
        }
        asking
    }

    /// The rules of one payee of the policy.
    fn payee(&mut self, name: &str, payee: &'a Payee, payment: Payment<'_>) {
        let Payment { to, amount, asked_by, .. } = payment;
        let path = format!("payee.{name}");
        self.address(&path, payee, payment);
        self.identity(&path, name, payee);
        if let Some(host) = &payee.host
            && (asked_by.is_some() || address_of(payee, self.ledger).is_none())
        {
            self.check(
                format!("{path}.host"),
                asked_by.is_some_and(|asked_by| host::matches(host, asked_by)),
                asked_by.map_or_else(|| "no host asks".to_owned(), quoted),
                host.clone(),
                || "only the host in the policy may ask for this payee's money".to_owned(),
            );
        }
        self.during(format!("{path}.times"), &payee.times);
        if let Some(Bound { asset, limits }) = &payee.bound {
            let debits = Debits::Of(Scope::Payee(to));
            self.limits(&path, (limits, *asset), &debits, amount, U256::ZERO);
            if let Some(limit) = limits.ask_above_day {
                self.ask_above_day(&path, Money::new(limit, *asset), to, amount);
            }
        }
        self.delivery(&path, to);
        if let Some((name, Bound { asset, limits })) = category(self.policy, payee) {
            let debits = Debits::To(members(self.policy, name, self.ledger, Some(to)));
            let path = format!("category.{name}");
            self.limits(&path, (limits, *asset), &debits, amount, U256::ZERO);
        }
    }

    /// Where the money may go: the policy's address, or the one that the owner pinned by approving
    /// the first payment to a payee that the policy knows by its host alone.
    fn address(&mut self, path: &str, payee: &Payee, payment: Payment<'_>) {
        let Some(address) = address_of(payee, self.ledger) else {
            let mut measured = format!("nothing was ever paid; it asks for {}", payment.to);
            let mut payees = self.policy.payees.iter();
            if let Some((name, _)) =
                payees.find(|(_, other)| address_of(other, self.ledger) == Some(payment.to))
            {
                measured.push_str(&format!(", which is {name}"));
            }
            let limit = "an address that the owner has approved".to_owned();
            self.ask(format!("{path}.pinned"), true, measured, limit);
            return;
        };
        let limit = address.to_string();
        let same = payment.to == address;
        let measured = if same { limit.clone() } else { payment.to.to_string() };
        let pinned = payee.address.is_none();
        self.check(format!("{path}.address"), same, measured, limit, || {
            let whose = if pinned { "that the owner approved" } else { "in the policy" };
            format!("only the address {whose} may be paid")
        });
    }

    /// A payee that is pinned by its ERC-8004 id must still be who it was.
    fn identity(&mut self, path: &str, name: &str, payee: &Payee) {
        let (Some(pin), Some(wallet)) = (&payee.identity, payee.address) else { return };
        let found = self.ledger.resolved(name);
        let same = found.is_some_and(|id| id.owner == pin.owner && id.wallet == wallet);
        let measured = match found {
            Some(id) => format!("owner {}, wallet {}", id.owner, id.wallet),
            None => "the registry has not answered".to_owned(),
        };
        let limit = format!("agent {}: owner {}, wallet {wallet}", pin.agent_id, pin.owner);
        self.check(format!("{path}.identity"), same, measured, limit, || match found {
            Some(_) => "the identity changed hands; have the owner look at it".to_owned(),
            None => "try again once the registry can be reached".to_owned(),
        });
    }

    /// Who took the money and did not deliver is paid again when the owner says so.
    pub(super) fn delivery(&mut self, path: &str, to: Address) {
        let owes = self.ledger.owes_delivery(to);
        let measured = if owes { "took money and did not deliver" } else { "delivered so far" };
        let rule = format!("{path}.delivery");
        self.ask(rule, owes, measured.to_owned(), "delivers".to_owned());
    }
}

/// Where a payee's money goes: the policy's address, or the one that the owner pinned.
pub(crate) fn address_of(payee: &Payee, ledger: &dyn Ledger) -> Option<Address> {
    payee.address.or_else(|| ledger.pinned(payee.host.as_deref()?))
}

/// The limits of a payee's category, if it has some.
fn category<'a>(policy: &'a Policy, payee: &Payee) -> Option<(&'a str, &'a Bound)> {
    let (name, bound) = policy.categories.get_key_value(payee.category.as_deref()?)?;
    Some((name, bound))
}

/// The addresses of a category's payees, and `to`, each once.
pub(crate) fn members(
    policy: &Policy,
    category: &str,
    ledger: &dyn Ledger,
    to: Option<Address>,
) -> Vec<Address> {
    let payees = policy.payees.values();
    let payees = payees.filter(|payee| payee.category.as_deref() == Some(category));
    let mut addresses: Vec<Address> =
        payees.filter_map(|payee| address_of(payee, ledger)).chain(to).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// `a, b, c`, or a word for none.
pub(super) fn list_or<'n, I>(names: I, none: &'static str) -> String
where
    I: IntoIterator<Item = &'n String, IntoIter: Clone>,
{
    let names = list_all(names.into_iter().map(String::as_str));
    if names.is_empty() { none.to_owned() } else { names }
}
