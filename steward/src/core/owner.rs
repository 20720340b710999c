//! Acts of the owner: believed only where the owner in force is recovered from the signature.
//!
//! None can be replayed: versions rise, an approval names one intent and a deadline, a thaw names
//! the entry that froze. The same act handed in twice is answered with the entry of the first.

use crate::{
    core::Step,
    entry::{Body, Genesis, Word, fits},
    error::fault,
    state::State,
};
use alloy_primitives::{Address, B256};
use marque_policies::{IntentId, SignedStatement, Statement, Timestamp};
use marque_steward_client::{Fault, PaymentState};

/// The body of the first entry, from the owner's genesis.
///
/// # Errors
/// `not_owner` where the signature is not that of the owner that it names, `malformed` where it is
/// no genesis.
pub(crate) fn genesis(signed: &SignedStatement, chain: u64, origin: B256) -> Result<Body, Fault> {
    let Statement::Genesis { owner, chain_genesis, log_key } = signed.statement else {
        return Err(fault("malformed", "a journal begins with the owner's genesis"));
    };
    check(signed, owner, chain, origin)?;
    let signature = signed.signature.clone();
    Ok(Body::Genesis(Genesis { origin, chain, owner, chain_genesis, log_key, signature }))
}

pub(super) fn submit(
    state: &State,
    signed: SignedStatement,
    now: Timestamp,
) -> Result<Step, Fault> {
    let Some(begun) = state.genesis() else {
        return Err(fault("unknown", "the journal has no genesis yet"));
    };
    let owner = state.owner().unwrap_or(begun.owner);
    // Handed in twice it is noted once, although its signer is the owner no more.
    if let (Statement::Rotate { owner, since }, Some(last)) = (&signed.statement, state.rotated())
        && (*owner, *since) == (last.owner, last.since)
    {
        return Ok(Step::already(last.entry));
    }
    check(&signed, owner, begun.chain, begun.origin)?;
    let SignedStatement { statement, signature, document, countersignature } = signed;
    match statement {
        Statement::Genesis { owner, chain_genesis, log_key } => {
            if (owner, chain_genesis, log_key) == (begun.owner, begun.chain_genesis, begun.log_key)
            {
                Ok(Step::already(0))
            } else {
                Err(fault("stale", "this journal has begun already, with another genesis"))
            }
        }
        Statement::Enroll { agent, key } => enroll(state, agent, key, signature),
        Statement::Adopt { agent, version, policy } => {
            adopt(state, agent, version, policy, document, signature)
        }
        Statement::Approve { agent, intent, body, version, deadline } => {
            let record = held(state, &agent, intent, body, now)?;
            if let Some(approval) = &record.approval
                && (approval.version, approval.deadline) == (version, deadline)
            {
                return Ok(Step::already(approval.entry));
            }
            let in_force = state.agent(&agent).and_then(|a| a.policy.as_ref()).map(|p| p.version);
            if in_force != Some(version) {
                let line = "the policy has changed since the owner looked; look again and approve";
                return Err(fault("stale", line));
            }
            if deadline.saturating_mul(1_000) < now {
                return Err(fault("stale", "the approval's deadline has passed"));
            }
            let body = Body::Approve { intent, body, version, deadline, signature };
            Ok(Step::noted(Some(agent), Word::Attested, body))
        }
        Statement::Deny { agent, intent, body } => {
            held(state, &agent, intent, body, now)?;
            let body = Body::Deny { intent, body, signature };
            Ok(Step::noted(Some(agent), Word::Attested, body))
        }
        Statement::Thaw { frozen_at } => match state.frozen() {
            Some(frozen) if frozen.seq == frozen_at => {
                let body = Body::Thawed { frozen_at, signature };
                Ok(Step::noted(None, Word::Attested, body))
            }
            Some(frozen) => Err(fault(
                "stale",
                format!("the steward was frozen by entry {}, not {frozen_at}", frozen.seq),
            )),
            None => Err(fault("stale", "the steward is not frozen")),
        },
        Statement::Rotate { owner: new, since } => {
            let accepts = (begun.chain, begun.origin, countersignature);
            rotate(state, owner, (new, since), accepts, signature)
        }
        _ => Err(fault("malformed", "this statement is of a kind that is not known here")),
    }
}

