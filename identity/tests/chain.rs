//! The RPC client, the registry and the development chain, on a real anvil.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_sol_types::SolCall as _;
use axum::{Json, Router, http::StatusCode, routing::post};
use marque_contracts::{Contract, IERC20, IERC3009Bytes, IdentityRegistry, TokenDomain, bytecode};
use marque_identity::{
    BlockTag, Card, Devnet, IdentityError, Rpc, card::Registration, devnet::Options, registry,
};
use serde_json::{Value, json};
use std::time::Duration;

const STRANGER: Address = address!("00000000000000000000000000000000000057a6");

/// A chain on which the test itself says when a block is mined.
async fn devnet() -> Devnet {
    let devnet = Devnet::start(&Options { eager: true, ..Options::default() }).await.unwrap();
    devnet.set_interval(0).await.unwrap();
    devnet
}

/// Talks to the chain past the client, for what the client rightly cannot do: sign.
async fn raw(devnet: &Devnet, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer: Value =
        client.post(devnet.url()).json(&body).send().await.unwrap().json().await.unwrap();
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer.get("result").unwrap().clone()
}

async fn accounts(devnet: &Devnet) -> Vec<Address> {
    serde_json::from_value(raw(devnet, "eth_accounts", json!([])).await).unwrap()
}

/// Sends a transaction from one of the accounts that anvil unlocks; answers its hash.
async fn send(devnet: &Devnet, from: Address, to: Address, data: Bytes) -> B256 {
    let call = json!([{ "from": from, "to": to, "data": data }]);
    let hash = raw(devnet, "eth_sendTransaction", call).await;
    devnet.mine(1).await.unwrap();
    serde_json::from_value(hash).unwrap()
}

/// Typed data signed by one of the accounts that anvil unlocks.
async fn sign(devnet: &Devnet, signer: Address, typed: Value) -> Bytes {
    let signature = raw(devnet, "eth_signTypedData_v4", json!([signer, typed])).await;
    serde_json::from_value(signature).unwrap()
}

fn fields(fields: &[(&str, &str)]) -> Value {
    fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
}

fn domain_type() -> Value {
    fields(&[
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    ])
}

#[tokio::test]
async fn a_chain_tells_its_blocks_balances_and_fees() {
    let devnet = devnet().await;
    let rpc = devnet.rpc();
    assert_eq!(rpc.chain_id().await.unwrap(), devnet.chain_id());
    let before = rpc.block_number().await.unwrap();
    devnet.mine(3).await.unwrap();
    assert_eq!(rpc.block_number().await.unwrap(), before + 3);

    let latest = rpc.block(BlockTag::Latest).await.unwrap();
    assert_eq!(rpc.block(BlockTag::Number(latest.number)).await.unwrap(), latest);
    assert_eq!(
        rpc.block(BlockTag::Number(0)).await.unwrap().hash,
        rpc.genesis_hash().await.unwrap()
    );
    assert!(latest.timestamp > 1_600_000_000);
    assert!(rpc.block(BlockTag::Safe).await.unwrap().number <= latest.number);
    assert!(rpc.block(BlockTag::Finalized).await.unwrap().number <= latest.number);
    let future = rpc.block(BlockTag::Number(1_000_000)).await.unwrap_err().to_string();
    assert!(future.contains("no block Number(1000000) yet"), "{future}");

    devnet.give_eth(STRANGER, U256::from(12_345)).await.unwrap();
    assert_eq!(rpc.balance(STRANGER).await.unwrap(), U256::from(12_345));
    assert_eq!(rpc.transaction_count(STRANGER, true).await.unwrap(), 0);
    let fees = rpc.fees().await.unwrap();
    assert!(fees.max_fee_per_gas > fees.max_priority_fee_per_gas);
}

#[tokio::test]
async fn two_development_chains_run_side_by_side_and_end_with_their_value() {
    let (one, two) = (devnet().await, devnet().await);
    assert_ne!(one.url(), two.url());
    one.mine(5).await.unwrap();
    assert_ne!(one.rpc().block_number().await.unwrap(), two.rpc().block_number().await.unwrap());
    let rpc = one.rpc().clone();
    drop(one);
    for _ in 0..300 {
        if rpc.chain_id().await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(rpc.chain_id().await, Err(IdentityError::Unreachable { .. })));
    assert!(two.rpc().chain_id().await.is_ok());
}

