//! What the chain says about what we signed.
//!
//! Polls while something is live: receipts, used authorisations, the newest and the final block;
//! what left the keys ([`outflow`]) it compares with the ledger now and then all the same.
//! A timeout never releases anything; a reorganisation takes `seen` back to `sent`. The first
//! pass for an agent comes before its first signature: it checks that this is the chain that
//! genesis names, that the chain does not know more than the ledger, and finishes what a crash
//! left half done.

mod many;

use crate::{
    core::{
        Call, Event, GasPlan, Surplus,
        news::{self, Sight, place},
    },
    entry::{Body, OnChain, Order, TransactionOrder},
    error::StewardError,
    float, gather,
    incoming::{self, Income},
    links::{Link, Witnesses, chain_error},
    outflow::{self, MARGIN, Watch, Whose, freeze},
    permits,
    state::{Account, Record},
    steward::Shared,
    withdraw,
};
use alloy_primitives::{Address, B256, U256};
use futures::{StreamExt as _, stream};
use marque_identity::{BlockTag, IdentityError, Receipt};
use marque_policies::{Intent, IntentId, Policy, intent::Settle};
use marque_steward_client::PaymentState;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Transactions that wait are broadcast again this often.
const SEND_AGAIN: Duration = Duration::from_secs(5);

/// A start waits so long for the chain's time.
const TIME_WITHIN: Duration = Duration::from_secs(2);

/// So many looks must agree that another transaction took our nonce.
const STRIKES: u32 = 5;

/// Authorisations that are asked about at a time.
const AT_ONCE: usize = 64;

/// The longest pause between two passes while something is live.
const SLOWEST: Duration = Duration::from_secs(4);

/// One agent with what is live of it.
struct Case {
    name: String,
    key: Address,
    policy: Arc<Policy>,
    frozen: bool,
    live: Vec<Record>,
}

/// What is remembered between passes; all of it can be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sent: BTreeMap<IntentId, Instant>,
    strikes: BTreeMap<IntentId, u32>,
    /// Since when a transaction waits for a block, with the fees that it has now.
    waits: BTreeMap<IntentId, Instant>,
    watch: Watch,
    income: Income,
}

/// Goes on until the authority ends.
pub(crate) async fn run(shared: Arc<Shared>, mut memory: Memory) {
    let mut changes = shared.desk.changes();
    let mut pause = shared.poll;
    let mut away = false;
    loop {
        changes.mark_unchanged();
        let live = match pass(&shared, &mut memory).await {
            Ok(live) => {
                if std::mem::take(&mut away) {
                    tracing::warn!("the chain answers again");
                }
                live
            }
            Err(StewardError::Stopped) => return,
            // Told once: it is asked every second.
            Err(error) if away => {
                tracing::debug!(%error, "the chain could not be asked again");
                true
            }
            Err(error) => {
                away = true;
                tracing::warn!(%error, "the chain could not be asked; trying until it answers");
                true
            }
        };
        // Quick while news is fresh, slower the longer nothing happens.
        let rest = if live { pause } else { shared.rest };
        match tokio::time::timeout(rest, changes.changed()).await {
            Ok(Ok(())) => {
                pause = shared.poll;
                // A change is often our own doing, and the chain needs a moment for the next.
                tokio::time::sleep(pause / 4).await;
            }
            Ok(Err(_)) => return,
            Err(_) => pause = (pause * 5 / 4).min(SLOWEST.max(shared.poll)),
        }
    }
}

/// Looks at everything that is live once; says whether anything is, or whether an agent still
/// waits for its first look.
///
/// # Errors
/// [`StewardError::Wrong`] where this is another chain than genesis names.
pub(crate) async fn pass(shared: &Shared, memory: &mut Memory) -> Result<bool, StewardError> {
    let cases = shared.desk.look(|state, _| {
        let live = |name: &str| {
            let records = state.intents().values();
            records.filter(|r| r.agent == name && r.is_live()).cloned().collect()
        };
        let case = |(name, account): (&String, &Account)| {
            let policy = Arc::clone(&account.policy.as_ref()?.policy);
            let (key, frozen) = (account.key, state.frozen().is_some());
            Some(Case { name: name.clone(), key, policy, frozen, live: live(name) })
        };
        state.agents().iter().filter_map(case).collect::<Vec<_>>()
    });
    let mut busy = false;
    let mut trouble = Ok(());
    for case in cases.await? {
        let known = shared.ready.borrow().get(&case.name) == Some(&case.policy.hash);
        let (floats, now) = shared.floats.waits(&case.name);
        busy |= !known || !case.live.is_empty() || (floats && !case.frozen);
        let due = memory.watch.is_due(&case.name, shared.rest) || now;
        if known && case.live.is_empty() && !due {
            continue;
        }
        // What one agent has got into is not the others' trouble.
        go_on(&mut trouble, one(shared, &case, known, memory).await)?;
    }
    trouble.map(|()| busy)
}

