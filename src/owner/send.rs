//! Transactions of the owner's own, through endpoints that are not believed: not which chain they are for,
//! not what the key has sent before, not a fee, and none alone that anything is mined.
//!
//! What pays is signed once, where the endpoints that answer agree. What ends something has to come
//! through whatever one of them does: `ends`.

use super::{Owner, OwnerError};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_identity::{Fees, IdentityError, Receipt, Rpc};
use marque_identity_keys::{SignedTransaction, UnsignedTransaction};
use std::time::{Duration, Instant};

/// So long a transaction may take into a block,
const PATIENCE: Duration = Duration::from_secs(120);

/// and so long behind one endpoint may others be: in what is mined, and in what a key has sent.
pub(super) const BEHIND: Duration = Duration::from_secs(15);

/// The pause between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// What whoever waits for a transaction hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// It went out: from then on it may go through, whether or not anybody waits for it.
    Sent(B256),
    /// It takes the place of the key's transaction of this number, which is in no block: what that one was
    /// to do is not done.
    Overtakes(u64),
    /// An endpoint was passed over.
    Passed {
        /// Which.
        host: String,
        /// What is wrong with what it says.
        why: String,
    },
    /// Transactions were signed by the word of one endpoint alone, and others say that the key's next one
    /// has a lower number: they are mined, if ever, once the key has sent so many.
    Left {
        /// The lowest number that one of them has,
        number: u64,
        /// how many there are,
        count: usize,
        /// and the endpoints.
        hosts: Vec<String>,
    },
}

/// A call of a contract, or a payment.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) data: Bytes,
}

/// What a call takes by the word of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Transactions of the key that are in a block: the number of the next one.
    pub(super) mined: u64,
    /// The same with those that wait for one.
    pub(super) sent: u64,
    has: U256,
    gas: u64,
    fees: Fees,
}

impl Owner {
    /// Sends a transaction of the owner's own to `chain` and waits until every endpoint that answers sees
    /// it in a block. No endpoint is believed: not which chain it is for, as this key may have money on
    /// others, and not any fee.
    ///
    /// # Errors
    /// Where an endpoint serves another chain or wants more than is paid ([`Self::pays_at_most`]), there are
    /// too few coins for it, the endpoints do not agree, the chain does not take it, or it reverts.
    pub async fn send(
        &self,
        rpc: &Rpc,
        chain: u64,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> Result<Receipt, OwnerError> {
        let call = Call { to, value, data };
        let (number, terms) = agreed(rpc, chain, self.address(), &call).await?;
        let fee = terms.fee(1);
        if fee > self.most {
            return Err(OwnerError::Fee { fee, most: self.most });
        }
        terms.affordable(self.address(), &call, 1)?;
        let signed = self.sign_call(chain, number, &call, &terms, 1)?;
        hand_out(rpc, &signed.raw).await?;
        self.tell(&Heard::Sent(signed.hash));
        mined(rpc, signed.hash).await
    }

    /// From here on no transaction that [`Self::send`] signs has a higher fee, in wei; before, none has one
    /// above [`MOST_FEE`](super::MOST_FEE).
    pub const fn pays_at_most(&mut self, fee: U256) {
        self.most = fee;
    }

    /// From here on this hears of each transaction as it goes out.
    pub fn tells(&mut self, hears: fn(&Heard)) {
        self.hears = Some(hears);
    }

    pub(super) fn tell(&self, heard: &Heard) {
        if let Some(hears) = self.hears {
            hears(heard);
        }
    }

    /// Signs a call at so many times what an endpoint asks for it.
    pub(super) fn sign_call(
        &self,
        chain: u64,
        nonce: u64,
        call: &Call,
        terms: &Terms,
        times: u128,
    ) -> Result<SignedTransaction, OwnerError> {
        let (most, tip) = terms.offer(times);
        let Call { to, value, data } = call.clone();
        Ok(self.key.sign_transaction(&UnsignedTransaction {
            chain_id: chain,
            nonce,
            to: Some(to),
            value,
            data,
            gas_limit: terms.gas,
            max_fee_per_gas: most,
            max_priority_fee_per_gas: tip,
        })?)
    }
}

impl Terms {
    /// Asks one endpoint, which has to say that it is of `chain`.
    pub(super) async fn of(
        rpc: &Rpc,
        chain: u64,
        from: Address,
        call: &Call,
    ) -> Result<Self, OwnerError> {
        let (found, mined, sent, has) = tokio::try_join!(
            rpc.chain_id(),
            rpc.transaction_count(from, false),
            rpc.transaction_count(from, true),
            rpc.balance(from),
        )?;
        if found != chain {
            return Err(OwnerError::Chains { found, chain });
        }
        let Call { to, value, data } = call.clone();
        // What a node would refuse is told in words, and not only once it is signed.
        if has < value {
            return Err(OwnerError::Coins { owner: from, has, needs: value });
        }
        let (gas, fees) =
            tokio::try_join!(rpc.estimate_gas(from, Some(to), value, data), rpc.fees())?;
        Ok(Self { mined, sent, has, gas: gas.saturating_add(gas / 4), fees })
    }

