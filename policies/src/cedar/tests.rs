//! What only the inside can show: that forbids answer as Cedar's own authorizer does, that what
//! errs forbids, that the facts fit the schema, and that no text exhausts the stack.

use super::{
    Forbids, Names, SCHEMA,
    context::{Action, Facts, Wanted, context, entity, micros},
    engine::{Answer, Engine, Rule},
    text::{MOST_STATEMENTS, MOST_WORDS, statements},
};
use crate::{
    AssetId, Intent, Label, Labels, Ledger, Money, Policy, Request, Resolved, Scope,
    error::Source,
    intent::{Authorise, Fetch, Settle, ToolUse, Transfer},
};
use alloy_primitives::{Address, B256, U256};
use cedar_policy::{
    Authorizer, Entities, Entity, EntityTypeName, PolicyId, PolicySet, Request as Asked, Schema,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    str::FromStr as _,
    sync::LazyLock,
};

/// Monday, 1 January 2024, 00:00 UTC.
const MONDAY: u64 = 1_704_067_200_000;
const USDC: AssetId = AssetId { chain: 31337, token: Address::repeat_byte(0x55) };

const POLICY: &str = r#"
format = 1
version = 1
owner = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"
[asset.USDC]
chain = "devnet"
token = "0x5555555555555555555555555555555555555555"
decimals = 6
[limits.USDC]
payment = "1.00"
day = "3.00"
[[payee]]
name = "market"
address = "0xfefefefefefefefefefefefefefefefefefefefe"
[[tool]]
name = "fetch"
hosts = ["feed.example"]
"#;

fn policy() -> Policy {
    let (mut policy, _) = crate::parse(POLICY).unwrap();
    policy.payees.get_mut("market").unwrap().category = Some("compute".to_owned());
    policy
}

fn names() -> Names<'static> {
    Names {
        payees: BTreeSet::from(["market"]),
        categories: BTreeSet::from(["compute", "data"]),
        tools: BTreeSet::from(["fetch"]),
        assets: BTreeSet::from(["USDC", "ETH"]),
        sub_agents: BTreeSet::from(["helper"]),
    }
}

fn source(text: &str) -> Source<'_> {
    Source { file: "policy.cedar", text }
}

/// A ledger in which everybody spent the same.
#[derive(Clone, Copy, Debug)]
struct Flat {
    spent: u64,
    owes: bool,
}

const NOTHING: Flat = Flat { spent: 0, owes: false };

impl Ledger for Flat {
    fn spent(&self, _: Scope<'_>, _: AssetId, _: u64) -> U256 {
        U256::from(self.spent)
    }
    fn uses(&self, _: &str, _: u64) -> u64 {
        0
    }
    fn bytes_out(&self, _: &str, _: u64) -> u64 {
        0
    }
    fn approved(&self, _: B256) -> Option<u64> {
        None
    }
    fn pinned(&self, _: &str) -> Option<Address> {
        None
    }
    fn resolved(&self, _: &str) -> Option<Resolved> {
        None
    }
    fn owes_delivery(&self, _: Address) -> bool {
        self.owes
    }
    fn agent_address(&self) -> Address {
        Address::repeat_byte(0x0b)
    }
}

fn pay(payee: &str, units: U256, labels: Labels) -> Intent {
    Intent::Authorise(Authorise {
        payee: payee.to_owned(),
        to: Address::repeat_byte(0xfe),
        amount: Money::new(units, USDC),
        host: "Feed.Example".to_owned(),
        resource: "https://feed.example/data".to_owned(),
        labels,
    })
}

fn request(intent: &Intent) -> Request<'_> {
    Request { agent: "scout", sub_agent: None, task: "t", intent, gas: None }
}

/// Everything that an action has.
fn everything(action: Action) -> Wanted {
    let mut wanted = Wanted::default();
    let common = ["now", "weekday", "minute", "task"];
    let own: &[&str] = match action {
        Action::Pay => &[
            "asset",
            "amount_micros",
            "known",
            "host",
            "resource",
            "transaction",
            "first_payment",
            "delivers",
            "payee_day",
            "payee_total",
            "sub_agent",
            "labels",
        ],
        Action::Use => &["fetches", "host", "method", "path", "bytes_out", "sub_agent", "labels"],
        Action::Collect => &["asset", "amount_micros", "resource"],
    };
    common.iter().chain(own).for_each(|attribute| wanted.add(attribute, None));
    if action == Action::Pay {
        for part in ["hour", "day", "days30", "total"] {
            wanted.add("fits", Some(part));
            wanted.add("spent", Some(part));
        }
        wanted.add("fits", Some("payment"));
    }
    wanted
}

