//! The context of llama.cpp behind calls that cannot abort the process.
//!
//! llama.cpp asserts where a library would return an error: sequence ids beyond `n_seq_max`,
//! partial copies between streams, logits that were not asked for, batches that are too large,
//! contexts made at the same time. Here ids exist only as [`LaneId`]s of the ledger, lengths are
//! checked against it, and an index of logits is handed out only by the batch that asked for it.
//!
//! INVARIANT: cache and ledger change together, or the lanes of a failed batch are emptied in both
//! (`tests/stress.rs` runs out of everything that there is to run out of).
#![expect(unsafe_code, reason = "saved states are read back through a raw call")]

use std::num::NonZeroU32;
use std::sync::PoisonError;

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};

use crate::backend::{CREATING_CONTEXT, backend, noting_errors};
use crate::error::ModelError;
use crate::lanes::{LaneId, Lanes, Layout};
use crate::llama::Profile;

/// Tokens that are computed in one go inside llama.cpp. More is no faster on a CPU, and its
/// buffers hold this many times the vocabulary.
const MICRO_BATCH: u32 = 128;

/// What a context is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Tokens that one lane may hold.
    pub(crate) context: u32,
    pub(crate) lanes: u16,
    /// Cells of the pool; `None` keeps the lanes apart.
    pub(crate) pool: Option<u32>,
    /// Most tokens of a batch.
    pub(crate) batch: u32,
    pub(crate) threads: u32,
    pub(crate) profile: Profile,
}

impl Shape {
    /// Tokens that all lanes together may hold.
    pub(crate) fn cells(&self) -> u64 {
        let apart = u64::from(self.context).saturating_mul(self.lanes.into());
        self.pool.map_or(apart, u64::from)
    }
}

/// A context and the ledger of its cells.
pub(crate) struct Cache<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    lanes: Lanes,
    capacity: usize,
    /// Whether a part of a sequence can be removed or copied; recurrent states know only all.
    divisible: bool,
}

/// Tokens to append to a lane in one batch.
pub(crate) struct Part<'a> {
    pub(crate) lane: LaneId,
    pub(crate) tokens: &'a [LlamaToken],
    pub(crate) logits: Wanted,
}

/// After which tokens of a part logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    None,
    Last,
    All,
}

/// Where in the last batch the logits of a part are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logits {
    first: i32,
    last: i32,
}

/// Why a batch was not computed.
#[derive(Debug)]
pub(crate) enum Undone {
    /// There are not enough cells; nothing has changed.
    Full,
    /// llama.cpp failed; the lanes of the batch are empty now.
    Failed(ModelError),
}

