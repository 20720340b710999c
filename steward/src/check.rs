//! A home recomputed from its journal, and what in it says something else.
//!
//! Everything in a home but the entries, the drafts and the keys is derived. This derives it again,
//! from the bytes up, and compares: frames, tree, tiles, checkpoint, fold, index, outbox. It changes
//! nothing: the index is opened as a copy, because opening one can change it.
//!
//! While a steward works it holds the index, and what it is just doing is on its way from one place
//! to the other; then only what can be read beside it is checked, and the report says so.

use crate::{
    entry::{Entry, Order},
    error::StewardError,
    home::{Home, make_dir},
    index::Index,
    journal::{self, Verified},
    keys,
    state::State,
};
use alloy_primitives::{B256, hex, keccak256};
use marque_policies::IntentId;
use marque_steward_client::PaymentState;
use marque_store_files::{self as store, Access, PRIVATE};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use tlog_tiles::{Hash, HashReader, Tile};

/// Height of a C2SP tile: 256 hashes wide.
const HEIGHT: u8 = 8;

/// Neither a tile nor a transaction is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// One part of a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// In words: what was found, or what differs.
    pub said: String,
}

/// How a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is what the journal says.
    Good,
    /// It is not.
    Different,
    /// It could not be looked at now.
    Unchecked,
}

/// Recomputes a home. The parts that follow from one that differs are not in the answer.
///
/// # Errors
/// Where the files cannot be read at all. What is wrong *in* them is a part of the answer.
pub fn check(home: &Home) -> Result<Vec<Part>, StewardError> {
    let lock = match home.lock() {
        Ok(lock) => Some(lock),
        Err(StewardError::Locked(_)) => None,
        Err(error) => return Err(error),
    };
    let mut parts = Vec::new();
    let dir = home.journal();
    let entries = match frames(&dir, &mut parts) {
        Ok(entries) => entries,
        Err(error) => return ended(parts, "entries", error),
    };
    let state = match State::fold(&entries) {
        Ok(state) => state,
        Err(error) => return ended(parts, "ledger", error),
    };
    parts.push(good("ledger", format!("every entry follows; state {}", state.hash())));
    parts.push(charter(home, &state));
    let key = match crate::audit::stated_key(&state) {
        Ok(key) => key,
        Err(error) => return ended(parts, "genesis", error),
    };
    match journal::verify(&dir, &key) {
        Ok(verified) => {
            parts.push(checkpoint(&verified));
            parts.push(tiles(&dir, &verified)?);
        }
        Err(error) => parts.push(different("checkpoint", error.to_string())),
    }
    parts.push(agents_keys(home, &state)?);
    parts.push(match &lock {
        Some(_) => against_index(home, &entries)?,
        None => unchecked("index", "a steward works here and holds it; stop it and check again"),
    });
    parts.push(outbox(&home.outbox(), &state, lock.is_none())?);
    Ok(parts)
}

/// Whether anything differs.
#[must_use]
pub fn differs(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.standing == Standing::Different)
}

fn good(name: &'static str, said: impl Into<String>) -> Part {
    Part { name, standing: Standing::Good, said: said.into() }
}

fn different(name: &'static str, said: impl Into<String>) -> Part {
    Part { name, standing: Standing::Different, said: said.into() }
}

fn unchecked(name: &'static str, said: impl Into<String>) -> Part {
    Part { name, standing: Standing::Unchecked, said: said.into() }
}

/// What cannot be read on is told as a difference; a disk that does not answer is an error.
fn ended(
    mut parts: Vec<Part>,
    name: &'static str,
    error: StewardError,
) -> Result<Vec<Part>, StewardError> {
    match error {
        StewardError::Journal(journal::JournalError::Io { .. }) | StewardError::Io { .. } => {
            Err(error)
        }
        error => {
            parts.push(different(name, error.to_string()));
            Ok(parts)
        }
    }
}

fn frames(dir: &Path, parts: &mut Vec<Part>) -> Result<Vec<Entry>, StewardError> {
    let mut entries = Vec::new();
    let mut other = None;
    crate::audit::each(dir, 0, |read| -> Result<(), StewardError> {
        // Canonical form is what the tree hashes: the same entry has one spelling.
        if read.entry.encode()? != read.bytes {
            other.get_or_insert(read.entry.seq);
        }
        entries.push(read.entry);
        Ok(())
    })?;
    parts.push(match other {
        None => good("entries", format!("{} whole and canonical", entries.len())),
        Some(seq) => different("entries", format!("entry {seq} is not in canonical form")),
    });
    Ok(entries)
}

