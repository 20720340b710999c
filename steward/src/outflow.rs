//! What left an agent's key on chain, against what the ledger says.
//!
//! A chain that knows of more means a journal that was rolled back or swapped, or a key that is
//! used elsewhere: everything stops, and a thaw by the owner accepts exactly what the frozen entry
//! names. Three things are compared: the count of the key's own transactions, the EIP-3009
//! authorisations of the key that anybody has brought to the chain, and all other transfers from it,
//! which only Permit2 can have made. The whole chain is read once, then only what is new; how far it
//! was read the journal remembers.
//!
//! INVARIANT: the chain is asked before the ledger, which only grows, so that a payment of our own
//! is never taken for somebody else's (pinned by `tests/chain.rs`,
//! `ordinary_work_never_freezes_a_steward`).

use crate::{
    core::{Event, Surplus, knows_more},
    entry::{Body, Foreign, Order, PermitOrder},
    error::StewardError,
    links::{Link, chain_error},
    permits,
    state::State,
    steward::Shared,
};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEvent as _;
use marque_contracts::{IERC20, IERC3009};
use marque_identity::{BlockTag, Outgoing, Sent};
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
const MARK_EVERY: u64 = 1_000;

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
    /// Transactions with other transfers, as they were read: they are not asked for again.
    draws: BTreeMap<B256, Vec<Draw>>,
}

/// A transfer from the key that is neither in a transaction of its own nor by an authorisation.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub(crate) token: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) transaction: B256,
    /// The call that made it.
    pub(crate) sent: Sent,
}

/// What was read of one key's payments.
#[derive(Debug, Default)]
struct Read {
    settled: Vec<Foreign>,
    draws: BTreeMap<B256, Vec<Draw>>,
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
    let Read { mut settled, draws } =
        settled(link, (key, &tokens), (before, &marks), block).await?;

