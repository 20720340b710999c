//! `balance`: what may still be spent, of each asset. `get_balance` is the same for the built-in model,
//! which knows one token.

use crate::compute::purse;
use alloy_primitives::U256;
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use marque_policies::{Money, money::format_units};
use marque_steward_client::View;
use serde::Serialize;

/// What [`balance`] and [`get_balance`] answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// By [`balance`] an amount with its asset for each, such as `7 USDC, 0.02 ETH`; by [`get_balance`]
    /// the number alone.
    pub balance: String,
}

/// Says how much the agent may still spend of each asset that the policy limits: the least that any
/// limit leaves.
///
/// # Errors
/// [`ToolError::Payment`] where the steward does not answer.
#[tool(crate = marque_agent_core, description = "show how much may still be spent")]
pub async fn balance(cx: &Cx) -> Result<Balance, ToolError> {
    let view = cx.view().await?;
    let limited = view
        .assets
        .iter()
        .filter(|asset| view.budgets.iter().any(|budget| budget.limit.asset == asset.id));
    let amounts: Vec<String> = limited
        .map(|asset| {
            let left = left(&view, Money::new(U256::MAX, asset.id));
            format!("{} {}", short(left, asset.decimals), asset.name)
        })
        .collect();
    Ok(match amounts.is_empty() {
        true => Balance { balance: "nothing may be spent".to_owned() },
        false => Balance { balance: amounts.join(", ") },
    })
}

/// Says how much of the agent's token it may still spend: the least that any limit leaves.
///
/// # Errors
/// [`ToolError::Payment`] where the steward does not answer, [`ToolError::Arguments`] where the
/// policy names no token or several.
#[tool(crate = marque_agent_core, description = "show wallet balance")]
pub async fn get_balance(cx: &Cx) -> Result<Balance, ToolError> {
    let view = cx.view().await?;
    let asset = purse(&view)?;
    let left = left(&view, Money::new(U256::MAX, asset.id));
    Ok(Balance { balance: short(left, asset.decimals) })
}

/// Whole units without a point where there is nothing behind it.
fn short(money: Money, decimals: u8) -> String {
    let text = format_units(money.units, decimals);
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}

/// The least of `most` and what each window of the same asset leaves.
fn left(view: &View, most: Money) -> Money {
    let windows = view.budgets.iter().filter(|budget| budget.limit.asset == most.asset);
    let least = windows
        .map(|budget| budget.limit.units.saturating_sub(budget.spent.units))
        .min()
        // Without a limit on this asset nothing may be spent: unknown means no.
        .unwrap_or_default();
    Money::new(least.min(most.units), most.asset)
}
