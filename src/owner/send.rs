//! Transactions of the owner's own, through endpoints that are not believed: not which chain they are for,
//! not what the key has sent before, not a fee, and none alone that anything is mined.

use super::{MOST_FEE, Owner, OwnerError};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_identity::{IdentityError, Receipt, Rpc};
use marque_identity_keys::{SignedTransaction, UnsignedTransaction};
use std::time::{Duration, Instant};

/// So long a transaction may take into a block,
const PATIENCE: Duration = Duration::from_secs(120);

/// and so long behind one endpoint may others be: in what is mined, and in what a key has sent.
const BEHIND: Duration = Duration::from_secs(15);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// So long what is to overtake others may take into a block, before it offers more;
const OFFER: Duration = Duration::from_secs(20);

/// and so often it offers twice as much, as long as that is no more than [`MOST_FEE`].
const OFFERS: u32 = 6;

/// What it means where a transaction is mined once more, under another nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twice {
    /// What it does is done already; its sender looks by itself whether it is.
    Harmless,
    /// It pays twice.
    Costs,
}

/// A call of a contract, or a payment.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) data: Bytes,
}

impl Owner {
    /// Sends a transaction of the owner's own to `chain` and waits until every endpoint that answers sees
    /// it in a block. The endpoint is not believed: not which chain it is for, as this key may have money
    /// on others, and not any fee.
    ///
    /// # Errors
    /// Where the endpoint serves another chain or wants more than [`MOST_FEE`], there are too few coins
    /// for it, the endpoints do not agree, the chain does not take it, or it reverts.
    pub async fn send(
        &self,
        rpc: &Rpc,
        chain: u64,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> Result<Receipt, OwnerError> {
        self.send_as(Twice::Costs, rpc, chain, Call { to, value, data }).await
    }

    /// The same for what does no more when it is mined twice: that gets past an endpoint which says of the
    /// key's nonce what is not so, in either direction. Whoever calls looks at what it did.
    ///
    /// # Errors
    /// As [`Self::send`]; where endpoints do not agree, one of them is enough.
    pub async fn send_again(
        &self,
        rpc: &Rpc,
        chain: u64,
        to: Address,
        data: Bytes,
    ) -> Result<Receipt, OwnerError> {
        self.send_as(Twice::Harmless, rpc, chain, Call { to, value: U256::ZERO, data }).await
    }

    /// From here on what does no harm twice is not kept waiting by what this key sent before: it takes the
    /// number of the first of its transactions that no block takes, at a higher fee. What that one was to
    /// do is then not done.
    pub const fn overtake(&mut self) {
        self.overtakes = true;
    }

    /// From here on this hears of each transaction as it goes out: from then on it goes through, whether
    /// or not anybody waits for it.
    pub fn tells(&mut self, hears: fn(B256)) {
        self.hears = Some(hears);
    }

    pub(super) async fn send_as(
        &self,
        twice: Twice,
        rpc: &Rpc,
        chain: u64,
        call: Call,
    ) -> Result<Receipt, OwnerError> {
        let found = rpc.chain_id().await?;
        if found != chain {
            return Err(OwnerError::Chains { found, chain });
        }
        if !(self.overtakes && twice == Twice::Harmless) {
            return self.offer(twice, rpc, chain, &call, 1, &mut Vec::new()).await;
        }
        // Each of them may be the one that is mined.
        let mut hashes = Vec::new();
        let mut failure = OwnerError::NoEndpoint;
        for times in (1..=OFFERS).map(|offer| 1 << offer) {
            failure = match self.offer(twice, rpc, chain, &call, times, &mut hashes).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            // No node takes less than what it has, or no block what a node took.
            if !matches!(
                &failure,
                OwnerError::Chain(IdentityError::Refused { .. } | IdentityError::NotMined { .. })
            ) {
                break;
            }
        }
        match hashes.is_empty() {
            true => Err(failure),
            // More is too much, or no more is there to be done.
            false => mined(rpc, &hashes, twice, OFFER).await,
        }
    }

    fn tell(&self, hash: B256) {
        if let Some(hears) = self.hears {
            hears(hash);
        }
    }

    /// Signs a call at so many times the fees that the chain asks for, hands it to every endpoint, and
    /// waits for a block that has it, or any other of `hashes`.
    async fn offer(
        &self,
        twice: Twice,
        rpc: &Rpc,
        chain: u64,
        call: &Call,
        times: u128,
        hashes: &mut Vec<B256>,
    ) -> Result<Receipt, OwnerError> {
        let from = self.address();
        let overtakes = times > 1;
        let nonce = nonce(rpc, from, twice, !overtakes).await?;
        let Call { to, value, data } = call.clone();
        // What a node would refuse is told in words, and not only once it is signed.
        let has = rpc.balance(from).await?;
        let enough = |needs| match has < needs {
            true => Err(OwnerError::Coins { owner: from, has, needs }),
            false => Ok(()),
        };
        enough(value)?;
        let gas = rpc.estimate_gas(from, Some(to), value, data.clone()).await?;
        let gas = gas.saturating_add(gas / 4);
        let fees = rpc.fees().await?;
        let most = fees.max_fee_per_gas.saturating_mul(times);
        let tip = match overtakes {
            // A node wants more of both than it has, and the chain may ask for no tip at all.
            true => fees.max_priority_fee_per_gas.max(fees.max_fee_per_gas / 20),
            false => fees.max_priority_fee_per_gas,
        };
        let tip = tip.saturating_mul(times);
        let fee = U256::from(gas).saturating_mul(U256::from(most));
        if fee > MOST_FEE {
            return Err(OwnerError::Fee { fee });
        }
        enough(value.saturating_add(fee))?;
        let sign = |nonce| {
            self.key.sign_transaction(&UnsignedTransaction {
                chain_id: chain,
                nonce,
                to: Some(to),
                value,
                data: data.clone(),
                gas_limit: gas,
                max_fee_per_gas: most,
                max_priority_fee_per_gas: tip,
            })
        };
        let signed = sign(nonce)?;
        let (heard, higher) = spread(rpc, &signed, (from, nonce), !overtakes).await;
        match (twice, higher) {
            // An endpoint that knows of more transactions would never take this one.
            (Twice::Harmless, Some(higher)) => {
                let again = sign(higher)?;
                let (heard_again, _) = spread(rpc, &again, (from, higher), !overtakes).await;
                heard.or(heard_again)?;
                hashes.extend([signed.hash, again.hash]);
                self.tell(again.hash);
            }
            _ => {
                heard?;
                hashes.push(signed.hash);
                self.tell(signed.hash);
            }
        }
        mined(rpc, hashes, twice, if overtakes { OFFER } else { PATIENCE }).await
    }
}

/// Hands a transaction to every endpoint, as one could keep it to itself; an error where none takes it. And
/// the nonce that one of those which refuse it wants instead.
async fn spread(
    rpc: &Rpc,
    signed: &SignedTransaction,
    (key, nonce): (Address, u64),
    pending: bool,
) -> (Result<(), OwnerError>, Option<u64>) {
    let (mut heard, mut higher) = (None, None);
    for each in rpc.each() {
        match each.send_raw(&signed.raw).await {
            Ok(_) => heard = Some(Ok(())),
            Err(error) => {
                heard = heard.or(Some(Err(error.into())));
                let count = each.transaction_count(key, pending).await.ok();
                higher = higher.max(count.filter(|count| *count > nonce));
            }
        }
    }
    (heard.unwrap_or(Ok(())), higher)
}

/// Waits until every endpoint that answers has one of these in a block. One that does not answer says
/// nothing; where it does no harm, the word of one is enough after a while.
async fn mined(
    rpc: &Rpc,
    hashes: &[B256],
    twice: Twice,
    within: Duration,
) -> Result<Receipt, OwnerError> {
    let start = Instant::now();
    let mut until = within;
    let mut first = None;
    loop {
        let (mut receipts, mut missing, mut silent) = (Vec::new(), None, None);
        for (each, host) in rpc.each().zip(rpc.hosts()) {
            match receipt(&each, hashes).await {
                Ok(Some(receipt)) => receipts.push(receipt),
                Ok(None) => missing = Some(host.to_owned()),
                Err(error) => silent = Some(error),
            }
        }
        let well = receipts.iter().find(|receipt| receipt.success);
        let failed = receipts.iter().find(|receipt| !receipt.success);
        match (well, failed) {
            (Some(well), None) if missing.is_none() => return Ok(well.clone()),
            (Some(well), Some(_)) if missing.is_none() && twice == Twice::Harmless => {
                return Ok(well.clone());
            }
            (_, Some(failed)) if missing.is_none() => {
                return Err(OwnerError::Reverted(failed.transaction));
            }
            _ => {}
        }
        if let (Some(receipt), None) = (well.or(failed), &first) {
            until = until.min(start.elapsed().saturating_add(BEHIND));
            first = Some(receipt.clone());
        }
        if start.elapsed() >= until {
            return match (first, missing, silent) {
                (Some(receipt), _, _) if twice == Twice::Harmless => Ok(receipt),
                (Some(Receipt { transaction, .. }), Some(host), _) => {
                    Err(OwnerError::Unconfirmed { transaction, host })
                }
                (_, None, Some(error)) => Err(error),
                _ => {
                    let transaction = hashes.last().copied().unwrap_or_default();
                    Err(IdentityError::NotMined { transaction, within }.into())
                }
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What one endpoint has of the first of these that it knows.
async fn receipt(rpc: &Rpc, hashes: &[B256]) -> Result<Option<Receipt>, OwnerError> {
    for hash in hashes {
        if let Some(receipt) = rpc.receipt(*hash).await? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// The nonce of a key's next transaction. Where endpoints differ, one of them lags, which passes, or lies.
/// Which one, nobody can say: what pays is then not signed, as it could be mined under either; what does no
/// harm begins with the least. With those that wait for a block, or without.
async fn nonce(rpc: &Rpc, key: Address, twice: Twice, pending: bool) -> Result<u64, OwnerError> {
    let start = Instant::now();
    loop {
        let (mut counts, mut silent) = (Vec::new(), None);
        for each in rpc.each() {
            match each.transaction_count(key, pending).await {
                Ok(count) => counts.push(count),
                // One that does not answer has not seen anything.
                Err(error) => silent = Some(error),
            }
        }
        let (Some(&least), Some(&most)) = (counts.iter().min(), counts.iter().max()) else {
            return Err(silent.map_or(OwnerError::NoEndpoint, OwnerError::from));
        };
        let over = start.elapsed() >= BEHIND;
        match twice {
            _ if least == most => return Ok(least),
            Twice::Harmless if over => return Ok(least),
            Twice::Costs if over => return Err(OwnerError::Nonces { key, least, most }),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}