#[tokio::test]
async fn a_chain_with_a_state_file_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state: Some(folder.path().join("state.json")), ..Options::default() };
    let first = Devnet::start(&options).await.unwrap();
    let token = first.deploy(bytecode(Contract::TestDollar)).await.unwrap();
    first.mint(token, STRANGER, U256::from(7)).await.unwrap();
    first.stop().await;
    let second = Devnet::start(&options).await.unwrap();
    assert_eq!(second.rpc().erc20_balance(token, STRANGER).await.unwrap(), U256::from(7));
}

#[tokio::test]
async fn a_registered_agent_resolves_to_its_owner_and_its_wallet() {
    let devnet = devnet().await;
    let rpc = devnet.rpc();
    let at = devnet.deploy(bytecode(Contract::IdentityRegistry)).await.unwrap();
    let (owner, wallet) = (accounts(&devnet).await[1], accounts(&devnet).await[2]);

    let mut card = Card::new("feed", "sells data");
    card.registrations.push(Registration::new(devnet.chain_id(), at, 0));
    let uri = card.to_data_uri().unwrap();
    let hash = send(&devnet, owner, at, registry::register(&uri)).await;
    let receipt = rpc.wait_receipt(hash, Duration::from_secs(5)).await.unwrap();
    let id = registry::registered_id(&receipt, at).unwrap();
    assert_eq!(registry::registered_id(&receipt, STRANGER), None);

    let resolved = registry::resolve(rpc, at, id).await.unwrap();
    assert_eq!((resolved.owner, resolved.wallet), (owner, owner));
    let read = Card::from_data_uri(&registry::agent_uri(rpc, at, id).await.unwrap()).unwrap();
    assert!(read.claims(devnet.chain_id(), at, id.to()));

    let deadline = rpc.block(BlockTag::Latest).await.unwrap().timestamp + 200;
    let consent = json!({
        "domain": {
            "name": "ERC8004IdentityRegistry", "version": "1",
            "chainId": devnet.chain_id(), "verifyingContract": at,
        },
        "primaryType": "AgentWalletSet",
        "types": {
            "EIP712Domain": domain_type(),
            "AgentWalletSet": fields(&[
                ("agentId", "uint256"), ("newWallet", "address"),
                ("owner", "address"), ("deadline", "uint256"),
            ]),
        },
        "message": {
            "agentId": id.to_string(), "newWallet": wallet,
            "owner": owner, "deadline": deadline.to_string(),
        },
    });
    let signature = sign(&devnet, wallet, consent).await;
    let data = registry::set_agent_wallet(id, wallet, deadline, signature);
    send(&devnet, owner, at, data).await;
    assert_eq!(registry::resolve(rpc, at, id).await.unwrap().wallet, wallet);

    send(&devnet, owner, at, registry::set_agent_uri(id, "https://feed.example/card")).await;
    assert_eq!(registry::agent_uri(rpc, at, id).await.unwrap(), "https://feed.example/card");
}

#[tokio::test]
async fn an_unknown_agent_and_an_absent_registry_are_told_apart() {
    let devnet = devnet().await;
    let at = devnet.deploy(bytecode(Contract::IdentityRegistry)).await.unwrap();
    let unknown = registry::resolve(devnet.rpc(), at, U256::from(99)).await.unwrap_err();
    assert!(matches!(unknown, IdentityError::Reverted { .. }), "{unknown}");
    let absent = registry::resolve(devnet.rpc(), STRANGER, U256::ZERO).await.unwrap_err();
    assert!(matches!(absent, IdentityError::Answer { .. }), "{absent}");
}

