//! What the endpoints' answers mean for an intent that is out: the pure half of the reconciliation.
//!
//! Whatever gives money back, or settles it so that it leaves a window one day, needs the word of
//! every witness: each endpoint that the owner named, the first two of them. One alone may be behind
//! or lie. Where they disagree nothing changes, and what was reserved stays spent.
//!
//! INVARIANT: nothing is given back while any witness's chain could still take it, and nothing is
//! settled for less than any witness says (pinned by `tests/sim`).

use crate::{
    entry::{Body, OnChain, Order},
    state::Record,
};
use alloy_primitives::U256;
use marque_identity::{Block, Receipt};
use marque_policies::{AssetId, Intent, IntentId, Money};

/// What one witness says of something that a block carries.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Where it has the transaction that was seen, if that did what it should.
    pub carried: Option<OnChain>,
    /// Its receipt of our own transaction, where there is one.
    pub ours: Option<Receipt>,
    /// What the transaction took of our permit, where it is one and the call data say so.
    pub taken: Option<U256>,
    /// Its newest block that cannot be taken back.
    pub last: Block,
}

/// An authorisation that the chain can no longer accept. Each witness says whether it is used, as
/// of the newest block that cannot be taken back, and which that is.
#[must_use]
pub fn lapsed(id: IntentId, valid_before: u64, said: &[(bool, Block)]) -> Option<Body> {
    let block = said.iter().map(|(_, last)| last.number).max()?;
    let over = said.iter().all(|(used, last)| !used && last.timestamp >= valid_before);
    over.then_some(Body::Expired { id, block })
}

/// A permit that was drawn on in a transaction which does not show it: its nonce is used for good, it
/// is past its deadline, and nobody gave it up. All of it is spent. Each witness says whether it is
/// used, as of the newest block that cannot be taken back, and which that is.
#[must_use]
pub fn drawn_in_secret(
    id: IntentId,
    most: Money,
    deadline: u64,
    said: &[(bool, Block)],
) -> Option<Body> {
    let over = said.iter().all(|(used, last)| *used && last.timestamp > deadline);
    let time = newest(said.iter().map(|(_, last)| last));
    (over && time.is_some()).then(|| Body::Final { id, actual: vec![most], time })
}

/// A transaction of ours that can no longer be mined, for another has taken its account nonce for
/// good. Each witness says whether it has one of ours, how many transactions the account had sent by
/// its newest block that cannot be taken back, and which that is.
#[must_use]
pub fn overtaken(id: IntentId, nonce: u64, said: &[(bool, u64, Block)]) -> Option<Body> {
    let block = said.iter().map(|(.., last)| last.number).max()?;
    let over = said.iter().all(|(ours, sent, _)| !ours && *sent > nonce);
    over.then_some(Body::Expired { id, block })
}

/// A transaction of ours that failed for good. Each witness says its receipt and its newest block
/// that cannot be taken back.
#[must_use]
pub fn reverted(id: IntentId, chain: u64, said: &[(Option<Receipt>, Block)]) -> Option<Body> {
    for_gas_alone(id, chain, said, |receipt| !receipt.success)
}

/// A transaction of ours that only filled an account nonce, for good: it moves nothing, whether it
/// succeeds or not.
#[must_use]
pub fn filled(id: IntentId, chain: u64, said: &[(Option<Receipt>, Block)]) -> Option<Body> {
    for_gas_alone(id, chain, said, |_| true)
}

fn for_gas_alone(
    id: IntentId,
    chain: u64,
    said: &[(Option<Receipt>, Block)],
    counts: impl Fn(&Receipt) -> bool,
) -> Option<Body> {
    let (first, _) = said.first()?;
    let at = place(first.as_ref()?);
    let mut gas = U256::ZERO;
    for (receipt, last) in said {
        let receipt = receipt.as_ref()?;
        if !counts(receipt) || place(receipt) != at || receipt.block_number > last.number {
            return None;
        }
        gas = gas.max(gas_of(receipt));
    }
    let actual = vec![Money::new(gas, AssetId::native(chain))];
    Some(Body::Reverted { id, at, actual, time: newest(said.iter().map(|(_, last)| last)) })
}

/// An authorisation of ours that was cancelled for good. Each witness says its receipt of the
/// transaction in which the token cancelled it, and its newest block that cannot be taken back.
#[must_use]
pub fn cancelled(id: IntentId, said: &[(Option<Receipt>, Block)]) -> Option<Body> {
    let (first, _) = said.first()?;
    let at = place(first.as_ref()?);
    let agree = said.iter().all(|(receipt, last)| {
        receipt
            .as_ref()
            .is_some_and(|it| it.success && place(it) == at && it.block_number <= last.number)
    });
    agree.then_some(Body::Cancelled { id, at })
}

