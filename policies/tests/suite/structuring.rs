//! A robber that splits: it knows the whole policy, asks the engine as often as it likes, waits to
//! the millisecond until money leaves a window, invents peers and tasks, and acts through
//! sub-agents. The owner sleeps, so what is held never goes through. Whatever it tries, it gets no
//! more than the bound that follows from the figures alone, and its best attempt comes close to it.
//!
//! The figures are printed. By default the best way lasts 30 days and the others three;
//! `MARQUE_CASES` asks for 30 days of each, and for so many robberies at random.

use crate::support::*;
use alloy_primitives::Address;
use marque_policies::{
    Decision, Intent, Policy, Request, decide,
    document::{DAY, DAYS30, HOUR},
};

/// How long a robbery lasts at most: so many days, the end not included.
const DAYS: u64 = 30;
const CENT: u64 = 10_000;

/// Limits of one section, in cents.
#[derive(Clone, Copy, Default)]
struct Cap {
    payment: Option<u64>,
    hour: Option<u64>,
    day: Option<u64>,
    days30: Option<u64>,
    total: Option<u64>,
}

impl Cap {
    /// The most that gets through in so many days, of `inside` that would get there.
    ///
    /// A window that ends just before each multiple of its width covers them all, so `n` days hold
    /// at most `n` times what a day may hold.
    fn over(self, days: u64, inside: u64) -> u64 {
        let hour = self.hour.map(|limit| limit * 24 * days);
        let day = self.day.map(|limit| limit * days);
        let days30 = self.days30.map(|limit| limit * days.div_ceil(30));
        [hour, day, days30, self.total].into_iter().flatten().fold(inside, u64::min)
    }

    fn text(self) -> String {
        let kinds = [
            ("payment", self.payment),
            ("hour", self.hour),
            ("day", self.day),
            ("days30", self.days30),
            ("total", self.total),
        ];
        let lines = kinds.into_iter().filter_map(|(kind, limit)| {
            limit.map(|limit| format!("{kind} = \"{} USDC\"\n", cents(limit)))
        });
        lines.collect()
    }
}

