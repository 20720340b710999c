//! The thread that owns the model's context, and the one place that computes.
//!
//! Requests come ready to be computed: tokens, and a [`Draft`] of the reply. The engine computes
//! in ticks. A tick is one batch: the next token of every reply that is being written, and a bite
//! of the prompts that are being read. Bites are as large as fits into [`TICK`], so that a
//! cancellation and a new request wait a bounded time whatever the model's size; every prompt
//! gets a part of each bite ([`share`]), so that a short one is not held up by a long one.
//!
//! Cells of the KV cache are given first to work in progress. When they run out, idle sessions
//! are forgotten, the oldest first; then the youngest request gives up its lane and comes back
//! when there is room: what it has written stays, and its tokens are computed again. Requests are
//! admitted in their order, the oldest is never interrupted, and each batch brings it on by a token
//! at least: nobody waits for more batches than the request itself and those before it have tokens
//! (`sixty_four_sequences_that_outgrow_the_cache_all_finish_whole`).
//!
//! Prompts that begin alike compute that beginning once: a request waits for an older one that is
//! at it, and then shares its cells. Only the system's words are shared between sessions, since
//! the time that an answer takes would tell one session what another holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use llama_cpp_2::token::LlamaToken;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::bite::share;
use crate::cache::{Cache, Part, Shape, Undone, Wanted, inference};
use crate::embedding::Embedder;
use crate::error::ModelError;
use crate::lanes::{LaneId, common};
use crate::model::SessionId;
use crate::parked::{self, Binding, Parked};
use crate::prompt::Vocabulary;
use crate::request::{Cancel, Generation, Usage};
use crate::stats::{Arrival, Tally};
use crate::writer::{Draft, Next, Writer, count};

/// Tokens of prompts in one batch at most, and at the start.
pub(crate) const LARGEST_BITE: usize = 512;
const FIRST_BITE: usize = 64;
const SMALLEST_BITE: usize = 8;
/// What a batch should take at most: the wait of a cancellation.
const TICK: Duration = Duration::from_millis(250);
/// How much slower than before a batch may be before the one before is no measure any more.
const FORGETTING: f64 = 1.05;
/// A common beginning shorter than this is computed again rather than waited for.
const WORTH_SHARING: usize = 16;

/// A request on its way to the engine.
pub(crate) struct Job {
    pub(crate) prompt: Vec<LlamaToken>,
    /// How many tokens of the prompt may be shared with other sessions.
    pub(crate) shareable: usize,
    pub(crate) session: Option<SessionId>,
    pub(crate) draft: Draft,
    pub(crate) cancel: Cancel,
    pub(crate) reply: Reply,
    /// The place in the queue, given back when the job is admitted.
    pub(crate) place: OwnedSemaphorePermit,
}

pub(crate) type Reply = oneshot::Sender<Result<Generation, ModelError>>;

/// What the engine can be told.
pub(crate) enum Command {
    Generate(Box<Job>),
    Park(SessionId, std::path::PathBuf, oneshot::Sender<Result<Parked, ModelError>>),
    Resume(SessionId, Box<Parked>, oneshot::Sender<Result<u32, ModelError>>),
    Forget(SessionId),
    Embed(Vec<LlamaToken>, oneshot::Sender<Result<Vec<f32>, ModelError>>),
    Stop,
}

/// What an engine is made of.
pub(crate) struct Setup {
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) shape: Shape,
    pub(crate) binding: Binding,
    pub(crate) tally: Arc<Tally>,
}

/// Serves commands until it is stopped or every sender is gone. `ready` hears once whether the
/// engine stands.
pub(crate) fn serve(
    setup: &Setup,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    ready: &Sender<Result<(), ModelError>>,
) {
    let mut engine = match Cache::new(setup.vocabulary.model(), setup.shape) {
        Ok(cache) => Engine::new(setup, cache),
        Err(error) => return tell(ready.send(Err(error)).is_ok()),
    };
    tell(ready.send(Ok(())).is_ok());
    loop {
        if engine.is_idle() {
            match commands.blocking_recv() {
                None | Some(Command::Stop) => return,
                Some(command) => engine.obey(command),
            }
        }
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Stop => return,
                command => engine.obey(command),
            }
        }
        engine.tick();
    }
}

fn tell(heard: bool) {
    if !heard {
        tracing::debug!("nobody waits for this answer any more");
    }
}

