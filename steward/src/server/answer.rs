//! What is answered to each kind of question.

use crate::{
    core::{Event, FROM_A_MINDS, FROM_THE_OWNERS, Reply, Surplus, paying},
    error::{StewardError, fault},
    server::{Kind, Seat, Who, connection::Told, preview, queue},
    state::{Ledger, State},
    steward::{Shared, as_fault},
};
use alloy_primitives::Address;
use marque_policies::{IntentId, Money, Policy, Timestamp, budgets};
use marque_steward_client::{
    Answer, Ask, AssetView, Budget, ChainView, IntentState, IntentView, MAX_FRAME, Outcome,
    PayeeView, PaymentState, SettlingView, ToolView, View,
};
use std::{cmp::Reverse, collections::BTreeMap, sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// Intents in a view, at most.
const SHOWN: usize = 100;

/// The room for intents in a view, in bytes of JSON; the rest of the frame is the policy's.
const ROOM: usize = MAX_FRAME / 2;

/// The longest wait.
const LONGEST_WAIT: u64 = 60_000;

pub(crate) async fn answer(shared: &Shared, seat: &Seat, ask: Ask, told: &Told) -> Answer {
    let who = &seat.who;
    let Who { agent, sub_agent } = who.clone();
    let answer = match ask {
        Ask::Propose(proposal) => {
            let answer = shared.propose(&agent, sub_agent.as_deref(), proposal).await;
            remember(told, &answer);
            Ok(answer)
        }
        Ask::Preview(proposal) => preview::preview(shared, who, proposal).await,
        Ask::View => view(shared, who.clone(), recent).await,
        Ask::Standing => view(shared, who.clone(), |_, _, _| Vec::new()).await,
        Ask::Note(note) => noted(shared, Event::Note { agent, note }).await,
        Ask::Report(report) => match theirs(shared, who, report.intent).await {
            Ok(true) => noted(shared, Event::Report { agent, report }).await,
            Ok(false) => Ok(unknown(report.intent)),
            Err(error) => Err(error),
        },
        Ask::Wait { intent, timeout_ms } => {
            wait(shared, who, intent, timeout_ms.min(LONGEST_WAIT), told).await
        }
        Ask::Freeze { reason } => {
            let surplus = Surplus::default();
            // Whoever speaks is claimed either way; which entrance they came by is known.
            let by = match seat.entrance {
                Kind::Owner => FROM_THE_OWNERS,
                _ => FROM_A_MINDS,
            };
            let event = Event::Freeze { agent: Some(agent), by, reason, surplus };
            noted(shared, event).await
        }
        Ask::Submit(statement) => queue::submit(shared, statement).await,
        Ask::Status => queue::status(shared, agent).await,
        // What waits for the owner is the agent's matter, not that of an account below it.
        Ask::Queue { .. } if sub_agent.is_some() => {
            Ok(Answer::Error(fault("unknown", "only the agent's own socket tells the queue")))
        }
        Ask::Queue { seen, timeout_ms } => {
            let places = shared.watchers.at(seat.entrance);
            queue::queue(shared, places, agent, (seen, timeout_ms.min(LONGEST_WAIT))).await
        }
        Ask::Settling { after } => settling(shared, who.clone(), after).await,
        _ => Ok(Answer::Error(fault("malformed", "this question is not known here"))),
    };
    answer.unwrap_or_else(|error| Answer::Error(as_fault(error)))
}

/// A page of the settlements that take their money a moment later.
async fn settling(
    shared: &Shared,
    who: Who,
    after: Option<IntentId>,
) -> Result<Answer, StewardError> {
    let page = shared.desk.look(move |state, _| {
        let (agent, sub_agent) = (who.agent.as_str(), who.sub_agent.as_deref());
        let mut all: Vec<SettlingView> = state
            .intents()
            .iter()
            .filter(|(id, record)| {
                after.is_none_or(|after| **id > after) && record.is_of(agent, sub_agent)
            })
            .filter(|(_, record)| record.is_live() && record.state != PaymentState::Seen)
            .filter_map(|(id, record)| {
                let (from, asset, units, _) = paying(&record.decided.intent)?;
                Some(SettlingView { id: *id, from, charge: Money::new(units, asset) })
            })
            .collect();
        all.sort_unstable_by_key(|it| it.id);
        all.truncate(SHOWN);
        all
    });
    Ok(Answer::Settling { settlements: page.await? })
}

pub(super) async fn noted(shared: &Shared, event: Event) -> Result<Answer, StewardError> {
    Ok(match shared.desk.submit(event).await?.reply {
        Reply::Noted(Some(entry)) => Answer::Noted { entry },
        Reply::Fault(fault) => Answer::Error(fault),
        _ => Answer::Error(fault("internal", "nothing was noted")),
    })
}

/// Waits until the state is another than the one this connection was told. What it was told
/// nothing of is answered at once, unless it is on its way somewhere.
async fn wait(
    shared: &Shared,
    who: &Who,
    id: IntentId,
    timeout_ms: u64,
    told: &Told,
) -> Result<Answer, StewardError> {
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let mut changes = shared.desk.changes();
    loop {
        changes.mark_unchanged();
        let asks = who.clone();
        let status = shared.desk.look(move |state, now| status(state, &asks, id, now)).await?;
        let Some(status) = status else { return Ok(unknown(id)) };
        let heard = told.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        let news = match heard {
            Some(heard) => heard != status.state,
            None => !is_under_way(status.state),
        };
        if news || is_last(status.state) || Instant::now() >= deadline {
            told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, status.state);
            return Ok(Answer::State(status));
        }
        if let Ok(Err(_)) = tokio::time::timeout_at(deadline, changes.changed()).await {
            return Err(StewardError::Stopped);
        }
    }
}

