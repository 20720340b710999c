//! `marque run NAME GOAL`: steward and fenced mind with the built-in tools, for one goal, for one
//! again and again, or for those that come.

mod submit;

use super::{
    Shared,
    mind::{Work, at_work, vet_name},
};
use crate::failure::{Done, Failure};
use marque::process::LaunchError;
use marque_policies::Label;
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent.
    agent: String,
    /// What to do, in words.
    #[arg(
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        required_unless_present = "serve"
    )]
    goal: Option<String>,
    /// The task's name: the same name resumes the same task. Up to 64 letters, digits, "-", "_" and ".",
    /// the first no dot.
    #[arg(long, value_parser = task)]
    task: Option<String>,
    /// Work on the goal again and again, from the beginning of one round to that of the next: 90s,
    /// 15m, 1h, 1d.
    #[arg(long, value_name = "PERIOD", value_parser = period, conflicts_with = "task")]
    every: Option<Duration>,
    /// Work on the goals of the queue, agents/NAME/mind/queue: each a file NAME.goal, written under
    /// another name and renamed; its answer lies beside it as NAME.answer.
    #[arg(long, conflicts_with_all = ["goal", "task", "every"])]
    serve: bool,
    /// Put the goal into the queue of the mind that serves it (marque run AGENT --serve, which has to
    /// run), and print its name there; --task gives it one. A label is the server's: --serve --label.
    #[arg(long, requires = "goal", conflicts_with_all = ["serve", "every", "model", "label"])]
    submit: bool,
    /// Wait for the answer of the goal that is put in, and print it.
    #[arg(long, requires = "submit")]
    wait: bool,
    /// Where the words of the goals come from, if not from you, for the policy's rules on labels:
    /// web:HOST, peer:NAME, memory or model.
    #[arg(long, value_name = "LABEL", value_parser = label)]
    label: Vec<Label>,
    /// A GGUF file instead of the agent's model.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// A time with its unit.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("\"{text}\" is no period; write a number and its unit: 90s, 15m, 1h, 1d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1_u64,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("\"{text}\": a period has 1 second to 365 days")),
    }
}

/// A name for a task, the same in the queue and beside it.
fn task(text: &str) -> Result<String, String> {
    vet_name(text).map(|()| text.to_owned())
}

/// A label that rules are about. Whose words are the owner's has none, and one that changes nothing would
/// only be thought to protect.
fn label(text: &str) -> Result<Label, String> {
    const WRITTEN: &str = "write where the words come from: web:HOST, peer:NAME, memory or model";
    match text.parse::<Label>() {
        Err(_) => Err(format!("\"{}\" is no label; {WRITTEN}", text.escape_debug())),
        Ok(Label::Owner | Label::Policy | Label::Chain) => {
            Err(format!("no rule is about \"{text}\", so it would change nothing; {WRITTEN}"))
        }
        Ok(label) => Ok(label),
    }
}

pub(crate) fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    if !home.has(&args.agent) {
        return Err(super::policy::unknown(&home, &args.agent));
    }
    if let Some(goal) = args.goal.as_ref().filter(|_| args.submit) {
        return submit::submit(shared, &home, args, goal);
    }
    // A mind that rests between goals leaves its memory to others, and is at work all the same.
    if let Ok(Some(_)) = Work::under_way_in(&home.mind(&args.agent)) {
        return Err(at_work(&home, &args.agent));
    }
    let job = if args.serve || args.every.is_some() { "keep" } else { "run" };
    let mut mind: Vec<OsString> = vec!["mind".into(), job.into()];
    let mut option = |name: &str, value: OsString| mind.extend([OsString::from(name), value]);
    option("--agent", args.agent.clone().into());
    if let Some(goal) = &args.goal {
        option("--goal", goal.into());
    }
    if let Some(task) = &args.task {
        option("--task", task.into());
    }
    if let Some(every) = args.every {
        option("--every", format!("{}s", every.as_secs()).into());
    }
    for label in &args.label {
        option("--label", label.to_string().into());
    }
    if let Some(model) = &args.model {
        let model = std::path::absolute(model)
            .map_err(|error| Failure::usage(format!("{}: {error}", model.display())))?;
        marque::process::vet_model(&model)?;
        option("--model", model.into());
    } else if let Ok(Some(model)) = marque_agent_core::model_file(&home.agent(&args.agent)) {
        // A file that is no model should not cost a start. What else is wrong with agent.toml is told
        // when the agent is opened.
        marque::process::vet_model(&model).map_err(|error| {
            Failure::from(error).help(format!(
                "agents/{}/agent.toml names it; run --model takes another",
                args.agent
            ))
        })?;
    }
    if shared.json {
        mind.extend(["--events".into(), "--json".into()]);
    }
    let grace = marque::process::AT_ONCE;
    marque::process::launch(&home, mind, args.model.as_slice(), Stdio::null(), grace, |_| {
        shared.unlock(false).map_err(LaunchError::from)
    })
    .map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_changes_nothing_is_none() {
        for text in ["web:form.example", "peer:scout", "memory", "model"] {
            assert_eq!(label(text).unwrap().to_string(), text);
        }
        for text in ["owner", "policy", "chain"] {
            assert!(label(text).unwrap_err().contains("would change nothing"), "{text}");
        }
        assert_eq!(
            label("a form").unwrap_err(),
            "\"a form\" is no label; write where the words come from: web:HOST, peer:NAME, memory or model"
        );
    }

    #[test]
    fn a_period_is_a_number_with_its_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("2d", 172_800)] {
            assert_eq!(period(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1", "1w", "-1s", "1.5h", "0s", "366d", "99999999999999999999s", "1ü"]
        {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
