//! Whom the money goes to, who asked for it, and every account that pays.

use super::*;
use std::collections::BTreeSet;

/// Who pays whom: what of a payment is the same for both kinds.
pub(super) struct Payment<'a> {
    pub(super) payee: &'a str,
    pub(super) to: Address,
    pub(super) amount: Money,
    pub(super) units: u128,
    pub(super) coin: Option<Coin>,
    /// Which host asks; a transfer has none.
    pub(super) asked_by: Option<&'a str>,
    pub(super) labels: &'a Labels,
    /// Fees that come out of the same budget as the payment.
    pub(super) fees: u128,
    pub(super) resource: &'a str,
}

impl<'a> Naive<'a> {
    pub(super) fn payment(&mut self, pay: &Payment<'a>) {
        self.need(pay.units > 0, format_args!("amount.positive"));
        let sketch = self.sketch;
        let payee = sketch.payee(pay.payee);
        let pool = pay.coin.and_then(|coin| sketch.pools[coin as usize]);
        let mut own = false;
        match (payee, pool) {
            (Some(payee), _) => own = self.payee(payee, pay),
            (None, Some(pool)) => self.pool(pool, pay),
            (None, None) => self.need(false, format_args!("payee.known")),
        }
        self.labels(pay, own, payee.is_none() && pool.is_some());
        self.accounts(pay);
        self.forbids_of_payment(pay, payee);
    }

    /// Where the money of this payee goes, as far as it is known.
    fn address(&self, payee: &SketchPayee) -> Option<Address> {
        match payee.place {
            Place::Address(address) | Place::Identity(address) => Some(address),
            Place::Host => self.case.book.pinned.get(&payee.host.unwrap().to_lowercase()).copied(),
        }
    }

    /// Whether the payee's own host asks.
    fn payee(&mut self, payee: &SketchPayee, pay: &Payment<'_>) -> bool {
        let name = payee.name;
        let address = self.address(payee);
        match address {
            Some(address) => self.need(pay.to == address, format_args!("payee.{name}.address")),
            None => self.ask_if(true, format_args!("payee.{name}.pinned")),
        }
        if let Place::Identity(wallet) = payee.place {
            let found = self.case.book.resolved.get(name);
            let as_pinned = found.is_some_and(|f| f.owner == OWNER && f.wallet == wallet);
            self.need(as_pinned, format_args!("payee.{name}.identity"));
        }
        let own = match (payee.host, pay.asked_by) {
            (Some(host), Some(asked_by)) => same_host(host, asked_by),
            _ => false,
        };
        let nobody_asks = pay.asked_by.is_none() && address.is_some();
        let host_is_right = own || payee.host.is_none() || nobody_asks;
        self.need(host_is_right, format_args!("payee.{name}.host"));
        self.need(open(&payee.times, self.case.now), format_args!("payee.{name}.times"));
        if let Some((coin, limits)) = payee.bound {
            let path = format!("payee.{name}");
            let asset = coin.id();
            let to = pay.to;
            self.bound(&path, (coin, limits), pay, |this, width| this.paid_to(to, asset, width));
            if let (Some(limit), true) = (limits[6], pay.coin == Some(coin)) {
                let day = self.paid_to(to, asset, DAY) + pay.units;
                self.ask_if(day > u128::from(limit), format_args!("{path}.ask_above_day"));
            }
        }
        let owes = self.case.book.owing.contains(&pay.to);
        self.ask_if(owes, format_args!("payee.{name}.delivery"));
        let of = |category: &&SketchCategory| payee.category == Some(category.name);
        if let Some(category) = self.sketch.categories.iter().find(of) {
            let together = self.sketch.payees.iter().filter(|p| p.category == payee.category);
            let mut addresses: BTreeSet<_> = together.filter_map(|p| self.address(p)).collect();
            addresses.insert(pay.to);
            let path = format!("category.{}", category.name);
            let asset = category.coin.id();
            self.bound(&path, (category.coin, category.limits), pay, |this, width| {
                addresses.iter().map(|to| this.paid_to(*to, asset, width)).sum()
            });
        }
        own
    }

    /// A peer that the policy does not name.
    fn pool(&mut self, pool: SketchPool, pay: &Payment<'_>) {
        let coin = pay.coin.unwrap();
        let (asset, to) = (coin.id(), pay.to);
        let path = format!("pool.{}", coin.name());
        let is_payee = self.sketch.payees.iter().any(|payee| self.address(payee) == Some(to));
        self.need(!is_payee && to != AGENT, format_args!("{path}.peer"));
        self.section(&path, pool.limits, (pay.units, 0), |this, width| {
            this.sum(asset, width, |debit| debit.agent && debit.pool)
        });
        let day = self.paid_to(to, asset, DAY) + pay.units;
        let ever = self.paid_to(to, asset, u64::MAX) + pay.units;
        if let Some(limit) = pool.peer_day {
            self.need(day <= u128::from(limit), format_args!("{path}.peer_day"));
        }
        if let Some(limit) = pool.peer_total {
            self.need(ever <= u128::from(limit), format_args!("{path}.peer_total"));
        }
        if let Some(limit) = pool.limits[6] {
            self.ask_if(day > u128::from(limit), format_args!("{path}.ask_above_day"));
        }
        let owes = self.case.book.owing.contains(&to);
        self.ask_if(owes, format_args!("{path}.delivery"));
    }

