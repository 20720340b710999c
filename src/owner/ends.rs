//! Transactions that end something, and do no more when they are mined twice: they come through as long as
//! one endpoint works, whatever the others do.
//!
//! Nobody can say which of two endpoints lies. So each is served by its own word: what it says of the
//! key's number, of fees and gas makes a transaction that it should take, and every endpoint is handed
//! each. The lowest number and the cheapest terms go first; another is signed only for an endpoint that
//! does not see the end in a block. A number that is too low is never mined and a fee that is too low is
//! followed by a higher one; a number that is too high is told, as it stays behind.

use super::{
    MOST_FEE, Owner, OwnerError,
    send::{BEHIND, Call, Heard, PAUSE, Terms, spread},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_identity::{IdentityError, Receipt, Rpc};
use std::time::{Duration, Instant};

/// So long a transaction may take into a block before another takes its place that offers twice as much,
const OFFER: Duration = Duration::from_secs(20);

/// or sooner for one endpoint, where another says that it is in a block: one of them lies, or lags,
const DOUBT: Duration = Duration::from_secs(7);

/// as long as that is no more than so many times what the chain asks for,
const MOST: u128 = 64;

/// and so often, whatever number it has, by the word of one endpoint.
const TURNS: u32 = 7;

impl Owner {
    /// Sends what does no more when it is mined twice, such as the end of a delegation, and waits until
    /// every endpoint that answers sees it in a block, or one for 15 seconds. It goes before what this key
    /// sent earlier and no block took: that one's number is taken, at a higher fee. Whoever calls looks at
    /// what it did.
    ///
    /// # Errors
    /// As [`Self::send`], where no endpoint gets it into a block.
    pub async fn send_again(
        &self,
        rpc: &Rpc,
        chain: u64,
        to: Address,
        data: Bytes,
    ) -> Result<Receipt, OwnerError> {
        let call = Call { to, value: U256::ZERO, data };
        let words = rpc.hosts().map(Word::new).collect();
        let mut end = End { owner: self, rpc, chain, call, words, out: Vec::new(), failure: None };
        let done = end.run().await;
        end.passed().chain(end.left()).for_each(|heard| self.tell(&heard));
        done
    }
}

/// What is being sent.
struct End<'a> {
    owner: &'a Owner,
    rpc: &'a Rpc,
    chain: u64,
    call: Call,
    words: Vec<Word>,
    out: Vec<Out>,
    /// Why the last endpoint or transaction came to nothing.
    failure: Option<OwnerError>,
}

/// How it stands with one endpoint.
struct Word {
    host: String,
    /// The number of the key's next transaction, where it answers.
    next: Option<u64>,
    /// Whether it sees one of these transactions in a block.
    sees: bool,
    /// Whether there is nothing more to be signed by its word.
    done: bool,
    /// What went wrong with it last.
    why: Option<String>,
    /// How often something was signed by its word,
    turns: u32,
    /// with which number last, and when,
    last: Option<(u64, Instant)>,
    /// and whether that was while another one saw the end.
    again: bool,
}

/// A transaction that was signed.
struct Out {
    hash: B256,
    number: u64,
    times: u128,
    /// What it may cost.
    fee: U256,
    /// By whose word.
    by: usize,
    at: Instant,
    /// Which endpoints took it,
    took: Vec<bool>,
    /// and whether one sees it in a block.
    mined: bool,
}

/// What an endpoint says: the key's next number, and which of the transactions are in a block.
type Look = (u64, Vec<Receipt>);

