//! What a metered request used, said by its handler.
//!
//! The buyer signs for the price as a maximum. The handler is given a [`Meter`] and says on it what was
//! used, or puts a [`Charge`] on its response. Without a word the maximum is charged, as the buyer
//! agreed; more than the maximum never is.

use alloy_primitives::U256;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use marque_policies::Money;
use std::sync::{Arc, Mutex, PoisonError};

/// A response extension: what is charged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge(pub Money);

/// A handler's say in what is charged. An extractor, and a request extension.
#[derive(Clone, Debug)]
pub struct Meter {
    max: Money,
    used: Arc<Mutex<Option<U256>>>,
}

/// More than the buyer has signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{charge} is more than, or other than, the {max} that the buyer has signed for")]
pub struct Overcharge {
    /// What was to be charged, in base units.
    pub charge: U256,
    /// The maximum, in base units.
    pub max: U256,
}

impl Meter {
    pub(super) fn new(max: Money) -> Self {
        Self { max, used: Arc::default() }
    }

    /// The most that can be charged: the price that was asked.
    #[must_use]
    pub const fn max(&self) -> Money {
        self.max
    }

    /// Charges this instead of the maximum; nothing is a charge as well.
    ///
    /// # Errors
    /// [`Overcharge`] above the maximum or in another asset; what was said before stands.
    pub fn charge(&self, amount: Money) -> Result<(), Overcharge> {
        if amount.asset != self.max.asset || amount.units > self.max.units {
            return Err(Overcharge { charge: amount.units, max: self.max.units });
        }
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(amount.units);
        Ok(())
    }

    /// What is charged in the end.
    pub(super) fn total(&self, said: Option<Charge>) -> U256 {
        if let Some(Charge(amount)) = said
            && let Err(error) = self.charge(amount)
        {
            tracing::error!(%error, "the maximum is charged instead");
            return self.max.units;
        }
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.unwrap_or(self.max.units)
    }
}

impl<S: Sync> FromRequestParts<S> for Meter {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let none =
            (StatusCode::INTERNAL_SERVER_ERROR, "there is no metered price before this route");
        parts.extensions.get::<Self>().cloned().ok_or(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::AssetId;

    fn money(units: u64) -> Money {
        Money::new(U256::from(units), AssetId::native(1))
    }

    #[test]
    fn no_more_is_charged_than_was_signed_for() {
        let meter = Meter::new(money(50));
        assert_eq!(meter.total(None), U256::from(50), "without a word the maximum");
        assert!(meter.charge(money(51)).is_err());
        assert!(meter.charge(Money::new(U256::ONE, AssetId::native(2))).is_err());
        meter.charge(money(7)).unwrap();
        assert_eq!(meter.total(None), U256::from(7));
        assert_eq!(meter.total(Some(Charge(money(0)))), U256::ZERO);
        assert_eq!(meter.total(Some(Charge(money(51)))), U256::from(50));
    }
}
