//! The naive evaluator: what the language means, in small integers and plain lists.

use super::Answer;
use crate::{
    forbids::{Facts, Verb},
    sketch::*,
    support::*,
};
use alloy_primitives::Address;
use marque_policies::{
    Argument, AssetId, Intent, Label, Labels, Money,
    document::{DAY, HOUR},
    intent::{AcceptWallet, Authorise, PermitTransfer, PermitVia, Settle, SettlePermit, ToolUse},
};
use payment::Payment;
use std::fmt;

mod payment;
mod tool;

const WIDTHS: [(&str, u64); 4] =
    [("hour", HOUR), ("day", DAY), ("days30", 30 * DAY), ("total", u64::MAX)];

struct Naive<'a> {
    sketch: &'a Sketch,
    case: &'a Case,
    approved: bool,
    answer: Answer,
}

pub(super) fn naive(sketch: &Sketch, case: &Case) -> Answer {
    let approval = case.book.approved.get(&case.intent.body_hash());
    let approved = approval
        .is_some_and(|when| sketch.valid.is_none_or(|seconds| case.now - when <= seconds * 1_000));
    let mut naive = Naive { sketch, case, approved, answer: Answer::default() };
    naive.judge();
    naive.answer
}

fn units(money: Money) -> u128 {
    money.units.to()
}

/// Millionths of a unit, rounded up, as far as they go.
fn micros(units: u128, coin: Option<Coin>) -> i64 {
    let micros = match coin {
        // An unknown asset has no digits after the point.
        None => units.saturating_mul(1_000_000),
        Some(Coin::Usdc) => units,
        Some(Coin::Eurt) => units.saturating_mul(10_000),
        Some(Coin::Eth) => units.div_ceil(1_000_000_000_000),
    };
    i64::try_from(micros).unwrap_or(i64::MAX)
}

