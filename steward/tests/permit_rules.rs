//! The rules on payments through Permit2 that are not the policy's, on a ledger without a driver.

#![cfg(test)]

mod support;

use alloy_primitives::{B256, U256};
use marque_contracts::permit2::Permit;
use marque_policies::{
    AssetId, Intent, IntentId, Money, Scope,
    intent::{Authorise, PermitTransfer, PermitVia, SettlePermit},
};
use marque_steward::{
    Body,
    core::{Event, Facts, Surplus},
    entry::{OnChain, Order, PermitOrder},
    replay::{Plan, Reading, Replayer},
};
use marque_steward_client::PaymentState;
use support::{
    Bench, CHAIN, ORIGIN, SHOP, TOKEN, agent, allowed, fault, key, pay, policy, proposal, refused,
    transfer, usdc,
};

const UPTO: PermitVia = PermitVia::Upto { facilitator: SHOP };

fn permit(units: u64, via: PermitVia) -> Intent {
    let Intent::Authorise(pay) = pay(units) else { panic!() };
    let Authorise { payee, to, amount, host, resource, labels } = pay;
    Intent::PermitTransfer(PermitTransfer { payee, to, amount, host, resource, via, labels })
}

/// Somebody's signed permit that pays the agent, as a facilitator.
fn income(change: impl FnOnce(&mut Permit)) -> SettlePermit {
    let (payer, us) = (key(9), agent().address());
    let mut permit = Permit {
        from: payer.address(),
        to: us,
        token: TOKEN,
        amount: U256::from(20_000),
        facilitator: Some(us),
        valid_after: 0,
        deadline: support::START / 1_000 + 300,
        nonce: U256::from(77),
    };
    change(&mut permit);
    let signature = payer.sign_digest(permit.digest(CHAIN));
    let amount = Money::new(permit.amount, AssetId { chain: CHAIN, token: permit.token });
    SettlePermit {
        from: permit.from,
        to: permit.to,
        amount,
        charge: usdc(2_500),
        via: permit
            .facilitator
            .map_or(PermitVia::Exact, |facilitator| PermitVia::Upto { facilitator }),
        valid_after: permit.valid_after,
        deadline: permit.deadline,
        nonce: permit.nonce,
        signature: alloy_primitives::hex::encode_prefixed(signature),
        resource: "https://feed.example/data".into(),
    }
}

const fn place(block: u64) -> OnChain {
    OnChain { transaction: B256::repeat_byte(1), block, block_hash: B256::repeat_byte(2) }
}

/// What Permit2 may move, or what the agent holds.
fn covered(bench: &Bench, units: u64) -> Facts {
    Facts { cover: Some(U256::from(units)), ..bench.facts() }
}

fn order(bench: &Bench, id: IntentId) -> PermitOrder {
    match &bench.state.intent(id).unwrap().order {
        Some(Order::PermitTransfer(order)) => order.clone(),
        other => panic!("{other:?}"),
    }
}

fn state(bench: &Bench, id: IntentId) -> PaymentState {
    bench.state.intent(id).unwrap().state
}

#[test]
fn a_permit_ends_soon_has_its_own_nonce_and_reserves_its_maximum() {
    let mut bench = Bench::new();
    let facts = covered(&bench, 100_000);
    let id = allowed(bench.propose_with(proposal("buy", 0, permit(60_000, UPTO)), facts));
    let signed = order(&bench, id);
    let block = bench.now / 1_000;
    assert!((block + 60..=block + 300).contains(&signed.deadline), "{}", signed.deadline);
    assert_eq!((signed.nonce, signed.via), (id.permit_nonce(), UPTO));
    assert_eq!(bench.spent(Scope::Agent), U256::from(60_000));
    assert_eq!(state(&bench, id), PaymentState::Sent);
    // Less was taken: the rest is free again once that is final, and not before.
    bench.moved(Body::Seen { id, at: place(11) });
    assert_eq!(bench.spent(Scope::Agent), U256::from(60_000));
    bench.moved(Body::Final { id, actual: vec![usdc(2_500)], time: None });
    assert_eq!(bench.spent(Scope::Agent), U256::from(2_500));
}

#[test]
fn permits_settle_to_no_more_than_they_reserved() {
    let mut bench = Bench::new();
    let facts = covered(&bench, 100_000);
    let id = allowed(bench.propose_with(proposal("buy", 0, permit(60_000, UPTO)), facts));
    bench.moved(Body::Seen { id, at: place(11) });
    bench.moved(Body::Final { id, actual: vec![usdc(u64::MAX)], time: None });
    assert_eq!(bench.spent(Scope::Agent), U256::from(60_000));
}

