//! A permission: the delegations that lead from who acts up to the account that is acted for.

use super::{
    DelegationError, Execution, ROOT_AUTHORITY, SINGLE_CALL, SignedDelegation,
    binding::{DelegationData, IDelegationManager},
    message::ANYBODY,
};
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolCall as _, SolValue as _};

/// Delegations that hand on one another, from the redeemer's to the one that an account signed.
///
/// INVARIANT: each names the hash of the next as its authority and is delegated by the next one's
/// delegate, and the last hands nothing on (pinned by
/// `only_delegations_that_hand_on_one_another_are_a_permission`). So a manager refuses one for its
/// signatures, its caveats or a revocation only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    leaf: SignedDelegation,
    /// From the leaf's authority to the root.
    above: Vec<SignedDelegation>,
}

impl Permission {
    /// The permission of these delegations, the redeemer's first.
    ///
    /// # Errors
    /// [`DelegationError::Permission`] where one does not follow from the next.
    pub fn new(
        delegations: impl IntoIterator<Item = SignedDelegation>,
    ) -> Result<Self, DelegationError> {
        let wrong = |number, wrong| Err(DelegationError::Permission { number, wrong });
        let mut delegations = delegations.into_iter();
        let Some(leaf) = delegations.next() else { return wrong(1, "is missing") };
        let permission = Self { leaf, above: delegations.collect() };
        let nexts = permission.delegations().skip(1).map(Some).chain([None]);
        for (number, (one, next)) in (1..).zip(permission.delegations().zip(nexts)) {
            let authority = one.delegation.authority;
            match next.map(|next| &next.delegation) {
                None if authority == ROOT_AUTHORITY => {}
                None => return wrong(number, "hands on another one, which is missing"),
                Some(next) if authority != next.hash() => {
                    return wrong(number, "does not hand on the one after it");
                }
                Some(next) if ![one.delegation.delegator, ANYBODY].contains(&next.delegate) => {
                    return wrong(number, "is by another than the one after it is for");
                }
                Some(_) => {}
            }
        }
        Ok(permission)
    }

    /// This permission handed on by `leaf`, made with [`Delegation::below`](super::Delegation::below).
    ///
    /// # Errors
    /// [`DelegationError::Permission`] where `leaf` hands on something else.
    pub fn handed_on(&self, leaf: SignedDelegation) -> Result<Self, DelegationError> {
        Self::new(std::iter::once(leaf).chain(self.delegations().cloned()))
    }

    /// Who may redeem it; [`ANYBODY`] for anybody.
    #[must_use]
    pub const fn redeemer(&self) -> Address {
        self.leaf.delegation.delegate
    }

    /// Who executes.
    #[must_use]
    pub fn account(&self) -> Address {
        self.above.last().unwrap_or(&self.leaf).delegation.delegator
    }

    /// The delegations, the redeemer's first.
    pub fn delegations(&self) -> impl Iterator<Item = &SignedDelegation> {
        std::iter::once(&self.leaf).chain(&self.above)
    }

    /// As a manager takes it: its permission context.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.delegations().map(DelegationData::from).collect::<Vec<_>>().abi_encode().into()
    }

    /// Reads a permission context.
    ///
    /// # Errors
    /// [`DelegationError::Encoding`] for other bytes, and as [`Permission::new`].
    pub fn decode(context: &[u8]) -> Result<Self, DelegationError> {
        let data = Vec::<DelegationData>::abi_decode_validate(context)
            .map_err(|error| DelegationError::Encoding(error.to_string()))?;
        Self::new(data.into_iter().map(SignedDelegation::from))
    }

    /// The data of the call by which the redeemer has the account execute.
    #[must_use]
    pub fn redeem(&self, execution: &Execution) -> Bytes {
        redeem([(self, execution)])
    }
}

/// The data of the call by which their common redeemer has accounts execute, all or nothing.
#[must_use]
pub fn redeem<'a>(all: impl IntoIterator<Item = (&'a Permission, &'a Execution)>) -> Bytes {
    let (permission_contexts, executions): (Vec<_>, Vec<_>) = all
        .into_iter()
        .map(|(permission, execution)| (permission.encode(), execution.encode()))
        .unzip();
    IDelegationManager::redeemDelegationsCall {
        modes: vec![SINGLE_CALL; executions.len()],
        permissionContexts: permission_contexts,
        executionCallDatas: executions,
    }
    .abi_encode()
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delegation::Delegation;

    #[test]
    fn only_delegations_that_hand_on_one_another_are_a_permission() {
        let [account, agent, helper, other] = [1, 2, 3, 4].map(Address::with_last_byte);
        let root = Delegation::root(account, agent);
        let below = Delegation::below(&root, helper);
        let signed = |it: &Delegation| it.clone().signed(vec![1; 65]);
        let refusal = |list: &[&Delegation]| {
            Permission::new(list.iter().map(|it| signed(it))).unwrap_err().to_string()
        };

        let permission = Permission::new([signed(&below), signed(&root)]).unwrap();
        assert_eq!((permission.account(), permission.redeemer()), (account, helper));
        assert_eq!(Permission::decode(&permission.encode()), Ok(permission.clone()));
        let alone = Permission::new([signed(&root)]).unwrap();
        assert_eq!(alone.handed_on(signed(&below)), Ok(permission));

        assert_eq!(refusal(&[]), "delegation 1 of the permission is missing");
        assert_eq!(
            refusal(&[&below]),
            "delegation 1 of the permission hands on another one, which is missing"
        );
        assert_eq!(
            refusal(&[&root, &below]),
            "delegation 1 of the permission does not hand on the one after it"
        );
        let stolen = Delegation { delegator: other, ..below.clone() };
        assert_eq!(
            refusal(&[&stolen, &root]),
            "delegation 1 of the permission is by another than the one after it is for"
        );
        let open = Delegation::root(account, ANYBODY);
        let taken = Delegation { delegator: other, ..Delegation::below(&open, helper) };
        assert!(Permission::new([signed(&taken), signed(&open)]).is_ok());
        assert!(matches!(Permission::decode(&[1, 2, 3]), Err(DelegationError::Encoding(_))));
    }
}
