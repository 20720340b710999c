//! What the profile `exact` promises, measured: the same tokens give the same logits, bit for bit,
//! however the work was cut.
//!
//! A [`Schedule`] says how a text is computed: with how many threads, in which pieces, beside which
//! company, and with a state that was saved and restored on the way. [`digests`] computes it and
//! gives a hash of the logits after each token. [`selftest`] compares this machine with digests
//! that are written here: only who passes may claim the class [`CLASS`].

use std::path::Path;
use std::time::{Duration, Instant};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::backend::{backend, noting_errors};
use crate::cache::{Cache, Part, Shape, Undone, Wanted};
use crate::error::ModelError;
use crate::llama::Profile;
use crate::sampler::next_random;
use crate::synthetic::{Format, Synthetic};
use crate::writer::digest;

/// The instruction-set class that the digests are of: what llama.cpp computes with AVX2, FMA and
/// F16C, and nothing later.
pub const CLASS: &str = "x86-avx2-fma";

/// How a text is computed.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Threads.
    pub threads: u32,
    /// The text is cut before these tokens; empty computes it in one piece.
    pub cuts: Vec<usize>,
    /// Before this token the state is saved, forgotten and restored.
    pub restore_at: Option<usize>,
    /// Other texts that are computed in the same batches.
    pub company: u16,
    /// Whether all texts draw on one pool of cells.
    pub pooled: bool,
    /// The profile.
    pub profile: Profile,
}

impl Default for Schedule {
    /// One thread, in one piece, alone, exact.
    fn default() -> Self {
        Self {
            threads: 1,
            cuts: Vec::new(),
            restore_at: None,
            company: 0,
            pooled: false,
            profile: Profile::Exact,
        }
    }
}

/// SHA-256 over the logits after each token of a pseudo-random text of `length` tokens.
///
/// # Errors
/// [`ModelError`] for a file that does not load or a text that does not fit.
pub fn digests(path: &Path, length: usize, schedule: &Schedule) -> Result<Vec<String>, ModelError> {
    let parameters = LlamaModelParams::default().with_n_gpu_layers(0);
    let backend = backend()?;
    let (model, reason) = noting_errors(|| LlamaModel::load_from_file(backend, path, &parameters));
    let model = model.map_err(|error| ModelError::Refused {
        path: path.to_owned(),
        reason: reason.unwrap_or_else(|| error.to_string()),
    })?;
    let context = u32::try_from(length.saturating_add(8)).unwrap_or(u32::MAX);
    let lanes = schedule.company.saturating_add(1);
    let most = u32::from(lanes).saturating_mul(context);
    let shape = Shape {
        context,
        lanes,
        pool: schedule.pooled.then_some(most),
        batch: most,
        threads: schedule.threads,
        profile: schedule.profile,
    };
    let mut cache = Cache::new(&model, shape)?;
    let mut texts = Vec::new();
    while let Some((lane, _)) = cache.lanes_mut().claim(None) {
        texts.push((lane, text(&model, u64::from(lane.sequence().cast_unsigned()), length)));
    }
    let mut hashes = Vec::new();
    let mut done = 0;
    let mut cuts = schedule.cuts.clone();
    cuts.extend(schedule.restore_at);
    cuts.push(length);
    cuts.sort_unstable();
    cuts.dedup();
    for cut in cuts {
        let parts: Vec<Part<'_>> = texts
            .iter()
            .map(|(lane, text)| {
                let tokens = text.get(done..cut).unwrap_or_default();
                Part { lane: *lane, tokens, logits: Wanted::All }
            })
            .collect();
        let places = cache.evaluate(&parts).map_err(|undone| match undone {
            Undone::Full => ModelError::Inference("the KV cache has no room left".to_owned()),
            Undone::Failed(error) => error,
        })?;
        if let Some(Some(place)) = places.first() {
            hashes.extend(cache.all_logits(*place).map(digest));
        }
        done = cut;
        if schedule.restore_at == Some(cut) {
            for (lane, text) in &texts {
                let state = cache.save(*lane)?;
                let tokens = text.get(..cut).unwrap_or_default();
                // SAFETY: this cache has just saved it
                // (`exact_is_exact_however_the_work_is_cut`).
                #[expect(unsafe_code, reason = "llama.cpp reads lengths out of a state")]
                unsafe {
                    cache.restore(*lane, tokens, &state)?;
                }
            }
        }
    }
    Ok(hashes)
}

fn text(model: &LlamaModel, seed: u64, length: usize) -> Vec<LlamaToken> {
    let tokens = u64::try_from(model.n_vocab()).unwrap_or(1).max(1);
    let mut state = seed;
    (0..length)
        .map(|_| {
            let token = next_random(&mut state).checked_rem(tokens).unwrap_or(0);
            LlamaToken(i32::try_from(token).unwrap_or(0))
        })
        .collect()
}

/// What the self-test found for one format.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The format of the weights.
    pub format: Format,
    /// The hash of the logits after the last token.
    pub found: String,
    /// What machines of the class [`CLASS`] have.
    pub expected: &'static str,
    /// Whether other schedules gave the same here.
    pub repeats: bool,
    /// What it took.
    pub took: Duration,
}

impl Finding {
    /// Whether this machine computes as the class does.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.repeats && self.found == self.expected
    }
}

/// Tokens of the self-test's text.
const LENGTH: usize = 40;

/// Computes a small model of each format and compares with known digests. Takes a second or two;
/// writes into the folder for temporary files.
///
/// # Errors
/// [`ModelError`] if the models could not be written or computed.
pub fn selftest(folder: &Path) -> Result<Vec<Finding>, ModelError> {
    Format::ALL.into_iter().map(|format| examine(folder, format)).collect()
}

fn examine(folder: &Path, format: Format) -> Result<Finding, ModelError> {
    let started = Instant::now();
    let path = folder.join(format!("selftest-{}.gguf", format.name()));
    Synthetic::small(format)
        .write(&path)
        .map_err(|source| ModelError::Cache { path: path.clone(), source })?;
    let once = digests(&path, LENGTH, &Schedule::default())?;
    let cut = Schedule {
        threads: 2,
        cuts: vec![1, 2, 3, 20],
        restore_at: Some(11),
        ..Schedule::default()
    };
    let repeats = digests(&path, LENGTH, &cut)? == once;
    Ok(Finding {
        format,
        found: once.last().cloned().unwrap_or_default(),
        expected: expected(format),
        repeats,
        took: started.elapsed(),
    })
}

/// What `llama-cpp-sys-2` 0.1.161 computes; a new llama.cpp may need new ones.
fn expected(format: Format) -> &'static str {
    match format {
        Format::F16 => "f1518fb8b27e60e8c53e2075cffef9a3c1515917732607c00994fe34ca74a457",
        Format::Q8_0 => "482d4583fc3d896c25adbe08c263ce90882a126c42ef4c19bc9ceabbaf30cadd",
        Format::Q4_0 => "4fbf4ff80bfed9c05a4e9534ff98228dc4b3f8c90d74b552db69584c58c80599",
        Format::Q4KM => "63639dadd434d4f103b94cdc8918b9e3ce1bc169ebea660cb419f30eb77962f0",
    }
}
