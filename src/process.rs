//! Two processes: the steward, which holds the keys, and the mind, which runs everybody else's
//! code.
//!
//! [`main`] is what `#[marque::main]` expands to. The first process never runs a line of the
//! user's code: it unlocks the home, becomes its steward and starts itself again as the mind. The
//! mind hires its doorman, a third process that connects it to its own steward's sockets and to
//! nothing else, is fenced before it has a second thread, and dies with the steward. All come from
//! one binary, so this is development isolation; a service of its own user (`marque steward run`)
//! is the production form.

use crate::home::{Home, secret};
use marque_agent_core::{
    AgentError, Files,
    fence::{self, fence},
};
use marque_models::ModelError;
use marque_steward::{Minds, Options, Steward, StewardError, Walls, hardening::Fence};
use marque_steward_client::door::{self, Door};
use secrecy::SecretString;
use std::{
    collections::BTreeSet,
    error::Error,
    future::Future,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

/// Why a mind could not be started, or had to be ended.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", .help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default())]
pub struct LaunchError {
    /// What went wrong, in one line.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The exit code: 2 for wrong usage, 1 for anything else.
    pub code: u8,
}

impl From<String> for LaunchError {
    fn from(message: String) -> Self {
        Self { message, help: None, code: 1 }
    }
}

/// Says that this process is the mind, set by the steward for its child, or a mind's doorman, or one
/// that tries a model file.
const ROLE: &str = "MARQUE_ROLE";

/// The value of [`ROLE`] for a doorman.
const DOORMAN: &str = "doorman";

/// The value of [`ROLE`] for a process that tries a model file.
const TRIAL: &str = "trial";

/// How long a mind that was told to stop may take: hundredths of a second where the machine is not busy.
pub const AT_ONCE: Duration = Duration::from_secs(5);

/// How long what a mind's threads are at when it has ended is waited for; less than [`AT_ONCE`].
const LEFT: Duration = Duration::from_millis(200);

/// How long one may take that has customers at its counter: longer than a buyer is kept waiting.
pub const AFTER_THE_CUSTOMERS: Duration = Duration::from_secs(25);

/// What a mind's environment says to its allocator: large buffers go back to the system when they are
/// let go. Without it glibc keeps ever larger ones, and a thousand idle agents five times as much.
pub const MALLOC: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// A signal that comes so soon after the first is the same one: `timeout` and others tell a process and
/// then its whole group.
const ECHO: Duration = Duration::from_millis(50);

/// So soon a mind is told what its terminal may have told it already.
const TOLD: Duration = Duration::from_millis(300);

/// Runs the first process as the steward and the second as the mind, which runs `mind`.
///
/// Where the mind waits for its owner it says so on standard error. An error of `mind` is printed there
/// as well, and the exit code is that of the command: 4 where the owner is asked, 3 where the policy
/// refused, 1 otherwise.
pub fn main<F, Fut, E>(mind: F) -> ExitCode
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if is_doorman() {
        return doorman();
    }
    if is_trial() {
        return trial();
    }
    let home = match Home::locate(std::env::var_os("MARQUE_HOME").map(PathBuf::from)) {
        Ok(home) => home,
        Err(error) => return fail(&error),
    };
    if is_mind() {
        let agents = std::env::var("MARQUE_AGENT").map_or_else(|_| home.agents(), |one| vec![one]);
        return as_mind(&home, &agents, Vec::new(), mind);
    }
    if home.agents().is_empty() {
        return fail(&format!(
            "there is no agent in {}; make one with `marque new NAME`",
            home.path().display()
        ));
    }
    let command = || std::env::args_os().skip(1).collect::<Vec<_>>();
    // Its own `main` may read what the terminal says; the secret never comes that way here.
    let ended = launch(&home, command(), &[], Stdio::inherit(), AT_ONCE, |home| {
        let text = format!("Unlock secret of the steward in {}", home.path().display());
        secret(None, "marque-unlock", &text, false).map_err(|error| LaunchError {
            message: format!("nobody unlocks the steward of {}: {error}", home.path().display()),
            help: Some(
                "run it on a terminal, beside a running steward (marque steward run), or with the \
                 systemd credential marque-unlock; a program of your own takes no --unlock-fd"
                    .to_owned(),
            ),
            // Wrong usage, as everywhere.
            code: 2,
        })
    });
    ended.unwrap_or_else(|error| {
        fail(&error.to_string());
        ExitCode::from(error.code)
    })
}

