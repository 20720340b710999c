//! What left an agent's key on chain, against what the ledger says.
//!
//! A chain that knows of more means a journal that was rolled back or swapped, or a key that is
//! used elsewhere: everything stops, and a thaw by the owner accepts exactly what the frozen entry
//! names. Two things are compared: the count of the key's own transactions, and the EIP-3009
//! authorisations of the key that anybody has brought to the chain. The whole chain is read once,
//! then only what is new; how far it was read the journal remembers.
//!
//! INVARIANT: the chain is asked before the ledger, which only grows, so that a payment of our own
//! is never taken for somebody else's (pinned by `tests/chain.rs`,
//! `ordinary_work_never_freezes_a_steward`).

use crate::{
    core::{Event, Surplus, knows_more},
    entry::{Body, Foreign},
    error::StewardError,
    links::{Link, chain_error},
    steward::Shared,
};
use alloy_primitives::{Address, B256};
use marque_identity::BlockTag;
use marque_policies::Policy;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// So many blocks are read again: a reorganisation may have changed them, and an endpoint that
/// answers may be behind the one that answered last.
pub(crate) const MARGIN: u64 = 64;

/// So many authorisations are named in one entry; what is left comes with the next.
const NAMED: usize = 128;

/// So many blocks further than the last entry about it, the journal is told how far was read, so
/// that a start on an old chain need not read all of it again.
const MARK_EVERY: u64 = 5_000;

/// How far each agent's outflow was read. Forgetting it costs a longer look.
#[derive(Debug, Default)]
pub(crate) struct Watch(BTreeMap<String, Look>);

#[derive(Debug)]
struct Look {
    policy: B256,
    block: u64,
    at: Instant,
    /// What the ledger could not explain so far.
    pending: Vec<Foreign>,
}

/// Whose outflow is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) agent: &'a str,
    pub(crate) key: Address,
    pub(crate) policy: &'a Policy,
}

impl Watch {
    /// Whether an agent for which nothing is live should be looked at again, `rest` after the last
    /// time.
    pub(crate) fn is_due(&self, agent: &str, rest: Duration) -> bool {
        self.0.get(agent).is_none_or(|look| look.at.elapsed() >= rest || !look.pending.is_empty())
    }
}

/// Stops everything where the chain knows of more than the ledger.
pub(crate) async fn compare(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    watch: &mut Watch,
) -> Result<(), StewardError> {
    let Whose { agent, key, policy } = whose;
    let count = link.rpc.transaction_count(key, false).await.map_err(chain_error)?;
    let newest = link.rpc.block(BlockTag::Latest).await.map_err(chain_error)?;
    shared.clock.learn(newest.timestamp.saturating_mul(1_000));
    let before = watch.0.get(agent).filter(|look| look.policy == policy.hash);
    let tokens = tokens(policy, shared.home.chain());
    let name = agent.to_owned();
    let marks = shared.desk.look(move |state, _| {
        state.agent(&name).map(|account| account.scanned.clone()).unwrap_or_default()
    });
    let marks = marks.await?;
    let block = newest.number;
    let settled = settled(link, (key, &tokens), (before, &marks), block).await?;

    let name = agent.to_owned();
    let compared = shared.desk.look(move |state, _| {
        let ours = state.agent(&name).map_or(0, |account| account.nonce);
        let foreign = state.foreign(&name, settled);
        let nonce = (count > ours).then_some(count);
        let named = foreign.get(..NAMED).unwrap_or(&foreign).to_vec();
        let told = state.frozen().is_some_and(|frozen| frozen.covers(&name, nonce, &named));
        (ours, nonce, foreign, named, told)
    });
    let (ours, nonce, foreign, authorisations, told) = compared.await?;
    let reasons = nonce
        .map(|count| knows_more(agent, count, ours))
        .into_iter()
        .chain(not_ours(agent, &foreign));
    let reason = reasons.collect::<Vec<_>>().join("; ");
    // The mark goes to a block that no reorganisation reaches, and only where all is explained: a
    // journal that is rolled back reads on from its own older mark.
    let mark = block.saturating_sub(MARGIN);
    let far = |token| marks.get(token).copied().unwrap_or(0).saturating_add(MARK_EVERY) <= mark;
    if reason.is_empty() && foreign.is_empty() && tokens.iter().any(far) {
        let body = Body::Scanned { block: mark, tokens: tokens.into_iter().collect() };
        shared.desk.submit(Event::Chain { agent: agent.to_owned(), body }).await?;
    }
    let look = Look { policy: policy.hash, block, at: Instant::now(), pending: foreign };
    watch.0.insert(agent.to_owned(), look);
    if reason.is_empty() || told {
        return Ok(());
    }
    freeze(shared, agent, reason, Surplus { nonce, authorisations }).await
}

/// Tokens whose authorisations an agent may sign.
fn tokens(policy: &Policy, chain: u64) -> BTreeSet<Address> {
    let assets = policy.assets.values();
    let signed = assets.filter(|asset| asset.id.chain == chain && asset.domain.is_some());
    signed.map(|asset| asset.id.token).collect()
}

/// Which authorisations of the key were settled up to the newest block, as far as that is new or
/// not explained yet. What was read before this start the journal says, token by token.
async fn settled(
    link: &Link,
    (key, tokens): (Address, &BTreeSet<Address>),
    (before, marks): (Option<&Look>, &BTreeMap<Address, u64>),
    newest: u64,
) -> Result<Vec<Foreign>, StewardError> {
    let mut settled = before.map(|look| look.pending.clone()).unwrap_or_default();
    if before.is_some_and(|look| look.block == newest) {
        return Ok(settled);
    }
    for token in tokens {
        let marked = marks.get(token).copied().unwrap_or(0);
        let read = before.map_or(marked, |look| look.block);
        let from = read.min(newest).saturating_sub(MARGIN);
        let used = link.rpc.authorizations_used_by(*token, key, from).await;
        for (nonce, transaction, _) in used.map_err(chain_error)? {
            if !settled.iter().any(|it| (it.token, it.nonce) == (*token, nonce)) {
                settled.push(Foreign { token: *token, nonce, transaction });
            }
        }
    }
    Ok(settled)
}

/// Why everything stops where the chain has authorisations that the ledger has not.
fn not_ours(agent: &str, foreign: &[Foreign]) -> Option<String> {
    let Foreign { token, nonce, transaction } = foreign.first()?;
    let others = match foreign.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    Some(format!(
        "token {token} has settled authorisation {nonce} of \"{agent}\" in transaction \
         {transaction}{others}, which the ledger has not spent: the journal was rolled back, or \
         the key is used elsewhere"
    ))
}

/// Stops everything, on the steward's own account.
pub(crate) async fn freeze(
    shared: &Shared,
    agent: &str,
    reason: String,
    surplus: Surplus,
) -> Result<(), StewardError> {
    tracing::error!(agent, reason, "frozen");
    let agent = Some(agent.to_owned());
    shared.desk.submit(Event::Freeze { agent, by: "steward", reason, surplus }).await?;
    Ok(())
}
