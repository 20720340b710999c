//! Stewards on a real development chain.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, U256, hex};
use marque_identity_keys::{KeyDir, sign_statement};
use marque_policies::{Intent, Statement};
use marque_steward::{Body, Home, Options, Steward, StewardError, audit, entry::Foreign};
use marque_steward_client::{Artifact, Authorisation, Client, IntentState, Outcome, PaymentState};
use std::{fs, path::Path, time::Duration};
use support::{CHAIN, homes, owner, policy_for, proposal, settle, town::Town};

async fn start(home: &Home, agent: &str) -> (Steward, Client) {
    let (poll, rest) = (Duration::from_millis(200), Duration::from_millis(500));
    let options = Options { poll, rest, ..Options::default() };
    let steward = Steward::start(home.clone(), homes::unlock(), options).await.unwrap();
    let client = Client::connect(home.socket(agent)).await.unwrap();
    (steward, client)
}

fn authorisation(outcome: Outcome) -> Authorisation {
    match outcome {
        Outcome::Allowed { artifact: Artifact::Authorisation(made), .. } => *made,
        other => panic!("{other:?}"),
    }
}

async fn until(client: &Client, id: marque_policies::IntentId, state: PaymentState) -> IntentState {
    for _ in 0..20 {
        let status = client.wait(id, Duration::from_secs(5)).await.unwrap();
        if status.state == state {
            return status;
        }
    }
    panic!("it never came to {state:?}")
}

