//! The core's rules, one by one, without a driver.

#![cfg(test)]

mod support;

use alloy_primitives::{B256, U256};
use marque_identity_keys::{Key, countersign};
use marque_policies::{AssetId, Intent, IntentId, Mark, Money, Scope, SignedStatement, Statement};
use marque_steward::{
    Body,
    core::{BlockFacts, Event, Facts, GasPlan, HELD_AT_ONCE, Reply, Surplus},
    entry::{Foreign, OnChain, Order},
};
use marque_steward_client::{PaymentState, Report, Said};
use support::{
    Bench, CHAIN, START, TOKEN, adopt, agent, allowed, cancel, fault, fetch, held, key, owner, pay,
    policy, policy_for, proposal, refused, settle, signed, sweep, transfer,
};

fn place(block: u64) -> OnChain {
    OnChain { transaction: B256::repeat_byte(3), block, block_hash: B256::repeat_byte(4) }
}

#[test]
fn the_same_id_and_body_is_decided_once_and_another_body_is_refused() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    let before = bench.entries.len();
    assert_eq!(allowed(bench.propose(proposal("buy", 0, pay(100_000)))), id);
    assert_eq!(bench.entries.len(), before, "the second time nothing is journalled");
    assert_eq!(fault(bench.propose(proposal("buy", 0, pay(100_001)))), "id_reused");
}

#[test]
fn an_authorisation_is_bound_to_its_id_and_short_lived() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    let Some(Order::Authorisation(order)) = &bench.state.intent(id).unwrap().order else {
        panic!()
    };
    assert_eq!(order.nonce, id.nonce());
    assert!(order.valid_before <= START / 1_000 + 300);
    assert_eq!(order.from, agent().address());
    assert_eq!(bench.state.intent(id).unwrap().state, PaymentState::Sent);
}

#[test]
fn the_next_attempt_waits_until_the_one_before_is_closed_and_closes_it_for_good() {
    let mut bench = Bench::new();
    assert_eq!(fault(bench.propose(proposal("buy", 1, pay(100_000)))), "attempt");
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    assert_eq!(fault(bench.propose(proposal("buy", 1, pay(100_000)))), "attempt");
    bench.moved(Body::Expired { id, block: 99 });
    assert_eq!(fault(bench.propose(proposal("buy", 0, pay(100_000)))), "attempt");
    allowed(bench.propose(proposal("buy", 1, pay(200_000))));
    // A refused attempt could be decided again: not once there is another after it.
    refused(bench.propose(proposal("other", 0, pay(9_000_000))));
    allowed(bench.propose(proposal("other", 1, pay(100_000))));
    assert_eq!(fault(bench.propose(proposal("other", 0, pay(9_000_000)))), "attempt");
}

#[test]
fn a_held_intent_passes_once_approved_and_only_this_one() {
    let mut bench = Bench::new();
    let intent = pay(600_000);
    let id = held(bench.propose(proposal("buy", 0, intent.clone())));
    assert!(bench.state.debits().of(id).is_empty(), "what is held reserves nothing");
    assert_eq!(bench.approve(id, &pay(600_001), 1).unwrap_err().code, "stale");
    assert_eq!(bench.approve(id, &intent, 2).unwrap_err().code, "stale");
    let first = bench.approve(id, &intent, 1).unwrap();
    assert_eq!(bench.approve(id, &intent, 1).unwrap(), first, "handed in twice, noted once");
    allowed(bench.propose(proposal("buy", 0, intent.clone())));
    assert_eq!(bench.approve(id, &intent, 1).unwrap_err().code, "stale");
    held(bench.propose(proposal("again", 0, intent)));
}

#[test]
fn an_approval_ends_with_its_deadline_and_with_the_policy() {
    let mut bench = Bench::new();
    let intent = pay(600_000);
    let id = held(bench.propose(proposal("buy", 0, intent.clone())));
    bench.approve(id, &intent, 1).unwrap();
    bench.now += 601_000;
    held(bench.propose(proposal("buy", 0, intent.clone())));
    bench.approve(id, &intent, 1).unwrap();
    bench.adopt(2).unwrap();
    held(bench.propose(proposal("buy", 0, intent)));
}

#[test]
fn what_the_owner_denies_stays_denied() {
    let mut bench = Bench::new();
    let intent = pay(600_000);
    let id = held(bench.propose(proposal("buy", 0, intent.clone())));
    let (agent, body) = ("scout".into(), intent.body_hash());
    bench.submit(Statement::Deny { agent, intent: id, body }, None).unwrap();
    assert_eq!(refused(bench.propose(proposal("buy", 0, intent.clone()))), ["owner.denied"]);
    assert_eq!(bench.approve(id, &intent, 1).unwrap_err().code, "stale");
}

#[test]
fn held_intents_close_after_a_day_and_their_queue_is_bounded() {
    let mut bench = Bench::new();
    for n in 0..HELD_AT_ONCE {
        held(bench.propose(proposal(&format!("t{n}"), 0, pay(600_000))));
    }
    let over = refused(bench.propose(proposal("over", 0, pay(600_000))));
    assert_eq!(over, ["held.queue"]);
    bench.now += 25 * 3_600_000;
    let id = held(bench.propose(proposal("next day", 0, pay(600_000))));
    assert_eq!(bench.state.held("scout", bench.now), 1);
    bench.now += 25 * 3_600_000;
    assert_eq!(bench.approve(id, &pay(600_000), 1).unwrap_err().code, "stale");
}