fn cents(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The figures of one policy.
#[derive(Clone, Copy)]
struct House {
    name: &'static str,
    agent: Cap,
    ask_above: Option<u64>,
    ask_above_day: Option<u64>,
    /// `feed` stands alone, `lab` and `mill` in one category.
    payees: [Cap; 3],
    category: Option<Cap>,
    pool: Option<Cap>,
    peer_day: Option<u64>,
}

const PAYEES: [(&str, Address); 3] =
    [("feed", FEED), ("lab", MUSCLE), ("mill", Address::repeat_byte(0x11))];

impl House {
    fn text(&self) -> String {
        let mut text = format!("{GROUND}\n[limits.USDC]\n{}", self.agent.text());
        let asks = [("ask_above", self.ask_above), ("ask_above_day", self.ask_above_day)];
        for (kind, limit) in asks {
            if let Some(limit) = limit {
                text += &format!("{kind} = \"{}\"\n", cents(limit));
            }
        }
        for ((name, address), cap) in PAYEES.into_iter().zip(self.payees) {
            let category = if name == "feed" { "data" } else { "compute" };
            text += &format!("\n[[payee]]\nname = \"{name}\"\naddress = \"{address}\"\n");
            text += &format!("category = \"{category}\"\n{}", cap.text());
        }
        if let Some(cap) = self.category {
            text += &format!("\n[category.compute]\n{}", cap.text());
        }
        if let Some(cap) = self.pool {
            text += &format!("\n[pool.USDC]\n{}", cap.text());
            if let Some(limit) = self.peer_day {
                text += &format!("peer_day = \"{}\"\n", cents(limit));
            }
        }
        text += "\n[task.limits.USDC]\ntotal = \"0.50\"\n";
        text += "\n[sub_agent.helper]\npayees = [\"feed\", \"lab\", \"mill\"]\n";
        text + "\n[sub_agent.helper.limits.USDC]\nday = \"1.00\"\n"
    }

    /// The most that leaves in so many days without the owner. Tasks and peers are free to mint,
    /// and sub-agents only narrow, so neither counts.
    fn bound(&self, days: u64) -> u64 {
        let asked = Cap { day: self.ask_above_day, ..Cap::default() };
        let payee = |cap: Cap| asked.over(days, cap.over(days, u64::MAX));
        let [feed, lab, mill] = self.payees.map(payee);
        let compute = lab.saturating_add(mill);
        let compute = self.category.map_or(compute, |cap| cap.over(days, compute));
        let pool = self.pool.map_or(0, |cap| cap.over(days, u64::MAX));
        self.agent.over(days, feed.saturating_add(compute).saturating_add(pool))
    }
}

const HOUSES: [House; 3] = [
    // What a ready-made policy may look like: the asks bind every payee.
    House {
        name: "trader",
        agent: Cap {
            payment: Some(100),
            hour: Some(300),
            day: Some(1_000),
            days30: Some(20_000),
            total: Some(30_000),
        },
        ask_above: Some(50),
        ask_above_day: Some(200),
        payees: [
            Cap { day: Some(250), payment: None, hour: None, days30: None, total: None },
            Cap { day: None, payment: None, hour: None, days30: None, total: None },
            Cap { day: None, payment: None, hour: None, days30: None, total: None },
        ],
        category: Some(Cap {
            day: Some(300),
            payment: None,
            hour: None,
            days30: None,
            total: None,
        }),
        pool: Some(Cap {
            payment: Some(5),
            day: Some(30),
            total: Some(500),
            hour: None,
            days30: None,
        }),
        peer_day: Some(10),
    },
    // The windows of the agent bind.
    House {
        name: "windows",
        agent: Cap {
            payment: Some(60),
            hour: Some(60),
            day: Some(250),
            days30: Some(5_000),
            total: None,
        },
        ask_above: Some(50),
        ask_above_day: Some(200),
        payees: [Cap { payment: None, hour: None, day: None, days30: None, total: None }; 3],
        category: None,
        pool: None,
        peer_day: None,
    },
    // Only strangers: the pool binds, whatever a single one may get.
    House {
        name: "strangers",
        agent: Cap { payment: None, hour: None, day: Some(2_000), days30: None, total: None },
        ask_above: None,
        ask_above_day: Some(1),
        payees: [Cap { payment: None, hour: None, day: None, days30: None, total: Some(10) }; 3],
        category: None,
        pool: Some(Cap {
            payment: Some(5),
            day: Some(40),
            total: None,
            hour: Some(15),
            days30: Some(1_100),
        }),
        peer_day: None,
    },
];

/// A robbery under way.
struct Robbery<'a> {
    policy: &'a Policy,
    book: Book,
    now: u64,
    end: u64,
    /// In cents.
    loot: u64,
    /// Peers and tasks minted so far.
    minted: u64,
    /// Sub-agent for the next attempts.
    helper: bool,
}

/// Whom to pay: one of the payees, or a peer made up for the purpose.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Payee(usize),
    NewPeer,
    OldPeer,
}

const MARKS: [Mark; 5] =
    [Mark::Payee(0), Mark::Payee(1), Mark::Payee(2), Mark::NewPeer, Mark::OldPeer];

impl<'a> Robbery<'a> {
    fn new(policy: &'a Policy, days: u64) -> Self {
        let end = NOW + days * DAY;
        Self { policy, book: Book::default(), now: NOW, end, loot: 0, minted: 0, helper: false }
    }

