//! Floats: what the agent's key holds, kept between two marks from the owner's account.
//!
//! Below `low` the steward proposes a refill up to `high`, to itself, like any other intent: decided
//! within the limits on fees, reserved, journalled, tried out before it is signed. A payment that the
//! rules allow and the key cannot pay waits for one. What comes in above `high`, by `high - low` or
//! more, goes back to the owner. What the chain would refuse is not sent, and is tried again ever
//! more rarely.
//!
//! What the owner delegated is a file that others can write. INVARIANT: nothing of it is used unless
//! the owner in force signed it, it is what the policy in force compiles to, its account is the
//! owner's, and the contracts that it names have the code that Marque knows (pinned by
//! `tests/system/float.rs`). So no file makes the key call anything else.

use crate::{
    core::{Event, Reply, Way, leaves, refills, step},
    error::{StewardError, fault},
    gather,
    links::{Link, chain_error},
    outflow::Whose,
    state::{Account, Record, State},
    steward::Shared,
};
use alloy_primitives::{Address, B256, U256};
use marque_contracts::delegation::{Framework, OwnerAccount};
use marque_identity::{
    Rpc,
    account::{self, Permissions, Standing},
};
use marque_policies::{
    AssetId, Intent, IntentId, Mark, Money, Policy, document::Float, intent::Sweep,
};
use marque_steward_client::{Answer, Fault, FloatView, Outcome, Proposal, RefillView};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What the steward's own refills and returns are called in the journal.
pub(crate) const TASK: &str = "float";

/// A payment waits so long for the money that it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The pauses between tries that came to nothing: the first, doubled up to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));

/// What is known of floats. All of it can be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Floats {
    /// Contracts whose code was compared.
    known: Mutex<Vec<Framework>>,
    seen: Mutex<BTreeMap<(String, AssetId), Seen>>,
    /// One refill is put together at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A float as it was seen last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What the key held.
    pub(crate) held: Option<U256>,
    /// Why it is not refilled.
    pub(crate) trouble: Option<String>,
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
    fn tried(&self, agent: &str, asset: AssetId, trouble: Option<String>) {
        self.note(agent, asset, |seen| {
            if let Some(why) = trouble.as_ref().filter(|why| seen.trouble.as_ref() != Some(why)) {
                tracing::warn!(agent, %asset, why, "the float is not refilled");
            }
            seen.tries = if trouble.is_some() { seen.tries.saturating_add(1) } else { 0 };
            let (first, longest) = PAUSES;
            let pause = first.saturating_mul(1 << seen.tries.min(8)).min(longest);
            seen.next = Instant::now().checked_add(if trouble.is_some() { pause } else { first });
            seen.trouble = trouble;
        });
    }
}

/// Says at the start where the chain does not hold what a policy wants it to hold.
///
/// # Errors
/// [`StewardError::Delegation`] where the policy does not want the steward to start then.
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
            let link = shared.links.get(&policy, shared.home.chain())?;
            let Err(error) = stands(shared, &link, whose, asset).await else { continue };
            let (why, agent) = (words(error)?, agent.clone());
            let asset = policy.asset(asset).map_or("?", |(name, _)| name).to_owned();
            if float.required {
                return Err(StewardError::Delegation { agent, asset, why });
            }
            tracing::warn!(agent, asset, why, "the chain does not hold these limits");
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
        let done = if held < float.low {
            refill(shared, link, whose, (asset, held, most)).await.map(drop)
        } else if free.saturating_sub(float.high) >= most {
            give_back(shared, link, whose, Money::new(free.saturating_sub(float.high), asset)).await
        } else {
            shared.floats.note(agent, asset, |seen| (seen.trouble, seen.next) = (None, None));
            continue;
        };
        let trouble = done.map_or_else(|error| words(error).map(Some), |()| Ok(None))?;
        shared.floats.tried(agent, asset, trouble);
    }
    Ok(())
}

