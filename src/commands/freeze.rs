//! `marque freeze | thaw`: stop everything; start again as the owner.

use super::{
    Shared,
    approvals::{NONE_ANSWERS, clients, older, read_request, write_signed},
    audit::frozen_by,
    decide::Travel,
    trust::this_journal,
};
use crate::{
    failure::{Done, Failure},
    story::{harmless, quoted, say},
};
use alloy_primitives::B256;
use marque::{
    owner::Owner,
    request::{Freeze, Signed, accepts_foreign, accepts_nonce},
};
use marque_policies::{SignedStatement, Statement};
use marque_steward_client::{Client, FrozenView};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct FreezeArgs {
    /// Why, for the journal.
    #[arg(long, default_value = "asked for on the command line")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ThawArgs {
    #[command(flatten)]
    travel: Travel,
}

/// `marque freeze`: one steward serves all agents of a home, so one connection stops them all.
pub(crate) async fn freeze(shared: &Shared, args: &FreezeArgs) -> Done<ExitCode> {
    let clients = clients(&shared.home()?).await.map_err(|failure| match failure.help {
        // Only where none answers: one that lets nobody in is another matter.
        Some(_) if failure.message.starts_with(NONE_ANSWERS) => failure.help(
            "while none runs nothing is signed; to have it frozen when it next does: marque steward \
             run, and marque freeze in another terminal",
        ),
        _ => failure,
    })?;
    let entry = stop_all(&clients, &args.reason).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "frozen_at": entry }));
    } else {
        say!("frozen at journal entry {entry}: nothing new is signed");
        say!("  what was signed before stays valid until it expires, at most 5 minutes");
        say!("  to go on: marque thaw (needs the owner's key)");
    }
    Ok(ExitCode::SUCCESS)
}

/// Freezes by the connection that answers first: one that hangs must not keep the others waiting.
async fn stop_all(clients: &[Client], reason: &str) -> Done<u64> {
    let mut failed = Failure::new("no steward answers");
    let mut asked = tokio::task::JoinSet::new();
    for client in clients {
        let (client, reason) = (client.clone(), reason.to_owned());
        asked.spawn(async move { client.freeze(reason).await });
    }
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(entry)) => return Ok(entry),
            Ok(Err(error)) => failed = error.into(),
            Err(error) => failed = Failure::new(error),
        }
    }
    Err(failed)
}

/// `marque thaw`.
pub(crate) async fn thaw(shared: &Shared, args: &ThawArgs) -> Done<ExitCode> {
    if let Some((request, out)) = args.travel.files() {
        let me = Owner::address_in(&shared.owner_home()?)?;
        let request = read_request(request, me)?;
        let Some(freeze) = &request.frozen else {
            return Err(Failure::usage("the steward was not frozen when the request was written"));
        };
        let signed = sign(shared, freeze, (request.chain, request.origin))?;
        write_signed(shared, out, &Signed::new(request.chain, request.origin, vec![signed]))?;
        return Ok(ExitCode::SUCCESS);
    }
    let clients = clients(&shared.home()?).await?;
    let mut frozen: Option<(Freeze, &Client, (u64, B256))> = None;
    for client in &clients {
        let status = client.status().await.map_err(older)?;
        let Some(FrozenView { entry, by, reason, nonce, foreign }) = status.frozen else {
            continue;
        };
        let place = (status.chain, status.origin);
        let accepts = Vec::new();
        let (freeze, ..) =
            frozen.get_or_insert((Freeze { entry, by, reason, accepts }, client, place));
        freeze.accepts.extend(nonce.map(|nonce| accepts_nonce(&status.agent, nonce)));
        freeze.accepts.extend((foreign > 0).then(|| accepts_foreign(&status.agent, foreign)));
    }
    let Some((freeze, client, place)) = frozen else {
        return Err(Failure::usage("the steward is not frozen"));
    };
    this_journal(shared, &shared.home()?, place.0, place.1)?;
    let entry = client.submit(sign(shared, &freeze, place)?).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "entry": entry }));
    } else {
        say!("thawed at journal entry {entry}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what a thaw ends and accepts, then signs it.
fn sign(shared: &Shared, freeze: &Freeze, (chain, origin): (u64, B256)) -> Done<SignedStatement> {
    let Freeze { entry, by, reason, accepts } = freeze;
    let by = frozen_by(by, None);
    anstream::eprintln!("frozen at entry {entry} {}: {}", harmless(&by), quoted(reason));
    for line in accepts {
        anstream::eprintln!("  a thaw accepts of {}", harmless(line));
    }
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    Ok(owner.sign(Statement::Thaw { frozen_at: *entry }, chain, origin, None))
}
