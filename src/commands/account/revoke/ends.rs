//! The end of delegations on every endpoint of a chain: none alone says that something is over.

use super::super::waits::{BEHIND, Patience};
use crate::failure::{Done, Failure};
use alloy_primitives::{Address, B256, U256};
use marque::owner::{Owner, OwnerError};
use marque_contracts::delegation::Framework;
use marque_identity::{
    IdentityError, Rpc,
    account::{self, Permissions},
};

/// Raises an account's nonce, on every endpoint, and ends what was signed for a later one: it would
/// wake now, or one day.
pub(in super::super) async fn end_all(
    owner: &Owner,
    noted: &[Permissions],
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Done<Vec<B256>> {
    let before = nonce_everywhere(rpc, framework, account).await?;
    let receipt = owner.revoke_all(rpc, framework, account).await?;
    let mut hashes = vec![receipt.transaction];
    // A node behind others may take a moment to know what is mined.
    let patience = Patience::of(BEHIND);
    while nonce_everywhere(rpc, framework, account).await? <= before {
        if !patience.lasts().await {
            return Err(Failure::new(format!(
                "{} is mined, and not every endpoint of the chain says that it ended anything of {account}",
                receipt.transaction
            ))
            .help("one of them lags or lies: look again, or give another one"));
        }
    }
    // By the nonce alone: what it ended is over, whatever an endpoint does not say now.
    for later in noted.iter().filter(|signed| signed.nonce > before) {
        hashes.extend(end_one(owner, rpc, later).await?);
    }
    Ok(hashes)
}

/// Revokes one delegation, and makes sure on every endpoint that it is over.
pub(in super::super) async fn end_one(
    owner: &Owner,
    rpc: &Rpc,
    delegated: &Permissions,
) -> Done<Vec<B256>> {
    let (receipts, reverted) = match owner.revoke(rpc, delegated).await {
        Ok(receipts) => (receipts, None),
        // Another command may be ending the same at this moment.
        Err(
            error @ (OwnerError::Reverted(_) | OwnerError::Chain(IdentityError::Reverted { .. })),
        ) => (Vec::new(), Some(error)),
        Err(error) => return Err(error.into()),
    };
    let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction).collect();
    let patience = Patience::of(BEHIND);
    loop {
        let standing = delegated.standing(rpc).await?;
        if standing.is_over() && standing.silent.is_empty() {
            break;
        }
        if !patience.lasts().await {
            if let Some(error) = reverted {
                return Err(error.into());
            }
            let why = match standing.silent.first() {
                Some(silent) if standing.is_over() => format!("{silent} does not answer"),
                _ => "not every endpoint of the chain says that it is over".to_owned(),
            };
            return Err(Failure::new(format!(
                "what was delegated from {} may live: {why}, whatever was sent",
                delegated.account
            ))
            .help("through an endpoint that you trust: marque account revoke --all --rpc URL"));
        }
    }
    Ok(hashes)
}

/// The lowest that any endpoint which answers says.
pub(super) async fn nonce_everywhere(
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Done<U256> {
    let mut lowest = None;
    let mut silent = None;
    for each in rpc.each() {
        match account::nonce(&each, framework, account).await {
            Ok(nonce) => lowest = Some(lowest.map_or(nonce, |lowest: U256| lowest.min(nonce))),
            Err(error) => silent = Some(error),
        }
    }
    match (lowest, silent) {
        (Some(lowest), _) => Ok(lowest),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Failure::new("there is no endpoint to ask")),
    }
}
