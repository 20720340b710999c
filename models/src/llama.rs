//! A GGUF model in this process.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use async_trait::async_trait;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::backend::{backend, noting_errors};
use crate::built_in;
use crate::cache::Shape;
use crate::channel::{self, Channels, Thought};
use crate::constraint::{Compiled, Grammars};
use crate::engine::{self, Command, Job, LARGEST_BITE, Setup};
use crate::error::ModelError;
use crate::footprint::{self, Footprint};
use crate::gguf::Header;
use crate::message;
use crate::model::{Model, ModelInfo, SessionId};
use crate::parked::Binding;
use crate::prompt::Vocabulary;
use crate::request::{Constraint, Generation, Request};
use crate::sequence::Sequence;
use crate::stats::{Stats, Tally};
use crate::template::ChatTemplate;
use crate::threads;
use crate::writer::Draft;

/// Requests that wait in the engine's queue; further callers wait before it.
const QUEUE: usize = 128;
/// The context where nobody asks for another: long enough for an agent's task.
const DEFAULT_CONTEXT: u32 = 8_192;
/// Requests that are served at the same time where nobody asks for another number.
const DEFAULT_SEQUENCES: u16 = 64;
const MAX_SEQUENCES: u16 = 256; // LLAMA_MAX_SEQ
/// Whole contexts that the pool of a model holds, as far as they fit into [`KV_BUDGET`].
const POOLED_CONTEXTS: u64 = 8;
const KV_BUDGET: u64 = 512 << 20;
/// Recurrent states cannot be pooled: each sequence has one, however short it is.
const RECURRENT_SEQUENCES: u16 = 8;

/// How a model is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaOptions {
    /// CPU threads. Default: 1 for files below 100 MiB, else the cores that are there, less the
    /// load of the last minute, which counts this program's own work too.
    pub threads: Option<u32>,
    /// Tokens that prompt and reply may have together. Default: what the model was trained on,
    /// but at most 8,192.
    pub context: Option<u32>,
    /// Requests that are served at the same time, and sessions that are kept warm. Default: 64,
    /// and 1 in the profile `exact`.
    pub sequences: Option<u16>,
    /// Tokens that all sequences may hold together. Default: eight contexts, as far as 512 MiB
    /// hold them, and at least one.
    pub kv_tokens: Option<u32>,
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
    template: ChatTemplate,
    /// The one for conversations with tools, where the file has another.
    tool_template: Option<ChatTemplate>,
    channels: Channels,
    grammars: Arc<OnceLock<Result<Grammars, ModelError>>>,
    commands: mpsc::UnboundedSender<Command>,
    places: Arc<Semaphore>,
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

impl Llama {
    /// Whether `path` is a whole GGUF whose header agrees with itself; a look at the header, which
    /// costs nothing beside a load.
    ///
    /// # Errors
    /// [`ModelError`] with the reason.
    pub fn check(path: impl AsRef<Path>) -> Result<(), ModelError> {
        Header::read(path).map(drop)
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
    /// [`ModelError::Incomplete`], [`ModelError::NoModel`],
    /// [`ModelError::UnsupportedArchitecture`], [`ModelError::Refused`]), with this machine
    /// ([`ModelError::Memory`], [`ModelError::Processor`]) or with the options
    /// ([`ModelError::Options`]). A file that was made to harm may still end the process; see
    /// [`crate::trial`].
    pub fn load(path: impl AsRef<Path>, options: LlamaOptions) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let header = Header::read(path)?;
        check_memory(path, &header, 0)?;
        let sha256 = hash_file(path)?;
        let model = Arc::new(load_model(path, &header, options.profile)?);
        check_that_it_writes_text(path, &header, &model)?;
        let shape = shape(&model, &header, options)?;
        check_memory(path, &header, shape.cells())?;
        let now = SystemTime::now();
        let template = compile_template(&model, chat_template(&model)?, now)?;
        let tool_template = tool_template(&model)
            .map(|source| compile_template(&model, Some(source), now))
            .transpose()?;
        let mut vocabulary = Vocabulary::new(model);
        let channels = Channels::new(&template, &vocabulary);
        vocabulary.end_turns_with(channel::end_of_turn(&template, &vocabulary));
        let vocabulary = Arc::new(vocabulary);
        let tally = Arc::new(Tally::default());
        let setup = Setup {
            vocabulary: Arc::clone(&vocabulary),
            shape,
            binding: Binding::new(&sha256, shape),
            tally: Arc::clone(&tally),
        };
        let (commands, engine) = start(setup)?;
        let name = header.name().map(str::to_owned).unwrap_or_else(|| {
            path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        });
        let built_in = sha256 == hex::encode(Sha256::digest(built_in::BYTES));
        let info = ModelInfo { name, sha256, context_length: shape.context, built_in };
        let grammars = Arc::new(OnceLock::new());
        let mut threads = vec![engine];
        threads.extend(prepare_grammars(&grammars, &vocabulary));
        let places = Arc::new(Semaphore::new(QUEUE));
        Ok(Self {
            info,
            vocabulary,
            template,
            tool_template,
            channels,
            grammars,
            commands,
            places,
            tally,
            threads,
        })
    }

