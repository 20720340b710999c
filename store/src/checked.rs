//! A store over any backend: checksums, the head, the guard, and the end after the first failure.
//!
//! Records lie under `r` + key. The head lies under `h` and holds `high water u64 | batches u64 |
//! count u64 | sum u64`: how many batches there were, how many records there are, and the sum,
//! wrapping, of their checksums. It is written in the same batch as the records, so a record that
//! is missing is found even where its page looks well.

use crate::guard::guard;
use crate::mark::Mark;
use crate::raw::{Raw, Visit};
use crate::record::{self, MAX_KEY, MAX_VALUE};
use crate::{Backend, Pair, Store, StoreError, Write};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

const HEAD: &[u8] = b"h";
const RECORD: u8 = b'r';

/// A [`Raw`] whose word is checked.
pub(crate) struct Checked<R: Raw> {
    backend: Backend,
    /// `None` only while dropping.
    raw: Option<R>,
    mark: Mark,
    head: Mutex<Head>,
    broken: AtomicBool,
}

/// What is true of the records as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    high_water: u64,
    batches: u64,
    count: u64,
    sum: u64,
}

impl Head {
    fn encode(self) -> Vec<u8> {
        let payload = [self.high_water, self.batches, self.count, self.sum];
        let payload = payload.map(u64::to_be_bytes).concat();
        record::encode(HEAD, self.high_water, &payload).0
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let payload = record::decode(HEAD, bytes)?.payload;
        let (words, rest) = payload.as_chunks::<8>();
        match (words, rest) {
            (&[high_water, batches, count, sum], []) => Ok(Self {
                high_water: u64::from_be_bytes(high_water),
                batches: u64::from_be_bytes(batches),
                count: u64::from_be_bytes(count),
                sum: u64::from_be_bytes(sum),
            }),
            _ => Err(damaged_head("it has the wrong length")),
        }
    }

    fn add(&mut self, crc: u32) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(crc.into());
    }

    fn remove(&mut self, crc: u32) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(crc.into());
    }
}

impl<R: Raw> Checked<R> {
    /// Opens a backend in `dir`, reads the head and holds it against the mark.
    pub(crate) fn open(
        dir: &Path,
        backend: Backend,
        open: impl FnOnce() -> Result<R, StoreError>,
    ) -> Result<Self, StoreError> {
        let raw = guard(open)
            .unwrap_or_else(|why| Err(StoreError::Backend { backend, doing: "open", why }))?;
        // Only now: the backend's lock keeps a second opener away from the mark as well.
        let mark = Mark::open(dir)?;
        let broken = AtomicBool::new(false);
        let head = Mutex::new(Head::default());
        let store = Self { backend, raw: Some(raw), mark, head, broken };
        // A store without a head is new; `check` finds records that have lost theirs.
        if let Some(bytes) = store.call("read", |raw| raw.get(HEAD))? {
            *store.head()? = Head::decode(&bytes)?;
        }
        if store.head()?.batches < store.mark.batches()? {
            return Err(damaged_head("it went back to an older state"));
        }
        Ok(store)
    }

    /// Every call of the backend goes through here.
    ///
    /// INVARIANT: after one failure there is no second answer; pinned by
    /// `a_store_that_failed_once_answers_nothing_more`.
    fn call<T>(
        &self,
        doing: &'static str,
        call: impl FnOnce(&R) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let raw = self.raw.as_ref().filter(|_| !self.broken.load(Ordering::Acquire));
        let raw = raw.ok_or(StoreError::Broken)?;
        let backend = self.backend;
        let result = guard(|| call(raw))
            .unwrap_or_else(|why| Err(StoreError::Backend { backend, doing, why }));
        if result.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        result
    }

