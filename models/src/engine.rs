//! The thread that owns the model's context, and the one place that computes.
//!
//! Requests come through a bounded channel and are served one after the other. Each keeps to a
//! sequence of its own in the KV cache; what a session computed before is not computed again.
//! Prompts are evaluated in small chunks, and between two computations the engine looks whether
//! anybody still wants the answer.
//!
//! Sequence ids, positions and counts are checked here, because llama.cpp aborts the process
//! over them: ids come from [`Sequences`], which was made as large as the context, and a
//! sequence never grows past its share of it.

use std::num::NonZeroU32;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use serde::de::IgnoredAny;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{CREATING_CONTEXT, backend, noting_errors};
use crate::constraint::{Grammars, Guard};
use crate::error::ModelError;
use crate::llama::Profile;
use crate::prompt::Vocabulary;
use crate::request::{Constraint, Generation, Request, Stop, Usage};
use crate::sampler::Sampler;
use crate::sequences::{Sequences, Slot};
use crate::template::ChatTemplate;

/// Tokens of a prompt that are evaluated at once, and so the longest wait for a cancellation.
const CHUNK: u32 = 64;

/// A request on its way to the engine.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Result<Generation, ModelError>>,
}

/// What an engine is made of.
pub(crate) struct Setup {
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) template: ChatTemplate,
    /// Tokens that one sequence may hold.
    pub(crate) context: u32,
    /// Sequences that are kept warm.
    pub(crate) sequences: u16,
    pub(crate) threads: u32,
    pub(crate) profile: Profile,
}

/// Serves jobs until every sender is gone. `ready` hears once whether the engine stands.
pub(crate) fn serve(
    setup: &Setup,
    jobs: &mut mpsc::Receiver<Job>,
    ready: &Sender<Result<(), ModelError>>,
) {
    let mut engine = match Engine::new(setup) {
        Ok(engine) => engine,
        Err(error) => return report(ready, Err(error)),
    };
    report(ready, Ok(()));
    while let Some(Job { request, reply }) = jobs.blocking_recv() {
        let unwanted = || request.cancel.is_cancelled() || reply.is_closed();
        let result = engine.complete(&request, &unwanted);
        if reply.send(result).is_err() {
            tracing::debug!("nobody waits for this reply any more");
        }
    }
}

fn report(ready: &Sender<Result<(), ModelError>>, result: Result<(), ModelError>) {
    if ready.send(result).is_err() {
        tracing::debug!("the loader of this engine is gone");
    }
}

struct Engine<'a> {
    setup: &'a Setup,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
    sequences: Sequences,
    grammars: Option<Grammars>,
}

