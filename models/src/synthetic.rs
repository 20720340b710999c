//! Model files with random weights: of any size and number format, the same bytes from the same
//! seed on every machine.
//!
//! They write nonsense, but cost what a trained model of their shape costs, draw as wildly as any
//! model ever will, and need no download. The self-test, the benchmarks and the tests use them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::sampler::next_random;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 16-bit floats.
    F16,
    /// Blocks of 32 at 8 bits.
    Q8_0,
    /// Blocks of 32 at 4 bits.
    Q4_0,
    /// Super-blocks of 256 at 4 bits, and at 6 bits where `Q4_K_M` keeps more: output, and half of
    /// the values and down-projections.
    Q4KM,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::F16, Self::Q8_0, Self::Q4_0, Self::Q4KM];

    /// The name that files of this format carry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4KM => "Q4_K_M",
        }
    }
}

/// The shape of a model of the llama architecture.
#[derive(Debug, Clone, Copy)]
pub struct Synthetic {
    /// How weights are stored.
    pub format: Format,
    /// Width; a multiple of 256, and of the number of heads.
    pub width: u32,
    /// Layers.
    pub layers: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Width of the feed-forward part; a multiple of 256.
    pub feed_forward: u32,
    /// Entries of the vocabulary; at least 1,024.
    pub vocabulary: u32,
    /// Tokens of its context.
    pub context: u32,
    /// What the weights are drawn from.
    pub seed: u64,
}

/// The special tokens and the chat template of a model family, for files that should have them.
#[derive(Debug, Clone, Copy)]
pub struct Dialect<'a> {
    /// Control tokens. The last one ends a reply.
    pub control: &'a [&'a str],
    /// Texts that are one token without being control tokens, as `<think>` is in some files.
    pub markup: &'a [&'a str],
    /// The first of a prompt, one of the control tokens; not added where the template writes it.
    pub bos: Option<&'a str>,
    /// The chat template.
    pub template: &'a str,
    /// The one for conversations with tools, where it is another.
    pub tool_template: Option<&'a str>,
}

impl Dialect<'static> {
    /// What the files of [`Synthetic::write`] have.
    pub const CHATML: Self = Self {
        control: &["<|im_start|>", "<|im_end|>"],
        markup: &[],
        bos: None,
        template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\
                   <|im_end|>\n{% endfor %}<|im_start|>assistant\n",
        tool_template: None,
    };
}

impl Dialect<'_> {
    fn specials(&self) -> usize {
        self.control.len().saturating_add(self.markup.len())
    }

    /// llama.cpp aborts the process where a token stands in a vocabulary twice.
    fn repeats_itself(&self) -> bool {
        let all = self.control.iter().chain(self.markup);
        all.collect::<std::collections::HashSet<_>>().len() < self.specials()
    }
}

impl Synthetic {
    /// A model of two layers that computes in a moment.
    #[must_use]
    pub fn small(format: Format) -> Self {
        Self {
            format,
            width: 256,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            feed_forward: 512,
            vocabulary: 2_048,
            context: 2_048,
            seed: 1,
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the operating system says, and [`io::ErrorKind::InvalidInput`] for a shape that no
    /// file can have.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        self.write_in(&Dialect::CHATML, path)
    }

    /// Writes the file with the special tokens and the template of a family.
    ///
    /// # Errors
    /// Those of [`Synthetic::write`], and the same for a dialect without control tokens, with a
    /// token twice, or with more than fit.
    pub fn write_in(&self, dialect: &Dialect<'_>, path: &Path) -> io::Result<()> {
        if !self.width.is_multiple_of(256)
            || !self.feed_forward.is_multiple_of(256)
            || self.width.checked_rem(self.heads) != Some(0)
            || self.heads.checked_rem(self.kv_heads) != Some(0)
            || self.vocabulary < 1_024
            || dialect.control.is_empty()
            || dialect.specials() > 512
            || dialect.repeats_itself()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no model has this shape"));
        }
        let tensors = self.tensors();
        let mut file = Counting { inner: BufWriter::new(File::create(path)?), written: 0 };
        file.write_all(b"GGUF")?;
        file.u32(3)?;
        file.u64(tensors.len() as u64)?;
        let keys = self.keys(dialect);
        file.u64(keys.len() as u64)?;
        for (key, value) in keys {
            file.string(&key)?;
            file.value(&value)?;
        }
        let mut offset = 0;
        for tensor in &tensors {
            file.string(&tensor.name)?;
            file.u32(u32::try_from(tensor.dimensions.len()).unwrap_or(0))?;
            for dimension in &tensor.dimensions {
                file.u64((*dimension).into())?;
            }
            file.u32(tensor.kind.number())?;
            file.u64(offset)?;
            offset = aligned(offset.saturating_add(tensor.bytes()));
        }
        file.align()?;
        let mut random = self.seed;
        for tensor in &tensors {
            tensor.fill(&mut file, &mut random)?;
            file.align()?;
        }
        file.inner.flush()
    }

