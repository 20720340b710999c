//! The laws, counted by hand: from the chain as it really is and from what was let go, never from
//! the ledger's own sums.

use crate::{
    chain::{Block, Chain, Deed, Mined},
    setup::Setup,
    support::CHAIN,
};
use alloy_primitives::{Address, B256, U256};
use marque_policies::{AssetId, Intent, IntentId, Money, Policy, Timestamp, document::Limits};
use marque_steward::{State, entry::Order};
use marque_steward_client::PaymentState;
use std::collections::BTreeMap;

/// A law that did not hold, in one line.
pub(crate) type Broken = String;

/// Ends with the line, unless the law holds.
macro_rules! law {
    ($holds:expr, $($line:tt)+) => {
        if !$holds {
            return Err(format!($($line)+).into());
        }
    };
}
pub(crate) use law;

/// Agent, the account below it, task, step, ordinal; a cancellation's task is what it cancels, for
/// whoever asks.
pub(crate) type Place = (String, Option<String>, String, u32, u32);

/// Something that was allowed: what may be on the chain because of it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) id: IntentId,
    pub(crate) agent: String,
    pub(crate) sub_agent: Option<String>,
    pub(crate) task: String,
    /// The piece of work that it is an attempt at.
    pub(crate) place: Place,
    pub(crate) payee: Option<Address>,
    pub(crate) paid: Option<Money>,
    pub(crate) gas: Option<Money>,
    pub(crate) intent: Intent,
    pub(crate) order: Order,
    /// Of our own transaction, each that was signed: with other fees it is another.
    pub(crate) hashes: Vec<B256>,
    /// The first durable entry after it was mined where it is now: it cannot leave a window earlier
    /// than that.
    pub(crate) mined: Option<(B256, Option<Timestamp>)>,
}

/// What the chain can still make of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Anything: all of it counts, whatever its age.
    Live,
    /// It happened, for good.
    Spent { paid: bool, gas: U256 },
    /// Nothing.
    Dead,
}

impl Grant {
    /// The block that carries it now.
    pub(crate) fn block(&self, chain: &Chain) -> Option<B256> {
        match &self.order {
            Order::Authorisation(order) => {
                chain.settled(order.from, order.nonce).map(|(block, _)| block.hash)
            }
            _ => self.carried(chain).map(|(block, _)| block.hash),
        }
    }

    /// Our own transaction on chain, under one of its hashes.
    fn carried<'a>(&self, chain: &'a Chain) -> Option<(&'a Block, &'a Mined)> {
        self.hashes.iter().find_map(|hash| chain.find(*hash))
    }

    /// What the chain has really taken for it so far: amount and gas.
    pub(crate) fn taken(&self, chain: &Chain) -> (U256, U256) {
        let amount = self.paid.map_or(U256::ZERO, |paid| paid.units);
        match &self.order {
            Order::Authorisation(order) => match chain.settled(order.from, order.nonce) {
                Some(_) => (amount, U256::ZERO),
                None => (U256::ZERO, U256::ZERO),
            },
            _ => match self.carried(chain) {
                Some((_, it)) => {
                    let gas = U256::from(it.gas_used) * U256::from(it.price);
                    (if it.success { amount } else { U256::ZERO }, gas)
                }
                None => (U256::ZERO, U256::ZERO),
            },
        }
    }

    pub(crate) fn fate(&self, chain: &Chain, state: &State) -> Fate {
        let deep = chain.deep();
        match &self.order {
            Order::Authorisation(order) => match chain.settled(order.from, order.nonce) {
                Some((block, _)) if block.number <= deep.number => {
                    Fate::Spent { paid: true, gas: U256::ZERO }
                }
                None if deep.time >= order.valid_before => Fate::Dead,
                None => match chain.cancelled(order.from, order.nonce) {
                    Some((block, _)) if block.number <= deep.number => Fate::Dead,
                    _ => Fate::Live,
                },
                _ => Fate::Live,
            },
            order => match order.transaction() {
                None => Fate::Dead,
                // Never signed; the ledger itself says whether it may be.
                Some(_) if self.hashes.is_empty() => {
                    match state.intent(self.id).map(|record| record.state) {
                        Some(PaymentState::Reserved) => Fate::Live,
                        _ => Fate::Dead,
                    }
                }
                Some(order) => match self.carried(chain) {
                    Some((block, it)) if block.number <= deep.number => {
                        let gas = U256::from(it.gas_used) * U256::from(it.price);
                        Fate::Spent { paid: it.success && order.to != order.from, gas }
                    }
                    None if count_at(chain, order.from, deep.number) > order.nonce => Fate::Dead,
                    _ => Fate::Live,
                },
            },
        }
    }

    /// What counts of it in a window that began at `since`.
    fn weight(&self, fate: Fate, asset: AssetId, since: Timestamp) -> U256 {
        let of = |money: Option<Money>| {
            money.filter(|it| it.asset == asset).map_or(U256::ZERO, |it| it.units)
        };
        match fate {
            Fate::Live => of(self.paid) + of(self.gas),
            Fate::Spent { paid, gas } => {
                let young = self.mined.and_then(|(_, at)| at).is_none_or(|at| at > since);
                if !young {
                    return U256::ZERO;
                }
                let gas = if asset.is_native() { gas } else { U256::ZERO };
                (if paid { of(self.paid) } else { U256::ZERO }) + gas
            }
            Fate::Dead => U256::ZERO,
        }
    }
}

