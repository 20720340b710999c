//! `marque run NAME GOAL --submit`: puts a goal into the queue of the mind that serves it, and with
//! `--wait` brings its answer.
//!
//! A goal that nobody would work on is refused. What lies in the queue is the mind's word: it is read
//! within bounds and shown harmless.

use super::Args;
use crate::{
    commands::{
        Shared,
        mind::{MindEvent, Queue, Work, tell},
    },
    failure::{Context as _, Done, Failure},
    story::{harmless, plain_json, say},
};
use marque::home::Home;
use serde::Deserialize;
use std::{
    io,
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What became of a goal, as the mind wrote it.
#[derive(Debug, Deserialize)]
struct Answered {
    v: u16,
    answer: Option<String>,
    error: Option<String>,
    #[serde(default)]
    again: bool,
}

pub(super) fn submit(shared: &Shared, home: &Home, args: &Args, goal: &str) -> Done<ExitCode> {
    let agent = &args.agent;
    let mind = home.mind(agent);
    served(&mind, agent)?;
    let queue = Queue::open(&mind).map_err(|error| closed(&mind, &error))?;
    let name = args.task.clone().unwrap_or_else(unused);
    // Whose waiting ended waits again by the same command, and buys nothing a second time.
    let again = args.wait && queue.has(&name, goal);
    if !again {
        queue.submit(&name, goal).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::AlreadyExists => Failure::usage(error),
            _ => closed(&mind, &error),
        })?;
    }
    let answer = queue.path().join(format!("{name}.answer"));
    if args.wait {
        let already = if again { " already" } else { "" };
        anstream::eprintln!(
            "{name} is in the queue{already}; Ctrl-C stops the waiting, not the goal"
        );
        return wait(shared, &queue, &mind, agent, &name);
    }
    if shared.json {
        let task = format!("queue-{name}");
        say!("{}", serde_json::json!({ "goal": name, "task": task, "answer": answer }));
    } else {
        say!("{name}");
        anstream::eprintln!("  next: its answer will be in {}", answer.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses what nobody would work on.
fn served(mind: &Path, agent: &str) -> Done {
    match Work::under_way_in(mind).map_err(|error| unreadable(&error))? {
        Some(Work { goal: None, .. }) => Ok(()),
        Some(_) => Err(Failure::new(format!(
            "{agent} works on one goal again and again, and not on its queue"
        ))
        .help(format!("stop it, then: marque run {agent} --serve"))),
        None => Err(Failure::new(format!("nobody serves the queue of {agent}"))
            .help(format!("start it first, and let it run: marque run {agent} --serve"))),
    }
}

/// Waits for what becomes of a goal, and tells what it waits for in turn.
fn wait(shared: &Shared, queue: &Queue, mind: &Path, agent: &str, name: &str) -> Done<ExitCode> {
    let mut told = None;
    loop {
        // In this order: what stopped after its answer has answered.
        let work = Work::under_way_in(mind).map_err(|error| unreadable(&error))?;
        let runs = work.is_some_and(|work| work.goal.is_none());
        let lies = queue.outcome(name, "goal").doing("the goal")?.is_some();
        if let Some(answer) = queue.outcome(name, "answer").doing("the answer")? {
            return show(shared, &answer);
        }
        if !lies {
            let line = format!("{name} is in the queue no more, and nor is its answer");
            return Err(Failure::new(line)
                .help("somebody took the goal back, or the answer: nothing is waited for"));
        }
        if !runs {
            return Err(Failure::new(format!("the mind of {agent} stopped before it answered"))
                .help(format!("{name} stays in the queue: marque run {agent} --serve goes on")));
        }
        let held = queue.outcome(name, "held").doing("why it waits")?;
        let next = if held.is_some() { "\n  next: marque approvals, marque questions" } else { "" };
        let why = match held {
            Some(why) => Some(why),
            None => queue.outcome(name, "later").doing("why it waits")?,
        };
        if let Some(why) = why.filter(|why| told.as_ref() != Some(why)) {
            anstream::eprintln!("{name} waits: {}{next}", harmless(&String::from_utf8_lossy(&why)));
            told = Some(why);
        }
        std::thread::sleep(LOOK);
    }
}

fn show(shared: &Shared, answer: &[u8]) -> Done<ExitCode> {
    let value: serde_json::Value = serde_json::from_slice(answer).doing("the answer")?;
    if shared.json {
        say!("{}", plain_json(&value.to_string()));
    }
    let Answered { v, answer, error, again } = serde_json::from_value(value).doing("the answer")?;
    if v != 1 {
        return Err(Failure::new(format!("the answer has version {v}, and this program knows 1")));
    }
    if again {
        anstream::eprintln!("the task of this name was over before; this is what came of it then");
    }
    match (answer, error) {
        (Some(value), None) => {
            if !shared.json {
                tell(&MindEvent::Answer { value, after_error: None }, false)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        (_, error) => Err(Failure::new(error.unwrap_or_else(|| "no answer".to_owned()))),
    }
}

/// A name that no goal has.
fn unused() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("goal-{:x}-{:x}", since.as_millis(), std::process::id())
}

fn closed(mind: &Path, error: &io::Error) -> Failure {
    let line = format!("{}: {error}", mind.join("queue").display());
    not_permitted(line, error, "run this as the mind's user, or let yours write to that folder")
}

/// Whether somebody serves the queue cannot be seen.
fn unreadable(error: &io::Error) -> Failure {
    let line = format!("whether somebody serves the queue cannot be seen: {error}");
    not_permitted(line, error, "run this as the mind's user, or let yours read that")
}

fn not_permitted(line: String, error: &io::Error, help: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(line).help(help),
        _ => Failure::new(line),
    }
}
