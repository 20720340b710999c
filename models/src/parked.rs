//! A session's state as a file, for as long as the session sleeps.
//!
//! llama.cpp reads lengths and positions out of a state and believes them, so a state is read back
//! only if this library wrote it: [`Parked`] holds the hash of the file, and is kept where the
//! session's owner keeps what it trusts. The bytes that are hashed are the bytes that are used; a
//! file that changes in between does not matter. A state also says of which model and settings it
//! is. Whatever does not fit is refused, and the session's next request computes it anew.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::Shape;
use crate::error::ModelError;

const MAGIC: &[u8; 12] = b"marque-kv 1\n";
/// What wrote the state; another one may lay it out differently
/// (`the_binding_names_the_llama_cpp_that_is_linked`).
const LLAMA_CPP: &str = "llama-cpp-sys-2 =0.1.161";
/// Nothing larger is read into memory.
const MAX_SIZE: u64 = 16 << 30;

/// What a state is of.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// SHA-256 over model, settings and library.
    digest: [u8; 32],
}

impl Binding {
    /// Names the state of a model with these settings. Threads are no part of it.
    pub(crate) fn new(model_sha256: &str, shape: Shape) -> Self {
        let mut hash = Sha256::new();
        hash.update(model_sha256);
        let layout = if shape.pool.is_some() { "pooled" } else { "apart" };
        hash.update(format!("/{}/{:?}/{layout}/", shape.context, shape.profile));
        hash.update(LLAMA_CPP);
        Self { digest: hash.finalize().into() }
    }
}

/// A session that was written to a file. Keep it as you keep what you trust: who can change it
/// can make llama.cpp read any file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parked {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file in lower-case hex.
    pub sha256: String,
    /// Tokens of the session.
    pub tokens: u32,
    /// Bytes of the file.
    pub size: u64,
}

impl Parked {
    /// Removes the file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What a file holds.
pub(crate) struct Content {
    pub(crate) tokens: Vec<LlamaToken>,
    pub(crate) state: Vec<u8>,
}

/// Writes a state into `folder`, under its hash.
pub(crate) fn write(
    folder: &Path,
    binding: &Binding,
    tokens: &[LlamaToken],
    state: &[u8],
) -> Result<Parked, ModelError> {
    let mut head = MAGIC.to_vec();
    head.extend(binding.digest);
    head.extend((tokens.len() as u64).to_le_bytes());
    head.extend(tokens.iter().flat_map(|token| token.0.to_le_bytes()));
    let mut hash = Sha256::new();
    hash.update(&head);
    hash.update(state);
    let sha256 = hex::encode(hash.finalize());
    let path = folder.join(format!("{sha256}.kv"));
    let partial = path.with_extension("kv.partial");
    let written = fs::create_dir_all(folder)
        .and_then(|()| private(&partial))
        .and_then(|mut file| file.write_all(&head).and_then(|()| file.write_all(state)))
        .and_then(|()| fs::rename(&partial, &path));
    written.map_err(|error| ModelError::Parked(format!("{}: {error}", path.display())))?;
    let size = (head.len() as u64).saturating_add(state.len() as u64);
    Ok(Parked { path, sha256, tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX), size })
}

/// A conversation is nobody else's business.
fn private(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Reads a state back, if it is the one that was written.
pub(crate) fn read(parked: &Parked, binding: &Binding) -> Result<Content, ModelError> {
    let refuse = |why: String| ModelError::Parked(format!("{}: {why}", parked.path.display()));
    let size = fs::metadata(&parked.path).map_err(|error| refuse(error.to_string()))?.len();
    if size != parked.size || size > MAX_SIZE {
        return Err(refuse(format!("it has {size} bytes instead of {}", parked.size)));
    }
    let mut bytes = fs::read(&parked.path).map_err(|error| refuse(error.to_string()))?;
    if hex::encode(Sha256::digest(&bytes)) != parked.sha256 {
        return Err(refuse("it is not the file that was written".to_owned()));
    }
    let damaged = || refuse("it is damaged".to_owned());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (found, rest) = rest.split_at_checked(32).ok_or_else(damaged)?;
    if found != binding.digest {
        return Err(refuse("it is of another model or of other settings".to_owned()));
    }
    let (count, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| damaged())?;
    let length = count.checked_mul(4).ok_or_else(damaged)?;
    let (tokens, state) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let (words, _) = tokens.as_chunks::<4>();
    let tokens = words.iter().map(|word| LlamaToken(i32::from_le_bytes(*word))).collect();
    let head = bytes.len().saturating_sub(state.len());
    Ok(Content { tokens, state: bytes.split_off(head) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(context: u32) -> Binding {
        let profile = crate::llama::Profile::Fast;
        let pool = Some(1_024);
        Binding::new("model", Shape { context, lanes: 4, pool, batch: 64, threads: 1, profile })
    }

    #[test]
    fn the_binding_names_the_llama_cpp_that_is_linked() {
        let manifest = include_str!("../../Cargo.toml");
        let line = manifest.lines().find(|line| line.starts_with("llama-cpp-sys-2")).unwrap();
        let version = line.split('"').nth(1).unwrap();
        assert_eq!(LLAMA_CPP, format!("llama-cpp-sys-2 {version}"));
    }

    #[test]
    fn a_parked_file_that_was_touched_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = [LlamaToken(3), LlamaToken(70_000)];
        let parked = write(folder.path(), &binding(512), &tokens, b"state").unwrap();
        let content = read(&parked, &binding(512)).unwrap();
        assert_eq!(
            (content.tokens.as_slice(), content.state.as_slice()),
            (&tokens[..], &b"state"[..])
        );

        let other = read(&parked, &binding(256)).map(drop).unwrap_err().to_string();
        assert!(other.contains("of another model or of other settings"), "{other}");
        let whole = fs::read(&parked.path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&parked.path, bytes).unwrap();
            let error = read(&parked, &binding(512)).map(drop).unwrap_err().to_string();
            assert!(error.contains("not the file that was written"), "byte {at}: {error}");
        }
        fs::write(&parked.path, &whole[1..]).unwrap();
        assert!(read(&parked, &binding(512)).is_err());
        parked.clone().discard().unwrap();
        assert!(read(&parked, &binding(512)).is_err());
    }
}
