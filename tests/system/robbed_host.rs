//! What the owner's commands believe when somebody else has the host: no file there makes the owner
//! sign for another key, send money elsewhere, or take for ended what lives.

use crate::{
    account::Estate,
    command::{failure, ok},
};
use alloy_primitives::{Address, Bytes, U256};
use marque::{
    home::OwnerHome,
    owner::{Owner, OwnerError},
};
use marque_identity::Rpc;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};

fn edit(path: &std::path::Path, key: &str, value: Value) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file[key] = value;
    std::fs::write(path, file.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_on_the_host_makes_what_lives_look_ended() {
    let estate = Estate::delegated().await;
    let first = estate.permissions();
    let whole = std::fs::read_to_string(estate.file()).unwrap();
    for (key, value) in [
        ("until", json!(1)),
        ("grants", json!([])),
        ("nonce", json!("0x63")),
        ("owner", json!(Address::repeat_byte(0x66))),
    ] {
        edit(&estate.file(), key, value);
        let (text, code) = failure(&estate.account(&["revoke", "scout"]));
        assert!(code == 1 && text.contains("delegation.json"), "{key}: {text}");
        std::fs::write(estate.file(), &whole).unwrap();
    }

    // Taken away, it is still known to the owner: a narrower one replaces it, and not beside it.
    std::fs::remove_file(estate.file()).unwrap();
    estate.adopt(2, "day = \"1.00\"", "");
    let said = ok(&estate.account(&["delegate", "scout", "--yes"]));
    assert!(said.contains("what it had before is revoked"), "{said}");
    let standing = first.standing(&estate.town.economy.rpc).await.unwrap();
    assert!(standing.assets.iter().all(|asset| asset.revoked), "{standing:?}");

    // The old file in its place says that something has ended, and hides nothing that lives.
    let second = estate.permissions();
    std::fs::write(estate.file(), &whole).unwrap();
    ok(&estate.account(&["revoke", "scout"]));
    assert!(second.standing(&estate.town.economy.rpc).await.unwrap().is_over());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_pays_and_delegates_to_the_key_that_was_enrolled() {
    let estate = Estate::delegated().await;
    let thief = Address::repeat_byte(0x66);
    edit(&estate.path().join("home/keys/scout.json"), "address", json!(thief));
    for args in [
        &["account", "delegate", "scout", "--anew", "--yes"][..],
        &["fund", "scout", "0.01 ETH"],
        &["fund", "scout", "1 tUSD", "--faucet"],
        &["account", "status", "scout"],
    ] {
        let (text, code) = failure(&estate.marque(args));
        assert!(code == 1 && text.contains("somebody changed it"), "{args:?}: {text}");
    }
    assert_eq!(estate.has(thief).await, 0);
    assert_eq!(estate.town.economy.rpc.balance(thief).await.unwrap(), U256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_another_chain_gets_nothing_signed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = OwnerHome::locate(Some(dir.path().join("owner"))).unwrap();
    let secret = "correct horse battery staple".to_owned().into();
    Owner::create(&folder, &secret).unwrap();
    let owner = Owner::unlock(&folder, &secret).unwrap();
    // It says that it serves chain 1, and would be glad of a transaction for it.
    let liar = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", liar.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in liar.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let answer =
                json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "0x1" }).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
            stream.into_inner().write_all(answer.as_bytes()).unwrap();
        }
    });
    let rpc = Rpc::new(&[url]).unwrap();
    let sent = owner.send(&rpc, 31_337, Address::ZERO, U256::ZERO, Bytes::new()).await;
    let error = sent.unwrap_err();
    assert!(matches!(error, OwnerError::Chains { found: 1, chain: 31_337 }), "{error}");
}