/// Looks at one agent.
async fn one(
    shared: &Shared,
    case: &Case,
    known: bool,
    memory: &mut Memory,
) -> Result<(), StewardError> {
    let link = shared.links.get(&case.policy, shared.home.chain())?;
    if !known {
        same_chain(shared, &link).await?;
    }
    let whose = Whose { agent: &case.name, key: case.key, policy: &case.policy };
    outflow::compare(shared, &link, whose, &mut memory.watch).await?;
    if case.frozen {
        withdraw::release(shared, &case.live).await?;
    } else {
        float::release(shared, &link, whose, &case.live).await?;
    }
    let (out, ours): (Vec<&Record>, Vec<&Record>) = case
        .live
        .iter()
        .partition(|record| record.order.as_ref().is_some_and(Order::is_handed_out));
    // One that cannot be moved, because the chain does not take it, keeps no other from moving.
    let mut trouble = Ok(());
    go_on(&mut trouble, side_by_side(shared, &link, out).await)?;
    for record in ours {
        go_on(&mut trouble, advance(shared, &link, record, memory).await)?;
    }
    if !known {
        shared.ready.send_modify(|ready| {
            ready.insert(case.name.clone(), case.policy.hash);
        });
        tracing::info!(agent = case.name, "the ledger and the chain agree");
    }
    if case.frozen {
        go_on(&mut trouble, withdraw::withdraw(shared, &link, whose, &case.live).await)?;
    }
    if !case.frozen {
        go_on(&mut trouble, float::keep(shared, &link, whose, &case.live).await)?;
    }
    go_on(&mut trouble, incoming::look(shared, &link, whose, &mut memory.income).await)?;
    trouble
}

