//! Transactions that end something, and do no more when they are mined twice: they come through as long as
//! one endpoint works, whatever the others do.
//!
//! Nobody can say which of two endpoints lies. So each is served by its own word: what it says of the
//! key's number, of fees and gas makes a transaction that it should take, and every endpoint is handed
//! each. The lowest number and the cheapest terms go first; another is signed only for an endpoint that
//! does not see the end in a block. A number that is too low is never mined and a fee that is too low is
//! followed by a higher one; a number that is too high is told, as it stays behind.

use super::{
    Owner, OwnerError,
    send::{BEHIND, Call, Heard, PAUSE, Terms, spread},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use marque_identity::{IdentityError, Receipt, Rpc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// So long a transaction may take into a block before another takes its place that offers twice as much,
const OFFER: Duration = Duration::from_secs(20);

/// or sooner for one endpoint, where another says that it is in a block: one of them lies, or lags,
const DOUBT: Duration = Duration::from_secs(7);

/// as long as that is no more than so many times what the chain asks for,
const MOST: u128 = 64;

/// and so often, whatever number it has, by the word of one endpoint.
const TURNS: u32 = 7;

/// So long one endpoint is waited for where another has answered, before anything is signed: one that is slow
/// delays no end, and gets its turn after that.
const GRACE: Duration = Duration::from_millis(1500);

/// What one command sends to one chain of what does no more when it is mined twice, such as the ends of
/// delegations: what all of it may cost, and what is told of it once.
#[derive(Debug)]
pub struct Ends<'a> {
    owner: &'a Owner,
    rpc: &'a Rpc,
    chain: u64,
    /// What the word of one endpoint may cost, in wei.
    most: U256,
    /// What it has cost so far, by its host.
    above: BTreeMap<String, U256>,
    /// Who was told to be passed over.
    passed: Vec<Heard>,
    /// Whose price was told.
    priced: Vec<String>,
    /// What was signed by the word of one endpoint and is mined by that of none: the number and the host.
    behind: Vec<(u64, String)>,
    /// The lowest number that any endpoint called the key's next one at last.
    next: Option<u64>,
}

impl Owner {
    /// Begins to send to `chain` what does no more when it is mined twice. INVARIANT: all that is signed by
    /// the word of one endpoint costs no more than `most` above what the others ask for it, and a single
    /// one no more than `most` (`tests/system/dear.rs`,
    /// `the_word_of_one_endpoint_costs_no_more_however_much_is_ended`).
    #[must_use]
    pub const fn ends<'a>(&'a self, rpc: &'a Rpc, chain: u64, most: U256) -> Ends<'a> {
        Ends {
            owner: self,
            rpc,
            chain,
            most,
            above: BTreeMap::new(),
            passed: Vec::new(),
            priced: Vec::new(),
            behind: Vec::new(),
            next: None,
        }
    }
}

impl Ends<'_> {
    /// Whose they are.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        self.owner
    }

    /// The endpoints.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        self.rpc
    }

    /// Sends one, and waits until every endpoint that answers sees it in a block, or one for 15 seconds. It
    /// goes before what this key sent earlier and no block took: that one's number is taken, at a higher
    /// fee. Whoever calls looks at what it did.
    ///
    /// # Errors
    /// As [`Owner::send`], where no endpoint gets it into a block.
    pub async fn send(&mut self, to: Address, data: Bytes) -> Result<Receipt, OwnerError> {
        let each = vec![data; self.rpc.hosts().count()];
        self.send_each(to, each).await
    }

    /// The same with other data by the word of each endpoint, in their order.
    pub(super) async fn send_each(
        &mut self,
        to: Address,
        each: Vec<Bytes>,
    ) -> Result<Receipt, OwnerError> {
        let call = |data| Call { to, value: U256::ZERO, data };
        let words = self.rpc.hosts().zip(each);
        let words = words.map(|(host, data)| Word::new(host, call(data), self.above(host)));
        let words = words.collect();
        let (owner, rpc, chain, most) = (self.owner, self.rpc, self.chain, self.most);
        let mut end = End { owner, rpc, chain, most, words, out: Vec::new(), failure: None };
        let done = end.run().await;
        for (host, why, priced) in end.passed() {
            // A price changes from block to block, and what failed for one says so.
            let told = priced && (refused(&done) || self.priced.contains(&host));
            let heard = Heard::Passed { host: host.clone(), why };
            if told || self.passed.contains(&heard) {
                continue;
            }
            owner.tell(&heard);
            self.passed.push(heard);
            self.priced.extend(Some(host).filter(|_| priced));
        }
        for (index, word) in end.words.iter().enumerate() {
            self.above.insert(word.host.clone(), end.above(index));
        }
        self.behind.extend(end.behind());
        self.next = end.words.iter().filter_map(|word| word.next).min().or(self.next);
        done
    }

    fn above(&self, host: &str) -> U256 {
        self.above.get(host).copied().unwrap_or_default()
    }
}

