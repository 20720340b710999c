//! Which tasks are kept, and how the one is found that a goal goes on with.
//!
//! Each task has a mark beside it, written in the same batch: `open/HASH/NAME` by its goal while it goes
//! on, `over/TURN/NAME` by its turn once it is over. So a goal finds its unfinished task without a look at
//! the others; and of the tasks that are over the oldest goes when there are more than are kept, with all
//! that was said and spent in it. What lies below a call has no mark: it is found by its place, and goes
//! with the task that it is below.
//!
//! Whoever begins a task anew that went pays nothing twice: its intents have the ids that they had, and
//! those are the steward's to remember.
//!
//! INVARIANT: what is not over stays, and so does everything below it (pinned by
//! `tests::of_the_tasks_that_are_over_the_newest_stay_whole`).

use super::{Memory, blocking, notes, task_key};
use crate::{AgentError, Task, cx::lock};
use marque_store::{Store, StoreError, Write};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const OPEN: &str = "open/";
const OVER: &str = "over/";

/// Is there once the tasks of an older program have their marks.
const MARKED: &[u8] = b"marked/1";

impl Memory {
    /// The names of the unfinished tasks with this goal.
    pub(crate) async fn unfinished(&self, goal: &str) -> Result<Vec<String>, AgentError> {
        let (store, prefix) = (Arc::clone(&self.store), open_prefix(goal));
        let rows = blocking(move || Ok(store.scan(prefix.as_bytes())?)).await?;
        Ok(rows.iter().filter_map(|(key, _)| Some(last(key, 2)?.to_owned())).collect())
    }

    /// Writes a task that goes on, with its mark.
    pub(super) fn put_open(&self, task: &Task, mut batch: Vec<Write>) -> Result<(), AgentError> {
        if top(task.id()) == task.id() {
            batch.push((open_key(task), Some(Vec::new())));
        }
        Ok(self.store.put_batch(&batch)?)
    }

    /// Writes a task that is over, with its mark, and lets the oldest such go where there are too many.
    pub(super) fn put_over(&self, task: &Task, mut batch: Vec<Write>) -> Result<(), AgentError> {
        let _one = lock(&self.turns);
        let (store, id) = (self.store.as_ref(), task.id());
        let is_whole = top(id) == id || store.get(&task_key(top(id)))?.is_none();
        batch.push((open_key(task), None));
        if !is_whole {
            return Ok(store.put_batch(&batch)?);
        }
        let (again, before): (Vec<_>, Vec<_>) = store
            .scan(OVER.as_bytes())?
            .into_iter()
            .map(|(key, _)| key)
            .partition(|key| last(key, 2) == Some(id));
        let newest = before.iter().chain(&again).filter_map(|key| turn(key)).max();
        batch.extend(again.into_iter().map(|key| (key, None)));
        batch.push((
            over_key(newest.map_or(0, |turn| turn.saturating_add(1)), id),
            Some(Vec::new()),
        ));
        store.put_batch(&batch)?;
        let too_many = before.len().saturating_add(1).saturating_sub(self.finished.max(1));
        for key in before.into_iter().take(too_many) {
            let mut gone = last(&key, 2).map_or(Ok(Vec::new()), |id| whole(store, id))?;
            gone.push(key);
            let batch: Vec<_> = gone.into_iter().map(|key| (key, None)).collect();
            store.put_batch(&batch)?;
        }
        Ok(())
    }
}

/// Gives the tasks that an older program left their marks: those that are over by when they were.
pub(super) fn mark(store: &dyn Store) -> Result<(), AgentError> {
    if store.get(MARKED)?.is_some() {
        return Ok(());
    }
    let old = store.scan(OVER.as_bytes())?;
    let mut batch: Vec<Write> = old.into_iter().map(|(key, _)| (key, None)).collect();
    let mut over = Vec::new();
    for (_, bytes) in store.scan(b"task/")? {
        // What cannot be read is told to whoever asks for it by its name.
        let Ok(task) = Task::from_bytes(&bytes) else { continue };
        let id = task.id();
        if task.is_over() && (top(id) == id || store.get(&task_key(top(id)))?.is_none()) {
            over.push((notes::ended(store, id)?, id.to_owned()));
        } else if !task.is_over() && top(id) == id {
            batch.push((open_key(&task), Some(Vec::new())));
        }
    }
    over.sort();
    let marks = over.iter().zip(0..).map(|((_, id), turn)| (over_key(turn, id), Some(Vec::new())));
    batch.extend(marks);
    batch.push((MARKED.to_vec(), Some(Vec::new())));
    Ok(store.put_batch(&batch)?)
}

