//! `marque freeze | thaw`: stop everything; start again as the owner.

use super::{Shared, approvals::views};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use marque::owner::Owner;
use marque_policies::Statement;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct FreezeArgs {
    /// Why, for the journal.
    #[arg(long, default_value = "asked for on the command line")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ThawArgs {}

/// `marque freeze`: one steward serves all agents of a home, so one connection stops them all.
pub(crate) async fn freeze(shared: &Shared, args: &FreezeArgs) -> Done<ExitCode> {
    let views = views(&shared.home()?).await?;
    let (client, _) = views.first().ok_or_else(|| Failure::new("no steward answers"))?;
    let entry = client.freeze(&args.reason).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "frozen_at": entry }));
    } else {
        say!("frozen at journal entry {entry}: nothing new is signed");
        say!("  what was signed before stays valid until it expires, at most 5 minutes");
        say!("  to go on: marque thaw (needs the owner's key)");
    }
    Ok(ExitCode::SUCCESS)
}

/// `marque thaw`.
pub(crate) async fn thaw(shared: &Shared, _: &ThawArgs) -> Done<ExitCode> {
    let views = views(&shared.home()?).await?;
    let (client, view) = views.first().ok_or_else(|| Failure::new("no steward answers"))?;
    let Some(frozen_at) = view.frozen_at else {
        return Err(Failure::usage("the steward is not frozen"));
    };
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    let chain = view.assets.first().map_or(0, |asset| asset.id.chain);
    let statement = owner.sign(Statement::Thaw { frozen_at }, chain, view.origin, None);
    let entry = client.submit(statement).await?;
    if shared.json {
        say!("{}", serde_json::json!({ "entry": entry }));
    } else {
        say!("thawed at journal entry {entry}");
    }
    Ok(ExitCode::SUCCESS)
}
