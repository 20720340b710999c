//! Acts of the owner while no steward is running: genesis, enrolment, adoption, thaw.

use crate::{
    authority::Authority,
    core::{Event, Reply},
    error::{StewardError, fault},
    hardening::confined,
    home::Home,
};
use marque_identity_keys::SecretString;
use marque_policies::SignedStatement;

/// Hands statements to the journal of a home in which no steward works; the first begins it, where
/// there is none yet. Answers the sequence numbers of their entries.
///
/// Nothing is asked of the chain and nothing is signed but the journal's checkpoint. Where the system has
/// the means nothing is written outside of the home, whatever lies in it. Takes about a
/// second of computing for each key that is unlocked; call it where it may block.
///
/// # Errors
/// [`StewardError::Locked`] where a steward is running, [`StewardError::Fault`] for the first
/// statement that is not accepted; those before it stand.
pub fn submit_offline(
    home: &Home,
    unlock: SecretString,
    statements: Vec<SignedStatement>,
) -> Result<Vec<u64>, StewardError> {
    let submitted = confined(home.path(), || submit(home, unlock, statements));
    submitted.map_err(StewardError::io("work in", home.path()))?
}

fn submit(
    home: &Home,
    unlock: SecretString,
    statements: Vec<SignedStatement>,
) -> Result<Vec<u64>, StewardError> {
    let _lock = home.lock()?;
    let mut noted = Vec::with_capacity(statements.len());
    let mut statements = statements.into_iter();
    let opened = home.has_journal().then(|| Authority::open(home, unlock.clone())).transpose()?;
    // A journal without an entry was cut off while it began.
    let mut authority = match opened.filter(|authority| authority.state().genesis().is_some()) {
        Some(authority) => authority,
        None => {
            let Some(first) = statements.next() else { return Ok(noted) };
            noted.push(0);
            Authority::begin(home, unlock, &first)?
        }
    };
    for statement in statements {
        let done = authority.handle(vec![Event::Submit(Box::new(statement))])?;
        for done in done {
            match done.reply {
                Reply::Noted(Some(entry)) => noted.push(entry),
                Reply::Fault(fault) => return Err(fault.into()),
                _ => return Err(fault("internal", "nothing was noted").into()),
            }
        }
    }
    authority.end()?;
    Ok(noted)
}
