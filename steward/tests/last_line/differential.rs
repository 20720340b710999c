//! Two judges of the same payments: the steward's pure step, and the chain under what the same policy
//! is compiled to.
//!
//! Without a float the account pays: what the steward allows the chain accepts, in that block or a
//! later one, and what the steward refuses the chain refuses. With a float the key pays: a refill of
//! just what the key lacks is never refused where the steward allows the payment, however the float
//! was topped up before, and one base unit above what is left is. `MARQUE_CASES` says how many
//! policies, `MARQUE_SEED` repeats a run.

use crate::{
    dice::{Dice, number},
    estate::Estate,
    ledger::Ledger,
    rooms::{BEGIN, Room, delegate, dollar, policy, room, would_draw, written},
};
use alloy_primitives::Address;
use marque_contracts::delegation::Permission;

const DAY: u64 = 86_400;

/// Payments of one history.
const STEPS: u64 = 12;

/// Policies on one chain.
const ON_ONE_CHAIN: u64 = 200;

/// How often which answer was given.
#[derive(Debug, Default)]
struct Count {
    allowed: u64,
    refused: u64,
    refills: u64,
    topped: u64,
    beyond: u64,
}

#[test]
fn what_the_steward_allows_the_chain_accepts_and_what_it_refuses_the_chain_refuses() {
    let cases = number("MARQUE_CASES").unwrap_or(30);
    let seed = number("MARQUE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{cases} policies, MARQUE_SEED={seed} repeats them");
    let (mut estate, mut count, mut now) = (Estate::found(), Count::default(), BEGIN);
    for case in 0..cases {
        // A chain that remembers everything gets slow.
        if case > 0 && case % ON_ONE_CHAIN == 0 {
            (estate, now) = (Estate::found(), BEGIN);
        }
        let mut dice = Dice::new(seed.wrapping_add(case));
        now = run(&estate, &mut dice, now + 400 * DAY, &mut count);
    }
    println!("{count:?}");
    let Count { allowed, refused, refills, topped, beyond } = count;
    assert!([allowed, refused, refills, topped, beyond].iter().all(|n| *n > cases / 4));
}

/// A history; when it ended.
fn run(estate: &Estate, dice: &mut Dice, begin: u64, count: &mut Count) -> u64 {
    let own = limits(dice, true);
    let together = match dice.percent(30) {
        true => format!("[owner.limits.USD]\n{}", limits(dice, false)),
        false => String::new(),
    };
    let (bare, _) = policy(estate, &own, &together, None);
    let asset = dollar(estate);
    let payment = bare.limits[&asset].payment.map(|units| units.to::<u64>());
    let all = bare.owner_limits.get(&asset).and_then(|it| it.payment).map(|it| it.to::<u64>());
    let payments = room(&bare, asset, payment.into_iter().chain(all).min());
    let most = Room::new(bare.limits.get(&asset).into_iter(), payment).left(begin);
    let float = dice.percent(50).then(|| {
        let high = most + dice.below(40) + 1;
        (dice.below(high), high)
    });
    let (policy, text) = policy(estate, &own, &together, float);
    let permission = delegate(estate, &policy, begin);
    let whose = (estate.agent, estate.payee, asset);
    let ledger = Ledger::new((&policy, &text), whose, begin);
    let drawn = room(&policy, asset, float.map(|(_, high)| high).into_iter().chain(all).min());
    let mut history = History { estate, permission, ledger, payments, drawn, now: begin, key: 0 };
    for _ in 0..STEPS {
        history.step(dice, float.map(|(_, high)| high), count);
    }
    history.now
}

/// Limits with at least one window, in amounts that soon meet each other.
fn limits(dice: &mut Dice, own: bool) -> String {
    let mut lines = Vec::new();
    if dice.percent(50) {
        lines.push(format!("payment = \"{}\"", written(dice.between(5, 60))));
    }
    let windows = [("hour", 60), ("day", 90), ("days30", 160), ("total", 400)];
    // What all agents spend has one history on chain, which the next case finds.
    let windows = if own { &windows[..] } else { &windows[..3] };
    let kept: Vec<_> = windows.iter().filter(|_| dice.percent(50)).collect();
    let kept = if kept.is_empty() { vec![&windows[1]] } else { kept };
    for (name, most) in kept {
        let most = if own { *most } else { most * 2 };
        lines.push(format!("{name} = \"{}\"", written(dice.between(5, most))));
    }
    lines.join("\n")
}

