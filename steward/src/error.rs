//! What can go wrong in a steward, each as one line that helps.

use crate::journal::JournalError;
use marque_steward_client::Fault;
use std::{io, path::PathBuf};

/// What can go wrong in a steward.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StewardError {
    /// There is no home.
    #[error("{} is not a steward's home: {why}; `marque new NAME` makes one", path.display())]
    Home {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A home whose owner has not put a policy in force.
    #[error("no policy is in force yet; adopt one with `marque policy adopt {0}`")]
    NoPolicy(String),
    /// Another steward works in this home.
    #[error("another steward works in {}; there is one for each home", .0.display())]
    Locked(PathBuf),
    /// A home and a journal that do not belong together.
    #[error(
        "home.json is for the journal {stated}, and the one in {} is {found}: somebody changed one of \
         them; restore both from a copy",
        path.display()
    )]
    Origin {
        /// The home.
        path: PathBuf,
        /// What `home.json` says.
        stated: alloy_primitives::B256,
        /// How the journal begins.
        found: alloy_primitives::B256,
    },
    /// A file or socket of the home.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal.
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    /// An entry that does not fit.
    #[error("journal entry {seq}: {why}")]
    Entry {
        /// Its sequence number.
        seq: u64,
        /// What is wrong.
        why: String,
    },
    /// A policy that does not fit into one entry.
    #[error(
        "the policy takes {bytes} bytes of a journal entry and at most {} fit; shorten its comments, \
         or list fewer payees, tools or tests",
        crate::entry::MAX_DOCUMENT
    )]
    Document {
        /// Its length as JSON.
        bytes: usize,
    },
    /// Something that a newer version wrote.
    #[error("a {what} of version {found} is newer than this program knows; use a newer one")]
    Newer {
        /// What.
        what: &'static str,
        /// Its version.
        found: u16,
    },
    /// A key.
    #[error("keys: {0}")]
    Keys(#[from] marque_identity_keys::KeyError),
    /// The index.
    #[error("index: {0}")]
    Index(#[from] marque_store::StoreError),
    /// The chain, or who answers for it.
    #[error("chain: {0}")]
    Chain(String),
    /// Another chain than the one that genesis names.
    #[error("the wrong chain: {0}")]
    Wrong(String),
    /// A permit and what it was used for do not fit.
    #[error("permit: {0}")]
    Permit(&'static str),
    /// A statement of the owner was not accepted.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The authority has ended after an error.
    #[error("the steward has stopped")]
    Stopped,
}

impl StewardError {
    /// For `map_err` on file operations.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// A [`Fault`] from its stable word and its line.
pub(crate) fn fault(code: &str, message: impl Into<String>) -> Fault {
    Fault { code: code.to_owned(), message: message.into() }
}