/// What Cedar's own authorizer is asked: the whole context, held against the schema.
fn asked(facts: &Facts<'_>, labels: &BTreeSet<&str>) -> (Asked, Entities) {
    static KNOWN: LazyLock<Schema> =
        LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).unwrap().0);
    let kind = |name| EntityTypeName::from_str(name).unwrap();
    let told = facts.tell(&everything(facts.action()));
    let labels = (facts.action() != Action::Collect).then_some(labels);
    let (resource_kind, name, category) = facts.resource();
    let resource = entity(&kind(resource_kind), name);
    let parents = category.map(|category| entity(&kind("Category"), category));
    let entities = [Entity::new_no_attrs(resource.clone(), HashSet::from_iter(parents))];
    let asked = Asked::new(
        entity(&kind("Agent"), facts.agent()),
        entity(&kind("Action"), facts.action().name()),
        resource,
        context(&told, labels).unwrap(),
        Some(&*KNOWN),
    );
    (asked.unwrap(), Entities::from_entities(entities, None).unwrap())
}

fn label(class: usize) -> Label {
    match class {
        0 => Label::Web("a.example".to_owned()),
        1 => Label::Peer("b".to_owned()),
        2 => Label::Memory,
        3 => Label::Model,
        _ => Label::Owner,
    }
}

prop_compose! {
    fn intents()(
        kind in 0..4_u8,
        name in prop_oneof![Just("market".to_owned()), Just("fetch".to_owned()), ".*"],
        units in prop_oneof![0..4_000_000_u64, Just(u64::MAX)],
        text in prop_oneof![Just("Feed.Example".to_owned()), Just("127.0.0.1:80".to_owned()), ".*"],
        fetches in any::<bool>(),
        labels in proptest::collection::btree_set(0..5_usize, 0..4),
    ) -> Intent {
        let labels = Labels(labels.into_iter().map(label).collect());
        let amount = Money::new(U256::from(units), USDC);
        let to = Address::repeat_byte(0xfe);
        match kind {
            0 => Intent::Authorise(Authorise {
                payee: name, to, amount, host: text.clone(), resource: text, labels,
            }),
            1 => Intent::Transfer(Transfer { payee: name, to, amount, labels }),
            2 => Intent::Tool(ToolUse {
                tool: name,
                fetch: fetches.then_some(Fetch {
                    method: "get".to_owned(), host: text.clone(), path: text, bytes_out: units,
                }),
                arguments: BTreeMap::new(),
                labels,
            }),
            _ => Intent::Settle(Settle {
                from: to, to, amount, valid_after: 0, valid_before: 0, nonce: B256::ZERO,
                signature: text.clone(), resource: text,
            }),
        }
    }
}

/// A condition on a payment, mostly one that makes sense.
fn conditions() -> impl Strategy<Value = String> {
    let atoms = proptest::sample::select(vec![
        "context.amount_micros > 1000000",
        "context.amount_micros <= 2000000",
        "context.asset == \"USDC\"",
        "[\"ETH\", \"USDC\"].contains(context.asset)",
        "context.host like \"*.example\"",
        "context.known",
        "context.first_payment",
        "context.fits.day",
        "context.fits.payment",
        "context.spent.day >= 1000000",
        "context.payee_day > 0",
        "context.weekday == 0",
        "context.minute < 360",
        "context.now < datetime(\"2024-01-01T12:00:00Z\")",
        "context.now.toTime() < duration(\"6h\")",
        "context.now.toDate() == datetime(\"2024-01-01\")",
        "context.labels.contains(\"web\")",
        "context.labels.containsAny([\"peer\", \"memory\"])",
        "[\"web\", \"model\"].containsAll(context.labels)",
        "context.labels.isEmpty()",
        "context.transaction",
        "context.delivers",
        "context has host",
        "resource == Payee::\"market\"",
        "resource in Category::\"compute\"",
        "resource in [Category::\"data\", Payee::\"market\"]",
        "principal == Agent::\"scout\"",
        "principal is Agent",
    ]);
    atoms.prop_map(str::to_owned).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b}) // or\n")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn forbid() -> impl Strategy<Value = String> {
    let scopes = proptest::sample::select(vec![
        "principal, action == Action::\"pay\", resource",
        "principal == Agent::\"scout\", action == Action::\"pay\", resource,",
        "principal is Agent, action in [Action::\"pay\"], resource in Category::\"compute\"",
        "principal, action == Action::\"pay\", resource == Payee::\"market\" // ), unless {\n",
        "principal, action == Action::\"pay\", resource is Payee in Category::\"data\"",
    ]);
    (scopes, conditions(), proptest::option::of(conditions())).prop_map(|(scope, when, unless)| {
        let unless = unless.map(|unless| format!(" unless {{ {unless} }}")).unwrap_or_default();
        format!("forbid ({scope}) when {{ {when} }}{unless};\n")
    })
}

