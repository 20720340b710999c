//! Sales whose goods were an error. The journal knows the money alone; what was delivered for it, the
//! shop notes in its own folder, a line each, and `marque income` tells it as the shop's word.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The longest notes that are written, and read.
const LONGEST: u64 = 1024 * 1024;

/// One answer to one payment.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    transaction: B256,
    status: u16,
}

/// The notes of an open shop.
#[derive(Debug)]
pub(super) struct Failures {
    path: PathBuf,
    noted: Mutex<BTreeMap<B256, u16>>,
}

impl Failures {
    /// The notes in an agent's own folder.
    pub(super) fn open(folder: &Path) -> Self {
        Self { path: file(folder), noted: Mutex::new(read(folder)) }
    }

    /// Notes with what status a payment was answered: an error, or goods after one.
    pub(super) fn note(&self, transaction: &str, status: u16) {
        let Ok(transaction) = transaction.parse() else { return };
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&transaction).copied().unwrap_or(200) == status {
            return;
        }
        if let Err(error) = self.write(&Note { transaction, status }) {
            tracing::warn!(%error, "that the goods were an error cannot be noted");
            return;
        }
        noted.insert(transaction, status);
    }

    fn write(&self, note: &Note) -> std::io::Result<()> {
        let mut file = File::options().append(true).create(true).open(&self.path)?;
        if file.metadata()?.len() > LONGEST {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let mut line = serde_json::to_string(note)?;
        line.push('\n');
        file.write_all(line.as_bytes())
    }
}

/// With what status each payment was answered that is noted. What makes no sense is left out: it is
/// written by a mind.
pub(crate) fn read(folder: &Path) -> BTreeMap<B256, u16> {
    let mut text = String::new();
    let read = fs::File::open(file(folder))
        .and_then(|file| file.take(LONGEST + 1024).read_to_string(&mut text));
    if read.is_err() {
        return BTreeMap::new();
    }
    let notes = text.lines().filter_map(|line| serde_json::from_str::<Note>(line).ok());
    notes.map(|Note { transaction, status }| (transaction, status)).collect()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("answers.jsonl")
}
