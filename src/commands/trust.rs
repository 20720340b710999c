//! Whom an owner's key pays, and by which policy: what the owner itself signed or noted, and not what the
//! files or sockets of a host say.
//!
//! INVARIANT: nothing leaves an owner's key for an agent whose key that owner did not name, or by a policy
//! that it did not sign (pinned by `tests/system/robbed_host.rs`).

use super::{Shared, policy::Named};
use crate::failure::{Done, Failure};
use alloy_primitives::{Address, B256};
use marque::{
    audit::sworn,
    home::Home,
    owner::{Adopted, Notes, Owner},
};
use marque_identity_keys::KeyDir;
use marque_policies::Policy;
use marque_steward::{StewardError, audit};
use std::path::PathBuf;

/// What an owner does where a host says something else than its owner signed.
const RESTORE: &str =
    "restore the home's keys/ and journal/ from a copy; until then it gets nothing";

/// An agent's address, for whoever looks at it. Where its owner knows another one, that is told.
pub(crate) fn agent_address(shared: &Shared, agent: &str) -> Done<Address> {
    key(shared, agent).map(|(stated, _)| stated)
}

/// An agent's address, for whoever sends it money or delegates to it.
pub(crate) fn own_agent(shared: &Shared, agent: &str) -> Done<Address> {
    let (stated, sure) = key(shared, agent)?;
    match sure {
        true => Ok(stated),
        false => Err(Failure::new(format!(
            "{stated} is {agent} only by the word of this host: your key has adopted nothing for it"
        ))
        .help(format!("adopt its policy first, which names its key: marque policy adopt {agent}"))),
    }
}

/// An agent's key as the host says, and whether this owner named it.
fn key(shared: &Shared, agent: &str) -> Done<(Address, bool)> {
    let home = shared.home()?;
    let stated = KeyDir::open(home.keys())?.address(agent).map_err(|error| {
        Failure::new(error).help(format!("make the agent first: marque new {agent}"))
    })?;
    let other = |whose: &str, known: Address| {
        Failure::new(format!(
            "the keystore of {agent} names {stated}, and {whose} {known}: somebody changed it"
        ))
        .help(RESTORE)
    };
    let noted = noted(shared, &home, agent)?;
    if let Some(noted) = noted.as_ref().filter(|noted| noted.key != stated) {
        return Err(other("you adopted its policy for", noted.key));
    }
    let enrolled = sworn(&home.journal())?.and_then(|sworn| sworn.agents.get(agent).copied());
    if let Some(enrolled) = enrolled.filter(|enrolled| enrolled.key != stated) {
        return Err(other("its owner enrolled", enrolled.key));
    }
    let me = Owner::address_in(&shared.owner_home()?).ok();
    Ok((stated, noted.is_some() || enrolled.is_some_and(|enrolled| me == Some(enrolled.by))))
}

