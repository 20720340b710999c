//! `marque status`: how a steward stands, in one look.
//!
//! The steward says it on its sockets; where none answers, the lock says whether one is starting,
//! and the journal how it was left. The index is never opened.

use super::{
    Shared,
    approvals::{may_look, now, older},
    audit::{frozen_by, line},
    funds::holding,
    mind::Work,
};
use crate::{
    failure::{Done, Failure},
    story::{harmless, say, short, span},
};
use alloy_primitives::{Address, B256};
use marque::{audit::Known, home::Home, owner::connect, request::freeze};
use marque_policies::Policy;
use marque_steward::{Entry, State, audit};
use marque_steward_client::{FloatView, FrozenView, Status};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use std::{path::Path, process::ExitCode, time::Duration};

/// A journal up to so many bytes is read for its last entries; a longer one takes too long.
const QUICK: u64 = 16 * 1024 * 1024;

/// Entries that are shown.
const LAST: usize = 5;

/// How long one balance may take.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask the chain what each agent holds, as well.
    #[arg(long)]
    balance: bool,
}

/// All of it, for scripts.
#[derive(Debug, Serialize)]
struct Report {
    running: bool,
    /// The process that works here, or is starting.
    process: Option<u32>,
    version: Option<String>,
    since: Option<u64>,
    enforced: Vec<String>,
    missing: Vec<String>,
    chain: u64,
    origin: B256,
    owner: Option<Address>,
    entries: u64,
    frozen: Option<FrozenView>,
    /// Over whose socket, where the journal was read.
    #[serde(skip)]
    frozen_over: Option<String>,
    agents: Vec<Agent>,
    last: Vec<Entry>,
    /// What those before say of them.
    #[serde(skip)]
    known: Known,
}

/// One agent.
#[derive(Debug, Serialize)]
struct Agent {
    name: String,
    address: Address,
    policy_version: u64,
    policy_hash: B256,
    /// Unknown where no steward runs.
    ready: Option<bool>,
    held: u64,
    live: u64,
    /// What its key is kept at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    floats: Vec<FloatView>,
    /// Amounts with their unit; only where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    balance: Vec<String>,
    /// What its mind says that it does, where it goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    may_look(&home)?;
    let laid_out = marque_steward::Home::open(home.path());
    let mut told = Vec::new();
    for name in home.agents() {
        if let Ok(client) = connect(&home.owner_socket(&name), Duration::ZERO).await {
            told.push(client.status().await.map_err(older)?);
        }
    }
    let holder = laid_out.as_ref().ok().map(|home| home.holder()).transpose()?.flatten();
    let process = holder.and_then(|holder| holder.process);
    let mut report = match told.first() {
        Some(status) => running(status.clone(), told, process),
        None => at_rest(&laid_out?, process)?,
    };
    let mut entries = entries(&home.journal())?;
    entries.iter().for_each(|entry| report.known.learn(entry));
    let frozen_at = report.frozen.as_ref().map(|frozen| frozen.entry);
    let frozen = entries.iter().find(|entry| Some(entry.seq) == frozen_at);
    report.frozen_over = frozen.and_then(|entry| entry.agent.clone());
    report.last = entries.split_off(entries.len().saturating_sub(LAST));
    if args.balance {
        balances(&home, &mut report).await?;
    }
    for agent in &mut report.agents {
        // What a mind says of itself is not worth a status that fails.
        agent.work = Work::under_way_in(&home.mind(&agent.name)).ok().flatten();
    }
    if shared.json {
        say!("{}", serde_json::json!(report));
    } else {
        print(&home, &report);
    }
    if report.running {
        return Ok(ExitCode::SUCCESS);
    }
    let place = home.path().display();
    Err(match (holder, process) {
        (Some(_), Some(process)) => {
            Failure::new(format!("process {process} has {place} and does not answer yet"))
                .help("it may be starting; ask again in a moment")
        }
        (Some(_), None) => Failure::new(format!("a steward is just starting in {place}")),
        (None, _) => Failure::new(format!("no steward runs in {place}"))
            .help("start one with marque steward run"),
    })
}