fn unknown(id: IntentId) -> Answer {
    Answer::Error(fault("unknown", format!("there is no intent {id} here")))
}

/// Whether an intent is this account's. What is not known the core says.
async fn theirs(shared: &Shared, who: &Who, id: IntentId) -> Result<bool, StewardError> {
    let Who { agent, sub_agent } = who.clone();
    let Some(name) = sub_agent else { return Ok(true) };
    let look = move |state: &State, now| state.status_for(&agent, Some(&name), id, now).is_some();
    shared.desk.look(look).await
}

fn status(state: &State, who: &Who, id: IntentId, now: Timestamp) -> Option<IntentState> {
    state.status_for(&who.agent, who.sub_agent.as_deref(), id, now)
}

const fn is_under_way(state: PaymentState) -> bool {
    matches!(
        state,
        PaymentState::Held | PaymentState::Reserved | PaymentState::Signed | PaymentState::Sent
    )
}

const fn is_last(state: PaymentState) -> bool {
    !is_under_way(state) && !matches!(state, PaymentState::Seen | PaymentState::Approved)
}

/// What a proposal's answer tells of its intent.
fn remember(told: &Told, answer: &Answer) {
    let (id, state) = match answer {
        Answer::Outcome(Outcome::Allowed { id, .. }) => (*id, PaymentState::Sent),
        Answer::Outcome(Outcome::Held { id, .. }) => (*id, PaymentState::Held),
        Answer::Outcome(Outcome::Refused { id, .. }) => (*id, PaymentState::Refused),
        _ => return,
    };
    told.lock().unwrap_or_else(PoisonError::into_inner).insert(id, state);
}

/// The tool of a mind that asks a chain itself, and so must know whom. By its name: a word for it in
/// `[[tool]]` would be one of the signed language, for its schema, its differences, its replay and its second
/// evaluator to know, for the one tool that there is.
const READS_THE_CHAIN: &str = "find_agents";

/// Which intents a view has.
type Listed = fn(&State, &Who, Timestamp) -> Vec<IntentView>;

async fn view(shared: &Shared, who: Who, listed: Listed) -> Result<Answer, StewardError> {
    let view = shared.desk.look(move |state, now| look(state, &who, now, listed)).await?;
    Ok(match view {
        Some(view) => Answer::View(Box::new(view)),
        None => Answer::Error(fault("unknown", "this agent is not enrolled")),
    })
}