    /// One payment; whether it went through.
    fn pay(&mut self, mark: Mark, cents: u64) -> bool {
        let (name, to, peer) = match mark {
            Mark::Payee(place) => (PAYEES[place].0.to_owned(), PAYEES[place].1, false),
            Mark::NewPeer | Mark::OldPeer => {
                let fresh = self.minted + u64::from(matches!(mark, Mark::NewPeer));
                let to = Address::left_padding_from(&(0xbad_0000 + fresh).to_be_bytes());
                (format!("peer-{fresh}"), to, true)
            }
        };
        let money = usdc(cents * CENT);
        let intent = Intent::Authorise(pay(&name, to, money));
        // A task of its own for every payment: minting one costs nothing.
        let task = format!("task-{}", self.book.debits.len());
        let request = Request {
            agent: "scout",
            sub_agent: self.helper.then_some("helper"),
            task: &task,
            intent: &intent,
            gas: None,
        };
        let verdict = decide(self.policy, &request, &self.book, self.now);
        if verdict.decision() != Decision::Allow {
            return false;
        }
        let mut debit = Debit::new(to, money, self.now);
        if self.helper {
            debit = debit.of_sub_agent("helper");
        }
        if peer {
            debit = debit.paid_from_pool();
            self.minted += u64::from(matches!(mark, Mark::NewPeer));
        }
        self.book.debits.push(debit);
        self.loot += cents;
        true
    }

    /// Pays with each of these amounts as often as it goes.
    fn drain(&mut self, marks: &[Mark], amounts: &[u64]) {
        for mark in marks {
            for amount in amounts {
                while self.pay(*mark, *amount) {}
            }
        }
    }

    /// Waits until the next payment leaves a window, exactly.
    fn wait_for_a_window(&mut self) {
        let leaves = |debit: &Debit| [HOUR, DAY, DAYS30].map(|width| debit.at + width);
        let next = self.book.debits.iter().flat_map(leaves).filter(|at| *at > self.now).min();
        self.now = next.unwrap_or(self.end);
    }

    fn wait(&mut self, for_: u64) {
        self.now += for_;
    }

    fn goes_on(&self) -> bool {
        self.now < self.end
    }
}

/// From the largest that may pass unasked to the last cent.
const LADDER: [u64; 6] = [60, 50, 25, 5, 2, 1];

type Strategy = (&'static str, fn(&mut Robbery<'_>));

const STRATEGIES: [Strategy; 8] = [
    ("as much as ever goes, when a window opens", |r| {
        while r.goes_on() {
            r.drain(&MARKS, &LADDER);
            r.wait_for_a_window();
        }
    }),
    ("strangers first", |r| {
        while r.goes_on() {
            r.drain(&[Mark::NewPeer, Mark::OldPeer], &[5, 2, 1]);
            r.drain(&MARKS, &LADDER);
            r.wait_for_a_window();
        }
    }),
    ("just below what is asked", |r| {
        while r.goes_on() {
            r.drain(&MARKS, &[49, 4]);
            r.wait_for_a_window();
        }
    }),
    ("once a day, to the millisecond", |r| {
        while r.goes_on() {
            r.drain(&MARKS, &LADDER);
            r.wait(DAY);
        }
    }),
    ("every hour, to the millisecond", |r| {
        while r.goes_on() {
            r.drain(&MARKS, &[15, 5]);
            r.wait(HOUR);
        }
    }),
    ("around the end of each day", |r| {
        r.wait(DAY - 1);
        while r.goes_on() {
            r.drain(&MARKS, &LADDER);
            r.wait(1);
            r.drain(&MARKS, &LADDER);
            r.wait(DAY - 1);
        }
    }),
    ("through the helper, then itself", |r| {
        while r.goes_on() {
            r.helper = true;
            r.drain(&MARKS, &LADDER);
            r.helper = false;
            r.drain(&MARKS, &LADDER);
            r.wait_for_a_window();
        }
    }),
    ("one cent at a time, from one to the next", |r| {
        while r.goes_on() {
            let mut any = true;
            while any {
                any = MARKS.iter().fold(false, |any, mark| r.pay(*mark, 1) | any);
            }
            r.wait(DAY);
        }
    }),
];

/// The most in any window of this width.
fn worst(book: &Book, width: u64, counts: impl Fn(&Debit) -> bool) -> u64 {
    let mut debits: Vec<_> = book.debits.iter().filter(|debit| counts(debit)).collect();
    debits.sort_by_key(|debit| debit.at);
    let (mut sum, mut most, mut oldest) = (0, 0, 0);
    for debit in &debits {
        sum += debit.money.units.to::<u64>() / CENT;
        while debits[oldest].at + width <= debit.at {
            sum -= debits[oldest].money.units.to::<u64>() / CENT;
            oldest += 1;
        }
        most = most.max(sum);
    }
    most
}

