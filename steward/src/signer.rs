//! The only place where an agent's key is used. It takes a permit, uses it up, and builds every
//! byte that it signs from what the permit says.

use crate::{
    core::Permit,
    entry::{AuthorisationOrder, CancelOrder, Order, PermitOrder, TransactionOrder, WalletOrder},
    error::StewardError,
};
use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall as _;
use marque_contracts::{
    Authorization, IERC3009, TokenDomain, agent_wallet_set_digest, eip3009_cancel_digest,
    eip3009_digest,
};
use marque_identity_keys::{Key, SignedTransaction, UnsignedTransaction};
use marque_policies::{Money, Timestamp};
use marque_steward_client::{Authorisation, SignedPermit};

/// What was signed.
#[derive(Debug)]
pub(crate) enum Made {
    Authorisation(Authorisation),
    PermitTransfer(SignedPermit),
    Transaction(SignedTransaction),
    Signature { signature: Bytes, deadline: u64 },
}

/// Signs what the permit is for, once.
pub(crate) fn sign(permit: Permit, key: &Key, now: Timestamp) -> Result<Made, StewardError> {
    if now > permit.expires() {
        return Err(StewardError::Permit("has expired"));
    }
    let (payee, maximum) = (permit.payee(), permit.maximum());
    match permit.spend() {
        Order::Authorisation(order) => {
            let paid = Money::new(order.amount.units, order.amount.asset);
            if payee != Some(order.to) || maximum != Some(paid) {
                return Err(StewardError::Permit("is for another payment"));
            }
            authorise(&order, key)
        }
        Order::PermitTransfer(order) => {
            if payee != Some(order.to) || maximum != Some(order.amount) {
                return Err(StewardError::Permit("is for another payment"));
            }
            permit_transfer(&order, key)
        }
        Order::Transaction(order) => transact(&order, key),
        Order::Cancel(order) => cancel(order, key),
        Order::Wallet(order) => accept(&order, key),
        Order::Permission | Order::Elsewhere => Err(StewardError::Permit("signs nothing")),
    }
}

fn authorise(order: &AuthorisationOrder, key: &Key) -> Result<Made, StewardError> {
    owned(key, order.from)?;
    let asset = order.amount.asset;
    let domain = TokenDomain {
        name: order.name.clone(),
        version: order.version.clone(),
        chain: asset.chain,
        token: asset.token,
    };
    let authorization = Authorization {
        from: order.from,
        to: order.to,
        value: order.amount.units,
        valid_after: order.valid_after,
        valid_before: order.valid_before,
        nonce: order.nonce,
    };
    let signature = key.sign_digest(eip3009_digest(&domain, &authorization));
    Ok(Made::Authorisation(Authorisation {
        from: order.from,
        to: order.to,
        value: order.amount.units,
        valid_after: order.valid_after,
        valid_before: order.valid_before,
        nonce: order.nonce,
        signature: Bytes::copy_from_slice(&signature),
    }))
}

fn permit_transfer(order: &PermitOrder, key: &Key) -> Result<Made, StewardError> {
    owned(key, order.from)?;
    let permit = order.permit();
    let signature = key.sign_digest(permit.digest(order.amount.asset.chain));
    Ok(Made::PermitTransfer(SignedPermit {
        from: permit.from,
        to: permit.to,
        token: permit.token,
        amount: permit.amount,
        spender: permit.spender(),
        facilitator: permit.facilitator,
        valid_after: permit.valid_after,
        deadline: permit.deadline,
        nonce: permit.nonce,
        signature: Bytes::copy_from_slice(&signature),
    }))
}

fn transact(order: &TransactionOrder, key: &Key) -> Result<Made, StewardError> {
    owned(key, order.from)?;
    let fee = |wei: alloy_primitives::U256| {
        u128::try_from(wei).map_err(|_| StewardError::Permit("has a fee past 2^128 wei"))
    };
    let signed = key.sign_transaction(&UnsignedTransaction {
        chain_id: order.chain,
        nonce: order.nonce,
        to: Some(order.to),
        value: order.value,
        data: order.data.clone(),
        gas_limit: order.gas_limit,
        max_fee_per_gas: fee(order.max_fee)?,
        max_priority_fee_per_gas: fee(order.max_priority_fee)?,
    })?;
    Ok(Made::Transaction(signed))
}

/// The token's `cancelAuthorization` in the form that every EIP-3009 token has.
fn cancel(order: CancelOrder, key: &Key) -> Result<Made, StewardError> {
    let CancelOrder { name, version, nonce, mut transaction, .. } = order;
    owned(key, transaction.from)?;
    let (chain, token) = (transaction.chain, transaction.to);
    let domain = TokenDomain { name, version, chain, token };
    let signature = key.sign_digest(eip3009_cancel_digest(&domain, transaction.from, nonce));
    let (rs, v) = signature.split_at(64);
    let (r, s) = rs.split_at(32);
    let call = IERC3009::cancelAuthorizationCall {
        authorizer: transaction.from,
        nonce,
        v: v.first().copied().unwrap_or_default(),
        r: B256::from_slice(r),
        s: B256::from_slice(s),
    };
    transaction.data = call.abi_encode().into();
    transact(&transaction, key)
}

fn accept(order: &WalletOrder, key: &Key) -> Result<Made, StewardError> {
    owned(key, order.wallet)?;
    let digest = agent_wallet_set_digest(
        order.chain,
        order.registry,
        order.agent_id,
        order.wallet,
        order.owner,
        order.deadline,
    );
    let signature = Bytes::copy_from_slice(&key.sign_digest(digest));
    Ok(Made::Signature { signature, deadline: order.deadline })
}

fn owned(key: &Key, address: alloy_primitives::Address) -> Result<(), StewardError> {
    if key.address() == address { Ok(()) } else { Err(StewardError::Permit("is for another key")) }
}
