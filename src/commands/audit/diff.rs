//! `marque audit diff`: whether a journal extends a checkpoint that was kept, and what came since.

use super::{Place, doubt, given, show::text, sink::Sink, words};
use crate::{
    commands::Shared,
    failure::{Context as _, Done},
};
use marque::audit::{Expect, Known, PublicKey, verify};
use marque_steward::audit::{Read, each};
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The checkpoint that you kept: an older copy of journal/checkpoint.
    #[arg(value_name = "OLD-CHECKPOINT")]
    old: PathBuf,
    /// The log's public key; without it, the one in the first entry.
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,
    /// Only the last N of what came since.
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(shared: &Shared, args: &DiffArgs) -> Done<ExitCode> {
    let dir = args.place.dir(shared)?;
    let old = String::from_utf8_lossy(&given(&args.old)?).into_owned();
    let expect =
        Expect { checkpoint: Some(old.clone()), key: args.key.clone(), ..Expect::default() };
    let report = verify(&dir, &expect).map_err(|error| doubt(error, &dir, Some(&args.old)))?;
    // It is signed and the journal extends it: its second line is a number.
    let from: u64 = old.lines().nth(1).unwrap_or_default().parse().doing(args.old.display())?;
    let (mut known, mut kinds) = (Known::default(), BTreeMap::<&str, u64>::new());
    let mut news: Vec<Read> = Vec::new();
    let mut lines = Vec::new();
    each(&dir, 0, |read| -> Done {
        known.learn(&read.entry);
        if read.entry.seq >= from && read.entry.seq < report.size {
            *kinds.entry(read.entry.body.kind()).or_default() += 1;
            lines.push(words::line(&read.entry, &known));
            news.push(read);
        }
        Ok(())
    })?;
    let skip = args.last.map_or(0, |last| news.len().saturating_sub(last));
    let mut sink = Sink::out();
    if shared.json {
        let (from, to, root) = (from, report.size, report.root);
        sink.line(
            serde_json::json!({
                "extends": true, "from": from, "to": to, "root": root, "kinds": kinds,
            })
            .to_string(),
        )?;
        news.iter().skip(skip).try_for_each(|read| sink.line(text(read)))?;
        return sink.finish().map(|()| ExitCode::SUCCESS);
    }
    sink.line(format!(
        "the journal extends it: the first {from} entries are the same, {} came since",
        news.len()
    ))?;
    if !kinds.is_empty() {
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        sink.line(format!("  {}", kinds.join(", ")))?;
    }
    lines.iter().skip(skip).try_for_each(|line| sink.line(line))?;
    if args.key.is_none() {
        sink.line("  the log's key is the journal's own word; give --key where you know it")?;
    }
    sink.finish()?;
    Ok(ExitCode::SUCCESS)
}
