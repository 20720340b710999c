//! The end of delegations on every endpoint of a chain: none alone says that something is over.

use super::super::waits::{BEHIND, Patience};
use crate::{
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::{Address, B256, U256};
use marque::owner::{Ends, OwnerError};
use marque_contracts::delegation::Framework;
use marque_identity::{
    IdentityError, Rpc,
    account::{self, Permissions, Standing},
};
use std::time::Duration;

/// How whoever has an endpoint that says what the others do not goes on.
const TRUSTED: &str = "through an endpoint that you trust: marque account revoke --all --rpc URL";

/// So long may an endpoint be silent, where all others say that it is over.
const QUIET: Duration = Duration::from_secs(3);

/// An endpoint's host, and what it says for an account's nonce.
pub(in super::super) type Said = (String, Done<U256>);

/// Raises an account's nonce, on every endpoint, and ends what was signed for a later one: it would
/// wake now, or one day. Unless what nobody here knows of is to end as well (`unknown`), nothing is signed
/// for a nonce beyond those that are noted: who says that one is the account's says that all is over.
pub(in super::super) async fn end_all(
    ends: &mut Ends<'_>,
    (noted, unknown): (&[Permissions], bool),
    framework: &Framework,
    account: Address,
) -> Done<Vec<B256>> {
    let rpc = &ends.rpc().clone();
    let before = nonces(rpc, framework, account).await;
    let least = lowest(&before)?;
    let last = noted.iter().map(|signed| signed.nonce).max().filter(|_| !unknown);
    let believed = |nonce: &U256| last.is_none_or(|last| *nonce <= last);
    let said = before.iter().map(|(_, said)| said.as_ref().ok().copied().filter(believed));
    let said: Vec<Option<U256>> = said.collect();
    let others = said.iter().flatten().max().copied().or(last).unwrap_or(least);
    let said: Vec<U256> = said.into_iter().map(|said| said.unwrap_or(others)).collect();
    let (mut hashes, reverted) = match ends.revoke_all(framework, account, &said).await {
        Ok(receipt) => (vec![receipt.transaction], None),
        // Another command may be ending the same at this moment.
        Err(error) if reverts(&error) => (Vec::new(), Some(error)),
        Err(error) => return Err(unsent(error)),
    };
    // A node behind others may take a moment to know what is mined.
    let (patience, brief) = (Patience::of(BEHIND), Patience::of(QUIET));
    loop {
        let now = nonces(rpc, framework, account).await;
        let Some((doubt, quiet)) = doubt(&before, &now, last) else { break };
        if (if quiet { &brief } else { &patience }).lasts().await {
            continue;
        }
        return Err(match (reverted, hashes.first()) {
            (Some(error), _) if !quiet => unsent(error),
            (_, sent) => {
                let sent = sent.map(|hash| format!(", whatever was sent ({hash})"));
                Failure::new(format!(
                    "what was delegated from {account} may live: {doubt}{}",
                    sent.unwrap_or_default()
                ))
                .help(TRUSTED)
            }
        });
    }
    // By the nonce alone: what it ended is over, whatever an endpoint does not say now.
    for later in noted.iter().filter(|signed| signed.nonce > least) {
        hashes.extend(end_one(ends, later).await?);
    }
    Ok(hashes)
}

/// Revokes one delegation, and makes sure on every endpoint that it is over.
pub(in super::super) async fn end_one(
    ends: &mut Ends<'_>,
    delegated: &Permissions,
) -> Done<Vec<B256>> {
    let (receipts, reverted) = match ends.revoke(delegated).await {
        Ok(receipts) => (receipts, None),
        // Another command may be ending the same at this moment.
        Err(error) if reverts(&error) => (Vec::new(), Some(error)),
        Err(error) => return Err(unsent(error)),
    };
    let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction).collect();
    // Where nothing more can be ended, an endpoint that says otherwise is no node that is a moment behind.
    let behind = if reverted.is_some() { QUIET } else { BEHIND };
    let (patience, brief) = (Patience::of(behind), Patience::of(QUIET));
    loop {
        let standing = delegated.standing(ends.rpc()).await?;
        if standing.is_over_for_certain() {
            break;
        }
        if !(if standing.is_over() { &brief } else { &patience }).lasts().await {
            if let Some(error) = reverted {
                return Err(unsent(error));
            }
            return Err(lives(delegated, &standing, ", whatever was sent"));
        }
    }
    Ok(hashes)
}

