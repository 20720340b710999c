//! Everything that can go wrong with keys. No message holds a secret.

use alloy_primitives::Address;
use std::{io, path::PathBuf};

/// Why a key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A name that would not be a plain file name.
    #[error("\"{0}\" is not a key name; use 1 to 64 of a-z, 0-9, \"-\" and \"_\"")]
    Name(String),
    /// There is no such key.
    #[error("there is no key \"{name}\" in {}", folder.display())]
    Missing {
        /// The key's name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// There is one already; keys are never overwritten.
    #[error("there is a key \"{name}\" in {} already; it is kept", folder.display())]
    Exists {
        /// The key's name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// Others can read it.
    #[error(
        "{} is open to others (mode {mode:03o}); run chmod {} {}",
        path.display(), if path.is_dir() { "700" } else { "600" }, path.display()
    )]
    Open {
        /// The folder or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The passphrase does not fit, or a byte of the file has changed: the two look the same.
    #[error("wrong passphrase for the key \"{0}\", or its file is damaged")]
    WrongPassphrase(String),
    /// The file is not a keystore that we can read.
    #[error("the keystore of \"{name}\" cannot be read: {why}")]
    Unreadable {
        /// The key's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The public part of the file is not that of the key inside.
    #[error(
        "the keystore of \"{name}\" says {said}, but the key inside is {found}; it was altered"
    )]
    Altered {
        /// The key's name.
        name: String,
        /// The public part as written.
        said: String,
        /// The public part of the key.
        found: String,
    },
    /// Text that should be a private key is none. The text is not repeated.
    #[error("this is not a private key; give 64 hexadecimal digits, with or without 0x")]
    NotAKey,
    /// Fees that no chain accepts.
    #[error("the priority fee {priority} is above the whole fee {max} (wei per gas)")]
    Fees {
        /// Maximum fee, in wei per gas.
        max: u128,
        /// Priority fee, in wei per gas.
        priority: u128,
    },
    /// A folder or file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The folder or file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

impl KeyError {
    pub(crate) fn altered(name: &str, said: Address, found: Address) -> Self {
        Self::Altered { name: name.to_owned(), said: said.to_string(), found: found.to_string() }
    }
}