fn running(first: Status, all: Vec<Status>, process: Option<u32>) -> Report {
    let agent = |status: Status| Agent {
        name: status.agent,
        address: status.address,
        policy_version: status.policy_version,
        policy_hash: status.policy_hash,
        ready: Some(status.ready),
        held: status.held,
        live: status.live,
        floats: status.floats,
        balance: Vec::new(),
        work: None,
    };
    Report {
        running: true,
        process,
        version: Some(first.version),
        since: Some(first.since),
        enforced: first.enforced,
        missing: first.missing,
        chain: first.chain,
        origin: first.origin,
        owner: Some(first.owner),
        entries: first.entries,
        frozen: first.frozen,
        frozen_over: None,
        agents: all.into_iter().map(agent).collect(),
        last: Vec::new(),
        known: Known::default(),
    }
}

/// How it was left, by the journal.
fn at_rest(home: &marque_steward::Home, process: Option<u32>) -> Done<Report> {
    let state = if home.has_journal() { audit::state(home)? } else { State::default() };
    let now = state.now(now());
    let live = |name: &str| {
        let live = state.intents().values().filter(|it| it.agent == name && it.is_live()).count();
        u64::try_from(live).unwrap_or(u64::MAX)
    };
    let agent = |(name, account): (&String, &marque_steward::state::Account)| Agent {
        name: name.clone(),
        address: account.key,
        policy_version: account.policy.as_ref().map_or(0, |policy| policy.version),
        policy_hash: account.policy.as_ref().map_or(B256::ZERO, |policy| policy.hash),
        ready: None,
        held: u64::try_from(state.held(name, now)).unwrap_or(u64::MAX),
        live: live(name),
        floats: Vec::new(),
        balance: Vec::new(),
        work: None,
    };
    let frozen = freeze(&state).map(|it| FrozenView {
        entry: it.entry,
        by: it.by,
        reason: it.reason,
        nonce: None,
        foreign: 0,
    });
    Ok(Report {
        running: false,
        process,
        version: None,
        since: None,
        enforced: Vec::new(),
        missing: Vec::new(),
        chain: home.chain(),
        origin: home.origin(),
        owner: state.owner(),
        entries: state.next(),
        frozen,
        frozen_over: None,
        agents: state.agents().iter().map(agent).collect(),
        last: Vec::new(),
        known: Known::default(),
    })
}

/// The entries, where reading them is quick.
fn entries(journal: &Path) -> Done<Vec<Entry>> {
    let files = std::fs::read_dir(journal.join("entries")).into_iter().flatten().flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|it| it.len()).sum();
    if bytes == 0 || bytes > QUICK {
        return Ok(Vec::new());
    }
    Ok(audit::entries(journal)?)
}

async fn balances(home: &Home, report: &mut Report) -> Done {
    let laid_out = marque_steward::Home::open(home.path())?;
    if !laid_out.has_journal() {
        return Ok(());
    }
    let state = audit::state(&laid_out)?;
    for agent in &mut report.agents {
        let adopted = state.agent(&agent.name).and_then(|account| account.policy.as_ref());
        let Some(adopted) = adopted else { continue };
        let ask = balance(&adopted.policy, agent.address);
        agent.balance = match tokio::time::timeout(PATIENCE, ask).await {
            Ok(Ok(held)) => held,
            Ok(Err(failure)) => vec![format!("unknown: {}", failure.message)],
            Err(_) => vec!["unknown: the chain does not answer".to_owned()],
        };
    }
    Ok(())
}

async fn balance(policy: &Policy, address: Address) -> Done<Vec<String>> {
    let (_, rpc) = super::policy::chain_of(policy)?;
    let mut held = Vec::new();
    for asset in policy.assets.values() {
        let units = holding(&rpc, asset.id.token, address).await?;
        held.push(policy.show(marque_policies::Money::new(units, asset.id)));
    }
    Ok(held)
}

