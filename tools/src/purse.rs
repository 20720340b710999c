//! `balance`: what may still be spent, of each asset. `get_balance` is the same for the built-in model,
//! which knows one token.

use crate::compute::purse;
use alloy_primitives::U256;
use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use marque_policies::{Money, money::format_units};
use marque_steward_client::AssetView;
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
    let left = |asset: &AssetView| {
        let left = view.left(asset.id)?;
        Some(format!("{} {}", short(left, asset.decimals), asset.name))
    };
    let amounts: Vec<String> = view.assets.iter().filter_map(left).collect();
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
    // What nothing limits is what nothing permits.
    let left = view.left(asset.id).unwrap_or(Money::new(U256::ZERO, asset.id));
    Ok(Balance { balance: short(left, asset.decimals) })
}

/// Whole units without a point where there is nothing behind it.
fn short(money: Money, decimals: u8) -> String {
    let text = format_units(money.units, decimals);
    text.strip_suffix(".00").unwrap_or(&text).to_owned()
}
