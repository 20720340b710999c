//! Proving a journal from its files and a public key: no steward, no secret, no network.
//!
//! The owner's address is the one thing an auditor must know from elsewhere. From it follow the
//! genesis, the log key that the owner signed there, every act of the owner, and the checkpoint;
//! from the entries follow the tree, its root and the ledger.

mod acts;
pub mod export;
mod filter;
mod key;
mod known;
pub mod proof;

pub use acts::{Sworn, SwornAgent, sworn};
pub use filter::{Filter, KINDS, verdict};
pub use key::PublicKey;
pub use known::{Asked, Known};

use acts::Owners;
use alloy_primitives::{Address, B256};
use marque_steward::{
    State, StewardError, audit,
    journal::{Checkpoint, JournalError, LogKey, Verified, consistent},
};
use serde::Serialize;
use std::{fmt, path::Path};

/// What an auditor knows from elsewhere. The less is known, the less is proved.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The owner who must have begun the journal.
    pub owner: Option<Address>,
    /// The log's Ed25519 public key.
    pub key: Option<PublicKey>,
    /// An older checkpoint that the journal must extend.
    pub checkpoint: Option<String>,
}

/// What was proved.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Entries.
    pub size: u64,
    /// Entries that the signed checkpoint covers; those after it were cut off from it by a crash.
    pub signed: u64,
    /// Root of the Merkle tree over all entries.
    pub root: B256,
    /// Hash of the ledger that they amount to.
    pub state: B256,
    /// The journal's name.
    pub origin: B256,
    /// The owner who signed its beginning.
    pub owner: Address,
    /// The owner in force at its end.
    pub in_force: Address,
    /// Acts of the owner in force then, each with a valid signature.
    pub acts: usize,
    /// Whether `owner` was expected, or only stated by the journal itself.
    pub owner_known: bool,
    /// The log's key as C2SP verifiers want it.
    pub key: String,
    /// What was checked.
    pub checked: Vec<String>,
    /// What was not, because it was not known here, and what would make it known.
    pub unchecked: Vec<String>,
}

/// Why a journal is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Files, hashes, signature or sense.
    #[error(transparent)]
    Journal(#[from] StewardError),
    /// The owner is another.
    #[error("the journal begins with owner {found}, not {expected}")]
    Owner {
        /// Who signed.
        found: Address,
        /// Who should have.
        expected: Address,
    },
    /// The owner came later.
    #[error(
        "{expected} is the owner since entry {since}; the journal begins with {first}, who signed its key: give that address"
    )]
    HandedOver {
        /// Who is in force.
        expected: Address,
        /// Who began it.
        first: Address,
        /// The entry of the last hand-over.
        since: u64,
    },
    /// The log key is another.
    #[error("the journal's key is {found}, not {expected}")]
    Key {
        /// Stated in the genesis.
        found: B256,
        /// Expected.
        expected: String,
    },
    /// The checkpoint that was kept is none of this journal's.
    #[error("the checkpoint that you kept is not to be believed: {0}")]
    Kept(String),
    /// Entries under the checkpoint that was kept are gone or others.
    #[error("the journal does not extend the checkpoint that you kept: {0}")]
    Behind(JournalError),
    /// An act that the owner did not sign.
    #[error("entry {seq} is no act of the owner: {why}")]
    Act {
        /// Which entry.
        seq: u64,
        /// What is wrong with the signature.
        why: String,
    },
}

impl From<JournalError> for AuditError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.into())
    }
}

