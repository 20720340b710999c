//! How long a decision takes, and how long it takes to read a policy: 50 payees, 30 tools and
//! 20 forbids, over a ledger of 300 debits.
//!
//! Beside each figure stands the peer: `cedar-policy` by itself, with a permit for each payee and
//! each tool, the limits as booleans in the context and the same forbids (`peer.rs` says what it
//! does and what it does not). Both are asked about the same intents over the same ledger in turn,
//! so that whatever slows the machine down slows both down; ratios tell more than times.
//!
//! Nothing here fails because a machine is slow.

mod peer;
mod scene;
mod timing;

use marque_policies::{Decision, decide, parse::compile};
use peer::Peer;
use scene::Scene;
use std::{
    hint::black_box,
    io::{Write as _, stdout},
};
use timing::{Samples, timed};

type Error = Box<dyn std::error::Error>;

/// How often each intent is judged.
const ROUNDS: usize = 4_000;
/// How often the policy is read.
const LOADS: usize = 50;

fn main() -> Result<(), Error> {
    let mut out = stdout().lock();
    let scene = Scene::new()?;
    let peer = Peer::new(&scene)?;
    check(&scene, &peer)?;

    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let mut kinds: Vec<(&str, Samples, Samples)> = scene
        .cases
        .iter()
        .map(|case| (case.name, Samples::default(), Samples::default()))
        .collect();
    // A whole round each, in turn: what slows the machine down slows both down, and neither finds
    // its caches full of the other one's things at every step.
    for _ in 0..ROUNDS {
        for (case, (_, own, _)) in scene.cases.iter().zip(&mut kinds) {
            let (verdict, spent) =
                timed(|| decide(&scene.policy, &case.request(), &scene.past, scene.now));
            black_box(verdict);
            own.push(spent);
            ours.push(spent);
        }
        for (case, (_, _, other)) in scene.cases.iter().zip(&mut kinds) {
            let (answer, spent) = timed(|| peer.judge(&scene, case));
            black_box(answer?);
            other.push(spent);
            theirs.push(spent);
        }
    }
    for (name, own, other) in &mut kinds {
        let (own, other) = (own.percentile(50), other.percentile(50));
        writeln!(
            out,
            "  {name:<34} p50 {own:>9}   cedar alone {other:>9}   {}",
            own.beside(other)
        )?;
    }

    let (mut reading, mut raw) = (Samples::default(), Samples::default());
    for _ in 0..LOADS {
        let (read, spent) = timed(|| compile(&scene.sources));
        black_box(read?);
        reading.push(spent);
        let (read, spent) = timed(|| Peer::new(&scene));
        black_box(read?);
        raw.push(spent);
    }

    let (p50, p99) = (ours.percentile(50), ours.percentile(99));
    let load = reading.percentile(50);
    writeln!(
        out,
        "decide p50 {} (target 30), p99 {} (target 150), load {} (target 20)",
        p50.micros(),
        p99.micros(),
        load.millis(),
    )?;
    let (raw50, raw99, raw_load) =
        (theirs.percentile(50), theirs.percentile(99), raw.percentile(50));
    writeln!(
        out,
        "cedar alone p50 {} ({}), p99 {} ({}), load {} ({})",
        raw50.micros(),
        p50.beside(raw50),
        raw99.micros(),
        p99.beside(raw99),
        raw_load.millis(),
        load.beside(raw_load),
    )?;
    Ok(())
}

/// A measurement of two engines that answer differently would compare nothing. What the owner is
/// asked about, the peer permits: it has no word for asking.
fn check(scene: &Scene, peer: &Peer) -> Result<(), Error> {
    for case in &scene.cases {
        let decision = decide(&scene.policy, &case.request(), &scene.past, scene.now).decision();
        let permitted = peer.judge(scene, case)?;
        if decision != case.expected || (decision != Decision::Refuse) != permitted {
            return Err(
                format!("{}: {decision:?}, the peer permits: {permitted}", case.name).into()
            );
        }
    }
    Ok(())
}
