//! A new policy over old history: the engine against histories at random, a recount that knows
//! nothing of the engine, and the cases that an owner would ask about.

#![cfg(test)]

mod support;

use alloy_primitives::{B256, U256};
use marque_policies::{Decision, Intent, IntentId, Timestamp};
use marque_steward::{
    Body, Entry,
    entry::OnChain,
    replay::{Outcome, Plan, Reading, Replay, Replayer},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{
    Bench, START, allowed, held, owner, pay, policy, proposal, refused, signed, transfer,
};

const HOUR: Timestamp = 3_600_000;
const PLACE: OnChain = OnChain { transaction: B256::ZERO, block: 1, block_hash: B256::ZERO };

fn over(entries: &[Entry], document: &str, since: Timestamp, reading: Reading) -> Replay {
    let plan = Plan { agent: "scout".into(), document: document.to_owned(), since, reading };
    let mut replayer = Replayer::new(plan).unwrap();
    entries.iter().for_each(|entry| replayer.take(entry).unwrap());
    replayer.finish().unwrap()
}

/// The tests' policy with other limits in base units: hour, day, ask_above.
fn with(payment: u64, hour: u64, day: u64, ask: u64) -> String {
    let show = |units: u64| format!("\"{}.{:06}\"", units / 1_000_000, units % 1_000_000);
    policy(9)
        .replace("payment = \"1.00\"", &format!("payment = {}", show(payment)))
        .replace("hour = \"3.00\"", &format!("hour = {}", show(hour)))
        .replace("day = \"10.00\"", &format!("day = {}", show(day)))
        .replace("ask_above = \"0.50\"", &format!("ask_above = {}", show(ask)))
}

fn settle(bench: &mut Bench, id: IntentId) {
    bench.moved(Body::Seen { id, at: PLACE });
    bench.moved(Body::Final { id, actual: vec![support::usdc(u64::MAX)], time: None });
}

#[test]
fn a_stricter_policy_says_what_it_would_have_stopped_and_the_money_of_it() {
    let mut bench = Bench::new();
    for (task, units) in [("a", 400_000), ("b", 400_000), ("c", 300_000)] {
        let id = allowed(bench.propose(proposal(task, 0, pay(units))));
        settle(&mut bench, id);
        bench.now += 60_000;
    }
    let strict = with(1_000_000, 700_000, 10_000_000, 500_000);
    let followed = over(&bench.entries, &strict, 0, Reading::Followed);
    // What is refused is not spent: 0.40, not 0.40 + 0.40, and so 0.40 + 0.30 fits again.
    assert_eq!(followed.decisions, 3);
    assert_eq!(followed.changes.len(), 1);
    let change = &followed.changes[0];
    assert_eq!((change.was, &change.now), (Decision::Allow, &Outcome::Refuse));
    assert_eq!(change.rules, ["limits.USDC.hour"]);
    assert_eq!(followed.less.values().copied().collect::<Vec<_>>(), [U256::from(400_000)]);
    assert!(followed.more.is_empty() && !followed.is_wider());
    assert_eq!(followed.by_rule()["limits.USDC.hour"].0, 1);
    // On the ledger as it really was, the third does not fit either.
    let fixed = over(&bench.entries, &strict, 0, Reading::Fixed);
    assert_eq!(fixed.changes.len(), 2);
    // It counts from when it is said to count.
    let later = over(&bench.entries, &strict, START + 90_000, Reading::Followed);
    assert_eq!((later.decisions, later.changes.len()), (1, 1));
}

#[test]
fn a_wider_policy_says_what_it_would_have_allowed_once_however_often_it_was_asked() {
    let mut bench = Bench::new();
    let refusal = refused(bench.propose(proposal("big", 0, pay(1_500_000))));
    assert_eq!(refusal, ["limits.USDC.payment"]);
    bench.now += 2 * HOUR;
    refused(bench.propose(proposal("big", 0, pay(1_500_000))));
    refused(bench.propose(proposal("big", 1, pay(1_500_000))));
    let wide = with(2_000_000, 3_000_000, 10_000_000, 2_000_000);
    let replay = over(&bench.entries, &wide, 0, Reading::Followed);
    assert!(replay.is_wider());
    let now: Vec<_> = replay.changes.iter().map(|change| &change.now).collect();
    let [Outcome::Allow, Outcome::NotAsked { .. }, Outcome::NotAsked { .. }] = now[..] else {
        panic!("{now:?}");
    };
    assert_eq!(replay.changes[0].rules, ["limits.USDC.payment"]);
    assert_eq!(replay.more.values().copied().collect::<Vec<_>>(), [U256::from(1_500_000)]);
}

#[test]
fn the_owners_word_counts_under_the_new_policy_as_well() {
    let mut bench = Bench::new();
    let intent = pay(700_000);
    let id = held(bench.propose(proposal("a", 0, intent.clone())));
    bench.approve(id, &intent, 1).unwrap();
    allowed(bench.propose(proposal("a", 0, intent.clone())));
    let denied = held(bench.propose(proposal("b", 0, intent.clone())));
    let (agent, body) = ("scout".into(), intent.body_hash());
    let statement = marque_policies::Statement::Deny { agent, intent: denied, body };
    bench.hand_in(signed(&owner(), statement, None)).unwrap();
    // Asked as before, approved as before.
    let same = with(900_000, 3_000_000, 10_000_000, 600_000);
    assert_eq!(over(&bench.entries, &same, 0, Reading::Followed).changes, []);
    // Not asked any more: what the owner denied would have been paid, and is told.
    let bold = with(1_000_000, 3_000_000, 10_000_000, 800_000);
    let replay = over(&bench.entries, &bold, 0, Reading::Followed);
    let told: Vec<_> = replay.changes.iter().map(|it| (it.id, it.was, it.now.clone())).collect();
    assert_eq!(
        told,
        [(id, Decision::Hold, Outcome::Allow), (denied, Decision::Hold, Outcome::Allow)]
    );
}

#[test]
fn what_a_journal_does_not_hold_is_said_and_never_guessed() {
    let mut bench = Bench::new();
    let mut facts = bench.facts();
    facts.gas = None;
    facts.trouble = Some("no answer".into());
    // Refused anyway; what it would have cost was never found out.
    bench.propose_with(proposal("a", 0, transfer(1_500_000)), facts);
    let wide = with(2_000_000, 3_000_000, 10_000_000, 2_000_000);
    let replay = over(&bench.entries, &wide, 0, Reading::Followed);
    assert!(matches!(replay.changes[0].now, Outcome::Unknown { .. }), "{replay:?}");
    assert!(replay.is_wider(), "what may be wider is not called narrower");
    assert!(replay.more.is_empty());
}

/// Something that a mind, an owner, a chain or time does.
#[derive(Clone, Debug)]
enum Act {
    Pay { task: u8, units: u64, by_transaction: bool },
    Again { which: u8 },
    Approve { which: u8 },
    Move { which: u8, how: u8 },
    Pass { ms: Timestamp },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..60_u8, prop_oneof![Just(400_000), Just(1_000_000), 1..1_200_000_u64], any::<bool>())
            .prop_map(|(task, units, by_transaction)| Act::Pay { task, units, by_transaction }),
        4 => any::<u8>().prop_map(|which| Act::Again { which }),
        3 => any::<u8>().prop_map(|which| Act::Approve { which }),
        6 => (any::<u8>(), 0..8_u8).prop_map(|(which, how)| Act::Move { which, how }),
        2 => prop_oneof![0..60_000_u64, 0..2 * HOUR, 0..30 * HOUR].prop_map(|ms| Act::Pass { ms }),
    ]
}

