//! Questions about the chain and its accounts, and the broadcast of signed bytes.

use crate::{IdentityError, Rpc};
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256, hex, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockTag {
    /// The newest that the node knows.
    Latest,
    /// The newest that the node thinks will stay.
    Safe,
    /// The newest that can never be taken back.
    Finalized,
    /// The one with this number.
    Number(u64),
}

/// What we need of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Block time in Unix seconds.
    pub timestamp: u64,
}

/// What a transaction should offer now, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fees {
    /// The most that is paid, base fee included: good for some seven full blocks.
    pub max_fee_per_gas: u128,
    /// The part for the block's maker.
    pub max_priority_fee_per_gas: u128,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    number: U64,
    hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U128>,
}

impl BlockTag {
    fn to_json(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Safe => json!("safe"),
            Self::Finalized => json!("finalized"),
            Self::Number(number) => json!(U64::from(number)),
        }
    }
}

impl Rpc {
    /// EIP-155 chain id.
    ///
    /// # Errors
    /// [`IdentityError`], as every question to a chain.
    pub async fn chain_id(&self) -> Result<u64, IdentityError> {
        Ok(self.ask::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// Number of the newest block.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn block_number(&self) -> Result<u64, IdentityError> {
        Ok(self.ask::<U64>("eth_blockNumber", json!([])).await?.to())
    }

    /// A block's number, hash and time.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where there is no such block (yet), otherwise [`IdentityError`].
    pub async fn block(&self, tag: BlockTag) -> Result<Block, IdentityError> {
        let Header { number, hash, timestamp, .. } = self.header(tag).await?;
        Ok(Block { number: number.to(), hash, timestamp: timestamp.to() })
    }

    /// Hash of block 0: what tells a reset development chain from the one it was.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn genesis_hash(&self) -> Result<B256, IdentityError> {
        Ok(self.block(BlockTag::Number(0)).await?.hash)
    }

    /// Wei that `account` holds.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn balance(&self, account: Address) -> Result<U256, IdentityError> {
        self.ask("eth_getBalance", json!([account, "latest"])).await
    }

    /// Transactions that `account` has sent: its next nonce. With `pending`, those that are not
    /// mined yet count as far as the node knows them.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn transaction_count(
        &self,
        account: Address,
        pending: bool,
    ) -> Result<u64, IdentityError> {
        let tag = if pending { "pending" } else { "latest" };
        Ok(self.ask::<U64>("eth_getTransactionCount", json!([account, tag])).await?.to())
    }

    /// Transactions that `account` had sent by the end of a certain block: a node that has not got so
    /// far refuses, where it would answer with what it has for the newest one.
    ///
    /// # Errors
    /// [`IdentityError`]; nodes forget the state of old blocks.
    pub async fn transaction_count_at(
        &self,
        account: Address,
        at: BlockTag,
    ) -> Result<u64, IdentityError> {
        let count: U64 =
            self.ask("eth_getTransactionCount", json!([account, at.to_json()])).await?;
        Ok(count.to())
    }

    /// Fees that get a transaction mined soon: the node's priority fee, and twice the base fee.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] on a chain without EIP-1559, otherwise [`IdentityError`].
    pub async fn fees(&self) -> Result<Fees, IdentityError> {
        let header = self.header(BlockTag::Latest).await?;
        let base = header.base_fee_per_gas.ok_or_else(|| {
            IdentityError::answer("eth_getBlockByNumber", "the chain has no base fee (EIP-1559)")
        })?;
        let priority: U128 = self.ask("eth_maxPriorityFeePerGas", json!([])).await?;
        let (base, priority) = (base.to::<u128>(), priority.to::<u128>());
        Ok(Fees {
            max_fee_per_gas: base.saturating_mul(2).saturating_add(priority),
            max_priority_fee_per_gas: priority,
        })
    }

    /// Gas that a transaction would use now; `to` of `None` creates a contract.
    ///
    /// # Errors
    /// [`IdentityError::Reverted`] with the contract's reason, otherwise [`IdentityError`].
    pub async fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        value: U256,
        data: Bytes,
    ) -> Result<u64, IdentityError> {
        let mut call = json!({ "from": from, "value": value, "data": data });
        if let (Some(to), Some(fields)) = (to, call.as_object_mut()) {
            fields.insert("to".to_owned(), json!(to));
        }
        Ok(self.ask::<U64>("eth_estimateGas", json!([call])).await?.to())
    }

    /// What a contract would answer now, without a transaction.
    ///
    /// # Errors
    /// [`IdentityError::Reverted`] with the contract's reason, otherwise [`IdentityError`].
    pub async fn call(
        &self,
        from: Option<Address>,
        to: Address,
        data: Bytes,
    ) -> Result<Bytes, IdentityError> {
        self.call_at(from, to, data, BlockTag::Latest).await
    }

    /// What a contract would have answered at the end of a block.
    pub(crate) async fn call_at(
        &self,
        from: Option<Address>,
        to: Address,
        data: Bytes,
        at: BlockTag,
    ) -> Result<Bytes, IdentityError> {
        let mut call = json!({ "to": to, "data": data });
        if let (Some(from), Some(fields)) = (from, call.as_object_mut()) {
            fields.insert("from".to_owned(), json!(from));
        }
        self.ask("eth_call", json!([call, at.to_json()])).await
    }

    /// Broadcasts a signed transaction and answers its hash, which is computed here. Sending the
    /// same bytes again is no error, whether they wait or are mined.
    ///
    /// # Errors
    /// [`IdentityError::Refused`] with the node's reason, otherwise [`IdentityError`]. After
    /// [`IdentityError::Unreachable`] the transaction may be out nevertheless.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<B256, IdentityError> {
        let hash = keccak256(raw);
        let sent =
            self.ask::<Value>("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)])).await;
        match sent {
            Ok(_) => Ok(hash),
            Err(IdentityError::Refused { ref message, .. }) if says_known(message) => Ok(hash),
            // Mined already, perhaps: the account's nonce has moved on because of these very bytes.
            Err(error @ IdentityError::Refused { .. }) => {
                let known =
                    self.ask_maybe::<Value>("eth_getTransactionByHash", json!([hash])).await;
                if matches!(known, Ok(Some(_))) { Ok(hash) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    async fn header(&self, tag: BlockTag) -> Result<Header, IdentityError> {
        self.ask_maybe("eth_getBlockByNumber", json!([tag.to_json(), false])).await?.ok_or_else(
            || IdentityError::answer("eth_getBlockByNumber", format!("no block {tag:?} yet")),
        )
    }
}

/// How geth, reth, erigon, anvil, nethermind and besu say that they have the transaction already.
fn says_known(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["already known", "alreadyknown", "already imported", "known transaction"]
        .iter()
        .any(|words| message.contains(words))
}
