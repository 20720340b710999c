//! How far the store had come at its last flush, in a file of its own beside the backend's.
//!
//! A backend whose log is damaged may open well and be an older, whole state of itself (sled does
//! that). Nothing inside it can tell. The mark can: it is written after each flush, so a backend
//! that has seen fewer batches than the mark says has gone back. The mark itself is not waited
//! for: a power cut may leave an older one, which only notices less.

use crate::{StoreError, record};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const NAME: &[u8] = b"mark";

/// The file and what it says.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    file: File,
    batches: Mutex<u64>,
}

impl Mark {
    /// Opens the mark in `dir`; a new one says 0.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("mark");
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(StoreError::io("open", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
        let batches = if bytes.is_empty() { 0 } else { record::decode(NAME, &bytes)?.seq };
        Ok(Self { path, file, batches: Mutex::new(batches) })
    }

    /// How many batches the store had seen.
    pub(crate) fn batches(&self) -> Result<u64, StoreError> {
        Ok(*self.batches.lock().map_err(|_| StoreError::Broken)?)
    }

    /// Raises the mark; one that is higher already stays.
    pub(crate) fn raise(&self, batches: u64) -> Result<(), StoreError> {
        let mut present = self.batches.lock().map_err(|_| StoreError::Broken)?;
        if *present < batches {
            // The same length every time and within one sector, so it is the old or the new one.
            let (bytes, _) = record::encode(NAME, batches, &[]);
            self.file.write_all_at(&bytes, 0).map_err(StoreError::io("write", &self.path))?;
            *present = batches;
        }
        Ok(())
    }
}