    fn tensors(&self) -> Vec<Tensor> {
        let (main, finer) = match self.format {
            Format::F16 => (Kind::F16, Kind::F16),
            Format::Q8_0 => (Kind::Q8_0, Kind::Q8_0),
            Format::Q4_0 => (Kind::Q4_0, Kind::Q4_0),
            Format::Q4KM => (Kind::Q4K, Kind::Q6K),
        };
        let head = self.width.checked_div(self.heads).unwrap_or(0);
        let kv = head.saturating_mul(self.kv_heads);
        let norm = |name: String| Tensor::new(name, Kind::F32, &[self.width]);
        let mut tensors = vec![
            Tensor::new("token_embd.weight".to_owned(), main, &[self.width, self.vocabulary]),
            norm("output_norm.weight".to_owned()),
            Tensor::new("output.weight".to_owned(), finer, &[self.width, self.vocabulary]),
        ];
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let some = if layer % 2 == 0 { finer } else { main };
            let (width, wide) = (self.width, self.feed_forward);
            tensors.extend([
                norm(name("attn_norm")),
                Tensor::new(name("attn_q"), main, &[width, width]),
                Tensor::new(name("attn_k"), main, &[width, kv]),
                Tensor::new(name("attn_v"), some, &[width, kv]),
                Tensor::new(name("attn_output"), main, &[width, width]),
                norm(name("ffn_norm")),
                Tensor::new(name("ffn_gate"), main, &[width, wide]),
                Tensor::new(name("ffn_up"), main, &[width, wide]),
                Tensor::new(name("ffn_down"), some, &[wide, width]),
            ]);
        }
        tensors
    }

    fn keys(&self, dialect: &Dialect<'_>) -> Vec<(String, Value)> {
        let (tokens, kinds, merges) = vocabulary(self.vocabulary as usize, dialect);
        let last = self.vocabulary.saturating_sub(1);
        let first = dialect.bos.and_then(|bos| tokens.iter().position(|token| token == bos));
        let first = first.and_then(|first| u32::try_from(first).ok()).unwrap_or(last);
        let head = self.width.checked_div(self.heads).unwrap_or(0);
        let mut keys = vec![
            ("general.architecture", Value::Text("llama".to_owned())),
            ("general.name", Value::Text(format!("synthetic-{}", self.format.name()))),
            ("llama.context_length", Value::Number(self.context)),
            ("llama.embedding_length", Value::Number(self.width)),
            ("llama.block_count", Value::Number(self.layers)),
            ("llama.feed_forward_length", Value::Number(self.feed_forward)),
            ("llama.attention.head_count", Value::Number(self.heads)),
            ("llama.attention.head_count_kv", Value::Number(self.kv_heads)),
            ("llama.attention.layer_norm_rms_epsilon", Value::Float(1e-5)),
            ("llama.rope.dimension_count", Value::Number(head)),
            ("llama.vocab_size", Value::Number(self.vocabulary)),
            ("tokenizer.ggml.model", Value::Text("gpt2".to_owned())),
            ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
            ("tokenizer.ggml.tokens", Value::Texts(tokens)),
            ("tokenizer.ggml.token_type", Value::Integers(kinds)),
            ("tokenizer.ggml.merges", Value::Texts(merges)),
            ("tokenizer.ggml.bos_token_id", Value::Number(first)),
            ("tokenizer.ggml.eos_token_id", Value::Number(last)),
            ("tokenizer.ggml.add_bos_token", Value::Flag(dialect.bos.is_some())),
            ("tokenizer.chat_template", Value::Text(dialect.template.to_owned())),
        ];
        if let Some(template) = dialect.tool_template {
            keys.push(("tokenizer.chat_template.tool_use", Value::Text(template.to_owned())));
        }
        keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Kinds of tokens in GGUF.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
/// Texts that a model of JSON would have as tokens.
const WORDS: [&str; 24] = [
    "{\"", "\"}", "\":\"", "\",\"", "\":", ",\"", "}}", "[{", "}]", "},{", "true", "false", "null",
    "\"name\"", "tool", "args", "answer", "amount", " the", " and", "ing", "tion", "http", "://",
];

/// Tokens, their kinds, and the merges that make them: bytes, some words, then syllables.
fn vocabulary(size: usize, dialect: &Dialect<'_>) -> (Vec<String>, Vec<i32>, Vec<String>) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    let mut merges = Vec::new();
    let words = size.saturating_sub(dialect.specials());
    let mut known: std::collections::HashSet<String> = tokens.iter().cloned().collect();
    let mut add = |left: &str, right: &str, tokens: &mut Vec<String>| {
        let whole = format!("{left}{right}");
        if tokens.len() < words && known.insert(whole.clone()) {
            tokens.push(whole);
            merges.push(format!("{left} {right}"));
        }
    };
    for word in WORDS {
        let letters: Vec<String> = word.bytes().map(|byte| letter(byte).to_string()).collect();
        let mut left = String::new();
        for right in &letters {
            if !left.is_empty() {
                add(&left, right, &mut tokens);
            }
            left.push_str(right);
        }
    }
    let mut parts = Vec::new();
    for consonant in "bcdfghjklmnpqrstvwxyz".chars() {
        for vowel in "aeiou".chars() {
            add(&consonant.to_string(), &vowel.to_string(), &mut tokens);
            parts.push(format!("{consonant}{vowel}"));
        }
    }
    let mut longer = parts.clone();
    while tokens.len() < words {
        let mut next = Vec::new();
        for left in &longer {
            for right in &parts {
                add(left, right, &mut tokens);
                next.push(format!("{left}{right}"));
            }
            if tokens.len() >= words {
                break;
            }
        }
        longer = next;
    }
    let mut kinds = vec![1; tokens.len()];
    for (special, kind) in [(dialect.markup, USER_DEFINED), (dialect.control, CONTROL)] {
        tokens.extend(special.iter().map(|text| (*text).to_owned()));
        kinds.extend(std::iter::repeat_n(kind, special.len()));
    }
    (tokens, kinds, merges)
}

/// How byte-level vocabularies write a byte: printable ones as themselves, others above 255.
fn letter(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if prints(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !prints(*byte)).count();
    u32::try_from(before).ok().and_then(|n| char::from_u32(256 + n)).unwrap_or('\u{fffd}')
}

enum Value {
    Number(u32),
    Float(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i32>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    F32,
    F16,
    Q8_0,
    Q4_0,
    Q4K,
    Q6K,
}

impl Kind {
    /// Its number in GGUF.
    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q6K => 14,
        }
    }

    /// Weights and bytes of a block.
    fn block(self) -> (u64, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q6K => (256, 210),
        }
    }
}

