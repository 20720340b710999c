//! Floats: what the agent's key holds, kept between two marks from the owner's account.
//!
//! Below `low` the steward proposes a refill up to `high`, to itself, like any other intent: decided
//! within the limits on fees, reserved, journalled, tried out before it is signed. A payment that the
//! rules allow and the key cannot pay waits for one ([`payment`]). What comes in above `high`, by
//! `high - low` or more, goes back to the owner, whatever is delegated. What the chain would refuse is
//! not sent, and is tried again ever more rarely.
//!
//! Where a policy says `delegation = "required"`, what the owner delegated ([`delegated`]) has to stand
//! before that agent pays anything. Its steward works all the same: for its owner, for what comes back,
//! and for other agents.

mod delegated;
mod payment;
mod seen;

pub(crate) use delegated::{covered, way};
pub(crate) use payment::afford;
pub(crate) use seen::Floats;

use crate::{
    core::{Covered, Event, leaves, refills, takes},
    entry::{Body, Order},
    error::{StewardError, fault},
    links::{Link, chain_error},
    outflow::Whose,
    state::Record,
    steward::Shared,
};
use alloy_primitives::{Address, U256};
use delegated::{Undrawn, ask, lack, stands};
use marque_identity::Rpc;
use marque_policies::{
    AssetId, Intent, IntentId, Mark, Money, Policy, document::Float, intent::Sweep,
};
use marque_steward_client::{Answer, FloatView, Outcome, PaymentState, Proposal, RefillView};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What the steward's own refills and returns are called in the journal.
pub(crate) const TASK: &str = "float";

/// A payment waits so long for the money that it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The pause after a try; after one that came to nothing it doubles,
const PAUSE: Duration = Duration::from_secs(5);

/// up to this: a try reads and costs nothing, and what the owner mends is found out by one.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the rules refuse it, up to this: that is journalled each time.
const LONGEST_REFUSED: Duration = Duration::from_secs(600);

/// How what is delegated stands is asked so often while the float is full: what is over is told before it
/// is needed.
const ASKED: Duration = Duration::from_secs(20);

/// Whoever asks for a status waits so long for the chain's word on it.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// The fault of a try that the rules refuse.
const RULES: &str = "refused";

/// Says at the start where the chain does not hold what a policy wants it to hold. A chain that does
/// not answer has been told of already.
pub(crate) async fn at_start(shared: &Shared) -> Result<(), StewardError> {
    let agents = shared.desk.look(|state, _| state.agents().keys().cloned().collect::<Vec<_>>());
    for agent in agents.await? {
        if let Err(StewardError::Stopped) = look(shared, &agent).await {
            return Err(StewardError::Stopped);
        }
    }
    Ok(())
}

/// Asks of all floats of an agent whether the chain holds what its policy wants it to hold.
async fn look(shared: &Shared, agent: &str) -> Result<(), StewardError> {
    let name = agent.to_owned();
    let found = shared.desk.look(move |state, _| {
        let account = state.agent(&name)?;
        Some((account.key, Arc::clone(&account.policy.as_ref()?.policy)))
    });
    let Some((key, policy)) = found.await? else { return Ok(()) };
    if policy.floats.is_empty() {
        return Ok(());
    }
    let link = shared.links.get(&policy, shared.home.chain())?;
    let whose = Whose { agent, key, policy: &policy };
    ask(shared, &link, whose).await?;
    for (asset, _) in floats(shared, &policy).filter(|(_, float)| !float.required) {
        look_at(shared, &link, whose, asset).await?;
    }
    Ok(())
}

/// The same of one that does without, if it is refilled at all: whoever pays nobody draws nothing.
async fn look_at(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
) -> Result<(), StewardError> {
    let Whose { agent, policy, .. } = whose;
    if policy.payees.is_empty() && policy.pools.is_empty() {
        return Ok(());
    }
    let lack = match stands(shared, link, whose, asset).await {
        Ok(_) => None,
        Err(Undrawn::Lack(lack)) => Some(lack.to_string()),
        Err(Undrawn::Error(error)) => return Err(error),
    };
    shared.floats.covers((agent, policy), asset, lack);
    Ok(())
}

