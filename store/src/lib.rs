//! An index that may be deleted: bytes by key, written in atomic batches, over sled or redb.
//!
//! It is no truth. Whoever uses it can rebuild it, from a journal or by forgetting, and on any
//! error should: rename the folder aside, open a fresh one, fill it again. In return it promises
//! that damage is an error and never a wrong answer:
//!
//! - every value is stored as `version | seq | payload | CRC32C`, the checksum covers its key as
//!   well, and the store keeps a count and a sum of all records and, in a file of its own, how far
//!   it had come, so that a flipped bit, a torn write, a record that is silently gone and a store
//!   that went back to an older state are all found, at the latest by the check that [`open`]
//!   makes;
//! - a panic inside a backend becomes an error, and a store that failed once answers nothing more;
//! - what [`Store::flush`] returned for survives a kill and a power cut. (sled 0.34's own flush
//!   does not survive the latter: `docs/decisions/0003-store.md`.)

mod checked;
mod error;
mod guard;
mod mark;
mod raw;
mod record;
mod redb;
mod sled;

pub use error::StoreError;
pub use record::{MAX_KEY, MAX_VALUE};

use checked::Checked;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// One write of a batch: a key and its new value, or `None` to remove it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Bytes by key, in key order, with a high-water mark: how far into its source the index has read.
///
/// After any error other than [`StoreError::TooLong`] and [`StoreError::Backwards`] the store
/// answers [`StoreError::Broken`] to everything.
pub trait Store: Send + Sync + fmt::Debug {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Version`], [`StoreError::Backend`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes all of a batch or none of it. The last write of a key wins. It is durable after the
    /// next [`Self::flush`].
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a key above [`MAX_KEY`] or a value above [`MAX_VALUE`] bytes;
    /// then nothing was written. Otherwise as [`Self::get`].
    fn put_batch(&self, batch: &[Write]) -> Result<(), StoreError>;

    /// Like [`Self::put_batch`], and in the same step raises the high-water mark to `seq`.
    ///
    /// # Errors
    /// [`StoreError::Backwards`] for a mark below the present one; then nothing was written.
    /// Otherwise as [`Self::put_batch`].
    fn put_with_high_water(&self, batch: &[Write], seq: u64) -> Result<(), StoreError>;

    /// The high-water mark; 0 in a new store.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    fn high_water(&self) -> Result<u64, StoreError>;

    /// All pairs whose key begins with `prefix`, in key order.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StoreError>;

    /// Returns when everything written before it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Backend`], [`StoreError::Io`].
    fn flush(&self) -> Result<(), StoreError>;

    /// Reads everything and compares it with its checksums, the count and the sum.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn check(&self) -> Result<(), StoreError>;
}

/// What holds the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// sled 0.34.7, the default.
    #[default]
    Sled,
    /// redb 4.
    Redb,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        })
    }
}

/// A store that was just closed lets go of its lock a moment later: on a thread of sled's own, or once
/// a child that is being started has let go of its files.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Opens the store in `dir`, or makes it there, and checks all of it.
///
/// # Errors
/// [`StoreError::Locked`] where somebody else has it open for longer than a moment. Any doubt is an error, a panic of the backend included. Nothing in the folder is repaired or
/// removed; that is the caller's to decide.
pub fn open(dir: &Path, backend: Backend) -> Result<Box<dyn Store>, StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
    let mut tried = 0;
    let store = loop {
        match open_once(dir, backend) {
            Err(StoreError::Locked(_)) if tried < LOCK_TRIES => {
                tried += 1;
                thread::sleep(LOCK_PAUSE);
            }
            store => break store?,
        }
    };
    store.check()?;
    // The names of a new store's files, and its own, must survive as well.
    sync_dir(dir)?;
    if let Some(parent) = dir.parent() {
        sync_dir(parent)?;
    }
    Ok(store)
}

fn open_once(dir: &Path, backend: Backend) -> Result<Box<dyn Store>, StoreError> {
    Ok(match backend {
        Backend::Sled => Box::new(Checked::open(dir, backend, || sled::Sled::open(dir))?),
        Backend::Redb => Box::new(Checked::open(dir, backend, || redb::Redb::open(dir))?),
    })
}

/// Waits until the names in `dir` are on the disk.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    // The parent of a relative name is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
}
