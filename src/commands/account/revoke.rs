//! `marque account revoke`: the end of what was delegated, now or prepared for later.

mod ends;
mod everywhere;
mod prepare;
mod send;
mod ways;

pub(super) use ends::{end_all, end_one};

use super::{Shared, Signed, Site, waits::go_first};
use crate::{
    commands::{
        funds::{DEFAULT_MOST_FEE, coins, gas},
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
use prepare::with_message;
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
    /// Pay its fee in advance, as in "0.001 ETH": the file then holds a transaction to broadcast, and
    /// no coins are needed where it is sent. What the fee turns out to be too much is lost.
    #[arg(long, value_name = "AMOUNT", requires = "prepare", conflicts_with_all = ["all", "send"])]
    fee: Option<String>,
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
    /// What the word of one endpoint may cost, on each chain, in coins of the chain: for all that this
    /// command ends, above what the others ask for it.
    #[arg(
        long, value_name = "COINS", value_parser = coins, default_value = DEFAULT_MOST_FEE,
        conflicts_with = "prepare"
    )]
    most_fee: U256,
}

pub(super) async fn run(shared: &Shared, args: &Args) -> Done<ExitCode> {
    let done = match &args.send {
        Some(file) => send::run(shared, file, args.of, (args.rpc.as_deref(), args.most_fee)).await,
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
    let how = How { again: args.again, most: args.most_fee };
    let Some(agent) = args.agent.as_deref() else {
        return everywhere::run(shared, args.rpc.as_deref(), how).await;
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
        return prepare::run(shared, &site, file, args.fee.as_deref()).await;
    }
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
    failures.iter().for_each(|failure| note(&failure.message));
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
    let looks = chains.into_iter().map(|(chain, rpc, all)| async move {
        let rpc = rpc?;
        let account = all.last().map(|newest| newest.account).unwrap_or_default();
        // The newest first: of those before, most have ended.
        let looked = Signed::looked_at(&rpc, all.into_iter().rev()).await?;
        if looked.iter().any(|(_, standing)| !standing.is_over()) {
            gas(&rpc, me, agent).await?;
        }
        Ok(OneChain { chain, rpc, account, looked })
    });
    let looks: Vec<Done<OneChain>> = join_all(looks).await;
    let folder = &shared.owner_home()?;
    // The passphrase is asked for once, and only where there is something to end.
    let owner = match looks.iter().flatten().any(|look| !look.looked.is_empty()) {
        true => Some(shared.sender(folder)?),
        false => None,
    };
    let owner = owner.as_ref();
    let ends = looks.into_iter().map(|look| async move {
        let OneChain { chain, rpc, account, looked } = look?;
        let (Some(owner), Some((newest, _))) = (owner, looked.first()) else {
            let what =
                format!("what was delegated to {agent} on eip155:{chain} has ended already{again}");
            return Ok((what, Vec::new()));
        };
        go_first(shared, &rpc, me).await?;
        let mut ends = owner.ends(&rpc, chain, most);
        let hashes = end_each(&mut ends, &looked).await.map_err(|failure| {
            let of = (newest.account, newest.nonce);
            with_message(failure, folder, owner, &newest.framework, of)
        })?;
        Ok((format!("{agent} can draw nothing on {account} on eip155:{chain} any more"), hashes))
    });
    Ok(join_all(ends).await)
}

/// What was delegated to an agent on one chain and is not over for certain, the newest first.
struct OneChain {
    chain: u64,
    rpc: Rpc,
    account: Address,
    looked: Vec<(Permissions, Standing)>,
}

/// Ends all of it. One that is over by the word of those that answer, while another endpoint is silent, may
/// live: the newest is ended anyway, as each one before was over by the word of all when it was signed.
async fn end_each(ends: &mut Ends<'_>, looked: &[(Permissions, Standing)]) -> Done<Vec<B256>> {
    let (mut hashes, mut failure, mut doubt) = (Vec::new(), None, None);
    for (index, (delegated, standing)) in looked.iter().enumerate() {
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
    if nothing_there(shared, site).await? {
        return undeployed(shared, site);
    }
    site.deployed().await?;
    let chains = [(site.rpc.clone(), site.framework)];
    let told = match everywhere::end_on(shared, &chains, how).await?.pop() {
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
