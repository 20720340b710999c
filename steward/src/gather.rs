//! What is found out about a proposal before it is decided.
//!
//! All look-ups are made here, outside the critical section. They are bound to the policy that
//! named whom to ask; the core refuses them if another one is in force by then.

use crate::{
    core::{BlockFacts, CANCEL_GAS, Call, Facts, GasPlan, Owed, Payer, owed, paying, takes},
    entry::{OnChain, Order},
    error::StewardError,
    float,
    links::{Link, chain_error},
    outflow::Whose,
    permits,
    state::State,
    steward::Shared,
};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEvent as _;
use marque_contracts::{IERC20, IERC3009};
use marque_identity::{BlockTag, IdentityError, Rpc, registry};
use marque_policies::{Intent, Money, Policy, intent::Settle, money::round_up};
use marque_steward_client::{PaymentState, Proposal};
use std::{sync::Arc, time::Duration};

/// A proposal waits so long for the chain to be reconciled after a start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A settlement by somebody else is looked for so many blocks back.
pub(crate) const LOOK_BACK: u64 = 10_000;

/// An estimate is what it took just now; a little more is allowed.
const GAS_MARGIN: (u64, u64) = (5, 4);

/// What the state says that look-ups need.
struct Standing {
    policy: Arc<Policy>,
    key: Address,
    owner: Address,
    chain: u64,
    /// Whether the answer is in the journal already.
    answered: bool,
    /// Token and nonce of the authorisation that is to be cancelled.
    cancelled: Option<(Address, B256)>,
    /// Settlements under way that take from the same payer.
    owed: Vec<Owed>,
}

/// Finds out what the core needs to know about a proposal.
pub(crate) async fn facts(
    shared: &Shared,
    (agent, sub_agent): (&str, Option<&str>),
    proposal: &Proposal,
) -> Result<Facts, StewardError> {
    let (name, asked) = (agent.to_owned(), proposal.clone());
    let below = sub_agent.map(str::to_owned);
    let mut facts = Facts { sub_agent: below.clone(), ..Facts::default() };
    let look = move |state: &State, _| standing(state, (&name, below.as_deref()), &asked);
    let standing = shared.desk.look(look).await?;
    // Without a policy there is nobody to ask and nothing to allow.
    let Some(standing) = standing else { return Ok(facts) };
    facts.policy = standing.policy.hash;
    if standing.answered || matches!(proposal.intent, Intent::Tool(_)) {
        return Ok(facts);
    }
    if let Err(error) = look_up(shared, agent, &standing, &proposal.intent, &mut facts).await {
        facts.trouble = Some(match error {
            StewardError::Chain(why) => why,
            StewardError::Fault(fault) => fault.message,
            error => error.to_string(),
        });
    }
    Ok(facts)
}

fn standing(
    state: &State,
    (agent, sub_agent): (&str, Option<&str>),
    proposal: &Proposal,
) -> Option<Standing> {
    let (begun, account) = (state.genesis()?, state.agent(agent)?);
    let policy = Arc::clone(&account.policy.as_ref()?.policy);
    let id = proposal.id_of(begun.origin, agent, sub_agent);
    let before = state.intent(id).map(|record| record.state);
    let before = before.or_else(|| state.archived(id).map(|archived| archived.state));
    let answered = before.is_some_and(|state| {
        matches!(
            state,
            PaymentState::Reserved
                | PaymentState::Signed
                | PaymentState::Sent
                | PaymentState::Seen
                | PaymentState::Final
                | PaymentState::Denied
        )
    });
    let owner = state.owner()?;
    let cancelled = match &proposal.intent {
        Intent::Cancel(cancel) => state.intent(cancel.intent).and_then(|record| {
            let Some(Order::Authorisation(order)) = &record.order else { return None };
            Some((order.amount.asset.token, order.nonce))
        }),
        _ => None,
    };
    let (key, chain, owed) = (account.key, begun.chain, owed(state, &proposal.intent, id));
    Some(Standing { policy, key, owner, chain, answered, cancelled, owed })
}

