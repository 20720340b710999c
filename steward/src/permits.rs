//! What became of permits on chain: ours that are out, and those that pay us.
//!
//! Permit2 sets a bit for a nonce that is used and says nothing of the transfer. Which transaction
//! it was, and how much was taken, is read from the call data of transactions that went to an x402
//! proxy. One that was drawn on some other way is spent all the same: the bit says so, and all of it
//! counts, until its transaction is known or, past its deadline, for good.

use crate::{
    core::news,
    entry::{Body, OnChain, PermitOrder},
    error::StewardError,
    gather::LOOK_BACK,
    links::{Link, chain_error},
};
use alloy_primitives::{Address, B256, U256};
use marque_contracts::permit2::Drawn;
use marque_identity::{BlockTag, Rpc, Sent};
use marque_policies::{IntentId, intent::SettlePermit};

/// Which permit: whose, of which token, to whom, and its nonce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    from: Address,
    to: Address,
    token: Address,
    nonce: U256,
}

impl From<&PermitOrder> for Terms {
    fn from(order: &PermitOrder) -> Self {
        let PermitOrder { amount, from, to, nonce, .. } = order;
        Self { from: *from, to: *to, token: amount.asset.token, nonce: *nonce }
    }
}

impl From<&SettlePermit> for Terms {
    fn from(settle: &SettlePermit) -> Self {
        let SettlePermit { amount, from, to, nonce, .. } = settle;
        Self { from: *from, to: *to, token: amount.asset.token, nonce: *nonce }
    }
}

impl Terms {
    fn is(&self, drawn: &Drawn) -> bool {
        let Self { from, to, token, nonce } = *self;
        (drawn.owner, drawn.to, drawn.token, drawn.nonce) == (from, to, token, nonce)
    }
}

/// A permit of ours that is out: drawn on, given up, past its deadline on a final block, or none of
/// these.
pub(crate) async fn permitted(
    link: &Link,
    id: IntentId,
    order: &PermitOrder,
    since: u64,
) -> Result<Option<Body>, StewardError> {
    let (rpc, terms) = (&link.rpc, Terms::from(order));
    if rpc.permit_used(terms.from, terms.nonce, BlockTag::Latest).await.map_err(chain_error)? {
        return match draw(rpc, terms, since).await? {
            Some((at, _)) => Ok(Some(Body::Seen { id, at })),
            None => match given_up(link, id, terms, since).await? {
                Some(body) => Ok(Some(body)),
                None => drawn_in_secret(link, id, order).await,
            },
        };
    }
    lapsed(link, id, terms, order.deadline).await
}

/// A permit whose nonce was given up in a block that is final, and that was not drawn on before, as
/// every witness says.
async fn given_up(
    link: &Link,
    id: IntentId,
    terms: Terms,
    since: u64,
) -> Result<Option<Body>, StewardError> {
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        let found = rpc.permit_given_up(terms.from, terms.nonce, since).await;
        let Some((transaction, block)) = found.map_err(chain_error)? else { return Ok(None) };
        // A nonce that was drawn on can be given up as well: it must have been free until then, and
        // nothing may have gone to the payee in that very block.
        let before = BlockTag::Number(block.saturating_sub(1));
        let used = rpc.permit_used(terms.from, terms.nonce, before).await.map_err(chain_error)?;
        let moved = rpc
            .transfers_between(terms.token, (terms.from, Some(terms.to)), (block, Some(block)))
            .await
            .map_err(chain_error)?;
        for transfer in &moved {
            let sent = rpc.sent(transfer.transaction).await.map_err(chain_error)?;
            // What calls the token itself, or draws on another permit, is something else.
            let other = sent.is_some_and(|sent| {
                sent.to == Some(terms.token) || sent.drawn().is_some_and(|it| !terms.is(&it))
            });
            if !other {
                return Ok(None);
            }
        }
        if used {
            return Ok(None);
        }
        said.push((rpc.receipt(transaction).await.map_err(chain_error)?, last));
    }
    Ok(news::cancelled(id, &said))
}

/// A permit that was drawn on in a transaction that does not show it, as every witness says: past
/// its deadline its maximum is spent for good. Once more than that is known, that counts.
async fn drawn_in_secret(
    link: &Link,
    id: IntentId,
    order: &PermitOrder,
) -> Result<Option<Body>, StewardError> {
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        if last.timestamp <= order.deadline {
            return Ok(None);
        }
        let at = BlockTag::Number(last.number);
        let used = rpc.permit_used(order.from, order.nonce, at).await.map_err(chain_error)?;
        said.push((used, last));
    }
    Ok(news::drawn_in_secret(id, order.amount, order.deadline, &said))
}

