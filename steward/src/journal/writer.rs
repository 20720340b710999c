//! Appending: one write and one wait for the disk a group, and a new file where one is full.
//!
//! A new segment is made durable, name included, before the first group goes into it, and only
//! when the one before is finished and durable. So whatever a crash interrupts, the journal is the
//! old segments with at most a torn last group, or those and an empty new one.
//!
//! Where the disk is full nothing of the group stays, the reserve is given back, and what was
//! acknowledged is untouched: there is room for the entry that stops everything. Should others take
//! that room first, there is still the first page of the reserve, which is never given back: a note
//! of that entry is written over it, which takes no room.

use super::error::JournalError;
use super::files;
use super::key::Origin;
use super::record::{self, HEADER, Piece, Seal};
use super::segments::{End, Segment, Segments};
use crate::failpoint::{failpoint, slow_sync};
use marque_store_files::{self as store, Access, Folder, PRIVATE};
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A segment takes no further group once it would grow beyond so many bytes.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// So many bytes are kept for the entries that stop everything when the disk is full.
pub(super) const RESERVE_BYTES: u64 = 512 * 1024;

/// The part of them that is kept for a note.
const NOTE_BYTES: usize = 4096;

/// The newest segment, open for appending; the first one is locked against a second writer.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    origin: Origin,
    /// Held as long as the writer lives.
    _lock: File,
    path: PathBuf,
    file: File,
    len: u64,
    next: u64,
    limit: u64,
    /// Whether the segment takes seals; one of an older format is followed by another at once.
    sealed: bool,
    failed: bool,
    syncs: u64,
    disk: Duration,
}

/// The right to write, before anything is read.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Makes the folders and an empty first segment, durable with their names.
    pub(super) fn create(dir: &Path, origin: Origin) -> Result<Self, JournalError> {
        let path = Segment::at(dir, 0).path;
        if path.exists() {
            return Err(JournalError::Exists(dir.to_owned()));
        }
        fs::create_dir_all(dir).map_err(JournalError::io("create", dir))?;
        files::make_folder(dir, Path::new("entries"))?;
        failpoint("folder");
        files::replace_durably(&path, &record::header(origin, 0))?;
        files::sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            files::sync_dir(parent)?;
        }
        Self::take(dir)
    }

    /// Locks the journal; reads nothing.
    pub(super) fn take(dir: &Path) -> Result<Self, JournalError> {
        // The list first: it says which segment is missing, where one is.
        Segments::list(dir)?;
        let path = Segment::at(dir, 0).path;
        // Whoever writes goes through no link, neither to the journal nor in it.
        let entries = Folder::open(dir).and_then(|dir| dir.within("entries"));
        let entries = entries.map_err(JournalError::io("open", dir))?;
        let name = path.file_name().unwrap_or_default();
        let file = entries.file(name, Access::Read).map_err(JournalError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
        }
    }
}

impl Writer {
    /// Opens the last segment at its end: cuts off what is torn, and waits for the disk, because
    /// after a kill whole records may still be in the page cache only, and from here on they count.
    pub(super) fn open(
        dir: &Path,
        origin: Origin,
        lock: Lock,
        at: &End,
    ) -> Result<Self, JournalError> {
        let path = at.segment.path.clone();
        let file = files::open(&path, Access::Append)?;
        if at.torn > 0 {
            file.set_len(at.end).map_err(JournalError::io("cut", &path))?;
        }
        if !at.sealed && at.end == HEADER as u64 {
            // Nothing is in it: it is of this format from now on.
            let header = record::header(origin, at.segment.first);
            let write = || store::open(&path, Access::Write)?.write_all(&header);
            write().map_err(JournalError::io("write", &path))?;
        }
        file.sync_all().map_err(JournalError::io("sync", &path))?;
        let writer = Self {
            dir: dir.to_owned(),
            origin,
            _lock: lock.0,
            path,
            file,
            len: at.end,
            next: at.size,
            limit: SEGMENT_BYTES,
            sealed: at.sealed || at.end == HEADER as u64,
            failed: false,
            syncs: 0,
            disk: Duration::ZERO,
        };
        match writer.keep_reserve() {
            Err(error @ JournalError::Full(_)) => {
                tracing::warn!(%error, "no room is reserved for stopping on a full disk");
            }
            kept => kept?,
        }
        Ok(writer)
    }

