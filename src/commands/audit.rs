//! `marque audit show | verify`: the journal, read and proved from files and a public key alone.

use super::Shared;
use crate::{
    failure::{Context as _, Done, Failure},
    story::{harmless, reasons, say, short},
};
use clap::Subcommand;
use marque::audit::{Expect, verify};
use marque_policies::{Intent, Sources};
use marque_steward::{Body, Entry, Word, entry::Decided};
use marque_steward_client::Said;
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the entries, newest last.
    Show {
        /// Only the last N.
        #[arg(long, short = 'n', value_name = "N")]
        last: Option<usize>,
        /// A journal folder; without it, this home's.
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
    },
    /// Recompute everything: frames, hashes, tree, signature, and the ledger as a fold.
    Verify {
        /// A journal folder; without it, this home's.
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
        /// The log's Ed25519 public key, hex; without it, the one in the first entry.
        #[arg(long, value_name = "KEY")]
        key: Option<alloy_primitives::B256>,
        /// A checkpoint that you kept: the journal must extend it.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The owner's address; the first entry must be signed by it.
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<alloy_primitives::Address>,
    },
}

pub(crate) fn run(shared: &Shared, args: Args) -> Done<ExitCode> {
    let home = shared.home()?;
    match args.act {
        Act::Show { last, journal } => {
            let dir = journal.unwrap_or_else(|| home.journal());
            let entries = marque_steward::audit::entries(&dir).doing(dir.display())?;
            let skip = last.map_or(0, |last| entries.len().saturating_sub(last));
            for entry in entries.iter().skip(skip) {
                if shared.json {
                    say!("{}", serde_json::to_string(entry).doing("an entry")?);
                } else {
                    say!("{}", line(entry));
                }
            }
        }
        Act::Verify { journal, key, checkpoint, owner } => {
            let dir = journal.unwrap_or_else(|| home.journal());
            let checkpoint = checkpoint
                .map(|file| std::fs::read_to_string(&file).doing(file.display()))
                .transpose()?;
            let report = verify(&dir, &Expect { owner, key, checkpoint })
                .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
            if shared.json {
                say!("{}", serde_json::to_string(&report).doing("the report")?);
            } else {
                say!("{report}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An entry as a line for people.
pub(crate) fn line(entry: &Entry) -> String {
    let decided = |decided: &Decided| format!("{} {}", decided.intent.kind(), short(decided.id));
    let what = match &entry.body {
        Body::Genesis(genesis) => format!("genesis by owner {}", genesis.owner),
        Body::Enroll { key, .. } => format!("enrolled with key {key}"),
        Body::Adopt { version, hash, document, .. } => {
            format!("policy version {version}, {}{}", short(hash), parts(document))
        }
        Body::Approve { intent, .. } => format!("the owner approved {}", short(intent)),
        Body::Deny { intent, .. } => format!("the owner denied {}", short(intent)),
        Body::Frozen { by, reason, .. } => format!("FROZEN by {by}: {reason}"),
        Body::Thawed { frozen_at, .. } => format!("the owner thawed entry {frozen_at}"),
        Body::Refused(it) => format!("refused {}: {}", decided(it), reasons(&it.table).join("; ")),
        Body::Held(it) => format!("held {}: {}", decided(it), reasons(&it.table).join("; ")),
        Body::Allowed(it) => {
            let target = match &it.decided.intent {
                Intent::Authorise(pay) => format!(" to {} for {}", pay.payee, pay.resource),
                Intent::Tool(tool) => format!(" {}", tool.tool),
                Intent::Settle(settle) => format!(" from {} for {}", settle.from, settle.resource),
                _ => String::new(),
            };
            let units = it.decided.intent.spends().map(|money| format!(" {} units", money.units));
            format!("allowed {}{}{target}", decided(&it.decided), units.unwrap_or_default())
        }
        Body::Signed { id, hash } => format!("signed {} as transaction {hash}", short(id)),
        Body::Sent { id } => format!("sent {}", short(id)),
        Body::Seen { id, at } => format!("seen {} in transaction {}", short(id), at.transaction),
        Body::Unseen { id } => format!("taken back {} by a reorganisation", short(id)),
        Body::Final { id, .. } => format!("final {}", short(id)),
        Body::Reverted { id, .. } => format!("reverted {}", short(id)),
        Body::Released { id, why } => format!("released {}: {why}", short(id)),
        Body::Expired { id, .. } => format!("expired {}", short(id)),
        Body::Noted { task, step, what, .. } => format!("{task} step {step}: {what}"),
        Body::Reported { id, said } => {
            let said = match said {
                Said::Settled { transaction } => format!("settled in {transaction}"),
                Said::Delivered { body } => format!("delivered, body {}", short(body)),
                Said::Undelivered { why } => format!("NOT delivered: {why}"),
            };
            format!("{}: the mind says {said}", short(id))
        }
        Body::Started { version, missing, .. } if missing.is_empty() => {
            format!("steward {version} started, all walls stand")
        }
        Body::Started { version, missing, .. } => {
            format!("steward {version} started without {}", missing.join(", "))
        }
        Body::IndexRebuilt { why } => format!("index rebuilt: {why}"),
        Body::Recovered { cut, unsigned, .. } => {
            format!("journal mended: {cut} bytes cut off, {unsigned} entries were unsigned")
        }
        Body::Stopped => "steward stopped".to_owned(),
        _ => "an entry of a newer kind".to_owned(),
    };
    let word = match entry.word {
        Word::Attested => ' ',
        Word::Claimed => '?',
    };
    let agent = entry.agent.as_deref().unwrap_or("-");
    let what = harmless(&what);
    format!("{:>5} {} {word} {agent:<8} {what}", entry.seq, clock(entry.at))
}

/// What a policy consists of, where it is more than one document.
fn parts(document: &str) -> &'static str {
    let parts = Sources::read(document).map(|all| (all.owner.is_some(), all.cedar.is_some()));
    match parts {
        Ok((true, true)) => ", of owner.toml, policy.toml and policy.cedar",
        Ok((true, false)) => ", of owner.toml and policy.toml",
        Ok((false, true)) => ", of policy.toml and policy.cedar",
        Ok((false, false)) | Err(_) => "",
    }
}

/// UTC of a Unix time in milliseconds, to the second.
fn clock(at: u64) -> String {
    i64::try_from(at / 1000)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{at} ms"), |time| time.to_string())
}
