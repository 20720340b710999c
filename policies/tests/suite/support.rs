//! A ledger of a few lines, a policy to start from, and intents by their names.

use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, Labels, Ledger, Mark, Money, Policy, Request, Resolved, Scope,
    Verdict, decide,
    document::DAY,
    intent::{
        Authorise, Fetch, PermitTransfer, PermitVia, Settle, SettlePermit, ToolUse, Transfer,
    },
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

pub(crate) fn usual_document() -> String {
    format!("{GROUND}{PERMISSIONS}")
}

pub(crate) fn usual() -> Policy {
    policy(&format!("{GROUND}{PERMISSIONS}"))
}

/// Money that left, or may still leave.
#[derive(Clone, Debug)]
pub(crate) struct Debit {
    /// Of this agent; otherwise of another one of the same owner.
    pub(crate) agent: bool,
    /// The account below the agent that spent it.
    pub(crate) sub_agent: Option<&'static str>,
    pub(crate) task: &'static str,
    /// To a peer that was no payee.
    pub(crate) pool: bool,
    pub(crate) to: Address,
    pub(crate) money: Money,
    pub(crate) at: u64,
}

impl Debit {
    /// By this agent itself, in the task `before`, to a payee.
    pub(crate) fn new(to: Address, money: Money, at: u64) -> Self {
        Self { agent: true, sub_agent: None, task: "before", pool: false, to, money, at }
    }

    pub(crate) fn of_another_agent(self) -> Self {
        Self { agent: false, ..self }
    }

    pub(crate) fn of_sub_agent(self, name: &'static str) -> Self {
        Self { sub_agent: Some(name), ..self }
    }

    pub(crate) fn in_task(self, task: &'static str) -> Self {
        Self { task, ..self }
    }

    pub(crate) fn paid_from_pool(self) -> Self {
        Self { pool: true, ..self }
    }

    fn is_in(&self, scope: &Scope<'_>) -> bool {
        match scope {
            Scope::Owner => true,
            Scope::Agent => self.agent,
            Scope::SubAgent(name) => self.agent && self.sub_agent == Some(*name),
            Scope::Task(task) => self.agent && self.task == *task,
            Scope::Payee(payee) => self.agent && self.to == *payee,
            Scope::Pool => self.agent && self.pool,
        }
    }
}

/// The ledger: plain lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) debits: Vec<Debit>,
    pub(crate) uses: Vec<(String, u64, u64)>,
    /// What the owner approved, and when.
    pub(crate) approved: BTreeMap<B256, u64>,
    /// By host.
    pub(crate) pinned: BTreeMap<String, Address>,
    pub(crate) resolved: BTreeMap<String, Resolved>,
    pub(crate) owing: BTreeSet<Address>,
}

impl Book {
    pub(crate) fn with(mut self, debit: Debit) -> Self {
        self.debits.push(debit);
        self
    }

    pub(crate) fn paid(self, to: Address, money: Money, age: u64) -> Self {
        self.with(Debit::new(to, money, NOW - age))
    }

    pub(crate) fn paid_by_another_agent(self, to: Address, money: Money, age: u64) -> Self {
        self.with(Debit::new(to, money, NOW - age).of_another_agent())
    }

    pub(crate) fn used(mut self, tool: &str, bytes: u64, age: u64) -> Self {
        self.uses.push((tool.to_owned(), bytes, NOW - age));
        self
    }

    pub(crate) fn approving(self, intent: &Intent) -> Self {
        self.approving_at(intent, NOW)
    }

    pub(crate) fn approving_at(mut self, intent: &Intent, when: u64) -> Self {
        self.approved.insert(intent.body_hash(), when);
        self
    }

    pub(crate) fn pinning(mut self, host: &str, address: Address) -> Self {
        self.pinned.insert(host.to_owned(), address);
        self
    }

    pub(crate) fn resolving(mut self, name: &str, owner: Address, wallet: Address) -> Self {
        self.resolved.insert(name.to_owned(), Resolved { owner, wallet });
        self
    }
}

impl Ledger for Book {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: u64) -> U256 {
        let debits = self.debits.iter().filter(|debit| debit.is_in(&scope));
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
        self.approved.get(&body).copied()
    }

    fn pinned(&self, host: &str) -> Option<Address> {
        self.pinned.get(host).copied()
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

/// How many random cases a test tries, and where they come from.
///
/// `MARQUE_CASES` sets the number for a full run, `MARQUE_SEED` (64 hex digits) repeats one. Each
/// case has dice of its own, so that a failure is told by seed and number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trials {
    pub(crate) cases: u64,
    pub(crate) seed: B256,
    /// Whether the environment asks for a number.
    pub(crate) full: bool,
}

impl Trials {
    /// So many cases, unless the environment asks for another number.
    pub(crate) fn new(name: &str, few: u64) -> Self {
        let asked = std::env::var("MARQUE_CASES").ok().map(|n| n.replace('_', ""));
        let cases = asked.as_ref().map_or(few, |n| n.parse().expect("MARQUE_CASES is a number"));
        let seed = match std::env::var("MARQUE_SEED") {
            Ok(seed) => seed.parse().expect("MARQUE_SEED has 64 hex digits"),
            Err(_) => B256::from_slice(&chance()),
        };
        if asked.is_some() {
            eprintln!("{name}: {cases} cases, MARQUE_SEED={seed:x}");
        }
        Self { cases, seed, full: asked.is_some() }
    }

    /// The dice of one case.
    pub(crate) fn dice(&self, case: u64) -> Dice {
        let mut dice = Dice(case);
        for word in self.seed.chunks(8) {
            dice.0 ^= u64::from_be_bytes(word.try_into().unwrap());
            dice.0 = dice.next();
        }
        dice
    }
}

fn chance() -> [u8; 32] {
    use std::hash::{BuildHasher as _, RandomState};
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_mut(8).enumerate() {
        word.copy_from_slice(&RandomState::new().hash_one(place).to_be_bytes());
    }
    bytes
}

/// A small generator of random numbers: SplitMix64, by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to one less than `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in so many cases of a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *self.pick(of)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
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

/// A permit for the usual payee.
pub(crate) fn permit(amount: Money, via: PermitVia) -> Intent {
    let Authorise { payee, to, amount, host, resource, labels } = pay("weather-feed", FEED, amount);
    Intent::PermitTransfer(PermitTransfer { payee, to, amount, host, resource, via, labels })
}

/// A permit of a stranger's that pays `to`, of which `charge` is taken.
pub(crate) fn settle_permit(to: Address, amount: Money, charge: Money, via: PermitVia) -> Intent {
    Intent::SettlePermit(SettlePermit {
        from: STRANGER,
        to,
        amount,
        charge,
        via,
        valid_after: 0,
        deadline: u64::MAX,
        nonce: U256::MAX,
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
    judge_as(policy, None, "t", intent, gas, book)
}

/// The same for an account below the agent, or in a certain task.
pub(crate) fn judge_as(
    policy: &Policy,
    sub_agent: Option<&str>,
    task: &str,
    intent: &Intent,
    gas: Option<Money>,
    book: &Book,
) -> Verdict {
    let request = Request { agent: "scout", sub_agent, task, intent, gas };
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
