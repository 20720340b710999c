//! Policies at random. Most are generous, because cases that are refused anyway prove little.

use super::*;

impl Sketch {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        // Where every amount is tight, everything is refused.
        let tight = dice.percent(15);
        let coins = |dice: &mut Dice, usdc, others| {
            [usdc, others, others].map(|chance| dice.percent(chance).then(|| seven(dice, tight)))
        };
        let agent = Account { limits: coins(dice, 97, 88), eth_is_gas: dice.percent(50) };
        let owner = Account { limits: coins(dice, 40, 30), eth_is_gas: dice.percent(50) };
        let task = coins(dice, 30, 15);
        let split = dice.percent(50);
        let eurt_apart = split && owner.limits[1].is_none() && dice.percent(50);
        let registry = dice.percent(85);
        let pool = |dice: &mut Dice| SketchPool {
            limits: seven(dice, tight),
            peer_day: dice.percent(40).then(|| amount(dice, tight)),
            peer_total: dice.percent(40).then(|| amount(dice, tight)),
        };
        let pools = [50, 15, 15].map(|chance| dice.percent(chance).then(|| pool(dice)));
        let mut categories = Vec::new();
        for name in CATEGORIES {
            if dice.percent(45) {
                let coin = coin(dice);
                let limits = seven(dice, tight);
                categories.push(SketchCategory { name, coin, limits, shared: dice.percent(50) });
            }
        }
        let mut payees = Vec::new();
        for (name, chance) in [("a", 95), ("b", 75), ("c", 30)] {
            if dice.percent(chance) {
                payees.push(payee(dice, name, registry, tight));
            }
        }
        let mut tools = Vec::new();
        for (name, chance) in [("fetch", 85), ("post", 30)] {
            if dice.percent(chance) {
                tools.push(tool(dice, name));
            }
        }
        let mut subs = Vec::new();
        for (name, chance) in [("helper", 60), ("runner", 15)] {
            if dice.percent(chance) {
                let some = |dice: &mut Dice, names: Vec<&'static str>| {
                    names.into_iter().filter(|_| dice.percent(80)).collect::<Vec<_>>()
                };
                let payees = some(dice, payees.iter().map(|payee| payee.name).collect());
                let tools = some(dice, tools.iter().map(|tool| tool.name).collect());
                let account = Account { limits: coins(dice, 92, 80), eth_is_gas: dice.percent(50) };
                subs.push(SketchSub { name, payees, tools, account });
            }
        }
        let facilitator = Coin::ALL.into_iter().take(2).filter(|_| dice.percent(20)).collect();
        let income = Coin::ALL.into_iter().take(2).filter(|_| dice.percent(60)).collect();
        let floats = [40, 30, 15]
            .map(|chance| dice.percent(chance).then(|| (amount(dice, tight), amount(dice, tight))));
        let mut sketch = Self {
            split,
            eurt_apart,
            domain: dice.percent(92),
            registry,
            expires: dice
                .percent(25)
                .then(|| if dice.percent(60) { FAR } else { NOW + dice.below(14) * (DAY / 2) }),
            times: spans(dice, 25),
            labels: four(dice, 30),
            valid: dice.percent(40).then(|| *dice.pick(&[60, 3_600, 86_400])),
            agent,
            owner,
            task,
            pools,
            floats,
            categories,
            payees,
            tools,
            subs,
            income,
            facilitator,
            forbids: Vec::new(),
        };
        if dice.percent(35) {
            for at in 0..=dice.below(3) {
                let forbid = Forbid::random(dice, at);
                if forbid.fits(&sketch) {
                    sketch.forbids.push(forbid);
                }
            }
        }
        sketch
    }
}

fn amount(dice: &mut Dice, tight: bool) -> u8 {
    let range = match (tight, dice.below(8)) {
        (true, _) => 0..20,
        (false, 0) => 0..10,
        (false, _) => 20..90,
    };
    range.start + dice.below(u64::from(range.end - range.start)) as u8
}