/// Whether this process was started as a mind.
#[must_use]
pub fn is_mind() -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == "mind")
}

/// Whether this process was started as a mind's doorman.
#[must_use]
pub fn is_doorman() -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == DOORMAN)
}

/// A doorman's `main`: fenced like a mind that reads no file at all, it connects to the sockets
/// that its arguments name, and ends with its mind.
#[must_use]
pub fn doorman() -> ExitCode {
    let walls = fence(&fence::Fence { doorman: true, ..fence::Fence::default() });
    tracing::debug!(%walls, "the doorman is fenced");
    match door::serve(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the doorman lost its mind: {error}")),
    }
}

/// Whether this process was started to try a model file.
#[must_use]
pub fn is_trial() -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == TRIAL)
}

/// A trial's `main`: fenced like a mind that reads nothing but the model file that its argument
/// names, it loads that and answers a request with it.
#[must_use]
pub fn trial() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return fail("a trial needs a model file");
    };
    marque_models::trial::attempt(&file, || {
        let read = vec![file.clone()];
        let walls = fence(&fence::Fence { read, ..fence::Fence::default() });
        tracing::debug!(%walls, "the trial is fenced");
    })
}

/// Makes sure that a model file can be loaded and answers, in a process of its own, which may die of
/// it. A file that has passed before, and was not changed since, passes at once.
///
/// This starts the program again, whose `main` has to ask [`is_trial`] first, as `#[marque::main]`
/// does.
///
/// # Errors
/// What is wrong with the file.
pub fn vet_model(file: &std::path::Path) -> Result<marque_models::trial::Vetted, ModelError> {
    if is_trial() {
        return Err(ModelError::Trial("this program does not know how to try a file".to_owned()));
    }
    let program = std::env::current_exe()
        .map_err(|error| ModelError::Trial(format!("cannot find myself: {error}")))?;
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let mut command = std::process::Command::new(program);
    // It needs to know where the cache is, and nothing else.
    let known = ["HOME", "MARQUE_CACHE", "XDG_CACHE_HOME"];
    let kept = known.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.arg(file).env_clear().envs(kept).env(ROLE, TRIAL);
    marque_models::trial::vet(file, command)
}

/// Tries the model files that the agents of a home think with, and warns of bad ones: a mind that
/// dies of one has less to say. This comes before the walls, through which no program is started.
pub fn warn_of_models(home: &Home) {
    for model in configured(home) {
        if let Err(error) = vet_model(&model) {
            anstream::eprintln!("warning: {error}");
        }
    }
}

