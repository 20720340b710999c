//! Entries as bytes: a header, then groups: records of length, checksum and bytes, and a seal.
//!
//! ```text
//! header  "MARQUEJ\n" | u32 format = 2 | 32 bytes origin | u64 first entry | u32 CRC32C of these
//! record  u32 length (1 to 61,440) | u32 CRC32C of the bytes | the bytes
//! seal    u32 2^31 + 64 | u32 CRC32C of the signature | 64 bytes signature
//! ```
//! All integers are big-endian. An empty entry is not allowed, so that the zeros which a power
//! cut may leave behind never look like a record. A seal ends the records that were written at once:
//! the signature of the checkpoint that covers everything up to there. Records without one are an
//! append that was not finished. Format 1 had no seals.

use super::error::JournalError;
use super::key::Origin;
use alloy_primitives::B256;
use std::path::Path;

/// The longest entry, in bytes: 60 KiB, below the 65,535 that C2SP entry bundles can hold.
pub const MAX_ENTRY: usize = 60 * 1024;

/// The signature that ends a group.
pub(super) type Seal = [u8; 64];

/// The format that this module writes. It reads 1 as well.
const FORMAT: u32 = 2;
/// The first format whose groups are sealed.
const SEALED: u32 = 2;
/// What stands in the place of the length of a seal.
const SEAL: u32 = (1 << 31) + 64;
const MAGIC: [u8; 8] = *b"MARQUEJ\n";
/// How many bytes come before the first record.
pub(super) const HEADER: usize = 56;
const FRAME: usize = 8;

/// The first bytes of a segment of the journal of `origin`.
pub(super) fn header(origin: Origin, first: u64) -> Vec<u8> {
    header_of(FORMAT, origin, first)
}

pub(super) fn header_of(format: u32, origin: Origin, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend(MAGIC);
    bytes.extend(format.to_be_bytes());
    bytes.extend(origin.0);
    bytes.extend(first.to_be_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
    bytes
}

/// Checks the header of the segment that begins with entry `first`; answers the origin it names, and
/// whether its groups are sealed.
pub(super) fn check_header(
    path: &Path,
    bytes: &[u8],
    first: u64,
) -> Result<(Origin, bool), JournalError> {
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
    if found == 0 || bytes.get(..HEADER) != Some(header_of(found, origin, first).as_slice()) {
        return Err(bad("its header is damaged, or it is not the segment that its name says"));
    }
    Ok((origin, found >= SEALED))
}

/// A group of entries as it is written, without its seal.
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

/// The end of a group.
pub(super) fn frame_seal(seal: &Seal) -> Vec<u8> {
    [&SEAL.to_be_bytes(), &crc32c::crc32c(seal).to_be_bytes(), seal.as_slice()].concat()
}

/// What groups are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Entry(&'a [u8]),
    Seal(&'a Seal),
}

/// The first piece of `bytes`, and what follows it.
pub(super) fn split(bytes: &[u8]) -> Result<(Piece<'_>, &[u8]), &'static str> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or("its length is cut off")?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or("its checksum is cut off")?;
    let sum = |bytes| crc32c::crc32c(bytes) == u32::from_be_bytes(*crc);
    let len = u32::from_be_bytes(*len);
    if len == SEAL {
        let (seal, rest) = rest.split_first_chunk::<64>().ok_or("its seal is cut off")?;
        return if sum(seal) { Ok((Piece::Seal(seal), rest)) } else { Err(CHECKSUM) };
    }
    let len = len as usize;
    if !(1..=MAX_ENTRY).contains(&len) {
        return Err("its length is impossible");
    }
    let (entry, rest) = rest.split_at_checked(len).ok_or("it is cut off")?;
    if sum(entry) { Ok((Piece::Entry(entry), rest)) } else { Err(CHECKSUM) }
}

const CHECKSUM: &str = "its checksum does not match";

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
    /// The seal of that entry's group, where the segment has any.
    pub(super) seal: Option<Seal>,
    /// Whether what is appended to it has to be sealed.
    pub(super) sealed: bool,
}

impl Scan<'_> {
    /// Visits every entry of a whole group. Something broken at the very end of the journal, or a
    /// group without its seal there, is reported as torn; something broken with a whole piece
    /// anywhere behind it is an error.
    pub(super) fn each(self, visit: &mut Take<'_>) -> Result<Scanned, JournalError> {
        let Self { path, bytes, first, origin, last } = self;
        let (found, sealed) = check_header(path, bytes, first)?;
        if let Some(expected) = origin
            && found != expected
        {
            return Err(JournalError::Origin { found, expected });
        }
        let mut rest = bytes.get(HEADER..).unwrap_or_default();
        let mut whole = rest;
        let (mut next, mut seal) = (first, None);
        let mut group = Vec::new();
        let why = loop {
            match split(rest) {
                _ if rest.is_empty() => break "its group has no seal",
                Ok((Piece::Entry(entry), behind)) if sealed => {
                    group.push(entry);
                    rest = behind;
                }
                Ok((Piece::Entry(entry), behind)) => {
                    visit(next, entry)?;
                    next += 1;
                    (rest, whole) = (behind, behind);
                }
                Ok((Piece::Seal(end), behind)) if sealed && !group.is_empty() => {
                    for entry in group.drain(..) {
                        visit(next, entry)?;
                        next += 1;
                    }
                    seal = Some(*end);
                    (rest, whole) = (behind, behind);
                }
                Ok((Piece::Seal(_), _)) => break "it is a seal of nothing",
                Err(why) => break why,
            }
        };
        // A seal of nothing was written by nobody here, whatever is behind it.
        let follows = !last
            || split(rest).is_ok()
            || (1..rest.len()).any(|skip| rest.get(skip..).is_some_and(|tail| split(tail).is_ok()));
        if !whole.is_empty() && follows {
            let offset = (bytes.len() - rest.len()) as u64;
            let (path, seq) = (path.to_owned(), next + group.len() as u64);
            return Err(JournalError::Damaged { path, seq, offset, why });
        }
        let (end, torn) = ((bytes.len() - whole.len()) as u64, whole.len() as u64);
        Ok(Scanned { next, end, torn, seal, sealed })
    }
}
