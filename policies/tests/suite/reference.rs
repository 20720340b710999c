//! A second evaluator, naive on purpose: small integers, plain lists, no shared code with the
//! engine, judging the sketch rather than the policy that was read from it. Both must name the same
//! rules that fail and the same rules that ask.
//!
//! `MARQUE_CASES=1000000` runs it at full size, `MARQUE_SEED` repeats a run.

use crate::{sketch::*, support::*};
use alloy_primitives::B256;
use marque_policies::{Decision, Mark, Policy};
use naive::naive;
use std::collections::{BTreeMap, BTreeSet};

mod naive;

/// The rules that fail and those that ask.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    fails: BTreeSet<String>,
    asks: BTreeSet<String>,
}

impl Answer {
    fn decision(&self) -> Decision {
        match (self.fails.is_empty(), self.asks.is_empty()) {
            (false, _) => Decision::Refuse,
            (true, false) => Decision::Hold,
            (true, true) => Decision::Allow,
        }
    }
}

fn engine(policy: &Policy, case: &Case) -> (Decision, Answer) {
    let verdict = case.judge(policy);
    let rules = |mark| verdict.rules(mark).map(str::to_owned).collect();
    (verdict.decision(), Answer { fails: rules(Mark::Fail), asks: rules(Mark::Ask) })
}

fn agree(sketch: &Sketch, policy: &Policy, case: &Case) -> bool {
    let expected = naive(sketch, case);
    engine(policy, case) == (expected.decision(), expected)
}

/// How many requests each random policy gets.
const REQUESTS: u64 = 16;

#[test]
fn the_engine_agrees_with_a_naive_evaluator_on_the_decision_and_on_every_rule() {
    let trials = Trials::new("reference", 3_000);
    let started = std::time::Instant::now();
    let mut counts = [0_u64; 3];
    for number in 0..trials.cases.div_ceil(REQUESTS) {
        let mut dice = trials.dice(number);
        let sketch = Sketch::random(&mut dice);
        let policy = sketch.policy();
        for request in 0..REQUESTS {
            let case = Case::random(&mut dice, &sketch);
            let expected = naive(&sketch, &case);
            let decision = expected.decision();
            if engine(&policy, &case) != (decision, expected) {
                let (sketch, case) = smallest(sketch, case, |s, c| !agree(s, &s.policy(), c));
                panic!(
                    "policy {number}, request {request}, MARQUE_SEED={:x}\n{}\n{case:#?}\n\
                     naive: {:#?}\nengine: {:#?}",
                    trials.seed,
                    sketch.text(),
                    naive(&sketch, &case),
                    engine(&sketch.policy(), &case),
                );
            }
            counts[decision as usize] += 1;
        }
    }
    let took = started.elapsed().as_millis().max(1);
    let (cases, [allowed, held, refused]) = (counts.iter().sum::<u64>(), counts);
    eprintln!(
        "{cases} cases agree, {} a second: {allowed} allowed, {held} held, {refused} refused",
        u128::from(cases) * 1_000 / took
    );
}

/// A rule without the names that the policy gives: `payee.a.day` is `payee.*.day`.
fn family(rule: &str) -> String {
    let mut parts: Vec<_> = rule.split('.').collect();
    let named: &[usize] = match parts[..] {
        ["payee" | "category" | "pool" | "tool", ..] if parts.len() > 2 => &[1],
        ["sub_agent", _, "limits", ..] => &[1, 3],
        ["sub_agent", _, _] => &[1],
        ["limits", ..] => &[1],
        ["float", _, _] => &[1],
        ["owner" | "task", "limits", ..] => &[2],
        ["cedar", ..] => &[1],
        _ => &[],
    };
    for place in named {
        if parts[*place] != "gas" {
            parts[*place] = "*";
        }
    }
    if let ["tool", _, "arguments", name] = &mut parts[..] {
        *name = "*";
    }
    parts.join(".")
}