/// Becomes the steward of `home` and starts this same program again, with `args`, as its mind,
/// which reads `stdin` and may take `grace` to end. Where a steward is already at work, it is used.
/// The exit code is the mind's.
///
/// # Errors
/// Where the steward or the mind cannot be started, or the mind had to be ended.
pub fn launch(
    home: &Home,
    args: Vec<std::ffi::OsString>,
    read: &[PathBuf],
    stdin: Stdio,
    grace: Duration,
    unlock: impl FnOnce(&Home) -> Result<SecretString, LaunchError>,
) -> Result<ExitCode, LaunchError> {
    // The mind is fenced and can write nowhere but its folder, so the built-in model is put into
    // the cache for it here.
    if let Err(error) = marque_models::Llama::built_in_path() {
        return Err(format!("cannot write the built-in model to the cache: {error}").into());
    }
    warn_of_models(home);
    let secret = if answers(home) { None } else { Some(unlock(home)?) };
    let walls = walls(home, read, &Minds::default(), true);
    runtime()?.block_on(async {
        let steward = match secret {
            None => None,
            Some(secret) => match start(home, secret, walls, Minds::default()).await {
                Ok(steward) => Some(steward),
                // Another run of this home was a moment faster: its steward serves both.
                Err(StewardError::Locked(_)) if answers_soon(home).await => None,
                Err(error @ StewardError::Keys(_)) => {
                    let place = home.path().display();
                    return Err(format!("cannot unlock the steward of {place}: {error}").into());
                }
                Err(error) => {
                    let help = hint(&error).map(str::to_owned);
                    return Err(LaunchError { message: error.to_string(), help, code: 1 });
                }
            },
        };
        let code = run_mind(home, args, stdin, grace).await;
        if let Some(steward) = steward {
            steward.stop().await.map_err(|error| error.to_string())?;
        }
        Ok(code?)
    })
}

/// Raises the walls around this process, which is about to hold keys. They bind the calling thread
/// and what it starts, so this comes before any runtime. `read` is what the mind, which inherits
/// them, must be able to read beside the models; `minds` are those that run as other users;
/// without `programs` this process starts none, and so no mind.
#[must_use]
pub fn walls(home: &Home, read: &[PathBuf], minds: &Minds, programs: bool) -> Walls {
    let mut read = read.to_vec();
    read.extend(std::env::current_exe());
    read.extend(models(home));
    let mut write = vec![home.path().to_owned()];
    // The mind inherits these walls, so what is granted to it is granted here as well.
    for files in home.agents().iter().filter_map(|name| granted(home, name)) {
        let list = if files.is_writable() { &mut write } else { &mut read };
        list.push(files.folder().to_owned());
    }
    if !minds.users.is_empty() {
        write.push(minds.sockets.clone());
    }
    Walls::raise(&Fence { write, read, programs })
}

/// The model files that the agents of a home think with, and the built-in one: those that are there.
fn models(home: &Home) -> Vec<PathBuf> {
    let built_in = marque_models::Llama::built_in_path();
    configured(home).into_iter().chain(built_in).filter(|path| path.exists()).collect()
}

/// The model files that the agents of a home name.
fn configured(home: &Home) -> BTreeSet<PathBuf> {
    let named = home.agents().into_iter().filter_map(|name| {
        // A broken agent.toml is reported when the agent is opened.
        marque_agent_core::model_file(&home.agent(&name)).ok().flatten()
    });
    named.collect()
}

/// The folder that the owner granted to an agent.
fn granted(home: &Home, name: &str) -> Option<Files> {
    // A broken agent.toml is reported when the agent is opened.
    marque_agent_core::granted_files(&home.agent(name)).ok().flatten()
}

/// Opens `home` and starts its steward in this process.
///
/// # Errors
/// Why it could not start.
pub async fn start(
    home: &Home,
    unlock: SecretString,
    walls: Walls,
    minds: Minds,
) -> Result<Steward, StewardError> {
    let opened = marque_steward::Home::open(home.path())?;
    if !opened.has_journal() {
        let name = home.agents().into_iter().next().unwrap_or_else(|| "NAME".to_owned());
        return Err(StewardError::NoPolicy(name));
    }
    Steward::start(opened, unlock, Options { walls, minds, ..Options::default() }).await
}

/// How to go on after an error of [`start`], where a newcomer would not know.
#[must_use]
pub const fn hint(error: &StewardError) -> Option<&'static str> {
    match error {
        StewardError::Wrong(_) => Some(
            "a devnet forgets its chain when it ends, and a home is for one chain: begin again with \
                 another home, first marque devnet --home DIR, then marque new, fund and run with that \
                 --home; or move this one aside",
        ),
        _ => None,
    }
}

