//! What has to stand on chain before a permit can be drawn on: the payer's approval of Permit2.
//!
//! It is proposed once for each token and amount, under a task of its own name, so that every errand
//! that needs it finds the same one, and it waits until the chain has it. The amount is the most that
//! the policy ever lets go: what permits draw is counted by the permits, so a smaller approval would
//! protect nothing and break the permits that are out.

use super::{Buyer, Errand};
use crate::PaymentError;
use marque_policies::{Intent, Labels, Money};
use marque_steward_client::{Outcome, PaymentState, View};
use std::time::{Duration, Instant};

/// So long a block with the approval is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

impl Buyer {
    /// Sees to it that Permit2 may move `payment`.
    ///
    /// # Errors
    /// [`PaymentError::Held`] and [`PaymentError::Refused`] where the steward does not approve,
    /// [`PaymentError::Approval`] where the chain did not take it.
    pub(super) async fn approve_permit2(
        &self,
        payment: Money,
        view: &View,
    ) -> Result<(), PaymentError> {
        let amount = approved(payment, view);
        let asset = amount.asset;
        let errand = Errand {
            task: format!("approve-permit2/{}/{}/{}", asset.chain, asset.token, amount.units),
            step: 0,
            ordinal: 0,
            attempt: 0,
            max: None,
            labels: Labels::default(),
        };
        let intent = Intent::ApprovePermit2 { amount };
        let id = match self.propose(&errand, intent, view).await? {
            Outcome::Held { id, table } => return Err(PaymentError::Held { id, table }),
            Outcome::Refused { id, table } => return Err(PaymentError::Refused { id, table }),
            Outcome::Allowed { id, .. } => id,
        };
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let state = self.steward.wait(id, left.min(Duration::from_secs(5))).await?.state;
            match state {
                PaymentState::Seen | PaymentState::Final => return Ok(()),
                PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent
                    if !left.is_zero() =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => return Err(PaymentError::Approval { id, state }),
            }
        }
    }
}

/// How much is approved: the total that the policy lets go of the asset, or where it names none its
/// widest window, and never less than the payment.
fn approved(payment: Money, view: &View) -> Money {
    let of_asset = || view.budgets.iter().filter(|budget| budget.limit.asset == payment.asset);
    let total = of_asset().filter(|budget| budget.rule.ends_with(".total"));
    let units = total.map(|budget| budget.limit.units).min();
    let units = units.or_else(|| of_asset().map(|budget| budget.limit.units).max());
    Money::new(units.unwrap_or_default().max(payment.units), payment.asset)
}
