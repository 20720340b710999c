//! A chain of a few lines: blocks, a pool of transactions, reorganisations, and nodes that answer
//! for it, late or with lies.
//!
//! The truth is [`Chain`]; what a steward hears comes from [`Node`]s. An honest node answers what
//! was true a while ago, each question as of another moment, as nodes behind one address do. A liar
//! says of one transaction or authorisation whatever would have the steward give something back.

use crate::support::dice::Dice;
use alloy_primitives::{Address, B256};
use marque_identity::{Block as Head, Receipt};
use marque_steward::entry::{AuthorisationOrder, TransactionOrder};
use std::{collections::BTreeMap, rc::Rc};

/// The deepest reorganisation.
pub(crate) const DEPTH: u64 = 8;

/// Seconds between two blocks.
pub(crate) const SPACING: u64 = 12;

/// What a transaction does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// One of ours, with what it does to an authorisation, if it does.
    Ours { order: TransactionOrder, call: Option<Call> },
    /// Somebody brings an authorisation to the chain: one of ours, or one that pays us.
    Settle { from: Address, nonce: B256, valid_before: u64 },
}

/// What a transaction of ours asks of the token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Take the money of an authorisation that pays us.
    Settle((Address, B256)),
    /// Never accept this one of our own.
    Cancel((Address, B256)),
}

#[derive(Clone, Debug)]
pub(crate) struct Tx {
    pub(crate) hash: B256,
    pub(crate) deed: Deed,
}

/// A transaction in a block.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) tx: Tx,
    pub(crate) success: bool,
    pub(crate) gas_used: u64,
    pub(crate) price: u128,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) time: u64,
    pub(crate) mined: Vec<Mined>,
}

type Blocks = Vec<Rc<Block>>;

#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) blocks: Blocks,
    pub(crate) pool: Vec<Tx>,
    /// What the chain was before the last reorganisation.
    orphaned: Option<Blocks>,
    /// The highest block there ever was.
    highest: u64,
}