/// Makes sure that the key can pay what is proposed: draws on the account where it cannot, and waits
/// until that is there. What the rules do not allow is left to them.
///
/// # Errors
/// The fault `float` where the money is not to be had.
pub(crate) async fn cover(
    shared: &Shared,
    (agent, sub_agent): (&str, Option<&str>),
    proposal: &Proposal,
) -> Result<(), StewardError> {
    let Some(amount) = takes(&proposal.intent) else { return Ok(()) };
    let asset = amount.asset;
    let deadline = Instant::now() + PATIENCE;
    let mut changes = shared.desk.changes();
    let mut passes = false;
    loop {
        changes.mark_unchanged();
        let (name, below) = (agent.to_owned(), sub_agent.map(str::to_owned));
        let asked = proposal.clone();
        let look = move |state: &State, _| needs(state, (&name, below.as_deref()), &asked);
        let Some(Needs { key, policy, out }) = shared.desk.look(look).await? else {
            return Ok(());
        };
        let link = shared.links.get(&policy, shared.home.chain())?;
        let held = holds(&link.rpc, asset, key).await?;
        let needed = out.saturating_add(amount.units);
        if held >= needed {
            return Ok(());
        }
        if !passes {
            passes = would_pass(shared, (agent, sub_agent), proposal).await?;
            if !passes {
                return Ok(());
            }
        }
        let whose = Whose { agent, key, policy: &policy };
        let why = draw(shared, &link, whose, asset, needed).await?;
        if why.as_ref().is_some_and(|_| out.is_zero()) || Instant::now() >= deadline {
            let (has, takes) = (Money::new(held, asset), Money::new(needed, asset));
            let why = why.unwrap_or_else(|| "more is on its way; propose it again".to_owned());
            let line = format!(
                "the key holds {}, and with what is out this takes {}: {why}",
                policy.show(has),
                policy.show(takes)
            );
            return Err(fault("float", line).into());
        }
        // What is refused now is so for longer than a block takes.
        let pause = if why.is_some() { shared.poll * 5 } else { shared.poll };
        if let Ok(Err(_)) = tokio::time::timeout(pause, changes.changed()).await {
            return Err(StewardError::Stopped);
        }
    }
}

/// Draws what a payment lacks, unless that is on its way already; says why it does not.
async fn draw(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
    needed: U256,
) -> Result<Option<String>, StewardError> {
    let Whose { agent, key, policy } = whose;
    let Some(float) = policy.floats.get(&asset) else { return Ok(None) };
    // Who waited here looks again: the one before may have drawn.
    let _turn = shared.floats.turn.lock().await;
    let name = agent.to_owned();
    let comes = move |state: &State, _| {
        state.intents().values().any(|record| refills(record, &name, asset))
    };
    if shared.desk.look(comes).await? {
        return Ok(None);
    }
    let held = holds(&link.rpc, asset, key).await?;
    let room = float.high.saturating_sub(held);
    if held >= needed {
        return Ok(None);
    }
    if room.is_zero() {
        return Ok(Some("the float is full; what is out has to be settled first".to_owned()));
    }
    let least = needed.saturating_sub(held).min(room);
    Ok(match refill(shared, link, whose, (asset, held, least)).await {
        Ok(_) => {
            shared.floats.tried(agent, asset, None);
            None
        }
        Err(error) => Some(words(error)?),
    })
}

/// What an intent needs in the key: what it pays, or what Permit2 may move of it.
const fn takes(intent: &Intent) -> Option<Money> {
    match intent {
        Intent::Authorise(_) | Intent::Transfer(_) | Intent::PermitTransfer(_) => intent.spends(),
        Intent::ApprovePermit2 { amount } => Some(*amount),
        _ => None,
    }
}

/// What a payment needs to know.
struct Needs {
    key: Address,
    policy: Arc<Policy>,
    /// What of the asset was signed away and is not gone yet.
    out: U256,
}

