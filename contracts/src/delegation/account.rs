//! An owner's account: a contract that holds the money and delegates, and whose signers are the
//! owner's keys. It is created by anybody and always at the same address.

use super::{
    DelegationError, Framework,
    binding::IMultiSigAccount,
    deployer::{address_of, deployment},
    terms::has_twice,
};
use crate::{Contract, bytecode, recover};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolValue as _};

/// As many signers as an account may have.
const MAX_SIGNERS: usize = 30;

/// Who owns an account, and the salt that tells it from others of the same owners.
///
/// Its address follows from these and the framework's account code, so it is known, and may be
/// funded, before it is deployed. Later changes of its signers do not move it: keep what it was made
/// of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerAccount {
    signers: Vec<Address>,
    threshold: usize,
    salt: B256,
}

impl OwnerAccount {
    /// The account of one key.
    ///
    /// # Errors
    /// [`DelegationError::Account`] for the zero address.
    pub fn of(owner: Address, salt: B256) -> Result<Self, DelegationError> {
        Self::new([owner], 1, salt)
    }

    /// The account for which `threshold` of `signers` sign. They are keys: accounts with code cannot
    /// be signers.
    ///
    /// # Errors
    /// [`DelegationError::Account`] for no signers or more than 30, the zero address, one twice, or
    /// a threshold that none or not even all of them meet.
    pub fn new(
        signers: impl IntoIterator<Item = Address>,
        threshold: usize,
        salt: B256,
    ) -> Result<Self, DelegationError> {
        let signers: Vec<Address> = signers.into_iter().collect();
        let wrong = if signers.is_empty() {
            "it has no signer"
        } else if signers.len() > MAX_SIGNERS {
            "it has more than 30 signers"
        } else if signers.contains(&Address::ZERO) {
            "the zero address cannot sign"
        } else if has_twice(&signers) {
            "a signer is named twice"
        } else if threshold == 0 {
            "nobody would have to sign"
        } else if threshold > signers.len() {
            "more would have to sign than there are signers"
        } else {
            return Ok(Self { signers, threshold, salt });
        };
        Err(DelegationError::Account(wrong))
    }

    /// Whose keys it was made for.
    #[must_use]
    pub fn signers(&self) -> &[Address] {
        &self.signers
    }

    /// How many of them must sign.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// What tells it from others of the same owners.
    #[must_use]
    pub const fn salt(&self) -> B256 {
        self.salt
    }

    /// Where it is, deployed or not.
    #[must_use]
    pub fn address(&self, framework: &Framework) -> Address {
        address_of(self.salt, &self.creation(framework))
    }

    /// The data of the transaction to [`DEPLOYER`](super::DEPLOYER) that deploys it.
    #[must_use]
    pub fn deployment(&self, framework: &Framework) -> Bytes {
        deployment(self.salt, &self.creation(framework))
    }

    fn creation(&self, framework: &Framework) -> Bytes {
        let (signers, threshold) = (self.signers.clone(), U256::from(self.threshold));
        let call = IMultiSigAccount::initializeCall { signers, threshold };
        let arguments = (framework.account, Bytes::from(call.abi_encode())).abi_encode_params();
        [&bytecode(Contract::AccountProxy)[..], &arguments].concat().into()
    }

    /// The account's signature of `digest`, made of its signers'.
    ///
    /// # Errors
    /// [`DelegationError::Signature`] for one that is none, [`DelegationError::Account`] where they
    /// are not from as many different signers as must sign.
    pub fn signature<'a>(
        &self,
        digest: B256,
        signatures: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Bytes, DelegationError> {
        let mut signed = Vec::new();
        for signature in signatures {
            let mut signature = signature.to_vec();
            let signer = recover(digest, &signature)?;
            if !self.signers.contains(&signer) {
                return Err(DelegationError::Account("somebody else signed"));
            }
            // The account takes 27 and 28 only.
            if let Some(v @ (0 | 1)) = signature.last_mut() {
                *v += 27;
            }
            signed.push((signer, signature));
        }
        signed.sort();
        signed.dedup_by_key(|(signer, _)| *signer);
        if signed.len() < self.threshold {
            return Err(DelegationError::Account("too few of its signers signed"));
        }
        signed.truncate(self.threshold);
        Ok(signed.into_iter().flat_map(|(_, signature)| signature).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accounts_that_somebody_can_use_are_made() {
        let [a, b] = [1, 2].map(Address::with_last_byte);
        let account = |signers: &[Address], threshold| {
            OwnerAccount::new(signers.iter().copied(), threshold, B256::ZERO).is_ok()
        };
        assert!(account(&[a], 1) && account(&[a, b], 2) && account(&[a, b], 1));
        assert!(!account(&[], 1) && !account(&[a], 0) && !account(&[a], 2));
        assert!(!account(&[a, a], 1) && !account(&[Address::ZERO], 1));
        let many: Vec<_> = (1..=31).map(Address::with_last_byte).collect();
        assert!(account(&many[1..], 30) && !account(&many, 30));
    }

    #[test]
    fn owner_salt_and_implementation_make_the_address() {
        let owner = Address::with_last_byte(1);
        let framework = Framework::public(84_532).unwrap();
        let at = |owner, salt, framework: &Framework| {
            OwnerAccount::of(owner, B256::with_last_byte(salt)).unwrap().address(framework)
        };
        let mainnet = Framework::public(1).unwrap();
        assert_eq!(at(owner, 0, &framework), at(owner, 0, &mainnet));
        assert_ne!(at(owner, 0, &framework), at(owner, 1, &framework));
        assert_ne!(at(owner, 0, &framework), at(Address::with_last_byte(2), 0, &framework));
        let other = Framework { account: owner, ..framework };
        assert_ne!(at(owner, 0, &framework), at(owner, 0, &other));
    }
}
