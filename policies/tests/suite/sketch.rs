//! Random policies, pasts and intents from small pools, so that they collide often.
//!
//! A sketch is written as a policy text and read back, so the reader is tested with the engine.

use crate::support::*;
use alloy_primitives::{Address, U256};
use marque_policies::{
    AssetId, Intent, Label, Labels, Money, Policy,
    document::{DAY, HOUR},
    intent::{AcceptWallet, Authorise, Fetch, Settle, Sweep, ToolUse, Transfer},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub(crate) const KINDS: [&str; 7] =
    ["payment", "hour", "day", "days30", "total", "ask_above", "ask_above_day"];

/// Base units, each of the seven limits.
pub(crate) type Seven = [Option<u8>; 7];

#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    pub(crate) usdc: Option<Seven>,
    pub(crate) eth: Option<Seven>,
    /// `[limits.gas]` rather than `[limits.ETH]`.
    pub(crate) eth_is_gas: bool,
    pub(crate) all_usdc: Option<Seven>,
    pub(crate) payees: Vec<SketchPayee>,
    pub(crate) tool: Option<SketchTool>,
    pub(crate) income: bool,
    pub(crate) domain: bool,
    pub(crate) registry: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SketchPayee {
    pub(crate) name: &'static str,
    pub(crate) address: Address,
    pub(crate) pinned: bool,
    pub(crate) host: Option<&'static str>,
    /// payment, day, total
    pub(crate) limits: [Option<u8>; 3],
}

#[derive(Clone, Debug)]
pub(crate) struct SketchTool {
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) rate: Option<u8>,
    pub(crate) sends: Option<u8>,
}

pub(crate) const ADDRESSES: [Address; 4] = [FEED, MUSCLE, STRANGER, AGENT];
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(crate) const HOSTS: [&str; 6] =
    ["feed.example", "feed.example:81", "x.gov", "x.y.gov", "gov", "127.0.0.1"];
pub(crate) const PATTERNS: [&str; 4] = ["feed.example", "*.gov", "127.0.0.1", "feed.example:81"];
pub(crate) const OTHER: AssetId = AssetId { chain: CHAIN, token: STRANGER };

impl Sketch {
    pub(crate) fn text(&self) -> String {
        let mut text = GROUND.replace("owner   =", "owner.address =");
        if !self.domain {
            text = text.replace("domain =", "# domain =");
        }
        if !self.registry {
            text = text.replace("identity_registry =", "# identity_registry =");
        }
        let eth = if self.eth_is_gas { "gas" } else { "ETH" };
        text += &section("limits.USDC", "USDC", 6, self.usdc, true);
        text += &section(&format!("limits.{eth}"), "ETH", 18, self.eth, !self.eth_is_gas);
        text += &section("owner.limits.USDC", "USDC", 6, self.all_usdc, false);
        for payee in &self.payees {
            text += &format!("\n[[payee]]\nname = \"{}\"\n", payee.name);
            if payee.pinned && self.registry {
                text +=
                    &format!("agent_id = 1\nowner = \"{OWNER}\"\nwallet = \"{}\"\n", payee.address);
            } else {
                text += &format!("address = \"{}\"\n", payee.address);
            }
            if let Some(host) = payee.host {
                text += &format!("host = \"{host}\"\n");
            }
            for (kind, limit) in ["payment", "day", "total"].iter().zip(payee.limits) {
                if let Some(limit) = limit {
                    text += &format!("{kind} = \"{} USDC\"\n", digits(limit, 6));
                }
            }
        }
        if let Some(tool) = &self.tool {
            text += &format!("\n[[tool]]\nname = \"fetch\"\nhosts = {:?}\n", tool.hosts);
            if let Some(rate) = tool.rate {
                text += &format!("rate = \"{rate}/h\"\n");
            }
            if let Some(sends) = tool.sends {
                text += &format!("sends = \"{sends} B/day\"\n");
            }
        }
        if self.income {
            text += "\n[income]\nassets = [\"USDC\"]\n";
        }
        text
    }

    pub(crate) fn policy(&self) -> Policy {
        policy(&self.text())
    }
}

fn section(
    path: &str,
    unit: &str,
    decimals: usize,
    limits: Option<Seven>,
    per_payee: bool,
) -> String {
    let Some(limits) = limits else { return String::new() };
    let mut text = format!("\n[{path}]\n");
    for (kind, limit) in KINDS.iter().zip(limits) {
        if let Some(limit) = limit
            && (per_payee || *kind != "ask_above_day")
        {
            text += &format!("{kind} = \"{} {unit}\"\n", digits(limit, decimals));
        }
    }
    text
}

fn digits(units: u8, decimals: usize) -> String {
    format!("0.{units:0>decimals$}")
}

/// Near what is paid, or far above it.
fn amount() -> BoxedStrategy<u8> {
    prop_oneof![1 => 0..10u8, 2 => 0..60u8].boxed()
}