/// Something that a block carried when it was last looked at: final, gone, or neither.
#[must_use]
pub fn confirmed(record: &Record, chain: u64, said: &[Sight]) -> Option<Body> {
    let id = record.decided.id;
    let seen = record.seen?;
    let carries = |sight: &Sight| sight.carried.is_some_and(|it| it.block_hash == seen.block_hash);
    if said.is_empty() {
        return None;
    }
    if !said.iter().any(carries) {
        return Some(Body::Unseen { id });
    }
    if !said.iter().all(|sight| carries(sight) && seen.block <= sight.last.number) {
        return None;
    }
    // Somebody else's may have done it. Ours is out all the same, and what comes after it waits for
    // its nonce: it has to be in a block as well, or nobody would send it again.
    let ours =
        |sight: &Sight| sight.ours.as_ref().is_some_and(|it| it.block_number <= sight.last.number);
    if record.order.as_ref().is_some_and(|order| order.transaction().is_some())
        && !said.iter().all(ours)
    {
        return None;
    }
    let actual = cost(record, chain, said);
    Some(Body::Final { id, actual, time: newest(said.iter().map(|sight| &sight.last)) })
}

/// What a payment that is on chain has really cost, as the dearest witness says.
fn cost(record: &Record, chain: u64, said: &[Sight]) -> Vec<Money> {
    let paid = match &record.decided.intent {
        Intent::Sweep(_) => None,
        // Up to the maximum may be taken. A witness that does not know how much was has all of it.
        Intent::PermitTransfer(pay) => {
            let most = pay.amount.units;
            let taken = said.iter().map(|sight| sight.taken.map_or(most, |it| it.min(most))).max();
            Some(Money::new(taken.unwrap_or(most), pay.amount.asset))
        }
        intent => intent.spends(),
    };
    let gas = match record.order.as_ref().and_then(Order::transaction) {
        Some(_) => {
            // Where ours is still out, it may cost what was reserved.
            let reserved = record.debits.iter().rev().find(|money| money.asset.is_native());
            let reserved = reserved.map_or(U256::ZERO, |money| money.units);
            // Ours may be another one than what was seen, and still be taken back and mined dearer.
            let gas = |sight: &Sight| {
                let ours = sight.ours.as_ref().filter(|it| it.block_number <= sight.last.number);
                ours.map_or(reserved, gas_of)
            };
            let most = said.iter().map(gas).max();
            most.map(|units| Money::new(units, AssetId::native(chain)))
        }
        _ => None,
    };
    paid.into_iter().chain(gas).collect()
}

/// Block time by which something was on chain: a window counts from there, wherever our own clock
/// stands.
fn newest<'a>(blocks: impl Iterator<Item = &'a Block>) -> Option<u64> {
    blocks.map(|block| block.timestamp).max()
}

fn gas_of(receipt: &Receipt) -> U256 {
    U256::from(receipt.gas_used).saturating_mul(U256::from(receipt.effective_gas_price))
}

/// Where a transaction is that did what it should.
#[must_use]
pub fn carried(receipt: Option<&Receipt>) -> Option<OnChain> {
    receipt.filter(|it| it.success).map(place)
}

/// Where a receipt says that its transaction is.
#[must_use]
pub const fn place(receipt: &Receipt) -> OnChain {
    OnChain {
        transaction: receipt.transaction,
        block: receipt.block_number,
        block_hash: receipt.block_hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn a_permit_is_spent_in_secret_once_every_witness_says_so_past_its_deadline() {
        let id = IntentId::derive(B256::ZERO, "scout", "t", 0, 0, 0);
        let most = Money::new(U256::from(5), AssetId { chain: 1, token: Default::default() });
        let last = |timestamp| Block { number: timestamp, timestamp, hash: B256::ZERO };
        let told = |said: &[(bool, Block)]| drawn_in_secret(id, most, 100, said);
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[(true, last(100))]), None, "its deadline itself is still in time");
        assert_eq!(told(&[(true, last(101)), (false, last(101))]), None);
        assert_eq!(told(&[(true, last(101)), (true, last(99))]), None);
        let actual = vec![most];
        let all = Body::Final { id, actual, time: Some(103) };
        assert_eq!(told(&[(true, last(101)), (true, last(103))]), Some(all));
    }
}
