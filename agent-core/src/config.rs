//! `agent.toml`: which model an agent thinks with, how long it may, and which folder it may use.

use crate::{AgentError, Files, RemoteOptions, TaskLimits};
use marque_models::{LlamaOptions, Profile};
use marque_policies::money::parse_units;
use secrecy::SecretString;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// The most digits after the point that an asset may have.
const MOST_DIGITS: u8 = 30;

/// The word for the model that ships inside the library.
const BUILT_IN: &str = "built-in";

/// An agent's settings, read.
#[derive(Debug)]
pub(crate) struct Config {
    /// The model's file; `None` is the built-in one, unless there is a remote one.
    pub(crate) model: Option<PathBuf>,
    /// The model elsewhere.
    pub(crate) remote: Option<RemoteModel>,
    /// How to run it.
    pub(crate) llama: LlamaOptions,
    /// When a task gives up.
    pub(crate) limits: TaskLimits,
    /// How long a run waits for the owner.
    pub(crate) patience: Duration,
    /// What the model calls a place, and where it is.
    pub(crate) names: Names,
    /// The folder whose files it may read, and perhaps write.
    pub(crate) files: Option<Files>,
    /// So many tasks that are over are kept.
    pub(crate) keep: usize,
}

/// A model elsewhere, before its key is read.
#[derive(Debug)]
pub(crate) struct RemoteModel {
    pub(crate) options: RemoteOptions,
    /// The file that holds the key, if there is one.
    pub(crate) key_file: Option<PathBuf>,
}

/// A hosts file for a mind: `https://feed.example` may stand for `http://127.0.0.1:4021`. It changes
/// where a request goes, and so what is proposed; the policy judges the place, never the name.
pub(crate) type Names = BTreeMap<String, Url>;

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: String,
    #[serde(default)]
    options: Options,
    remote: Option<RemoteFile>,
    #[serde(default)]
    names: BTreeMap<String, Url>,
    files: Option<Granted>,
}

/// A folder that the owner grants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Granted {
    folder: PathBuf,
    #[serde(default)]
    write: bool,
}

/// How a model elsewhere is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteFile {
    name: String,
    key_file: Option<PathBuf>,
    max_price: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    threads: Option<u32>,
    context: Option<u32>,
    profile: Option<ProfileName>,
    steps: Option<u32>,
    tokens: Option<u64>,
    time: Option<u64>,
    timeout: Option<u64>,
    spend: Option<Vec<String>>,
    wait: Option<u64>,
    keep: Option<u32>,
}

