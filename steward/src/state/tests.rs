//! The state in parts is the state, and what is archived answers as before.

use super::*;
use crate::{
    core::{Event, Facts, Reply, step},
    entry::{Body, Entry, OnChain, Order, PermitOrder, VERSION, Word},
    outflow::Draw,
};
use alloy_primitives::U256;
use marque_identity::Sent;
use marque_policies::{
    AssetId, Intent, Labels, Money, Scope,
    intent::{ToolUse, Transfer},
};
use marque_steward_client::{PaymentState, Proposal, Report, Said};

const DAY: Timestamp = 86_400_000;
const TOKEN: Address = Address::repeat_byte(0xaa);
const SHOP: Address = Address::repeat_byte(0xbb);
const START: Timestamp = 1_800_000_000_000;

const POLICY: &str = r#"
format = 1
version = 1
owner = "0x0000000000000000000000000000000000000001"
[chain.devnet]
id = "eip155:1"
rpc = ["http://127.0.0.1:9"]
finality = 1
native = "ETH"
[asset.USDC]
chain = "devnet"
token = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
decimals = 6
[limits.USDC]
total = "100"
[limits.gas]
day = "1 ETH"
[[payee]]
name = "shop"
address = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
[[tool]]
name = "now"
rate = "1000/day"
"#;

/// A ledger with its journal.
struct Town {
    state: State,
    entries: Vec<Entry>,
    now: Timestamp,
}

impl Town {
    fn new() -> Self {
        let mut town = Self { state: State::default(), entries: Vec::new(), now: START };
        let (policy, _) = marque_policies::parse(POLICY).unwrap();
        town.write(Body::Genesis(Genesis {
            origin: B256::repeat_byte(7),
            chain: 1,
            owner: policy.owner,
            chain_genesis: B256::ZERO,
            log_key: B256::ZERO,
            signature: String::new(),
        }));
        town.write(Body::Enroll { key: Address::repeat_byte(2), signature: String::new() });
        let (version, hash) = (policy.version, policy.hash);
        let document = POLICY.to_owned();
        town.write(Body::Adopt { version, hash, document, signature: String::new() });
        town
    }

    fn write(&mut self, body: Body) {
        let entry = Entry {
            v: VERSION,
            seq: self.state.next(),
            at: self.state.now(self.now),
            agent: Some("scout".to_owned()),
            word: Word::Attested,
            body,
        };
        self.state.apply(&entry).unwrap();
        self.entries.push(entry);
    }

    fn act(&mut self, event: Event) -> Reply {
        let step = step(&self.state, event, self.state.now(self.now));
        for (_, _, body) in step.entries {
            self.write(body);
        }
        step.reply
    }

    fn propose(&mut self, n: u32, intent: Intent) -> Reply {
        let policy = self.state.agent("scout").unwrap().policy.as_ref().unwrap().hash;
        let facts = Facts {
            policy,
            block: Some(crate::core::BlockFacts { number: 9, timestamp: self.now / 1_000 }),
            gas: Some(crate::core::GasPlan { limit: 1, max_fee: 1, max_priority_fee: 1 }),
            nonce: Some(0),
            ..Facts::default()
        };
        self.act(Event::Propose {
            agent: "scout".to_owned(),
            proposal: Box::new(proposal(n, intent)),
            facts: Box::new(facts),
        })
    }

    /// Pays and brings it to its end.
    fn buy(&mut self, n: u32) -> IntentId {
        let Reply::Allowed(id) = self.propose(n, pay()) else { panic!() };
        let at = OnChain { transaction: B256::ZERO, block: 1, block_hash: B256::ZERO };
        let actual = vec![usdc()];
        for body in [
            Body::Signed { id, hash: B256::ZERO },
            Body::Sent { id },
            Body::Seen { id, at },
            Body::Final { id, actual, time: None },
        ] {
            self.write(body);
        }
        id
    }

    fn mark(&mut self) {
        let state = self.state.seal().unwrap();
        self.write(Body::Checkpointed { format: STATE_FORMAT, state });
    }

