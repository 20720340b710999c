//! A mind that goes on: one goal again and again, or whatever lies in its queue.
//!
//! The queue is the folder `mind/queue/`. A goal is a file `NAME.goal`, written under another name
//! and renamed, so that half of one is never read. Its task has the name of the file: a mind that is
//! killed and started again takes up where it was, and what was bought is not bought twice. When it
//! is over, `NAME.answer` lies beside it, JSON, and then the goal becomes `NAME.done`. A goal that
//! waits for the owner stays, with `NAME.held` beside it, and is tried again.
//!
//! INVARIANT: an answer is there before its goal is done, and each is there whole or not at all
//! (pinned by `tests/system/keeping.rs`).

mod queue;

use super::{Lasting, buyer, buyer::MindEvent, log::Log};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, harmless, say},
};
use marque::{home::Home, process::stop_signal};
use marque_agent_core::{Agent, AgentError};
use marque_store_files::{Folder, SHARED};
use queue::Queue;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// When a goal that had to stop is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// The file in a mind's folder that says what it does, for `marque status`.
const RECORD: &str = "work.json";

/// The longest such file that is read, in bytes: a goal in it may be long.
const LONGEST: u64 = 512 * 1024;

/// What a lasting mind is doing, as it says itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    v: u16,
    /// The process.
    pub(crate) process: u32,
    /// Unix seconds of its start.
    pub(crate) since: u64,
    /// The goal that it pursues again and again; `None` where it serves its queue.
    pub(crate) goal: Option<String>,
    /// The goal's task or the queue's file under way.
    pub(crate) under_way: Option<String>,
    /// Unix seconds of the start of the newest round, and the seconds from one to the next.
    pub(crate) round: Option<(u64, u64)>,
    /// Goals that were answered.
    pub(crate) answered: u64,
    /// Goals that came to nothing.
    pub(crate) failed: u64,
}

impl Work {
    /// What the mind of this folder does, if it does anything now.
    pub(crate) fn under_way_in(folder: &Path) -> Option<Self> {
        let work = Self::read(folder)?;
        let id = rustix::process::Pid::from_raw(i32::try_from(work.process).ok()?)?;
        rustix::process::test_kill_process(id).is_ok().then_some(work)
    }

    fn read(folder: &Path) -> Option<Self> {
        // The mind wrote it: whatever is wrong with it, there is nothing to tell.
        let bytes = marque_store_files::read(&folder.join(RECORD), LONGEST).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|work: &Self| work.v == 1)
    }

    fn write(&self, folder: &Path) -> Done {
        let bytes = serde_json::to_vec(self).doing("what the mind does")?;
        // The mind's folder may be a link to a volume of its own.
        let written = fs::canonicalize(folder)
            .and_then(|folder| Folder::open(&folder))
            .and_then(|folder| folder.replace_durably(RECORD.as_ref(), &bytes, SHARED));
        written.doing(format!("{}", folder.join(RECORD).display()))
    }
}

/// What becomes of a goal.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    v: u16,
    goal: &'a str,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A mind at work, until it is told to stop.
struct Keeper {
    agent: Agent,
    folder: PathBuf,
    log: Log,
    json: bool,
    work: Work,
}

/// Works until Ctrl-C or a supervisor's SIGTERM.
pub(super) async fn work(home: Home, lasting: Lasting) -> Done<ExitCode> {
    let stop = stop_signal();
    let folder = home.mind(&lasting.agent);
    let agent = buyer::open(&lasting.agent, lasting.model.as_deref()).await?;
    let work = Work {
        v: 1,
        process: std::process::id(),
        since: now(),
        goal: lasting.goal.clone(),
        // A mind that is started again does not begin a round before its time.
        round: Work::read(&folder).filter(|old| old.goal == lasting.goal).and_then(|old| old.round),
        ..Work::default()
    };
    let log = Log::open(&folder.join("log"))?;
    let mut keeper = Keeper { agent, folder, log, json: lasting.events, work };
    keeper.work.write(&keeper.folder)?;
    let forever = async {
        match (&lasting.goal, lasting.every) {
            (Some(goal), Some(every)) => keeper.again_and_again(goal, every).await,
            _ => keeper.serve().await,
        }
    };
    let ended = tokio::select! {
        ended = forever => ended.map(|()| ExitCode::SUCCESS),
        () = stop => Ok(ExitCode::SUCCESS),
    };
    let Keeper { folder, mut work, json, .. } = keeper;
    // What it does now is nothing; when the next round is due stays.
    (work.process, work.under_way) = (0, None);
    work.write(&folder)?;
    if !json && ended.is_ok() {
        let (answered, failed) = (work.answered, work.failed);
        say!("stopped; {answered} answered, {failed} failed; what was under way goes on next time");
    }
    ended
}

impl Keeper {
    async fn again_and_again(&mut self, goal: &str, every: Duration) -> Done {
        let period = every.as_secs();
        loop {
            if let Some((began, _)) = self.work.round {
                let due = began.saturating_add(period);
                let wait = Duration::from_secs(due.saturating_sub(now())).min(every);
                if !wait.is_zero() && !self.json {
                    detail(&format!("the next round is in {} s", wait.as_secs()));
                }
                tokio::time::sleep(wait).await;
            }
            self.work.round = Some((now(), period));
            self.work.under_way = Some(goal.to_owned());
            self.work.write(&self.folder)?;
            match self.pursue(None, goal).await? {
                Ok(answer) => self.told(&MindEvent::Answer { value: answer, after_error: None })?,
                // The unfinished task is taken up in the next round.
                Err(error) => self.told(&MindEvent::Failed { why: error.to_string() })?,
            }
            self.work.under_way = None;
        }
    }

