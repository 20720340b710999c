//! An agent as its steward knows it.

use alloy_primitives::{Address, B256};
use marque_policies::{IntentId, Policy, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An agent's account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The address of its paying key.
    pub key: Address,
    /// The entry that enrolled it.
    pub enrolled: u64,
    /// The policy in force.
    pub policy: Option<Adopted>,
    /// The account nonce of the next transaction, by our own count.
    pub nonce: u64,
    /// Authorisations that the chain had and the ledger had not, and that the owner accepted with a
    /// thaw: by token and nonce.
    pub accepted: BTreeSet<(Address, B256)>,
    /// Addresses of payees that policies know by host only, by that host. The owner pinned them by
    /// approving a first payment; the first one stays.
    pub pinned: BTreeMap<String, Address>,
    /// Payments for which nothing was delivered, as the mind says. Can only make a verdict stricter.
    pub undelivered: BTreeSet<IntentId>,
    /// Up to which block the chain was read for authorisations that left this key, by token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scanned: BTreeMap<Address, u64>,
    /// Up to which block the chain was read for money that came.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub received: u64,
    /// What tools were used and how much they sent, in the order of time.
    pub(super) uses: Vec<Use>,
}

/// One use of a tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Use {
    pub(super) at: Timestamp,
    pub(super) tool: String,
    pub(super) bytes: u64,
}

/// A policy in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Adopted {
    /// The entry that adopted it.
    pub entry: u64,
    /// Its version.
    pub version: u64,
    /// Its hash.
    pub hash: B256,
    /// As the owner wrote it.
    pub document: String,
    /// The same, read.
    #[serde(skip)]
    pub policy: Arc<Policy>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_nothing(block: &u64) -> bool {
    *block == 0
}

/// A policy in force, before it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    entry: u64,
    version: u64,
    hash: B256,
    document: String,
}

impl TryFrom<Written> for Adopted {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { entry, version, hash, document } = written;
        let (policy, _) = marque_policies::parse(&document).map_err(|error| error.to_string())?;
        if policy.hash != hash {
            return Err("the policy has another hash than it says".to_owned());
        }
        Ok(Self { entry, version, hash, document, policy: Arc::new(policy) })
    }
}

/// Uses are counted in windows of so many milliseconds at most.
const USES_FOR: Timestamp = 31 * 24 * 3_600 * 1_000;

impl Account {
    /// Forgets uses that are older than every window.
    pub(super) fn forget_uses(&mut self, now: Timestamp) {
        let old = now.saturating_sub(USES_FOR);
        let gone = self.uses.partition_point(|used| used.at <= old);
        self.uses.drain(..gone);
    }

    /// How often a tool was used, and the bytes it sent, after `since`.
    #[must_use]
    pub fn used(&self, tool: &str, since: Timestamp) -> (u64, u64) {
        self.uses
            .iter()
            .rev()
            .take_while(|used| used.at > since)
            .filter(|used| used.tool == tool)
            .fold((0, 0), |(times, bytes), used| (times + 1, used.bytes.saturating_add(bytes)))
    }
}
