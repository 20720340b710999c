//! What a mind needs of its steward. The steward's client is the one real implementation; tests
//! script one.

use async_trait::async_trait;
use marque_payments::{Authority, PaymentError};
use marque_steward_client::{Client, Note};

/// A steward as the loop sees it: the answers that payments are made of, and a place for
/// commitments.
#[async_trait]
pub trait Steward: Authority {
    /// Commits to something the mind keeps, in the journal.
    ///
    /// # Errors
    /// [`PaymentError::Fault`] where the steward did not accept it, [`PaymentError::Steward`] where
    /// it could not be reached.
    async fn note(&self, note: Note) -> Result<(), PaymentError>;
}

#[async_trait]
impl Steward for Client {
    async fn note(&self, note: Note) -> Result<(), PaymentError> {
        Self::note(self, note).await.map(drop).map_err(PaymentError::from)
    }
}