impl<'a> Engine<'a> {
    fn new(setup: &'a Setup) -> Result<Self, ModelError> {
        let too_large = || ModelError::Options("context is too large for this machine".to_owned());
        let cells = setup.context.checked_mul(setup.sequences.into()).ok_or_else(too_large)?;
        let threads = i32::try_from(setup.threads)
            .map_err(|_| ModelError::Options(format!("{} threads are too many", setup.threads)))?;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(cells))
            .with_n_seq_max(setup.sequences.into())
            .with_kv_unified(false)
            .with_n_batch(CHUNK)
            .with_n_ubatch(CHUNK)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let parameters = match setup.profile {
            Profile::Fast => parameters,
            Profile::Exact => parameters
                .with_n_ubatch(1)
                .with_flash_attention_policy(llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED),
        };
        let (context, reason) = {
            let _alone = CREATING_CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
            let backend = backend()?;
            noting_errors(|| setup.vocabulary.model().new_context(backend, parameters))
        };
        let context = context.map_err(|error| {
            ModelError::Inference(format!(
                "no context of {} tokens for {} sessions: {}",
                setup.context,
                setup.sequences,
                reason.unwrap_or_else(|| error.to_string())
            ))
        })?;
        if context.n_ctx() < cells {
            return Err(too_large());
        }
        Ok(Self {
            setup,
            context,
            batch: LlamaBatch::new(CHUNK as usize, 1),
            sequences: Sequences::new(setup.sequences),
            grammars: None,
        })
    }

    fn complete(
        &mut self,
        request: &Request,
        unwanted: &dyn Fn() -> bool,
    ) -> Result<Generation, ModelError> {
        if unwanted() {
            return Err(ModelError::Cancelled);
        }
        if request.max_tokens == 0 {
            return Err(ModelError::Request("max_tokens is 0".to_owned()));
        }
        let sampler = Sampler::new(request.sampling)?;
        let limit = self.setup.context as usize;
        let pieces = self.setup.template.render(&request.messages)?;
        let prompt = self.setup.vocabulary.encode(&pieces, &request.messages, limit)?;
        let Some(room) = limit.checked_sub(prompt.len()).filter(|&room| room > 0) else {
            return Err(ModelError::PromptTooLong { tokens: prompt.len(), limit });
        };
        if prompt.is_empty() {
            return Err(ModelError::Request("there is nothing to reply to".to_owned()));
        }
        let guard = self.guard(&request.constraint)?;

        let Some(claim) = self.sequences.claim(request.session.as_ref()) else {
            return Err(ModelError::Inference("the context has no sequence".to_owned()));
        };
        let reusable = claim.reusable(&prompt);
        let mut sequence = Sequence {
            slot: claim.slot,
            limit,
            context: &mut self.context,
            batch: &mut self.batch,
        };
        let reused = sequence.keep(reusable)?;
        for chunk in prompt.get(reused..).unwrap_or_default().chunks(CHUNK as usize) {
            if unwanted() {
                return Err(ModelError::Cancelled);
            }
            sequence.evaluate(chunk)?;
        }
        let budget = room.min(request.max_tokens as usize);
        let mut writer = Writer { vocabulary: &self.setup.vocabulary, sampler, guard };
        let (text, completion, stop) = writer.write(&mut sequence, budget, unwanted)?;
        Ok(Generation {
            text,
            usage: Usage {
                prompt_tokens: count(prompt.len()),
                reused_tokens: count(reused),
                completion_tokens: completion,
            },
            stop,
        })
    }

    fn guard(&mut self, constraint: &Constraint) -> Result<Option<Guard>, ModelError> {
        let Constraint::JsonSchema(schema) = constraint else { return Ok(None) };
        let grammars = match self.grammars.take() {
            Some(grammars) => grammars,
            None => Grammars::new(self.setup.vocabulary.model())?,
        };
        let guard = self.grammars.insert(grammars).guard(schema)?;
        Ok(Some(guard))
    }
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// One sequence of the context while a request has it.
struct Sequence<'a, 'm> {
    slot: &'a mut Slot,
    limit: usize,
    context: &'a mut LlamaContext<'m>,
    batch: &'a mut LlamaBatch<'static>,
}

impl Sequence<'_, '_> {
    /// Forgets everything after the first `wanted` tokens; returns how many could be kept.
    /// Recurrent and sliding-window models cannot forget a part, so they forget all.
    fn keep(&mut self, wanted: usize) -> Result<usize, ModelError> {
        if wanted > 0 && wanted == self.slot.tokens.len() {
            return Ok(wanted);
        }
        let kept = if wanted > 0 && self.remove_from(wanted)? { wanted } else { 0 };
        if kept == 0 && !self.remove_from(0)? {
            return Err(ModelError::Inference("the KV cache could not be cleared".to_owned()));
        }
        self.slot.tokens.truncate(kept);
        Ok(kept)
    }

    fn remove_from(&mut self, position: usize) -> Result<bool, ModelError> {
        let position = u32::try_from(position).map_err(inference)?;
        self.context
            .clear_kv_cache_seq(Some(self.slot.id.into()), Some(position), None)
            .map_err(inference)
    }

