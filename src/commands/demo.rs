//! `marque demo`: a paid job, a robbery that fails, and the proof of both.
//!
//! Three owners, each with a steward of their own: `feed` sells a file, `muscle` sells inference,
//! `scout` buys both for its owner. Every part is a real process; the story says only what the
//! chain and the journals confirm, and the exit code is 0 only if they confirm all of it.

pub(crate) mod policies;
mod proof;
mod world;

use super::{
    Shared, funds,
    mind::{Attempt, MindEvent, tell},
};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{chapter, detail, good, say, stopped},
};
use owo_colors::OwoColorize as _;
use std::{path::PathBuf, process::ExitCode, time::Instant};
use world::World;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A goal of your own, in words; may be given several times. The file that feed sells is
    /// https://feed.example/wind.csv.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    goal: Vec<String>,
    /// A GGUF file for scout's mind instead of the built-in model.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Keep homes, journals and keys in this folder, to look at them afterwards.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What scout is asked when nobody asks anything else.
const GOALS: [&str; 2] = [
    "Fetch https://feed.example/wind.csv and report the value.",
    "Hire compute to index wind for at most 2.",
];

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    if shared.json {
        return Err(Failure::usage("the demo is a story for people")
            .help("scripts read the journals: marque demo --keep DIR, then marque audit --json"));
    }
    let (dir, _temporary) = match &args.keep {
        Some(dir) => {
            if dir.exists() && dir.read_dir().doing(dir.display())?.next().is_some() {
                return Err(Failure::usage(format!("{} is not empty", dir.display()))
                    .help("choose a new folder for --keep"));
            }
            (std::path::absolute(dir).doing(dir.display())?, None)
        }
        None => {
            let temporary = tempfile::tempdir().doing("a folder for the demo")?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    if let Some(model) = &args.model {
        // Read it now: a file that is no model should not cost a minute.
        marque::process::vet_model(model)?;
    }
    tokio::select! {
        result = story(&args, &dir) => result,
        stop = marque::process::told_to_stop() => {
            say!("\nstopped: every process of the demo ends with it");
            Ok(ExitCode::from(stop.exit_code()))
        }
    }
}

async fn story(args: &Args, dir: &std::path::Path) -> Done<ExitCode> {
    let start = Instant::now();
    say!("{}", "Marque: the mind proposes, the steward disposes".bold());
    chapter("1  Three owners, three agents, one chain");
    let world = World::build(dir).await?;
    world.introduce();

    chapter("2  The job");
    let goals: Vec<String> = if args.goal.is_empty() {
        GOALS.iter().map(ToString::to_string).collect()
    } else {
        args.goal.clone()
    };
    let mut proof = proof::Proof::begin(&world).await?;
    let mut answers = Vec::new();
    for (number, goal) in goals.iter().enumerate() {
        let task = format!("goal-{}", number + 1);
        say!("  {} {goal}", "asked".cyan());
        let events = world.ask(&task, goal, args.model.as_deref()).await?;
        for event in &events {
            tell(event, false)?;
            if let MindEvent::Paid { .. } = event {
                proof.expect(event.clone());
            }
            if let MindEvent::Result { text } = event
                && let Some(wrote) = world.delivered(text)
            {
                detail(&format!("muscle's model wrote: {wrote}"));
            }
            if let MindEvent::Answer { value, after_error: None } = event {
                answers.push(value.clone());
            }
        }
    }

    chapter("3  The robbery");
    detail("a hijacked mind, with everything that scout's mind has: its connection to the steward");
    let attempts = world.rob().await?;
    for attempt in &attempts {
        retell(attempt);
    }
    proof.robbery(&world, &attempts).await?;

    chapter("4  The proof");
    let view = world.scout.running.client.view().await?;
    funds::budgets(&view);
    let wanted = args.goal.is_empty();
    let checks = proof.finish(&world, &attempts, answers.len() == goals.len(), wanted).await?;
    let journals = world.stop().await?;
    let mut all = true;
    for check in checks.into_iter().chain(proof::journals(&journals)) {
        all &= check.holds;
        if check.holds { good(&check.text) } else { stopped(&format!("NOT SO: {}", check.text)) }
    }

    chapter("5  The answer");
    for answer in &answers {
        say!("  {}", answer.bold());
    }
    say!("\n  {:.0} s, all told.", start.elapsed().as_secs_f64());
    if let Some(kept) = &args.keep {
        say!("  kept in {}: try marque --home {}/scout audit show", kept.display(), kept.display());
    } else {
        say!("  next: marque devnet, or the first page of the README");
    }
    if all { Ok(ExitCode::SUCCESS) } else { Err(Failure::new("the demo did not hold up")) }
}

/// One attempt of the robber as a line of the story.
fn retell(attempt: &Attempt) {
    let what = match attempt.name.as_str() {
        "stranger" => "pay a stranger's address in the name of feed",
        "too_much" => "pay feed fifty times the limit",
        "unlisted_transfer" => "transfer money to somebody whom no policy lists",
        "raw_hash" => "have a raw hash signed",
        "other_body" => "reuse a paid intent's id for another amount",
        "same_again" => "have the same intent paid twice",
        "split" => "split a large sum into payments of 0.04",
        other => other,
    };
    let by = match attempt.name.as_str() {
        "raw_hash" => "there is no such message".to_owned(),
        "other_body" => "the id names another body".to_owned(),
        "same_again" => "one id, one signature".to_owned(),
        _ => format!("stopped by {}", attempt.by.join(", ")),
    };
    if attempt.held_up {
        stopped(&format!("{what}: {by}"));
    } else {
        say!("  {} {what}: WENT THROUGH", "!".red());
    }
    if let Some(why) = attempt.why.first() {
        detail(why);
    }
}
