//! What the tests share: an owner, a policy, and proposals under it.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod dice;
pub(crate) mod homes;
pub(crate) mod town;
#[cfg(feature = "testing")]
pub(crate) mod victim;

use alloy_primitives::{Address, B256, U256, address};
use marque_contracts::{Authorization, TokenDomain, eip3009_digest};
use marque_identity_keys::{Key, Zeroizing, sign_statement};
use marque_policies::{
    AssetId, Intent, IntentId, Money, SignedStatement, Statement, Timestamp,
    intent::{Authorise, Cancel, Fetch, Settle, Sweep, ToolUse, Transfer},
};
use marque_steward::{
    Entry, State, Word,
    core::{BlockFacts, Event, Facts, GasPlan, Reply, Step, step},
    entry::{Body, Genesis},
};
use marque_steward_client::{Fault, Proposal};

pub(crate) const CHAIN: u64 = 31_337;
pub(crate) const TOKEN: Address = address!("00000000000000000000000000000000000000aa");
pub(crate) const SHOP: Address = address!("00000000000000000000000000000000000000bb");
pub(crate) const ORIGIN: B256 = B256::repeat_byte(7);
pub(crate) const GENESIS: B256 = B256::repeat_byte(8);
/// Unix milliseconds at which the tests' clock starts.
pub(crate) const START: Timestamp = 1_800_000_000_000;

pub(crate) fn key(byte: u8) -> Key {
    Key::from_bytes(&Zeroizing::new([byte; 32])).unwrap()
}

pub(crate) fn owner() -> Key {
    key(1)
}

pub(crate) fn agent() -> Key {
    key(2)
}

/// The tests' policy: hour 3.00, day 10.00, payments up to 1.00, asked above 0.50.
pub(crate) fn policy(version: u64) -> String {
    policy_for(version, owner().address(), "http://127.0.0.1:9", TOKEN, SHOP)
}

pub(crate) fn policy_for(
    version: u64,
    owner: Address,
    rpc: &str,
    token: Address,
    shop: Address,
) -> String {
    format!(
        r#"
format = 1
version = {version}
owner = "{owner}"
[chain.devnet]
id = "eip155:{CHAIN}"
rpc = ["{rpc}"]
finality = 1
native = "ETH"
[asset.USDC]
chain = "devnet"
token = "{token}"
decimals = 6
domain = {{ name = "Marque Test Dollar", version = "1" }}
[limits.USDC]
payment = "1.00"
hour = "3.00"
day = "10.00"
ask_above = "0.50"
[limits.gas]
day = "1 ETH"
[[payee]]
name = "shop"
address = "{shop}"
host = "shop.example"
[[tool]]
name = "fetch_data"
hosts = ["shop.example"]
rate = "5/min"
[income]
assets = ["USDC"]
"#
    )
}

pub(crate) fn usdc(units: u64) -> Money {
    Money::new(U256::from(units), AssetId { chain: CHAIN, token: TOKEN })
}

pub(crate) fn signed(by: &Key, statement: Statement, document: Option<String>) -> SignedStatement {
    sign_statement(by, statement, CHAIN, ORIGIN, document)
}

pub(crate) fn adopt(by: &Key, agent: &str, text: &str, origin: B256) -> SignedStatement {
    let (policy, _) = marque_policies::parse(text).unwrap();
    let statement =
        Statement::Adopt { agent: agent.into(), version: policy.version, policy: policy.hash };
    sign_statement(by, statement, CHAIN, origin, Some(text.to_owned()))
}

pub(crate) fn pay(units: u64) -> Intent {
    pay_in(usdc(units))
}

pub(crate) fn pay_in(amount: Money) -> Intent {
    Intent::Authorise(Authorise {
        payee: "shop".into(),
        to: SHOP,
        amount,
        host: "shop.example".into(),
        resource: "https://shop.example/data".into(),
        labels: Default::default(),
    })
}

pub(crate) fn transfer(units: u64) -> Intent {
    let (payee, amount) = ("shop".into(), usdc(units));
    Intent::Transfer(Transfer { payee, to: SHOP, amount, labels: Default::default() })
}

pub(crate) fn sweep(units: u64) -> Intent {
    Intent::Sweep(Sweep { amount: usdc(units) })
}

pub(crate) fn cancel(intent: IntentId) -> Intent {
    Intent::Cancel(Cancel { intent })
}

pub(crate) fn fetch() -> Intent {
    Intent::Tool(ToolUse {
        tool: "fetch_data".into(),
        fetch: Some(Fetch {
            method: "GET".into(),
            host: "shop.example".into(),
            path: "/data".into(),
            bytes_out: 40,
        }),
        arguments: Default::default(),
        labels: Default::default(),
    })
}

/// A payer's signed authorisation to `to`, valid long enough for every test.
pub(crate) fn settle(payer: &Key, to: Address, units: u64, nonce: u8, token: Address) -> Intent {
    let authorization = Authorization {
        from: payer.address(),
        to,
        value: U256::from(units),
        valid_after: 0,
        valid_before: START / 1_000 * 2,
        nonce: B256::repeat_byte(nonce),
    };
    let digest = eip3009_digest(&TokenDomain::test_dollar(CHAIN, token), &authorization);
    let signature = alloy_primitives::hex::encode_prefixed(payer.sign_digest(digest));
    Intent::Settle(Settle {
        from: authorization.from,
        to,
        amount: Money::new(authorization.value, AssetId { chain: CHAIN, token }),
        valid_after: 0,
        valid_before: authorization.valid_before,
        nonce: authorization.nonce,
        signature,
        resource: "https://feed.example/data".into(),
    })
}