struct History<'a> {
    estate: &'a Estate,
    permission: Permission,
    ledger: Ledger,
    /// What was paid, as the ledger should count it.
    payments: Room,
    /// What left the account.
    drawn: Room,
    now: u64,
    /// What the key holds.
    key: u64,
}

impl History<'_> {
    fn step(&mut self, dice: &mut Dice, high: Option<u64>, count: &mut Count) {
        self.now = moment(dice, &self.payments, self.now);
        let left = self.payments.left(self.now);
        let units = match dice.below(4) {
            0 => left.max(1),
            1 => left + 1,
            2 => dice.between(1, 5),
            _ => dice.between(1, 60),
        };
        let allowed = self.ledger.pay(units, self.now);
        assert_eq!(allowed.is_some(), units <= left, "{units} of {left} at {}", self.now);
        match allowed {
            Some(_) => count.allowed += 1,
            None => count.refused += 1,
        }
        // The block comes when it comes: the steward's clock may be ahead of it.
        let later = if allowed.is_some() { dice.below(16) } else { 0 };
        let block = self.now + later;
        match high {
            None => {
                let accepted = self.draw(self.estate.payee, units, block);
                assert_eq!(accepted, allowed.is_some(), "{units} of {left} at {}", self.now);
            }
            Some(high) if allowed.is_some() => self.refill(dice, (units, high), block, count),
            Some(_) => {}
        }
        let Some(id) = allowed else { return };
        self.payments.gone.push((block, units));
        self.ledger.settled(id, units, block);
        self.now = block;
    }

    /// The key pays `units`, and draws what it lacks, or as much as there is room for.
    fn refill(
        &mut self,
        dice: &mut Dice,
        (units, high): (u64, u64),
        block: u64,
        count: &mut Count,
    ) {
        let need = units.saturating_sub(self.key);
        let room = self.drawn.left(block);
        assert!(need <= room, "{need} is lacking, and the chain has room for {room}");
        let full = (high - self.key.min(high)).min(room);
        if need > 0 || (dice.percent(30) && full > 0) {
            // One unit above what is left is refused, in a block of the same second.
            if room < high && dice.percent(50) {
                assert!(!self.would_draw(room + 1, block), "{} of {room}", room + 1);
                assert!(room == 0 || self.would_draw(room, block), "{room} of {room}");
                count.beyond += 1;
            }
            let amount = if dice.percent(50) { full.max(need) } else { need.max(1).min(room) };
            if amount > 0 {
                let accepted = self.draw(self.estate.agent, amount, block);
                assert!(accepted, "{amount} of {room}, {need} are lacking");
                count.refills += 1;
                count.topped += u64::from(amount > need);
                self.key += amount;
            }
        }
        self.key -= units;
    }

    /// Whether the chain gives `to` so much in a block of this time; where it does, it counts.
    fn draw(&mut self, to: Address, units: u64, block: u64) -> bool {
        self.estate.chain.next_block_at(block);
        let transfer = self.estate.transfer(to, units);
        let accepted = self.estate.redeem(&self.permission, &transfer).succeeded;
        assert_eq!(self.estate.chain.now(), block);
        if accepted {
            self.drawn.gone.push((block, units));
        }
        accepted
    }

    /// Whether it would in a block of this time.
    fn would_draw(&self, units: u64, block: u64) -> bool {
        would_draw(self.estate, &self.permission, units, block)
    }
}

/// Soon, or about the edge of a window after some payment; never in the second of the last block.
fn moment(dice: &mut Dice, payments: &Room, now: u64) -> u64 {
    let width = dice.one(&[3_600, DAY, 30 * DAY]);
    let since = match payments.gone.is_empty() {
        true => now,
        false => payments.gone[dice.index(payments.gone.len())].0,
    };
    let at = match dice.below(4) {
        0 => now + dice.between(1, 8),
        1 => now + dice.between(1, width + 1),
        _ => (since + width + dice.below(3)).saturating_sub(1),
    };
    at.max(now + 1)
}