struct Tensor {
    name: String,
    kind: Kind,
    dimensions: Vec<u32>,
}

impl Tensor {
    fn new(name: String, kind: Kind, dimensions: &[u32]) -> Self {
        Self { name, kind, dimensions: dimensions.to_vec() }
    }

    fn blocks(&self) -> u64 {
        let weights = self.dimensions.iter().fold(1_u64, |n, d| n.saturating_mul((*d).into()));
        weights.checked_div(self.kind.block().0).unwrap_or(0)
    }

    fn bytes(&self) -> u64 {
        self.blocks().saturating_mul(self.kind.block().1 as u64)
    }

    /// Writes weights of about `1 / sqrt(width)`, so that activations neither fade nor explode.
    fn fill(&self, file: &mut impl Write, random: &mut u64) -> io::Result<()> {
        let width = self.dimensions.first().copied().unwrap_or(1).max(1);
        let mut power = -(i32::try_from(width.ilog2()).unwrap_or(0) / 2);
        if self.name == "output.weight" {
            power += 1; // some tokens should be likelier than others
        }
        let mut block = vec![0_u8; self.kind.block().1];
        for _ in 0..self.blocks() {
            for bytes in block.chunks_mut(8) {
                let noise = next_random(random).to_le_bytes();
                bytes.iter_mut().zip(noise).for_each(|(byte, noise)| *byte = noise);
            }
            match self.kind {
                Kind::F32 => put(&mut block, 0, &1.0_f32.to_le_bytes()),
                Kind::F16 => {
                    // Any sign and mantissa; the exponent is set.
                    let low = block.first().copied().unwrap_or(0);
                    let high = block.get(1).copied().unwrap_or(0) & 0b1000_0011;
                    let bits = u16::from_le_bytes([low, high]) | half(power);
                    put(&mut block, 0, &bits.to_le_bytes());
                }
                Kind::Q8_0 => put(&mut block, 0, &half(power - 6).to_le_bytes()),
                Kind::Q4_0 => put(&mut block, 0, &half(power - 2).to_le_bytes()),
                Kind::Q4K => {
                    put(&mut block, 0, &half(power - 7).to_le_bytes());
                    // 7.5 times that, so that the mean is 0.
                    put(&mut block, 2, &(half(power - 5) | 0x380).to_le_bytes());
                }
                Kind::Q6K => {
                    for scale in block.get_mut(192..208).unwrap_or_default() {
                        *scale = (scale.cast_signed() >> 4).cast_unsigned();
                    }
                    put(&mut block, 208, &half(power - 6).to_le_bytes());
                }
            }
            file.write_all(&block)?;
        }
        Ok(())
    }
}