    async fn serve(&mut self) -> Done {
        let place = self.folder.join("queue");
        let queue = Queue::open(&self.folder).doing(format!("{}", place.display()))?;
        if !self.json {
            say!("serving the goals of {}", queue.path().display());
        }
        let mut later = std::collections::BTreeMap::<String, tokio::time::Instant>::new();
        loop {
            let is_due = |name: &String| {
                later.get(name).is_none_or(|due| *due <= tokio::time::Instant::now())
            };
            let goals = queue.goals().doing(format!("{}", place.display()))?;
            let Some(name) = goals.into_iter().find(is_due) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            let over = match self.serve_one(&queue, &name).await {
                Ok(over) => over,
                // It keeps its place, and the others are not kept waiting.
                Err(Failure { message, .. }) => {
                    self.work.under_way = None;
                    self.told(&MindEvent::Failed { why: format!("{name}: {message}") })?;
                    false
                }
            };
            match over {
                true => drop(later.remove(&name)),
                false => drop(later.insert(name, tokio::time::Instant::now() + AGAIN)),
            }
        }
    }

    /// Works on a goal of the queue; says whether it is over.
    async fn serve_one(&mut self, queue: &Queue, name: &str) -> Done<bool> {
        queue.has_room_for(name).doing("its answer has no place")?;
        let text = match queue.goal(name) {
            Ok(text) => text,
            // Taken back meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => {
                answer(queue, name, "", name, Err(error.to_string()))?;
                return queue.finish(name).doing("what is no goal").map(|()| true);
            }
        };
        let task = format!("queue-{name}");
        self.work.under_way = Some(name.to_owned());
        self.work.write(&self.folder)?;
        if !self.json {
            say!("{name}: {}", harmless(&text));
        }
        let pursued = self.pursue(Some(&task), &text).await?;
        self.work.under_way = None;
        let over = match pursued {
            Ok(value) => {
                answer(queue, name, &text, &task, Ok(&value))?;
                self.told(&MindEvent::Answer { value, after_error: None })?;
                true
            }
            Err(error) if error.is_passing() => {
                let ending =
                    if matches!(error, AgentError::Held { .. }) { "held" } else { "later" };
                queue.put(name, ending, error.to_string().as_bytes()).doing("why it waits")?;
                self.told(&MindEvent::Failed { why: format!("{name}: {error}") })?;
                false
            }
            Err(error) => {
                answer(queue, name, &text, &task, Err(error.to_string()))?;
                self.told(&MindEvent::Failed { why: format!("{name}: {error}") })?;
                true
            }
        };
        if over {
            queue.finish(name).doing("what is done")?;
        }
        self.work.write(&self.folder)?;
        Ok(over)
    }

    /// Pursues a goal and tells what happens on the way. Where the steward is gone, so is the mind.
    async fn pursue(&mut self, task: Option<&str>, goal: &str) -> Done<Result<String, AgentError>> {
        let view = match self.agent.view().await {
            Ok(view) => view,
            Err(error) => return Ok(Err(error)),
        };
        let mut events: Receiver<_> = self.agent.events();
        let agent = self.agent.clone();
        let work = async {
            match task {
                Some(task) => agent.run_as::<buyer::Answer>(task, goal).await,
                None => agent.run::<buyer::Answer>(goal).await,
            }
        };
        let mut work = std::pin::pin!(work);
        let answer = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => {
                        if let Some(event) = buyer::translate(&event, &view) {
                            self.told(&event)?;
                        }
                    }
                    Err(RecvError::Lagged(_) | RecvError::Closed) => {}
                },
                answer = work.as_mut() => break answer,
            }
        };
        let answered = answer.map(|answer| answer.answer);
        let count = if answered.is_ok() { &mut self.work.answered } else { &mut self.work.failed };
        *count = count.saturating_add(1);
        Ok(answered)
    }

    /// A line for whoever watches, and one in the log.
    fn told(&mut self, event: &MindEvent) -> Done {
        buyer::tell(event, self.json)?;
        self.log.line(now(), &serde_json::to_value(event).doing("an event")?)
    }
}

/// Writes what became of a goal.
fn answer(queue: &Queue, name: &str, goal: &str, task: &str, answer: Result<&str, String>) -> Done {
    let (answer, error) = match answer {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error)),
    };
    let answered = Answered { v: 1, goal, task, answer, error };
    let bytes = serde_json::to_vec_pretty(&answered).doing("an answer")?;
    queue.put(name, "answer", &bytes).doing("the answer")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mind_says_of_itself_is_neither_waited_for_nor_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let work = Work { v: 1, process: std::process::id(), ..Work::default() };
        work.write(dir.path()).unwrap();
        assert!(Work::under_way_in(dir.path()).is_some());
        let record = dir.path().join(RECORD);
        let file = fs::File::options().write(true).open(&record).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(Work::under_way_in(dir.path()).is_none());
        fs::remove_file(&record).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &record).unwrap();
        assert!(Work::under_way_in(dir.path()).is_none());
        // One that is written stands in place of a link, not behind it.
        work.write(dir.path()).unwrap();
        assert!(fs::symlink_metadata(&record).unwrap().is_file());
    }
}