impl Chain {
    pub(crate) fn new(time: u64, dice: &mut Dice) -> Self {
        // Some history, so that finality and reorganisations have something to work on.
        let block = |number| {
            let time = time - (40 - number) * SPACING;
            Rc::new(Block {
                number,
                hash: B256::from_slice(&[u8::try_from(number).unwrap(); 32]),
                time,
                mined: Vec::new(),
            })
        };
        let _ = dice.next();
        Self {
            blocks: (0..=40).map(block).collect(),
            pool: Vec::new(),
            orphaned: None,
            highest: 40,
        }
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// The newest block that no reorganisation can take back. It is counted from the highest block
    /// there ever was: a branch that is shorter takes nothing back that was deep before.
    pub(crate) fn deep(&self) -> &Block {
        let above = self.head().number + DEPTH - self.highest;
        &self.blocks[self.blocks.len() - 1 - usize::try_from(above).unwrap()]
    }

    pub(crate) fn broadcast(&mut self, tx: Tx) {
        let known = self.pool.iter().any(|it| it.hash == tx.hash) || self.find(tx.hash).is_some();
        if !known {
            self.pool.push(tx);
        }
    }

    /// Mines what is in the pool, or some of it, into a block of this time.
    pub(crate) fn mine(&mut self, time: u64, chance: u64, dice: &mut Dice) {
        let number = self.head().number + 1;
        let time = time.max(self.head().time + 1);
        let mut mined: Vec<Mined> = Vec::new();
        loop {
            let mut took = false;
            let mut rest = Vec::new();
            for tx in std::mem::take(&mut self.pool) {
                match self.try_out(&tx, time, &mined, dice) {
                    Fate::Mined(success) if took || dice.percent(chance) => {
                        took = true;
                        let gas_used = if success {
                            dice.between(30_000, 60_000)
                        } else {
                            dice.between(21_000, 30_000)
                        };
                        let most = match &tx.deed {
                            Deed::Ours { order, .. } => order.max_fee.to::<u128>(),
                            Deed::Settle { .. } => 1,
                        };
                        let price = most - most * u128::from(dice.below(50)) / 100;
                        mined.push(Mined { tx, success, gas_used, price });
                    }
                    Fate::Gone => {}
                    _ => rest.push(tx),
                }
            }
            self.pool = rest;
            if !took {
                break;
            }
        }
        self.highest = self.highest.max(number);
        self.blocks.push(Rc::new(Block { number, hash: dice.hash(), time, mined }));
    }

    fn try_out(&self, tx: &Tx, time: u64, beside: &[Mined], dice: &mut Dice) -> Fate {
        let used = |of| {
            used(&self.blocks, of)
                || beside.iter().any(|it| it.success && touches(&it.tx.deed) == Some(of))
        };
        match &tx.deed {
            Deed::Ours { order, .. } => {
                let beside =
                    beside.iter().filter(|it| sender(&it.tx.deed) == Some(order.from)).count()
                        as u64;
                let next = self.count(order.from) + beside;
                if order.nonce < next {
                    return Fate::Gone;
                }
                if order.nonce > next {
                    return Fate::Waits;
                }
                let taken = touches(&tx.deed).is_some_and(used);
                Fate::Mined(!taken && !dice.percent(12))
            }
            Deed::Settle { from, nonce, valid_before } => {
                if used((*from, *nonce)) || time >= *valid_before {
                    return Fate::Gone;
                }
                Fate::Mined(true)
            }
        }
    }

    /// Takes the newest blocks back. What they carried returns to the pool, or is lost; new blocks
    /// take their place, some with what waited meanwhile.
    pub(crate) fn reorganise(&mut self, depth: u64, now: u64, dice: &mut Dice) {
        // One after another, none of them may reach below what was final: a new branch can be
        // shorter than the one it replaces.
        let depth = depth.min((self.head().number + DEPTH).saturating_sub(self.highest));
        if depth == 0 {
            return;
        }
        let keep = self.blocks.len() - usize::try_from(depth).unwrap();
        self.orphaned = Some(self.blocks.clone());
        let dropped = self.blocks.split_off(keep);
        for block in dropped {
            for it in &block.mined {
                if !dice.percent(25) {
                    self.pool.push(it.tx.clone());
                }
            }
        }
        let new = dice.between(1, depth + 1);
        for left in (0..new).rev() {
            let time = now.saturating_sub(left * SPACING);
            let chance = dice.one(&[0, 40, 100]);
            self.mine(time, chance, dice);
        }
    }

    /// Loses some of what waits.
    pub(crate) fn forget(&mut self, dice: &mut Dice) {
        self.pool.retain(|_| !dice.percent(60));
    }

    pub(crate) fn find(&self, hash: B256) -> Option<(&Block, &Mined)> {
        find(&self.blocks, hash)
    }

    pub(crate) fn settled(&self, from: Address, nonce: B256) -> Option<(&Block, &Mined)> {
        settled(&self.blocks, from, nonce)
    }

    pub(crate) fn cancelled(&self, from: Address, nonce: B256) -> Option<(&Block, &Mined)> {
        cancelled(&self.blocks, from, nonce)
    }

    pub(crate) fn count(&self, of: Address) -> u64 {
        count(&self.blocks, of)
    }
}

enum Fate {
    Mined(bool),
    Waits,
    Gone,
}

fn sender(deed: &Deed) -> Option<Address> {
    match deed {
        Deed::Ours { order, .. } => Some(order.from),
        Deed::Settle { .. } => None,
    }
}

fn settles(deed: &Deed) -> Option<(Address, B256)> {
    match deed {
        Deed::Ours { call: Some(Call::Settle(of)), .. } => Some(*of),
        Deed::Ours { .. } => None,
        Deed::Settle { from, nonce, .. } => Some((*from, *nonce)),
    }
}

fn cancels(deed: &Deed) -> Option<(Address, B256)> {
    match deed {
        Deed::Ours { call: Some(Call::Cancel(of)), .. } => Some(*of),
        _ => None,
    }
}

/// The authorisation that is used up by it, one way or the other.
fn touches(deed: &Deed) -> Option<(Address, B256)> {
    settles(deed).or_else(|| cancels(deed))
}

fn find(blocks: &[Rc<Block>], hash: B256) -> Option<(&Block, &Mined)> {
    let all =
        blocks.iter().rev().flat_map(|block| block.mined.iter().map(move |it| (&**block, it)));
    all.into_iter().find(|(_, it)| it.tx.hash == hash)
}

fn settled(blocks: &[Rc<Block>], from: Address, nonce: B256) -> Option<(&Block, &Mined)> {
    carried(blocks, |deed| settles(deed) == Some((from, nonce)))
}

fn cancelled(blocks: &[Rc<Block>], from: Address, nonce: B256) -> Option<(&Block, &Mined)> {
    carried(blocks, |deed| cancels(deed) == Some((from, nonce)))
}

fn used(blocks: &[Rc<Block>], of: (Address, B256)) -> bool {
    carried(blocks, |deed| touches(deed) == Some(of)).is_some()
}

/// The newest success of such a deed.
fn carried(blocks: &[Rc<Block>], such: impl Fn(&Deed) -> bool) -> Option<(&Block, &Mined)> {
    let mut all =
        blocks.iter().rev().flat_map(|block| block.mined.iter().map(move |it| (&**block, it)));
    all.find(|(_, it)| it.success && such(&it.tx.deed))
}

fn count(blocks: &[Rc<Block>], of: Address) -> u64 {
    let all = blocks.iter().flat_map(|block| &block.mined);
    all.filter(|it| sender(&it.tx.deed) == Some(of)).count() as u64
}

/// What a question gets for an answer where the node does not answer.
#[derive(Debug)]
pub(crate) struct Silent;

/// Somebody who answers for the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// So many blocks behind at most, another number for each question.
    pub(crate) lag: u64,
    /// How often it does not answer, of a hundred.
    pub(crate) silent: u64,
    pub(crate) lies: bool,
}

