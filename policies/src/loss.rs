//! What an owner can lose at most: what the limits let go in a span of time, whoever controls the
//! agent's mind, its sub-agents and their sockets.
//!
//! Only limits on sums count, for a captured mind splits payments and mints tasks and peers at will.
//! An interval of length T that is open on one side is covered by ⌈T / W⌉ windows of width W, and
//! each of them holds at most its limit; so the least of `limit · ⌈T / W⌉` over all windows, and of
//! `total`, bounds what is signed in T (pinned by `steward/tests/laws.rs`,
//! `a_robber_with_the_whole_mind_never_takes_more_than_the_stated_bound`). What goes to the owner is
//! no loss, and what was signed before the span began is not in it.

use crate::{
    document::{Limits, Policy},
    money::{AssetId, Money},
};
use alloy_primitives::U256;

/// The most that may be lost of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// At most this.
    AtMost(Money),
    /// No limit on a sum binds this asset.
    Unbounded(AssetId),
}

/// The most that may be signed away in any `over` milliseconds, by asset, payments and fees
/// together. An asset that may not be spent is not in it.
#[must_use]
pub fn most_lost(policy: &Policy, over: u64) -> Vec<Loss> {
    let mut losses = Vec::new();
    for asset in policy.assets.values() {
        let id = asset.id;
        let fees = policy.gas.get(&id);
        let paid = policy.limits.get(&id).filter(|_| is_paid(policy, id));
        // A coin has one of the two.
        let Some(own) = fees.or(paid) else { continue };
        let all = match fees {
            Some(_) => policy.owner_gas.get(&id).or_else(|| policy.owner_limits.get(&id)),
            None => policy.owner_limits.get(&id),
        };
        let most = [Some(own), all].into_iter().flatten().filter_map(|it| at_most(it, over)).min();
        losses.push(match most {
            Some(units) => Loss::AtMost(Money::new(units, id)),
            None => Loss::Unbounded(id),
        });
    }
    losses
}

/// Whether anybody may be paid in an asset. A coin's own section is for fees as well.
fn is_paid(policy: &Policy, asset: AssetId) -> bool {
    asset.is_native() || !policy.payees.is_empty() || policy.pools.contains_key(&asset)
}

/// What one section of limits lets go in `over` milliseconds; `None` where no sum is limited.
fn at_most(limits: &Limits, over: u64) -> Option<U256> {
    let windows = limits.windows().map(|(_, width, limit)| {
        let times = width.map_or(1, |width| over.div_ceil(width));
        limit.saturating_mul(U256::from(times))
    });
    windows.min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{DAY, DAYS30, HOUR};

    fn limits(hour: u64, days30: u64) -> Limits {
        let some = |units| Some(U256::from(units)).filter(|units: &U256| *units > U256::ZERO);
        Limits { hour: some(hour), days30: some(days30), ..Limits::default() }
    }

    #[test]
    fn the_window_that_binds_most_over_the_span_is_the_bound() {
        let most = |limits: Limits, over| at_most(&limits, over).map(|units| units.to::<u64>());
        assert_eq!(most(limits(3, 100), DAYS30), Some(100));
        assert_eq!(most(limits(3, 100), DAY), Some(72));
        assert_eq!(most(limits(3, 0), HOUR + 1), Some(6), "an hour and a moment touch two windows");
        assert_eq!(most(Limits { total: Some(U256::from(7)), ..limits(3, 0) }, DAY), Some(7));
        assert_eq!(most(Limits { payment: Some(U256::from(7)), ..limits(0, 0) }, DAY), None);
        assert!(at_most(&limits(u64::MAX, 0), u64::MAX).is_some(), "large is no overflow");
    }
}