#[test]
fn frozen_only_money_for_the_owner_passes_and_only_the_owner_thaws() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("before", 0, pay(100_000))));
    let surplus = Surplus::default();
    let freeze = Event::Freeze { agent: None, by: "mind", reason: "odd".into(), surplus };
    let frozen_at = bench.state.next();
    bench.act(freeze.clone());
    assert_eq!(bench.act(freeze), Reply::Noted(Some(frozen_at)), "frozen once");
    for intent in [pay(1), transfer(1), fetch(), settle(&key(9), agent().address(), 5, 1, TOKEN)] {
        assert_eq!(fault(bench.propose(proposal("t", 0, intent))), "frozen");
    }
    assert_eq!(fault(bench.propose(proposal("before", 0, pay(100_000)))), "frozen");
    allowed(bench.propose(proposal("home", 0, sweep(50))));
    let thaw = |n| Statement::Thaw { frozen_at: n };
    assert_eq!(bench.submit(thaw(frozen_at + 1), None).unwrap_err().code, "stale");
    let stranger = signed(&key(9), thaw(frozen_at), None);
    assert_eq!(bench.hand_in(stranger).unwrap_err().code, "not_owner");
    bench.submit(thaw(frozen_at), None).unwrap();
    assert_eq!(allowed(bench.propose(proposal("before", 0, pay(100_000)))), id);
}

#[test]
fn a_policy_counts_only_if_the_owner_in_force_signed_it_and_its_version_rises() {
    let mut bench = Bench::new();
    let origin = support::ORIGIN;
    let same = bench.adopt(1).unwrap();
    assert_eq!(Some(same), bench.state.agent("scout").unwrap().policy.as_ref().map(|p| p.entry));
    let changed = policy(1).replace("10.00", "11.00");
    let lower = adopt(&owner(), "scout", &changed, origin);
    assert_eq!(bench.hand_in(lower).unwrap_err().code, "stale");
    let stranger = adopt(&key(9), "scout", &policy(2), origin);
    assert_eq!(bench.hand_in(stranger).unwrap_err().code, "not_owner");
    // The owner in force signs a document that names somebody else.
    let usurper = policy_for(2, key(9).address(), "http://127.0.0.1:9", TOKEN, support::SHOP);
    assert_eq!(
        bench.hand_in(adopt(&owner(), "scout", &usurper, origin)).unwrap_err().code,
        "not_owner"
    );
    let mut swapped = adopt(&owner(), "scout", &policy(2), origin);
    swapped.document = Some(policy(2).replace("10.00", "99.00"));
    assert_eq!(bench.hand_in(swapped).unwrap_err().code, "malformed");
    let elsewhere = adopt(&owner(), "scout", &policy(2), B256::ZERO);
    assert_eq!(bench.hand_in(elsewhere).unwrap_err().code, "not_owner");
    bench.adopt(2).unwrap();
}

#[test]
fn a_settlement_needs_the_payers_signature_and_happens_once() {
    let mut bench = Bench::new();
    let us = agent().address();
    let good = settle(&key(9), us, 20_000, 1, TOKEN);
    let Intent::Settle(mut forged) = good.clone() else { panic!() };
    forged.from = key(8).address();
    let forged = bench.propose(proposal("s", 0, Intent::Settle(forged)));
    assert!(refused(forged).contains(&"settle.signature".to_owned()));
    let id = allowed(bench.propose(proposal("s", 0, good.clone())));
    assert_eq!(allowed(bench.propose(proposal("another task", 7, good.clone()))), id);
    let Intent::Settle(mut other) = good else { panic!() };
    other.resource = "https://feed.example/other".into();
    let reply = bench.propose(proposal("s", 0, Intent::Settle(other)));
    assert_eq!(fault(reply), "id_reused", "one authorisation buys one resource");
}

#[test]
fn a_settlement_that_somebody_else_brought_to_the_chain_counts_as_paid() {
    let mut bench = Bench::new();
    let intent = settle(&key(9), agent().address(), 20_000, 1, TOKEN);
    let facts = Facts { elsewhere: Some(place(12)), gas: None, ..bench.facts() };
    let id = allowed(bench.propose_with(proposal("s", 0, intent), facts));
    let record = bench.state.intent(id).unwrap();
    assert_eq!(record.state, PaymentState::Seen);
    assert_eq!(record.seen, Some(place(12)));
    assert!(bench.state.debits().of(id).is_empty());
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 0, "no transaction of ours");
}

