//! Everything that can keep a model from loading or a reply from being whole.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no model, or no reply.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// There is no file at this path.
    #[error("no model file at {}; give the path of a GGUF file", .0.display())]
    NotFound(PathBuf),
    /// The file could not be read.
    #[error("cannot read model file {}: {source}", path.display())]
    Unreadable {
        /// The model file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else than a model in GGUF form.
    #[error("{} is not a GGUF model: {reason}", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A part of the file is missing, as after a download that broke off.
    #[error(
        "model file {} is incomplete: it has {has} bytes{}; finish the download, or begin it again",
        path.display(),
        match needs {
            Some(needs) => format!(" of {needs}"),
            None => " and ends inside its header".to_owned(),
        }
    )]
    Incomplete {
        /// The model file.
        path: PathBuf,
        /// Bytes that are there.
        has: u64,
        /// Bytes that there should be; unknown where the header itself is cut.
        needs: Option<u64>,
    },
    /// A whole GGUF file, but no model, or one of several files of a model.
    #[error("{} is no model that can be run: {reason}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The header contradicts itself.
    #[error("model file {} is damaged: {reason}; download it again", path.display())]
    Damaged {
        /// The model file.
        path: PathBuf,
        /// Where the header stops making sense.
        reason: String,
    },
    /// llama.cpp does not know this kind of model, or it cannot write text.
    #[error("model file {} has architecture {architecture:?}, which is not supported: {reason}", path.display())]
    UnsupportedArchitecture {
        /// The model file.
        path: PathBuf,
        /// The architecture that its header names.
        architecture: String,
        /// Why it does not serve.
        reason: String,
    },
    /// llama.cpp refused the file.
    #[error("llama.cpp refused model file {}: {reason}", path.display())]
    Refused {
        /// The model file.
        path: PathBuf,
        /// The last thing that llama.cpp said.
        reason: String,
    },
    /// The process that tried the file died of it ([`crate::trial`]).
    #[error("model file {} makes llama.cpp crash: {reason}; do not load it", path.display())]
    Crashes {
        /// The model file.
        path: PathBuf,
        /// The signal, and the last thing that llama.cpp said.
        reason: String,
    },
    /// The process that tried the file said this ([`crate::trial`]).
    #[error("{0}")]
    Trial(String),
    /// This machine is too small.
    #[error(
        "model file {} needs about {} of memory with {tokens} tokens of context, and this machine \
         has {}; choose fewer tokens, or a file with fewer bits",
        path.display(),
        bytes(*needs),
        bytes(*has)
    )]
    Memory {
        /// The model file.
        path: PathBuf,
        /// Bytes that it takes.
        needs: u64,
        /// Bytes that this process may use.
        has: u64,
        /// Tokens of context of all conversations together.
        tokens: u64,
    },
    /// This processor lacks what llama.cpp was built for.
    #[error(
        "this processor has no {0}, which llama.cpp is built to use; build on this machine, or use another"
    )]
    Processor(&'static str),
    /// The options do not suit this model.
    #[error("model options: {0}")]
    Options(String),
    /// The built-in model could not be written to the cache folder.
    #[error("cannot keep the built-in model in {}: {source}; set MARQUE_CACHE to a writable folder", path.display())]
    Cache {
        /// The file or folder that could not be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no home folder to put the cache in.
    #[error("no cache folder for the built-in model; set MARQUE_CACHE to a writable folder")]
    NoCacheFolder,
    /// The chat template of the model cannot express this conversation.
    #[error("chat template: {0}")]
    Template(String),
    /// The request contradicts itself.
    #[error("request: {0}")]
    Request(String),
    /// The prompt leaves no room for a reply.
    #[error(
        "prompt of {tokens} tokens does not fit into a context of {limit}; shorten the messages"
    )]
    PromptTooLong {
        /// Tokens of the prompt, or a lower bound for a prompt too long to count.
        tokens: usize,
        /// Tokens that prompt and reply may have together.
        limit: usize,
    },
    /// The constraint could not be compiled or followed.
    #[error("constraint: {0}")]
    Constraint(String),
    /// Tokens ran out before the constrained reply was complete.
    #[error(
        "reply was cut after {tokens} tokens before its JSON was complete; raise max_tokens or bound the strings of the schema"
    )]
    Truncated {
        /// Tokens that were generated.
        tokens: u32,
    },
    /// A parked session was not taken up; its next request computes it anew.
    #[error("parked session: {0}; its next request computes it anew")]
    Parked(String),
    /// The request was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// llama.cpp failed while computing.
    #[error("inference failed: {0}")]
    Inference(String),
    /// The engine thread is gone.
    #[error("the inference engine has stopped")]
    Stopped,
    /// A scripted model was asked for more than its script holds.
    #[error("script has {replies} replies, and reply {wanted} was asked for")]
    ScriptEnded {
        /// Replies that the script holds.
        replies: usize,
        /// The number of the reply that was asked for, counted from 1.
        wanted: usize,
    },
    /// The policy does not let the model be asked.
    #[error("{0}")]
    NotPermitted(String),
    /// The owner has to decide whether the model may be asked.
    #[error("{0}")]
    Held(String),
    /// A recording has no such reply.
    #[error("{0}")]
    Recording(String),
    /// A model elsewhere failed.
    #[error("remote model: {0}")]
    Remote(String),
}

/// A number of bytes, as people say it.
fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let bytes = bytes as f64;
    match bytes {
        bytes if bytes < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
        bytes => format!("{:.1} GiB", bytes / 1024.0 / 1024.0 / 1024.0),
    }
}
