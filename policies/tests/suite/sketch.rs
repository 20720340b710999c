//! Random policies over the whole language, pasts and requests, from small pools, so that they
//! collide often.
//!
//! A sketch is written as the texts of a policy and read back, so the reader is tested with the
//! engine. Amounts are small integers of base units; a sketch that fails a test is made simpler
//! part by part as long as it still fails.

use crate::{forbids::Forbid, support::*};
use alloy_primitives::{Address, U256};
use marque_policies::{
    Argument, AssetId, Intent, Label, Labels, Money, Policy, Sources, Verdict, decide,
    document::{DAY, HOUR},
    intent::{AcceptWallet, Authorise, Fetch, Settle, Sweep, ToolUse, Transfer},
    parse::compile,
};
use std::fmt::Write as _;

pub(crate) const KINDS: [&str; 7] =
    ["payment", "hour", "day", "days30", "total", "ask_above", "ask_above_day"];
pub(crate) const CLASSES: [&str; 4] = ["web", "peer", "memory", "model"];

/// Base units, each of the seven limits.
pub(crate) type Seven = [Option<u8>; 7];
/// What is made of each class of labels: asked (`false`) or refused (`true`).
pub(crate) type Four = [Option<bool>; 4];

pub(crate) const PEER: Address = Address::repeat_byte(0x77);
pub(crate) const ADDRESSES: [Address; 5] = [FEED, MUSCLE, STRANGER, AGENT, PEER];
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const HOSTS: [&str; 7] =
    ["feed.example", "feed.example:81", "x.gov", "x.y.gov", "gov", "127.0.0.1", "FEED.example"];
pub(crate) const PATTERNS: [&str; 4] = ["feed.example", "*.gov", "127.0.0.1", "feed.example:81"];
pub(crate) const CATEGORIES: [&str; 2] = ["data", "compute"];
pub(crate) const TASKS: [&str; 2] = ["t", "errand"];
pub(crate) const SUBS: [&str; 3] = ["helper", "runner", "ghost"];
pub(crate) const TOOLS: [&str; 3] = ["fetch", "post", "other"];
/// An asset that no policy has.
pub(crate) const OTHER: AssetId = AssetId { chain: CHAIN, token: STRANGER };
const EURT: AssetId = AssetId { chain: CHAIN, token: Address::repeat_byte(0x56) };

/// The assets of every sketch. They have more, fewer and as many digits as micros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coin {
    Usdc,
    Eurt,
    Eth,
}

impl Coin {
    pub(crate) const ALL: [Self; 3] = [Self::Usdc, Self::Eurt, Self::Eth];

    pub(crate) fn of(asset: AssetId) -> Option<Self> {
        Self::ALL.into_iter().find(|coin| coin.id() == asset)
    }

    pub(crate) fn id(self) -> AssetId {
        match self {
            Self::Usdc => USDC,
            Self::Eurt => EURT,
            Self::Eth => ETH,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usdc => "USDC",
            Self::Eurt => "EURT",
            Self::Eth => "ETH",
        }
    }

    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Usdc => 6,
            Self::Eurt => 2,
            Self::Eth => 18,
        }
    }

    fn amount(self, units: u8) -> String {
        let digits = format!("{units:0>width$}", width = self.decimals() + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.decimals());
        format!("{whole}.{fraction} {}", self.name())
    }
}

/// Limits by coin, and whether those on the native coin are in `[..gas]`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) limits: [Option<Seven>; 3],
    pub(crate) eth_is_gas: bool,
}

