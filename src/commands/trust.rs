//! Whom an owner's key pays and signs for: what the owner itself signed or noted, and not what the files
//! of a host say.
//!
//! INVARIANT: nothing leaves an owner's key for an agent whose key that owner did not name (pinned by
//! `tests/system/robbed_host.rs`).

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

/// What may have happened where a host says something else than its owner.
const RESTORE: &str =
    "restore the home's keys/ and journal/ from a copy; until then it gets nothing";

/// An agent's key, as far as it is known.
struct Key {
    /// What the host says.
    stated: Address,
    /// The same where this owner named it.
    sure: Option<Address>,
}

/// An agent's address, for whoever looks at it. Where its owner knows another one, that is told.
pub(crate) fn agent_address(shared: &Shared, agent: &str) -> Done<Address> {
    key(shared, agent).map(|key| key.stated)
}

/// An agent's address, for whoever sends it money or delegates to it.
pub(crate) fn own_agent(shared: &Shared, agent: &str) -> Done<Address> {
    let Key { stated, sure } = key(shared, agent)?;
    sure.ok_or_else(|| {
        Failure::new(format!(
            "{stated} is {agent} only by the word of this host: your key has adopted nothing for it"
        ))
        .help(format!("adopt its policy first, which names its key: marque policy adopt {agent}"))
    })
}

fn key(shared: &Shared, agent: &str) -> Done<Key> {
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
    let mut sure = None;
    if let Some(noted) = noted(shared, &home, agent)? {
        if noted.key != stated {
            return Err(other("you adopted its policy for", noted.key));
        }
        sure = Some(stated);
    }
    let enrolled = sworn(&home.journal())?.and_then(|sworn| sworn.agents.get(agent).copied());
    if let Some(enrolled) = enrolled {
        if enrolled.key != stated {
            return Err(other("its owner enrolled", enrolled.key));
        }
        let me = Owner::address_in(&shared.owner_home()?).ok();
        sure = sure.or_else(|| Some(stated).filter(|_| me == Some(enrolled.by)));
    }
    Ok(Key { stated, sure })
}

/// Every key that an agent of this name may have had, by the word of anybody: for ending what was
/// delegated to it, where one too many does no harm.
pub(crate) fn keys(shared: &Shared, agent: &str) -> Done<Vec<Address>> {
    let home = shared.home()?;
    let notes = Notes::of(&shared.owner_home()?)?;
    let mut keys: Vec<Address> = notes.adoptions(agent).map(|adopted| adopted.key).collect();
    keys.extend(KeyDir::open(home.keys()).and_then(|keys| keys.address(agent)));
    let sworn = sworn(&home.journal()).ok().flatten();
    keys.extend(sworn.and_then(|sworn| sworn.agents.get(agent).map(|it| it.key)));
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// What this owner noted of an agent of a home; a home in which another journal is by now is none that
/// the owner knows.
fn noted(shared: &Shared, home: &Home, agent: &str) -> Done<Option<Adopted>> {
    let notes = Notes::of(&shared.owner_home()?)?;
    let at = notes.adopted_at(home.path(), agent);
    let Ok(laid_out) = marque_steward::Home::open(home.path()) else {
        return Ok(at.cloned());
    };
    let origin = laid_out.origin();
    match at {
        Some(at) if at.origin != origin => Err(replaced(home, at, origin)),
        _ => Ok(notes.adopted(origin, agent).cloned()),
    }
}

fn replaced(home: &Home, at: &Adopted, origin: B256) -> Failure {
    Failure::new(format!(
        "{} is for the journal {origin}, and you adopted a policy for {} in {}: somebody replaced it",
        home.path().display(),
        at.agent,
        at.origin
    ))
    .help(RESTORE)
}

/// The policy by which an owner's money moves: that in force, which the key here signed.
pub(crate) fn own_policy(shared: &Shared, agent: &str) -> Done<Policy> {
    let home = shared.home()?;
    let me = Owner::address_in(&shared.owner_home()?)?;
    let Some(Named { policy, .. }) = Named::adopted(&home, agent)? else {
        return Err(Failure::new(format!("no policy is in force for {agent} yet"))
            .help(format!("adopt one first: marque policy adopt {agent}")));
    };
    signed_by(&home, agent, &policy, me)?;
    Ok(policy)
}

/// Refuses a policy that is in force here without this owner having signed it.
pub(crate) fn signed_by(home: &Home, agent: &str, policy: &Policy, me: Address) -> Done {
    let sworn = sworn(&home.journal())?.unwrap_or_default();
    match sworn.agents.get(agent).and_then(|it| it.adopted) {
        Some((hash, by)) if hash == policy.hash && by == me => Ok(()),
        Some((hash, by)) if hash == policy.hash => Err(Failure::new(format!(
            "the policy in force for {agent} is one that {by} signed, and your key is {me}"
        ))
        .help(format!(
            "write {me} as `owner` into the policy with a higher version, then marque policy adopt \
             {agent}; or give the other key: --owner-home DIR"
        ))),
        _ => Err(Failure::new(format!(
            "the policy in force for {agent} is not one that {me} signed"
        ))
        .help("marque audit verify says what is wrong with the journal")),
    }
}

/// Refuses a policy older than the newest one that this owner put in force for the agent.
pub(crate) fn newest(shared: &Shared, home: &Home, agent: &str, version: u64) -> Done {
    let notes = Notes::of(&shared.owner_home()?)?;
    let origin = marque_steward::Home::open(home.path())?.origin();
    match notes.version(origin, agent) {
        Some(newest) if newest > version => Err(Failure::new(format!(
            "version {version} is in force for {agent} here, and you adopted version {newest}: somebody \
             put an older journal back"
        ))
        .help(RESTORE)),
        _ => Ok(()),
    }
}

/// How an agent stands where a policy is about to be adopted for it.
pub(crate) struct Before<'a> {
    /// What would be noted.
    pub(crate) adopted: &'a Adopted,
    /// Whether the journal knows the agent.
    pub(crate) enrolled: bool,
    /// The version in force, where it is to be believed.
    pub(crate) version: Option<u64>,
}

/// Refuses to adopt a policy for an agent that has taken the place of one that the owner knows.
pub(crate) fn same_as_before(notes: &Notes, before: &Before<'_>) -> Done {
    let Before { adopted: Adopted { agent, key, origin, home, .. }, enrolled, version } = before;
    let at = home.as_deref().and_then(|home| notes.adopted_at(home, agent));
    let Some(known) = at.or_else(|| notes.adopted(*origin, agent)) else { return Ok(()) };
    let wrong = if known.origin != *origin {
        format!(
            "you adopted a policy for {agent} in the journal {}, and this is {origin}",
            known.origin
        )
    } else if known.key != *key {
        format!("you adopted a policy for {agent} with the key {}, and this is {key}", known.key)
    } else if version.is_some() && !enrolled {
        format!(
            "the journal {origin} knows nothing of {agent}, for which you adopted a policy there"
        )
    } else {
        match (notes.version(*origin, agent), version) {
            (Some(newest), Some(version)) if newest > *version => format!(
                "version {version} is in force for {agent} here, and you adopted version {newest}"
            ),
            _ => return Ok(()),
        }
    };
    Err(Failure::new(format!("{wrong}: somebody put another home in its place"))
        .help("restore keys/ and journal/ from a copy; where you began again yourself: --anew"))
}
