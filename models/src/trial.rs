//! Tries a model file where its death costs nothing.
//!
//! [`Header`] finds what a header can tell. What is left is llama.cpp's: some files that pass make
//! it abort, by an assertion in the graph of an architecture or a number format without a kernel,
//! and an abort takes the whole process along. So a file that nobody vouches for is first loaded
//! in a process of its own, which answers a short request with it. If that process dies, [`vet`]
//! tells it as an error, with the last thing that llama.cpp said.
//!
//! **When.** A library cannot know how its program is started, so it is told: the program calls
//! [`vet`] with a command that starts itself again, and [`attempt`] in the process that this
//! starts. `marque` does so before it loads a file, and `#[marque::main]` before it starts a mind.
//!
//! **What it costs.** About one more load, once: a file that passed is remembered in the cache
//! folder under its inode, size and times, so that the next trial is a look into a folder. A file
//! that failed is tried again each time. The built-in model is not tried.
//!
//! **What it does not promise.** It is no sandbox by itself: the process that tries has the rights
//! that its program leaves it, less the memory and time that it may take. A file may have been made
//! to take over llama.cpp rather than to crash it; against that a program raises walls, as `marque`
//! does: those of a mind that reads nothing but the file. Embeddings are not tried, and one request
//! is not all requests.

use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use sha2::{Digest, Sha256};

use crate::built_in;
use crate::error::ModelError;
use crate::gguf::Header;
use crate::llama::{Llama, LlamaOptions};
use crate::message::Message;
use crate::model::Model as _;
use crate::request::{Constraint, Request};

/// Begins the line on which the process that tries says how it went.
const VERDICT: &str = "marque-trial: ";
const PASSED: &str = "it answers";
/// Tokens of its context; enough for the request.
const CONTEXT: u64 = 512;
/// Memory that it may take beside its weights, which lie in memory twice at the worst.
const MEMORY: u64 = 4 << 30;
/// What it may take at least, and more for each so many bytes that have to be read.
const PATIENCE: Duration = Duration::from_secs(60);
const SLOWEST: u64 = 10 << 20;
/// What is kept of its last words.
const WORDS: u64 = 64 << 10;
/// Files that are remembered; the oldest are forgotten.
const REMEMBERED: usize = 64;
/// Part of the key of what is remembered: another llama.cpp has to try again.
const ENGINE: &str = concat!("marque-models ", env!("CARGO_PKG_VERSION"), ", llama-cpp-2 0.1.160");

/// Why a file may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vetted {
    /// It ships with the library.
    BuiltIn,
    /// It has passed before, and nobody has changed it.
    Remembered,
    /// It has passed now, in so much time.
    Passed(Duration),
}

/// Makes sure that `path` can be loaded and answers, in a process that `program` starts and that
/// calls [`attempt`] with the same path. What the process inherits is the caller's to say; its
/// three streams are set here.
///
/// # Errors
/// Those of [`Header::read`], [`ModelError::Crashes`] where the process died, and
/// [`ModelError::Trial`] where it said why it cannot load the file.
pub fn vet(path: &Path, program: Command) -> Result<Vetted, ModelError> {
    let folder = built_in::cache().ok().map(|cache| cache.join("models").join("tried"));
    vet_remembering(folder.as_deref(), path, program)
}

/// As [`vet`], with a folder of one's own for what has passed, or none.
///
/// # Errors
/// As for [`vet`].
pub fn vet_remembering(
    folder: Option<&Path>,
    path: &Path,
    program: Command,
) -> Result<Vetted, ModelError> {
    let header = Header::read(path)?;
    if is_built_in(path) {
        return Ok(Vetted::BuiltIn);
    }
    let memory = folder.and_then(|folder| Memory::of(folder, path));
    if memory.as_ref().is_some_and(Memory::knows) {
        return Ok(Vetted::Remembered);
    }
    let started = Instant::now();
    run(path, header.file_size(), program)?;
    if let Some(memory) = memory
        && let Err(error) = memory.keep(path)
    {
        tracing::debug!(%error, "the file will be tried again");
    }
    Ok(Vetted::Passed(started.elapsed()))
}

