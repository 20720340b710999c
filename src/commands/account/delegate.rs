//! `marque account delegate`.

use super::{Shared, Site, explain, is_devnet};
use crate::{
    failure::{Done, Failure},
    story::say,
};
use alloy_primitives::{Address, U256};
use marque_contracts::delegation::Framework;
use marque_identity::{
    BlockTag, Rpc,
    account::{self, Ground, Permissions, compile, end},
};
use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// So far apart may the clocks of this machine and of a chain's newest block be, in seconds.
const CLOCKS: u64 = 600;

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
    site.sworn()?;
    site.deployed().await?;
    let Site { rpc, framework, policy, .. } = &site;
    if let Some((_, error)) = account::lacking(rpc, framework).await?.into_iter().next() {
        return Err(Failure::new(error).help(format!("marque account deploy {}", args.agent)));
    }
    let now = moment(rpc, framework.chain).await?;
    if end(policy, u64::MAX) <= now.saturating_add(1) {
        return Err(Failure::refused("the policy in force has expired")
            .help(format!("give a later `expires`, then marque policy adopt {}", args.agent)));
    }
    let folder = shared.owner_home()?;
    let old = site.delegated()?;
    let mut others = Vec::new();
    for other in site.signed(shared)?.into_iter().filter(|it| Some(it) != old.as_ref()) {
        if !other.standing(rpc).await?.is_over() {
            others.push(other);
        }
    }
    let mut alive = !others.is_empty();
    if let Some(old) = &old {
        let lives = !old.standing(rpc).await?.is_over();
        alive |= lives;
        if lives && old.account != site.account() {
            return Err(Failure::new(format!(
                "{} still draws on {}, the account of {}",
                args.agent, old.account, old.owner
            ))
            .help(
                "end that first with that owner's key: marque account revoke, --owner-home DIR",
            ));
        }
        if lives && others.is_empty() && !args.anew && site.drift(shared, old)?.is_empty() {
            return told(shared, &site, old, &[]);
        }
    }
    let salts = others.iter().chain(&old).map(|old| old.salt.saturating_add(U256::ONE));
    let salt = salts.max().unwrap_or_default();
    let ground = Ground {
        framework: *framework,
        account: site.account(),
        agent: crate::commands::funds::agent_address(shared, &args.agent)?,
        nonce: nonce(rpc, framework, site.account()).await?,
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
        say!(
            "It is for the key {}, on {}, until {}, and names nonce {}.",
            ground.agent,
            ground.account,
            super::status::moment(end(policy, ground.until)),
            ground.nonce
        );
    }
    shared.confirm(args.yes, "sign that")?;
    // Signing costs nothing; revoking does.
    if alive {
        crate::commands::funds::gas(rpc, policy.owner, &args.agent).await?;
    }
    let owner = marque::owner::Owner::unlock(&folder, &shared.owner_secret(false)?)?;
    let signed = owner.delegate(policy, &ground)?;
    let mut revoked = Vec::new();
    for old in old.into_iter().chain(others) {
        if !old.standing(rpc).await?.is_over() {
            let receipts = owner.revoke(rpc, &old).await?;
            revoked.extend(receipts.iter().map(|receipt| receipt.transaction));
        }
    }
    marque::owner::note(&folder, &signed)?;
    signed.write(&site.home.delegation(&args.agent))?;
    told(shared, &site, &signed, &revoked)
}

/// The moment from which the end is counted: the owner's, where the chain has about the same. A
/// development chain's clock is moved by whoever tests with it.
async fn moment(rpc: &Rpc, chain: u64) -> Done<u64> {
    let theirs = rpc.block(BlockTag::Latest).await?.timestamp;
    if is_devnet(chain) {
        return Ok(theirs);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if theirs.abs_diff(since) > CLOCKS {
        return Err(Failure::new(format!(
            "the endpoint's newest block is {} seconds from this machine's clock",
            theirs.abs_diff(since)
        ))
        .help("set the clock, or name another endpoint in the policy; nothing was signed"));
    }
    Ok(since)
}

/// The account's nonce, of which every endpoint must say the same: a delegation that names a later one
/// comes alive when all others are ended.
async fn nonce(rpc: &Rpc, framework: &Framework, account: Address) -> Done<U256> {
    let first = account::nonce(rpc, framework, account).await?;
    for each in rpc.each() {
        let other = account::nonce(&each, framework, account).await?;
        if other != first {
            return Err(Failure::new(format!(
                "the policy's endpoints say {first} and {other} for the nonce of {account}"
            ))
            .help("one of them lags or lies: try again, or name others; nothing was signed"));
        }
    }
    Ok(first)
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
