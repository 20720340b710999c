//! `marque account delegate`.

use super::{Shared, Site, explain};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::U256;
use marque_identity::{
    BlockTag,
    account::{self, Ground, Permissions, compile, end},
};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent; its policy is adopted.
    agent: String,
    /// Also where what is delegated says what the policy says: for another 90 days, with windows that
    /// begin empty.
    #[arg(long)]
    anew: bool,
    /// Sign without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let site = Site::adopted(shared, &args.agent)?;
    site.mine(&shared.owner_home()?, site.policy.owner)?;
    site.deployed().await?;
    let Site { rpc, framework, policy, .. } = &site;
    if let Some((_, error)) = account::lacking(rpc, framework).await?.into_iter().next() {
        return Err(Failure::new(error).help(format!("marque account deploy {}", args.agent)));
    }
    let now = rpc.block(BlockTag::Latest).await?.timestamp;
    if end(policy, u64::MAX) <= now.saturating_add(1) {
        return Err(Failure::refused("the policy in force has expired")
            .help(format!("give a later `expires`, then marque policy adopt {}", args.agent)));
    }
    let old = site.delegated()?;
    let mut alive = false;
    if let Some(old) = &old {
        alive = !old.standing(rpc).await?.is_over();
        if alive && old.account != site.account() {
            return Err(Failure::new(format!(
                "{} still draws on {}, the account of {}",
                args.agent, old.account, old.owner
            ))
            .help(
                "end that first with that owner's key: marque account revoke, --owner-home DIR",
            ));
        }
        if alive && !args.anew && site.drift(shared, old)?.is_empty() {
            return told(shared, &site, old, &[]);
        }
    }
    let salt = old.as_ref().map_or(U256::ZERO, |old| old.salt.saturating_add(U256::ONE));
    let ground = Ground {
        framework: *framework,
        account: site.account(),
        agent: crate::commands::funds::agent_address(shared, &args.agent)?,
        nonce: account::nonce(rpc, framework, site.account()).await?,
        until: now.saturating_add(explain::USUAL * 86_400),
        // Later than any before: what was revoked is not signed again.
        salt: salt.max(U256::from(now)),
    };
    if compile(policy, &ground)?.is_empty() {
        let failure = Failure::refused(format!(
            "the policy lets {} draw nothing on the account, so there is nothing to delegate",
            args.agent
        ));
        return Err(match alive {
            true => failure.help(format!(
                "end what was delegated before: marque account revoke {}",
                args.agent
            )),
            false => failure.help(format!("marque account explain {}@adopted", args.agent)),
        });
    }
    if !shared.json {
        explain::table(policy);
        explain::conclusion(policy).iter().for_each(|line| say!("{line}"));
        if alive {
            say!("What was delegated before is revoked first; the windows begin empty.");
        }
    }
    shared.confirm(args.yes, "sign that")?;
    // Signing costs nothing; revoking does.
    let folder = shared.owner_home()?;
    if alive {
        crate::commands::funds::gas(rpc, policy.owner, &args.agent).await?;
    }
    let owner = marque::owner::Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let signed = owner.delegate(policy, &ground)?;
    let mut revoked = Vec::new();
    if let Some(old) = old.filter(|_| alive) {
        let receipts = owner.revoke(rpc, &old).await?;
        revoked.extend(receipts.iter().map(|receipt| receipt.transaction));
    }
    signed.write(&site.home.delegation(&args.agent))?;
    told(shared, &site, &signed, &revoked)
}

fn told(
    shared: &Shared,
    site: &Site,
    signed: &Permissions,
    revoked: &[alloy_primitives::B256],
) -> Done<ExitCode> {
    let (agent, path) = (&site.agent, site.home.delegation(&site.agent));
    if shared.json {
        let hashes: Vec<_> = signed.unsigned().iter().map(|grant| grant.leaf.hash()).collect();
        say!(
            "{}",
            serde_json::json!({
                "account": signed.account, "agent": signed.agent, "delegations": hashes,
                "expires": signed.until, "file": path, "revoked": revoked,
                "policy_version": site.policy.version,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    say!(
        "{agent} ({}) draws on {} as version {} of its policy says, until {}",
        signed.agent,
        signed.account,
        site.policy.version,
        super::status::moment(signed.until)
    );
    revoked.iter().for_each(|hash| say!("  what it had before is revoked: {hash}"));
    say!("  signed in {}, which is no secret", path.display());
    say!("  next: marque account status {agent}; marque account revoke {agent} --prepare FILE");
    Ok(ExitCode::SUCCESS)
}
