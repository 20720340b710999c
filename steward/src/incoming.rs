//! Money that comes to an agent's key and is no settlement of ours: seen, journalled, and nothing
//! else. It raises no limit, pins nobody and labels nothing (pinned by `tests/laws.rs`,
//! `money_that_comes_changes_nothing_that_is_allowed`).
//!
//! Tokens that the policy names are looked at, in blocks that are final, each block once. Anybody
//! can send dust: what comes in too great a number is one sum for each token.

use crate::{
    core::Event,
    entry::{Body, Flood, Received},
    error::StewardError,
    links::{Link, chain_error},
    outflow::Whose,
    state::State,
    steward::Shared,
};
use alloy_primitives::{Address, B256, U256};
use marque_identity::Incoming;
use marque_policies::Intent;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Transfers that are named in one entry.
pub(crate) const NAMED: usize = 32;

/// How often is looked, at most.
const PAUSE: Duration = Duration::from_secs(1);

/// A first look goes so many blocks back; what came earlier is in the balance.
const LOOK_BACK: u64 = 10_000;

/// Up to which block was looked, and when. Forgetting it costs another look.
#[derive(Debug, Default)]
pub(crate) struct Income(BTreeMap<String, (u64, Instant)>);

/// Looks once.
pub(crate) async fn look(
    shared: &Shared,
    link: &Link,
    Whose { agent, key, policy }: Whose<'_>,
    income: &mut Income,
) -> Result<(), StewardError> {
    let before = income.0.get(agent).copied();
    if before.is_some_and(|(_, at)| at.elapsed() < PAUSE) {
        return Ok(());
    }
    let finals = link.witnesses().await?.into_iter().map(|(_, block)| block.number);
    let Some(last) = finals.min() else { return Ok(()) };
    let name = agent.to_owned();
    let told = shared.desk.look(move |state, _| state.agent(&name).map_or(0, |it| it.received));
    let known = told.await?.max(before.map_or(0, |(block, _)| block));
    let first = match known {
        0 => last.saturating_sub(LOOK_BACK),
        known => known.saturating_add(1),
    };
    income.0.insert(agent.to_owned(), (known, Instant::now()));
    if first > last {
        return Ok(());
    }
    let chain = shared.home.chain();
    let assets = policy.assets.values().map(|asset| asset.id);
    let tokens: BTreeSet<Address> =
        assets.filter(|id| id.chain == chain && !id.is_native()).map(|id| id.token).collect();
    let mut came = Vec::new();
    for token in tokens {
        let found = link.rpc.transfers_to(token, key, (first, last)).await;
        came.extend(found.map_err(chain_error)?);
    }
    let name = agent.to_owned();
    let looked = shared.desk.look(move |state, _| {
        let ours = settled(state, &name);
        came.retain(|it| !ours.contains(&it.transaction) && it.from != key);
        came
    });
    let came = looked.await?;
    if !came.is_empty() {
        let body = told_of(came, last);
        shared.desk.submit(Event::Chain { agent: agent.to_owned(), body }).await?;
    }
    income.0.insert(agent.to_owned(), (last, Instant::now()));
    Ok(())
}

/// Transactions that carry settlements and refills of this agent's: they are in the ledger.
fn settled(state: &State, agent: &str) -> BTreeSet<B256> {
    let records = state.intents().values().filter(|record| record.agent == agent);
    records
        .filter(|record| {
            matches!(
                record.decided.intent,
                Intent::Settle(_) | Intent::SettlePermit(_) | Intent::Refill { .. }
            )
        })
        .flat_map(|record| record.seen.map(|at| at.transaction).into_iter().chain(record.hashes()))
        .collect()
}

/// The entry about what came up to a block.
pub(crate) fn told_of(mut came: Vec<Incoming>, upto: u64) -> Body {
    came.sort_by_key(|it| it.block);
    let rest = came.split_off(came.len().min(NAMED));
    let transfers = came
        .into_iter()
        .map(|Incoming { token, from, value, transaction, block }| Received {
            token,
            from,
            value,
            transaction,
            block,
        })
        .collect();
    let mut more: BTreeMap<Address, (u64, U256)> = BTreeMap::new();
    for it in rest {
        let (count, value) = more.entry(it.token).or_default();
        (*count, *value) = (*count + 1, value.saturating_add(it.value));
    }
    let flood = |(token, (count, value))| Flood { token, count, value };
    Body::Received { upto, transfers, more: more.into_iter().map(flood).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, VERSION, Word};

    #[test]
    fn a_flood_of_dust_is_one_entry_and_nothing_of_it_is_lost() {
        let dust = |n: u64| Incoming {
            token: Address::repeat_byte(1),
            from: Address::repeat_byte(2),
            value: U256::from(n),
            transaction: B256::repeat_byte(3),
            block: n,
        };
        let body = told_of((1..=5_000).rev().map(dust).collect(), 9_000);
        let Body::Received { transfers, more, .. } = &body else { panic!() };
        assert_eq!(transfers.len(), NAMED);
        assert_eq!(transfers[0].block, 1, "the first come first");
        let named: u64 = (1..=32).sum();
        let value = U256::from((1..=5_000_u64).sum::<u64>() - named);
        assert_eq!(*more, [Flood { token: Address::repeat_byte(1), count: 4_968, value }]);
        let agent = Some("scout".to_owned());
        let entry = Entry { v: VERSION, seq: 3, at: 0, agent, word: Word::Attested, body };
        assert!(entry.encode().unwrap().len() < 16 * 1024);
    }
}
