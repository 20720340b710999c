//! What a text is about, as a vector: the mean of what the model makes of its tokens.
//!
//! Embeddings need a context of another kind than replies do. It is small, made when the first one
//! is asked for, and lives on the engine's thread like the other.

use std::num::NonZeroU32;
use std::sync::PoisonError;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{LlamaContextParams, LlamaPoolingType};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::backend::{CREATING_CONTEXT, backend};
use crate::cache::{Shape, inference};
use crate::error::ModelError;

/// Most tokens of a text: all are computed in one go.
const MAX_TOKENS: u32 = 512;

/// Makes embeddings.
pub(crate) struct Embedder<'m> {
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    limit: usize,
}

impl<'m> Embedder<'m> {
    /// Makes the context.
    pub(crate) fn new(model: &'m LlamaModel, shape: Shape) -> Result<Self, ModelError> {
        let tokens = MAX_TOKENS.min(shape.context);
        let threads = i32::try_from(shape.threads).map_err(inference)?;
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(tokens))
            .with_n_seq_max(1)
            .with_n_batch(tokens)
            .with_n_ubatch(tokens)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_embeddings(true)
            .with_pooling_type(LlamaPoolingType::Mean);
        let _alone = CREATING_CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let context = model.new_context(backend()?, parameters).map_err(inference)?;
        let limit = tokens as usize;
        Ok(Self { context, batch: LlamaBatch::new(limit, 1), limit })
    }

    /// The embedding of a text, of length 1.
    pub(crate) fn embed(&mut self, tokens: &[LlamaToken]) -> Result<Vec<f32>, ModelError> {
        if tokens.is_empty() {
            return Err(ModelError::Request("an empty text is about nothing".to_owned()));
        }
        if tokens.len() > self.limit {
            return Err(ModelError::PromptTooLong { tokens: tokens.len(), limit: self.limit });
        }
        self.context.clear_kv_cache();
        self.batch.clear();
        for (position, token) in (0..).zip(tokens) {
            self.batch.add(*token, position, &[0], true).map_err(inference)?;
        }
        self.context.decode(&mut self.batch).map_err(inference)?;
        let vector = self.context.embeddings_seq_ith(0).map_err(inference)?;
        let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        if !square.is_finite() || square == 0.0 {
            return Err(ModelError::Inference("the model gave no usable embedding".to_owned()));
        }
        let length = square.sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "what came as 32 bits goes so")]
        let unit = vector.iter().map(|x| (f64::from(*x) / length) as f32).collect();
        Ok(unit)
    }
}
