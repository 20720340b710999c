//! The creation code of the contracts that Marque deploys on development chains.
//!
//! It is built by `npm run build` in this folder from `solidity/`, committed, and compared with a
//! fresh build by `npm run check`.

use alloy_primitives::Bytes;

/// A contract of our own that is deployed on a development chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Contract {
    /// The identity registry of ERC-8004: [`IdentityRegistry`](crate::IdentityRegistry).
    IdentityRegistry,
    /// A dollar that anyone may mint: [`TestDollar`](crate::TestDollar).
    TestDollar,
}

/// The creation code of `contract`: the whole data of the deploying transaction, since none of the
/// constructors takes arguments.
#[must_use]
pub fn bytecode(contract: Contract) -> Bytes {
    Bytes::from_static(match contract {
        Contract::IdentityRegistry => include_bytes!("../artifacts/IdentityRegistry.bin"),
        Contract::TestDollar => include_bytes!("../artifacts/TestDollar.bin"),
    })
}
