//! From a home's files to its state: quickly where the index is good for it, from every entry where
//! not.
//!
//! Whatever way it takes, what it believes is under the signed checkpoint: the entries that it
//! folds, or the hash that one of them attests of what the index holds.

use crate::{
    entry::{Body, Entry},
    error::StewardError,
    index::Index,
    journal::{self, Journal, JournalError, LogSigner, Origin},
    state::{STATE_FORMAT, State},
};
use alloy_primitives::B256;
use std::path::Path;

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

/// The same state again, while the journal is open, from what is durable.
pub(crate) fn again(dir: &Path, index: Option<&Index>) -> Result<State, StewardError> {
    if let Some(Ok(Some(mut state))) = index.map(Index::load) {
        let promise = Some((state.next(), state.seal()?));
        match read_from(dir, state, promise) {
            Err(Trouble::Doubt(_)) => {}
            Err(Trouble::Error(error)) => return Err(error),
            Ok(state) => return Ok(state),
        }
    }
    match read_from(dir, State::default(), None) {
        Ok(state) => Ok(state),
        Err(Trouble::Error(error)) => Err(error),
        Err(Trouble::Doubt(why)) => Err(StewardError::Entry { seq: 0, why }),
    }
}

fn read_from(dir: &Path, mut state: State, promise: Option<(u64, B256)>) -> Result<State, Trouble> {
    let from = state.next();
    let mut folding = Folding::new(&mut state, promise);
    let size = journal::each(dir, from, &mut |seq, bytes| folding.take(seq, bytes))
        .map_err(StewardError::from)?;
    folding.catch_up();
    let trouble = folding.trouble.or_else(|| folding.promise.map(|(mark, _)| beyond(mark, from)));
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
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
    let mut folding = Folding::new(&mut state, promise);
    let journal = Journal::open_from(dir, origin, signer, from, &mut |seq, bytes| {
        folding.take(seq, bytes);
    });
    folding.catch_up();
    let Folding { trouble, promise, .. } = folding;
    let journal = match journal {
        Ok(journal) => journal,
        Err(error) => return Err(Trouble::Error(error.into())),
    };
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    if let Some((mark, _)) = promise {
        return Err(beyond(mark, journal.size()));
    }
    whole(&state, journal.size())?;
    Ok((journal, state))
}

/// Entries that are read before they are folded: reading their JSON is most of the work, and is
/// shared by the processors.
const AHEAD: usize = 4_096;

/// So many are not worth a thread.
const FEW: usize = 256;

/// A fold under way.
struct Folding<'a> {
    state: &'a mut State,
    /// Not folded yet.
    ahead: Vec<(u64, Vec<u8>)>,
    /// The entry that has to attest this hash; gone once it did.
    promise: Option<(u64, B256)>,
    trouble: Option<Trouble>,
}

impl<'a> Folding<'a> {
    fn new(state: &'a mut State, promise: Option<(u64, B256)>) -> Self {
        Self { state, ahead: Vec::new(), promise, trouble: None }
    }

    fn take(&mut self, seq: u64, bytes: &[u8]) {
        self.ahead.push((seq, bytes.to_owned()));
        if self.ahead.len() >= AHEAD {
            self.catch_up();
        }
    }

    /// Folds what was taken. To be called once more after the last entry.
    fn catch_up(&mut self) {
        let ahead = std::mem::take(&mut self.ahead);
        if self.trouble.is_some() {
            return;
        }
        let decode = |(seq, bytes): &(u64, Vec<u8>)| (*seq, Entry::decode(bytes));
        let entries: Vec<_> = if ahead.len() < FEW {
            ahead.iter().map(decode).collect()
        } else {
            let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
            std::thread::scope(|scope| {
                let share = ahead.len().div_ceil(workers);
                let shares = ahead.chunks(share);
                let all = |share: &'_ [_]| share.iter().map(decode).collect::<Vec<_>>();
                let started: Vec<_> = shares.map(|share| scope.spawn(move || all(share))).collect();
                // A thread that died has no entries, and the next one is out of its place then.
                started.into_iter().flat_map(|it| it.join().unwrap_or_default()).collect()
            })
        };
        for (seq, entry) in entries {
            let taken = entry.map_err(Trouble::from).and_then(|entry| self.fold(seq, &entry));
            if let Err(trouble) = taken {
                self.trouble = Some(trouble);
                return;
            }
        }
    }

    fn fold(&mut self, seq: u64, entry: &Entry) -> Result<(), Trouble> {
        if let Some((_, hash)) = self.promise.take_if(|(mark, _)| *mark == seq) {
            match entry.body {
                Body::Checkpointed { format: STATE_FORMAT, state } if state == hash => {}
                _ => {
                    let why = format!("what it holds is not what entry {seq} attests");
                    return Err(Trouble::Doubt(why));
                }
            }
        }
        Ok(self.state.apply(entry)?)
    }
}
