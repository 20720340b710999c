//! Signed transactions that wait for the chain: an erasable file for each set of bytes, outside journal and
//! exports, sent again as they are until they are final.

use crate::error::StewardError;
use alloy_primitives::Bytes;
use marque_policies::IntentId;
use marque_store_files::{self as store, PRIVATE};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// No transaction is longer, in bytes: nodes take none of this length.
const LONGEST: u64 = 1 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps bytes, durably; with `others`, those that lie there as well.
    pub(crate) fn put(&self, id: IntentId, raw: &[u8], others: bool) -> Result<(), StewardError> {
        let path = self.path(id);
        let same = || store::read(&path, LONGEST).is_ok_and(|before| before == raw);
        if others && path.exists() && !same() {
            let free = (0_u32..).map(|n| earlier(&path, n)).find(|path| !path.exists());
            if let Some(free) = free {
                fs::rename(&path, &free).map_err(StewardError::io("keep", free))?;
            }
        }
        let written = store::replace_durably(&path, raw, PRIVATE);
        written.map_err(StewardError::io("write", path))
    }

    /// The bytes, if they are there.
    pub(crate) fn get(&self, id: IntentId) -> Result<Option<Bytes>, StewardError> {
        let path = self.path(id);
        let raw = store::read_if_there(&path, LONGEST);
        Ok(raw.map_err(StewardError::io("read", path))?.map(Bytes::from))
    }

    /// Erases what is settled.
    pub(crate) fn remove(&self, id: IntentId) {
        let path = self.path(id);
        let more = (0_u32..).map(|n| earlier(&path, n)).take_while(|path| path.exists());
        for path in more.chain([path.clone()]) {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%id, %error, "cannot erase from the outbox");
            }
        }
    }

    fn path(&self, id: IntentId) -> PathBuf {
        self.dir.join(alloy_primitives::hex::encode(id.0))
    }
}

/// Where bytes lie that were replaced by others with higher fees.
fn earlier(path: &Path, n: u32) -> PathBuf {
    path.with_extension(format!("earlier-{n}"))
}