/// Another key takes over. Until it adopts a policy that names it the one in force stays in force,
/// and what is swept goes to the new owner at once.
fn rotate(
    state: &State,
    owner: Address,
    (new, since): (Address, u64),
    (chain, origin, countersignature): (u64, B256, Option<String>),
    signature: String,
) -> Result<Step, Fault> {
    if since != state.owner_since() {
        let line = format!(
            "the owner is in force since entry {}, not {since}; sign the rotation anew",
            state.owner_since()
        );
        return Err(fault("stale", line));
    }
    if new == owner {
        return Err(fault("stale", format!("{owner} is the owner already")));
    }
    if state.agents().values().any(|account| account.key == new) {
        let line = format!("{new} is an agent's paying key; an owner's key is its own");
        return Err(fault("malformed", line));
    }
    let countersignature = countersignature.ok_or_else(|| {
        fault("malformed", "a rotation carries the new owner's signature beside the old one's")
    })?;
    let digest = Statement::Rotate { owner: new, since }.digest(chain, origin);
    check_by(&countersignature, digest, new)?;
    let body = Body::Rotate { owner: new, since, signature, countersignature };
    Ok(Step::noted(None, Word::Attested, body))
}

fn check(signed: &SignedStatement, owner: Address, chain: u64, origin: B256) -> Result<(), Fault> {
    check_by(&signed.signature, signed.statement.digest(chain, origin), owner)
}

fn check_by(signature: &str, digest: B256, owner: Address) -> Result<(), Fault> {
    let bytes = alloy_primitives::hex::decode(signature)
        .map_err(|_| fault("malformed", "the signature is not hex"))?;
    match marque_contracts::recover(digest, &bytes) {
        Ok(signer) if signer == owner => Ok(()),
        Ok(signer) => Err(fault(
            "not_owner",
            format!("signed by {signer} for some journal, but it takes {owner}'s signature"),
        )),
        Err(error) => Err(fault("not_owner", format!("the signature is none: {error}"))),
    }
}

fn enroll(state: &State, agent: String, key: Address, signature: String) -> Result<Step, Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if agent.is_empty() || agent.len() > 32 || !agent.chars().all(plain) {
        let line = format!("\"{agent}\" is not a name; use 1 to 32 of a-z, 0-9, \"-\" and \"_\"");
        return Err(fault("malformed", line));
    }
    match state.agent(&agent) {
        Some(known) if known.key == key => Ok(Step::already(known.enrolled)),
        Some(_) => Err(fault("stale", format!("\"{agent}\" is enrolled with another key"))),
        None => {
            let body = Body::Enroll { key, signature };
            Ok(Step::noted(Some(agent), Word::Attested, body))
        }
    }
}

fn adopt(
    state: &State,
    agent: String,
    version: u64,
    hash: B256,
    document: Option<String>,
    signature: String,
) -> Result<Step, Fault> {
    let (Some(account), Some(begun), Some(owner)) =
        (state.agent(&agent), state.genesis(), state.owner())
    else {
        return Err(fault("unknown", format!("there is no agent \"{agent}\" here")));
    };
    if let Some(policy) = &account.policy {
        if (policy.version, policy.hash) == (version, hash) {
            return Ok(Step::already(policy.entry));
        }
        if version <= policy.version {
            let line = format!(
                "version {version} is not above version {} that is in force; raise it",
                policy.version
            );
            return Err(fault("stale", line));
        }
    }
    let document =
        document.ok_or_else(|| fault("malformed", "an adoption carries its document"))?;
    fits(&document).map_err(|error| fault("malformed", error.to_string()))?;
    let (policy, _) = marque_policies::parse(&document)
        .map_err(|error| fault("malformed", format!("the policy: {error}")))?;
    if policy.hash != hash || policy.version != version {
        return Err(fault("malformed", "the document is not the one that the owner signed"));
    }
    if policy.owner != owner {
        let line = format!(
            "the policy names {} as owner, but the owner in force is {owner}",
            policy.owner
        );
        return Err(fault("not_owner", line));
    }
    if policy.chain(begun.chain).is_none() {
        let line =
            format!("the policy has no chain with id eip155:{}, this steward's", begun.chain);
        return Err(fault("malformed", line));
    }
    let body = Body::Adopt { version, hash, document, signature };
    Ok(Step::noted(Some(agent), Word::Attested, body))
}

fn held<'a>(
    state: &'a State,
    agent: &str,
    intent: IntentId,
    body: B256,
    now: Timestamp,
) -> Result<&'a crate::state::Record, Fault> {
    let record = state.intent(intent).filter(|record| record.agent == agent);
    let record =
        record.ok_or_else(|| fault("unknown", format!("\"{agent}\" has no intent {intent}")))?;
    if record.decided.body != body {
        return Err(fault("stale", "the intent held under this id has another body"));
    }
    match record.standing(now) {
        PaymentState::Held | PaymentState::Approved => Ok(record),
        state => Err(fault("stale", format!("the intent is not held any more, it is {state:?}"))),
    }
}