impl Node {
    /// The chain as it answers this question.
    fn view<'a>(&self, chain: &'a Chain, dice: &mut Dice) -> Result<&'a [Rc<Block>], Silent> {
        if dice.percent(self.silent) {
            return Err(Silent);
        }
        // Soon after a reorganisation a node may not have heard of it.
        if self.lag > 0
            && let Some(old) = &chain.orphaned
            && chain.head().number < old.last().unwrap().number + 3
            && dice.percent(30)
        {
            return Ok(old);
        }
        let behind = if dice.percent(50) { dice.below(self.lag + 1) } else { 0 };
        let end = chain.blocks.len() - usize::try_from(behind).unwrap().min(chain.blocks.len() - 1);
        Ok(&chain.blocks[..end])
    }

    pub(crate) fn lie(&self, dice: &mut Dice) -> bool {
        self.lies && dice.percent(70)
    }

    pub(crate) fn newest(&self, chain: &Chain, dice: &mut Dice) -> Result<Head, Silent> {
        Ok(head(self.view(chain, dice)?.last().unwrap()))
    }

    pub(crate) fn last(&self, chain: &Chain, deep: u64, dice: &mut Dice) -> Result<Head, Silent> {
        let view = self.view(chain, dice)?;
        let at = view.len().saturating_sub(1 + usize::try_from(deep).unwrap());
        let mut last = head(&view[at]);
        if self.lie(dice) {
            last.number += 1_000;
            last.timestamp += dice.one(&[0, 1_000, 1_000_000]);
        }
        Ok(last)
    }

    pub(crate) fn receipt(
        &self,
        chain: &Chain,
        hash: B256,
        dice: &mut Dice,
    ) -> Result<Option<Receipt>, Silent> {
        let view = self.view(chain, dice)?;
        let found = find(view, hash).map(|(block, it)| receipt(block, it));
        if !self.lie(dice) {
            return Ok(found);
        }
        Ok(match dice.below(4) {
            0 => None,
            // It failed, or did not; it cost nothing, or a fortune.
            n => {
                let block = view.last().unwrap();
                let it = found.unwrap_or(Receipt {
                    transaction: hash,
                    block_number: block.number,
                    block_hash: block.hash,
                    success: true,
                    gas_used: 0,
                    effective_gas_price: 0,
                    contract_address: None,
                    logs: Vec::new(),
                });
                let gas_used = dice.one(&[1, 10_000_000]);
                Some(Receipt {
                    success: n == 1,
                    gas_used,
                    effective_gas_price: 1_000_000_000,
                    ..it
                })
            }
        })
    }

    pub(crate) fn count(&self, chain: &Chain, of: Address, dice: &mut Dice) -> Result<u64, Silent> {
        Ok(count(self.view(chain, dice)?, of))
    }

    /// Whether an authorisation is used or cancelled, as of a block or of the newest.
    pub(crate) fn used(
        &self,
        chain: &Chain,
        of: (Address, B256),
        at: Option<u64>,
        dice: &mut Dice,
    ) -> Result<bool, Silent> {
        let mut view = self.view(chain, dice)?;
        if self.lie(dice) {
            return Ok(dice.percent(20));
        }
        if let Some(at) = at {
            // A node that has not got so far refuses.
            let end = view.iter().position(|block| block.number == at).ok_or(Silent)?;
            view = &view[..=end];
        }
        Ok(used(view, of))
    }

    /// The transaction that settled an authorisation, at this block or later.
    pub(crate) fn used_in(
        &self,
        chain: &Chain,
        (from, nonce): (Address, B256),
        since: u64,
        dice: &mut Dice,
    ) -> Result<Option<B256>, Silent> {
        let found = settled(self.view(chain, dice)?, from, nonce);
        Ok(found.filter(|(block, _)| block.number >= since).map(|(_, it)| it.tx.hash))
    }

    /// The transaction that cancelled an authorisation, at this block or later.
    pub(crate) fn cancelled_in(
        &self,
        chain: &Chain,
        (from, nonce): (Address, B256),
        since: u64,
        dice: &mut Dice,
    ) -> Result<Option<B256>, Silent> {
        let found = cancelled(self.view(chain, dice)?, from, nonce);
        let found = found.filter(|(block, _)| block.number >= since).map(|(_, it)| it.tx.hash);
        // A liar has one for every authorisation that is out.
        Ok(if self.lie(dice) { found.or(Some(nonce)) } else { found })
    }
}

fn head(block: &Block) -> Head {
    Head { number: block.number, hash: block.hash, timestamp: block.time }
}

fn receipt(block: &Block, it: &Mined) -> Receipt {
    Receipt {
        transaction: it.tx.hash,
        block_number: block.number,
        block_hash: block.hash,
        success: it.success,
        gas_used: it.gas_used,
        effective_gas_price: it.price,
        contract_address: None,
        logs: Vec::new(),
    }
}

/// The authorisations that are out: their payees settle them when they like.
#[derive(Debug, Default)]
pub(crate) struct Out(pub(crate) BTreeMap<B256, AuthorisationOrder>);
