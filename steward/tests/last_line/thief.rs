//! A thief with the agent's key and every file of the host: what the account loses in the 30 days
//! that follow, by the best strategies that we know, beside the bound; and what after a revocation.
//!
//! `MARQUE_THIEVES` says how many policies are robbed, `MARQUE_SEED` repeats a run.

use crate::{
    dice::{Dice, number},
    estate::{DOLLAR, Estate, dollars},
    rooms::{BEGIN, Room, delegate, dollar, policy, room, would_draw, written},
};
use alloy_primitives::{Address, U256};
use marque_contracts::{
    IERC20, TestDollar,
    delegation::{Delegation, Execution, Permission, RollingSpend, Terms as _, redeem, revoke},
    permit2::IERC20Approve,
};
use marque_identity::account::bounds;
use marque_policies::Policy;

const DAY: u64 = 86_400;
const MONTH: u64 = 30 * DAY;

/// The policies that are always robbed: a usual one, one that only a day limits, one that all agents'
/// limits bind, and one with a total.
const POLICIES: [(&str, &str, (u64, u64)); 4] = [
    ("payment = \"1\"\nhour = \"3\"\nday = \"10\"\ndays30 = \"100\"", "", (1, 5)),
    ("day = \"10\"", "", (1, 10)),
    ("hour = \"3\"\nday = \"10\"", "[owner.limits.USD]\nday = \"4\"\ndays30 = \"50\"", (1, 5)),
    ("day = \"10\"\ntotal = \"45\"", "", (2, 20)),
];

/// When a thief draws, and how much of what there is.
#[derive(Clone, Copy, Debug)]
enum Strategy {
    /// All there is, at once, and again at the very second at which any of it comes free.
    Greedy,
    /// As greedy, but first at the last second before the periods of a calendar day turn.
    Midnight,
    /// A full day's limit at the end of a day, and the next at its first second.
    Seam,
    /// Little, at any time.
    Dust,
}

const STRATEGIES: [Strategy; 4] =
    [Strategy::Greedy, Strategy::Midnight, Strategy::Seam, Strategy::Dust];

#[test]
fn a_thief_of_the_whole_host_takes_the_float_and_the_window_and_nothing_after_a_revocation() {
    let seed = number("MARQUE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let more = number("MARQUE_THIEVES").unwrap_or(0);
    println!("{more} policies at random beside the planned ones, MARQUE_SEED={seed} repeats them");
    let estate = Estate::found();
    let mut dice = Dice::new(seed);
    let mut plans: Vec<(String, String, (u64, u64))> = POLICIES
        .iter()
        .map(|(own, all, (low, high))| {
            ((*own).to_owned(), (*all).to_owned(), (low * DOLLAR, high * DOLLAR))
        })
        .collect();
    plans.extend((0..more).map(|_| random(&mut dice)));
    let mut begin = BEGIN;
    for (own, together, float) in plans {
        let (policy, _) = policy(&estate, &own, &together, Some(float));
        let said = own.replace('\n', ", ");
        for strategy in STRATEGIES {
            begin += 1_000 * DAY;
            let taken = rob(&estate, &policy, float.1, strategy, &mut dice, begin);
            let bound = bounds(&policy)[0];
            let window: u64 = bound.days30.units.to();
            println!(
                "{said}: {strategy:?} took {} of at most {} (float {} + 30 days {})",
                written(taken),
                written(float.1 + window),
                written(float.1),
                written(window)
            );
            assert!(taken <= float.1 + window, "{strategy:?} beat the bound of {said}");
        }
    }
}

fn random(dice: &mut Dice) -> (String, String, (u64, u64)) {
    let hour = dice.between(1, 4) * DOLLAR;
    let day = hour * dice.between(2, 5);
    let month = day * dice.between(3, 20);
    let text = format!(
        "hour = \"{}\"\nday = \"{}\"\ndays30 = \"{}\"",
        written(hour),
        written(day),
        written(month)
    );
    (text, String::new(), (hour / 2, hour + dice.below(hour)))
}

/// Thirty days of it; what the thief has at the end.
fn rob(
    estate: &Estate,
    policy: &Policy,
    float: u64,
    strategy: Strategy,
    dice: &mut Dice,
    begin: u64,
) -> u64 {
    let permission = delegate(estate, policy, begin);
    // At the worst moment: the float is full, and nothing was drawn for a long time.
    for (to, value) in [(estate.agent, U256::from(float)), (estate.account, dollars(1_000))] {
        let mint = TestDollar::mintCall { to, value };
        assert!(estate.chain.transact(estate.owner, estate.token, mint).succeeded);
    }
    let begin = match strategy {
        Strategy::Midnight => begin / DAY * DAY + DAY - 4,
        _ => begin,
    };
    let mut thief = Thief { estate, permission, room: room(policy, dollar(estate), Some(float)) };
    thief.tries_all_else(begin - 100);
    let mut now = begin;
    while now < begin + MONTH {
        let left = thief.room.left(now);
        // The plan is made by a model of the limits; the chain gives not one unit more than that.
        assert!(!would_draw(estate, &thief.permission, left + 1, now), "more than {left} at {now}");
        let amount = match strategy {
            Strategy::Dust => dice.between(1, DOLLAR).min(left),
            Strategy::Seam
                if (now - begin) % DAY < DAY - 4 && thief.room.gone.len().is_multiple_of(2) =>
            {
                0
            }
            _ => left,
        };
        if amount > 0 {
            assert!(thief.draws(amount, now), "{strategy:?} plans badly: {amount} at {now}");
            now += 1;
            continue;
        }
        now = match strategy {
            Strategy::Dust => now + dice.between(1, DAY / 2),
            Strategy::Seam => {
                let turn = begin + ((now - begin) / DAY + 1) * DAY - 4;
                let edge = thief.room.next(now).unwrap_or(turn);
                if turn > now { turn.min(edge.max(now + 1)) } else { edge.max(now + 1) }
            }
            _ => match thief.room.next(now) {
                Some(next) => {
                    // Nor a second before anything comes free.
                    let left = thief.room.left(next - 1);
                    let early = would_draw(estate, &thief.permission, left + 1, next - 1);
                    assert!(!early, "more than {left} a second before {next}");
                    next
                }
                None => break,
            },
        };
    }
    let taken = thief.makes_off();
    let drawn: u64 = thief.room.total();
    assert_eq!(taken, float + drawn);

    // One transaction of the owner's ends it: nothing more, today or in a year.
    let leaf = &thief.permission.delegations().next().unwrap().delegation;
    let ends = revoke(&estate.framework, leaf);
    match leaf.delegator == estate.account {
        true => drop(estate.owner_does(&ends)),
        // Below the link of all agents it is the owner's own key that delegated.
        false => assert!(estate.send(estate.owner, ends.data).succeeded),
    }
    for later in [1, 3_600, DAY, MONTH, 360 * DAY] {
        assert!(!thief.draws(1, now + 100 + later), "after the revocation");
    }
    assert_eq!(thief.makes_off(), 0, "0 after it was revoked");
    taken
}

struct Thief<'a> {
    estate: &'a Estate,
    permission: Permission,
    room: Room,
}

