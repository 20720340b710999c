//! A GGUF model in this process.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use async_trait::async_trait;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{backend, noting_errors};
use crate::built_in;
use crate::engine::{self, Job, Setup};
use crate::error::ModelError;
use crate::gguf::{self, Header};
use crate::model::{Model, ModelInfo};
use crate::prompt::Vocabulary;
use crate::request::{Generation, Request};
use crate::template::ChatTemplate;

/// Requests that wait in the engine's queue; further callers wait before it.
const QUEUE: usize = 32;
/// The context where nobody asks for another: long enough for an agent's task.
const DEFAULT_CONTEXT: u32 = 8_192;
/// Sessions that are kept warm, as far as their KV caches fit into [`KV_BUDGET`].
const MAX_SEQUENCES: u64 = 8;
const KV_BUDGET: u64 = 512 << 20;
/// Below this size a second thread costs more in waiting than it computes.
const ONE_THREAD_BELOW: u64 = 100 << 20;

/// How a model is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaOptions {
    /// CPU threads. Default: 1 for files below 100 MiB, else what the machine has.
    pub threads: Option<u32>,
    /// Tokens that prompt and reply may have together. Default: what the model was trained on,
    /// but at most 8,192.
    pub context: Option<u32>,
    /// Whether equal requests have to give equal bits.
    pub profile: Profile,
}

/// How faithfully a computation can be repeated elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// As fast as llama.cpp is.
    #[default]
    Fast,
    /// One token at a time, no flash attention, one sequence: bit-identical across thread counts
    /// and across prompt and reply within one instruction-set class. Much slower on long prompts.
    Exact,
}

/// A model file that runs in this process.
///
/// One thread owns the computation. Share it as `Arc<Llama>`; when the last owner drops it, the
/// thread ends.
pub struct Llama {
    info: ModelInfo,
    vocabulary: Arc<Vocabulary>,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Llama {
    /// Whether `path` begins like a GGUF of an architecture; a look at the header, which costs
    /// nothing beside a load.
    ///
    /// # Errors
    /// [`ModelError`] with the reason.
    pub fn check(path: impl AsRef<Path>) -> Result<(), ModelError> {
        crate::gguf::read_header(path.as_ref()).map(drop)
    }

    /// Loads the model that ships with the library, from [`Llama::built_in_path`].
    ///
    /// Blocks for some ten milliseconds.
    ///
    /// # Errors
    /// Those of [`Llama::built_in_path`] and [`Llama::load`].
    pub fn built_in() -> Result<Self, ModelError> {
        Self::load(Self::built_in_path()?, LlamaOptions::default())
    }

    /// Writes the built-in model to the cache folder, if it is not there yet, and says where.
    ///
    /// The folder is `$MARQUE_CACHE`, or the user's cache folder for `marque`. A process that
    /// will be fenced calls this before, and lets the file through the fence.
    ///
    /// # Errors
    /// [`ModelError::Cache`] and [`ModelError::NoCacheFolder`].
    pub fn built_in_path() -> Result<PathBuf, ModelError> {
        built_in::path()
    }

    /// Loads a GGUF file. Blocks while the file is read, hashed and loaded.
    ///
    /// # Errors
    /// One line that says what is wrong with the file ([`ModelError::NotFound`],
    /// [`ModelError::NotGguf`], [`ModelError::Damaged`],
    /// [`ModelError::UnsupportedArchitecture`], [`ModelError::Refused`]) or with the options
    /// ([`ModelError::Options`]).
    pub fn load(path: impl AsRef<Path>, options: LlamaOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let header = gguf::read_header(path)?;
        let sha256 = hash_file(path)?;
        let model = Arc::new(load_model(path, &header, options.profile)?);
        check_that_it_writes_text(path, &header, &model)?;
        let context = choose_context(&model, options.context)?;
        let threads = choose_threads(&header, options.threads)?;
        let vocabulary = Arc::new(Vocabulary::new(Arc::clone(&model)));
        let setup = Setup {
            template: chat_template(&model)?,
            vocabulary: Arc::clone(&vocabulary),
            context,
            sequences: choose_sequences(&model, context, options.profile),
            threads,
            profile: options.profile,
        };
        let (jobs, thread) = start(setup)?;
        let name = header.name.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        });
        let built_in = sha256 == hex::encode(Sha256::digest(built_in::BYTES));
        let info = ModelInfo { name, sha256, context_length: context, built_in };
        Ok(Self { info, vocabulary, jobs: Some(jobs), thread: Some(thread) })
    }
}

#[async_trait]
impl Model for Llama {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> Result<usize, ModelError> {
        self.vocabulary.count(text, self.info.context_length as usize)
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let jobs = self.jobs.as_ref().ok_or(ModelError::Stopped)?;
        let cancel = request.cancel.clone();
        let (reply, answer) = oneshot::channel();
        let work = async {
            jobs.send(Job { request, reply }).await.map_err(|_| ModelError::Stopped)?;
            answer.await.map_err(|_| ModelError::Stopped)?
        };
        tokio::select! {
            biased;
            result = work => result,
            () = cancel.cancelled() => Err(ModelError::Cancelled),
        }
    }
}

