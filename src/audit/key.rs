//! The public key that an auditor holds: as genesis names it, or as C2SP verifiers write it.

use alloy_primitives::B256;
use marque_steward::journal::{JournalError, LogKey, Origin};
use std::str::FromStr;

/// An Ed25519 public key of a log.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// Its 32 bytes, for whatever journal they sign.
    Bytes(B256),
    /// With the journal that it is for: `marque/<origin>+<hash>+<base64>`.
    Named(Box<LogKey>),
}

impl PublicKey {
    /// The key, for the journal of `origin`.
    ///
    /// # Errors
    /// [`JournalError::Origin`] where it is for another, [`JournalError::Key`] for bytes that are
    /// none.
    pub fn of(&self, origin: Origin) -> Result<LogKey, JournalError> {
        match self {
            Self::Bytes(bytes) => LogKey::new(origin, *bytes),
            Self::Named(key) if key.origin() == origin => Ok(LogKey::clone(key)),
            Self::Named(key) => Err(JournalError::Origin { found: origin, expected: key.origin() }),
        }
    }
}

/// 64 hex digits, or a C2SP verifier key.
impl FromStr for PublicKey {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        let text = text.trim();
        match text.parse::<B256>() {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(_) => Ok(Self::Named(Box::new(text.parse()?))),
        }
    }
}