fn play(acts: &[Act]) -> Vec<Entry> {
    let mut bench = Bench::new();
    for act in acts {
        let pick = |bench: &Bench, which: u8| {
            let n = bench.state.intents().len().max(1);
            let (id, record) = bench.state.intents().iter().nth(usize::from(which) % n)?;
            Some((*id, record.decided.intent.clone()))
        };
        match act {
            Act::Pay { task, units, by_transaction } => {
                let intent = if *by_transaction { transfer(*units) } else { pay(*units) };
                bench.propose(proposal(&format!("t{task}"), 0, intent));
            }
            Act::Again { which } => {
                if let Some((id, intent)) = pick(&bench, *which) {
                    let task = bench.state.intent(id).unwrap().decided.task.clone();
                    bench.propose(proposal(&task, 0, intent));
                }
            }
            Act::Approve { which } => {
                if let Some((id, intent)) = pick(&bench, *which) {
                    drop(bench.approve(id, &intent, 1));
                }
            }
            Act::Move { which, how } => {
                if let Some((id, _)) = pick(&bench, *which) {
                    for body in movements(id, *how) {
                        bench.moved(body);
                    }
                }
            }
            Act::Pass { ms } => bench.now += ms,
        }
    }
    bench.entries
}

fn movements(id: IntentId, how: u8) -> Vec<Body> {
    let all = usdc_or_gas();
    match how {
        0 => vec![Body::Signed { id, hash: B256::ZERO }],
        1 => vec![Body::Sent { id }],
        2 => vec![Body::Seen { id, at: PLACE }],
        3 => vec![Body::Unseen { id }],
        4 => vec![Body::Expired { id, block: 1 }],
        5 => vec![Body::Released { id, why: String::new() }],
        _ => vec![
            Body::Signed { id, hash: B256::ZERO },
            Body::Sent { id },
            Body::Seen { id, at: PLACE },
            Body::Final { id, actual: all, time: None },
        ],
    }
}