fn same_host(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Marks the minutes that each span covers, one day after the other.
fn open(spans: &[Week], now: u64) -> bool {
    // The epoch was a Thursday; weeks begin on Mondays.
    let minute = (now / 60_000 + 3 * 1_440) % (7 * 1_440);
    spans.is_empty()
        || spans.iter().any(|span| {
            let length = match span.until.checked_sub(span.from) {
                Some(length) if length > 0 => length,
                _ => span.until + 1_440 - span.from,
            };
            let mut day = span.first;
            loop {
                let begins = (day * 1_440 + span.from) as i64 - span.offset;
                let since = (minute as i64 - begins).rem_euclid(7 * 1_440) as u64;
                if since < length {
                    return true;
                }
                if day == span.last {
                    return false;
                }
                day = (day + 1) % 7;
            }
        })
}

/// The place in [`CLASSES`] of a label that does not come from owner, policy or chain.
fn class(label: &Label) -> Option<usize> {
    match label {
        Label::Web(_) => Some(0),
        Label::Peer(_) => Some(1),
        Label::Memory => Some(2),
        Label::Model => Some(3),
        Label::Owner | Label::Policy | Label::Chain => None,
    }
}

impl<'a> Naive<'a> {
    fn need(&mut self, good: bool, rule: fmt::Arguments<'_>) {
        if !good {
            self.answer.fails.insert(rule.to_string());
        }
    }

    fn ask_if(&mut self, odd: bool, rule: fmt::Arguments<'_>) {
        if odd && !self.approved {
            self.answer.asks.insert(rule.to_string());
        }
    }

    /// What was debited in less than `width`.
    fn sum(&self, asset: AssetId, width: u64, counts: impl Fn(&Debit) -> bool) -> u128 {
        let debits = self.case.book.debits.iter();
        let young = debits.filter(|debit| self.case.now - debit.at < width);
        young
            .filter(|debit| debit.money.asset == asset && counts(debit))
            .map(|d| units(d.money))
            .sum()
    }

    fn paid_to(&self, to: Address, asset: AssetId, width: u64) -> u128 {
        self.sum(asset, width, |debit| debit.agent && debit.to == to)
    }

    /// One section of limits on what is paid now and what was before.
    fn section(
        &mut self,
        path: &str,
        limits: Seven,
        (amount, fees): (u128, u128),
        before: impl Fn(&Self, u64) -> u128,
    ) {
        let [payment, hour, day, days30, total, ask, _] = limits.map(|limit| limit.map(u128::from));
        if let Some(limit) = payment {
            self.need(amount <= limit, format_args!("{path}.payment"));
        }
        for (limit, (name, width)) in [hour, day, days30, total].into_iter().zip(WIDTHS) {
            if let Some(limit) = limit {
                let sum = before(self, width) + amount + fees;
                self.need(sum <= limit, format_args!("{path}.{name}"));
            }
        }
        if let Some(limit) = ask {
            self.ask_if(amount > limit, format_args!("{path}.ask_above"));
        }
    }

    /// Limits that hold in one asset only: another one fails them all.
    fn bound(
        &mut self,
        path: &str,
        (coin, limits): (Coin, Seven),
        pay: &Payment<'_>,
        before: impl Fn(&Self, u64) -> u128,
    ) {
        if pay.coin == Some(coin) {
            self.section(path, limits, (pay.units, 0), before);
        } else {
            for (kind, limit) in KINDS.iter().zip(limits).take(5) {
                self.need(limit.is_none(), format_args!("{path}.{kind}"));
            }
        }
    }

    fn sub(&self) -> Option<&'a SketchSub> {
        self.sketch.subs.iter().find(|sub| Some(sub.name) == self.case.sub_agent)
    }

    fn judge(&mut self) {
        let (sketch, case) = (self.sketch, self.case);
        let goes_back = matches!(
            case.intent,
            Intent::Sweep(_) | Intent::Cancel(_) | Intent::InvalidatePermit { .. }
        );
        if let (Some(expires), false) = (sketch.expires, goes_back) {
            self.need(case.now < expires, format_args!("policy.expires"));
        }
        if matches!(
            case.intent,
            Intent::Authorise(_)
                | Intent::PermitTransfer(_)
                | Intent::Transfer(_)
                | Intent::Tool(_)
        ) {
            self.need(open(&sketch.times, case.now), format_args!("times"));
        }
        if case.sub_agent.is_some() {
            self.need(self.sub().is_some(), format_args!("sub_agent.known"));
        }
        if let Some(sub) = self.sub() {
            let acts = !matches!(
                case.intent,
                Intent::Settle(_)
                    | Intent::SettlePermit(_)
                    | Intent::ApprovePermit2 { .. }
                    | Intent::Refill { .. }
                    | Intent::AcceptWallet(_)
            );
            self.need(acts, format_args!("sub_agent.{}.acts", sub.name));
        }
        match &case.intent {
            Intent::Authorise(pay) => self.authorise(pay),
            Intent::Transfer(pay) => {
                let coin = Coin::of(pay.amount.asset);
                // Fees in a token are nonsense, and counted like those in the native coin.
                let shared = case.gas.filter(|gas| gas.asset == pay.amount.asset);
                let fees = shared.map_or(0, units);
                self.need(coin.is_some(), format_args!("asset.known"));
                self.need_gas();
                self.payment(&Payment {
                    payee: &pay.payee,
                    to: pay.to,
                    amount: pay.amount,
                    units: units(pay.amount),
                    coin,
                    asked_by: None,
                    labels: &pay.labels,
                    fees,
                    resource: "",
                });
                self.fees(shared.is_some());
            }
            Intent::Settle(settle) => self.settle(settle),
            Intent::AcceptWallet(accept) => self.accept(accept),
            Intent::Sweep(sweep) => {
                let known = Coin::of(sweep.amount.asset).is_some();
                self.need(known, format_args!("asset.known"));
                self.need(units(sweep.amount) > 0, format_args!("amount.positive"));
                self.need_gas();
                self.fees(false);
            }
            Intent::Tool(used) => self.tool(used),
            Intent::Cancel(_) | Intent::InvalidatePermit { .. } => {
                self.need_gas();
                self.fees(false);
            }
            Intent::PermitTransfer(pay) => self.permit(pay),
            Intent::SettlePermit(settle) => self.settle_permit(settle),
            Intent::ApprovePermit2 { amount } => self.approve(*amount),
            Intent::Refill { amount } => self.refill(*amount),
            other => panic!("a new kind of intent: {other:?}"),
        }
    }

    fn authorise(&mut self, pay: &'a Authorise) {
        let coin = Coin::of(pay.amount.asset);
        let domain = match coin {
            Some(Coin::Usdc) => self.sketch.domain,
            Some(Coin::Eurt) => true,
            _ => false,
        };
        self.need(coin.is_some(), format_args!("asset.known"));
        self.need(domain, format_args!("asset.domain"));
        self.payment(&Payment {
            payee: &pay.payee,
            to: pay.to,
            amount: pay.amount,
            units: units(pay.amount),
            coin,
            asked_by: Some(&pay.host),
            labels: &pay.labels,
            fees: 0,
            resource: &pay.resource,
        });
        self.fees(false);
    }

    fn need_gas(&mut self) {
        let known = self.case.gas.is_some_and(|gas| gas.asset == ETH);
        self.need(known, format_args!("gas.known"));
    }

    /// Fees are paid from the native coin's own section or from `gas`. Where the payment has
    /// already been judged together with them, they are not judged again.
    fn fees(&mut self, with_payment: bool) {
        let Some(gas) = self.case.gas else { return };
        let coin = Coin::of(gas.asset).unwrap();
        let asset = gas.asset;
        let (sketch, sub) = (self.sketch, self.sub());
        let mut levels = vec![("limits".to_owned(), sketch.agent, 0)];
        if let Some(sub) = sub {
            levels.push((format!("sub_agent.{}.limits", sub.name), sub.account, 1));
        }
        levels.push(("owner.limits".to_owned(), sketch.owner, 2));
        for (path, account, level) in levels {
            let name = account.section(coin);
            match account.limits[coin as usize] {
                None if level == 2 => {}
                None => self.need(false, format_args!("{path}.gas")),
                Some(_) if with_payment && name == coin.name() => {}
                Some(limits) => {
                    let path = format!("{path}.{name}");
                    self.section(&path, limits, (units(gas), 0), |this, width| {
                        this.sum(asset, width, |debit| match level {
                            0 => debit.agent,
                            1 => debit.agent && debit.sub_agent == this.case.sub_agent,
                            _ => true,
                        })
                    });
                }
            }
        }
    }

    /// To this agent as income, or to others as a facilitator.
    fn settles(&mut self, to: Address, coin: Option<Coin>, rule: &str) {
        let listed = |coins: &[Coin]| coin.is_some_and(|coin| coins.contains(&coin));
        let (income, facilitator) = (&self.sketch.income, &self.sketch.facilitator);
        if to != AGENT && !facilitator.is_empty() {
            let listed = listed(facilitator);
            self.need(listed, format_args!("facilitator.asset"));
        } else {
            let listed = listed(income);
            self.need(listed, format_args!("income.asset"));
            self.need(to == AGENT, format_args!("{rule}"));
        }
    }

    fn settle(&mut self, settle: &'a Settle) {
        let coin = Coin::of(settle.amount.asset);
        self.settles(settle.to, coin, "settle.to");
        self.need(coin.is_some(), format_args!("asset.known"));
        let domain = match coin {
            Some(Coin::Usdc) => self.sketch.domain,
            Some(Coin::Eurt) => true,
            _ => false,
        };
        self.need(domain, format_args!("asset.domain"));
        self.need(units(settle.amount) > 0, format_args!("amount.positive"));
        self.need_gas();
        self.fees(false);
        let name = coin.map_or("", Coin::name);
        self.forbids(&Facts {
            verb: Verb::Collect,
            name,
            asset: name,
            micros: micros(units(settle.amount), coin),
            resource: &settle.resource,
            ..Facts::default()
        });
    }

    /// An authorisation in all but the token's domain, which Permit2 does without.
    fn permit(&mut self, pay: &'a PermitTransfer) {
        let coin = Coin::of(pay.amount.asset);
        self.need(coin.is_some(), format_args!("asset.known"));
        self.need(pay.amount.asset != ETH, format_args!("permit.token"));
        self.payment(&Payment {
            payee: &pay.payee,
            to: pay.to,
            amount: pay.amount,
            units: units(pay.amount),
            coin,
            asked_by: Some(&pay.host),
            labels: &pay.labels,
            fees: 0,
            resource: &pay.resource,
        });
        self.fees(false);
    }

    fn settle_permit(&mut self, settle: &'a SettlePermit) {
        let SettlePermit { to, amount, charge, via, resource, .. } = settle;
        let coin = Coin::of(amount.asset);
        self.settles(*to, coin, "settle_permit.to");
        self.need(coin.is_some(), format_args!("asset.known"));
        self.need(amount.asset != ETH, format_args!("settle_permit.token"));
        self.need(units(*amount) > 0, format_args!("amount.positive"));
        let taken = match via {
            PermitVia::Exact => units(*charge) == units(*amount),
            PermitVia::Upto { facilitator } => {
                self.need(*facilitator == AGENT, format_args!("settle_permit.facilitator"));
                units(*charge) <= units(*amount)
            }
        };
        let same = charge.asset == amount.asset;
        self.need(taken && same, format_args!("settle_permit.charge"));
        self.need_gas();
        self.fees(false);
        let coin = Coin::of(charge.asset);
        let name = coin.map_or("", Coin::name);
        self.forbids(&Facts {
            verb: Verb::Collect,
            name,
            asset: name,
            micros: micros(units(*charge), coin),
            resource,
            ..Facts::default()
        });
    }

    /// Nothing takes an approval back, whatever the limits are; all else needs some, and fits into
    /// the total.
    fn approve(&mut self, amount: Money) {
        let coin = Coin::of(amount.asset);
        self.need(coin.is_some(), format_args!("asset.known"));
        self.need(amount.asset != ETH, format_args!("approve_permit2.token"));
        let limits = coin
            .filter(|coin| self.sketch.agent.section(*coin) == coin.name())
            .and_then(|coin| self.sketch.agent.limits[coin as usize]);
        let listed = limits.is_some() || units(amount) == 0;
        self.need(listed, format_args!("approve_permit2.asset"));
        if let Some(total) = limits.and_then(|limits| limits[4]) {
            self.need(units(amount) <= total.into(), format_args!("approve_permit2.total"));
        }
        self.need_gas();
        self.fees(false);
    }

    /// More than nothing, and no more than the float may hold.
    fn refill(&mut self, amount: Money) {
        let coin = Coin::of(amount.asset);
        self.need(units(amount) > 0, format_args!("amount.positive"));
        self.need(coin.is_some(), format_args!("asset.known"));
        match coin.and_then(|coin| Some((coin.name(), self.sketch.float(coin)?.1))) {
            Some((name, high)) => {
                self.need(units(amount) <= high.into(), format_args!("float.{name}.high"));
            }
            None => self.need(false, format_args!("float.known")),
        }
        self.need_gas();
        self.fees(false);
    }

    fn accept(&mut self, accept: &AcceptWallet) {
        let chain = accept.chain == CHAIN;
        self.need(chain, format_args!("chain.known"));
        let registry = chain && self.sketch.registry && accept.registry == REGISTRY;
        self.need(registry, format_args!("accept_wallet.registry"));
        self.need(accept.owner == OWNER, format_args!("accept_wallet.owner"));
        self.ask_if(true, format_args!("accept_wallet"));
        self.fees(false);
    }

    fn bits(&self, labels: &Labels) -> u8 {
        labels.0.iter().filter_map(class).fold(0, |bits, class| bits | 1 << class)
    }

    fn forbids(&mut self, facts: &Facts<'_>) {
        let sub_agent = self.case.sub_agent.unwrap_or("");
        let facts = Facts { now: self.case.now, task: self.case.task, sub_agent, ..facts.clone() };
        for (at, forbid) in self.sketch.forbids.iter().enumerate() {
            if forbid.concerns(facts.verb) {
                let name = forbid.name(at);
                self.need(!forbid.applies(&facts), format_args!("{name}"));
            }
        }
    }
}
