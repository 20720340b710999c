//! One entry, proved to somebody who may not see the others: three small files.
//!
//! The entry as it lies in the journal, a C2SP tlog-proof that it is there, and the journal's first
//! entry, in which the owner signed the log's key. Whoever knows the owner's address from elsewhere
//! needs nothing else; whoever knows the log's key does not need the third.

use super::{AuditError, PublicKey, acts::Owners};
use alloy_primitives::{Address, B256};
use marque_steward::{
    Body, Entry, StewardError, audit,
    journal::{self, InclusionProof, JournalError, LogKey, Origin},
};
use std::path::Path;

/// What is sent to an auditor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The entry's canonical bytes.
    pub entry: Vec<u8>,
    /// The proof, a C2SP tlog-proof.
    pub proof: String,
    /// The journal's first entry.
    pub genesis: Vec<u8>,
    /// The log's key as C2SP verifiers want it; to be compared, not to be believed.
    pub key: String,
}

/// From where the key is known.
#[derive(Clone, Copy, Debug)]
pub enum Anchor<'a> {
    /// It is given.
    Key(&'a PublicKey),
    /// This owner signed it, in this first entry.
    Owner {
        /// The owner's address.
        address: Address,
        /// The first entry's canonical bytes.
        genesis: &'a [u8],
    },
}

/// What was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The entry.
    pub entry: Entry,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The root of all of them.
    pub root: B256,
    /// The journal's name.
    pub origin: B256,
}

/// Makes the parcel for entry `seq` of the journal in `dir`.
///
/// # Errors
/// [`AuditError`] where the journal does not verify or there is no such entry.
pub fn parcel(dir: &Path, seq: u64) -> Result<Parcel, AuditError> {
    let (mut genesis, mut entry) = (None, None);
    audit::each(dir, 0, |read| -> Result<(), StewardError> {
        if read.entry.seq == 0 {
            genesis = Some(read.clone());
        }
        if read.entry.seq == seq {
            entry = Some(read);
        }
        Ok(())
    })?;
    let none = |why: &str| StewardError::Entry { seq: 0, why: why.to_owned() };
    let genesis = genesis.ok_or_else(|| none("there is no genesis"))?;
    let key = genesis_key(&genesis.entry)?;
    let proof = journal::inclusion_proof(dir, seq, &key)?;
    let entry = entry.ok_or(JournalError::NoEntry { seq, size: seq })?;
    // What is sent has been checked as it will be.
    proof.check(&entry.bytes, &key)?;
    Ok(Parcel {
        entry: entry.bytes,
        proof: proof.to_string(),
        genesis: genesis.bytes,
        key: key.to_string(),
    })
}

/// Checks that `entry` is in the journal that `anchor` leads to.
///
/// # Errors
/// [`AuditError`] where anything in it does not hold.
pub fn check(proof: &str, entry: &[u8], anchor: Anchor<'_>) -> Result<Proved, AuditError> {
    let proof: InclusionProof = proof.parse()?;
    let key = match anchor {
        Anchor::Key(key) => {
            let origin = proof.checkpoint.lines().next().unwrap_or_default();
            key.of(origin.parse()?)?
        }
        Anchor::Owner { address, genesis } => {
            let first = Entry::decode(genesis)?;
            let Body::Genesis(begun) = &first.body else {
                let why = "it is no genesis, and only a genesis names the log's key".to_owned();
                return Err(StewardError::Entry { seq: first.seq, why }.into());
            };
            if begun.owner != address {
                return Err(AuditError::Owner { found: begun.owner, expected: address });
            }
            Owners::new(begun).take(&first)?;
            genesis_key(&first)?
        }
    };
    let checkpoint = proof.check(entry, &key)?;
    let entry = Entry::decode(entry)?;
    if entry.seq != proof.seq {
        let why = format!("it is proved as entry {}", proof.seq);
        return Err(StewardError::Entry { seq: entry.seq, why }.into());
    }
    let Origin(origin) = key.origin();
    Ok(Proved { entry, size: checkpoint.size(), root: checkpoint.root(), origin })
}

fn genesis_key(first: &Entry) -> Result<LogKey, AuditError> {
    match &first.body {
        Body::Genesis(begun) => Ok(LogKey::new(Origin(begun.origin), begun.log_key)?),
        _ => {
            let why = "the journal does not begin with a genesis".to_owned();
            Err(StewardError::Entry { seq: first.seq, why }.into())
        }
    }
}
