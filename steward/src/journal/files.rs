//! Files and folders: replaced whole or not at all, and folders that remember their names.

use super::error::JournalError;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces `path` by `bytes` in one step for every reader. Waits for no disk: what is written
/// this way can be derived anew.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let new = path.with_added_extension("new");
    fs::write(&new, bytes).map_err(JournalError::io("write", &new))?;
    fs::rename(&new, path).map_err(JournalError::io("rename to", path))
}

/// Like [`replace`], and on the disk when it returns, name included.
pub(super) fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let new = path.with_added_extension("new");
    let mut file = File::create(&new).map_err(JournalError::io("create", &new))?;
    file.write_all(bytes).map_err(JournalError::io("write", &new))?;
    file.sync_all().map_err(JournalError::io("sync", &new))?;
    fs::rename(&new, path).map_err(JournalError::io("rename to", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Waits until the names in `dir` are on the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    // The parent of a relative name is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(JournalError::io("sync", dir))
}

/// The file's bytes, or `None` where there is no file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}
