//! What was wrong once.

#![cfg(test)]

mod support;

use alloy_primitives::{B256, U256};
use marque_identity::{Block, Receipt};
use marque_identity_keys::{KeyDir, sign_statement};
use marque_policies::{AssetId, Money, Statement};
use marque_steward::{
    Body, Home, audit,
    core::{
        Facts,
        news::{self, Sight},
    },
    entry::OnChain,
    submit_offline,
};
use marque_steward_client::PaymentState;
use support::{
    Bench, CHAIN, START, TOKEN, agent, allowed, homes, key, owner, pay, proposal, refused, settle,
    transfer,
};

const PLACE: OnChain =
    OnChain { transaction: B256::repeat_byte(3), block: 5, block_hash: B256::repeat_byte(4) };

/// A clock was set back while a payment was on its way; it left the hour by that clock, long before
/// an hour of block time had passed.
#[test]
fn a_clock_that_was_set_back_takes_nothing_out_of_a_window_early() {
    let mut bench = Bench::new();
    let mined = START / 1_000 + 3_000;
    for n in 0..6 {
        let id = allowed(bench.propose(proposal(&format!("t{n}"), 0, pay(500_000))));
        bench.moved(Body::Seen { id, at: PLACE });
        let actual = vec![support::usdc(500_000)];
        bench.moved(Body::Final { id, actual, time: Some(mined) });
    }
    bench.now = START + 3_601_000;
    assert_eq!(refused(bench.propose(proposal("early", 0, pay(1)))), ["limits.USDC.hour"]);
    bench.now = mined * 1_000 + 3_601_000;
    allowed(bench.propose(proposal("late", 0, pay(1))));
}

fn sight(success: bool, last: u64, gas_used: u64) -> Sight {
    let receipt = Receipt {
        transaction: PLACE.transaction,
        block_number: PLACE.block,
        block_hash: PLACE.block_hash,
        success,
        gas_used,
        effective_gas_price: 1,
        contract_address: None,
        logs: Vec::new(),
    };
    let last = Block { number: last, hash: B256::ZERO, timestamp: last };
    Sight { carried: news::carried(Some(&receipt)), ours: Some(receipt), taken: None, last }
}

/// One endpoint of two was enough to settle a payment for good, and to have its gas counted as
/// nothing.
#[test]
fn one_endpoint_of_two_settles_nothing_and_the_dearer_one_is_believed() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    bench.moved(Body::Signed { id, hash: PLACE.transaction });
    bench.moved(Body::Sent { id });
    bench.moved(Body::Seen { id, at: PLACE });
    let record = bench.state.intent(id).unwrap();
    let heard = |said: &[Sight]| news::confirmed(record, CHAIN, said);
    assert_eq!(heard(&[sight(true, 9, 1), sight(true, 4, 30)]), None, "one is not so far");
    assert_eq!(heard(&[sight(true, 9, 1), sight(false, 9, 30)]), None, "one says it failed");
    assert_eq!(heard(&[]), None);
    let gone = Sight { carried: None, ..sight(true, 9, 1) };
    assert_eq!(heard(&[gone.clone(), gone]), Some(Body::Unseen { id }));
    let Some(Body::Final { actual, time, .. }) = heard(&[sight(true, 9, 1), sight(true, 8, 30)])
    else {
        panic!()
    };
    assert_eq!(actual.last().unwrap().units.to::<u64>(), 30);
    assert_eq!(time, Some(9));
}

/// What one endpoint of two says is no cancellation, and none before both have its block for good.
#[test]
fn one_endpoint_of_two_cancels_nothing() {
    let id = allowed(Bench::new().propose(proposal("t", 0, pay(1))));
    let said = |success, last| {
        let Sight { ours, last, .. } = sight(success, last, 1);
        (ours, last)
    };
    let heard = |said: &[_]| news::cancelled(id, said);
    assert_eq!(heard(&[said(true, 9), said(true, 4)]), None, "one is not so far");
    assert_eq!(heard(&[said(true, 9), said(false, 9)]), None, "one says it failed");
    assert_eq!(heard(&[said(true, 9), (None, said(true, 9).1)]), None, "one does not have it");
    assert_eq!(heard(&[]), None);
    assert_eq!(heard(&[said(true, 9), said(true, 8)]), Some(Body::Cancelled { id, at: PLACE }));
}

