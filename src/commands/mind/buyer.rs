//! A mind that works on a goal with the built-in tools, and says what it does: lines for people,
//! or JSON for a program that started it.

use super::{Goal, Work};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, escaped, good, harmless, plain_json, quoted, reasons, say, short, stopped},
};
use alloy_primitives::{B256, U256};
use marque::{home::Home, process::stop_signal};
use marque_agent_core::{Agent, AgentError, Event};
use marque_models::ModelError;
use marque_policies::{IntentId, Label, Labels, Mark, money::format_units};
use marque_steward_client::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// What the built-in model was trained to end with.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Answer {
    pub(super) answer: String,
}

/// What a mind tells the program that started it, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum MindEvent {
    /// The model chose a call.
    Call { tool: String, args: String },
    /// A payment was made.
    Paid {
        id: IntentId,
        payee: String,
        #[serde(with = "marque_policies::money::decimal")]
        units: U256,
        asset: String,
        decimals: u8,
        transaction: Option<B256>,
    },
    /// The policy refused something.
    Refused { by: Vec<String> },
    /// The owner is asked.
    Held { id: IntentId },
    /// The owner is asked something, in the agent's words.
    Asked { id: String, agents_words: String },
    /// A tool's result, as the model is shown it.
    Result { text: String },
    /// The typed answer, and the error that the last call before it brought.
    Answer {
        value: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_error: Option<String>,
    },
    /// The task ended without one.
    Failed { why: String },
}

/// Opens an agent with the built-in tools.
pub(super) async fn open(
    home: &Home,
    name: &str,
    model: Option<&std::path::Path>,
    labels: &[Label],
) -> Done<Agent> {
    let agent = Agent::open_with_model(name, model).await;
    let agent = agent.map_err(|error| match error {
        // It was started beside its steward, so that it is the policy that is wanting.
        AgentError::Unserved(name) => Failure::new(format!("no policy of {name} is in force yet"))
            .help(format!("read the draft, then adopt it: marque policy adopt {name}")),
        AgentError::AtWork(name) => at_work(home, &name),
        error => Failure::new(error),
    })?;
    Ok(marque_tools::all(agent).labelled(&Labels(labels.iter().cloned().collect())))
}

/// One process works for an agent. What can be done beside it depends on what that one does.
pub(crate) fn at_work(home: &Home, name: &str) -> Failure {
    let failure = Failure::new(format!("{name} is at work already, in another process"));
    let other = "make another agent: marque new NAME";
    failure.help(match Work::under_way_in(&home.mind(name)) {
        Ok(Some(Work { goal: None, .. })) => format!(
            "it serves its queue; put the goal there: marque run {name} GOAL --submit; or {other}"
        ),
        Ok(Some(_)) => format!(
            "it works on one goal again and again, until it is stopped (Ctrl-C, SIGTERM); stop it, or \
             {other}"
        ),
        Ok(None) | Err(_) => format!("wait until it is done, or stop it; or {other}"),
    })
}