/// Everything that an account may see of its own standing.
fn look(state: &State, who: &Who, now: Timestamp, listed: Listed) -> Option<View> {
    let (agent, sub_agent) = (who.agent.as_str(), who.sub_agent.as_deref());
    let (begun, account) = (state.genesis()?, state.agent(agent)?);
    let mut view = View {
        agent: agent.to_owned(),
        sub_agent: who.sub_agent.clone(),
        address: account.key,
        owner: state.owner().unwrap_or(begun.owner),
        owner_since: state.owner_since(),
        origin: begun.origin,
        policy_version: 0,
        policy_hash: Default::default(),
        now,
        frozen_at: state.frozen().map(|frozen| frozen.seq),
        tools: Vec::new(),
        payees: Vec::new(),
        assets: Vec::new(),
        budgets: Vec::new(),
        income: Vec::new(),
        facilitates: Vec::new(),
        pools: Vec::new(),
        chains: Vec::new(),
        intents: listed(state, who, now),
    };
    if let Some(adopted) = &account.policy {
        view.policy_version = adopted.version;
        view.policy_hash = adopted.hash;
        show_policy(&mut view, &adopted.policy, &account.pinned);
        let nobody = BTreeMap::new();
        let ledger = Ledger::new(state, agent, None, &nobody, now);
        let rules = budgets(&adopted.policy, &ledger, now);
        view.budgets = rules.into_iter().map(Budget::from).collect();
        if let Some(name) = sub_agent {
            show_below(&mut view, &adopted.policy, name);
        }
    }
    Some(view)
}

/// The intents of a view, newest first. What waits for the owner is chosen before all else, and
/// together they fit into a frame: a mind that proposes a lot hides nothing from its owner.
fn recent(state: &State, who: &Who, now: Timestamp) -> Vec<IntentView> {
    let (agent, sub_agent) = (who.agent.as_str(), who.sub_agent.as_deref());
    let mut records: Vec<_> =
        state.intents().values().filter(|record| record.is_of(agent, sub_agent)).collect();
    records.sort_by_key(|record| (!record.is_held(now), Reverse((record.at, record.entry))));
    let mut room = ROOM;
    let mut shown = Vec::new();
    for record in records.into_iter().take(SHOWN) {
        let view = record.view(now);
        let bytes = serde_json::to_vec(&view).map_or(usize::MAX, |json| json.len());
        if let Some(left) = room.checked_sub(bytes) {
            room = left;
            shown.push((Reverse((record.at, record.entry)), view));
        }
    }
    shown.sort_by_key(|(order, _)| *order);
    shown.into_iter().map(|(_, view)| view).collect()
}

/// What an account below the agent has of what the agent may do: its own payees, tools and limits,
/// and none of its siblings'.
fn show_below(view: &mut View, policy: &Policy, name: &str) {
    let own = policy.sub_agents.get(name);
    view.tools.retain(|tool| own.is_some_and(|own| own.tools.contains(&tool.name)));
    view.payees.retain(|payee| own.is_some_and(|own| own.payees.contains(&payee.name)));
    if !view.tools.iter().any(|tool| tool.name == READS_THE_CHAIN) {
        view.chains.clear();
    }
    let limits = format!("sub_agent.{name}.");
    view.budgets.retain(|it| !it.rule.starts_with("sub_agent.") || it.rule.starts_with(&limits));
    // Settling and pools are for the agent itself.
    view.income.clear();
    view.facilitates.clear();
    view.pools.clear();
}

