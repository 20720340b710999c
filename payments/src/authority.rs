//! What this crate needs of a steward, as a trait, so that either side of the counter can be
//! tested against a script.
//!
//! The steward's client is the one real implementation. Nothing here signs or decides.

use crate::PaymentError;
use async_trait::async_trait;
use marque_policies::IntentId;
use marque_steward_client::{
    Client, ClientError, IntentState, Outcome, Preview, Proposal, Report, SettlingView, View,
};
use std::{fmt, time::Duration};

/// The steward's four answers that payments are made of.
#[async_trait]
pub trait Authority: fmt::Debug + Send + Sync {
    /// Has an intent decided and, where it is allowed, carried out. The same proposal gets the same
    /// answer.
    ///
    /// # Errors
    /// [`PaymentError::Fault`] where the steward did not accept the question,
    /// [`PaymentError::Steward`] where it could not be reached.
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError>;

    /// What would come of a proposal now; nothing is done. An authority that cannot say leaves it
    /// out: then what is found out at the settlement is found out then.
    ///
    /// # Errors
    /// [`PaymentError::Unsupported`] where it cannot say, else as for [`Authority::propose`].
    async fn preview(&self, proposal: Proposal) -> Result<Preview, PaymentError> {
        let kind = proposal.intent.kind();
        Err(PaymentError::Unsupported(format!("nobody says what would come of a {kind}")))
    }

    /// Settlements under way that no block was seen to carry, ordered by id: a page of those after
    /// `after`; an empty one is the last.
    ///
    /// # Errors
    /// [`PaymentError::Unsupported`] where it cannot say, else as for [`Authority::propose`].
    async fn settling(&self, _after: Option<IntentId>) -> Result<Vec<SettlingView>, PaymentError> {
        Err(PaymentError::Unsupported("nobody says which settlements are under way".to_owned()))
    }

    /// What this agent may do and has left.
    ///
    /// # Errors
    /// As for [`Authority::propose`].
    async fn view(&self) -> Result<View, PaymentError>;

    /// The same; an authority that can leaves the intents out, which are most of it.
    ///
    /// # Errors
    /// As for [`Authority::propose`].
    async fn standing(&self) -> Result<View, PaymentError> {
        self.view().await
    }

    /// Tells what a counterparty answered.
    ///
    /// # Errors
    /// As for [`Authority::propose`].
    async fn report(&self, report: Report) -> Result<(), PaymentError>;

    /// An intent's state, at the latest after `timeout`.
    ///
    /// # Errors
    /// As for [`Authority::propose`].
    async fn wait(&self, intent: IntentId, timeout: Duration) -> Result<IntentState, PaymentError>;
}

#[async_trait]
impl Authority for Client {
    async fn propose(&self, proposal: Proposal) -> Result<Outcome, PaymentError> {
        Self::propose(self, proposal).await.map_err(PaymentError::from)
    }

    async fn preview(&self, proposal: Proposal) -> Result<Preview, PaymentError> {
        Self::preview(self, proposal).await.map_err(PaymentError::from)
    }

    async fn settling(&self, after: Option<IntentId>) -> Result<Vec<SettlingView>, PaymentError> {
        Self::settling(self, after).await.map_err(PaymentError::from)
    }

    async fn view(&self) -> Result<View, PaymentError> {
        Self::view(self).await.map_err(PaymentError::from)
    }

    async fn standing(&self) -> Result<View, PaymentError> {
        Self::standing(self).await.map_err(PaymentError::from)
    }

    async fn report(&self, report: Report) -> Result<(), PaymentError> {
        Self::report(self, report).await.map(drop).map_err(PaymentError::from)
    }

    async fn wait(&self, intent: IntentId, timeout: Duration) -> Result<IntentState, PaymentError> {
        Self::wait(self, intent, timeout).await.map_err(PaymentError::from)
    }
}

impl From<ClientError> for PaymentError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Fault(fault) => Self::Fault(fault),
            other => Self::Steward(other.to_string()),
        }
    }
}
