//! Signed transactions that wait for the chain: an erasable file for each set of bytes, outside journal and
//! exports, sent again as they are until they are final.

use crate::error::StewardError;
use alloy_primitives::Bytes;
use marque_policies::IntentId;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

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
        let same = || fs::read(&path).is_ok_and(|before| before == raw);
        if others && path.exists() && !same() {
            let free = (0_u32..).map(|n| earlier(&path, n)).find(|path| !path.exists());
            if let Some(free) = free {
                fs::rename(&path, &free).map_err(StewardError::io("keep", free))?;
            }
        }
        let new = path.with_extension("new");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(raw)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(StewardError::io("write", path.clone()))
    }

    /// The bytes, if they are there.
    pub(crate) fn get(&self, id: IntentId) -> Result<Option<Bytes>, StewardError> {
        let path = self.path(id);
        match fs::read(&path) {
            Ok(raw) => Ok(Some(raw.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StewardError::io("read", path)(error)),
        }
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