impl Account {
    /// What the section is called in rules.
    pub(crate) fn section(&self, coin: Coin) -> &'static str {
        if coin == Coin::Eth && self.eth_is_gas { "gas" } else { coin.name() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    /// What all agents share stands in `owner.toml`.
    pub(crate) split: bool,
    /// `EURT` stands in the agent's own document.
    pub(crate) eurt_apart: bool,
    pub(crate) domain: bool,
    pub(crate) registry: bool,
    /// Unix milliseconds.
    pub(crate) expires: Option<u64>,
    pub(crate) times: Vec<Week>,
    pub(crate) labels: Four,
    /// In seconds.
    pub(crate) valid: Option<u64>,
    pub(crate) agent: Account,
    pub(crate) owner: Account,
    pub(crate) task: [Option<Seven>; 3],
    pub(crate) pools: [Option<SketchPool>; 3],
    pub(crate) categories: Vec<SketchCategory>,
    pub(crate) payees: Vec<SketchPayee>,
    pub(crate) tools: Vec<SketchTool>,
    pub(crate) subs: Vec<SketchSub>,
    pub(crate) income: Vec<Coin>,
    pub(crate) forbids: Vec<Forbid>,
}

/// A span of the week: days from Monday, minutes of the day, minutes ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Week {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SketchPool {
    pub(crate) limits: Seven,
    pub(crate) peer_day: Option<u8>,
    pub(crate) peer_total: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SketchCategory {
    pub(crate) name: &'static str,
    pub(crate) coin: Coin,
    pub(crate) limits: Seven,
    pub(crate) shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Address(Address),
    Identity(Address),
    /// Known by host only.
    Host,
}

#[derive(Clone, Debug)]
pub(crate) struct SketchPayee {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) host: Option<&'static str>,
    pub(crate) category: Option<&'static str>,
    pub(crate) bound: Option<(Coin, Seven)>,
    pub(crate) times: Vec<Week>,
    /// Stands in `owner.toml`, if there is one.
    pub(crate) shared: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SketchTool {
    pub(crate) name: &'static str,
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) methods: Vec<&'static str>,
    /// In an hour.
    pub(crate) rate: Option<u8>,
    /// In a day.
    pub(crate) sends: Option<u8>,
    pub(crate) times: Vec<Week>,
    pub(crate) labels: Four,
    pub(crate) arguments: Vec<(&'static str, Demand)>,
}

/// What an argument must be like.
#[derive(Clone, Debug)]
pub(crate) enum Demand {
    OneOf(Vec<Argument>),
    Text { starts: Option<&'static str>, longest: Option<u8> },
    Number { least: Option<i8>, most: Option<i8> },
}

#[derive(Clone, Debug)]
pub(crate) struct SketchSub {
    pub(crate) name: &'static str,
    pub(crate) payees: Vec<&'static str>,
    pub(crate) tools: Vec<&'static str>,
    pub(crate) account: Account,
}

/// One request to a policy: who asks for what, when, and what came before.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) intent: Intent,
    pub(crate) gas: Option<Money>,
    pub(crate) sub_agent: Option<&'static str>,
    pub(crate) task: &'static str,
    pub(crate) now: u64,
    pub(crate) book: Book,
}

impl Case {
    pub(crate) fn judge(&self, policy: &Policy) -> Verdict {
        let Self { intent, gas, sub_agent, task, now, book } = self;
        let request = marque_policies::Request {
            agent: "scout",
            sub_agent: *sub_agent,
            task,
            intent,
            gas: *gas,
        };
        decide(policy, &request, book, *now)
    }
}

// ---- as text -----------------------------------------------------------------------------------

const CHAIN_TEXT: &str = r#"
[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"
"#;

impl Sketch {
    pub(crate) fn policy(&self) -> Policy {
        let sources = self.sources();
        match compile(&sources) {
            Ok((policy, _)) => policy,
            Err(error) => panic!("{error}\n{}", self.text()),
        }
    }

    /// All documents, to be shown.
    pub(crate) fn text(&self) -> String {
        self.sources().document()
    }

    pub(crate) fn sources(&self) -> Sources {
        let mut policy = String::from("format = 1\nversion = 7\n");
        let mut owner = if self.split { "format = 1\n".to_owned() } else { String::new() };
        owner += &format!("owner.address = \"{OWNER}\"\n");
        if let Some(expires) = self.expires {
            policy += &format!("expires = {}\n", date(expires));
        }
        policy += &times(&self.times);
        owner += CHAIN_TEXT;
        if self.registry {
            owner += &format!("identity_registry = \"{REGISTRY}\"\n");
        }
        owner += &asset(Coin::Usdc, self.domain);
        *(if self.eurt_apart { &mut policy } else { &mut owner }) += &asset(Coin::Eurt, true);
        owner += &account("owner.limits", &self.owner, 6);
        if let Some(valid) = self.valid {
            owner += &format!("\n[approvals]\nvalid = \"{valid}s\"\nheld = \"2h\"\n");
        }
        if self.labels != [None; 4] {
            policy += "\n[labels]\n";
            for (class, harsh) in CLASSES.iter().zip(self.labels) {
                if let Some(harsh) = harsh {
                    policy += &format!("{class} = {:?}\n", attitude(harsh));
                }
            }
        }
        policy += &account("limits", &self.agent, 7);
        for (coin, limits) in Coin::ALL.into_iter().zip(self.task) {
            policy += &section("task.limits", coin.name(), coin, limits, 6);
        }
        for (coin, pool) in Coin::ALL.into_iter().zip(self.pools) {
            let Some(pool) = pool else { continue };
            policy += &section("pool", coin.name(), coin, Some(pool.limits), 7);
            for (kind, limit) in [("peer_day", pool.peer_day), ("peer_total", pool.peer_total)] {
                if let Some(limit) = limit {
                    policy += &format!("{kind} = \"{}\"\n", coin.amount(limit));
                }
            }
        }
        for category in &self.categories {
            let SketchCategory { name, coin, limits, shared } = *category;
            let text = section("category", name, coin, Some(limits), 6);
            *(if self.sees(shared, Some(coin)) { &mut owner } else { &mut policy }) += &text;
        }
        for payee in &self.payees {
            let shared = self.sees(payee.shared, payee.bound.map(|(coin, _)| coin));
            *(if shared { &mut owner } else { &mut policy }) += &payee.text();
        }
        for tool in &self.tools {
            policy += &tool.text();
        }
        for sub in &self.subs {
            let SketchSub { name, payees, tools, account: limits } = sub;
            policy += &format!("\n[sub_agent.{name}]\npayees = {payees:?}\ntools = {tools:?}\n");
            policy += &account(&format!("sub_agent.{name}.limits"), limits, 6);
        }
        if !self.income.is_empty() {
            let names: Vec<_> = self.income.iter().map(|coin| coin.name()).collect();
            policy += &format!("\n[income]\nassets = {names:?}\n");
        }
        let forbids = self.forbids.iter().map(Forbid::text).collect::<String>();
        let cedar = (!forbids.is_empty()).then_some(forbids);
        if self.split {
            Sources { policy, owner: Some(owner), cedar }
        } else {
            // The owner's keys come first, the tables of both after them.
            let head = format!("owner.address = \"{OWNER}\"\n");
            let rest = owner.strip_prefix(&head).unwrap();
            let policy = format!("{head}{policy}{rest}");
            Sources { policy, owner: None, cedar }
        }
    }

    /// Whether something can stand in `owner.toml`.
    fn sees(&self, shared: bool, coin: Option<Coin>) -> bool {
        shared && !(self.eurt_apart && coin == Some(Coin::Eurt))
    }
}

impl SketchPayee {
    fn text(&self) -> String {
        let mut text = format!("\n[[payee]]\nname = \"{}\"\n", self.name);
        match self.place {
            Place::Address(address) => text += &format!("address = \"{address}\"\n"),
            Place::Identity(wallet) => {
                text += &format!("agent_id = 1\nowner = \"{OWNER}\"\nwallet = \"{wallet}\"\n");
            }
            Place::Host => {}
        }
        if let Some(host) = self.host {
            text += &format!("host = \"{host}\"\n");
        }
        if let Some(category) = self.category {
            text += &format!("category = \"{category}\"\n");
        }
        if let Some((coin, limits)) = self.bound {
            text += &lines(coin, limits, 7);
        }
        text + &times(&self.times)
    }
}

impl SketchTool {
    fn text(&self) -> String {
        let mut text = format!("\n[[tool]]\nname = \"{}\"\nhosts = {:?}\n", self.name, self.hosts);
        if !self.methods.is_empty() {
            text += &format!("methods = {:?}\n", self.methods);
        }
        if let Some(rate) = self.rate {
            text += &format!("rate = \"{rate}/h\"\n");
        }
        if let Some(sends) = self.sends {
            text += &format!("sends = \"{sends} B/day\"\n");
        }
        text += &times(&self.times);
        if self.labels != [None; 4] {
            let rules = CLASSES.iter().zip(self.labels).filter_map(|(class, harsh)| {
                harsh.map(|harsh| format!("{class} = {:?}", attitude(harsh)))
            });
            text += &format!("labels = {{ {} }}\n", rules.collect::<Vec<_>>().join(", "));
        }
        for (name, demand) in &self.arguments {
            text += &format!("[tool.arguments.{name}]\n{}", demand.text());
        }
        text
    }
}

impl Demand {
    fn text(&self) -> String {
        let mut text = String::new();
        match self {
            Self::OneOf(values) => {
                let values = values.iter().map(|value| match value {
                    Argument::Flag(flag) => flag.to_string(),
                    Argument::Integer(number) => number.to_string(),
                    Argument::Text(text) => format!("{text:?}"),
                });
                text += &format!("one_of = [{}]\n", values.collect::<Vec<_>>().join(", "));
            }
            Self::Text { starts, longest } => {
                if let Some(starts) = starts {
                    text += &format!("starts_with = {starts:?}\n");
                }
                if let Some(longest) = longest {
                    text += &format!("longest = {longest}\n");
                }
            }
            Self::Number { least, most } => {
                if let Some(least) = least {
                    text += &format!("at_least = {least}\n");
                }
                if let Some(most) = most {
                    text += &format!("at_most = {most}\n");
                }
            }
        }
        text
    }
}

fn attitude(harsh: bool) -> &'static str {
    if harsh { "refuse" } else { "ask" }
}

fn asset(coin: Coin, domain: bool) -> String {
    let (name, token, decimals) = (coin.name(), coin.id().token, coin.decimals());
    let mut text = format!(
        "\n[asset.{name}]\nchain = \"devnet\"\ntoken = \"{token}\"\ndecimals = {decimals}\n"
    );
    if domain {
        text += "domain = { name = \"Marque Test Money\", version = \"1\" }\n";
    }
    text
}

fn account(path: &str, account: &Account, kinds: usize) -> String {
    let mut text = String::new();
    for (coin, limits) in Coin::ALL.into_iter().zip(account.limits) {
        let name = account.section(coin);
        // Fees are paid to nobody in particular.
        let kinds = if name == "gas" { 6 } else { kinds };
        text += &section(path, name, coin, limits, kinds);
    }
    text
}

/// A table with the first `kinds` of the seven limits.
fn section(path: &str, name: &str, coin: Coin, limits: Option<Seven>, kinds: usize) -> String {
    let Some(limits) = limits else { return String::new() };
    format!("\n[{path}.{name}]\n{}", lines(coin, limits, kinds))
}

fn lines(coin: Coin, limits: Seven, kinds: usize) -> String {
    let mut text = String::new();
    for (kind, limit) in KINDS.iter().zip(limits).take(kinds) {
        if let Some(limit) = limit {
            writeln!(text, "{kind} = \"{}\"", coin.amount(limit)).unwrap();
        }
    }
    text
}

fn times(spans: &[Week]) -> String {
    if spans.is_empty() {
        return String::new();
    }
    let day = |day: u64| ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day as usize];
    let time = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let spans = spans.iter().map(|span| {
        let mut text = format!("{}-{} ", day(span.first), day(span.last));
        text += &format!("{}-{}", time(span.from), time(span.until));
        if span.offset != 0 {
            let sign = if span.offset < 0 { '-' } else { '+' };
            text += &format!(" {sign}{}", time(span.offset.unsigned_abs()));
        }
        format!("{text:?}")
    });
    format!("times = [{}]\n", spans.collect::<Vec<_>>().join(", "))
}

