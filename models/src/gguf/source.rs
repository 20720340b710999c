//! Bytes of a header, taken one value at a time, never more than the file has.
//!
//! INVARIANT: nothing is allocated for what a header claims, only for what is there
//! (`an_endless_list_ends_with_the_file`, `a_header_cannot_make_the_reader_keep_much`).

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::types::Kind;

/// No text of a real header is as long; a damaged length quickly is.
const MAX_TEXT: u64 = 1 << 24;
/// Texts up to here are kept; a chat template has some ten thousand bytes.
const KEPT_TEXT: u64 = 1 << 20;
/// What is kept of all texts together.
const KEPT_ALL: u64 = 16 << 20;

/// Why a header was not read.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// It is something else than a GGUF.
    NotGguf(String),
    /// It contradicts itself.
    Damaged(String),
    /// It ends too early, and this is how much of it there should be, as far as that is known.
    Cut {
        needs: Option<u64>,
    },
    /// A whole GGUF that is no model, or not all of one.
    NoModel(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Cut { needs: None },
            _ => Self::Io(error),
        }
    }
}

/// A text of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Whole(Vec<u8>),
    /// Longer than what is kept.
    Long,
}

/// A reader that knows where it is and where the file ends.
pub(super) struct Source<R> {
    inner: R,
    at: u64,
    size: u64,
    kept: u64,
}

impl<R: Read + Seek> Source<R> {
    pub(super) const fn new(inner: R, size: u64) -> Self {
        Self { inner, at: 0, size, kept: 0 }
    }

    /// Bytes before the next one.
    pub(super) const fn position(&self) -> u64 {
        self.at
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.at = self.at.saturating_add(N as u64);
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A text; `what` names it where its length is absurd.
    pub(super) fn text(&mut self, what: &str) -> Result<Text, Fault> {
        let length = self.text_length(what)?;
        if length > KEPT_TEXT {
            self.skip(length)?;
            return Ok(Text::Long);
        }
        self.kept = self.kept.saturating_add(length);
        if self.kept > KEPT_ALL {
            return Err(Fault::Damaged("its header is longer than that of any model".to_owned()));
        }
        self.take(length).map(Text::Whole)
    }

    /// A text that is looked at and not kept.
    pub(super) fn passing_text(&mut self, what: &str) -> Result<Vec<u8>, Fault> {
        let length = self.text_length(what)?;
        if length > KEPT_TEXT {
            return Err(Fault::Damaged(format!("{what} has {length} bytes")));
        }
        self.take(length)
    }

    fn text_length(&mut self, what: &str) -> Result<u64, Fault> {
        match self.u64()? {
            length if length > MAX_TEXT => {
                Err(Fault::Damaged(format!("{what} claims {length} bytes")))
            }
            length if length > self.left() => Err(Fault::Cut { needs: None }),
            length => Ok(length),
        }
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        self.at = self.at.saturating_add(read as u64);
        if (read as u64) < length {
            return Err(Fault::Cut { needs: None });
        }
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<(), Fault> {
        if length > self.left() {
            return Err(Fault::Cut { needs: None });
        }
        let step = i64::try_from(length).map_err(|_| Fault::Cut { needs: None })?;
        self.inner.seek(SeekFrom::Current(step))?;
        self.at = self.at.saturating_add(length);
        Ok(())
    }

    /// A whole number of a fixed-width kind, or the bits of a floating one.
    pub(super) fn number(&mut self, kind: Kind) -> Result<i128, Fault> {
        Ok(match kind {
            Kind::U8 | Kind::Bool => u8::from_le_bytes(self.bytes()?).into(),
            Kind::I8 => i8::from_le_bytes(self.bytes()?).into(),
            Kind::U16 => u16::from_le_bytes(self.bytes()?).into(),
            Kind::I16 => i16::from_le_bytes(self.bytes()?).into(),
            Kind::U32 | Kind::F32 => self.u32()?.into(),
            Kind::I32 => i32::from_le_bytes(self.bytes()?).into(),
            Kind::U64 | Kind::F64 => self.u64()?.into(),
            Kind::I64 => i64::from_le_bytes(self.bytes()?).into(),
            Kind::Text | Kind::List => 0,
        })
    }
}
