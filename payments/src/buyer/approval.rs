//! What has to stand on chain before a permit can be drawn on: the payer's approval of Permit2.
//!
//! The steward refuses a permit that the approval does not cover. Then, and only then, an approval is
//! proposed, under a task of its own name, and waited for until the chain has it. It is for the most
//! that the policy ever lets go, or for what the agent holds where that is less: what permits draw is
//! counted by the permits, so a smaller approval would protect nothing.

use super::{Buyer, Errand};
use crate::PaymentError;
use marque_policies::{Intent, Labels, Mark, Money, Row, money::parse_units};
use marque_steward_client::{Outcome, PaymentState, View};
use std::time::{Duration, Instant};

/// So often an approval of the same amount is renewed.
const RENEWALS: u32 = 64;

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
        let mut outcome = self.propose_approval(approved(payment, view), view).await?;
        if let Some(held) = balance(&outcome, payment, view) {
            outcome = self.propose_approval(held, view).await?;
        }
        let id = match outcome {
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

    /// Proposes an approval of `amount`, under the same name each time, so that one that waits for
    /// the owner is found again. One that is final already is used up, or the permit would not lack
    /// it: then it is the next one's turn.
    async fn propose_approval(&self, amount: Money, view: &View) -> Result<Outcome, PaymentError> {
        let mut errand = Errand {
            task: format!("approve-permit2/{}/{}", amount.asset, amount.units),
            step: 0,
            ordinal: 0,
            attempt: 0,
            max: None,
            labels: Labels::default(),
        };
        loop {
            let outcome = self.propose(&errand, Intent::ApprovePermit2 { amount }, view).await?;
            let Outcome::Allowed { id, .. } = &outcome else { return Ok(outcome) };
            let state = self.steward.wait(*id, Duration::ZERO).await?.state;
            if state != PaymentState::Final || errand.step >= RENEWALS {
                return Ok(outcome);
            }
            errand.step = errand.step.saturating_add(1);
        }
    }
}

/// Whether the one thing that a permit lacks is the approval.
pub(super) fn is_wanted(outcome: &Outcome) -> bool {
    let Outcome::Refused { table, .. } = outcome else { return false };
    only_failed(table).is_some_and(|row| row.rule == "permit2.allowance")
}

/// The one rule that failed, if it is one.
fn only_failed(table: &[Row]) -> Option<&Row> {
    let mut failed = table.iter().filter(|row| row.mark == Mark::Fail);
    let first = failed.next();
    if failed.next().is_some() { None } else { first }
}

/// What the agent holds, if an approval was refused because that is less, and it is enough for the
/// payment.
fn balance(outcome: &Outcome, payment: Money, view: &View) -> Option<Money> {
    let Outcome::Refused { table, .. } = outcome else { return None };
    let row = only_failed(table).filter(|row| row.rule == "permit2.balance")?;
    let asset = view.assets.iter().find(|asset| asset.id == payment.asset)?;
    let number = row.measured.split(' ').next()?;
    let units = parse_units(number, asset.decimals).ok()?;
    (units >= payment.units).then(|| Money::new(units, payment.asset))
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