impl Thief<'_> {
    /// Draws to the stolen key.
    fn draws(&mut self, units: u64, at: u64) -> bool {
        self.estate.chain.next_block_at(at);
        let transfer = self.estate.transfer(self.estate.agent, units);
        let succeeded = self.estate.redeem(&self.permission, &transfer).succeeded;
        if succeeded {
            self.room.gone.push((at, units));
        }
        succeeded
    }

    /// Everything that the key holds goes to the thief; how much that is.
    fn makes_off(&self) -> u64 {
        let (estate, token) = (self.estate, self.estate.token);
        let held =
            |account: Address| estate.chain.call(token, IERC20::balanceOfCall { account }).unwrap();
        let before = held(estate.stranger);
        let call = IERC20::transferCall { to: estate.stranger, value: held(estate.agent) };
        assert!(estate.chain.transact(estate.agent, token, call).succeeded);
        (held(estate.stranger) - before).to()
    }

    /// What else a thief might think of; none of it moves a cent.
    fn tries_all_else(&self, at: u64) {
        let estate = self.estate;
        let (permission, token) = (&self.permission, estate.token);
        estate.chain.next_block_at(at);
        let refused = |permission: &Permission, execution: &Execution| {
            let said = estate.answer(permission, execution);
            assert_ne!(said, "accepted", "{execution:?}");
        };
        // Whom the account does not pay, and what is no payment.
        refused(permission, &estate.transfer(estate.stranger, 1));
        refused(permission, &estate.transfer(estate.payee, 1));
        let approve =
            IERC20Approve::approveCall { spender: estate.stranger, value: dollars(1_000) };
        refused(permission, &Execution::call(token, &approve));
        refused(permission, &Execution::pay(estate.agent, U256::ONE));
        // More at once than is left, in parts.
        let left = self.room.left(at) / 2 + 1;
        let half = estate.transfer(estate.agent, left);
        let twice = redeem([(permission, &half), (permission, &half)]);
        assert_ne!(estate.answer_to(estate.agent, &twice), "accepted", "{left} twice");
        // A delegation of the thief's own: below what there is, looser, to another key; or from the
        // account, signed by the stolen key.
        let leaf = &permission.delegations().next().unwrap().delegation;
        let loose = RollingSpend::erc20(token).total(dollars(1_000)).build().unwrap();
        let below = Delegation::below(leaf, estate.helper).with(loose.caveat(&estate.framework));
        let handed_on = permission.handed_on(estate.sign(&below)).unwrap();
        refused(&handed_on, &estate.transfer(estate.agent, 1));
        let root = Delegation::root(estate.account, estate.agent);
        let forged = estate.sign_digest_of(&root, estate.agent);
        let forged = Permission::new([root.signed(forged)]).unwrap();
        refused(&forged, &estate.transfer(estate.agent, 1));
        // The same one with its caveats cut off, under the owner's signature.
        let signed = permission.delegations().next().unwrap();
        let mut bare = leaf.clone();
        bare.caveats.clear();
        let bare = bare.signed(signed.signature.clone());
        let above: Vec<_> = permission.delegations().skip(1).cloned().collect();
        let bare = Permission::new([bare].into_iter().chain(above)).unwrap();
        refused(&bare, &estate.transfer(estate.agent, 1));
    }
}
