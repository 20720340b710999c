//! The seller: asks, checks, has its steward settle, delivers.
//!
//! The buyer's authorisation is settled on chain by this agent's own steward, so there is no
//! facilitator to trust; a `Settle` intent can only credit this agent. Money comes first unless the
//! seller says otherwise ([`Settlement`]). One authorisation buys one delivery of one request;
//! whoever lost the connection sends the same again and gets the same goods.
//!
//! After a restart the shelf is empty and the steward's journal is what remembers: the settlement's
//! id follows from payer and nonce, and what was sold is part of its body. The same request gets
//! the same transaction and its goods; another request for the same authorisation is refused as
//! `id_reused`.
//!
//! INVARIANT: one authorisation never buys two different requests (pinned by
//! `tests/payments/seller.rs::the_same_payment_for_another_resource_is_refused` and
//! `..::after_a_restart_the_steward_remembers_what_was_sold`).

mod check;
mod counter;
mod meter;
mod paywall;
mod risk;
mod sale;
pub(crate) mod settle;
mod shelf;
mod standing;

pub use counter::Counter;
pub use meter::{Charge, Meter, Overcharge};
pub use paywall::{Paywall, Refusal};

use crate::{
    Authority, Facilitator, PaymentError,
    x402::{Method, Terms},
};
use alloy_primitives::U256;
use marque_policies::{Money, money::format_units};
use marque_steward_client::{AssetView, View};
use risk::Exposure;
use shelf::Shelf;
use standing::{Heritage, Kept};
use std::{sync::Arc, time::Duration};
use url::Url;

/// When a seller believes that it was paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confirm {
    /// The transfer is in a block, which may still be taken back. Right for small things.
    #[default]
    Seen,
    /// The transfer is final by the policy's rule for the chain.
    Final,
}

/// Whether money or goods come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// The money is on chain before the goods are made.
    #[default]
    Before,
    /// The goods are made, then the money is taken, and they are delivered once it is on chain. An
    /// error of the handler's costs the buyer nothing; a payment that fails costs the seller its work.
    After,
    /// The goods are delivered as soon as the steward has journalled and sent the settlement, before
    /// the chain has shown it.
    Background {
        /// So much is delivered and not seen on chain, at most; beyond it, as
        /// [`Settlement::Before`]. What was never paid counts until the process ends, so that this
        /// is also the most that it can lose.
        risk: Money,
    },
}

/// Sells over HTTP on behalf of one agent. Cheap to clone; clones share what they have sold.
#[derive(Clone, Debug)]
pub struct Seller {
    steward: Arc<dyn Authority>,
    base: Url,
    confirm: Confirm,
    patience: Duration,
    looks: Duration,
    settlement: Settlement,
    payer_risk: Option<Money>,
    facilitator: Option<Arc<Facilitator>>,
    shelf: Arc<Shelf>,
    exposure: Exposure,
    kept: Arc<Kept>,
    heritage: Arc<Heritage>,
}

impl Seller {
    /// A seller whose resources are reached under `base`, the URL that buyers use, and whose
    /// payments are settled by `steward`.
    #[must_use]
    pub fn new(steward: Arc<dyn Authority>, base: Url) -> Self {
        Self {
            steward,
            base,
            confirm: Confirm::default(),
            patience: Duration::from_secs(20),
            looks: Duration::from_secs(1),
            settlement: Settlement::default(),
            payer_risk: None,
            facilitator: None,
            shelf: Arc::default(),
            exposure: Exposure::default(),
            kept: Arc::default(),
            heritage: Arc::default(),
        }
    }

    /// When a payment counts as received; [`Confirm::Seen`] unless said otherwise.
    #[must_use]
    pub fn confirm(self, confirm: Confirm) -> Self {
        Self { confirm, ..self }
    }

    /// Whether money or goods come first; [`Settlement::Before`] unless said otherwise.
    #[must_use]
    pub fn settlement(self, settlement: Settlement) -> Self {
        Self { settlement, ..self }
    }

    /// So much of the risk of [`Settlement::Background`] may be one payer's; all of it unless said
    /// otherwise.
    #[must_use]
    pub fn payer_risk(self, each: Money) -> Self {
        Self { payer_risk: Some(each), ..self }
    }