fn charter(home: &Home, state: &State) -> Part {
    match state.genesis() {
        Some(begun) if (begun.chain, begun.origin) == (home.chain(), home.origin()) => {
            good("home.json", format!("chain {} and origin are the genesis'", begun.chain))
        }
        _ => different("home.json", "it is not the one that the journal began with"),
    }
}

fn checkpoint(verified: &Verified) -> Part {
    let Verified { size, checkpoint_size, torn, .. } = verified;
    let mut said = format!("signed over {checkpoint_size} of {size} entries");
    if *torn > 0 {
        said.push_str(&format!(", and {torn} bytes of an append that was not finished"));
    }
    good("checkpoint", said)
}

/// Every tile that the checkpoint's tree has, made from the entries.
fn tiles(dir: &Path, verified: &Verified) -> Result<Part, StewardError> {
    let mut nodes = Nodes::default();
    for (seq, entry) in (0_u64..verified.checkpoint_size).zip(&verified.entries) {
        let new = tlog_tiles::stored_hashes(seq, entry, &nodes);
        nodes.0.extend(new.map_err(journal::JournalError::from)?);
    }
    let tiles = Tile::new_tiles(HEIGHT, 0, verified.checkpoint_size);
    let count = tiles.len();
    let mut wrong = Vec::new();
    for tile in tiles {
        let bytes = tile.read_data(&nodes).map_err(journal::JournalError::from)?;
        let path = tile.path();
        let path = dir.join("tile").join(path.strip_prefix("tile/8/").unwrap_or(&path));
        match store::read(&path, LONGEST) {
            Ok(found) if found == bytes => {}
            Ok(_) => wrong.push(format!("{} has other hashes", path.display())),
            // A working steward has filled it up meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let full = path.parent().map(|folder| folder.with_extension(""));
                let full = full.and_then(|full| store::read(&full, LONGEST).ok());
                if !full.is_some_and(|full| full.starts_with(&bytes)) {
                    wrong.push(format!("{} is missing", path.display()));
                }
            }
            Err(error) => return Err(StewardError::io("read", &path)(error)),
        }
        if tile.width() < 1 << HEIGHT {
            wrong.extend(narrower(&path, &bytes)?);
        }
    }
    Ok(match wrong.first() {
        None => good("tiles", format!("{count} made again from the entries, the same")),
        Some(first) => {
            let more = wrong.len() - 1;
            different("tiles", format!("{first}, and {more} more; the next start makes them anew"))
        }
    })
}

/// Narrower tiles beside a partial one, which the owner of an older checkpoint may ask for, begin as
/// it does.
fn narrower(partial: &Path, bytes: &[u8]) -> Result<Vec<String>, StewardError> {
    let folder = partial.parent().unwrap_or(partial);
    let Ok(files) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut wrong = Vec::new();
    for file in files {
        let path = file.map_err(StewardError::io("read", folder))?.path();
        let found = store::read(&path, LONGEST).map_err(StewardError::io("read", &path))?;
        if path != partial && !bytes.starts_with(&found) {
            wrong.push(format!("{} has other hashes", path.display()));
        }
    }
    Ok(wrong)
}

#[derive(Default)]
struct Nodes(Vec<Hash>);

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let node = |&index: &u64| {
            let hash = usize::try_from(index).ok().and_then(|index| self.0.get(index));
            hash.copied().ok_or(tlog_tiles::Error::IndexesNotInTree)
        };
        indexes.iter().map(node).collect()
    }
}

/// The keys in this home are those that the owner enrolled. Nothing is unlocked.
fn agents_keys(home: &Home, state: &State) -> Result<Part, StewardError> {
    for (name, account) in state.agents() {
        match keys::address(home, name) {
            Ok(address) if address == account.key => {}
            Ok(address) => {
                let said = format!("the key of {name} is {address}, enrolled is {}", account.key);
                return Ok(different("keys", said));
            }
            Err(error) => return Ok(different("keys", error.to_string())),
        }
    }
    Ok(good("keys", format!("those of {} enrolled agents", state.agents().len())))
}

/// The index, as a copy of it says, against the fold of as many entries as it has read.
fn against_index(home: &Home, entries: &[Entry]) -> Result<Part, StewardError> {
    let copy = Copy::of(&home.index(), home.path())?;
    let compared = compare(&copy.0, entries);
    drop(copy);
    match compared {
        Ok(part) => Ok(part),
        Err(StewardError::Index(error)) => Ok(different("index", error.to_string())),
        Err(error) => Err(error),
    }
}

