//! The code of the contracts of our own: what Marque deploys or places on development chains, and the
//! two that it deploys on public ones.
//!
//! It is built by `npm run build` in this folder from `solidity/`, committed, and compared with a
//! fresh build by `npm run check`.

use crate::permit2::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use alloy_primitives::{Address, Bytes};

/// A contract of our own that is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Contract {
    /// The proxy that is an owner's account. Its constructor takes the implementation and the call
    /// that initialises it: [`OwnerAccount`](crate::delegation::OwnerAccount) makes both.
    AccountProxy,
    /// The identity registry of ERC-8004: [`IdentityRegistry`](crate::IdentityRegistry).
    IdentityRegistry,
    /// Limits in rolling windows: [`RollingSpend`](crate::delegation::RollingSpend).
    RollingSpendEnforcer,
    /// A dollar that anyone may mint: [`TestDollar`](crate::TestDollar).
    TestDollar,
}

/// The creation code of `contract`: the whole data of the deploying transaction where the constructor
/// takes no arguments, which is that of all but [`Contract::AccountProxy`].
#[must_use]
pub fn bytecode(contract: Contract) -> Bytes {
    Bytes::from_static(match contract {
        Contract::AccountProxy => include_bytes!("../artifacts/AccountProxy.bin"),
        Contract::IdentityRegistry => include_bytes!("../artifacts/IdentityRegistry.bin"),
        Contract::RollingSpendEnforcer => {
            include_bytes!("../artifacts/RollingSpendEnforcer.bin")
        }
        Contract::TestDollar => include_bytes!("../artifacts/TestDollar.bin"),
    })
}

/// What public chains have at the same address everywhere and a development chain lacks: Permit2 and
/// the x402 proxies for it. Each with its address and the code that runs there; none has a
/// constructor.
#[must_use]
pub fn everywhere() -> [(Address, Bytes); 3] {
    let code = Bytes::from_static;
    [
        (PERMIT2, code(include_bytes!("../artifacts/Permit2.runtime.bin"))),
        (EXACT_PROXY, code(include_bytes!("../artifacts/X402ExactProxy.runtime.bin"))),
        (UPTO_PROXY, code(include_bytes!("../artifacts/X402UptoProxy.runtime.bin"))),
    ]
}
