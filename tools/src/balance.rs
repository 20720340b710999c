//! `get_balance`: what may still be spent.

use crate::compute::purse;
use alloy_primitives::U256;
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use marque_policies::{Money, money::format_units};
use marque_steward_client::View;
use serde::Serialize;

/// What [`get_balance`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Whole units and what is behind the point, without the asset's name.
    pub balance: String,
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
    let text = format_units(left.units, asset.decimals);
    let balance = text.strip_suffix(".00").unwrap_or(&text).to_owned();
    Ok(Balance { balance })
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