fn count_at(chain: &Chain, of: Address, number: u64) -> u64 {
    let blocks = chain.blocks.iter().filter(|block| block.number <= number);
    let ours = |deed: &Deed| matches!(deed, Deed::Ours { order, .. } if order.from == of);
    blocks.flat_map(|block| &block.mined).filter(|it| ours(&it.tx.deed)).count() as u64
}

/// Whose limits, in which asset, over which grants.
type Section<'a> = (String, &'a Limits, AssetId, Box<dyn Fn(&Grant) -> bool + 'a>);

/// Every section of limits of a policy that a grant falls under.
fn sections<'a>(policy: &'a Policy, grant: &'a Grant) -> Vec<Section<'a>> {
    let own = move |it: &Grant| it.agent == grant.agent;
    let mut found: Vec<Section<'a>> = Vec::new();
    for (asset, limits) in policy.limits.iter().chain(&policy.gas) {
        found.push((format!("{}'s", grant.agent), limits, *asset, Box::new(own)));
    }
    for (asset, limits) in policy.owner_limits.iter().chain(&policy.owner_gas) {
        found.push(("the owner's".to_owned(), limits, *asset, Box::new(|_| true)));
    }
    if let Some((name, sub)) =
        grant.sub_agent.as_ref().and_then(|name| policy.sub_agents.get_key_value(name))
    {
        for (asset, limits) in sub.limits.iter().chain(&sub.gas) {
            let same = move |it: &Grant| own(it) && it.sub_agent.as_ref() == Some(name);
            found.push((format!("sub-agent {name}'s"), limits, *asset, Box::new(same)));
        }
    }
    for (asset, limits) in &policy.task_limits {
        let same = move |it: &Grant| own(it) && it.task == grant.task;
        found.push((format!("task {}'s", grant.task), limits, *asset, Box::new(same)));
    }
    for (name, payee) in &policy.payees {
        if let (Some(bound), Some(to)) = (&payee.bound, payee.address)
            && grant.payee == Some(to)
        {
            let same = move |it: &Grant| own(it) && it.payee == Some(to);
            found.push((format!("payee {name}'s"), &bound.limits, bound.asset, Box::new(same)));
        }
    }
    found
}

/// Law 1: at the moment of a grant, everything that can still happen and everything that happened
/// within the window is within every limit, of every account that the grant debits.
pub(crate) fn within_limits(
    setup: &Setup,
    policy: B256,
    grants: &[Grant],
    new: &Grant,
    (chain, state, at): (&Chain, &State, Timestamp),
) -> Result<(), Broken> {
    let policy = &setup.policies[&policy];
    let fates: Vec<Fate> = grants.iter().map(|it| it.fate(chain, state)).collect();
    for (whose, limits, asset, falls_under) in sections(policy, new) {
        let concerned = [new.paid, new.gas].iter().flatten().any(|money| money.asset == asset);
        if !concerned {
            continue;
        }
        for (window, width, limit) in limits.windows() {
            let since = width.map_or(0, |width| at.saturating_sub(width));
            let sum = grants.iter().zip(&fates).filter(|(it, _)| falls_under(it));
            let sum = sum.fold(U256::ZERO, |sum, (it, fate)| sum + it.weight(*fate, asset, since));
            law!(sum <= limit, "{whose} {window} of {limit} was exceeded: {sum} after {}", new.id);
        }
    }
    Ok(())
}

