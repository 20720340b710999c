//! Entries on disk: a header, then records of length, checksum and bytes.
//!
//! ```text
//! header  "MARQUEJ\n" | u32 format = 1 | 32 bytes origin | u64 first entry | u32 CRC32C of these
//! record  u32 length (1 to 61,440) | u32 CRC32C of the bytes | the bytes
//! ```
//! All integers are big-endian. An empty entry is not allowed, so that the zeros which a power
//! cut may leave behind never look like a record.

use super::error::JournalError;
use super::files;
use super::key::Origin;
use alloy_primitives::B256;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The longest entry, in bytes: 60 KiB, below the 65,535 that C2SP entry bundles can hold.
pub const MAX_ENTRY: usize = 60 * 1024;

/// The format that this module reads and writes.
const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"MARQUEJ\n";
const HEADER: usize = 56;
const FRAME: usize = 8;
/// Named after its first entry. One segment is enough for now; the header is ready for more.
const FIRST: &str = "00000000000000000000.seg";

/// The segment file, open for appending and locked against a second writer.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    failed: bool,
    syncs: u64,
}

/// What a segment holds.
#[derive(Debug)]
pub(super) struct Recovered {
    /// All whole entries.
    pub(super) entries: Vec<Vec<u8>>,
    /// Where the last of them ends, in bytes from the start of the file.
    pub(super) end: u64,
    /// Bytes behind it: an append that was not finished.
    pub(super) torn: u64,
}

impl Segment {
    /// Makes the folders and an empty segment, durable with their names.
    pub(super) fn create(dir: &Path, origin: Origin) -> Result<Self, JournalError> {
        let entries = dir.join("entries");
        let path = entries.join(FIRST);
        if path.exists() {
            return Err(JournalError::Exists(dir.to_owned()));
        }
        fs::create_dir_all(&entries).map_err(JournalError::io("create", &entries))?;
        files::replace_durably(&path, &header(origin))?;
        files::sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            files::sync_dir(parent)?;
        }
        Self::open(dir)
    }

    /// Opens and locks the segment; reads nothing yet.
    pub(super) fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = path_in(dir)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(JournalError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file, failed: false, syncs: 0 }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
        }
    }

    /// Reads the segment from its start.
    pub(super) fn recover(&mut self, origin: Origin) -> Result<Recovered, JournalError> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(JournalError::io("read", &self.path))?;
        scan(&self.path, &bytes, Some(origin))
    }

    /// Cuts the file at `end` if there is something torn behind it, and waits for the disk: after
    /// a kill whole records may still be in the page cache only, and from here on they count.
    pub(super) fn settle(&mut self, end: u64, torn: u64) -> Result<(), JournalError> {
        if torn > 0 {
            self.file.set_len(end).map_err(JournalError::io("cut", &self.path))?;
        }
        self.file.sync_all().map_err(JournalError::io("sync", &self.path))
    }

    /// Writes a group of entries with one wait for the disk.
    pub(super) fn append(&mut self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let group = frame(entries)?;
        // INVARIANT: after a failed write or sync nobody knows what is on the disk, and a second
        // sync would lie about it, so this writer is done; pinned by
        // `a_writer_whose_disk_failed_refuses_to_go_on`.
        self.failed = true;
        self.file.write_all(&group).map_err(JournalError::io("append to", &self.path))?;
        self.file.sync_data().map_err(JournalError::io("sync", &self.path))?;
        self.failed = false;
        self.syncs += 1;
        Ok(())
    }

    /// How often an append waited for the disk.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Lets the next append fail, as a full disk does.
    #[cfg(test)]
    pub(super) fn break_disk(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }
}

/// Reads the entries in `dir` without lock or change. `origin` is checked where it is known.
pub(super) fn read(dir: &Path, origin: Option<Origin>) -> Result<Recovered, JournalError> {
    let path = path_in(dir)?;
    let bytes = fs::read(&path).map_err(JournalError::io("read", &path))?;
    scan(&path, &bytes, origin)
}

