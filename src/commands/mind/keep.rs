//! A mind that goes on: one goal again and again, or whatever lies in its queue.
//!
//! The queue is the folder `mind/queue/`. A goal is a file `NAME.goal`, written under another name
//! and renamed, so that half of one is never read. Its task has the name of the file: a mind that is
//! killed and started again takes up where it was, and what was bought is not bought twice. When it
//! is over, `NAME.answer` lies beside it, JSON, and then the goal becomes `NAME.done`. A goal that
//! waits for the owner stays, with `NAME.held` beside it, and is tried again. That is told once, and
//! counts as neither answered nor failed.
//!
//! INVARIANT: an answer is there before its goal is done, and each is there whole or not at all
//! (pinned by `tests/system/keeping.rs`).

mod queue;

pub(crate) use queue::{Queue, vet_name};

use super::{Lasting, buyer, buyer::MindEvent, log::Log};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, harmless, say},
};
use marque::{home::Home, process::stop_signal};
use marque_agent_core::{Agent, AgentError, Event, RUN_AGAIN};
use marque_models::ModelError;
use marque_steward_client::View;
use marque_store_files::{Folder, SHARED};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// When a goal that had to stop is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// The file in a mind's folder that says what it does, for `marque status`.
const RECORD: &str = "work.json";

/// Whoever only looks holds the lock for a moment.
const LOOKERS: Duration = Duration::from_secs(2);

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
    /// Goals that came to nothing, or to an answer after an error.
    pub(crate) failed: u64,
    /// Goals that wait for the owner, or for what was away, and are tried again.
    #[serde(default)]
    pub(crate) waiting: u64,
}

impl Work {
    /// What the mind of this folder does, if it does anything now.
    pub(crate) fn under_way_in(folder: &Path) -> io::Result<Option<Self>> {
        let held = match File::open(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(about(folder, &error)),
            Ok(held) => held,
        };
        // Shared, so that those who only look are not in each other's way.
        match held.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(about(folder, &error)),
            Ok(()) => return Ok(None),
        }
        let record = folder.join(RECORD);
        match Self::read(&record) {
            // It has just begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(about(&record, &error)),
            Ok(work) => Ok(Some(work).filter(|work| work.process != 0)),
        }
    }

    /// Shows others that the mind of this folder works, for as long as what is returned lives; `None`
    /// where another does already. What is locked is the folder itself: a file in it could be taken away
    /// and made anew, and locked by a second mind.
    fn begin(folder: &Path) -> io::Result<Option<File>> {
        let lock = File::open(folder)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) if began.elapsed() < LOOKERS => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn read(record: &Path) -> io::Result<Self> {
        let work: Self = serde_json::from_slice(&marque_store_files::read(record, LONGEST)?)?;
        match work.v {
            1 => Ok(work),
            other => {
                Err(io::Error::other(format!("it has version {other}, and this program knows 1")))
            }
        }
    }

    /// How many goals ended how.
    pub(crate) fn counts(&self) -> String {
        let waiting = match self.waiting {
            0 => String::new(),
            some => format!(", {some} waiting"),
        };
        format!("{} answered, {} failed{waiting}", self.answered, self.failed)
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
#[derive(Debug, Default, Serialize)]
struct Answered<'a> {
    v: u16,
    goal: &'a str,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The task was over before: this is what it answered then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
}

impl Answered<'_> {
    fn write(&self, queue: &Queue, name: &str) -> Done {
        let bytes = serde_json::to_vec_pretty(self).doing("an answer")?;
        queue.put(name, "answer", &bytes).doing("the answer")
    }
}

/// How a goal ended.
enum Ended {
    Answered(String),
    /// The model answered after an error: what it said is made up.
    Unreliable {
        value: String,
        why: String,
    },
    /// It had to stop, and goes on when it is tried again.
    Waits(AgentError),
    Failed(String),
}

/// A goal that had to stop.
struct Waiting {
    due: tokio::time::Instant,
    why: String,
}