/// Gives back what a crash left reserved and not signed of payments that the chain does not cover any
/// more: the next look would sign it.
pub(crate) async fn release(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    live: &[Record],
) -> Result<(), StewardError> {
    let unsigned = |record: &&Record| {
        let transaction = record.order.as_ref().and_then(Order::transaction);
        let waits = record.state == PaymentState::Reserved && transaction.is_some();
        waits && takes(&record.decided.intent).is_some()
    };
    for record in live.iter().filter(unsigned) {
        let id = record.decided.id;
        // What was signed just before the crash is what goes out.
        if shared.outbox.get(id)?.is_none()
            && let Covered::Lacks(lack) = covered(shared, link, whose).await?
        {
            let why = format!("before it was signed: {lack}");
            shared.desk.submit(Event::Moved(Body::Released { id, why })).await?;
        }
    }
    Ok(())
}

/// Looks at an agent's floats once, and moves what is to be moved.
pub(crate) async fn keep(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    live: &[Record],
) -> Result<(), StewardError> {
    let Whose { agent, key, policy } = whose;
    shared.floats.keep(agent, policy);
    // What a status tells of it.
    covered(shared, link, whose).await?;
    for (asset, float) in floats(shared, policy) {
        let held = holds(&link.rpc, asset, key).await?;
        shared.floats.holds(agent, asset, held);
        let returns = |record: &Record| {
            matches!(&record.decided.intent, Intent::Sweep(_))
                && leaves(record, asset, u64::MAX).is_some()
        };
        let moving = |record: &Record| refills(record, agent, asset) || returns(record);
        let waits = shared.floats.seen(agent, asset).next.is_some_and(|next| next > Instant::now());
        if live.iter().any(moving) || waits {
            continue;
        }
        let out = live.iter().filter_map(|record| leaves(record, asset, u64::MAX));
        let free = held.saturating_sub(out.fold(U256::ZERO, U256::saturating_add));
        let most = float.high.saturating_sub(float.low);
        let (done, not) = if held < float.low {
            (refill(shared, link, whose, (asset, held, most)).await, "not refilled")
        } else if free.saturating_sub(float.high) >= most {
            // Whatever is delegated: it takes the key, and goes to the owner in force.
            let amount = Money::new(free.saturating_sub(float.high), asset);
            (propose(shared, agent, Intent::Sweep(Sweep { amount })).await, "not returned")
        } else {
            shared.floats.is_well(agent, asset);
            if !float.required && !shared.floats.asked_within(agent, asset, ASKED) {
                look_at(shared, link, whose, asset).await?;
            }
            continue;
        };
        let trouble = match done {
            Ok(_) => None,
            Err(error) => {
                let by_rule = matches!(&error, StewardError::Fault(fault) if fault.code == RULES);
                let longest = if by_rule { LONGEST_REFUSED } else { LONGEST };
                Some((format!("{not}: {}", words(error)?), longest))
            }
        };
        shared.floats.tried((agent, policy), asset, trouble);
    }
    Ok(())
}

/// Draws on the account, up to the mark; at least so much or not at all.
async fn refill(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    (asset, held, least): (AssetId, U256, U256),
) -> Result<IntentId, StewardError> {
    let Whose { agent, policy, .. } = whose;
    let none = || fault("float", "the policy keeps no float of it");
    let high = policy.floats.get(&asset).ok_or_else(none)?.high;
    let standing = stands(shared, link, whose, asset).await?;
    if policy.floats.get(&asset).is_some_and(|float| !float.required) {
        shared.floats.covers((agent, policy), asset, None);
    }
    let show = |units| policy.show(Money::new(units, asset));
    let found = standing.assets.iter().find(|it| it.asset == asset);
    let found = found.ok_or_else(|| fault("float", "nothing of it is delegated"))?;
    let left = found.windows.iter().map(|it| {
        let left = it.limit.units.saturating_sub(it.used.units);
        (left, format!("{} on chain has", it.rule), format!("marque account status {agent}"))
    });
    let fund = format!("marque fund {agent} \"{}\" --account", show(high));
    let account = (found.account.units, "the owner's account holds".to_owned(), fund);
    let room = left.chain([account]).min_by_key(|(units, ..)| *units);
    let (room, which, mend) = room.unwrap_or_default();
    let amount = high.saturating_sub(held).min(room);
    if amount < least || amount.is_zero() {
        let why = format!("{} is wanted, and {which} {} left", show(least), show(room));
        return Err(lack(why, mend).into());
    }
    let amount = Money::new(amount, asset);
    tracing::info!(agent = whose.agent, amount = show(amount.units), "the float is refilled");
    propose(shared, whose.agent, Intent::Refill { amount }).await
}

