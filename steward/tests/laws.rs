//! Laws that hold whatever a mind and a chain do, tried on random histories.

#![cfg(test)]

mod support;

use alloy_primitives::{B256, U256};
use marque_policies::{IntentId, Timestamp};
use marque_steward::{
    Body, Entry, State,
    core::{Event, GasPlan, Reply},
    entry::{Allowed, OnChain, Received},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Bench, pay, proposal, transfer};

const HOUR: Timestamp = 3_600_000;

/// Something that a mind, an owner, a chain or time does.
#[derive(Clone, Debug)]
enum Act {
    Pay { task: u8, units: u64, by_transaction: bool },
    Approve { which: u8 },
    Move { which: u8, how: u8 },
    Finish { which: u8 },
    Cancel { which: u8 },
    Replace { which: u8, fee: u64 },
    Receive { units: u64 },
    Pass { ms: Timestamp },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..40_u8, prop_oneof![Just(400_000), Just(1_000_000), 1..1_200_000_u64], any::<bool>())
            .prop_map(|(task, units, by_transaction)| Act::Pay { task, units, by_transaction }),
        2 => any::<u8>().prop_map(|which| Act::Approve { which }),
        4 => (any::<u8>(), 0..9_u8).prop_map(|(which, how)| Act::Move { which, how }),
        5 => any::<u8>().prop_map(|which| Act::Finish { which }),
        2 => any::<u8>().prop_map(|which| Act::Cancel { which }),
        2 => (any::<u8>(), any::<u64>()).prop_map(|(which, fee)| Act::Replace { which, fee }),
        1 => any::<u64>().prop_map(|units| Act::Receive { units }),
        2 => prop_oneof![0..60_000_u64, 0..2 * HOUR, 0..30 * HOUR].prop_map(|ms| Act::Pass { ms }),
    ]
}

fn play(acts: &[Act]) -> Bench {
    let mut bench = Bench::new();
    for act in acts {
        match act {
            Act::Pay { task, units, by_transaction } => {
                let intent = if *by_transaction { transfer(*units) } else { pay(*units) };
                let reply = bench.propose(proposal(&format!("t{task}"), 0, intent));
                assert!(!matches!(reply, Reply::Noted(_)));
            }
            Act::Approve { which } => {
                if let Some((id, intent)) = pick(&bench.state, *which) {
                    drop(bench.approve(id, &intent, 1));
                }
            }
            Act::Move { which, how } => {
                if let Some((id, _)) = pick(&bench.state, *which) {
                    bench.moved(movement(id, *how));
                }
            }
            Act::Finish { which } => {
                if let Some((id, _)) = pick(&bench.state, *which) {
                    (0..=4).filter(|how| *how != 3).for_each(|how| bench.moved(movement(id, how)));
                }
            }
            Act::Cancel { which } => {
                if let Some((id, _)) = pick(&bench.state, *which) {
                    let task = format!("cancel {id}");
                    let reply = bench.propose(proposal(&task, 0, support::cancel(id)));
                    assert!(!matches!(reply, Reply::Noted(_)));
                }
            }
            Act::Replace { which, fee } => {
                if let Some((id, _)) = pick(&bench.state, *which) {
                    let max_fee = u128::from(*fee);
                    let plan = GasPlan { limit: 0, max_fee, max_priority_fee: max_fee };
                    let block_time = bench.now / 1_000;
                    bench.act(Event::Replace { id, plan, block_time });
                }
            }
            Act::Receive { units } => receive(&mut bench, *units),
            Act::Pass { ms } => bench.now += ms,
        }
    }
    bench
}

/// Money that comes from anybody.
fn receive(bench: &mut Bench, value: u64) {
    let upto = bench.state.agent("scout").unwrap().received + 1;
    let transfer = Received {
        token: support::TOKEN,
        from: support::SHOP,
        value: U256::from(value),
        transaction: B256::ZERO,
        block: upto,
    };
    let body = Body::Received { upto, transfers: vec![transfer], more: Vec::new() };
    bench.act(Event::Chain { agent: "scout".into(), body });
}

