//! Files and folders: replaced whole or not at all, and folders that remember their names.
//!
//! No link that somebody left in a journal leads a writer out of it: see [`marque_store_files`].

use super::error::JournalError;
use marque_store_files::{self as store, Access, Folder, PRIVATE};
use std::fs::{self, File};
use std::path::Path;

/// No file of a journal is longer, in bytes: segments are the longest, 16 MiB and a group.
const LONGEST: u64 = 1 << 28;

/// Replaces `path` by `bytes` in one step for every reader. Waits for no disk: what is written
/// this way can be derived anew.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    store::replace(path, bytes, PRIVATE).map_err(JournalError::io("write", path))
}

/// Like [`replace`], and on the disk when it returns, name included.
pub(super) fn replace_durably(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    store::replace_durably(path, bytes, PRIVATE).map_err(JournalError::io("write", path))
}

/// Makes the folder at `below` in the journal's folder, where it is not there.
pub(super) fn make_folder(dir: &Path, below: &Path) -> Result<(), JournalError> {
    let make = || below.iter().try_fold(Folder::open(dir)?, |folder, name| folder.make(name));
    make().map(drop).map_err(JournalError::io("make", &dir.join(below)))
}

/// Waits until the names in `dir` are on the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    // The parent of a relative name is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(JournalError::io("sync", dir))
}

/// Opens a file of a journal.
pub(super) fn open(path: &Path, access: Access) -> Result<File, JournalError> {
    store::open(path, access).map_err(JournalError::io("open", path))
}

/// The file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, JournalError> {
    store::read(path, LONGEST).map_err(JournalError::io("read", path))
}

/// The file's bytes, or `None` where there is no file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    store::read_if_there(path, LONGEST).map_err(JournalError::io("read", path))
}

/// Removes a folder with all that is in it, where it is there; of a link only the link.
pub(super) fn remove_folder(path: &Path) -> Result<(), JournalError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(JournalError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