#[test]
fn a_transaction_moves_step_by_step_and_settles_to_what_it_cost() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 1);
    // Out of order changes nothing.
    bench.moved(Body::Seen { id, at: place(3) });
    bench.moved(Body::Sent { id });
    assert_eq!(bench.state.intent(id).unwrap().state, PaymentState::Reserved);
    bench.moved(Body::Signed { id, hash: B256::repeat_byte(3) });
    bench.moved(Body::Released { id, why: "too late to say".into() });
    bench.moved(Body::Sent { id });
    bench.moved(Body::Seen { id, at: place(3) });
    bench.moved(Body::Unseen { id });
    assert_eq!(bench.state.intent(id).unwrap().state, PaymentState::Sent);
    assert_eq!(bench.state.debits().of(id).len(), 2, "a reorganisation releases nothing");
    bench.moved(Body::Seen { id, at: place(4) });
    let gas = marque_policies::AssetId::native(CHAIN);
    let gas = marque_policies::Money::new(alloy_primitives::U256::from(77), gas);
    let too_much = support::usdc(100_000_000);
    bench.moved(Body::Final { id, actual: vec![too_much, gas], time: None });
    let rows: Vec<_> = bench.state.debits().of(id).iter().map(|row| row.amount).collect();
    assert_eq!(rows, [support::usdc(100_000), gas], "never above what was reserved");
}

#[test]
fn a_release_before_signing_gives_money_and_nonce_back() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    bench.moved(Body::Released { id, why: "it would fail".into() });
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 0);
    assert!(bench.state.debits().of(id).is_empty());
    assert_eq!(fault(bench.propose(proposal("t", 0, transfer(100_000)))), "attempt");
    allowed(bench.propose(proposal("t", 1, transfer(100_000))));
}

#[test]
fn payments_stop_when_the_chain_stands_still_and_tools_do_not() {
    let mut bench = Bench::new();
    let old = BlockFacts { number: 1, timestamp: START / 1_000 - 601 };
    let facts = Facts { block: Some(old), ..bench.facts() };
    assert_eq!(fault(bench.propose_with(proposal("a", 0, pay(1)), facts)), "chain");
    let facts = Facts { block: None, ..bench.facts() };
    assert_eq!(fault(bench.propose_with(proposal("a", 0, pay(1)), facts.clone())), "chain");
    allowed(bench.propose_with(proposal("b", 0, fetch()), facts));
}

#[test]
fn facts_from_under_another_policy_are_not_used() {
    let mut bench = Bench::new();
    let facts = bench.facts();
    bench.adopt(2).unwrap();
    assert_eq!(fault(bench.propose_with(proposal("a", 0, pay(1)), facts)), "stale");
}

#[test]
fn a_chain_that_knows_more_than_the_ledger_stops_everything_until_the_owner_agrees() {
    let mut bench = Bench::new();
    let facts = Facts { nonce: Some(3), ..bench.facts() };
    let frozen_at = bench.state.next();
    assert_eq!(fault(bench.propose_with(proposal("t", 0, transfer(1)), facts)), "frozen");
    assert_eq!(fault(bench.propose(proposal("a", 0, pay(1)))), "frozen");
    bench.submit(Statement::Thaw { frozen_at }, None).unwrap();
    let facts = Facts { nonce: Some(3), ..bench.facts() };
    let id = allowed(bench.propose_with(proposal("t", 0, transfer(1)), facts));
    let Some(Order::Transaction(order)) = &bench.state.intent(id).unwrap().order else { panic!() };
    assert_eq!(order.nonce, 3);
}

#[test]
fn what_the_chain_knows_more_is_told_before_the_owner_thaws_and_accepted_by_the_thaw_alone() {
    let mut bench = Bench::new();
    let paid = allowed(bench.propose(proposal("a", 0, pay(1_000))));
    let lost = allowed(bench.propose(proposal("b", 0, pay(1_000))));
    bench.moved(Body::Expired { id: lost, block: 9 });
    held(bench.propose(proposal("c", 0, pay(600_000))));
    let it = |nonce| Foreign { token: TOKEN, nonce, transaction: B256::ZERO };
    let elsewhere = Foreign { token: support::SHOP, ..it(paid.nonce()) };
    let strange = vec![it(B256::repeat_byte(5)), it(lost.nonce()), elsewhere];
    let settled = [vec![it(paid.nonce())], strange.clone()].concat();
    let found = bench.state.foreign("scout", settled.clone());
    assert_eq!(found, strange, "unknown, given up, or of another token");

    let stop = |by, surplus| {
        let agent = Some("scout".to_owned());
        Event::Freeze { agent, by, reason: "why".into(), surplus }
    };
    let thaw = |frozen_at| Statement::Thaw { frozen_at };
    let first = bench.state.next();
    bench.act(stop("mind", Surplus::default()));
    let surplus = Surplus { nonce: None, authorisations: strange };
    let second = bench.state.next();
    bench.act(stop("steward", surplus.clone()));
    assert_eq!(bench.act(stop("steward", surplus)), Reply::Noted(Some(second)), "told once");
    let other = Surplus { nonce: Some(1), authorisations: Vec::new() };
    let third = bench.state.next();
    bench.act(stop("steward", other));
    for stale in [first, second] {
        assert_eq!(bench.submit(thaw(stale), None).unwrap_err().code, "stale");
    }
    assert_eq!(bench.state.foreign("scout", settled.clone()).len(), 3, "not without a thaw");
    bench.submit(thaw(third), None).unwrap();
    assert_eq!(bench.state.foreign("scout", settled), []);
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 1);
    let next = it(B256::repeat_byte(6));
    assert_eq!(bench.state.foreign("scout", vec![next]), [next]);
}

#[test]
fn a_transaction_that_would_fail_is_not_reserved() {
    let mut bench = Bench::new();
    let facts = Facts { trouble: Some("it reverts".into()), gas: None, ..bench.facts() };
    let before = bench.entries.len();
    let reply = bench.propose_with(proposal("t", 0, transfer(100_000)), facts);
    assert_eq!(fault(reply), "chain");
    assert_eq!(bench.entries.len(), before);
}

