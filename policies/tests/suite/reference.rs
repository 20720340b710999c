//! A second evaluator, naive on purpose: small integers, plain lists, no shared code with the
//! engine, judging the sketch rather than the policy that was read from it.

use crate::{
    sketch::{self, Case, Seven, Sketch, SketchPayee},
    support::*,
};
use alloy_primitives::Address;
use marque_policies::{
    AssetId, Decision, Intent, Label, Labels, Money,
    document::{DAY, HOUR},
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

struct Naive<'a> {
    sketch: &'a Sketch,
    book: &'a Book,
    approved: bool,
    refused: bool,
    asked: bool,
}

impl Naive<'_> {
    fn need(&mut self, good: bool) {
        self.refused |= !good;
    }

    fn ask_if(&mut self, odd: bool) {
        self.asked |= odd && !self.approved;
    }

    fn sum(&self, mine: bool, to: Option<Address>, asset: AssetId, younger_than: u64) -> u64 {
        let mut sum = 0;
        for debit in &self.book.debits {
            let counts = (!mine || debit.agent)
                && to.is_none_or(|to| debit.agent && debit.to == to)
                && debit.money.asset == asset
                && NOW - debit.at < younger_than;
            if counts {
                sum += debit.money.units.to::<u64>();
            }
        }
        sum
    }

    fn seven(&mut self, limits: Seven, mine: bool, asset: AssetId, amount: u64, fees: u64) {
        let [payment, hour, day, days30, total, ask, _] = limits.map(|limit| limit.map(u64::from));
        self.need(payment.is_none_or(|limit| amount <= limit));
        for (limit, width) in [(hour, HOUR), (day, DAY), (days30, 30 * DAY), (total, u64::MAX)] {
            let sum = self.sum(mine, None, asset, width) + amount + fees;
            self.need(limit.is_none_or(|limit| sum <= limit));
        }
        self.ask_if(ask.is_some_and(|limit| amount > limit));
    }

    fn payee(&mut self, name: &str, to: Address, amount: Money, asked_by: Option<&str>) -> bool {
        let Some(payee) = self.sketch.payees.iter().find(|payee| payee.name == name) else {
            self.need(false);
            return false;
        };
        let SketchPayee { address, pinned, host, limits: [payment, day, total], .. } =
            payee.clone();
        self.need(to == address);
        if pinned && self.sketch.registry {
            let found = self.book.resolved.get(name);
            self.need(found.is_some_and(|found| found.owner == OWNER && found.wallet == address));
        }
        let own_host = host.is_some() && host == asked_by;
        self.need(asked_by.is_none() || host.is_none() || own_host);
        let units = amount.units.to::<u64>();
        for (limit, before) in [
            (payment, 0),
            (day, self.sum(true, Some(address), USDC, DAY)),
            (total, self.sum(true, Some(address), USDC, u64::MAX)),
        ] {
            if let Some(limit) = limit {
                self.need(amount.asset == USDC && before + units <= u64::from(limit));
            }
        }
        self.ask_if(self.book.owing.contains(&address));
        own_host
    }

    fn spend(&mut self, to: Address, amount: Money, fees: u64, own_host: bool, labels: &Labels) {
        let units = amount.units.to::<u64>();
        self.need(units > 0);
        let limits = match amount.asset {
            USDC => self.sketch.usdc,
            ETH if !self.sketch.eth_is_gas => self.sketch.eth,
            _ => None,
        };
        match limits {
            None => self.need(false),
            Some(limits) => {
                self.seven(limits, true, amount.asset, units, fees);
                let day = self.sum(true, Some(to), amount.asset, DAY) + units;
                self.ask_if(limits[6].is_some_and(|limit| day > u64::from(limit)));
            }
        }
        if let (USDC, Some(all)) = (amount.asset, self.sketch.all_usdc) {
            self.seven(all, false, USDC, units, 0);
        }
        let foreign = |label: &Label| !matches!(label, Label::Owner | Label::Policy | Label::Chain);
        self.ask_if(!own_host && labels.0.iter().any(foreign));
    }

    fn fees(&mut self, gas: Option<Money>, already_judged: bool) {
        let Some(gas) = gas else { return };
        let units = gas.units.to::<u64>();
        match gas.asset {
            ETH if already_judged => {}
            ETH => match self.sketch.eth {
                Some(limits) => self.seven(limits, true, ETH, units, 0),
                None => self.need(false),
            },
            // Fees in a token: nonsense, yet judged by the token's limits.
            USDC => {
                match self.sketch.usdc {
                    Some(limits) => self.seven(limits, true, USDC, units, 0),
                    None => self.need(false),
                }
                if let Some(all) = self.sketch.all_usdc {
                    self.seven(all, false, USDC, units, 0);
                }
            }
            _ => self.need(false),
        }
    }

    fn host_listed(&self, host: &str) -> bool {
        self.sketch.tool.as_ref().is_some_and(|tool| {
            tool.hosts.iter().any(|pattern| match *pattern {
                "*.gov" => matches!(host, "x.gov" | "x.y.gov"),
                exact => exact == host,
            })
        })
    }

    fn judge(&mut self, intent: &Intent, gas: Option<Money>) {
        let in_eth = gas.is_some_and(|gas| gas.asset == ETH);
        match intent {
            Intent::Authorise(pay) => {
                self.need(pay.amount.asset == USDC && self.sketch.domain);
                let own = self.payee(&pay.payee, pay.to, pay.amount, Some(&pay.host));
                self.spend(pay.to, pay.amount, 0, own, &pay.labels);
                self.fees(gas, false);
            }
            Intent::Transfer(pay) => {
                self.need(pay.amount.asset != sketch::OTHER);
                let own = self.payee(&pay.payee, pay.to, pay.amount, None);
                assert!(!own, "a transfer has no host");
                let shared = in_eth && pay.amount.asset == ETH;
                let fees = if shared { gas.unwrap().units.to::<u64>() } else { 0 };
                self.spend(pay.to, pay.amount, fees, own, &pay.labels);
                self.need(in_eth);
                let one_budget = shared && !self.sketch.eth_is_gas && self.sketch.eth.is_some();
                self.fees(gas, one_budget);
            }
            Intent::Settle(settle) => {
                self.need(settle.amount.asset == USDC && self.sketch.income && self.sketch.domain);
                self.need(!settle.amount.units.is_zero() && settle.to == AGENT);
                self.need(in_eth);
                self.fees(gas, false);
            }
            Intent::Sweep(sweep) => {
                self.need(sweep.amount.asset != sketch::OTHER && !sweep.amount.units.is_zero());
                self.need(in_eth);
                self.fees(gas, false);
            }
            Intent::AcceptWallet(accept) => {
                self.need(accept.chain == CHAIN && accept.owner == OWNER);
                self.need(self.sketch.registry && accept.registry == REGISTRY);
                self.ask_if(true);
                self.fees(gas, false);
            }
            Intent::Tool(used) => {
                let tool = self.sketch.tool.clone().filter(|_| used.tool == "fetch");
                self.need(tool.is_some());
                if let Some(tool) = tool {
                    let recent = |width: u64| {
                        self.book.uses.iter().filter(move |(_, _, at)| NOW - at < width)
                    };
                    let uses = recent(HOUR).count() as u64 + 1;
                    let sent: u64 = recent(DAY).map(|(_, bytes, _)| bytes).sum();
                    let out = used.fetch.as_ref().map_or(0, |fetch| fetch.bytes_out);
                    self.need(tool.rate.is_none_or(|most| uses <= u64::from(most)));
                    self.need(tool.sends.is_none_or(|most| sent + out <= u64::from(most)));
                    if let Some(fetch) = &used.fetch {
                        self.need(self.host_listed(&fetch.host));
                    }
                }
                self.fees(gas, false);
            }
            other => panic!("a new kind of intent: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_a_naive_evaluator(case in sketch::case()) {
        let Case { sketch, intent, gas, book } = case;
        let approved = book.approved.contains_key(&intent.body_hash());
        let mut naive = Naive { sketch: &sketch, book: &book, approved, refused: false, asked: false };
        naive.judge(&intent, gas);
        let expected = match (naive.refused, naive.asked) {
            (true, _) => Decision::Refuse,
            (false, true) => Decision::Hold,
            (false, false) => Decision::Allow,
        };
        let verdict = judge(&sketch.policy(), &intent, gas, &book);
        prop_assert_eq!(verdict.decision(), expected, "{:#?}\n{}", verdict, sketch.text());
    }
}

/// Random cases that were all refused would prove little.
#[test]
fn random_cases_reach_every_decision() {
    let mut runner = TestRunner::deterministic();
    let cases = sketch::case();
    let mut counts = [0; 3];
    for _ in 0..400 {
        let Case { sketch, intent, gas, book } = cases.new_tree(&mut runner).unwrap().current();
        let verdict = judge(&sketch.policy(), &intent, gas, &book);
        counts[usize::from(strictness(&verdict))] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 8), "allowed, held, refused: {counts:?}");
}
