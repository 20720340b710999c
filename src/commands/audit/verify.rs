//! `marque audit verify`: a journal, or one proof.

use super::{Place, doubt, given, words};
use crate::{
    commands::Shared,
    failure::{Context as _, Done, Failure},
    story::say,
};
use alloy_primitives::Address;
use marque::audit::{
    Expect, Known, PublicKey,
    proof::{Anchor, Proved, check},
    verify,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// The log's public key, 64 hex digits or `marque/…+…+…`, or a file that holds it; without it,
    /// the one in the first entry.
    #[arg(long, value_name = "KEY|FILE", value_parser = public_key)]
    key: Option<PublicKey>,
    /// The address of the owner who began the journal; the first entry must be signed by it. To whom
    /// it was handed over since then follows from that.
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// A checkpoint that you kept: the journal must extend it.
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    checkpoint: Option<PathBuf>,
    /// Check this proof of one entry instead of a journal; needs --key, or --owner.
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    proof: Option<PathBuf>,
    /// The entry that the proof is about; else the file beside it that ends in .json.
    #[arg(long, value_name = "FILE", requires = "proof")]
    entry: Option<PathBuf>,
    /// The journal's first entry, for --owner; else the file beside it that ends in .genesis.json.
    #[arg(long, value_name = "FILE", requires = "proof")]
    genesis: Option<PathBuf>,
}

pub(crate) fn run(shared: &Shared, args: &VerifyArgs) -> Done<ExitCode> {
    match &args.proof {
        Some(proof) => one(shared, args, proof),
        None => all(shared, args),
    }
}

fn all(shared: &Shared, args: &VerifyArgs) -> Done<ExitCode> {
    let dir = args.place.dir(shared)?;
    let kept = args.checkpoint.as_deref();
    let checkpoint = kept.map(given).transpose()?;
    let checkpoint = checkpoint.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let expect = Expect { owner: args.owner, key: args.key.clone(), checkpoint };
    let report = verify(&dir, &expect).map_err(|error| doubt(error, &dir, kept))?;
    if shared.json {
        say!("{}", serde_json::to_string(&report).doing("the report")?);
    } else {
        say!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

fn one(shared: &Shared, args: &VerifyArgs, proof: &Path) -> Done<ExitCode> {
    let beside = |given: &Option<PathBuf>, ends: &str| {
        given.clone().unwrap_or_else(|| proof.with_extension(ends))
    };
    let text = String::from_utf8(given(proof)?).doing(proof.display())?;
    let entry = given(&beside(&args.entry, "json"))?;
    let genesis = match (&args.key, args.owner) {
        (_, Some(_)) => given(&beside(&args.genesis, "genesis.json"))?,
        (Some(_), None) => Vec::new(),
        (None, None) => {
            return Err(Failure::usage("a proof proves nothing without something that you know")
                .help("give the owner's address with --owner, or the log's key with --key"));
        }
    };
    let wrong = |error| Failure::new(format!("{}: {error}", proof.display()));
    let mut known_by = Vec::new();
    let mut proved = None;
    if let Some(key) = &args.key {
        proved = Some(check(&text, &entry, Anchor::Key(key)).map_err(wrong)?);
        known_by.push("the log's key that you gave".to_owned());
    }
    if let Some(address) = args.owner {
        let anchor = Anchor::Owner { address, genesis: &genesis };
        proved = Some(check(&text, &entry, anchor).map_err(wrong)?);
        known_by.push(format!("the log's key that {address} signed"));
    }
    let Some(proved) = proved else { return Err(Failure::usage("there is nothing to check")) };
    tell(shared, &proved, &known_by.join(" and "));
    Ok(ExitCode::SUCCESS)
}

fn tell(shared: &Shared, proved: &Proved, known_by: &str) {
    let Proved { entry, size, root, origin } = proved;
    if shared.json {
        say!(
            "{}",
            serde_json::json!({
                "seq": entry.seq, "size": size, "root": root, "origin": origin,
                "key": known_by, "entry": entry,
            })
        );
        return;
    }
    let mut known = Known::default();
    known.learn(entry);
    words::whole(entry, &known).iter().for_each(|line| say!("{line}"));
    say!("proved: it is entry {} of the {size} in journal {origin}", entry.seq);
    say!("  root  {root}");
    say!("  by    {known_by}");
    say!("not checked");
    say!("  what else the journal says, and whether others were shown another journal by this key");
    say!("  the chain: that it is there is the steward's word");
}

/// A key, or a file that holds one.
fn public_key(text: &str) -> Result<PublicKey, String> {
    let read = fs::read_to_string(text);
    let key = read.as_deref().unwrap_or(text);
    key.parse().map_err(|error: marque_steward::journal::JournalError| error.to_string())
}