/// The keys of all that was written down of a task, the tasks below it included. The name of another may
/// begin with this one's and a slash: that one is not below it. What a task below one that is kept elsewhere
/// has spent stays: the one above counts it against its limit (`purse`).
fn whole(store: &dyn Store, id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = vec![task_key(id)];
    // `task/ID/STEP.NAME`, `said/ID/STEP/WHAT` and `spent/ID/STEP/ORDINAL/ATTEMPT`: so many parts are
    // its own, and what has a step with a name is below it.
    let mut kinds = vec![("task", 0), ("said", 2)];
    kinds.extend((top(id) == id).then_some(("spent", 3)));
    for (kind, parts) in kinds {
        let prefix = format!("{kind}/{id}/");
        for (key, _) in store.scan(prefix.as_bytes())? {
            let rest = key.get(prefix.len()..).and_then(|rest| str::from_utf8(rest).ok());
            let rest = rest.unwrap_or_default();
            let is_own = step(rest).is_some_and(|after| after.starts_with('/'))
                && rest.split('/').count() == parts;
            if is_own || is_below(rest) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

/// The task above all others that this one is below; itself where it is below none.
fn top(id: &str) -> &str {
    let mut slashes = id.match_indices('/');
    let below = slashes.find(|(at, _)| id.get(at + 1..).is_some_and(is_below));
    below.and_then(|(at, _)| id.get(..at)).unwrap_or(id)
}

/// Whether a name goes on as that of a task below a call: `STEP.NAME`.
fn is_below(rest: &str) -> bool {
    step(rest).is_some_and(|after| after.starts_with('.'))
}

/// What follows the number of a step.
fn step(text: &str) -> Option<&str> {
    let after = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    (after.len() < text.len()).then_some(after)
}

fn open_prefix(goal: &str) -> String {
    format!("{OPEN}{}/", hex::encode(Sha256::digest(goal)))
}

fn open_key(task: &Task) -> Vec<u8> {
    format!("{}{}", open_prefix(task.goal()), task.id()).into_bytes()
}

fn over_key(turn: u64, id: &str) -> Vec<u8> {
    format!("{OVER}{turn:016x}/{id}").into_bytes()
}

fn turn(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(key).ok()?.split('/').nth(1)?, 16).ok()
}

/// What follows so many slashes of a key.
fn last(key: &[u8], slashes: usize) -> Option<&str> {
    str::from_utf8(key).ok()?.splitn(slashes + 1, '/').nth(slashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TaskLimits, memory::Said, task::Feed};
    use std::{path::Path, time::Duration};

    async fn memory(dir: &Path, finished: usize) -> Memory {
        Memory::open(dir).await.unwrap().holding(finished)
    }

    fn task(id: &str, goal: &str) -> Task {
        Task::new(id, goal, TaskLimits::default()).unwrap()
    }

    /// Writes down that a task was begun, what its first step said and what it spent.
    async fn begin(memory: &Memory, id: &str, goal: &str) {
        let said = Said::new(0, "result", format!("of {id}")).unwrap();
        memory.save(&task(id, goal), Some(&said)).await.unwrap();
        let spent = (format!("spent/{id}/0/1/0").into_bytes(), Some(b"{}".to_vec()));
        memory.store.put_batch(&[spent]).unwrap();
    }

    async fn end(memory: &Memory, id: &str, goal: &str) {
        let mut task = task(id, goal);
        let text = r#"{"tool":"finish","args":{"answer":"done"}}"#.to_owned();
        task.feed(Feed::Thought { text, tokens: 1 }, Duration::ZERO).unwrap();
        memory.save(&task, None).await.unwrap();
    }

    fn keys(memory: &Memory, id: &str) -> usize {
        let of = |kind: &str| memory.store.scan(format!("{kind}/{id}").as_bytes()).unwrap().len();
        of("task") + of("said") + of("spent")
    }

    #[tokio::test]
    async fn of_the_tasks_that_are_over_the_newest_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let memory = memory(dir.path(), 2).await;
        for id in ["open", "z", "z/0.0", "z/0.0/1.sub", "z/7", "z/wind", "y", "x", "z/0.0/lost"] {
            begin(&memory, id, "goal").await;
        }
        for id in ["z/0.0/1.sub", "z/0.0", "z", "y"] {
            end(&memory, id, "goal").await;
        }
        assert!(memory.task("z/0.0").await.unwrap().is_some(), "two are kept, with what is below");
        end(&memory, "x", "goal").await;
        for gone in ["z", "z/0.0", "z/0.0/1.sub"] {
            assert_eq!(memory.task(gone).await.unwrap(), None, "{gone}");
            assert_eq!(memory.said(gone, 0, "result").await.unwrap(), None, "{gone}");
        }
        assert_eq!(keys(&memory, "z/0"), 0);
        for stays in ["open", "z/7", "z/wind", "y", "x"] {
            assert!(memory.task(stays).await.unwrap().is_some(), "{stays}");
            assert!(memory.said(stays, 0, "result").await.unwrap().is_some(), "{stays}");
        }
        assert_eq!(keys(&memory, "z"), 6, "what is not below it keeps what was said and spent");
        let remembered = memory.recall("goal", 9, "none", Default::default()).await.unwrap();
        assert_eq!(remembered.len(), 5, "what came of a task is remembered for longer");
    }

    #[tokio::test]
    async fn a_task_below_one_that_is_kept_elsewhere_goes_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let memory = memory(dir.path(), 1).await;
        for id in ["far/0.0", "far/0.1"] {
            begin(&memory, id, "goal").await;
            end(&memory, id, "goal").await;
        }
        assert_eq!(keys(&memory, "far/0.0"), 1, "what it spent counts above it");
        assert_eq!(memory.store.scan(b"spent/far/0.0/").unwrap().len(), 1);
        assert_eq!(keys(&memory, "far/0.1"), 3);
    }

    #[tokio::test]
    async fn a_goal_finds_its_unfinished_tasks_and_looks_at_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let memory = memory(dir.path(), 9).await;
        memory.store.put_batch(&[(task_key("broken"), Some(b"no task".to_vec()))]).unwrap();
        for (id, goal) in [("a", "wind"), ("b", "rain"), ("c/d", "wind"), ("c/0.0", "wind")] {
            begin(&memory, id, goal).await;
        }
        assert_eq!(memory.unfinished("wind").await.unwrap(), ["a", "c/d"]);
        end(&memory, "a", "wind").await;
        assert_eq!(memory.unfinished("wind").await.unwrap(), ["c/d"]);
        assert_eq!(memory.unfinished("win").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_tasks_of_an_older_program_are_found_and_go_by_their_age() {
        let dir = tempfile::tempdir().unwrap();
        let old = memory(dir.path(), 9).await;
        for id in ["b", "a", "open"] {
            begin(&old, id, "goal").await;
        }
        for id in ["b", "a"] {
            end(&old, id, "goal").await;
            // An older one has an earlier time.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let marks = [OPEN, OVER, "marked/"].map(|kind| old.store.scan(kind.as_bytes()).unwrap());
        let none: Vec<_> = marks.concat().into_iter().map(|(key, _)| (key, None)).collect();
        old.store.put_batch(&none).unwrap();
        drop(old);
        let new = memory(dir.path(), 2).await;
        assert_eq!(new.unfinished("goal").await.unwrap(), ["open"]);
        begin(&new, "c", "goal").await;
        end(&new, "c", "goal").await;
        assert_eq!(new.task("b").await.unwrap(), None);
        assert!(new.task("a").await.unwrap().is_some());
    }
}