/// This program, to be started again as a mind of `home`.
///
/// It inherits no file that this process has open beside the three standard streams, of which the
/// input is empty: an unlock secret that came on a descriptor could be read there once more.
///
/// # Errors
/// Where the program cannot find itself.
pub fn mind_command(
    home: &Home,
    args: Vec<std::ffi::OsString>,
) -> Result<tokio::process::Command, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let mut command = tokio::process::Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .env(ROLE, "mind")
        .env("MARQUE_HOME", home.path())
        .env(MALLOC.0, MALLOC.1)
        .env_remove("CREDENTIALS_DIRECTORY")
        .kill_on_drop(true);
    Ok(command)
}

/// Starts this program again as a mind and waits for it; Ctrl-C is the mind's to answer, within
/// `grace`. A second one ends it at once.
///
/// # Errors
/// Where the process cannot be started, or had to be ended.
pub async fn run_mind(
    home: &Home,
    args: Vec<std::ffi::OsString>,
    stdin: Stdio,
    grace: Duration,
) -> Result<ExitCode, String> {
    let stop = stop_signal();
    let mut child = mind_command(home, args)?
        .stdin(stdin)
        .spawn()
        .map_err(|error| format!("cannot start the mind: {error}"))?;
    let lost = |error| format!("the mind is lost: {error}");
    tokio::select! {
        status = child.wait() => return status.map(exit_code).map_err(lost),
        () = stop => {}
    }
    tokio::time::sleep(ECHO).await;
    let again = stop_signal();
    // A terminal sends the signal to both; a supervisor only to us.
    let ends = async {
        if let Ok(status) = tokio::time::timeout(TOLD, child.wait()).await {
            return Some(status);
        }
        terminate(&child);
        tokio::time::timeout(grace.saturating_sub(TOLD), child.wait()).await.ok()
    };
    let ended = tokio::select! {
        ended = ends => ended,
        () = again => None,
    };
    if let Some(status) = ended {
        return status.map(exit_code).map_err(lost);
    }
    child.start_kill().map_err(|error| format!("cannot stop the mind: {error}"))?;
    child.wait().await.map_err(lost)?;
    Err("stopped at once, before the mind had ended by itself; what is signed stays so, and the steward \
         follows it when it next runs"
        .to_owned())
}

/// A mind's own code, or 1 where a signal ended it.
fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Asks a mind to end, which may have something to say yet.
fn terminate(mind: &tokio::process::Child) {
    let pid = mind.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        tracing::debug!(%error, "the mind cannot be asked to end");
    }
}

/// Fences this process, then runs `mind` in it, which speaks for `agents`. `models` are GGUF files
/// it may read beside the built-in one.
pub fn as_mind<F, Fut, E>(home: &Home, agents: &[String], models: Vec<PathBuf>, mind: F) -> ExitCode
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    marque_agent_core::notice::tell(|line| anstream::eprintln!("{line}"));
    match fenced(home, agents, models, mind) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let error = error.into();
            fail(&error.to_string());
            ExitCode::from(code(error.as_ref()))
        }
        Err(error) => fail(&error),
    }
}

/// The exit code for an error of a mind, whatever it was wrapped in.
fn code(error: &(dyn Error + 'static)) -> u8 {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<AgentError>() {
            Some(
                AgentError::Held { .. }
                | AgentError::Asked { .. }
                | AgentError::Model(ModelError::Held(_)),
            ) => return 4,
            Some(AgentError::Model(ModelError::NotPermitted(_))) => return 3,
            _ => next = error.source(),
        }
    }
    1
}

