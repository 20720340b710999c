//! What an agent has spent, window by window, as its steward counts it, and what one task has cost.

use alloy_primitives::U256;
use marque_policies::{AssetId, Money, money::format_units};
use marque_steward_client::View;
use std::{collections::BTreeMap, fmt};

/// Every window of every limit; of an account below an agent those that are its own. Shown as what
/// was spent in the longest of them, asset by asset: `0.02 tUSD`.
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
        // An account below is shown the windows of the agent above as well: it has to fit into both.
        let own = view.sub_agent.as_ref().map(|name| format!("sub_agent.{name}."));
        let own = |rule: &str| own.as_ref().is_none_or(|own| rule.starts_with(own));
        let budgets = view.budgets.iter().filter(|budget| own(&budget.rule)).map(|budget| {
            let (name, decimals) = named(view, budget.limit.asset);
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

/// An asset's name in the policy and its digits after the point.
fn named(view: &View, asset: AssetId) -> (String, u8) {
    let known = view.assets.iter().find(|known| known.id == asset);
    known.map_or_else(|| (asset.to_string(), 0), |known| (known.name.clone(), known.decimals))
}

/// What a task has cost so far, asset by asset: `0.02 tUSD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost(pub Vec<Part>);

/// What it has cost of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The asset's name in the policy.
    pub asset: String,
    /// Digits of the asset after the point.
    pub decimals: u8,
    /// How much.
    pub money: Money,
}

impl Cost {
    pub(crate) fn of(view: &View, spent: BTreeMap<AssetId, U256>) -> Self {
        let spent = spent.into_iter().filter(|(_, units)| !units.is_zero());
        let parts = spent.map(|(id, units)| {
            let (asset, decimals) = named(view, id);
            Part { asset, decimals, money: Money::new(units, id) }
        });
        Self(parts.collect())
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (place, Part { asset, decimals, money }) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} {asset}", format_units(money.units, *decimals))?;
        }
        Ok(())
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
    use alloy_primitives::Address;

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

    #[test]
    fn an_account_below_is_shown_what_it_has_spent_and_not_the_agent_above() {
        let money = |units: u64| {
            serde_json::json!({
                "units": units.to_string(), "asset": AssetId { chain: 1, token: Address::ZERO }
            })
        };
        let budget = |rule: &str, spent| serde_json::json!({ "rule": rule, "spent": money(spent), "limit": money(100) });
        let mut view: View = serde_json::from_value(serde_json::json!({
            "agent": "scout", "address": Address::ZERO, "owner": Address::ZERO,
            "origin": alloy_primitives::B256::ZERO, "policy_version": 1,
            "policy_hash": alloy_primitives::B256::ZERO, "now": 0, "frozen_at": null,
            "tools": [], "payees": [], "income": [], "intents": [], "assets": [],
            "budgets": [budget("limits.x.day", 60), budget("sub_agent.clerk.limits.x.day", 20)],
        }))
        .unwrap();
        assert_eq!(Spending::of(&view).0.len(), 2, "the agent is shown all of them");
        view.sub_agent = Some("clerk".to_owned());
        let own = Spending::of(&view);
        let rules: Vec<_> = own.0.iter().map(|window| window.rule.as_str()).collect();
        assert_eq!(rules, ["sub_agent.clerk.limits.x.day"]);
        assert!(own.to_string().starts_with("20 "), "{own}");
    }
}