/// Every key that an agent of this name may have had, by the word of anybody: for ending what was
/// delegated to it, where one too many does no harm. A journal is as long as whoever has the host makes
/// it, and is read where the owner's own folder names no key.
pub(crate) fn keys(shared: &Shared, agent: &str) -> Done<Vec<Address>> {
    let home = shared.home()?;
    let notes = Notes::readable(&shared.owner_home()?)?;
    let noted = notes.adoptions().filter(|adopted| adopted.agent == agent);
    let mut keys: Vec<Address> = noted.map(|adopted| adopted.key).collect();
    if keys.is_empty() {
        let sworn = sworn(&home.journal()).ok().flatten();
        keys.extend(sworn.and_then(|sworn| sworn.agents.get(agent).map(|it| it.key)));
    }
    keys.extend(KeyDir::open(home.keys()).and_then(|keys| keys.address(agent)));
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// A home as the file system calls it, however it was named.
pub(crate) fn place(home: &Home) -> PathBuf {
    std::fs::canonicalize(home.path()).unwrap_or_else(|_| home.path().to_owned())
}

/// What this owner noted last of an agent of a home. INVARIANT: nothing is noted only where nothing is
/// noted for any agent of that name; a home that is none of those where the owner adopted something for it
/// is refused, wherever it lies and whatever it says (pinned by
/// `a_home_that_its_owner_does_not_know_is_not_taken_for_a_new_one`).
fn noted(shared: &Shared, home: &Home, agent: &str) -> Done<Option<Adopted>> {
    let notes = Notes::of(&shared.owner_home()?)?;
    let Some(newest) = notes.adoptions().rfind(|adopted| adopted.agent == agent) else {
        return Ok(None);
    };
    let at = notes.adopted_at(&place(home), agent);
    let laid_out = match (marque_steward::Home::open(home.path()), at) {
        (Ok(laid_out), _) => laid_out,
        (Err(_), Some(at)) => return Ok(Some(at.clone())),
        (Err(error), None) => return Err(error.into()),
    };
    let origin = laid_out.origin();
    // A journal that cannot be read contradicts nothing, and what is noted needs none.
    if let Err(error @ StewardError::Origin { .. }) = audit::begun(&laid_out) {
        return Err(error.into());
    }
    match (at, notes.adopted(origin, agent)) {
        (Some(at), _) if at.origin != origin => Err(Failure::new(format!(
            "{} is for the journal {origin}, and you adopted a policy for {agent} in {}: somebody \
             replaced it",
            home.path().display(),
            at.origin
        ))
        .help(RESTORE)),
        (_, Some(known)) => Ok(Some(known.clone())),
        (_, None) => Err(replaced(agent, &another_journal(newest, origin))),
    }
}

fn another_journal(known: &Adopted, origin: B256) -> String {
    let Adopted { agent, origin: there, .. } = known;
    format!("you adopted a policy for {agent} in the journal {there}, and this is {origin}")
}

/// The policy by which an owner's key acts for an agent: the newest that it signed, from its own folder;
/// without a note of it that in force, where the key here signed that.
pub(crate) fn own_policy(shared: &Shared, agent: &str) -> Done<Policy> {
    let home = shared.home()?;
    let me = Owner::address_in(&shared.owner_home()?)?;
    if let Some(noted) = noted(shared, &home, agent)? {
        return read(&noted);
    }
    let policy = adopted(&home, agent)?;
    signed_by(&home, agent, &policy, me)?;
    Ok(policy)
}

/// The policy in force, whoever signed it.
fn adopted(home: &Home, agent: &str) -> Done<Policy> {
    let adopted = Named::adopted(home, agent)?.map(|named| named.policy);
    adopted.ok_or_else(|| {
        Failure::new(format!("no policy is in force for {agent} yet"))
            .help(format!("adopt one first: marque policy adopt {agent}"))
    })
}

/// The policy by whose endpoints is ended what an agent may draw: that by which the key here acts for it,
/// else the newest that this key signed for an agent of that name, whatever became of its home; and why
/// its home is not believed. The folder knows a home by its place too; where it does not, and an agent of
/// that name was adopted in more homes than one, nobody can say which is meant.
pub(crate) fn ending_policy(shared: &Shared, agent: &str) -> Done<(Policy, Option<Failure>)> {
    let why = match own_policy(shared, agent) {
        Ok(policy) => return Ok((policy, None)),
        Err(why) => why,
    };
    let folder = shared.owner_home()?;
    let (notes, me) = (Notes::readable(&folder)?, Owner::address_in(&folder)?);
    let here = notes.adopted_at(&place(&shared.home()?), agent);
    let noted = || notes.adoptions().rev().filter(|adopted| adopted.agent == agent);
    let first = noted().next();
    if here.is_none() && noted().any(|other| first.is_some_and(|it| it.origin != other.origin)) {
        return Err(Failure::new(format!(
            "{}; and you adopted a policy for an agent {agent} in several homes: which one is meant is not \
             known",
            why.message
        )));
    }
    let mine = |noted: &Adopted| read(noted).ok().filter(|policy| policy.owner == me);
    let signed = here.and_then(mine).or_else(|| {
        noted().filter(|it| here.is_none_or(|here| here.origin == it.origin)).find_map(mine)
    });
    signed.map(|policy| (policy, Some(Failure::new(&why.message)))).ok_or(why)
}

/// Whether nothing was ever adopted for an agent, as far as its home and the owner's folder say.
pub(crate) fn begins(shared: &Shared, agent: &str) -> Done<bool> {
    let home = shared.home()?;
    Ok(noted(shared, &home, agent)?.is_none() && Named::adopted(&home, agent)?.is_none())
}

/// A policy that was noted.
pub(crate) fn read(noted: &Adopted) -> Done<Policy> {
    let label = format!("the policy that you adopted for {}", noted.agent);
    let Named { policy, .. } = Named::carried(label.clone(), noted.document.clone())?;
    match policy.hash == noted.policy {
        true => Ok(policy),
        false => Err(Failure::new(format!("{label} is not read as it was; use the newest marque"))),
    }
}

/// The policy by which what an agent asks for is shown to its owner: the own one, else that in force as
/// far as this journal's owners signed it.
pub(crate) fn trusted(shared: &Shared, home: &Home, agent: &str) -> Done<Policy> {
    let own = own_policy(shared, agent);
    let (Err(failure), Ok(Some(Named { policy, .. }))) = (&own, Named::adopted(home, agent)) else {
        return own;
    };
    let sworn = sworn(&home.journal())?.unwrap_or_default();
    let signed = sworn.agents.get(agent).and_then(|it| it.adopted).map(|(hash, _)| hash);
    let me = Owner::address_in(&shared.owner_home()?)?;
    match signed == Some(policy.hash) && sworn.owners.last() == Some(&me) {
        true => Ok(policy),
        false => {
            let failure = Failure::new(&failure.message);
            Err(failure.help("marque audit verify says what is wrong with the journal"))
        }
    }
}

/// Refuses a policy that is in force here without this owner having signed it.
fn signed_by(home: &Home, agent: &str, policy: &Policy, me: Address) -> Done {
    let sworn = sworn(&home.journal())?.unwrap_or_default();
    match sworn.agents.get(agent).and_then(|it| it.adopted) {
        Some((hash, by)) if hash == policy.hash && by == me => Ok(()),
        Some((hash, by)) if hash == policy.hash => {
            let line = format!(
                "the policy in force for {agent} is one that {by} signed, and your key is {me}"
            );
            Err(Failure::new(line).help(match sworn.owners.last() {
                Some(now) if *now == me => format!(
                    "write {me} as `owner` into the policy with a higher version, then marque policy \
                     adopt {agent}; for what is {by}'s: --owner-home DIR"
                ),
                _ => "give the owner's folder: --owner-home DIR".to_owned(),
            }))
        }
        _ => Err(Failure::new(format!(
            "the policy in force for {agent} is not one that {me} signed"
        ))
        .help("marque audit verify says what is wrong with the journal")),
    }
}

/// The policy in force, where it is the newest that this owner signed: it is about to become one more
/// signature.
pub(crate) fn in_force(shared: &Shared, agent: &str) -> Done<Policy> {
    let home = shared.home()?;
    let me = Owner::address_in(&shared.owner_home()?)?;
    let policy = adopted(&home, agent)?;
    signed_by(&home, agent, &policy, me)?;
    if let Some(noted) = noted(shared, &home, agent)? {
        same_or_newer(&noted, &policy)?;
    }
    Ok(policy)
}

/// Refuses a policy in force that is older than the newest one that was signed, or another.
fn same_or_newer(noted: &Adopted, policy: &Policy) -> Done {
    let Adopted { agent, version, .. } = noted;
    let line = match policy.version {
        newer if newer > *version => return Ok(()),
        same if same == *version && policy.hash == noted.policy => return Ok(()),
        same if same == *version => {
            format!("version {same} in force for {agent} is not the one that you adopted")
        }
        older if noted.in_force => format!(
            "version {older} is in force for {agent} here, and you adopted version {version}: somebody \
             put an older journal back"
        ),
        older => {
            let line =
                format!("version {version}, which you signed for {agent}, is not in force yet");
            return Err(
                Failure::new(format!("{line}: version {older} is")).help("marque submit it")
            );
        }
    };
    Err(Failure::new(line).help(RESTORE))
}

/// What a draft is compared with before it is adopted.
pub(crate) enum Before {
    /// Nothing was ever adopted.
    Nothing,
    /// This one.
    Policy(Box<Policy>),
    /// One that is in force by the word of a host alone.
    Unsigned,
}

/// How an agent stands on this machine where a policy is about to be adopted for it. One that has taken
/// the place of an agent whom the owner knows is refused.
pub(crate) fn before(
    shared: &Shared,
    home: &Home,
    adopted: &Adopted,
    in_force: Option<&Policy>,
) -> Done<Before> {
    let folder = shared.owner_home()?;
    let (notes, me) = (Notes::of(&folder)?, Owner::address_in(&folder)?);
    let enrolled = sworn(&home.journal())?.is_some_and(|it| it.agents.contains_key(&adopted.agent));
    let Some(known) = same_agent(&notes, adopted, enrolled)? else {
        let Some(policy) = in_force else { return Ok(Before::Nothing) };
        return Ok(match signed_by(home, &adopted.agent, policy, me) {
            Ok(()) => Before::Policy(Box::new(policy.clone())),
            Err(_) => Before::Unsigned,
        });
    };
    match in_force {
        Some(policy) if policy.version > known.version => {
            signed_by(home, &adopted.agent, policy, me)?;
            Ok(Before::Policy(Box::new(policy.clone())))
        }
        Some(policy) if !known.in_force && policy.version < known.version => {
            Ok(Before::Policy(Box::new(read(known)?)))
        }
        Some(policy) => {
            same_or_newer(known, policy)?;
            Ok(Before::Policy(Box::new(read(known)?)))
        }
        None if known.in_force => Err(replaced(
            &adopted.agent,
            &format!(
                "nothing is in force for {} here, and you adopted version {}",
                adopted.agent, known.version
            ),
        )),
        None => Ok(Before::Policy(Box::new(read(known)?))),
    }
}

/// What is noted of the agent for which a policy is about to be adopted; an error where it is another
/// one of the same name.
pub(crate) fn same_agent<'a>(
    notes: &'a Notes,
    adopted: &Adopted,
    enrolled: bool,
) -> Done<Option<&'a Adopted>> {
    let Adopted { agent, key, origin, home, .. } = adopted;
    let at = home.as_deref().and_then(|home| notes.adopted_at(home, agent));
    let known = at.or_else(|| notes.adopted(*origin, agent));
    let Some(known) = known.or_else(|| notes.adoptions().rfind(|it| it.agent == *agent)) else {
        return Ok(None);
    };
    if known.origin != *origin {
        return Err(replaced(agent, &another_journal(known, *origin)));
    }
    if known.key != *key {
        return Err(replaced(
            agent,
            &format!(
                "you adopted a policy for {agent} with the key {}, and this is {key}",
                known.key
            ),
        ));
    }
    if !enrolled {
        return Err(replaced(
            agent,
            &format!(
                "the journal {origin} knows nothing of {agent}, for which you signed a policy there"
            ),
        ));
    }
    Ok(Some(known))
}

