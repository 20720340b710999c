//! `marque policy adopt`: an agent's draft, signed by its owner and put in force.

use super::{
    compare::summary,
    draft::{Companions, Named},
};
use crate::{
    commands::Shared,
    failure::{Done, Failure},
    story::say,
};
use marque::{
    home::Home,
    owner::{Owner, submit_offline},
};
use marque_identity::Rpc;
use marque_policies::{Diff, Policy, diff, run_tests};
use std::{process::ExitCode, time::Duration};

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    /// The agent.
    agent: String,
    /// Refuse, with exit code 3, where the draft is wider than the policy in force.
    #[arg(long)]
    never_wider: bool,
}

pub(crate) async fn run(shared: &Shared, args: &AdoptArgs) -> Done<ExitCode> {
    let (home, agent) = (shared.home()?, &args.agent);
    let draft = Named::find(&home, agent, &Companions::default())?;
    if !shared.json {
        draft.warn();
    }
    if let Some(expired) = draft.expired() {
        let at = format!("{}:{}", draft.path(expired.file), expired.line);
        return Err(Failure::new(format!("{at}: {}", expired.message))
            .help("give a later `expires`, or take it out; see also the clock"));
    }
    if let Some(result) = run_tests(&draft.policy).into_iter().find(|result| !result.passed) {
        return Err(Failure::new(format!("the policy's own test failed: {}", result.name))
            .help(format!("see marque policy test {agent}")));
    }
    // What does not fit is told before anybody is asked for a passphrase.
    marque_steward::entry::fits(&draft.document)?;
    let in_force = Named::adopted(&home, agent)?;
    let changes = in_force.map(|old| diff(&old.policy, &draft.policy));
    show(shared, &draft, changes.as_ref());
    if args.never_wider && changes.as_ref().is_some_and(Diff::is_wider) {
        return Err(Failure::refused(format!("{} is wider than what is in force", draft.label))
            .help(format!("see marque policy diff {agent}")));
    }
    let owner = Owner::unlock(&shared.owner_home()?, &shared.owner_secret(false)?)?;
    let entry = adopt(shared, &home, &owner, agent, &draft).await?;
    let Policy { version, hash, .. } = &draft.policy;
    if shared.json {
        let changes = changes.map(|diff| diff.changes);
        say!(
            "{}",
            serde_json::json!({
                "entry": entry, "version": version, "hash": hash, "changes": changes,
            })
        );
    } else {
        say!("version {version} is in force for {agent} (hash {hash})");
        say!("  next: marque fund {agent} AMOUNT, marque identity register {agent}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the owner is about to sign.
fn show(shared: &Shared, draft: &Named, changes: Option<&Diff>) {
    if shared.json {
        return;
    }
    say!("{}, version {}, hash {}", draft.label, draft.policy.version, draft.policy.hash);
    match changes {
        Some(diff) => summary(diff).iter().for_each(|line| say!("  {line}")),
        None => say!("  it is the first one; marque policy explain reads it aloud"),
    }
}

/// Signs what is needed and hands it to the running steward, or writes it to the journal where
/// none runs.
async fn adopt(
    shared: &Shared,
    home: &Home,
    owner: &Owner,
    agent: &str,
    draft: &Named,
) -> Done<u64> {
    let policy = &draft.policy;
    if policy.owner != owner.address() {
        return Err(Failure::new(format!(
            "the policy names owner {}, your key is {}",
            policy.owner,
            owner.address()
        ))
        .help("correct `owner` in the policy, or give another --owner-home"));
    }
    let (chain, rpc) = chain_of(policy)?;
    let laid_out = marque_steward::Home::open(home.path())?;
    if laid_out.chain() != chain {
        return Err(Failure::new(format!(
            "this home serves chain {}, the policy names chain {chain}",
            laid_out.chain()
        ))
        .help("one home serves one chain; make another with --home"));
    }
    let acts = owner.adoption(&laid_out, agent, policy, &draft.document, &rpc).await?;
    if marque::process::answers(home) {
        let mut entry = 0;
        // A new agent has no socket of its own yet: any of this home's will do.
        let socket = home.agents().into_iter().map(|name| home.socket(&name)).find(|s| s.exists());
        let socket = socket.unwrap_or_else(|| home.socket(agent));
        let client = marque::owner::connect(&socket, Duration::from_secs(2)).await?;
        for act in acts {
            entry = client.submit(act).await?;
        }
        Ok(entry)
    } else {
        let unlock = shared.unlock(false)?;
        Ok(submit_offline(laid_out, unlock, acts).await?)
    }
}

/// The one chain of a policy, and a client of it.
pub(crate) fn chain_of(policy: &Policy) -> Done<(u64, Rpc)> {
    let mut chains = policy.chains.values();
    match (chains.next(), chains.next()) {
        (Some(chain), None) => Ok((chain.id, Rpc::new(&chain.rpc)?)),
        _ => Err(Failure::new("this version works with exactly one [chain.NAME] in a policy")),
    }
}