/// Two to the power of `power` as a 16-bit float.
fn half(power: i32) -> u16 {
    match power + 15 {
        exponent @ 1..=30 => u16::try_from(exponent).unwrap_or(1) << 10,
        exponent @ -9..=0 => 1 << (exponent + 9),
        _ => 1,
    }
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

fn aligned(offset: u64) -> u64 {
    offset.next_multiple_of(32)
}

/// Knows how far it has come.
struct Counting<W> {
    inner: W,
    written: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.written = self.written.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Counting<W> {
    fn u32(&mut self, value: u32) -> io::Result<()> {
        self.write_all(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> io::Result<()> {
        self.write_all(&value.to_le_bytes())
    }

    fn string(&mut self, text: &str) -> io::Result<()> {
        self.u64(text.len() as u64)?;
        self.write_all(text.as_bytes())
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Number(number) => {
                self.u32(4)?;
                self.u32(*number)
            }
            Value::Float(number) => {
                self.u32(6)?;
                self.write_all(&number.to_le_bytes())
            }
            Value::Flag(flag) => {
                self.u32(7)?;
                self.write_all(&[u8::from(*flag)])
            }
            Value::Text(text) => {
                self.u32(8)?;
                self.string(text)
            }
            Value::Texts(texts) => {
                self.u32(9)?;
                self.u32(8)?;
                self.u64(texts.len() as u64)?;
                texts.iter().try_for_each(|text| self.string(text))
            }
            Value::Integers(numbers) => {
                self.u32(9)?;
                self.u32(5)?;
                self.u64(numbers.len() as u64)?;
                numbers.iter().try_for_each(|number| self.write_all(&number.to_le_bytes()))
            }
        }
    }

    fn align(&mut self) -> io::Result<()> {
        while self.written != aligned(self.written) {
            self.write_all(&[0])?;
        }
        Ok(())
    }
}