/// The first week of February 1971, which begins at [`NOW`], to the second; and the far future.
fn date(at: u64) -> String {
    let Some(left) = at.checked_sub(NOW).filter(|left| *left < 7 * DAY) else {
        return "2070-01-01T00:00:00Z".to_owned();
    };
    let (day, left) = (5 + left / DAY, left % DAY / 1_000);
    let (hour, minute, second) = (left / 3_600, left / 60 % 60, left % 60);
    format!("1971-02-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

pub(crate) const FAR: u64 = 3_155_760_000_000;

// ---- at random ---------------------------------------------------------------------------------

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
        let income = Coin::ALL.into_iter().take(2).filter(|_| dice.percent(60)).collect();
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
            categories,
            payees,
            tools,
            subs,
            income,
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

    pub(crate) fn payee(&self, name: &str) -> Option<&SketchPayee> {
        self.payees.iter().find(|payee| payee.name == name)
    }

    /// The same without one of its parts, in every way.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut less = |change: &dyn Fn(&mut Self) -> bool| {
            let mut other = self.clone();
            if change(&mut other) {
                all.push(other);
            }
        };
        less(&|s| std::mem::take(&mut s.split));
        less(&|s| s.expires.take().is_some());
        less(&|s| !std::mem::take(&mut s.times).is_empty());
        less(&|s| std::mem::take(&mut s.labels) != [None; 4]);
        less(&|s| s.valid.take().is_some());
        for at in 0..3 {
            less(&|s| s.agent.limits[at].take().is_some());
            less(&|s| s.owner.limits[at].take().is_some());
            less(&|s| s.task[at].take().is_some());
            less(&|s| s.pools[at].take().is_some());
            for kind in 0..7 {
                let keeps_one = |limits: &mut Seven| {
                    limits[kind].take().is_some() && limits[1..5].iter().any(Option::is_some)
                };
                less(&|s| s.agent.limits[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.owner.limits[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.task[at].as_mut().is_some_and(keeps_one));
                less(&|s| s.pools[at].as_mut().is_some_and(|pool| keeps_one(&mut pool.limits)));
            }
        }
        for at in 0..self.forbids.len() {
            less(&|s| s.forbids.drain(at..=at).count() == 1);
        }
        for at in 0..self.categories.len() {
            less(&|s| s.categories.drain(at..=at).count() == 1);
        }
        for at in 0..self.subs.len() {
            less(&|s| s.subs.drain(at..=at).count() == 1);
        }
        for at in 0..self.payees.len() {
            less(&|s| s.payees[at].bound.take().is_some());
            less(&|s| s.payees[at].category.take().is_some());
            less(&|s| !std::mem::take(&mut s.payees[at].times).is_empty());
            less(&|s| {
                let gone = s.payees.remove(at).name;
                s.subs.iter_mut().for_each(|sub| sub.payees.retain(|name| *name != gone));
                true
            });
        }
        for at in 0..self.tools.len() {
            less(&|s| !std::mem::take(&mut s.tools[at].arguments).is_empty());
            less(&|s| !std::mem::take(&mut s.tools[at].methods).is_empty());
            less(&|s| {
                let gone = s.tools.remove(at).name;
                s.subs.iter_mut().for_each(|sub| sub.tools.retain(|name| *name != gone));
                true
            });
        }
        all.retain(|sketch| sketch.forbids.iter().all(|forbid| forbid.fits(sketch)));
        all
    }
}

impl Case {
    /// The same without one part of its past.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.book.debits.len() {
            let mut less = self.clone();
            less.book.debits.remove(at);
            all.push(less);
        }
        for at in 0..self.book.uses.len() {
            let mut less = self.clone();
            less.book.uses.remove(at);
            all.push(less);
        }
        all
    }
}

