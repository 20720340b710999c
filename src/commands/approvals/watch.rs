//! `marque approvals --watch` and `--hook`: what comes to wait, and who decides it, as it happens.
//!
//! One task an agent keeps asking the steward for a queue that is another than the last one. A
//! steward that goes away is waited for.

use super::{
    hook::Hook,
    items, now, past,
    show::{Item, Names},
};
use crate::{
    commands::Shared,
    failure::Done,
    story::{harmless, say},
};
use marque::{home::Home, owner::connect, process::stop_signal};
use marque_policies::{IntentId, Timestamp};
use marque_steward_client::{Client, ClientError, DecisionView, PaymentState};
use owo_colors::OwoColorize as _;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How long one question to the steward waits for news.
const PATIENCE: Duration = Duration::from_secs(50);

/// The pause before a steward that is not there is looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs of the hook that may wait for their turn.
const TURNS: usize = 256;

/// What happens.
enum Event {
    /// An intent waits.
    Held(Box<Item>),
    /// The owner decided.
    Decided { agent: String, decision: DecisionView },
    /// An intent waits no more, and the owner has not decided it.
    Closed { agent: String, id: IntentId, how: &'static str },
    /// The steward does not answer for this agent.
    Gone { agent: String },
    /// It answers again.
    Back { agent: String },
}

pub(super) async fn watch(
    shared: &Shared,
    home: &Home,
    agent: Option<String>,
    hook: Option<Hook>,
) -> Done<ExitCode> {
    super::may_look(home)?;
    let (tell, mut events) = mpsc::channel(64);
    let (turn, turns) = mpsc::channel(TURNS);
    if let Some(hook) = hook {
        tokio::spawn(run_hook(hook, turns));
    }
    if !shared.json {
        anstream::eprintln!("watching {}; Ctrl-C ends it", home.path().display());
    }
    let mut watched = BTreeSet::new();
    let mut look_for_more = tokio::time::interval(Duration::from_secs(2));
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            _ = look_for_more.tick() => {
                let wanted = |name: &String| agent.as_ref().is_none_or(|agent| agent == name);
                for name in home.agents().into_iter().filter(wanted) {
                    if watched.insert(name.clone()) {
                        tokio::spawn(follow(home.owner_socket(&name), name, tell.clone()));
                    }
                }
            }
            Some(mut event) = events.recv() => {
                if let Event::Held(item) = &mut event
                    && let Err(failure) = past::tell(home, std::slice::from_mut(item), now())
                {
                    anstream::eprintln!("note: what was before is not told: {}", failure.message);
                }
                if shared.json {
                    say!("{}", as_json(&event));
                } else {
                    as_text(&event).iter().for_each(|line| say!("{line}"));
                }
                if let Event::Held(item) = event
                    && !turn.is_closed()
                    && turn.try_send(item).is_err()
                {
                    anstream::eprintln!("note: the hook is too slow and misses one");
                }
            }
        }
    }
}

/// One run after the other.
async fn run_hook(hook: Hook, mut turns: Receiver<Box<Item>>) {
    while let Some(item) = turns.recv().await {
        if let Err(why) = hook.run(&item).await {
            anstream::eprintln!("note: the hook {} {why}", hook.name());
        }
    }
}

