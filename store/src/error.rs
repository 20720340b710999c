//! Why a store does not answer. To the owner of an index most of these mean the same: rebuild it.

use crate::Backend;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Somebody has it open: a store has one user at a time.
    #[error("{} is open already, in another process or in this one; end that one first", .0.display())]
    Locked(PathBuf),

    /// The backend failed or panicked.
    #[error("{backend} cannot {doing}: {why}; move the index aside and rebuild it")]
    Backend {
        /// Which backend.
        backend: Backend,
        /// What was tried.
        doing: &'static str,
        /// Its error or the message of its panic.
        why: String,
    },

    /// What was read is not what was written.
    #[error("the index is damaged at {at}: {why}; move it aside and rebuild it")]
    Damaged {
        /// The key in hex, or `its head`.
        at: String,
        /// What is wrong there.
        why: &'static str,
    },

    /// Written by a newer version.
    #[error("the index has format {found}; this version reads up to {known}; update marque")]
    Version {
        /// The format that it says.
        found: u8,
        /// The newest that is known here.
        known: u8,
    },

    /// A key or value that is too long.
    #[error("a {what} of {len} bytes; at most {max} are allowed")]
    TooLong {
        /// `key` or `value`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest there may be.
        max: usize,
    },

    /// A high-water mark that would sink.
    #[error("the index has read up to {have}; it cannot go back to {asked}")]
    Backwards {
        /// The mark.
        have: u64,
        /// What was asked for.
        asked: u64,
    },

    /// The store failed before, so nothing that it says counts.
    #[error("the index failed earlier; open it again")]
    Broken,
}

impl StoreError {
    /// For `map_err` after a call to the system.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` after a call to a backend.
    pub(crate) fn backend<E: std::fmt::Display>(
        backend: Backend,
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::Backend { backend, doing, why: error.to_string() }
    }
}
