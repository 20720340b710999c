//! Why a question to the steward got no answer.

use crate::protocol::{Fault, MAX_FRAME};
use std::{io, path::PathBuf};

/// Why a question to the steward got no answer, or not the one that it calls for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no steward answers at {}: {source}; start it with `marque steward run`", path.display())]
    NoSteward {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An environment variable that says where the steward is, is missing.
    #[error("{0} is not set; a mind is started by its steward, which sets it")]
    Environment(&'static str),
    /// The connection was lost and did not come back.
    #[error(
        "the steward has gone away and did not come back within {0} s; start one with `marque steward run`"
    )]
    Lost(u64),
    /// Connected, but no answer.
    #[error("the steward has not answered within {0} s")]
    Silent(u64),
    /// The steward did not accept the question.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// An answer of another kind than the question's.
    #[error("the steward answered something else than was asked for")]
    Unexpected,
    /// The question is longer than a frame.
    #[error("the question has {0} bytes, and a frame holds at most {MAX_FRAME}")]
    TooLong(usize),
}