/// A float: what is in it, its marks, what came of the last refill, and in lines of their own what keeps
/// it from being what it should.
fn said(float: &FloatView, agent: &str, known: &Known) -> Vec<String> {
    let show = |money| known.show(agent, money);
    let held = float.held.map_or_else(|| "not looked at yet".to_owned(), show);
    let mut text = format!("{held}; kept between {} and {}", show(float.low), show(float.high));
    if let Some(refill) = &float.refill {
        let ago = span(now().saturating_sub(refill.at));
        let state = format!("{:?}", refill.state).to_lowercase();
        text.push_str(&format!("; last refill {} {ago} ago, {state}", show(refill.amount)));
    }
    let mut lines = vec![text];
    if let Some(why) = &float.refused {
        lines.push(format!("{} {}", "NOTHING IS PAID:".bold().red(), harmless(why)));
    }
    let told = |why: &&String| float.refused.as_ref().is_none_or(|it| !why.contains(it));
    if let Some(why) = float.trouble.as_ref().filter(told) {
        lines.push(harmless(why).yellow().to_string());
    }
    lines
}

/// What a mind says that it does, and whether it can.
fn doing(work: &Work, steward_runs: bool) -> String {
    let job = match (&work.goal, work.round) {
        (Some(goal), Some((_, period))) => format!("every {period} s: {}", harmless(goal)),
        (Some(goal), None) => harmless(goal),
        (None, _) => "serves its queue".to_owned(),
    };
    let under_way = work.under_way.as_deref().filter(|_| work.goal.is_none());
    let now = under_way.map(|name| format!(", now {}", harmless(name))).unwrap_or_default();
    let wants = if steward_runs { "" } else { "; it waits for a steward: marque steward run" };
    format!("process {}, {job}{now}; {}{wants}", work.process, work.counts())
}

fn print(home: &Home, report: &Report) {
    let place = home.path().display();
    match (report.running, report.since) {
        (true, Some(since)) => {
            let process = report.process.map(|id| format!(", process {id}")).unwrap_or_default();
            let version = report.version.as_deref().unwrap_or_default();
            say!(
                "the steward of {place} runs for {} (version {version}{process})",
                span(now().saturating_sub(since))
            );
        }
        _ => say!("what the journal of {place} says:"),
    }
    say!(
        "  journal       {} entries, {} on chain {}",
        report.entries,
        short(report.origin),
        report.chain
    );
    if let Some(owner) = report.owner {
        say!("  owner         {owner}");
    }
    if report.running {
        let list = |walls: &[String]| match walls {
            [] => "nothing".to_owned(),
            walls => walls.join(", "),
        };
        say!("  enforced      {}", list(&report.enforced));
        say!("  not enforced  {}", list(&report.missing));
    }
    if let Some(FrozenView { entry, by, reason, .. }) = &report.frozen {
        let by = harmless(&frozen_by(by, report.frozen_over.as_deref()));
        say!("  {}        {by}, entry {entry}: {}", "FROZEN".bold().red(), harmless(reason));
        say!("                only the owner lets it work again: marque thaw");
    }
    for agent in &report.agents {
        say!("{}", harmless(&agent.name).bold());
        say!("  address       {}", agent.address);
        match agent.policy_version {
            0 => say!("  policy        none; marque policy adopt {}", agent.name),
            version => say!("  policy        version {version}, {}", short(agent.policy_hash)),
        }
        if agent.ready == Some(false) && agent.policy_version > 0 {
            say!("  chain         not asked yet: nothing is signed until it answers");
        }
        for float in &agent.floats {
            for (number, line) in said(float, &agent.name, &report.known).iter().enumerate() {
                say!("  {:<13} {line}", if number == 0 { "float" } else { "" });
            }
        }
        for held in &agent.balance {
            say!("  holds         {held}");
        }
        if let Some(work) = &agent.work {
            say!("  mind          {}", doing(work, report.running));
        }
        match agent.held {
            0 => say!("  waiting       nothing for the owner; {} in flight", agent.live),
            held => say!(
                "  waiting       {held} for the owner: marque approvals; {} in flight",
                agent.live
            ),
        }
    }
    if !report.last.is_empty() {
        say!("last entries");
        report.last.iter().for_each(|entry| say!("  {}", line(entry, &report.known)));
    }
}
