//! How it stands on chain: the contracts, the account, and what is left of what was delegated.

use super::{
    Permissions,
    drift::{called, rolling},
};
use crate::{BlockTag, IdentityError, Rpc};
use alloy_primitives::{Address, U256, keccak256};
use futures::{
    future::try_join_all,
    stream::{self, StreamExt as _, TryStreamExt as _},
};
use marque_contracts::delegation::{
    ACCOUNT_PROXY, Delegation, DelegationError, Framework, OwnerAccount, Package, Part,
    binding::{IDelegationManager, IMultiSigAccount, INonceEnforcer, IRollingSpendEnforcer},
};
use marque_policies::{AssetId, Money};
use serde::Serialize;

/// So many questions are asked of one endpoint at a time: one that takes long to answer keeps nobody waiting
/// for each, and none is stormed.
const TOGETHER: usize = 4;

/// How permissions stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether all of the account's delegations were ended since.
    pub ended: bool,
    /// Whether the manager is paused: as long as it is, nobody redeems anything, the owner neither.
    pub paused: bool,
    /// Block time, in Unix seconds.
    pub now: u64,
    /// Whether their time is over.
    pub expired: bool,
    /// An asset each.
    pub assets: Vec<AssetStanding>,
    /// Hosts of the endpoints that did not answer: what they would say is not in it.
    pub silent: Vec<String>,
    /// Whether those that answered differ in whether it is over.
    pub disputed: bool,
}

/// How it stands with one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssetStanding {
    /// The asset.
    pub asset: AssetId,
    /// Whether its delegations were revoked.
    pub revoked: bool,
    /// What the account holds.
    pub account: Money,
    /// What the agent's key holds.
    pub float: Money,
    /// Every window of every limit.
    pub windows: Vec<Used>,
}

/// A limit on chain, and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// As the policy calls it, without the asset: `limits.day`, `owner.limits.day`.
    pub rule: String,
    /// What counts in its window now. Nothing counts in that of a single payment.
    pub used: Money,
    /// The limit.
    pub limit: Money,
}

impl Standing {
    /// Together with what another endpoint says: nothing has ended that one of them calls alive.
    fn beside(mut self, other: &Self) -> Self {
        self.disputed |= self.is_over() != other.is_over() || self.paused != other.paused;
        self.ended &= other.ended;
        self.expired &= other.expired;
        self.paused &= other.paused;
        self.now = self.now.min(other.now);
        for (mine, theirs) in self.assets.iter_mut().zip(&other.assets) {
            self.disputed |= mine.revoked != theirs.revoked;
            mine.revoked &= theirs.revoked;
        }
        self
    }

    /// Whether that is so by the word of every endpoint: one that is silent could say that it lives.
    #[must_use]
    pub fn is_over_for_certain(&self) -> bool {
        self.is_over() && self.silent.is_empty()
    }

    /// Whether the agent can draw nothing any more, of no asset, as far as endpoints answer.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended || self.expired || self.assets.iter().all(|asset| asset.revoked)
    }
}

/// Where the framework is on a chain, for accounts of Marque's: at its public addresses, or where a
/// development chain has it. There nobody can pause it.
///
/// # Errors
/// [`DelegationError`] where the development chain's package is missing.
pub fn framework(chain: u64) -> Result<Framework, DelegationError> {
    match Framework::public(chain) {
        Some(public) => Ok(public),
        None => Ok(Package::find()?.deployment(chain, NOBODY)?.framework),
    }
}

/// Who may pause the framework of a development chain: a contract that cannot.
pub(crate) const NOBODY: Address = marque_contracts::delegation::DEPLOYER;

/// The parts of the framework that a chain lacks, or has otherwise than Marque knows them.
///
/// # Errors
/// [`IdentityError`].
pub async fn lacking(
    rpc: &Rpc,
    framework: &Framework,
) -> Result<Vec<(Part, DelegationError)>, IdentityError> {
    let codes = framework.parts().map(|(part, at)| async move {
        let code = rpc.code(at).await?;
        Ok((part, framework.check(part, &code).err()))
    });
    let checked = stream::iter(codes).buffered(TOGETHER);
    let lacking =
        checked.try_filter_map(|(part, error)| async move { Ok(error.map(|it| (part, it))) });
    lacking.try_collect().await
}

