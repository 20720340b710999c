//! Headers as they should be, cut, and claimed.

use std::io::Cursor;

use proptest::prelude::*;

use super::parse::TOKENS;
use super::*;
use crate::built_in;

fn read(bytes: &[u8]) -> Result<Header, Fault> {
    parse(Cursor::new(bytes), bytes.len() as u64)
}

fn reason(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(Fault::Damaged(reason) | Fault::NoModel(reason) | Fault::NotGguf(reason)) => reason,
        Err(Fault::Cut { needs }) => format!("cut, needs {needs:?}"),
        other => panic!("{other:?}"),
    }
}

/// A GGUF under construction.
struct Draft {
    entries: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Draft {
    fn new() -> Self {
        let draft = Self { entries: Vec::new(), tensors: Vec::new(), data: 0 };
        draft.text("general.architecture", "llama")
    }

    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.push([&text(key), kind.to_le_bytes().as_slice(), value].concat());
        self
    }

    fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, 8, &text(value))
    }

    fn number(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    fn texts(self, key: &str, values: &[&str]) -> Self {
        let head = [8_u32.to_le_bytes().as_slice(), &(values.len() as u64).to_le_bytes()].concat();
        let values: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
        self.entry(key, 9, &[head, values].concat())
    }

    /// `bytes` is what it takes of the data; the next one lies behind it.
    fn tensor(self, name: &str, kind: u32, dimensions: &[u64], bytes: usize) -> Self {
        let offset = self.data as u64;
        self.tensor_at(name, kind, dimensions, bytes, offset)
    }

    fn tensor_at(
        mut self,
        name: &str,
        kind: u32,
        dimensions: &[u64],
        bytes: usize,
        offset: u64,
    ) -> Self {
        let count = u32::try_from(dimensions.len()).unwrap();
        let mut tensor = [&text(name), count.to_le_bytes().as_slice()].concat();
        dimensions.iter().for_each(|dimension| tensor.extend(dimension.to_le_bytes()));
        tensor.extend(kind.to_le_bytes());
        tensor.extend(offset.to_le_bytes());
        self.tensors.push(tensor);
        self.data = (self.data + bytes).next_multiple_of(32);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.resize(bytes.len() + self.data, 0);
        bytes
    }

    fn reason(&self) -> String {
        reason(&self.bytes())
    }
}

fn model() -> Draft {
    Draft::new().tensor("output_norm.weight", 0, &[8], 32)
}

#[test]
fn the_built_in_model_is_read_whole() {
    let header = read(built_in::BYTES).unwrap();
    assert_eq!(header.architecture(), "llama");
    assert_eq!(header.name(), Some("tiny-agent"));
    assert_eq!(header.figure("block_count"), Some(6));
    assert_eq!(header.length(TOKENS), Some(1_792));
    let elements: u64 = header.tensors().iter().map(|tensor| tensor.elements).sum();
    assert_eq!(elements, 2_193_440);
    let last = header.tensors().last().unwrap();
    let end = header.data_offset() + last.offset + last.bytes;
    assert!((end..end + 32).contains(&(built_in::BYTES.len() as u64)));
}

