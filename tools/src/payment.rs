//! `pay`: money to somebody whom the policy names.
//!
//! A model's transfer always waits for the owner: nothing but the model says that it should be made.
//! What is bought from a payee's own host (`fetch`, `hire`) is paid within the limits alone.

use marque_agent_core::{Cx, ToolError};
use marque_macros::tool;
use marque_steward_client::PaymentState;
use serde::Serialize;

/// The longest reason, in characters.
const REASON: usize = 200;

/// What [`pay`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentMade {
    /// How much.
    pub paid: String,
    /// The payee's name in the policy.
    pub to: String,
    /// How far it is: `sent`, or `done` once a block has it.
    pub state: &'static str,
    /// The transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
}

/// Sends an amount to a payee of the policy, once the owner has approved it. The reason stays with the
/// task and is shown with its story; an approval is asked for by the decoded transfer alone.
///
/// # Errors
/// As for [`Cx::amount`] and [`Cx::pay`].
#[tool(crate = marque_agent_core, description = "send money to a payee of the policy")]
pub async fn pay(
    cx: &Cx,
    /// its name in the policy
    payee: String,
    /// such as "0.05 USDC"
    amount: String,
    /// why, in a few words
    reason: Option<String>,
) -> Result<PaymentMade, ToolError> {
    if reason.is_some_and(|reason| reason.chars().count() > REASON) {
        let why = format!("the reason is longer than {REASON} characters");
        return Err(ToolError::Arguments(why));
    }
    let money = cx.amount(&amount).await?;
    let sent = cx.pay(&payee, money).await?;
    Ok(PaymentMade {
        paid: amount,
        to: sent.payee,
        state: match sent.state {
            PaymentState::Seen | PaymentState::Final => "done",
            _ => "sent",
        },
        transaction: sent.transaction.map(|hash| hash.to_string()),
    })
}