pub(super) async fn work(home: Home, goal: Goal) -> Done<ExitCode> {
    let agent = open(&home, &goal.agent, goal.model.as_deref(), &goal.label).await?;
    let view = agent.view().await?;
    let telling = tokio::spawn(listen(agent.events(), view, goal.events));
    let events = agent.events();
    let work = async {
        match &goal.task {
            Some(task) => agent.run_as::<Answer>(task, &goal.goal).await,
            None => agent.run::<Answer>(&goal.goal).await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = stop_signal() => {
            let failure = interrupted(last(events));
            if goal.events {
                tell(&MindEvent::Failed { why: failure.message.clone() }, true)?;
            }
            return Err(failure);
        }
    };
    let spent = agent.spent().await;
    let after_error = match last(events) {
        Some(Event::Answer { task, .. }) => last_error(&agent, &task).await,
        _ => Ok(None),
    };
    drop(agent);
    telling.await.doing("the story")??;
    match result {
        Ok(Answer { answer: value }) => {
            let after_error = after_error?;
            tell(&MindEvent::Answer { value, after_error: after_error.clone() }, goal.events)?;
            if !goal.events {
                let spent = spent?;
                say!("  spent so far {spent}");
                spent.0.iter().for_each(|window| detail(&window.to_string()));
            }
            after_error.map_or(Ok(ExitCode::SUCCESS), |why| Err(unreliable(&why)))
        }
        Err(error) => {
            if goal.events {
                tell(&MindEvent::Failed { why: error.to_string() }, true)?;
            }
            Err(match error {
                AgentError::AtALoss(_) => at_a_loss(&goal),
                AgentError::Held { .. } | AgentError::Model(ModelError::Held(_)) => {
                    Failure::held(error).help("see marque approvals; then run the same goal again")
                }
                AgentError::Asked { .. } => {
                    Failure::held(error).help("see marque questions; then run the same goal again")
                }
                AgentError::Model(ModelError::NotPermitted(_)) => Failure::refused(error),
                error => Failure::new(error),
            })
        }
    }
}

/// What happened last.
fn last(mut events: Receiver<Event>) -> Option<Event> {
    let mut last = None;
    loop {
        match events.try_recv() {
            Ok(event) => last = Some(event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return last,
        }
    }
}

/// Ctrl-C, or a supervisor's wish. The task stays, and a decision may still be wanted.
fn interrupted(last: Option<Event>) -> Failure {
    match last {
        Some(Event::Held { task, id, .. }) => Failure::held(format!(
            "stopped; task \"{task}\" waits for the owner's decision on {id}"
        ))
        .help("see marque approvals; then run the same goal again"),
        Some(Event::Asked { task, id, .. }) => {
            Failure::held(format!("stopped; task \"{task}\" waits for an answer to question {id}"))
                .help("see marque questions; then run the same goal again")
        }
        _ => Failure::new("stopped before there was an answer")
            .help("the same goal goes on where it stopped"),
    }
}

/// The error that the last call of an answered task brought, if it did. The task's own record knows
/// it, also where the call was made by a run before this one.
pub(super) async fn last_error(agent: &Agent, task: &str) -> Result<Option<String>, AgentError> {
    let task = agent.task(task).await?;
    let step = task.as_ref().and_then(|task| task.steps().last());
    let Some(result) = step.and_then(|step| step.result.as_object()) else { return Ok(None) };
    // Goods may have a column of that name; an error stands alone.
    if result.keys().any(|key| !matches!(key.as_str(), "error" | "shortened")) {
        return Ok(None);
    }
    Ok(result.get("error").and_then(|why| why.as_str()).map(str::to_owned))
}

/// An answer after an error: what a model says then is made up.
pub(super) fn unreliable(why: &str) -> Failure {
    let line = format!("the answer follows an error and is not to be relied on: {}", harmless(why));
    // As agent-core's `ToolError` tells the model.
    if why.starts_with("refused by policy: ") || why == "denied by the owner" {
        Failure::refused(line)
    } else {
        Failure::new(line)
    }
}

/// A model that found nothing to do has not answered. The built-in one copies `https://` and a host's
/// name, no port and no number (`models/built-in/README.md`).
fn at_a_loss(goal: &Goal) -> Failure {
    Failure::new("the model says that it has no tool for this").help(format!(
        "say it more plainly, or name a larger model in agents/{}/agent.toml, or with --model",
        goal.agent
    ))
}

/// Turns the agent's events into lines until the agent is gone.
async fn listen(mut events: Receiver<Event>, view: View, json: bool) -> Done {
    loop {
        match events.recv().await {
            Ok(event) => {
                if let Some(event) = translate(&event, &view) {
                    tell(&event, json)?;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

pub(super) fn translate(event: &Event, view: &View) -> Option<MindEvent> {
    Some(match event {
        Event::Call { call, .. } => MindEvent::Call {
            tool: call.tool.clone(),
            args: serde_json::Value::Object(call.args.clone()).to_string(),
        },
        Event::Paid { id, payee, amount, transaction, .. } => {
            let asset = view.assets.iter().find(|asset| asset.id == amount.asset);
            MindEvent::Paid {
                id: *id,
                payee: payee.clone(),
                units: amount.units,
                asset: asset.map_or_else(|| amount.asset.to_string(), |asset| asset.name.clone()),
                decimals: asset.map_or(0, |asset| asset.decimals),
                transaction: *transaction,
            }
        }
        Event::Refused { table, .. } => MindEvent::Refused {
            by: table
                .iter()
                .filter(|row| row.mark == Mark::Fail)
                .flat_map(|row| reasons(std::slice::from_ref(row)))
                .collect(),
        },
        Event::Held { id, .. } => MindEvent::Held { id: *id },
        Event::Asked { id, question, .. } => {
            MindEvent::Asked { id: id.clone(), agents_words: question.clone() }
        }
        Event::Result { result, .. } => MindEvent::Result { text: result.to_string() },
        _ => return None,
    })
}

/// A line of the story, for a program or for people.
pub(crate) fn tell(event: &MindEvent, json: bool) -> Done {
    if json {
        let line = serde_json::to_string(event).doing("an event")?;
        say!("{}", plain_json(&line));
        return Ok(());
    }
    for line in lines(event) {
        match line {
            Line::Plain(text) => say!("  {text}"),
            Line::Good(text) => good(&text),
            Line::Stopped(text) => stopped(&text),
            Line::Detail(text) => detail(&text),
        }
    }
    Ok(())
}

/// A line for people.
#[derive(Debug)]
enum Line {
    Plain(String),
    Good(String),
    Stopped(String),
    Detail(String),
}

/// What people are told. A page, a peer or a model elsewhere may have written any text of an event.
fn lines(event: &MindEvent) -> Vec<Line> {
    match event {
        MindEvent::Call { tool, args } => {
            vec![Line::Plain(format!("{} {}", harmless(tool), harmless(args)))]
        }
        MindEvent::Paid { id: _, payee, units, asset, decimals, transaction } => {
            let paid = format_units(*units, *decimals);
            let settled = match transaction {
                Some(hash) => format!("transaction {}", short(hash)),
                None => "not settled yet".to_owned(),
            };
            let (asset, payee) = (harmless(asset), harmless(payee));
            vec![Line::Good(format!("paid {paid} {asset} to {payee}, {settled}"))]
        }
        MindEvent::Refused { by } => {
            let by: Vec<String> = by.iter().map(|reason| harmless(reason)).collect();
            vec![Line::Stopped(format!("refused by {}", by.join("; ")))]
        }
        MindEvent::Held { id } => vec![
            Line::Stopped(format!("held for the owner: marque approve {id}")),
            Line::Detail(
                "waiting for the decision; Ctrl-C stops, and the same goal goes on here later"
                    .to_owned(),
            ),
        ],
        MindEvent::Asked { id, agents_words } => vec![
            Line::Stopped(format!("asks you, in its own words: {}", quoted(agents_words))),
            Line::Detail(format!(
                "marque answer {} \"...\" is read by the agent, and grants nothing",
                harmless(id)
            )),
        ],
        MindEvent::Result { text } => vec![Line::Detail(format!("result {}", harmless(text)))],
        MindEvent::Answer { value, after_error } => {
            let (first, whole): (fn(String) -> Line, _) = match after_error {
                None => (Line::Good, "answers"),
                Some(_) => (Line::Stopped, "answers after an error, which is not to be relied on"),
            };
            // It is what was asked for, so it is shown whole; its own lines are marked as such.
            match value.lines().nth(1) {
                None => vec![first(format!("{whole}: {}", escaped(value)))],
                Some(_) => {
                    let said =
                        value.lines().map(|line| Line::Plain(format!("  | {}", escaped(line))));
                    std::iter::once(first(format!("{whole}:"))).chain(said).collect()
                }
            }
        }
        MindEvent::Failed { why } => vec![Line::Stopped(harmless(why))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What clears the screen, sets a title, hides, turns around, or begins a line of its own.
    const HOSTILE: &str =
        "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n  \u{2713} paid 0.00 tUSD\u{9b}8m\u{202e}\u{2028}x";

    /// Every event, with these words wherever words may stand.
    fn all(words: &str) -> Vec<MindEvent> {
        let text = || words.to_owned();
        let all = vec![
            MindEvent::Call { tool: text(), args: text() },
            MindEvent::Paid {
                id: IntentId(B256::ZERO),
                payee: text(),
                units: U256::ONE,
                asset: text(),
                decimals: 6,
                transaction: Some(B256::ZERO),
            },
            MindEvent::Refused { by: vec![text(), text()] },
            MindEvent::Held { id: IntentId(B256::ZERO) },
            MindEvent::Asked { id: text(), agents_words: text() },
            MindEvent::Result { text: text() },
            MindEvent::Answer { value: text(), after_error: None },
            MindEvent::Answer { value: text(), after_error: Some(text()) },
            MindEvent::Failed { why: text() },
        ];
        for event in &all {
            // Whoever adds one is sent here, to put it above.
            match event {
                MindEvent::Call { .. }
                | MindEvent::Paid { .. }
                | MindEvent::Refused { .. }
                | MindEvent::Held { .. }
                | MindEvent::Asked { .. }
                | MindEvent::Result { .. }
                | MindEvent::Answer { .. }
                | MindEvent::Failed { .. } => {}
            }
        }
        all
    }

    #[test]
    fn no_event_rewrites_the_owners_screen() {
        for event in all(HOSTILE) {
            for line in lines(&event) {
                let (Line::Plain(text)
                | Line::Good(text)
                | Line::Stopped(text)
                | Line::Detail(text)) = line;
                let raw = text.chars().find(|c| c.is_control() || "\u{202e}\u{2028}".contains(*c));
                assert_eq!(raw, None, "{event:?}: {text:?}");
                // A line of the mind's is marked as its own, or stands behind what is ours.
                assert!(!text.trim_start().starts_with('\u{2713}'), "{text}");
            }
            let json = plain_json(&serde_json::to_string(&event).unwrap());
            let raw = json.chars().find(|c| c.is_control() || "\u{202e}\u{2028}".contains(*c));
            assert_eq!(raw, None, "{json:?}");
            assert_eq!(
                serde_json::from_str::<MindEvent>(&json).unwrap(),
                event,
                "it says the same"
            );
        }
    }

    #[test]
    fn an_answer_is_shown_whole() {
        let long = "x".repeat(2_000);
        let answer = |value: &str| MindEvent::Answer { value: value.to_owned(), after_error: None };
        let said = format!("{:?}", lines(&answer(&long)));
        assert!(said.contains(&long));
        let said = lines(&answer("calm\nwind"));
        assert!(
            matches!(&said[..], [Line::Good(_), Line::Plain(_), Line::Plain(last)] if last == "  | wind")
        );
    }
}
