//! From a policy to delegations: a pure function.
//!
//! INVARIANT: for equal policies and grounds the delegations are the same to the byte, so what was
//! signed is compared with what would be signed now (pinned by
//! `a_policy_is_compiled_to_the_same_delegations_every_time`). No delegation is made for an asset whose
//! sums nothing limits (pinned by `what_no_window_limits_is_not_delegated`).

use alloy_primitives::{Address, U256};
use marque_contracts::{
    IERC20,
    delegation::{
        AllowedMethods, AllowedTargets, Caveat, Delegation, DelegationError, Erc20Period,
        Erc20Total, Framework, Limit, MAX_PAYEES, NativePeriod, Nonce, Redeemers, RollingSpend,
        RollingSpendBuilder, Terms as _, Timestamp,
    },
};
use marque_policies::{
    AssetId, Policy,
    document::{Limits, Payee},
};
use std::collections::BTreeSet;

/// The midnight from which the periods of the shipped enforcers are counted. It is the same in every
/// delegation, since a delegation with another start is another one, with a history of its own.
const START: u64 = 86_400;

/// What delegations are made of beside the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The contracts, and their chain.
    pub framework: Framework,
    /// The owner's account.
    pub account: Address,
    /// The agent's key.
    pub agent: Address,
    /// The account's nonce: raising it ends all that name it.
    pub nonce: U256,
    /// When it ends where the policy does not say, in Unix seconds.
    pub until: u64,
    /// Tells what is delegated from what was before: a delegation that was revoked stays so.
    pub salt: U256,
}

/// The way of one asset from the account to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The asset.
    pub asset: AssetId,
    /// From the account to the owner's own key, where all agents together have limits.
    pub link: Option<Delegation>,
    /// To the agent, from the account or below the link.
    pub leaf: Delegation,
}

impl Grant {
    /// The delegations, the agent's first.
    pub fn delegations(&self) -> impl Iterator<Item = &Delegation> {
        std::iter::once(&self.leaf).chain(&self.link)
    }
}

/// The delegations by which an agent with this policy draws on the account: one for each asset of the
/// framework's chain that it may spend and whose sums are limited.
///
/// # Errors
/// [`DelegationError`] for what no caveat can say, such as the zero address as a payee.
pub fn compile(policy: &Policy, ground: &Ground) -> Result<Vec<Grant>, DelegationError> {
    let chain = ground.framework.chain;
    drawn(policy)
        .filter(|(asset, _)| asset.chain == chain)
        .map(|(asset, limits)| grant(policy, ground, asset, limits))
        .collect()
}

/// The assets that the agent may draw on the account, with its limits. One that nobody may be paid
/// in, of which nothing may be spent, or whose sums are not limited is none of them.
pub fn drawn(policy: &Policy) -> impl Iterator<Item = (AssetId, &Limits)> {
    let paid = |asset: &AssetId| {
        asset.is_native() || !policy.payees.is_empty() || policy.pools.contains_key(asset)
    };
    let nothing = |limits: &Limits| {
        let single = limits.payment.is_some_and(|most| most.is_zero());
        single || limits.windows().any(|(_, _, most)| most.is_zero())
    };
    policy
        .limits
        .iter()
        .filter(move |(asset, limits)| {
            let all = policy.owner_limits.get(asset);
            limits.windows().next().is_some()
                && paid(asset)
                && !nothing(limits)
                && !all.is_some_and(nothing)
        })
        .map(|(asset, limits)| (*asset, limits))
}

/// When what is delegated ends, in Unix seconds: as the policy says, else at `until`.
#[must_use]
pub fn end(policy: &Policy, until: u64) -> u64 {
    policy.expires.map_or(until, |expires| expires / 1_000)
}

/// Whom the account pays: the agent's key, which pays from its float, and, of an asset that the
/// policy keeps no float of, every payee that it knows by address and pays in this asset. More than a
/// caveat holds are left to the float.
pub(super) fn recipients(policy: &Policy, asset: AssetId, agent: Address) -> BTreeSet<Address> {
    if policy.floats.contains_key(&asset) {
        return BTreeSet::from([agent]);
    }
    let payees = policy.payees.values().filter(|payee| is_paid_in(payee, asset));
    let mut named: BTreeSet<Address> = payees.filter_map(|payee| payee.address).collect();
    named.insert(agent);
    if named.len() > MAX_PAYEES { BTreeSet::from([agent]) } else { named }
}

/// Whether a payee may be paid in this asset: one with limits is paid in theirs only.
pub(super) fn is_paid_in(payee: &Payee, asset: AssetId) -> bool {
    payee.bound.is_none_or(|bound| bound.asset == asset)
}