    /// Lets a facilitator bring payments to the chain, so that it pays the fees.
    ///
    /// Who is believed: the facilitator may refuse a payment, and nothing else. That money has come
    /// is believed when the steward has found it on chain through its owner's endpoints; where the
    /// facilitator says so and the chain does not, the steward settles by itself, if its policy has
    /// fees for that, and what the facilitator said is logged as an error. Metered prices are always
    /// settled by the steward, which alone the buyer's signature names, and in the background nothing
    /// is: the settlement of a facilitator is nothing that our journal could bind before it is seen.
    #[must_use]
    pub fn through(self, facilitator: Facilitator) -> Self {
        Self { facilitator: Some(Arc::new(facilitator)), ..self }
    }

    /// How long a buyer is kept waiting for a settlement, 20 s unless said otherwise. After that it
    /// is told to send the same payment again, which is safe.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What is delivered and not seen on chain, yet or for good, in base units of the risk's asset.
    #[must_use]
    pub fn unsettled(&self) -> U256 {
        self.exposure.open()
    }

    /// The steward that settles for this seller.
    #[must_use]
    pub fn steward(&self) -> &Arc<dyn Authority> {
        &self.steward
    }

    /// The URL under which buyers reach `path` (with its query).
    fn resource(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{base}{path}"));
        url.set_query(query);
        url.set_fragment(None);
        url
    }

    /// What to ask for `price`, if the policy lets this agent be paid in that asset.
    fn terms(&self, view: &View, price: Money, metered: bool) -> Result<Terms, PaymentError> {
        let refuse =
            |why: &str| Err(PaymentError::Price { text: show(view, price), why: why.to_owned() });
        let Some(asset) = known(view, price) else {
            return refuse("the asset is not in the policy");
        };
        if !view.income.contains(&price.asset) {
            return refuse("the policy does not let this agent be paid in it");
        }
        let Some(domain) = asset.domain.clone() else {
            return refuse("the policy names no signing domain for the asset");
        };
        Ok(Terms {
            amount: price,
            pay_to: view.address,
            method: if metered {
                Method::Upto { facilitator: view.address }
            } else {
                Method::Eip3009
            },
            domain: Some(domain),
            max_timeout_seconds: MAX_TIMEOUT_SECONDS,
        })
    }
}

/// What the terms say about the time within which a payment is completed.
const MAX_TIMEOUT_SECONDS: u64 = 300;

fn known(view: &View, money: Money) -> Option<&AssetView> {
    view.assets.iter().find(|asset| asset.id == money.asset)
}

/// An amount as people read it: `0.02 USDC`.
fn show(view: &View, money: Money) -> String {
    match known(view, money) {
        Some(asset) => format!("{} {}", format_units(money.units, asset.decimals), asset.name),
        None => format!("{} base units of {}", money.units, money.asset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_policies::IntentId;
    use marque_steward_client::{IntentState, Outcome, Proposal, Report};

    #[derive(Debug)]
    struct Nobody;

    #[async_trait::async_trait]
    impl Authority for Nobody {
        async fn propose(&self, _: Proposal) -> Result<Outcome, PaymentError> {
            Err(PaymentError::Steward("nobody".to_owned()))
        }
        async fn view(&self) -> Result<View, PaymentError> {
            Err(PaymentError::Steward("nobody".to_owned()))
        }
        async fn report(&self, _: Report) -> Result<(), PaymentError> {
            Ok(())
        }
        async fn wait(&self, _: IntentId, _: Duration) -> Result<IntentState, PaymentError> {
            Err(PaymentError::Steward("nobody".to_owned()))
        }
    }

    #[test]
    fn a_resource_is_named_as_buyers_reach_it() {
        for (base, path, url) in [
            ("http://127.0.0.1:4021", "/wind.csv", "http://127.0.0.1:4021/wind.csv"),
            ("https://feed.example/", "/wind.csv?day=1", "https://feed.example/wind.csv?day=1"),
            ("https://feed.example/api/", "/a/b", "https://feed.example/api/a/b"),
            (
                "https://feed.example/api",
                "//evil.example/",
                "https://feed.example/api//evil.example/",
            ),
        ] {
            let seller = Seller::new(Arc::new(Nobody), Url::parse(base).unwrap());
            assert_eq!(seller.resource(path).as_str(), url);
        }
    }
}