/// What must hold of every robbery, measured on what left and not on what the engine says.
fn check(house: &House, book: &Book, days: u64, loot: u64) {
    assert!(loot <= house.bound(days), "{}: {loot} cents in {days} days", house.name);
    let all = |_: &Debit| true;
    assert!(worst(book, DAY, all) <= house.bound(1));
    assert!(house.agent.hour.is_none_or(|limit| worst(book, HOUR, all) <= limit));
    for (_, address) in PAYEES {
        let to = |debit: &Debit| debit.to == address;
        assert!(house.ask_above_day.is_none_or(|limit| worst(book, DAY, to) <= limit));
    }
    let pool = house.pool.and_then(|cap| cap.day).unwrap_or(0);
    assert!(worst(book, DAY, |debit| debit.pool) <= pool);
}

fn at_random(robbery: &mut Robbery<'_>, dice: &mut Dice) {
    let patience = *dice.pick(&[1, 4, 12]);
    while robbery.goes_on() {
        robbery.helper = dice.percent(15);
        for _ in 0..dice.below(30) {
            let (mark, amount) = (*dice.pick(&MARKS), *dice.pick(&LADDER));
            robbery.pay(mark, amount);
        }
        match dice.below(4) {
            0 => robbery.wait_for_a_window(),
            1 => robbery.wait(dice.below(patience * HOUR)),
            2 => robbery.wait(HOUR),
            _ => robbery.wait(DAY / 2 - dice.below(2)),
        }
    }
}

#[test]
fn a_mind_that_splits_its_payments_never_gets_beyond_the_bound() {
    let trials = Trials::new("structuring", 2);
    let short = if trials.full { DAYS } else { 3 };
    for house in HOUSES {
        let policy = policy(&house.text());
        let bound = house.bound(DAYS);
        eprintln!("{}: at most {} USDC in {DAYS} days", house.name, cents(bound));
        let mut best = 0;
        let mut rob = |how: &str, days: u64, way: &mut dyn FnMut(&mut Robbery<'_>)| {
            let mut robbery = Robbery::new(&policy, days);
            way(&mut robbery);
            let Robbery { book, loot, .. } = robbery;
            check(&house, &book, days, loot);
            let (loot_text, most, n) = (cents(loot), cents(house.bound(days)), book.debits.len());
            eprintln!("  {loot_text:>6} of {most:>6} in {days:2} days, {n:5} payments: {how}");
            best = best.max(loot);
        };
        for (place, (how, strategy)) in STRATEGIES.into_iter().enumerate() {
            rob(how, if place == 0 { DAYS } else { short }, &mut |robbery| strategy(robbery));
        }
        for case in 0..trials.cases.min(1_000) {
            let how = format!("at random, MARQUE_SEED={:x} case {case}", trials.seed);
            rob(&how, short, &mut |robbery| at_random(robbery, &mut trials.dice(case)));
        }
        assert!(best * 100 >= bound * 99, "the bound is not tight: {best} of {bound} cents");
    }
}

/// What `ask_above_day` is for: without it, a mind that stays below `ask_above` empties the windows.
#[test]
fn without_a_question_per_day_splitting_gets_a_payee_all_that_the_windows_hold() {
    let [house, ..] = HOUSES;
    let rob = |house: House| {
        let policy = policy(&house.text());
        let mut robbery = Robbery::new(&policy, 3);
        while robbery.goes_on() {
            robbery.drain(&[Mark::Payee(0)], &LADDER);
            robbery.wait_for_a_window();
        }
        robbery.loot
    };
    let [mut feed, lab, mill] = house.payees;
    feed.day = None;
    let house = House { payees: [feed, lab, mill], ..house };
    assert_eq!(rob(house), 3 * 200);
    assert_eq!(rob(House { ask_above_day: None, ..house }), 3 * 1_000);
}