/// Verifies the journal in `dir`.
///
/// # Errors
/// [`AuditError`]: anything that was edited, dropped, reordered, cut or swapped.
pub fn verify(dir: &Path, expect: &Expect) -> Result<Report, AuditError> {
    let stated = audit::entries(dir)?;
    let key: LogKey = audit::stated_key(&State::fold(&stated)?)?;
    let (verified, entries, state) = audit::verify(dir, &key)?;
    let begun = state
        .genesis()
        .ok_or_else(|| StewardError::Entry { seq: 0, why: "there is no genesis".to_owned() })?;
    if let Some(expected) = &expect.key {
        let expected = expected.of(key.origin())?.to_string();
        if expected != key.to_string() {
            return Err(AuditError::Key { found: begun.log_key, expected });
        }
    }
    if let Some(old) = &expect.checkpoint {
        extends(dir, old, &key)?;
    }
    let mut owners = Owners::new(begun);
    entries.iter().try_for_each(|entry| owners.take(entry))?;
    let (acts, (in_force, since)) = (owners.acts(), owners.in_force());
    match expect.owner {
        Some(expected) if expected == begun.owner => {}
        // A later owner has signed for the journal's name and not for its key.
        Some(expected) if expected == in_force => {
            return Err(AuditError::HandedOver { expected, first: begun.owner, since });
        }
        Some(expected) => return Err(AuditError::Owner { found: begun.owner, expected }),
        None => {}
    }
    let (checked, unchecked) = scope(expect, &verified, acts);
    Ok(Report {
        size: verified.size,
        signed: verified.checkpoint_size,
        root: verified.root,
        state: state.hash(),
        origin: begun.origin,
        owner: begun.owner,
        in_force,
        acts,
        owner_known: expect.owner.is_some(),
        key: key.to_string(),
        checked,
        unchecked,
    })
}

/// Whether the journal still has what a checkpoint that was kept signed. Only entries that are gone
/// or others are somebody's doing; the rest is about the files.
fn extends(dir: &Path, old: &str, key: &LogKey) -> Result<(), AuditError> {
    Checkpoint::open(old, key).map_err(|error| match error {
        JournalError::Checkpoint { why, .. } => AuditError::Kept(why),
        error => AuditError::Kept(error.to_string()),
    })?;
    consistent(old, dir, key).map_err(|error| match error {
        JournalError::Truncated { .. } | JournalError::Rewritten { .. } => {
            AuditError::Behind(error)
        }
        error => error.into(),
    })
}

/// What a verification covers and what it leaves open.
fn scope(expect: &Expect, verified: &Verified, acts: usize) -> (Vec<String>, Vec<String>) {
    let mut checked = vec![
        format!("the checksum, order and sense of all {} entries", verified.size),
        format!(
            "the tree's root, and the checkpoint's signature over {}",
            verified.checkpoint_size
        ),
        format!("the owner's signature under each of {acts} acts"),
    ];
    let mut unchecked = Vec::new();
    let mut sort = |known: bool, yes: &str, no: &str| {
        if known { checked.push(yes.to_owned()) } else { unchecked.push(no.to_owned()) }
    };
    sort(
        expect.owner.is_some(),
        "the owner is the one that you expected",
        "the owner: it is the journal's own word; give --owner ADDRESS",
    );
    // The owner signed the key in the genesis: who is sure of the one is sure of the other.
    sort(
        expect.key.is_some() || expect.owner.is_some(),
        "the log's key is the one that you know, or that your owner signed",
        "the log's key: it is taken from the journal's own first entry; give --key or --owner",
    );
    sort(
        expect.checkpoint.is_some(),
        "everything under the checkpoint that you kept is still there, unchanged",
        "the past: a journal that was rolled back, or rewritten with its own key, looks whole; keep \
         a copy of journal/checkpoint elsewhere and give --checkpoint FILE",
    );
    let behind = verified.size.saturating_sub(verified.checkpoint_size);
    if behind > 0 {
        unchecked.push(format!(
            "the last {behind} entries: no checkpoint signs them yet; a steward does when it runs"
        ));
    }
    if verified.torn > 0 {
        unchecked.push(format!("{} bytes of an append that was not finished", verified.torn));
    }
    unchecked.push("the chain: that payments are there is the steward's word".to_owned());
    (checked, unchecked)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, signed, root, origin, owner, in_force, key, .. } = self;
        writeln!(f, "{size} entries verified, {signed} of them under the signed checkpoint")?;
        writeln!(f, "  journal  {origin}")?;
        writeln!(f, "  root     {root}")?;
        writeln!(f, "  owner    {owner}")?;
        if in_force != owner {
            writeln!(f, "  now      {in_force}, to whom it was handed over")?;
        }
        writeln!(f, "  key      {key}")?;
        writeln!(f, "checked")?;
        self.checked.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "not checked")?;
        self.unchecked.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
