//! The ERC-8004 identity registry: who owns an agent, where it is paid, what it says of itself, and
//! the calls by which its owner registers it.
//!
//! Nothing here signs or sends: the calls go into transactions of the owner's own.

use crate::{IdentityError, Receipt, Rpc};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use marque_contracts::IdentityRegistry as Registry;
use marque_policies::Resolved;

/// The owner and the wallet of an agent, as the registry has them now. The wallet is zero where none
/// is set, as after a transfer.
///
/// # Errors
/// [`IdentityError::Reverted`] where there is no such agent, [`IdentityError::Answer`] where there
/// is no such registry, otherwise [`IdentityError`].
pub async fn resolve(
    rpc: &Rpc,
    registry: Address,
    agent_id: U256,
) -> Result<Resolved, IdentityError> {
    let owner = rpc.view("ownerOf", registry, Registry::ownerOfCall { tokenId: agent_id }).await?;
    let call = Registry::getAgentWalletCall { agentId: agent_id };
    let wallet = rpc.view("getAgentWallet", registry, call).await?;
    Ok(Resolved { owner, wallet })
}

/// Where an agent's registration file is: an https, ipfs or data URI that its owner wrote.
///
/// # Errors
/// As [`resolve`].
pub async fn agent_uri(
    rpc: &Rpc,
    registry: Address,
    agent_id: U256,
) -> Result<String, IdentityError> {
    rpc.view("tokenURI", registry, Registry::tokenURICall { tokenId: agent_id }).await
}

/// Calldata that registers an agent whose registration file is at `uri`. The sender owns it and is
/// its first wallet.
#[must_use]
pub fn register(uri: &str) -> Bytes {
    Registry::register_1Call { agentURI: uri.to_owned() }.abi_encode().into()
}

/// Calldata that points an agent at another registration file.
#[must_use]
pub fn set_agent_uri(agent_id: U256, uri: &str) -> Bytes {
    Registry::setAgentURICall { agentId: agent_id, newURI: uri.to_owned() }.abi_encode().into()
}

/// Calldata that makes `wallet` the place where an agent is paid. `signature` is the wallet's own,
/// of `AgentWalletSet`, and holds until `deadline` (Unix seconds of block time, at most 300 s ahead).
#[must_use]
pub fn set_agent_wallet(agent_id: U256, wallet: Address, deadline: u64, signature: Bytes) -> Bytes {
    let deadline = U256::from(deadline);
    Registry::setAgentWalletCall { agentId: agent_id, newWallet: wallet, deadline, signature }
        .abi_encode()
        .into()
}

/// The id that a registration got: what `registry`'s `Registered` event says. `None` where the
/// transaction failed or registered nothing there.
#[must_use]
pub fn registered_id(receipt: &Receipt, registry: Address) -> Option<U256> {
    let mut events = receipt
        .logs
        .iter()
        .filter(|log| receipt.success && log.address == registry)
        .filter_map(|log| Registry::Registered::decode_log(log).ok());
    events.next().map(|event| event.agentId)
}
