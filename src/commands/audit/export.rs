//! `marque audit export`: entries for other programs, under the checkpoint with which they end.

use super::{Place, filters::Filters, show::text, sink::Sink};
use crate::{
    commands::Shared,
    failure::{Context as _, Done, Failure},
    story::say,
};
use marque::audit::{Expect, Known, export, verify};
use marque_steward::audit::each;
use std::{fs, path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Canonical JSON lines, or a table.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The entries as the journal has them, one a line.
    Jsonl,
    /// A table with a row for each entry, and for each transfer that one tells of.
    Csv,
}

pub(crate) fn run(shared: &Shared, args: &ExportArgs) -> Done<ExitCode> {
    let dir = args.place.dir(shared)?;
    // Read before the entries, so that they are never fewer than it says.
    let file = dir.join("checkpoint");
    let checkpoint = fs::read_to_string(&file).doing(file.display())?;
    let expect = Expect { checkpoint: Some(checkpoint.clone()), ..Expect::default() };
    verify(&dir, &expect).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    let size: u64 = checkpoint.lines().nth(1).unwrap_or_default().parse().doing(file.display())?;
    let filter = args.filters.filter();
    let mut sink = match &args.out {
        Some(path) => Sink::file(path)?,
        None => Sink::out(),
    };
    let (mut known, mut taken) = (Known::default(), 0_u64);
    if args.format == Format::Csv {
        sink.line(export::head())?;
    }
    each(&dir, 0, |read| -> Done {
        known.learn(&read.entry);
        if read.entry.seq >= size || !filter.takes(&read.entry, &known) {
            return Ok(());
        }
        taken += 1;
        match args.format {
            Format::Jsonl => sink.line(text(&read)),
            Format::Csv => {
                export::rows(&read.entry, &known).into_iter().try_for_each(|row| sink.line(row))
            }
        }
    })?;
    match args.format {
        Format::Jsonl => sink.line(export::last_line(&checkpoint))?,
        Format::Csv => sink.line(export::last_row(size, &checkpoint))?,
    }
    sink.finish()?;
    if let Some(path) = &args.out {
        if shared.json {
            say!("{}", serde_json::json!({ "file": path, "entries": taken, "size": size }));
        } else {
            say!("{}: {taken} of {size} entries, and the checkpoint over them", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
