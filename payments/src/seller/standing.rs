//! What the steward says of itself, kept for a moment: a price is asked far more often than a policy
//! changes. The steward decides each settlement by what holds then, so an old view can spoil an offer
//! and never a payment.

use super::Seller;
use crate::{PaymentError, signed_payment::SignedPayment};
use marque_policies::Timestamp;
use marque_steward_client::{PaymentState, SettlingView, View};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// A view lists the newest intents, so many at most.
const LISTED: usize = 100;

/// A steward that says nothing for so long has nothing to sell; the buyer hears that, and asks later.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What was said, and when.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<(Instant, Arc<View>)>>);

/// What holds now.
pub(super) struct Standing {
    pub(super) view: Arc<View>,
    /// Time as the steward counts it.
    pub(super) now: Timestamp,
}

/// Whether what was delivered before this process began is counted.
#[derive(Debug, Default)]
pub(super) struct Heritage(Mutex<bool>);

impl Seller {
    /// What the steward said at most [`Seller::looks`] ago.
    pub(super) async fn standing(&self) -> Result<Standing, PaymentError> {
        let mut kept = self.kept.0.lock().await;
        if let Some((at, view)) = kept.as_ref()
            && at.elapsed() < self.looks
        {
            let passed = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Ok(Standing { view: Arc::clone(view), now: view.now.saturating_add(passed) });
        }
        let view = tokio::time::timeout(ANSWERS_WITHIN, self.steward.standing()).await;
        let view = view.map_err(|_| PaymentError::Steward("it does not answer".to_owned()))?;
        let view = Arc::new(view?);
        *kept = Some((Instant::now(), Arc::clone(&view)));
        drop(kept);
        Ok(Standing { now: view.now, view })
    }

    /// Counts what an earlier process delivered and the chain has not shown yet, once. Without that
    /// answer nobody gets credit.
    pub(super) async fn inherit(&self) -> bool {
        let mut done = self.heritage.0.lock().await;
        if *done {
            return true;
        }
        let live = match self.under_way().await {
            Ok(Some(live)) => live,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(%error, "it is not known what was delivered before");
                return false;
            }
        };
        for SettlingView { id, from, charge } in live {
            let stake = self.exposure.inherited(from, charge.units);
            self.clone().watch(id, stake);
        }
        *done = true;
        true
    }

    /// All settlements that no block was seen to carry; `None` where the steward does not say all.
    async fn under_way(&self) -> Result<Option<Vec<SettlingView>>, PaymentError> {
        let mut all: Vec<SettlingView> = Vec::new();
        loop {
            let page = match self.steward.settling(all.last().map(|it| it.id)).await {
                Ok(page) => page,
                Err(PaymentError::Unsupported(_)) if all.is_empty() => return self.listed().await,
                Err(error) => return Err(error),
            };
            if page.is_empty() {
                return Ok(Some(all));
            }
            all.extend(page);
        }
    }

    /// The same by an authority that shows its newest intents only: as long as that is all of them.
    async fn listed(&self) -> Result<Option<Vec<SettlingView>>, PaymentError> {
        let view = self.steward.view().await?;
        let open = |state| {
            use PaymentState::{Reserved, Sent, Signed};
            matches!(state, Reserved | Signed | Sent)
        };
        let live = view.intents.iter().filter(|it| open(it.status.state)).filter_map(|intent| {
            let claim = SignedPayment::of(&intent.intent)?;
            let (id, from) = (intent.status.id, claim.from());
            Some(SettlingView { id, from, charge: claim.charge() })
        });
        Ok((view.intents.len() < LISTED).then(|| live.collect()))
    }

    /// How old what is known of the steward may be, 1 s unless said otherwise.
    #[must_use]
    pub fn looks(self, looks: Duration) -> Self {
        Self { looks, ..self }
    }
}
