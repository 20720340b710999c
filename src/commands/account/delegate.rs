//! `marque account delegate`.

use super::{
    Shared, Signed, Site, explain, is_devnet, keeper,
    messages::tidy,
    revoke::{end_all, end_one},
    waits::settled,
};
use crate::{
    commands::{digits::as_stated, funds::MostFee, policy::Named, trust::own_agent},
    failure::{Done, Failure},
    story::{note, say},
};
use alloy_primitives::{Address, B256, U256};
use marque::owner::{Note, Notes};
use marque_contracts::delegation::Framework;
use marque_identity::{
    BlockTag, Rpc,
    account::{self, Ground, Permissions, compile, drawn, end},
};
use marque_policies::Policy;
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
    #[command(flatten)]
    most: MostFee,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let site = Site::in_force(shared, &args.agent)?;
    let folder = shared.owner_home()?;
    // Two at a time would each end what was before, and both be alive.
    let _turn = Notes::turn(&folder)?;
    site.mine(&folder, site.policy.owner)?;
    site.not_handed_over()?;
    let most = args.most.most_fee.on(&site.policy)?;
    let agent = own_agent(shared, &args.agent)?;
    if let Some(draft) = Named::draft(&site.home, &args.agent)
        .ok()
        .map(|draft| draft.policy)
        .filter(|draft| draft.hash != site.policy.hash)
    {
        note(&format!(
            "the draft of {0}, version {1}, is not in force, and what is delegated is version {2}: marque \
             policy adopt {0}",
            args.agent, draft.version, site.policy.version
        ));
    }
    site.deployed().await?;
    let Site { rpc, framework, policy, .. } = &site;
    if let Some((_, error)) = keeper::lacking(rpc, framework).await?.into_iter().next() {
        return Err(Failure::new(error).help(format!("marque account deploy {}", args.agent)));
    }
    as_stated(policy, |asset| drawn(policy).any(|(of, _)| of == asset)).await?;
    let now = moment(rpc, framework.chain).await?;
    if end(policy, u64::MAX) <= now.saturating_add(1) {
        return Err(Failure::refused("the policy in force has expired")
            .help(format!("give a later `expires`, then marque policy adopt {}", args.agent)));
    }
    settled(shared, rpc, policy.owner).await?;
    let Signed { mine, theirs, doubt, known, .. } = site.signed(shared)?;
    if let Some(theirs) = Signed::alive(rpc, theirs).await?.first() {
        return Err(Failure::new(format!(
            "{} still draws on {}, the account of {}",
            args.agent, theirs.account, theirs.owner
        ))
        .help("end that first with that owner's key: marque account revoke, --owner-home DIR"));
    }
    if let Some(doubt) = doubt {
        note(&format!("{}; it is written anew", doubt.message));
    }
    let salts = mine.iter().map(|old| old.salt.saturating_add(U256::ONE));
    let salt = salts.max().unwrap_or_default();
    let alive = Signed::alive(rpc, mine).await?;
    let nonce = nonce(rpc, framework, site.account()).await?;
    let ground = Ground {
        framework: *framework,
        account: site.account(),
        agent,
        nonce: if known { nonce } else { nonce.saturating_add(U256::ONE) },
        until: now.saturating_add(explain::USUAL * 86_400),
        // Later than any before: what was revoked is not signed again.
        salt: salt.max(U256::from(now)),
    };
    let wanted = compile(policy, &ground)?;
    // Where all is ended first, theirs is as well.
    let others = match known {
        true => site.beside(shared, agent, &wanted).await?,
        false => Vec::new(),
    };
    if let ([old], [], true, false) = (&alive[..], &others[..], known, args.anew)
        && site.drift(shared, old)?.is_empty()
        && old.standing(rpc).await?.assets.iter().all(|asset| !asset.revoked)
    {
        old.write(&site.home.delegation(&args.agent))?;
        return told(shared, &site, old, None);
    }
    if wanted.is_empty() {
        let failure = Failure::refused(format!(
            "the policy lets {} draw nothing on the account, so there is nothing to delegate",
            args.agent
        ));
        return Err(match alive.is_empty() {
            false => failure.help(format!(
                "end what was delegated before: marque account revoke {}",
                args.agent
            )),
            true => failure.help(format!("marque account explain {}@adopted", args.agent)),
        });
    }
    if !shared.json {
        explain::table(policy);
        explain::conclusion(policy).iter().for_each(|line| say!("{line}"));
        if !known {
            say!(
                "Your folder does not know what was signed for this account before: all that was \
                 delegated from it, to any agent, is ended first."
            );
        } else if !alive.is_empty() {
            say!("What was delegated before is revoked first; the windows begin empty.");
        }
        for (name, _) in &others {
            say!(
                "{name} draws under other limits for all agents together, and each of these is a budget of \
                 its own: what was delegated to it is revoked first, and it draws nothing until marque \
                 account delegate {name}."
            );
        }
        for name in undrawn(policy) {
            say!(
                "The policy has no [float.{name}]: its steward draws nothing of it, and what you sign is of \
                 use to a thief of the key alone."
            );
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
    let ends = !known || !alive.is_empty() || !others.is_empty();
    if ends {
        crate::commands::funds::gas(rpc, policy.owner, &args.agent).await?;
    }
    let owner = shared.sender(&folder)?;
    let mut notes = Notes::of(&folder)?;
    let mut revoked = Vec::new();
    let mut ends = owner.ends(rpc, framework.chain, most);
    if known {
        for old in alive.iter().chain(others.iter().map(|(_, other)| other)) {
            revoked.extend(end_one(&mut ends, old).await?);
        }
    } else {
        let Site { framework, .. } = &site;
        let noted: Vec<_> = notes.delegated(framework.chain, site.account()).cloned().collect();
        revoked = end_all(&mut ends, (&noted, true), framework, site.account()).await?;
        if self::nonce(rpc, framework, site.account()).await? != ground.nonce {
            return Err(Failure::new("the account's nonce moved meanwhile; nothing was signed")
                .help(format!("once more: marque account delegate {}", args.agent)));
        }
        notes.add(Note::Deployed { chain: framework.chain, account: site.account() })?;
    }
    // A message that was to end what is over would end what is signed now.
    tidy((&folder, &notes), rpc, framework, site.account()).await;
    let signed = owner.delegate(policy, &ground)?;
    notes.add(Note::Delegated(Box::new(signed.clone())))?;
    signed.write(&site.home.delegation(&args.agent))?;
    told(shared, &site, &signed, Some(&revoked))
}

/// What is delegated and no steward draws, by name.
fn undrawn(policy: &Policy) -> impl Iterator<Item = &str> {
    let drawn = drawn(policy).filter(|(asset, _)| !policy.floats.contains_key(asset));
    drawn.filter_map(|(asset, _)| policy.asset(asset).map(|(name, _)| name))
}

/// The moment from which the end is counted: the owner's, where the chain has about the same. A
/// development chain's clock is moved by whoever tests with it.
async fn moment(rpc: &Rpc, chain: u64) -> Done<u64> {
    let theirs = rpc.block(BlockTag::Latest).await?.timestamp;
    if is_devnet(chain) {
        return Ok(theirs);
    }
    let mine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    agreed(theirs, mine)
}

fn agreed(theirs: u64, mine: u64) -> Done<u64> {
    match theirs.abs_diff(mine) {
        ..=CLOCKS => Ok(mine),
        apart => Err(Failure::new(format!(
            "the endpoint's newest block is {apart} seconds from this machine's clock"
        ))
        .help("set the clock, or name another endpoint in the policy; nothing was signed")),
    }
}

/// The account's nonce, of which every endpoint must say the same: a delegation that names a later one
/// comes alive when all others are ended.
pub(super) async fn nonce(rpc: &Rpc, framework: &Framework, account: Address) -> Done<U256> {
    let mut agreed = None;
    let look = |each: Rpc| async move { account::nonce(&each, framework, account).await };
    for (host, said) in rpc.all(look).await {
        let nonce = said?;
        match agreed.replace(nonce) {
            Some(before) if before != nonce => {
                return Err(Failure::new(format!(
                    "the policy's endpoints say {before} and {nonce} ({host}) for the nonce of {account}"
                ))
                .help("one of them lags or lies: try again, or name others; nothing was signed"));
            }
            _ => {}
        }
    }
    agreed.ok_or_else(|| Failure::new("there is no endpoint to ask"))
}

/// What was signed, and which transactions ended what was before; none where nothing was signed.
fn told(
    shared: &Shared,
    site: &Site,
    signed: &Permissions,
    revoked: Option<&[B256]>,
) -> Done<ExitCode> {
    let (agent, path) = (&site.agent, site.home.delegation(&site.agent));
    if shared.json {
        let hashes: Vec<_> = signed.unsigned().iter().map(|grant| grant.leaf.hash()).collect();
        say!(
            "{}",
            serde_json::json!({
                "account": signed.account, "agent": signed.agent, "delegations": hashes,
                "expires": signed.until, "file": path, "signed": revoked.is_some(),
                "revoked": revoked.unwrap_or_default(),
                "policy_version": site.policy.version,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    let Some(revoked) = revoked else {
        say!(
            "nothing was signed: {agent} ({}) draws on {} as version {} of its policy says, until {}, and its \
             windows go on",
            signed.agent,
            signed.account,
            site.policy.version,
            super::status::moment(signed.until)
        );
        for name in undrawn(&site.policy) {
            say!("  the policy has no [float.{name}]: its steward draws nothing of it");
        }
        say!("  for later, with windows that begin empty: marque account delegate {agent} --anew");
        return Ok(ExitCode::SUCCESS);
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_does_not_say_when_a_delegation_ends() {
        let now = 1_800_000_000;
        for theirs in [now - CLOCKS, now, now + CLOCKS] {
            assert_eq!(agreed(theirs, now).ok(), Some(now));
        }
        for theirs in [0, now - CLOCKS - 1, now + CLOCKS + 1, now + 50 * 365 * 86_400, u64::MAX] {
            assert!(agreed(theirs, now).is_err());
        }
    }
}
