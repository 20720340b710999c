//! A delegation: who may act for whom, under which caveats; its hash, and what its delegator signs.

use super::{
    Framework,
    binding::{CaveatData, DelegationData},
};
use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use serde::{Deserialize, Serialize};

/// The authority of a delegation that hands nothing on: its delegator acts for itself.
pub const ROOT_AUTHORITY: B256 = B256::repeat_byte(0xff);

/// The delegate of a delegation that anybody may redeem.
pub const ANYBODY: Address = address!("0000000000000000000000000000000000000a11");

/// What is signed, under the names that the framework gives it.
mod typed {
    use alloy_sol_types::sol;

    sol! {
        struct Caveat {
            address enforcer;
            bytes terms;
        }

        struct Delegation {
            address delegate;
            address delegator;
            bytes32 authority;
            Caveat[] caveats;
            uint256 salt;
        }
    }
}

/// A condition of a delegation. Terms are made with [`Terms::caveat`](super::Terms::caveat).
///
/// The framework lets the redeemer add arguments, which no enforcer that Marque uses reads; they are
/// always empty here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caveat {
    /// The contract that judges.
    pub enforcer: Address,
    /// What it judges by.
    pub terms: Bytes,
}

/// Who may act for whom, and under which caveats.
///
/// ```
/// # use marque_contracts::delegation::{Delegation, Framework, Terms as _, Timestamp};
/// # use alloy_primitives::Address;
/// # let (account, agent, helper) = (Address::ZERO, Address::ZERO, Address::ZERO);
/// let framework = Framework::public(84532).unwrap();
/// let until = Timestamp::until(1_900_000_000)?.caveat(&framework);
/// let root = Delegation::root(account, agent).with(until);
/// let below = Delegation::below(&root, helper);
/// assert_eq!(below.authority, root.hash());
/// let to_sign = root.digest(&framework);
/// # Ok::<(), marque_contracts::delegation::DelegationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Who may act.
    pub delegate: Address,
    /// For whom; signs.
    pub delegator: Address,
    /// The hash of the delegation that this one hands on, or [`ROOT_AUTHORITY`].
    pub authority: B256,
    /// What every execution must pass. No caveats permit everything.
    pub caveats: Vec<Caveat>,
    /// Tells delegations apart that are the same otherwise. Limits count by delegation: the same one
    /// signed twice has one budget, one with another salt has its own.
    pub salt: U256,
}

impl Delegation {
    /// `delegate` may act for the account `delegator`.
    #[must_use]
    pub const fn root(delegator: Address, delegate: Address) -> Self {
        Self {
            delegate,
            delegator,
            authority: ROOT_AUTHORITY,
            caveats: Vec::new(),
            salt: U256::ZERO,
        }
    }

    /// The delegate of `parent` hands on to `delegate` what it may itself, or less: every caveat of
    /// `parent` goes on judging.
    #[must_use]
    pub fn below(parent: &Self, delegate: Address) -> Self {
        Self { authority: parent.hash(), ..Self::root(parent.delegate, delegate) }
    }

    /// Adds a caveat.
    #[must_use]
    pub fn with(mut self, caveat: Caveat) -> Self {
        self.caveats.push(caveat);
        self
    }

    /// Sets the salt.
    #[must_use]
    pub fn salted(mut self, salt: U256) -> Self {
        self.salt = salt;
        self
    }

    /// The hash that names it on chain: that of its EIP-712 struct. The same on every chain.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.typed().eip712_hash_struct()
    }

    /// What the delegator signs: the struct under the manager's domain on its chain.
    #[must_use]
    pub fn digest(&self, framework: &Framework) -> B256 {
        self.typed().eip712_signing_hash(&domain(framework))
    }

    /// With its delegator's signature, which is not checked here: an account's is the account's
    /// business.
    #[must_use]
    pub fn signed(self, signature: impl Into<Bytes>) -> SignedDelegation {
        SignedDelegation { delegation: self, signature: signature.into() }
    }

    fn typed(&self) -> typed::Delegation {
        let caveat = |it: &Caveat| typed::Caveat { enforcer: it.enforcer, terms: it.terms.clone() };
        typed::Delegation {
            delegate: self.delegate,
            delegator: self.delegator,
            authority: self.authority,
            caveats: self.caveats.iter().map(caveat).collect(),
            salt: self.salt,
        }
    }
}

/// A delegation with its delegator's signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedDelegation {
    /// What was signed.
    pub delegation: Delegation,
    /// By a key: 65 bytes. By an account: what
    /// [`OwnerAccount::signature`](super::OwnerAccount::signature) makes of its signers'.
    pub signature: Bytes,
}

impl From<&SignedDelegation> for DelegationData {
    fn from(SignedDelegation { delegation, signature }: &SignedDelegation) -> Self {
        Self { signature: signature.clone(), ..Self::from(delegation) }
    }
}

/// Unsigned, as a call takes it that revokes it.
impl From<&Delegation> for DelegationData {
    fn from(it: &Delegation) -> Self {
        let caveat = |it: &Caveat| CaveatData {
            enforcer: it.enforcer,
            terms: it.terms.clone(),
            args: Bytes::new(),
        };
        Self {
            delegate: it.delegate,
            delegator: it.delegator,
            authority: it.authority,
            caveats: it.caveats.iter().map(caveat).collect(),
            salt: it.salt,
            signature: Bytes::new(),
        }
    }
}

/// As it was redeemed. Arguments of caveats are no part of it.
impl From<DelegationData> for SignedDelegation {
    fn from(it: DelegationData) -> Self {
        let caveat = |it: CaveatData| Caveat { enforcer: it.enforcer, terms: it.terms };
        let delegation = Delegation {
            delegate: it.delegate,
            delegator: it.delegator,
            authority: it.authority,
            caveats: it.caveats.into_iter().map(caveat).collect(),
            salt: it.salt,
        };
        delegation.signed(it.signature)
    }
}

/// The separator of the domain that delegations are signed under, as `getDomainHash()` of the manager
/// answers it.
#[must_use]
pub fn separator(framework: &Framework) -> B256 {
    domain(framework).separator()
}

fn domain(framework: &Framework) -> Eip712Domain {
    Eip712Domain::new(
        Some("DelegationManager".into()),
        Some("1".into()),
        Some(U256::from(framework.chain)),
        Some(framework.manager),
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_that_of_the_framework() {
        assert_eq!(
            typed::Delegation::eip712_encode_type(),
            "Delegation(address delegate,address delegator,bytes32 authority,Caveat[] caveats,\
             uint256 salt)Caveat(address enforcer,bytes terms)"
        );
    }
}
