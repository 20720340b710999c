//! Refills of the float: decided like any other intent, one at a time, up to the mark, for fees alone.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, U256};
use marque_contracts::delegation::{
    Delegation, Execution, Permission, SINGLE_CALL, binding::IDelegationManager,
};
use marque_policies::{Intent, IntentId, Scope};
use marque_steward::{
    core::{Covered, Event, Facts, Lack, Reply, Surplus, Way},
    entry::{Body, OnChain, Order},
};
use marque_steward_client::PaymentState;
use support::*;

const MANAGER: Address = Address::repeat_byte(0xdd);

/// The usual policy with a float between 0.50 and 2.00.
fn floating(version: u64) -> String {
    policy(version)
        + "[float.USDC]\nlow = \"0.50\"\nhigh = \"2.00\"\n[sub_agent.helper]\npayees = [\"shop\"]\n"
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.under(&floating(2));
    bench
}

fn way() -> Way {
    let root = Delegation::root(Address::repeat_byte(0xac), agent().address());
    Way { manager: MANAGER, permission: Permission::new([root.signed(vec![1; 65])]).unwrap() }
}

/// What is found out where the key holds so much.
fn holding(bench: &Bench, units: u64) -> Facts {
    Facts { cover: Some(U256::from(units)), way: Some(way()), ..bench.facts() }
}

fn refill(units: u64) -> Intent {
    Intent::Refill { amount: usdc(units) }
}

fn ask(bench: &mut Bench, task: &str, units: u64, held: u64) -> Reply {
    let facts = holding(bench, held);
    bench.propose_with(proposal(task, 0, refill(units)), facts)
}

const fn place() -> OnChain {
    OnChain { transaction: B256::repeat_byte(9), block: 11, block_hash: B256::repeat_byte(8) }
}

fn stands(bench: &Bench, id: IntentId) -> PaymentState {
    bench.state.intent(id).unwrap().state
}

#[test]
fn a_refill_calls_the_manager_alone_and_spends_fees_alone() {
    let mut bench = bench();
    let id = allowed(ask(&mut bench, "a", 1_500_000, 500_000));
    let record = bench.state.intent(id).unwrap();
    let Some(Order::Transaction(order)) = &record.order else { panic!("{record:?}") };
    assert_eq!((order.to, order.value), (MANAGER, U256::ZERO));
    let call = <IDelegationManager::redeemDelegationsCall as alloy_sol_types::SolCall>::abi_decode(
        &order.data,
    );
    let call = call.unwrap();
    let own = Execution::transfer(TOKEN, agent().address(), U256::from(1_500_000));
    assert_eq!(call.executionCallDatas, [own.encode()], "to the agent's own key");
    assert_eq!(call.modes, [SINGLE_CALL]);
    assert_eq!(bench.spent(Scope::Agent), U256::ZERO, "no window of a payment is touched");
    assert!(record.debits.iter().all(|debit| debit.asset.is_native()));
    // What comes by it adds no authority: the hour has as much room as before.
    bench.moved(Body::Signed { id, hash: B256::repeat_byte(9) });
    bench.moved(Body::Sent { id });
    bench.moved(Body::Seen { id, at: place() });
    bench.moved(Body::Final { id, actual: vec![], time: None });
    assert_eq!(stands(&bench, id), PaymentState::Final);
    for task in 0..6 {
        allowed(bench.propose(proposal(&format!("buy {task}"), 0, pay(500_000))));
    }
    let rules = refused(bench.propose(proposal("buy more", 0, pay(1))));
    assert_eq!(rules, ["limits.USDC.hour"]);
}

#[test]
fn a_refill_never_brings_the_key_above_its_mark_and_waits_for_the_one_before() {
    let mut bench = bench();
    assert_eq!(refused(ask(&mut bench, "a", 2_000_001, 0)), ["float.USDC.high", "steward.float"]);
    assert_eq!(refused(ask(&mut bench, "b", 1_500_001, 500_000)), ["steward.float"]);
    let facts = Facts { cover: None, ..holding(&bench, 0) };
    let unknown = bench.propose_with(proposal("c", 0, refill(1)), facts);
    assert_eq!(refused(unknown), ["steward.float"], "what the key holds is not known");
    let first = allowed(ask(&mut bench, "d", 1_500_000, 500_000));
    assert_eq!(refused(ask(&mut bench, "e", 1, 500_000)), ["steward.refill"]);
    assert_eq!(first, allowed(ask(&mut bench, "d", 1_500_000, 500_000)), "the same one again");
    bench.moved(Body::Signed { id: first, hash: B256::repeat_byte(9) });
    bench.moved(Body::Sent { id: first });
    assert_eq!(refused(ask(&mut bench, "f", 1, 500_000)), ["steward.refill"]);
    bench.moved(Body::Seen { id: first, at: place() });
    // In a block, it is in what the key holds.
    assert_eq!(refused(ask(&mut bench, "g", 1, 2_000_000)), ["steward.float"]);
    allowed(ask(&mut bench, "h", 1, 1_000_000));
}