/// Sends the end of one delegation that is over by the word of those that answer, while another is silent:
/// they may lie. What came of it is looked at once more.
pub(super) async fn end_anyway(ends: &mut Ends<'_>, delegated: &Permissions) -> Done<Vec<B256>> {
    let sent = match ends.revoke_anyway(delegated).await {
        Ok(receipts) => receipts.iter().map(|receipt| receipt.transaction).collect(),
        // By their word there is nothing left to end.
        Err(error) if reverts(&error) => Vec::new(),
        Err(error) => {
            note(&error.to_string());
            Vec::new()
        }
    };
    let standing = delegated.standing(ends.rpc()).await?;
    match standing.is_over_for_certain() {
        true => Ok(sent),
        false if sent.is_empty() => Err(lives(delegated, &standing, "")),
        false => Err(lives(delegated, &standing, ", whatever was sent")),
    }
}

const fn reverts(error: &OwnerError) -> bool {
    matches!(error, OwnerError::Reverted(_) | OwnerError::Chain(IdentityError::Reverted { .. }))
}

/// Why something that was delegated is not called over.
pub(super) fn lives(delegated: &Permissions, standing: &Standing, sent: &str) -> Failure {
    let why = match standing.silent.first() {
        Some(silent) if standing.is_over() => format!("{silent} does not answer"),
        _ => "not every endpoint of the chain says that it is over".to_owned(),
    };
    Failure::new(format!("what was delegated from {} may live: {why}{sent}", delegated.account))
        .help(TRUSTED)
}

/// Why the chain did not take it, and the way out whatever an endpoint does.
pub(super) fn unsent(error: OwnerError) -> Failure {
    let short = matches!(error, OwnerError::Coins { .. } | OwnerError::TooDear { .. });
    let failure = Failure::from(error);
    match (short, failure.help.clone()) {
        (true, Some(help)) => failure.help(format!("{help}; or {TRUSTED}")),
        (..) if failure.is_silence() => failure,
        _ => failure.help(TRUSTED),
    }
}

/// Asks each endpoint for an account's nonce.
pub(in super::super) async fn nonces(
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Vec<Said> {
    rpc.all(|each| async move { Ok(account::nonce(&each, framework, account).await?) }).await
}

/// The lowest that any endpoint which answers says.
pub(super) fn lowest(said: &[Said]) -> Done<U256> {
    let heard = said.iter().filter_map(|(_, nonce)| nonce.as_ref().ok());
    heard.min().copied().ok_or_else(|| match said.iter().find_map(|(_, it)| it.as_ref().err()) {
        Some(silent) => silent.again(),
        None => Failure::new("there is no endpoint to ask"),
    })
}

/// Who does not say that the nonce has risen since: each by its own word before, as one that said too
/// little then would say later that anything rose it. Or that it is beyond the `last` that was signed for.
/// And whether it is only that somebody is silent.
fn doubt(before: &[Said], now: &[Said], last: Option<U256>) -> Option<(String, bool)> {
    let doubts =
        before.iter().zip(now).filter_map(|((host, before), (_, now))| match (before, now) {
            (Ok(before), Ok(now)) if now > before || last.is_some_and(|last| *now > last) => None,
            (Ok(_), Ok(_)) => Some((format!("{host} says that nothing of it has ended"), false)),
            _ => Some((silent(host), true)),
        });
    doubts.min_by_key(|(_, quiet)| *quiet)
}

/// One that does not answer confirms nothing.
pub(super) fn silent(host: &str) -> String {
    format!("{host} does not answer and may say otherwise")
}
