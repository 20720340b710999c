//! The model that ships inside the library, and where it lies on disk.
//!
//! llama.cpp loads from a path only, so the bytes are written once to the cache folder of the
//! user, under their SHA-256. Whatever lies there is hashed before it is used and replaced when
//! it is something else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use sha2::{Digest, Sha256};

use crate::error::ModelError;

/// The model file, see `models/built-in/README.md`.
pub(crate) const BYTES: &[u8] = include_bytes!("../built-in/tiny-agent.gguf");

/// Overrides the cache folder.
const CACHE_VARIABLE: &str = "MARQUE_CACHE";

/// Where the model lies, after it was made sure that it does.
pub(crate) fn path() -> Result<PathBuf, ModelError> {
    in_cache(&cache()?)
}

/// The cache folder, which need not exist.
pub(crate) fn cache() -> Result<PathBuf, ModelError> {
    match std::env::var_os(CACHE_VARIABLE) {
        Some(folder) if !folder.is_empty() => Ok(PathBuf::from(folder)),
        _ => {
            let folders = ProjectDirs::from("", "", "marque").ok_or(ModelError::NoCacheFolder)?;
            Ok(folders.cache_dir().to_owned())
        }
    }
}

fn in_cache(cache: &Path) -> Result<PathBuf, ModelError> {
    let folder = cache.join("models");
    let path = folder.join(format!("{}.gguf", hex::encode(Sha256::digest(BYTES))));
    // Compared with the bytes themselves, which is what comparing hashes would tell.
    if fs::read(&path).is_ok_and(|found| found == BYTES) {
        return Ok(path);
    }
    write_whole(&folder, &path)
        .map_err(|source| ModelError::Cache { path: path.clone(), source })?;
    Ok(path)
}

/// Writes under another name and renames, so that nobody ever sees half a model.
fn write_whole(folder: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.partial", unique()));
    let written = File::create_new(&temporary)
        .and_then(|mut file| file.write_all(BYTES).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() && fs::remove_file(&temporary).is_err() {
        tracing::debug!(path = %temporary.display(), "a partial model file stays behind");
    }
    written
}

/// Differs between processes and between calls.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CALLS: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_in_the_cache_is_replaced() {
        let cache = tempfile::tempdir().unwrap();
        let path = in_cache(cache.path()).unwrap();
        let mut bytes = BYTES.to_vec();
        bytes[1_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(in_cache(cache.path()).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), BYTES);
    }

    #[test]
    fn a_whole_copy_is_left_alone_and_no_partial_file_stays() {
        let cache = tempfile::tempdir().unwrap();
        let path = in_cache(cache.path()).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        in_cache(cache.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named_with_the_remedy() {
        let cache = tempfile::NamedTempFile::new().unwrap();
        let error = in_cache(cache.path()).unwrap_err().to_string();
        assert!(error.contains("set MARQUE_CACHE"), "{error}");
    }
}
