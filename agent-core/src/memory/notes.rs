//! What an agent remembers, and how it finds it again.
//!
//! - **Working** memory is the task itself. Of a long one the model is shown the newest; what it was
//!   shown once is found again here, whole.
//! - **Episodic** memory is a line for each task that came to its end: the goal, and what came of it.
//! - **Long-term** memory is what a tool was told to remember, a text a topic.
//!
//! INVARIANT: labels are kept for ever. What is remembered carries the labels of everything that the
//! task had seen by then; a topic that is written anew keeps those that it had; and whoever recalls it
//! joins them to the call's own, so that they are part of every later intent and of every later
//! summary (pinned by `tests/mind/memory.rs::what_came_from_the_web_stays_so_through_any_summaries`).

use super::{Memory, blocking, search::Index};
use crate::{AgentError, Task, cx::lock, task::Want};
use marque_policies::Labels;
use marque_store::Store;
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

/// The version in which texts are written. Newer ones are refused.
const VERSION: u16 = 1;
/// The longest topic, in characters.
pub(crate) const TOPIC: usize = 80;
/// The longest text that is remembered, in characters.
pub(crate) const TEXT: usize = 2_000;
/// So many topics are remembered, and so many tasks; then the oldest goes.
const MOST: usize = 4_096;

const NOTE: &str = "note/";
const EPISODE: &str = "episode/";

/// Where something was remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memorised {
    /// By this task, which has seen it in one of its steps.
    Step,
    /// As the outcome of another task.
    Task,
    /// Because a tool was told to.
    Note,
}

/// Something that was recalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// How it came to be remembered.
    pub by: Memorised,
    /// What it is about: a topic, a task's goal, or a step.
    pub topic: String,
    /// The whole of it.
    pub text: String,
    /// Where everything in it came from.
    pub labels: Labels,
    /// When it was written, in Unix milliseconds of the mind's clock.
    pub at: u64,
}

/// As it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u16,
    at: u64,
    topic: String,
    text: String,
    labels: Labels,
}

