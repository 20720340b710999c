//! Policy drafts on disk: which files make up one policy, and what a document in it is called here.
//!
//! `agents/NAME/policy.toml` may be joined by `agents/NAME/policy.cedar` and by the home's
//! `owner.toml`, which all its agents share. They are drafts: what counts is what the owner adopted
//! from them, and that is in the journal.

use crate::home::Home;
use marque_policies::{Policy, PolicyError, Sources, Warning, parse};
use marque_store_files::{self as store, SHARED};
use std::{
    io,
    path::{Path, PathBuf},
};

/// No document of a draft is longer, in bytes: one of 60 KiB fits into the journal.
const LONGEST: u64 = 1 << 20;

/// The files of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// `policy.toml`, or one text with all documents in it.
    pub policy: PathBuf,
    /// `owner.toml`, if there is one.
    pub owner: Option<PathBuf>,
    /// `policy.cedar`, if there is one.
    pub cedar: Option<PathBuf>,
}

/// A policy that was read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The one text that carries all its documents: what an owner adopts.
    pub document: String,
    /// What it says.
    pub policy: Policy,
    /// What its owner should look at.
    pub warnings: Vec<Warning>,
}

/// Why files are not a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A document is no policy; the mistake names the file.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl PolicyFiles {
    /// Those of an agent, as far as they exist.
    #[must_use]
    pub fn of(home: &Home, agent: &str) -> Self {
        let there = |path: PathBuf| path.exists().then_some(path);
        Self {
            policy: home.policy(agent),
            owner: there(home.shared_policy()),
            cedar: there(home.forbids(agent)),
        }
    }

    /// Reads the files, and what they say.
    ///
    /// # Errors
    /// [`DraftError::File`] for a file that cannot be read, [`DraftError::Policy`] for a mistake.
    pub fn read(&self) -> Result<Draft, DraftError> {
        let text = read(&self.policy)?;
        let named = |error: PolicyError| self.named(error);
        let mut sources = Sources::read(&text).map_err(named)?;
        if let Some(owner) = &self.owner {
            sources.owner = Some(read(owner)?);
        }
        if let Some(cedar) = &self.cedar {
            sources.cedar = Some(read(cedar)?);
        }
        let document = sources.document();
        let (policy, warnings) = parse(&document).map_err(named)?;
        Ok(Draft { document, policy, warnings })
    }

    /// Writes the documents of a policy: `policy.toml` and, where there is a path for it,
    /// `policy.cedar` and `owner.toml`.
    ///
    /// # Errors
    /// [`DraftError::File`].
    pub fn write(&self, sources: &Sources) -> Result<(), DraftError> {
        let parts = [
            (Some(&self.policy), Some(&sources.policy)),
            (self.owner.as_ref(), sources.owner.as_ref()),
            (self.cedar.as_ref(), sources.cedar.as_ref()),
        ];
        for (path, text) in parts {
            let (Some(path), Some(text)) = (path, text) else { continue };
            store::replace_followed(path, text.as_bytes(), SHARED)
                .map_err(|source| DraftError::File { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Where the document of this name is: `policy.cedar`.
    #[must_use]
    pub fn path(&self, document: &str) -> &Path {
        let path = match document {
            "owner.toml" => self.owner.as_ref(),
            "policy.cedar" => self.cedar.as_ref(),
            _ => None,
        };
        path.unwrap_or(&self.policy)
    }

    /// The mistake, said of the file that it is in.
    fn named(&self, error: PolicyError) -> PolicyError {
        let path = self.path(error.mistake().source_code.name()).display().to_string();
        error.in_file(&path)
    }
}

fn read(path: &Path) -> Result<String, DraftError> {
    store::follow(path, LONGEST)
        .map_err(|source| DraftError::File { path: path.to_owned(), source })
}