fn usdc_or_gas() -> Vec<marque_policies::Money> {
    vec![support::usdc(u64::MAX)]
}

/// The verdicts of the tests' policy with other limits, recounted from the entries alone: a list of
/// payments, and nothing of the engine.
struct Recount {
    limits: [u64; 4],
    paid: BTreeMap<IntentId, Paid>,
    asked: BTreeMap<IntentId, Timestamp>,
    approved: BTreeMap<IntentId, (Timestamp, u64)>,
}

struct Paid {
    at: Timestamp,
    units: u64,
    in_flight: bool,
    /// 0 reserved, 1 signed, 2 sent, 3 seen, 4 gone or final.
    stage: u8,
    here_only: bool,
}

impl Recount {
    fn new(limits: [u64; 4]) -> Self {
        let (paid, asked, approved) = Default::default();
        Self { limits, paid, asked, approved }
    }

    fn verdict(&self, id: IntentId, units: u64, now: Timestamp) -> Decision {
        let [payment, hour, day, ask] = self.limits;
        let sum = |width: Timestamp| {
            let counts = |paid: &&Paid| paid.in_flight || paid.at > now.saturating_sub(width);
            self.paid.values().filter(counts).map(|paid| paid.units).sum::<u64>() + units
        };
        let approved = self
            .approved
            .get(&id)
            .is_some_and(|(closes, deadline)| now <= *closes && now <= deadline * 1_000);
        if units > payment || sum(HOUR) > hour || sum(24 * HOUR) > day {
            Decision::Refuse
        } else if units > ask && !approved {
            Decision::Hold
        } else {
            Decision::Allow
        }
    }