    fn labels(&mut self, pay: &Payment<'_>, own: bool, peer: bool) {
        let (mut refused, mut asked) = (false, false);
        for label in &pay.labels.0 {
            let Some(class) = class(label) else { continue };
            let explicit = self.sketch.labels[class];
            let from_who_asks = match (label, pay.asked_by) {
                (Label::Web(host), Some(asked_by)) => same_host(host, asked_by),
                _ => false,
            };
            if from_who_asks && (own || peer) || own && explicit.is_none() {
                continue;
            }
            refused |= explicit == Some(true);
            asked |= explicit != Some(true);
        }
        self.need(!refused, format_args!("labels"));
        self.ask_if(asked && !refused, format_args!("labels"));
    }

    /// Task, sub-agent, agent and owner.
    fn accounts(&mut self, pay: &Payment<'_>) {
        let sketch = self.sketch;
        let sub = self.sub();
        if let Some(sub) = sub {
            let listed = sub.payees.contains(&pay.payee) && sketch.payee(pay.payee).is_some();
            self.need(listed, format_args!("sub_agent.{}.payees", sub.name));
        }
        let asset = pay.amount.asset;
        let Some(coin) = pay.coin else {
            self.need(false, format_args!("limits.unknown asset"));
            if let Some(sub) = sub {
                self.need(false, format_args!("sub_agent.{}.limits.unknown asset", sub.name));
            }
            return;
        };
        let name = coin.name();
        let money = (pay.units, pay.fees);
        if let Some(limits) = sketch.task[coin as usize] {
            let task = self.case.task;
            self.section(&format!("task.limits.{name}"), limits, money, |this, width| {
                this.sum(asset, width, |debit| debit.agent && debit.task == task)
            });
        }
        let spendable = |account: &Account| {
            account.limits[coin as usize].filter(|_| account.section(coin) == name)
        };
        if let Some(sub) = sub {
            let path = format!("sub_agent.{}.limits.{name}", sub.name);
            match spendable(&sub.account) {
                None => self.need(false, format_args!("{path}")),
                Some(limits) => self.section(&path, limits, money, |this, width| {
                    this.sum(asset, width, |debit| debit.agent && debit.sub_agent == Some(sub.name))
                }),
            }
        }
        match spendable(&sketch.agent) {
            None => self.need(false, format_args!("limits.{name}")),
            Some(limits) => {
                self.section(&format!("limits.{name}"), limits, money, |this, width| {
                    this.sum(asset, width, |debit| debit.agent)
                });
                if let Some(limit) = limits[6] {
                    let day = self.paid_to(pay.to, asset, DAY) + pay.units;
                    let much = day > u128::from(limit);
                    self.ask_if(much, format_args!("limits.{name}.ask_above_day"));
                }
            }
        }
        if let Some(limits) = spendable(&sketch.owner) {
            self.section(&format!("owner.limits.{name}"), limits, money, |this, width| {
                this.sum(asset, width, |_| true)
            });
        }
    }

    fn forbids_of_payment(&mut self, pay: &Payment<'a>, payee: Option<&'a SketchPayee>) {
        let asset = pay.amount.asset;
        let agent = self.sketch.agent;
        let payable = pay.coin.filter(|coin| agent.section(*coin) == coin.name());
        let limits = payable.and_then(|coin| agent.limits[coin as usize]).unwrap_or_default();
        let before = WIDTHS.map(|(_, width)| self.sum(asset, width, |debit| debit.agent));
        let fits = |kind: usize| {
            let sum = if kind == 0 { pay.units } else { before[kind - 1] + pay.units + pay.fees };
            limits[kind].is_none_or(|limit| sum <= u128::from(limit))
        };
        let host = pay.asked_by.unwrap_or("").to_lowercase();
        let facts = Facts {
            verb: Verb::Pay,
            labels: self.bits(pay.labels),
            name: pay.payee,
            category: payee.and_then(|payee| payee.category),
            asset: pay.coin.map_or("", Coin::name),
            micros: micros(pay.units, pay.coin),
            known: payee.is_some(),
            host: &host,
            resource: pay.resource,
            transaction: pay.asked_by.is_none(),
            first: self.paid_to(pay.to, asset, u64::MAX) == 0,
            delivers: !self.case.book.owing.contains(&pay.to),
            fits: [0, 1, 2, 3, 4].map(fits),
            spent: before.map(|units| micros(units, pay.coin)),
            payee_day: micros(self.paid_to(pay.to, asset, DAY), pay.coin),
            payee_total: micros(self.paid_to(pay.to, asset, u64::MAX), pay.coin),
            ..Facts::default()
        };
        self.forbids(&facts);
    }
}
