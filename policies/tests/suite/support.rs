//! A ledger of a few lines, a policy to start from, and intents by their names.

use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, Labels, Ledger, Mark, Money, Policy, Request, Resolved, Scope,
    Verdict, decide,
    document::DAY,
    intent::{Authorise, Fetch, Settle, ToolUse, Transfer},
    parse,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const NOW: u64 = 400 * DAY;
pub(crate) const CHAIN: u64 = 31337;
pub(crate) const OWNER: Address = Address::repeat_byte(0x0a);
pub(crate) const AGENT: Address = Address::repeat_byte(0x0b);
pub(crate) const FEED: Address = Address::repeat_byte(0xfe);
pub(crate) const MUSCLE: Address = Address::repeat_byte(0x3c);
pub(crate) const MUSCLE_OWNER: Address = Address::repeat_byte(0x3d);
pub(crate) const STRANGER: Address = Address::repeat_byte(0x66);
pub(crate) const REGISTRY: Address = Address::repeat_byte(0x80);
pub(crate) const USDC: AssetId = AssetId { chain: CHAIN, token: Address::repeat_byte(0x55) };
pub(crate) const ETH: AssetId = AssetId::native(CHAIN);

/// Chain and token, no permission at all.
pub(crate) const GROUND: &str = r#"
format  = 1
version = 7
owner   = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"
identity_registry = "0x8080808080808080808080808080808080808080"

[asset.USDC]
chain = "devnet"
token = "0x5555555555555555555555555555555555555555"
decimals = 6
domain = { name = "Marque Test Dollar", version = "1" }
"#;

/// A buyer's and seller's permissions, on top of [`GROUND`].
pub(crate) const PERMISSIONS: &str = r#"
[limits.USDC]
payment = "1.00"
hour = "3.00"
day = "10.00"
days30 = "100.00"
total = "200.00"
ask_above = "0.50"
ask_above_day = "2.00"

[limits.gas]
day = "0.002 ETH"

[[payee]]
name = "weather-feed"
address = "0xfefefefefefefefefefefefefefefefefefefefe"
host = "feed.example"
day = "2.50 USDC"

[[payee]]
name = "muscle"
agent_id = 1
owner = "0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d"
wallet = "0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c"

[[tool]]
name = "fetch"
hosts = ["feed.example", "*.gov", "127.0.0.1:4021"]
rate = "3/min"
sends = "1 KiB/day"

[income]
assets = ["USDC"]
"#;

pub(crate) fn policy(text: &str) -> Policy {
    parse(text).map(|(policy, _)| policy).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) fn usual() -> Policy {
    policy(&format!("{GROUND}{PERMISSIONS}"))
}

#[derive(Clone, Debug)]
pub(crate) struct Debit {
    pub(crate) agent: bool,
    pub(crate) to: Address,
    pub(crate) money: Money,
    pub(crate) at: u64,
}

/// The ledger: plain lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) debits: Vec<Debit>,
    pub(crate) uses: Vec<(String, u64, u64)>,
    pub(crate) approved: BTreeSet<B256>,
    pub(crate) resolved: BTreeMap<String, Resolved>,
    pub(crate) owing: BTreeSet<Address>,
}

impl Book {
    pub(crate) fn paid(mut self, to: Address, money: Money, age: u64) -> Self {
        self.debits.push(Debit { agent: true, to, money, at: NOW - age });
        self
    }

    pub(crate) fn paid_by_another_agent(mut self, to: Address, money: Money, age: u64) -> Self {
        self.debits.push(Debit { agent: false, to, money, at: NOW - age });
        self
    }

    pub(crate) fn used(mut self, tool: &str, bytes: u64, age: u64) -> Self {
        self.uses.push((tool.to_owned(), bytes, NOW - age));
        self
    }

    pub(crate) fn approving(mut self, intent: &Intent) -> Self {
        self.approved.insert(intent.body_hash());
        self
    }