/// Keeps the first trouble and goes on, but where there is no going on.
fn go_on(
    trouble: &mut Result<(), StewardError>,
    outcome: Result<(), StewardError>,
) -> Result<(), StewardError> {
    match outcome {
        Err(error @ (StewardError::Stopped | StewardError::Wrong(_))) => Err(error),
        Err(error) if trouble.is_ok() => {
            *trouble = Err(error);
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "the same look had other trouble");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Asks the chain once for its time, and does not insist.
pub(crate) async fn learn_time(shared: &Shared) {
    let policies = shared.desk.look(|state, _| {
        let accounts = state.agents().values();
        accounts.filter_map(|account| Some(Arc::clone(&account.policy.as_ref()?.policy))).collect()
    });
    let policies: Vec<Arc<Policy>> = policies.await.unwrap_or_default();
    for policy in policies {
        let Ok(link) = shared.links.get(&policy, shared.home.chain()) else { continue };
        let asked = tokio::time::timeout(TIME_WITHIN, link.rpc.block(BlockTag::Latest)).await;
        if let Ok(Ok(block)) = asked {
            return shared.clock.learn(block.timestamp.saturating_mul(1_000));
        }
    }
}

/// This is the chain that the owner's genesis names.
async fn same_chain(shared: &Shared, link: &Link) -> Result<(), StewardError> {
    let wanted = shared.home.chain();
    let found = link.rpc.chain_id().await.map_err(chain_error)?;
    if found != wanted {
        let line = format!("the endpoint serves chain {found}, and this steward's is {wanted}");
        return Err(StewardError::Wrong(line));
    }
    let genesis = link.rpc.genesis_hash().await.map_err(chain_error)?;
    let begun = shared.desk.look(|state, _| state.genesis().map(|g| g.chain_genesis)).await?;
    if begun != Some(genesis) {
        let line = "its first block is not the one that the owner's genesis names: a development \
                    chain that was reset, or another chain under the same id";
        return Err(StewardError::Wrong(line.to_owned()));
    }
    Ok(())
}

/// Moves authorisations, of which thousands may be out, many at a time: a slow endpoint is waited
/// for once, and one wait for the disk notes many answers. Each stands for itself, and none of them
/// needs what is remembered of transactions.
async fn side_by_side(shared: &Shared, link: &Link, out: Vec<&Record>) -> Result<(), StewardError> {
    let told = many::ask(link, &out).await;
    let mut questions = Vec::with_capacity(out.len());
    for record in out {
        questions.push(alone(shared, link, record, told.as_ref()));
    }
    let mut trouble = Ok(());
    let mut answers = stream::iter(questions).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        go_on(&mut trouble, answer)?;
    }
    trouble
}

/// Moves one authorisation, by what is known of all where that is enough.
async fn alone(
    shared: &Shared,
    link: &Link,
    record: &Record,
    told: Option<&many::Told>,
) -> Result<(), StewardError> {
    let id = record.decided.id;
    let mut memory = Memory::default();
    let word = match told {
        Some(told) => told.of(record, shared.home.chain()).await?,
        None => many::Word::Ask,
    };
    match word {
        many::Word::Moved(body) => note(shared, link, id, body, &mut memory).await,
        many::Word::Waits => Ok(()),
        many::Word::Ask => advance(shared, link, record, &mut memory).await,
    }
}

/// Moves one intent on as far as the chain says.
async fn advance(
    shared: &Shared,
    link: &Link,
    record: &Record,
    memory: &mut Memory,
) -> Result<(), StewardError> {
    let id = record.decided.id;
    let body = match (record.state, &record.order) {
        (PaymentState::Seen, _) => confirm(shared, link, record).await?,
        (_, Some(Order::Authorisation(order))) => {
            let asset = order.amount.asset;
            let terms = (asset.token, order.from, order.nonce);
            authorised(link, id, terms, since(record), order.valid_before).await?
        }
        (_, Some(Order::PermitTransfer(order))) => {
            permits::permitted(link, id, order, since(record)).await?
        }
        (_, Some(Order::Elsewhere)) => match &record.decided.intent {
            Intent::SettlePermit(settle) => permits::again_elsewhere(link, id, settle).await?,
            // A reorganisation took it back: it counts again where it pays us again.
            Intent::Settle(settle) => match again_elsewhere(link, settle).await? {
                Some(at) => Some(Body::Seen { id, at }),
                None => {
                    let terms = (settle.amount.asset.token, settle.from, settle.nonce);
                    lapsed(link, id, terms, settle.valid_before).await?
                }
            },
            _ => None,
        },
        (PaymentState::Reserved, Some(Order::Cancel(order))) => {
            let (token, from) = (order.transaction.to, order.transaction.from);
            let used = link.rpc.authorization_state(token, from, order.nonce).await;
            if used.map_err(chain_error)? && shared.outbox.get(id)?.is_none() {
                let why = "what it was to cancel was settled or cancelled first".to_owned();
                Some(Body::Released { id, why })
            } else {
                shared.send(link, id).await?;
                None
            }
        }
        (PaymentState::Reserved, Some(Order::Transaction(order))) => {
            let call = Call { to: order.to, value: order.value, data: order.data.clone() };
            // INVARIANT: one id, one content. Where bytes wait, a crash came between the signature and
            // its entry: they are what goes out, whatever the chain would do with them now; pinned
            // by `tests/sim`.
            let signed = shared.outbox.get(id)?.is_some();
            if let (false, Intent::InvalidatePermit { intent }) = (signed, &record.decided.intent)
                && permits::is_used(&link.rpc, order.from, *intent).await?
            {
                let why = "what it was to take back was drawn on or taken back first".to_owned();
                Some(Body::Released { id, why })
            } else if signed || gather::still_works(link, order.from, &call).await? {
                shared.send(link, id).await?;
                None
            } else {
                let why = "tried out before it was signed, it fails".to_owned();
                Some(Body::Released { id, why })
            }
        }
        (PaymentState::Signed, Some(Order::Transaction(_) | Order::Cancel(_))) => {
            shared.send(link, id).await?;
            None
        }
        (_, Some(Order::Transaction(order))) => sent(shared, link, record, order, memory).await?,
        (_, Some(Order::Cancel(order))) => {
            sent(shared, link, record, &order.transaction, memory).await?
        }
        _ => None,
    };
    match body {
        Some(body) => note(shared, link, id, body, memory).await,
        None => Ok(()),
    }
}

/// Journals what became of an intent.
async fn note(
    shared: &Shared,
    link: &Link,
    id: IntentId,
    body: Body,
    memory: &mut Memory,
) -> Result<(), StewardError> {
    let done = matches!(
        body,
        Body::Final { .. }
            | Body::Reverted { .. }
            | Body::Expired { .. }
            | Body::Cancelled { .. }
            | Body::Released { .. }
    );
    tracing::info!(%id, kind = body.kind(), "moved");
    let made = shared.desk.submit(Event::Moved(body)).await?.made;
    // What was to be released may fill its nonce instead: that goes out now.
    if made.is_some() {
        return shared.send(link, id).await;
    }
    if done {
        shared.outbox.remove(id);
        memory.sent.remove(&id);
        memory.strikes.remove(&id);
        memory.waits.remove(&id);
    }
    Ok(())
}

/// Where an authorisation that pays us is on chain, if it is, as far back as one is looked for.
async fn again_elsewhere(link: &Link, settle: &Settle) -> Result<Option<OnChain>, StewardError> {
    let newest = link.rpc.block_number().await.map_err(chain_error)?;
    gather::elsewhere(&link.rpc, settle, newest.saturating_sub(gather::LOOK_BACK)).await
}

/// An authorisation that is out: used, or past its time on a final block, or neither.
async fn authorised(
    link: &Link,
    id: IntentId,
    (token, from, nonce): (Address, Address, B256),
    since: u64,
    valid_before: u64,
) -> Result<Option<Body>, StewardError> {
    let rpc = &link.rpc;
    if rpc.authorization_state(token, from, nonce).await.map_err(chain_error)? {
        let used = rpc.authorization_used(token, from, nonce, since).await.map_err(chain_error)?;
        let Some((transaction, _)) = used else {
            return cancelled(link, id, (token, from, nonce), since).await;
        };
        let receipt = rpc.receipt(transaction).await.map_err(chain_error)?;
        return Ok(receipt.map(|receipt| Body::Seen { id, at: place(&receipt) }));
    }
    lapsed(link, id, (token, from, nonce), valid_before).await
}

/// An authorisation that was taken back in a block that is final, as every witness says.
async fn cancelled(
    link: &Link,
    id: IntentId,
    (token, from, nonce): (Address, Address, B256),
    since: u64,
) -> Result<Option<Body>, StewardError> {
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        let found = rpc.authorization_canceled(token, from, nonce, since).await;
        let Some((transaction, _)) = found.map_err(chain_error)? else { return Ok(None) };
        said.push((rpc.receipt(transaction).await.map_err(chain_error)?, last));
    }
    Ok(news::cancelled(id, &said))
}