async fn look_up(
    shared: &Shared,
    agent: &str,
    standing: &Standing,
    intent: &Intent,
    facts: &mut Facts,
) -> Result<(), StewardError> {
    let link = shared.links.get(&standing.policy, standing.chain)?;
    let rpc = &link.rpc;
    ready(shared, agent, standing.policy.hash).await?;
    // Before the block: without a block nothing is signed, and what is required is not known then.
    if takes(intent).is_some() {
        let whose = Whose { agent, key: standing.key, policy: &standing.policy };
        facts.covered = float::covered(shared, &link, whose).await?;
    }
    let block = link.newest().await?;
    facts.block = Some(BlockFacts { number: block.number, timestamp: block.timestamp });
    shared.clock.learn(block.timestamp.saturating_mul(1_000));
    if let Intent::Authorise(_) | Intent::Transfer(_) | Intent::PermitTransfer(_) = intent {
        resolve(rpc, standing, intent, facts).await;
    }
    if let Intent::Authorise(_) | Intent::Transfer(_) | Intent::PermitTransfer(_) = intent
        && let Some(amount) = intent.spends()
        && standing.policy.floats.contains_key(&amount.asset)
    {
        facts.held = Some(float::holds(rpc, amount.asset, standing.key).await?);
    }
    match intent {
        Intent::Settle(settle) => {
            facts.elsewhere =
                elsewhere(rpc, settle, block.number.saturating_sub(LOOK_BACK)).await?;
            if facts.elsewhere.is_none() {
                facts.payer = payer(rpc, intent, &standing.owed).await?;
                transaction(&link, (agent, standing), intent, facts).await?;
            }
        }
        Intent::Transfer(_) | Intent::Sweep(_) => {
            transaction(&link, (agent, standing), intent, facts).await?;
        }
        Intent::PermitTransfer(pay) => {
            let token = pay.amount.asset.token;
            let allowed = rpc.permit2_allowance(token, standing.key).await;
            facts.cover = Some(allowed.map_err(chain_error)?);
        }
        Intent::ApprovePermit2 { amount } => {
            let held = rpc.erc20_balance(amount.asset.token, standing.key).await;
            facts.cover = Some(held.map_err(chain_error)?);
            transaction(&link, (agent, standing), intent, facts).await?;
        }
        Intent::Refill { amount } => {
            facts.cover = Some(float::holds(rpc, amount.asset, standing.key).await?);
            let whose = Whose { agent, key: standing.key, policy: &standing.policy };
            facts.way = Some(float::way(shared, &link, whose, amount.asset).await?);
            transaction(&link, (agent, standing), intent, facts).await?;
        }
        Intent::InvalidatePermit { intent: permit } => {
            transaction(&link, (agent, standing), intent, facts).await?;
            if permits::is_used(rpc, standing.key, *permit).await? {
                let line = "the permit was drawn on or taken back already";
                return Err(StewardError::Chain(line.to_owned()));
            }
        }
        // Nothing is taken, so nothing is sent.
        Intent::SettlePermit(settle) if settle.charge.units.is_zero() => {}
        Intent::SettlePermit(settle) => {
            let from = block.number.saturating_sub(LOOK_BACK);
            facts.elsewhere = permits::elsewhere(rpc, settle, from).await?;
            if facts.elsewhere.is_none() {
                facts.payer = payer(rpc, intent, &standing.owed).await?;
                transaction(&link, (agent, standing), intent, facts).await?;
            }
        }
        Intent::Cancel(_) => {
            let count = rpc.transaction_count(standing.key, false).await;
            facts.nonce = Some(count.map_err(chain_error)?);
            facts.gas = Some(cancelling(rpc).await?);
            if let Some((token, nonce)) = standing.cancelled
                && rpc.authorization_state(token, standing.key, nonce).await.map_err(chain_error)?
            {
                let line = "the authorisation was settled or cancelled already";
                return Err(StewardError::Chain(line.to_owned()));
            }
        }
        _ => {}
    }
    Ok(())
}

/// So many settlements of one payer are looked at, whether they have taken their money.
const LOOKED_AT: usize = 32;

/// What the payer of a settlement has, and which of those under way are in that already.
async fn payer(rpc: &Rpc, intent: &Intent, owed: &[Owed]) -> Result<Option<Payer>, StewardError> {
    let Some((from, asset, units, (_, by_permit))) = paying(intent) else { return Ok(None) };
    let token = asset.token;
    let funds = async || {
        let balance = rpc.erc20_balance(token, from).await.map_err(chain_error)?;
        if !by_permit {
            return Ok(balance);
        }
        let allowed = rpc.permit2_allowance(token, from).await.map_err(chain_error)?;
        Ok::<_, StewardError>(balance.min(allowed))
    };
    let mut payer = Payer { balance: funds().await?, ..Payer::default() };
    if payer.left(owed) >= units {
        return Ok(Some(payer));
    }
    // The oldest first, which are the likeliest. Before the balance: what is settled between the two
    // counts twice for a moment, and never not at all.
    for Owed { id, nonce: (nonce, by_permit), .. } in owed.iter().rev().take(LOOKED_AT) {
        let used = if *by_permit {
            rpc.permit_used(from, (*nonce).into(), BlockTag::Latest).await
        } else {
            rpc.authorization_state(token, from, *nonce).await
        };
        if used.map_err(chain_error)? {
            payer.taken.insert(*id);
        }
    }
    payer.balance = funds().await?;
    Ok(Some(payer))
}

