//! Requests and pasts at random, most of them close to what a policy permits.

use super::*;
use alloy_primitives::U256;
use marque_policies::{
    IntentId, Label, Labels,
    intent::{
        AcceptWallet, Authorise, Cancel, Fetch, PermitTransfer, PermitVia, Settle, SettlePermit,
        Sweep, ToolUse, Transfer,
    },
};

impl Case {
    /// A request; most are brought close to what the policy permits, because cases that are
    /// refused anyway prove little.
    pub(crate) fn random(dice: &mut Dice, sketch: &Sketch) -> Self {
        let close = dice.percent(80);
        let now = moment(dice, sketch);
        let mut case = Self {
            intent: intent(dice, sketch, close),
            gas: gas(dice),
            sub_agent: dice.percent(28).then(|| dice.one(&SUBS)),
            task: dice.one(&TASKS),
            now,
            book: book(dice, sketch, now),
        };
        if close {
            case.come_close(dice, sketch);
        }
        if dice.percent(30) {
            let age = *dice.pick(&[0, 59_999, 60_000, 60_001, HOUR, HOUR + 1, DAY + 1]);
            case.book = std::mem::take(&mut case.book).approving_at(&case.intent, now - age);
        }
        case
    }

    fn come_close(&mut self, dice: &mut Dice, sketch: &Sketch) {
        self.gas = match self.intent {
            Intent::Authorise(_)
            | Intent::PermitTransfer(_)
            | Intent::Tool(_)
            | Intent::AcceptWallet(_) => None,
            _ => Some(wei(fee(dice))),
        };
        if self.sub_agent.is_some() {
            self.sub_agent = match sketch.subs.first() {
                Some(sub) if matches!(self.intent, Intent::Settle(_)) && dice.percent(20) => {
                    Some(sub.name)
                }
                Some(sub) => Some(sub.name),
                None => None,
            };
        }
        for payee in &sketch.payees {
            if let Place::Identity(wallet) = payee.place
                && dice.percent(90)
            {
                self.book = std::mem::take(&mut self.book).resolving(payee.name, OWNER, wallet);
            }
        }
        let payee = match &self.intent {
            Intent::Authorise(pay) => sketch.payee(&pay.payee),
            Intent::Transfer(pay) => sketch.payee(&pay.payee),
            Intent::PermitTransfer(pay) => sketch.payee(&pay.payee),
            _ => None,
        };
        let Some(payee) = payee else {
            let pool = Coin::ALL.into_iter().find(|coin| sketch.pools[*coin as usize].is_some());
            match (&mut self.intent, pool) {
                (Intent::Authorise(pay), Some(coin)) if coin != Coin::Eth => {
                    (pay.to, pay.amount.asset) = (PEER, coin.id());
                }
                (Intent::PermitTransfer(pay), Some(coin)) if coin != Coin::Eth => {
                    (pay.to, pay.amount.asset) = (PEER, coin.id());
                }
                (Intent::Transfer(pay), Some(coin)) => {
                    (pay.to, pay.amount.asset) = (PEER, coin.id());
                }
                _ => {}
            }
            return;
        };
        let pinned = payee.host.and_then(|host| self.book.pinned.get(&host.to_lowercase()));
        let address = match payee.place {
            Place::Address(address) | Place::Identity(address) => Some(address),
            Place::Host => pinned.copied(),
        };
        let coin = payee.bound.map(|(coin, _)| coin);
        match &mut self.intent {
            Intent::Authorise(Authorise { to, amount, host, .. })
            | Intent::PermitTransfer(PermitTransfer { to, amount, host, .. }) => {
                *to = address.unwrap_or(*to);
                amount.asset = coin.filter(|coin| *coin != Coin::Eth).unwrap_or(Coin::Usdc).id();
                payee.host.unwrap_or("gov").clone_into(host);
            }
            Intent::Transfer(pay) => {
                pay.to = address.unwrap_or(pay.to);
                pay.amount.asset = coin.unwrap_or(Coin::Usdc).id();
            }
            _ => {}
        }
    }
}