/// Of a payment in an asset with a float that is not answered yet.
fn needs(
    state: &State,
    (agent, sub_agent): (&str, Option<&str>),
    proposal: &Proposal,
) -> Option<Needs> {
    let (begun, account) = (state.genesis()?, state.agent(agent)?);
    let policy = Arc::clone(&account.policy.as_ref()?.policy);
    let asset = takes(&proposal.intent)?.asset;
    policy.floats.get(&asset)?;
    let id = proposal.id_of(begun.origin, agent, sub_agent);
    let answered = state.intent(id).is_some_and(Record::is_spent) || state.archived(id).is_some();
    if answered || state.frozen().is_some() || asset.chain != begun.chain {
        return None;
    }
    let mine = state.intents().values().filter(|record| record.agent == agent);
    let out = mine.filter_map(|record| leaves(record, asset, u64::MAX));
    Some(Needs { key: account.key, policy, out: out.fold(U256::ZERO, U256::saturating_add) })
}

/// Whether the rules allow a payment, its money apart.
async fn would_pass(
    shared: &Shared,
    who: (&str, Option<&str>),
    proposal: &Proposal,
) -> Result<bool, StewardError> {
    let facts = gather::facts(shared, who, proposal).await?;
    let event = Event::Propose {
        agent: who.0.to_owned(),
        proposal: Box::new(proposal.clone()),
        facts: Box::new(facts),
    };
    let reply = shared.desk.look(move |state, now| step(state, event, now).reply).await?;
    // A transfer that the key cannot pay fails when it is tried out, after all rules.
    Ok(match reply {
        Reply::Allowed(_) => true,
        Reply::Fault(Fault { code, .. }) => code == "chain" || code == "float",
        // Nor is Permit2 approved for more than there is.
        Reply::Refused(_, table) => {
            let mut failed = table.iter().filter(|row| row.mark == Mark::Fail);
            failed.all(|row| row.rule == "permit2.balance")
        }
        _ => false,
    })
}

/// Draws on the account, up to the mark; at least so much or not at all.
async fn refill(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    (asset, held, least): (AssetId, U256, U256),
) -> Result<IntentId, StewardError> {
    let Whose { policy, .. } = whose;
    let none = || fault("float", "the policy keeps no float of it");
    let high = policy.floats.get(&asset).ok_or_else(none)?.high;
    let standing = stands(shared, link, whose, asset).await?;
    let show = |units| policy.show(Money::new(units, asset));
    let found = standing.assets.iter().find(|it| it.asset == asset);
    let found = found.ok_or_else(|| fault("float", "nothing of it is delegated"))?;
    let left = found.windows.iter().map(|it| {
        (it.limit.units.saturating_sub(it.used.units), format!("{} on chain has", it.rule))
    });
    let account = (found.account.units, "the owner's account holds".to_owned());
    let room = left.chain([account]).min_by_key(|(units, _)| *units);
    let (room, which) = room.unwrap_or_default();
    let amount = high.saturating_sub(held).min(room);
    if amount < least || amount.is_zero() {
        let line = format!("{} is wanted, and {which} {} left", show(least), show(room));
        return Err(fault("float", line).into());
    }
    let amount = Money::new(amount, asset);
    tracing::info!(agent = whose.agent, amount = show(amount.units), "the float is refilled");
    propose(shared, whose.agent, Intent::Refill { amount }).await
}

/// What came in above the mark goes to the owner, where the account refills the key when it is needed.
async fn give_back(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    amount: Money,
) -> Result<(), StewardError> {
    stands(shared, link, whose, amount.asset).await?;
    propose(shared, whose.agent, Intent::Sweep(Sweep { amount })).await.map(drop)
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
            let stops = stops.map(|row| format!("{}: {} of {}", row.rule, row.measured, row.limit));
            Err(fault("float", stops.unwrap_or_default()).into())
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
        let Seen { held, trouble, .. } = shared.floats.seen(agent, asset);
        let (low, high) = (money(float.low), money(float.high));
        FloatView { low, high, held: held.map(money), refill, trouble }
    };
    Ok(found.await?.unwrap_or_default().into_iter().map(view).collect())
}