    pub(crate) fn resolving(mut self, name: &str, owner: Address, wallet: Address) -> Self {
        self.resolved.insert(name.to_owned(), Resolved { owner, wallet });
        self
    }
}

impl Ledger for Book {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: u64) -> U256 {
        let mine = |debit: &&Debit| match scope {
            Scope::Owner => true,
            Scope::Agent | Scope::SubAgent(_) | Scope::Task(_) | Scope::Pool => debit.agent,
            Scope::Payee(payee) => debit.agent && debit.to == payee,
        };
        let debits = self.debits.iter().filter(mine);
        let debits = debits.filter(|debit| debit.money.asset == asset && debit.at > since);
        debits.fold(U256::ZERO, |sum, debit| sum.saturating_add(debit.money.units))
    }

    fn uses(&self, tool: &str, since: u64) -> u64 {
        self.uses.iter().filter(|(name, _, at)| name == tool && *at > since).count() as u64
    }

    fn bytes_out(&self, tool: &str, since: u64) -> u64 {
        let uses = self.uses.iter().filter(|(name, _, at)| name == tool && *at > since);
        uses.fold(0, |sum, (_, bytes, _)| sum.saturating_add(*bytes))
    }

    fn approved(&self, body: B256) -> Option<u64> {
        self.approved.contains(&body).then_some(NOW)
    }

    fn pinned(&self, _host: &str) -> Option<Address> {
        None
    }

    fn resolved(&self, payee: &str) -> Option<Resolved> {
        self.resolved.get(payee).copied()
    }

    fn owes_delivery(&self, payee: Address) -> bool {
        self.owing.contains(&payee)
    }

    fn agent_address(&self) -> Address {
        AGENT
    }
}

pub(crate) fn usdc(micros: u64) -> Money {
    Money::new(U256::from(micros), USDC)
}

pub(crate) fn wei(wei: u64) -> Money {
    Money::new(U256::from(wei), ETH)
}

pub(crate) fn pay(payee: &str, to: Address, amount: Money) -> Authorise {
    Authorise {
        payee: payee.to_owned(),
        to,
        amount,
        host: "feed.example".to_owned(),
        resource: "https://feed.example/data".to_owned(),
        labels: Labels::default(),
    }
}

pub(crate) fn feed(micros: u64) -> Intent {
    Intent::Authorise(pay("weather-feed", FEED, usdc(micros)))
}

pub(crate) fn transfer(amount: Money) -> Intent {
    let labels = Labels::default();
    Intent::Transfer(Transfer { payee: "weather-feed".to_owned(), to: FEED, amount, labels })
}

pub(crate) fn settle(to: Address, amount: Money) -> Intent {
    Intent::Settle(Settle {
        from: STRANGER,
        to,
        amount,
        valid_after: 0,
        valid_before: u64::MAX,
        nonce: B256::ZERO,
        signature: "0x".to_owned(),
        resource: "https://feed.example/data".to_owned(),
    })
}

pub(crate) fn fetch(tool: &str, host: &str, bytes_out: u64) -> Intent {
    Intent::Tool(ToolUse {
        tool: tool.to_owned(),
        fetch: Some(Fetch {
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: "/".to_owned(),
            bytes_out,
        }),
        arguments: BTreeMap::new(),
        labels: Labels::default(),
    })
}

pub(crate) fn judge(policy: &Policy, intent: &Intent, gas: Option<Money>, book: &Book) -> Verdict {
    let request = Request { agent: "scout", sub_agent: None, task: "t", intent, gas };
    decide(policy, &request, book, NOW)
}

pub(crate) fn failed(verdict: &Verdict) -> Vec<&str> {
    verdict.rules(Mark::Fail).collect()
}

pub(crate) fn asked(verdict: &Verdict) -> Vec<&str> {
    verdict.rules(Mark::Ask).collect()
}

/// Allow, then hold, then refuse.
pub(crate) fn strictness(verdict: &Verdict) -> u8 {
    match verdict.decision() {
        Decision::Allow => 0,
        Decision::Hold => 1,
        Decision::Refuse => 2,
    }
}
