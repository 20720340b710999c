//! What the owner signed: an agent's way to the account, as a file that anybody may read.
//!
//! It is of no use to anybody but the agent's key, and no more to that than its caveats let.
//!
//! INVARIANT: there is a grant; each grant's delegations hand on one another, from the account to the
//! agent, the owner signed each, and what the file says of nonce, salt and end is what was signed: whoever
//! edits the file makes nothing look ended that is not (pinned by
//! `a_file_of_permissions_is_read_back_and_nothing_else_is`).

use super::{Grant, Ground};
use alloy_primitives::{Address, B256, U256};
use marque_contracts::{
    delegation::{
        DelegationError, Framework, Nonce, Permission, SignedDelegation, Terms as _, Timestamp,
    },
    recover,
};
use marque_policies::{AssetId, Policy};
use marque_store_files::{self as store, SHARED};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The format that is written and read.
const FORMAT: u32 = 1;

/// The longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// What an agent may draw on an account, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    format: u32,
    /// The version of the policy that was compiled.
    pub policy_version: u64,
    /// And its hash.
    pub policy_hash: B256,
    /// The contracts, and their chain.
    pub framework: Framework,
    /// The owner's account.
    pub account: Address,
    /// The owner.
    pub owner: Address,
    /// The agent's key.
    pub agent: Address,
    /// The account's nonce when it was signed.
    pub nonce: U256,
    /// When it ends, in Unix seconds.
    pub until: u64,
    /// The salt of the agent's delegations.
    pub salt: U256,
    /// An asset each.
    pub grants: Vec<SignedGrant>,
}

/// The way of one asset, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedGrant {
    /// The asset.
    pub asset: AssetId,
    /// The agent's delegation first, the account's own last.
    pub delegations: Vec<SignedDelegation>,
}

/// Why there are no permissions to be had from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionsError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is of a later marque.
    #[error("{}: its format is {found}, and this marque knows {FORMAT}; use a newer one", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// It is something else.
    #[error("{}: {why}; delegate again: marque account delegate NAME", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Permissions {
    /// The permissions of `grants`, which were compiled of `policy` on `ground`, with their
    /// signatures.
    ///
    /// # Errors
    /// [`DelegationError::Permission`] where they do not lead from the account to the agent, or the
    /// owner did not sign one.
    pub fn new(
        policy: &Policy,
        ground: &Ground,
        grants: Vec<SignedGrant>,
    ) -> Result<Self, DelegationError> {
        let made = Self {
            format: FORMAT,
            policy_version: policy.version,
            policy_hash: policy.hash,
            framework: ground.framework,
            account: ground.account,
            owner: policy.owner,
            agent: ground.agent,
            nonce: ground.nonce,
            until: super::end(policy, ground.until),
            salt: ground.salt,
            grants,
        };
        made.permissions().map(drop)?;
        Ok(made)
    }

    /// What the agent redeems, by asset.
    ///
    /// # Errors
    /// [`DelegationError::Permission`] where there is none, one does not lead from the account to the
    /// agent, the owner did not sign it, or signed another nonce or end.
    pub fn permissions(&self) -> Result<Vec<(AssetId, Permission)>, DelegationError> {
        let nonce = Nonce(self.nonce).caveat(&self.framework);
        let end = Timestamp::until(self.until)?.caveat(&self.framework);
        if self.grants.is_empty() {
            return Err(DelegationError::Permission { number: 1, wrong: "is missing" });
        }
        let permission = |grant: &SignedGrant| {
            let permission = Permission::new(grant.delegations.iter().cloned())?;
            let wrong = |wrong| Err(DelegationError::Permission { number: 1, wrong });
            for (number, signed) in (1..).zip(permission.delegations()) {
                // An account of one key takes that key's signature.
                let digest = signed.delegation.digest(&self.framework);
                if recover(digest, &signed.signature) != Ok(self.owner) {
                    let wrong = "is not signed by the owner";
                    return Err(DelegationError::Permission { number, wrong });
                }
            }
            if permission.redeemer() != self.agent {
                return wrong("is for another key than the agent's");
            }
            if permission.account() != self.account {
                return wrong("leads to another account");
            }
            let signed: Vec<_> = permission.delegations().collect();
            let says = |which: Option<&SignedDelegation>, caveat| {
                which.is_some_and(|it| it.delegation.caveats.contains(caveat))
            };
            if !says(signed.last().copied(), &nonce) {
                return wrong("was signed for another nonce");
            }
            if signed.first().is_none_or(|it| it.delegation.salt != self.salt) {
                return wrong("was signed with another salt");
            }
            if !says(signed.first().copied(), &end) {
                return wrong("was signed with another end");
            }
            Ok((grant.asset, permission))
        };
        self.grants.iter().map(permission).collect()
    }

    /// What the agent redeems to have `asset` moved.
    #[must_use]
    pub fn permission(&self, asset: AssetId) -> Option<Permission> {
        let grant = self.grants.iter().find(|grant| grant.asset == asset)?;
        Permission::new(grant.delegations.iter().cloned()).ok()
    }

    /// What they were compiled on: with the same policy it gives the same delegations.
    #[must_use]
    pub const fn ground(&self) -> Ground {
        Ground {
            framework: self.framework,
            account: self.account,
            agent: self.agent,
            nonce: self.nonce,
            until: self.until,
            salt: self.salt,
        }
    }

    /// The same without signatures.
    #[must_use]
    pub fn unsigned(&self) -> Vec<Grant> {
        let unsigned = |grant: &SignedGrant| {
            let mut delegations = grant.delegations.iter().map(|it| it.delegation.clone());
            let leaf = delegations.next()?;
            Some(Grant { asset: grant.asset, link: delegations.next(), leaf })
        };
        self.grants.iter().filter_map(unsigned).collect()
    }

    /// Reads a file; `None` where there is none.
    ///
    /// # Errors
    /// [`PermissionsError`].
    pub fn read(path: &Path) -> Result<Option<Self>, PermissionsError> {
        let broken = |why: String| PermissionsError::Broken { path: path.to_owned(), why };
        let bytes = match store::read_if_there(path, LONGEST) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(broken(error.to_string()));
            }
            Err(source) => return Err(PermissionsError::File { path: path.to_owned(), source }),
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| broken(error.to_string()))?;
        Self::parse(path, text).map(Some)
    }

    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`PermissionsError`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, PermissionsError> {
        let path_of = || path.to_owned();
        let broken = |why: String| PermissionsError::Broken { path: path_of(), why };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found > u64::from(FORMAT) => {
                return Err(PermissionsError::Newer { path: path_of(), found });
            }
            Some(found) if found == u64::from(FORMAT) => {}
            _ => return Err(broken("it names no format".to_owned())),
        }
        let read: Self =
            serde_json::from_value(value).map_err(|error| broken(error.to_string()))?;
        read.permissions().map_err(|error| broken(error.to_string()))?;
        Ok(read)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`PermissionsError::File`].
    pub fn write(&self, path: &Path) -> Result<(), PermissionsError> {
        let wrong = |source| PermissionsError::File { path: path.to_owned(), source };
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other).map_err(wrong)?;
        store::replace_durably(path, &text, SHARED).map_err(wrong)
    }
}
