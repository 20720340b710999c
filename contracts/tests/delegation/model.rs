//! Random payments, judged by the enforcer and by a model that does plainly what it should.
//!
//! `MARQUE_CASES` says how many histories there are, `MARQUE_SEED` repeats a run.

use crate::{
    estate::{Estate, MIDNIGHT, gas_used},
    rolling_spend::left,
    support::Chain,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use marque_contracts::{
    Contract, bytecode,
    delegation::{
        Delegation, Erc20Period, Execution, Limit, Permission, RollingSpend, SINGLE_CALL,
        Terms as _, binding::IRollingSpendEnforcer,
    },
};
use serde_json::json;

/// Every payment is remembered, and added up each time.
struct Model {
    limits: Vec<Limit>,
    paid: Vec<(u64, u64)>,
}

impl Model {
    fn of(terms: &RollingSpend) -> Self {
        Self { limits: terms.limits().to_vec(), paid: Vec::new() }
    }

    fn left(&self, now: u64) -> U256 {
        let left = |limit: &Limit| {
            let counts = |at: u64| limit.window > 0 && at + limit.window > now;
            let used: u64 = self.paid.iter().filter(|(at, _)| counts(*at)).map(|(_, n)| n).sum();
            limit.most.saturating_sub(U256::from(used))
        };
        self.limits.iter().map(left).min().unwrap()
    }
}

/// The test plays the manager here, so that a step is one small transaction; each case is a
/// delegation of its own.
#[test]
fn random_payments_are_judged_as_a_naive_model_judges_them() {
    let (cases, mut random) = given(24);
    let chain = Chain::start();
    let manager = chain.accounts[0];
    let created = chain.send(manager, None, bytecode(Contract::RollingSpendEnforcer)).created;
    let enforcer = created.unwrap();
    let (token, payee) = (Address::repeat_byte(7), Address::repeat_byte(8));
    let mut now = chain.now() + 10;
    let mut answers = [0_u64; 2];
    for case in 0..cases {
        let terms = random.terms(token);
        let mut model = Model::of(&terms);
        let hash = keccak256(case.to_be_bytes());
        for step in 0..20 {
            now = random.moment(&model, now);
            let left = model.left(now);
            let units = random.amount(left);
            next_block_at(&chain, now);
            let call = IRollingSpendEnforcer::beforeHookCall {
                terms: terms.encode(),
                args: Bytes::new(),
                mode: SINGLE_CALL,
                execution: Execution::transfer(token, payee, U256::from(units)).encode(),
                delegationHash: hash,
                delegator: token,
                redeemer: payee,
            };
            let accepted = chain.transact(manager, enforcer, call).succeeded;
            assert_eq!(chain.now(), now);
            let passes = U256::from(units) <= left;
            assert_eq!(accepted, passes, "case {case}, step {step}: {units} of {left}");
            model.paid.extend(passes.then_some((now, units)));
            answers[usize::from(passes)] += 1;
            let available = IRollingSpendEnforcer::availableCall {
                manager,
                delegationHash: hash,
                terms: terms.encode(),
            };
            assert_eq!(chain.call(enforcer, available).unwrap(), model.left(now));
        }
    }
    println!("{} payments passed, {} were refused", answers[1], answers[0]);
    assert!(answers.iter().all(|some| *some > cases / 4), "{answers:?}: says nothing");
}

/// Four delegations that hand on one another as a tree, redeemed at random through the manager: a
/// payment passes where every delegation above it has room for it. The shipped enforcer of fixed
/// periods stands beside ours, with one of its windows and its limit, and refuses nothing more.
#[test]
fn random_payments_of_a_family_are_judged_as_naive_models_judge_them() {
    let (cases, mut random) = given(24);
    let estate = Estate::found();
    let (agent, helper) = (estate.agent, estate.helper);
    let mut now = MIDNIGHT;
    let mut answers = [0_u64; 2];
    for case in 0..cases.div_ceil(12) {
        let terms = [(); 4].map(|()| random.terms(estate.token));
        let mut models = [0, 1, 2, 3].map(|n| Model::of(&terms[n]));
        let starts = [(); 4].map(|()| MIDNIGHT - random.below(1_000));
        let signed = |delegation: Delegation, n: usize| {
            let limits = terms[n].limits().iter();
            let limit = limits.filter(|limit| limit.window > 0).min().unwrap();
            let period = Erc20Period::new(estate.token, limit.most, limit.window, starts[n]);
            let delegation = delegation.salted(U256::from(case));
            let delegation = delegation.with(terms[n].caveat(&estate.framework));
            estate.sign(&delegation.with(period.unwrap().caveat(&estate.framework)))
        };
        let root = signed(Delegation::root(estate.account, agent), 0);
        let first = signed(Delegation::below(&root.delegation, helper), 1);
        let second = signed(Delegation::below(&root.delegation, agent), 2);
        let third = signed(Delegation::below(&first.delegation, agent), 3);
        let family: [(Permission, &[usize]); 4] = [
            (Permission::new([root.clone()]).unwrap(), &[0]),
            (Permission::new([first.clone(), root.clone()]).unwrap(), &[1, 0]),
            (Permission::new([second, root.clone()]).unwrap(), &[2, 0]),
            (Permission::new([third, first, root]).unwrap(), &[3, 1, 0]),
        ];
        for step in 0..40 {
            let (permission, above) = &family[random.below(4) as usize];
            now = random.moment(&models[above[0]], now);
            let left_now = above.iter().map(|n| models[*n].left(now)).min().unwrap();
            let units = random.amount(left_now);
            next_block_at(&estate.chain, now);
            let transfer = estate.transfer(estate.payee, units);
            let accepted = estate.redeem(permission, &transfer).succeeded;
            let passes = U256::from(units) <= left_now;
            assert_eq!(accepted, passes, "case {case}, step {step}: {units} of {left_now}");
            answers[usize::from(passes)] += 1;
            for n in above.iter().filter(|_| passes) {
                models[*n].paid.push((now, units));
            }
            assert_eq!(left(&estate, permission), models[above[0]].left(now));
        }
    }
    println!(
        "{} passed, {} were refused, {} gas last",
        answers[1],
        answers[0],
        gas_used(&estate.chain)
    );
    assert!(answers.iter().all(|some| *some > cases / 4), "{answers:?}: says nothing");
}

/// How many cases, and the randomness for them.
fn given(cases: u64) -> (u64, Random) {
    let number =
        |variable| std::env::var(variable).ok().map(|value| value.parse::<u64>().expect(variable));
    let cases = number("MARQUE_CASES").unwrap_or(cases);
    let seed = number("MARQUE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{cases} cases, MARQUE_SEED={seed} repeats them");
    (cases, Random(B256::from(U256::from(seed))))
}

/// Anvil takes the last block's time again only with this interval.
fn next_block_at(chain: &Chain, now: u64) {
    chain.rpc("anvil_setBlockTimestampInterval", json!([0])).unwrap();
    chain.next_block_at(now);
}

/// Hashes of hashes: as random as this needs it.
struct Random(B256);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = keccak256(self.0);
        U256::from_be_bytes(self.0.0).wrapping_rem(U256::from(end)).to()
    }

    fn terms(&mut self, token: Address) -> RollingSpend {
        let some = 1 + self.below(5);
        let mut terms = RollingSpend::erc20(token).window(some, U256::from(20 * some));
        for window in [0, 7, 60, 61, 3_600, 90_000, Limit::FOREVER] {
            if self.below(2) == 0 {
                terms = terms.window(window, U256::from(1 + self.below(100)));
            }
        }
        terms.build().unwrap()
    }

    /// The same second, soon, or about the edge of a window after some payment.
    fn moment(&mut self, model: &Model, now: u64) -> u64 {
        let limit = model.limits[self.below(model.limits.len() as u64) as usize];
        let window = limit.window.min(100_000);
        match self.below(4) {
            0 => now,
            1 => now + self.below(8),
            2 => now + self.below(window + 2),
            _ => {
                let some = self.below(model.paid.len() as u64 + 1) as usize;
                let since = model.paid.get(some).map_or(now, |(at, _)| *at);
                (since + window + self.below(3)).saturating_sub(1).max(now)
            }
        }
    }

    /// All that is left, one more than that, little, or anything.
    fn amount(&mut self, left: U256) -> u64 {
        let left = left.saturating_to::<u64>().min(1_000);
        match self.below(4) {
            0 => left,
            1 => left + 1,
            2 => self.below(4),
            _ => self.below(60),
        }
    }
}
