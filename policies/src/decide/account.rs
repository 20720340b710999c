//! The accounts that one payment and its fees are debited to: the task, the agent, all agents of
//! the owner together, and the account below the agent, if one proposes.
//!
//! INVARIANT: an account only ever adds rules, so one that is below another can never spend what
//! the upper one may not (pinned by `tests/suite/decide/accounts.rs`,
//! `a_sub_agent_is_bound_by_everything_that_binds_the_agent`).

use super::{Judge, limits::Debits};
use crate::{
    document::Limits,
    ledger::Scope,
    money::{AssetId, Money},
};
use alloy_primitives::{Address, U256};
use std::collections::BTreeMap;

/// One of the accounts.
struct Account<'a> {
    /// The path of its limits in the policy.
    path: String,
    limits: &'a BTreeMap<AssetId, Limits>,
    /// Limits on fees; `None` for an account in which fees do not count.
    gas: Option<&'a BTreeMap<AssetId, Limits>>,
    scope: Scope<'a>,
    /// Whether an asset without limits may not be spent.
    closed: bool,
}

impl<'a> Judge<'a> {
    fn task(&self) -> Account<'a> {
        Account {
            path: "task.limits".to_owned(),
            limits: &self.policy.task_limits,
            gas: None,
            scope: Scope::Task(self.request.task),
            closed: false,
        }
    }

    fn agent(&self) -> Account<'a> {
        Account {
            path: "limits".to_owned(),
            limits: &self.policy.limits,
            gas: Some(&self.policy.gas),
            scope: Scope::Agent,
            closed: true,
        }
    }

    fn owner(&self) -> Account<'a> {
        Account {
            path: "owner.limits".to_owned(),
            limits: &self.policy.owner_limits,
            gas: Some(&self.policy.owner_gas),
            scope: Scope::Owner,
            closed: false,
        }
    }

    fn below(&self) -> Option<Account<'a>> {
        let (name, sub_agent) = self.sub_agent?;
        Some(Account {
            path: format!("sub_agent.{name}.limits"),
            limits: &sub_agent.limits,
            gas: Some(&sub_agent.gas),
            scope: Scope::SubAgent(name),
            closed: true,
        })
    }

    /// What the task, the agent and all agents together may spend. `fees` are those of a native
    /// transfer, which leave the same windows.
    pub(super) fn spending(&mut self, to: Address, payment: Money, fees: U256) {
        self.debit(&self.task(), payment, fees);
        self.debit(&self.agent(), payment, fees);
        let asset = payment.asset;
        if let Some(limit) = self.policy.limits.get(&asset).and_then(|own| own.ask_above_day) {
            let path = format!("limits.{}", self.asset_name(asset));
            self.ask_above_day(&path, Money::new(limit, asset), to, payment);
        }
        self.debit(&self.owner(), payment, fees);
    }

    /// What the account below the agent may spend.
    pub(super) fn spending_below(&mut self, payment: Money, fees: U256) {
        if let Some(below) = self.below() {
            self.debit(&below, payment, fees);
        }
    }

    fn debit(&mut self, account: &Account<'_>, payment: Money, fees: U256) {
        let asset = payment.asset;
        match account.limits.get(&asset) {
            Some(limits) => {
                let path = format!("{}.{}", account.path, self.asset_name(asset));
                let debits = Debits::Of(account.scope.clone());
                self.limits(&path, (limits, asset), &debits, payment, fees);
            }
            None if account.closed => {
                let path = format!("{}.{}", account.path, self.asset_name(asset));
                let (measured, mend) = (self.policy.show(payment), format!("add `[{path}]`"));
                self.check(path, false, measured, "nothing at all".to_owned(), || mend);
            }
            None => {}
        }
    }

    /// Whether the fees are known, for an intent that is carried out by a transaction.
    pub(super) fn fees_known(&mut self, chain: u64, gas: Option<Money>) {
        let native = AssetId::native(chain);
        let measured = gas.map_or_else(|| "unknown".to_owned(), |gas| self.policy.show(gas));
        self.check(
            "gas.known",
            gas.is_some_and(|gas| gas.asset == native),
            measured,
            format!("fees in the native coin of eip155:{chain}"),
            || "try again once the chain has answered what the transaction costs".to_owned(),
        );
    }

    /// Fees against the limits on fees of every account.
    pub(super) fn fees(&mut self, gas: Option<Money>) {
        self.fees_beside(None, gas);
    }

    /// The same for a payment in `paid`: an account whose section for that asset has judged the
    /// fees with the payment does not judge them again.
    pub(super) fn fees_beside(&mut self, paid: Option<AssetId>, gas: Option<Money>) {
        let Some(gas) = gas else { return };
        let accounts = [Some(self.agent()), Some(self.owner()), self.below()];
        for account in accounts.into_iter().flatten() {
            if paid != Some(gas.asset) || !account.limits.contains_key(&gas.asset) {
                self.debit_fees(&account, gas);
            }
        }
    }

    /// Fees are judged by the limits on fees, or by those of the native asset itself.
    fn debit_fees(&mut self, account: &Account<'_>, gas: Money) {
        let asset = gas.asset;
        let fees = account.gas.and_then(|gas| gas.get(&asset)).map(|limits| ("gas", limits));
        let own = || account.limits.get(&asset).map(|limits| (self.asset_name(asset), limits));
        match fees.or_else(own) {
            Some((name, limits)) => {
                let path = format!("{}.{name}", account.path);
                let debits = Debits::Of(account.scope.clone());
                self.limits(&path, (limits, asset), &debits, gas, U256::ZERO);
            }
            None if account.closed => {
                let path = format!("{}.gas", account.path);
                let mend = format!("add `[{path}]`, for example with `day = \"0.002 ETH\"`");
                let measured = self.policy.show(gas);
                self.check(path, false, measured, "no fees at all".to_owned(), || mend);
            }
            None => {}
        }
    }
}