    /// A handle on one conversation: cheap, and free to move between threads.
    pub fn sequence(&self, session: impl Into<SessionId>) -> Sequence {
        Sequence::new(session.into(), self.commands.clone())
    }

    /// What the engine has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.tally.stats()
    }

    /// What a text of at most 512 tokens is about, as a vector of length 1: texts that are alike
    /// have vectors whose product is near 1, as far as this model tells.
    ///
    /// # Errors
    /// [`ModelError::PromptTooLong`] with the figures, [`ModelError::Request`] for an empty text.
    pub async fn embed(&self, text: &str) -> Result<Vec<f32>, ModelError> {
        let tokens = self.vocabulary.content(text, self.info.context_length as usize)?;
        let (sender, answer) = oneshot::channel();
        let command = Command::Embed(tokens, sender);
        self.commands.send(command).map_err(|_| ModelError::Stopped)?;
        answer.await.map_err(|_| ModelError::Stopped)?
    }

    /// Renders, tokenises and compiles what a request asks, on the caller's thread, so that the
    /// engine does not wait for it.
    fn prepare(&self, request: &Request) -> Result<(Vec<LlamaToken>, usize, Draft), ModelError> {
        if request.max_tokens == 0 {
            return Err(ModelError::Request("max_tokens is 0".to_owned()));
        }
        let limit = self.info.context_length as usize;
        let (prompt, shareable, thought) = self.prompt(request)?;
        let Some(room) = limit.checked_sub(prompt.len()).filter(|&room| room > 0) else {
            return Err(ModelError::PromptTooLong { tokens: prompt.len(), limit });
        };
        if prompt.is_empty() {
            return Err(ModelError::Request("there is nothing to reply to".to_owned()));
        }
        let compiled = match &request.constraint {
            Constraint::None => Compiled::Free,
            constraint => self.grammars()?.compile(constraint)?,
        };
        let budget = room.min(request.max_tokens as usize);
        let vocabulary = Arc::clone(&self.vocabulary);
        let draft = Draft::new(request, vocabulary, compiled, thought, budget)?;
        Ok((prompt, shareable, draft))
    }

    /// The prompt of a request as the model reads it, to be looked at: control tokens are written out like
    /// the words, so that it is not to be put to a model again.
    ///
    /// # Errors
    /// As [`Model::count_prompt`].
    pub fn prompt_text(&self, request: &Request) -> Result<String, ModelError> {
        let (tokens, ..) = self.prompt(request)?;
        let bytes = self.vocabulary.model().vocab().detokenize(&tokens, false, true);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The tokens of a request, how many of them are the same for all that have its tools and
    /// system messages, and the thought that they open.
    pub(crate) fn prompt(
        &self,
        request: &Request,
    ) -> Result<(Vec<LlamaToken>, usize, Option<Thought>), ModelError> {
        let Request { messages, tools, thinking, .. } = request;
        message::check(messages, tools)?;
        let calls = messages.iter().any(|message| !message.calls.is_empty());
        let template = match &self.tool_template {
            Some(template) if calls || !tools.is_empty() => template,
            _ => &self.template,
        };
        let mut pieces = template.render(messages, tools, thinking.is_some())?;
        let thought = self.channels.open(&mut pieces, thinking.as_ref())?;
        let context = self.info.context_length as usize;
        let (prompt, shareable) = self.vocabulary.encode(&pieces, context)?;
        Ok((prompt, shareable, thought))
    }

    fn grammars(&self) -> Result<&Grammars, ModelError> {
        let made = self.grammars.get_or_init(|| Grammars::new(self.vocabulary.model()));
        made.as_ref().map_err(|error| ModelError::Constraint(error.to_string()))
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

    fn count_prompt(&self, request: &Request) -> Result<usize, ModelError> {
        Ok(self.prompt(request)?.0.len())
    }

    async fn generate(&self, request: Request) -> Result<Generation, ModelError> {
        let cancel = request.cancel.clone();
        if cancel.is_cancelled() {
            return Err(ModelError::Cancelled);
        }
        let (prompt, shareable, draft) = self.prepare(&request)?;
        let work = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.map_err(|_| ModelError::Stopped)?;
            let (reply, answer) = oneshot::channel();
            let session = request.session;
            let job =
                Job { prompt, shareable, session, draft, cancel: request.cancel, reply, place };
            self.commands
                .send(Command::Generate(Box::new(job)))
                .map_err(|_| ModelError::Stopped)?;
            answer.await.map_err(|_| ModelError::Stopped)?
        };
        tokio::select! {
            biased;
            result = work => result,
            () = cancel.cancelled() => Err(ModelError::Cancelled),
        }
    }
}