    fn head(&self) -> Result<MutexGuard<'_, Head>, StoreError> {
        self.head.lock().map_err(|_| StoreError::Broken)
    }

    /// Visits records under their raw keys.
    fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.call("scan", |raw| raw.each(&raw_key(prefix), visit))
    }

    fn write(&self, batch: &[Write], seq: Option<u64>) -> Result<(), StoreError> {
        let mut last = BTreeMap::new();
        for (key, value) in batch {
            too_long("key", key.len(), MAX_KEY)?;
            too_long("value", value.as_ref().map_or(0, Vec::len), MAX_VALUE)?;
            last.insert(raw_key(key), value);
        }
        let mut head = self.head()?;
        let mut new = *head;
        if let Some(asked) = seq {
            if asked < head.high_water {
                return Err(StoreError::Backwards { have: head.high_water, asked });
            }
            new.high_water = asked;
        }
        new.batches = new.batches.wrapping_add(1);
        self.call("write", |raw| {
            let mut writes = Vec::with_capacity(last.len() + 1);
            for (key, value) in last {
                if let Some(old) = raw.get(&key)? {
                    new.remove(record::decode(&key, &old)?.crc);
                }
                let value = value.as_ref().map(|payload| {
                    let (bytes, crc) = record::encode(&key, new.high_water, payload);
                    new.add(crc);
                    bytes
                });
                writes.push((key, value));
            }
            writes.push((HEAD.to_owned(), Some(new.encode())));
            raw.apply(writes)
        })?;
        *head = new;
        Ok(())
    }
}

impl<R: Raw> Store for Checked<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = raw_key(key);
        self.call("read", |raw| {
            let bytes = raw.get(&key)?;
            bytes.map(|bytes| Ok(record::decode(&key, &bytes)?.payload.to_owned())).transpose()
        })
    }

    fn put_batch(&self, batch: &[Write]) -> Result<(), StoreError> {
        self.write(batch, None)
    }

    fn put_with_high_water(&self, batch: &[Write], seq: u64) -> Result<(), StoreError> {
        self.write(batch, Some(seq))
    }

    fn high_water(&self) -> Result<u64, StoreError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(StoreError::Broken);
        }
        Ok(self.head()?.high_water)
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
        let mut pairs = Vec::new();
        self.each(prefix, &mut |key, bytes| {
            let payload = record::decode(key, bytes)?.payload.to_owned();
            pairs.push((key.get(1..).unwrap_or_default().to_owned(), payload));
            Ok(())
        })?;
        Ok(pairs)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let batches = self.head()?.batches;
        self.call("flush", |raw| {
            raw.flush()?;
            self.mark.raise(batches)
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        // Held to the end, so that nothing is written between reading and comparing.
        let head = self.head()?;
        self.call("check", |raw| {
            let stored =
                raw.get(HEAD)?.map_or(Ok(Head::default()), |bytes| Head::decode(&bytes))?;
            let mut found = Head { count: 0, sum: 0, ..*head };
            raw.each(&[], &mut |key, bytes| {
                if key != HEAD {
                    let record = record::decode(key, bytes)?;
                    if record.seq > head.high_water {
                        let at = record::name(key);
                        return Err(StoreError::Damaged { at, why: "it is ahead of the head" });
                    }
                    found.add(record.crc);
                }
                Ok(())
            })?;
            if found != *head || stored != *head {
                return Err(damaged_head("records are missing or were never counted"));
            }
            Ok(())
        })
    }
}

impl<R: Raw> fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("raw", &self.raw).field("broken", &self.broken).finish()
    }
}

/// A backend may panic while it closes, too.
impl<R: Raw> Drop for Checked<R> {
    fn drop(&mut self) {
        let raw = self.raw.take();
        if let Err(why) = guard(move || drop(raw)) {
            tracing::warn!(backend = %self.backend, why, "the index did not close cleanly");
        }
    }
}

fn raw_key(key: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(1 + key.len());
    raw.push(RECORD);
    raw.extend(key);
    raw
}

fn too_long(what: &'static str, len: usize, max: usize) -> Result<(), StoreError> {
    if len > max { Err(StoreError::TooLong { what, len, max }) } else { Ok(()) }
}

