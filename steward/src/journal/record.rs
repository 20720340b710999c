//! Entries as bytes: a header, then records of length, checksum and bytes.
//!
//! ```text
//! header  "MARQUEJ\n" | u32 format = 1 | 32 bytes origin | u64 first entry | u32 CRC32C of these
//! record  u32 length (1 to 61,440) | u32 CRC32C of the bytes | the bytes
//! ```
//! All integers are big-endian. An empty entry is not allowed, so that the zeros which a power
//! cut may leave behind never look like a record.

use super::error::JournalError;
use super::key::Origin;
use alloy_primitives::B256;
use std::path::Path;

/// The longest entry, in bytes: 60 KiB, below the 65,535 that C2SP entry bundles can hold.
pub const MAX_ENTRY: usize = 60 * 1024;

/// The format that this module reads and writes.
const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"MARQUEJ\n";
/// How many bytes come before the first record.
pub(super) const HEADER: usize = 56;
const FRAME: usize = 8;

/// The first bytes of a segment of the journal of `origin`.
pub(super) fn header(origin: Origin, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_be_bytes());
    bytes.extend(origin.0);
    bytes.extend(first.to_be_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
    bytes
}

/// Checks the header of the segment that begins with entry `first`; answers the origin it names.
pub(super) fn check_header(path: &Path, bytes: &[u8], first: u64) -> Result<Origin, JournalError> {
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
    if bytes.get(..HEADER) != Some(header(origin, first).as_slice()) {
        return Err(bad("its header is damaged, or it is not the segment that its name says"));
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
pub(super) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
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

/// Takes a record: the entry's number and its bytes.
pub(super) type Take<'a> = dyn FnMut(u64, &[u8]) -> Result<(), JournalError> + 'a;

/// A segment's bytes and what they are expected to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    /// For messages.
    pub(super) path: &'a Path,
    /// The whole file.
    pub(super) bytes: &'a [u8],
    /// The entry that it begins with.
    pub(super) first: u64,
    /// The journal that it belongs to, where that is known.
    pub(super) origin: Option<Origin>,
    /// No segment follows: what is broken at the end may be an append that was not finished.
    pub(super) last: bool,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// The sequence number after the last whole entry.
    pub(super) next: u64,
    /// Where that entry ends, in bytes from the start of the file.
    pub(super) end: u64,
    /// Bytes behind it.
    pub(super) torn: u64,
}

impl Scan<'_> {
    /// Visits every whole record. Something broken at the very end of the journal is reported as
    /// torn; something broken with a whole record anywhere behind it is an error.
    pub(super) fn each(self, visit: &mut Take<'_>) -> Result<Scanned, JournalError> {
        let Self { path, bytes, first, origin, last } = self;
        let found = check_header(path, bytes, first)?;
        if let Some(expected) = origin
            && found != expected
        {
            return Err(JournalError::Origin { found, expected });
        }
        let mut rest = bytes.get(HEADER..).unwrap_or_default();
        let mut next = first;
        while !rest.is_empty() {
            match split(rest) {
                Ok((entry, behind)) => {
                    visit(next, entry)?;
                    next += 1;
                    rest = behind;
                }
                Err(why) => {
                    let follows = !last
                        || (1..rest.len())
                            .any(|skip| rest.get(skip..).is_some_and(|tail| split(tail).is_ok()));
                    if follows {
                        let offset = (bytes.len() - rest.len()) as u64;
                        let path = path.to_owned();
                        return Err(JournalError::Damaged { path, seq: next, offset, why });
                    }
                    break;
                }
            }
        }
        Ok(Scanned { next, end: (bytes.len() - rest.len()) as u64, torn: rest.len() as u64 })
    }
}