#[tokio::test]
async fn an_authorisation_is_seen_when_it_is_settled_and_only_once() {
    let devnet = devnet().await;
    let rpc = devnet.rpc();
    let token = devnet.deploy(bytecode(Contract::TestDollar)).await.unwrap();
    let (payer, carrier) = (accounts(&devnet).await[1], accounts(&devnet).await[2]);
    let (value, nonce) = (U256::from(20_000), B256::repeat_byte(9));
    devnet.mint(token, payer, U256::from(50_000)).await.unwrap();
    assert_eq!(rpc.erc20_balance(token, payer).await.unwrap(), U256::from(50_000));
    let start = rpc.block_number().await.unwrap();

    let before = rpc.block(BlockTag::Latest).await.unwrap().timestamp + 300;
    let domain = TokenDomain::test_dollar(devnet.chain_id(), token);
    let authorisation = json!({
        "domain": {
            "name": domain.name, "version": domain.version,
            "chainId": domain.chain, "verifyingContract": token,
        },
        "primaryType": "TransferWithAuthorization",
        "types": {
            "EIP712Domain": domain_type(),
            "TransferWithAuthorization": fields(&[
                ("from", "address"), ("to", "address"), ("value", "uint256"),
                ("validAfter", "uint256"), ("validBefore", "uint256"), ("nonce", "bytes32"),
            ]),
        },
        "message": {
            "from": payer, "to": STRANGER, "value": value.to_string(),
            "validAfter": "0", "validBefore": before.to_string(), "nonce": nonce,
        },
    });
    let settle: Bytes = IERC3009Bytes::transferWithAuthorizationCall {
        from: payer,
        to: STRANGER,
        value,
        validAfter: U256::ZERO,
        validBefore: U256::from(before),
        nonce,
        signature: sign(&devnet, payer, authorisation).await,
    }
    .abi_encode()
    .into();

    assert!(!rpc.authorization_state(token, payer, nonce).await.unwrap());
    assert_eq!(rpc.authorization_used(token, payer, nonce, start).await.unwrap(), None);

    let gas = rpc.estimate_gas(carrier, Some(token), U256::ZERO, settle.clone()).await.unwrap();
    assert!((21_000..200_000).contains(&gas));
    let hash = send(&devnet, carrier, token, settle.clone()).await;
    let receipt = rpc.receipt(hash).await.unwrap().unwrap();
    assert!(receipt.success && receipt.gas_used <= gas);

    assert!(rpc.authorization_state(token, payer, nonce).await.unwrap());
    let used = rpc.authorization_used(token, payer, nonce, start).await.unwrap();
    assert_eq!(used, Some((hash, receipt.block_number)));
    let later = receipt.block_number + 1;
    devnet.mine(1).await.unwrap();
    assert_eq!(rpc.authorization_used(token, payer, nonce, later).await.unwrap(), None);
    assert_eq!(rpc.authorization_used(token, carrier, nonce, start).await.unwrap(), None);
    let all = rpc.authorizations_used_by(token, payer, 0).await.unwrap();
    assert_eq!(all, [(nonce, hash, receipt.block_number)]);
    assert_eq!(rpc.authorizations_used_by(token, payer, later).await.unwrap(), []);
    assert_eq!(rpc.authorizations_used_by(token, carrier, 0).await.unwrap(), []);
    assert_eq!(rpc.authorizations_used_by(STRANGER, payer, 0).await.unwrap(), []);
    assert_eq!(rpc.transfer_in(hash, token, payer, STRANGER).await.unwrap(), Some(value));
    assert_eq!(rpc.transfer_in(hash, token, payer, carrier).await.unwrap(), None);
    assert_eq!(rpc.transfer_in(hash, STRANGER, payer, STRANGER).await.unwrap(), None);
    assert_eq!(rpc.transfer_in(B256::ZERO, token, payer, STRANGER).await.unwrap(), None);

    let twice = rpc.estimate_gas(carrier, Some(token), U256::ZERO, settle).await.unwrap_err();
    assert!(matches!(twice, IdentityError::Reverted { .. }), "{twice}");
}

#[tokio::test]
async fn a_node_that_refuses_long_ranges_is_asked_page_by_page() {
    let (token, payer) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let number = |text: &Value| {
        let digits = text.as_str().unwrap().trim_start_matches("0x");
        u64::from_str_radix(digits, 16).unwrap()
    };
    let answer = move |Json(asked): Json<Value>| async move {
        let outcome = if asked["method"] == "eth_blockNumber" {
            json!({ "result": "0x61a8" })
        } else {
            let filter = &asked["params"][0];
            let first = number(&filter["fromBlock"]);
            let newest = filter["toBlock"] == "latest";
            let last = if newest { 25_000 } else { number(&filter["toBlock"]) };
            if last - first < 10_000 {
                // One settlement in the first block of every page.
                let nonce = B256::from(U256::from(first));
                let signature = keccak256("AuthorizationUsed(address,bytes32)");
                let topics = [signature, payer.into_word(), nonce];
                json!({ "result": [{
                    "address": token, "topics": topics, "data": "0x",
                    "transactionHash": B256::ZERO, "blockNumber": filter["fromBlock"],
                }] })
            } else {
                json!({ "error": { "code": -32_000, "message": "the range is too long" } })
            }
        };
        let mut whole = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        whole.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        Json(whole)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/", post(answer))).await },
    );
    let rpc = Rpc::new(&[url]).unwrap();
    let used = rpc.authorizations_used_by(token, payer, 0).await.unwrap();
    assert_eq!(used.iter().map(|used| used.2).collect::<Vec<_>>(), [0, 10_000, 20_000]);
    let used = rpc.authorizations_used_by(token, payer, 20_000).await.unwrap();
    assert_eq!(used.len(), 1, "a short range is asked at once");
}

