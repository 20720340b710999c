//! What the owner does with the account on chain: signs delegations, has it act, and keeps the message
//! ready that ends everything.

use super::{Ends, Owner, OwnerError};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_contracts::delegation::{
    Delegation, Execution, Framework, Nonce, OwnerAccount, Permission, SignedDelegation,
    Terms as _, kill_switch, revoke, revoke_all,
};
use marque_identity::{
    Receipt, Rpc,
    account::{self, Grant, Ground, Permissions, SignedGrant},
};
use marque_policies::{AssetId, Policy};

/// The account of one owner: there is one a key.
///
/// # Errors
/// Where `owner` is the zero address.
pub fn account_of(owner: Address) -> Result<OwnerAccount, OwnerError> {
    Ok(OwnerAccount::of(owner, B256::ZERO)?)
}

impl Owner {
    /// Signs what `policy` is compiled to on `ground`.
    ///
    /// # Errors
    /// Where no caveat can say it, or the account is another owner's.
    pub fn delegate(&self, policy: &Policy, ground: &Ground) -> Result<Permissions, OwnerError> {
        let sign = |grant: Grant| {
            let signed = grant.delegations().map(|it| self.sign_delegation(&ground.framework, it));
            let delegations = signed.collect::<Result<_, _>>()?;
            Ok(SignedGrant { asset: grant.asset, delegations })
        };
        let grants = account::compile(policy, ground)?;
        let grants = grants.into_iter().map(sign).collect::<Result<_, OwnerError>>()?;
        Ok(Permissions::new(policy, ground, grants)?)
    }

    /// The call to the manager by which anybody ends all delegations of the account, once.
    ///
    /// # Errors
    /// Where the account is another owner's.
    pub fn kill_switch(
        &self,
        framework: &Framework,
        account: Address,
        nonce: U256,
    ) -> Result<Bytes, OwnerError> {
        let switch = kill_switch(framework, account, nonce)?;
        let switch = Permission::new([self.sign_delegation(framework, &switch)?])?;
        Ok(switch.redeem(&revoke_all(framework)))
    }

    /// Has the account do something: by a delegation to this key that is signed for it and used at
    /// once.
    ///
    /// # Errors
    /// Where the chain does not take it.
    pub async fn act(
        &self,
        rpc: &Rpc,
        framework: &Framework,
        account: Address,
        execution: &Execution,
    ) -> Result<Receipt, OwnerError> {
        let redeemed = self.acting(framework, account, execution)?;
        self.send(rpc, framework.chain, framework.manager, U256::ZERO, redeemed).await
    }

    /// The call to the manager by which the account does something, once it is sent by this key.
    fn acting(
        &self,
        framework: &Framework,
        account: Address,
        execution: &Execution,
    ) -> Result<Bytes, OwnerError> {
        self.acting_by(framework, Delegation::root(account, self.address()), execution)
    }

    fn acting_by(
        &self,
        framework: &Framework,
        own: Delegation,
        execution: &Execution,
    ) -> Result<Bytes, OwnerError> {
        Ok(Permission::new([self.sign_delegation(framework, &own)?])?.redeem(execution))
    }

    /// As its delegator: this key, or the account.
    fn sign_delegation(
        &self,
        framework: &Framework,
        delegation: &Delegation,
    ) -> Result<SignedDelegation, OwnerError> {
        let digest = delegation.digest(framework);
        let signature = self.key.sign_digest(digest);
        if delegation.delegator == self.address() {
            return Ok(delegation.clone().signed(signature));
        }
        let account = account_of(self.address())?;
        if account.address(framework) != delegation.delegator {
            return Err(OwnerError::Unexpected(format!(
                "{} is not the account of {}",
                delegation.delegator,
                self.address()
            )));
        }
        let signature = account.signature(digest, [&signature[..]])?;
        Ok(delegation.clone().signed(signature))
    }
}

impl Ends<'_> {
    /// Ends what was delegated to one agent, as far as it is not over by the word of any endpoint; answers
    /// the transactions.
    ///
    /// # Errors
    /// Where the chain does not take it.
    pub async fn revoke(&mut self, delegated: &Permissions) -> Result<Vec<Receipt>, OwnerError> {
        let standing = delegated.standing(self.rpc()).await?;
        if standing.ended {
            return Ok(Vec::new());
        }
        let revoked: Vec<_> =
            standing.assets.iter().filter(|it| it.revoked).map(|it| it.asset).collect();
        self.revoke_but(delegated, &revoked).await
    }

    /// The same whatever endpoints say of it: those that call it over may lie, and what does nothing twice
    /// may be sent.
    ///
    /// # Errors
    /// Where the chain does not take it, as it does where all of it is over.
    pub async fn revoke_anyway(
        &mut self,
        delegated: &Permissions,
    ) -> Result<Vec<Receipt>, OwnerError> {
        self.revoke_but(delegated, &[]).await
    }

    async fn revoke_but(
        &mut self,
        delegated: &Permissions,
        revoked: &[AssetId],
    ) -> Result<Vec<Receipt>, OwnerError> {
        let (mut receipts, mut failure) = (Vec::new(), None);
        let framework = &delegated.framework;
        for grant in delegated.unsigned() {
            if revoked.contains(&grant.asset) {
                continue;
            }
            let owner = self.owner();
            let execution = revoke(framework, &grant.leaf);
            // A link's delegate is this key itself.
            let (to, data) = match grant.leaf.delegator == owner.address() {
                true => (execution.target, execution.data),
                false => {
                    (framework.manager, owner.acting(framework, delegated.account, &execution)?)
                }
            };
            match self.send(to, data).await {
                Ok(receipt) => receipts.push(receipt),
                // What cannot be ended of one asset keeps nothing alive of another.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(receipts), Err)
    }

    /// Ends all delegations of the account that name its nonce: that of `nonces` which each endpoint says, in
    /// their order. INVARIANT: it ends nothing that is delegated afterwards, whenever it is mined: with another
    /// nonce it reverts (`tests/system/behind.rs`,
    /// `what_stays_behind_ends_nothing_that_is_delegated_afterwards`).
    ///
    /// # Errors
    /// Where the chain does not take it, as it does not where the account is beyond the nonce.
    pub async fn revoke_all(
        &mut self,
        framework: &Framework,
        account: Address,
        nonces: &[U256],
    ) -> Result<Receipt, OwnerError> {
        let owner = self.owner();
        let raise = |nonce: &U256| {
            // By this key alone: nobody else sends it in its place.
            let own = Delegation::root(account, owner.address());
            let own = own.with(Nonce(*nonce).caveat(framework));
            owner.acting_by(framework, own, &revoke_all(framework))
        };
        let raises = nonces.iter().map(raise).collect::<Result<Vec<_>, _>>()?;
        self.send_each(framework.manager, raises).await
    }
}