/// What one agent's queue tells, for as long as somebody listens.
async fn follow(socket: PathBuf, agent: String, tell: Sender<Event>) {
    let mut seen = Seen::default();
    let mut gone = false;
    while !tell.is_closed() {
        if let Ok(client) = connect(&socket, Duration::ZERO).await {
            if std::mem::take(&mut gone)
                && tell.send(Event::Back { agent: agent.clone() }).await.is_err()
            {
                return;
            }
            match seen.follow(&client, &agent, &tell).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(agent, %error, "lost the steward"),
            }
        }
        if !std::mem::replace(&mut gone, true)
            && tell.send(Event::Gone { agent: agent.clone() }).await.is_err()
        {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was told already.
#[derive(Default)]
struct Seen {
    /// What waits, from when to when: held once more is news.
    held: BTreeMap<IntentId, (Timestamp, Timestamp)>,
    /// The newest decision; none before the first look, as what was decided before is no news.
    decided: Option<u64>,
}

impl Seen {
    /// Tells what is new until nobody listens any more.
    async fn follow(
        &mut self,
        client: &Client,
        agent: &str,
        tell: &Sender<Event>,
    ) -> Result<(), ClientError> {
        let (mut mark, mut names) = (None, (u64::MAX, Names::default()));
        loop {
            let asked = Instant::now();
            let queue = client.queue(mark, PATIENCE).await?;
            // All places of those who wait are taken: no news, and at once.
            if mark == Some(queue.mark) && asked.elapsed() < PAUSE {
                tokio::time::sleep(PAUSE).await;
            }
            mark = Some(queue.mark);
            if names.0 != queue.policy_version {
                names = (queue.policy_version, Names::from(&client.view().await?));
            }
            let mut events = Vec::new();
            let newest = queue.decided.last().map_or(0, |last| last.entry);
            let known = self.decided.unwrap_or(newest);
            let mut decided = BTreeSet::new();
            for decision in queue.decided.iter().filter(|it| it.entry > known) {
                decided.insert(decision.id);
                events.push(Event::Decided { agent: agent.to_owned(), decision: decision.clone() });
            }
            self.decided = Some(newest.max(known));
            let waits: BTreeMap<_, _> =
                queue.held.iter().map(|held| (held.id, (held.at, held.closes))).collect();
            for (id, (_, closes)) in self.held.iter().filter(|(id, _)| !waits.contains_key(id)) {
                if !decided.contains(id) {
                    let state = client.wait(*id, Duration::ZERO).await?.state;
                    let how = how(state, *closes <= queue.now);
                    events.push(Event::Closed { agent: agent.to_owned(), id: *id, how });
                }
            }
            for item in items(agent, &names.1, queue) {
                if self.held.get(&item.held.id).is_none_or(|(at, _)| *at != item.held.at) {
                    events.push(Event::Held(Box::new(item)));
                }
            }
            self.held = waits;
            for event in events {
                if tell.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// How an intent came to wait no more, where the owner's decision was not seen.
const fn how(state: PaymentState, late: bool) -> &'static str {
    match state {
        PaymentState::Refused if late => "expired: nobody decided in time",
        PaymentState::Refused => "refused: asked again, and the policy in force forbids it",
        PaymentState::Denied => "denied by the owner",
        PaymentState::Approved => "approved by the owner",
        PaymentState::Held => "waits, but is not shown",
        _ => "passed: asked again, the policy in force let it",
    }
}

fn as_text(event: &Event) -> Vec<String> {
    match event {
        Event::Held(item) => {
            let mut lines = vec![format!("{} {}", clock(), "waits".bold().yellow())];
            lines.extend(item.lines(now()).into_iter().map(|line| format!("  {line}")));
            lines
        }
        Event::Decided { agent, decision: DecisionView { id, approved, by, entry } } => {
            let what = if *approved {
                "approved".bold().green().to_string()
            } else {
                "denied".bold().red().to_string()
            };
            let agent = harmless(agent);
            vec![format!("{} {what} {id} of {agent} by owner {by}, entry {entry}", clock())]
        }
        Event::Closed { agent, id, how } => {
            vec![format!("{} {} {id} of {}: {how}", clock(), "closed".bold(), harmless(agent))]
        }
        Event::Gone { agent } => {
            vec![format!("{} no steward answers for {}; waiting", clock(), harmless(agent))]
        }
        Event::Back { agent } => {
            vec![format!("{} the steward answers for {} again", clock(), harmless(agent))]
        }
    }
}

fn as_json(event: &Event) -> serde_json::Value {
    match event {
        Event::Held(item) => json!({ "event": "held", "held": item.json() }),
        Event::Decided { agent, decision } => json!({
            "event": if decision.approved { "approved" } else { "denied" },
            "agent": agent, "id": decision.id, "by": decision.by, "entry": decision.entry,
        }),
        Event::Closed { agent, id, how } => {
            json!({ "event": "closed", "agent": agent, "id": id, "how": how })
        }
        Event::Gone { agent } => json!({ "event": "gone", "agent": agent }),
        Event::Back { agent } => json!({ "event": "back", "agent": agent }),
    }
}

/// The time of day, UTC.
fn clock() -> String {
    jiff::Timestamp::now().strftime("%H:%M:%S").to_string()
}