/// The way of a refill, for who looks things up.
pub(crate) async fn way(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
) -> Result<Way, StewardError> {
    let delegated = delegated(shared, link, whose).await?;
    let manager = delegated.framework.manager;
    let unusable = |error: &dyn std::fmt::Display| fault("float", error.to_string());
    let all = delegated.permissions().map_err(|error| unusable(&error))?;
    let found = all.into_iter().find(|(of, _)| *of == asset);
    let (_, permission) = found.ok_or_else(|| unusable(&"nothing of it is delegated"))?;
    Ok(Way { manager, permission })
}

/// How what is delegated stands, where the chain holds it and it has not ended.
async fn stands(
    shared: &Shared,
    link: &Link,
    whose: Whose<'_>,
    asset: AssetId,
) -> Result<Standing, StewardError> {
    let delegated = delegated(shared, link, whose).await?;
    let standing = delegated.standing(&link.rpc).await.map_err(chain_error)?;
    let found = standing.assets.iter().find(|it| it.asset == asset);
    let wrong = match found {
        None => "nothing of it is delegated",
        Some(_) if standing.paused => "the DelegationManager is paused by its makers",
        Some(_) if standing.ended => "all delegations of the account were ended",
        Some(_) if standing.expired => "what was delegated has expired",
        Some(it) if it.revoked => "what was delegated was revoked",
        Some(_) => return Ok(standing),
    };
    Err(fault("float", wrong).into())
}

/// What the owner delegated to an agent, where it is to be believed.
async fn delegated(
    shared: &Shared,
    link: &Link,
    Whose { agent, key, policy }: Whose<'_>,
) -> Result<Permissions, StewardError> {
    let no = |why: String| StewardError::from(fault("float", why));
    let path = shared.home.agent(agent).join("delegation.json");
    let read = Permissions::read(&path).map_err(|error| no(error.to_string()))?;
    let delegated = read.ok_or_else(|| no("nothing is delegated".to_owned()))?;
    let owner = shared.desk.look(|state, _| state.owner()).await?;
    if owner != Some(delegated.owner) {
        return Err(no("it was delegated by another owner than the one in force".to_owned()));
    }
    let drift = account::drift(policy, key, &delegated).map_err(|error| no(error.to_string()))?;
    if let Some(first) = drift.first() {
        let version = policy.version;
        return Err(no(format!(
            "what is delegated is not what version {version} of the policy says: {}",
            first.rule
        )));
    }
    let framework = delegated.framework;
    let chain = shared.home.chain();
    let public = Framework::public(chain);
    if framework.chain != chain || public.is_some_and(|public| public != framework) {
        return Err(no("it names other contracts than those of this chain".to_owned()));
    }
    let made_of = OwnerAccount::of(delegated.owner, B256::ZERO);
    let made_of = made_of.map_err(|error| no(error.to_string()))?;
    if made_of.address(&framework) != delegated.account {
        return Err(no("its account is not the owner's".to_owned()));
    }
    let known = || shared.floats.known.lock().unwrap_or_else(PoisonError::into_inner);
    if !known().contains(&framework) {
        let lacking = account::lacking(&link.rpc, &framework).await.map_err(chain_error)?;
        if let Some((_, error)) = lacking.first() {
            return Err(no(error.to_string()));
        }
        known().push(framework);
    }
    match account::is_deployed(&link.rpc, &framework, &made_of).await {
        Ok(true) => Ok(delegated),
        Ok(false) => Err(no(format!("the account {} is not deployed", delegated.account))),
        Err(error) => Err(chain_error(error)),
    }
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