impl Options {
    /// When a task gives up, as far as it is said.
    fn limits(&self) -> Result<TaskLimits, String> {
        let mut limits = TaskLimits::default();
        if let Some(steps) = self.steps {
            if !(1..=256).contains(&steps) {
                return Err(format!("options.steps is {steps}; it must be 1 to 256"));
            }
            limits.steps = steps;
        }
        let some = |name: &str, number: Option<u64>| match number {
            Some(0) => Err(format!("options.{name} is 0; leave it out for no limit of its own")),
            other => Ok(other),
        };
        limits.tokens = some("tokens", self.tokens)?;
        limits.time = some("time", self.time)?.map(Duration::from_secs);
        if let Some(seconds) = some("timeout", self.timeout)? {
            limits.timeout = Duration::from_secs(seconds);
        }
        for amount in self.spend.iter().flatten() {
            let parts = amount.split_once(' ').filter(|(number, asset)| {
                // The digits that an asset has are the policy's to know.
                parse_units(number, MOST_DIGITS).is_ok() && !asset.trim().is_empty()
            });
            if parts.is_none() {
                return Err(format!(
                    "options.spend has \"{amount}\"; write an amount and an asset: \"0.50 USDC\""
                ));
            }
            limits = limits.spend(amount);
        }
        Ok(limits)
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProfileName {
    Fast,
    Exact,
}

impl Config {
    /// Reads `agent.toml` in an agent's folder. A relative path of a model starts there.
    ///
    /// # Errors
    /// [`AgentError::Config`], one line with the place.
    pub(crate) fn read(folder: &Path) -> Result<Self, AgentError> {
        let path = folder.join("agent.toml");
        let wrong = |why: String| AgentError::Config { path: path.clone(), why };
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let config = Self::parse(&text, folder).map_err(wrong)?;
        if let Some(files) = &config.files {
            let key = config.remote.as_ref().and_then(|remote| remote.key_file.as_deref());
            vet(files.folder(), folder, key).map_err(wrong)?;
        }
        Ok(config)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| one_line(&error, text))?;
        let model = match file.model.as_str() {
            "" => {
                return Err(
                    "model is empty; write \"built-in\", the path of a GGUF file or a URL".into()
                );
            }
            BUILT_IN => None,
            url if url.contains("://") => None,
            path => Some(folder.join(path)),
        };
        let remote = remote(&file, folder)?;
        let options = file.options;
        let mut llama = LlamaOptions {
            threads: options.threads,
            context: options.context,
            ..LlamaOptions::default()
        };
        match options.profile {
            Some(ProfileName::Fast) => llama.profile = Profile::Fast,
            Some(ProfileName::Exact) => llama.profile = Profile::Exact,
            None => {}
        }
        let limits = options.limits()?;
        let patience = Duration::from_secs(options.wait.unwrap_or(DEFAULT_PATIENCE));
        let files =
            file.files.map(|granted| Files::new(folder.join(granted.folder), granted.write));
        let keep = match options.keep {
            None => DEFAULT_KEEP,
            Some(keep) if (1..=MOST_KEPT).contains(&keep) => keep as usize,
            Some(keep) => {
                return Err(format!("options.keep is {keep}; it must be 1 to {MOST_KEPT}"));
            }
        };
        Ok(Self { model, remote, llama, limits, patience, names: file.names, files, keep })
    }
}

/// The file of the key that the agent in `folder` shows to a model elsewhere, if there is one. For
/// whoever has to let a fenced mind read it.
///
/// # Errors
/// [`AgentError::Config`], one line with the place.
pub fn key_file(folder: &Path) -> Result<Option<PathBuf>, AgentError> {
    Ok(Config::read(folder)?.remote.and_then(|remote| remote.key_file))
}

fn remote(file: &File, folder: &Path) -> Result<Option<RemoteModel>, String> {
    let is_url = file.model.contains("://");
    let table = match (&file.remote, is_url) {
        (Some(table), true) => table,
        (None, true) => {
            return Err("model is a URL; say its name there: [remote], name = \"...\"".to_owned());
        }
        (Some(_), false) => {
            return Err(
                "[remote] is there, and model is no URL like \"https://models.example/v1\""
                    .to_owned(),
            );
        }
        (None, false) => return Ok(None),
    };
    let endpoint = Url::parse(&file.model).map_err(|error| format!("model: {error}"))?;
    if file.options.threads.is_some() || file.options.profile.is_some() {
        return Err(
            "options.threads and options.profile are for a model in this process".to_owned()
        );
    }
    let context = file.options.context.unwrap_or(REMOTE_CONTEXT);
    let patience = Duration::from_secs(file.options.wait.unwrap_or(DEFAULT_PATIENCE));
    let options = RemoteOptions {
        endpoint,
        name: table.name.clone(),
        key: None,
        context,
        max_price: table.max_price.clone(),
        patience,
    };
    let key_file = table.key_file.as_ref().map(|file| folder.join(file));
    Ok(Some(RemoteModel { options, key_file }))
}

impl RemoteModel {
    /// The options with their key.
    ///
    /// # Errors
    /// One line: no file, several lines in it, or one that others may read.
    pub(crate) fn with_key(self) -> Result<RemoteOptions, String> {
        let Self { mut options, key_file } = self;
        let Some(path) = key_file else { return Ok(options) };
        let wrong = |why: String| format!("remote.key_file {}: {why}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.permissions();
            if mode.mode() & 0o077 != 0 {
                return Err(wrong("others may read it; `chmod 600` it".to_owned()));
            }
        }
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has to hold the key alone, on one line".to_owned()));
        }
        options.key = Some(SecretString::from(key.to_owned()));
        Ok(options)
    }
}

/// The file of the model that the agent in `folder` thinks with; `None` is the built-in one. For
/// whoever has to let a fenced mind read it.
///
/// # Errors
/// [`AgentError::Config`], one line with the place.
pub fn model_file(folder: &Path) -> Result<Option<PathBuf>, AgentError> {
    Ok(Config::read(folder)?.model)
}

/// The folder that is granted to the agent in `folder`. For whoever has to let a fenced mind use it.
///
/// # Errors
/// [`AgentError::Config`], one line with the place.
pub fn granted_files(folder: &Path) -> Result<Option<Files>, AgentError> {
    Ok(Config::read(folder)?.files)
}