#[test]
fn the_same_refusal_is_journalled_once_a_minute() {
    let mut bench = Bench::new();
    let before = bench.entries.len();
    for _ in 0..20 {
        refused(bench.propose(proposal("greedy", 0, pay(5_000_000))));
    }
    assert_eq!(bench.entries.len(), before + 1);
    bench.now += 61_000;
    refused(bench.propose(proposal("greedy", 0, pay(5_000_000))));
    assert_eq!(bench.entries.len(), before + 2);
}

#[test]
fn who_took_money_and_delivered_nothing_is_held_next_time_until_the_owner_agrees() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("a", 0, pay(1_000))));
    let why = "404".to_owned();
    let report = Report { intent: id, said: Said::Undelivered { why } };
    bench.act(Event::Report { agent: "scout".into(), report });
    allowed(bench.propose(proposal("b", 0, pay(1_000))));
    bench.moved(Body::Seen { id, at: place(5) });
    let next = held(bench.propose(proposal("c", 0, pay(1_000))));
    bench.approve(next, &pay(1_000), 1).unwrap();
    allowed(bench.propose(proposal("c", 0, pay(1_000))));
    allowed(bench.propose(proposal("d", 0, pay(1_000))));
}

#[test]
fn a_claim_that_the_chain_contradicts_is_journalled_once_the_payment_is_over() {
    let claims = |bench: &mut Bench, id, byte| {
        let amount = Some(Money::new(U256::from(1_000), AssetId { chain: CHAIN, token: TOKEN }));
        let said = Said::Settled { transaction: B256::repeat_byte(byte), amount };
        bench.act(Event::Report { agent: "scout".into(), report: Report { intent: id, said } });
    };
    let contradictions = |bench: &Bench| -> Vec<_> {
        let bodies = bench.entries.iter().map(|entry| &entry.body);
        bodies
            .filter_map(|body| match body {
                Body::Contradicted { id, claimed, found } => Some((*id, *claimed, *found)),
                _ => None,
            })
            .collect()
    };
    let mut bench = Bench::new();
    let at = place(5);
    let finish = |bench: &mut Bench, id| {
        bench.moved(Body::Seen { id, at });
        bench.moved(Body::Final { id, actual: vec![], time: None });
    };
    // The truth, before and after.
    let honest = allowed(bench.propose(proposal("a", 0, pay(1_000))));
    let byte = at.transaction.0[0];
    assert_eq!(at.transaction, B256::repeat_byte(byte));
    claims(&mut bench, honest, byte);
    finish(&mut bench, honest);
    claims(&mut bench, honest, byte);
    assert_eq!(contradictions(&bench), []);
    // A lie that was told before the chain had decided, and one told afterwards.
    let early = allowed(bench.propose(proposal("b", 0, pay(1_000))));
    claims(&mut bench, early, byte ^ 1);
    bench.moved(Body::Seen { id: early, at });
    assert_eq!(contradictions(&bench), [], "a reorganisation may still make it true");
    bench.moved(Body::Final { id: early, actual: vec![], time: None });
    claims(&mut bench, honest, byte ^ 2);
    // What was said to be settled and never was.
    let never = allowed(bench.propose(proposal("c", 0, pay(1_000))));
    claims(&mut bench, never, byte);
    bench.moved(Body::Expired { id: never, block: 9 });
    let lie = |mask: u8| B256::repeat_byte(byte ^ mask);
    assert_eq!(
        contradictions(&bench),
        [
            (early, lie(1), Some(at.transaction)),
            (honest, lie(2), Some(at.transaction)),
            (never, lie(0), None),
        ]
    );
}

#[test]
fn numbers_that_json_would_round_are_refused() {
    let mut bench = Bench::new();
    let Intent::Settle(mut intent) = settle(&key(9), agent().address(), 5, 1, TOKEN) else {
        panic!()
    };
    intent.valid_before = u64::MAX - 1;
    let reply = bench.propose(proposal("s", 0, Intent::Settle(intent)));
    assert_eq!(fault(reply), "malformed");
    assert_eq!(fault(bench.propose(proposal(&"x".repeat(129), 0, fetch()))), "malformed");
}

#[test]
fn every_row_of_a_refusal_is_told() {
    let mut bench = Bench::new();
    let Intent::Authorise(mut intent) = pay(20_000_000) else { panic!() };
    intent.payee = "stranger".into();
    let Reply::Refused(_, table) = bench.propose(proposal("r", 0, Intent::Authorise(intent)))
    else {
        panic!()
    };
    let failed: Vec<_> =
        table.iter().filter(|row| row.mark == Mark::Fail).map(|row| row.rule.as_str()).collect();
    assert!(failed.contains(&"payee.known"), "{failed:?}");
    assert!(failed.contains(&"limits.USDC.payment"), "{failed:?}");
    assert!(failed.contains(&"limits.USDC.day"), "{failed:?}");
}