/// A permit that the chain can no longer accept, as every witness says. Its deadline itself is still
/// in time.
pub(crate) async fn lapsed(
    link: &Link,
    id: IntentId,
    terms: Terms,
    deadline: u64,
) -> Result<Option<Body>, StewardError> {
    let over = deadline.saturating_add(1);
    let mut said = Vec::new();
    for (rpc, last) in link.witnesses().await? {
        // Where it is too early there is no more to ask.
        if last.timestamp < over {
            return Ok(None);
        }
        let at = BlockTag::Number(last.number);
        let used = rpc.permit_used(terms.from, terms.nonce, at).await.map_err(chain_error)?;
        said.push((used, last));
    }
    Ok(news::lapsed(id, over, &said))
}

/// The transaction that drew on a permit at `since` or later, and what it took. One that only passes
/// the permit on, to some contract that calls the proxy, does not say how much.
async fn draw(
    rpc: &Rpc,
    terms: Terms,
    since: u64,
) -> Result<Option<(OnChain, Option<U256>)>, StewardError> {
    let between = (terms.from, Some(terms.to));
    let moved = rpc.transfers_between(terms.token, between, (since, None)).await;
    let mut looked: Vec<B256> = Vec::new();
    let mut passed_on = None;
    // The newest first: it is a young one that is looked for.
    for transfer in moved.map_err(chain_error)?.iter().rev() {
        if looked.contains(&transfer.transaction) {
            continue;
        }
        looked.push(transfer.transaction);
        let sent = rpc.sent(transfer.transaction).await.map_err(chain_error)?;
        let Some(sent) = sent.filter(|sent| names(sent, terms.nonce)) else { continue };
        let drawn = sent.drawn();
        let taken = drawn.filter(|drawn| terms.is(drawn)).map(|drawn| drawn.amount);
        if taken.is_none() && drawn.is_some() {
            continue;
        }
        let receipt = rpc.receipt(transfer.transaction).await.map_err(chain_error)?;
        let Some(receipt) = receipt.filter(|receipt| receipt.success) else { continue };
        match taken {
            Some(_) => return Ok(Some((news::place(&receipt), taken))),
            None => passed_on = Some((news::place(&receipt), None)),
        }
    }
    Ok(passed_on)
}

/// Whether a transaction's call data hold a permit's nonce.
pub(crate) fn names(sent: &Sent, nonce: U256) -> bool {
    let nonce = nonce.to_be_bytes::<32>();
    sent.input.windows(nonce.len()).any(|bytes| bytes == nonce)
}

/// What a transaction took of a permit of ours; `None` where it does not say.
pub(crate) async fn taken(
    rpc: &Rpc,
    order: &PermitOrder,
    transaction: B256,
) -> Result<Option<U256>, StewardError> {
    let sent = rpc.sent(transaction).await.map_err(chain_error)?;
    let drawn = sent.and_then(|sent| sent.drawn());
    Ok(drawn.filter(|drawn| Terms::from(order).is(drawn)).map(|drawn| drawn.amount))
}

/// Where somebody else has settled this permit for us, at least for what we would have taken, if
/// somebody has. It must have called the proxy itself: what a payer only shows in its call data pays
/// nobody.
pub(crate) async fn elsewhere(
    rpc: &Rpc,
    settle: &SettlePermit,
    from_block: u64,
) -> Result<Option<OnChain>, StewardError> {
    let terms = Terms::from(settle);
    if !rpc.permit_used(terms.from, terms.nonce, BlockTag::Latest).await.map_err(chain_error)? {
        return Ok(None);
    }
    let found = draw(rpc, terms, from_block).await?;
    let paid = |taken: Option<U256>| taken.is_some_and(|taken| taken >= settle.charge.units);
    Ok(found.filter(|(_, taken)| paid(*taken)).map(|(at, _)| at))
}

/// The same after a reorganisation, or the permit's end.
pub(crate) async fn again_elsewhere(
    link: &Link,
    id: IntentId,
    settle: &SettlePermit,
) -> Result<Option<Body>, StewardError> {
    let newest = link.rpc.block_number().await.map_err(chain_error)?;
    match elsewhere(&link.rpc, settle, newest.saturating_sub(LOOK_BACK)).await? {
        Some(at) => Ok(Some(Body::Seen { id, at })),
        None => lapsed(link, id, Terms::from(settle), settle.deadline).await,
    }
}

/// Whether a permit of ours is drawn on or given up, so that there is nothing to take back.
pub(crate) async fn is_used(rpc: &Rpc, owner: Address, id: IntentId) -> Result<bool, StewardError> {
    rpc.permit_used(owner, id.permit_nonce(), BlockTag::Latest).await.map_err(chain_error)
}