    /// Evaluates at most [`CHUNK`] tokens at the end of the sequence.
    fn evaluate(&mut self, tokens: &[LlamaToken]) -> Result<(), ModelError> {
        let start = self.slot.tokens.len();
        if start.saturating_add(tokens.len()) > self.limit {
            return Err(ModelError::Inference("the sequence is full".to_owned()));
        }
        self.batch.clear();
        let last = tokens.len().saturating_sub(1);
        for (offset, token) in tokens.iter().enumerate() {
            let position = i32::try_from(start.saturating_add(offset)).map_err(inference)?;
            self.batch
                .add(*token, position, &[self.slot.id.into()], offset == last)
                .map_err(inference)?;
        }
        match self.context.decode(self.batch) {
            Ok(()) => {
                self.slot.tokens.extend_from_slice(tokens);
                Ok(())
            }
            Err(error) => {
                // How much of the batch was stored is unknown, so nothing is trusted any more.
                self.keep(0)?;
                Err(inference(error))
            }
        }
    }

    /// The logits after the last token that was evaluated.
    fn logits(&self) -> &[f32] {
        self.context.get_logits_ith(self.batch.n_tokens().saturating_sub(1))
    }
}

fn inference(error: impl std::fmt::Display) -> ModelError {
    ModelError::Inference(error.to_string())
}

/// Writes one reply.
struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    sampler: Sampler,
    guard: Option<Guard>,
}

impl Writer<'_> {
    /// Generates at most `budget` tokens; returns the text, their number, and why it ended.
    fn write(
        &mut self,
        sequence: &mut Sequence<'_, '_>,
        budget: usize,
        unwanted: &dyn Fn() -> bool,
    ) -> Result<(String, u32, Stop), ModelError> {
        let vocab = self.vocabulary.model().vocab();
        let mut bytes = Vec::new();
        for written in 1..=budget {
            let token = self.next(sequence.logits())?;
            if vocab.is_eog(token) {
                return Ok((self.text(bytes)?, count(written), Stop::End));
            }
            bytes.extend(vocab.token_to_piece(token, false, None));
            if let Some(guard) = &mut self.guard {
                guard.accept(id(token))?;
                if guard.must_end() {
                    return Ok((self.text(bytes)?, count(written), Stop::End));
                }
            }
            if unwanted() {
                return Err(ModelError::Cancelled);
            }
            if written < budget {
                sequence.evaluate(&[token])?;
            }
        }
        match self.guard {
            Some(_) => Err(ModelError::Truncated { tokens: count(budget) }),
            None => Ok((self.text(bytes)?, count(budget), Stop::Length)),
        }
    }

    fn next(&mut self, logits: &[f32]) -> Result<LlamaToken, ModelError> {
        let no_token = || ModelError::Inference("the model gave no usable logits".to_owned());
        let wanted = self.sampler.pick(logits, |_| true).ok_or_else(no_token)?;
        let Some(guard) = &mut self.guard else { return token(wanted) };
        let is_end = self.vocabulary.model().vocab().is_eog(token(wanted)?);
        let allowed = if is_end { guard.may_end()? } else { guard.allows(wanted)? };
        if allowed {
            return token(wanted);
        }
        let mask = guard.mask()?;
        let picked = self.sampler.pick(logits, |token| mask.is_allowed(token));
        token(picked.ok_or_else(no_token)?)
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, ModelError> {
        if self.guard.is_none() {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        // The grammar promised this; believing it without a look would make it an assumption.
        let text = String::from_utf8(bytes)
            .map_err(|_| ModelError::Constraint("the reply is not UTF-8".to_owned()))?;
        serde_json::from_str::<IgnoredAny>(&text)
            .map_err(|error| ModelError::Constraint(format!("the reply is not JSON: {error}")))?;
        Ok(text)
    }
}

fn token(id: u32) -> Result<LlamaToken, ModelError> {
    i32::try_from(id).map(LlamaToken).map_err(inference)
}

fn id(token: LlamaToken) -> u32 {
    token.0.cast_unsigned()
}
