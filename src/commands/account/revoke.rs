//! `marque account revoke`: the end of what was delegated, now or prepared for later.

mod ends;
mod everywhere;
mod prepare;
mod send;
mod ways;

pub(super) use ends::{Said, end_all, end_one, nonces};

use super::{
    Shared, Signed, Site,
    messages::{Messages, tidy},
    waits::go_first,
};
use crate::{
    commands::{
        funds::{Coins, DEFAULT_MOST_FEE, coins, gas},
        policy::account_address,
    },
    failure::{Done, Failure},
    story::{note, say},
};
use alloy_primitives::{Address, B256, U256};
use ends::{end_anyway, lives};
use everywhere::How;
use futures::future::join_all;
use marque::owner::{Ends, Notes, Owner};
use marque_identity::{
    Rpc,
    account::{Permissions, Standing},
};
use std::{path::PathBuf, process::ExitCode};
use ways::Ways;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent whose delegation ends, or any agent of the owner's with --prepare. Left out with
    /// --send and --all.
    #[arg(conflicts_with = "send")]
    agent: Option<String>,
    /// End those of all agents: your folder is enough, whatever became of the home. With an agent, on its
    /// chain and by its policy's endpoints alone.
    #[arg(long, conflicts_with_all = ["prepare", "send"])]
    all: bool,
    /// Also where nothing is left that this home knows of: what was signed elsewhere.
    #[arg(long, requires = "all", conflicts_with_all = ["prepare", "send"])]
    again: bool,
    /// Write the message that ends all of them, signed now, to be sent by anybody when it is needed.
    #[arg(long, value_name = "FILE", conflicts_with = "send")]
    prepare: Option<PathBuf>,
    /// Pay its fee in advance, in coins of the chain, as in 0.001 or "0.001 ETH": the file then holds a
    /// transaction to broadcast, and no coins are needed where it is sent. What the fee turns out to be too
    /// much is lost.
    #[arg(
        long, value_name = "COINS", value_parser = coins, allow_hyphen_values = true,
        requires = "prepare", conflicts_with_all = ["all", "send"]
    )]
    fee: Option<Coins>,
    /// Send a message that was prepared. Where its fee is not paid, the key in --owner-home pays it,
    /// whosever that is.
    #[arg(long, value_name = "FILE")]
    send: Option<PathBuf>,
    /// Whose delegations the message is to end: the account that its owner told you. Left out it is
    /// yours, where there is a key or a note of one in --owner-home.
    #[arg(long, value_name = "ACCOUNT", value_parser = account_address, conflicts_with_all = ["agent", "all", "prepare"])]
    of: Option<Address>,
    /// The endpoint to send it to; else those of a policy that you signed, on its chain. With --all and
    /// no agent: your key and this endpoint are enough.
    #[arg(long, value_name = "URL", conflicts_with_all = ["agent", "prepare"])]
    rpc: Option<String>,
    /// What the word of one endpoint may cost, on each chain, in coins of the chain, as in 0.5 or
    /// "0.5 ETH": for all that this command ends, above what the others ask for it. With --prepare: what
    /// the transaction may cost that pays the fee.
    #[arg(
        long, value_name = "COINS", value_parser = coins, default_value = DEFAULT_MOST_FEE,
        allow_hyphen_values = true
    )]
    most_fee: Coins,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let done = match &args.send {
        Some(file) => send::run(shared, file, args.of, (args.rpc.as_deref(), &args.most_fee)).await,
        None => with_key(shared, args).await,
    };
    // Whatever became of an endpoint, there may be another one.
    done.map_err(|failure| match (failure.is_silence(), &args.send) {
        (true, Some(_)) => failure.help("through another endpoint: --send FILE --rpc URL"),
        (true, None) => failure.help(
            "through another endpoint: marque account revoke --all --rpc URL; or a message that you \
             prepared: --send FILE --rpc URL",
        ),
        (false, _) => failure,
    })
}