fn subsets<'a>(labels: &BTreeSet<&'a str>) -> Vec<BTreeSet<&'a str>> {
    let mut all = vec![BTreeSet::new()];
    for label in labels {
        let with: Vec<_> = all.iter().map(|set| &BTreeSet::from([*label]) | set).collect();
        all.extend(with);
    }
    all
}

/// `MARQUE_CASES` asks for more than a few.
fn cases() -> ProptestConfig {
    let asked = std::env::var("MARQUE_CASES").ok();
    let cases = asked.and_then(|cases| cases.replace('_', "").parse().ok()).unwrap_or(24);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn facts_fit_the_schema(intent in intents(), spent: u64, owes: bool, now: u64) {
        let policy = policy();
        let (request, ledger) = (request(&intent), Flat { spent, owes });
        let facts = Facts::of(&policy, &request, &ledger, now).unwrap();
        asked(&facts, &facts.labels().unwrap_or_default());
    }

    #[test]
    fn forbids_answer_as_cedar_does(
        forbids in proptest::collection::vec(forbid(), 1..4),
        intent in intents(),
        spent in 0..5_000_000_u64,
        now in MONDAY..MONDAY + 8 * 86_400_000,
    ) {
        // A forbid that can never apply is not read; it is no case.
        let forbids: Vec<String> = forbids
            .into_iter()
            .filter(|forbid| Forbids::read(source(forbid), &names()).is_ok())
            .collect();
        let text = forbids.concat();
        let read = Forbids::read(source(&text), &names()).unwrap();
        let (policy, ledger) = (policy(), Flat { spent, owes: false });
        let request = request(&intent);
        let rows = read.judge(&policy, &request, &ledger, now);
        let facts = Facts::of(&policy, &request, &ledger, now).unwrap();
        if facts.action() != Action::Pay {
            prop_assert!(rows.is_empty());
            return Ok(());
        }
        prop_assert_eq!(rows.len(), forbids.len());
        for (forbid, row) in forbids.iter().zip(&rows) {
            let policy = cedar_policy::Policy::parse(Some(PolicyId::new("it")), forbid).unwrap();
            let mut set = PolicySet::new();
            set.add(policy).unwrap();
            let labelled = forbid.contains("labels");
            let sets = if labelled { subsets(&facts.labels().unwrap_or_default()) } else { vec![BTreeSet::new()] };
            let applies = sets.iter().any(|labels| {
                let (asked, entities) = asked(&facts, labels);
                let response = Authorizer::new().is_authorized(&asked, &set, &entities);
                assert_eq!(response.diagnostics().errors().count(), 0);
                response.diagnostics().reason().next().is_some()
            });
            prop_assert_eq!(row.mark == crate::Mark::Fail, applies, "{} {}", forbid, row);
        }
    }

    #[test]
    fn micros_are_rounded_up_and_end_at_the_largest_number(units: u64, decimals in 0..=255_u8) {
        let found = micros(U256::from(units), decimals);
        let units = u128::from(units);
        let exact = match decimals {
            0..=6 => units * 10_u128.pow(6 - u32::from(decimals)),
            7..=40 => units.div_ceil(10_u128.pow(u32::from(decimals) - 6)),
            _ => u128::from(units > 0),
        };
        prop_assert_eq!(found, i64::try_from(exact).unwrap_or(i64::MAX));
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*") {
        drop(Forbids::read(source(&text), &names()));
    }

    #[test]
    fn no_heap_of_words_makes_reading_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "forbid", "permit", "(", ")", "{", "}", "[", "]", "principal", "action", "resource",
            ",", ";", "when", "unless", "context", ".", "host", "==", "&&", "||", "!", "in", "is",
            "has", "like", "\"a\"", "\"", "@", "id", "reason", "Payee", "::", "1", "if", "then",
            "else", "//", "\n", "?", "-", "+", "*", "Action", "\"pay\"", "true", "\\",
        ]), 0..60),
    ) {
        drop(Forbids::read(source(&words.join(" ")), &names()));
    }
}

