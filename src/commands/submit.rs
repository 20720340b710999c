//! `marque submit`: acts that the owner signed elsewhere, handed to this home's steward.
//!
//! Whoever has the file may hand it in: each act says by its signature whose it is, and for which
//! journal.

use super::{
    Shared,
    approvals::{clients, may_look, older},
};
use crate::{
    failure::{Done, Failure},
    story::{harmless, say, short},
};
use alloy_primitives::B256;
use marque::{
    home::Home,
    owner::submit_offline,
    request::{RequestError, Signed, Travels as _},
};
use marque_policies::{SignedStatement, Statement};
use marque_steward::audit;
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that --out wrote where the owner's key is; `-` for standard input.
    signed: PathBuf,
}

pub(crate) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let home = shared.home()?;
    may_look(&home)?;
    let signed = Signed::read(&args.signed).map_err(|error| match error {
        error @ RequestError::File { .. } => Failure::usage(error),
        error => Failure::new(format!("{}: {error}", args.signed.display())),
    })?;
    let Signed { chain, origin, acts, .. } = signed;
    if acts.is_empty() {
        return Err(Failure::new(format!("{}: there is no act in it", args.signed.display())));
    }
    let Handed { entries, before } = hand_in(shared, &home, (chain, origin), acts.clone()).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "entries": entries }));
    } else {
        for (entry, act) in entries.iter().zip(&acts) {
            let how = if *entry < before { "was accepted already" } else { "accepted" };
            say!("{}: {how}, journal entry {entry}", say_act(act));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of acts that were handed in.
pub(crate) struct Handed {
    /// The entry of each.
    pub(crate) entries: Vec<u64>,
    /// How many entries there were before: an act with an earlier one had been accepted already.
    pub(crate) before: u64,
}

/// Hands acts for the journal of `is_for`, a chain and an origin, to the running steward, or to the
/// journal where none runs; their entries.
pub(crate) async fn hand_in(
    shared: &Shared,
    home: &Home,
    is_for: (u64, B256),
    acts: Vec<SignedStatement>,
) -> Done<Handed> {
    let words: Vec<String> = acts.iter().map(say_act).collect();
    if !marque::process::answers(home) {
        return offline(shared, home, is_for, acts, &words).await;
    }
    let clients = clients(home).await?;
    let client = clients.first().ok_or_else(|| Failure::new("no steward answers"))?;
    let status = client.status().await.map_err(older)?;
    ours((status.chain, status.origin), is_for)?;
    let mut entries = Vec::with_capacity(acts.len());
    for (act, words) in acts.into_iter().zip(&words) {
        let entry = client.submit(act).await.map_err(|error| {
            Failure::new(format!("{words}: {error}")).help(stand(entries.len()))
        })?;
        entries.push(entry);
    }
    Ok(Handed { entries, before: status.entries })
}

/// Where no steward runs, the journal takes the acts one by one, in this process.
async fn offline(
    shared: &Shared,
    home: &Home,
    is_for: (u64, B256),
    acts: Vec<SignedStatement>,
    words: &[String],
) -> Done<Handed> {
    let laid_out = marque_steward::Home::open(home.path())?;
    ours((laid_out.chain(), laid_out.origin()), is_for)?;
    let decides = |act: &SignedStatement| {
        matches!(act.statement, Statement::Approve { .. } | Statement::Deny { .. })
    };
    if !laid_out.has_journal() && acts.iter().any(decides) {
        return Err(Failure::new("nothing waits here: the journal has not begun"));
    }
    let unlock = shared.unlock(false)?;
    let before = if laid_out.has_journal() { audit::state(&laid_out)?.next() } else { 0 };
    let entries = submit_offline(laid_out, unlock, acts).await.map_err(|error| {
        let what = words.join(", ");
        Failure::new(format!("{what}: {error}"))
            .help("those before it stand; handing the file in again changes nothing")
    })?;
    Ok(Handed { entries, before })
}

/// An act for another journal would be refused for its signature, with a line that helps nobody.
fn ours(here: (u64, B256), is_for: (u64, B256)) -> Done {
    if here == is_for {
        return Ok(());
    }
    let line = format!(
        "this is for journal {} on chain {}, and here is journal {} on chain {}",
        short(is_for.1),
        is_for.0,
        short(here.1),
        here.0
    );
    Err(Failure::new(line).help("name the right --home"))
}

fn stand(before: usize) -> String {
    match before {
        0 => "nothing was changed".to_owned(),
        n => format!("the {n} before it stand; handing the file in again changes nothing"),
    }
}

/// An act in words.
pub(crate) fn say_act(act: &SignedStatement) -> String {
    let text = match &act.statement {
        Statement::Genesis { owner, .. } => format!("the journal begins under owner {owner}"),
        Statement::Enroll { agent, key } => format!("{agent} is enrolled with key {key}"),
        Statement::Adopt { agent, version, .. } => {
            format!("policy version {version} of {agent}")
        }
        Statement::Approve { agent, intent, .. } => format!("approval of {intent} of {agent}"),
        Statement::Deny { agent, intent, .. } => format!("denial of {intent} of {agent}"),
        Statement::Rotate { owner, .. } => format!("everything goes over to owner {owner}"),
        Statement::Thaw { frozen_at } => format!("thaw of entry {frozen_at}"),
        _ => "an act that this version does not know".to_owned(),
    };
    harmless(&text)
}
