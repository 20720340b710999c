//! From a home's files to its state: quickly where the index is good for it, from every entry where
//! not.
//!
//! Whatever way it takes, what it believes is under the signed checkpoint: the entries that it
//! folds, or the hash that one of them attests of what the index holds.

use crate::{
    entry::{Body, Entry},
    error::StewardError,
    index::Index,
    journal::{Journal, JournalError, LogSigner, Origin, Visit},
    state::{STATE_FORMAT, State},
};
use alloy_primitives::B256;
use std::{
    borrow::Cow,
    collections::VecDeque,
    path::Path,
    thread::{Scope, ScopedJoinHandle},
};

/// What opening found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) state: State,
    /// `None` where there is no good one: it is to be made again.
    pub(crate) index: Option<Index>,
    /// Why it is to be made again.
    pub(crate) doubt: Option<String>,
    /// The number of the entry that the index stands at; 0 for an empty one.
    pub(crate) mark: u64,
    /// Older segments were not read.
    pub(crate) quick: bool,
}

/// Opens the journal in `dir` with what the index says. `signer` gives the log key anew for each
/// try.
pub(crate) fn open(
    dir: &Path,
    index: &Path,
    origin: Origin,
    signer: impl Fn() -> Result<LogSigner, StewardError>,
) -> Result<Opened, StewardError> {
    let opened = find(dir, index, origin, signer)?;
    opened.state.prepare();
    Ok(opened)
}

fn find(
    dir: &Path,
    index: &Path,
    origin: Origin,
    signer: impl Fn() -> Result<LogSigner, StewardError>,
) -> Result<Opened, StewardError> {
    let (index, loaded) = match Index::open(index.to_owned()) {
        Ok(index) => match index.load() {
            Ok(state) => (Some(index), Ok(state)),
            Err(doubt) => (None, Err(doubt)),
        },
        Err(error) => (None, Err(error.to_string())),
    };
    let mut doubt = None;
    let mut promise = None;
    match loaded {
        Ok(Some(mut state)) => {
            let hash = state.seal()?;
            let mark = state.next();
            match fold_from(dir, origin, signer()?, state, Some((mark, hash))) {
                Ok((journal, state)) => {
                    return Ok(Opened { journal, state, index, doubt: None, mark, quick: true });
                }
                Err(Trouble::Doubt(why)) => doubt = Some(why),
                Err(Trouble::Error(StewardError::Journal(JournalError::Unproven(why)))) => {
                    tracing::warn!(why, "every entry of the journal is read");
                    promise = Some((mark, hash));
                }
                Err(Trouble::Error(error)) => return Err(error),
            }
        }
        Ok(None) => {}
        Err(why) => doubt = Some(why),
    }
    // The tiles were the trouble, perhaps, and the index is good all the same.
    if promise.is_some() {
        match fold_from(dir, origin, signer()?, State::default(), promise) {
            Ok((journal, state)) => {
                let mark = promise.map_or(0, |(mark, _)| mark);
                return Ok(Opened { journal, state, index, doubt: None, mark, quick: false });
            }
            Err(Trouble::Doubt(why)) => doubt = Some(why),
            Err(Trouble::Error(error)) => return Err(error),
        }
    }
    let index = index.filter(|_| doubt.is_none());
    match fold_from(dir, origin, signer()?, State::default(), None) {
        Ok((journal, state)) => Ok(Opened { journal, state, index, doubt, mark: 0, quick: false }),
        Err(Trouble::Error(error)) => Err(error),
        Err(Trouble::Doubt(why)) => Err(StewardError::Entry { seq: 0, why }),
    }
}

/// The same state again, while the journal is open, from what is durable and what it wrote itself.
pub(crate) fn again(journal: &Journal, index: Option<&Index>) -> Result<State, StewardError> {
    if let Some(Ok(Some(mut state))) = index.map(Index::load) {
        let promise = Some((state.next(), state.seal()?));
        match read_from(journal, state, promise) {
            Err(
                Trouble::Doubt(_)
                | Trouble::Error(StewardError::Journal(JournalError::Unproven(_))),
            ) => {}
            Err(Trouble::Error(error)) => return Err(error),
            Ok(state) => return Ok(state),
        }
    }
    match read_from(journal, State::default(), None) {
        Ok(state) => Ok(state),
        Err(Trouble::Error(error)) => Err(error),
        Err(Trouble::Doubt(why)) => Err(StewardError::Entry { seq: 0, why }),
    }
}

fn read_from(
    journal: &Journal,
    mut state: State,
    promise: Option<(u64, B256)>,
) -> Result<State, Trouble> {
    let from = state.next();
    let size = folded(&mut state, promise, |visit| {
        let size = journal.again(from, visit)?;
        Ok((size, size))
    })?;
    whole(&state, size)?;
    Ok(state)
}

/// Every entry was folded.
fn whole(state: &State, size: u64) -> Result<(), StewardError> {
    let seq = state.next();
    if seq == size {
        return Ok(());
    }
    let why = format!("was not folded, and there are {size}");
    Err(StewardError::Entry { seq, why })
}

