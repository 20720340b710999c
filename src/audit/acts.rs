//! The acts of the owner: each is believed only with the signature of the owner who was in force
//! when it was done.

use super::AuditError;
use alloy_primitives::{Address, B256, hex};
use marque_policies::Statement;
use marque_steward::{Body, Entry, audit::each, entry::Genesis};
use std::{collections::BTreeMap, path::Path};

/// What owners signed in a journal: all that its files cannot be made to say without their keys.
#[derive(Clone, Debug, Default)]
pub struct Sworn {
    /// The owners, in order; the last one is in force. Who the first one may be, nobody says here.
    pub owners: Vec<Address>,
    /// The agents by name.
    pub agents: BTreeMap<String, SwornAgent>,
}

/// What owners signed of an agent.
#[derive(Clone, Copy, Debug)]
pub struct SwornAgent {
    /// Its key,
    pub key: Address,
    /// and who enrolled it.
    pub by: Address,
    /// Hash of the newest policy that was adopted for it, and who adopted it.
    pub adopted: Option<(B256, Address)>,
}

/// What owners signed in `journal`, every signature checked; `None` where no journal has begun.
///
/// # Errors
/// [`AuditError::Act`] where a signature is wrong, [`AuditError::Journal`] where it cannot be read.
pub fn sworn(journal: &Path) -> Result<Option<Sworn>, AuditError> {
    if !journal.join("entries").is_dir() {
        return Ok(None);
    }
    let (mut sworn, mut owners) = (Sworn::default(), None::<Owners>);
    each(journal, 0, |read| {
        let entry = &read.entry;
        if let (Body::Genesis(genesis), None) = (&entry.body, &owners) {
            owners = Some(Owners::new(genesis));
            sworn.owners.push(genesis.owner);
        }
        let Some(owners) = &mut owners else { return Ok(()) };
        owners.take(entry)?;
        let agent = entry.agent.clone().unwrap_or_default();
        match &entry.body {
            Body::Rotate { owner, .. } => sworn.owners.push(*owner),
            Body::Enroll { key, .. } => {
                let (by, _) = owners.in_force();
                sworn.agents.insert(agent, SwornAgent { key: *key, by, adopted: None });
            }
            Body::Adopt { hash, .. } => {
                if let Some(agent) = sworn.agents.get_mut(&agent) {
                    agent.adopted = Some((*hash, owners.in_force().0));
                }
            }
            _ => {}
        }
        Ok::<(), AuditError>(())
    })?;
    Ok(Some(sworn))
}

/// The owners of a journal, one after the other, followed from its first entry on.
#[derive(Debug)]
pub(super) struct Owners {
    begun: Genesis,
    in_force: Address,
    /// The entry by which that owner came into force.
    since: u64,
    acts: usize,
}

impl Owners {
    /// Begins with the owner of the genesis.
    pub(super) fn new(begun: &Genesis) -> Self {
        Self { begun: begun.clone(), in_force: begun.owner, since: 0, acts: 0 }
    }

    /// The owner in force, and the entry by which that is so.
    pub(super) const fn in_force(&self) -> (Address, u64) {
        (self.in_force, self.since)
    }

    /// How many acts there were.
    pub(super) const fn acts(&self) -> usize {
        self.acts
    }

    /// Checks the next entry, if it is an act.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), AuditError> {
        let agent = entry.agent.clone().unwrap_or_default();
        let (statement, signature) = match entry.body.clone() {
            Body::Genesis(Genesis { owner, chain_genesis, log_key, signature, .. }) => {
                (Statement::Genesis { owner, chain_genesis, log_key }, signature)
            }
            Body::Enroll { key, signature } => (Statement::Enroll { agent, key }, signature),
            Body::Adopt { version, hash, signature, .. } => {
                (Statement::Adopt { agent, version, policy: hash }, signature)
            }
            Body::Approve { intent, body, version, deadline, signature } => {
                (Statement::Approve { agent, intent, body, version, deadline }, signature)
            }
            Body::Deny { intent, body, signature } => {
                (Statement::Deny { agent, intent, body }, signature)
            }
            Body::Thawed { frozen_at, signature } => (Statement::Thaw { frozen_at }, signature),
            Body::Rotate { owner, since, signature, countersignature } => {
                return self.hand_over(entry.seq, owner, since, [&signature, &countersignature]);
            }
            _ => return Ok(()),
        };
        let digest = statement.digest(self.begun.chain, self.begun.origin);
        signed(entry.seq, digest, &signature, self.in_force)?;
        self.acts += 1;
        Ok(())
    }

    /// The owner before says who comes next, and the next one has the key to say yes.
    fn hand_over(
        &mut self,
        seq: u64,
        owner: Address,
        since: u64,
        [before, next]: [&str; 2],
    ) -> Result<(), AuditError> {
        if since != self.since {
            let why = format!("it replaces the owner of entry {since}, in force is {}", self.since);
            return Err(AuditError::Act { seq, why });
        }
        let digest = Statement::Rotate { owner, since }.digest(self.begun.chain, self.begun.origin);
        signed(seq, digest, before, self.in_force)?;
        signed(seq, digest, next, owner)?;
        (self.in_force, self.since) = (owner, seq);
        self.acts += 1;
        Ok(())
    }
}

