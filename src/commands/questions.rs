//! `marque questions` and `marque answer`: what agents ask their owner in their own words.
//!
//! An agent's words are a stranger's: a page may have put them there. So they are quoted, harmless to a
//! terminal, and apart from what waits for a decision (`marque approvals`), which is shown from the
//! decoded intent alone. An answer is a text for the agent to read, and grants nothing.

use super::{Shared, approvals::now, policy::unknown};
use crate::{
    failure::{Done, Failure},
    story::{detail, harmless, say, span},
};
use marque::home::Home;
use marque_agent_core::questions::{self, Question, QuestionError};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only this agent's.
    agent: Option<String>,
    /// Those that are answered, too.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AnswerArgs {
    /// The question, or as many of its first digits as no other begins with.
    id: String,
    /// What the agent is to read.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    text: String,
}

/// `marque questions`.
pub(crate) fn list(shared: &Shared, args: &ListArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    if let Some(agent) = &args.agent
        && !home.has(agent)
    {
        return Err(unknown(&home, agent));
    }
    let mut asked = of_home(&home)?;
    asked.retain(|(agent, question)| {
        args.agent.as_ref().is_none_or(|only| only == agent)
            && (args.all || question.answer.is_none())
    });
    if shared.json {
        let rows = asked.iter().map(|(agent, it)| {
            serde_json::json!({
                "agent": agent, "id": it.id, "task": it.task, "at": it.at,
                "agents_words": it.question, "answer": it.answer,
            })
        });
        say!("{}", serde_json::Value::Array(rows.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for (agent, question) in &asked {
        let Question { id, task, at, question, answer, .. } = question;
        let ago = span(now().saturating_sub(*at));
        let id = harmless(id);
        say!("{id}  {agent} asks, {ago} ago, in task {}; the agent's words:", harmless(task));
        question.lines().for_each(|line| say!("  | {}", harmless(line)));
        if let Some(answer) = answer {
            detail(&format!("answered: {}", harmless(answer)));
        }
    }
    match asked.is_empty() {
        true => say!("no agent asks anything"),
        false => {
            say!("  next: marque answer ID \"...\"; an answer grants nothing, marque approve does")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `marque answer`.
pub(crate) fn answer(shared: &Shared, args: &AnswerArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let asked = of_home(&home)?;
    let mut fitting = asked.iter().filter(|(_, question)| question.id.starts_with(&args.id));
    let (Some((agent, question)), None) = (fitting.next(), fitting.next()) else {
        let failure = Failure::usage(format!("no single question begins with \"{}\"", args.id));
        return Err(failure.help("marque questions shows them"));
    };
    let answered = questions::answer(&home.mind(agent), &question.id, &args.text);
    let Question { id, task, .. } = answered.map_err(|error| match error {
        error @ QuestionError::Length(_) => Failure::usage(error),
        error => Failure::new(error),
    })?;
    if shared.json {
        say!("{}", serde_json::json!({ "agent": agent, "id": id, "task": task }));
    } else {
        say!(
            "{agent} reads that when it looks next; a run that has ended goes on with the same goal"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// All questions of a home's agents, the oldest first.
fn of_home(home: &Home) -> Done<Vec<(String, Question)>> {
    super::approvals::may_look(home)?;
    let mut asked = Vec::new();
    for agent in home.agents() {
        let mind = home.mind(&agent);
        if !mind.exists() {
            continue;
        }
        let of_it = questions::all(&mind).map_err(|error| {
            Failure::new(format!("questions of {agent}: {error}"))
                .help("run this as the user that the agent's mind runs as")
        })?;
        asked.extend(of_it.into_iter().map(|question| (agent.clone(), question)));
    }
    asked.sort_by_key(|(_, question)| question.at);
    Ok(asked)
}
