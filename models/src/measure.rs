//! For the benchmark only: what choosing a token costs, without the computation before it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::backend::backend;
use crate::cache::{Cache, Part, Shape, Undone, Wanted, inference};
use crate::constraint::Grammars;
use crate::error::ModelError;
use crate::guard::Guard;
use crate::llama::Profile;
use crate::prompt::Vocabulary;
use crate::request::{Constraint, Sampling};
use crate::sampler::{Among, Sampler};

/// The time that each token took to choose: without a constraint, and with it.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Without a constraint.
    pub free: Duration,
    /// With it: checking, masking where that was refused, and telling the constraint.
    pub held: Duration,
}

/// Writes constrained replies, greedily, until `tokens` were chosen. `clock` tells the CPU time of
/// the calling thread.
///
/// # Errors
/// [`ModelError`] for a file that does not load or a constraint that does not compile.
pub fn choices(
    path: &Path,
    constraint: &Constraint,
    tokens: usize,
    clock: impl Fn() -> Duration,
) -> Result<Vec<Choice>, ModelError> {
    let parameters = LlamaModelParams::default();
    let model = LlamaModel::load_from_file(backend()?, path, &parameters).map_err(inference)?;
    let vocabulary = Vocabulary::new(Arc::new(model));
    let model = vocabulary.model();
    let shape = Shape {
        context: 1_024,
        lanes: 1,
        pool: Some(1_024),
        batch: 64,
        threads: 1,
        profile: Profile::Fast,
    };
    let mut cache = Cache::new(model, shape)?;
    let grammars = Grammars::new(model)?;
    let Some((lane, _)) = cache.lanes_mut().claim(None) else { return Ok(Vec::new()) };
    let vocab = model.vocab();
    let is_end = |token: u32| vocab.is_eog(LlamaToken(token.cast_signed()));
    let mut choices = Vec::new();
    let mut begin = 0;
    while choices.len() < tokens {
        cache.keep(lane, 0)?;
        let Some(mut guard) = Guard::new(grammars.compile(constraint)?, model)? else { break };
        let mut sampler = Sampler::new(Sampling::default())?;
        begin += 1; // another beginning, another reply
        let mut token = LlamaToken(begin);
        while !guard.must_end() && choices.len() < tokens && cache.lanes().tokens(lane).len() < 900
        {
            let part = Part { lane, tokens: &[token], logits: Wanted::Last };
            let places = cache.evaluate(&[part]).map_err(|undone| match undone {
                Undone::Failed(error) => error,
                Undone::Full => inference("full"),
            })?;
            let Some(Some(place)) = places.first() else { break };
            let logits = cache.logits(*place);
            let started = clock();
            sampler.pick(logits, Among::All);
            let free = clock().saturating_sub(started);
            let started = clock();
            let Some(chosen) = guard.pick(&mut sampler, logits, is_end)? else { break };
            if !is_end(chosen) {
                guard.accept(chosen)?;
            }
            choices.push(Choice { free, held: clock().saturating_sub(started) });
            if is_end(chosen) {
                break;
            }
            token = LlamaToken(chosen.cast_signed());
        }
    }
    Ok(choices)
}