fn signed(seq: u64, digest: B256, signature: &str, by: Address) -> Result<(), AuditError> {
    let wrong = |why: String| AuditError::Act { seq, why };
    let bytes = hex::decode(signature).map_err(|error| wrong(error.to_string()))?;
    let signer =
        marque_contracts::recover(digest, &bytes).map_err(|error| wrong(error.to_string()))?;
    if signer == by { Ok(()) } else { Err(wrong(format!("signed by {signer}, not {by}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_identity_keys::{Key, Zeroizing, sign_statement};
    use marque_policies::IntentId;
    use marque_steward::Word;

    const CHAIN: u64 = 31_337;
    const ORIGIN: B256 = B256::repeat_byte(7);

    fn key(byte: u8) -> Key {
        Key::from_bytes(&Zeroizing::new([byte; 32])).unwrap()
    }

    fn sign(by: &Key, statement: Statement) -> String {
        sign_statement(by, statement, CHAIN, ORIGIN, None).signature
    }

    fn entry(seq: u64, body: Body) -> Entry {
        Entry { v: 1, seq, at: 0, agent: Some("scout".into()), word: Word::Attested, body }
    }

    fn begun() -> Genesis {
        let (owner, chain_genesis, log_key) = (key(1).address(), B256::ZERO, B256::ZERO);
        let signature = sign(&key(1), Statement::Genesis { owner, chain_genesis, log_key });
        Genesis { origin: ORIGIN, chain: CHAIN, owner, chain_genesis, log_key, signature }
    }

    fn deny(seq: u64, by: &Key) -> Entry {
        let (agent, intent, body) = ("scout".into(), IntentId(B256::ZERO), B256::ZERO);
        let signature = sign(by, Statement::Deny { agent, intent, body });
        entry(seq, Body::Deny { intent, body, signature })
    }

    fn rotate(seq: u64, [from, to, yes]: [&Key; 3], since: u64) -> Entry {
        let owner = to.address();
        let signature = sign(from, Statement::Rotate { owner, since });
        let countersignature = sign(yes, Statement::Rotate { owner, since });
        entry(seq, Body::Rotate { owner, since, signature, countersignature })
    }

    #[test]
    fn each_act_is_signed_by_the_owner_who_was_in_force_then() {
        let (first, second, third) = (key(1), key(2), key(3));
        let begun = begun();
        let mut owners = Owners::new(&begun);
        owners.take(&entry(0, Body::Genesis(begun.clone()))).unwrap();
        owners.take(&deny(1, &first)).unwrap();
        assert!(owners.take(&deny(2, &second)).is_err(), "not yet the owner");
        for wrong in [
            rotate(2, [&second, &second, &second], 0),
            rotate(2, [&first, &second, &first], 0),
            rotate(2, [&first, &second, &second], 1),
        ] {
            assert!(owners.take(&wrong).is_err(), "{wrong:?}");
        }
        owners.take(&rotate(2, [&first, &second, &second], 0)).unwrap();
        owners.take(&deny(3, &second)).unwrap();
        assert!(owners.take(&deny(4, &first)).is_err(), "not the owner any more");
        assert!(owners.take(&rotate(4, [&second, &third, &third], 0)).is_err(), "an old rotation");
        owners.take(&rotate(4, [&second, &third, &third], 2)).unwrap();
        assert_eq!(owners.in_force(), (third.address(), 4));
        assert_eq!(owners.acts(), 5);
    }
}