impl<'m> Cache<'m> {
    /// Makes a context.
    pub(crate) fn new(model: &'m LlamaModel, shape: Shape) -> Result<Self, ModelError> {
        let too_large = || ModelError::Options("context is too large for this machine".to_owned());
        let cells = match shape.pool {
            Some(cells) => Some(cells),
            None => shape.context.checked_mul(shape.lanes.into()),
        }
        .ok_or_else(too_large)?;
        let threads = i32::try_from(shape.threads)
            .map_err(|_| ModelError::Options(format!("{} threads are too many", shape.threads)))?;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(cells))
            .with_n_seq_max(shape.lanes.into())
            .with_kv_unified(shape.pool.is_some())
            .with_n_batch(shape.batch)
            .with_n_ubatch(MICRO_BATCH.min(shape.batch))
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        let parameters = match shape.profile {
            Profile::Fast => parameters,
            Profile::Exact => parameters
                .with_n_ubatch(1)
                .with_flash_attention_policy(llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED),
        };
        let backend = backend()?;
        let (context, reason) = {
            let _alone = CREATING_CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
            noting_errors(|| model.new_context(backend, parameters))
        };
        let context = context.map_err(|error| {
            ModelError::Inference(format!(
                "no context of {} tokens for {} sequences: {}",
                shape.context,
                shape.lanes,
                reason.unwrap_or_else(|| error.to_string())
            ))
        })?;
        if context.n_ctx() < cells {
            return Err(too_large());
        }
        let layout = match shape.pool {
            Some(cells) => Layout::Pooled { cells: cells as usize },
            None => Layout::Apart,
        };
        let capacity = shape.batch as usize;
        Ok(Self {
            context,
            batch: LlamaBatch::new(capacity, 1),
            lanes: Lanes::new(shape.lanes, shape.context as usize, layout),
            capacity,
            divisible: !model.is_recurrent() && !model.is_hybrid(),
        })
    }

    /// The ledger.
    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The ledger, for what does not concern cells.
    pub(crate) fn lanes_mut(&mut self) -> &mut Lanes {
        &mut self.lanes
    }

    /// Whether a start can be copied from one lane to another for nothing.
    pub(crate) fn shares(&self) -> bool {
        self.divisible && self.lanes.layout() != Layout::Apart
    }

    /// Forgets everything after the first `wanted` tokens; returns how many could be kept.
    /// Recurrent and sliding-window models may not be able to forget a part, and forget all.
    pub(crate) fn keep(&mut self, lane: LaneId, wanted: usize) -> Result<usize, ModelError> {
        let held = self.lanes.tokens(lane).len();
        if wanted > 0 && wanted >= held {
            return Ok(held);
        }
        let kept = if wanted > 0 && self.remove_from(lane, wanted)? { wanted } else { 0 };
        if kept == 0 && !self.remove_from(lane, 0)? {
            return Err(ModelError::Inference("the KV cache could not be cleared".to_owned()));
        }
        self.lanes.truncate(lane, kept);
        Ok(kept)
    }

    fn remove_from(&mut self, lane: LaneId, position: usize) -> Result<bool, ModelError> {
        let sequence = u32::try_from(lane.sequence()).map_err(inference)?;
        let position = u32::try_from(position).map_err(inference)?;
        self.context.clear_kv_cache_seq(Some(sequence), Some(position), None).map_err(inference)
    }

    /// Lets `to` begin as `from` does, for `length` tokens. What `to` held is forgotten.
    pub(crate) fn copy_start(
        &mut self,
        from: LaneId,
        to: LaneId,
        length: usize,
    ) -> Result<(), ModelError> {
        if !self.shares() || from == to || length > self.lanes.tokens(from).len() {
            return Err(ModelError::Inference("that start cannot be copied".to_owned()));
        }
        self.keep(to, 0)?;
        let end = u32::try_from(length).map_err(inference)?;
        self.context
            .copy_kv_cache_seq(from.sequence(), to.sequence(), Some(0), Some(end))
            .map_err(inference)?;
        self.lanes.share(from, to, length);
        Ok(())
    }

    /// Appends all parts in one computation; returns where their logits are, in their order.
    pub(crate) fn evaluate(&mut self, parts: &[Part<'_>]) -> Result<Vec<Option<Logits>>, Undone> {
        let total = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.tokens.len()));
        let fit = parts.iter().all(|part| self.lanes.fits(part.lane, part.tokens.len()));
        if !fit || total > self.lanes.free() {
            return Err(Undone::Full);
        }
        if total == 0 || total > self.capacity {
            let error = format!("a batch of {total} tokens, where 1 to {} fit", self.capacity);
            return Err(Undone::Failed(ModelError::Inference(error)));
        }
        let places = self.fill(parts).map_err(Undone::Failed)?;
        match self.context.decode(&mut self.batch) {
            Ok(()) => {
                for part in parts {
                    if !self.lanes.append(part.lane, part.tokens) {
                        return Err(self.give_up(parts, "the ledger of cells is wrong"));
                    }
                }
                Ok(places)
            }
            // llama.cpp has then restored what was before.
            Err(DecodeError::NoKvCacheSlot) => Err(Undone::Full),
            Err(error) => Err(self.give_up(parts, &error.to_string())),
        }
    }

    /// How much of the batch was stored is unknown, so nothing of it is trusted any more.
    fn give_up(&mut self, parts: &[Part<'_>], reason: &str) -> Undone {
        for part in parts {
            if let Err(error) = self.keep(part.lane, 0) {
                return Undone::Failed(error);
            }
        }
        Undone::Failed(ModelError::Inference(reason.to_owned()))
    }

    fn fill(&mut self, parts: &[Part<'_>]) -> Result<Vec<Option<Logits>>, ModelError> {
        self.batch.clear();
        let mut places = Vec::with_capacity(parts.len());
        for part in parts {
            let start = self.lanes.tokens(part.lane).len();
            let last = part.tokens.len().saturating_sub(1);
            let mut place = None;
            for (offset, token) in part.tokens.iter().enumerate() {
                let position = i32::try_from(start.saturating_add(offset)).map_err(inference)?;
                let wanted = match part.logits {
                    Wanted::None => false,
                    Wanted::Last => offset == last,
                    Wanted::All => true,
                };
                if wanted {
                    let last = self.batch.n_tokens();
                    let first = place.map_or(last, |place: Logits| place.first);
                    place = Some(Logits { first, last });
                }
                self.batch
                    .add(*token, position, &[part.lane.sequence()], wanted)
                    .map_err(inference)?;
            }
            places.push(place);
        }
        Ok(places)
    }

    /// Logits after the last token of a part. Places are those of the last batch.
    pub(crate) fn logits(&self, place: Logits) -> &[f32] {
        self.context.get_logits_ith(place.last)
    }

    /// Logits after each token of a part for which all were wanted.
    pub(crate) fn all_logits(&self, place: Logits) -> impl Iterator<Item = &[f32]> {
        (place.first..=place.last).map(|at| self.context.get_logits_ith(at))
    }

    /// The state of a lane, as bytes that [`Cache::restore`] takes.
    pub(crate) fn save(&self, lane: LaneId) -> Result<Vec<u8>, ModelError> {
        let flags = LlamaStateSeqFlags::empty();
        let size = self.context.state_seq_get_size_ext(lane.sequence(), flags);
        let mut bytes = vec![0; size];
        // SAFETY: `bytes` has the size that llama.cpp asked for, nothing is computed in between,
        // and the sequence id is one of the context's
        // (`a_parked_session_goes_on_where_it_was_and_answers_the_same`).
        let written = unsafe {
            self.context.state_seq_get_data_ext(bytes.as_mut_ptr(), lane.sequence(), flags)
        };
        match written == size {
            true => Ok(bytes),
            false => Err(ModelError::Inference("the state could not be saved".to_owned())),
        }
    }

    /// Fills an empty lane with `tokens` and the state that [`Cache::save`] gave for them.
    ///
    /// # Safety
    /// `state` is what `save` returned in a cache of the same model and shape: llama.cpp reads
    /// lengths and positions out of it.
    pub(crate) unsafe fn restore(
        &mut self,
        lane: LaneId,
        tokens: &[LlamaToken],
        state: &[u8],
    ) -> Result<(), ModelError> {
        self.keep(lane, 0)?;
        let unreadable = || ModelError::Parked("llama.cpp does not take it".to_owned());
        if !self.lanes.fits(lane, tokens.len()) {
            return Err(ModelError::Parked("there is no room for it".to_owned()));
        }
        let flags = LlamaStateSeqFlags::empty();
        // SAFETY: the caller's promise; the lane is empty and the cells are there
        // (`a_parked_session_goes_on_where_it_was_and_answers_the_same`).
        let read = unsafe { self.context.state_seq_set_data_ext(state, lane.sequence(), flags) };
        if !read || !self.lanes.append(lane, tokens) {
            self.keep(lane, 0)?;
            return Err(unreadable());
        }
        Ok(())
    }
}

pub(crate) fn inference(error: impl std::fmt::Display) -> ModelError {
    ModelError::Inference(error.to_string())
}
