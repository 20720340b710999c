//! What stays behind of an end where an endpoint said a number far ahead: it goes out one day, and ends nothing
//! that was delegated by then.

use crate::{account::Estate, command::ok, robbed_host::ask};
use marque_identity::Rpc;
use serde_json::{Value, json};
use std::time::Duration;

impl Estate {
    /// Asks the chain itself.
    fn chain(&self, method: &str, params: &Value) -> Value {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        tokio::task::block_in_place(|| ask(self.town.economy.devnet.url(), &asked))
    }
}

/// Whether any of them was mined, and did not revert.
async fn mined(rpc: &Rpc, hashes: &[Value]) -> Vec<bool> {
    let mut mined = Vec::new();
    for hash in hashes {
        let hash = serde_json::from_value(hash.clone()).unwrap();
        let receipt = rpc.wait_receipt(hash, Duration::from_secs(20)).await;
        mined.push(receipt.unwrap().success);
    }
    mined
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_behind_ends_nothing_that_is_delegated_afterwards() {
    for says in ["it lives", "the account is ahead"] {
        let (estate, liar) = Estate::beside_a_liar().await;
        liar.kept();
        let (text, _) = estate.ends_beside(&liar, says, &["--all"]).await;
        let kept = liar.kept();
        ok(&estate.account(&["delegate", "scout", "--yes"]));
        let living = estate.permissions();
        // The key has sent so many by now.
        let said = estate.chain("anvil_setNonce", &json!([estate.owner, "0x10000"]));
        assert!(said.get("error").is_none(), "{said}");
        let sent: Vec<Value> = kept
            .iter()
            .map(|kept| estate.chain("eth_sendRawTransaction", &kept["params"]))
            .filter_map(|said| said.get("result").cloned())
            .collect();
        if says == "it lives" {
            assert_eq!(sent.len(), 1, "{kept:?} {text}");
        }
        let well = mined(&estate.town.economy.rpc, &sent).await;
        assert!(!estate.over(&living).await, "{says}: {text}");
        assert!(!well.contains(&true), "{says}: {text}");
    }
}