/// Whether it came to nothing for a price.
const fn refused(done: &Result<Receipt, OwnerError>) -> bool {
    matches!(done, Err(OwnerError::TooDear { .. } | OwnerError::Coins { .. }))
}

/// What stays behind is told once, whatever became of the command.
impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let later = |(number, _): &&(u64, String)| self.next.is_some_and(|next| *number > next);
        let mut behind: Vec<_> = self.behind.iter().filter(later).collect();
        behind.sort();
        behind.dedup();
        let Some(number) = behind.iter().map(|(number, _)| *number).min() else { return };
        let mut hosts: Vec<String> = behind.iter().map(|(_, host)| host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        self.owner.tell(&Heard::Left { number, count: behind.len(), hosts });
    }
}

/// What is being sent.
struct End<'a> {
    owner: &'a Owner,
    rpc: &'a Rpc,
    chain: u64,
    most: U256,
    words: Vec<Word>,
    out: Vec<Out>,
    /// Why the last endpoint or transaction came to nothing.
    failure: Option<OwnerError>,
}

/// How it stands with one endpoint.
struct Word {
    host: String,
    /// What is sent by its word.
    call: Call,
    /// What its word has cost in what was sent before, above what others asked.
    before: U256,
    /// The number of the key's next transaction, where it answers.
    next: Option<u64>,
    /// Whether it sees one of these transactions in a block.
    sees: bool,
    /// Whether there is nothing more to be signed by its word.
    done: bool,
    /// What went wrong with it last,
    why: Option<String>,
    /// and whether that is its price.
    priced: bool,
    /// How often something was signed by its word,
    turns: u32,
    /// with which number last, and when,
    last: Option<(u64, Instant)>,
    /// and whether that was while another one saw the end.
    again: bool,
}

/// What could be signed by the word of an endpoint.
#[derive(Clone, Copy)]
struct Offer {
    by: usize,
    terms: Terms,
    /// So many times what it asks.
    times: u128,
    fee: U256,
    above: U256,
}

/// A transaction that was signed.
struct Out {
    hash: B256,
    number: u64,
    times: u128,
    /// What it may cost,
    fee: U256,
    /// and how much of that is above what another endpoint asks, where one does.
    above: U256,
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
            let waits = self.may_come() || (!heard && !self.out.is_empty());
            if !waits || start.elapsed() >= until {
                return first.ok_or_else(|| self.failed(until));
            }
            self.turn(first.is_some()).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether an endpoint may yet see the end: something can still be signed by its word, or what was signed
    /// may still get into a block.
    fn may_come(&self) -> bool {
        let open = self.out.iter().any(|out| !out.mined && out.at.elapsed() < OFFER);
        self.words.iter().any(|word| word.waits() && (word.turns < TURNS || open))
    }

    /// Asks every endpoint how it stands; a receipt, where one has it, and whether any answers.
    async fn look(&mut self) -> (Option<Receipt>, bool) {
        let from = self.owner.address();
        let hashes: Vec<B256> = self.out.iter().map(|out| out.hash).collect();
        let hashes = &hashes[..];
        let ask = |each, ()| async move { look(&each, from, hashes).await };
        let with = std::iter::repeat(());
        let said = match self.out.is_empty() {
            true => self.rpc.all_soon(GRACE, with, ask).await,
            false => self.rpc.all_with(with, ask).await,
        };
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
                    (word.why, word.priced) = (Some(error.to_string()), false);
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
        // The first goes out by the word of those that answer soon; where it does not, all are heard.
        if !self.out.is_empty() || !self.propose(&due, seen, true).await {
            self.propose(&due, seen, false).await;
        }
    }

