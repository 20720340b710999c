//! The steward's pure step over a ledger without a driver: one agent under one policy.

use alloy_primitives::{Address, B256, U256};
use marque_policies::{AssetId, Intent, IntentId, Money, Policy, intent::Authorise};
use marque_steward::{
    Body, State, Word,
    core::{BlockFacts, Effect, Event, Facts, Reply, Step, step},
    entry::{Genesis, OnChain},
};
use marque_steward_client::Proposal;

pub(crate) struct Ledger {
    state: State,
    policy: B256,
    asset: AssetId,
    payee: Address,
    tasks: u32,
}

impl Ledger {
    pub(crate) fn new(
        (policy, text): (&Policy, &str),
        (key, payee, asset): (Address, Address, AssetId),
        now: u64,
    ) -> Self {
        let mut ledger =
            Self { state: State::default(), policy: policy.hash, asset, payee, tasks: 0 };
        let scout = || Some("scout".to_owned());
        let signature = String::new;
        let genesis = Genesis {
            origin: B256::repeat_byte(7),
            chain: asset.chain,
            owner: policy.owner,
            chain_genesis: B256::ZERO,
            log_key: B256::ZERO,
            signature: signature(),
        };
        let adopt = Body::Adopt {
            version: policy.version,
            hash: policy.hash,
            document: text.to_owned(),
            signature: signature(),
        };
        ledger.write(now, vec![(None, Word::Attested, Body::Genesis(genesis))]);
        let enroll = Body::Enroll { key, signature: signature() };
        ledger.write(now, vec![(scout(), Word::Attested, enroll)]);
        ledger.write(now, vec![(scout(), Word::Attested, adopt)]);
        ledger
    }

    fn write(&mut self, now: u64, entries: Vec<(Option<String>, Word, Body)>) {
        let mut step = Step { entries, effect: Effect::None, reply: Reply::Noted(None) };
        for entry in step.number(&self.state, self.state.now(now * 1_000)) {
            self.state.apply(&entry).unwrap();
        }
    }

    /// Whether the steward allows a payment at this second; it is signed away then.
    pub(crate) fn pay(&mut self, units: u64, now: u64) -> Option<IntentId> {
        self.tasks += 1;
        let intent = Intent::Authorise(Authorise {
            payee: "shop".to_owned(),
            to: self.payee,
            amount: Money::new(U256::from(units), self.asset),
            host: "shop.example".to_owned(),
            resource: "https://shop.example/data".to_owned(),
            labels: Default::default(),
        });
        let task = format!("task {}", self.tasks);
        let proposal = Proposal { task, step: 0, ordinal: 0, attempt: 0, intent };
        let facts = Facts {
            policy: self.policy,
            block: Some(BlockFacts { number: 1, timestamp: now }),
            ..Facts::default()
        };
        let event = Event::Propose {
            agent: "scout".to_owned(),
            proposal: Box::new(proposal),
            facts: Box::new(facts),
        };
        let Step { entries, reply, .. } = step(&self.state, event, self.state.now(now * 1_000));
        self.write(now, entries);
        match reply {
            Reply::Allowed(id) => Some(id),
            Reply::Refused(_, table) => {
                let mut failed = table.iter().filter(|row| row.mend.is_some());
                assert!(failed.all(|row| row.rule.contains("limits.USD.")), "{table:#?}");
                None
            }
            other => panic!("{other:?}"),
        }
    }

    /// It was settled in a block of this time.
    pub(crate) fn settled(&mut self, id: IntentId, units: u64, time: u64) {
        let at = OnChain { transaction: B256::repeat_byte(1), block: 1, block_hash: B256::ZERO };
        let actual = vec![Money::new(U256::from(units), self.asset)];
        for body in [Body::Seen { id, at }, Body::Final { id, actual, time: Some(time) }] {
            self.write(time, vec![(Some("scout".to_owned()), Word::Attested, body)]);
        }
    }
}