#[test]
fn a_permit_is_signed_only_where_permit2_may_move_it_and_all_that_is_out() {
    let mut bench = Bench::new();
    let rule = ["permit2.allowance"];
    let asked = |task: &str| proposal(task, 0, permit(60_000, UPTO));
    assert_eq!(refused(bench.propose(asked("a"))), rule, "what is not known is not enough");
    let facts = covered(&bench, 59_999);
    assert_eq!(refused(bench.propose_with(asked("a"), facts)), rule);
    let facts = covered(&bench, 60_000);
    let first = allowed(bench.propose_with(asked("a"), facts.clone()));
    assert_eq!(refused(bench.propose_with(asked("b"), facts)), rule, "one is out");
    let facts = covered(&bench, 120_000);
    allowed(bench.propose_with(asked("b"), facts));
    // What is final has drawn on the allowance already.
    bench.moved(Body::Seen { id: first, at: place(11) });
    bench.moved(Body::Final { id: first, actual: vec![usdc(60_000)], time: None });
    let facts = covered(&bench, 120_000);
    allowed(bench.propose_with(asked("c"), facts));
}

#[test]
fn permit2_is_approved_for_no_more_than_the_agent_holds_and_that_spends_fees_alone() {
    let mut bench = Bench::new();
    let approve =
        |units| proposal(&format!("{units}"), 0, Intent::ApprovePermit2 { amount: usdc(units) });
    assert_eq!(refused(bench.propose(approve(5))), ["permit2.balance"]);
    let facts = covered(&bench, 4);
    assert_eq!(refused(bench.propose_with(approve(5), facts)), ["permit2.balance"]);
    let facts = covered(&bench, 5);
    let id = allowed(bench.propose_with(approve(5), facts));
    assert_eq!(bench.spent(Scope::Agent), U256::ZERO);
    assert!(bench.state.debits().of(id).iter().all(|debit| debit.amount.asset.is_native()));
    allowed(bench.propose(approve(0)));
}

#[test]
fn a_permit_that_is_taken_back_stays_spent_until_the_chain_says_so_and_that_passes_a_freeze() {
    let mut bench = Bench::new();
    let facts = covered(&bench, 100_000);
    let id = allowed(bench.propose_with(proposal("buy", 0, permit(60_000, UPTO)), facts));
    let paid = allowed(bench.propose(proposal("other", 0, pay(1_000))));
    bench.act(Event::Freeze {
        agent: None,
        by: "mind",
        reason: "odd".into(),
        surplus: Surplus::default(),
    });
    let facts = covered(&bench, 100_000);
    let late = bench.propose_with(proposal("late", 0, permit(1, UPTO)), facts);
    assert_eq!(fault(late), "frozen");
    let approve = Intent::ApprovePermit2 { amount: usdc(1) };
    assert_eq!(fault(bench.propose(proposal("late", 0, approve))), "frozen");
    let back = |intent| Intent::InvalidatePermit { intent };
    let rule = ["invalidate_permit.permit"];
    assert_eq!(refused(bench.propose(proposal("wrong", 0, back(paid)))), rule);
    let taken = allowed(bench.propose(proposal("freeze", 0, back(id))));
    assert_eq!(taken, allowed(bench.propose(proposal("by any name", 0, back(id)))));
    assert_eq!(taken, IntentId::invalidation(ORIGIN, "scout", id, 0));
    assert_eq!(fault(bench.propose(proposal("freeze", 1, back(id)))), "attempt");
    assert_eq!(bench.spent(Scope::Agent), U256::from(61_000));
    bench.moved(Body::Cancelled { id, at: place(4) });
    assert_eq!(state(&bench, id), PaymentState::Cancelled);
    assert_eq!(bench.spent(Scope::Agent), U256::from(1_000));
}

#[test]
fn fees_to_take_permits_back_are_kept() {
    let mut bench = Bench::new();
    bench.under(&policy(2).replace("day = \"1 ETH\"", "day = \"0.00025 ETH\""));
    let facts = covered(&bench, 100_000);
    allowed(bench.propose_with(proposal("buy", 0, permit(1_000, UPTO)), facts));
    // A transaction takes 0.0001 ETH at most, and so does taking back: a quarter is kept.
    allowed(bench.propose(proposal("a", 0, transfer(1))));
    let rules = refused(bench.propose(proposal("b", 0, transfer(1))));
    assert_eq!(rules, ["steward.reserve.limits.gas.day"]);
}

