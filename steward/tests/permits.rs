//! Payments through Permit2 on a real development chain: signed once, settled for what was used,
//! spent until the chain can no longer take them, and taken back by a freeze.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, Bytes, U256, hex};
use alloy_sol_types::SolCall as _;
use marque_contracts::permit2::{EXACT_PROXY, IPermit2, PERMIT2, Permit, place};
use marque_identity_keys::KeyDir;
use marque_policies::{Intent, IntentId, intent::PermitVia};
use marque_steward::{Home, Options, Steward, audit};
use marque_steward_client::{Artifact, Client, IntentState, Outcome, PaymentState, SignedPermit};
use serde_json::json;
use std::time::Duration;
use support::{CHAIN, homes, proposal, town::Town};

const SHOP: Address = Address::repeat_byte(9);

async fn start(home: &Home, agent: &str) -> (Steward, Client) {
    let (poll, rest) = (Duration::from_millis(200), Duration::from_millis(500));
    let options = Options { poll, rest, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let client = Client::connect(home.socket(agent)).await.unwrap();
    (steward, client)
}

fn id(outcome: &Outcome) -> IntentId {
    match outcome {
        Outcome::Allowed { id, .. } => *id,
        other => panic!("{other:?}"),
    }
}

fn signed(outcome: Outcome) -> SignedPermit {
    match outcome {
        Outcome::Allowed { artifact: Artifact::PermitTransfer(made), .. } => *made,
        other => panic!("{other:?}"),
    }
}

fn refused(outcome: Outcome) -> Vec<String> {
    let Outcome::Refused { table, .. } = outcome else { panic!("{outcome:?}") };
    let failed = table.into_iter().filter(|row| row.mark == marque_policies::Mark::Fail);
    failed.map(|row| row.rule).collect()
}

async fn until(client: &Client, id: IntentId, state: PaymentState) -> IntentState {
    for _ in 0..40 {
        let status = client.wait(id, Duration::from_secs(2)).await.unwrap();
        if status.state == state {
            return status;
        }
    }
    panic!("it never came to {state:?}")
}

/// Lets Permit2 move so much.
async fn approve(town: &Town, mind: &Client, units: u64) -> IntentId {
    let intent = Intent::ApprovePermit2 { amount: town.usdc(units) };
    let outcome = mind.propose(proposal(&format!("approve {units}"), 0, intent)).await.unwrap();
    until(mind, id(&outcome), PaymentState::Final).await;
    id(&outcome)
}

/// The permit as its proxy is handed it.
fn permit(made: &SignedPermit) -> Permit {
    Permit {
        from: made.from,
        to: made.to,
        token: made.token,
        amount: made.amount,
        facilitator: made.facilitator,
        valid_after: made.valid_after,
        deadline: made.deadline,
        nonce: made.nonce,
    }
}

/// The call by which anybody settles an `exact` permit.
fn settling(made: &SignedPermit) -> Bytes {
    permit(made).settle(made.amount, made.signature.to_vec()).into()
}

/// Somebody with the key gives a nonce up, used or not, and Permit2 says so.
async fn give_up(town: &Town, key: Address, made: &SignedPermit) {
    let (word, bit) = place(made.nonce);
    let data = IPermit2::invalidateUnorderedNoncesCall { wordPos: word, mask: bit }.abi_encode();
    town.ask("anvil_impersonateAccount", json!([key])).await;
    let call = json!([{ "from": key, "to": PERMIT2, "data": Bytes::from(data) }]);
    town.ask("eth_sendTransaction", call).await;
    town.devnet.mine(3).await.unwrap();
}

async fn buy(town: &Town, mind: &Client, task: &str, units: u64) -> (IntentId, SignedPermit) {
    let intent = town.permit(SHOP, units, PermitVia::Exact);
    let outcome = mind.propose(proposal(task, 0, intent)).await.unwrap();
    (id(&outcome), signed(outcome))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metered_purchase_is_settled_once_for_what_was_used_and_final_on_both_sides() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", SHOP).await;
    let (buyer_home, buyer) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, scout_mind) = start(&buyer_home, "scout").await;
    let via = PermitVia::Upto { facilitator: seller };
    let asked = proposal("buy", 0, town.permit(seller, 50_000, via));

    // Nothing is signed on which nobody could draw.
    let early = scout_mind.propose(asked.clone()).await.unwrap();
    assert_eq!(refused(early), ["permit2.allowance"]);
    let approved = approve(&town, &scout_mind, 60_000).await;

    let outcome = scout_mind.propose(asked.clone()).await.unwrap();
    let bought = id(&outcome);
    let first = signed(outcome);
    assert_eq!(first, signed(scout_mind.propose(asked).await.unwrap()), "the same bytes");
    assert_eq!(first.nonce, bought.permit_nonce());
    assert_eq!(scout_mind.view().await.unwrap().budgets[0].spent, town.usdc(50_000));
    // What is out is covered, and no more than that.
    let more = proposal("more", 0, town.permit(seller, 10_001, via));
    assert_eq!(refused(scout_mind.propose(more).await.unwrap()), ["permit2.allowance"]);

    let intent = town.settle_permit(&first, 2_500);
    let settled = feed_mind.propose(proposal("sell", 0, intent.clone())).await.unwrap();
    let sold = id(&settled);
    let twice = feed_mind.propose(proposal("sell again", 0, intent)).await.unwrap();
    assert_eq!(settled, twice, "a permit is settled once");
    let dearer = town.settle_permit(&first, 2_501);
    assert!(feed_mind.propose(proposal("sell dearer", 0, dearer)).await.is_err());
    let seen = until(&feed_mind, sold, PaymentState::Final).await;
    let paid = until(&scout_mind, bought, PaymentState::Final).await;
    assert_eq!(seen.transaction, paid.transaction);
    assert_eq!(town.balance(seller).await, 5_002_500);
    assert_eq!(town.balance(buyer).await, 4_997_500);
    assert_eq!(scout_mind.view().await.unwrap().budgets[0].spent, town.usdc(2_500), "to the unit");
    assert!(scout_mind.view().await.unwrap().frozen_at.is_none());
    feed.stop().await.unwrap();
    scout.stop().await.unwrap();

    let state = audit::state(&buyer_home).unwrap();
    let debited = state.debits().of(approved);
    assert!(debited.iter().all(|debit| debit.amount.asset.is_native()), "an approval spends gas");
    let left = town.devnet.rpc().balance(buyer).await.unwrap();
    assert_eq!(U256::from(10_u64.pow(18)) - left, debited[0].amount.units);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_nobody_settles_expires_only_when_the_chain_cannot_take_it() {
    let town = Town::new().await;
    let (home, _) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (bought, made) = buy(&town, &mind, "buy", 20_000).await;
    town.pass(60).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early = mind.wait(bought, Duration::ZERO).await.unwrap();
    assert_eq!(early.state, PaymentState::Sent, "no timeout of ours releases it");
    town.pass(70).await;
    until(&mind, bought, PaymentState::Expired).await;
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(0));
    assert!(town.devnet.send(EXACT_PROXY, settling(&made)).await.is_err(), "nor does the chain");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_takes_permits_back_and_one_that_was_drawn_on_stays_paid() {
    let town = Town::new().await;
    let (home, _) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (used, drawn) = buy(&town, &mind, "first", 10_000).await;
    let (out, made) = buy(&town, &mind, "second", 30_000).await;
    town.devnet.send(EXACT_PROXY, settling(&drawn)).await.unwrap();
    until(&mind, used, PaymentState::Final).await;

    mind.freeze("enough").await.unwrap();
    until(&mind, out, PaymentState::Cancelled).await;
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(10_000));
    assert!(town.devnet.send(EXACT_PROXY, settling(&made)).await.is_err(), "the chain refuses it");
    assert_eq!(town.balance(SHOP).await, 10_000);
    steward.stop().await.unwrap();
    let frozen = |home: &Home| {
        let entries = audit::entries(&home.journal()).unwrap();
        entries.iter().filter(|entry| entry.body.kind() == "frozen").count()
    };
    let (steward, _mind) = start(&home, "scout").await;
    assert_eq!(frozen(&home), 1, "what is taken back is nobody else's outflow");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_may_take_back_its_own_permit_once() {
    let town = Town::new().await;
    let (home, _) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (bought, _) = buy(&town, &mind, "buy", 20_000).await;
    let back = Intent::InvalidatePermit { intent: bought };
    let outcome = mind.propose(proposal("back", 0, back.clone())).await.unwrap();
    assert!(matches!(outcome, Outcome::Allowed { artifact: Artifact::Transaction { .. }, .. }));
    until(&mind, bought, PaymentState::Cancelled).await;
    until(&mind, id(&outcome), PaymentState::Final).await;
    let again = mind.propose(proposal("back", 1, back)).await;
    assert!(again.is_err(), "{again:?}");
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_was_drawn_on_and_given_up_afterwards_stays_paid() {
    let town = Town::new().await;
    let (home, key) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (bought, made) = buy(&town, &mind, "buy", 20_000).await;
    steward.stop().await.unwrap();
    town.devnet.send(EXACT_PROXY, settling(&made)).await.unwrap();
    town.devnet.mine(2).await.unwrap();
    give_up(&town, key, &made).await;
    let (steward, mind) = start(&home, "scout").await;
    until(&mind, bought, PaymentState::Final).await;
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(20_000));
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_somebody_else_settles_first_still_counts_as_paid() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", SHOP).await;
    let (buyer_home, _) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, scout_mind) = start(&buyer_home, "scout").await;
    approve(&town, &scout_mind, 100_000).await;
    let intent = town.permit(seller, 20_000, PermitVia::Exact);
    let made = signed(scout_mind.propose(proposal("buy", 0, intent)).await.unwrap());
    town.devnet.send(EXACT_PROXY, settling(&made)).await.unwrap();
    let intent = town.settle_permit(&made, 20_000);
    let outcome = feed_mind.propose(proposal("sell", 0, intent)).await.unwrap();
    until(&feed_mind, id(&outcome), PaymentState::Final).await;
    assert_eq!(town.balance(seller).await, 5_020_000);
    let left = town.devnet.rpc().balance(seller).await.unwrap();
    assert_eq!(left, U256::from(10_u64.pow(18)), "and costs the seller no gas");
    feed.stop().await.unwrap();
    scout.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_spends_no_gas_on_a_permit_that_would_not_pay() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", SHOP).await;
    let (buyer_home, _) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, scout_mind) = start(&buyer_home, "scout").await;
    approve(&town, &scout_mind, 100_000).await;
    let via = PermitVia::Upto { facilitator: seller };
    let intent = town.permit(seller, 20_000, via);
    let made = signed(scout_mind.propose(proposal("buy", 0, intent)).await.unwrap());

    let mut forged = made.clone();
    forged.amount += U256::from(1);
    let intent = town.settle_permit(&forged, 20_001);
    let outcome = feed_mind.propose(proposal("forged", 0, intent)).await.unwrap();
    assert_eq!(refused(outcome), ["settle_permit.signature"]);
    // The payer has taken the approval back meanwhile.
    approve(&town, &scout_mind, 0).await;
    let intent = town.settle_permit(&made, 20_000);
    assert!(feed_mind.propose(proposal("dry", 0, intent)).await.is_err());
    // Where nothing was used nothing is sent, and it is done.
    let intent = town.settle_permit(&made, 0);
    let outcome = feed_mind.propose(proposal("nothing", 0, intent)).await.unwrap();
    assert!(matches!(outcome, Outcome::Allowed { artifact: Artifact::Permission, .. }));
    let left = town.devnet.rpc().balance(seller).await.unwrap();
    assert_eq!(left, U256::from(10_u64.pow(18)));
    feed.stop().await.unwrap();
    scout.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_a_contract_passes_on_is_spent_to_its_maximum_and_stops_nothing() {
    let town = Town::new().await;
    let (home, _) = town.home("scout", SHOP).await;
    // A contract that hands its call data to the proxy.
    let through = Address::repeat_byte(0x77);
    let proxy = hex::encode(EXACT_PROXY);
    let code = format!("0x363d3d373d3d363d3d73{proxy}5af16026573d3dfd5b00");
    town.ask("anvil_setCode", json!([through, code])).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (bought, made) = buy(&town, &mind, "buy", 20_000).await;
    town.devnet.send(through, settling(&made)).await.unwrap();
    assert_eq!(town.balance(SHOP).await, 20_000);
    until(&mind, bought, PaymentState::Final).await;
    let view = mind.view().await.unwrap();
    assert_eq!((view.budgets[0].spent, view.frozen_at), (town.usdc(20_000), None));
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_was_drawn_on_in_secret_is_spent_to_its_maximum_whatever_is_given_up() {
    let town = Town::new().await;
    let (home, key) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    let (bought, made) = buy(&town, &mind, "buy", 20_000).await;
    // A contract that has the whole call in its code: no call data on chain show the nonce.
    let secret = Address::repeat_byte(0x78);
    let (call, proxy) = (settling(&made), hex::encode(EXACT_PROXY));
    let (length, data) = (format!("{:04x}", call.len()), hex::encode(&call));
    let code =
        format!("0x61{length}602e5f395f5f61{length}5f5f73{proxy}5af115602a57005b5f5ffd{data}");
    town.ask("anvil_setCode", json!([secret, code])).await;
    town.devnet.send(secret, Bytes::new()).await.unwrap();
    town.devnet.mine(3).await.unwrap();
    assert_eq!(town.balance(SHOP).await, 20_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let view = mind.view().await.unwrap();
    assert_eq!((view.budgets[0].spent, view.frozen_at), (town.usdc(20_000), None));
    give_up(&town, key, &made).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = mind.wait(bought, Duration::ZERO).await.unwrap();
    assert_eq!(status.state, PaymentState::Sent, "neither taken back nor expired");
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(20_000));
    // Past its deadline nothing more is to be known: it is spent, and leaves the windows one day.
    town.pass(200).await;
    let status = until(&mind, bought, PaymentState::Final).await;
    assert_eq!(status.transaction, None, "nobody knows which it was");
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(20_000));
    let settled = audit::state(&home).unwrap();
    let rows = settled.debits().of(bought);
    let row = rows.first().unwrap();
    assert_eq!(
        (row.amount, row.standing),
        (town.usdc(20_000), marque_steward::state::Standing::Settled)
    );
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_of_the_key_that_the_ledger_does_not_know_stops_everything() {
    let town = Town::new().await;
    let (home, key) = town.home("scout", SHOP).await;
    let (steward, mind) = start(&home, "scout").await;
    approve(&town, &mind, 1_000_000).await;
    steward.stop().await.unwrap();
    let stolen = KeyDir::open(home.keys()).unwrap().key("scout", &homes::unlock()).unwrap();
    let theft = Permit {
        from: key,
        to: Address::repeat_byte(0x66),
        token: town.token,
        amount: U256::from(900_000),
        facilitator: None,
        valid_after: 0,
        deadline: u64::from(u32::MAX),
        nonce: U256::from(5),
    };
    let signature = stolen.sign_digest(theft.digest(CHAIN)).to_vec();
    let call = theft.settle(theft.amount, signature);
    town.devnet.send(EXACT_PROXY, call.into()).await.unwrap();
    let (steward, mind) = start(&home, "scout").await;
    assert!(mind.view().await.unwrap().frozen_at.is_some());
    steward.stop().await.unwrap();
}