/// The steward's own proposal, in a place that no mind can foresee and take.
async fn propose(shared: &Shared, agent: &str, intent: Intent) -> Result<IntentId, StewardError> {
    let mut place = [0; 4];
    getrandom::fill(&mut place).map_err(|error| fault("internal", error.to_string()))?;
    let step = u32::from_le_bytes(place);
    let proposal = Proposal { task: TASK.to_owned(), step, ordinal: 0, attempt: 0, intent };
    match Box::pin(shared.try_propose((agent, None), proposal)).await? {
        Answer::Outcome(Outcome::Allowed { id, .. }) => Ok(id),
        Answer::Outcome(Outcome::Refused { table, .. } | Outcome::Held { table, .. }) => {
            let stops = table.iter().find(|row| row.mark != Mark::Pass);
            let stops = stops.map(|row| {
                let mend = row.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
                format!("{}: {} of {}{mend}", row.rule, row.measured, row.limit)
            });
            Err(fault(RULES, stops.unwrap_or_default()).into())
        }
        Answer::Error(fault) => Err(fault.into()),
        _ => Err(fault("internal", "a proposal was not answered").into()),
    }
}

/// An agent's floats, for people.
pub(crate) async fn views(shared: &Shared, agent: &str) -> Result<Vec<FloatView>, StewardError> {
    // A steward with nothing to do looks seldom, and its owner asks now.
    let look = tokio::time::timeout(TOLD_WITHIN, look(shared, agent)).await;
    if let Ok(Err(StewardError::Stopped)) = look {
        return Err(StewardError::Stopped);
    }
    let name = agent.to_owned();
    let found = shared.desk.look(move |state, _| {
        let policy = Arc::clone(&state.agent(&name)?.policy.as_ref()?.policy);
        let newest = |asset: AssetId| {
            let mine = state.intents().values().filter(|record| record.agent == name);
            let refills = mine.filter_map(|record| match &record.decided.intent {
                Intent::Refill { amount } if amount.asset == asset && record.is_spent() => {
                    Some(RefillView { at: record.at, amount: *amount, state: record.state })
                }
                _ => None,
            });
            refills.max_by_key(|refill| refill.at)
        };
        let floats = policy.floats.iter().map(|(asset, float)| (*asset, *float, newest(*asset)));
        Some(floats.collect::<Vec<_>>())
    });
    let view = |(asset, float, refill): (AssetId, Float, Option<RefillView>)| {
        let money = |units| Money::new(units, asset);
        let seen = shared.floats.seen(agent, asset);
        let held = seen.held;
        let (trouble, refused) = seen.told(float.required);
        let (low, high) = (money(float.low), money(float.high));
        FloatView { low, high, held: held.map(money), refill, trouble, refused }
    };
    Ok(found.await?.unwrap_or_default().into_iter().map(view).collect())
}

/// The floats of a policy on the steward's chain.
fn floats<'a>(shared: &Shared, policy: &'a Policy) -> impl Iterator<Item = (AssetId, &'a Float)> {
    let chain = shared.home.chain();
    let here = policy.floats.iter().filter(move |(asset, _)| asset.chain == chain);
    here.map(|(asset, float)| (*asset, float))
}

/// What a key holds of an asset.
pub(crate) async fn holds(rpc: &Rpc, asset: AssetId, key: Address) -> Result<U256, StewardError> {
    let held = match asset.is_native() {
        true => rpc.balance(key).await,
        false => rpc.erc20_balance(asset.token, key).await,
    };
    held.map_err(chain_error)
}

/// Trouble that is no end, in words.
fn words(error: StewardError) -> Result<String, StewardError> {
    match error {
        StewardError::Stopped => Err(StewardError::Stopped),
        StewardError::Fault(fault) => Ok(fault.message),
        StewardError::Chain(why) => Ok(why),
        error => Ok(error.to_string()),
    }
}
