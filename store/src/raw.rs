//! What a backend has to offer: bytes, atomic batches, order, and a flush that keeps its word.

use crate::{StoreError, Write};
use std::fmt;

/// Called with a key and its bytes.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// An ordered map on disk, without checksums of ours.
pub(crate) trait Raw: Send + Sync + fmt::Debug {
    /// The bytes of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes all or none; no key comes twice.
    fn apply(&self, batch: Vec<Write>) -> Result<(), StoreError>;
    /// Visits what begins with `prefix`, in key order.
    fn each(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;
    /// Returns when everything before it is on the disk.
    fn flush(&self) -> Result<(), StoreError>;
}
