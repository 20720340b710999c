//! What a mind keeps: its tasks, the salts of its commitments, and files that tools put aside.
//!
//! Everything lies in the agent's `mind/` folder, which is the only one that a fenced mind can
//! write to, and all of it may be erased: the journal holds commitments to it, not the text.

use crate::{AgentError, Task};
use marque_store::{Backend, Store};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The longest name of a kept file, in bytes.
const MAX_NAME: usize = 64;

/// The mind's own folder.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    store: Arc<dyn Store>,
    kept: PathBuf,
}

/// Something said in a step, with the salt of its commitment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Said {
    /// The step.
    pub(crate) step: u32,
    /// `call`, `result` or `answer`.
    pub(crate) what: &'static str,
    salt: String,
    value: String,
}

impl Said {
    /// A text with a fresh salt.
    pub(crate) fn new(step: u32, what: &'static str, value: String) -> Result<Self, AgentError> {
        Ok(Self { step, what, salt: random_hex::<16>()?, value })
    }

    /// `SHA-256(salt || value)`, the salt as it is kept: in hex.
    pub(crate) fn commitment(&self) -> alloy_primitives::B256 {
        let hash = Sha256::new().chain_update(&self.salt).chain_update(&self.value).finalize();
        alloy_primitives::B256::from_slice(&hash)
    }
}

/// `N` random bytes in hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, AgentError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|error| AgentError::Memory(error.to_string()))?;
    Ok(hex::encode(bytes))
}

impl Memory {
    /// Opens the folder, which is made if it is not there.
    pub(crate) async fn open(dir: &Path) -> Result<Self, AgentError> {
        let dir = dir.to_owned();
        blocking(move || {
            let kept = dir.join("kept");
            fs::create_dir_all(&kept).map_err(|error| cannot("make", &kept, &error))?;
            let store = marque_store::open(&dir.join("tasks"), Backend::Sled)?;
            Ok(Self { store: store.into(), kept })
        })
        .await
    }

    /// Writes a task down, with what was said in the transition; durable when it returns.
    pub(crate) async fn save(&self, task: &Task, said: Option<&Said>) -> Result<(), AgentError> {
        let mut batch = vec![(task_key(task.id()), Some(task.to_bytes()?))];
        if let Some(said) = said {
            let key = format!("said/{}/{}/{}", task.id(), said.step, said.what);
            let value =
                serde_json::to_vec(said).map_err(|error| AgentError::Memory(error.to_string()))?;
            batch.push((key.into_bytes(), Some(value)));
        }
        let store = Arc::clone(&self.store);
        blocking(move || {
            store.put_batch(&batch)?;
            Ok(store.flush()?)
        })
        .await
    }

    /// The task of this name.
    pub(crate) async fn task(&self, id: &str) -> Result<Option<Task>, AgentError> {
        let (store, key) = (Arc::clone(&self.store), task_key(id));
        let bytes = blocking(move || Ok(store.get(&key)?)).await?;
        bytes.map(|bytes| Task::from_bytes(&bytes)).transpose()
    }

    /// All tasks, by name.
    pub(crate) async fn tasks(&self) -> Result<Vec<Task>, AgentError> {
        let store = Arc::clone(&self.store);
        let rows = blocking(move || Ok(store.scan(b"task/")?)).await?;
        rows.iter().map(|(_, bytes)| Task::from_bytes(bytes)).collect()
    }

    /// Keeps a file under a name, in place of one that had it before.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), AgentError> {
        let path = self.path(name)?;
        let beside = self.kept.join(format!(".{name}.new"));
        fs::write(&beside, bytes)
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(|error| cannot("write", &path, &error))
    }

    /// A kept file.
    pub(crate) fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, AgentError> {
        let path = self.path(name)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    /// Where a file of this name lies; never outside the folder.
    fn path(&self, name: &str) -> Result<PathBuf, AgentError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.');
        if !fits || !name.bytes().all(plain) {
            return Err(AgentError::Memory(format!(
                "{name:?} is not a name for a file; use letters, digits, \"-\", \"_\" and \".\""
            )));
        }
        Ok(self.kept.join(name))
    }
}

fn task_key(id: &str) -> Vec<u8> {
    format!("task/{id}").into_bytes()
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> AgentError {
    AgentError::Memory(format!("cannot {what} {}: {error}", path.display()))
}

/// Runs something that blocks where it does not hold up others.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(AgentError::Memory(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskLimits;

    #[tokio::test]
    async fn a_task_is_there_again_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let task = Task::new("one", "goal", TaskLimits::default()).unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        let said = Said::new(0, "call", "text".to_owned()).unwrap();
        memory.save(&task, Some(&said)).await.unwrap();
        drop(memory);
        let memory = Memory::open(dir.path()).await.unwrap();
        assert_eq!(memory.task("one").await.unwrap(), Some(task.clone()));
        assert_eq!(memory.tasks().await.unwrap(), [task]);
        assert_eq!(memory.task("two").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_kept_file_cannot_lie_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        memory.keep("page.csv", b"1").unwrap();
        memory.keep("page.csv", b"2").unwrap();
        assert_eq!(memory.kept("page.csv").unwrap(), Some(b"2".to_vec()));
        assert_eq!(memory.kept("other").unwrap(), None);
        for name in ["", "..", "../x", "/etc/passwd", "a/b", ".hidden", "a\0b", "ü"] {
            assert!(memory.keep(name, b"").is_err(), "{name:?}");
        }
    }

    #[test]
    fn equal_texts_have_different_commitments() {
        let one = Said::new(0, "call", "same".to_owned()).unwrap();
        let two = Said::new(0, "call", "same".to_owned()).unwrap();
        assert_ne!(one.commitment(), two.commitment());
    }
}