fn compare(copy: &Path, entries: &[Entry]) -> Result<Part, StewardError> {
    let mut loaded = match Index::open(copy.to_owned())?.load() {
        Ok(Some(state)) => state,
        Ok(None) => return Ok(good("index", "empty; the next start reads every entry")),
        Err(doubt) => return Ok(different("index", doubt)),
    };
    let mark = loaded.next();
    let read = usize::try_from(mark).ok().and_then(|mark| entries.get(..mark));
    let Some(read) = read else {
        let said = format!("it has read {mark} entries of a journal of {}", entries.len());
        return Ok(different("index", said));
    };
    if loaded.seal()? != State::fold(read)?.seal()? {
        let said = format!("it is not the state before entry {mark}; the next start makes it anew");
        return Ok(different("index", said));
    }
    let behind = entries.len() - read.len();
    Ok(good("index", format!("the state before entry {mark}; the next start reads {behind} more")))
}

/// A copy of a folder that goes away.
struct Copy(PathBuf);

impl Copy {
    fn of(folder: &Path, into: &Path) -> Result<Self, StewardError> {
        let copy = Self(into.join(format!("index.check-{}", std::process::id())));
        copy_all(folder, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the index's copy");
        }
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<(), StewardError> {
    make_dir(to)?;
    let list = || fs::read_dir(from)?.collect::<Result<Vec<_>, _>>();
    for file in list().map_err(StewardError::io("read", from))? {
        let (path, target) = (file.path(), to.join(file.file_name()));
        let kind = file.file_type().map_err(StewardError::io("read", &path))?;
        if kind.is_dir() {
            copy_all(&path, &target)?;
            continue;
        }
        let copied = store::open(&path, Access::Read).and_then(|mut from| {
            io::copy(&mut from, &mut store::open(&target, Access::New(PRIVATE))?)
        });
        copied.map_err(StewardError::io("copy", &path))?;
    }
    Ok(())
}

/// Signed bytes that wait, against the transactions that are signed and not settled. A file is
/// written before the journal says so and erased after, so a working steward may have one that the
/// journal does not know yet.
fn outbox(dir: &Path, state: &State, works: bool) -> Result<Part, StewardError> {
    let mut waiting = BTreeSet::new();
    for (id, record) in state.intents() {
        let ours = record.order.as_ref().and_then(Order::transaction).is_some();
        if ours && matches!(record.state, PaymentState::Signed | PaymentState::Sent) {
            waiting.insert(*id);
        }
    }
    let list = || fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>();
    let (mut there, mut left) = (BTreeSet::new(), 0);
    for file in list().map_err(StewardError::io("read", dir))? {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".new") {
            left += 1; // a write that a crash cut short
            continue;
        }
        // Bytes with lower fees, which may be mined as well, lie beside those that replaced them.
        let stem = name.split_once(".earlier-").map_or(name.as_str(), |(stem, _)| stem);
        let id = hex::decode(stem).ok().and_then(|id| B256::try_from(id.as_slice()).ok());
        let Some(record) = id.and_then(|id| state.intent(IntentId(id))) else {
            if works {
                continue; // reserved after the journal was read
            }
            let said = format!("{name} belongs to no intent of this journal");
            return Ok(different("outbox", said));
        };
        let raw = match store::read(&file.path(), LONGEST) {
            Ok(raw) => raw,
            Err(error) if works && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StewardError::io("read", file.path())(error)),
        };
        if record.hash.is_some() && !record.hashes().any(|hash| hash == keccak256(&raw)) {
            let said =
                format!("the bytes of {} are not the ones that were signed", record.decided.id);
            return Ok(different("outbox", said));
        }
        there.insert(record.decided.id);
        left += usize::from(!record.is_live());
    }
    let missing: Vec<_> = waiting.difference(&there).collect();
    if let (Some(id), false) = (missing.first(), works) {
        let said = format!(
            "the signed bytes of {} transactions are missing, of {id} first; a steward signs the \
             same ones again",
            missing.len()
        );
        return Ok(different("outbox", said));
    }
    let mut said = format!("{} signed transactions wait, and their bytes are there", waiting.len());
    if left > 0 {
        said.push_str(&format!("; {left} files are left over"));
    }
    Ok(good("outbox", said))
}