/// Whether a folder can be granted to the agent in `agent`. Never one that holds the home, whose keys
/// and journal are there, nor any of the home's but one inside of the agent's own folder; not the mind's
/// own, where it keeps the labels of what it read, wherever a link leads to it; and none that holds the
/// key to a model elsewhere.
fn vet(granted: &Path, agent: &Path, key_file: Option<&Path>) -> Result<(), String> {
    let place = granted.display();
    let real = |path: &Path| path.canonicalize().map_err(|error| (path.to_owned(), error));
    let (inside, folder, home) = real(granted)
        .and_then(|inside| {
            let folder = real(agent)?;
            let home = folder.ancestors().nth(2).unwrap_or(&folder).to_owned();
            Ok((inside, folder, home))
        })
        .map_err(|(path, error)| {
            format!("files.folder: {}: {error}; make it first", path.display())
        })?;
    if !inside.is_dir() {
        return Err(format!("files.folder: {place} is no folder"));
    }
    let own = inside.starts_with(&folder) && inside != folder;
    if home.starts_with(&inside) || (inside.starts_with(&home) && !own) {
        return Err(format!(
            "files.folder: {place} would let the mind at the steward's home; name another"
        ));
    }
    let mind = folder.join("mind");
    let mind = mind.canonicalize().unwrap_or(mind);
    if inside.starts_with(&mind) || mind.starts_with(&inside) {
        return Err(format!("files.folder: {place} is the mind's own, or holds it; name another"));
    }
    let key = key_file.and_then(|key| key.canonicalize().ok());
    if key.is_some_and(|key| key.starts_with(&inside)) {
        return Err(format!(
            "files.folder: {place} holds remote.key_file, which would be read; name another"
        ));
    }
    Ok(())
}

/// Tokens that prompt and reply of a model elsewhere may have together, unless told otherwise.
const REMOTE_CONTEXT: u32 = 8_192;

/// Seconds that a run waits for the owner, unless told otherwise.
pub(crate) const DEFAULT_PATIENCE: u64 = 60;

/// Tasks that are over and kept, unless told otherwise, and at most. Opening a memory reads all of it.
pub(crate) const DEFAULT_KEEP: usize = 1_000;
const MOST_KEPT: u32 = 100_000;