/// Within a week, often at an edge.
fn moment(dice: &mut Dice, sketch: &Sketch) -> u64 {
    match sketch.expires {
        Some(at) if at != FAR && dice.percent(30) => at.saturating_sub(dice.below(2)),
        Some(at) if at != FAR && dice.percent(50) => at.min(NOW + DAY) - 1,
        _ if dice.percent(50) => NOW + dice.below(7 * 24 * 2) * (HOUR / 2),
        _ => NOW + dice.below(7 * DAY),
    }
}

pub(crate) fn money(dice: &mut Dice) -> Money {
    let units = match dice.below(60) {
        0 => 1_000_000_000_000_000_000_000_000_000_000,
        1 => 0,
        2..12 => 1 + u128::from(dice.below(20)),
        _ => 1 + u128::from(dice.below(5)),
    };
    let asset = match dice.below(14) {
        0 => OTHER,
        1..3 => ETH,
        3 => EURT,
        _ => USDC,
    };
    Money::new(U256::from(units), asset)
}

pub(super) fn labels(dice: &mut Dice) -> Labels {
    let mut labels = Labels::default();
    if dice.percent(35) {
        for _ in 0..=dice.below(2) {
            labels = labels.with(label(dice));
        }
    }
    labels
}

pub(crate) fn label(dice: &mut Dice) -> Label {
    match dice.below(9) {
        0 => Label::Owner,
        1 => Label::Policy,
        2 => Label::Chain,
        3 => Label::Model,
        4 => Label::Memory,
        5 => Label::Peer("p".to_owned()),
        _ => Label::Web((*dice.pick(&HOSTS)).to_owned()),
    }
}

fn intent(dice: &mut Dice, sketch: &Sketch, close: bool) -> Intent {
    let pool = sketch.pools.iter().any(Option::is_some);
    let payee = match dice.below(10) {
        0..3 if pool => "d",
        3..8 if close && !sketch.payees.is_empty() => dice.pick(&sketch.payees).name,
        _ => dice.pick(&NAMES),
    };
    let payee = payee.to_owned();
    let to = *dice.pick(&ADDRESSES);
    let host = (*dice.pick(&HOSTS)).to_owned();
    let resource = (*dice.pick(&["r", "https://feed.example/secret"])).to_owned();
    match dice.below(22) {
        0..6 => Intent::Authorise(Authorise {
            payee,
            to,
            amount: money(dice),
            host,
            resource,
            labels: labels(dice),
        }),
        6..10 => {
            Intent::Transfer(Transfer { payee, to, amount: money(dice), labels: labels(dice) })
        }
        10 => {
            let amount = if close { Money::new(U256::ONE, USDC) } else { money(dice) };
            let to = if close { AGENT } else { to };
            let Intent::Settle(settle) = settle(to, amount) else { panic!("not a settlement") };
            Intent::Settle(Settle { resource, ..settle })
        }
        11..14 => Intent::Tool(tool_use(dice, sketch, close)),
        14 => Intent::AcceptWallet(AcceptWallet {
            chain: if dice.percent(90) { CHAIN } else { 1 },
            registry: if dice.percent(90) { REGISTRY } else { FEED },
            agent_id: U256::ONE,
            owner: if dice.percent(90) { OWNER } else { FEED },
        }),
        15 => Intent::Sweep(Sweep { amount: money(dice) }),
        16 | 17 => Intent::PermitTransfer(PermitTransfer {
            payee,
            to,
            amount: money(dice),
            host,
            resource,
            via: via(dice),
            labels: labels(dice),
        }),
        18 => {
            let amount = if close { Money::new(U256::from(2), USDC) } else { money(dice) };
            let charge =
                if close { Money::new(U256::from(dice.below(4)), USDC) } else { money(dice) };
            let via = if close { PermitVia::Upto { facilitator: AGENT } } else { via(dice) };
            let to = if close { AGENT } else { to };
            let Intent::SettlePermit(settle) = settle_permit(to, amount, charge, via) else {
                panic!("not a settlement")
            };
            Intent::SettlePermit(SettlePermit { resource, ..settle })
        }
        19 => Intent::ApprovePermit2 { amount: money(dice) },
        20 => Intent::Refill { amount: money(dice) },
        _ => {
            let intent = IntentId::derive(Default::default(), "scout", "t", 0, 0, 0);
            if dice.percent(50) {
                Intent::InvalidatePermit { intent }
            } else {
                Intent::Cancel(Cancel { intent })
            }
        }
    }
}

