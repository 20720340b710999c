//! Questions about tokens: balances, and what became of EIP-3009 authorisations.

use crate::{BlockTag, IdentityError, Rpc, error::NO_CONTRACT, receipt::WireLog};
use alloy_primitives::{Address, B256, U64, U256};
use alloy_sol_types::{SolCall, SolEvent as _};
use marque_contracts::{IERC20, IERC3009};
use serde_json::{Value, json};

/// Blocks that a node is asked for at a time, where it refuses more.
pub(crate) const PAGE: u64 = 10_000;

/// Money that came to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The token contract.
    pub token: Address,
    /// Who sent it.
    pub from: Address,
    /// Base units.
    pub value: U256,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// An EIP-3009 authorisation that was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its nonce.
    pub nonce: B256,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// That block's hash, where the node says it.
    pub block_hash: Option<B256>,
}

impl Rpc {
    /// Base units of `token` that `account` holds.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where `token` is no ERC-20 contract, otherwise [`IdentityError`].
    pub async fn erc20_balance(
        &self,
        token: Address,
        account: Address,
    ) -> Result<U256, IdentityError> {
        self.view("balanceOf", token, IERC20::balanceOfCall { account }).await
    }

    /// Whether the authorisation with this nonce is used up: settled, or cancelled.
    ///
    /// # Errors
    /// [`IdentityError::Answer`] where `token` has no EIP-3009, otherwise [`IdentityError`].
    pub async fn authorization_state(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
    ) -> Result<bool, IdentityError> {
        self.authorization_state_at(token, from, nonce, BlockTag::Latest).await
    }

    /// The same as of a certain block: a node that has not got so far refuses, where it would
    /// answer with what it has for the newest one.
    ///
    /// # Errors
    /// As [`Self::authorization_state`]; nodes forget the state of old blocks.
    pub async fn authorization_state_at(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
        at: BlockTag,
    ) -> Result<bool, IdentityError> {
        let call = IERC3009::authorizationStateCall { authorizer: from, nonce };
        self.view_at("authorizationState", token, call, at).await
    }

    /// The transaction and the block in which the authorisation with this nonce was settled, at
    /// `from_block` or later. A cancelled one was not settled.
    ///
    /// # Errors
    /// [`IdentityError`]; public nodes refuse ranges of too many blocks.
    pub async fn authorization_used(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
        from_block: u64,
    ) -> Result<Option<(B256, u64)>, IdentityError> {
        let used = self.settlements(token, from, Some(nonce), from_block, None).await?;
        Ok(used.first().map(|it| (it.transaction, it.block)))
    }