/// At least one limit that every section can have.
pub(crate) fn seven() -> BoxedStrategy<Seven> {
    let limit = || option::weighted(0.4, amount());
    (option::of(amount()), limit(), amount(), limit(), limit(), limit(), limit())
        .prop_map(|(payment, hour, day, days30, total, ask, ask_day)| {
            [payment, hour, Some(day), days30, total, ask, ask_day]
        })
        .boxed()
}

fn payee(name: &'static str) -> BoxedStrategy<SketchPayee> {
    let limit = || option::weighted(0.3, amount());
    (
        select(&ADDRESSES[..]),
        prop::bool::weighted(0.3),
        option::of(select(&HOSTS[..2])),
        [limit(), limit(), limit()],
    )
        .prop_map(move |(address, pinned, host, limits)| SketchPayee {
            name,
            address,
            pinned,
            host,
            limits,
        })
        .boxed()
}

fn tool() -> BoxedStrategy<SketchTool> {
    (vec(select(&PATTERNS[..]), 0..3), option::of(0..4u8), option::of(0..20u8))
        .prop_map(|(hosts, rate, sends)| SketchTool { hosts, rate, sends })
        .boxed()
}

pub(crate) fn sketch() -> BoxedStrategy<Sketch> {
    let yes = || prop::bool::weighted(0.85);
    (
        option::weighted(0.9, seven()),
        option::weighted(0.8, seven()),
        any::<bool>(),
        option::of(seven()),
        (option::weighted(0.9, payee("a")), option::weighted(0.7, payee("b"))),
        option::weighted(0.8, tool()),
        (yes(), yes(), yes()),
    )
        .prop_map(|(usdc, eth, eth_is_gas, all_usdc, (a, b), tool, (income, domain, registry))| {
            let payees = a.into_iter().chain(b).collect();
            Sketch { usdc, eth, eth_is_gas, all_usdc, payees, tool, income, domain, registry }
        })
        .boxed()
}

fn money() -> BoxedStrategy<Money> {
    let asset = prop_oneof![8 => Just(USDC), 2 => Just(ETH), 1 => Just(OTHER)];
    (0..8u8, asset).prop_map(|(units, asset)| Money::new(U256::from(units), asset)).boxed()
}

fn labels() -> BoxedStrategy<Labels> {
    let label = prop_oneof![
        Just(Label::Owner),
        Just(Label::Chain),
        Just(Label::Model),
        Just(Label::Web("feed.example".to_owned())),
        Just(Label::Peer("p".to_owned())),
    ];
    prop_oneof![2 => Just(Labels::default()), 1 => vec(label, 0..3).prop_map(|labels| {
        Labels(labels.into_iter().collect())
    })]
    .boxed()
}

pub(crate) fn intent() -> BoxedStrategy<Intent> {
    let name = || select(&NAMES[..]).prop_map(str::to_owned);
    let host = || select(&HOSTS[..]).prop_map(str::to_owned);
    let address = || select(&ADDRESSES[..]);
    let authorise = (name(), address(), money(), host(), labels()).prop_map(
        |(payee, to, amount, host, labels)| {
            let resource = "r".to_owned();
            Intent::Authorise(Authorise { payee, to, amount, host, resource, labels })
        },
    );
    let transfer =
        (name(), address(), money(), labels()).prop_map(|(payee, to, amount, labels)| {
            Intent::Transfer(Transfer { payee, to, amount, labels })
        });
    let settle = (address(), money()).prop_map(|(to, amount)| settle(to, amount));
    let tool = (select(vec!["fetch", "other"]), option::of((host(), 0..12u8)), labels()).prop_map(
        |(tool, fetch, labels)| {
            let fetch = fetch.map(|(host, bytes)| Fetch {
                method: "GET".to_owned(),
                host,
                path: "/".to_owned(),
                bytes_out: u64::from(bytes),
            });
            Intent::Tool(ToolUse {
                tool: tool.to_owned(),
                fetch,
                arguments: Default::default(),
                labels,
            })
        },
    );
    let accept = (select(vec![CHAIN, 1]), select(vec![REGISTRY, FEED]), select(vec![OWNER, FEED]))
        .prop_map(|(chain, registry, owner)| {
            let agent_id = U256::ONE;
            Intent::AcceptWallet(AcceptWallet { chain, registry, agent_id, owner })
        });
    let sweep = money().prop_map(|amount| Intent::Sweep(Sweep { amount }));
    prop_oneof![
        5 => authorise.boxed(),
        3 => transfer.boxed(),
        1 => settle.boxed(),
        2 => tool.boxed(),
        1 => accept.boxed(),
        1 => sweep.boxed(),
    ]
    .boxed()
}

pub(crate) fn gas() -> BoxedStrategy<Option<Money>> {
    let fee = |asset| (0..6u8).prop_map(move |units| Some(Money::new(U256::from(units), asset)));
    prop_oneof![1 => Just(None), 6 => fee(ETH), 1 => fee(USDC)].boxed()
}

