//! sled 0.34.7 as a backend, with what it leaves out: waiting for the disk.
//!
//! sled's flush writes with `sync_file_range`, which waits for neither the file's metadata nor the
//! drive's cache. So after each flush this syncs sled's data file itself, and the blob files into
//! which sled puts long pages, which it never syncs.

use crate::raw::{Raw, Visit};
use crate::{Backend, StoreError, Write, sync_dir};
use ::sled::{Batch, Config, Db, Mode};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Page cache, in bytes; sled's own default is a gigabyte.
const CACHE: u64 = 32 * 1024 * 1024;

pub(crate) struct Sled {
    db: Db,
    file: File,
    path: PathBuf,
    blobs: PathBuf,
    /// Blobs that are on the disk; a blob is never written twice.
    synced: Mutex<BTreeSet<OsString>>,
}

impl Sled {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let config = Config::new()
            .path(dir)
            .cache_capacity(CACHE)
            .mode(Mode::HighThroughput)
            // Nothing is written behind our back: who needs durability calls flush.
            .flush_every_ms(None);
        let db = config.open().map_err(|error| match is_locked(&error) {
            true => StoreError::Locked(dir.to_owned()),
            false => failed("open")(error),
        })?;
        let path = dir.join("db");
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        let blobs = dir.join("blobs");
        Ok(Self { db, file, path, blobs, synced: Mutex::default() })
    }

    fn sync_blobs(&self) -> Result<(), StoreError> {
        let mut synced = self.synced.lock().map_err(|_| StoreError::Broken)?;
        let list = || fs::read_dir(&self.blobs)?.collect::<Result<Vec<_>, _>>();
        let mut there = BTreeSet::new();
        for blob in list().map_err(StoreError::io("read", &self.blobs))? {
            let (name, path) = (blob.file_name(), blob.path());
            if !synced.contains(&name) {
                match File::open(&path).and_then(|file| file.sync_data()) {
                    // sled collects blobs that nothing points at any more.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    result => result.map_err(StoreError::io("sync", &path))?,
                }
            }
            there.insert(name);
        }
        if there.is_subset(&synced) {
            *synced = there;
            return Ok(());
        }
        *synced = there;
        sync_dir(&self.blobs)
    }
}

/// Whether somebody else has the store open. sled says so in words alone.
fn is_locked(error: &::sled::Error) -> bool {
    matches!(error, ::sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

impl Raw for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key).map_err(failed("read"))?.map(|bytes| bytes.to_vec()))
    }

    fn apply(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let mut writes = Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(failed("write"))
    }

    fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        for pair in self.db.scan_prefix(prefix) {
            let (key, bytes) = pair.map_err(failed("scan"))?;
            visit(&key, &bytes)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed("flush"))?;
        // Measured in docs/decisions/0003-store.md: without these two a power cut loses data.
        self.sync_blobs()?;
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))
    }
}

impl std::fmt::Debug for Sled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sled").field("path", &self.path).finish_non_exhaustive()
    }
}

fn failed(doing: &'static str) -> impl FnOnce(::sled::Error) -> StoreError {
    StoreError::backend(Backend::Sled, doing)
}