    /// Every authorisation of `authorizer` that was settled in `token` at `from_block` or later,
    /// whoever brought it to the chain: its nonce, the transaction, the block. In the order of the
    /// chain. Where a node refuses that many blocks at once it is asked for 10,000 at a time.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn authorizations_used_by(
        &self,
        token: Address,
        authorizer: Address,
        from_block: u64,
    ) -> Result<Vec<(B256, B256, u64)>, IdentityError> {
        let all = self.authorizations_settled_by(token, authorizer, from_block).await?;
        Ok(all.into_iter().map(|it| (it.nonce, it.transaction, it.block)).collect())
    }

    /// The same with the hashes of the blocks.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn authorizations_settled_by(
        &self,
        token: Address,
        authorizer: Address,
        from_block: u64,
    ) -> Result<Vec<Settled>, IdentityError> {
        let refusal = match self.settlements(token, authorizer, None, from_block, None).await {
            Err(refusal @ IdentityError::Refused { .. }) => refusal,
            answer => return answer,
        };
        let last = self.block_number().await?;
        if last.saturating_sub(from_block) < PAGE {
            return Err(refusal);
        }
        let mut used = Vec::new();
        let mut next = from_block;
        while next <= last {
            let end = next.saturating_add(PAGE - 1);
            let to = (end < last).then_some(end);
            used.extend(self.settlements(token, authorizer, None, next, to).await?);
            next = end.saturating_add(1);
        }
        Ok(used)
    }

    /// The transaction and the block in which the authorisation with this nonce was cancelled, at
    /// `from_block` or later.
    ///
    /// # Errors
    /// [`IdentityError`]; public nodes refuse ranges of too many blocks.
    pub async fn authorization_canceled(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
        from_block: u64,
    ) -> Result<Option<(B256, u64)>, IdentityError> {
        let found = self.cancellations(token, from, Some(nonce), from_block).await?;
        Ok(found.first().map(|(_, transaction, block)| (*transaction, *block)))
    }

    /// The nonces of all authorisations of `from` that were cancelled in `token` at `from_block` or
    /// later.
    ///
    /// # Errors
    /// [`IdentityError`]; public nodes refuse ranges of too many blocks.
    pub async fn authorizations_canceled_by(
        &self,
        token: Address,
        from: Address,
        from_block: u64,
    ) -> Result<Vec<B256>, IdentityError> {
        let found = self.cancellations(token, from, None, from_block).await?;
        Ok(found.into_iter().map(|(nonce, ..)| nonce).collect())
    }

    /// `AuthorizationCanceled` events of one nonce or all.
    async fn cancellations(
        &self,
        token: Address,
        from: Address,
        nonce: Option<B256>,
        from_block: u64,
    ) -> Result<Vec<(B256, B256, u64)>, IdentityError> {
        let signature = IERC3009::AuthorizationCanceled::SIGNATURE_HASH;
        let filter = json!({
            "address": token,
            "fromBlock": U64::from(from_block),
            "toBlock": "latest",
            "topics": [json!(signature), json!(from.into_word()), json!(nonce)],
        });
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([filter])).await?;
        let found = logs.into_iter().filter(|log| !log.removed).filter_map(|log| {
            let (transaction, block) = log.transaction_hash.zip(log.block_number)?;
            let log = log.into_log();
            let event = IERC3009::AuthorizationCanceled::decode_log(&log).ok()?;
            let ours = log.address == token
                && event.authorizer == from
                && nonce.is_none_or(|nonce| nonce == event.nonce);
            ours.then(|| (event.nonce, transaction, block.to()))
        });
        Ok(found.collect())
    }

    /// Money of `token` that came to `account` in the blocks `from_block` to `to_block`, in the
    /// order of the chain. Where a node refuses that many blocks at once it is asked for 10,000 at
    /// a time.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn transfers_to(
        &self,
        token: Address,
        account: Address,
        (from_block, to_block): (u64, u64),
    ) -> Result<Vec<Incoming>, IdentityError> {
        let refusal = match self.incoming(token, account, (from_block, to_block)).await {
            Err(refusal @ IdentityError::Refused { .. }) => refusal,
            answer => return answer,
        };
        if to_block.saturating_sub(from_block) < PAGE {
            return Err(refusal);
        }
        let mut came = Vec::new();
        let mut next = from_block;
        while next <= to_block {
            let end = next.saturating_add(PAGE - 1).min(to_block);
            came.extend(self.incoming(token, account, (next, end)).await?);
            next = end.saturating_add(1);
        }
        Ok(came)
    }

    async fn incoming(
        &self,
        token: Address,
        account: Address,
        (from_block, to_block): (u64, u64),
    ) -> Result<Vec<Incoming>, IdentityError> {
        let filter = json!({
            "address": token,
            "fromBlock": U64::from(from_block),
            "toBlock": U64::from(to_block),
            "topics": [
                json!(IERC20::Transfer::SIGNATURE_HASH), Value::Null, json!(account.into_word()),
            ],
        });
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([filter])).await?;
        let came = logs.into_iter().filter(|log| !log.removed).filter_map(|log| {
            let (transaction, block) = log.transaction_hash.zip(log.block_number)?;
            let log = log.into_log();
            let event = IERC20::Transfer::decode_log(&log).ok()?;
            (log.address == token && event.to == account).then(|| Incoming {
                token,
                from: event.from,
                value: event.value,
                transaction,
                block: block.to(),
            })
        });
        Ok(came.collect())
    }

    /// `AuthorizationUsed` events of one nonce or all, up to `to_block` or the newest.
    async fn settlements(
        &self,
        token: Address,
        authorizer: Address,
        nonce: Option<B256>,
        from_block: u64,
        to_block: Option<u64>,
    ) -> Result<Vec<Settled>, IdentityError> {
        let to_block = to_block.map_or_else(|| json!("latest"), |block| json!(U64::from(block)));
        let signature = IERC3009::AuthorizationUsed::SIGNATURE_HASH;
        let filter = json!({
            "address": token,
            "fromBlock": U64::from(from_block),
            "toBlock": to_block,
            "topics": [json!(signature), json!(authorizer.into_word()), json!(nonce)],
        });
        let logs: Vec<WireLog> = self.ask("eth_getLogs", json!([filter])).await?;
        // The node filters; we look again, since money is counted by the answer.
        let used = logs.into_iter().filter(|log| !log.removed).filter_map(|log| {
            let (transaction, block) = log.transaction_hash.zip(log.block_number)?;
            let (block, block_hash) = (block.to(), log.block_hash);
            let log = log.into_log();
            let event = IERC3009::AuthorizationUsed::decode_log(&log).ok()?;
            let ours = log.address == token
                && event.authorizer == authorizer
                && nonce.is_none_or(|nonce| nonce == event.nonce);
            let nonce = event.nonce;
            ours.then_some(Settled { nonce, transaction, block, block_hash })
        });
        Ok(used.collect())
    }

    /// Base units of `token` that went from `from` to `to` in a transaction that succeeded; `None`
    /// where it moved none between them, failed, or is not mined.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub async fn transfer_in(
        &self,
        transaction: B256,
        token: Address,
        from: Address,
        to: Address,
    ) -> Result<Option<U256>, IdentityError> {
        let Some(receipt) = self.receipt(transaction).await?.filter(|receipt| receipt.success)
        else {
            return Ok(None);
        };
        let moved = receipt
            .logs
            .iter()
            .filter(|log| log.address == token)
            .filter_map(|log| IERC20::Transfer::decode_log(log).ok())
            .filter(|event| event.from == from && event.to == to)
            .map(|event| event.value)
            .reduce(U256::saturating_add);
        Ok(moved)
    }

    /// What a contract's view function answers.
    pub(crate) async fn view<C: SolCall>(
        &self,
        name: &'static str,
        contract: Address,
        call: C,
    ) -> Result<C::Return, IdentityError> {
        self.view_at(name, contract, call, BlockTag::Latest).await
    }

    pub(crate) async fn view_at<C: SolCall>(
        &self,
        name: &'static str,
        contract: Address,
        call: C,
        at: BlockTag,
    ) -> Result<C::Return, IdentityError> {
        let answer = self.call_at(None, contract, call.abi_encode().into(), at).await?;
        if answer.is_empty() {
            let why = format!("{NO_CONTRACT} {contract} that knows it");
            return Err(IdentityError::answer(name, why));
        }
        C::abi_decode_returns(&answer).map_err(|error| IdentityError::answer(name, error))
    }
}