#[test]
fn a_chain_whose_clock_runs_ahead_gets_no_signature_that_outlives_us() {
    let mut bench = Bench::new();
    for (ahead, passes) in [(601, false), (10 * 365 * 86_400, false), (599, true)] {
        let block = BlockFacts { number: 10, timestamp: START / 1_000 + ahead };
        let facts = Facts { block: Some(block), ..bench.facts() };
        let reply = bench.propose_with(proposal(&format!("{ahead}"), 0, pay(100_000)), facts);
        match passes {
            true => drop(allowed(reply)),
            false => assert_eq!(fault(reply), "chain", "{ahead}"),
        }
    }
}

/// A rotation from `from` to `to`, signed by both.
fn rotation(from: &Key, to: &Key, since: u64) -> SignedStatement {
    let signed = signed(from, Statement::Rotate { owner: to.address(), since }, None);
    countersign(to, signed, CHAIN, support::ORIGIN)
}

#[test]
fn the_old_owner_signs_the_new_one_in_and_from_then_on_only_the_new_one_counts() {
    let mut bench = Bench::new();
    let (old, new) = (owner(), key(7));
    let alone = signed(&old, Statement::Rotate { owner: new.address(), since: 0 }, None);
    assert_eq!(bench.hand_in(alone.clone()).unwrap_err().code, "malformed", "not without the new");
    let stranger = countersign(&key(9), alone, CHAIN, support::ORIGIN);
    assert_eq!(bench.hand_in(stranger).unwrap_err().code, "not_owner");
    assert_eq!(bench.hand_in(rotation(&new, &new, 0)).unwrap_err().code, "not_owner");
    assert_eq!(bench.hand_in(rotation(&old, &new, 1)).unwrap_err().code, "stale");
    assert_eq!(bench.hand_in(rotation(&old, &agent(), 0)).unwrap_err().code, "malformed");

    let intent = pay(600_000);
    let id = held(bench.propose(proposal("buy", 0, intent.clone())));
    bench.approve(id, &intent, 1).unwrap();
    let entry = bench.hand_in(rotation(&old, &new, 0)).unwrap();
    assert_eq!(bench.hand_in(rotation(&old, &new, 0)).unwrap(), entry, "noted once");
    assert_eq!(bench.state.owner(), Some(new.address()));
    held(bench.propose(proposal("buy", 0, intent.clone())));
    assert_eq!(bench.approve(id, &intent, 1).unwrap_err().code, "not_owner");
    assert_eq!(bench.adopt(2).unwrap_err().code, "not_owner");
    // The policy in force stays in force, and what is swept goes to the new owner.
    allowed(bench.propose(proposal("small", 0, pay(1_000))));
    let home = allowed(bench.propose(proposal("home", 0, sweep(50))));
    let Some(Order::Transaction(order)) = &bench.state.intent(home).unwrap().order else {
        panic!()
    };
    let to = new.address().into_word();
    assert!(order.data.windows(32).any(|word| word == to.as_slice()), "{}", order.data);

    let named = policy_for(2, new.address(), "http://127.0.0.1:9", TOKEN, support::SHOP);
    let by_old = adopt(&old, "scout", &named, support::ORIGIN);
    assert_eq!(bench.hand_in(by_old).unwrap_err().code, "not_owner");
    let old_name = adopt(&new, "scout", &policy(2), support::ORIGIN);
    assert_eq!(bench.hand_in(old_name).unwrap_err().code, "not_owner");
    bench.hand_in(adopt(&new, "scout", &named, support::ORIGIN)).unwrap();

    // Back and away again: the first rotation opens nothing a second time.
    let back = bench.hand_in(rotation(&new, &old, entry)).unwrap();
    assert_eq!(bench.hand_in(rotation(&old, &new, 0)).unwrap_err().code, "stale");
    bench.hand_in(rotation(&old, &new, back)).unwrap();
}

fn freeze(bench: &mut Bench) {
    let surplus = Surplus::default();
    bench.act(Event::Freeze { agent: None, by: "mind", reason: "odd".into(), surplus });
}

fn state(bench: &Bench, id: IntentId) -> PaymentState {
    bench.state.intent(id).unwrap().state
}

#[test]
fn what_is_cancelled_stays_spent_until_the_chain_says_so_and_passes_while_frozen() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    freeze(&mut bench);
    let taken = allowed(bench.propose(proposal("freeze", 0, cancel(id))));
    assert_eq!(taken, allowed(bench.propose(proposal("by any name", 0, cancel(id)))));
    assert_eq!(taken, IntentId::cancellation(support::ORIGIN, "scout", id, 0));
    assert_eq!(fault(bench.propose(proposal("freeze", 1, cancel(id)))), "attempt");
    let Some(Order::Cancel(order)) = &bench.state.intent(taken).unwrap().order else { panic!() };
    assert_eq!((order.cancelled, order.nonce, order.transaction.to), (id, id.nonce(), TOKEN));
    bench.moved(Body::Signed { id: taken, hash: B256::repeat_byte(3) });
    bench.moved(Body::Sent { id: taken });
    bench.moved(Body::Seen { id: taken, at: place(4) });
    bench.moved(Body::Final { id: taken, actual: Vec::new(), time: None });
    assert_eq!(state(&bench, id), PaymentState::Sent);
    assert_eq!(bench.spent(Scope::Agent), U256::from(100_000), "spent until it is final");
    bench.moved(Body::Cancelled { id: taken, at: place(4) });
    assert_eq!(state(&bench, taken), PaymentState::Final, "only an authorisation is cancelled");
    bench.moved(Body::Cancelled { id, at: place(4) });
    assert_eq!(state(&bench, id), PaymentState::Cancelled);
    assert_eq!(bench.spent(Scope::Agent), U256::ZERO);
}

