//! What can be wrong with a delegation before a chain sees it.

use super::Part;
use alloy_primitives::Address;
use std::path::PathBuf;

/// Why there is no such caveat, permission or deployment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// The terms of a caveat would say nothing, or nonsense.
    #[error("{} caveat: {wrong}", caveat.name())]
    Terms {
        /// Whose terms.
        caveat: Part,
        /// What is wrong, and how to mend it.
        wrong: &'static str,
    },
    /// The delegations do not lead from a delegate to an account.
    #[error("delegation {number} of the permission {wrong}")]
    Permission {
        /// Counted from the redeemer's, which is 1.
        number: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The bytes are no permission.
    #[error("these bytes are no list of delegations: {0}")]
    Encoding(String),
    /// No such account can be.
    #[error("owner account: {0}")]
    Account(&'static str),
    /// A signature is none.
    #[error(transparent)]
    Signature(#[from] crate::SignatureError),
    /// The chain has no code there.
    #[error("there is no {} at {at}: nothing is deployed there", part.name())]
    NoCode {
        /// What should be there.
        part: Part,
        /// Where.
        at: Address,
    },
    /// The chain has other code there.
    #[error("the code at {at} is not that of the {} which Marque knows", part.name())]
    OtherCode {
        /// What should be there.
        part: Part,
        /// Where.
        at: Address,
    },
    /// The npm package is not there.
    #[error(
        "cannot find the code of the Delegation Framework; run `npm ci` in contracts/, or set \
         MARQUE_DELEGATION_ABIS to the folder of the npm package @metamask/delegation-abis 2.0.0"
    )]
    NoPackage,
    /// The variable names something else.
    #[error(
        "MARQUE_DELEGATION_ABIS is {}, which is no folder of the npm package \
         @metamask/delegation-abis 2.0.0; correct it, or leave it unset in a clone after `npm ci` in \
         contracts/",
        .0.display()
    )]
    Named(PathBuf),
    /// A file of it cannot be read, or is another one.
    #[error("{}: {wrong}; run `npm ci` in contracts/", path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        wrong: String,
    },
}