/// An authorisation that the chain can no longer accept, as every witness says.
async fn lapsed(
    link: &Link,
    id: IntentId,
    (token, from, nonce): (Address, Address, B256),
    valid_before: u64,
) -> Result<Option<Body>, StewardError> {
    lapsed_by(&link.witnesses().await?, id, (token, from, nonce), valid_before).await
}

async fn lapsed_by(
    witnesses: &Witnesses,
    id: IntentId,
    (token, from, nonce): (Address, Address, B256),
    valid_before: u64,
) -> Result<Option<Body>, StewardError> {
    // Where it is too early there is no more to ask.
    if witnesses.iter().any(|(_, last)| last.timestamp < valid_before) {
        return Ok(None);
    }
    let mut said = Vec::new();
    for (rpc, last) in witnesses {
        // As of that very block: what answers for "latest" may be a node that is far behind.
        let at = BlockTag::Number(last.number);
        let used = rpc.authorization_state_at(token, from, nonce, at).await.map_err(chain_error)?;
        said.push((used, *last));
    }
    Ok(news::lapsed(id, valid_before, &said))
}

/// A transaction that is out: in a block under one of its hashes, or to be sent again, with higher
/// fees where it has waited long, or its nonce taken by another.
async fn sent(
    shared: &Shared,
    link: &Link,
    record: &Record,
    order: &TransactionOrder,
    memory: &mut Memory,
) -> Result<Option<Body>, StewardError> {
    let id = record.decided.id;
    if record.awaits_signature() {
        shared.send(link, id).await?;
        return Ok(None);
    }
    let count = link.rpc.transaction_count(order.from, false).await.map_err(chain_error)?;
    for hash in record.hashes() {
        let Some(receipt) = link.rpc.receipt(hash).await.map_err(chain_error)? else { continue };
        return carried(shared, link, record, &receipt).await;
    }
    if count > order.nonce {
        let strikes = memory.strikes.entry(id).or_default();
        *strikes = strikes.saturating_add(1);
        if *strikes > STRIKES {
            return overtaken(link, record, order).await;
        }
        if *strikes == STRIKES {
            let reason = format!(
                "another transaction took nonce {} of \"{}\": its key is used elsewhere",
                order.nonce, record.agent
            );
            freeze(shared, &record.agent, reason, Surplus::default()).await?;
        }
        return Ok(None);
    }
    let since = *memory.waits.entry(id).or_insert_with(Instant::now);
    if count == order.nonce && since.elapsed() >= shared.patience {
        memory.waits.remove(&id);
        if outbid(shared, link, record, order).await? {
            return Ok(None);
        }
    }
    let last = memory.sent.entry(id).or_insert_with(Instant::now);
    if last.elapsed() >= SEND_AGAIN {
        *last = Instant::now();
        shared.send(link, id).await?;
    }
    Ok(None)
}