struct Engine<'a> {
    setup: &'a Setup,
    cache: Cache<'a>,
    /// Made when the first embedding is asked for.
    embedder: Option<Embedder<'a>>,
    /// In the order in which they came; those that were interrupted are before all others.
    waiting: VecDeque<Task>,
    /// In the order in which they were admitted.
    active: Vec<Active>,
    next_number: u64,
    bite: usize,
    /// Seconds that a token of a prompt takes, as the quickest batches of late had it.
    pace: f64,
    /// Whose part of a bite comes first.
    turn: usize,
}

/// A request and what became of it so far.
struct Task {
    number: u64,
    /// The prompt and what was written.
    plan: Vec<LlamaToken>,
    prompt: usize,
    shareable: usize,
    session: Option<SessionId>,
    writer: Writer,
    cancel: Cancel,
    reply: Reply,
    reused: Option<usize>,
    place: Option<OwnedSemaphorePermit>,
    arrival: Arrival,
}

impl Task {
    fn is_wanted(&self) -> bool {
        !self.cancel.is_cancelled() && !self.reply.is_closed()
    }
}

/// A task that has a lane.
struct Active {
    task: Task,
    lane: LaneId,
    /// The older task that is computing the beginning of this one, and how long that is.
    follows: Option<(u64, usize)>,
}

impl<'a> Engine<'a> {
    fn new(setup: &'a Setup, cache: Cache<'a>) -> Self {
        Self {
            setup,
            cache,
            embedder: None,
            waiting: VecDeque::new(),
            active: Vec::new(),
            next_number: 0,
            bite: FIRST_BITE,
            pace: TICK.as_secs_f64() / FIRST_BITE as f64,
            turn: 0,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Generate(job) => self.enqueue(*job),
            Command::Park(session, folder, answer) => {
                tell(answer.send(self.park(&session, &folder)).is_ok());
            }
            Command::Resume(session, parked, answer) => {
                tell(answer.send(self.resume(session, &parked)).is_ok());
            }
            Command::Forget(session) => self.forget(&session),
            Command::Embed(tokens, answer) => tell(answer.send(self.embed(&tokens)).is_ok()),
            Command::Stop => {}
        }
    }

    fn enqueue(&mut self, job: Job) {
        let writer = match job.draft.start() {
            Ok(writer) => writer,
            Err(error) => {
                let arrival = self.setup.tally.arrive();
                self.setup.tally.end(arrival, Some(&error));
                return tell(job.reply.send(Err(error)).is_ok());
            }
        };
        self.next_number = self.next_number.saturating_add(1);
        self.waiting.push_back(Task {
            number: self.next_number,
            prompt: job.prompt.len(),
            plan: job.prompt,
            shareable: job.shareable,
            session: job.session,
            writer,
            cancel: job.cancel,
            reply: job.reply,
            reused: None,
            place: Some(job.place),
            arrival: self.setup.tally.arrive(),
        });
    }

    fn tick(&mut self) {
        self.drop_unwanted();
        self.admit();
        self.share_beginnings();
        let mut batch = self.compose();
        while self.active.len() > 1 && self.is_stuck(&batch) {
            self.interrupt_youngest();
            batch = self.compose();
        }
        if batch.is_empty() {
            if let Some(active) = self.active.pop() {
                let error = ModelError::Inference("the KV cache has no room left".to_owned());
                self.finish(active, Err(error));
            }
            return;
        }
        self.compute(&batch);
    }

    fn drop_unwanted(&mut self) {
        // Dropping a task closes its reply, which whoever waits hears as a cancellation.
        let tally = &self.setup.tally;
        self.waiting.retain(|task| {
            let wanted = task.is_wanted();
            if !wanted {
                tally.end(task.arrival, Some(&ModelError::Cancelled));
            }
            wanted
        });
        let mut at = 0;
        while let Some(active) = self.active.get(at) {
            if active.task.is_wanted() {
                at = at.saturating_add(1);
            } else {
                let active = self.active.remove(at);
                self.finish(active, Err(ModelError::Cancelled));
            }
        }
    }