fn beyond(mark: u64, size: u64) -> Trouble {
    Trouble::Doubt(format!("it has read {mark} entries of a journal of {size}"))
}

/// Why there is no state.
#[derive(Debug)]
enum Trouble {
    /// The index is not to be used.
    Doubt(String),
    /// The journal is not.
    Error(StewardError),
}

impl From<StewardError> for Trouble {
    fn from(error: StewardError) -> Self {
        Self::Error(error)
    }
}

fn fold_from(
    dir: &Path,
    origin: Origin,
    signer: LogSigner,
    mut state: State,
    promise: Option<(u64, B256)>,
) -> Result<(Journal, State), Trouble> {
    let from = state.next();
    let journal = folded(&mut state, promise, |visit| {
        let journal = Journal::open_from(dir, origin, signer, from, visit)?;
        let size = journal.size();
        Ok((journal, size))
    })?;
    whole(&state, journal.size())?;
    Ok((journal, state))
}

/// Folds what `read` visits, which answers with something and the number of entries.
fn folded<T>(
    state: &mut State,
    promise: Option<(u64, B256)>,
    read: impl FnOnce(&mut Visit<'_>) -> Result<(T, u64), JournalError>,
) -> Result<T, Trouble> {
    std::thread::scope(|scope| {
        let mut folding = Folding::new(state, promise, scope);
        let read = read(&mut |seq, bytes| folding.take(seq, bytes));
        folding.catch_up();
        let Folding { trouble, promise, .. } = folding;
        let (found, size) = read.map_err(StewardError::from)?;
        match (trouble, promise) {
            (Some(trouble), _) => Err(trouble),
            (None, Some((mark, _))) => Err(beyond(mark, size)),
            (None, None) => Ok(found),
        }
    })
}

/// So many entries are read into one batch, which one thread decodes: reading JSON is most of the
/// work, and goes on beside reading the next batch and folding the one before.
const BATCH: usize = 1_024;

/// Entries that were read.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Their numbers and where they end.
    ends: Vec<(u64, usize)>,
}

type Decoded = Vec<(u64, Result<Entry, StewardError>)>;

impl Batch {
    fn decode(self) -> Decoded {
        let mut start = 0;
        let entry = |(seq, end): (u64, usize)| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            (seq, Entry::decode(bytes))
        };
        self.ends.iter().copied().map(entry).collect()
    }
}

/// A fold under way.
struct Folding<'a, 'scope, 'env> {
    state: &'a mut State,
    scope: &'scope Scope<'scope, 'env>,
    batch: Batch,
    /// Batches that are being decoded, in order, so many at most.
    decoding: VecDeque<ScopedJoinHandle<'scope, Decoded>>,
    most: usize,
    /// The entry that has to attest this hash; gone once it did.
    promise: Option<(u64, B256)>,
    trouble: Option<Trouble>,
}

impl<'a, 'scope, 'env> Folding<'a, 'scope, 'env> {
    fn new(
        state: &'a mut State,
        promise: Option<(u64, B256)>,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            state,
            scope,
            batch: Batch::default(),
            decoding: VecDeque::new(),
            most: processors.clamp(2, 8) - 1,
            promise,
            trouble: None,
        }
    }

    fn take(&mut self, seq: u64, bytes: &[u8]) {
        self.batch.bytes.extend_from_slice(bytes);
        self.batch.ends.push((seq, self.batch.bytes.len()));
        if self.batch.ends.len() < BATCH {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        if self.trouble.is_none() {
            self.decoding.push_back(self.scope.spawn(|| batch.decode()));
            self.wait(self.most);
        }
    }

    /// Folds what was taken. To be called once more after the last entry.
    fn catch_up(&mut self) {
        self.wait(0);
        let rest = std::mem::take(&mut self.batch).decode();
        self.fold_all(rest);
    }

    /// Folds until no more than so many batches are being decoded.
    fn wait(&mut self, most: usize) {
        while self.decoding.len() > most
            && let Some(batch) = self.decoding.pop_front()
        {
            // A thread that died has no entries, and the next one is out of its place then.
            let entries = batch.join().unwrap_or_default();
            self.fold_all(entries);
        }
    }

    fn fold_all(&mut self, entries: Decoded) {
        for (seq, entry) in entries {
            if self.trouble.is_some() {
                return;
            }
            let taken = entry.map_err(Trouble::from).and_then(|entry| self.fold(seq, entry));
            self.trouble = taken.err();
        }
    }

    fn fold(&mut self, seq: u64, entry: Entry) -> Result<(), Trouble> {
        if let Some((_, hash)) = self.promise.take_if(|(mark, _)| *mark == seq) {
            match entry.body {
                Body::Checkpointed { format: STATE_FORMAT, state } if state == hash => {
                    // The index holds all of it.
                    self.state.settle_parts();
                }
                _ => {
                    let why = format!("what it holds is not what entry {seq} attests");
                    return Err(Trouble::Doubt(why));
                }
            }
        }
        Ok(self.state.absorb(Cow::Owned(entry))?)
    }
}