#[cfg(test)]
impl Llama {
    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
}

impl Debug for Llama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llama").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Drop for Llama {
    /// Waits for the engine, so that llama.cpp is not at work while the process takes it down.
    /// The wait is one batch long.
    fn drop(&mut self) {
        if self.commands.send(Command::Stop).is_err() {
            tracing::debug!("the inference engine had stopped");
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("a thread of the model had panicked");
            }
        }
    }
}

fn start(setup: Setup) -> Result<(mpsc::UnboundedSender<Command>, JoinHandle<()>), ModelError> {
    let (commands, mut queue) = mpsc::unbounded_channel();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = thread::Builder::new()
        .name("marque-inference".to_owned())
        .spawn(move || engine::serve(&setup, &mut queue, &ready))
        .map_err(|error| ModelError::Inference(format!("no engine thread: {error}")))?;
    started.recv().map_err(|_| ModelError::Stopped)??;
    Ok((commands, thread))
}

/// Walks the vocabulary in the background, for the first constraint that comes. Without the
/// thread that constraint would wait for it.
fn prepare_grammars(
    grammars: &Arc<OnceLock<Result<Grammars, ModelError>>>,
    vocabulary: &Arc<Vocabulary>,
) -> Option<JoinHandle<()>> {
    let (grammars, vocabulary) = (Arc::clone(grammars), Arc::clone(vocabulary));
    let work = move || {
        grammars.get_or_init(|| Grammars::new(vocabulary.model()));
    };
    thread::Builder::new().name("marque-grammars".to_owned()).spawn(work).ok()
}