    /// Gives lanes to those that wait, in their order, as long as there are lanes and cells.
    fn admit(&mut self) {
        while let Some(task) = self.waiting.front() {
            if !self.active.is_empty() {
                let busy = self.active.iter().map(|active| active.lane);
                let held = busy.map(|lane| {
                    let limit = task.shareable.min(task.plan.len());
                    let start = task.plan.get(..limit).unwrap_or_default();
                    common(self.cache.lanes().tokens(lane), start)
                });
                let shared = if self.cache.shares() { held.max().unwrap_or(0) } else { 0 };
                let promised = self.active.iter().fold(0_usize, |sum, active| {
                    let done = self.cache.lanes().tokens(active.lane).len();
                    sum.saturating_add(active.task.plan.len().saturating_sub(done))
                });
                let needed = task.plan.len().saturating_sub(shared).saturating_add(promised);
                if needed >= self.cache.lanes().reclaimable() {
                    return;
                }
            }
            let Some((lane, own)) = self.cache.lanes_mut().claim(task.session.as_ref()) else {
                return;
            };
            let Some(task) = self.waiting.pop_front() else { return };
            self.start(task, lane, own);
        }
    }

    fn start(&mut self, mut task: Task, lane: LaneId, own: bool) {
        task.place = None;
        self.setup.tally.begin(&mut task.arrival);
        let last = task.plan.len().saturating_sub(1);
        // The last token is always computed, because its logits choose the next.
        let held = if own { common(self.cache.lanes().tokens(lane), &task.plan) } else { 0 };
        let kept = self.cache.keep(lane, held.min(last));
        let mut active = Active { task, lane, follows: None };
        let copied = kept.and_then(|kept| self.copy_beginning(&active, kept));
        match copied {
            Ok(kept) => {
                active.task.reused.get_or_insert(kept);
                active.follows = self.find_leader(&active);
                self.active.push(active);
            }
            Err(error) => self.finish(active, Err(error)),
        }
    }

    /// Takes over the beginning that another lane holds, if it is longer than what is here.
    fn copy_beginning(&mut self, active: &Active, held: usize) -> Result<usize, ModelError> {
        let Some(start) = self.shared_start(&active.task) else { return Ok(held) };
        let worth = held.saturating_add(WORTH_SHARING);
        match self.cache.lanes().longest_start(start, active.lane) {
            Some((lane, length)) if length >= worth => {
                self.cache.copy_start(lane, active.lane, length)?;
                Ok(length)
            }
            _ => Ok(held),
        }
    }