fn pick(state: &State, which: u8) -> Option<(IntentId, marque_policies::Intent)> {
    let n = state.intents().len().max(1);
    let (id, record) = state.intents().iter().nth(usize::from(which) % n)?;
    Some((*id, record.decided.intent.clone()))
}

fn movement(id: IntentId, how: u8) -> Body {
    let at = OnChain { transaction: B256::ZERO, block: 1, block_hash: B256::ZERO };
    match how {
        0 => Body::Signed { id, hash: B256::ZERO },
        1 => Body::Sent { id },
        2 => Body::Seen { id, at },
        3 => Body::Unseen { id },
        4 => Body::Final { id, actual: vec![support::usdc(u64::MAX)], time: None },
        5 => Body::Expired { id, block: 1 },
        8 => Body::Cancelled { id, at },
        6 => Body::Released { id, why: String::new() },
        _ => Body::Reverted { id, at, actual: Vec::new(), time: None },
    }
}

/// Everything that was ever allowed, with the time from which it counts no more, read from the
/// entries alone: an independent, naive ledger.
fn spends(entries: &[Entry]) -> BTreeMap<IntentId, (Timestamp, U256, bool)> {
    let mut spends = BTreeMap::new();
    for entry in entries {
        match &entry.body {
            Body::Allowed(allowed) => {
                let Allowed { decided, .. } = &**allowed;
                let units = decided.intent.spends().map_or(U256::ZERO, |money| money.units);
                assert!(spends.insert(decided.id, (entry.at, units, true)).is_none(), "twice");
            }
            Body::Expired { id, .. }
            | Body::Released { id, .. }
            | Body::Filled { id, .. }
            | Body::Cancelled { id, .. }
            | Body::Reverted { id, .. } => {
                spends.get_mut(id).unwrap().2 = false;
            }
            _ => {}
        }
    }
    spends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_window_is_ever_exceeded(acts in prop::collection::vec(act(), 20..100)) {
        let bench = play(&acts);
        // At the moment of each permission, everything that stood then and is younger than the
        // window, itself included, is within the limit.
        for (last, entry) in bench.entries.iter().enumerate() {
            if !matches!(entry.body, Body::Allowed(_)) {
                continue;
            }
            let then = spends(&bench.entries[..=last]);
            for (window, limit) in [(HOUR, 3_000_000_u64), (24 * HOUR, 10_000_000)] {
                let since = entry.at.saturating_sub(window);
                let sum = then.values().filter(|(at, _, stands)| *stands && *at > since)
                    .fold(U256::ZERO, |sum, (_, units, _)| sum + units);
                prop_assert!(sum <= U256::from(limit), "{sum} in {window} ms at entry {last}");
            }
        }
    }

    /// The same history with and without gifts: not one answer differs.
    #[test]
    fn money_that_comes_changes_nothing_that_is_allowed(
        acts in prop::collection::vec(act(), 1..60),
        gifts in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let acts: Vec<_> =
            acts.into_iter().filter(|act| !matches!(act, Act::Receive { .. })).collect();
        let mut given = Vec::new();
        for (n, act) in acts.iter().enumerate() {
            given.push(Act::Receive { units: gifts[n % gifts.len()] });
            given.push(act.clone());
        }
        let decided = |bench: &Bench| {
            let bodies = bench.entries.iter().map(|entry| (entry.at, entry.body.clone()));
            bodies.filter(|(_, body)| !matches!(body, Body::Received { .. })).collect::<Vec<_>>()
        };
        let (with, without) = (play(&given), play(&acts));
        prop_assert!(acts.is_empty() || with.entries.len() > without.entries.len());
        prop_assert_eq!(decided(&with), decided(&without));
    }

    #[test]
    fn a_replay_of_the_journal_rebuilds_the_same_state(acts in prop::collection::vec(act(), 1..60)) {
        let bench = play(&acts);
        let bytes: Vec<_> = bench.entries.iter().map(|entry| entry.encode().unwrap()).collect();
        let read: Vec<_> = bytes.iter().map(|bytes| Entry::decode(bytes).unwrap()).collect();
        let rebuilt = State::fold(&read).unwrap();
        prop_assert_eq!(rebuilt.hash(), bench.state.hash());
        if let Some(last) = read.len().checked_sub(1) {
            let shorter = State::fold(&read[..last]).unwrap();
            prop_assert_ne!(shorter.hash(), bench.state.hash());
        }
    }
}