/// What a cancellation may cost. It cannot be tried out: its data is made when it is signed.
pub(crate) async fn cancelling(rpc: &Rpc) -> Result<GasPlan, StewardError> {
    let fees = rpc.fees().await.map_err(chain_error)?;
    Ok(GasPlan {
        limit: CANCEL_GAS,
        max_fee: fees.max_fee_per_gas,
        max_priority_fee: fees.max_priority_fee_per_gas,
    })
}

/// Waits until the chain has been asked what it knows of this agent.
async fn ready(shared: &Shared, agent: &str, policy: B256) -> Result<(), StewardError> {
    let mut ready = shared.ready.subscribe();
    let asked = ready.wait_for(|ready| ready.get(agent) == Some(&policy));
    match tokio::time::timeout(READY_WITHIN, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(StewardError::Stopped),
        Err(_) => {
            let line = "nothing is signed before the chain was asked what it knows, and it does \
                        not answer";
            Err(StewardError::Chain(line.to_owned()))
        }
    }
}

/// Resolves the payee of this name, where the policy pins it by agent id. No answer is no fact.
async fn resolve(rpc: &Rpc, standing: &Standing, intent: &Intent, facts: &mut Facts) {
    let name = match intent {
        Intent::Authorise(pay) => &pay.payee,
        Intent::Transfer(pay) => &pay.payee,
        Intent::PermitTransfer(pay) => &pay.payee,
        _ => return,
    };
    let pinned = standing.policy.payees.get(name).and_then(|payee| payee.identity.as_ref());
    let Some(pinned) = pinned else { return };
    match registry::resolve(rpc, pinned.registry, pinned.agent_id).await {
        Ok(resolved) => drop(facts.resolved.insert(name.clone(), resolved)),
        Err(error) => tracing::warn!(payee = name, %error, "cannot resolve"),
    }
}

/// Where somebody else has brought this authorisation to the chain, if somebody has.
pub(crate) async fn elsewhere(
    rpc: &Rpc,
    settle: &Settle,
    from_block: u64,
) -> Result<Option<OnChain>, StewardError> {
    let token = settle.amount.asset.token;
    if !rpc.authorization_state(token, settle.from, settle.nonce).await.map_err(chain_error)? {
        return Ok(None);
    }
    let used = rpc.authorization_used(token, settle.from, settle.nonce, from_block).await;
    let Some((transaction, _)) = used.map_err(chain_error)? else { return Ok(None) };
    // The event alone says that the nonce is gone. The money must have come to us, by it.
    let receipt = rpc.receipt(transaction).await.map_err(chain_error)?;
    let paid = receipt.filter(|receipt| receipt.success && paid_by_it(&receipt.logs, settle));
    Ok(paid.map(|receipt| OnChain {
        transaction,
        block: receipt.block_number,
        block_hash: receipt.block_hash,
    }))
}

/// Whether this authorisation itself paid us: the token's next event after `AuthorizationUsed` is
/// its transfer. A transaction may hold several: a payer that sends two nonces elsewhere and pays
/// one of them has paid one.
fn paid_by_it(logs: &[Log], settle: &Settle) -> bool {
    let mut said = logs.iter().filter(|log| log.address == settle.amount.asset.token);
    let used = said.any(|log| {
        IERC3009::AuthorizationUsed::decode_log(log)
            .is_ok_and(|used| used.authorizer == settle.from && used.nonce == settle.nonce)
    });
    let next = if used { said.next() } else { None };
    next.and_then(|log| IERC20::Transfer::decode_log(log).ok()).is_some_and(|moved| {
        moved.from == settle.from && moved.to == settle.to && moved.value >= settle.amount.units
    })
}

