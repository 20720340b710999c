//! What the worlds begin with: an owner, one to three agents, their policies and their drafts.
//!
//! Signing is slow, so everything that does not depend on a seed is made once.

use crate::support::{CHAIN, GENESIS, ORIGIN, START, TOKEN, adopt, key, owner, signed};
use alloy_primitives::{Address, B256, U256};
use marque_contracts::{Authorization, TokenDomain, eip3009_digest};
use marque_policies::{AssetId, Intent, Money, Policy, SignedStatement, Statement, intent::Settle};
use marque_steward::{
    Entry, State, Word,
    core::{Event, step},
    entry::{Body, Genesis, VERSION},
};
use std::{collections::BTreeMap, sync::OnceLock};

pub(crate) const NAMES: [&str; 3] = ["ada", "bob", "cyd"];
/// Accounts below each agent.
pub(crate) const BELOW: [&str; 2] = ["helper", "twin"];
pub(crate) const PAYEES: [(&str, Address); 2] =
    [("shop", Address::repeat_byte(0xb1)), ("feed", Address::repeat_byte(0xb2))];

/// Blocks on top of one that is final.
pub(crate) const FINALITY: u64 = 12;

/// Versions of each policy that the owner has ready.
pub(crate) const DRAFTS: u64 = 4;

/// How a world begins.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) agents: usize,
    pub(crate) endpoints: usize,
    pub(crate) entries: Vec<Entry>,
    pub(crate) state: State,
    /// By agent, from version 2 on.
    pub(crate) drafts: Vec<Vec<SignedStatement>>,
    /// Authorisations that pay each agent.
    pub(crate) income: Vec<Vec<Intent>>,
    /// By hash.
    pub(crate) policies: BTreeMap<B256, Policy>,
}

pub(crate) fn address(agent: usize) -> Address {
    key(u8::try_from(agent).unwrap() + 2).address()
}

/// One of six beginnings.
pub(crate) fn setup(which: usize) -> &'static Setup {
    static SETUPS: OnceLock<Vec<Setup>> = OnceLock::new();
    let setups = SETUPS.get_or_init(|| {
        let kinds = (1..=3).flat_map(|agents| [(agents, 1), (agents, 2)]);
        kinds.map(|(agents, endpoints)| Setup::new(agents, endpoints)).collect()
    });
    &setups[which % setups.len()]
}

fn document(version: u64, agent: usize, endpoints: usize) -> String {
    // Later versions are tighter here and wider there.
    let (hour, day, shop, helper) = match (version + agent as u64) % 3 {
        0 => ("3.00", "10.00", "6.00", "3.00"),
        1 => ("2.50", "12.00", "3.00", "2.00"),
        _ => ("4.00", "6.00", "5.50", "2.50"),
    };
    let rpc = if endpoints == 1 { r#""http://one""# } else { r#""http://one", "http://two""# };
    format!(
        r#"
format = 1
version = {version}
[owner]
address = "{owner}"
[chain.devnet]
id = "eip155:{CHAIN}"
rpc = [{rpc}]
finality = {FINALITY}
native = "ETH"
[asset.USDC]
chain = "devnet"
token = "{TOKEN}"
decimals = 6
domain = {{ name = "Marque Test Dollar", version = "1" }}
[limits.USDC]
payment = "1.00"
hour = "{hour}"
day = "{day}"
total = "30.00"
ask_above = "0.80"
[limits.gas]
hour = "0.012 ETH"
day = "0.040 ETH"
[owner.limits.USDC]
hour = "5.00"
day = "14.00"
[owner.limits.gas]
day = "0.060 ETH"
[task.limits.USDC]
day = "2.00"
[float.USDC]
low = "0.20"
high = "1.20"
[[payee]]
name = "shop"
address = "{shop_at}"
host = "shop.example"
day = "{shop} USDC"
[[payee]]
name = "feed"
address = "{feed_at}"
host = "feed.example"
hour = "1.50 USDC"
[[tool]]
name = "fetch_data"
hosts = ["shop.example"]
rate = "5/min"
[income]
assets = ["USDC"]
[sub_agent.helper]
payees = ["shop", "feed"]
tools = ["fetch_data"]
[sub_agent.helper.limits.USDC]
hour = "1.20"
day = "{helper}"
[sub_agent.helper.limits.gas]
day = "0.006 ETH"
[sub_agent.twin]
payees = ["shop"]
[sub_agent.twin.limits.USDC]
total = "4.00"
[sub_agent.twin.limits.gas]
hour = "0.004 ETH"
"#,
        owner = owner().address(),
        shop_at = PAYEES[0].1,
        feed_at = PAYEES[1].1,
    )
}

impl Setup {
    fn new(agents: usize, endpoints: usize) -> Self {
        let mut setup = Self {
            agents,
            endpoints,
            entries: Vec::new(),
            state: State::default(),
            drafts: Vec::new(),
            income: Vec::new(),
            policies: BTreeMap::new(),
        };
        let genesis = Genesis {
            origin: ORIGIN,
            chain: CHAIN,
            owner: owner().address(),
            chain_genesis: GENESIS,
            log_key: B256::ZERO,
            signature: String::new(),
        };
        setup.write(None, Body::Genesis(genesis));
        for (agent, name) in NAMES.iter().enumerate().take(agents) {
            let (name, key) = ((*name).to_owned(), address(agent));
            setup.submit(signed(&owner(), Statement::Enroll { agent: name.clone(), key }, None));
            let mut versions = Vec::new();
            for version in 1..=DRAFTS {
                let text = document(version, agent, endpoints);
                let (policy, _) = marque_policies::parse(&text).unwrap();
                setup.policies.insert(policy.hash, policy);
                versions.push(adopt(&owner(), &name, &text, ORIGIN));
            }
            setup.submit(versions.remove(0));
            setup.drafts.push(versions);
            setup.income.push((0..8).map(|n| income(agent, n)).collect());
        }
        setup
    }

    fn write(&mut self, agent: Option<String>, body: Body) {
        let seq = self.state.next();
        let entry = Entry { v: VERSION, seq, at: START, agent, word: Word::Attested, body };
        self.state.apply(&entry).unwrap();
        self.entries.push(entry);
    }

    fn submit(&mut self, statement: SignedStatement) {
        let mut next = step(&self.state, Event::Submit(Box::new(statement)), START);
        for entry in next.number(&self.state, START) {
            self.state.apply(&entry).unwrap();
            self.entries.push(entry);
        }
    }
}

/// An authorisation of a stranger that pays an agent, valid for ten minutes or for days.
fn income(agent: usize, n: u8) -> Intent {
    let payer = key(100 + n);
    let valid_before = START / 1_000 + if n.is_multiple_of(2) { 600 } else { 100_000 };
    let mut nonce = [n; 32];
    nonce[0] = u8::try_from(agent).unwrap();
    let authorization = Authorization {
        from: payer.address(),
        to: address(agent),
        value: U256::from(20_000),
        valid_after: 0,
        valid_before,
        nonce: B256::from(nonce),
    };
    let digest = eip3009_digest(&TokenDomain::test_dollar(CHAIN, TOKEN), &authorization);
    Intent::Settle(Settle {
        from: authorization.from,
        to: authorization.to,
        amount: Money::new(authorization.value, AssetId { chain: CHAIN, token: TOKEN }),
        valid_after: 0,
        valid_before,
        nonce: authorization.nonce,
        signature: alloy_primitives::hex::encode_prefixed(payer.sign_digest(digest)),
        resource: format!("https://{}.example/data", NAMES[agent]),
    })
}