/// A transaction that comes too late for its nonce, for good, as every witness says.
async fn overtaken(
    link: &Link,
    record: &Record,
    order: &TransactionOrder,
) -> Result<Option<Body>, StewardError> {
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        let at = BlockTag::Number(last.number);
        let sent = rpc.transaction_count_at(order.from, at).await.map_err(chain_error)?;
        let mut ours = false;
        for hash in record.hashes() {
            ours |= rpc.receipt(hash).await.map_err(chain_error)?.is_some();
        }
        said.push((ours, sent, last));
    }
    Ok(news::overtaken(record.decided.id, order.nonce, &said))
}

/// Sends the same transaction with the fees that the chain asks for now, where those are higher and
/// the limits have room; says whether it did.
async fn outbid(
    shared: &Shared,
    link: &Link,
    record: &Record,
    order: &TransactionOrder,
) -> Result<bool, StewardError> {
    let fees = link.rpc.fees().await.map_err(chain_error)?;
    let (max_fee, max_priority_fee) = (fees.max_fee_per_gas, fees.max_priority_fee_per_gas);
    let higher = U256::from(max_fee) > order.max_fee
        || U256::from(max_priority_fee) > order.max_priority_fee;
    if !higher {
        return Ok(false);
    }
    let id = record.decided.id;
    let plan = GasPlan { limit: order.gas_limit, max_fee, max_priority_fee };
    let block_time = link.newest().await?.timestamp;
    let made = shared.desk.submit(Event::Replace { id, plan, block_time }).await?.made;
    if made.is_none() {
        tracing::warn!(%id, "waits for lower fees: the limits on gas have no room for these");
        return Ok(false);
    }
    tracing::info!(%id, max_fee, "waited too long: sent again with higher fees");
    shared.send(link, id).await?;
    Ok(true)
}

/// What a block with one of our own transactions means.
async fn carried(
    shared: &Shared,
    link: &Link,
    record: &Record,
    receipt: &Receipt,
) -> Result<Option<Body>, StewardError> {
    let id = record.decided.id;
    if receipt.success && !record.filled {
        return Ok(Some(Body::Seen { id, at: place(receipt) }));
    }
    // Somebody else was faster, perhaps: then we are paid all the same.
    if let (false, Intent::Settle(settle)) = (record.filled, &record.decided.intent)
        && let Some(at) = gather::elsewhere(&link.rpc, settle, since(record)).await?
    {
        return Ok(Some(Body::Seen { id, at }));
    }
    if let (false, Intent::SettlePermit(settle)) = (record.filled, &record.decided.intent)
        && let Some(at) = permits::elsewhere(&link.rpc, settle, since(record)).await?
    {
        return Ok(Some(Body::Seen { id, at }));
    }
    gone_for_good(link, (id, record.filled), receipt.transaction, shared.home.chain()).await
}

/// A transaction that failed in a final block, or that only filled a nonce there, as every witness
/// says: it gives back what was reserved and lets another attempt be made.
async fn gone_for_good(
    link: &Link,
    (id, filled): (IntentId, bool),
    hash: B256,
    chain: u64,
) -> Result<Option<Body>, StewardError> {
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        said.push((rpc.receipt(hash).await.map_err(chain_error)?, last));
    }
    Ok(match filled {
        true => news::filled(id, chain, &said),
        false => news::reverted(id, chain, &said),
    })
}

