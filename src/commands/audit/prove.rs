//! `marque audit prove`: one entry, for somebody who may not see the others.

use super::{Place, doubt};
use crate::{
    commands::Shared,
    failure::{Context as _, Done, Failure},
    story::{print, say},
};
use marque::{
    audit::{AuditError, proof::parcel},
    request::RequestError,
};
use marque_steward::{StewardError, journal::JournalError};
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct ProveArgs {
    /// The entry.
    seq: u64,
    /// Write NAME.tlog-proof, NAME.json and NAME.genesis.json; without it, the proof is printed.
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(shared: &Shared, args: &ProveArgs) -> Done<ExitCode> {
    let dir = args.place.dir(shared)?;
    let parcel = parcel(&dir, args.seq).map_err(|error| match error {
        AuditError::Journal(StewardError::Journal(error @ JournalError::NoEntry { .. })) => {
            Failure::usage(error)
        }
        error => doubt(error, &dir, None),
    })?;
    let Some(name) = &args.out else {
        if shared.json {
            let entry = String::from_utf8_lossy(&parcel.entry);
            let genesis = String::from_utf8_lossy(&parcel.genesis);
            say!(
                "{}",
                serde_json::json!({
                    "proof": parcel.proof, "entry": entry, "genesis": genesis, "key": parcel.key,
                })
            );
        } else {
            print(&parcel.proof);
        }
        return Ok(ExitCode::SUCCESS);
    };
    // A name that was given with the ending is the same name.
    let plain = name.to_string_lossy();
    let plain = plain.strip_suffix(".tlog-proof").unwrap_or(&plain).to_owned();
    let file = |ends: &str| PathBuf::from(format!("{plain}.{ends}"));
    let (proof, entry, genesis) = (file("tlog-proof"), file("json"), file("genesis.json"));
    let files: [(&Path, &[u8]); 3] =
        [(&proof, parcel.proof.as_bytes()), (&entry, &parcel.entry), (&genesis, &parcel.genesis)];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(RequestError::Exists(path.to_path_buf()).into());
    }
    files.iter().try_for_each(|(path, bytes)| write(path, bytes))?;
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "proof": proof, "entry": entry, "genesis": genesis, "key": parcel.key,
            })
        );
    } else {
        say!("{}  that the entry is in the journal", proof.display());
        say!("{}  the entry", entry.display());
        say!("{}  the owner's signature under the log's key", genesis.display());
        say!("  to check, with these three files and nothing else:");
        say!("  marque audit verify --proof {} --owner ADDRESS", proof.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Done {
    let mut file = File::create_new(path).doing(path.display())?;
    file.write_all(bytes).doing(path.display())
}