/// A mind at work, until it is told to stop.
struct Keeper {
    agent: Agent,
    folder: PathBuf,
    log: Log,
    json: bool,
    work: Work,
    /// By the names of their files; a goal without one has the empty name.
    waiting: BTreeMap<String, Waiting>,
}

/// Works until Ctrl-C or a supervisor's SIGTERM.
pub(super) async fn work(home: Home, lasting: Lasting) -> Done<ExitCode> {
    let stop = stop_signal();
    let folder = home.mind(&lasting.agent);
    let agent =
        buyer::open(&home, &lasting.agent, lasting.model.as_deref(), &lasting.label).await?;
    let lock = Work::begin(&folder).doing(format!("{}", folder.display()))?;
    let _lock = lock.ok_or_else(|| buyer::at_work(&home, &lasting.agent))?;
    let work = Work {
        v: 1,
        process: std::process::id(),
        since: now(),
        goal: lasting.goal.clone(),
        // A mind that is started again does not begin a round before its time.
        round: Work::read(&folder.join(RECORD))
            .ok()
            .filter(|old| old.goal == lasting.goal)
            .and_then(|old| old.round),
        ..Work::default()
    };
    let log = Log::open(&folder.join("log"))?;
    let mut keeper =
        Keeper { agent, folder, log, json: lasting.events, work, waiting: BTreeMap::new() };
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
        say!("stopped; {}; what was under way goes on next time", work.counts());
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
            // One that had to stop is taken up in the next round.
            let ended = self.pursue("", None, goal).await?;
            self.end("", &ended)?;
            self.work.under_way = None;
            self.work.write(&self.folder)?;
        }
    }

    async fn serve(&mut self) -> Done {
        let place = self.folder.join("queue");
        let queue = Queue::open(&self.folder).doing(format!("{}", place.display()))?;
        if !self.json {
            say!("serving the goals of {}", queue.path().display());
        }
        loop {
            let names = queue.goals().doing(format!("{}", place.display()))?;
            self.waiting.retain(|name, _| names.contains(name));
            if self.work.waiting != self.waiting.len() as u64 {
                self.work.waiting = self.waiting.len() as u64;
                self.work.write(&self.folder)?;
            }
            let is_due = |name: &String| {
                self.waiting.get(name).is_none_or(|one| one.due <= tokio::time::Instant::now())
            };
            let Some(name) = names.into_iter().find(is_due) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            if let Err(Failure { message, .. }) = self.serve_one(&queue, &name).await {
                // It keeps its place, and the others are not kept waiting.
                self.work.under_way = None;
                self.wait(&name, message)?;
            }
        }
    }

    /// Works on a goal of the queue.
    async fn serve_one(&mut self, queue: &Queue, name: &str) -> Done {
        queue.has_room_for(name).doing("its answer has no place")?;
        let text = match queue.goal(name) {
            Ok(text) => text,
            // Taken back meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.waiting.remove(name);
                return Ok(());
            }
            Err(error) => {
                let (why, task) = (error.to_string(), &*format!("queue-{name}"));
                let error = Some(why.clone());
                Answered { v: 1, task, error, ..Answered::default() }.write(queue, name)?;
                self.end(name, &Ended::Failed(why))?;
                queue.finish(name).doing("what is no goal")?;
                return self.work.write(&self.folder);
            }
        };
        let task = format!("queue-{name}");
        self.work.under_way = Some(name.to_owned());
        self.work.write(&self.folder)?;
        if !self.json && !self.waiting.contains_key(name) {
            say!("{name}: {}", harmless(&text));
        }
        let before = self.agent.task(&task).await;
        let again =
            before.is_ok_and(|task| task.is_some_and(|task| task.is_over() && task.goal() == text));
        let ended = self.pursue(name, Some(&task), &text).await?;
        self.work.under_way = None;
        let answer = match &ended {
            Ended::Answered(value) => Some(Ok(value.as_str())),
            Ended::Unreliable { why, .. } => Some(Err(buyer::unreliable(why).message)),
            Ended::Failed(why) => Some(Err(why.clone())),
            Ended::Waits(error) => {
                let (ending, before) = match is_the_owners(error) {
                    true => ("held", "later"),
                    false => ("later", "held"),
                };
                queue.put(name, ending, why_it_waits(error).as_bytes()).doing("why it waits")?;
                queue.remove(&format!("{name}.{before}")).doing("why it waited")?;
                None
            }
        };
        let over = answer.is_some();
        if let Some(answer) = answer {
            let (answer, error) = match answer {
                Ok(answer) => (Some(answer), None),
                Err(error) => (None, Some(error)),
            };
            let answered = Answered { v: 1, goal: &text, task: &task, answer, error, again };
            answered.write(queue, name)?;
        }
        self.end(name, &ended)?;
        if over {
            queue.finish(name).doing("what is done")?;
        }
        self.work.write(&self.folder)
    }

    /// Lets a goal wait that cannot be worked on. Why is told once.
    fn wait(&mut self, name: &str, why: String) -> Done {
        let due = tokio::time::Instant::now() + AGAIN;
        let one = Waiting { due, why: why.clone() };
        let before = self.waiting.insert(name.to_owned(), one);
        self.work.waiting = self.waiting.len() as u64;
        if before.is_some_and(|before| before.why == why) {
            return Ok(());
        }
        self.told(&MindEvent::Failed { why: format!("{name}: {why}") })
    }

    /// Counts how a goal ended, and tells it. That one still waits for the same was told before.
    fn end(&mut self, name: &str, ended: &Ended) -> Done {
        let before = self.waiting.remove(name);
        let named = |why: String| if name.is_empty() { why } else { format!("{name}: {why}") };
        let (count, event) = match ended {
            Ended::Waits(error) => {
                let why = why_it_waits(error);
                let is_new = before.is_none_or(|before| before.why != why);
                let due = tokio::time::Instant::now() + AGAIN;
                self.waiting.insert(name.to_owned(), Waiting { due, why: why.clone() });
                (None, is_new.then(|| MindEvent::Failed { why: named(why) }))
            }
            Ended::Answered(value) => {
                let event = MindEvent::Answer { value: value.clone(), after_error: None };
                (Some(&mut self.work.answered), Some(event))
            }
            Ended::Unreliable { value, why } => {
                let (value, after_error) = (value.clone(), Some(why.clone()));
                (Some(&mut self.work.failed), Some(MindEvent::Answer { value, after_error }))
            }
            Ended::Failed(why) => {
                let event = MindEvent::Failed { why: named(why.clone()) };
                (Some(&mut self.work.failed), Some(event))
            }
        };
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
        self.work.waiting = self.waiting.len() as u64;
        event.map_or(Ok(()), |event| self.told(&event))
    }

    /// Pursues a goal and tells what happens on the way. Where the steward is gone, so is the mind.
    async fn pursue(&mut self, name: &str, task: Option<&str>, goal: &str) -> Done<Ended> {
        let view = match self.agent.view().await {
            Ok(view) => view,
            Err(error) => return Ok(Ended::of(error)),
        };
        // One that waited begins by making the same call again: that was told, and is told again only
        // if something comes of it.
        let mut again = self.waiting.contains_key(name).then(Vec::new);
        let mut answered = None;
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
                event = events.recv() => {
                    if let Ok(event) = event {
                        self.hear(&event, &view, &mut again, &mut answered)?;
                    }
                }
                answer = work.as_mut() => break answer,
            }
        };
        // What happened last, the answer among it, is there before the work is seen to be over.
        loop {
            match events.try_recv() {
                Ok(event) => self.hear(&event, &view, &mut again, &mut answered)?,
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let value = match answer {
            Ok(answer) => answer.answer,
            Err(error) => return Ok(Ended::of(error)),
        };
        let after_error = match &answered {
            Some(task) => buyer::last_error(&self.agent, task).await,
            None => Ok(None),
        };
        Ok(match after_error {
            Ok(None) => Ended::Answered(value),
            Ok(Some(why)) => Ended::Unreliable { value, why },
            Err(error) => Ended::of(error),
        })
    }

    /// Tells an event, and notes whose answer it is.
    fn hear(
        &mut self,
        event: &Event,
        view: &View,
        again: &mut Option<Vec<MindEvent>>,
        answered: &mut Option<String>,
    ) -> Done {
        if let Event::Answer { task, .. } = event {
            *answered = Some(task.clone());
        }
        let Some(event) = buyer::translate(event, view) else { return Ok(()) };
        match (again.as_mut(), &event) {
            (Some(held_back), MindEvent::Call { .. }) => held_back.push(event),
            (Some(_), MindEvent::Held { .. } | MindEvent::Asked { .. }) => {}
            _ => {
                for event in again.take().unwrap_or_default() {
                    self.told(&event)?;
                }
                self.told(&event)?;
            }
        }
        Ok(())
    }

    /// A line for whoever watches, and one in the log.
    fn told(&mut self, event: &MindEvent) -> Done {
        buyer::tell(event, self.json)?;
        self.log.line(now(), &serde_json::to_value(event).doing("an event")?)
    }
}