/// Thirty days of somebody who controls the whole mind, every sub-agent of it and the clock's
/// smaller hands, and asks for as much as can be asked for. The seed is printed; `MARQUE_SEED`
/// repeats it.
#[test]
fn a_robber_with_the_whole_mind_never_takes_more_than_the_stated_bound() {
    let seed = std::env::var("MARQUE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from_le_bytes(rand_bytes()));
    println!("MARQUE_SEED={seed}");
    let mut dice = Dice(seed);
    let mut bench = Bench::new();
    let text = support::policy(2).replace("day = \"1 ETH\"", "day = \"0.01 ETH\"")
        + "[sub_agent.helper]\npayees = [\"shop\"]\n[sub_agent.helper.limits.USDC]\nday = \"9\"\n\
           [sub_agent.helper.limits.gas]\nday = \"0.01 ETH\"\n";
    bench.under(&text);
    let (policy, _) = marque_policies::parse(&text).unwrap();
    let days = 30;
    let bounds: BTreeMap<_, _> = marque_policies::most_lost(&policy, days * 24 * HOUR)
        .into_iter()
        .map(|loss| match loss {
            marque_policies::Loss::AtMost(money) => (money.asset, money.units),
            marque_policies::Loss::Unbounded(asset) => panic!("{asset} has no bound"),
        })
        .collect();
    let end = bench.now + days * 24 * HOUR;
    let mut taken: BTreeMap<_, U256> = BTreeMap::new();
    let mut n = 0;
    while bench.now < end {
        n += 1;
        // As much as passes without the owner, most of the time.
        let units = if dice.below(3) > 0 { 500_000 } else { 1 + dice.below(700_000) };
        let intent = if dice.below(4) == 0 { transfer(units) } else { pay(units) };
        let asked = proposal(&format!("task {n}"), 0, intent);
        let reply = match dice.below(2) {
            0 => bench.propose(asked),
            _ => bench.propose_as("helper", asked),
        };
        if let Reply::Allowed(id) = reply {
            for row in bench.state.debits().of(id) {
                let sum = taken.entry(row.amount.asset).or_default();
                *sum += row.amount.units;
            }
            // The chain takes it, sooner or later.
            for how in [0, 1, 2, 4] {
                let late = dice.below(3) * 60_000;
                bench.now += late;
                bench.moved(settled_for_what_was_reserved(&bench, id, how));
            }
        } else {
            bench.now += dice.below(50) * 60_000;
        }
    }
    for (asset, sum) in &taken {
        let bound = bounds[asset];
        assert!(*sum <= bound, "{sum} of {asset} were taken, and the bound is {bound}");
    }
    let usdc = support::usdc(0).asset;
    println!("{} of {} base units of USDC were taken in {n} attempts", taken[&usdc], bounds[&usdc]);
    assert!(taken[&usdc] * U256::from(10) > bounds[&usdc] * U256::from(8), "it did try");
}

fn settled_for_what_was_reserved(bench: &Bench, id: IntentId, how: u8) -> Body {
    match how {
        4 => {
            let rows = bench.state.debits().of(id);
            Body::Final { id, actual: rows.iter().map(|row| row.amount).collect(), time: None }
        }
        how => movement(id, how),
    }
}

fn rand_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut bytes)
        .unwrap();
    bytes
}

/// Pseudo-random numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
