//! `marque account revoke --all`: all that the account of the key here gave away, on every chain of the
//! policies that it signed. The owner's folder is enough, whatever became of the home.

use super::{
    super::{
        Signed, framework_on, keeper,
        messages::{Messages, tidy},
        waits::go_first,
    },
    end_all, key,
    send::named,
    stays, told,
    ways::{Ways, through},
};
use crate::{
    commands::{Shared, funds::Coins},
    failure::{Done, Failure},
    story::note,
};
use alloy_primitives::{Address, B256, U256};
use futures::future::join_all;
use marque::{
    home::Home,
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

/// How everything is ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Also where nothing is left that is known here.
    pub(super) again: bool,
    /// What the word of one endpoint may cost, in wei.
    pub(super) most: U256,
}

/// What needs no notes either.
pub(super) const WITHOUT_NOTES: &str =
    "your key and an endpoint of the chain are enough: marque account revoke --all --rpc URL";

pub(super) async fn run(
    shared: &Shared,
    url: Option<&str>,
    (again, most): (bool, &Coins),
) -> Done<ExitCode> {
    if let Some(url) = url {
        return through_one(shared, url, (again, most)).await;
    }
    let folder = shared.owner_home()?;
    let notes =
        Notes::readable(&folder).map_err(|error| Failure::new(error).help(WITHOUT_NOTES))?;
    let ways = Ways::of(shared)?;
    let how = How { again, most: ways.wei(most)? };
    let Ways { known: chains, lost, doubts, .. } = ways;
    doubts.iter().for_each(|doubt| note(&format!("{doubt}; this goes by an older one")));
    if chains.is_empty() && lost.is_empty() {
        if let Some(error) = notes.broken() {
            return Err(Failure::new(error).help(WITHOUT_NOTES));
        }
        return Err(Failure::new(format!(
            "{} names no chain: no policy was adopted with it",
            folder.path().display()
        ))
        .help(
            "is it the right folder (--owner-home DIR)? Or give an endpoint of the chain: marque account \
             revoke --all --rpc URL",
        ));
    }
    // One chain that is silent keeps nothing alive on another, and one on which the folder knows of
    // nothing is no failure where something else has ended.
    let (mut lines, mut sent, mut failures, mut doubts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut ended = end_on(shared, &chains, lost, how).await?;
    failures.extend(ended.split_off(chains.len()).into_iter().filter_map(Result::err));
    for ((_, framework), ended) in chains.iter().zip(ended) {
        match ended {
            Ok((what, hashes)) => {
                lines.push(what);
                sent.extend(hashes);
            }
            Err(error) if notes.accounts(framework.chain).next().is_some() => failures.push(error),
            Err(error) => doubts.push(error),
        }
    }
    failures.extend(notes.broken().map(unread));
    if failures.is_empty() && lines.is_empty() {
        failures.extend(doubts.pop());
    }
    let failure = failures.pop();
    failures.iter().for_each(|failure| note(&failure.line()));
    doubts.iter().for_each(|failure| note(&failure.message));
    if !lines.is_empty() {
        told(shared, &lines.join("\n"), &sent)?;
    }
    // What others' keys end comes after all that this one does.
    others(shared, &chains).await;
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Through an endpoint that was named, whatever chain it is of.
async fn through_one(shared: &Shared, url: &str, (again, most): (bool, &Coins)) -> Done<ExitCode> {
    let rpc = named(url)?;
    let chain = match rpc.chain_id().await {
        Ok(chain) => chain,
        Err(error) => return Err(unreached(shared, &error.into()).await?),
    };
    if let Some(line) = another_chain(shared, &rpc, chain)? {
        note(&line);
    }
    let most = Ways::of(shared).map_or_else(|_| most.unnamed(), |ways| ways.wei_on(most, chain));
    let how = How { again, most: most? };
    let framework = framework_on(chain)?;
    let chains = [(rpc, framework)];
    let mut ended = end_on(shared, &chains, Vec::new(), how).await?;
    let (what, hashes) = ended.pop().unwrap_or_else(|| Err(nobody()))?;
    told(shared, &what, &hashes)?;
    others(shared, &chains).await;
    elsewhere(shared, framework.chain).await
}

/// Where the endpoint that was named is silent: nobody knows of which chain it is, so a message is made for
/// each that the folder knows.
async fn unreached(shared: &Shared, silent: &Failure) -> Done<Failure> {
    let mut chains: Vec<u64> = match Notes::readable(&shared.owner_home()?) {
        Ok(notes) => notes.chains().collect(),
        Err(_) => Vec::new(),
    };
    chains.sort_unstable();
    chains.dedup();
    let lost = chains.into_iter().map(|chain| (chain, silent.again())).collect();
    let how = How { again: false, most: U256::ZERO };
    let made = end_on(shared, &[], lost, how).await?;
    let mut failures: Vec<Failure> = made.into_iter().filter_map(Result::err).collect();
    let last = failures.pop().unwrap_or_else(|| silent.again());
    failures.iter().for_each(|failure| note(&failure.line()));
    Ok(last)
}

/// What is said of an endpoint of a chain of which the folder knows nothing, where it does of others.
fn another_chain(shared: &Shared, rpc: &Rpc, chain: u64) -> Done<Option<String>> {
    let Ok(notes) = Notes::readable(&shared.owner_home()?) else { return Ok(None) };
    let adopted = notes.adoptions().filter(|it| framework_on(it.chain).is_ok()).map(|it| it.chain);
    let mut known: Vec<u64> = adopted.chain(notes.chains()).collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() || known.contains(&chain) {
        return Ok(None);
    }
    let known: Vec<String> = known.iter().map(|known| format!("eip155:{known}")).collect();
    let host = rpc.hosts().next().unwrap_or_default();
    Ok(Some(format!(
        "{host} is of another chain, eip155:{chain}: your folder knows of {}, and nothing there ends through it",
        known.join(", ")
    )))
}

/// A line of the owner's notes of which nobody knows what it was to end.
pub(super) fn unread(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("{error}; what that line says was delegated may live")).help(
        "use the newest marque, or mend the line; on a chain that no other line names: marque account \
         revoke --all --rpc URL",
    )
}

pub(super) fn nobody() -> Failure {
    Failure::new("there is no chain to end anything on")
}

/// Whether all that the folder knows of other chains is over there: an account has the same address on each,
/// and the endpoint that was named is of one.
async fn elsewhere(shared: &Shared, chain: u64) -> Done<ExitCode> {
    let folder = shared.owner_home()?;
    let Ok(notes) = Notes::readable(&folder) else { return Ok(ExitCode::FAILURE) };
    let me = Owner::address_in(&folder)?;
    let ways = Ways::of(shared)?;
    let mut others: Vec<_> = notes.chains().filter(|other| *other != chain).collect();
    others.sort_unstable();
    others.dedup();
    let looks = others.into_iter().map(|other| {
        let (notes, ways) = (&notes, &ways);
        async move {
            let account = account_of(me)?.address(&framework_on(other)?);
            let noted: Vec<_> = notes.delegated(other, account).cloned().collect();
            let over = async { last_ended(&noted, &ways.to(other)?).await };
            let over = tokio::time::timeout(LOOK, over).await;
            if !noted.is_empty() && !over.is_ok_and(|over| over.unwrap_or(false)) {
                return Ok(Some(format!(
                    "what was delegated from {account} on eip155:{other} may live"
                )));
            }
            Ok(None)
        }
    });
    let mut code = ExitCode::SUCCESS;
    for look in join_all(looks).await {
        let look: Done<Option<String>> = look;
        if let Some(doubt) = look? {
            note(&format!(
                "{doubt}: marque account revoke --all, or with --rpc URL an endpoint of that chain"
            ));
            code = ExitCode::FAILURE;
        }
    }
    if let Some(error) = notes.broken() {
        note(&unread(error).message);
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

/// Ends all that the account of the key here gave away, on each of these chains at once, by what their
/// endpoints and the owner's folder say. Of those that are lost, to which no endpoint leads, there is the
/// message that ends everything; what is said of them comes last.
pub(super) async fn end_on(
    shared: &Shared,
    chains: &[(Rpc, Framework)],
    lost: Vec<(u64, Failure)>,
    How { again, most }: How,
) -> Done<Vec<Done<Ended>>> {
    let folder = &shared.owner_home()?;
    let me = Owner::address_in(folder)?;
    // Notes that cannot be read end nothing, and keep nothing alive.
    let notes = &Notes::readable(folder).unwrap_or_else(|error| {
        note(&format!("{error}; everything is ended without them"));
        Notes::none(folder)
    });
    let looks = join_all(chains.iter().map(|(rpc, framework)| async move {
        let account = account_of(me)?.address(framework);
        let noted: Vec<_> = notes.delegated(framework.chain, account).cloned().collect();
        let look = async {
            let all = there(notes, rpc, framework, me).await?;
            Ok((!again && last_ended(&noted, rpc).await?, all))
        };
        Ok((look.await, account, noted))
    }));
    type Look = (Done<(bool, bool)>, Address, Vec<Permissions>);
    let looks: Vec<Done<Look>> = looks.await;
    // The passphrase is asked for once, and only where there is something to end.
    let ends = looks.iter().any(|look| matches!(look, Ok((Ok((false, _)), ..))));
    let known = |chain| account(me, chain).and_then(|of| notes.last_nonce(chain, of.1)).is_some();
    let failed = |look: &Done<Look>| matches!(look, Ok((Err(_), ..)));
    let silent = chains.iter().zip(&looks).any(|((_, on), look)| failed(look) && known(on.chain));
    let owner = key(shared, ends, silent || lost.iter().any(|(chain, _)| known(*chain)))?;
    let messages = Messages { folder, notes, owner: owner.as_ref() };
    let ends = chains.iter().zip(looks).map(|((rpc, framework), look)| async move {
        let (look, account, noted) = look?;
        let chain = framework.chain;
        let message =
            |failure, answered| messages.with(failure, framework, account, (None, answered));
        let (over, all) = look.map_err(|failure| message(failure, false))?;
        let ended = async {
            let (false, Some(owner)) = (over, messages.owner) else {
                return Ok(has_ended(account, chain));
            };
            go_first(shared, rpc, me).await?;
            // What was on its way may have been this.
            if !again && last_ended(&noted, rpc).await? {
                return Ok(has_ended(account, chain));
            }
            let mut ends = owner.ends(rpc, chain, most);
            let hashes = end_all(&mut ends, (&noted, again), framework, account).await?;
            Ok((has(account, chain), hashes))
        };
        let ended = ended.await.map_err(|failure| message(failure, all))?;
        tidy((folder, notes), rpc, framework, account).await;
        Ok(ended)
    });
    let ended: Vec<Done<Ended>> = join_all(ends).await;
    let named = |(ended, (_, framework)): (Done<Ended>, &(Rpc, Framework))| {
        ended.map_err(|failure| match failure.help.is_none() && !failure.is_silence() {
            true => failure.help(through(framework.chain)),
            false => failure,
        })
    };
    let lost = lost.into_iter().map(|(chain, failure)| match account(me, chain) {
        Some((framework, account)) => {
            Err(messages.with(failure, &framework, account, (None, false)))
        }
        None => Err(failure),
    });
    Ok(ended.into_iter().zip(chains).map(named).chain(lost).collect())
}

/// The account of an owner's on a chain, where Marque knows a framework there.
fn account(owner: Address, chain: u64) -> Option<(Framework, Address)> {
    let framework = framework_on(chain).ok()?;
    Some((framework, account_of(owner).ok()?.address(&framework)))
}

fn has(account: Address, chain: u64) -> String {
    format!("all that was delegated from {account} on eip155:{chain} has ended")
}

fn has_ended(account: Address, chain: u64) -> Ended {
    let what = format!(
        "{} already; for what may have been signed on another machine since: --all --again",
        has(account, chain)
    );
    (what, Vec::new())
}

/// Refuses where no endpoint has the account of the key here; whether each of them has it.
async fn there(notes: &Notes, rpc: &Rpc, framework: &Framework, owner: Address) -> Done<bool> {
    let made_of = account_of(owner)?;
    let account = made_of.address(framework);
    keeper::somewhere(rpc, framework).await?;
    let seen = keeper::seen(rpc, framework, &made_of).await?;
    match seen.any {
        true => Ok(seen.all),
        false => Err(nowhere(notes, owner, (account, framework.chain))),
    }
}

/// An account that is not there is no proof that nothing can be drawn: the folder or the endpoint may
/// be another one than the owner meant.
fn nowhere(notes: &Notes, owner: Address, (account, chain): (Address, u64)) -> Failure {
    let known = notes.delegated(chain, account).next().is_some();
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

/// Says what agents of the home draw on accounts of those who were its owners before, which another key
/// ends. What is ended is ended, whether or not this can be looked at: a home holds what a thief put there,
/// so it is looked at briefly, once all is ended and told.
pub(super) async fn others(shared: &Shared, chains: &[(Rpc, Framework)]) {
    let (Ok(home), Ok(Ok(me))) =
        (shared.home(), shared.owner_home().map(|it| Owner::address_in(&it)))
    else {
        return;
    };
    let owners = keeper::owners(&home).unwrap_or_default();
    let (home, owners) = (&home, &owners[..]);
    let looks =
        chains.iter().map(|(rpc, framework)| tell_others(home, rpc, framework.chain, (me, owners)));
    if tokio::time::timeout(LOOK, join_all(looks)).await.is_err() {
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
