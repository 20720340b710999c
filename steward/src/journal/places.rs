//! Where entries lie in their segments, so that one can be read again without reading what is
//! before it.
//!
//! A segment is read through once, when first asked for; what was appended to it since is read
//! when it is asked for. So whoever asks for old entries again and again costs a few microseconds
//! each, not a segment each.

use super::error::JournalError;
use super::files;
use super::record::{HEADER, Piece, check_header, split};
use super::segments::{Segment, Segments};
use marque_store_files::Access;
use std::collections::VecDeque;
use std::os::unix::fs::FileExt as _;

/// So many segments are known at a time, some 100 KiB each at the usual length of entries.
const KNOWN: usize = 32;

/// What is known of segments, the one used last in front.
#[derive(Debug, Default)]
pub(super) struct Places(VecDeque<Place>);

/// Where the entries of a segment begin and end, in bytes from its start.
#[derive(Debug)]
struct Place {
    segment: Segment,
    /// Each entry's start and end.
    bounds: Vec<(u64, u64)>,
    /// Up to where it was read; 0 before that.
    read: u64,
}

impl Places {
    /// One entry, checked by its checksum alone; `None` if there is none.
    pub(super) fn entry(
        &mut self,
        segments: &Segments,
        seq: u64,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        let Some((segment, last)) = segments.of(seq) else { return Ok(None) };
        let at = self.0.iter().position(|place| place.segment == *segment);
        let mut place = match at.and_then(|at| self.0.remove(at)) {
            Some(place) => place,
            None => Place { segment: segment.clone(), bounds: Vec::new(), read: 0 },
        };
        if place.bounds_of(seq).is_none() {
            place.learn(last)?;
        }
        let read = place.bounds_of(seq).map(|bounds| place.entry(seq, bounds)).transpose();
        self.0.truncate(KNOWN - 1);
        self.0.push_front(place);
        read
    }
}

impl Place {
    fn bounds_of(&self, seq: u64) -> Option<(u64, u64)> {
        let at = usize::try_from(seq.checked_sub(self.segment.first)?).ok()?;
        self.bounds.get(at).copied()
    }

    /// Reads the segment, or what was appended to it since.
    fn learn(&mut self, last: bool) -> Result<(), JournalError> {
        let path = &self.segment.path;
        let bytes = files::read(path)?;
        if self.read == 0 {
            check_header(path, &bytes, self.segment.first)?;
            self.read = HEADER as u64;
        }
        loop {
            let at = self.read;
            let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            match split(rest) {
                Ok((piece, behind)) => {
                    self.read = (bytes.len() - behind.len()) as u64;
                    if let Piece::Entry(_) = piece {
                        self.bounds.push((at, self.read));
                    }
                }
                // An append that was not finished.
                Err(_) if last => return Ok(()),
                Err(why) => {
                    let seq = self.segment.first + self.bounds.len() as u64;
                    return Err(JournalError::Damaged { path: path.clone(), seq, offset: at, why });
                }
            }
        }
    }

    fn entry(&self, seq: u64, (start, end): (u64, u64)) -> Result<Vec<u8>, JournalError> {
        let path = &self.segment.path;
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or_default()];
        let file = files::open(path, Access::Read)?;
        file.read_exact_at(&mut bytes, start).map_err(JournalError::io("read", path))?;
        match split(&bytes) {
            Ok((Piece::Entry(entry), [])) => Ok(entry.to_owned()),
            Ok(_) => self.damaged(seq, start, "its length is another than before"),
            Err(why) => self.damaged(seq, start, why),
        }
    }

    fn damaged<T>(&self, seq: u64, offset: u64, why: &'static str) -> Result<T, JournalError> {
        Err(JournalError::Damaged { path: self.segment.path.clone(), seq, offset, why })
    }
}