#[test]
fn an_authorisation_that_was_used_first_is_paid_and_the_cancellation_costs_gas_alone() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    let taken = allowed(bench.propose(proposal("stop", 0, cancel(id))));
    bench.moved(Body::Signed { id: taken, hash: B256::repeat_byte(3) });
    bench.moved(Body::Sent { id: taken });
    bench.moved(Body::Seen { id, at: place(4) });
    bench.moved(Body::Final { id, actual: vec![support::usdc(100_000)], time: None });
    let gas = marque_policies::AssetId::native(CHAIN);
    let gas = marque_policies::Money::new(U256::from(77), gas);
    bench.moved(Body::Reverted { id: taken, at: place(5), actual: vec![gas], time: None });
    assert_eq!(state(&bench, id), PaymentState::Final);
    assert_eq!(bench.spent(Scope::Agent), U256::from(100_000));
    let rows: Vec<_> = bench.state.debits().of(taken).iter().map(|row| row.amount).collect();
    assert_eq!(rows, [gas]);
}

#[test]
fn only_an_authorisation_of_ones_own_that_is_out_can_be_cancelled() {
    let mut bench = Bench::new();
    let rule = ["cancel.authorisation".to_owned()];
    let stranger = IntentId(B256::repeat_byte(9));
    assert_eq!(refused(bench.propose(proposal("c", 0, cancel(stranger)))), rule);
    let sent = allowed(bench.propose(proposal("t", 0, transfer(1_000))));
    assert_eq!(refused(bench.propose(proposal("c", 0, cancel(sent)))), rule);
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    bench.moved(Body::Seen { id, at: place(4) });
    assert_eq!(refused(bench.propose(proposal("c", 0, cancel(id)))), rule);
}

#[test]
fn refused_cancellations_stand_in_no_later_ones_way_and_let_no_second_one_through() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("buy", 0, pay(100_000))));
    bench.moved(Body::Seen { id, at: place(4) });
    for attempt in 0..2 {
        refused(bench.propose(proposal("by a mind", attempt, cancel(id))));
    }
    bench.moved(Body::Unseen { id });
    freeze(&mut bench);
    let taken = allowed(bench.propose(proposal("freeze", 2, cancel(id))));
    for attempt in 0..2 {
        let again = bench.propose(proposal("by a mind", attempt, cancel(id)));
        assert_eq!(fault(again), "attempt", "{attempt}");
    }
    // What came to nothing lets an earlier one be decided again.
    bench.moved(Body::Released { id: taken, why: "it fails".to_owned() });
    allowed(bench.propose(proposal("freeze", 0, cancel(id))));
    assert_eq!(fault(bench.propose(proposal("freeze", 64, cancel(id)))), "attempt");
}

#[test]
fn fees_to_cancel_what_is_out_are_kept_back() {
    let mut bench = Bench::new();
    // A transaction costs 0.0001 ETH at most here; so does a cancellation.
    bench.under(&policy(2).replace("day = \"1 ETH\"", "day = \"0.0005 ETH\""));
    let out: Vec<_> = (0..9)
        .map(|n| allowed(bench.propose(proposal(&format!("buy {n}"), 0, pay(1_000)))))
        .collect();
    // Nine are out, and a quarter of the day is kept for them.
    for n in 0..3 {
        allowed(bench.propose(proposal(&format!("t{n}"), 0, transfer(1_000))));
    }
    let reply = bench.propose(proposal("t3", 0, transfer(1_000)));
    assert_eq!(refused(reply), ["steward.reserve.limits.gas.day"]);
    // A mind cannot use it up by sending money home or by cancelling either; a freeze may.
    let reply = bench.propose(proposal("home", 0, sweep(1_000)));
    assert_eq!(refused(reply), ["steward.reserve.limits.gas.day"]);
    let reply = bench.propose(proposal("c", 0, cancel(out[0])));
    assert_eq!(refused(reply), ["steward.reserve.limits.gas.day"]);
    freeze(&mut bench);
    allowed(bench.propose(proposal("c", 0, cancel(out[0]))));
    allowed(bench.propose(proposal("c", 0, cancel(out[1]))));
    let over = refused(bench.propose(proposal("c", 0, cancel(out[2]))));
    assert_eq!(over, ["limits.gas.day"], "the limit itself binds a freeze as well");
}

#[test]
fn with_nothing_out_no_fees_are_kept_back() {
    let mut bench = Bench::new();
    bench.under(&policy(2).replace("day = \"1 ETH\"", "day = \"0.0005 ETH\""));
    for n in 0..5 {
        allowed(bench.propose(proposal(&format!("t{n}"), 0, transfer(1_000))));
    }
    let reply = bench.propose(proposal("t5", 0, transfer(1_000)));
    assert_eq!(refused(reply), ["limits.gas.day"]);
}

fn gwei(n: u128) -> GasPlan {
    GasPlan { limit: 0, max_fee: n * 1_000_000_000, max_priority_fee: 1 }
}

fn replaced(bench: &Bench, id: IntentId, plan: GasPlan) -> Event {
    Event::Replace { id, plan, block_time: bench.now / 1_000 }
}