/// Law 2: by the chain's own clock, no limit was exceeded in any stretch of its length, less what
/// the two clocks may be apart.
pub(crate) fn within_limits_by_block_time(
    setup: &Setup,
    grants: &[Grant],
    chain: &Chain,
    apart: u64,
) -> Result<(), Broken> {
    let mut spent: Vec<(u64, &Grant, U256, U256)> = Vec::new();
    for grant in grants {
        let Some(hash) = grant.block(chain) else { continue };
        let time = chain.blocks.iter().find(|block| block.hash == hash).map_or(0, |it| it.time);
        let (paid, gas) = grant.taken(chain);
        spent.push((time, grant, paid, gas));
    }
    spent.sort_by_key(|(time, ..)| *time);
    // Versions change in between; the widest of them is an upper bound.
    let mut widest: BTreeMap<(String, AssetId, u64), U256> = BTreeMap::new();
    for (_, grant, ..) in &spent {
        for policy in setup.policies.values() {
            for (whose, limits, asset, _) in sections(policy, grant) {
                for (_, width, limit) in limits.windows() {
                    let whose = if whose == "the owner's" {
                        whose.clone()
                    } else {
                        format!("{} {whose}", grant.agent)
                    };
                    let known =
                        widest.entry((whose, asset, width.unwrap_or(u64::MAX))).or_default();
                    *known = (*known).max(limit);
                }
            }
        }
    }
    for ((whose, asset, width), limit) in widest {
        let seconds = (width / 1_000).saturating_sub(apart);
        let falls_under = |grant: &Grant| {
            let Some(policy) = setup.policies.values().next() else { return false };
            sections(policy, grant).iter().any(|(name, _, of, _)| {
                let name = if name == "the owner's" {
                    name.clone()
                } else {
                    format!("{} {name}", grant.agent)
                };
                name == whose && *of == asset
            })
        };
        let ours: Vec<_> = spent.iter().filter(|(_, grant, ..)| falls_under(grant)).collect();
        for (first, (begin, ..)) in ours.iter().enumerate() {
            let inside = ours[first..].iter().take_while(|(time, ..)| time - begin < seconds);
            let sum = inside.fold(U256::ZERO, |sum, (_, grant, paid, gas)| {
                let paid =
                    if grant.paid.is_some_and(|it| it.asset == asset) { *paid } else { U256::ZERO };
                sum + if asset.is_native() { paid + *gas } else { paid }
            });
            law!(
                sum <= limit,
                "by block time {whose} limit of {limit} in {seconds} s was exceeded: {sum} from {begin} on"
            );
        }
    }
    Ok(())
}

/// Law 3: an attempt is made only when the ones before have come to nothing, so that a task that
/// tries again never pays twice.
pub(crate) fn earlier_attempts_are_over(
    grants: &[Grant],
    new: &Grant,
    chain: &Chain,
    state: &State,
) -> Result<(), Broken> {
    for grant in grants {
        // A settlement has no attempts: its id is the authorisation's.
        let settles = [grant, new].iter().any(|it| matches!(it.intent, Intent::Settle(_)));
        if grant.place == new.place && grant.id != new.id && !settles {
            let fate = grant.fate(chain, state);
            let over = matches!(fate, Fate::Dead | Fate::Spent { paid: false, .. });
            law!(over, "{} was allowed, and the attempt before, {}, is {fate:?}", new.id, grant.id);
        }
    }
    Ok(())
}

/// Law 4: the ledger counts at least what the chain has taken, for every intent, and never more
/// than was reserved for it; and it knows of everything that left a key.
pub(crate) fn ledger_covers_chain(
    state: &State,
    grants: &[Grant],
    chain: &Chain,
    exactly: bool,
) -> Result<(), Broken> {
    let mut by_id: BTreeMap<IntentId, Vec<&Grant>> = BTreeMap::new();
    for grant in grants {
        by_id.entry(grant.id).or_default().push(grant);
    }
    let native = AssetId::native(CHAIN);
    for (id, grants) in by_id {
        let (mut paid, mut gas) = (U256::ZERO, U256::ZERO);
        let (mut most_paid, mut most_gas) = (U256::ZERO, U256::ZERO);
        let asset = grants.iter().find_map(|grant| grant.paid).map(|paid| paid.asset);
        for grant in &grants {
            let taken = grant.taken(chain);
            (paid, gas) = (paid + taken.0, gas + taken.1);
            most_paid += grant.paid.map_or(U256::ZERO, |it| it.units);
            most_gas += grant.gas.map_or(U256::ZERO, |it| it.units);
        }
        let rows = state.debits().of(id);
        let sum = |asset: AssetId| {
            let rows = rows.iter().filter(|row| row.amount.asset == asset);
            rows.fold(U256::ZERO, |sum, row| sum + row.amount.units)
        };
        let (counted, burnt) = (asset.map_or(U256::ZERO, sum), sum(native));
        law!(counted >= paid, "the ledger counts {counted} for {id}, and the chain took {paid}");
        law!(burnt >= gas, "the ledger counts {burnt} of gas for {id}, and the chain took {gas}");
        law!(counted <= most_paid, "{counted} is settled for {id}, and {most_paid} was reserved");
        law!(burnt <= most_gas, "{burnt} of gas is settled for {id}, and {most_gas} was reserved");
        let settles = grants.iter().any(|grant| matches!(grant.intent, Intent::Settle(_)));
        if exactly && !settles {
            law!(counted == paid, "in the end {counted} is settled for {id}, and {paid} was taken");
            law!(
                burnt == gas,
                "in the end {burnt} of gas is settled for {id}, and {gas} was taken"
            );
        }
    }
    Ok(())
}
