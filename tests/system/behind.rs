//! What stays behind of an end where an endpoint said a number far ahead: it goes out one day, and ends nothing
//! that was delegated by then.

use crate::{account::Estate, command::ok, robbed_host::ask};
use alloy_primitives::{Bytes, keccak256};
use serde_json::{Value, json};
use std::time::Duration;

impl Estate {
    /// Asks the chain itself.
    fn chain(&self, method: &str, params: &Value) -> Value {
        let asked = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        tokio::task::block_in_place(|| ask(self.town.economy.devnet.url(), &asked))
    }
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
        let rpc = &estate.town.economy.rpc;
        let mut behind = Vec::new();
        for kept in kept {
            let raw: Bytes = serde_json::from_value(kept["params"][0].clone()).unwrap();
            let hash = keccak256(raw);
            if rpc.receipt(hash).await.unwrap().is_none() {
                behind.push((hash, kept));
            }
        }
        // The last one takes the place of those before it, at a higher fee.
        let (hash, kept) = behind.last().unwrap_or_else(|| panic!("{says}: {text}"));
        // The key sends as many one day. The chain was handed it as well, and has kept it waiting for that.
        let said = estate.chain("anvil_setNonce", &json!([estate.owner, "0xffff"]));
        assert!(said.get("error").is_none(), "{said}");
        let fee = rpc.fees().await.unwrap().max_fee_per_gas;
        estate.owner_sends(fee * 2).await;
        estate.chain("eth_sendRawTransaction", &kept["params"]);
        let mined = rpc.wait_receipt(*hash, Duration::from_secs(20)).await.unwrap();
        assert!(!mined.success && !estate.over(&living).await, "{says}: {text}");
    }
}