#[test]
fn without_a_float_a_way_or_a_thaw_nothing_is_drawn() {
    let mut bench = Bench::new();
    assert_eq!(refused(ask(&mut bench, "a", 1, 0)), ["float.known"]);
    bench.under(&floating(2));
    let facts = Facts { way: None, ..holding(&bench, 0) };
    let reply = bench.propose_with(proposal("b", 0, refill(1)), facts);
    assert_eq!(fault(reply), "chain", "nothing to draw by");
    let trouble = Some("tried out, it fails".to_owned());
    let facts = Facts { trouble, ..holding(&bench, 0) };
    let reply = bench.propose_with(proposal("c", 0, refill(1)), facts);
    assert_eq!(fault(reply), "chain", "what the chain would refuse is not signed");
    let facts = Facts { sub_agent: Some("helper".to_owned()), ..holding(&bench, 0) };
    let reply = bench.propose_with(proposal("d", 0, refill(1)), facts);
    assert!(refused(reply).contains(&"sub_agent.helper.acts".to_owned()));
    bench.act(Event::Freeze {
        agent: None,
        by: "mind",
        reason: "odd".into(),
        surplus: Surplus::default(),
    });
    assert_eq!(fault(ask(&mut bench, "e", 1, 0)), "frozen");
}

#[test]
fn a_payment_is_signed_for_no_more_than_the_key_has_left() {
    let mut bench = bench();
    let afford = |bench: &mut Bench, task: &str, units: u64, held: u64| {
        let facts = Facts { held: Some(U256::from(held)), ..bench.facts() };
        bench.propose_with(proposal(task, 0, pay(units)), facts)
    };
    let first = allowed(afford(&mut bench, "a", 400_000, 500_000));
    // Both were looked up before either was decided.
    assert_eq!(fault(afford(&mut bench, "b", 200_000, 500_000)), "float");
    assert_eq!(bench.spent(Scope::Agent), U256::from(400_000), "nothing is reserved for it");
    allowed(afford(&mut bench, "c", 100_000, 500_000));
    // What is in a block that the look-up knew has left the balance; in a later one it may have not.
    bench.moved(Body::Seen { id: first, at: OnChain { block: 10, ..place() } });
    assert_eq!(fault(afford(&mut bench, "d", 1, 100_000)), "float");
    allowed(afford(&mut bench, "d", 100_000, 200_000));
    let mut later = self::bench();
    let first = allowed(afford(&mut later, "a", 400_000, 500_000));
    later.moved(Body::Seen { id: first, at: place() });
    assert_eq!(fault(afford(&mut later, "b", 200_000, 500_000)), "float");
}

#[test]
fn where_the_policy_requires_it_nothing_is_paid_unless_the_chain_is_known_to_hold_the_limits() {
    let mut bench = Bench::new();
    let required =
        floating(2).replace("high = \"2.00\"", "high = \"2.00\"\ndelegation = \"required\"");
    bench.under(&required);
    let lack = Lack { why: "it was revoked".into(), mend: "delegate".into() };
    let approve = Intent::ApprovePermit2 { amount: usdc(1) };
    for (number, intent) in [pay(1), transfer(1), approve].into_iter().enumerate() {
        let ask = |bench: &mut Bench, covered| {
            let facts = Facts { covered, cover: Some(U256::from(9)), ..bench.facts() };
            bench.propose_with(proposal(&format!("out {number}"), 0, intent.clone()), facts)
        };
        for covered in [Covered::Unknown, Covered::Lacks(lack.clone())] {
            assert_eq!(refused(ask(&mut bench, covered)), ["float.USDC.delegation"], "{intent:?}");
        }
        allowed(ask(&mut bench, Covered::Stands));
    }
    // What brings money back, takes a payment back, or is the payment of somebody else goes on.
    allowed(bench.propose(proposal("back", 0, sweep(1))));
    let out = allowed(bench.propose_with(
        proposal("out", 0, pay(2)),
        Facts { covered: Covered::Stands, ..bench.facts() },
    ));
    bench.moved(Body::Sent { id: out });
    allowed(bench.propose(proposal("taken back", 0, cancel(out))));
    allowed(bench.propose(proposal("income", 0, settle(&key(7), agent().address(), 5, 1, TOKEN))));
    allowed(ask(&mut bench, "drawn", 1, 0));
    bench.under(&floating(3));
    allowed(bench.propose(proposal("wanted", 0, pay(1))));
}