    /// Asks for terms, and signs by those of one endpoint; whether it did, or all were heard. What keeps one
    /// from it is noted where all were.
    async fn propose(&mut self, due: &[bool], seen: bool, soon: bool) -> bool {
        let (chain, from) = (self.chain, self.owner.address());
        let calls = self.words.iter().map(|word| &word.call);
        let terms = |each, call| async move { Terms::of(&each, chain, from, call).await };
        let said = match soon {
            true => self.rpc.all_soon(GRACE, calls, terms).await,
            false => self.rpc.all_with(calls, terms).await,
        };
        let said: Vec<_> = said.into_iter().map(|(_, terms)| terms).collect();
        let late = |it: &Result<Terms, OwnerError>| {
            matches!(it, Err(OwnerError::Chain(IdentityError::Unreachable { .. })))
        };
        let partial = soon && said.iter().any(late);
        let asked: Vec<Option<U256>> =
            said.iter().map(|terms| terms.as_ref().ok().map(|terms| terms.fee(1))).collect();
        let mut offers = Vec::new();
        for (index, (terms, due)) in said.into_iter().zip(due).enumerate() {
            if !*due {
                continue;
            }
            let others = asked.iter().enumerate().filter(|(other, _)| *other != index);
            let least = others.filter_map(|(_, fee)| *fee).min().unwrap_or_default();
            match terms.and_then(|terms| self.offer(index, terms, least)) {
                Ok(offer) => offers.push(offer),
                Err(_) if partial => {}
                Err(error) => self.without(index, error),
            }
        }
        let turns = |index: usize| self.words.get(index).map_or(0, |word| word.turns);
        let order = |offer: &Offer| (turns(offer.by), offer.terms.mined, offer.fee);
        let Some(offer) = offers.into_iter().min_by_key(order) else { return !partial };
        let index = offer.by;
        if let Err(error) = self.sign(&offer).await {
            self.fails(error);
        }
        if let Some(word) = self.words.get_mut(index) {
            word.again |= seen;
        }
        true
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
            false => {
                let waits = out.taken() && out.at.elapsed() < OFFER;
                out.times < MOST && (!waits || self.lacks(index, next))
            }
        }
    }

    /// Whether an endpoint took nothing of a number, and nothing of it was signed by its own word: what others
    /// took is of no use to it.
    fn lacks(&self, index: usize, number: u64) -> bool {
        let took = |out: &Out| out.took.get(index).copied().unwrap_or_default();
        self.out.iter().filter(|out| out.number == number).all(|out| out.by != index && !took(out))
    }

    /// Whether a number is used up by the word of another endpoint, where there is one.
    fn used(&self, index: usize, number: u64) -> bool {
        let mut others = self.words.iter().enumerate().filter(|(other, _)| *other != index);
        self.words.len() == 1
            || others.any(|(_, other)| other.next.is_some_and(|next| next > number))
    }

    /// What is offered by the word of an endpoint, and refused where that would cost too much: of each
    /// number the dearest counts, as one of them is mined. `least` is what another one asks.
    fn offer(&self, by: usize, terms: Terms, least: U256) -> Result<Offer, OwnerError> {
        let before = self.out.iter().rfind(|out| out.number == terms.mined);
        let times = match before {
            Some(out) => out.times.saturating_mul(2),
            None if terms.sent > terms.mined => 2,
            None => 1,
        };
        let fee = terms.fee(times);
        let above = fee.saturating_sub(least);
        let offer = Offer { by, terms, times, fee, above };
        let new = (terms.mined, fee, above);
        let (fees, extra) = self.cost(by, Some(new));
        let earlier = self.words.get(by).map_or(U256::ZERO, |word| word.before);
        if fees.max(earlier.saturating_add(extra)) > self.most {
            let before = self.cost(by, None).0.max(self.above(by));
            return Err(OwnerError::TooDear { fee, before, most: self.most });
        }
        if let Some(word) = self.words.get(by) {
            terms.affordable(self.owner.address(), &word.call, times)?;
        }
        Ok(offer)
    }

    /// What all that was signed by the word of an endpoint may cost, with one more, and how much of that is
    /// above what others ask.
    fn cost(&self, by: usize, more: Option<(u64, U256, U256)>) -> (U256, U256) {
        let signed = self.out.iter().filter(|out| out.by == by);
        let signed = signed.map(|out| (out.number, out.fee, out.above));
        let mut numbers = BTreeMap::<u64, (U256, U256)>::new();
        for (number, fee, above) in signed.chain(more) {
            let (dearest, most) = numbers.entry(number).or_default();
            (*dearest, *most) = (fee.max(*dearest), above.max(*most));
        }
        numbers.values().fold((U256::ZERO, U256::ZERO), |(fees, extra), (fee, above)| {
            (fees.saturating_add(*fee), extra.saturating_add(*above))
        })
    }

    /// What the word of an endpoint has cost above what others ask, with what was sent before.
    fn above(&self, by: usize) -> U256 {
        let before = self.words.get(by).map_or(U256::ZERO, |word| word.before);
        before.saturating_add(self.cost(by, None).1)
    }

    async fn sign(&mut self, offer: &Offer) -> Result<(), OwnerError> {
        let Offer { by, terms, times, fee, above } = *offer;
        let number = terms.mined;
        let Some(word) = self.words.get(by) else { return Ok(()) };
        let signed = self.owner.sign_call(self.chain, number, &word.call, &terms, times)?;
        if terms.sent > number && self.out.iter().all(|out| out.number != number) {
            self.owner.tell(&Heard::Overtakes(number));
        }
        let at = Instant::now();
        let Some(word) = self.words.get_mut(by) else { return Ok(()) };
        word.turns = word.turns.saturating_add(1);
        word.last = Some((number, at));
        let hash = signed.hash;
        let (mut took, mut refused) = (Vec::new(), None);
        for (word, (_, said)) in self.words.iter_mut().zip(spread(self.rpc, &signed.raw).await) {
            took.push(said.is_ok());
            if let Err(error) = said {
                if !word.done {
                    (word.why, word.priced) = (Some(error.to_string()), false);
                }
                refused = Some(error);
            }
        }
        let out = Out { hash, number, times, fee, above, by, at, took, mined: false };
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
        word.priced = matches!(error, OwnerError::TooDear { .. } | OwnerError::Coins { .. });
        match &error {
            // It may answer yet.
            OwnerError::Chain(IdentityError::Unreachable { .. }) => {}
            // What it offered before may be taken yet.
            OwnerError::TooDear { .. } | OwnerError::Coins { .. } if word.turns > 0 => {
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

    /// The endpoints that do not see the end, where there are others: why, and whether that is a price.
    fn passed(&self) -> impl Iterator<Item = (String, String, bool)> {
        let several = self.words.len() > 1;
        self.words.iter().filter(move |word| several && !word.sees).map(|word| {
            let why = word.why.clone();
            let why = why.unwrap_or_else(|| "it sees nothing of it in a block".to_owned());
            (word.host.clone(), why, word.priced)
        })
    }

    fn failed(&mut self, within: Duration) -> OwnerError {
        let out = self.out.iter().rfind(|out| out.taken());
        match (out, self.failure.take()) {
            (_, Some(error)) if self.out.is_empty() => error,
            (
                _,
                Some(
                    error @ (OwnerError::Reverted(_)
                    | OwnerError::Coins { .. }
                    | OwnerError::TooDear { .. }),
                ),
            ) => error,
            (_, Some(error @ OwnerError::Chain(IdentityError::Reverted { .. }))) => error,
            (Some(out), _) => IdentityError::NotMined { transaction: out.hash, within }.into(),
            (None, error) => error.unwrap_or(OwnerError::NoEndpoint),
        }
    }

    /// What no endpoint sees in a block, and by whose word it was signed.
    fn behind(&self) -> impl Iterator<Item = (u64, String)> {
        let mut behind: Vec<_> =
            self.out.iter().filter(|out| !out.mined).map(|out| (out.number, out.by)).collect();
        behind.sort_unstable();
        behind.dedup();
        behind.into_iter().map(|(number, by)| {
            (number, self.words.get(by).map(|word| word.host.clone()).unwrap_or_default())
        })
    }
}

impl Out {
    fn taken(&self) -> bool {
        self.took.contains(&true)
    }
}

impl Word {
    fn new(host: &str, call: Call, before: U256) -> Self {
        let host = host.to_owned();
        Self {
            host,
            call,
            before,
            next: None,
            sees: false,
            done: false,
            why: None,
            priced: false,
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
    let receipts = futures::future::try_join_all(hashes.iter().map(|hash| rpc.receipt(*hash)));
    let (next, receipts) = tokio::try_join!(rpc.transaction_count(from, false), receipts)?;
    Ok((next, receipts.into_iter().flatten().collect()))
}
