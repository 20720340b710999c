//! The files that hold the entries: one after the other, each named after its first entry.
//!
//! A segment that is not the last is finished: its records fill it to its last byte and end where
//! the next one begins. Anything else is damage. Readers take no lock.

use super::error::JournalError;
use super::files;
use super::key::Origin;
use super::record::{Scan, Scanned, Seal, Take};
use std::fs;
use std::path::{Path, PathBuf};

/// One file of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The entry that it begins with.
    pub(super) first: u64,
    /// Where it lies.
    pub(super) path: PathBuf,
}

/// All segments of a journal, in order; there is at least one.
#[derive(Clone, Debug)]
pub(super) struct Segments(Vec<Segment>);

/// Where the entries of a journal end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// How many entries there are.
    pub(super) size: u64,
    /// The last segment.
    pub(super) segment: Segment,
    /// Where its last whole entry ends, in bytes.
    pub(super) end: u64,
    /// Bytes behind it: an append that was not finished.
    pub(super) torn: u64,
    /// The newest seal, where one was read.
    pub(super) seal: Option<Seal>,
    /// Whether groups can be appended to the last segment; to one of an older format they cannot.
    pub(super) sealed: bool,
}

impl Segment {
    /// The one in `dir` that begins with entry `first`.
    pub(super) fn at(dir: &Path, first: u64) -> Self {
        Self { first, path: dir.join("entries").join(format!("{first:020}.seg")) }
    }
}

impl Segments {
    /// Those that are there now.
    pub(super) fn list(dir: &Path) -> Result<Self, JournalError> {
        let entries = dir.join("entries");
        let list = || fs::read_dir(&entries)?.collect::<Result<Vec<_>, _>>();
        let mut found = Vec::new();
        for file in list().map_err(JournalError::io("read", &entries))? {
            let path = file.path();
            if path.extension().is_none_or(|ext| ext != "seg") {
                continue;
            }
            let digits = path.file_stem().and_then(|stem| stem.to_str());
            let first = digits
                .filter(|digits| digits.len() == 20)
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| JournalError::Header {
                    path: path.clone(),
                    why: "its name is not 20 digits and `.seg`",
                })?;
            found.push(Segment { first, path });
        }
        found.sort_by_key(|segment| segment.first);
        match found.first() {
            Some(Segment { first: 0, .. }) => Ok(Self(found)),
            Some(segment) => Err(missing(segment, 0)),
            None => {
                let path = Segment::at(dir, 0).path;
                let none = std::io::Error::from(std::io::ErrorKind::NotFound);
                Err(JournalError::io("open", &path)(none))
            }
        }
    }

    /// The segment that entry `seq` is in, or would be.
    fn index_of(&self, seq: u64) -> usize {
        self.0.partition_point(|segment| segment.first <= seq).saturating_sub(1)
    }

    /// Visits every entry from `from` on. Reads the segment that `from` is in from its start, and
    /// nothing before it.
    pub(super) fn each(
        &self,
        origin: Option<Origin>,
        from: u64,
        visit: &mut Take<'_>,
    ) -> Result<End, JournalError> {
        let mut segments = self.0.iter().skip(self.index_of(from)).peekable();
        let mut at = None;
        let mut newest = None;
        loop {
            let Some(segment) = segments.next() else {
                return Err(JournalError::Failed);
            };
            if let Some(next) = at
                && next != segment.first
            {
                return Err(missing(segment, next));
            }
            let last = segments.peek().is_none();
            let path = &segment.path;
            let bytes = files::read(path)?;
            let scan = Scan { path, bytes: &bytes, first: segment.first, origin, last };
            let Scanned { next, end, torn, seal, sealed } = scan.each(&mut |seq, entry| {
                if seq >= from { visit(seq, entry) } else { Ok(()) }
            })?;
            newest = seal.or(newest);
            if last {
                let (segment, seal) = (segment.clone(), newest);
                return Ok(End { size: next, segment, end, torn, seal, sealed });
            }
            at = Some(next);
        }
    }

    /// The segment that entry `seq` is in, or would be, and whether it is the last.
    pub(super) fn of(&self, seq: u64) -> Option<(&Segment, bool)> {
        let index = self.index_of(seq);
        self.0.get(index).map(|segment| (segment, index + 1 == self.0.len()))
    }
}

fn missing(segment: &Segment, have: u64) -> JournalError {
    JournalError::Missing { path: segment.path.clone(), have, first: segment.first }
}