/// More than there is would be read from the disk for each token anew, or end the process.
fn check_memory(path: &Path, header: &Header, tokens: u64) -> Result<(), ModelError> {
    let footprint = Footprint::of(header);
    let Some(has) = footprint::memory() else { return Ok(()) };
    let needs = footprint.with(if footprint.at_most { 0 } else { tokens });
    // Weights on a graphics card do not lie in this memory.
    if needs <= has || backend()?.supports_gpu_offload() {
        return Ok(());
    }
    Err(ModelError::Memory { path: path.to_owned(), needs, has, tokens })
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
            let architecture = header.architecture().to_owned();
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
    let architecture = header.architecture();
    let causal = model.meta_val_str(&format!("{architecture}.attention.causal"));
    let reason = if causal.is_ok_and(|value| value == "false") {
        "it makes embeddings, not text"
    } else if matches!(architecture, "t5" | "t5encoder" | "clip" | "wavtokenizer-dec") {
        "it does not continue a text"
    } else if model.n_vocab() < 1
        || matches!(header.text("tokenizer.ggml.model"), None | Some("none" | "no_vocab"))
    {
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

fn shape(model: &LlamaModel, header: &Header, options: LlamaOptions) -> Result<Shape, ModelError> {
    let context = choose_context(model, options.context)?;
    let lanes = choose_sequences(model, options)?;
    let pool = match options.profile {
        Profile::Fast => Some(choose_pool(model, context, options.kv_tokens)?),
        // What a lane computes must not depend on what lies beside it.
        Profile::Exact => None,
    };
    let batch = u32::try_from(LARGEST_BITE).unwrap_or(u32::MAX).saturating_add(lanes.into());
    let threads = threads::choose(header.file_size(), options.threads)?;
    Ok(Shape { context, lanes, pool, batch, threads, profile: options.profile })
}

fn choose_sequences(model: &LlamaModel, options: LlamaOptions) -> Result<u16, ModelError> {
    let most = if options.profile == Profile::Exact { 1 } else { MAX_SEQUENCES };
    match options.sequences {
        Some(wanted) if (1..=most).contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(ModelError::Options(format!(
            "sequences is {wanted}, and has to be between 1 and {most} in this profile"
        ))),
        None if model.is_recurrent() || model.is_hybrid() => Ok(most.min(RECURRENT_SEQUENCES)),
        None => Ok(most.min(DEFAULT_SEQUENCES)),
    }
}

/// Tokens that the pool holds: as many as fit into the budget, and at least one context.
fn choose_pool(model: &LlamaModel, context: u32, wanted: Option<u32>) -> Result<u32, ModelError> {
    if let Some(wanted) = wanted {
        return match wanted {
            wanted if wanted < context => Err(ModelError::Options(format!(
                "kv_tokens is {wanted}, and has to hold the context of {context} at least"
            ))),
            wanted => Ok(wanted),
        };
    }
    let width = u64::try_from(model.n_embd()).unwrap_or(0);
    let key = width.saturating_mul(model.n_head_kv().into()).checked_div(model.n_head().into());
    // Keys and values, two bytes each, in every layer.
    let per_token = key.unwrap_or(width).saturating_mul(4).saturating_mul(model.n_layer().into());
    let fitting = KV_BUDGET.checked_div(per_token).unwrap_or(0);
    let context = u64::from(context);
    let pool = fitting.clamp(context, context.saturating_mul(POOLED_CONTEXTS));
    Ok(u32::try_from(pool).unwrap_or(u32::MAX))
}

/// The template of a file.
fn chat_template(model: &LlamaModel) -> Result<Option<String>, ModelError> {
    match model.chat_template(None) {
        Ok(template) => {
            let text = template.to_string();
            text.map(Some).map_err(|_| ModelError::Template("it is not UTF-8".to_owned()))
        }
        Err(_) => Ok(None),
    }
}

/// The template that some files have for conversations with tools. Read from the metadata, since
/// the wrapper's `chat_template(Some(name))` hands llama.cpp a name that it has freed.
fn tool_template(model: &LlamaModel) -> Option<String> {
    model.meta_val_str("tokenizer.chat_template.tool_use").ok()
}

fn compile_template(
    model: &LlamaModel,
    source: Option<String>,
    now: SystemTime,
) -> Result<ChatTemplate, ModelError> {
    let vocab = model.vocab();
    let text = |token: LlamaToken| match token.0 {
        id if id < 0 => String::new(),
        _ => String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned(),
    };
    ChatTemplate::new(source, text(vocab.bos()), text(vocab.eos()), now)
}

fn hash_file(path: &Path) -> Result<String, ModelError> {
    let mut hash = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .map_err(|source| ModelError::Unreadable { path: path.to_owned(), source })?;
    Ok(hex::encode(hash.finalize()))
}