/// A transaction whose account nonce another sender had taken stayed on its way for ever, and its
/// steward froze again after each thaw.
#[test]
fn a_transaction_that_came_too_late_for_its_nonce_is_closed_and_may_be_made_again() {
    let mut bench = Bench::new();
    let id = allowed(bench.propose(proposal("t", 0, transfer(100_000))));
    bench.moved(Body::Signed { id, hash: PLACE.transaction });
    bench.moved(Body::Sent { id });
    let last = |number| Block { number, hash: B256::ZERO, timestamp: number };
    let heard = |said: &[(bool, u64, Block)]| news::overtaken(id, 0, said);
    assert_eq!(heard(&[]), None, "nobody says so");
    assert_eq!(heard(&[(false, 1, last(9)), (false, 0, last(9))]), None, "one is not so far");
    assert_eq!(heard(&[(false, 1, last(9)), (true, 1, last(9))]), None, "it is ours, one says");
    let over = heard(&[(false, 1, last(9)), (false, 1, last(7))]).unwrap();
    assert_eq!(over, Body::Expired { id, block: 9 });
    bench.moved(over);
    assert_eq!(bench.spent(marque_policies::Scope::Agent), U256::ZERO, "nothing was spent");
    let facts = Facts { nonce: Some(1), ..bench.facts() };
    let again = bench.propose_with(proposal("t", 1, transfer(100_000)), facts);
    assert_ne!(allowed(again), id, "the next attempt is another intent, with another nonce");
}

/// A settlement that failed for good is tried again under the same id. News of the first transaction
/// that came late gave the second one's fees back while it was out (simulator, seed 60007478).
#[test]
fn late_news_of_a_failed_settlement_says_nothing_of_the_next_one() {
    let mut bench = Bench::new();
    let intent = settle(&key(7), agent().address(), 1_000, 5, TOKEN);
    let (first, second) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let gas = |units: u64| Money::new(U256::from(units), AssetId::native(CHAIN));
    let failed = |id, transaction, cost| Body::Reverted {
        id,
        at: OnChain { transaction, ..PLACE },
        actual: vec![gas(cost)],
        time: None,
    };
    let id = allowed(bench.propose(proposal("s", 0, intent.clone())));
    bench.moved(Body::Signed { id, hash: first });
    bench.moved(Body::Sent { id });
    bench.moved(failed(id, first, 100));
    let facts = Facts { nonce: Some(1), ..bench.facts() };
    assert_eq!(allowed(bench.propose_with(proposal("s", 0, intent), facts)), id);
    bench.moved(Body::Signed { id, hash: second });
    bench.moved(Body::Sent { id });
    let out = bench.state.debits().of(id).to_vec();
    bench.moved(failed(id, first, 100));
    assert_eq!(bench.state.intent(id).unwrap().state, PaymentState::Sent, "it is still out");
    assert_eq!(bench.state.debits().of(id), out, "and its fees are still reserved");
    bench.moved(failed(id, second, 200));
    assert_eq!(bench.state.intent(id).unwrap().state, PaymentState::Expired);
}

/// A kill between making the journal's folder and its first segment left a home that nobody could
/// begin, and nobody could open.
#[test]
fn a_home_that_was_killed_before_its_first_segment_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::create(dir.path().join("home"), CHAIN).unwrap();
    let keys = KeyDir::create(home.keys()).unwrap();
    let log_key = B256::from(keys.create_log_key(&homes::unlock()).unwrap());
    let by = owner();
    let genesis = Statement::Genesis { owner: by.address(), chain_genesis: B256::ZERO, log_key };
    let genesis = || vec![sign_statement(&by, genesis.clone(), CHAIN, home.origin(), None)];
    // What lies there at each moment of the beginning.
    let entries = home.journal().join("entries");
    std::fs::create_dir_all(&entries).unwrap();
    assert!(!home.has_journal());
    std::fs::write(entries.join("00000000000000000000.seg.new"), b"half a hea").unwrap();
    assert!(!home.has_journal());
    assert_eq!(submit_offline(&home, homes::unlock(), genesis()).unwrap(), [0]);
    assert!(home.has_journal());

    // One whose segments were taken away is damaged, and is not begun again.
    std::fs::remove_file(entries.join("00000000000000000000.seg")).unwrap();
    assert!(home.has_journal());
    let again = submit_offline(&home, homes::unlock(), genesis()).unwrap_err().to_string();
    assert!(again.contains("00000000000000000000.seg"), "{again}");
}

/// A power cut left the checkpoint's name and length on the disk and not its bytes; the steward did
/// not open any more.
#[test]
fn a_checkpoint_of_zeros_is_what_a_power_cut_leaves_and_no_reason_not_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    let (home, _) = homes::home(&path, "scout", B256::ZERO, |_| support::policy(1));
    let checkpoint = home.journal().join("checkpoint");
    let length = std::fs::metadata(&checkpoint).unwrap().len();
    std::fs::write(&checkpoint, vec![0; usize::try_from(length).unwrap()]).unwrap();
    submit_offline(&home, homes::unlock(), Vec::new()).unwrap();
    let entries = audit::entries(&home.journal()).unwrap();
    let recovered = |body: &Body| matches!(body, Body::Recovered { checkpoint_missing: true, .. });
    assert!(entries.iter().any(|entry| recovered(&entry.body)), "and the journal says so");
    audit::verify(&home.journal(), &audit::stated_key(&audit::state(&home).unwrap()).unwrap())
        .unwrap();

    // One that says something else is no accident of that kind.
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    submit_offline(&home, homes::unlock(), Vec::new()).unwrap_err();
}
