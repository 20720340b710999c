//! What would come of a proposal: the same look-ups and the same rules, and then nothing.
//!
//! A seller asks before it works for a payment, a facilitator when it is asked to verify one. The
//! verdict is the core's own, whose entries and effect are dropped here.
//!
//! INVARIANT: a preview writes no entry and signs nothing (pinned by `tests/chain.rs`,
//! `a_preview_says_what_would_come_of_it_and_does_nothing`).

use crate::{
    core::{Event, Reply, step},
    error::StewardError,
    gather,
    links::chain_error,
    server::Who,
    state::State,
    steward::Shared,
};
use marque_policies::{Intent, Policy, intent::Settle};
use marque_steward_client::{Answer, Fault, Foreseen, PayerView, Preview, Proposal};
use std::sync::Arc;

pub(super) async fn preview(
    shared: &Shared,
    Who { agent, sub_agent }: &Who,
    proposal: Proposal,
) -> Result<Answer, StewardError> {
    let facts = gather::facts(shared, (agent, sub_agent.as_deref()), &proposal).await?;
    let settled = facts.elsewhere.is_some();
    let (name, below, asked) = (agent.clone(), sub_agent.clone(), proposal.clone());
    let look = move |state: &State, now| {
        let origin = state.genesis().map(|begun| begun.origin)?;
        let id = asked.id_of(origin, &name, below.as_deref());
        let adopted = state.agent(&name)?.policy.as_ref()?;
        let policy = Arc::clone(&adopted.policy);
        let event = Event::Propose { agent: name, proposal: Box::new(asked), facts: Box::new(facts) };
        Some((id, policy, step(state, event, now).reply))
    };
    let Some((id, policy, reply)) = shared.desk.look(look).await? else {
        let line = format!("\"{agent}\" has no policy yet");
        return Ok(Answer::Error(crate::error::fault("unknown", line)));
    };
    let foreseen = match reply {
        Reply::Allowed(_) => Foreseen::Allowed,
        Reply::Held(_, table) => Foreseen::Held { table },
        Reply::Refused(_, table) => Foreseen::Refused { table },
        Reply::Fault(Fault { code, message }) => Foreseen::Fault { code, message },
        Reply::Noted(_) => Foreseen::Fault {
            code: "internal".to_owned(),
            message: "a proposal was merely noted".to_owned(),
        },
    };
    let payer = match &proposal.intent {
        Intent::Settle(settle) => payer(shared, &policy, settle).await,
        _ => None,
    };
    Ok(Answer::Preview(Box::new(Preview { id, foreseen, settled, payer })))
}

/// What the chain says of a payer. A chain that does not answer leaves it open.
async fn payer(shared: &Shared, policy: &Policy, settle: &Settle) -> Option<PayerView> {
    let ask = async || {
        let link = shared.links.get(policy, shared.home.chain())?;
        let token = settle.amount.asset.token;
        let balance = link.rpc.erc20_balance(token, settle.from).await.map_err(chain_error)?;
        let used = link.rpc.authorization_state(token, settle.from, settle.nonce).await;
        Ok::<_, StewardError>(PayerView { balance, used: used.map_err(chain_error)? })
    };
    match ask().await {
        Ok(payer) => Some(payer),
        Err(error) => {
            tracing::warn!(%error, "nothing is known of a payer");
            None
        }
    }
}
