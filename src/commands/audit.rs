//! `marque audit`: what happened, whether it is whole, one thing proved, what came since; from files
//! and a public key alone.

mod diff;
mod export;
mod filters;
mod prove;
mod show;
mod sink;
mod verify;
mod when;
mod words;

pub(crate) use when::moment;
pub(crate) use words::{clock, frozen_by, line};

use super::Shared;
use crate::failure::{Done, Failure};
use clap::Subcommand;
use marque::audit::AuditError;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the entries, newest last; or one whole, with its table of rules.
    ///
    /// marque audit show --since 2h --verdict refused
    ///
    /// marque audit show 42
    ///
    /// marque audit show --follow
    ///
    /// What a mind or a counterparty says is marked with `?`.
    Show(show::ShowArgs),
    /// Recompute everything: frames, hashes, tree, signatures, and the ledger as a fold; or check
    /// one proof.
    ///
    /// marque audit verify --owner 0x… --checkpoint kept-elsewhere
    ///
    /// marque audit verify --proof refund.tlog-proof --owner 0x…
    ///
    /// It says what was checked and what was not. Exit codes: 0 it holds; 1 it does not; 2 wrong
    /// usage.
    Verify(verify::VerifyArgs),
    /// Prove one entry to somebody who may not see the others: three small files.
    ///
    /// marque audit prove 42 --out refund
    ///
    /// Writes refund.tlog-proof (C2SP), refund.json (the entry) and refund.genesis.json (the first
    /// entry, in which the owner signed the log's key). Without --out the proof goes to standard
    /// output. `marque audit verify --proof` checks them.
    Prove(prove::ProveArgs),
    /// Write entries for other programs: canonical JSON lines, or a table for spreadsheets.
    ///
    /// marque audit export --format csv --since 30d --out november.csv
    ///
    /// The journal is verified first, and the last line is the checkpoint that the others are
    /// under. The columns are documented in docs/audit.md.
    Export(export::ExportArgs),
    /// Whether the journal extends a checkpoint that you kept, and what came since.
    ///
    /// marque audit diff kept-elsewhere
    ///
    /// Exit codes: 0 it does; 1 it does not: entries are gone or were changed; 2 wrong usage.
    Diff(diff::DiffArgs),
}

/// Which journal.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// A journal folder; without it, this home's.
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
}

impl Place {
    fn dir(&self, shared: &Shared) -> Done<PathBuf> {
        match &self.journal {
            Some(dir) => {
                let entries = dir.join("entries");
                fs::read_dir(&entries).map_err(|error| {
                    unreadable(&entries, &error).help(
                        "a journal is a folder with entries/ and a checkpoint: HOME/journal, or an \
                         export",
                    )
                })?;
                Ok(dir.clone())
            }
            None => {
                let home = shared.home()?;
                if !home.journal().join("entries").is_dir() {
                    let why = format!("there is no journal in {}", home.path().display());
                    return Err(Failure::usage(why)
                        .help("name the steward's home, --home DIR, or a journal, --journal DIR"));
                }
                Ok(home.journal())
            }
        }
    }
}

/// A file that was named on the command line.
fn given(path: &Path) -> Done<Vec<u8>> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// Why the journal in `dir` is not believed, or does not extend the checkpoint in the file `kept`.
fn doubt(error: AuditError, dir: &Path, kept: Option<&Path>) -> Failure {
    let dir = dir.display();
    match (error, kept.map(Path::display)) {
        (AuditError::Kept(why), Some(kept)) => {
            Failure::new(format!("{kept} is not to be believed: {why}"))
                .help("it is damaged, or another journal's checkpoint")
        }
        (AuditError::Behind(why), Some(kept)) => {
            Failure::new(format!("{dir} does not extend {kept}: {why}"))
                .help("somebody rolled it back or rewrote it")
        }
        (error, _) => Failure::new(format!("{dir}: {error}")),
    }
}

pub(crate) async fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    match args.act {
        Act::Show(args) => show::run(shared, &args).await,
        Act::Verify(args) => verify::run(shared, &args),
        Act::Prove(args) => prove::run(shared, &args),
        Act::Export(args) => export::run(shared, &args),
        Act::Diff(args) => diff::run(shared, &args),
    }
}