/// At least one limit that every section can have.
pub(crate) fn seven(dice: &mut Dice, tight: bool) -> Seven {
    let mut limits =
        [45, 30, 50, 25, 25, 0, 0].map(|chance| dice.percent(chance).then(|| amount(dice, tight)));
    limits[5] = dice.percent(20).then(|| dice.below(6) as u8);
    limits[6] = dice.percent(25).then(|| dice.below(25) as u8);
    if limits[1..5].iter().all(Option::is_none) {
        limits[2] = Some(amount(dice, tight));
    }
    limits
}

fn coin(dice: &mut Dice) -> Coin {
    *dice.pick(&[Coin::Usdc, Coin::Usdc, Coin::Usdc, Coin::Usdc, Coin::Eurt, Coin::Eth])
}

fn four(dice: &mut Dice, chance: u64) -> Four {
    if dice.percent(chance) {
        [(); 4].map(|()| dice.percent(40).then(|| dice.percent(50)))
    } else {
        [None; 4]
    }
}

fn spans(dice: &mut Dice, chance: u64) -> Vec<Week> {
    let mut spans = Vec::new();
    if dice.percent(chance) {
        for _ in 0..=dice.below(2) {
            let (first, last) = if dice.percent(75) {
                *dice.pick(&[(0, 4), (0, 6), (0, 6), (4, 2)])
            } else {
                (dice.below(7), dice.below(7))
            };
            let from = dice.below(1_440);
            let (from, until) = if dice.percent(75) {
                *dice.pick(&[(0, 1_440), (0, 1_440), (120, 1_320), (1_080, 840)])
            } else {
                (from, (from + 1 + dice.below(1_439)) % 1_440)
            };
            let offset = *dice.pick(&[0, 0, 60, -210, 840]);
            let span = Week { first, last, from, until, offset };
            if !spans.contains(&span) {
                spans.push(span);
            }
        }
    }
    spans
}

fn payee(dice: &mut Dice, name: &'static str, registry: bool, tight: bool) -> SketchPayee {
    let address = *dice.pick(&[FEED, FEED, MUSCLE, MUSCLE, STRANGER, AGENT]);
    let place = match dice.below(10) {
        0..2 if registry => Place::Identity(address),
        2..4 => Place::Host,
        _ => Place::Address(address),
    };
    let host = (place == Place::Host || dice.percent(60)).then(|| *dice.pick(&HOSTS[..3]));
    SketchPayee {
        name,
        place,
        host,
        category: dice.percent(45).then(|| *dice.pick(&CATEGORIES)),
        bound: dice.percent(45).then(|| (coin(dice), seven(dice, tight))),
        times: spans(dice, 15),
        shared: dice.percent(50),
    }
}

fn tool(dice: &mut Dice, name: &'static str) -> SketchTool {
    let mut hosts: Vec<_> = PATTERNS.to_vec();
    hosts.retain(|_| dice.percent(60));
    let mut methods = if dice.percent(50) { vec!["GET", "POST"] } else { Vec::new() };
    methods.retain(|_| dice.percent(60));
    let mut arguments = Vec::new();
    for name in ["city", "count"] {
        if dice.percent(25) {
            arguments.push((name, demand(dice)));
        }
    }
    SketchTool {
        name,
        hosts,
        methods,
        rate: dice.percent(40).then(|| 1 + dice.below(4) as u8),
        sends: dice.percent(40).then(|| 1 + dice.below(30) as u8),
        times: spans(dice, 15),
        labels: four(dice, 30),
        arguments,
    }
}

fn demand(dice: &mut Dice) -> Demand {
    let text = |text: &str| Argument::Text(text.to_owned());
    match dice.below(6) {
        0 => Demand::OneOf(vec![text("Berlin"), text("/p/x")]),
        1 => Demand::OneOf(vec![Argument::Integer(3), Argument::Integer(-2)]),
        2 => Demand::OneOf(vec![Argument::Flag(true)]),
        3 | 4 => {
            let starts = dice.percent(70).then_some("/p/");
            let longest = (starts.is_none() || dice.percent(50)).then(|| 3 + dice.below(6) as u8);
            Demand::Text { starts, longest }
        }
        _ => {
            let least = dice.percent(60).then(|| dice.below(6) as i8 - 3);
            let most = (least.is_none() || dice.percent(50)).then(|| 3 + dice.below(6) as i8);
            Demand::Number { least, most }
        }
    }
}
