//! Payments in bad luck: a real chain that reorganises, drops and reprices transactions, RPC
//! endpoints that lie, stall, limit and lag, sellers that take the money and are gone, and stewards
//! killed at every edge of every state.
//!
//! One run is a few purchases under one fault. When the fault is over, everything must come to an
//! end, and four things must hold: nothing was paid twice, nothing that was paid was lost, every
//! intent is closed, and both ledgers agree with the chain to the unit.
//!
//! `make test` plays a few runs, [`MARQUE_FAULTS`](RUNS)`=300` (`make faults`) as many as are asked
//! for, each fault in turn. `MARQUE_SEED` repeats the dice, `MARQUE_FAULT` plays the faults alone
//! whose name contains it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests, which may fail loudly as tests may"
)]

mod desk;
#[path = "../../steward/tests/support/dice.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test target uses a part of it")]
mod dice;
mod fault;
mod laws;
mod proxy;
mod scene;
mod shop;
#[path = "../system/support.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test target uses a part of it")]
mod support;

use dice::{Dice, number, seed};
use fault::Fault;
use scene::Scene;
use std::collections::BTreeMap;

/// How many runs; a few unless said.
const RUNS: &str = "MARQUE_FAULTS";

/// So many runs share a chain and its stewards: what one leaves behind meets the next.
const A_SCENE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_between_the_two_each_purchase_is_paid_once_and_comes_to_an_end() {
    let seed = seed("faults");
    let runs = usize::try_from(number(RUNS).unwrap_or(3)).unwrap();
    let mut dice = Dice::new(seed);
    let only = std::env::var("MARQUE_FAULT").unwrap_or_default();
    let faults: Vec<Fault> =
        Fault::all().into_iter().filter(|fault| format!("{fault:?}").contains(&only)).collect();
    assert!(!faults.is_empty(), "MARQUE_FAULT={only}: there is no such fault");
    // Each in turn from a place by chance, so that a few runs are others each time.
    let first = dice.index(faults.len());
    let order: Vec<Fault> = faults
        .iter()
        .copied()
        .cycle()
        .skip(first * 7)
        .step_by(step(faults.len()))
        .take(runs)
        .collect();
    let mut played: BTreeMap<String, u32> = BTreeMap::new();
    let mut sum = laws::Sum::default();
    for batch in order.chunks(A_SCENE) {
        let mut scene = Scene::new(dice.next()).await;
        for fault in batch {
            let begun = std::time::Instant::now();
            scene.play(*fault).await;
            sum.add(&scene.judge(*fault).await);
            eprintln!("  {fault:?}: {:.1} s", begun.elapsed().as_secs_f64());
            *played.entry(fault.family()).or_default() += 1;
        }
        scene.end().await;
    }
    eprintln!("{runs} runs, {sum}; {played:?}");
}

/// A stride that visits all of `n` before it visits one twice.
fn step(n: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (5..).find(|step| gcd(*step, n) == 1).unwrap_or(1)
}