pub(crate) fn proposal(task: &str, attempt: u32, intent: Intent) -> Proposal {
    Proposal { task: task.into(), step: 0, ordinal: 0, attempt, intent }
}

/// A ledger without a driver: entries, the state that they fold to, and a clock.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) state: State,
    pub(crate) entries: Vec<Entry>,
    pub(crate) now: Timestamp,
}

impl Bench {
    /// One owner, one agent "scout" under version 1 of the policy.
    pub(crate) fn new() -> Self {
        let mut bench = Self { state: State::default(), entries: Vec::new(), now: START };
        bench.write(vec![(
            None,
            Word::Attested,
            Body::Genesis(Genesis {
                origin: ORIGIN,
                chain: CHAIN,
                owner: owner().address(),
                chain_genesis: GENESIS,
                log_key: B256::ZERO,
                signature: String::new(),
            }),
        )]);
        let key = agent().address();
        bench.submit(Statement::Enroll { agent: "scout".into(), key }, None).unwrap();
        bench.adopt(1).unwrap();
        bench
    }

    pub(crate) fn write(&mut self, bodies: Vec<(Option<String>, Word, Body)>) {
        let mut step = Step {
            entries: bodies,
            effect: marque_steward::core::Effect::None,
            reply: Reply::Noted(None),
        };
        for entry in step.number(&self.state, self.state.now(self.now)) {
            entry.encode().unwrap();
            self.state.apply(&entry).unwrap();
            self.entries.push(entry);
        }
    }

    /// Steps and writes what follows; answers the reply.
    pub(crate) fn act(&mut self, event: Event) -> Reply {
        let step = step(&self.state, event, self.state.now(self.now));
        let Step { entries, reply, .. } = step;
        self.write(entries);
        reply
    }

    pub(crate) fn facts(&self) -> Facts {
        let policy = self.state.agent("scout").and_then(|a| a.policy.as_ref()).unwrap().hash;
        Facts {
            policy,
            block: Some(BlockFacts { number: 10, timestamp: self.now / 1_000 }),
            gas: Some(GasPlan { limit: 100_000, max_fee: 1_000_000_000, max_priority_fee: 1 }),
            nonce: Some(0),
            ..Facts::default()
        }
    }

    pub(crate) fn propose(&mut self, proposal: Proposal) -> Reply {
        let facts = self.facts();
        self.propose_with(proposal, facts)
    }

    pub(crate) fn propose_with(&mut self, proposal: Proposal, facts: Facts) -> Reply {
        self.act(Event::Propose {
            agent: "scout".into(),
            proposal: Box::new(proposal),
            facts: Box::new(facts),
        })
    }

    /// As the sub-agent of this name.
    pub(crate) fn propose_as(&mut self, sub_agent: &str, proposal: Proposal) -> Reply {
        let facts = Facts { sub_agent: Some(sub_agent.to_owned()), ..self.facts() };
        self.propose_with(proposal, facts)
    }

    /// Puts another policy in force.
    pub(crate) fn under(&mut self, text: &str) {
        self.hand_in(adopt(&owner(), "scout", text, ORIGIN)).unwrap();
    }

    pub(crate) fn spent(&self, scope: marque_policies::Scope<'_>) -> U256 {
        self.state.debits().spent("scout", &scope, usdc(0).asset, 0)
    }

    pub(crate) fn submit(
        &mut self,
        statement: Statement,
        document: Option<String>,
    ) -> Result<u64, Fault> {
        self.hand_in(signed(&owner(), statement, document))
    }

    pub(crate) fn hand_in(&mut self, signed: SignedStatement) -> Result<u64, Fault> {
        let next = self.state.next();
        match self.act(Event::Submit(Box::new(signed))) {
            Reply::Noted(entry) => Ok(entry.unwrap_or(next)),
            Reply::Fault(fault) => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn adopt(&mut self, version: u64) -> Result<u64, Fault> {
        self.hand_in(adopt(&owner(), "scout", &policy(version), ORIGIN))
    }

    pub(crate) fn approve(
        &mut self,
        id: IntentId,
        intent: &Intent,
        version: u64,
    ) -> Result<u64, Fault> {
        let deadline = self.now / 1_000 + 600;
        let (agent, body) = ("scout".into(), intent.body_hash());
        self.submit(Statement::Approve { agent, intent: id, body, version, deadline }, None)
    }

    pub(crate) fn moved(&mut self, body: Body) {
        self.act(Event::Moved(body));
    }
}

pub(crate) fn fault(reply: Reply) -> String {
    match reply {
        Reply::Fault(fault) => fault.code,
        other => panic!("no fault: {other:?}"),
    }
}

pub(crate) fn allowed(reply: Reply) -> IntentId {
    match reply {
        Reply::Allowed(id) => id,
        other => panic!("not allowed: {other:?}"),
    }
}

pub(crate) fn held(reply: Reply) -> IntentId {
    match reply {
        Reply::Held(id, _) => id,
        other => panic!("not held: {other:?}"),
    }
}

/// The rules that failed.
pub(crate) fn refused(reply: Reply) -> Vec<String> {
    match reply {
        Reply::Refused(_, table) => table
            .into_iter()
            .filter(|row| row.mark == marque_policies::Mark::Fail)
            .map(|row| row.rule)
            .collect(),
        other => panic!("not refused: {other:?}"),
    }
}