/// Cases that all went one way would prove little.
#[test]
fn random_cases_reach_every_decision_and_every_rule_from_both_sides() {
    const POLICIES: u64 = 400;
    let trials = Trials { cases: 0, seed: B256::repeat_byte(7), full: false };
    let mut counts = [0_u64; 3];
    let mut seen: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for number in 0..POLICIES {
        let mut dice = trials.dice(number);
        let sketch = Sketch::random(&mut dice);
        let policy = sketch.policy();
        for _ in 0..REQUESTS {
            let verdict = Case::random(&mut dice, &sketch).judge(&policy);
            counts[usize::from(strictness(&verdict))] += 1;
            for row in &verdict.table {
                let sides = seen.entry(family(&row.rule)).or_default();
                sides[usize::from(row.mark != Mark::Pass)] += 1;
            }
        }
    }
    let cases = POLICIES * REQUESTS;
    eprintln!("allowed, held, refused: {counts:?}");
    assert!(counts.iter().all(|count| *count > cases / 20), "allow, hold, refuse: {counts:?}");
    for rule in FAMILIES {
        let [passed, not] = seen.remove(*rule).unwrap_or_default();
        // Rules that are only there to say no.
        let never_passes =
            ["limits.*", "limits.gas", ".acts", "float.known"].iter().any(|no| rule.ends_with(no));
        assert!(not > 0 && (passed > 0 || never_passes), "{rule}: {passed} passed, {not} not");
    }
    assert!(seen.is_empty(), "rules that nobody expected: {seen:#?}");
}

/// Every rule that there is.
const FAMILIES: &[&str] = &[
    "accept_wallet",
    "accept_wallet.owner",
    "accept_wallet.registry",
    "amount.positive",
    "approve_permit2.asset",
    "approve_permit2.token",
    "approve_permit2.total",
    "asset.domain",
    "asset.known",
    "category.*.ask_above",
    "category.*.day",
    "category.*.days30",
    "category.*.hour",
    "category.*.payment",
    "category.*.total",
    "cedar.*",
    "chain.known",
    "float.*.high",
    "float.known",
    "gas.known",
    "facilitator.asset",
    "income.asset",
    "labels",
    "limits.*",
    "limits.*.ask_above",
    "limits.*.ask_above_day",
    "limits.*.day",
    "limits.*.days30",
    "limits.*.hour",
    "limits.*.payment",
    "limits.*.total",
    "limits.gas",
    "limits.gas.ask_above",
    "limits.gas.day",
    "limits.gas.days30",
    "limits.gas.hour",
    "limits.gas.payment",
    "limits.gas.total",
    "owner.limits.*.ask_above",
    "owner.limits.*.day",
    "owner.limits.*.days30",
    "owner.limits.*.hour",
    "owner.limits.*.payment",
    "owner.limits.*.total",
    "owner.limits.gas.ask_above",
    "owner.limits.gas.day",
    "owner.limits.gas.days30",
    "owner.limits.gas.hour",
    "owner.limits.gas.payment",
    "owner.limits.gas.total",
    "payee.*.address",
    "payee.*.ask_above",
    "payee.*.ask_above_day",
    "payee.*.day",
    "payee.*.days30",
    "payee.*.delivery",
    "payee.*.host",
    "payee.*.hour",
    "payee.*.identity",
    "payee.*.payment",
    "payee.*.pinned",
    "payee.*.times",
    "payee.*.total",
    "payee.known",
    "permit.token",
    "policy.expires",
    "pool.*.ask_above",
    "pool.*.ask_above_day",
    "pool.*.day",
    "pool.*.days30",
    "pool.*.delivery",
    "pool.*.hour",
    "pool.*.payment",
    "pool.*.peer",
    "pool.*.peer_day",
    "pool.*.peer_total",
    "pool.*.total",
    "settle.to",
    "settle_permit.charge",
    "settle_permit.facilitator",
    "settle_permit.to",
    "settle_permit.token",
    "sub_agent.*.acts",
    "sub_agent.*.limits.*",
    "sub_agent.*.limits.*.ask_above",
    "sub_agent.*.limits.*.day",
    "sub_agent.*.limits.*.days30",
    "sub_agent.*.limits.*.hour",
    "sub_agent.*.limits.*.payment",
    "sub_agent.*.limits.*.total",
    "sub_agent.*.limits.gas",
    "sub_agent.*.limits.gas.ask_above",
    "sub_agent.*.limits.gas.day",
    "sub_agent.*.limits.gas.days30",
    "sub_agent.*.limits.gas.hour",
    "sub_agent.*.limits.gas.payment",
    "sub_agent.*.limits.gas.total",
    "sub_agent.*.payees",
    "sub_agent.*.tools",
    "sub_agent.known",
    "task.limits.*.ask_above",
    "task.limits.*.day",
    "task.limits.*.days30",
    "task.limits.*.hour",
    "task.limits.*.payment",
    "task.limits.*.total",
    "times",
    "tool.*.arguments.*",
    "tool.*.hosts",
    "tool.*.labels",
    "tool.*.methods",
    "tool.*.rate",
    "tool.*.sends",
    "tool.*.times",
    "tool.known",
];
