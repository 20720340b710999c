//! A sketch as its owner would write it.

use super::*;
use marque_policies::{Sources, parse::compile};
use std::fmt::Write as _;

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
        for coin in Coin::ALL {
            if let Some((low, high)) = self.float(coin) {
                let (low, high) = (coin.amount(low), coin.amount(high));
                let name = coin.name();
                policy += &format!("\n[float.{name}]\nlow = \"{low}\"\nhigh = \"{high}\"\n");
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
        if !self.facilitator.is_empty() {
            let names: Vec<_> = self.facilitator.iter().map(|coin| coin.name()).collect();
            policy += &format!("\n[facilitator]\nassets = {names:?}\n");
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

    /// The float of a coin whose limits have a sum, wide enough for any payment that they allow.
    pub(crate) fn float(&self, coin: Coin) -> Option<(u8, u8)> {
        let (low, high) = self.floats[coin as usize]?;
        let limits = self.agent.limits[coin as usize]?;
        let own = self.agent.section(coin) == coin.name();
        let most = limits[..5].iter().flatten().min()?;
        let sums = limits[1..5].iter().any(Option::is_some);
        (own && sums).then(|| (low, high.max(*most).max(low + 1)))
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