impl Ended {
    fn of(error: AgentError) -> Self {
        if error.is_passing() { Self::Waits(error) } else { Self::Failed(error.to_string()) }
    }
}

/// Why a goal waits. Nobody has to run it again: that is done here.
fn why_it_waits(error: &AgentError) -> String {
    error.to_string().replace(RUN_AGAIN, "it is tried again by itself")
}

/// Which file or folder an error is about.
fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether a goal waits for what its owner decides, and not for something that is away.
const fn is_the_owners(error: &AgentError) -> bool {
    matches!(
        error,
        AgentError::Held { .. } | AgentError::Asked { .. } | AgentError::Model(ModelError::Held(_))
    )
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
        let _lock = Work::begin(dir.path()).unwrap().unwrap();
        assert!(Work::under_way_in(dir.path()).unwrap().is_some());
        let record = dir.path().join(RECORD);
        let file = fs::File::options().write(true).open(&record).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(Work::under_way_in(dir.path()).is_err());
        fs::remove_file(&record).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &record).unwrap();
        let why = Work::under_way_in(dir.path()).unwrap_err().to_string();
        assert!(why.starts_with(&format!("{}: ", record.display())), "{why}");
        fs::remove_file(&record).unwrap();
        assert!(Work::under_way_in(dir.path()).unwrap().is_none(), "it has just begun");
        std::os::unix::fs::symlink("/dev/zero", &record).unwrap();
        // One that is written stands in place of a link, not behind it.
        work.write(dir.path()).unwrap();
        assert!(fs::symlink_metadata(&record).unwrap().is_file());
    }

    #[test]
    fn whoever_holds_the_lock_works_and_not_who_has_the_number_of_a_process() {
        let dir = tempfile::tempdir().unwrap();
        // Killed: its record is there, and its number is another's by now.
        let killed = Work { v: 1, process: std::process::id(), ..Work::default() };
        killed.write(dir.path()).unwrap();
        assert!(Work::under_way_in(dir.path()).unwrap().is_none());
        let lock = Work::begin(dir.path()).unwrap().unwrap();
        assert!(Work::under_way_in(dir.path()).unwrap().is_some());
        assert!(Work::begin(dir.path()).unwrap().is_none(), "one at a time");
        // Whatever is taken away from the folder.
        for file in fs::read_dir(dir.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        assert!(Work::begin(dir.path()).unwrap().is_none(), "one at a time");
        killed.write(dir.path()).unwrap();
        drop(lock);
        assert!(Work::under_way_in(dir.path()).unwrap().is_none());
        assert!(Work::under_way_in(&dir.path().join("nowhere")).unwrap().is_none());
    }
}
