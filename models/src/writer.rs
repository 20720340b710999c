//! Writes one reply, a token at a time, from the logits that the engine hands in.
//!
//! Knows nothing of sequences and batches, so that a reply can be interrupted between any two
//! tokens and go on in another lane. What it promises: a constrained reply is whole or an error;
//! a stop text and a thinking end never show; streamed pieces add up to the text.

use std::collections::VecDeque;
use std::sync::Arc;

use llama_cpp_2::token::LlamaToken;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::cache::inference;
use crate::channel::Thought;
use crate::constraint::Compiled;
use crate::error::ModelError;
use crate::guard::Guard;
use crate::prompt::Vocabulary;
use crate::request::{Constraint, Request, Stop, Trace, TracedToken};
use crate::sampler::{Among, Sampler, logprobs};
use crate::stream::{Delta, Sink};

/// What a writer is made of; can change threads, which a writer cannot.
pub(crate) struct Draft {
    vocabulary: Arc<Vocabulary>,
    sampler: Sampler,
    compiled: Compiled,
    is_json: bool,
    thought: Option<Thought>,
    stop: Vec<String>,
    trace: Trace,
    sink: Option<Sink>,
    budget: usize,
}

impl Draft {
    /// Checks what a request asks of the reply, which may have `budget` tokens.
    pub(crate) fn new(
        request: &Request,
        vocabulary: Arc<Vocabulary>,
        compiled: Compiled,
        thought: Option<Thought>,
        budget: usize,
    ) -> Result<Self, ModelError> {
        let refuse = |why: &str| Err(ModelError::Request(why.to_owned()));
        if !request.stop.is_empty() && request.constraint != Constraint::None {
            return refuse(
                "stop texts are for free replies; a constraint says itself where it ends",
            );
        }
        if request.stop.iter().any(String::is_empty) {
            return refuse("a stop text is empty");
        }
        if request.trace.logprobs.is_some_and(|count| count > Trace::MAX_ALTERNATIVES) {
            return refuse("at most 20 alternatives of a token are given");
        }
        Ok(Self {
            sampler: Sampler::new(request.sampling)?,
            is_json: matches!(request.constraint, Constraint::JsonSchema(_)),
            vocabulary,
            compiled,
            thought,
            stop: request.stop.clone(),
            trace: request.trace,
            sink: request.sink.clone(),
            budget,
        })
    }