pub(super) fn via(dice: &mut Dice) -> PermitVia {
    match dice.below(3) {
        0 => PermitVia::Exact,
        1 => PermitVia::Upto { facilitator: AGENT },
        _ => PermitVia::Upto { facilitator: *dice.pick(&ADDRESSES) },
    }
}

fn tool_use(dice: &mut Dice, sketch: &Sketch, close: bool) -> ToolUse {
    let name = match sketch.tools.first() {
        Some(tool) if close => tool.name,
        _ => dice.pick(&TOOLS),
    };
    let tool = sketch.tools.iter().find(|tool| tool.name == name);
    let fetch = dice.percent(75).then(|| {
        let listed = tool.filter(|tool| close && !tool.hosts.is_empty());
        let host = match listed {
            Some(tool) if dice.percent(80) => dice.pick(&tool.hosts).replace('*', "x"),
            _ => (*dice.pick(&HOSTS)).to_owned(),
        };
        Fetch {
            method: (*dice.pick(&["GET", "GET", "POST", "get"])).to_owned(),
            host,
            path: (*dice.pick(&["/", "/private/x"])).to_owned(),
            bytes_out: dice.below(12),
        }
    });
    let mut arguments = std::collections::BTreeMap::new();
    for (name, demand) in tool.map(|tool| &tool.arguments[..]).unwrap_or_default() {
        if dice.percent(92) {
            arguments.insert((*name).to_owned(), argument(dice, demand));
        }
    }
    ToolUse { tool: name.to_owned(), fetch, arguments, labels: labels(dice) }
}

fn argument(dice: &mut Dice, demand: &Demand) -> Argument {
    let text = |text: &str| Argument::Text(text.to_owned());
    match demand {
        _ if dice.percent(15) => dice
            .pick(&[text("3"), text("true"), text(""), Argument::Integer(0), Argument::Flag(true)])
            .clone(),
        Demand::OneOf(values) if dice.percent(80) => dice.pick(values).clone(),
        Demand::Number { .. } => Argument::Integer(dice.below(18) as i64 - 6),
        _ => text(dice.one(&["/p/", "/p/ab", "/p/äöü", "/p/../x", "/q/", "ab", "/p/abcdefgh"])),
    }
}

pub(crate) fn gas(dice: &mut Dice) -> Option<Money> {
    match dice.below(10) {
        0..3 => None,
        3 => Some(Money::new(U256::from(fee(dice)), USDC)),
        _ => Some(wei(fee(dice))),
    }
}

fn fee(dice: &mut Dice) -> u64 {
    if dice.percent(12) { dice.below(60) } else { dice.below(4) }
}

fn book(dice: &mut Dice, sketch: &Sketch, now: u64) -> Book {
    let ages = [1, HOUR - 1, HOUR, 2 * HOUR, DAY - 1, DAY, 2 * DAY, 30 * DAY, 31 * DAY];
    let mut book = Book::default();
    for _ in 0..dice.below(6) {
        let mut debit = Debit::new(*dice.pick(&ADDRESSES), money(dice), now - dice.pick(&ages));
        debit.money.units %= U256::from(25);
        if dice.percent(25) {
            debit = debit.of_another_agent();
        }
        if dice.percent(30) {
            debit = debit.of_sub_agent(dice.one(&SUBS));
        }
        if dice.percent(40) {
            debit = debit.in_task(dice.one(&TASKS));
        }
        if dice.percent(30) {
            debit = debit.paid_from_pool();
        }
        book = book.with(debit);
    }
    for _ in 0..dice.below(5) {
        let tool = (*dice.pick(&TOOLS[..2])).to_owned();
        book.uses.push((tool, dice.below(9), now - dice.pick(&ages)));
    }
    for payee in &sketch.payees {
        if payee.place != Place::Host && dice.percent(40) {
            let owner = *dice.pick(&[OWNER, OWNER, FEED]);
            book = book.resolving(payee.name, owner, *dice.pick(&ADDRESSES));
        }
    }
    for host in &HOSTS[..3] {
        if dice.percent(60) {
            book = book.pinning(host, *dice.pick(&ADDRESSES[..3]));
        }
    }
    if dice.percent(15) {
        book.owing.insert(*dice.pick(&ADDRESSES));
    }
    book
}