    fn spent(&self, scope: &Scope<'_>, since: Timestamp) -> u64 {
        let asset = AssetId { chain: 1, token: TOKEN };
        self.state.debits().spent("scout", scope, asset, since).to()
    }
}

fn usdc() -> Money {
    Money::new(U256::from(5), AssetId { chain: 1, token: TOKEN })
}

fn pay() -> Intent {
    let (payee, amount) = ("shop".to_owned(), usdc());
    Intent::Transfer(Transfer { payee, to: SHOP, amount, labels: Labels::default() })
}

fn tool(name: &str) -> Intent {
    Intent::Tool(ToolUse {
        tool: name.to_owned(),
        fetch: None,
        arguments: Default::default(),
        labels: Labels::default(),
    })
}

fn proposal(n: u32, intent: Intent) -> Proposal {
    Proposal { task: format!("t{}", n % 7), step: n, ordinal: 0, attempt: 0, intent }
}

/// A town with purchases, refusals and tool uses, many of them archived.
fn old_town() -> (Town, Vec<IntentId>) {
    let mut town = Town::new();
    let mut bought = Vec::new();
    for n in 0..300 {
        match n % 3 {
            0 => bought.push(town.buy(n)),
            1 => drop(town.propose(n, tool("now"))),
            _ => drop(town.propose(n, tool("stranger"))),
        }
        town.now += 60_000;
    }
    town.now += 2 * 3_600_000;
    town.mark();
    assert!(town.state.archived_intents() > 150, "{}", town.state.archived_intents());
    assert!(town.state.intents().len() >= 128);
    (town, bought)
}

/// The same state by way of what the index keeps.
fn kept(state: &mut State) -> State {
    state.all_changed();
    let head = state.head_bytes().unwrap();
    let mut kept = State::of_head(&head).unwrap().unwrap();
    for (kind, id, bytes) in state.take_changed().unwrap() {
        if let Some(bytes) = bytes {
            kept.set_part(kind, id, &bytes).unwrap();
        }
    }
    kept.settle_parts();
    kept
}

#[test]
fn the_hash_of_a_state_that_grew_is_the_hash_of_one_made_at_once() {
    let (mut town, _) = old_town();
    for n in 300..340 {
        town.buy(n);
        // Sealed again and again: what is cached must follow every change.
        town.state.seal().unwrap();
    }
    let mut folded = State::fold(&town.entries).unwrap();
    assert_eq!(folded.seal().unwrap(), town.state.seal().unwrap());
    let mut kept = kept(&mut town.state);
    assert_eq!(kept.seal().unwrap(), town.state.seal().unwrap());
    assert_eq!(kept.hash(), town.state.hash());
    // And it is of everything.
    let whole = kept.seal().unwrap();
    let (intent, archived) =
        (*kept.intents.keys().next().unwrap(), *kept.archive.keys().next().unwrap());
    let debited = *kept.debits.rows().keys().next().unwrap();
    let (record, closed) = (kept.intents.remove(&intent).unwrap(), kept.archive.remove(&archived));
    assert_ne!(kept.seal().unwrap(), whole);
    kept.intents.insert(intent, record);
    assert_ne!(kept.seal().unwrap(), whole);
    kept.archive.insert(archived, closed.unwrap());
    assert_eq!(kept.seal().unwrap(), whole);
    kept.debits.tracked().get_mut(&debited).unwrap()[0].at += 1;
    assert_ne!(kept.seal().unwrap(), whole);
    town.write(Body::Stopped);
    assert_ne!(kept.seal().unwrap(), town.state.seal().unwrap());
}