async fn with_key(shared: &Shared, args: &Args) -> Done<ExitCode> {
    if args.agent.is_none() && !args.all {
        let help = match args.rpc {
            Some(_) => "those of all agents: marque account revoke --all --rpc URL",
            None => {
                "marque account revoke AGENT; those of all agents: marque account revoke --all; by a \
                 message that you prepared: marque account revoke --send FILE"
            }
        };
        return Err(Failure::usage("whose delegations are to end is not said").help(help));
    }
    // Another key than the one that signed ends nothing, so none is made.
    Owner::address_in(&shared.owner_home()?).map_err(|error| {
        Failure::new(error).help(
            "give the folder that has it: --owner-home DIR; a message that you prepared needs no key of \
             yours: marque account revoke --send FILE",
        )
    })?;
    let Some(agent) = args.agent.as_deref() else {
        return everywhere::run(shared, args.rpc.as_deref(), (args.again, &args.most_fee)).await;
    };
    // Whatever became of the home, what your folder knows can be ended.
    let site = Site::ending(shared, agent).map_err(|failure| {
        let failure = Failure::new(&failure.message);
        match shared.owner_home().map(|folder| Notes::of(&folder)) {
            Ok(Ok(_)) => failure.help(
                "what was delegated to all agents needs no home: marque account revoke --all",
            ),
            _ => failure.help(everywhere::WITHOUT_NOTES),
        }
    });
    let mut site = site?;
    if let Some(file) = &args.prepare {
        site.of_the_key(shared)?;
        return prepare::run(shared, &site, file, (args.fee.as_ref(), &args.most_fee)).await;
    }
    let how = How { again: args.again, most: Ways::of(shared)?.wei(&args.most_fee)? };
    if args.all {
        site.of_the_key(shared)?;
        return all(shared, &site, how).await;
    }
    one(shared, &site, agent, how.most).await
}