/// Loads `path` and answers a request with it: what the process does that [`vet`] starts. `walls`
/// are raised before the first byte is read, where the program has any.
#[must_use]
pub fn attempt(path: &Path, walls: impl FnOnce()) -> ExitCode {
    let result = bound(path).and_then(|()| {
        walls();
        answer(path)
    });
    let (line, code) = match &result {
        Ok(()) => (PASSED.to_owned(), ExitCode::SUCCESS),
        Err(error) => (error.to_string(), ExitCode::FAILURE),
    };
    // Whatever the program has begun to say, this is a line of its own.
    match writeln!(io::stdout(), "\n{VERDICT}{line}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A file may make this process take much, and leave a core dump; neither is anybody's wish.
fn bound(path: &Path) -> Result<(), ModelError> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let most = size.saturating_mul(2).saturating_add(MEMORY);
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, limit(0))
        .and_then(|()| setrlimit(Resource::As, limit(most)))
        .map_err(|error| ModelError::Trial(format!("the trial cannot be bounded: {error}")))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| ModelError::Trial(format!("the trial cannot be bounded: {error}")))?;
    Ok(())
}

fn answer(path: &Path) -> Result<(), ModelError> {
    let trained = Header::read(path)?.figure("context_length").unwrap_or(CONTEXT);
    let options = LlamaOptions {
        context: u32::try_from(trained.min(CONTEXT)).ok(),
        sequences: Some(1),
        ..LlamaOptions::default()
    };
    let model = Llama::load(path, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| ModelError::Trial(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let ask = || Request::new(vec![Message::user("Say yes or no.")]);
        model.generate(ask().max_tokens(2)).await?;
        let mut held = ask().max_tokens(8);
        held.constraint = Constraint::Choice(vec!["yes".to_owned(), "no".to_owned()]);
        match model.generate(held).await {
            // A vocabulary without these letters is somebody's right.
            Ok(_) | Err(ModelError::Constraint(_) | ModelError::Truncated { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    })
}

fn run(path: &Path, size: u64, mut program: Command) -> Result<(), ModelError> {
    let failed = |what: &str, error: io::Error| {
        ModelError::Trial(format!("model file {}: {what}: {error}", path.display()))
    };
    let mut child = program
        // Else the last words would be those of a debugger.
        .env("GGML_NO_BACKTRACE", "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("the process that tries it cannot be started", error))?;
    let said = child.stdout.take().map(listen);
    let cried = child.stderr.take().map(listen);
    let patience = PATIENCE.saturating_add(Duration::from_secs(size / SLOWEST));
    let status = wait(&mut child, patience);
    let text = |heard: Option<thread::JoinHandle<Vec<u8>>>| {
        let bytes = heard.and_then(|thread| thread.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (said, cried) = (text(said), text(cried));
    let Some(status) =
        status.map_err(|error| failed("the process that tries it is lost", error))?
    else {
        return Err(ModelError::Trial(format!(
            "model file {} had not answered after {} s; try again where less is going on, or take \
             another file",
            path.display(),
            patience.as_secs()
        )));
    };
    let verdict = said.lines().rev().find_map(|line| line.strip_prefix(VERDICT));
    match verdict {
        Some(PASSED) if status.success() => Ok(()),
        Some(error) if status.code().is_some() => {
            let file = path.display().to_string();
            let error = plain(error);
            let named = error.contains(&file);
            Err(ModelError::Trial(match named {
                true => error,
                false => format!("model file {file}: {error}"),
            }))
        }
        _ => Err(ModelError::Crashes { path: path.to_owned(), reason: cause(status, &cried) }),
    }
}

/// Reads all that comes and keeps the end of it, so that the writer never waits.
fn listen(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok(1..) = stream.by_ref().take(WORDS).read_to_end(&mut kept) {
            let more = kept.len().saturating_sub(usize::try_from(WORDS).unwrap_or(0));
            kept.drain(..more);
        }
        kept
    })
}

/// Waits for the process, and ends it when that takes too long: then there is no status.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// What it died of: the last thing that was said, else the signal.
fn cause(status: ExitStatus, cried: &str) -> String {
    // The last line of a panic is advice for programmers.
    let words = |line: &&str| !line.is_empty() && !line.starts_with("note: ");
    let words = cried.lines().rev().map(str::trim).find(words);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let end = match signal {
        Some(4) => "an instruction that this processor does not have".to_owned(),
        Some(6) => "it gave up (SIGABRT)".to_owned(),
        Some(7) => "the file changed while it was read (SIGBUS)".to_owned(),
        Some(8) => "a division by zero (SIGFPE)".to_owned(),
        Some(9) => "it was killed, as when memory runs out (SIGKILL)".to_owned(),
        Some(11) => "it read where nothing is (SIGSEGV)".to_owned(),
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    };
    match words {
        Some(words) => format!("{end}: {}", plain(without_folders(words))),
        None => end,
    }
}

/// `/build/llama.cpp/src/llama-graph.cpp:7: GGML_ASSERT(…) failed` from the file's name on.
fn without_folders(words: &str) -> &str {
    let place = words.split(": ").next().unwrap_or_default();
    let name = place.rsplit('/').next().unwrap_or_default();
    let from = place.len().saturating_sub(name.len());
    words.get(from..).unwrap_or(words)
}

/// One line without control characters; it may quote the file.
fn plain(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim().chars().map(harmless).take(300).collect()
}

fn is_built_in(path: &Path) -> bool {
    let same =
        || Some(fs::canonicalize(path).ok()? == fs::canonicalize(built_in::path().ok()?).ok()?);
    same().unwrap_or(false)
}

/// Where it stands that a file has passed.
struct Memory {
    folder: PathBuf,
    mark: PathBuf,
}

impl Memory {
    /// `None` where nothing can be remembered.
    fn of(folder: &Path, path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let file = fs::metadata(path).ok()?;
        // The last time is the system's own, and no program can set it back.
        let key = format!(
            "{ENGINE}\n{}.{} {} {}.{} {}.{}",
            file.dev(),
            file.ino(),
            file.size(),
            file.mtime(),
            file.mtime_nsec(),
            file.ctime(),
            file.ctime_nsec()
        );
        let mark = folder.join(hex::encode(Sha256::digest(key)));
        Some(Self { folder: folder.to_owned(), mark })
    }

    fn knows(&self) -> bool {
        self.mark.is_file()
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(&self.mark, format!("{}\n", path.display()))?;
        let mut marks: Vec<_> = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|mark| Some((mark.metadata().ok()?.modified().ok()?, mark.path())))
            .collect();
        marks.sort_unstable();
        let old = marks.len().saturating_sub(REMEMBERED);
        marks.iter().take(old).try_for_each(|(_, mark)| fs::remove_file(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_llama_cpp_said_is_told_without_the_folders_of_the_one_who_built_it() {
        let words = "/build/a b/llama-graph.cpp:7: GGML_ASSERT(x / y == z) failed";
        assert_eq!(without_folders(words), "llama-graph.cpp:7: GGML_ASSERT(x / y == z) failed");
        assert_eq!(without_folders("plain words"), "plain words");
        assert_eq!(plain("a\u{1b}[2Kb\n"), "a\u{fffd}[2Kb");
    }

    #[test]
    fn the_last_words_are_told_with_the_signal() {
        let dies =
            "echo first >&2; echo '/x/llama.cpp:7: GGML_ASSERT(y) failed' >&2; kill -ABRT $$";
        let mut program = Command::new("sh");
        program.args(["-c", dies]);
        let error = run(Path::new("x.gguf"), 1, program).unwrap_err().to_string();
        let told = "it gave up (SIGABRT): llama.cpp:7: GGML_ASSERT(y) failed; do not load it";
        assert_eq!(error, format!("model file x.gguf makes llama.cpp crash: {told}"));
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let marks = folder.path().join("tried");
        let mut last = None;
        for number in 0..REMEMBERED + 5 {
            fs::write(&file, vec![0; number]).unwrap();
            let memory = Memory::of(&marks, &file).unwrap();
            assert!(!memory.knows());
            memory.keep(&file).unwrap();
            last = Some(memory);
        }
        assert!(last.unwrap().knows());
        assert_eq!(fs::read_dir(&marks).unwrap().count(), REMEMBERED);
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Instant::now();
        assert!(wait(&mut child, Duration::from_millis(100)).unwrap().is_none());
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
