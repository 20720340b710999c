//! Whether tokens have the digits that a policy says. Where they do not, every amount that is signed of
//! them is another one than its owner reads; a draft is a file of the host's.

use super::policy::chain_of;
use crate::failure::{Done, Failure};
use marque_identity::{IdentityError, Rpc};
use marque_policies::{AssetId, Policy};

/// Refuses where a token says otherwise than the policy, by the word of any endpoint. One that does not
/// answer says nothing, and neither does a contract that is no token.
pub(crate) async fn as_stated(policy: &Policy, of: impl Fn(AssetId) -> bool) -> Done {
    // That a policy has one chain is told by whoever works on it.
    let Ok((chain, rpc)) = chain_of(policy) else { return Ok(()) };
    let (policy, of) = (policy, &of);
    let tokens = move || {
        let tokens = policy.assets.iter().filter(|(_, asset)| !asset.id.is_native());
        tokens.filter(move |(_, asset)| asset.id.chain == chain && of(asset.id))
    };
    let look = |each: Rpc| async move {
        for (name, asset) in tokens() {
            match each.decimals(asset.id.token).await {
                Ok(found) if found != asset.decimals => return Ok(Some((name, asset, found))),
                Err(error @ IdentityError::Unreachable { .. }) => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    };
    for (host, said) in rpc.all(look).await {
        if let Ok(Some((name, asset, found))) = said {
            return Err(Failure::new(format!(
                "{name} has {found} decimals, says {host}, and the policy says {}: every amount is wrong by \
                 that",
                asset.decimals
            ))
            .help(format!(
                "write decimals = {found} in [asset.{name}] if that is so, with a higher version; else name \
                 another endpoint"
            )));
        }
    }
    Ok(())
}