#[test]
fn every_entry_that_changes_the_state_changes_its_hash_from_parts_alone() {
    let (town, _) = old_town();
    let mut state = State::default();
    let mut base = State::default();
    for (n, entry) in town.entries.iter().enumerate() {
        state.apply(entry).unwrap();
        // What an index would hold that is brought up to the state at every entry.
        if n % 10 == 0 {
            let head = state.head_bytes().unwrap();
            let mut next = State::of_head(&head).unwrap().unwrap();
            std::mem::swap(&mut next.intents, &mut base.intents);
            std::mem::swap(&mut next.archive, &mut base.archive);
            let totals =
                std::mem::replace(&mut next.debits, std::mem::take(&mut base.debits)).totals;
            next.debits.totals = totals;
            for (kind, id, bytes) in state.take_changed().unwrap() {
                match (bytes, kind) {
                    (Some(bytes), _) => next.set_part(kind, id, &bytes).unwrap(),
                    (None, Kind::Intent) => drop(next.intents.remove(&id)),
                    (None, Kind::Debits) => drop(next.debits.tracked().remove(&id)),
                    (None, Kind::Archived) => drop(next.archive.remove(&id)),
                }
            }
            assert_eq!(next.seal().unwrap(), state.seal().unwrap(), "after entry {n}");
            base = next;
        }
    }
}

#[test]
fn what_is_archived_is_answered_as_before_and_never_decided_again() {
    let (mut town, bought) = old_town();
    let old: Vec<_> = bought.iter().filter(|id| town.state.archived(**id).is_some()).collect();
    assert!(old.len() > 30);
    let sums = town.spent(&Scope::Agent, 0);
    for (n, id) in (0..300).step_by(3).zip(&bought).take(30) {
        let Some(entry) = town.state.archived(*id).map(|archived| archived.entry) else { continue };
        let status = town.state.status("scout", *id, town.now).unwrap();
        assert_eq!((status.state, status.block), (PaymentState::Final, Some(1)));
        assert!(town.state.status("other", *id, town.now).is_none());
        // A driver that forgets to read it back is told so, and nothing is paid.
        let Reply::Fault(fault) = town.propose(n, pay()) else { panic!() };
        assert_eq!(fault.code, "internal");
        let entry = town.entries[usize::try_from(entry).unwrap()].clone();
        town.state.recall(*id, &entry);
        assert_eq!(town.propose(n, pay()), Reply::Allowed(*id));
        let Reply::Fault(fault) = town.propose(n, tool("now")) else { panic!() };
        assert_eq!(fault.code, "id_reused");
        let said = Said::Undelivered { why: "nothing".to_owned() };
        let report = Report { intent: *id, said };
        town.act(Event::Report { agent: "scout".to_owned(), report });
        town.state.forget_recalled();
    }
    assert_eq!(town.spent(&Scope::Agent, 0), sums);
    // The shop is remembered for it.
    let nobody = BTreeMap::new();
    let ledger = Ledger::new(&town.state, "scout", None, &nobody, town.now);
    assert!(marque_policies::Ledger::owes_delivery(&ledger, SHOP));
    assert_eq!(State::fold(&town.entries).unwrap().hash(), town.state.hash());
}

#[test]
fn a_recalled_record_is_the_one_that_was_archived() {
    let (mut town, _) = old_town();
    let before = {
        let last = town.entries.pop().unwrap();
        let mut state = State::fold(&town.entries).unwrap();
        let records = state.intents().clone();
        state.apply(&last).unwrap();
        town.entries.push(last);
        records
    };
    let mut seen = 0;
    for (id, record) in before {
        let Some(archived) = town.state.archived(id) else { continue };
        let entry = town.entries[usize::try_from(archived.entry).unwrap()].clone();
        town.state.recall(id, &entry);
        let mut recalled = town.state.intent(id).unwrap().clone();
        recalled.closes = record.closes;
        assert_eq!(recalled, record);
        seen += 1;
        // Another entry is not taken for it.
        town.state.forget_recalled();
        town.state.recall(id, &town.entries[4].clone());
        assert!(town.state.intent(id).is_none() || town.entries[4].body.intent() == Some(id));
        town.state.forget_recalled();
    }
    assert!(seen > 150);
}

