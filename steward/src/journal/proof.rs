//! That one entry is in a journal, as a text that can be checked without the journal (C2SP
//! tlog-proof).

use super::checkpoint::Checkpoint;
use super::error::JournalError;
use super::key::LogKey;
use alloy_primitives::B256;
use std::fmt;
use std::str::FromStr;
use tlog_tiles::Hash;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The longest path in a tree of 2^64 entries.
const MAX_HASHES: usize = 64;

/// An inclusion proof. It claims nothing until [`Self::check`] has said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// Which entry.
    pub seq: u64,
    /// From the leaf's sibling to the root's child.
    pub hashes: Vec<B256>,
    /// The signed checkpoint under which the entry is.
    pub checkpoint: String,
}

impl InclusionProof {
    /// Checks that `entry` is entry [`Self::seq`] of the journal that `key` signs, and returns the
    /// checkpoint that says so.
    ///
    /// # Errors
    /// [`JournalError::Checkpoint`] or [`JournalError::Proof`] if it is not.
    pub fn check(&self, entry: &[u8], key: &LogKey) -> Result<Checkpoint, JournalError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        self.holds(entry, &checkpoint)?;
        Ok(checkpoint)
    }

    /// The same under a checkpoint that is believed already.
    ///
    /// # Errors
    /// [`JournalError::Proof`] if it is not.
    pub fn holds(&self, entry: &[u8], checkpoint: &Checkpoint) -> Result<(), JournalError> {
        let path = self.hashes.iter().map(|hash| Hash(hash.0)).collect();
        tlog_tiles::check_record(
            &path,
            checkpoint.size(),
            Hash(checkpoint.root().0),
            self.seq,
            tlog_tiles::record_hash(entry),
        )
        .map_err(|error| JournalError::Proof(error.to_string()))
    }
}

/// The C2SP text, for a file that ends in `.tlog-proof`.
impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nindex {}", self.seq)?;
        for hash in &self.hashes {
            writeln!(f, "{}", Hash(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        let bad = |why: &str| JournalError::Proof(why.to_owned());
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| bad("it has no checkpoint"))?;
        let mut lines = head.lines().peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(bad("it does not begin with `c2sp.org/tlog-proof@v1`"));
        }
        // Extra data is nothing that we write or believe.
        lines.next_if(|line| line.starts_with("extra "));
        let number = lines.next().and_then(|line| line.strip_prefix("index "));
        let seq = number
            .and_then(|number| number.parse::<u64>().ok().filter(|n| n.to_string() == number))
            .ok_or_else(|| bad("its index is malformed"))?;
        let hashes = lines
            .map(|line| Hash::parse_hash(line).map(|hash| B256::from(hash.0)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad("one of its hashes is malformed"))?;
        if hashes.len() > MAX_HASHES {
            return Err(bad("it has too many hashes"));
        }
        Ok(Self { seq, hashes, checkpoint: checkpoint.to_owned() })
    }
}