/// Whether an account is deployed; `false` where there is nothing yet.
///
/// # Errors
/// [`IdentityError::Answer`] where there is something else, or the account is not its owners' any
/// more; otherwise [`IdentityError`].
pub async fn is_deployed(
    rpc: &Rpc,
    framework: &Framework,
    account: &OwnerAccount,
) -> Result<bool, IdentityError> {
    let at = account.address(framework);
    let code = rpc.code(at).await?;
    if code.is_empty() {
        return Ok(false);
    }
    let other = |why: String| Err(IdentityError::answer("eth_getCode", why));
    if keccak256(&code) != ACCOUNT_PROXY {
        return other(format!("the code at {at} is no account of Marque's"));
    }
    let (runs, signers, most) = tokio::try_join!(
        rpc.view("getImplementation", at, IMultiSigAccount::getImplementationCall {}),
        rpc.view("getSigners", at, IMultiSigAccount::getSignersCall {}),
        rpc.view("getThreshold", at, IMultiSigAccount::getThresholdCall {}),
    )?;
    if runs != framework.account {
        return other(format!("the account {at} runs other code, that at {runs}"));
    }
    let same = account.signers().iter().all(|signer| signers.contains(signer));
    if !same || signers.len() != account.signers().len() || most != U256::from(account.threshold())
    {
        return other(format!("the signers of the account {at} have changed"));
    }
    Ok(true)
}

/// The nonce that delegations of the account must name.
///
/// # Errors
/// [`IdentityError`].
pub async fn nonce(
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
) -> Result<U256, IdentityError> {
    let call = INonceEnforcer::currentNonceCall {
        delegationManager: framework.manager,
        delegator: account,
    };
    rpc.view("currentNonce", framework.nonce, call).await
}

impl Permissions {
    /// How they stand now. Every endpoint is asked: one of them that lags or lies makes nothing look
    /// ended that is not. What is held and used is told by the first one that answers.
    ///
    /// # Errors
    /// [`IdentityError`] where none answers.
    pub async fn standing(&self, rpc: &Rpc) -> Result<Standing, IdentityError> {
        let (mut heard, mut silent) = (None::<Standing>, Vec::new());
        let mut failure = IdentityError::NoEndpoints;
        for (host, said) in rpc.all(|each| async move { self.standing_at(&each).await }).await {
            match said {
                Ok(said) => {
                    heard = Some(match heard {
                        Some(before) => before.beside(&said),
                        None => said,
                    });
                }
                Err(error) => {
                    silent.push(host);
                    failure = error;
                }
            }
        }
        heard.map(|heard| Standing { silent, ..heard }).ok_or(failure)
    }

    /// How they stand, as one endpoint says.
    async fn standing_at(&self, rpc: &Rpc) -> Result<Standing, IdentityError> {
        let (block, nonce, paused) = tokio::try_join!(
            rpc.block(BlockTag::Latest),
            nonce(rpc, &self.framework, self.account),
            rpc.view("paused", self.framework.manager, IDelegationManager::pausedCall {}),
        )?;
        let now = block.timestamp;
        let mut assets = Vec::new();
        for grant in &self.grants {
            let asset = grant.asset;
            let money = |units| Money::new(units, asset);
            let delegations =
                grant.delegations.iter().map(|it| self.used(rpc, asset, &it.delegation));
            let (said, account, float) = tokio::try_join!(
                try_join_all(delegations),
                held(rpc, asset, self.account),
                held(rpc, asset, self.agent),
            )?;
            let revoked = said.iter().any(|(disabled, _)| *disabled);
            let windows = said.into_iter().flat_map(|(_, windows)| windows).collect();
            let (account, float) = (money(account), money(float));
            assets.push(AssetStanding { asset, revoked, account, float, windows });
        }
        let expired = now >= self.until;
        // One that names a later nonce sleeps, and wakes when all others are ended.
        let ended = nonce > self.nonce;
        Ok(Standing { ended, paused, now, expired, assets, silent: Vec::new(), disputed: false })
    }
}

impl Permissions {
    /// Whether one of their delegations is disabled, and what is used of its windows.
    async fn used(
        &self,
        rpc: &Rpc,
        asset: AssetId,
        delegation: &Delegation,
    ) -> Result<(bool, Vec<Used>), IdentityError> {
        let hash = delegation.hash();
        let call = IDelegationManager::disabledDelegationsCall { delegationHash: hash };
        let disabled = rpc.view("disabledDelegations", self.framework.manager, call);
        let Some(limits) = rolling(delegation) else { return Ok((disabled.await?, Vec::new())) };
        let call = IRollingSpendEnforcer::usedCall {
            manager: self.framework.manager,
            delegationHash: hash,
            terms: marque_contracts::delegation::Terms::encode(&limits),
        };
        let used = rpc.view("used", self.framework.rolling_spend, call);
        let (disabled, used) = tokio::try_join!(disabled, used)?;
        let path = if delegation.delegate == self.agent { "limits" } else { "owner.limits" };
        let windows = limits.limits().iter().zip(used).map(|(limit, used)| Used {
            rule: format!("{path}.{}", called(limit.window)),
            used: Money::new(used, asset),
            limit: Money::new(limit.most, asset),
        });
        Ok((disabled, windows.collect()))
    }
}

/// What an account holds of an asset.
async fn held(rpc: &Rpc, asset: AssetId, account: Address) -> Result<U256, IdentityError> {
    match asset.is_native() {
        true => rpc.balance(account).await,
        false => rpc.erc20_balance(asset.token, account).await,
    }
}