#[test]
fn a_permit_that_pays_us_needs_the_payers_signature_and_is_settled_once() {
    let mut bench = Bench::new();
    let good = income(|_| {});
    type Change = fn(&mut SettlePermit);
    let changes: [(&str, Change); 5] = [
        ("the payer", |it| it.from = key(8).address()),
        ("the maximum", |it| it.amount = usdc(30_000)),
        ("the deadline", |it| it.deadline += 1),
        ("the beginning", |it| it.valid_after = 1),
        ("garbage", |it| it.signature = "0x11".into()),
    ];
    for (what, change) in changes {
        let mut forged = good.clone();
        change(&mut forged);
        let reply = bench.propose(proposal("s", 0, Intent::SettlePermit(forged)));
        assert_eq!(refused(reply), ["settle_permit.signature"], "{what}");
    }
    let intent = Intent::SettlePermit(good.clone());
    let id = allowed(bench.propose(proposal("s", 0, intent.clone())));
    assert_eq!(allowed(bench.propose(proposal("another task", 7, intent))), id);
    let more = SettlePermit { charge: usdc(2_501), ..good };
    let reply = bench.propose(proposal("s", 0, Intent::SettlePermit(more)));
    assert_eq!(fault(reply), "id_reused", "one permit is taken from once");
}

#[test]
fn a_permit_is_settled_from_its_beginning_to_its_deadline() {
    let now = support::START / 1_000;
    for (after, deadline, passes) in
        [(now, now, true), (now + 1, now + 9, false), (0, now - 1, false), (0, now, true)]
    {
        let mut bench = Bench::new();
        let intent = income(|it| (it.valid_after, it.deadline) = (after, deadline));
        let reply = bench.propose(proposal("s", 0, Intent::SettlePermit(intent)));
        if passes {
            allowed(reply);
        } else {
            assert_eq!(refused(reply), ["settle_permit.window"], "{after} to {deadline}");
        }
    }
}

#[test]
fn where_nothing_was_used_nothing_is_sent_and_what_others_settled_counts() {
    let mut bench = Bench::new();
    let nothing = SettlePermit { charge: usdc(0), ..income(|_| {}) };
    let facts = Facts { gas: None, nonce: None, ..bench.facts() };
    let id = allowed(bench.propose_with(proposal("s", 0, Intent::SettlePermit(nothing)), facts));
    assert_eq!(bench.state.intent(id).unwrap().order, Some(Order::Permission));
    assert_eq!(state(&bench, id), PaymentState::Final);

    let exact = income(|it| (it.facilitator, it.nonce) = (None, U256::from(78)));
    let exact = SettlePermit { charge: exact.amount, ..exact };
    let facts = Facts { elsewhere: Some(place(12)), gas: None, ..bench.facts() };
    let id = allowed(bench.propose_with(proposal("s", 1, Intent::SettlePermit(exact)), facts));
    assert_eq!(state(&bench, id), PaymentState::Seen);
    assert_eq!(bench.state.agent("scout").unwrap().nonce, 0, "no transaction of ours");
}

/// Whoever reaches a facilitator could have any number of worthless permits journalled: nothing is
/// taken of them, so nothing of them is looked at on chain.
#[test]
fn nothing_is_taken_only_of_what_pays_us() {
    let mut bench = Bench::new();
    bench.under(&format!("{}[facilitator]\nassets = [\"USDC\"]\n", policy(2)));
    let theirs = income(|it| it.to = SHOP);
    let nothing = SettlePermit { charge: usdc(0), ..theirs.clone() };
    let reply = bench.propose(proposal("s", 0, Intent::SettlePermit(nothing)));
    assert_eq!(refused(reply), ["settle_permit.nothing"]);
    let something = SettlePermit { charge: usdc(1), ..theirs };
    allowed(bench.propose(proposal("s", 0, Intent::SettlePermit(something))));
    let ours = SettlePermit { charge: usdc(0), ..income(|it| it.nonce = U256::from(78)) };
    allowed(bench.propose(proposal("s", 1, Intent::SettlePermit(ours))));
}

#[test]
fn a_replay_of_permits_under_the_same_policy_changes_nothing() {
    let mut bench = Bench::new();
    let facts = covered(&bench, 1_000_000);
    let approve = Intent::ApprovePermit2 { amount: usdc(100_000) };
    allowed(bench.propose_with(proposal("approve", 0, approve), facts.clone()));
    let id = allowed(bench.propose_with(proposal("buy", 0, permit(60_000, UPTO)), facts.clone()));
    allowed(
        bench.propose_with(proposal("back", 0, Intent::InvalidatePermit { intent: id }), facts),
    );
    allowed(bench.propose(proposal("sell", 0, Intent::SettlePermit(income(|_| {})))));
    refused(bench.propose(proposal("dry", 0, permit(60_000, PermitVia::Exact))));
    let plan =
        Plan { agent: "scout".into(), document: policy(1), since: 0, reading: Reading::Followed };
    let mut replayer = Replayer::new(plan).unwrap();
    bench.entries.iter().for_each(|entry| replayer.take(entry).unwrap());
    let replay = replayer.finish().unwrap();
    assert_eq!((replay.decisions, replay.changes.len()), (5, 0), "{:#?}", replay.changes);
}
