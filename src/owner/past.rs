//! Owners before the one in force, and what of theirs is still on chain.
//!
//! A rotation hands over the journal and nothing else: an account on chain stays with the key that it
//! was made for, together with its money and what was delegated from it. Whoever works with the new key
//! alone would not see them.

use super::{OwnerError, account_of};
use crate::audit::{AuditError, sworn};
use alloy_primitives::Address;
use marque_identity::{IdentityError, Rpc, account};
use marque_policies::{AssetId, Money, Policy};
use serde::Serialize;
use std::path::Path;

/// An account on chain that is deployed, or holds something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Whose key it obeys.
    pub owner: Address,
    /// Where it is.
    pub account: Address,
    /// What it holds of a policy's assets, and of the chain's coin; nothing that it has none of.
    pub holds: Vec<Money>,
}

/// Everybody who was the owner of a journal, in order, by their signatures: the last one is in force.
/// Nobody where no journal has begun.
///
/// # Errors
/// Where there is one, and it cannot be read or believed.
pub fn succession(journal: &Path) -> Result<Vec<Address>, AuditError> {
    Ok(sworn(journal)?.map_or_else(Vec::new, |sworn| sworn.owners))
}

/// The account of `owner` on a policy's chain, where it is deployed or holds something.
///
/// # Errors
/// Where the chain does not answer, or Marque knows no framework there.
pub async fn holding(
    policy: &Policy,
    rpc: &Rpc,
    chain: u64,
    owner: Address,
) -> Result<Option<Holding>, OwnerError> {
    let framework = account::framework(chain)?;
    let account = account_of(owner)?.address(&framework);
    let mut assets: Vec<AssetId> =
        policy.assets.values().map(|asset| asset.id).filter(|id| id.chain == chain).collect();
    assets.push(AssetId::native(chain));
    assets.dedup();
    let (mut found, mut answered, mut silent) =
        (Holding { owner, account, holds: Vec::new() }, false, None);
    let mut there = false;
    // Every endpoint: one alone makes nothing look empty.
    let assets = &assets[..];
    for (_, said) in rpc.all(|each| async move { held(&each, assets, account).await }).await {
        match said {
            Ok((holds, deployed)) => {
                answered = true;
                there |= deployed || !holds.is_empty();
                holds.into_iter().for_each(|money| found.take(money));
            }
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if !answered => Err(error.into()),
        _ => Ok(there.then_some(found)),
    }
}

/// What an account holds of these assets, and whether it is deployed, as one endpoint says.
async fn held(
    rpc: &Rpc,
    assets: &[AssetId],
    account: Address,
) -> Result<(Vec<Money>, bool), IdentityError> {
    let mut holds = Vec::new();
    for asset in assets {
        let units = match asset.is_native() {
            true => rpc.balance(account).await?,
            false => rpc.erc20_balance(asset.token, account).await?,
        };
        if !units.is_zero() {
            holds.push(Money::new(units, *asset));
        }
    }
    Ok((holds, !rpc.code(account).await?.is_empty()))
}

impl Holding {
    /// Takes in what somebody else says that it holds: the most that anybody says.
    pub fn take(&mut self, money: Money) {
        match self.holds.iter_mut().find(|known| known.asset == money.asset) {
            Some(known) => known.units = known.units.max(money.units),
            None => self.holds.push(money),
        }
    }

    /// What it holds, in a policy's words.
    #[must_use]
    pub fn shown(&self, policy: &Policy) -> String {
        let shown: Vec<String> = self.holds.iter().map(|money| policy.show(*money)).collect();
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(" and ") }
    }
}