    /// The tokens that a task may share with others.
    fn shared_start<'t>(&self, task: &'t Task) -> Option<&'t [LlamaToken]> {
        let last = task.plan.len().saturating_sub(1);
        let may = self.cache.shares() && task.session.is_some();
        may.then(|| task.plan.get(..task.shareable.min(last)).unwrap_or_default())
    }

    /// The older task that will have computed more of this one's beginning than is there.
    fn find_leader(&self, follower: &Active) -> Option<(u64, usize)> {
        let start = self.shared_start(&follower.task)?;
        let held = self.cache.lanes().tokens(follower.lane).len();
        self.active
            .iter()
            .filter(|other| other.task.number < follower.task.number)
            .map(|other| (other.task.number, common(&other.task.plan, start)))
            .filter(|(_, length)| *length >= held.saturating_add(WORTH_SHARING))
            .max_by_key(|(_, length)| *length)
    }

    /// Lets those that waited for a beginning have it.
    fn share_beginnings(&mut self) {
        for at in 0..self.active.len() {
            let Some(Active { follows: Some((leader, length)), lane, .. }) = self.active.get(at)
            else {
                continue;
            };
            let (lane, length) = (*lane, *length);
            let leader = self.active.iter().find(|other| other.task.number == *leader);
            let follows = match leader.map(|leader| leader.lane) {
                Some(other) if self.cache.lanes().tokens(other).len() < length => continue,
                Some(other) => match self.cache.copy_start(other, lane, length) {
                    Ok(()) => {
                        if let Some(active) = self.active.get_mut(at) {
                            active.task.reused = Some(length);
                        }
                        None
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a beginning is computed again");
                        None
                    }
                },
                None => self.active.get(at).and_then(|active| self.find_leader(active)),
            };
            if let Some(active) = self.active.get_mut(at) {
                active.follows = follows;
            }
        }
    }

    /// Who gets how many tokens of the next batch: (index of the active task, tokens).
    fn compose(&mut self) -> Vec<(usize, usize)> {
        let left = |active: &Active, cache: &Cache<'_>| {
            let done = cache.lanes().tokens(active.lane).len();
            active.task.plan.len().saturating_sub(done)
        };
        let ready: Vec<(usize, usize)> = (0..)
            .zip(&self.active)
            .filter(|(_, active)| active.follows.is_none())
            .map(|(at, active)| (at, left(active, &self.cache)))
            .collect();
        let (writing, reading): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|(_, left)| *left == 1);
        let prompt_tokens =
            reading.iter().fold(0_usize, |sum, (_, left)| sum.saturating_add(*left));
        self.make_room(writing.len().saturating_add(prompt_tokens.min(self.bite)));
        let free = self.cache.lanes().free();
        if free < writing.len() {
            return Vec::new();
        }
        let room = self.bite.min(free.saturating_sub(writing.len()));
        self.turn = self.turn.wrapping_add(1);
        // The oldest comes first: they are in the order in which they were admitted.
        let prompts: Vec<usize> = reading.iter().map(|(_, left)| *left).collect();
        let parts = reading.iter().zip(share(room, &prompts, self.turn));
        let parts = parts.map(|((at, _), tokens)| (*at, tokens)).filter(|(_, tokens)| *tokens > 0);
        let mut batch = writing;
        batch.extend(parts);
        batch
    }

    /// Whether the oldest task gets nothing because there are no cells for prompts at all.
    fn is_stuck(&self, batch: &[(usize, usize)]) -> bool {
        let is_writing = |at: usize| {
            self.active.get(at).is_some_and(|active| {
                let done = self.cache.lanes().tokens(active.lane).len();
                active.task.plan.len().saturating_sub(done) == 1
            })
        };
        let oldest = (0..).zip(&self.active).min_by_key(|(_, active)| active.task.number);
        let oldest = oldest.map(|(at, _): (usize, _)| at);
        batch.iter().all(|(at, _)| is_writing(*at) && Some(*at) != oldest)
    }

    /// Forgets idle lanes, the oldest first, until so many cells are free or none is left.
    fn make_room(&mut self, cells: usize) {
        while self.cache.lanes().free() < cells {
            let Some(lane) = self.cache.lanes().oldest_idle() else { return };
            if let Err(error) = self.cache.keep(lane, 0) {
                tracing::warn!(%error, "a sequence could not be cleared");
                return;
            }
            self.cache.lanes_mut().rename(lane, None);
        }
    }

    /// Takes the lane of the youngest task, which waits and is computed again.
    fn interrupt_youngest(&mut self) {
        let youngest =
            (0..).zip(&self.active).max_by_key(|(_, active)| active.task.number).map(|(at, _)| at);
        let Some(active) = youngest.map(|at: usize| self.active.remove(at)) else { return };
        let Active { task, lane, .. } = active;
        self.vacate(lane, false);
        self.setup.tally.interrupt();
        tracing::debug!(number = task.number, "interrupted: the KV cache is full");
        let at = self.waiting.partition_point(|other| other.number < task.number);
        self.waiting.insert(at, task);
    }

    fn compute(&mut self, batch: &[(usize, usize)]) {
        let mut parts = Vec::with_capacity(batch.len());
        for (at, tokens) in batch {
            let Some(Active { task, lane, .. }) = self.active.get(*at) else { continue };
            let done = self.cache.lanes().tokens(*lane).len();
            let end = done.saturating_add(*tokens);
            let tokens = task.plan.get(done..end).unwrap_or_default();
            let logits = if end == task.plan.len() { Wanted::Last } else { Wanted::None };
            parts.push(Part { lane: *lane, tokens, logits });
        }
        let started = Instant::now();
        let places = match self.cache.evaluate(&parts) {
            Ok(places) => places,
            Err(undone) => return self.cope(undone, batch),
        };
        self.setup.tally.batch();
        let prompt_tokens = batch
            .iter()
            .filter(|(_, n)| *n > 1)
            .fold(0_usize, |sum, (_, n)| sum.saturating_add(*n));
        self.adapt(prompt_tokens, started.elapsed());
        let mut done = Vec::new();
        for ((at, _), place) in batch.iter().zip(places) {
            let (Some(active), Some(place)) = (self.active.get_mut(*at), place) else { continue };
            match active.task.writer.step(self.cache.logits(place)) {
                Ok(Next::Evaluate(token)) => active.task.plan.push(token),
                Ok(Next::Done(stop)) => done.push((*at, Ok(stop))),
                Err(error) => done.push((*at, Err(error))),
            }
        }
        // From the last on, so that the indexes stay right.
        done.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, result) in done {
            let active = self.active.remove(at);
            self.finish(active, result);
        }
    }

    /// Keeps a batch within [`TICK`]. Batches that other programs held up say nothing about their
    /// size: the quickest count, and are forgotten by and by, since a long prompt gets slower.
    fn adapt(&mut self, prompt_tokens: usize, took: Duration) {
        if prompt_tokens == 0 {
            return;
        }
        let pace = took.as_secs_f64() / prompt_tokens as f64;
        self.pace = pace.min(self.pace * FORGETTING);
        let fit = TICK.as_secs_f64() / self.pace;
        self.bite = (fit as usize).clamp(SMALLEST_BITE, LARGEST_BITE);
    }

    /// A batch was not computed: nobody is left waiting for it.
    fn cope(&mut self, undone: Undone, batch: &[(usize, usize)]) {
        match undone {
            Undone::Full if self.active.len() > 1 => self.interrupt_youngest(),
            undone => {
                let reason = match undone {
                    Undone::Full => "the KV cache has no room left".to_owned(),
                    Undone::Failed(ModelError::Inference(reason)) => reason,
                    Undone::Failed(error) => error.to_string(),
                };
                let mut members: Vec<usize> = batch.iter().map(|(at, _)| *at).collect();
                members.sort_unstable();
                for at in members.into_iter().rev() {
                    if at < self.active.len() {
                        let active = self.active.remove(at);
                        self.finish(active, Err(inference(&reason)));
                    }
                }
            }
        }
    }

    fn finish(&mut self, active: Active, result: Result<crate::request::Stop, ModelError>) {
        let Active { task, lane, .. } = active;
        self.vacate(lane, true);
        let usage = Usage {
            prompt_tokens: count(task.prompt),
            reused_tokens: count(task.reused.unwrap_or(0)),
            completion_tokens: count(task.writer.written()),
        };
        let result = result.and_then(|stop| {
            let (text, thinking, tokens) = task.writer.finish()?;
            Ok(Generation { text, thinking, usage, stop, tokens })
        });
        self.setup.tally.end(task.arrival, result.as_ref().err());
        tell(task.reply.send(result).is_ok());
    }

    /// Leaves a lane, with what it holds if its session may come back for it.
    fn vacate(&mut self, lane: LaneId, keep: bool) {
        if !keep || self.cache.lanes().is_nameless(lane) {
            self.empty(lane);
        }
        self.cache.lanes_mut().release(lane);
    }

    fn empty(&mut self, lane: LaneId) {
        if let Err(error) = self.cache.keep(lane, 0) {
            tracing::warn!(%error, "a sequence could not be cleared");
        }
        self.cache.lanes_mut().rename(lane, None);
    }

    fn park(
        &mut self,
        session: &SessionId,
        folder: &std::path::Path,
    ) -> Result<Parked, ModelError> {
        let lane = self.cache.lanes().of_session(session);
        let lane = lane.filter(|lane| !self.cache.lanes().tokens(*lane).is_empty());
        let Some(lane) = lane else {
            let why = if self.active.iter().any(|a| a.task.session.as_ref() == Some(session)) {
                "the session is at work"
            } else {
                "the session holds nothing"
            };
            return Err(ModelError::Parked(why.to_owned()));
        };
        let state = self.cache.save(lane)?;
        let tokens = self.cache.lanes().tokens(lane);
        let parked = parked::write(folder, &self.setup.binding, tokens, &state)?;
        self.empty(lane);
        Ok(parked)
    }

    fn resume(&mut self, session: SessionId, parked: &Parked) -> Result<u32, ModelError> {
        let content = parked::read(parked, &self.setup.binding)?;
        self.forget(&session);
        self.make_room(content.tokens.len());
        let Some((lane, _)) = self.cache.lanes_mut().claim(Some(&session)) else {
            return Err(ModelError::Parked("every sequence is at work".to_owned()));
        };
        // SAFETY: `read` has found the digest that `write` gave when it stored what a cache of
        // this binding had saved (`a_parked_file_that_was_touched_is_not_taken`).
        #[expect(unsafe_code, reason = "llama.cpp reads lengths and positions out of a state")]
        let restored = unsafe { self.cache.restore(lane, &content.tokens, &content.state) };
        self.cache.lanes_mut().release(lane);
        match restored {
            Ok(()) => Ok(count(content.tokens.len())),
            Err(error) => {
                self.empty(lane);
                Err(error)
            }
        }
    }

    fn embed(&mut self, tokens: &[LlamaToken]) -> Result<Vec<f32>, ModelError> {
        let embedder = match self.embedder.take() {
            Some(embedder) => embedder,
            None => Embedder::new(self.setup.vocabulary.model(), self.setup.shape)?,
        };
        self.embedder.insert(embedder).embed(tokens)
    }

    fn forget(&mut self, session: &SessionId) {
        if let Some(lane) = self.cache.lanes().of_session(session) {
            self.empty(lane);
        }
    }
}