    /// Starts to write.
    pub(crate) fn start(self) -> Result<Writer, ModelError> {
        let guard = Guard::new(self.compiled, self.vocabulary.model())?;
        Ok(Writer {
            vocabulary: self.vocabulary,
            sampler: self.sampler,
            guard,
            is_json: self.is_json,
            phase: if self.thought.is_some() { Phase::Thinking } else { Phase::Reply },
            thought: self.thought,
            said_for: VecDeque::new(),
            stop: self.stop,
            trace: self.trace,
            sink: self.sink,
            budget: self.budget,
            written: 0,
            bytes: Vec::new(),
            told: 0,
            thinking: String::new(),
            traced: Vec::new(),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Thinking,
    /// The end of the thought is written for the model.
    Ending,
    /// What stands between the end and the reply is written for it.
    Bridge,
    Reply,
}

/// A reply in the making.
pub(crate) struct Writer {
    vocabulary: Arc<Vocabulary>,
    sampler: Sampler,
    guard: Option<Guard>,
    is_json: bool,
    phase: Phase,
    thought: Option<Thought>,
    /// What is left to write for the model before its reply.
    said_for: VecDeque<LlamaToken>,
    stop: Vec<String>,
    trace: Trace,
    sink: Option<Sink>,
    budget: usize,
    written: usize,
    /// The text of this phase.
    bytes: Vec<u8>,
    /// How many of them were streamed.
    told: usize,
    /// What was thought.
    thinking: String,
    traced: Vec<TracedToken>,
}

/// What comes after a token.
#[derive(Debug)]
pub(crate) enum Next {
    /// Evaluate this token and come back with its logits.
    Evaluate(LlamaToken),
    /// The reply is whole.
    Done(Stop),
}

impl Writer {
    /// Tokens that were written.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Chooses the next token.
    pub(crate) fn step(&mut self, logits: &[f32]) -> Result<Next, ModelError> {
        let token = self.choose(logits)?;
        self.written = self.written.saturating_add(1);
        self.note(logits, token);
        self.sampler.wrote(id(token));
        let done = match self.phase {
            Phase::Thinking | Phase::Ending | Phase::Bridge => {
                self.think(token);
                None
            }
            Phase::Reply => self.reply(token)?,
        };
        if let Some(stop) = done {
            return Ok(Next::Done(stop));
        }
        if self.written < self.budget {
            return Ok(Next::Evaluate(token));
        }
        match self.guard {
            Some(_) => Err(ModelError::Truncated { tokens: count(self.written) }),
            None => {
                self.tell(true);
                Ok(Next::Done(Stop::Length))
            }
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Result<LlamaToken, ModelError> {
        let no_token = || ModelError::Inference("the model gave no usable logits".to_owned());
        let vocabulary = Arc::clone(&self.vocabulary);
        let vocab = vocabulary.model().vocab();
        if self.phase == Phase::Thinking {
            let most = self.thought.as_ref().map_or(0, |thought| thought.max_tokens as usize);
            let wanted = as_token(self.sampler.pick(logits, Among::All).ok_or_else(no_token)?)?;
            if self.written < most && !vocab.is_eog(wanted) && !self.overshoots(wanted) {
                return Ok(wanted);
            }
            self.phase = Phase::Ending;
            if let Some(thought) = &self.thought {
                self.said_for = vocabulary.template_text(&thought.end).into();
            }
        }
        if matches!(self.phase, Phase::Ending | Phase::Bridge) {
            if let Some(token) = self.said_for.pop_front() {
                return Ok(token);
            }
            self.start_reply();
        }
        let is_end = |token| as_token(token).is_ok_and(|token| vocabulary.ends_turn(token));
        let picked = match &mut self.guard {
            Some(guard) => guard.pick(&mut self.sampler, logits, is_end)?,
            None => self.sampler.pick(logits, Among::All),
        };
        as_token(picked.ok_or_else(no_token)?)
    }

    /// Whether a token would write past the end of thinking, into the reply.
    fn overshoots(&self, token: LlamaToken) -> bool {
        let Some(thought) = &self.thought else { return false };
        let mut bytes = self.bytes.clone();
        bytes.extend(self.vocabulary.model().vocab().token_to_piece(token, true, None));
        let end = thought.end.as_bytes();
        find(&bytes, end).is_some_and(|at| {
            let rest = bytes.get(at.saturating_add(end.len())..).unwrap_or_default();
            !rest.iter().all(u8::is_ascii_whitespace)
        })
    }

    fn think(&mut self, token: LlamaToken) {
        let written = self.said_for.is_empty();
        if self.phase != Phase::Bridge {
            self.bytes.extend(self.vocabulary.model().vocab().token_to_piece(token, true, None));
            let end = self.thought.as_ref().map_or("", |thought| &thought.end);
            match find(&self.bytes, end.as_bytes()) {
                Some(at) => self.bytes.truncate(at),
                None if self.phase == Phase::Ending && written => {}
                None => return self.tell(false),
            }
            let bridge = self.thought.as_ref().map_or("", |thought| &thought.bridge);
            self.said_for = self.vocabulary.template_text(bridge).into();
            self.tell(true);
            self.phase = Phase::Bridge;
        }
        if self.said_for.is_empty() {
            self.start_reply();
        }
    }

    fn start_reply(&mut self) {
        if self.phase == Phase::Reply {
            return;
        }
        self.tell(true);
        self.thinking = String::from_utf8_lossy(&self.bytes).trim().to_owned();
        self.bytes.clear();
        self.told = 0;
        self.phase = Phase::Reply;
    }

    fn reply(&mut self, token: LlamaToken) -> Result<Option<Stop>, ModelError> {
        if self.vocabulary.ends_turn(token) {
            self.tell(true);
            return Ok(Some(Stop::End));
        }
        self.bytes.extend(self.vocabulary.model().vocab().token_to_piece(token, false, None));
        if let Some(guard) = &mut self.guard {
            guard.accept(id(token))?;
            if guard.must_end() {
                self.tell(true);
                return Ok(Some(Stop::End));
            }
        }
        if let Some(at) = self.stop.iter().filter_map(|s| find(&self.bytes, s.as_bytes())).min() {
            self.bytes.truncate(at);
            self.tell(true);
            return Ok(Some(Stop::End));
        }
        self.tell(false);
        Ok(None)
    }

    /// Streams what is new, as far as it is whole characters and cannot become a stop text.
    fn tell(&mut self, all: bool) {
        let Some(sink) = &self.sink else { return };
        let held = if all { 0 } else { self.held_back() };
        let end = self.bytes.len().saturating_sub(held);
        let new = self.bytes.get(self.told..end).unwrap_or_default();
        let (text, told) = whole_characters(new, all);
        self.told = self.told.saturating_add(told);
        sink.tell(match self.phase {
            Phase::Reply => Delta::Text(text),
            Phase::Thinking | Phase::Ending | Phase::Bridge => Delta::Thinking(text),
        });
    }

    /// Bytes at the end that may be the beginning of a text that must not show.
    fn held_back(&self) -> usize {
        let hidden = match self.phase {
            Phase::Reply => self.stop.iter().map(String::as_str).collect(),
            _ => self.thought.iter().map(|thought| thought.end.as_str()).collect::<Vec<_>>(),
        };
        let longest = |text: &str| {
            (1..text.len()).rev().find(|n| {
                text.as_bytes().get(..*n).is_some_and(|start| self.bytes.ends_with(start))
            })
        };
        hidden.into_iter().filter_map(longest).max().unwrap_or(0)
    }

    fn note(&mut self, logits: &[f32], token: LlamaToken) {
        if self.trace == Trace::default() {
            return;
        }
        let (logprob, likeliest) = match self.trace.logprobs {
            Some(alternatives) => {
                let (logprob, likeliest) = logprobs(logits, id(token), alternatives.into());
                (Some(logprob), likeliest)
            }
            None => (None, Vec::new()),
        };
        let logits = self.trace.digests.then(|| digest(logits));
        self.traced.push(TracedToken { token: id(token), logprob, likeliest, logits });
    }

    /// The reply, the thoughts before it, and the tokens that were traced.
    pub(crate) fn finish(mut self) -> Result<(String, String, Vec<TracedToken>), ModelError> {
        self.start_reply(); // what was thought stays a thought if there was no more room
        let text = match self.guard {
            None => String::from_utf8_lossy(&self.bytes).into_owned(),
            // The grammar promised what follows; believing it without a look would make it an
            // assumption.
            Some(_) => String::from_utf8(self.bytes)
                .map_err(|_| ModelError::Constraint("the reply is not UTF-8".to_owned()))?,
        };
        if self.is_json {
            serde_json::from_str::<IgnoredAny>(&text).map_err(|error| {
                ModelError::Constraint(format!("the reply is not JSON: {error}"))
            })?;
        }
        Ok((text, self.thinking, self.traced))
    }
}

/// SHA-256 of logits as 32-bit floats in little-endian order.
pub(crate) fn digest(logits: &[f32]) -> String {
    let mut hash = Sha256::new();
    let mut block = Vec::with_capacity(4096);
    for chunk in logits.chunks(1024) {
        block.clear();
        block.extend(chunk.iter().flat_map(|logit| logit.to_le_bytes()));
        hash.update(&block);
    }
    hex::encode(hash.finalize())
}

/// The text of the bytes, and how many of them it took. Unless it is the end, the start of a
/// character that is not whole yet is left. Together the texts are what
/// [`String::from_utf8_lossy`] makes of all the bytes.
fn whole_characters(bytes: &[u8], end: bool) -> (String, usize) {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                at = bytes.len();
            }
            Err(error) => {
                let valid = rest.get(..error.valid_up_to()).unwrap_or_default();
                text.push_str(&String::from_utf8_lossy(valid));
                at = at.saturating_add(valid.len());
                match error.error_len() {
                    None if !end => break,
                    length => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        at = length.map_or(bytes.len(), |length| at.saturating_add(length));
                    }
                }
            }
        }
    }
    (text, at)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn as_token(id: u32) -> Result<LlamaToken, ModelError> {
    i32::try_from(id).map(LlamaToken).map_err(inference)
}

fn id(token: LlamaToken) -> u32 {
    token.0.cast_unsigned()
}

pub(crate) fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_of_a_text_add_up_to_it_wherever_it_is_cut(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(0xc3), Just(0xa9), Just(0xf0), Just(0x9f)], 0..40),
            cuts in proptest::collection::vec(0..40_usize, 0..6),
        ) {
            let mut text = String::new();
            let mut told = 0;
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            for cut in cuts {
                if cut < told {
                    continue;
                }
                let (piece, took) = whole_characters(&bytes[told..cut], false);
                text.push_str(&piece);
                told += took;
            }
            text.push_str(&whole_characters(&bytes[told..], true).0);
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