impl Kept {
    fn new(topic: &str, text: &str, labels: Labels) -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { v: VERSION, at, topic: topic.to_owned(), text: text.to_owned(), labels }
    }

    fn read(bytes: &[u8]) -> Result<Self, AgentError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u16,
        }
        let unreadable = |error: serde_json::Error| {
            AgentError::Memory(format!("what was remembered cannot be read: {error}"))
        };
        let Versioned { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if v != VERSION {
            return Err(AgentError::Memory(format!(
                "what was remembered has version {v}, and this program knows version {VERSION}"
            )));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    fn bytes(&self) -> Result<Vec<u8>, AgentError> {
        serde_json::to_vec(self).map_err(|error| AgentError::Memory(error.to_string()))
    }

    fn recalled(self, by: Memorised) -> Recalled {
        let Self { at, topic, text, labels, .. } = self;
        Recalled { by, topic, text, labels, at }
    }
}

/// The index of what is remembered, made when it is first needed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Option<Loaded>>>);

#[derive(Debug)]
struct Loaded {
    index: Index,
    /// Keys by age, so that the oldest can go: of notes, and of episodes.
    notes: Vec<(u64, Vec<u8>)>,
    episodes: Vec<(u64, Vec<u8>)>,
}

impl Loaded {
    fn read(store: &dyn Store) -> Result<Self, AgentError> {
        let mut all = Self { index: Index::default(), notes: Vec::new(), episodes: Vec::new() };
        for (key, bytes) in [store.scan(NOTE.as_bytes())?, store.scan(EPISODE.as_bytes())?].concat()
        {
            all.put(&key, &Kept::read(&bytes)?);
        }
        Ok(all)
    }

    /// Takes a text in, and gives the key of the one that has to go for it, if there is one.
    fn put(&mut self, key: &[u8], kept: &Kept) -> Option<Vec<u8>> {
        self.index.put(key, &kept.topic, &kept.text);
        let ages =
            if key.starts_with(NOTE.as_bytes()) { &mut self.notes } else { &mut self.episodes };
        ages.retain(|(_, other)| other != key);
        let place = ages.partition_point(|(at, _)| *at <= kept.at);
        ages.insert(place, (kept.at, key.to_owned()));
        if ages.len() <= MOST {
            return None;
        }
        let (_, oldest) = ages.remove(0);
        self.index.remove(&oldest);
        Some(oldest)
    }
}

impl Memory {
    /// Remembers a text under a topic, in place of what was remembered there; durable when it
    /// returns.
    pub(crate) async fn remember(
        &self,
        topic: &str,
        text: &str,
        labels: Labels,
    ) -> Result<(), AgentError> {
        let key = format!("{NOTE}{}", topic.to_lowercase()).into_bytes();
        let mut kept = Kept::new(topic, text, labels);
        let (store, notes) = (Arc::clone(&self.store), self.notes.clone());
        blocking(move || {
            let notes = &mut *lock(&notes.0);
            if let Some(old) = store.get(&key)? {
                kept.labels = kept.labels.join(&Kept::read(&old)?.labels);
            }
            write(store.as_ref(), notes, key, &kept)
        })
        .await
    }

    /// Writes down what came of a task that is over.
    pub(super) fn episode(&self, task: &Task) -> Result<(), AgentError> {
        let outcome = match task.next() {
            Want::Done(answer) => serde_json::Value::Object(answer.clone()).to_string(),
            Want::Failed(failure) => failure.to_string(),
            _ => return Ok(()),
        };
        let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let kept =
            Kept::new(&short(task.goal(), TEXT), &short(&outcome, TEXT), task.labels().clone());
        let key = format!("{EPISODE}{}", task.id()).into_bytes();
        write(self.store.as_ref(), &mut lock(&self.notes.0), key, &kept)
    }

    /// What is remembered and fits the words best, the best first, at most so much. Steps are those
    /// of `task`, whose labels they have.
    pub(crate) async fn recall(
        &self,
        query: &str,
        most: usize,
        task: &str,
        labels: Labels,
    ) -> Result<Vec<Recalled>, AgentError> {
        let (store, notes) = (Arc::clone(&self.store), self.notes.clone());
        let (query, task) = (query.to_owned(), task.to_owned());
        blocking(move || {
            let mut found = Vec::new();
            {
                let notes = &mut *lock(&notes.0);
                let loaded = load(store.as_ref(), notes)?;
                for (key, score) in loaded.index.find(&query, most) {
                    let Some(bytes) = store.get(&key)? else { continue };
                    let note = key.starts_with(NOTE.as_bytes());
                    let by = if note { Memorised::Note } else { Memorised::Task };
                    found.push((score, Kept::read(&bytes)?.recalled(by)));
                }
            }
            for (score, (step, text)) in steps(store.as_ref(), &task, &query, most)? {
                let (topic, labels) = (format!("step {step}"), labels.clone());
                let step = Recalled { by: Memorised::Step, topic, text, labels, at: 0 };
                found.push((score, step));
            }
            found.sort_by(|(score, _), (than, _)| than.total_cmp(score));
            Ok(found.into_iter().take(most).map(|(_, recalled)| recalled).collect())
        })
        .await
    }
}

/// When a task came to its end, as far as it is remembered: Unix milliseconds.
pub(super) fn ended(store: &dyn Store, task: &str) -> Result<u64, AgentError> {
    let bytes = store.get(format!("{EPISODE}{task}").as_bytes())?;
    Ok(bytes.and_then(|bytes| Kept::read(&bytes).ok()).map_or(0, |kept| kept.at))
}

/// The index, made if it was not needed before.
fn load<'a>(
    store: &dyn Store,
    notes: &'a mut Option<Loaded>,
) -> Result<&'a mut Loaded, AgentError> {
    match notes {
        Some(loaded) => Ok(loaded),
        None => Ok(notes.insert(Loaded::read(store)?)),
    }
}

fn write(
    store: &dyn Store,
    notes: &mut Option<Loaded>,
    key: Vec<u8>,
    kept: &Kept,
) -> Result<(), AgentError> {
    let gone = load(store, notes)?.put(&key, kept);
    let mut batch = vec![(key, Some(kept.bytes()?))];
    batch.extend(gone.map(|key| (key, None)));
    store.put_batch(&batch)?;
    Ok(store.flush()?)
}

/// What a step said, and its number.
type Step = (u32, String);

