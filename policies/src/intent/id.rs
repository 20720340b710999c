//! Which intent it is: the names that retries and restarts find again, and the nonces that follow
//! from them.
//!
//! Each kind of id is hashed under a tag of its own, so that no two kinds ever share one.

use super::{Settle, SettlePermit};
use crate::money::AssetId;
use alloy_primitives::{Address, B256, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What makes a proposal the same proposal after a retry or a restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct IntentId(#[schemars(with = "String")] pub B256);

impl IntentId {
    /// `H(origin, agent, task, step, ordinal, attempt)`, SHA-256 over length-prefixed fields.
    #[must_use]
    pub fn derive(
        origin: B256,
        agent: &str,
        task: &str,
        step: u32,
        ordinal: u32,
        attempt: u32,
    ) -> Self {
        Self(tagged(
            "marque/intent/v1",
            &[
                origin.as_slice(),
                agent.as_bytes(),
                task.as_bytes(),
                &step.to_be_bytes(),
                &ordinal.to_be_bytes(),
                &attempt.to_be_bytes(),
            ],
        ))
    }

    /// The id of what a sub-agent proposes: as [`IntentId::derive`], with the sub-agent's name in it
    /// and under a tag of its own, so that no two accounts share one.
    #[must_use]
    pub fn below(self, sub_agent: &str) -> Self {
        Self(tagged("marque/intent/sub-agent/v1", &[self.0.as_slice(), sub_agent.as_bytes()]))
    }

    /// A cancellation's id: `H(origin, agent, cancelled intent, attempt)`, whatever its task is
    /// called, so that an authorisation is not cancelled twice at once.
    #[must_use]
    pub fn cancellation(origin: B256, agent: &str, cancelled: Self, attempt: u32) -> Self {
        Self(tagged(
            "marque/cancellation/v1",
            &[origin.as_slice(), agent.as_bytes(), cancelled.0.as_slice(), &attempt.to_be_bytes()],
        ))
    }

    /// The id by which a permit's nonce is given up: like [`IntentId::cancellation`], under a tag of
    /// its own.
    #[must_use]
    pub fn invalidation(origin: B256, agent: &str, permit: Self, attempt: u32) -> Self {
        Self(tagged(
            "marque/invalidation/v1",
            &[origin.as_slice(), agent.as_bytes(), permit.0.as_slice(), &attempt.to_be_bytes()],
        ))
    }

    /// A settlement's id: `H(origin, agent, token, payer, nonce)`, so that an authorisation is
    /// settled once, whatever the seller calls its task.
    #[must_use]
    pub fn settlement(origin: B256, agent: &str, settle: &Settle) -> Self {
        let Settle { from, amount, nonce, .. } = settle;
        Self::settled("marque/settlement/v1", (origin, agent), amount.asset, *from, *nonce)
    }

    /// The same for a Permit2 permit, whose nonces are counted apart from the token's own.
    #[must_use]
    pub fn permit_settlement(origin: B256, agent: &str, settle: &SettlePermit) -> Self {
        let SettlePermit { from, amount, nonce, .. } = settle;
        let (tag, nonce) = ("marque/permit-settlement/v1", B256::from(*nonce));
        Self::settled(tag, (origin, agent), amount.asset, *from, nonce)
    }

    fn settled(
        tag: &str,
        (origin, agent): (B256, &str),
        asset: AssetId,
        payer: Address,
        nonce: B256,
    ) -> Self {
        Self(tagged(
            tag,
            &[
                origin.as_slice(),
                agent.as_bytes(),
                &asset.chain.to_be_bytes(),
                asset.token.as_slice(),
                payer.as_slice(),
                nonce.as_slice(),
            ],
        ))
    }

    /// The EIP-3009 nonce of this intent: the chain itself refuses a second payment for it.
    #[must_use]
    pub fn nonce(self) -> B256 {
        tagged("marque/eip3009-nonce/v1", &[self.0.as_slice()])
    }

    /// The Permit2 nonce of this intent: one bit of the payer's unordered nonces, so that the chain
    /// refuses a second use of it as well.
    #[must_use]
    pub fn permit_nonce(self) -> U256 {
        tagged("marque/permit2-nonce/v1", &[self.0.as_slice()]).into()
    }
}

/// SHA-256 of a domain tag and length-prefixed fields.
pub(crate) fn tagged(tag: &str, fields: &[&[u8]]) -> B256 {
    let mut hasher = Sha256::new();
    for field in std::iter::once(tag.as_bytes()).chain(fields.iter().copied()) {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    B256::from_slice(&hasher.finalize())
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