#[test]
fn a_clock_that_is_far_ahead_makes_no_room_for_higher_fees() {
    let mut bench = Bench::new();
    bench.under(&policy(2).replace("day = \"1 ETH\"", "day = \"0.0005 ETH\""));
    let sent: Vec<_> = (0..4)
        .map(|n| allowed(bench.propose(proposal(&format!("t{n}"), 0, transfer(1_000)))))
        .collect();
    let gas = marque_policies::AssetId::native(CHAIN);
    let gas = marque_policies::Money::new(U256::from(100_000_000_000_000_u64), gas);
    for (n, id) in (0..).zip(&sent) {
        bench.moved(Body::Signed { id: *id, hash: B256::repeat_byte(n) });
        bench.moved(Body::Sent { id: *id });
        if n > 0 {
            bench.moved(Body::Seen { id: *id, at: place(4) });
            bench.moved(Body::Final { id: *id, actual: vec![gas], time: None });
        }
    }
    let then = bench.now / 1_000;
    bench.now += 2 * marque_policies::document::DAY;
    let higher = |block_time| Event::Replace { id: sent[0], plan: gwei(3), block_time };
    assert_ne!(bench.act(higher(then)), Reply::Allowed(sent[0]));
    let now = bench.now / 1_000;
    assert_eq!(bench.act(higher(now)), Reply::Allowed(sent[0]), "two days have passed");
}

#[test]
fn a_transaction_that_waits_keeps_its_nonce_and_effect_and_gets_higher_fees() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    bench.act(replaced(&bench, id, gwei(50)));
    assert_eq!(state(&bench, id), PaymentState::Reserved, "nothing is out yet");
    let (first, second) = (B256::repeat_byte(1), B256::repeat_byte(2));
    bench.moved(Body::Signed { id, hash: first });
    bench.moved(Body::Sent { id });
    let Some(Order::Transaction(before)) = bench.state.intent(id).unwrap().order.clone() else {
        panic!()
    };
    assert_eq!(bench.act(replaced(&bench, id, gwei(50))), Reply::Allowed(id));
    let record = bench.state.intent(id).unwrap();
    assert!(record.awaits_signature());
    let Some(Order::Transaction(after)) = &record.order else { panic!() };
    assert_eq!(
        (before.nonce, before.to, before.value, &before.data, before.gas_limit),
        (after.nonce, after.to, after.value, &after.data, after.gas_limit)
    );
    assert_eq!(after.max_fee, U256::from(50_000_000_000_u64));
    assert!(after.max_priority_fee > before.max_priority_fee, "nodes take no less");
    let most = U256::from(100_000_u64 * 50) * U256::from(1_000_000_000_u64);
    let rows = bench.state.debits().of(id);
    assert_eq!(rows[1].amount.units, most, "reserved before it is signed");
    assert_eq!(rows[0].amount, support::usdc(100_000));
    // Not a third while the second is not signed.
    let entries = bench.entries.len();
    bench.act(replaced(&bench, id, gwei(90)));
    assert_eq!(bench.entries.len(), entries);
    bench.moved(Body::Signed { id, hash: second });
    bench.moved(Body::Sent { id });
    let hashes: Vec<_> = bench.state.intent(id).unwrap().hashes().collect();
    assert_eq!(hashes, [second, first], "both stay watched");
}

#[test]
fn higher_fees_than_the_limits_have_room_for_are_not_signed() {
    let mut bench = Bench::new();
    bench.under(&policy(2).replace("day = \"1 ETH\"", "day = \"0.001 ETH\""));
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    bench.moved(Body::Signed { id, hash: B256::repeat_byte(1) });
    bench.moved(Body::Sent { id });
    let entries = bench.entries.len();
    bench.act(replaced(&bench, id, gwei(11)));
    assert_eq!(bench.entries.len(), entries, "0.0011 ETH in a day of 0.001");
    freeze(&mut bench);
    let entries = bench.entries.len();
    bench.act(replaced(&bench, id, gwei(2)));
    assert_eq!(bench.entries.len(), entries, "nothing is signed while frozen");
    let frozen_at = bench.state.frozen().unwrap().seq;
    bench.submit(Statement::Thaw { frozen_at }, None).unwrap();
    assert_eq!(bench.act(replaced(&bench, id, gwei(10))), Reply::Allowed(id));
}

#[test]
fn a_nonce_with_later_ones_behind_it_is_filled_and_not_given_back() {
    let mut bench = Bench::new();
    let first = allowed(bench.propose(proposal("a", 0, transfer(100_000))));
    let second = allowed(bench.propose(proposal("b", 0, transfer(50_000))));
    bench.moved(Body::Released { id: first, why: "it would fail".into() });
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 2);
    let record = bench.state.intent(first).unwrap();
    let Some(Order::Transaction(order)) = &record.order else { panic!() };
    assert_eq!((order.nonce, order.to, order.value), (0, agent().address(), U256::ZERO));
    assert!(order.data.is_empty() && record.filled);
    assert_eq!(bench.spent(Scope::Agent), U256::from(50_000), "only gas is kept for it");
    assert_eq!(bench.state.debits().of(first).len(), 1);
    bench.moved(Body::Signed { id: first, hash: place(3).transaction });
    bench.moved(Body::Sent { id: first });
    bench.moved(Body::Reverted { id: first, at: place(3), actual: Vec::new(), time: None });
    assert!(bench.state.debits().of(first).is_empty());
    allowed(bench.propose(proposal("a", 1, transfer(100_000))));
    bench.moved(Body::Released { id: second, why: "it would fail".into() });
    assert!(bench.state.intent(second).unwrap().filled);
}