fn grant(
    policy: &Policy,
    ground: &Ground,
    asset: AssetId,
    limits: &Limits,
) -> Result<Grant, DelegationError> {
    let Ground { framework, account, agent, nonce, until, salt } = ground;
    let nonce = Nonce(*nonce).caveat(framework);
    // No moment and no salt in it: it is the same one for every agent, and each time.
    let link = match policy.owner_limits.get(&asset).filter(|all| bounds_anything(all)) {
        Some(all) => {
            let root = Delegation::root(*account, policy.owner)
                .with(rolling(asset, all).build()?.caveat(framework));
            let root = audited(framework, asset, all)?.into_iter().fold(root, Delegation::with);
            Some(root.with(nonce.clone()))
        }
        None => None,
    };
    let recipients = recipients(policy, asset, *agent);
    let leaf = match &link {
        Some(link) => Delegation::below(link, *agent),
        None => Delegation::root(*account, *agent).with(nonce),
    };
    let leaf = calls(framework, asset, &recipients)?.into_iter().fold(leaf, Delegation::with);
    // All payments are made from the float: what bounds a single one is the steward's to judge, and a
    // refill is as large as the float.
    let payment = match policy.floats.get(&asset) {
        Some(float) => Some(float.high),
        None => limits.payment,
    };
    let limits = &Limits { payment, ..*limits };
    let rolling = rolling(asset, limits).to_each(recipients).build()?;
    let leaf = leaf.with(rolling.caveat(framework));
    let leaf = audited(framework, asset, limits)?.into_iter().fold(leaf, Delegation::with);
    let leaf = leaf
        .with(Timestamp::until(end(policy, *until))?.caveat(framework))
        .with(Redeemers::new([*agent])?.caveat(framework))
        .salted(*salt);
    Ok(Grant { asset, link, leaf })
}

/// Whether limits have anything in them that a chain can judge.
pub(super) fn bounds_anything(limits: &Limits) -> bool {
    limits.payment.is_some() || limits.windows().next().is_some()
}

/// The limits as our enforcer has them, for nobody in particular yet.
fn rolling(asset: AssetId, limits: &Limits) -> RollingSpendBuilder {
    let empty = match asset.is_native() {
        true => RollingSpend::native(),
        false => RollingSpend::erc20(asset.token),
    };
    // More than there can be of anything is as good as the most that the enforcer counts.
    let most = |units: U256| units.min(Limit::MOST);
    let each = limits.payment.into_iter().map(|units| (0, units));
    let windows = limits.windows().map(|(_, width, units)| (seconds(width), units));
    let none = limits.windows().next().is_none().then_some((Limit::FOREVER, Limit::MOST));
    each.chain(windows)
        .chain(none)
        .fold(empty, |limits, (window, units)| limits.window(window, most(units)))
}

/// A window as the enforcer has it, from one in milliseconds.
const fn seconds(width: Option<u64>) -> u64 {
    match width {
        Some(millis) => millis / 1_000,
        None => Limit::FOREVER,
    }
}

/// The shipped enforcer that stands beside ours until ours is audited: the day's limit where there is
/// one, else another window's, else the total.
fn audited(
    framework: &Framework,
    asset: AssetId,
    limits: &Limits,
) -> Result<Option<Caveat>, DelegationError> {
    let period = |name: &str| {
        let found = limits.windows().find(|(window, width, _)| *window == name && width.is_some());
        found.map(|(_, width, most)| (most, seconds(width)))
    };
    let period = ["day", "hour", "days30"].into_iter().find_map(period);
    Ok(match (asset.is_native(), period, limits.total) {
        (false, Some((most, width)), _) => {
            Some(Erc20Period::new(asset.token, most, width, START)?.caveat(framework))
        }
        (true, Some((most, width)), _) => {
            Some(NativePeriod::new(most, width, START)?.caveat(framework))
        }
        (false, None, Some(total)) => Some(Erc20Total::new(asset.token, total)?.caveat(framework)),
        _ => None,
    })
}

/// Which calls, said once more to enforcers that were audited.
fn calls(
    framework: &Framework,
    asset: AssetId,
    recipients: &BTreeSet<Address>,
) -> Result<Vec<Caveat>, DelegationError> {
    if asset.is_native() {
        let targets = AllowedTargets::new(recipients.iter().copied())?;
        return Ok(vec![targets.caveat(framework)]);
    }
    Ok(vec![
        AllowedTargets::new([asset.token])?.caveat(framework),
        AllowedMethods::only::<IERC20::transferCall>().caveat(framework),
    ])
}
