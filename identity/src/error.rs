//! Everything that can go wrong between us and a chain.

use crate::{card::CardError, devnet::DevnetError};
use alloy_primitives::B256;
use std::time::Duration;

/// Why a chain gave no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A chain without endpoints.
    #[error("the chain has no RPC endpoint; name at least one under \"rpc\" in the policy")]
    NoEndpoints,
    /// An endpoint that is no HTTP URL. The text may hold an access key and is not repeated.
    #[error("RPC endpoint {number} is not an http or https URL: {why}")]
    Endpoint {
        /// Its place in the policy, from 1.
        number: usize,
        /// What the URL parser says.
        why: String,
    },
    /// No endpoint answered. Endpoints are named by host, because their paths may hold access keys.
    #[error("no RPC endpoint answered {method}: {}", tried.join("; "))]
    Unreachable {
        /// The JSON-RPC method.
        method: &'static str,
        /// What each endpoint came to grief on.
        tried: Vec<String>,
    },
    /// The node refuses.
    #[error("{host} refuses {method}: {message} (code {code})")]
    Refused {
        /// The endpoint's host.
        host: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The contract refuses.
    #[error("the contract reverts: {reason}")]
    Reverted {
        /// The decoded reason, else the data.
        reason: String,
    },
    /// The answer is not what the method promises.
    #[error("the answer to {method} cannot be used: {why}")]
    Answer {
        /// The JSON-RPC method or the contract's function.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No receipt in time. The transaction may still be mined.
    #[error("transaction {transaction} was not mined within {} s; it still may be", within.as_secs())]
    NotMined {
        /// The transaction.
        transaction: B256,
        /// How long we waited.
        within: Duration,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the RPC client: {0}")]
    Setup(String),
    /// A registration file.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A delegation, or the contracts that judge it.
    #[error(transparent)]
    Delegation(#[from] marque_contracts::delegation::DelegationError),
    /// A development chain.
    #[error(transparent)]
    Devnet(#[from] DevnetError),
}

/// What an answer without a contract begins with.
pub(crate) const NO_CONTRACT: &str = "there is no contract at";

impl IdentityError {
    /// Whether nothing is where a contract was asked: another chain, or one that was begun anew.
    #[must_use]
    pub fn lacks_contract(&self) -> bool {
        matches!(self, Self::Answer { why, .. } if why.starts_with(NO_CONTRACT))
    }

    pub(crate) fn answer(method: &'static str, why: impl ToString) -> Self {
        Self::Answer { method, why: why.to_string() }
    }
}
