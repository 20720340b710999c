//! What an agent has spent, window by window, as its steward counts it.

use marque_policies::{Money, money::format_units};
use marque_steward_client::View;
use std::{collections::BTreeMap, fmt};

/// Every window of every limit. Shown as what was spent in the longest of them, asset by asset:
/// `0.02 tUSD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending(pub Vec<Spent>);

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

impl Spending {
    /// Every window of a view, in the steward's order.
    pub(crate) fn of(view: &View) -> Self {
        let budgets = view.budgets.iter().map(|budget| {
            let asset = view.assets.iter().find(|asset| asset.id == budget.limit.asset);
            let (name, decimals) = match asset {
                Some(asset) => (asset.name.clone(), asset.decimals),
                None => (budget.limit.asset.to_string(), 0),
            };
            Spent {
                rule: budget.rule.clone(),
                asset: name,
                decimals,
                spent: budget.spent,
                limit: budget.limit,
            }
        });
        Self(budgets.collect())
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

impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut most = BTreeMap::<&str, &Spent>::new();
        for window in self.0.iter().filter(|window| !window.spent.units.is_zero()) {
            let known = most.entry(&window.asset).or_insert(window);
            if known.spent.units < window.spent.units {
                *known = window;
            }
        }
        if most.is_empty() {
            return f.write_str("nothing");
        }
        for (place, (asset, window)) in most.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {asset}", format_units(window.spent.units, window.decimals))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use marque_policies::AssetId;

    fn window(asset: &str, spent: u64) -> Spent {
        let id = AssetId { chain: 1, token: Address::ZERO };
        let money = |units| Money::new(U256::from(units), id);
        let (spent, limit) = (money(spent), money(9_000_000));
        Spent {
            rule: "limits.x.day".to_owned(),
            asset: asset.to_owned(),
            decimals: 6,
            spent,
            limit,
        }
    }

    #[test]
    fn spending_is_shown_by_its_longest_window() {
        let all = Spending(vec![window("tUSD", 20_000), window("tUSD", 50_000), window("ETH", 0)]);
        assert_eq!(all.to_string(), "0.05 tUSD");
        assert_eq!(Spending::default().to_string(), "nothing");
    }
}