    /// The highest fee and tip of a unit of gas, at so many times what is asked.
    fn offer(&self, times: u128) -> (u128, u128) {
        let Fees { max_fee_per_gas: most, max_priority_fee_per_gas: tip } = self.fees;
        let tip = match times {
            1 => tip,
            // A node wants more of both than it has, and the chain may ask for no tip at all.
            _ => tip.max(most / 20),
        };
        (most.saturating_mul(times), tip.saturating_mul(times))
    }

    /// What it may cost, at so many times what is asked.
    pub(super) fn fee(&self, times: u128) -> U256 {
        U256::from(self.gas).saturating_mul(U256::from(self.offer(times).0))
    }

    /// Refuses what the key cannot pay.
    pub(super) fn affordable(
        &self,
        owner: Address,
        call: &Call,
        times: u128,
    ) -> Result<(), OwnerError> {
        let needs = call.value.saturating_add(self.fee(times));
        match self.has < needs {
            true => Err(OwnerError::Coins { owner, has: self.has, needs }),
            false => Ok(()),
        }
    }
}

/// The number of a key's next transaction, and the dearest terms. Where endpoints differ in
/// the number, one of them lags, which passes, or lies. Which one, nobody can say: what pays is then not
/// signed, as it could be mined under either. One that does not answer has not seen anything.
async fn agreed(
    rpc: &Rpc,
    chain: u64,
    from: Address,
    call: &Call,
) -> Result<(u64, Terms), OwnerError> {
    let start = Instant::now();
    loop {
        let (mut said, mut silent) = (Vec::new(), None);
        for (_, terms) in
            rpc.all(|each| async move { Terms::of(&each, chain, from, call).await }).await
        {
            match terms {
                Ok(terms) => said.push(terms),
                Err(OwnerError::Chain(error @ IdentityError::Unreachable { .. })) => {
                    silent = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let least = said.iter().map(|terms| terms.sent).min();
        let most = said.iter().map(|terms| terms.sent).max();
        // The most gas and the highest fee, whoever says them: with less it would fail, or not be mined.
        let gas = said.iter().map(|terms| terms.gas).max();
        let dearest = said.into_iter().max_by_key(|terms| terms.fees.max_fee_per_gas);
        let (Some(least), Some(most), Some(gas), Some(terms)) = (least, most, gas, dearest) else {
            return Err(silent.map_or(OwnerError::NoEndpoint, OwnerError::from));
        };
        if least == most {
            return Ok((least, Terms { gas, ..terms }));
        }
        if start.elapsed() >= BEHIND {
            return Err(OwnerError::Nonces { key: from, least, most });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hands a transaction to every endpoint, as one could keep it to itself; what each says.
pub(super) async fn spread(rpc: &Rpc, raw: &Bytes) -> Vec<(String, Result<B256, IdentityError>)> {
    rpc.all(|each| async move { each.send_raw(raw).await }).await
}

/// An error where no endpoint takes it.
async fn hand_out(rpc: &Rpc, raw: &Bytes) -> Result<(), IdentityError> {
    let mut failure = IdentityError::NoEndpoints;
    for (_, said) in spread(rpc, raw).await {
        match said {
            Ok(_) => return Ok(()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Brings a transaction that was signed before to the chain, and waits until a block has it: by the word
/// of one endpoint, after a while. Whoever calls looks at what it did.
///
/// # Errors
/// Where no endpoint takes it, or it is not mined, or reverts.
pub async fn broadcast(rpc: &Rpc, raw: &Bytes) -> Result<B256, OwnerError> {
    hand_out(rpc, raw).await?;
    match mined(rpc, alloy_primitives::keccak256(raw)).await {
        Ok(Receipt { transaction, .. }) | Err(OwnerError::Unconfirmed { transaction, .. }) => {
            Ok(transaction)
        }
        Err(error) => Err(error),
    }
}

/// Waits until every endpoint that answers has a transaction in a block. One that does not answer says
/// nothing.
async fn mined(rpc: &Rpc, hash: B256) -> Result<Receipt, OwnerError> {
    let start = Instant::now();
    let mut until = PATIENCE;
    let mut first = None;
    loop {
        let (mut seen, mut missing, mut silent) = (None, None, None);
        for (host, said) in rpc.all(|each| async move { each.receipt(hash).await }).await {
            match said {
                Ok(Some(receipt)) => {
                    seen = Some(seen.filter(|it: &Receipt| !it.success).unwrap_or(receipt));
                }
                Ok(None) => missing = Some(host),
                Err(error) => silent = Some(error),
            }
        }
        match (&seen, &missing) {
            (Some(receipt), None) if receipt.success => return Ok(receipt.clone()),
            (Some(_), None) => return Err(OwnerError::Reverted(hash)),
            (Some(_), Some(_)) if first.is_none() => {
                until = until.min(start.elapsed().saturating_add(BEHIND));
            }
            _ => {}
        }
        first = first.or(seen);
        if start.elapsed() >= until {
            return Err(match (first, missing, silent) {
                (Some(_), Some(host), _) => OwnerError::Unconfirmed { transaction: hash, host },
                (_, None, Some(error)) => error.into(),
                _ => IdentityError::NotMined { transaction: hash, within: PATIENCE }.into(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