    /// Writes a group of entries and its seal with one wait for the disk.
    ///
    /// [`JournalError::Full`] where there is no room: then nothing of the group is there, and the
    /// writer goes on. After any other failure it is done.
    pub(super) fn append(&mut self, entries: &[Vec<u8>], seal: &Seal) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let mut group = record::frame(entries)?;
        group.extend(record::frame_seal(seal));
        // INVARIANT: after a failed write or sync nobody knows what is on the disk, and a second
        // sync would lie about it, so this writer is done; pinned by
        // `a_writer_whose_disk_failed_refuses_to_go_on`.
        self.failed = true;
        match self.write(&group) {
            Ok(()) => {}
            Err(JournalError::Io { source, .. }) if is_full(&source) => {
                self.take_back()?;
                self.failed = false;
                return Err(JournalError::Full(self.dir.clone()));
            }
            Err(error) => return Err(error),
        }
        let start = Instant::now();
        self.file.sync_data().map_err(JournalError::io("sync", &self.path))?;
        slow_sync();
        self.disk = start.elapsed();
        self.failed = false;
        self.len += group.len() as u64;
        self.next += entries.len() as u64;
        self.syncs += 1;
        Ok(())
    }

    fn write(&mut self, group: &[u8]) -> Result<(), JournalError> {
        let full = !self.sealed || self.len.saturating_add(group.len() as u64) > self.limit;
        if full && self.len > HEADER as u64 {
            self.rotate()?;
        }
        self.file.write_all(group).map_err(JournalError::io("append to", &self.path))
    }

    /// Begins a new segment. INVARIANT: the one before is whole and durable, as every append left
    /// it; pinned by `a_crash_at_any_step_of_a_rotation_loses_nothing`.
    fn rotate(&mut self) -> Result<(), JournalError> {
        let path = Segment::at(&self.dir, self.next).path;
        if let Err(error) = files::replace_durably(&path, &record::header(self.origin, self.next)) {
            // Half made, it may be there after a crash: nothing more goes into the one before it.
            return Err(if path.exists() { JournalError::Failed } else { error });
        }
        self.file = files::open(&path, Access::Append)?;
        self.path = path;
        self.len = HEADER as u64;
        self.sealed = true;
        Ok(())
    }

    /// Undoes a write that the disk had no room for. What the reserve took is free then, but for the
    /// note's page.
    fn take_back(&self) -> Result<(), JournalError> {
        self.file.set_len(self.len).map_err(JournalError::io("cut", &self.path))?;
        self.file.sync_all().map_err(JournalError::io("sync", &self.path))?;
        if let Err(error) = give_back(&reserve(&self.dir)) {
            tracing::warn!(%error, "the room that was kept is not given back");
        }
        Ok(())
    }

    /// Takes the room that is kept for a full disk, where it is not taken.
    pub(super) fn keep_reserve(&self) -> Result<(), JournalError> {
        let path = reserve(&self.dir);
        let take = || {
            // Not truncated: there may be a note in it.
            let mut file = store::open(&path, Access::Create(PRIVATE))?;
            if file.metadata()?.len() == RESERVE_BYTES {
                return Ok(());
            }
            let page = NOTE_BYTES as u64;
            let has = file.metadata()?.len().div_ceil(page);
            file.seek(SeekFrom::Start(has * page))?;
            // Written, not only sized: a hole is no room.
            for _ in has..RESERVE_BYTES / page {
                file.write_all(&[0; NOTE_BYTES])?;
            }
            file.set_len(RESERVE_BYTES)?;
            file.sync_data()
        };
        take().map_err(|error| {
            drop(give_back(&path));
            if is_full(&error) {
                JournalError::Full(self.dir.clone())
            } else {
                JournalError::io("reserve", &path)(error)
            }
        })
    }

    /// Leaves a note for the next start, in room that is taken already; an empty one is none.
    pub(super) fn leave_note(&self, note: &[u8]) -> Result<(), JournalError> {
        let path = reserve(&self.dir);
        let write = || {
            let mut page = [0; NOTE_BYTES];
            if !note.is_empty() {
                let framed = record::frame(&[note.to_vec()]).map_err(io::Error::other)?;
                let room = page.get_mut(..framed.len());
                let room = room.ok_or_else(|| io::Error::other("the note is too long"))?;
                room.copy_from_slice(&framed);
            }
            let mut file = store::open(&path, Access::Create(PRIVATE))?;
            file.write_all(&page)?;
            file.sync_all()
        };
        write().map_err(JournalError::io("note in", &path))
    }

    /// The note that was left, if one was. One that cannot be read any more is an empty one.
    pub(super) fn note(&self) -> Result<Option<Vec<u8>>, JournalError> {
        let Some(bytes) = files::read_if_there(&reserve(&self.dir))? else { return Ok(None) };
        let page = bytes.get(..NOTE_BYTES).unwrap_or(&bytes);
        if page.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Ok(Some(match record::split(page) {
            Ok((Piece::Entry(note), _)) => note.to_vec(),
            _ => Vec::new(),
        }))
    }

    /// How long the last append waited for the disk.
    pub(super) const fn disk(&self) -> Duration {
        self.disk
    }

    /// How often an append waited for the disk.
    pub(super) const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Lets segments be this long, for tests of what happens at their ends.
    pub(super) const fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Lets the next append fail, as a broken disk does.
    #[cfg(test)]
    pub(super) fn break_disk(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }
}

/// Frees what is reserved at `path`, all but the note's page.
fn give_back(path: &Path) -> io::Result<()> {
    let file = store::open(path, Access::Write)?;
    if file.metadata()?.len() > NOTE_BYTES as u64 {
        file.set_len(NOTE_BYTES as u64)?;
    }
    file.sync_all()
}

fn reserve(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
