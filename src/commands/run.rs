//! `marque run NAME GOAL`: steward and fenced mind for one goal, with the built-in tools.

use super::Shared;
use crate::failure::{Done, Failure};
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitCode, Stdio},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent.
    agent: String,
    /// What to do, in words.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    goal: String,
    /// The task's name: the same name resumes the same task.
    #[arg(long)]
    task: Option<String>,
    /// A GGUF file instead of the agent's model.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    if !home.agents().contains(&args.agent) {
        return Err(super::policy::unknown(&home, &args.agent));
    }
    let mut mind: Vec<OsString> = vec!["mind".into(), "run".into()];
    let mut option = |name: &str, value: OsString| mind.extend([OsString::from(name), value]);
    option("--agent", args.agent.clone().into());
    option("--goal", args.goal.clone().into());
    if let Some(task) = &args.task {
        option("--task", task.into());
    }
    if let Some(model) = &args.model {
        let model = std::path::absolute(model)
            .map_err(|error| Failure::usage(format!("{}: {error}", model.display())))?;
        // A file that is no model should not cost a start.
        marque::process::vet_model(&model).map_err(Failure::usage)?;
        option("--model", model.into());
    }
    if shared.json {
        mind.push("--events".into());
    }
    let grace = marque::process::AT_ONCE;
    Ok(marque::process::launch(&home, mind, args.model.as_slice(), Stdio::null(), grace, |_| {
        shared.unlock(false).map_err(|failure| failure.to_string())
    }))
}