fn show_policy(view: &mut View, policy: &Policy, pinned: &BTreeMap<String, Address>) {
    let tool = |(name, tool): (&String, &marque_policies::document::Tool)| ToolView {
        name: name.clone(),
        hosts: tool.hosts.clone(),
        methods: tool.methods.iter().cloned().collect(),
        arguments: tool.arguments.keys().cloned().collect(),
    };
    let pin = |host: &String| pinned.get(host).copied();
    let payee = |(name, payee): (&String, &marque_policies::document::Payee)| PayeeView {
        name: name.clone(),
        address: payee.address.or_else(|| payee.host.as_ref().and_then(pin)),
        host: payee.host.clone(),
    };
    let asset = |(name, asset): (&String, &marque_policies::document::Asset)| AssetView {
        name: name.clone(),
        id: asset.id,
        decimals: asset.decimals,
        domain: asset.domain.clone(),
    };
    let chain = |(name, chain): (&String, &marque_policies::document::Chain)| ChainView {
        name: name.clone(),
        id: chain.id,
        rpc: chain.rpc.clone(),
        identity_registry: chain.identity_registry,
    };
    view.tools = policy.tools.iter().map(tool).collect();
    // An endpoint may hold its owner's access key.
    if policy.tools.contains_key(READS_THE_CHAIN) {
        view.chains = policy.chains.iter().map(chain).collect();
    }
    view.payees = policy.payees.iter().map(payee).collect();
    view.assets = policy.assets.iter().map(asset).collect();
    view.income.clone_from(&policy.income);
    view.facilitates.clone_from(&policy.facilitator);
    view.pools = policy.pools.keys().copied().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
format = 1
version = 1
owner = "0x0000000000000000000000000000000000000001"
[chain.devnet]
id = "eip155:1"
rpc = ["http://127.0.0.1:9"]
finality = 1
native = "ETH"
[asset.USDC]
chain = "devnet"
token = "0x0000000000000000000000000000000000000002"
decimals = 6
[limits.USDC]
day = "1"
[pool.USDC]
day = "0.5"
[[payee]]
name = "named"
host = "known.example"
[[payee]]
name = "new"
host = "new.example"
[[tool]]
name = "fetch"
hosts = ["known.example"]
methods = ["HEAD", "GET"]
[tool.arguments.city]
one_of = ["Berlin"]
"#;

    #[test]
    fn a_mind_sees_what_it_must_tell_whom_it_may_pay_and_what_is_pinned() {
        let (policy, _) = marque_policies::parse(POLICY).unwrap();
        let pinned = BTreeMap::from([("known.example".to_owned(), Address::repeat_byte(7))]);
        let mut view = View {
            agent: String::new(),
            sub_agent: None,
            address: Address::ZERO,
            owner: Address::ZERO,
            owner_since: 0,
            origin: Default::default(),
            policy_version: 0,
            policy_hash: Default::default(),
            now: 0,
            frozen_at: None,
            tools: Vec::new(),
            payees: Vec::new(),
            assets: Vec::new(),
            budgets: Vec::new(),
            income: Vec::new(),
            facilitates: Vec::new(),
            pools: Vec::new(),
            chains: Vec::new(),
            intents: Vec::new(),
        };
        show_policy(&mut view, &policy, &pinned);
        assert_eq!(view.tools[0].arguments, ["city"]);
        assert_eq!(view.tools[0].methods, ["GET", "HEAD"]);
        assert_eq!(view.pools, [policy.assets["USDC"].id]);
        let known: Vec<_> = view.payees.iter().map(|payee| payee.address).collect();
        assert_eq!(known, [Some(Address::repeat_byte(7)), None]);
        assert!(view.chains.is_empty(), "nothing here asks a chain: {:?}", view.chains);
        let reading = format!("{POLICY}[[tool]]\nname = \"find_agents\"\n");
        let (reading, _) = marque_policies::parse(&reading).unwrap();
        let mut knows = view.clone();
        show_policy(&mut knows, &reading, &pinned);
        assert_eq!(knows.chains[0].rpc, ["http://127.0.0.1:9"]);
        show_below(&mut knows, &reading, "helper");
        assert!(knows.chains.is_empty(), "an account that may not use the tool sees none");
        // A view from before these fields is still read.
        let mut older = serde_json::to_value(&view).unwrap();
        older.as_object_mut().unwrap().remove("pools");
        older["tools"][0].as_object_mut().unwrap().remove("arguments");
        let older: View = serde_json::from_value(older).unwrap();
        assert!(older.pools.is_empty() && older.tools[0].arguments.is_empty());
    }
}