fn damaged_head(why: &'static str) -> StoreError {
    StoreError::Damaged { at: "its head".to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend in memory that panics on demand.
    #[derive(Debug, Default)]
    struct Fragile(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>, AtomicBool);

    impl Raw for Fragile {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            assert!(!self.1.load(Ordering::SeqCst), "page 3 is uninitialised");
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn apply(&self, batch: Vec<Write>) -> Result<(), StoreError> {
            let mut map = self.0.lock().unwrap();
            for (key, value) in batch {
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
            }
            Ok(())
        }

        fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
            let map = self.0.lock().unwrap().clone();
            map.iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .try_for_each(|(key, value)| visit(key, value))
        }

        fn flush(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn open(map: BTreeMap<Vec<u8>, Vec<u8>>, dir: &Path) -> Result<Checked<Fragile>, StoreError> {
        let raw = Fragile(Mutex::new(map), AtomicBool::new(false));
        Checked::open(dir, Backend::Sled, || Ok(raw))
    }

    fn fragile() -> Checked<Fragile> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(BTreeMap::new(), dir.path()).unwrap();
        let batch = [b"a", b"b"].map(|key| (key.to_vec(), Some(b"value".to_vec())));
        store.put_with_high_water(&batch, 5).unwrap();
        store.check().unwrap();
        store
    }

    #[test]
    fn a_panic_while_opening_is_an_error() {
        let open = || -> Result<Fragile, StoreError> { panic!("tried to serialise") };
        let dir = tempfile::tempdir().unwrap();
        let error = Checked::open(dir.path(), Backend::Sled, open).unwrap_err().to_string();
        assert!(error.contains("sled cannot open: it panicked: tried to serialise"), "{error}");
    }

    #[test]
    fn a_store_that_failed_once_answers_nothing_more() {
        let store = fragile();
        store.raw.as_ref().unwrap().1.store(true, Ordering::SeqCst);
        let error = store.get(b"a").unwrap_err();
        assert!(matches!(error, StoreError::Backend { .. }), "{error}");
        store.raw.as_ref().unwrap().1.store(false, Ordering::SeqCst);
        for result in [
            store.get(b"a").map(drop),
            store.put_batch(&[]),
            store.scan(b"").map(drop),
            store.high_water().map(drop),
            store.flush(),
            store.check(),
        ] {
            assert!(matches!(result, Err(StoreError::Broken)), "{result:?}");
        }
    }

    #[test]
    fn a_record_that_is_gone_is_found_by_the_check() {
        let store = fragile();
        store.raw.as_ref().unwrap().0.lock().unwrap().remove(b"ra".as_slice());
        assert!(matches!(store.check(), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_record_that_went_back_in_time_is_found_by_the_check() {
        let store = fragile();
        let old = store.raw.as_ref().unwrap().get(b"ra").unwrap().unwrap();
        store.put_batch(&[(b"a".to_vec(), Some(b"newer".to_vec()))]).unwrap();
        store.check().unwrap();
        store.raw.as_ref().unwrap().0.lock().unwrap().insert(b"ra".to_vec(), old);
        assert!(matches!(store.check(), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn records_that_lost_their_head_are_found_by_the_check() {
        let map = fragile().raw.as_ref().unwrap().0.lock().unwrap().clone();
        let headless = map.into_iter().filter(|(key, _)| key != HEAD).collect();
        let dir = tempfile::tempdir().unwrap();
        let store = open(headless, dir.path()).unwrap();
        assert!(matches!(store.check(), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_backend_that_went_back_to_an_older_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(BTreeMap::new(), dir.path()).unwrap();
        store.put_batch(&[(b"a".to_vec(), Some(b"old".to_vec()))]).unwrap();
        let older = store.raw.as_ref().unwrap().0.lock().unwrap().clone();
        store.put_batch(&[(b"a".to_vec(), Some(b"new".to_vec()))]).unwrap();
        open(older.clone(), dir.path()).unwrap();
        store.flush().unwrap();
        let error = open(older, dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}
