//! Limits on amounts: one payment, sums over rolling windows, and when the owner is asked.
//!
//! A window of width W at time `now` holds what was debited after `now - W`. What is proposed is
//! added to it; a sum that does not fit into 256 bits fails.

use super::Judge;
use crate::{
    document::{DAY, DAYS30, HOUR, Limits},
    ledger::{Ledger, Scope, Timestamp},
    money::{AssetId, Money},
};
use alloy_primitives::{Address, U256};

/// Which debits a limit counts.
pub(crate) enum Debits<'a> {
    /// Those of one scope.
    Of(Scope<'a>),
    /// What the agent paid to these addresses, each named once.
    To(Vec<Address>),
}

impl Judge<'_> {
    /// One section of limits, in `asset`: `payment` and `ask_above` judge the payment, the windows
    /// judge all that is debited: the payment and its `fees`, where these are in the same asset.
    /// Paid in another asset, what limits fails and what asks stays silent.
    pub(super) fn limits(
        &mut self,
        path: &str,
        (limits, asset): (&Limits, AssetId),
        debits: &Debits<'_>,
        payment: Money,
        fees: U256,
    ) {
        if let Some(limit) = limits.payment {
            self.at_most(format!("{path}.payment"), payment, Money::new(limit, asset));
        }
        for (name, width, limit) in limits.windows() {
            let limit = Money::new(limit, asset);
            self.window(format!("{path}.{name}"), debits, width, (payment, fees), limit);
        }
        if let Some(limit) = limits.ask_above {
            let above = payment.asset == asset && payment.units > limit;
            let measured = self.policy.show(payment);
            let limit = self.policy.show(Money::new(limit, asset));
            self.ask(format!("{path}.ask_above"), above, measured, limit);
        }
    }

    /// The owner is asked once one address got this much in a day, this payment included.
    pub(super) fn ask_above_day(&mut self, path: &str, limit: Money, to: Address, payment: Money) {
        let (above, measured) = if payment.asset == limit.asset {
            let spent = self.spent(&Debits::Of(Scope::Payee(to)), limit.asset, Some(DAY));
            let above = spent.checked_add(payment.units).is_none_or(|sum| sum > limit.units);
            (above, self.sum("24 h to this payee", spent, (payment, U256::ZERO)))
        } else {
            (false, self.policy.show(payment))
        };
        let limit = self.policy.show(limit);
        self.ask(format!("{path}.ask_above_day"), above, measured, limit);
    }

    /// `amount` alone against `limit`; another asset than the limit's fails.
    pub(super) fn at_most(&mut self, rule: String, amount: Money, limit: Money) {
        let fits = amount.asset == limit.asset && amount.units <= limit.units;
        let (measured, shown) = (self.policy.show(amount), self.policy.show(limit));
        let policy = self.policy;
        self.check(rule, fits, measured, shown, || format!("at most {} fits", policy.show(limit)));
    }

    /// What was debited in the window, the payment and its fees against `limit`; another asset
    /// than the limit's fails.
    pub(super) fn window(
        &mut self,
        rule: String,
        debits: &Debits<'_>,
        width: Option<u64>,
        (pay, fees): (Money, U256),
        limit: Money,
    ) {
        let policy = self.policy;
        let shown = policy.show(limit);
        if pay.asset != limit.asset {
            let mend = format!("the limit is in {}; pay in it", self.asset_name(limit.asset));
            self.check(rule, false, policy.show(pay), shown, || mend);
            return;
        }
        let spent = self.spent(debits, pay.asset, width);
        let sum = spent.checked_add(pay.units).and_then(|sum| sum.checked_add(fees));
        let fits = sum.is_some_and(|sum| sum <= limit.units);
        let measured = self.sum(window_name(width), spent, (pay, fees));
        self.check(rule, fits, measured, shown, || {
            let left = policy.show(Money::new(limit.units.saturating_sub(spent), limit.asset));
            match width {
                Some(_) => format!("{left} fits now, more as earlier payments leave the window"),
                None => format!("{left} fits; a new policy can raise the limit"),
            }
        });
    }

    fn spent(&self, debits: &Debits<'_>, asset: AssetId, width: Option<u64>) -> U256 {
        debits.sum(self.ledger, asset, since(self.now, width))
    }

    fn sum(&self, window: &str, spent: U256, (pay, fees): (Money, U256)) -> String {
        let show = |units| self.policy.show(Money::new(units, pay.asset));
        let mut text = show(spent);
        for part in [" in ", window, " + ", &show(pay.units)] {
            text.push_str(part);
        }
        if fees > U256::ZERO {
            text.push_str(&format!(" + {} fees", show(fees)));
        }
        text
    }
}

impl Debits<'_> {
    /// Base units of `asset` debited after `since`.
    pub(crate) fn sum(&self, ledger: &dyn Ledger, asset: AssetId, since: Timestamp) -> U256 {
        match self {
            Self::Of(scope) => ledger.spent(scope.clone(), asset, since),
            Self::To(addresses) => addresses
                .iter()
                .map(|address| ledger.spent(Scope::Payee(*address), asset, since))
                .fold(U256::ZERO, U256::saturating_add),
        }
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