/// Something that a block carries: still there, and final, as every witness says?
async fn confirm(
    shared: &Shared,
    link: &Link,
    record: &Record,
) -> Result<Option<Body>, StewardError> {
    let Some(seen) = record.seen else { return Ok(None) };
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        let receipt = rpc.receipt(seen.transaction).await.map_err(chain_error)?;
        let mut ours = None;
        for hash in record.hashes() {
            ours = match hash == seen.transaction {
                true => receipt.clone(),
                false => rpc.receipt(hash).await.map_err(chain_error)?,
            };
            if ours.is_some() {
                break;
            }
        }
        let taken = match &record.order {
            Some(Order::PermitTransfer(order)) => {
                permits::taken(&rpc, order, seen.transaction).await?
            }
            _ => None,
        };
        said.push(Sight { carried: news::carried(receipt.as_ref()), ours, taken, last });
    }
    let body = news::confirmed(record, shared.home.chain(), &said);
    let lost = said.iter().all(|sight| sight.ours.is_none());
    let transaction = record.order.as_ref().and_then(Order::transaction);
    // What was seen may be somebody else's doing, and a reorganisation may have lost ours meanwhile:
    // later ones wait for its nonce, so it goes out again.
    if body.is_none()
        && lost
        && transaction.is_some()
        && let Err(error) = shared.send(link, record.decided.id).await
    {
        tracing::debug!(id = %record.decided.id, %error, "what is seen was sent again");
    }
    Ok(body)
}

/// A chain may be reorganised so that what was signed in one block is carried by a lower one.
const fn since(record: &Record) -> u64 {
    let block = match &record.order {
        Some(Order::Transaction(order)) => order.block,
        Some(Order::Cancel(order)) => order.transaction.block,
        Some(Order::Authorisation(order)) => order.block,
        Some(Order::PermitTransfer(order)) => order.block,
        _ => 0,
    };
    block.saturating_sub(MARGIN)
}

/// Whether sending failed for good, or only for now.
pub(crate) fn is_refusal(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Refused { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Links;
    use serde_json::{Value, json};
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    const HASH: B256 = B256::repeat_byte(7);

    /// An endpoint that is at block 100 and has `receipt` for every transaction.
    fn endpoint(receipt: Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut read = Vec::new();
                let question = loop {
                    let mut some = [0; 4096];
                    let n = stream.read(&mut some).unwrap();
                    read.extend_from_slice(&some[..n]);
                    let body = read.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
                    if let Some(Ok(question)) =
                        body.map(|at| serde_json::from_slice::<Value>(&read[at..]))
                    {
                        break question;
                    }
                };
                let result = match question["method"].as_str().unwrap() {
                    "eth_blockNumber" => json!("0x64"),
                    "eth_getBlockByNumber" => {
                        json!({ "number": "0x63", "hash": B256::ZERO, "timestamp": "0x1" })
                    }
                    _ => receipt.clone(),
                };
                let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
                let answer = answer.to_string();
                let length = answer.len();
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                write!(stream, "{head}Content-Length: {length}\r\n\r\n{answer}").unwrap();
            }
        });
        url
    }

    fn failed() -> Value {
        json!({
            "transactionHash": HASH, "blockNumber": "0x5", "blockHash": B256::ZERO,
            "status": "0x0", "gasUsed": "0x1", "effectiveGasPrice": "0x1",
            "contractAddress": null, "logs": [],
        })
    }

    async fn given_back(endpoints: &[String]) -> bool {
        let text = format!(
            r#"
format = 1
version = 1
owner = "0x00000000000000000000000000000000000000aa"
[chain.devnet]
id = "eip155:31337"
rpc = {endpoints:?}
finality = 1
native = "ETH"
"#
        );
        let (policy, _) = marque_policies::parse(&text).unwrap();
        let link = Links::default().get(&policy, 31_337).unwrap();
        gone_for_good(&link, (IntentId(HASH), false), HASH, 31_337).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn one_endpoint_of_two_cannot_have_a_transaction_given_back() {
        let liar = endpoint(failed());
        assert!(given_back(&[liar.clone(), endpoint(failed())]).await);
        assert!(!given_back(&[liar, endpoint(Value::Null)]).await);
    }
}
