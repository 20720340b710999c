//! What would come of a proposal: the same look-ups and the same rules, and then nothing.
//!
//! A seller asks before it works for a payment, a facilitator when it is asked to verify one. The
//! verdict is the core's own, whose entries and effect are dropped here.
//!
//! INVARIANT: a preview writes no entry and signs nothing (pinned by `tests/system/selling.rs`,
//! `a_policy_without_the_section_settles_nothing_for_others`).

use crate::{
    core::{Event, Reply, owed, step},
    error::StewardError,
    gather,
    links::chain_error,
    server::Who,
    state::State,
    steward::Shared,
};
use marque_identity::BlockTag;
use marque_policies::{
    Intent, Policy,
    intent::{Settle, SettlePermit},
};
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
        // What those under way take is not this one's, also where the rules say something else first.
        let left = facts.payer.as_ref().map(|it| it.left(&owed(state, &asked.intent, id)));
        let event =
            Event::Propose { agent: name, proposal: Box::new(asked), facts: Box::new(facts) };
        Some((id, policy, left, step(state, event, now).reply))
    };
    let Some((id, policy, left, reply)) = shared.desk.look(look).await? else {
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
    let mut payer = match &proposal.intent {
        Intent::Settle(settle) => payer(shared, &policy, settle).await,
        Intent::SettlePermit(settle) => permitter(shared, &policy, settle).await,
        _ => None,
    };
    if let (Some(payer), Some(left)) = (&mut payer, left) {
        payer.balance = payer.balance.min(left);
    }
    Ok(Answer::Preview(Box::new(Preview { id, foreseen, settled, payer })))
}

/// The same of a payer by Permit2, who must have approved it: the smaller of balance and allowance.
async fn permitter(shared: &Shared, policy: &Policy, settle: &SettlePermit) -> Option<PayerView> {
    let ask = async || {
        let link = shared.links.get(policy, shared.home.chain())?;
        let (token, from) = (settle.amount.asset.token, settle.from);
        let balance = link.rpc.erc20_balance(token, from).await.map_err(chain_error)?;
        let allowed = link.rpc.permit2_allowance(token, from).await.map_err(chain_error)?;
        let used = link
            .rpc
            .permit_used(from, settle.nonce, BlockTag::Latest)
            .await
            .map_err(chain_error)?;
        Ok::<_, StewardError>(PayerView { balance: balance.min(allowed), used })
    };
    told(ask().await)
}

fn told(payer: Result<PayerView, StewardError>) -> Option<PayerView> {
    payer.inspect_err(|error| tracing::warn!(%error, "nothing is known of a payer")).ok()
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
    told(ask().await)
}