/// Ends what was delegated to one agent from the account of the key here, on every chain on which the
/// owner's folder or the agent's home knows of any.
async fn one(shared: &Shared, site: &Site, agent: &str, most: U256) -> Done<ExitCode> {
    let me = Owner::address_in(&shared.owner_home()?)?;
    let Signed { mine, elsewhere, theirs, doubt, known, broken } = site.signed(shared)?;
    let theirs = Signed::alive(&site.rpc, theirs).await.map(|mut alive| alive.pop());
    if mine.is_empty() && elsewhere.is_empty() {
        if let Some(theirs) = theirs? {
            site.mine(&shared.owner_home()?, theirs.owner)?;
            return Err(stays(agent, &theirs));
        }
        const ALL: &str = "--all ends whatever was signed with your key";
        return match (doubt, broken) {
            (Some(doubt), _) => Err(doubt.help(ALL)),
            (None, Some(error)) => Err(everywhere::unread(error)),
            (None, None) if nothing_there(shared, site).await? => undeployed(shared, site),
            (None, None) => {
                Err(Failure::new(format!("nothing was delegated to {agent} from here")).help(ALL))
            }
        };
    }
    if let Some(doubt) = doubt {
        note(&format!("{}; what your own folder knows is ended", doubt.message));
    }
    let again = match known {
        true => "",
        false => {
            ", as far as this machine knows; for what may have been signed on another machine: --all --again"
        }
    };
    let chains = chains(shared, site, mine, elsewhere)?;
    let ended = end_of(shared, me, agent, (chains, again, most)).await?;
    let (mut lines, mut hashes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for ended in ended {
        match ended {
            Ok((what, sent)) => {
                lines.push(what);
                hashes.extend(sent);
            }
            Err(failure) => failures.push(failure),
        }
    }
    failures.extend(broken.map(everywhere::unread));
    if !lines.is_empty() {
        told(shared, &lines.join("\n"), &hashes)?;
    }
    if let Ok(Some(theirs)) = theirs {
        note(&stays(agent, &theirs).message);
    }
    let failure = failures.pop();
    failures.iter().for_each(|failure| note(&failure.line()));
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// What was delegated on a chain, and the endpoints that lead there.
type OnChain = (u64, Done<Rpc>, Vec<Permissions>);

/// By chain, that of the agent's policy first.
fn chains(
    shared: &Shared,
    site: &Site,
    mine: Vec<Permissions>,
    elsewhere: Vec<Permissions>,
) -> Done<Vec<OnChain>> {
    let mut chains: Vec<OnChain> = Vec::new();
    if !mine.is_empty() {
        chains.push((site.framework.chain, Ok(site.rpc.clone()), mine));
    }
    if elsewhere.is_empty() {
        return Ok(chains);
    }
    let ways = Ways::of(shared)?;
    for delegated in elsewhere {
        let chain = delegated.framework.chain;
        match chains.iter_mut().find(|(known, ..)| *known == chain) {
            Some((.., all)) => all.push(delegated),
            None => chains.push((chain, ways.to(chain), vec![delegated])),
        }
    }
    Ok(chains)
}

/// Ends it on each chain at once; one that is silent keeps nothing alive on another.
async fn end_of(
    shared: &Shared,
    me: Address,
    agent: &str,
    (chains, again, most): (Vec<OnChain>, &str, U256),
) -> Done<Vec<Done<(String, Vec<B256>)>>> {
    let folder = &shared.owner_home()?;
    let notes = &Notes::readable(folder)?;
    let looks =
        chains.into_iter().map(|chain| async move { (look(&chain, me, agent).await, chain) });
    let looks: Vec<(Done<Looked>, OnChain)> = join_all(looks).await;
    // The passphrase is asked for once, and only where there is something to end.
    let ends = looks.iter().any(|(look, _)| look.as_ref().is_ok_and(|looked| !looked.is_empty()));
    let owner = key(shared, ends, looks.iter().any(|(look, _)| look.is_err()))?;
    let messages = Messages { folder, notes, owner: owner.as_ref() };
    let ends = looks.into_iter().map(|(look, (chain, rpc, all))| async move {
        let Some(newest) = all.last() else { return Err(everywhere::nobody()) };
        let (framework, account) = (&newest.framework, newest.account);
        let message = |failure, answered| {
            messages.with(failure, framework, account, (Some(newest.nonce), answered))
        };
        let (looked, rpc) = look
            .and_then(|looked| Ok((looked, rpc?)))
            .map_err(|failure| message(failure, false))?;
        let (Some(owner), false) = (messages.owner, looked.is_empty()) else {
            tidy((folder, notes), &rpc, framework, account).await;
            let what =
                format!("what was delegated to {agent} on eip155:{chain} has ended already{again}");
            return Ok((what, Vec::new()));
        };
        let answered = looked.iter().all(|(_, standing)| standing.silent.is_empty());
        let ended = async {
            go_first(shared, &rpc, me).await?;
            let mut ends = owner.ends(&rpc, chain, most);
            end_each(&mut ends, &looked).await
        };
        let hashes = ended.await.map_err(|failure| message(failure, answered))?;
        tidy((folder, notes), &rpc, framework, account).await;
        Ok((format!("{agent} can draw nothing on {account} on eip155:{chain} any more"), hashes))
    });
    Ok(join_all(ends).await)
}

/// The key, where there is something to sign: an end, or for want of one (`lost`) the message that ends
/// everything. Where that is all there is to sign, what is wrong with the passphrase is told beside it.
fn key(shared: &Shared, ends: bool, lost: bool) -> Done<Option<Owner>> {
    let unlocked = match ends || lost {
        true => shared.sender(&shared.owner_home()?).map(Some),
        false => Ok(None),
    };
    unlocked.or_else(|failure| match ends {
        true => Err(failure),
        false => {
            note(&failure.message);
            Ok(None)
        }
    })
}

/// What was delegated to an agent on one chain and is not over for certain, the newest first.
type Looked = Vec<(Permissions, Standing)>;

/// How it stands. Who has no coins is told before anything is signed.
async fn look((_, rpc, all): &OnChain, me: Address, agent: &str) -> Done<Looked> {
    let rpc = rpc.as_ref().map_err(Failure::again)?;
    // Of those before the newest most have ended.
    let (looked, coins) =
        tokio::join!(Signed::looked_at(rpc, all.iter().rev().cloned()), gas(rpc, me, agent));
    let looked = looked?;
    if looked.iter().any(|(_, standing)| !standing.is_over()) {
        coins?;
    }
    Ok(looked)
}

/// Ends all of it, first what lives by the word of every endpoint. One that is over by the word of those that answer, while another endpoint is silent, may
/// live: the newest is ended anyway, as each one before was over by the word of all when it was signed.
async fn end_each(ends: &mut Ends<'_>, looked: &[(Permissions, Standing)]) -> Done<Vec<B256>> {
    let (mut hashes, mut failure, mut doubt) = (Vec::new(), None, None);
    let mut order: Vec<_> = looked.iter().enumerate().collect();
    order.sort_by_key(|(_, (_, standing))| standing.disputed);
    for (index, (delegated, standing)) in order {
        let ended = match (standing.is_over(), index) {
            (false, _) => end_one(ends, delegated).await,
            (true, 0) => end_anyway(ends, delegated).await,
            (true, _) => Err(lives(delegated, standing, "")),
        };
        match (ended, standing.is_over()) {
            (Ok(sent), _) => hashes.extend(sent),
            (Err(error), false) => failure = Some(error),
            (Err(error), true) => doubt = doubt.or(Some(error)),
        }
    }
    failure.or(doubt).map_or(Ok(hashes), Err)
}

/// What another owner's key alone ends.
fn stays(agent: &str, theirs: &Permissions) -> Failure {
    Failure::new(format!(
        "{agent} still draws on {}; only the key of {} ends that: --owner-home DIR",
        theirs.account, theirs.owner
    ))
}

/// Ends all that the account of this key gave away, on the chain of an agent's policy.
async fn all(shared: &Shared, site: &Site, how: How) -> Done<ExitCode> {
    let there = async {
        let there = !nothing_there(shared, site).await?;
        if there {
            site.deployed().await?;
        }
        Ok(there)
    };
    let there: Done<bool> = there.await;
    match there {
        Ok(true) => {}
        Ok(false) => return undeployed(shared, site),
        // Whether it is there, nobody says: what can be signed without that is signed.
        Err(failure) if failure.is_silence() => {}
        Err(failure) => return Err(failure),
    }
    let chains = [(site.rpc.clone(), site.framework)];
    let told = match everywhere::end_on(shared, &chains, Vec::new(), how).await?.pop() {
        Some(ended) => ended.and_then(|(what, hashes)| told(shared, &what, &hashes)),
        None => Ok(ExitCode::FAILURE),
    };
    everywhere::others(shared, &chains).await;
    let unread = Notes::readable(&shared.owner_home()?)?.broken().map(everywhere::unread);
    told.and_then(|code| unread.map_or(Ok(code), Err))
}

/// Whether there is no account of anybody's yet on which something could be drawn.
async fn nothing_there(shared: &Shared, site: &Site) -> Done<bool> {
    let notes = Notes::readable(&shared.owner_home()?)?;
    Ok(site.keeper == site.policy.owner
        && notes.broken().is_none()
        && !notes.begins(site.framework.chain, site.account())
        && !site.is_deployed().await?
        && site.left().await?.is_empty())
}

fn undeployed(shared: &Shared, site: &Site) -> Done<ExitCode> {
    let account = site.account();
    told(shared, &format!("nothing can be drawn on {account}: it is not deployed"), &[])
}

fn told(shared: &Shared, what: &str, hashes: &[B256]) -> Done<ExitCode> {
    if shared.json {
        say!("{}", serde_json::json!({ "transactions": hashes }));
    } else {
        say!("{what}");
        hashes.iter().for_each(|hash| say!("  {hash}"));
    }
    Ok(ExitCode::SUCCESS)
}
