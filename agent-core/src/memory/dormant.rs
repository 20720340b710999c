//! A store that is open while it is used.
//!
//! An agent that has nothing to do holds a lock and buffers for nothing, and a process may have a
//! thousand of them. So a mind that rests closes its store, and the next question opens it again:
//! nobody notices but the clock.

use marque_store::{Backend, Pair, Store, StoreError, Write};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A store in a folder, open or not.
#[derive(Debug)]
pub(crate) struct Dormant {
    dir: PathBuf,
    open: Mutex<Option<Arc<dyn Store>>>,
    uses: AtomicU64,
}

impl Dormant {
    /// Opens the store in `dir`, or makes it there.
    pub(super) fn open(dir: PathBuf) -> Result<Self, StoreError> {
        let dormant = Self { dir, open: Mutex::default(), uses: AtomicU64::new(0) };
        dormant.awake()?;
        Ok(dormant)
    }

    /// How often it was used, to see whether it was since.
    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::SeqCst)
    }

    /// Closes it, if nobody is at it or was since it had these uses.
    pub(crate) fn rest(&self, uses: u64) {
        let mut open = self.lock();
        // Whoever uses it has a clone, and got it under this lock.
        let idle = open.as_ref().is_some_and(|store| Arc::strong_count(store) == 1);
        if idle && self.uses() == uses {
            match open.as_ref().map_or(Ok(()), |store| store.flush()) {
                Ok(()) => *open = None,
                Err(error) => tracing::warn!(%error, "a store that should rest stays open"),
            }
        }
    }

    fn awake(&self) -> Result<Arc<dyn Store>, StoreError> {
        let mut open = self.lock();
        self.uses.fetch_add(1, Ordering::SeqCst);
        if let Some(store) = open.as_ref() {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn Store> = marque_store::open(&self.dir, Backend::Sled)?.into();
        Ok(Arc::clone(open.insert(store)))
    }

    /// What a panicking thread left behind is as good as before: the place is set whole.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Store>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Dormant {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.awake()?.get(key)
    }

    fn put_batch(&self, batch: &[Write]) -> Result<(), StoreError> {
        self.awake()?.put_batch(batch)
    }

    fn put_with_high_water(&self, batch: &[Write], seq: u64) -> Result<(), StoreError> {
        self.awake()?.put_with_high_water(batch, seq)
    }

    fn high_water(&self) -> Result<u64, StoreError> {
        self.awake()?.high_water()
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
        self.awake()?.scan(prefix)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.awake()?.flush()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.awake()?.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_rests_lets_go_of_its_folder_and_is_there_again_when_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = Dormant::open(dir.path().join("tasks")).unwrap();
        store.put_batch(&[(b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
        let other = || marque_store::open(&dir.path().join("tasks"), Backend::Sled);
        store.rest(store.uses() - 1);
        assert!(other().is_err(), "it was used since, and has the lock");
        store.rest(store.uses());
        drop(other().unwrap());
        assert_eq!(store.get(b"key").unwrap(), Some(b"value".to_vec()));
        assert!(other().is_err(), "it is open again");
    }
}
