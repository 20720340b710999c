//! `marque policy replay`: a new policy over the journal's own history.

use super::draft::{Companions, Named};
use crate::{
    commands::{
        Shared,
        audit::{clock, moment},
    },
    failure::{Done, Failure},
    story::{harmless, say, short},
};
use alloy_primitives::U256;
use marque_policies::{AssetId, Decision, Intent, Money, Policy, Timestamp};
use marque_steward::{
    audit::each,
    replay::{Change, Outcome, Plan, Reading, Replay, Replayer},
};
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The new policy: a file, an agent's name for its draft, or NAME@adopted.
    policy: String,
    /// From when it would have been in force: 30d, 2h, 2026-11-20; else from the beginning.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Whose policy it is, where POLICY is a file and the home has several agents.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Judge each decision on the ledger as it really was, instead of following what the new policy
    /// would have spent.
    #[arg(long)]
    as_spent: bool,
    /// End with 3 where it would have allowed anything more, or may have.
    #[arg(long)]
    never_wider: bool,
    /// A journal folder; without it, this home's.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    with: Companions,
}

pub(crate) fn run(shared: &Shared, args: &ReplayArgs) -> Done<ExitCode> {
    let home = shared.home()?;
    let named = Named::find(&home, &args.policy, &args.with)?;
    let agent = agent(args, &home.agents())?;
    let reading = if args.as_spent { Reading::Fixed } else { Reading::Followed };
    let plan = Plan {
        agent: agent.clone(),
        document: named.document.clone(),
        since: args.since.unwrap_or_default(),
        reading,
    };
    let dir = args.journal.clone().unwrap_or_else(|| home.journal());
    let mut replayer = Replayer::new(plan).map_err(super::draft::mistake)?;
    each(&dir, 0, |read| -> Done { Ok(replayer.take(&read.entry)?) })?;
    let replay = replayer.finish().ok_or_else(|| {
        Failure::usage(format!("there is no agent {agent} in the journal"))
            .help("name one with --agent, or another journal with --journal")
    })?;
    if shared.json {
        json(&named, &agent, reading, &replay);
    } else {
        tell(&named, reading, &replay);
    }
    if args.never_wider && replay.is_wider() {
        return Err(Failure::refused(format!("{} would have allowed more", named.label))
            .help("make it as strict where it says so above, or adopt it knowingly"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose policy it is: as given, as the policy's name says, or the only one there is.
fn agent(args: &ReplayArgs, all: &[String]) -> Done<String> {
    let name = args.policy.strip_suffix("@adopted").unwrap_or(&args.policy);
    match (&args.agent, all) {
        (Some(agent), _) => Ok(agent.clone()),
        (None, all) if all.iter().any(|known| known == name) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Failure::usage("whose policy is it?")
            .help("name the agent with --agent: a file does not say")),
    }
}

fn json(named: &Named, agent: &str, reading: Reading, replay: &Replay) {
    let money = |sums: &BTreeMap<AssetId, U256>| {
        sums.iter().map(|(asset, units)| Money::new(*units, *asset)).collect::<Vec<_>>()
    };
    let rules: Vec<_> = replay
        .by_rule()
        .into_iter()
        .map(|(rule, (decisions, sums))| {
            serde_json::json!({ "rule": rule, "decisions": decisions, "money": money(&sums) })
        })
        .collect();
    say!(
        "{}",
        serde_json::json!({
            "policy": named.label, "version": named.policy.version, "hash": named.policy.hash,
            "agent": agent, "reading": reading, "decisions": replay.decisions,
            "wider": replay.is_wider(), "more": money(&replay.more), "less": money(&replay.less),
            "rules": rules, "changes": replay.changes,
        })
    );
}

fn tell(named: &Named, reading: Reading, replay: &Replay) {
    let policy = &named.policy;
    let Replay { decisions, changes, more, less } = replay;
    say!("{}, version {}, over {decisions} decisions", named.label, policy.version);
    say!(
        "  {}",
        match reading {
            Reading::Followed =>
                "what it would have stopped was not spent, and what it allowed was",
            Reading::Fixed => "each judged on the ledger as it really was",
        }
    );
    if changes.is_empty() {
        say!("no decision would have been another");
        return;
    }
    changes.iter().for_each(|change| say!("{}", line(policy, change)));
    let rules = replay.by_rule();
    if !rules.is_empty() {
        say!("by rule");
    }
    for (rule, (count, sums)) in rules {
        let decisions = if count == 1 { "decision " } else { "decisions" };
        say!("  {rule:<32} {count:>5} {decisions}  {}", sum(policy, &sums));
    }
    say!("{} of {decisions} decisions would have been others", changes.len());
    say!("  more would have been allowed  {}", sum(policy, more));
    say!("  less would have been spent    {}", sum(policy, less));
}

fn line(policy: &Policy, change: &Change) -> String {
    let was = match change.was {
        Decision::Allow => "allowed",
        Decision::Hold => "held",
        Decision::Refuse => "refused",
    };
    let rules = change.rules.join(", ");
    let now = match &change.now {
        Outcome::Allow => format!("ALLOWED, not stopped by {rules}"),
        Outcome::Hold => format!("held by {rules}"),
        Outcome::Refuse => format!("refused by {rules}"),
        Outcome::NotAsked { why } => format!("not asked: {why}"),
        Outcome::Unknown { why } => format!("UNKNOWN: {why}"),
    };
    let money = change.amount().map(|money| format!(" {}", policy.show(money))).unwrap_or_default();
    let target = match &change.intent {
        Intent::Authorise(pay) => format!(" to {}", pay.payee),
        Intent::Transfer(pay) => format!(" to {}", pay.payee),
        Intent::PermitTransfer(pay) => format!(" to {}", pay.payee),
        Intent::Tool(tool) => format!(" {}", tool.tool),
        _ => String::new(),
    };
    let what = format!("{} {}{money}{target}", change.intent.kind(), short(change.id));
    let (seq, at, agent) = (change.seq, clock(change.at), &change.agent);
    harmless(&format!("{seq:>5} {at} {agent:<8} {what}: {was} -> {now}"))
}

/// Sums by asset, or `nothing`.
fn sum(policy: &Policy, sums: &BTreeMap<AssetId, U256>) -> String {
    let shown: Vec<_> =
        sums.iter().map(|(asset, units)| policy.show(Money::new(*units, *asset))).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}