#[test]
fn amounts_past_all_numbers_saturate() {
    assert_eq!(micros(U256::MAX, 0), i64::MAX);
    assert_eq!(micros(U256::MAX, 6), i64::MAX);
    assert_eq!(micros(U256::MAX, 77), 1_157_921);
    assert_eq!(micros(U256::MAX, 255), 1);
    assert_eq!(micros(U256::ZERO, 255), 0);
}

/// A rule that no reader would make: arithmetic that overflows.
fn overflowing() -> Engine {
    let text = "forbid (principal, action == Action::\"pay\", resource)
                when { context.amount_micros + 1 > 0 };";
    let statement = statements(source(text)).unwrap().remove(0);
    let policy = cedar_policy::Policy::parse(None, text).unwrap();
    let mut wanted = Wanted::default();
    wanted.add("amount_micros", None);
    Engine::new(&[Rule::new(&statement, &policy, wanted).unwrap()]).unwrap()
}

#[test]
fn what_errs_forbids() {
    let (policy, engine) = (policy(), overflowing());
    let answer = |units: U256| {
        let intent = pay("market", units, Labels::default());
        let request = request(&intent);
        let facts = Facts::of(&policy, &request, &NOTHING, MONDAY).unwrap();
        engine.judge(&facts).remove(&0).unwrap()
    };
    assert_eq!(answer(U256::from(1)), Answer::Applies);
    let Answer::Broken(error) = answer(U256::MAX) else { panic!("it must be broken") };
    assert!(error.contains("overflow"), "{error}");
}

#[test]
fn what_cannot_be_told_forbids() {
    let text = "forbid (principal, action == Action::\"pay\", resource) when { context.nothing };";
    let statement = statements(source(text)).unwrap().remove(0);
    let cedar = cedar_policy::Policy::parse(None, text).unwrap();
    let mut wanted = Wanted::default();
    wanted.add("nothing", None);
    let engine = Engine::new(&[Rule::new(&statement, &cedar, wanted).unwrap()]).unwrap();
    let (policy, intent) = (policy(), pay("market", U256::from(1), Labels::default()));
    let request = request(&intent);
    let facts = Facts::of(&policy, &request, &NOTHING, MONDAY).unwrap();
    assert!(matches!(engine.judge(&facts).get(&0), Some(Answer::Broken(_))));
}

#[test]
fn what_is_within_bounds_fits_the_stack_and_what_is_not_is_told() {
    let read = |when: &str| {
        let text = format!("forbid (principal, action, resource) when {{ {when} }};");
        Forbids::read(source(&text), &names()).map_err(|error| error.to_string())
    };
    // The longest chains that fit, and the deepest: they are read, and on a small stack.
    let chains = [
        ["context.minute < 5"; 54].join(" && "),
        ["context.minute < 5"; 54].join(" || "),
        format!("{}true", "if context.minute < 5 then true else ".repeat(40)),
        format!("{}context.minute < 5{}", "(".repeat(15), ")".repeat(15)),
    ];
    for chain in &chains {
        read(chain).unwrap_or_else(|error| panic!("{error}"));
    }
    for nested in ["(", "[", "{", "!", "if ", "((!", "a.", "1 + ", "if true then "] {
        let error = read(&nested.repeat(10_000)).unwrap_err();
        assert!(error.starts_with("policy.cedar:1:"), "{error}");
    }
    let many = "forbid (principal, action, resource);\n".repeat(MOST_STATEMENTS + 1);
    let error = Forbids::read(source(&many), &names()).unwrap_err().to_string();
    assert_eq!(error, "policy.cedar:201:1: more than 200 forbids");
    let long = format!("forbid ({}", "principal ".repeat(MOST_WORDS));
    let error = Forbids::read(source(&long), &names()).unwrap_err().to_string();
    assert_eq!(error, "policy.cedar:1:3989: a forbid of more than 400 words and signs");
}

#[test]
fn two_hundred_forbids_are_judged_on_a_small_stack() {
    let text = "forbid (principal, action, resource) when { context.minute < 5 };\n";
    let forbids = Forbids::read(source(&text.repeat(MOST_STATEMENTS)), &names()).unwrap();
    let (policy, intent) = (policy(), pay("market", U256::from(1), Labels::default()));
    for (now, fails) in [(MONDAY, true), (MONDAY + 5 * 60_000, false)] {
        let rows = forbids.judge(&policy, &request(&intent), &NOTHING, now);
        assert_eq!(rows.len(), MOST_STATEMENTS);
        for row in rows {
            assert_eq!(row.mark == crate::Mark::Fail, fails, "{row}");
        }
    }
}
