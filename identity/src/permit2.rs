//! Questions about Permit2: what may be drawn, and what became of a permit.
//!
//! Permit2 sets a bit for a nonce that is used or given up, and tells of the latter only. Which
//! transaction drew on a permit is looked for among the token's transfers, and read from the call
//! data of a transaction that went to an x402 proxy.

use crate::{BlockTag, IdentityError, Rpc, receipt::WireLog};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolEvent as _;
use marque_contracts::{
    IERC20,
    permit2::{Drawn, IERC20Approve, IPermit2, PERMIT2, drawn, place},
};
use serde::Deserialize;
use serde_json::json;

/// What is needed of a transaction.
#[derive(Deserialize)]
struct Sent {
    to: Option<Address>,
    input: Bytes,
}

impl Rpc {
    /// Base units of `token` that Permit2 may move from `owner`, for permits that `owner` signed.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where `token` is no ERC-20 contract, otherwise [`IdentityError`].
    pub async fn permit2_allowance(
        &self,
        token: Address,
        owner: Address,
    ) -> Result<U256, IdentityError> {
        let call = IERC20Approve::allowanceCall { owner, spender: PERMIT2 };
        self.view("allowance", token, call).await
    }

    /// Whether a nonce of `owner`'s is used up, as of a certain block: drawn on, or given up.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where the chain has no Permit2, otherwise [`IdentityError`]; nodes
    /// forget the state of old blocks.
    pub async fn permit_used(
        &self,
        owner: Address,
        nonce: U256,
        at: BlockTag,
    ) -> Result<bool, IdentityError> {
        let (word, bit) = place(nonce);
        let call = IPermit2::nonceBitmapCall { owner, word };
        let bits = self.view_at("nonceBitmap", PERMIT2, call, at).await?;
        Ok(bits & bit != U256::ZERO)
    }

    /// The transaction and the block in which `owner` gave up a nonce, at `from_block` or later.
    /// One that was drawn on can be given up all the same, afterwards.
    ///
    /// # Errors
    /// [`IdentityError`]; public nodes refuse ranges of too many blocks.
    pub async fn permit_given_up(
        &self,
        owner: Address,
        nonce: U256,
        from_block: u64,
    ) -> Result<Option<(B256, u64)>, IdentityError> {
        let filter = json!({
            "address": PERMIT2,
            "fromBlock": U64::from(from_block),
            "toBlock": "latest",
            "topics": [
                json!(IPermit2::UnorderedNonceInvalidation::SIGNATURE_HASH),
                json!(owner.into_word()),
            ],
        });
        let (word, bit) = place(nonce);
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([filter])).await?;
        let found = logs.into_iter().filter(|log| !log.removed).find_map(|log| {
            let (transaction, block) = log.transaction_hash.zip(log.block_number)?;
            let log = log.into_log();
            let event = IPermit2::UnorderedNonceInvalidation::decode_log(&log).ok()?;
            let ours = log.address == PERMIT2
                && event.owner == owner
                && event.word == word
                && event.mask & bit != U256::ZERO;
            ours.then(|| (transaction, block.to()))
        });
        Ok(found)
    }

    /// Transactions in which `token` went from `from`, to `to` where it is named, in the blocks
    /// `from_block` to `to_block` or the newest: each once, with its block, in the order of the
    /// chain.
    ///
    /// # Errors
    /// [`IdentityError`]; public nodes refuse ranges of too many blocks.
    pub async fn transfers_between(
        &self,
        token: Address,
        (from, to): (Address, Option<Address>),
        (from_block, to_block): (u64, Option<u64>),
    ) -> Result<Vec<(B256, u64)>, IdentityError> {
        let to_block = to_block.map_or_else(|| json!("latest"), |block| json!(U64::from(block)));
        let filter = json!({
            "address": token,
            "fromBlock": U64::from(from_block),
            "toBlock": to_block,
            "topics": [
                json!(IERC20::Transfer::SIGNATURE_HASH),
                json!(from.into_word()),
                json!(to.map(|to| to.into_word())),
            ],
        });
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([filter])).await?;
        let mut found = Vec::new();
        for log in logs.into_iter().filter(|log| !log.removed) {
            let Some((transaction, block)) = log.transaction_hash.zip(log.block_number) else {
                continue;
            };
            let log = log.into_log();
            let ours = IERC20::Transfer::decode_log(&log).is_ok_and(|event| {
                log.address == token && event.from == from && to.is_none_or(|to| event.to == to)
            });
            let it = (transaction, block.to());
            if ours && found.last() != Some(&it) {
                found.push(it);
            }
        }
        Ok(found)
    }

    /// What a transaction draws on a permit, as its call data says: where it succeeded, exactly
    /// that. `None` for one that does not call an x402 proxy itself, or is not known.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn permit_drawn(&self, transaction: B256) -> Result<Option<Drawn>, IdentityError> {
        let sent: Option<Sent> =
            self.ask_maybe("eth_getTransactionByHash", json!([transaction])).await?;
        Ok(sent.and_then(|sent| drawn(sent.to?, &sent.input)))
    }
}