/// Like [`as_mind`], with the error as it is.
///
/// # Errors
/// Where the fence cannot be built or the runtime not be started.
pub fn fenced<F, Fut, T>(
    home: &Home,
    agents: &[String],
    mut read: Vec<PathBuf>,
    mind: F,
) -> Result<T, String>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    let mut write = Vec::new();
    for name in agents {
        let folder = home.mind(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        read.push(home.agent(name).join("agent.toml"));
        read.extend(marque_agent_core::key_file(&home.agent(name)).ok().flatten());
        write.push(folder);
        if let Some(files) = granted(home, name) {
            let list = if files.is_writable() { &mut write } else { &mut read };
            list.push(files.folder().to_owned());
        }
    }
    read.extend(models(home));
    read.retain(|path| path.exists());
    // Only where a fence will deny Unix sockets is there need of a door.
    if cfg!(target_os = "linux") {
        hire(home, agents).map_err(|error| format!("cannot start the doorman: {error}"))?;
    }
    let walls = fence(&fence::Fence { read, write, doorman: false });
    if walls.missing.is_empty() {
        tracing::debug!(%walls, "the mind is fenced");
    } else {
        tracing::warn!(%walls, "the mind is not fenced whole");
    }
    Ok(to_its_end(runtime()?, crate::telemetry::during(mind())))
}

/// Runs a mind, and leaves what a thread of it is still at: whoever made it begin that, a page for
/// instance, would have the process for as long as it takes.
fn to_its_end<T>(runtime: tokio::runtime::Runtime, mind: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(mind);
    runtime.shutdown_timeout(LEFT);
    ended
}

/// Starts the doorman that connects this process to the sockets of `agents`.
fn hire(home: &Home, agents: &[String]) -> std::io::Result<()> {
    let mut doorman = std::process::Command::new(std::env::current_exe()?);
    doorman.env_clear().env(ROLE, DOORMAN);
    // Those of the accounts below them as well, as far as they are there: a policy that names another
    // comes with the next start.
    let below = agents.iter().flat_map(|name| home.sub_sockets(name));
    let sockets = agents.iter().map(|name| home.socket(name)).chain(below).collect();
    Door::hire(&mut doorman, sockets)?.install()
}

/// Whether a steward answers for any agent of this home.
#[must_use]
pub fn answers(home: &Home) -> bool {
    let socket = |name: &String| std::os::unix::net::UnixStream::connect(home.socket(name)).is_ok();
    home.agents().iter().any(socket)
}

/// Whether a steward that holds the home's lock comes to answer within two seconds.
async fn answers_soon(home: &Home) -> bool {
    for _ in 0..40 {
        if answers(home) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    false
}

/// What told a process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// A supervisor's SIGTERM.
    Terminate,
}

impl Stop {
    /// What a shell says of a process that died of the signal.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Ctrl-C or a supervisor's SIGTERM, where it is the same which. As [`told_to_stop`].
pub fn stop_signal() -> impl Future<Output = ()> {
    let stop = told_to_stop();
    async move {
        stop.await;
    }
}

/// Ctrl-C or a supervisor's SIGTERM. Listened for from this call on, not only once it is awaited:
/// whoever is told that a process is ready may stop it at that very moment.
pub fn told_to_stop() -> impl Future<Output = Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    async move {
        // One that cannot be listened for keeps its own effect, which ends the process.
        let [mut terminate, mut interrupt] = heard.map(Result::ok);
        tokio::select! {
            Some(_) = async { terminate.as_mut()?.recv().await } => Stop::Terminate,
            Some(_) = async { interrupt.as_mut()?.recv().await } => Stop::Interrupt,
            else => std::future::pending().await,
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}

fn fail(error: &str) -> ExitCode {
    anstream::eprintln!("error: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_thread_that_is_still_at_work_does_not_hold_the_end_of_a_mind() {
        let begun = Instant::now();
        let (started, starts) = tokio::sync::oneshot::channel();
        let answer = to_its_end(runtime().unwrap(), async {
            let work = tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(40));
            });
            starts.await.unwrap();
            drop(work);
            7
        });
        assert_eq!(answer, 7);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
