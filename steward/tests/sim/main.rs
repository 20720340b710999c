//! A seeded simulator around the real core: clock, disk, chain, endpoints, minds and an owner, all
//! of them at their worst, and the laws that hold all the same.
//!
//! One `u64` drives a world: one to three agents with accounts below them, each with limits of its
//! own under those of its owner, minds that repeat and contradict themselves and take back what they
//! paid, an owner who comes late, freezes that cancel what is out, transactions that wait and get
//! higher fees, a wall clock that jumps both ways, a disk that loses what was not synced, a chain
//! that reorganises up to eight blocks deep and may mine any of the bytes that ever went out, and
//! endpoints that are behind, silent or lie. The steward in it is the real `core::step`,
//! `State::apply` and `core::news`. Only disk, chain and time are made up.
//!
//! ```sh
//! cargo test -p marque-steward --test sim -- --nocapture                        # a few dozen worlds
//! MARQUE_SEEDS=100000 cargo test --release -p marque-steward --test sim -- --nocapture
//! MARQUE_SEED=17 cargo test -p marque-steward --test sim -- --nocapture         # one again
//! ```
//!
//! The laws (`laws.rs`) are counted from the chain and from what was let go, never from the
//! ledger's sums: no window of a task, a payee, an agent or the owner is exceeded, by our clock at
//! each grant and by the chain's in the end; an id signs one content, an account nonce is one id's and
//! has none open before it; an attempt follows only on one that came to nothing; the ledger counts at least what the chain took
//! and at most what was reserved; nothing passes while frozen; a replay of the bytes rebuilds the
//! state to the last bit; and once the faults end, everything comes to its end.
//!
//! That it has teeth is shown by `tests/sim/mutants`, which breaks the core in one place at a time
//! and has each found: released on a timeout, one endpoint of two that releases, settles or
//! reverts, the owner or gas not debited, the same id decided twice or with another body, settled
//! above what was reserved, valid by the wall clock, in flight and yet too old to count, released
//! by a reorganisation, time that goes back, signed while frozen, the next attempt at once, account
//! nonces that come back or are left open, higher fees past a limit or not reserved, hashes that are
//! forgotten, a cancellation believed before it is final.

#![cfg(test)]

mod chain;
mod disk;
mod laws;
mod minds;
mod reconcile;
mod setup;
mod steward;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use support::dice::{number, seed};
use world::{Stats, World};

/// So many worlds without being asked.
const FEW: u64 = 60;

/// Lines of a failing world's trace that are shown.
const SHOWN: usize = 80;

fn live(seed: u64, traced: bool) -> (Result<Stats, String>, Vec<String>) {
    let mut world = World::new(seed, traced);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let lived = lived.unwrap_or_else(|_| Err("it panicked".to_owned()));
    (lived, world.trace.take().unwrap_or_default())
}

#[test]
fn the_laws_hold_in_every_world() {
    let few = if number("MARQUE_SEED").is_some() { 1 } else { FEW };
    let many = number("MARQUE_SEEDS").unwrap_or(few);
    let first = seed("worlds");
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut total = Stats::default();
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let work = || {
            let (mut total, mut failed) = (Stats::default(), Vec::new());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= many {
                    return (total, failed);
                }
                match live(first.wrapping_add(n), false).0 {
                    Ok(stats) => total = total.plus(stats),
                    Err(line) => {
                        failed.push((first.wrapping_add(n), line));
                        // A broken law will not be broken less often later on.
                        next.store(many, Ordering::Relaxed);
                    }
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (stats, broken) = worker.join().unwrap();
            total = total.plus(stats);
            failed.extend(broken);
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{many} worlds from seed {first} on, in {seconds:.1} s: {total:?}");
    if let Some((seed, line)) = failed.first() {
        let (_, trace) = live(*seed, true);
        for line in &trace[trace.len().saturating_sub(SHOWN)..] {
            eprintln!("{line}");
        }
        panic!("MARQUE_SEED={seed}: {line}");
    }
    if many >= 50 {
        // A world in which nothing happens proves nothing.
        assert!(total.grants > many && total.crashes > many / 2, "{total:?}");
        assert!(total.settled > many && total.reorganisations > many / 2, "{total:?}");
        assert!(total.below > many / 2 && total.replaced > 0, "{total:?}");
        assert!(total.refills > many / 10, "{total:?}");
    }
    if many >= 1_000 {
        // Rare ones, of which a few worlds may have none.
        assert!(total.cancelled > many / 20 && total.filled > many / 500, "{total:?}");
    }
}

impl Stats {
    fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            grants: self.grants + other.grants,
            crashes: self.crashes + other.crashes,
            reorganisations: self.reorganisations + other.reorganisations,
            settled: self.settled + other.settled,
            below: self.below + other.below,
            cancelled: self.cancelled + other.cancelled,
            replaced: self.replaced + other.replaced,
            filled: self.filled + other.filled,
            refills: self.refills + other.refills,
        }
    }
}
