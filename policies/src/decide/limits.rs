//! Limits on amounts: one payment, sums over rolling windows, and when the owner is asked.
//!
//! A window of width W at time `now` holds what was debited after `now - W`. What is proposed is
//! added to it; a sum that does not fit into 256 bits fails.

use super::Judge;
use crate::{
    document::{DAY, DAYS30, HOUR, Limits},
    ledger::Scope,
    money::{AssetId, Money},
};
use alloy_primitives::{Address, U256};

impl Judge<'_> {
    /// One section of limits: `payment` and `ask_above` judge the payment, the windows judge all
    /// that is debited: the payment and its `fees`, where these are in the same asset.
    pub(super) fn limits(
        &mut self,
        path: &str,
        limits: &Limits,
        scope: Scope<'_>,
        payment: Money,
        fees: U256,
    ) {
        let asset = payment.asset;
        if let Some(limit) = limits.payment {
            self.at_most(format!("{path}.payment"), payment, Money::new(limit, asset));
        }
        for (name, width, limit) in limits.windows() {
            let rule = format!("{path}.{name}");
            self.window(rule, scope.clone(), width, (payment, fees), Money::new(limit, asset));
        }
        if let Some(limit) = limits.ask_above {
            let shown = self.policy.show(Money::new(limit, asset));
            let measured = self.policy.show(payment);
            self.ask(format!("{path}.ask_above"), payment.units > limit, measured, shown);
        }
    }

    /// The owner is asked once a payee got this much in a day, this payment included.
    pub(super) fn ask_above_day(&mut self, path: &str, limit: U256, payee: Address, pay: Money) {
        let spent = self.spent(Scope::Payee(payee), pay.asset, Some(DAY));
        let above = spent.checked_add(pay.units).is_none_or(|sum| sum > limit);
        let measured = self.sum("24 h to this payee", spent, (pay, U256::ZERO));
        let limit = self.policy.show(Money::new(limit, pay.asset));
        self.ask(format!("{path}.ask_above_day"), above, measured, limit);
    }

    /// `amount` alone against `limit`; another asset than the limit's fails.
    pub(super) fn at_most(&mut self, rule: String, amount: Money, limit: Money) {
        let fits = amount.asset == limit.asset && amount.units <= limit.units;
        let (measured, shown) = (self.policy.show(amount), self.policy.show(limit));
        let mend = format!("at most {shown} fits");
        self.check(rule, fits, measured, shown, || mend);
    }

    /// What `scope` was debited in the window, the payment and its fees against `limit`; another
    /// asset than the limit's fails.
    pub(super) fn window(
        &mut self,
        rule: String,
        scope: Scope<'_>,
        width: Option<u64>,
        (pay, fees): (Money, U256),
        limit: Money,
    ) {
        let shown = self.policy.show(limit);
        if pay.asset != limit.asset {
            let measured = self.policy.show(pay);
            let mend = format!("the limit is in {}; pay in it", self.asset_name(limit.asset));
            self.check(rule, false, measured, shown, || mend);
            return;
        }
        let spent = self.spent(scope, pay.asset, width);
        let sum = spent.checked_add(pay.units).and_then(|sum| sum.checked_add(fees));
        let fits = sum.is_some_and(|sum| sum <= limit.units);
        let measured = self.sum(window_name(width), spent, (pay, fees));
        let left = self.policy.show(Money::new(limit.units.saturating_sub(spent), limit.asset));
        self.check(rule, fits, measured, shown, || match width {
            Some(_) => format!("{left} fits now, more as earlier payments leave the window"),
            None => format!("{left} fits; a new policy can raise the limit"),
        });
    }

    fn spent(&self, scope: Scope<'_>, asset: AssetId, width: Option<u64>) -> U256 {
        self.ledger.spent(scope, asset, since(self.now, width))
    }

    fn sum(&self, window: &str, spent: U256, (pay, fees): (Money, U256)) -> String {
        let show = |units| self.policy.show(Money::new(units, pay.asset));
        let mut text = format!("{} in {window} + {}", show(spent), show(pay.units));
        if fees > U256::ZERO {
            text.push_str(&format!(" + {} fees", show(fees)));
        }
        text
    }
}

/// When a window of this width begins; a window without a width has no beginning.
pub(crate) fn since(now: u64, width: Option<u64>) -> u64 {
    width.map_or(0, |width| now.saturating_sub(width))
}

/// How a window is called aloud.
const fn window_name(width: Option<u64>) -> &'static str {
    match width {
        Some(HOUR) => "1 h",
        Some(DAY) => "24 h",
        Some(DAYS30) => "30 days",
        Some(_) => "the window",
        None => "all time",
    }
}