impl End<'_> {
    async fn run(&mut self) -> Result<Receipt, OwnerError> {
        let start = Instant::now();
        let mut until = OFFER.saturating_mul(TURNS);
        let mut first = None;
        loop {
            let (seen, heard) = self.look().await;
            if first.is_none() && seen.is_some() {
                until = until.min(start.elapsed().saturating_add(BEHIND));
                first = seen;
            }
            // One that does not answer says nothing.
            let waits = self.words.iter().any(Word::waits) || (!heard && !self.out.is_empty());
            if !waits || start.elapsed() >= until {
                return first.ok_or_else(|| self.failed(until));
            }
            self.turn(first.is_some()).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks every endpoint how it stands; a receipt, where one has it, and whether any answers.
    async fn look(&mut self) -> (Option<Receipt>, bool) {
        let from = self.owner.address();
        let hashes: Vec<B256> = self.out.iter().map(|out| out.hash).collect();
        let hashes = &hashes[..];
        let said = self.rpc.all(|each| async move { look(&each, from, hashes).await }).await;
        let (mut seen, mut heard) = (None, false);
        for (word, (_, said)) in self.words.iter_mut().zip(said) {
            match said {
                Ok((next, receipts)) => {
                    heard = true;
                    word.next = Some(next);
                    let well = receipts.iter().find(|receipt| receipt.success);
                    word.sees = well.is_some();
                    seen = seen.or_else(|| well.cloned());
                    for receipt in receipts {
                        let mined = |out: &&mut Out| out.hash == receipt.transaction;
                        self.out.iter_mut().filter(mined).for_each(|out| out.mined = true);
                        if !receipt.success {
                            self.failure = Some(OwnerError::Reverted(receipt.transaction));
                        }
                    }
                }
                Err(error) => {
                    word.next = None;
                    word.why = Some(error.to_string());
                    self.failure.get_or_insert(error.into());
                }
            }
        }
        (seen, heard)
    }

    /// Signs one more transaction, by the word of an endpoint that lacks one, where there is any.
    async fn turn(&mut self, seen: bool) {
        let words = self.words.iter().enumerate();
        let due: Vec<bool> = words.map(|(index, word)| self.due(index, word, seen)).collect();
        if !due.contains(&true) {
            return;
        }
        let (chain, from, call) = (self.chain, self.owner.address(), &self.call);
        let said = self.rpc.all(|each| async move { Terms::of(&each, chain, from, call).await });
        let mut offers = Vec::new();
        for (index, ((_, terms), due)) in said.await.into_iter().zip(due).enumerate() {
            if !due {
                continue;
            }
            match terms.and_then(|terms| Ok((self.offer(index, &terms)?, terms))) {
                Ok((times, terms)) => {
                    let turns = self.words.get(index).map_or(0, |word| word.turns);
                    offers.push((turns, index, times, terms));
                }
                Err(error) => self.without(index, error),
            }
        }
        let order = |(turns, _, times, terms): &(u32, usize, u128, Terms)| {
            (*turns, terms.mined, terms.fee(*times))
        };
        let Some((_, index, times, terms)) = offers.into_iter().min_by_key(order) else { return };
        if let Err(error) = self.sign(index, times, &terms).await {
            self.fails(error);
        }
        if let Some(word) = self.words.get_mut(index) {
            word.again |= seen;
        }
    }

    /// Whether something is to be signed by an endpoint's word now.
    fn due(&self, index: usize, word: &Word, seen: bool) -> bool {
        let Some(next) = word.next.filter(|_| word.waits() && word.turns < TURNS) else {
            return false;
        };
        let Some(out) = self.out.iter().rfind(|out| out.number == next) else {
            let Some((last, at)) = word.last else { return true };
            // Another transaction has taken the place of what was signed before, or it says now something
            // else than it did.
            let used = next == last.saturating_add(1) && self.used(index, last);
            return if seen { !word.again } else { used || at.elapsed() >= OFFER };
        };
        let took = out.took.get(index).copied().unwrap_or_default();
        match seen {
            // Who says that it is in a block may have kept it, at a fee that this one does not take.
            true => !word.again && (!took || out.at.elapsed() >= DOUBT),
            false => out.times < MOST && (!out.taken() || out.at.elapsed() >= OFFER),
        }
    }

    /// Whether a number is used up by the word of another endpoint, where there is one.
    fn used(&self, index: usize, number: u64) -> bool {
        let mut others = self.words.iter().enumerate().filter(|(other, _)| *other != index);
        self.words.len() == 1
            || others.any(|(_, other)| other.next.is_some_and(|next| next > number))
    }

    /// How many times an endpoint's terms are offered. INVARIANT: what is signed by the word of one endpoint
    /// costs no more than [`MOST_FEE`] in all, of each number the dearest, as one of them is mined
    /// (`tests/system/blocked.rs`, `no_endpoint_empties_the_owners_key_with_fees`).
    fn offer(&self, index: usize, terms: &Terms) -> Result<u128, OwnerError> {
        let before = self.out.iter().rfind(|out| out.number == terms.mined);
        let times = match before {
            Some(out) => out.times.saturating_mul(2),
            None if terms.sent > terms.mined => 2,
            None => 1,
        };
        terms.affordable(self.owner.address(), &self.call, times)?;
        let mut fees = std::collections::BTreeMap::from([(terms.mined, terms.fee(times))]);
        for out in self.out.iter().filter(|out| out.by == index) {
            let fee = fees.entry(out.number).or_default();
            *fee = out.fee.max(*fee);
        }
        let fee = fees.values().fold(U256::ZERO, |sum, fee| sum.saturating_add(*fee));
        match fee > MOST_FEE {
            true => Err(OwnerError::Fee { fee }),
            false => Ok(times),
        }
    }

    async fn sign(&mut self, index: usize, times: u128, terms: &Terms) -> Result<(), OwnerError> {
        let number = terms.mined;
        let signed = self.owner.sign_call(self.chain, number, &self.call, terms, times)?;
        if terms.sent > number && self.out.iter().all(|out| out.number != number) {
            self.owner.tell(&Heard::Overtakes(number));
        }
        let at = Instant::now();
        let Some(word) = self.words.get_mut(index) else { return Ok(()) };
        word.turns = word.turns.saturating_add(1);
        word.last = Some((number, at));
        let hash = signed.hash;
        let (mut took, mut refused) = (Vec::new(), None);
        for (word, (_, said)) in self.words.iter_mut().zip(spread(self.rpc, &signed.raw).await) {
            took.push(said.is_ok());
            if let Err(error) = said {
                if !word.done {
                    word.why = Some(error.to_string());
                }
                refused = Some(error);
            }
        }
        let fee = terms.fee(times);
        let out = Out { hash, number, times, fee, by: index, at, took, mined: false };
        let taken = out.taken();
        self.out.push(out);
        match refused {
            Some(error) if !taken => Err(error.into()),
            _ => {
                self.owner.tell(&Heard::Sent(hash));
                Ok(())
            }
        }
    }

    /// Goes on without the word of an endpoint.
    fn without(&mut self, index: usize, error: OwnerError) {
        let Some(word) = self.words.get_mut(index) else { return };
        word.why = Some(error.to_string());
        match &error {
            // It may answer yet.
            OwnerError::Chain(IdentityError::Unreachable { .. }) => {}
            // What it offered before may be taken yet.
            OwnerError::Fee { .. } | OwnerError::Coins { .. } if word.turns > 0 => {
                word.turns = u32::MAX;
            }
            _ => word.done = true,
        }
        self.fails(error);
    }

    /// Remembers what went wrong last, or first that there are no coins, which nothing but coins mends.
    fn fails(&mut self, error: OwnerError) {
        if !matches!(self.failure, Some(OwnerError::Coins { .. })) {
            self.failure = Some(error);
        }
    }

    /// The endpoints that do not see the end, where there are others.
    fn passed(&self) -> impl Iterator<Item = Heard> {
        let several = self.words.len() > 1;
        self.words.iter().filter(move |word| several && !word.sees).map(|word| Heard::Passed {
            host: word.host.clone(),
            why: word.why.clone().unwrap_or_else(|| "it sees nothing of it in a block".to_owned()),
        })
    }

    fn failed(&mut self, within: Duration) -> OwnerError {
        let out = self.out.iter().rfind(|out| out.taken());
        match (out, self.failure.take()) {
            (_, Some(error)) if self.out.is_empty() => error,
            (_, Some(error @ (OwnerError::Reverted(_) | OwnerError::Coins { .. }))) => error,
            (_, Some(error @ OwnerError::Chain(IdentityError::Reverted { .. }))) => error,
            (Some(out), _) => IdentityError::NotMined { transaction: out.hash, within }.into(),
            (None, error) => error.unwrap_or(OwnerError::NoEndpoint),
        }
    }

    /// What stays behind: it has a higher number than an endpoint says that the key's next one has.
    fn left(&self) -> impl Iterator<Item = Heard> {
        let least = self.words.iter().filter_map(|word| word.next).min();
        let later = |out: &&Out| !out.mined && least.is_some_and(|least| out.number > least);
        let left = self.out.iter().filter(later);
        let mut left: Vec<_> = left.map(|out| (out.number, out.by)).collect();
        left.dedup();
        left.into_iter().map(|(number, by)| {
            let host = self.words.get(by).map(|word| word.host.clone()).unwrap_or_default();
            Heard::Left { number, host }
        })
    }
}

impl Out {
    fn taken(&self) -> bool {
        self.took.contains(&true)
    }
}

impl Word {
    fn new(host: &str) -> Self {
        let host = host.to_owned();
        Self {
            host,
            next: None,
            sees: false,
            done: false,
            why: None,
            turns: 0,
            last: None,
            again: false,
        }
    }

    /// Whether it answers, does not see the end, and may yet.
    const fn waits(&self) -> bool {
        self.next.is_some() && !self.sees && !self.done
    }
}

async fn look(rpc: &Rpc, from: Address, hashes: &[B256]) -> Result<Look, IdentityError> {
    let next = rpc.transaction_count(from, false).await?;
    let mut receipts = Vec::new();
    for hash in hashes {
        receipts.extend(rpc.receipt(*hash).await?);
    }
    Ok((next, receipts))
}