/// Makes what fails as small as it gets.
pub(crate) fn smallest(
    mut sketch: Sketch,
    mut case: Case,
    fails: impl Fn(&Sketch, &Case) -> bool,
) -> (Sketch, Case) {
    loop {
        if let Some(less) = sketch.simpler().into_iter().find(|less| fails(less, &case)) {
            sketch = less;
        } else if let Some(less) = case.simpler().into_iter().find(|less| fails(&sketch, less)) {
            case = less;
        } else {
            return (sketch, case);
        }
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

impl Case {
    /// A request; most are brought close to what the policy permits, because cases that are
    /// refused anyway prove little.
    pub(crate) fn random(dice: &mut Dice, sketch: &Sketch) -> Self {
        let close = dice.percent(80);
        let now = moment(dice, sketch);
        let mut case = Self {
            intent: intent(dice, sketch, close),
            gas: gas(dice),
            sub_agent: dice.percent(28).then(|| *dice.pick(&SUBS)),
            task: *dice.pick(&TASKS),
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
            Intent::Transfer(_) | Intent::Settle(_) | Intent::Sweep(_) => Some(wei(fee(dice))),
            _ => None,
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
            _ => None,
        };
        let Some(payee) = payee else {
            let pool = Coin::ALL.into_iter().find(|coin| sketch.pools[*coin as usize].is_some());
            match (&mut self.intent, pool) {
                (Intent::Authorise(pay), Some(coin)) if coin != Coin::Eth => {
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
            Intent::Authorise(pay) => {
                pay.to = address.unwrap_or(pay.to);
                pay.amount.asset =
                    coin.filter(|coin| *coin != Coin::Eth).unwrap_or(Coin::Usdc).id();
                pay.host = payee.host.unwrap_or("gov").to_owned();
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

fn labels(dice: &mut Dice) -> Labels {
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
    match dice.below(16) {
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
        _ => Intent::Sweep(Sweep { amount: money(dice) }),
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
        _ => text(*dice.pick(&["/p/", "/p/ab", "/p/äöü", "/p/../x", "/q/", "ab", "/p/abcdefgh"])),
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
            debit = debit.of_sub_agent(*dice.pick(&SUBS));
        }
        if dice.percent(40) {
            debit = debit.in_task(*dice.pick(&TASKS));
        }
        if dice.percent(30) {
            debit = debit.to_a_peer();
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

/// Everything that a hostile mind could write into an intent.
pub(crate) fn wild_intent(dice: &mut Dice) -> Intent {
    let known = ["weather-feed", "muscle", "fetch", "feed.example", "127.0.0.1:4021", "a", "GET"];
    let text = |dice: &mut Dice| match dice.below(3) {
        0 => (*dice.pick(&known)).to_owned(),
        1 => {
            let odd = ['\0', '\u{202e}', 'é', '"', '\\', '\n', '.', ':', '[', ']', '*', '/', ' '];
            (0..dice.below(20)).map(|_| *dice.pick(&odd)).collect()
        }
        _ => (0..dice.below(40))
            .filter_map(|_| char::from_u32(dice.below(0x11_0000) as u32))
            .collect::<String>(),
    };
    let address = |dice: &mut Dice| match dice.below(3) {
        0 => *dice.pick(&ADDRESSES),
        _ => Address::left_padding_from(&dice.next().to_be_bytes()),
    };
    let units = |dice: &mut Dice| match dice.below(4) {
        0 => U256::MAX,
        1 => U256::MAX >> dice.below(256),
        2 => U256::ZERO,
        _ => U256::from(dice.below(10)),
    };
    let money = |dice: &mut Dice| {
        let asset = match dice.below(3) {
            0 => AssetId { chain: dice.next(), token: address(dice) },
            _ => *dice.pick(&[USDC, ETH]),
        };
        Money::new(units(dice), asset)
    };
    let (payee, to, amount) = (text(dice), address(dice), money(dice));
    let web = text(dice);
    let labels = labels(dice).with(Label::Web(web));
    match dice.below(6) {
        0 => {
            let (host, resource) = (text(dice), text(dice));
            Intent::Authorise(Authorise { payee, to, amount, host, resource, labels })
        }
        1 => Intent::Transfer(Transfer { payee, to, amount, labels }),
        2 => {
            let Intent::Settle(settle) = settle(to, amount) else { panic!("not a settlement") };
            let (valid_after, valid_before) = (dice.next(), dice.next());
            let signature = text(dice);
            Intent::Settle(Settle { valid_after, valid_before, signature, ..settle })
        }
        3 => {
            let mut arguments = std::collections::BTreeMap::new();
            for _ in 0..dice.below(3) {
                let value = match dice.below(3) {
                    0 => Argument::Flag(true),
                    1 => Argument::Integer(dice.next().cast_signed()),
                    _ => Argument::Text(text(dice)),
                };
                arguments.insert(text(dice), value);
            }
            let (method, host, path) = (text(dice), text(dice), text(dice));
            let bytes_out = if dice.percent(30) { u64::MAX } else { dice.next() };
            let fetch = dice.percent(80).then_some(Fetch { method, host, path, bytes_out });
            Intent::Tool(ToolUse { tool: payee, fetch, arguments, labels })
        }
        4 => {
            let (chain, agent_id) = (dice.next(), units(dice));
            let (registry, owner) = (address(dice), address(dice));
            Intent::AcceptWallet(AcceptWallet { chain, registry, agent_id, owner })
        }
        _ => Intent::Sweep(Sweep { amount }),
    }
}
