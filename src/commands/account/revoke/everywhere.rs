//! `marque account revoke --all`: all that the account of the key here gave away, on every chain of the
//! policies that it signed. The owner's folder is enough, whatever became of the home.

use super::{
    super::{Signed, framework_on, keeper, waits::go_first},
    end_all,
    send::named,
    stays, told,
};
use crate::{
    commands::{Shared, policy::chain_of, trust::own_policies},
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::{Address, B256};
use marque::{
    home::{Home, OwnerHome},
    owner::{Notes, Owner, account_of},
};
use marque_contracts::delegation::Framework;
use marque_identity::{Rpc, account::Permissions};
use std::{process::ExitCode, time::Duration};

/// So long is looked at what this key does not end,
const LOOK: Duration = Duration::from_secs(10);

/// and at so many of a home's files.
const MOST: usize = 16;

/// What was ended, in words, and the transactions.
type Ended = (String, Vec<B256>);

/// What needs no notes either.
pub(super) const WITHOUT_NOTES: &str =
    "your key and an endpoint of the chain are enough: marque account revoke --all --rpc URL";

pub(super) async fn run(shared: &Shared, url: Option<&str>, again: bool) -> Done<ExitCode> {
    if let Some(url) = url {
        let rpc = named(url)?;
        let framework = framework_on(rpc.chain_id().await?)?;
        let (what, hashes) = here(shared, &rpc, &framework, again).await?;
        told(shared, &what, &hashes)?;
        others(shared, &rpc, &framework).await;
        return elsewhere(shared, framework.chain).await;
    }
    let chains = chains(shared).map_err(|failure| failure.help(WITHOUT_NOTES))?;
    if chains.is_empty() {
        let folder = shared.owner_home()?;
        return Err(Failure::new(format!(
            "{} names no chain: no policy was adopted with it",
            folder.path().display()
        ))
        .help(
            "is it the right folder (--owner-home DIR)? Or give an endpoint of the chain: marque account \
             revoke --all --rpc URL",
        ));
    }
    let notes = Notes::of(&shared.owner_home()?).ok();
    // One chain that is silent keeps nothing alive on another, and one on which the folder knows of
    // nothing is no failure where something else has ended.
    let (mut lines, mut sent, mut failure, mut doubt) = (Vec::new(), Vec::new(), None, None);
    for (rpc, framework) in &chains {
        match here(shared, rpc, framework, again).await {
            Ok((what, hashes)) => {
                lines.push(what);
                sent.extend(hashes);
            }
            Err(error) => {
                let known =
                    notes.as_ref().is_none_or(|it| it.accounts(framework.chain).next().is_some());
                let before = if known { failure.replace(error) } else { doubt.replace(error) };
                before.iter().for_each(|before| note(&before.message));
            }
        }
    }
    if failure.is_none() && lines.is_empty() {
        failure = doubt.take();
    }
    doubt.iter().for_each(|doubt| note(&doubt.message));
    if !lines.is_empty() {
        told(shared, &lines.join("\n"), &sent)?;
    }
    // What others' keys end comes after all that this one does.
    for (rpc, framework) in &chains {
        others(shared, rpc, framework).await;
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Whether all that the folder knows of other chains is over there: an account has the same address on each,
/// and the endpoint that was named is of one.
async fn elsewhere(shared: &Shared, chain: u64) -> Done<ExitCode> {
    let folder = shared.owner_home()?;
    let account_on = |framework: &Framework| -> Done<Address> {
        Ok(account_of(Owner::address_in(&folder)?)?.address(framework))
    };
    let Ok(notes) = Notes::of(&folder) else { return Ok(ExitCode::SUCCESS) };
    let chains = chains(shared)?;
    let mut others: Vec<_> = notes.chains().filter(|other| *other != chain).collect();
    others.sort_unstable();
    others.dedup();
    let mut code = ExitCode::SUCCESS;
    for other in others {
        let account = account_on(&framework_on(other)?)?;
        let noted: Vec<_> = notes.delegated(other, account).cloned().collect();
        if noted.is_empty() {
            continue;
        }
        let known = chains.iter().find(|(_, framework)| framework.chain == other);
        let over = async {
            match known {
                Some((rpc, _)) => last_ended(&noted, rpc).await.unwrap_or(false),
                None => false,
            }
        };
        if !tokio::time::timeout(LOOK, over).await.unwrap_or(false) {
            note(&format!(
                "what was delegated from {account} on eip155:{other} may live: marque account revoke --all, \
                 or with --rpc URL an endpoint of that chain"
            ));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// The chains of the policies that the key here signed, each with the endpoints of the newest one.
fn chains(shared: &Shared) -> Done<Vec<(Rpc, Framework)>> {
    let mut chains: Vec<(Rpc, Framework)> = Vec::new();
    for policy in own_policies(shared)? {
        let Ok((chain, rpc)) = chain_of(&policy) else { continue };
        // Where Marque knows no framework nothing was delegated either.
        let Ok(framework) = framework_on(chain) else { continue };
        if chains.iter().all(|(_, known)| known.chain != chain) {
            chains.push((rpc, framework));
        }
    }
    Ok(chains)
}

/// Ends all on one chain, by what its endpoints and the owner's folder say.
async fn here(shared: &Shared, rpc: &Rpc, framework: &Framework, again: bool) -> Done<Ended> {
    let folder = shared.owner_home()?;
    let owner = Owner::address_in(&folder)?;
    let made_of = account_of(owner)?;
    let account = made_of.address(framework);
    if let Some((_, error)) = keeper::lacking(rpc, framework).await?.into_iter().next() {
        return Err(Failure::new(error).help("nothing was sent; is it the right endpoint?"));
    }
    if !keeper::is_deployed(rpc, framework, &made_of).await? {
        return Err(nowhere(&folder, owner, account, framework.chain));
    }
    one(shared, rpc, framework, account, again).await
}

/// An account that is not there is no proof that nothing can be drawn: the folder or the endpoint may
/// be another one than the owner meant.
fn nowhere(folder: &OwnerHome, owner: Address, account: Address, chain: u64) -> Failure {
    let known =
        Notes::of(folder).is_ok_and(|notes| notes.delegated(chain, account).next().is_some());
    let there = format!("{account}, the account of {owner}, is not there on this chain {chain}");
    if known {
        Failure::new(format!(
            "{there}, and this folder knows what was delegated from it: nothing was ended"
        ))
        .help("give an endpoint of the chain on which it was: --rpc URL")
    } else {
        Failure::new(format!("{there}: nothing was ended"))
            .help("is it the right owner (--owner-home DIR) and the right chain (--rpc URL)?")
    }
}

/// Ends all that an account of the key here gave away.
pub(super) async fn one(
    shared: &Shared,
    rpc: &Rpc,
    framework: &Framework,
    account: Address,
    again: bool,
) -> Done<Ended> {
    let folder = shared.owner_home()?;
    // Notes that cannot be read end nothing, and keep nothing alive.
    let notes = Notes::of(&folder).unwrap_or_else(|error| {
        note(&format!("{error}; everything is ended without them"));
        Notes::none(&folder)
    });
    let noted: Vec<_> = notes.delegated(framework.chain, account).cloned().collect();
    let over = || {
        let what = format!(
            "all that was delegated from {account} on eip155:{} has ended already; for what may have been \
             signed on another machine since: --all --again",
            framework.chain
        );
        (what, Vec::new())
    };
    if !again && last_ended(&noted, rpc).await? {
        return Ok(over());
    }
    let mut owner = shared.sender(&folder)?;
    go_first(shared, rpc, &mut owner).await?;
    // What was on its way may have been this.
    if !again && last_ended(&noted, rpc).await? {
        return Ok(over());
    }
    let hashes = end_all(&owner, &noted, rpc, framework, account).await?;
    let chain = framework.chain;
    Ok((format!("all that was delegated from {account} on eip155:{chain} has ended"), hashes))
}

/// Says what agents of the home draw on accounts of those who were its owners before, which another key
/// ends. What is ended is ended, whether or not this can be looked at: a home holds what a thief put there,
/// so it is looked at briefly, once all is ended and told.
pub(super) async fn others(shared: &Shared, rpc: &Rpc, framework: &Framework) {
    let (Ok(home), Ok(Ok(me))) =
        (shared.home(), shared.owner_home().map(|it| Owner::address_in(&it)))
    else {
        return;
    };
    let owners = keeper::owners(&home).unwrap_or_default();
    let look = tell_others(&home, rpc, framework.chain, (me, &owners));
    if tokio::time::timeout(LOOK, look).await.is_err() {
        note(&format!(
            "not all that agents of {} draw on accounts of other owners was looked at",
            home.path().display()
        ));
    }
}

async fn tell_others(home: &Home, rpc: &Rpc, chain: u64, (me, owners): (Address, &[Address])) {
    let mut left = MOST;
    for agent in home.agents() {
        let read = Permissions::read(&home.delegation(&agent)).ok().flatten();
        let theirs = |it: &Permissions| {
            it.framework.chain == chain && it.owner != me && owners.contains(&it.owner)
        };
        let Some(other) = read.filter(theirs) else {
            // The files of a whole folder are no reason to be late.
            tokio::task::yield_now().await;
            continue;
        };
        if left == 0 {
            return;
        }
        left = left.saturating_sub(1);
        if !other.standing(rpc).await.is_ok_and(|standing| standing.is_over()) {
            note(&stays(&agent, &other).message);
        }
    }
}

/// Whether something was signed here for the account, and every endpoint says of all of it that it is
/// over. What agents' homes say is theirs.
async fn last_ended(noted: &[Permissions], rpc: &Rpc) -> Done<bool> {
    Ok(!noted.is_empty() && Signed::alive(rpc, noted.iter().cloned()).await?.is_empty())
}