#[test]
fn every_cut_is_noticed_and_says_how_much_is_missing() {
    let header = read(built_in::BYTES).unwrap();
    let whole = built_in::BYTES.len();
    let data = usize::try_from(header.data_offset()).unwrap();
    let last = header.tensors().last().unwrap();
    let end = header.data_offset() + last.offset + last.bytes;
    for length in (4..data).step_by(7).chain([data - 1, data, data + 1, whole / 2]) {
        let cut = &built_in::BYTES[..length];
        match read(cut) {
            Err(Fault::Cut { needs: None }) => assert!(length < data, "cut at {length}"),
            Err(Fault::Cut { needs }) => assert_eq!(needs, Some(end), "cut at {length}"),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

/// As llama.cpp reads it: what nothing points to is padding, or somebody's signature.
#[test]
fn bytes_behind_the_last_tensor_are_nobodys() {
    let longer = [built_in::BYTES, b"a signature, or the end of another file"].concat();
    let (header, whole) = (read(&longer).unwrap(), read(built_in::BYTES).unwrap());
    assert_eq!(header.tensors(), whole.tensors());
    assert_eq!(header.file_size(), longer.len() as u64);
}

#[test]
fn an_endless_list_ends_with_the_file() {
    for element in [8_u32, 4, 9, 77] {
        let list = [element.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat();
        let reason = Draft::new().entry("k", 9, &list).reason();
        assert!(reason.starts_with("entry \"k\""), "{reason}");
    }
}

#[test]
fn a_header_cannot_make_the_reader_keep_much() {
    let long = "x".repeat(1 << 20);
    let mut draft = Draft::new();
    for number in 0..20 {
        draft = draft.text(&format!("k{number}"), &long);
    }
    assert_eq!(draft.reason(), "its header is longer than that of any model");
    // One that is longer is passed over.
    let longer = "x".repeat((1 << 20) + 1);
    let header = read(&model().text("k", &longer).bytes()).unwrap();
    assert_eq!(header.entries()["k"], Value::Text(None));
}

#[test]
fn each_fault_of_a_header_has_its_line() {
    let absurd = u64::MAX.to_le_bytes();
    for (draft, expected) in [
        (Draft::new(), "it holds no tensors"),
        (model().text("general.type", "adapter"), "it is an adapter for another model"),
        (model().entry("split.count", 2, &[3, 0]), "it is a part of 3; join them"),
        (model().entry("k", 8, &absurd), "entry \"k\" claims 18446744073709551615 bytes"),
        (model().entry("k", 13, &[]), "entry \"k\" has the unknown type 13"),
        (model().number("k", 1).number("k", 1), "its header has two entries \"k\""),
        (model().number("", 1), "the name of entry 1 is none"),
        (model().number("a\0b", 1), "the name of entry 1 is none"),
        (model().number("general.alignment", 24), "its general.alignment is no power of two"),
        (model().number("general.alignment", 0), "its general.alignment is no power of two"),
        (model().tensor("output_norm.weight", 0, &[8], 32), "its header has two tensors"),
        (model().tensor("w", 0, &[], 0), "tensor \"w\" has 0 dimensions"),
        (model().tensor("w", 0, &[1; 5], 4), "tensor \"w\" has 5 dimensions"),
        (model().tensor("w", 0, &[8, 0], 0), "tensor \"w\" is empty"),
        (model().tensor("w", 4, &[8], 32), "tensor \"w\" has the number format 4"),
        (model().tensor("w", 8, &[40], 0), "tensor \"w\" has rows of 40 weights, and Q8_0"),
        (model().tensor("w", 0, &[1 << 40, 1 << 40], 0), "tensor \"w\" is larger than any file"),
        (model().tensor("w", 0, &[1 << 62], 0), "tensor \"w\" is larger than any file"),
        (model().tensor(&"w".repeat(64), 0, &[8], 32), "has a name of more than 63 bytes"),
        (model().tensor_at("w", 0, &[8], 32, 64), "tensor \"w\" lies at 64"),
        (model().tensor_at("w", 0, &[8], 32, 0), "tensor \"w\" lies at 0, and has to follow"),
        (model().tensor("w", 0, &[1 << 40], 0), "cut, needs Some(4398046511"),
        (model().texts(TOKENS, &["a", "b", "a"]), "its vocabulary has the token \"a\" twice"),
        (model().texts(TOKENS, &["a\0b", "a\0c"]), "its vocabulary has the token \"a\" twice"),
        (model().texts(TOKENS, &["[EMPTY_1]", ""]), "has the token \"[EMPTY_1]\" twice"),
        (model().texts(TOKENS, &[]), "its vocabulary is empty"),
        (model().number("llama.block_count", 0), "it claims 0 layers"),
        (model().number("llama.block_count", 513), "it claims 513 layers"),
        (
            model().number("llama.block_count", 2).tensor("blk.0.w", 0, &[8], 32),
            "it claims 2 layers, and layer 1 has no tensors",
        ),
        (
            model().number("llama.block_count", 1).tensor("blk.7.w", 0, &[8], 32),
            "it claims 1 layers, and has layer 7",
        ),
        (model().number("llama.context_length", 0), "its context_length is 0"),
        (model().number("llama.context_length", u32::MAX), "its context_length is 4294967295"),
        (model().number("llama.embedding_length", u32::MAX), "its embedding_length is 429496"),
        (
            model().number("llama.embedding_length", 16).tensor("token_embd.weight", 0, &[8], 32),
            "its embedding_length is 16, and its table has rows of 8",
        ),
        (
            model().texts(TOKENS, &["a", "b"]).tensor("token_embd.weight", 0, &[8], 32),
            "its vocabulary has 2 tokens, and its embedding table 1 rows",
        ),
        (
            model().texts(TOKENS, &["a"]).texts("tokenizer.ggml.scores", &["a"]),
            "its tokenizer.ggml.scores is no list of numbers",
        ),
        (
            model()
                .number("llama.block_count", 1)
                .number("llama.attention.head_count", 6)
                .number("llama.attention.head_count_kv", 4),
            "its 6 heads do not share 4 heads of keys",
        ),
        (
            model().number("llama.block_count", 1).number("llama.expert_count", 4),
            "it claims 4 experts in 0 groups, of which 0 in 0 are used",
        ),
        (model().tensor("w", 28, &[8], 64), "tensor \"w\" is stored as F64, which no weights are"),
        (model().tensor("a_norm.weight", 1, &[8], 16), "is stored as F16, and norms are F32"),
        (
            model().entry("llama.attention.layer_norm_rms_epsilon", 6, &(-1.0_f32).to_le_bytes()),
            "its layer_norm_rms_epsilon is -1",
        ),
        (model().text("llama.rope.scaling.type", "wild"), "its rope.scaling.type \"wild\""),
    ] {
        let reason = draft.reason();
        assert!(reason.contains(expected), "{expected:?}: {reason}");
    }
    assert!(read(&model().bytes()).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(&bytes);
        let _ignored = (read(&bytes), read(&file));
    }

    #[test]
    fn no_flip_makes_the_reader_panic(at in 0_usize..20_000, bit in 0_u8..8) {
        let mut file = built_in::BYTES[..built_in::BYTES.len() / 8].to_vec();
        file[at] ^= 1 << bit;
        let _ignored = read(&file);
    }
}
