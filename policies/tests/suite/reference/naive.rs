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
    intent::{AcceptWallet, Authorise, Settle, ToolUse},
};
use std::{collections::BTreeSet, fmt};

const WIDTHS: [(&str, u64); 4] =
    [("hour", HOUR), ("day", DAY), ("days30", 30 * DAY), ("total", u64::MAX)];

struct Naive<'a> {
    sketch: &'a Sketch,
    case: &'a Case,
    approved: bool,
    answer: Answer,
}

/// Who pays whom: what of a payment is the same for both kinds.
struct Payment<'a> {
    payee: &'a str,
    to: Address,
    amount: Money,
    units: u128,
    coin: Option<Coin>,
    /// Which host asks; a transfer has none.
    asked_by: Option<&'a str>,
    labels: &'a Labels,
    /// Fees that come out of the same budget as the payment.
    fees: u128,
    resource: &'a str,
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
        let sweeps = matches!(case.intent, Intent::Sweep(_));
        if let (Some(expires), false) = (sketch.expires, sweeps) {
            self.need(case.now < expires, format_args!("policy.expires"));
        }
        if matches!(case.intent, Intent::Authorise(_) | Intent::Transfer(_) | Intent::Tool(_)) {
            self.need(open(&sketch.times, case.now), format_args!("times"));
        }
        if case.sub_agent.is_some() {
            self.need(self.sub().is_some(), format_args!("sub_agent.known"));
        }
        if let Some(sub) = self.sub() {
            let acts = !matches!(case.intent, Intent::Settle(_) | Intent::AcceptWallet(_));
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

    fn payment(&mut self, pay: &Payment<'a>) {
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

    fn settle(&mut self, settle: &'a Settle) {
        let coin = Coin::of(settle.amount.asset);
        let income = coin.is_some_and(|coin| self.sketch.income.contains(&coin));
        self.need(income, format_args!("income.asset"));
        self.need(coin.is_some(), format_args!("asset.known"));
        let domain = match coin {
            Some(Coin::Usdc) => self.sketch.domain,
            Some(Coin::Eurt) => true,
            _ => false,
        };
        self.need(domain, format_args!("asset.domain"));
        self.need(units(settle.amount) > 0, format_args!("amount.positive"));
        self.need(settle.to == AGENT, format_args!("settle.to"));
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

    fn accept(&mut self, accept: &AcceptWallet) {
        let chain = accept.chain == CHAIN;
        self.need(chain, format_args!("chain.known"));
        let registry = chain && self.sketch.registry && accept.registry == REGISTRY;
        self.need(registry, format_args!("accept_wallet.registry"));
        self.need(accept.owner == OWNER, format_args!("accept_wallet.owner"));
        self.ask_if(true, format_args!("accept_wallet"));
        self.fees(false);
    }

    fn tool(&mut self, used: &'a ToolUse) {
        let tool = self.sketch.tools.iter().find(|tool| tool.name == used.tool);
        self.need(tool.is_some(), format_args!("tool.known"));
        if let Some(sub) = self.sub() {
            let listed = tool.is_some_and(|tool| sub.tools.contains(&tool.name));
            self.need(listed, format_args!("sub_agent.{}.tools", sub.name));
        }
        if let Some(tool) = tool {
            self.known_tool(tool, used);
        }
        self.fees(false);
        let fetch = used.fetch.as_ref();
        // Forbids see hosts and methods in one spelling.
        let host = fetch.map_or(String::new(), |fetch| fetch.host.to_lowercase());
        let method = fetch.map_or(String::new(), |fetch| fetch.method.to_uppercase());
        self.forbids(&Facts {
            verb: Verb::Use,
            name: &used.tool,
            labels: self.bits(&used.labels),
            fetches: fetch.is_some(),
            host: &host,
            method: &method,
            path: fetch.map_or("", |fetch| &fetch.path),
            bytes_out: fetch.map_or(0, |fetch| fetch.bytes_out),
            ..Facts::default()
        });
    }

    fn known_tool(&mut self, tool: &SketchTool, used: &ToolUse) {
        let (name, now) = (tool.name, self.case.now);
        let uses: Vec<_> = self.case.book.uses.iter().filter(|(used, _, _)| used == name).collect();
        let recent = uses.iter().filter(|(_, _, at)| now - at < HOUR).count() + 1;
        let sent: u64 = uses.iter().filter(|(_, _, at)| now - at < DAY).map(|use_| use_.1).sum();
        let out = used.fetch.as_ref().map_or(0, |fetch| fetch.bytes_out);
        if let Some(rate) = tool.rate {
            self.need(recent <= usize::from(rate), format_args!("tool.{name}.rate"));
        }
        if let Some(most) = tool.sends {
            self.need(sent + out <= u64::from(most), format_args!("tool.{name}.sends"));
        }
        self.need(open(&tool.times, now), format_args!("tool.{name}.times"));
        if let Some(fetch) = &used.fetch {
            let listed = tool.hosts.iter().any(|pattern| match *pattern {
                "*.gov" => matches!(&*fetch.host, "x.gov" | "x.y.gov"),
                exact => same_host(exact, &fetch.host),
            });
            self.need(listed, format_args!("tool.{name}.hosts"));
            let method = tool.methods.is_empty() || tool.methods.contains(&&*fetch.method);
            self.need(method, format_args!("tool.{name}.methods"));
        }
        for (argument, demand) in &tool.arguments {
            let good = match (demand, used.arguments.get(*argument)) {
                (_, None) => false,
                (Demand::OneOf(values), Some(value)) => values.contains(value),
                (Demand::Text { starts, longest }, Some(Argument::Text(text))) => {
                    starts.is_none_or(|starts| text.starts_with(starts) && !text.contains(".."))
                        && longest.is_none_or(|most| text.chars().count() <= usize::from(most))
                }
                (Demand::Number { least, most }, Some(Argument::Integer(number))) => {
                    least.is_none_or(|least| *number >= i64::from(least))
                        && most.is_none_or(|most| *number <= i64::from(most))
                }
                _ => false,
            };
            self.need(good, format_args!("tool.{name}.arguments.{argument}"));
        }
        let told = used.labels.0.iter().filter_map(class).filter_map(|class| tool.labels[class]);
        let (refused, asked) = told.fold((false, false), |(r, a), harsh| (r | harsh, a | !harsh));
        self.need(!refused, format_args!("tool.{name}.labels"));
        self.ask_if(asked && !refused, format_args!("tool.{name}.labels"));
    }

    fn bits(&self, labels: &Labels) -> u8 {
        labels.0.iter().filter_map(class).fold(0, |bits, class| bits | 1 << class)
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
