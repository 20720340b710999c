//! The signed head of a journal: origin, number of entries, root (C2SP tlog-checkpoint, signed
//! note). Whoever keeps one can hold every later state of the journal against it.

use super::error::JournalError;
use super::files;
use super::key::{LogKey, LogSigner, Origin};
use super::record::Seal;
use alloy_primitives::B256;
use signed_note::{Note, Signature, Signer as _, Verifier as _, VerifierList};
use std::path::Path;

/// A checkpoint whose signature has been checked, or that was signed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: B256,
    text: String,
}

impl Checkpoint {
    /// Believes a checkpoint's text if `key` signed it for its own journal.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] otherwise, and for a malformed text.
    pub fn open(text: &str, key: &LogKey) -> Result<Self, JournalError> {
        Self::open_as("the checkpoint", text, key)
    }

    fn open_as(what: &str, text: &str, key: &LogKey) -> Result<Self, JournalError> {
        let bad = |why: String| JournalError::Checkpoint { what: what.to_owned(), why };
        let note = Note::from_bytes(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
        note.verify(&VerifierList::new(vec![Box::new(key.verifier())]))
            .map_err(|error| bad(format!("{error} (the key is {key})")))?;
        let head = tlog_tiles::Checkpoint::from_bytes(note.text())
            .map_err(|error| bad(error.to_string()))?;
        if head.origin() != key.origin().to_string() {
            return Err(bad(format!("it speaks for {}, not {}", head.origin(), key.origin())));
        }
        Ok(Self { size: head.size(), root: B256::from(head.hash().0), text: text.to_owned() })
    }

    /// Signs the head of a journal: the checkpoint, and its signature as a seal.
    pub(super) fn sign(
        origin: Origin,
        signer: &LogSigner,
        size: u64,
        root: B256,
    ) -> Result<(Self, Seal), JournalError> {
        let head = head(origin, size, root)?;
        let signer = signer.named(origin);
        let seal = signer.seal(&head).map_err(|error| unmade(&error))?;
        let text = note(&head, signer.name().to_owned(), signer.key_id(), &seal)?;
        Ok((Self { size, root, text }, seal))
    }

    /// The checkpoint that a seal was taken from, if `key` signed it for just these entries.
    pub(super) fn sealed(
        key: &LogKey,
        size: u64,
        root: B256,
        seal: &Seal,
    ) -> Result<Self, JournalError> {
        let head = head(key.origin(), size, root)?;
        let verifier = key.verifier();
        if !verifier.verify(&head, seal) {
            return Err(JournalError::Unsealed { size });
        }
        let text = note(&head, verifier.name().to_owned(), verifier.key_id(), seal)?;
        Ok(Self { size, root, text })
    }

    /// The one in a journal's folder; `None` if there is none, or if the file is empty or all
    /// zeros, as a power cut may leave it: nobody waits for the disk when it is written, and ext4
    /// may have its name and length there before its bytes.
    pub(super) fn read(dir: &Path, key: &LogKey) -> Result<Option<Self>, JournalError> {
        let path = dir.join("checkpoint");
        let written = |bytes: &Vec<u8>| bytes.iter().any(|byte| *byte != 0);
        let Some(bytes) = files::read_if_there(&path)?.filter(written) else {
            return Ok(None);
        };
        let what = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| JournalError::Checkpoint {
            what: what.clone(),
            why: "malformed note".to_owned(),
        })?;
        Self::open_as(&what, &text, key).map(Some)
    }

    /// Like [`Self::read`], for readers: without a checkpoint there is nothing to believe.
    pub(super) fn require(dir: &Path, key: &LogKey) -> Result<Self, JournalError> {
        Self::read(dir, key)?.ok_or_else(|| JournalError::Checkpoint {
            what: dir.join("checkpoint").display().to_string(),
            why: "there is none".to_owned(),
        })
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), JournalError> {
        files::replace(&dir.join("checkpoint"), self.text.as_bytes())
    }

    /// How many entries it covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// RFC 6962 root of these entries.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.root
    }

    /// The signed note.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What is signed.
fn head(origin: Origin, size: u64, root: B256) -> Result<Vec<u8>, JournalError> {
    let hash = tlog_tiles::Hash(root.0);
    let head = tlog_tiles::Checkpoint::new(&origin.to_string(), size, hash, "");
    Ok(head.map_err(|error| unmade(&error))?.to_bytes())
}

/// It, signed.
fn note(head: &[u8], name: String, id: u32, seal: &Seal) -> Result<String, JournalError> {
    let signature = Signature::new(name, id, seal.to_vec()).map_err(|error| unmade(&error))?;
    let note = Note::new(head, &[signature]).map_err(|error| unmade(&error))?;
    String::from_utf8(note.to_bytes()).map_err(|error| unmade(&error))
}

fn unmade(error: &dyn std::fmt::Display) -> JournalError {
    JournalError::Checkpoint { what: "a new checkpoint".into(), why: error.to_string() }
}
