//! `marque audit show`: the entries, as they come if asked, or one whole.

use super::{Place, filters::Filters, sink::Sink, words};
use crate::{
    commands::Shared,
    failure::{Done, Failure},
};
use marque::{audit::Known, process::stop_signal};
use marque_steward::audit::{Read, Tail, each};
use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// Entries shown before the live ones, unless a number is given.
const BEFORE: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// One entry, whole: its fields, its table of rules, and what became of it.
    #[arg(value_name = "SEQ", conflicts_with_all = ["last", "follow"])]
    seq: Option<u64>,
    /// Only the last N.
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    /// Go on with what comes, until Ctrl-C; a steward may stop and start meanwhile.
    #[arg(long, short = 'f')]
    follow: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(shared: &Shared, args: &ShowArgs) -> Done<ExitCode> {
    let dir = args.place.dir(shared)?;
    match args.seq {
        Some(seq) => whole(shared, &dir, seq)?,
        None => list(shared, args, &dir).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(shared: &Shared, args: &ShowArgs, dir: &Path) -> Done {
    let filter = args.filters.filter();
    let keep = args.last.or(args.follow.then_some(BEFORE));
    let (mut known, mut sink, mut next) = (Known::default(), Sink::out(), 0);
    let (mut agents, mut matches) = (BTreeSet::new(), 0_u64);
    let mut kept: VecDeque<String> = VecDeque::new();
    let show = |read: &Read, known: &mut Known| -> Option<String> {
        known.learn(&read.entry);
        let taken = filter.takes(&read.entry, known);
        taken.then(|| if shared.json { text(read) } else { words::line(&read.entry, known) })
    };
    each(dir, 0, |read| -> Done {
        next = read.entry.seq.saturating_add(1);
        agents.extend(read.entry.agent.clone());
        let Some(line) = show(&read, &mut known) else { return Ok(()) };
        matches += 1;
        match keep {
            None => sink.line(line),
            Some(keep) => {
                kept.push_back(line);
                kept.drain(..kept.len().saturating_sub(keep));
                Ok(())
            }
        }
    })?;
    if let Some(agent) = filter.agent.as_ref().filter(|agent| !agents.contains(*agent)) {
        let there = agents.into_iter().collect::<Vec<_>>().join(", ");
        let failure = Failure::usage(format!("there is no agent {agent} in {}", dir.display()));
        return Err(if there.is_empty() {
            failure
        } else {
            failure.help(format!("there are {there}"))
        });
    }
    if matches == 0 && !args.follow && !shared.json {
        anstream::eprintln!("no entry matches");
    }
    kept.into_iter().try_for_each(|line| sink.line(line))?;
    sink.flush()?;
    let mut stop = std::pin::pin!(stop_signal());
    let mut tail = Tail::new(dir, next);
    while args.follow && sink.open() {
        for read in tail.poll()? {
            if let Some(line) = show(&read, &mut known) {
                sink.line(line)?;
            }
        }
        sink.flush()?;
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    sink.finish()
}

/// One entry, and what else the journal says of its intent.
fn whole(shared: &Shared, dir: &Path, seq: u64) -> Done {
    let (mut known, mut found, mut size) = (Known::default(), None, 0);
    let mut others = Vec::new();
    each(dir, 0, |read| -> Done {
        size = read.entry.seq.saturating_add(1);
        if read.entry.seq <= seq {
            known.learn(&read.entry);
        }
        if read.entry.seq == seq {
            found = Some(read);
        } else if let Some(id) = read.entry.body.intent() {
            // Only those of one intent are wanted, and which one may not be known yet.
            others.push((id, read.entry.seq, read.entry.at, read.entry.body.kind()));
        }
        Ok(())
    })?;
    let Some(read) = found else {
        let last = size.saturating_sub(1);
        return Err(Failure::usage(format!("there is no entry {seq}; the last one is {last}")));
    };
    let mut sink = Sink::out();
    if shared.json {
        sink.line(text(&read))?;
        return sink.finish();
    }
    let id = read.entry.body.intent();
    others.retain(|(other, ..)| Some(*other) == id);
    for line in words::whole(&read.entry, &known) {
        sink.line(line)?;
    }
    if !others.is_empty() {
        sink.line("  the same intent")?;
    }
    for (_, seq, at, kind) in others {
        sink.line(format!("    {seq:>5} {} {kind}", words::clock(at)))?;
    }
    sink.finish()
}

/// The canonical bytes, which are JSON.
pub(super) fn text(read: &Read) -> String {
    String::from_utf8_lossy(&read.bytes).into_owned()
}
