//! Questions about Permit2: what may be drawn, and what became of a permit.
//!
//! Permit2 sets a bit for a nonce that is used or given up, and tells of the latter only. Which
//! transaction drew on a permit is looked for among the token's transfers, and read from the call
//! data of a transaction that went to an x402 proxy.

use crate::{BlockTag, IdentityError, Rpc, receipt::WireLog, token::PAGE};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolEvent as _;
use marque_contracts::{
    IERC20,
    permit2::{Drawn, IERC20Approve, IPermit2, PERMIT2, drawn, place},
};
use serde::Deserialize;
use serde_json::json;

/// Money that left an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The token contract.
    pub token: Address,
    /// Who got it.
    pub to: Address,
    /// Base units.
    pub value: U256,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// What a transaction says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sent {
    /// Who sent it.
    pub from: Address,
    /// What it calls or pays; `None` where it creates a contract.
    pub to: Option<Address>,
    /// Its call data.
    pub input: Bytes,
}

impl Sent {
    /// What it draws on a permit: where it succeeded, exactly that. `None` for one that does not
    /// call an x402 proxy itself.
    #[must_use]
    pub fn drawn(&self) -> Option<Drawn> {
        drawn(self.to?, &self.input)
    }
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

    /// Money of `token` that went from `from`, to `to` where it is named, in the blocks `from_block`
    /// to `to_block` or the newest, in the order of the chain. Where a node refuses that many blocks
    /// at once it is asked for 10,000 at a time.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn transfers_between(
        &self,
        token: Address,
        between: (Address, Option<Address>),
        (from_block, to_block): (u64, Option<u64>),
    ) -> Result<Vec<Outgoing>, IdentityError> {
        let refusal = match self.outgoing(token, between, (from_block, to_block)).await {
            Err(refusal @ IdentityError::Refused { .. }) => refusal,
            answer => return answer,
        };
        let last = match to_block {
            Some(last) => last,
            None => self.block_number().await?,
        };
        if last.saturating_sub(from_block) < PAGE {
            return Err(refusal);
        }
        let mut moved = Vec::new();
        let mut next = from_block;
        while next <= last {
            let end = next.saturating_add(PAGE - 1).min(last);
            moved.extend(self.outgoing(token, between, (next, Some(end))).await?);
            next = end.saturating_add(1);
        }
        Ok(moved)
    }

    async fn outgoing(
        &self,
        token: Address,
        (from, to): (Address, Option<Address>),
        (from_block, to_block): (u64, Option<u64>),
    ) -> Result<Vec<Outgoing>, IdentityError> {
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
        let moved = logs.into_iter().filter(|log| !log.removed).filter_map(|log| {
            let (transaction, block) = log.transaction_hash.zip(log.block_number)?;
            let log = log.into_log();
            let event = IERC20::Transfer::decode_log(&log).ok()?;
            let ours =
                log.address == token && event.from == from && to.is_none_or(|to| event.to == to);
            ours.then(|| Outgoing {
                token,
                to: event.to,
                value: event.value,
                transaction,
                block: block.to(),
            })
        });
        Ok(moved.collect())
    }

    /// A transaction that the node knows, mined or not.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn sent(&self, transaction: B256) -> Result<Option<Sent>, IdentityError> {
        self.ask_maybe("eth_getTransactionByHash", json!([transaction])).await
    }
}