#[tokio::test]
async fn the_same_bytes_are_sent_once_however_often_they_are_sent() {
    let devnet = Devnet::start(&Options::default()).await.unwrap();
    devnet.set_interval(0).await.unwrap();
    let rpc = devnet.rpc();
    let from = accounts(&devnet).await[3];
    let nonce = rpc.transaction_count(from, false).await.unwrap();
    let fees = rpc.fees().await.unwrap();
    let transaction = json!([{
        "from": from, "to": STRANGER, "value": "0x5", "nonce": format!("{nonce:#x}"), "gas": "0x5208",
        "maxFeePerGas": format!("{:#x}", fees.max_fee_per_gas),
        "maxPriorityFeePerGas": format!("{:#x}", fees.max_priority_fee_per_gas),
        "chainId": "0x7a69", "type": "0x2",
    }]);
    let signed = raw(&devnet, "eth_signTransaction", transaction).await;
    let bytes = hex::decode(signed.as_str().unwrap()).unwrap();

    let hash = rpc.send_raw(&bytes).await.unwrap();
    assert_eq!(hash, keccak256(&bytes));
    assert_eq!(rpc.send_raw(&bytes).await.unwrap(), hash, "waiting");
    assert_eq!(rpc.transaction_count(from, true).await.unwrap(), nonce + 1);
    assert_eq!(rpc.transaction_count(from, false).await.unwrap(), nonce);
    assert_eq!(rpc.receipt(hash).await.unwrap(), None);
    let late = rpc.wait_receipt(hash, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(late, IdentityError::NotMined { .. }), "{late}");

    devnet.mine(1).await.unwrap();
    assert!(rpc.wait_receipt(hash, Duration::from_secs(5)).await.unwrap().success);
    assert_eq!(rpc.send_raw(&bytes).await.unwrap(), hash, "mined");
    assert_eq!(rpc.balance(STRANGER).await.unwrap(), U256::from(5));
    assert!(matches!(rpc.send_raw(&[0; 3]).await, Err(IdentityError::Refused { .. })));
}

#[tokio::test]
async fn a_contracts_reason_reaches_the_reader() {
    let devnet = devnet().await;
    let at = devnet.deploy(bytecode(Contract::IdentityRegistry)).await.unwrap();
    let token = devnet.deploy(bytecode(Contract::TestDollar)).await.unwrap();
    let call = IERC20::transferCall { to: STRANGER, value: U256::from(1) }.abi_encode().into();
    let poor = devnet.rpc().call(Some(STRANGER), token, call).await.unwrap_err();
    assert!(matches!(poor, IdentityError::Reverted { .. }), "{poor}");
    let call = IdentityRegistry::setAgentURICall { agentId: U256::ZERO, newURI: "x".to_owned() };
    let refused = devnet.rpc().call(Some(STRANGER), at, call.abi_encode().into()).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.starts_with("the contract reverts: ") && text.len() > 24, "{text}");
}

#[tokio::test]
async fn a_second_endpoint_answers_where_the_first_fails() {
    let devnet = devnet().await;
    // Nobody, somebody who is overloaded, somebody who talks nonsense, somebody who is too busy.
    let refuse = |answer: Value| post(async move || Json(answer));
    let limited = json!({ "code": 429, "message": "rate limit exceeded" });
    let failing = Router::new()
        .route("/overloaded", post(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/nonsense", post(async || "<html>"))
        .route("/odd", refuse(json!({ "jsonrpc": "2.0", "id": 0, "result": "many" })))
        .route("/limited", refuse(json!({ "jsonrpc": "2.0", "id": 0, "error": limited })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, failing).await });

    let bad = ["overloaded", "nonsense", "odd", "limited"].map(|path| format!("{base}/{path}"));
    for first in bad.iter().map(String::as_str).chain(["http://127.0.0.1:1"]) {
        let rpc = Rpc::new(&[first.to_owned(), devnet.url().to_owned()]).unwrap();
        assert_eq!(rpc.chain_id().await.unwrap(), devnet.chain_id(), "{first}");
        let alone: Vec<_> = rpc.each().collect();
        assert_eq!(alone.len(), 2);
        assert!(matches!(alone[0].chain_id().await, Err(IdentityError::Unreachable { .. })));
        assert!(alone[1].chain_id().await.is_ok());
    }
    let nobody = Rpc::new(&bad).unwrap().chain_id().await.unwrap_err().to_string();
    assert!(nobody.starts_with("no RPC endpoint answered eth_chainId: 127.0.0.1:"), "{nobody}");
    assert!(!nobody.contains("/nonsense"), "the path may hold a key: {nobody}");
}
