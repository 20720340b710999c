//! What became of a transaction. Polled by hand with a deadline of our own: watchers that subscribe
//! to blocks can miss the one that counts and then wait for ever.

use crate::{IdentityError, Rpc};
use alloy_primitives::{Address, B256, Bytes, Log, U64, U128};
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};

/// How often a receipt is asked for.
const POLL: Duration = Duration::from_millis(200);

/// A mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its hash.
    pub transaction: B256,
    /// Number of the block that carries it.
    pub block_number: u64,
    /// Hash of that block; another one later means that the chain was reorganised.
    pub block_hash: B256,
    /// Whether it did what it should; a failed one has still cost its gas.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid for a unit of gas.
    pub effective_gas_price: u128,
    /// The contract that it created.
    pub contract_address: Option<Address>,
    /// The events that it emitted.
    pub logs: Vec<Log>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    transaction_hash: B256,
    block_number: U64,
    block_hash: B256,
    status: U64,
    gas_used: U64,
    effective_gas_price: U128,
    contract_address: Option<Address>,
    logs: Vec<WireLog>,
}

/// An event as nodes write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) block_number: Option<U64>,
    #[serde(default)]
    pub(crate) block_hash: Option<B256>,
    #[serde(default)]
    pub(crate) removed: bool,
}

impl WireLog {
    pub(crate) fn into_log(self) -> Log {
        Log::new_unchecked(self.address, self.topics, self.data)
    }
}

impl From<Wire> for Receipt {
    fn from(wire: Wire) -> Self {
        Self {
            transaction: wire.transaction_hash,
            block_number: wire.block_number.to(),
            block_hash: wire.block_hash,
            success: wire.status == U64::from(1),
            gas_used: wire.gas_used.to(),
            effective_gas_price: wire.effective_gas_price.to(),
            contract_address: wire.contract_address,
            logs: wire.logs.into_iter().map(WireLog::into_log).collect(),
        }
    }
}

impl Rpc {
    /// The receipt of a transaction, once it is in a block.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] for the receipt of another transaction, otherwise
    /// [`IdentityError`].
    pub async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, IdentityError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let wire: Option<Wire> = self.ask_maybe(METHOD, json!([transaction])).await?;
        match wire.map(Receipt::from) {
            Some(receipt) if receipt.transaction != transaction => {
                Err(IdentityError::answer(METHOD, "it is the receipt of another transaction"))
            }
            receipt => Ok(receipt),
        }
    }

    /// Waits for a transaction to be mined, for at most `within`. Endpoints that fail meanwhile are
    /// asked again.
    ///
    /// # Errors
    /// [`IdentityError::NotMined`] when the time is over, and [`IdentityError::Unreachable`] where no
    /// endpoint answers at the end of it.
    pub async fn wait_receipt(
        &self,
        transaction: B256,
        within: Duration,
    ) -> Result<Receipt, IdentityError> {
        let start = Instant::now();
        loop {
            let error = match self.receipt(transaction).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => IdentityError::NotMined { transaction, within },
                Err(error @ IdentityError::Unreachable { .. }) => error,
                Err(error) => return Err(error),
            };
            if start.elapsed() >= within {
                return Err(error);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