    let name = agent.to_owned();
    let drawn: Vec<Draw> = draws.values().flatten().cloned().collect();
    let compared = shared.desk.look(move |state, _| {
        let ours = state.agent(&name).map_or(0, |account| account.nonce);
        for draw in &drawn {
            let told = explained(state, (&name, key), draw);
            settled.extend(told.filter(|told| !settled.contains(told)));
        }
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
    let look = Look { policy: policy.hash, block, at: Instant::now(), pending: foreign, draws };
    watch.0.insert(agent.to_owned(), look);
    if reason.is_empty() || told {
        return Ok(());
    }
    freeze(shared, agent, reason, Surplus { nonce, authorisations }).await
}

/// Tokens in which an agent may sign payments.
fn tokens(policy: &Policy, chain: u64) -> BTreeSet<Address> {
    let assets = policy.assets.values();
    let signed = assets.filter(|asset| asset.id.chain == chain && !asset.id.is_native());
    signed.map(|asset| asset.id.token).collect()
}

/// Which authorisations of the key were settled up to the newest block, and what else was drawn
/// from it, as far as that is new or not explained yet. What was read before this start the journal
/// says, token by token.
async fn settled(
    link: &Link,
    (key, tokens): (Address, &BTreeSet<Address>),
    (before, marks): (Option<&Look>, &BTreeMap<Address, u64>),
    newest: u64,
) -> Result<Read, StewardError> {
    let settled = before.map(|look| look.pending.clone()).unwrap_or_default();
    let mut read = Read { settled, draws: BTreeMap::new() };
    if let Some(look) = before.filter(|look| look.block == newest) {
        read.draws = look.draws.clone();
        return Ok(read);
    }
    for token in tokens {
        let marked = marks.get(token).copied().unwrap_or(0);
        let seen = before.map_or(marked, |look| look.block);
        let from = seen.min(newest).saturating_sub(MARGIN);
        // The transfers first: what is settled between the two questions is a use without a transfer,
        // never a transfer without a use.
        let moved = link.rpc.transfers_between(*token, (key, None), (from, None)).await;
        let moved = moved.map_err(chain_error)?;
        // A token that only pays by Permit2 has no authorisations, and no such events.
        let used = link.rpc.authorizations_used_by(*token, key, from).await;
        let used = used.map_err(chain_error)?;
        for (nonce, transaction, _) in &used {
            if !read.settled.iter().any(|it| (it.token, it.nonce) == (*token, *nonce)) {
                let (nonce, transaction) = (*nonce, *transaction);
                read.settled.push(Foreign { token: *token, nonce, transaction });
            }
        }
        let uses = count(used.iter().map(|(_, transaction, _)| *transaction));
        draws(link, (key, *token), &moved, before, &uses, &mut read).await?;
    }
    Ok(read)
}

/// Adds the transfers from the key that no authorisation of the same transaction explains. One of
/// nothing is none: anybody can have a token write that about any key.
async fn draws(
    link: &Link,
    (key, token): (Address, Address),
    moved: &[Outgoing],
    before: Option<&Look>,
    uses: &BTreeMap<B256, usize>,
    read: &mut Read,
) -> Result<(), StewardError> {
    let transfers = count(moved.iter().map(|it| it.transaction));
    let mut looked = BTreeSet::new();
    for transaction in moved.iter().map(|it| it.transaction) {
        if transfers.get(&transaction) == uses.get(&transaction) || !looked.insert(transaction) {
            continue;
        }
        // An endpoint that is behind may not know of a use: the receipt has both.
        let receipt = link.rpc.receipt(transaction).await.map_err(chain_error)?;
        let mut drawn = receipt.map(|it| unauthorised(&it.logs, token, key)).unwrap_or_default();
        drawn.retain(|(_, value)| !value.is_zero());
        if drawn.is_empty() {
            continue;
        }
        let known = before.and_then(|look| look.draws.get(&transaction)?.first());
        let known = known.or_else(|| read.draws.get(&transaction)?.first());
        let sent = match known.map(|draw| draw.sent.clone()) {
            Some(sent) => Some(sent),
            None => link.rpc.sent(transaction).await.map_err(chain_error)?,
        };
        // A transaction that is not known any more was taken back.
        let Some(sent) = sent else { continue };
        let draws = drawn.into_iter().map(|(to, value)| {
            let sent = sent.clone();
            Draw { token, to, value, transaction, sent }
        });
        read.draws.entry(transaction).or_default().extend(draws);
    }
    Ok(())
}

/// Transfers from the key that do not follow the use of an authorisation: a token says first that
/// one is used, and next what it moves.
fn unauthorised(logs: &[Log], token: Address, key: Address) -> Vec<(Address, U256)> {
    let mut authorised = false;
    let mut drawn = Vec::new();
    for log in logs.iter().filter(|log| log.address == token) {
        let used = IERC3009::AuthorizationUsed::decode_log(log);
        if used.is_ok_and(|used| used.authorizer == key) {
            authorised = true;
        } else if let Ok(moved) = IERC20::Transfer::decode_log(log)
            && moved.from == key
            && !std::mem::take(&mut authorised)
        {
            drawn.push((moved.to, moved.value));
        }
    }
    drawn
}

fn count(transactions: impl Iterator<Item = B256>) -> BTreeMap<B256, usize> {
    let mut counts = BTreeMap::new();
    for transaction in transactions {
        *counts.entry(transaction).or_default() += 1;
    }
    counts
}

/// Which payment of the ledger a transfer would have to be; `None` where it is explained without
/// one: transactions of the key's own are counted by themselves.
pub(crate) fn explained(
    state: &State,
    (agent, key): (&str, Address),
    draw: &Draw,
) -> Option<Foreign> {
    let Draw { token, to, value, transaction, sent } = draw;
    if sent.from == key && sent.drawn().is_none() {
        return None;
    }
    let foreign = |nonce| Some(Foreign { token: *token, nonce, transaction: *transaction });
    if let Some(drawn) = sent.drawn() {
        return foreign(drawn.nonce.into());
    }
    // Some contract called the proxy. Which permit it was its data may say; if not, it must at least
    // be within one that was signed.
    let permits = state.intents().values().filter(|record| record.agent == agent);
    let permits = permits.filter_map(|record| match &record.order {
        Some(Order::PermitTransfer(order)) if record.is_spent() => Some(order),
        _ => None,
    });
    let permits: Vec<&PermitOrder> = permits
        .filter(|order| {
            (order.amount.asset.token, order.to) == (*token, *to) && order.amount.units >= *value
        })
        .collect();
    if let Some(order) = permits.iter().find(|order| permits::names(sent, order.nonce)) {
        return foreign(order.nonce.into());
    }
    let archived = state.archived_draw(agent, (*token, *to, *value), *transaction);
    // Nothing that was ever signed goes by its transaction.
    foreign(permits.first().map(|order| order.nonce.into()).or(archived).unwrap_or(*transaction))
}

/// Why everything stops where the chain has authorisations that the ledger has not.
fn not_ours(agent: &str, foreign: &[Foreign]) -> Option<String> {
    let Foreign { token, nonce, transaction } = foreign.first()?;
    let others = match foreign.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    Some(format!(
        "token {token} has settled payment {nonce} of \"{agent}\" in transaction \
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::LogData;

    const TOKEN: Address = Address::repeat_byte(0xaa);
    const KEY: Address = Address::repeat_byte(1);
    const PAYEE: Address = Address::repeat_byte(2);

    const fn log(address: Address, data: LogData) -> Log {
        Log { address, data }
    }

    fn used(authorizer: Address) -> Log {
        let event = IERC3009::AuthorizationUsed { authorizer, nonce: B256::ZERO };
        log(TOKEN, event.encode_log_data())
    }

    fn moved(from: Address, units: u64) -> Log {
        let event = IERC20::Transfer { from, to: PAYEE, value: U256::from(units) };
        log(TOKEN, event.encode_log_data())
    }

    #[test]
    fn each_authorisation_explains_the_transfer_that_follows_it_and_no_other() {
        let drawn = |logs: &[Log]| -> Vec<u64> {
            unauthorised(logs, TOKEN, KEY).iter().map(|(_, value)| value.to()).collect()
        };
        assert!(drawn(&[used(KEY), moved(KEY, 5)]).is_empty());
        assert_eq!(drawn(&[used(KEY), moved(KEY, 5), moved(KEY, 6)]), [6], "a permit after it");
        assert_eq!(drawn(&[moved(KEY, 6), used(KEY), moved(KEY, 5)]), [6], "or before it");
        assert_eq!(drawn(&[used(PAYEE), moved(PAYEE, 5), moved(KEY, 6)]), [6], "somebody else's");
        let elsewhere = log(PAYEE, used(KEY).data);
        assert_eq!(drawn(&[elsewhere, moved(KEY, 6)]), [6], "another token's word");
    }
}
