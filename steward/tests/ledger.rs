//! What the ledger does on a real development chain: it takes back, outbids, fills and remembers.

#![cfg(test)]

mod support;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use marque_contracts::IERC3009Bytes;
use marque_identity_keys::KeyDir;
use marque_policies::{
    Intent, IntentId,
    intent::{Cancel, Settle},
};
use marque_steward::{
    Body, Home, Options, State, Steward, audit,
    core::{BlockFacts, Event, Facts, GasPlan, step},
    entry::Order,
    journal::{Journal, LogSigner, Origin},
};
use marque_steward_client::{
    Artifact, Authorisation, Client, ClientError, IntentState, Outcome, PaymentState,
};
use std::time::{Duration, Instant};
use support::{fetch, homes, owner, policy_for, proposal, settle, town::Town};

fn quick() -> Options {
    let (poll, rest) = (Duration::from_millis(200), Duration::from_millis(500));
    Options { poll, rest, patience: Duration::from_secs(1), ..Options::default() }
}

async fn start(home: &Home) -> (Steward, Client) {
    let steward = Steward::start(home.clone(), homes::unlock(), quick()).await.unwrap();
    let client = Client::connect(home.socket("scout")).await.unwrap();
    (steward, client)
}

fn out(outcome: Outcome) -> (IntentId, Authorisation) {
    match outcome {
        Outcome::Allowed { id, artifact: Artifact::Authorisation(made) } => (id, *made),
        other => panic!("{other:?}"),
    }
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

/// Waits until the journal says so.
async fn told(home: &Home, what: impl Fn(&State) -> bool) -> State {
    for _ in 0..150 {
        let state = audit::state(home).unwrap();
        if what(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the journal never said so")
}

fn count(home: &Home, kind: &str) -> usize {
    audit::entries(&home.journal()).unwrap().iter().filter(|e| e.body.kind() == kind).count()
}

fn transfer(town: &Town, to: Address, units: u64) -> Intent {
    let Intent::Transfer(mut pay) = support::transfer(units) else { panic!() };
    (pay.to, pay.amount) = (to, town.usdc(units));
    Intent::Transfer(pay)
}

fn settling(a: &Authorisation) -> alloy_primitives::Bytes {
    let call = IERC3009Bytes::transferWithAuthorizationCall {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: U256::from(a.valid_after),
        validBefore: U256::from(a.valid_before),
        nonce: a.nonce,
        signature: a.signature.clone(),
    };
    call.abi_encode().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_takes_back_what_is_out_and_not_used_yet() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, key) = town.home("scout", shop).await;
    let (steward, mind) = start(&home).await;
    let mut live = Vec::new();
    for units in [10_000, 30_000, 20_000] {
        let task = format!("buy {units}");
        // A captured mind knows what a cancellation will be called, and asks for some beforehand.
        let intent = proposal(&task, 0, town.pay(shop, units)).id(home.origin(), "scout");
        for attempt in 0..3 {
            let cancel = Intent::Cancel(Cancel { intent });
            let garbage = mind.propose(proposal("garbage", attempt, cancel)).await.unwrap();
            assert!(matches!(garbage, Outcome::Refused { .. }), "{garbage:?}");
        }
        live.push(out(mind.propose(proposal(&task, 0, town.pay(shop, units))).await.unwrap()));
    }
    // One of the three is settled before anybody stops anything.
    let (used, made) = live.remove(0);
    town.devnet.send(town.token, settling(&made)).await.unwrap();
    until(&mind, used, PaymentState::Final).await;

    let began = Instant::now();
    mind.freeze("enough").await.unwrap();
    for (id, _) in &live {
        assert!(matches!(
            mind.propose(proposal("late", 0, town.pay(shop, 1))).await,
            Err(ClientError::Fault(fault)) if fault.code == "frozen"
        ));
        until(&mind, *id, PaymentState::Cancelled).await;
    }
    println!("two authorisations were taken back for good within {:?}", began.elapsed());
    assert_eq!(mind.view().await.unwrap().budgets[0].spent, town.usdc(10_000));
    for (_, made) in &live {
        assert!(
            town.devnet.send(town.token, settling(made)).await.is_err(),
            "the chain refuses it"
        );
    }
    assert_eq!(town.balance(shop).await, 10_000);
    assert_eq!(count(&home, "cancelled"), 2);
    let state = told(&home, |state| {
        let orders = state.intents().values();
        let mut cancels = orders.filter(|r| matches!(r.order, Some(Order::Cancel(_))));
        cancels.all(|record| record.state == PaymentState::Final)
    })
    .await;
    // The dearest first, and what it cost is in the ledger to the last wei.
    let mut cancels: Vec<_> = state.intents().values().collect();
    cancels.retain(|record| matches!(record.order, Some(Order::Cancel(_))));
    cancels.sort_by_key(|record| record.entry);
    let Some(Order::Cancel(first)) = &cancels[0].order else { panic!() };
    assert_eq!(first.cancelled, live[0].0);
    let gas = cancels.iter().map(|it| state.debits().of(it.decided.id)[0].amount.units);
    let left = town.devnet.rpc().balance(key).await.unwrap();
    assert_eq!(U256::from(10_u64.pow(18)) - left, gas.sum::<U256>());
    steward.stop().await.unwrap();
    let (steward, mind) = start(&home).await;
    assert_eq!(count(&home, "frozen"), 1, "a cancellation is nobody else's outflow");
    assert!(mind.view().await.unwrap().frozen_at.is_some());
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_may_take_back_its_own_authorisation_and_try_again() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, _) = town.home("scout", shop).await;
    let (steward, mind) = start(&home).await;
    let (id, _) = out(mind.propose(proposal("buy", 0, town.pay(shop, 20_000))).await.unwrap());
    let stop = Intent::Cancel(Cancel { intent: id });
    let outcome = mind.propose(proposal("stop", 0, stop)).await.unwrap();
    assert!(matches!(outcome, Outcome::Allowed { artifact: Artifact::Transaction { .. }, .. }));
    until(&mind, id, PaymentState::Cancelled).await;
    let again = out(mind.propose(proposal("buy", 1, town.pay(shop, 20_000))).await.unwrap());
    town.devnet.send(town.token, settling(&again.1)).await.unwrap();
    until(&mind, again.0, PaymentState::Final).await;
    // Too late: it is paid.
    let stop = Intent::Cancel(Cancel { intent: again.0 });
    let late = mind.propose(proposal("stop", 0, stop)).await.unwrap();
    assert!(matches!(late, Outcome::Refused { .. }), "{late:?}");
    assert_eq!(town.balance(shop).await, 20_000);
    steward.stop().await.unwrap();
}

/// A question to the development chain that nobody else asks.
async fn ask(town: &Town, method: &str, params: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let host = town.devnet.url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{call}",
        call.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("result"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_waits_for_lower_fees_is_outbid_and_paid_once() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, key) = town.home("scout", shop).await;
    let (steward, mind) = start(&home).await;
    town.devnet.set_interval(0).await.unwrap();
    let outcome = mind.propose(proposal("send", 0, transfer(&town, shop, 30_000))).await.unwrap();
    let Outcome::Allowed { id, .. } = outcome else { panic!("{outcome:?}") };
    until(&mind, id, PaymentState::Sent).await;
    // Forty times as dear: the next block has no room for it.
    ask(&town, "anvil_setNextBlockBaseFeePerGas", r#"["0x9502f9000"]"#).await;
    town.devnet.mine(1).await.unwrap();
    assert_eq!(town.balance(shop).await, 0);
    let state = told(&home, |state| {
        let record = state.intent(id).unwrap();
        let out = record.hash.is_some() && record.state == PaymentState::Sent;
        out && record.earlier.len() == 1
    })
    .await;
    let record = state.intent(id).unwrap();
    let kept = std::fs::read_dir(home.outbox()).unwrap().count();
    assert_eq!(kept, 2, "the bytes of both wait");
    assert_ne!(record.hash, Some(record.earlier[0]));
    town.devnet.set_interval(1).await.unwrap();
    let paid = until(&mind, id, PaymentState::Final).await;
    assert_eq!(paid.transaction, record.hash);
    assert_eq!(town.balance(shop).await, 30_000);
    assert_eq!(town.devnet.rpc().transaction_count(key, false).await.unwrap(), 1);
    let state = audit::state(&home).unwrap();
    let gas = state.debits().of(id)[1].amount.units;
    let left = town.devnet.rpc().balance(key).await.unwrap();
    assert_eq!(U256::from(10_u64.pow(18)) - left, gas, "settled to what it cost");
    steward.stop().await.unwrap();
    assert_eq!(std::fs::read_dir(home.outbox()).unwrap().count(), 0);
}

/// Decides in a home in which no steward works, as one that is killed before it signs.
fn reserved(home: &Home, intents: Vec<Intent>) -> Vec<IntentId> {
    let keys = KeyDir::open(home.keys()).unwrap();
    let seed = keys.log_key(&homes::unlock()).unwrap();
    let signer = LogSigner::from_secret(&secrecy::SecretBox::new(Box::new(*seed)));
    let (mut journal, _) = Journal::open(&home.journal(), Origin(home.origin()), signer).unwrap();
    let mut state = audit::state(home).unwrap();
    let policy = state.agent("scout").unwrap().policy.as_ref().unwrap().hash;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = state.now(u64::try_from(now.as_millis()).unwrap());
    let mut ids = Vec::new();
    for (n, intent) in intents.into_iter().enumerate() {
        let proposal = Box::new(proposal(&format!("t{n}"), 0, intent));
        ids.push(proposal.id(home.origin(), "scout"));
        let facts = Box::new(Facts {
            policy,
            block: Some(BlockFacts { number: 1, timestamp: now / 1_000 }),
            gas: Some(GasPlan {
                limit: 100_000,
                max_fee: 4_000_000_000,
                max_priority_fee: 1_000_000_000,
            }),
            nonce: Some(0),
            ..Facts::default()
        });
        let mut step = step(&state, Event::Propose { agent: "scout".into(), proposal, facts }, now);
        let entries = step.number(&state, now);
        assert_eq!(entries.len(), 1, "{:?}", step.reply);
        for entry in &entries {
            state.apply(entry).unwrap();
        }
        let bytes: Vec<_> = entries.iter().map(|entry| entry.encode().unwrap()).collect();
        journal.append(&bytes).unwrap();
    }
    journal.publish().unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_a_crash_left_open_is_filled_and_later_payments_go_on() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, key) = town.home("scout", shop).await;
    // The first cannot be paid any more when the steward comes back; the second can.
    let ids = reserved(&home, vec![transfer(&town, shop, 40_000), transfer(&town, shop, 10_000)]);
    let balance = town.balance(key).await;
    burn(&town, key, balance - 15_000).await;
    let (steward, mind) = start(&home).await;
    until(&mind, ids[1], PaymentState::Final).await;
    let filled = until(&mind, ids[0], PaymentState::Expired).await;
    assert!(filled.transaction.is_some(), "its nonce was used for nothing");
    assert_eq!(town.balance(shop).await, 10_000);
    assert_eq!(count(&home, "filled"), 1);
    assert_eq!(town.devnet.rpc().transaction_count(key, false).await.unwrap(), 2);
    let next = mind.propose(proposal("next", 0, transfer(&town, shop, 5_000))).await.unwrap();
    let Outcome::Allowed { id, .. } = next else { panic!("{next:?}") };
    until(&mind, id, PaymentState::Final).await;
    assert_eq!(town.balance(shop).await, 15_000);
    steward.stop().await.unwrap();
    assert_eq!(count(&home, "frozen"), 0);
}

/// Makes tokens disappear as if they had never come: the chain's own doing, nobody's transaction.
async fn burn(town: &Town, of: Address, units: u64) {
    // OpenZeppelin's ERC20 keeps balances in its first slot.
    let slot = alloy_primitives::keccak256([of.into_word().0, [0; 32]].concat());
    let left = town.balance(of).await - units;
    let value = B256::from(U256::from(left));
    let params = format!(r#"["{}","{slot}","{value}"]"#, town.token);
    ask(town, "anvil_setStorageAt", &params).await;
    assert_eq!(town.balance(of).await, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sub_agent_has_a_socket_of_its_own_and_sees_and_spends_its_own() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let genesis = town.devnet.rpc().genesis_hash().await.unwrap();
    let (home, key) = homes::home(&town.dir.path().join("scout"), "scout", genesis, |_| {
        policy_for(1, owner().address(), town.devnet.url(), town.token, shop)
            + r#"
[sub_agent.helper]
payees = ["shop"]
[sub_agent.helper.limits.USDC]
day = "0.03"
[sub_agent.twin]
tools = ["fetch_data"]
"#
    });
    town.devnet.give_eth(key, U256::from(10_u64.pow(18))).await.unwrap();
    town.devnet.mint(town.token, key, U256::from(5_000_000)).await.unwrap();
    let (steward, mind) = start(&home).await;
    let helper = Client::connect(home.sub_socket("scout", "helper")).await.unwrap();
    let twin = Client::connect(home.sub_socket("scout", "twin")).await.unwrap();

    let (own, _) = out(mind.propose(proposal("buy", 0, town.pay(shop, 20_000))).await.unwrap());
    let (id, made) = out(helper.propose(proposal("buy", 0, town.pay(shop, 20_000))).await.unwrap());
    assert_ne!(own, id);
    let over = helper.propose(proposal("more", 0, town.pay(shop, 20_000))).await.unwrap();
    assert!(matches!(over, Outcome::Refused { .. }));
    let none = twin.propose(proposal("buy", 0, town.pay(shop, 1))).await.unwrap();
    assert!(matches!(none, Outcome::Refused { .. }));
    assert!(matches!(
        twin.propose(proposal("look", 0, fetch())).await.unwrap(),
        Outcome::Allowed { .. }
    ));
    // The agent sees all of it, its sub-agents their own alone.
    assert!(mind.wait(id, Duration::ZERO).await.is_ok());
    assert!(twin.wait(id, Duration::ZERO).await.is_err());
    assert!(helper.wait(own, Duration::ZERO).await.is_err());
    let view = helper.view().await.unwrap();
    assert_eq!(view.sub_agent.as_deref(), Some("helper"));
    assert!(view.tools.is_empty() && view.payees.len() == 1);
    assert!(view.intents.iter().all(|it| it.sub_agent.as_deref() == Some("helper")));
    assert!(view.budgets.iter().any(|it| it.rule == "sub_agent.helper.limits.USDC.day"));
    assert!(twin.view().await.unwrap().payees.is_empty());
    let all = mind.view().await.unwrap();
    assert!(all.intents.iter().any(|it| it.status.id == id));
    assert_eq!(all.budgets[0].spent, town.usdc(40_000), "one reservation debits both");
    town.devnet.send(town.token, settling(&made)).await.unwrap();
    until(&helper, id, PaymentState::Final).await;
    // Anybody stops everything.
    twin.freeze("odd").await.unwrap();
    assert!(mind.propose(proposal("late", 0, town.pay(shop, 1))).await.is_err());
    steward.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_is_in_the_journal_once_and_income_of_ours_is_not() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, key) = town.home("scout", shop).await;
    let (steward, mind) = start(&home).await;
    town.devnet.mint(town.token, key, U256::from(777)).await.unwrap();
    let payer = support::key(6);
    town.devnet.mint(town.token, payer.address(), U256::from(20_000)).await.unwrap();
    let sold = settle(&payer, key, 20_000, 5, town.token);
    let outcome = mind.propose(proposal("sell", 0, sold)).await.unwrap();
    let Outcome::Allowed { id, .. } = outcome else { panic!("{outcome:?}") };
    until(&mind, id, PaymentState::Final).await;
    let came = |home: &Home| {
        let entries = audit::entries(&home.journal()).unwrap();
        let received = entries.into_iter().filter_map(|entry| match entry.body {
            Body::Received { transfers, .. } => Some(transfers),
            _ => None,
        });
        received.flatten().map(|it| it.value.to::<u64>()).collect::<Vec<_>>()
    };
    told(&home, |_| came(&home).len() == 2).await;
    steward.stop().await.unwrap();
    let (steward, _mind) = start(&home).await;
    town.devnet.mine(3).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    steward.stop().await.unwrap();
    assert_eq!(came(&home), [5_000_000, 777], "each once, after a restart as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_on_from_where_the_journal_says_and_still_finds_a_theft() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, _) = town.home("scout", shop).await;
    for _ in 0..24 {
        town.devnet.mine(50).await.unwrap();
    }
    let (steward, _mind) = start(&home).await;
    let state = told(&home, |state| !state.agent("scout").unwrap().scanned.is_empty()).await;
    let mark = state.agent("scout").unwrap().scanned[&town.token];
    assert!(mark > 1_000, "{mark}");
    steward.stop().await.unwrap();

    let stolen = KeyDir::open(home.keys()).unwrap().key("scout", &homes::unlock()).unwrap();
    let Intent::Settle(Settle { to, amount, valid_before, nonce, signature, from, .. }) =
        settle(&stolen, shop, 20_000, 5, town.token)
    else {
        panic!()
    };
    let signature = alloy_primitives::hex::decode(signature).unwrap().into();
    let theft = Authorisation {
        from,
        to,
        value: amount.units,
        valid_after: 0,
        valid_before,
        nonce,
        signature,
    };
    town.devnet.send(town.token, settling(&theft)).await.unwrap();
    let (steward, mind) = start(&home).await;
    assert!(mind.view().await.unwrap().frozen_at.is_some());
    steward.stop().await.unwrap();
    let state = audit::state(&home).unwrap();
    assert_eq!(state.agent("scout").unwrap().scanned[&town.token], mark, "no mark over a theft");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_does_not_take_keeps_nothing_else_waiting() {
    let town = Town::new().await;
    let shop = Address::repeat_byte(9);
    let (home, key) = town.home("scout", shop).await;
    let (steward, mind) = start(&home).await;
    // The coins are gone before a block has it, and it is forgotten: sent again it is not taken.
    town.devnet.set_interval(0).await.unwrap();
    town.ask("evm_setAutomine", serde_json::json!([false])).await;
    let sweep = Intent::Sweep(marque_policies::intent::Sweep { amount: town.usdc(1) });
    let swept = mind.propose(proposal("home", 0, sweep)).await.unwrap();
    let Outcome::Allowed { artifact: Artifact::Transaction { hash }, .. } = swept else {
        panic!("{swept:?}")
    };
    steward.stop().await.unwrap();
    town.ask("anvil_dropTransaction", serde_json::json!([hash])).await;
    town.ask("anvil_setBalance", serde_json::json!([key, "0x0"])).await;
    town.ask("evm_setAutomine", serde_json::json!([true])).await;
    town.devnet.set_interval(1).await.unwrap();

    let (steward, mind) = start(&home).await;
    let (id, made) = out(mind.propose(proposal("buy", 0, town.pay(shop, 10_000))).await.unwrap());
    town.devnet.send(town.token, settling(&made)).await.unwrap();
    until(&mind, id, PaymentState::Final).await;
    // What would not be taken either is not begun.
    let again = Intent::Sweep(marque_policies::intent::Sweep { amount: town.usdc(2) });
    let refused = mind.propose(proposal("again", 0, again)).await.unwrap_err().to_string();
    assert!(refused.contains("the key has 0.00 ETH for fees, and this may take 0.0"), "{refused}");
    assert!(refused.contains("; marque fund scout \"0.00"), "{refused}");
    mind.freeze("enough").await.unwrap();
    town.ask("anvil_setBalance", serde_json::json!([key, "0xde0b6b3a7640000"])).await;
    let Outcome::Allowed { id, .. } = swept else { panic!() };
    until(&mind, id, PaymentState::Final).await;
    steward.stop().await.unwrap();
}
