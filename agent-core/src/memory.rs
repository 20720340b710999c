//! What a mind keeps: its tasks, the salts of its commitments, what it remembers, and files that tools
//! put aside.
//!
//! Everything lies in the agent's `mind/` folder, which is the only one that a fenced mind can
//! write to, and all of it may be erased: the journal holds commitments to it, not the text.
//!
//! INVARIANT: a file that is kept has labels, written down before the file is, so that no crash in
//! between gives one without (pinned by `tests::a_kept_file_has_the_labels_of_what_it_was_made_from`).

mod dormant;
mod notes;
mod search;
mod tasks;

pub use notes::{Memorised, Recalled};
pub(crate) use notes::{TEXT, TOPIC};

use crate::{AgentError, Files, Task, config::DEFAULT_KEEP, cx::lock, files::FilesError};
use dormant::Dormant;
use marque_policies::{Label, Labels};
use marque_store::Store as _;
use notes::Notes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The longest name of a kept file, in bytes.
const MAX_NAME: usize = 64;

/// How the names of texts begin that were put aside. Of these only the newest stay.
const ASIDE: &str = "page-";

/// So many texts that were put aside are kept.
const ASIDES: usize = 128;

/// The mind's own folder.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) store: Arc<Dormant>,
    dir: PathBuf,
    kept: PathBuf,
    notes: Notes,
    files: Option<Files>,
    /// A file and its labels are written, and read, together.
    keeping: Arc<Mutex<()>>,
    /// So many tasks that are over are kept.
    finished: usize,
    /// One task at a time takes its turn among those that are over.
    turns: Arc<Mutex<()>>,
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
            let store = Arc::new(Dormant::open(dir.join("tasks"))?);
            tasks::mark(store.as_ref())?;
            Ok(Self {
                store,
                dir,
                kept,
                notes: Notes::default(),
                files: None,
                keeping: Arc::default(),
                finished: DEFAULT_KEEP,
                turns: Arc::default(),
            })
        })
        .await
    }

    /// The same with a folder that the owner granted.
    pub(crate) fn granting(self, files: Option<Files>) -> Self {
        Self { files, ..self }
    }

    /// The same that keeps so many tasks that are over.
    pub(crate) fn holding(self, finished: usize) -> Self {
        Self { finished, ..self }
    }

    /// A file in the granted folder, with the labels of all that this agent ever wrote there. Who else
    /// wrote it is not known, so it counts as remembered at best.
    pub(crate) async fn read_file(&self, path: &str) -> Result<(Vec<u8>, Labels), FileError> {
        let (memory, path) = (self.clone(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let bytes = memory.files.as_ref().ok_or(FilesError::None)?.read(&path)?;
            let labels = memory.labels(&file_key(&path))?.unwrap_or_default();
            Ok((bytes, labels.with(Label::Memory)))
        });
        read.await.unwrap_or_else(|error| Err(AgentError::Memory(error.to_string()).into()))
    }

    /// Writes a file in the granted folder that was made from what has these labels. They are written
    /// down first, and those that a file of this path had stay.
    pub(crate) async fn write_file(
        &self,
        path: &str,
        bytes: Vec<u8>,
        labels: Labels,
    ) -> Result<(), FileError> {
        let (memory, path) = (self.clone(), path.to_owned());
        let written = tokio::task::spawn_blocking(move || {
            let files = memory.files.as_ref().ok_or(FilesError::None)?;
            if !files.is_writable() {
                return Err(FilesError::ReadOnly.into());
            }
            let key = file_key(&path);
            let old = memory.labels(&key)?;
            let all = old.clone().unwrap_or_default().join(&labels);
            if old.as_ref() != Some(&all) {
                memory.label(&key, &all)?;
            }
            Ok(files.write(&path, &bytes)?)
        });
        written.await.unwrap_or_else(|error| Err(AgentError::Memory(error.to_string()).into()))
    }

    /// The mind's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.dir
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
        let memory = self.clone();
        let task = task.clone();
        blocking(move || {
            if !task.is_over() {
                memory.put_open(&task, batch)?;
                return Ok(memory.store.flush()?);
            }
            memory.put_over(&task, batch)?;
            memory.store.flush()?;
            memory.episode(&task)
        })
        .await
    }

    /// The task of this name.
    pub(crate) async fn task(&self, id: &str) -> Result<Option<Task>, AgentError> {
        let (store, key) = (Arc::clone(&self.store), task_key(id));
        let bytes = blocking(move || Ok(store.get(&key)?)).await?;
        bytes.map(|bytes| Task::from_bytes(&bytes)).transpose()
    }

    /// What was said in a step.
    pub(crate) async fn said(
        &self,
        task: &str,
        step: u32,
        what: &str,
    ) -> Result<Option<String>, AgentError> {
        let (store, key) = (Arc::clone(&self.store), format!("said/{task}/{step}/{what}"));
        let bytes = blocking(move || Ok(store.get(key.as_bytes())?)).await?;
        let value = bytes.map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes));
        let value = value.transpose().map_err(|error| AgentError::Memory(error.to_string()))?;
        Ok(value.and_then(|said| said.get("value")?.as_str().map(str::to_owned)))
    }

    /// Keeps a file that was made from what has these labels, in place of one of the same name.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8], labels: &Labels) -> Result<(), AgentError> {
        let _one = lock(&self.keeping);
        let path = self.path(name)?;
        let key = format!("kept/{name}");
        // The old file's labels are good for the new one until it is there.
        let old = self.labels(&key)?;
        let both = old.clone().unwrap_or_default().join(labels);
        if old.as_ref() != Some(&both) {
            self.label(&key, &both)?;
        }
        let beside = self.kept.join(format!(".{name}.new"));
        fs::write(&beside, bytes)
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(|error| cannot("write", &path, &error))?;
        if both == *labels { Ok(()) } else { self.label(&key, labels) }
    }

    /// A kept file, and the labels of what it was made from. Of one that was there before labels were
    /// kept, or that somebody else put there, nothing is known but that it was remembered.
    pub(crate) fn kept(&self, name: &str) -> Result<Option<(Vec<u8>, Labels)>, AgentError> {
        let _one = lock(&self.keeping);
        let path = self.path(name)?;
        match fs::read(&path) {
            Ok(bytes) => {
                let labels = self.labels(&format!("kept/{name}"))?.unwrap_or_default();
                Ok(Some((bytes, labels.with(Label::Memory))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    /// Keeps a text under a name that follows from it. Of such texts the newest stay.
    pub(crate) fn put_aside(&self, text: &str, labels: &Labels) -> Result<String, AgentError> {
        let hash = hex::encode(Sha256::digest(text));
        let name = format!("{ASIDE}{}.txt", hash.get(..12).unwrap_or_default());
        self.keep(&name, text.as_bytes(), labels)?;
        let listing = |error| cannot("list", &self.kept, &error);
        let mut asides = Vec::new();
        for entry in fs::read_dir(&self.kept).map_err(listing)? {
            let entry = entry.map_err(listing)?;
            let aside = entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE));
            if aside && let Ok(written) = entry.metadata().and_then(|about| about.modified()) {
                asides.push((written, entry.path()));
            }
        }
        asides.sort();
        let left_over = asides.len().saturating_sub(ASIDES);
        for (_, path) in asides.into_iter().take(left_over) {
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                self.store.put_batch(&[(format!("labels/kept/{name}").into_bytes(), None)])?;
            }
        }
        Ok(name)
    }

    /// The labels that were written down under a key, if any were.
    pub(crate) fn labels(&self, key: &str) -> Result<Option<Labels>, AgentError> {
        let bytes = self.store.get(format!("labels/{key}").as_bytes())?;
        let read = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).map_err(|error| {
                AgentError::Memory(format!("the labels of {key} cannot be read: {error}"))
            })
        };
        bytes.map(read).transpose()
    }

    /// Writes labels down under a key; durable when it returns.
    pub(crate) fn label(&self, key: &str, labels: &Labels) -> Result<(), AgentError> {
        let bytes =
            serde_json::to_vec(labels).map_err(|error| AgentError::Memory(error.to_string()))?;
        self.store.put_batch(&[(format!("labels/{key}").into_bytes(), Some(bytes))])?;
        Ok(self.store.flush()?)
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

/// Why a granted file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The folder says no.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The memory of its labels cannot be read or written.
    #[error(transparent)]
    Memory(#[from] AgentError),
}

/// Under which key a file's labels are: a path may be longer than a key.
fn file_key(path: &str) -> String {
    format!("file/{}", hex::encode(Sha256::digest(path)))
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
        assert_eq!(memory.task("one").await.unwrap(), Some(task));
        assert_eq!(memory.unfinished("goal").await.unwrap(), ["one"]);
        assert_eq!(memory.task("two").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_kept_file_cannot_lie_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        let labels = Labels::default();
        memory.keep("page.csv", b"1", &labels).unwrap();
        memory.keep("page.csv", b"2", &labels).unwrap();
        let labels_then = Labels::default().with(Label::Memory);
        assert_eq!(memory.kept("page.csv").unwrap(), Some((b"2".to_vec(), labels_then)));
        assert_eq!(memory.kept("other").unwrap(), None);
        for name in ["", "..", "../x", "/etc/passwd", "a/b", ".hidden", "a\0b", "ü"] {
            assert!(memory.keep(name, b"", &labels).is_err(), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_kept_file_has_the_labels_of_what_it_was_made_from() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        let web = |host: &str| Labels::default().with(Label::Web(host.to_owned()));
        memory.keep("latest", b"1", &web("a.example")).unwrap();
        memory.keep("latest", b"2", &web("b.example")).unwrap();
        drop(memory);
        let memory = Memory::open(dir.path()).await.unwrap();
        let (bytes, labels) = memory.kept("latest").unwrap().unwrap();
        assert_eq!((bytes, labels), (b"2".to_vec(), web("b.example").with(Label::Memory)));
        fs::write(dir.path().join("kept/planted"), "x").unwrap();
        let (_, labels) = memory.kept("planted").unwrap().unwrap();
        assert_eq!(labels, Labels::default().with(Label::Memory));
    }

    #[tokio::test]
    async fn of_the_texts_that_were_put_aside_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        memory.keep("receipt.json", b"{}", &Labels::default()).unwrap();
        let aside = |text: String| memory.put_aside(&text, &Labels::default()).unwrap();
        let first = aside("first".to_owned());
        assert_eq!(aside("first".to_owned()), first, "a text that is there already");
        let names: Vec<_> = (0..ASIDES).map(|n| aside(n.to_string())).collect();
        assert_eq!(memory.kept(&first).unwrap(), None);
        assert!(names.iter().all(|name| memory.kept(name).unwrap().is_some()));
        assert!(memory.kept("receipt.json").unwrap().is_some());
    }

    #[test]
    fn equal_texts_have_different_commitments() {
        let one = Said::new(0, "call", "same".to_owned()).unwrap();
        let two = Said::new(0, "call", "same".to_owned()).unwrap();
        assert_ne!(one.commitment(), two.commitment());
    }
}