fn id(outcome: &Outcome) -> marque_policies::IntentId {
    match outcome {
        Outcome::Allowed { id, .. } => *id,
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_signed_once_settled_once_and_becomes_final_on_both_sides() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", Address::repeat_byte(9)).await;
    let (buyer_home, buyer) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, scout_mind) = start(&buyer_home, "scout").await;

    let asked = proposal("buy", 0, town.pay(seller, 20_000));
    let outcome = scout_mind.propose(asked.clone()).await.unwrap();
    let bought = id(&outcome);
    let first = authorisation(outcome);
    let again = authorisation(scout_mind.propose(asked).await.unwrap());
    assert_eq!(first, again, "the same proposal, the same bytes");

    let intent = town.settle(&first);
    let settled = feed_mind.propose(proposal("sell", 0, intent.clone())).await.unwrap();
    let sold = id(&settled);
    let twice = feed_mind.propose(proposal("sell again", 0, intent)).await.unwrap();
    assert_eq!(settled, twice, "an authorisation is settled once");
    let seen = until(&feed_mind, sold, PaymentState::Final).await;
    let paid = until(&scout_mind, bought, PaymentState::Final).await;
    assert_eq!(seen.transaction, paid.transaction);
    assert_eq!(town.balance(seller).await, 5_020_000);
    assert_eq!(town.balance(buyer).await, 4_980_000);
    feed.stop().await.unwrap();
    scout.stop().await.unwrap();

    assert_eq!(fs::read_dir(seller_home.outbox()).unwrap().count(), 0, "the outbox is erased");
    let journal = fs::read_dir(buyer_home.journal().join("entries")).unwrap();
    let bytes: Vec<u8> =
        journal.flat_map(|segment| fs::read(segment.unwrap().path()).unwrap()).collect();
    let signature = alloy_primitives::hex::encode(&first.signature);
    let held = bytes.windows(signature.len()).any(|window| window == signature.as_bytes());
    assert!(!held, "the payer's journal holds no signature");
    // What gas really cost is debited, and no more.
    let state = audit::state(&seller_home).unwrap();
    let gas = state.debits().of(sold)[0].amount.units;
    let left = town.devnet.rpc().balance(seller).await.unwrap();
    assert_eq!(U256::from(10_u64.pow(18)) - left, gas);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_that_nobody_settles_expires_only_when_the_chain_cannot_take_it() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, _) = town.home("scout", shop).await;
    let (steward, mind) = start(&home, "scout").await;
    let outcome = mind.propose(proposal("buy", 0, town.pay(shop, 20_000))).await.unwrap();
    let spent = mind.view().await.unwrap().budgets[0].spent;
    assert_eq!(spent, town.usdc(20_000), "a signature that is out is spent");
    town.pass(60).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early = mind.wait(id(&outcome), Duration::ZERO).await.unwrap();
    assert_eq!(early.state, PaymentState::Sent, "no timeout of ours releases it");
    town.pass(70).await;
    until(&mind, id(&outcome), PaymentState::Expired).await;
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(0));
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_rolled_back_is_noticed_and_everything_stops() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, _) = town.home("scout", shop).await;
    let before = town.dir.path().join("before");
    copy(home.path(), &before);
    let (steward, mind) = start(&home, "scout").await;
    let Intent::Transfer(mut pay) = support::transfer(30_000) else { panic!() };
    (pay.to, pay.amount) = (shop, town.usdc(30_000));
    let outcome = mind.propose(proposal("send", 0, Intent::Transfer(pay))).await.unwrap();
    until(&mind, id(&outcome), PaymentState::Final).await;
    assert_eq!(town.balance(shop).await, 30_000);
    steward.stop().await.unwrap();

    fs::remove_dir_all(home.path()).unwrap();
    copy(&before, home.path());
    for folder in ["", "keys"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(home.path().join(folder), mode).unwrap();
    }
    let (steward, mind) = start(&home, "scout").await;
    assert!(mind.view().await.unwrap().frozen_at.is_some());
    steward.stop().await.unwrap();
    let entries = audit::entries(&home.journal()).unwrap();
    let why = entries.iter().find_map(|entry| match &entry.body {
        Body::Frozen { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert!(why.unwrap().contains("rolled back"), "{why:?}");
}

/// Pays `units` for `task` and has the seller settle it; answers the nonce and the transaction.
async fn buy(town: &Town, buyer: &Client, seller: (&Client, Address), task: &str) -> (B256, B256) {
    let asked = proposal(task, 0, town.pay(seller.1, 20_000));
    let made = authorisation(buyer.propose(asked).await.unwrap());
    let sold = seller.0.propose(proposal(task, 0, town.settle(&made))).await.unwrap();
    let place = until(seller.0, id(&sold), PaymentState::Final).await;
    (made.nonce, place.transaction.unwrap())
}

/// Puts an older journal in place of a home's own, as the thief of a budget does.
fn roll_back(home: &Home, journal: &Path) {
    fs::remove_dir_all(home.journal()).unwrap();
    fs::remove_dir_all(home.index()).unwrap();
    copy(journal, &home.journal());
}

async fn thaw(client: &Client, home: &Home) {
    let frozen_at = client.view().await.unwrap().frozen_at.unwrap();
    let statement = Statement::Thaw { frozen_at };
    client.submit(sign_statement(&owner(), statement, CHAIN, home.origin(), None)).await.unwrap();
}

/// What the frozen entries of a journal say.
fn frozen(home: &Home) -> Vec<(String, Vec<Foreign>)> {
    let entries = audit::entries(&home.journal()).unwrap();
    let frozen = entries.into_iter().filter_map(|entry| match entry.body {
        Body::Frozen { reason, authorisations, .. } => Some((reason, authorisations)),
        _ => None,
    });
    frozen.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_journal_that_hides_an_authorisation_freezes_until_the_owner_accepts_it() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", Address::repeat_byte(9)).await;
    let (home, _) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let feed_mind = (&feed_mind, seller);
    let (scout, mind) = start(&home, "scout").await;
    buy(&town, &mind, feed_mind, "first").await;
    scout.stop().await.unwrap();
    let before = town.dir.path().join("before");
    copy(&home.journal(), &before);
    let (scout, mind) = start(&home, "scout").await;
    let (nonce, transaction) = buy(&town, &mind, feed_mind, "second").await;
    scout.stop().await.unwrap();

    roll_back(&home, &before);
    let (scout, mind) = start(&home, "scout").await;
    let again = proposal("second", 0, town.pay(seller, 20_000));
    assert!(mind.propose(again).await.is_err(), "at start, before anything is signed");
    let hidden = Foreign { token: town.token, nonce, transaction };
    let told = frozen(&home);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1, [hidden], "this one and no other");
    for named in [town.token.to_string(), nonce.to_string(), transaction.to_string()] {
        assert!(told[0].0.contains(&named), "{}", told[0].0);
    }
    thaw(&mind, &home).await;
    buy(&town, &mind, feed_mind, "third").await;
    scout.stop().await.unwrap();
    let (scout, mind) = start(&home, "scout").await;
    buy(&town, &mind, feed_mind, "fourth").await;
    assert_eq!(frozen(&home).len(), 1, "what the owner accepted does not freeze again");
    scout.stop().await.unwrap();

    // The thaw accepted one authorisation, not all that are to come.
    roll_back(&home, &before);
    let (scout, mind) = start(&home, "scout").await;
    assert_eq!(frozen(&home)[0].1.len(), 3);
    assert!(mind.view().await.unwrap().frozen_at.is_some());
    scout.stop().await.unwrap();
    feed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_pays_elsewhere_freezes_a_steward_that_has_nothing_to_do() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", Address::repeat_byte(9)).await;
    let (home, _) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, mind) = start(&home, "scout").await;
    let stolen = KeyDir::open(home.keys()).unwrap().key("scout", &homes::unlock()).unwrap();
    let intent = settle(&stolen, seller, 20_000, 5, town.token);
    let sold = feed_mind.propose(proposal("theft", 0, intent)).await.unwrap();
    until(&feed_mind, id(&sold), PaymentState::Final).await;
    for _ in 0..300 {
        if mind.view().await.unwrap().frozen_at.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(mind.propose(proposal("next", 0, town.pay(seller, 1))).await.is_err());
    let told = frozen(&home);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1[0].nonce, B256::repeat_byte(5));
    scout.stop().await.unwrap();
    feed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_has_a_token_write_of_nothing_freezes_nobody() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", Address::repeat_byte(9)).await;
    let (home, agent) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, mind) = start(&home, "scout").await;
    buy(&town, &mind, (&feed_mind, seller), "first").await;
    // No allowance is needed to move nothing, and the event names the agent's key.
    let words = [agent.into_word(), Address::repeat_byte(0x66).into_word(), B256::ZERO];
    let poison = [&hex!("23b872dd")[..], &words.concat()].concat();
    let receipt = town.devnet.send(town.token, poison.into()).await.unwrap();
    let moved = receipt.logs.first().unwrap();
    assert_eq!(moved.topics()[1], agent.into_word(), "it looks like a transfer of the agent's");
    buy(&town, &mind, (&feed_mind, seller), "second").await;
    scout.stop().await.unwrap();
    let (scout, mind) = start(&home, "scout").await;
    buy(&town, &mind, (&feed_mind, seller), "third").await;
    assert!(frozen(&home).is_empty(), "{:?}", frozen(&home));
    scout.stop().await.unwrap();
    feed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_work_never_freezes_a_steward() {
    let town = Town::new().await;
    let (seller_home, seller) = town.home("feed", Address::repeat_byte(9)).await;
    let (home, _) = town.home("scout", seller).await;
    let (feed, feed_mind) = start(&seller_home, "feed").await;
    let (scout, mind) = start(&home, "scout").await;
    for task in ["a", "b", "c"] {
        buy(&town, &mind, (&feed_mind, seller), task).await;
    }
    let Intent::Transfer(mut pay) = support::transfer(30_000) else { panic!() };
    (pay.to, pay.amount) = (seller, town.usdc(30_000));
    let sent = mind.propose(proposal("send", 0, Intent::Transfer(pay))).await.unwrap();
    until(&mind, id(&sent), PaymentState::Final).await;
    let unused = mind.propose(proposal("idle", 0, town.pay(seller, 10_000))).await.unwrap();
    town.pass(130).await;
    until(&mind, id(&unused), PaymentState::Expired).await;
    scout.stop().await.unwrap();
    let (scout, mind) = start(&home, "scout").await;
    buy(&town, &mind, (&feed_mind, seller), "after").await;
    scout.stop().await.unwrap();
    feed.stop().await.unwrap();
    assert_eq!(frozen(&home), []);
    assert_eq!(frozen(&seller_home), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_than_genesis_names_is_refused_at_the_start() {
    let town = Town::new().await;
    let path = town.dir.path().join("scout");
    let genesis = alloy_primitives::B256::repeat_byte(1);
    let (home, _) = homes::home(&path, "scout", genesis, |_| {
        policy_for(1, owner().address(), town.devnet.url(), town.token, Address::repeat_byte(9))
    });
    let error = Steward::start(home, homes::unlock(), Options::default()).await.unwrap_err();
    assert!(matches!(error, StewardError::Wrong(_)), "{error}");
}

/// Each authorisation by itself is good: the chain shows all of the balance until one is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_is_signed_away_many_times_costs_its_seller_one_fee() {
    let town = Town::new().await;
    let (home, shop) = town.home("feed", Address::repeat_byte(9)).await;
    let (feed, mind) = start(&home, "feed").await;
    let payer = support::key(7);
    town.devnet.mint(town.token, payer.address(), U256::from(800_000)).await.unwrap();
    // No block comes while they are asked for.
    town.devnet.set_interval(0).await.unwrap();
    town.ask("evm_setAutomine", serde_json::json!([false])).await;
    let sales = (0..12).map(|nonce| {
        let intent = support::settle(&payer, shop, 400_000, nonce, town.token);
        let (mind, sale) = (mind.clone(), proposal("sell", 0, intent));
        tokio::spawn(async move { (sale.clone(), mind.propose(sale).await) })
    });
    let (mut sold, mut refused) = (Vec::new(), Vec::new());
    for sale in sales.collect::<Vec<_>>() {
        match sale.await.unwrap() {
            (_, Ok(outcome)) => sold.push(id(&outcome)),
            (sale, Err(error)) => {
                let why = error.to_string();
                assert!(why.contains("it would fail: of the payer's 800000 base units 0"), "{why}");
                refused.push(sale);
            }
        }
    }
    assert_eq!((sold.len(), refused.len()), (2, 10), "the balance is good for two");
    let under_way = mind.settling(None).await.unwrap();
    let told: Vec<_> = under_way.iter().map(|it| (it.from, it.charge)).collect();
    assert_eq!(told, [(payer.address(), town.usdc(400_000)); 2]);
    let rest = mind.settling(Some(under_way[0].id)).await.unwrap();
    assert_eq!(rest, under_way[1..]);
    // Who asks what would come of one more is told the same.
    let preview = mind.preview(refused[0].clone()).await.unwrap();
    assert_eq!(preview.payer.unwrap().balance, U256::ZERO);
    town.devnet.set_interval(1).await.unwrap();
    for id in sold {
        until(&mind, id, PaymentState::Final).await;
    }
    assert_eq!(town.balance(shop).await, 5_800_000);
    // One that was refused is good once there is money for it.
    town.devnet.mint(town.token, payer.address(), U256::from(400_000)).await.unwrap();
    let outcome = mind.propose(refused.remove(0)).await.unwrap();
    until(&mind, id(&outcome), PaymentState::Final).await;
    assert_eq!(town.devnet.rpc().transaction_count(shop, false).await.unwrap(), 3);
    feed.stop().await.unwrap();
}