/// Simulates the transaction and asks what it would cost.
async fn transaction(
    link: &Link,
    (agent, standing): (&str, &Standing),
    intent: &Intent,
    facts: &mut Facts,
) -> Result<(), StewardError> {
    let rpc = &link.rpc;
    facts.nonce = Some(rpc.transaction_count(standing.key, false).await.map_err(chain_error)?);
    // A malformed signature has no call; the rules say so.
    let Some(call) = Call::of(intent, standing.owner, facts.way.as_ref()) else { return Ok(()) };
    let estimate =
        rpc.estimate_gas(standing.key, Some(call.to), call.value, call.data.clone()).await;
    let estimate = estimate.map_err(|error| match error {
        IdentityError::Unreachable { .. } => chain_error(error),
        error => StewardError::Chain(format!("tried out, it fails: {error}")),
    })?;
    let fees = rpc.fees().await.map_err(chain_error)?;
    let (times, by) = GAS_MARGIN;
    let plan = GasPlan {
        limit: estimate.saturating_mul(times) / by,
        max_fee: fees.max_fee_per_gas,
        max_priority_fee: fees.max_priority_fee_per_gas,
    };
    facts.gas = Some(plan);
    payable(rpc, (agent, standing), (call.value, plan)).await
}

/// So many transactions like this one an owner is told to bring the coins for.
const FUNDED: u64 = 10;

/// Whether the key has the coins for a transaction. The chain would not take it, and it would be sent
/// again and again.
async fn payable(
    rpc: &Rpc,
    (agent, standing): (&str, &Standing),
    (value, plan): (U256, GasPlan),
) -> Result<(), StewardError> {
    let coins = rpc.balance(standing.key).await.map_err(chain_error)?;
    let fee = plan.most(standing.chain);
    if coins >= fee.units.saturating_add(value) {
        return Ok(());
    }
    let show = |units| standing.policy.show(Money::new(units, fee.asset));
    let left = coins.saturating_sub(value);
    let wanted = round_up(fee.units.saturating_mul(U256::from(FUNDED)));
    Err(StewardError::Chain(format!(
        "the key has {} for fees, and this may take {}; marque fund {agent} \"{}\"",
        show(left),
        show(round_up(fee.units)),
        show(wanted)
    )))
}

/// Whether a reserved transaction would still do what it is for.
pub(crate) async fn still_works(
    link: &Link,
    from: Address,
    call: &Call,
) -> Result<bool, StewardError> {
    let tried = link.rpc.estimate_gas(from, Some(call.to), call.value, call.data.clone()).await;
    match tried {
        Ok(_) => Ok(true),
        Err(error @ IdentityError::Unreachable { .. }) => Err(chain_error(error)),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::LogData;
    use marque_policies::AssetId;

    const TOKEN: Address = Address::repeat_byte(0xaa);
    const BUYER: Address = Address::repeat_byte(1);
    const SELLER: Address = Address::repeat_byte(2);
    const ELSEWHERE: Address = Address::repeat_byte(3);

    fn settle(nonce: u8) -> Settle {
        Settle {
            from: BUYER,
            to: SELLER,
            amount: Money::new(U256::from(20), AssetId { chain: 1, token: TOKEN }),
            valid_after: 0,
            valid_before: 100,
            nonce: B256::repeat_byte(nonce),
            signature: String::new(),
            resource: String::new(),
        }
    }

    fn used(nonce: u8) -> Log {
        let event =
            IERC3009::AuthorizationUsed { authorizer: BUYER, nonce: B256::repeat_byte(nonce) };
        log(TOKEN, event.encode_log_data())
    }

    fn moved(to: Address, units: u64) -> Log {
        let event = IERC20::Transfer { from: BUYER, to, value: U256::from(units) };
        log(TOKEN, event.encode_log_data())
    }

    const fn log(address: Address, data: LogData) -> Log {
        Log { address, data }
    }

    #[test]
    fn one_transfer_pays_for_one_authorisation_of_a_transaction() {
        let stranger = log(ELSEWHERE, moved(SELLER, 20).data);
        let honest = [used(1), stranger.clone(), moved(SELLER, 20), used(2), moved(SELLER, 25)];
        assert!(paid_by_it(&honest, &settle(1)) && paid_by_it(&honest, &settle(2)));
        assert!(!paid_by_it(&honest, &settle(3)));
        let robbery = [used(1), moved(ELSEWHERE, 20), used(2), moved(SELLER, 20)];
        assert!(!paid_by_it(&robbery, &settle(1)));
        assert!(paid_by_it(&robbery, &settle(2)));
        for short in [vec![used(1)], vec![used(1), moved(SELLER, 19)], vec![used(1), stranger]] {
            assert!(!paid_by_it(&short, &settle(1)), "{short:?}");
        }
        assert!(!paid_by_it(&[moved(SELLER, 20), used(1)], &settle(1)));
    }
}