    /// The decisions that would have been others.
    fn run(mut self, entries: &[Entry]) -> Vec<(u64, bool)> {
        let mut changes = Vec::new();
        for entry in entries {
            let at = entry.at;
            let (decided, was) = match &entry.body {
                Body::Allowed(it) => (&it.decided, Decision::Allow),
                Body::Held(it) => (&**it, Decision::Hold),
                Body::Refused(it) => (&**it, Decision::Refuse),
                Body::Approve { intent, deadline, .. } => {
                    if let Some(closes) = self.asked.get(intent) {
                        self.approved.insert(*intent, (*closes, *deadline));
                    }
                    continue;
                }
                other => {
                    self.moved(other, at);
                    continue;
                }
            };
            if self.paid.contains_key(&decided.id) {
                // Paid here already, or given up: asked again, it is the same.
                if was != Decision::Allow {
                    changes.push((entry.seq, false));
                }
                continue;
            }
            let (units, transaction) = match &decided.intent {
                Intent::Authorise(pay) => (pay.amount.units.to::<u64>(), false),
                Intent::Transfer(pay) => (pay.amount.units.to::<u64>(), true),
                other => panic!("{other:?}"),
            };
            let now = self.verdict(decided.id, units, at);
            match now {
                Decision::Allow => {
                    let here_only = was != Decision::Allow;
                    let stage = if here_only { 4 } else { 2 * u8::from(!transaction) };
                    let paid = Paid { at, units, in_flight: !here_only, stage, here_only };
                    self.paid.insert(decided.id, paid);
                }
                // The question stands as it was first asked, until it closes.
                Decision::Hold => {
                    let open = self.asked.get(&decided.id).is_some_and(|closes| at <= *closes);
                    if !open || self.approved.contains_key(&decided.id) {
                        self.asked.insert(decided.id, at + 24 * HOUR);
                        self.approved.remove(&decided.id);
                    }
                }
                Decision::Refuse => {
                    self.asked.remove(&decided.id);
                    self.approved.remove(&decided.id);
                }
            }
            if now != was {
                changes.push((entry.seq, now == Decision::Allow));
            }
        }
        changes
    }

    fn moved(&mut self, body: &Body, at: Timestamp) {
        let Some(paid) = body.intent().and_then(|id| self.paid.get_mut(&id)) else { return };
        if paid.here_only {
            return;
        }
        match (body, paid.stage) {
            (Body::Signed { .. }, 0) => paid.stage = 1,
            (Body::Sent { .. }, 1) => paid.stage = 2,
            (Body::Seen { .. }, 1 | 2) => {
                paid.stage = 3;
                paid.at = paid.at.max(at);
            }
            (Body::Unseen { .. }, 3) => paid.stage = 2,
            (Body::Final { .. }, 3) => {
                paid.stage = 4;
                paid.in_flight = false;
                paid.at = paid.at.max(at);
            }
            // A nonce that is filled moves no money any more.
            (Body::Released { .. } | Body::Filled { .. }, 0) | (Body::Expired { .. }, 1 | 2) => {
                paid.stage = 4;
                paid.in_flight = false;
                paid.units = 0;
            }
            _ => {}
        }
    }
}

fn limits() -> impl Strategy<Value = [u64; 4]> {
    let near = |usual: u64| prop_oneof![2 => Just(usual), 3 => 1..2 * usual];
    (near(1_000_000), near(3_000_000), near(10_000_000), near(500_000))
        .prop_map(|(payment, hour, day, ask)| [payment, hour, day, ask])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_policy_that_was_in_force_changes_nothing(
        acts in prop::collection::vec(act(), 1..100),
        since in prop_oneof![Just(0), START..START + 40 * HOUR],
    ) {
        let entries = play(&acts);
        for reading in [Reading::Followed, Reading::Fixed] {
            let replay = over(&entries, &policy(1), since, reading);
            prop_assert_eq!(&replay.changes, &[]);
            prop_assert!(replay.more.is_empty() && replay.less.is_empty());
        }
    }

    #[test]
    fn a_naive_recount_of_the_windows_agrees(
        acts in prop::collection::vec(act(), 1..140),
        limits in limits(),
    ) {
        let entries = play(&acts);
        let [payment, hour, day, ask] = limits;
        let replay = over(&entries, &with(payment, hour, day, ask), 0, Reading::Followed);
        let said: Vec<_> =
            replay.changes.iter().map(|it| (it.seq, it.now == Outcome::Allow)).collect();
        prop_assert_eq!(said, Recount::new(limits).run(&entries));
    }
}
