//! What a model file is, in words for people: told from its header, without loading it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::error::ModelError;
use crate::footprint::Footprint;
use crate::gguf::{Header, TensorType, file_type};
use crate::threads;

/// Number formats for which `exact` was measured to be exact (`tests/exact.rs`).
const EXACT_FORMATS: [&str; 6] = ["F32", "F16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"];
/// The architecture on which it was measured.
const EXACT_ARCHITECTURE: &str = "llama";

/// What a model file says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its architecture, such as `llama`.
    pub architecture: String,
    /// Weights.
    pub parameters: u64,
    /// Bytes of the file.
    pub file_size: u64,
    /// The mixture of number formats, as its maker called it.
    pub quantisation: Option<&'static str>,
    /// How many tensors and bytes are stored how, the most bytes first.
    pub formats: Vec<Share>,
    /// Tokens of context that it was trained on.
    pub context_length: Option<u64>,
    /// Layers.
    pub layers: Option<u64>,
    /// Width of a layer.
    pub embedding_length: Option<u64>,
    /// The family of its tokeniser, such as `gpt2`.
    pub tokenizer: Option<String>,
    /// Entries of its vocabulary.
    pub vocabulary: Option<u64>,
    /// Its chat template, if it has one.
    pub chat_template: Option<Template>,
    /// Whether `exact` was measured for its like.
    pub exact: Exactness,
    /// What it takes.
    #[serde(skip)]
    pub footprint: Footprint,
}

/// Tensors of one number format.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    /// The format, such as `Q8_0`.
    pub format: &'static str,
    /// Tensors.
    pub tensors: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a chat template speaks of.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Template {
    /// Tools.
    pub tools: bool,
    /// Thinking before the reply.
    pub thinking: bool,
}

/// Whether the profile `exact` was measured for models like this one.
#[derive(Debug, Clone, Serialize)]
pub struct Exactness {
    /// Its number formats for which it was not.
    pub unmeasured_formats: Vec<&'static str>,
    /// Whether it was on this architecture.
    pub architecture_measured: bool,
}

impl Exactness {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.architecture_measured && self.unmeasured_formats.is_empty()
    }
}

impl Description {
    /// Of the file at `path`.
    ///
    /// # Errors
    /// Those of [`Header::read`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Header::read(path).map(|header| Self::of(&header))
    }

    /// Of the file with this header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let formats = shares(header);
        let unmeasured_formats = formats
            .iter()
            .map(|share| share.format)
            .filter(|format| !EXACT_FORMATS.contains(format))
            .collect();
        let template = header.text("tokenizer.chat_template").map(|template| Template {
            tools: template.contains("tools"),
            thinking: ["thinking", "<think>", "reasoning"].iter().any(|w| template.contains(w)),
        });
        Self {
            name: header.name().map(str::to_owned),
            architecture: header.architecture().to_owned(),
            parameters: header.tensors().iter().fold(0, |n, t| n.saturating_add(t.elements)),
            file_size: header.file_size(),
            quantisation: header.number("general.file_type").and_then(file_type),
            formats,
            context_length: header.figure("context_length"),
            layers: header.figure("block_count"),
            embedding_length: header.figure("embedding_length"),
            tokenizer: header.text("tokenizer.ggml.model").map(str::to_owned),
            vocabulary: header.length("tokenizer.ggml.tokens"),
            chat_template: template,
            exact: Exactness {
                unmeasured_formats,
                architecture_measured: header.architecture() == EXACT_ARCHITECTURE,
            },
            footprint: Footprint::of(header),
        }
    }

    /// Threads that the engine would take for it now.
    #[must_use]
    pub fn threads(&self) -> u32 {
        threads::choose(self.file_size, None).unwrap_or(1)
    }
}

fn shares(header: &Header) -> Vec<Share> {
    let mut sums: BTreeMap<TensorType, (u64, u64)> = BTreeMap::new();
    for tensor in header.tensors() {
        let (tensors, bytes) = sums.entry(tensor.kind).or_default();
        *tensors = tensors.saturating_add(1);
        *bytes = bytes.saturating_add(tensor.bytes);
    }
    let mut shares: Vec<Share> = sums
        .into_iter()
        .map(|(kind, (tensors, bytes))| Share { format: kind.name(), tensors, bytes })
        .collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Format, Synthetic};

    #[test]
    fn the_built_in_model_is_described() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/built-in/tiny-agent.gguf");
        let model = Description::read(path).unwrap();
        assert_eq!(model.name.as_deref(), Some("tiny-agent"));
        assert_eq!((model.parameters, model.layers), (2_193_440, Some(6)));
        assert_eq!((model.vocabulary, model.context_length), (Some(1_792), Some(2_048)));
        assert_eq!(model.quantisation, Some("Q8_0"));
        assert_eq!(model.formats.first().map(|share| share.format), Some("Q8_0"));
        assert!(model.exact.is_measured());
        assert_eq!(model.threads(), 1);
    }

    #[test]
    fn every_format_for_which_exact_is_measured_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        for format in Format::ALL {
            let path = folder.path().join(format.name());
            Synthetic::small(format).write(&path).unwrap();
            assert!(Description::read(&path).unwrap().exact.is_measured(), "{format:?}");
        }
    }
}