/// A past; `approve` says whether the owner approved the intent in question.
pub(crate) fn book() -> BoxedStrategy<Book> {
    let age = || select(vec![1, HOUR - 1, HOUR, 2 * HOUR, DAY, 2 * DAY, 31 * DAY]);
    let debit = (any::<bool>(), select(&ADDRESSES[..]), money(), age())
        .prop_map(|(agent, to, money, age)| Debit { agent, ..Debit::new(to, money, NOW - age) });
    let used = (0..12u64, age()).prop_map(|(bytes, age)| ("fetch".to_owned(), bytes, NOW - age));
    let resolved =
        option::weighted(0.8, (select(vec![OWNER, OWNER, FEED]), select(&ADDRESSES[..])));
    let owing = option::weighted(0.2, select(&ADDRESSES[..]));
    (vec(debit, 0..5), vec(used, 0..4), resolved, owing)
        .prop_map(|(debits, uses, resolved, owing)| {
            let mut book =
                Book { debits, uses, owing: owing.into_iter().collect(), ..Book::default() };
            if let Some((owner, wallet)) = resolved {
                book = book.resolving("a", owner, wallet).resolving("b", owner, wallet);
            }
            book
        })
        .boxed()
}

/// A policy, an intent, its fees and a past.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) sketch: Sketch,
    pub(crate) intent: Intent,
    pub(crate) gas: Option<Money>,
    pub(crate) book: Book,
}

/// Random cases; most of them are brought close to what the policy permits, because cases that are
/// refused anyway prove little.
pub(crate) fn case() -> BoxedStrategy<Case> {
    (sketch(), intent(), gas(), book(), prop::bool::weighted(0.75), prop::bool::weighted(0.25))
        .prop_map(|(sketch, intent, gas, book, close, approve)| {
            let mut case = Case { sketch, intent, gas, book };
            if close {
                case.come_close();
            }
            if approve {
                case.book = case.book.approving(&case.intent);
            }
            case
        })
        .boxed()
}

impl Case {
    fn come_close(&mut self) {
        self.sketch.domain = true;
        if let Intent::Authorise(_) | Intent::Transfer(_) = &self.intent
            && let Some(payee) = self.sketch.payees.first()
        {
            self.book = std::mem::take(&mut self.book).resolving(payee.name, OWNER, payee.address);
        }
        let payee = self.sketch.payees.first();
        match (&mut self.intent, payee) {
            (Intent::Authorise(pay), Some(payee)) => {
                pay.payee = payee.name.to_owned();
                pay.to = payee.address;
                pay.amount.asset = USDC;
                pay.host = payee.host.unwrap_or("gov").to_owned();
                self.gas = None;
            }
            (Intent::Transfer(pay), Some(payee)) => {
                pay.payee = payee.name.to_owned();
                pay.to = payee.address;
                self.gas = Some(wei(1));
            }
            (Intent::Settle(settle), _) => {
                settle.to = AGENT;
                settle.amount.asset = USDC;
                self.gas = Some(wei(1));
            }
            (Intent::Tool(used), _) => {
                used.tool = "fetch".to_owned();
                self.gas = None;
            }
            (Intent::Sweep(_), _) => self.gas = Some(wei(1)),
            _ => self.gas = None,
        }
    }
}

/// Everything that a hostile mind could write into an intent.
pub(crate) fn wild_intent() -> BoxedStrategy<Intent> {
    let text = || prop_oneof![".{0,40}", Just("weather-feed".to_owned()), Just("fetch".to_owned())];
    let address = || any::<[u8; 20]>().prop_map(Address::from);
    let units = prop_oneof![
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
        Just(U256::MAX),
        Just(U256::ZERO),
    ];
    let asset = prop_oneof![
        Just(USDC),
        Just(ETH),
        (any::<u64>(), address()).prop_map(|(chain, token)| AssetId { chain, token })
    ];
    let money = (units, asset).prop_map(|(units, asset)| Money::new(units, asset)).boxed();
    let authorise = (text(), address(), money.clone(), text(), text()).prop_map(
        |(payee, to, amount, host, resource)| {
            let labels = Labels::default().with(Label::Web(host.clone()));
            Intent::Authorise(Authorise { payee, to, amount, host, resource, labels })
        },
    );
    let transfer = (text(), address(), money.clone()).prop_map(|(payee, to, amount)| {
        Intent::Transfer(Transfer { payee, to, amount, labels: Labels::default() })
    });
    let settle = (address(), money.clone(), any::<(u64, u64)>(), text()).prop_map(
        |(to, amount, (valid_after, valid_before), signature)| {
            let Intent::Settle(settle) = settle(to, amount) else { panic!("not a settlement") };
            Intent::Settle(Settle { valid_after, valid_before, signature, ..settle })
        },
    );
    let tool =
        (text(), text(), any::<u64>()).prop_map(|(tool, host, bytes)| fetch(&tool, &host, bytes));
    let accept = (any::<u64>(), address(), address()).prop_map(|(chain, registry, owner)| {
        Intent::AcceptWallet(AcceptWallet { chain, registry, agent_id: U256::MAX, owner })
    });
    let sweep = money.prop_map(|amount| Intent::Sweep(Sweep { amount }));
    prop_oneof![
        authorise.boxed(),
        transfer.boxed(),
        settle.boxed(),
        tool.boxed(),
        accept.boxed(),
        sweep.boxed(),
    ]
    .boxed()
}