/// The results of a task's own steps that fit best.
fn steps(
    store: &dyn Store,
    task: &str,
    query: &str,
    most: usize,
) -> Result<Vec<(f64, Step)>, AgentError> {
    #[derive(Deserialize)]
    struct Said {
        step: u32,
        what: String,
        value: String,
    }
    let unreadable = |error: serde_json::Error| AgentError::Memory(error.to_string());
    let mut index = Index::default();
    let mut said = std::collections::HashMap::new();
    for (key, bytes) in store.scan(format!("said/{task}/").as_bytes())? {
        let Said { step, what, value } = serde_json::from_slice(&bytes).map_err(unreadable)?;
        // Another task's name may begin with this one's and a slash: its steps have other labels.
        let own = key == format!("said/{task}/{step}/{what}").into_bytes();
        if own && what == "result" {
            index.put(&key, "", &value);
            said.insert(key, (step, value));
        }
    }
    let found = index.find(query, most).into_iter();
    Ok(found.filter_map(|(key, score)| Some((score, said.remove(&key)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TaskLimits, task::Feed};
    use marque_policies::Label;
    use std::time::Duration;

    fn web() -> Labels {
        Labels::default().with(Label::Web("evil.example".to_owned()))
    }

    async fn memory() -> (tempfile::TempDir, Memory) {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).await.unwrap();
        (dir, memory)
    }

    async fn recall(memory: &Memory, query: &str) -> Vec<(Memorised, String, Labels)> {
        let found = memory.recall(query, 5, "none", Labels::default()).await.unwrap();
        found.into_iter().map(|it| (it.by, it.text, it.labels)).collect()
    }

    #[tokio::test]
    async fn a_topic_is_written_anew_and_keeps_the_labels_that_it_had() {
        let (dir, memory) = memory().await;
        memory.remember("Ferry", "leaves at nine", web()).await.unwrap();
        let own = Labels::default().with(Label::Owner);
        memory.remember("ferry", "leaves at ten", own.clone()).await.unwrap();
        let expected = [(Memorised::Note, "leaves at ten".to_owned(), own.join(&web()))];
        assert_eq!(recall(&memory, "ferry").await, expected);
        drop(memory);
        let memory = Memory::open(dir.path()).await.unwrap();
        assert_eq!(recall(&memory, "ferry").await, expected, "it is there after reopening");
    }

    #[tokio::test]
    async fn a_task_that_is_over_is_remembered_with_what_it_had_seen() {
        let (_dir, memory) = memory().await;
        let mut task = Task::new("t", "when does the ferry leave?", TaskLimits::default()).unwrap();
        memory.save(&task, None).await.unwrap();
        assert_eq!(recall(&memory, "ferry").await, []);
        let thought = |text: &str| Feed::Thought { text: text.to_owned(), tokens: 1 };
        task.feed(thought(r#"{"tool":"page","args":{}}"#), Duration::ZERO).unwrap();
        let result = serde_json::json!({ "text": "at nine" });
        task.feed(Feed::Observed { step: 0, result, labels: web() }, Duration::ZERO).unwrap();
        let end = thought(r#"{"tool":"finish","args":{"answer":"nine"}}"#);
        task.feed(end, Duration::ZERO).unwrap();
        memory.save(&task, None).await.unwrap();
        let [(by, text, labels)] = &recall(&memory, "ferry").await[..] else { panic!() };
        assert_eq!((*by, text.as_str()), (Memorised::Task, r#"{"answer":"nine"}"#));
        assert!(labels.0.is_superset(&web().0), "{labels:?}");
    }

    #[tokio::test]
    async fn steps_of_a_task_whose_name_begins_with_this_ones_are_not_this_ones() {
        let (_dir, memory) = memory().await;
        for name in ["a", "a/1", "a/1/0"] {
            let task = Task::new(name, "goal", TaskLimits::default()).unwrap();
            let said = super::super::Said::new(0, "result", format!("ferry {name}")).unwrap();
            memory.save(&task, Some(&said)).await.unwrap();
        }
        let found = memory.recall("ferry", 9, "a", Labels::default()).await.unwrap();
        let texts: Vec<_> = found.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["ferry a"]);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut loaded =
            Loaded { index: Index::default(), notes: Vec::new(), episodes: Vec::new() };
        let kept = |at| Kept { at, ..Kept::new("topic", "text", Labels::default()) };
        for at in 0..MOST as u64 {
            assert_eq!(loaded.put(format!("{NOTE}{at}").as_bytes(), &kept(at + 10)), None);
        }
        assert_eq!(loaded.put(b"episode/1", &kept(0)), None, "tasks are counted by themselves");
        assert_eq!(loaded.put(b"note/0", &kept(9_999)), None, "one that is there already");
        assert_eq!(loaded.put(b"note/new", &kept(9_999)), Some(b"note/1".to_vec()));
    }

    #[test]
    fn a_newer_text_is_refused_with_its_version() {
        let mut newer = Kept::new("topic", "text", Labels::default());
        newer.v = 2;
        let error = Kept::read(&newer.bytes().unwrap()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
