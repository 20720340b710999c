//! redb 4 as a backend.
//!
//! Batches commit without waiting; `flush` commits nothing more and waits for all of them.

use crate::raw::{Raw, Visit};
use crate::{Backend, StoreError, Write};
use ::redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase as _, TableDefinition,
    WriteTransaction,
};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Page cache, in bytes; redb's own default is a gigabyte.
const CACHE: usize = 32 * 1024 * 1024;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("index");

pub(crate) struct Redb {
    db: Database,
    path: PathBuf,
}

impl Redb {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("index.redb");
        // The file's own lock comes with the file. Until it has its name, and whoever else wants to
        // make it is done or late, the folder is locked; no longer, as it lies under other locks.
        let folder = File::open(dir).map_err(StoreError::io("open", dir))?;
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", dir)(error)),
            Ok(()) => {}
        }
        if path.exists() {
            return Ok(Self { db: create(dir, &path)?, path });
        }
        // redb does not open a file whose creation was cut short, so creation gets a name of its
        // own until it is done.
        let new = dir.join("index.redb.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &new)(error));
            }
            _ => {}
        }
        let redb = Self { db: create(dir, &new)?, path };
        // A reader needs the table to be there.
        let first = redb.begin(Durability::Immediate)?;
        first.open_table(TABLE).map_err(failed("open"))?;
        first.commit().map_err(failed("open"))?;
        fs::rename(&new, &redb.path).map_err(StoreError::io("rename to", &redb.path))?;
        Ok(redb)
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.db.begin_write().map_err(failed("write"))?;
        transaction.set_durability(durability).map_err(failed("write"))?;
        Ok(transaction)
    }
}

impl Raw for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.db.begin_read().map_err(failed("read"))?;
        let table = transaction.open_table(TABLE).map_err(failed("read"))?;
        let bytes = table.get(key).map_err(failed("read"))?;
        Ok(bytes.map(|bytes| bytes.value().to_owned()))
    }

    fn apply(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        let transaction = self.begin(Durability::None)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(failed("write"))?;
            for (key, value) in batch {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                    None => table.remove(key.as_slice()).map(drop),
                }
                .map_err(failed("write"))?;
            }
        }
        transaction.commit().map_err(failed("write"))
    }

    fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let transaction = self.db.begin_read().map_err(failed("scan"))?;
        let table = transaction.open_table(TABLE).map_err(failed("scan"))?;
        for pair in table.range(prefix..).map_err(failed("scan"))? {
            let (key, bytes) = pair.map_err(failed("scan"))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            visit(key.value(), bytes.value())?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.begin(Durability::Immediate)?.commit().map_err(failed("flush"))
    }
}

impl std::fmt::Debug for Redb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redb").field("path", &self.path).finish_non_exhaustive()
    }
}

fn create(dir: &Path, path: &Path) -> Result<Database, StoreError> {
    Builder::new()
        .set_cache_size(CACHE)
        // Without this a damaged page may panic later instead of being found here.
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                StoreError::Locked(dir.to_owned())
            }
            error => failed("open")(error),
        })
}

fn failed<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    StoreError::backend(Backend::Redb, doing)
}