/// A TOML error without the picture of the source.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().trim().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_file_names_the_built_in_model() {
        let config = Config::parse("model = \"built-in\"\n", Path::new("/agents/scout")).unwrap();
        assert_eq!(config.model, None);
        assert_eq!(config.limits, TaskLimits::default());
        assert_eq!(config.patience, Duration::from_secs(60));
    }

    #[test]
    fn a_relative_model_lies_in_the_agents_folder() {
        let text = "model = \"qwen.gguf\"\n[options]\nthreads = 2\nsteps = 4\nwait = 0\nkeep = 7\n";
        let config = Config::parse(text, Path::new("/agents/scout")).unwrap();
        assert_eq!(config.keep, 7);
        assert_eq!(config.model.as_deref(), Some(Path::new("/agents/scout/qwen.gguf")));
        assert_eq!(config.llama.threads, Some(2));
        assert_eq!(config.limits.steps, 4);
        assert_eq!(config.patience, Duration::ZERO);
    }

    #[test]
    fn a_granted_folder_never_holds_the_home_or_lies_in_a_strange_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let agent = home.join("agents/scout");
        for folder in ["keys", "agents/other", "agents/scout/files", "agents/scout/mind/kept"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::os::unix::fs::symlink(home.join("keys"), dir.path().join("outside/link")).unwrap();
        let read = |folder: &str| {
            let text = format!("model = \"built-in\"\n[files]\nfolder = {folder:?}\n");
            std::fs::write(agent.join("agent.toml"), text).unwrap();
            granted_files(&agent).map_err(|error| error.to_string())
        };
        for good in ["files", "../../../outside"] {
            let files = read(good).unwrap().unwrap();
            assert!(!files.is_writable());
        }
        for (bad, why) in [
            (".", "steward's home"),
            ("..", "steward's home"),
            ("../..", "steward's home"),
            ("../../..", "steward's home"),
            ("/", "steward's home"),
            ("../other", "steward's home"),
            ("../../keys", "steward's home"),
            ("../../../outside/link", "steward's home"),
            ("mind", "the mind's own"),
            ("mind/kept", "the mind's own"),
            ("agent.toml", "no folder"),
            ("missing", "make it first"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_granted_folder_holds_neither_a_mind_elsewhere_nor_the_key_to_its_model() {
        let dir = tempfile::tempdir().unwrap();
        let agent = dir.path().join("home/agents/scout");
        let volume = dir.path().join("volumes/scout");
        for folder in [&agent, &volume.join("kept"), &dir.path().join("work")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(&volume, agent.join("mind")).unwrap();
        let key = dir.path().join("work/keys/model.key");
        std::fs::create_dir(dir.path().join("work/keys")).unwrap();
        std::fs::write(&key, "sk-secret").unwrap();
        std::os::unix::fs::symlink(&key, agent.join("link.key")).unwrap();
        let read = |folder: &str, key: &str| {
            let text = format!(
                "model = \"https://m.example/v1\"\n[remote]\nname = \"big\"\nkey_file = {key:?}\n\
                 [files]\nfolder = {folder:?}\n"
            );
            std::fs::write(agent.join("agent.toml"), text).unwrap();
            granted_files(&agent).map_err(|error| error.to_string())
        };
        for folder in ["volumes", "volumes/scout", "volumes/scout/kept"] {
            let error = read(&format!("../../../{folder}"), "none.key").unwrap_err();
            assert!(error.contains("the mind's own"), "{folder}: {error}");
        }
        for (folder, key) in [
            ("work", "link.key"),
            ("work/keys", "link.key"),
            ("work", "../../../work/keys/model.key"),
        ] {
            let error = read(&format!("../../../{folder}"), key).unwrap_err();
            assert!(error.contains("remote.key_file"), "{folder}: {error}");
        }
        read("../../../work", "none.key").unwrap();
    }

    #[test]
    fn every_limit_of_a_task_can_be_said() {
        let text = "model = \"built-in\"\n[options]\nsteps = 4\ntokens = 5000\ntime = 600\n\
                    timeout = 30\nspend = [\"0.50 USDC\", \"0.001 ETH\"]\n";
        let limits = Config::parse(text, Path::new("")).unwrap().limits;
        assert_eq!((limits.steps, limits.tokens), (4, Some(5_000)));
        assert_eq!(limits.time, Some(Duration::from_secs(600)));
        assert_eq!(limits.timeout, Duration::from_secs(30));
        let spend = [("ETH", "0.001"), ("USDC", "0.50")];
        assert_eq!(limits.spend, spend.map(|(a, n)| (a.to_owned(), n.to_owned())).into());
    }

    #[test]
    fn a_model_elsewhere_is_a_url_with_a_name_and_a_key_in_a_file() {
        let text = "model = \"https://m.example/v1\"\n[options]\ncontext = 32000\n[remote]\n\
                    name = \"big\"\nkey_file = \"model.key\"\nmax_price = \"0.02 USDC\"\n";
        let folder = tempfile::tempdir().unwrap();
        let read = || Config::parse(text, folder.path()).unwrap().remote.unwrap();
        let error = read().with_key().unwrap_err();
        assert!(error.contains("model.key") && error.contains("No such file"), "{error}");
        let file = folder.path().join("model.key");
        fs::write(&file, "sk-secret\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read().with_key().unwrap_err().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let options = read().with_key().unwrap();
        assert_eq!((options.name.as_str(), options.context), ("big", 32_000));
        assert!(options.key.is_some() && !format!("{options:?}").contains("sk-secret"));
        fs::write(&file, "two\nlines").unwrap();
        assert!(read().with_key().unwrap_err().contains("alone"));
    }

    #[test]
    fn a_broken_file_gives_one_line_with_the_place() {
        for (text, expected) in [
            ("model = 7", "line 1: invalid type"),
            ("\nmodle = \"built-in\"", "line 2: unknown field `modle`"),
            ("model = \"built-in\"\n[options]\nthread = 1", "line 3: unknown field `thread`"),
            ("", "missing field `model`"),
            ("model = \"\"", "model is empty"),
            ("model = \"x\"\n[options]\nsteps = 0", "options.steps is 0"),
            ("model = \"x\"\n[options]\ntokens = 0", "options.tokens is 0"),
            ("model = \"x\"\n[options]\nspend = [\"0.5\"]", "options.spend has \"0.5\""),
            ("model = \"x\"\n[options]\nspend = [\"much USDC\"]", "options.spend has"),
            ("model = \"x", "line 1"),
            ("model = \"https://m.example\"", "say its name there"),
            ("model = \"x.gguf\"\n[remote]\nname = \"x\"", "model is no URL"),
            ("model = \"https://\"\n[remote]\nname = \"x\"", "model: empty host"),
        ] {
            let error = Config::parse(text, Path::new("")).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
