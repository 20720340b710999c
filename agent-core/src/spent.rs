//! What an agent has spent, window by window, as its steward counts it.

use marque_policies::{Money, money::format_units};
use marque_steward_client::View;
use std::fmt;

/// One window of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The rule: `limits.USDC.day`.
    pub rule: String,
    /// The asset's name in the policy.
    pub asset: String,
    /// Digits of the asset after the point.
    pub decimals: u8,
    /// Spent in the window.
    pub spent: Money,
    /// The limit.
    pub limit: Money,
}

impl Spent {
    /// Every window of a view, in the steward's order.
    pub(crate) fn all(view: &View) -> Vec<Self> {
        let budgets = view.budgets.iter().map(|budget| {
            let asset = view.assets.iter().find(|asset| asset.id == budget.limit.asset);
            let (name, decimals) = match asset {
                Some(asset) => (asset.name.clone(), asset.decimals),
                None => (budget.limit.asset.to_string(), 0),
            };
            Self {
                rule: budget.rule.clone(),
                asset: name,
                decimals,
                spent: budget.spent,
                limit: budget.limit,
            }
        });
        budgets.collect()
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} {} ({})",
            format_units(self.spent.units, self.decimals),
            format_units(self.limit.units, self.decimals),
            self.asset,
            self.rule
        )
    }
}