impl Debug for Llama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llama").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Drop for Llama {
    /// Waits for the engine, so that llama.cpp is not at work while the process takes it down.
    /// The wait is short: without a sender nobody can want a reply.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the inference engine had panicked");
        }
    }
}

fn start(setup: Setup) -> Result<(mpsc::Sender<Job>, JoinHandle<()>), ModelError> {
    let (jobs, mut queue) = mpsc::channel(QUEUE);
    let (ready, started) = std::sync::mpsc::channel();
    let thread = thread::Builder::new()
        .name("marque-inference".to_owned())
        .spawn(move || engine::serve(&setup, &mut queue, &ready))
        .map_err(|error| ModelError::Inference(format!("no engine thread: {error}")))?;
    started.recv().map_err(|_| ModelError::Stopped)??;
    Ok((jobs, thread))
}

fn load_model(path: &Path, header: &Header, profile: Profile) -> Result<LlamaModel, ModelError> {
    let parameters = match profile {
        Profile::Fast => LlamaModelParams::default(),
        Profile::Exact => LlamaModelParams::default().with_n_gpu_layers(0),
    };
    let backend = backend()?;
    let (model, reason) = noting_errors(|| LlamaModel::load_from_file(backend, path, &parameters));
    model.map_err(|error| {
        let path = path.to_owned();
        let reason = reason.unwrap_or_else(|| error.to_string());
        if reason.contains("unknown model architecture") {
            let architecture = header.architecture.clone();
            let reason = "this llama.cpp does not know it".to_owned();
            return ModelError::UnsupportedArchitecture { path, architecture, reason };
        }
        ModelError::Refused { path, reason }
    })
}

/// Embedding models and encoders load as well, and would only fail, or abort, when they are
/// asked to write.
fn check_that_it_writes_text(
    path: &Path,
    header: &Header,
    model: &LlamaModel,
) -> Result<(), ModelError> {
    let architecture = header.architecture.as_str();
    let causal = model.meta_val_str(&format!("{architecture}.attention.causal"));
    let reason = if causal.is_ok_and(|value| value == "false") {
        "it makes embeddings, not text"
    } else if matches!(architecture, "t5" | "t5encoder" | "clip" | "wavtokenizer-dec") {
        "it does not continue a text"
    } else if model.n_vocab() < 1 || model.meta_val_str("tokenizer.ggml.model").is_err() {
        "it has no vocabulary"
    } else {
        return Ok(());
    };
    Err(ModelError::UnsupportedArchitecture {
        path: path.to_owned(),
        architecture: architecture.to_owned(),
        reason: reason.to_owned(),
    })
}

fn choose_context(model: &LlamaModel, wanted: Option<u32>) -> Result<u32, ModelError> {
    let trained = model.n_ctx_train();
    match wanted {
        None => Ok(trained.min(DEFAULT_CONTEXT)),
        Some(0) => Err(ModelError::Options("context is 0".to_owned())),
        Some(context) if context > trained => Err(ModelError::Options(format!(
            "context is {context}, and the model was trained on {trained}"
        ))),
        Some(context) => Ok(context),
    }
}

fn choose_threads(header: &Header, wanted: Option<u32>) -> Result<u32, ModelError> {
    const MAX_THREADS: u32 = 512; // GGML_MAX_N_THREADS
    match wanted {
        Some(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        Some(threads) => Err(ModelError::Options(format!(
            "threads is {threads}, and has to be between 1 and {MAX_THREADS}"
        ))),
        None if header.file_size < ONE_THREAD_BELOW => Ok(1),
        None => {
            let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
            Ok(u32::try_from(cores).unwrap_or(MAX_THREADS).min(MAX_THREADS))
        }
    }
}

/// As many as fit into the budget; one in `exact`, until more is measured to be exact.
fn choose_sequences(model: &LlamaModel, context: u32, profile: Profile) -> u16 {
    if profile == Profile::Exact {
        return 1;
    }
    let width = u64::try_from(model.n_embd()).unwrap_or(0);
    let key = width.saturating_mul(model.n_head_kv().into()).checked_div(model.n_head().into());
    // Keys and values, two bytes each, in every layer.
    let per_token = key.unwrap_or(width).saturating_mul(4).saturating_mul(model.n_layer().into());
    let fitting = KV_BUDGET.checked_div(per_token.saturating_mul(context.into())).unwrap_or(1);
    u16::try_from(fitting.clamp(1, MAX_SEQUENCES)).unwrap_or(1)
}

fn chat_template(model: &LlamaModel) -> Result<ChatTemplate, ModelError> {
    let source = match model.chat_template(None) {
        Ok(template) => Some(
            template.to_string().map_err(|_| ModelError::Template("it is not UTF-8".to_owned()))?,
        ),
        Err(_) => None,
    };
    let vocab = model.vocab();
    let text = |token: llama_cpp_2::token::LlamaToken| match token.0 {
        id if id < 0 => String::new(),
        _ => String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned(),
    };
    ChatTemplate::new(source, text(vocab.bos()), text(vocab.eos()), SystemTime::now())
}

fn hash_file(path: &Path) -> Result<String, ModelError> {
    let mut hash = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .map_err(|source| ModelError::Unreadable { path: path.to_owned(), source })?;
    Ok(hex::encode(hash.finalize()))
}