fn replaced(agent: &str, what: &str) -> Failure {
    Failure::new(format!("{what}: somebody may have put another home in its place")).help(format!(
        "if you began again yourself, as with a new devnet: marque policy adopt {agent} --anew; if not, \
         restore keys/ and journal/ from a copy"
    ))
}

/// Refuses to sign for another journal than that of the home: whoever has its socket could name one of
/// this owner's on another host. Once the owner's folder knows any journal, it is one of those.
pub(crate) fn this_journal(shared: &Shared, home: &Home, chain: u64, origin: B256) -> Done {
    let laid_out = marque_steward::Home::open(home.path())?;
    audit::begun(&laid_out)?;
    let notes = Notes::of(&shared.owner_home()?)?;
    let place = place(home);
    let known = notes.adoptions().rfind(|adopted| adopted.home.as_ref() == Some(&place));
    let (mine, of) =
        known.map_or((laid_out.origin(), laid_out.chain()), |it| (it.origin, it.chain));
    if (mine, of) != (origin, chain) || laid_out.origin() != origin {
        return Err(Failure::new(format!(
            "the steward says that its journal is {origin} on chain {chain}, and that of {} is {mine} on \
             chain {of}; nothing was signed",
            home.path().display()
        ))
        .help("do not trust this steward before you know why"));
    }
    let mut noted = notes.adoptions().peekable();
    if noted.peek().is_none() || noted.any(|it| (it.origin, it.chain) == (origin, chain)) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "you never adopted a policy in the journal {origin} of {}, and did in others; nothing was signed",
        home.path().display()
    ))
    .help("if it is yours: adopt the policy of an agent there first, marque policy adopt NAME"))
}