#[test]
fn the_sums_are_what_adding_up_the_rows_gives() {
    let (town, _) = old_town();
    let mut state = State::default();
    let mut some = 0;
    for (n, entry) in town.entries.iter().enumerate() {
        state.apply(entry).unwrap();
        let rows: Vec<_> = state.debits().iter().map(|(_, row)| row.clone()).collect();
        let Some(row) = rows.last() else { continue };
        let scopes = [
            Scope::Owner,
            Scope::Agent,
            Scope::Pool,
            Scope::Task(&row.task),
            Scope::Payee(row.payee.unwrap_or(SHOP)),
            Scope::SubAgent("helper"),
        ];
        for scope in scopes {
            // At every edge that there is: at the row's own moment it has left the window.
            let edges = rows.iter().flat_map(|row| [row.at - 1, row.at]);
            for since in edges.chain([0, entry.at, Timestamp::MAX - 1]).take(60) {
                let counted = rows.iter().filter(|one| {
                    one.amount.asset == row.amount.asset
                        && (one.standing == debits::Standing::InFlight || one.at > since)
                        && match &scope {
                            Scope::Owner | Scope::Agent => true,
                            Scope::Pool => one.pool,
                            Scope::Task(task) => one.task == *task,
                            Scope::Payee(payee) => one.payee == Some(*payee),
                            Scope::SubAgent(name) => one.sub_agent.as_deref() == Some(*name),
                        }
                });
                let sum = counted.fold(U256::ZERO, |sum, one| sum + one.amount.units);
                let older = if since == 0 {
                    state.debits().totals.of("scout", &scope, row.amount.asset)
                } else {
                    U256::ZERO
                };
                let found = state.debits().spent("scout", &scope, row.amount.asset, since);
                assert_eq!(found, sum + older, "{scope:?} after {since}, entry {n}");
                some += u64::from(!sum.is_zero());
            }
        }
    }
    assert!(some > 1_000, "there was something to add up: {some}");
}

#[test]
fn totals_stay_exact_when_old_debits_are_folded_into_sums() {
    let mut town = Town::new();
    let mut naive: Vec<(Timestamp, u32)> = Vec::new();
    for n in 0..60 {
        town.buy(n);
        naive.push((town.now, n % 7));
        town.now += DAY;
        if n % 8 == 0 {
            town.mark();
        }
        let sum = |since: Timestamp, task: Option<u32>| {
            let counted =
                naive.iter().filter(|(at, of)| *at > since && task.is_none_or(|task| task == *of));
            5 * counted.count() as u64
        };
        for since in [0, town.now - DAY, town.now - 30 * DAY] {
            assert_eq!(town.spent(&Scope::Owner, since), sum(since, None));
            assert_eq!(town.spent(&Scope::Agent, since), sum(since, None));
            assert_eq!(town.spent(&Scope::Payee(SHOP), since), sum(since, None));
            assert_eq!(town.spent(&Scope::Task("t3"), since), sum(since, Some(3)));
            assert_eq!(town.spent(&Scope::Pool, since), 0);
        }
    }
    assert!(town.state.debits().iter().count() < 2 * 45, "old rows are gone");
    let replayed = State::fold(&town.entries).unwrap();
    assert_eq!(replayed.hash(), town.state.hash());
}

/// A permit that was allowed, in place of a transfer.
fn permit(town: &mut Town, n: u32) -> (IntentId, B256) {
    let mut before = Town { entries: Vec::new(), state: town.state.clone(), now: town.now };
    let Reply::Allowed(id) = before.propose(n, pay()) else { panic!() };
    let Body::Allowed(mut allowed) = before.entries.pop().unwrap().body else { panic!() };
    let via = marque_policies::intent::PermitVia::Exact;
    let order = PermitOrder {
        amount: usdc(),
        from: KEY,
        to: SHOP,
        via,
        valid_after: 0,
        deadline: 9,
        nonce: id.permit_nonce(),
        block: 9,
    };
    allowed.decided.intent = Intent::PermitTransfer(marque_policies::intent::PermitTransfer {
        payee: "shop".to_owned(),
        to: SHOP,
        amount: usdc(),
        host: "shop.example".to_owned(),
        resource: "https://shop.example/data".to_owned(),
        via,
        labels: Labels::default(),
    });
    allowed.decided.body = allowed.decided.intent.body_hash();
    allowed.debits = vec![usdc()];
    let nonce = order.nonce.into();
    allowed.order = Order::PermitTransfer(order);
    town.write(Body::Allowed(allowed));
    (id, nonce)
}

