//! The keys that a steward has unlocked. Nothing else in this crate holds one.

use crate::{error::StewardError, home::Home, journal::LogSigner};
use alloy_primitives::Address;
use marque_identity_keys::{Key, KeyDir, SecretString};
use secrecy::SecretBox;
use std::{collections::BTreeMap, fmt};

/// Unlocked keys, by agent.
pub(crate) struct Keys {
    dir: KeyDir,
    unlock: SecretString,
    keys: BTreeMap<String, Key>,
}

impl Keys {
    pub(crate) fn open(home: &Home, unlock: SecretString) -> Result<Self, StewardError> {
        Ok(Self { dir: KeyDir::open(home.keys())?, unlock, keys: BTreeMap::new() })
    }

    /// The signer of the journal's checkpoints.
    pub(crate) fn log_signer(&self) -> Result<LogSigner, StewardError> {
        let seed = self.dir.log_key(&self.unlock)?;
        Ok(LogSigner::from_secret(&SecretBox::new(Box::new(*seed))))
    }

    /// The address of an agent's key, without unlocking it.
    pub(crate) fn address(&self, agent: &str) -> Result<Address, StewardError> {
        Ok(self.dir.address(agent)?)
    }

    /// An agent's key; unlocked at its first use, which takes a moment.
    pub(crate) fn key(&mut self, agent: &str) -> Result<&Key, StewardError> {
        if !self.keys.contains_key(agent) {
            let key = self.dir.key(agent, &self.unlock)?;
            self.keys.insert(agent.to_owned(), key);
        }
        self.keys.get(agent).ok_or(StewardError::Permit("names a key that is not here"))
    }
}

/// The address of an agent's key in a home, with nothing unlocked.
pub(crate) fn address(home: &Home, agent: &str) -> Result<Address, StewardError> {
    Ok(KeyDir::open(home.keys())?.address(agent)?)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("unlocked", &self.keys.keys()).finish_non_exhaustive()
    }
}
