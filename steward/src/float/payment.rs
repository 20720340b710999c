//! A payment that the rules allow and the key cannot pay: it waits for a refill.
//!
//! What the rules do not allow draws nothing: they are asked first, its money apart.

use super::{PATIENCE, holds, refill, words};
use crate::{
    core::{Event, Reply, leaves, refills, step, takes},
    error::{StewardError, fault},
    gather,
    links::Link,
    outflow::Whose,
    state::{Record, State},
    steward::Shared,
};
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, Mark, Money, Policy};
use marque_steward_client::{Fault, Proposal};
use std::{sync::Arc, time::Instant};

/// Makes sure that the key can pay what is proposed: draws on the account where it cannot, and waits
/// until that is there. What the rules do not allow is left to them.
///
/// # Errors
/// The fault `float` where the money is not to be had.
pub(crate) async fn afford(
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
    if shared.desk.look(comes.clone()).await? {
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
            shared.floats.tried((agent, policy), asset, None);
            None
        }
        // The steward may have drawn by itself at this moment.
        Err(_) if shared.desk.look(comes).await? => None,
        Err(error) => {
            let why = words(error)?;
            shared.floats.says((agent, policy), asset, format!("not refilled: {why}"));
            Some(why)
        }
    })
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