/// The one segment; more of them come from a newer version.
fn path_in(dir: &Path) -> Result<PathBuf, JournalError> {
    let entries = dir.join("entries");
    let list = || fs::read_dir(&entries)?.collect::<Result<Vec<_>, _>>();
    for file in list().map_err(JournalError::io("read", &entries))? {
        let path = file.path();
        if path.extension().is_some_and(|ext| ext == "seg") && file.file_name() != FIRST {
            return Err(JournalError::Header { path, why: "only the first segment is known here" });
        }
    }
    Ok(entries.join(FIRST))
}

/// The first bytes of the journal of `origin`.
pub(super) fn header(origin: Origin) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_be_bytes());
    bytes.extend(origin.0);
    bytes.extend(0_u64.to_be_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
    bytes
}

/// Checks the header and returns the origin that it names.
fn check_header(path: &Path, bytes: &[u8]) -> Result<Origin, JournalError> {
    let bad = |why| JournalError::Header { path: path.to_owned(), why };
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| bad("it is too short"))?;
    if *magic != MAGIC {
        return Err(bad("it does not begin with `MARQUEJ`"));
    }
    let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(|| bad("it is too short"))?;
    let found = u32::from_be_bytes(*format);
    if found > FORMAT {
        return Err(JournalError::Version { path: path.to_owned(), found, known: FORMAT });
    }
    let (origin, _) = rest.split_first_chunk::<32>().ok_or_else(|| bad("it is too short"))?;
    let origin = Origin(B256::from(*origin));
    // One way to write each header: comparing with it checks first entry and checksum, too.
    if bytes.get(..HEADER) != Some(header(origin).as_slice()) {
        return Err(bad("its header is damaged"));
    }
    Ok(origin)
}

/// A group of entries as it is written.
pub(super) fn frame(entries: &[Vec<u8>]) -> Result<Vec<u8>, JournalError> {
    let mut group = Vec::with_capacity(entries.iter().map(|entry| FRAME + entry.len()).sum());
    for (index, entry) in entries.iter().enumerate() {
        let len = entry.len();
        let size = u32::try_from(len).ok().filter(|_| (1..=MAX_ENTRY).contains(&len));
        let size = size.ok_or(JournalError::EntrySize { index, len })?;
        group.extend(size.to_be_bytes());
        group.extend(crc32c::crc32c(entry).to_be_bytes());
        group.extend(entry);
    }
    Ok(group)
}

/// The first record of `bytes`, and what follows it.
fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or("its length is cut off")?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or("its checksum is cut off")?;
    let len = u32::from_be_bytes(*len) as usize;
    if !(1..=MAX_ENTRY).contains(&len) {
        return Err("its length is impossible");
    }
    let (entry, rest) = rest.split_at_checked(len).ok_or("it is cut off")?;
    if crc32c::crc32c(entry) != u32::from_be_bytes(*crc) {
        return Err("its checksum does not match");
    }
    Ok((entry, rest))
}

/// All whole records of a segment. Something broken at the end is reported as torn; something
/// broken with a whole record anywhere behind it is an error.
fn scan(path: &Path, bytes: &[u8], expected: Option<Origin>) -> Result<Recovered, JournalError> {
    let found = check_header(path, bytes)?;
    if let Some(expected) = expected
        && found != expected
    {
        return Err(JournalError::Origin { found, expected });
    }
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        match split_record(rest) {
            Ok((entry, behind)) => {
                entries.push(entry.to_owned());
                rest = behind;
            }
            Err(why) => {
                let follows = (1..rest.len())
                    .any(|skip| rest.get(skip..).is_some_and(|tail| split_record(tail).is_ok()));
                if follows {
                    let seq = entries.len() as u64;
                    let offset = (bytes.len() - rest.len()) as u64;
                    return Err(JournalError::Damaged { path: path.to_owned(), seq, offset, why });
                }
                break;
            }
        }
    }
    Ok(Recovered { entries, end: (bytes.len() - rest.len()) as u64, torn: rest.len() as u64 })
}
