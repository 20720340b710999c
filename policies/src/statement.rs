//! What an owner signs. EIP-712, domain `{"Marque", "1", chainId, salt = journal origin}`.
//!
//! A statement is bound to one journal by its origin, so it means nothing to any other steward,
//! and each kind cannot be replayed: versions rise, an approval names one intent, a thaw names the
//! journal entry that froze, a rotation the entry by which its signer became owner.

use crate::intent::IntentId;
use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, sol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An act of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Statement {
    /// Opens the journal.
    Genesis {
        /// The owner in force from here on.
        #[schemars(with = "String")]
        owner: Address,
        /// Hash of block 0 of the chain: a reset devnet is not the chain it was.
        #[schemars(with = "String")]
        chain_genesis: B256,
        /// The Ed25519 public key that signs this journal's checkpoints.
        #[schemars(with = "String")]
        log_key: B256,
    },
    /// Makes an agent known to the steward.
    Enroll {
        /// Its name.
        agent: String,
        /// The address of its paying key.
        #[schemars(with = "String")]
        key: Address,
    },
    /// Puts a policy in force.
    Adopt {
        /// Whose policy.
        agent: String,
        /// The document's version; must rise.
        version: u64,
        /// The document's canonical hash.
        #[schemars(with = "String")]
        policy: B256,
    },
    /// Lets one held intent pass, once.
    Approve {
        /// Which agent.
        agent: String,
        /// The held intent.
        intent: IntentId,
        /// Its exact body.
        #[schemars(with = "String")]
        body: B256,
        /// The policy version under which the owner looked at it.
        version: u64,
        /// Unix seconds after which it is void.
        deadline: u64,
    },
    /// Refuses one held intent.
    Deny {
        /// Which agent.
        agent: String,
        /// The held intent.
        intent: IntentId,
        /// Its exact body.
        #[schemars(with = "String")]
        body: B256,
    },
    /// Lets a frozen steward work again.
    Thaw {
        /// Sequence number of the journal entry that froze it.
        frozen_at: u64,
    },
    /// Hands everything over to another key. Signed by the owner in force and, as the proof that
    /// the key exists and is at hand, by the new one over the same digest
    /// ([`SignedStatement::countersignature`]).
    Rotate {
        /// The owner in force from here on.
        #[schemars(with = "String")]
        owner: Address,
        /// Sequence number of the entry by which the owner who signs came into force: 0, the
        /// genesis, or that of the rotation before. So no old rotation can be handed in again.
        since: u64,
    },
}

sol! {
    struct Genesis { address owner; bytes32 chainGenesis; bytes32 logKey; }
    struct Enroll { string agent; address key; }
    struct Adopt { string agent; uint64 version; bytes32 policy; }
    struct Approve { string agent; bytes32 intent; bytes32 body; uint64 version; uint64 deadline; }
    struct Deny { string agent; bytes32 intent; bytes32 body; }
    struct Thaw { uint64 frozenAt; }
    struct Rotate { address owner; uint64 since; }
}

impl Statement {
    /// The EIP-712 digest that the owner signs.
    #[must_use]
    pub fn digest(&self, chain: u64, origin: B256) -> B256 {
        let domain = Eip712Domain {
            name: Some(Cow::Borrowed("Marque")),
            version: Some(Cow::Borrowed("1")),
            chain_id: Some(alloy_primitives::U256::from(chain)),
            verifying_contract: None,
            salt: Some(origin),
        };
        match self.clone() {
            Self::Genesis { owner, chain_genesis, log_key } => {
                Genesis { owner, chainGenesis: chain_genesis, logKey: log_key }
                    .eip712_signing_hash(&domain)
            }
            Self::Enroll { agent, key } => Enroll { agent, key }.eip712_signing_hash(&domain),
            Self::Adopt { agent, version, policy } => {
                Adopt { agent, version, policy }.eip712_signing_hash(&domain)
            }
            Self::Approve { agent, intent, body, version, deadline } => {
                Approve { agent, intent: intent.0, body, version, deadline }
                    .eip712_signing_hash(&domain)
            }
            Self::Deny { agent, intent, body } => {
                Deny { agent, intent: intent.0, body }.eip712_signing_hash(&domain)
            }
            Self::Thaw { frozen_at } => Thaw { frozenAt: frozen_at }.eip712_signing_hash(&domain),
            Self::Rotate { owner, since } => Rotate { owner, since }.eip712_signing_hash(&domain),
        }
    }
}

/// A statement with the owner's signature; believed only after the steward has recovered the
/// owner in force from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    /// What is said.
    pub statement: Statement,
    /// 65 bytes `r || s || v`, hex with `0x`.
    pub signature: String,
    /// The policy document that an `adopt` speaks of, as the owner wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// What the new owner of a `rotate` signed: the same digest, 65 bytes, hex with `0x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersignature: Option<String>,
}
