//! Reads the header of a GGUF file far enough to say in one line what is wrong with it.
//!
//! llama.cpp reads the file again; by then it is known to be a GGUF of a version that it reads,
//! with a whole header that names its architecture. The layout is specified in
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::error::ModelError;

const MAGIC: [u8; 4] = *b"GGUF";
/// No real header comes near these; a damaged one quickly does.
const MAX_ENTRIES: u64 = 1 << 16;
const MAX_STRING: u64 = 1 << 24;

/// What a header says about its model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `general.architecture`, for example `llama`.
    pub(crate) architecture: String,
    /// `general.name`, where there is one.
    pub(crate) name: Option<String>,
    /// Size of the whole file in bytes.
    pub(crate) file_size: u64,
}

/// Reads the header of the file at `path`.
pub(crate) fn read_header(path: &Path) -> Result<Header, ModelError> {
    let unreadable = |source| ModelError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => ModelError::NotFound(path.to_owned()),
        _ => unreadable(source),
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ModelError::NotGguf {
            path: path.to_owned(),
            reason: "it is not a regular file".to_owned(),
        });
    }
    parse(BufReader::new(file), metadata.len()).map_err(|fault| match fault {
        Fault::Io(source) if source.kind() == ErrorKind::UnexpectedEof => ModelError::Damaged {
            path: path.to_owned(),
            reason: "it ends inside its header".to_owned(),
        },
        Fault::Io(source) => unreadable(source),
        Fault::NotGguf(reason) => ModelError::NotGguf { path: path.to_owned(), reason },
        Fault::Damaged(reason) => ModelError::Damaged { path: path.to_owned(), reason },
    })
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    NotGguf(String),
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn parse(reader: impl Read, file_size: u64) -> Result<Header, Fault> {
    let mut reader = Reader { inner: reader };
    let magic = reader.bytes::<4>().map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Fault::NotGguf(format!("it has only {file_size} bytes")),
        _ => Fault::Io(error),
    })?;
    if magic != MAGIC {
        let found = String::from_utf8_lossy(&magic).escape_debug().to_string();
        return Err(Fault::NotGguf(format!("it starts with \"{found}\" instead of \"GGUF\"")));
    }
    match reader.u32()? {
        2 | 3 => {}
        1 => return Err(Fault::NotGguf("version 1 is no longer read; convert it anew".to_owned())),
        version if matches!(version.swap_bytes(), 1..=3) => {
            return Err(Fault::NotGguf("it is written for big-endian machines".to_owned()));
        }
        version => {
            return Err(Fault::NotGguf(format!("version {version} is unknown, 2 and 3 are read")));
        }
    }
    let _tensors = reader.u64()?;
    let entries = reader.u64()?;
    if entries > MAX_ENTRIES {
        return Err(Fault::Damaged(format!("its header claims {entries} entries")));
    }
    let (mut architecture, mut name) = (None, None);
    for _ in 0..entries {
        let key = reader.string()?;
        let kind = reader.u32()?;
        match key.as_str() {
            "general.architecture" if kind == STRING => architecture = Some(reader.string()?),
            "general.name" if kind == STRING => name = Some(reader.string()?),
            _ => reader.skip_value(kind, &key)?,
        }
    }
    let architecture = architecture
        .ok_or_else(|| Fault::Damaged("its header names no general.architecture".to_owned()))?;
    Ok(Header { architecture, name, file_size })
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Bytes of a value of fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1), // u8, i8, bool
        2 | 3 => Some(2),     // u16, i16
        4..=6 => Some(4),     // u32, i32, f32
        10..=12 => Some(8),   // u64, i64, f64
        _ => None,
    }
}

struct Reader<R> {
    inner: R,
}

impl<R: Read> Reader<R> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn string_length(&mut self) -> Result<u64, Fault> {
        match self.u64()? {
            length if length <= MAX_STRING => Ok(length),
            length => Err(Fault::Damaged(format!("its header claims a text of {length} bytes"))),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let length = self.string_length()?;
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(length).read_to_end(&mut bytes)?;
        if (read as u64) < length {
            return Err(Fault::Io(ErrorKind::UnexpectedEof.into()));
        }
        String::from_utf8(bytes)
            .map_err(|_| Fault::Damaged("its header holds a text that is not UTF-8".to_owned()))
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        if io::copy(&mut self.inner.by_ref().take(length), &mut io::sink())? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn skip_value(&mut self, kind: u32, key: &str) -> Result<(), Fault> {
        let unknown = |kind| Fault::Damaged(format!("entry {key:?} has the unknown type {kind}"));
        match kind {
            STRING => {
                let length = self.string_length()?;
                self.skip(length)?;
            }
            ARRAY => {
                let element = self.u32()?;
                let count = self.u64()?;
                if element == STRING {
                    for _ in 0..count {
                        let length = self.string_length()?;
                        self.skip(length)?;
                    }
                } else {
                    let width = width(element).ok_or_else(|| unknown(element))?;
                    let length = count.checked_mul(width).ok_or_else(|| unknown(kind))?;
                    self.skip(length)?;
                }
            }
            _ => self.skip(width(kind).ok_or_else(|| unknown(kind))?)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built_in;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Header, Fault> {
        parse(bytes, bytes.len() as u64)
    }

    #[test]
    fn the_built_in_model_is_a_llama() {
        let header = read(built_in::BYTES).unwrap();
        assert_eq!(header.architecture, "llama");
        assert_eq!(header.name.as_deref(), Some("tiny-agent"));
    }

    #[test]
    fn every_cut_of_a_header_is_noticed() {
        let whole = &built_in::BYTES[..2_000];
        for length in 4..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn an_endless_array_ends_with_the_file() {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.push(b'k');
        bytes.extend(ARRAY.to_le_bytes());
        bytes.extend(STRING.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(matches!(read(&bytes), Err(Fault::Io(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = b"GGUF\x03\0\0\0".to_vec();
            file.extend(&bytes);
            let _ignored = (read(&bytes), read(&file));
        }
    }
}
