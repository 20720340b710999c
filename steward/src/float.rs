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

pub(crate) use delegated::{covered, way};
pub(crate) use payment::afford;

use crate::{
    core::{Covered, Event, leaves, refills, takes},
    entry::{Body, Order},
    error::{StewardError, fault},
    links::{Link, chain_error},
    outflow::Whose,
    state::{Account, Record},
    steward::Shared,
};
use alloy_primitives::{Address, U256};
use delegated::{Heard, Undrawn, lack, stands};
use marque_identity::Rpc;
use marque_policies::{
    AssetId, Intent, IntentId, Mark, Money, Policy, document::Float, intent::Sweep,
};
use marque_steward_client::{Answer, FloatView, Outcome, PaymentState, Proposal, RefillView};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
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

/// The fault of a try that the rules refuse.
const RULES: &str = "refused";

/// What is known of floats. All of it can be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Floats {
    heard: Heard,
    seen: Mutex<BTreeMap<(String, AssetId), Seen>>,
    /// One refill is put together at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A float as it was seen last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What the key held.
    pub(crate) held: Option<U256>,
    /// Why it is not refilled, or what came in not returned.
    pub(crate) trouble: Option<String>,
    /// Why the agent pays nothing: the policy requires what the chain does not hold.
    pub(crate) refused: Option<String>,
    tries: u32,
    next: Option<Instant>,
}

impl Floats {
    pub(crate) fn seen(&self, agent: &str, asset: AssetId) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(agent.to_owned(), asset)).cloned().unwrap_or_default()
    }

    /// Whether something of an agent's is to be tried again, and whether now.
    pub(crate) fn waits(&self, agent: &str) -> (bool, bool) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = seen.iter().filter(|((name, _), _)| name == agent);
        let next = tries.filter_map(|(_, seen)| seen.next).min();
        (next.is_some(), next.is_some_and(|next| next <= Instant::now()))
    }

    /// Forgets what a policy has no float of any more.
    fn keep(&self, agent: &str, policy: &Policy) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(name, asset), _| name != agent || policy.floats.contains_key(asset));
    }

    fn note(&self, agent: &str, asset: AssetId, note: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        note(seen.entry((agent.to_owned(), asset)).or_default());
    }

    /// What came of a try. Trouble is said once, and not tried again at once.
    fn tried(&self, agent: &str, asset: AssetId, trouble: Option<(String, Duration)>) {
        self.note(agent, asset, |seen| {
            let pause = match &trouble {
                Some((_, longest)) => {
                    seen.tries = seen.tries.saturating_add(1);
                    PAUSE.saturating_mul(1 << seen.tries.min(8)).min(*longest)
                }
                None => {
                    seen.tries = 0;
                    PAUSE
                }
            };
            seen.next = Instant::now().checked_add(pause);
            seen.say((agent, asset), trouble.map(|(why, _)| why));
        });
    }
}

impl Seen {
    fn say(&mut self, (agent, asset): (&str, AssetId), trouble: Option<String>) {
        if let Some(why) = trouble.as_ref().filter(|why| self.trouble.as_ref() != Some(why)) {
            tracing::warn!(agent, %asset, why, "the float is not what it should be");
        }
        self.trouble = trouble;
    }
}

/// Says at the start where the chain does not hold what a policy wants it to hold. A chain that does
/// not answer has been told of already.
pub(crate) async fn at_start(shared: &Shared) -> Result<(), StewardError> {
    let agents = shared.desk.look(|state, _| {
        let agent = |(name, account): (&String, &Account)| {
            let policy = Arc::clone(&account.policy.as_ref()?.policy);
            Some((name.clone(), account.key, policy))
        };
        state.agents().iter().filter_map(agent).collect::<Vec<_>>()
    });
    for (agent, key, policy) in agents.await? {
        let whose = Whose { agent: &agent, key, policy: &policy };
        for (asset, float) in floats(shared, &policy) {
            let Ok(link) = shared.links.get(&policy, shared.home.chain()) else { continue };
            let lack = match stands(shared, &link, whose, asset).await {
                Err(Undrawn::Lack(lack)) => lack.to_string(),
                Err(Undrawn::Error(StewardError::Stopped)) => return Err(StewardError::Stopped),
                Ok(_) | Err(Undrawn::Error(_)) => continue,
            };
            let name = policy.asset(asset).map_or("?", |(name, _)| name);
            if float.required {
                shared.floats.note(&agent, asset, |seen| seen.refused = Some(lack.clone()));
                tracing::warn!(
                    agent,
                    asset = name,
                    lack,
                    "it pays nothing: its policy wants the chain to hold its limits"
                );
            } else {
                tracing::warn!(agent, asset = name, lack, "the chain does not hold its limits");
            }
        }
    }
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
        shared.floats.note(agent, asset, |seen| seen.held = Some(held));
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
            shared.floats.note(agent, asset, |seen| (seen.trouble, seen.next) = (None, None));
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
        shared.floats.tried(agent, asset, trouble);
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
        let Seen { held, trouble, refused, .. } = shared.floats.seen(agent, asset);
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
