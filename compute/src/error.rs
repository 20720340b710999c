//! Everything that can go wrong when a completion is hired.

use marque_payments::PaymentError;

/// Why there is no completion.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The endpoint is not one.
    #[error("\"{url}\" is not an endpoint: {why}")]
    Endpoint {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The job cannot be put into a request.
    #[error("the job is not one: {0}")]
    Job(String),
    /// The purchase did not come about.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// The worker answered with an error, without having asked for money.
    #[error("{host} answered with status {status}: {message}")]
    Status {
        /// The worker's host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// The worker's answer is not a completion.
    #[error("{host} answered with something that is no completion: {why}")]
    Answer {
        /// The worker's host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}
