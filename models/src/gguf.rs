//! Reads the whole header of a GGUF file, and says in one line what is wrong with it.
//!
//! llama.cpp reads the file again, and trusts it more than a stranger's file deserves: where it
//! asserts, the process dies. So everything that can be told from the header is told here first:
//! that the file is a GGUF of a version that is read, that each value and tensor lies where it
//! should and is as large as it should be, that all of the file is there, and that the figures of
//! the model agree with each other and with its tensors. What is left to llama.cpp (the graph of
//! each architecture) is tried in a process of its own: [`crate::trial`].
//!
//! Memory is bounded whatever the header claims. The layout is specified in
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod figures;
mod parse;
mod source;
mod types;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use self::parse::parse;
use self::source::Fault;
pub use self::types::{Kind, TensorType, file_type};
use crate::error::ModelError;

/// Numbers of a list that are kept; figures that differ from layer to layer are such lists.
const KEPT_NUMBERS: u64 = 512; // LLAMA_MAX_LAYERS

/// What a header says.
#[derive(Debug)]
pub struct Header {
    architecture: String,
    entries: BTreeMap<String, Value>,
    tensors: Vec<Tensor>,
    data_offset: u64,
    file_size: u64,
}

/// A value of a header.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number, and how it is written.
    Number(Kind, i128),
    /// A floating one.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A text; `None` for one that is too long to keep.
    Text(Option<String>),
    /// Several values of a kind: how many, and themselves if they are few whole numbers.
    List(Kind, u64, Vec<i128>),
}

/// Where the weights of a tensor are and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// How its weights are stored.
    pub kind: TensorType,
    /// Its dimensions, the contiguous one first.
    pub dimensions: Vec<u64>,
    /// Where it begins, counted from the data.
    pub offset: u64,
    /// Its weights.
    pub elements: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Header {
    /// Reads the header of the file at `path`, and checks all of it.
    ///
    /// # Errors
    /// [`ModelError::NotFound`], [`ModelError::Unreadable`], [`ModelError::NotGguf`],
    /// [`ModelError::Incomplete`], [`ModelError::Damaged`] or [`ModelError::NoModel`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let unreadable = |source| ModelError::Unreadable { path: path.to_owned(), source };
        let absent = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => ModelError::NotFound(path.to_owned()),
            _ => unreadable(source),
        };
        // Asked first: whoever opens a pipe waits for somebody who writes into it.
        let metadata = std::fs::metadata(path).map_err(absent)?;
        if !metadata.is_file() {
            return Err(ModelError::NotGguf {
                path: path.to_owned(),
                reason: "it is not a regular file".to_owned(),
            });
        }
        let file = File::open(path).map_err(absent)?;
        let has = metadata.len();
        parse(BufReader::new(file), has).map_err(|fault| {
            let path = path.to_owned();
            match fault {
                Fault::Io(source) => ModelError::Unreadable { path, source },
                Fault::NotGguf(reason) => ModelError::NotGguf { path, reason },
                Fault::Damaged(reason) => ModelError::Damaged { path, reason },
                Fault::NoModel(reason) => ModelError::NoModel { path, reason },
                Fault::Cut { needs } => ModelError::Incomplete { path, has, needs },
            }
        })
    }

    /// `general.architecture`, for example `llama`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// `general.name`, where there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("general.name").filter(|name| !name.is_empty())
    }

    /// Every value by its key.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<String, Value> {
        &self.entries
    }

    /// Every tensor, in the order of the file.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Size of the whole file in bytes.
    #[must_use]
    pub const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Bytes of the header; the first tensor begins there.
    #[must_use]
    pub const fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The text with this key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.entries.get(key)? {
            Value::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    /// The number with this key, if it is written as llama.cpp reads figures: unsigned, 32 bits.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.entries.get(key)? {
            Value::Number(Kind::U32, number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// How many values the list with this key has.
    #[must_use]
    pub fn length(&self, key: &str) -> Option<u64> {
        match self.entries.get(key)? {
            Value::List(_, count, _) => Some(*count),
            _ => None,
        }
    }

    /// A figure of the model, such as `block_count`.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<u64> {
        self.number(&format!("{}.{name}", self.architecture))
    }

    /// A figure that may differ from layer to layer; `None` where it is not there, or not one
    /// for each layer.
    #[must_use]
    pub fn figures(&self, name: &str, layers: u64) -> Option<Vec<u64>> {
        match self.entries.get(&format!("{}.{name}", self.architecture))? {
            Value::Number(Kind::U32, number) => {
                let number = u64::try_from(*number).ok()?;
                let layers = usize::try_from(layers.min(KEPT_NUMBERS)).ok()?;
                Some(vec![number; layers])
            }
            Value::List(Kind::U32 | Kind::I32, count, numbers) if *count == layers => {
                numbers.iter().map(|number| u64::try_from(*number).ok()).collect()
            }
            _ => None,
        }
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

#[cfg(test)]
mod tests;