/// The tests' policy with two accounts below the agent.
fn below(version: u64) -> String {
    policy(version)
        + r#"
[sub_agent.helper]
payees = ["shop"]
tools = ["fetch_data"]
[sub_agent.helper.limits.USDC]
day = "0.30"
[sub_agent.helper.limits.gas]
day = "1 ETH"
[sub_agent.twin]
payees = ["shop"]
[sub_agent.twin.limits.USDC]
day = "9"
"#
}

#[test]
fn two_accounts_below_an_agent_never_share_an_id_and_each_is_bound_by_its_own_limits() {
    let mut bench = Bench::new();
    bench.under(&below(2));
    let same = || proposal("buy", 0, pay(200_000));
    let ids = [
        allowed(bench.propose(same())),
        allowed(bench.propose_as("helper", same())),
        allowed(bench.propose_as("twin", same())),
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_eq!(allowed(bench.propose_as("helper", same())), ids[1]);
    let record = bench.state.intent(ids[1]).unwrap();
    assert_eq!(record.decided.sub_agent.as_deref(), Some("helper"));
    let over = refused(bench.propose_as("helper", proposal("more", 0, pay(200_000))));
    assert_eq!(over, ["sub_agent.helper.limits.USDC.day"]);
    let gone = refused(bench.propose_as("stranger", proposal("more", 0, pay(1))));
    assert!(gone.contains(&"sub_agent.known".to_owned()), "{gone:?}");
    let no_tool = refused(bench.propose_as("twin", proposal("look", 0, fetch())));
    assert!(no_tool.contains(&"sub_agent.twin.tools".to_owned()), "{no_tool:?}");
    allowed(bench.propose_as("helper", proposal("look", 0, fetch())));
}

#[test]
fn one_reservation_debits_the_task_the_sub_agent_the_agent_and_the_owner_or_none() {
    let mut bench = Bench::new();
    bench.under(&below(2));
    let id = allowed(bench.propose_as("helper", proposal("buy", 0, pay(200_000))));
    let scopes = || [Scope::Task("buy"), Scope::SubAgent("helper"), Scope::Agent, Scope::Owner];
    for scope in scopes() {
        assert_eq!(bench.spent(scope.clone()), U256::from(200_000), "{scope:?}");
    }
    assert_eq!(bench.spent(Scope::SubAgent("twin")), U256::ZERO);
    // What the agent has left binds the account below, and a refusal debits nobody.
    for n in 0..5 {
        allowed(bench.propose(proposal(&format!("own {n}"), 0, pay(500_000))));
    }
    let over = refused(bench.propose_as("twin", proposal("late", 0, pay(400_000))));
    assert_eq!(over, ["limits.USDC.hour"]);
    assert_eq!(bench.spent(Scope::SubAgent("twin")), U256::ZERO);
    bench.moved(Body::Expired { id, block: 9 });
    for scope in scopes() {
        let left = if matches!(scope, Scope::Agent | Scope::Owner) { 2_500_000 } else { 0 };
        assert_eq!(bench.spent(scope), U256::from(left));
    }
}

#[test]
fn garbage_about_a_settlement_binds_nothing() {
    let mut bench = Bench::new();
    let us = agent().address();
    let good = settle(&key(9), us, 20_000, 1, TOKEN);
    let before = bench.entries.len();
    for units in 1..40 {
        let Intent::Settle(mut garbage) = good.clone() else { panic!() };
        garbage.amount = support::usdc(units);
        let reply = bench.propose(proposal("s", 0, Intent::Settle(garbage)));
        assert!(refused(reply).contains(&"settle.signature".to_owned()));
    }
    assert_eq!(bench.entries.len(), before + 1, "and is journalled once a minute");
    let id = allowed(bench.propose(proposal("s", 0, good.clone())));
    let Intent::Settle(mut garbage) = good else { panic!() };
    garbage.amount = support::usdc(1);
    let reply = bench.propose(proposal("s", 0, Intent::Settle(garbage)));
    assert_eq!(fault(reply), "id_reused", "what is allowed is bound");
    assert_eq!(state(&bench, id), PaymentState::Reserved);
}

#[test]
fn what_was_read_of_the_chain_is_remembered_and_never_goes_back() {
    let mut bench = Bench::new();
    let scanned = |block| Body::Scanned { block, tokens: vec![TOKEN] };
    for block in [9_000, 4_000] {
        let event = Event::Chain { agent: "scout".into(), body: scanned(block) };
        bench.act(event);
    }
    assert_eq!(bench.state.agent("scout").unwrap().scanned[&TOKEN], 9_000);
    // Nothing else may be said this way.
    let entries = bench.entries.len();
    bench.act(Event::Chain { agent: "scout".into(), body: Body::Stopped });
    bench.act(Event::Chain { agent: "nobody".into(), body: scanned(1) });
    assert_eq!(bench.entries.len(), entries);
}