const KEY: Address = Address::repeat_byte(2);

/// A transfer of the key's to the shop, in a transaction of some contract that hides what it calls.
fn drawn(value: u64, transaction: B256) -> Draw {
    let sent = Sent {
        from: Address::repeat_byte(0x55),
        to: Some(Address::repeat_byte(0x77)),
        input: Default::default(),
    };
    Draw { token: TOKEN, to: SHOP, value: U256::from(value), transaction, sent }
}

#[test]
fn what_an_archived_permit_let_go_is_no_theft_and_hides_none() {
    let mut town = Town::new();
    let (seen, seen_nonce) = permit(&mut town, 0);
    let carried = B256::repeat_byte(0x11);
    let at = OnChain { transaction: carried, block: 1, block_hash: B256::ZERO };
    town.write(Body::Seen { id: seen, at });
    town.write(Body::Final { id: seen, actual: vec![usdc()], time: None });
    let (expired, _) = permit(&mut town, 1);
    town.write(Body::Expired { id: expired, block: 9 });
    let foreign = |town: &Town, value, transaction: u8, to: Address| {
        let draw = Draw { to, ..drawn(value, B256::repeat_byte(transaction)) };
        let told = crate::outflow::explained(&town.state, ("scout", KEY), &draw).unwrap();
        let nonce = told.nonce;
        (town.state.foreign("scout", vec![told]).len(), nonce)
    };
    let archive = |town: &mut Town, from: u32| {
        for n in from..from + 200 {
            drop(town.propose(n, tool("now")));
        }
        town.now += 2 * 3_600_000;
        town.mark();
    };
    archive(&mut town, 100);
    assert!(town.state.archived(seen).is_some() && town.state.archived(expired).is_some());
    // A start that reads older blocks again finds the payment once more.
    assert_eq!(foreign(&town, 5, 0x11, SHOP), (0, seen_nonce));
    // The same from another transaction, or to somebody else, is nobody's payment of ours.
    assert_eq!(foreign(&town, 5, 0x22, SHOP).0, 1);
    assert_eq!(foreign(&town, 5, 0x11, Address::repeat_byte(0x66)).0, 1);

    // One that was drawn on nobody knows where explains no more than it let go.
    let (hidden, nonce) = permit(&mut town, 2);
    let actual = vec![usdc()];
    town.write(Body::Final { id: hidden, actual, time: None });
    town.now += 1_000;
    archive(&mut town, 400);
    assert!(town.state.archived(hidden).is_some());
    assert_eq!(foreign(&town, 5, 0x22, SHOP), (0, nonce));
    assert_eq!(foreign(&town, 6, 0x22, SHOP).0, 1);
    assert_eq!(foreign(&town, 5, 0x11, SHOP), (0, seen_nonce));
    assert_eq!(State::fold(&town.entries).unwrap().hash(), town.state.hash());
}

#[test]
fn only_a_permit_is_final_without_a_block_and_only_for_all_of_it() {
    let mut town = Town::new();
    let entry = |town: &Town, body| Entry {
        v: VERSION,
        seq: town.state.next(),
        at: town.state.now(town.now),
        agent: Some("scout".to_owned()),
        word: Word::Attested,
        body,
    };
    let (id, _) = permit(&mut town, 0);
    let half = vec![Money::new(U256::from(2), usdc().asset)];
    let less = entry(&town, Body::Final { id, actual: half, time: None });
    assert!(town.state.clone().apply(&less).is_err());
    let all = entry(&town, Body::Final { id, actual: vec![usdc()], time: None });
    town.state.clone().apply(&all).unwrap();
    let Reply::Allowed(id) = town.propose(1, pay()) else { panic!() };
    town.write(Body::Signed { id, hash: B256::ZERO });
    town.write(Body::Sent { id });
    let sent = entry(&town, Body::Final { id, actual: vec![usdc()], time: None });
    assert!(town.state.clone().apply(&sent).is_err());
}
