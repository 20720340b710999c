//! `agent.toml`: which model an agent thinks with, and how long it may.

use crate::{AgentError, TaskLimits};
use marque_models::{LlamaOptions, Profile};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// The word for the model that ships inside the library.
const BUILT_IN: &str = "built-in";

/// An agent's settings, read.
#[derive(Debug)]
pub(crate) struct Config {
    /// The model's file; `None` is the built-in one.
    pub(crate) model: Option<PathBuf>,
    /// How to run it.
    pub(crate) llama: LlamaOptions,
    /// When a task gives up.
    pub(crate) limits: TaskLimits,
    /// How long a run waits for the owner.
    pub(crate) patience: Duration,
    /// What the model calls a place, and where it is.
    pub(crate) names: Names,
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
    #[serde(default)]
    names: BTreeMap<String, Url>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    threads: Option<u32>,
    context: Option<u32>,
    profile: Option<ProfileName>,
    steps: Option<u32>,
    wait: Option<u64>,
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
        Self::parse(&text, folder).map_err(wrong)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| one_line(&error, text))?;
        let model = match file.model.as_str() {
            "" => {
                return Err("model is empty; write \"built-in\" or the path of a GGUF file".into());
            }
            BUILT_IN => None,
            path => Some(folder.join(path)),
        };
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
        let mut limits = TaskLimits::default();
        if let Some(steps) = options.steps {
            if !(1..=256).contains(&steps) {
                return Err(format!("options.steps is {steps}; it must be 1 to 256"));
            }
            limits.steps = steps;
        }
        let patience = Duration::from_secs(options.wait.unwrap_or(DEFAULT_PATIENCE));
        Ok(Self { model, llama, limits, patience, names: file.names })
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

/// Seconds that a run waits for the owner, unless told otherwise.
pub(crate) const DEFAULT_PATIENCE: u64 = 60;

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
        let text = "model = \"qwen.gguf\"\n[options]\nthreads = 2\nsteps = 4\nwait = 0\n";
        let config = Config::parse(text, Path::new("/agents/scout")).unwrap();
        assert_eq!(config.model.as_deref(), Some(Path::new("/agents/scout/qwen.gguf")));
        assert_eq!(config.llama.threads, Some(2));
        assert_eq!(config.limits.steps, 4);
        assert_eq!(config.patience, Duration::ZERO);
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
            ("model = \"x", "line 1"),
        ] {
            let error = Config::parse(text, Path::new("")).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
