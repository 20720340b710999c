//! Policies compiled into delegations, the table of what the chain carries, and drift; without a chain.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use alloy_primitives::{Address, B256, U256, address};
use k256::ecdsa::SigningKey;
use marque_contracts::delegation::{
    Caveat, Delegation, Erc20Period, Framework, Limit, Part, Redeemers, RollingSpend, Terms as _,
    Timestamp,
};
use marque_identity::account::{
    Carried, Drift, Grant, Ground, Permissions, PermissionsError, Rule, SignedGrant, bounds,
    compile, drift, rules,
};
use marque_policies::{
    AssetId, DraftKind, DraftParams, DraftPayee, Money, Pin, Policy, draft_sources, parse,
    parse::compile as read,
};
use std::collections::{BTreeMap, BTreeSet};

const CHAIN: u64 = 84_532;
/// Whose key is 1.
const OWNER: Address = address!("7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
const AGENT: Address = Address::repeat_byte(0x0b);
const OTHER: Address = Address::repeat_byte(0x0c);
const ACCOUNT: Address = Address::repeat_byte(0xac);
const TOKEN: Address = Address::repeat_byte(0x55);
const FEED: Address = Address::repeat_byte(0xfe);
const USDC: AssetId = AssetId { chain: CHAIN, token: TOKEN };
const DAY: u64 = 86_400;

fn ground() -> Ground {
    Ground {
        framework: Framework::public(CHAIN).unwrap(),
        account: ACCOUNT,
        agent: AGENT,
        nonce: U256::ZERO,
        until: 1_900_000_000,
        salt: U256::from(7),
    }
}

fn params() -> DraftParams {
    let payee = |name: &str, pin| DraftPayee {
        name: name.to_owned(),
        pin,
        host: Some("feed.example".to_owned()),
        so_far: Some(U256::from(250_000)),
    };
    DraftParams {
        owner: OWNER,
        chain_name: "base-sepolia".to_owned(),
        chain_id: CHAIN,
        rpc: vec!["http://127.0.0.1:8545".to_owned()],
        finality: "2".to_owned(),
        native: "ETH".to_owned(),
        registry: Some(Address::repeat_byte(0x80)),
        asset: "USDC".to_owned(),
        token: TOKEN,
        token_domain: ("USDC".to_owned(), "2".to_owned()),
        decimals: 6,
        limits: None,
        float: None,
        payees: vec![
            payee("feed", Pin::Agent { id: U256::from(1), owner: OTHER, wallet: FEED }),
            payee("muscle", Pin::Address(OTHER)),
        ],
        data_hosts: vec!["feed.example".to_owned()],
        compute_hosts: vec!["muscle.example".to_owned()],
    }
}

/// A policy of which everything but the limits is fixed.
fn policy(limits: &str) -> Policy {
    let text = format!(
        "format = 1\nversion = 3\nowner = {{ address = \"{OWNER}\"{} }}\n\
         [chain.base-sepolia]\nid = \"eip155:{CHAIN}\"\nrpc = [\"http://127.0.0.1:8545\"]\n\
         finality = 2\nnative = \"ETH\"\n[asset.USDC]\ntoken = \"{TOKEN}\"\ndecimals = 6\n{}\n\
         [[payee]]\nname = \"feed\"\naddress = \"{FEED}\"\n\
         [[payee]]\nname = \"shop\"\nhost = \"shop.example\"\n",
        limits.split_once('|').map_or("", |(all, _)| all),
        limits.split_once('|').map_or(limits, |(_, own)| own),
    );
    parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")).0
}

const OWN: &str = "[limits.USDC]\npayment = \"1\"\nhour = \"3\"\nday = \"10\"\ndays30 = \"100\"\n\
                   total = \"200\"\nask_above = \"0.50\"\n[limits.gas]\nday = \"0.01 ETH\"\n";
const TOGETHER: &str = ", limits = { USDC = { day = \"20\" } }|";

fn terms(delegation: &Delegation, part: Part) -> Vec<&Caveat> {
    let at = ground().framework.at(part);
    delegation.caveats.iter().filter(|caveat| caveat.enforcer == at).collect()
}

fn rolling(delegation: &Delegation) -> RollingSpend {
    let [caveat] = terms(delegation, Part::RollingSpend)[..] else { panic!("{delegation:?}") };
    RollingSpend::decode(&caveat.terms).unwrap()
}

fn dollars(n: u64) -> U256 {
    U256::from(n * 1_000_000)
}

/// The owner's signature, by an implementation that is not ours.
fn signature(digest: B256) -> Vec<u8> {
    let key = SigningKey::from_slice(&B256::with_last_byte(1)[..]).unwrap();
    let (signature, recovery) = key.sign_prehash_recoverable(&digest[..]).unwrap();
    [&signature.to_bytes()[..], &[27 + recovery.to_byte()]].concat()
}

/// With the owner's signatures.
fn signed(policy: &Policy, ground: &Ground) -> Permissions {
    let sign = |it: &Delegation| it.clone().signed(signature(it.digest(&ground.framework)));
    let grants = compile(policy, ground).unwrap();
    let grants = grants.iter().map(|grant| SignedGrant {
        asset: grant.asset,
        delegations: grant.delegations().map(sign).collect(),
    });
    Permissions::new(policy, ground, grants.collect()).unwrap()
}

#[test]
fn a_policy_is_compiled_to_the_same_delegations_every_time() {
    let grants = compile(&policy(OWN), &ground()).unwrap();
    assert_eq!(grants, compile(&policy(OWN), &ground()).unwrap());
    let [Grant { asset: USDC, link: None, leaf }] = &grants[..] else { panic!("{grants:?}") };
    assert_eq!((leaf.delegator, leaf.delegate, leaf.salt), (ACCOUNT, AGENT, U256::from(7)));
    let limits = rolling(leaf);
    let limit = |window, most| Limit { window, most: dollars(most) };
    let all = [
        limit(0, 1),
        limit(3_600, 3),
        limit(DAY, 10),
        limit(30 * DAY, 100),
        limit(Limit::FOREVER, 200),
    ];
    assert_eq!(limits.limits(), all);
    assert_eq!(BTreeSet::from_iter(limits.payees()), BTreeSet::from([&FEED, &AGENT]));
    let framework = ground().framework;
    assert!(leaf.caveats.contains(&Timestamp::until(1_900_000_000).unwrap().caveat(&framework)));
    assert!(leaf.caveats.contains(&Redeemers::new([AGENT]).unwrap().caveat(&framework)));
    let period = Erc20Period::new(TOKEN, dollars(10), DAY, DAY).unwrap();
    assert!(
        leaf.caveats.contains(&period.caveat(&framework)),
        "the audited one has the day's limit"
    );
    for part in [Part::Erc20Period, Part::Nonce, Part::AllowedTargets, Part::AllowedMethods] {
        assert_eq!(terms(leaf, part).len(), 1, "{part:?}");
    }
}

#[test]
fn the_limits_of_all_agents_are_a_link_that_all_agents_share() {
    let text = format!("{TOGETHER}{OWN}");
    let policy = policy(&text);
    let grants = compile(&policy, &ground()).unwrap();
    let [Grant { link: Some(link), leaf, .. }] = &grants[..] else { panic!("{grants:?}") };
    assert_eq!((link.delegator, link.delegate), (ACCOUNT, OWNER));
    assert_eq!((leaf.delegator, leaf.authority), (OWNER, link.hash()));
    assert_eq!(rolling(link).limits(), [Limit { window: DAY, most: dollars(20) }]);
    assert!(terms(leaf, Part::Nonce).is_empty() && terms(link, Part::Nonce).len() == 1);
    // Neither the agent, nor when it was signed, nor until when is in it.
    let other = Ground { agent: OTHER, until: 1_950_000_000, salt: U256::from(8), ..ground() };
    let others = compile(&policy, &other).unwrap();
    assert_eq!(others.first().unwrap().link.as_ref(), Some(link));
    let raised = Ground { nonce: U256::ONE, ..ground() };
    assert_ne!(compile(&policy, &raised).unwrap().first().unwrap().link.as_ref(), Some(link));
}

#[test]
fn what_no_window_limits_is_not_delegated() {
    for limits in [
        "[limits.USDC]\npayment = \"1\"\n",
        "[limits.USDC]\nday = \"0\"\n",
        ", limits = { USDC = { hour = \"0\" } }|[limits.USDC]\nday = \"5\"\n",
        "[limits.gas]\nday = \"1 ETH\"\n",
    ] {
        let policy = policy(limits);
        assert_eq!(compile(&policy, &ground()), Ok(Vec::new()), "{limits}");
        assert!(bounds(&policy).is_empty(), "{limits}");
    }
    let elsewhere = Ground { framework: Framework::public(1).unwrap(), ..ground() };
    assert_eq!(compile(&policy(OWN), &elsewhere), Ok(Vec::new()));
}

#[test]
fn a_coin_is_delegated_by_its_value_and_a_sum_without_a_window_by_the_total() {
    let grants = compile(&policy("[limits.ETH]\nday = \"0.5\"\n"), &ground()).unwrap();
    let leaf = &grants.first().unwrap().leaf;
    assert_eq!(rolling(leaf).token(), None);
    assert_eq!(terms(leaf, Part::NativePeriod).len(), 1);
    assert!(terms(leaf, Part::AllowedMethods).is_empty());
    let grants = compile(&policy("[limits.USDC]\ntotal = \"5\"\n"), &ground()).unwrap();
    let leaf = &grants.first().unwrap().leaf;
    assert_eq!(terms(leaf, Part::Erc20Total).len(), 1);
    assert!(terms(leaf, Part::Erc20Period).is_empty());
}

#[test]
fn a_payee_is_paid_in_the_asset_of_its_limits_only() {
    let both = policy("[limits.USDC]\nday = \"5\"\n[limits.ETH]\nday = \"1\"\n");
    let mut policy = both.clone();
    let limits = both.limits[&USDC];
    policy.payees.get_mut("feed").unwrap().bound =
        Some(marque_policies::document::Bound { asset: USDC, limits });
    let paid = |policy: &Policy| -> Vec<usize> {
        let grants = compile(policy, &ground()).unwrap();
        grants.iter().map(|grant| rolling(&grant.leaf).payees().len()).collect()
    };
    assert_eq!(paid(&both), [2, 2]);
    assert_eq!(paid(&policy), [1, 2], "the coin comes first");
}

#[test]
fn what_more_payees_than_a_caveat_holds_get_comes_from_the_float() {
    let mut policy = policy(OWN);
    let feed = policy.payees["feed"].clone();
    for n in 1..=64_u8 {
        let payee = marque_policies::document::Payee {
            address: Some(Address::with_last_byte(n)),
            ..feed.clone()
        };
        policy.payees.insert(format!("payee-{n}"), payee);
    }
    let grants = compile(&policy, &ground()).unwrap();
    assert_eq!(rolling(&grants.first().unwrap().leaf).payees(), [AGENT]);
    let carried = rules(&policy).into_iter().find(|rule| rule.name == "payee.feed").unwrap();
    assert_eq!(carried.carried, Carried::Steward);
}

/// Every key that a text writes, with the names of payees and tools in place of their numbers.
fn keys(path: &str, value: &toml::Value, found: &mut Vec<String>) {
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(name, value)| keys(&below(name), value, found));
        }
        toml::Value::Array(rows) if rows.first().is_some_and(toml::Value::is_table) => {
            for row in rows {
                let name = row.get("name").and_then(toml::Value::as_str).unwrap_or_default();
                keys(&below(name), row, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// The row that speaks of a key: that of its own name, else the nearest above it.
fn row<'a>(table: &'a [Rule], key: &str) -> Option<&'a Rule> {
    let names = key.match_indices('.').map(|(at, _)| at).chain([key.len()]);
    let mut names: Vec<&str> = names.filter_map(|at| key.get(..at)).collect();
    names.reverse();
    names.into_iter().find_map(|name| table.iter().find(|rule| rule.name == name))
}

#[test]
fn every_rule_of_the_ready_made_policies_is_in_the_table_once() {
    for kind in DraftKind::ALL {
        let sources = draft_sources(kind, &params());
        let (policy, _) = read(&sources).unwrap();
        let table = rules(&policy);
        let names: BTreeSet<&str> = table.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names.len(), table.len(), "{kind:?}: a rule is said twice: {table:#?}");
        let mut written = Vec::new();
        keys("", &sources.policy.parse::<toml::Table>().unwrap().into(), &mut written);
        written.retain(|key| !["format", "version"].contains(&key.as_str()));
        written.retain(|key| !key.starts_with("test."));
        for key in &written {
            assert!(row(&table, key).is_some(), "{kind:?}: nothing is said of {key}");
        }
        // Limits each have a row of their own, and none is said that is not written.
        let sum = |key: &&String| key.starts_with("limits.") || key.starts_with("pool.");
        for key in written.iter().filter(sum) {
            assert!(names.contains(key.as_str()), "{kind:?}: {key}");
        }
        for rule in table.iter().filter(|rule| !rule.name.starts_with("cedar.")) {
            let written = written.iter().any(|key| key.starts_with(&rule.name));
            assert!(written, "{kind:?}: {} is written nowhere", rule.name);
        }
        assert_eq!(
            table.iter().filter(|rule| rule.name.starts_with("cedar.")).count(),
            policy.forbids.iter().count(),
            "{kind:?}"
        );
        assert!(table.iter().all(|rule| !rule.how.is_empty() && !rule.how.ends_with('.')));
    }
}

#[test]
fn what_the_table_says_of_limits_is_what_the_delegations_hold() {
    for kind in DraftKind::ALL {
        let (policy, _) = read(&draft_sources(kind, &params())).unwrap();
        let grants = compile(&policy, &ground()).unwrap();
        let held: BTreeMap<String, U256> = grants
            .iter()
            .flat_map(|grant| rolling(&grant.leaf).limits().to_vec())
            .map(|limit| {
                let window = match limit.window {
                    0 => "payment",
                    3_600 => "hour",
                    DAY => "day",
                    2_592_000 => "days30",
                    Limit::FOREVER => "total",
                    other => panic!("{other}"),
                };
                (format!("limits.USDC.{window}"), limit.most)
            })
            .collect();
        let said: BTreeSet<String> = rules(&policy)
            .into_iter()
            .filter(|rule| rule.carried == Carried::Chain && rule.name.starts_with("limits."))
            .map(|rule| rule.name)
            .collect();
        assert_eq!(BTreeSet::from_iter(held.keys().cloned()), said, "{kind:?}");
        for (window, _, most) in policy.limits.get(&USDC).iter().flat_map(|it| it.windows()) {
            assert_eq!(held.get(&format!("limits.USDC.{window}")), Some(&most), "{kind:?}");
        }
        let paid = policy.limits.contains_key(&USDC);
        assert_eq!(grants.len(), usize::from(paid), "{kind:?}");
        assert_eq!(bounds(&policy).len(), grants.len(), "{kind:?}");
    }
}

#[test]
fn of_an_asset_with_a_float_the_account_refills_the_agents_key_alone() {
    let text = format!("{OWN}[float.USDC]\nlow = \"1\"\nhigh = \"2\"\n");
    let floating = policy(&text);
    let grants = compile(&floating, &ground()).unwrap();
    let leaf = rolling(&grants.first().unwrap().leaf);
    assert_eq!(leaf.payees(), [AGENT]);
    let bare = rolling(&compile(&policy(OWN), &ground()).unwrap().first().unwrap().leaf);
    let each = |it: &RollingSpend| it.limits().first().copied().unwrap();
    assert_eq!((each(&leaf).window, each(&leaf).most), (0, dollars(2)));
    assert_eq!((each(&bare).window, each(&bare).most), (0, dollars(1)));
    assert_eq!(leaf.limits()[1..], bare.limits()[1..], "the windows stay as they are");
    let carried =
        |name: &str| rules(&floating).into_iter().find(|rule| rule.name == name).unwrap().carried;
    assert_eq!(carried("limits.USDC.payment"), Carried::Steward);
    assert_eq!(carried("limits.USDC.day"), Carried::Chain);
    assert_eq!(carried("float.USDC.high"), Carried::Partly);
    assert_eq!(carried("payee.feed"), Carried::Steward);
    let bound = bounds(&floating)[0];
    assert_eq!(bound.float, Some(Money::new(dollars(2), USDC)));
    assert_eq!(bound.days30, Money::new(dollars(100), USDC));
    // Who adds a float, or moves its mark, has to delegate again.
    let found = drift(&floating, AGENT, &signed(&policy(OWN), &ground())).unwrap();
    let names: Vec<&str> = found.iter().map(|it| it.rule.as_str()).collect();
    assert_eq!(names, ["float.USDC.high", "payees.USDC"]);
}

#[test]
fn the_bound_is_what_the_windows_let_go() {
    let text = format!("{TOGETHER}{OWN}");
    let bound = bounds(&policy(&text));
    let money = |n| Money::new(dollars(n), USDC);
    assert_eq!(bound.len(), 1);
    assert_eq!((bound[0].day, bound[0].days30), (money(10), money(100)));
    let narrow = ", limits = { USDC = { day = \"2\" } }|[limits.USDC]\nday = \"10\"\n";
    assert_eq!(bounds(&policy(narrow))[0].days30, money(60));
}

#[test]
fn drift_names_each_rule_that_differs() {
    let (ground, mut narrower) = (ground(), policy(OWN));
    let delegated = signed(&narrower, &ground);
    assert_eq!(drift(&narrower, AGENT, &delegated), Ok(Vec::new()));
    narrower.limits.get_mut(&USDC).unwrap().day = Some(dollars(4));
    narrower.limits.get_mut(&USDC).unwrap().hour = None;
    narrower.payees.remove("feed");
    narrower.expires = Some(1_800_000_000_000);
    let said = |text: &str| Some(text.to_owned());
    let found = drift(&narrower, AGENT, &delegated).unwrap();
    let one = |rule: &str, chain, policy| Drift { rule: rule.to_owned(), chain, policy };
    assert_eq!(
        found,
        [
            one("expires", said("1900000000"), said("1800000000")),
            one("limits.USDC.day", said("10.00 USDC"), said("4.00 USDC")),
            one("limits.USDC.hour", said("3.00 USDC"), None),
            one(
                "payees.USDC",
                said(&format!("the agent's float, {FEED}")),
                said("the agent's float")
            ),
        ]
    );
    // What the chain does not carry is no drift.
    let mut asks = policy(OWN);
    asks.limits.get_mut(&USDC).unwrap().ask_above = None;
    asks.version += 1;
    assert_eq!(drift(&asks, AGENT, &delegated), Ok(Vec::new()));
    let text = format!("{TOGETHER}{OWN}");
    let found = drift(&policy(&text), AGENT, &delegated).unwrap();
    assert_eq!(found, [one("owner.limits.USDC.day", None, said("20.00 USDC"))]);
    let mut other = policy(&text);
    let delegated = signed(&other, &ground);
    other.owner = OTHER;
    assert_eq!(drift(&other, AGENT, &delegated).unwrap().first().unwrap().rule, "owner");
    other.owner = OWNER;
    let found = drift(&other, OTHER, &delegated).unwrap();
    assert_eq!(found, [one("agent", said(&AGENT.to_string()), said(&OTHER.to_string()))]);
}

#[test]
fn a_file_of_permissions_is_read_back_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("delegation.json");
    assert!(matches!(Permissions::read(&path), Ok(None)));
    let text = format!("{TOGETHER}{OWN}");
    let made = signed(&policy(&text), &ground());
    made.write(&path).unwrap();
    assert_eq!(Permissions::read(&path).unwrap(), Some(made.clone()));
    assert_eq!(made.permission(USDC).unwrap().redeemer(), AGENT);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let text = std::fs::read_to_string(&path).unwrap();
    let broken = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Permissions::read(&path).unwrap_err()
    };
    let newer = broken(&text.replacen("\"format\": 1", "\"format\": 2", 1));
    assert!(matches!(newer, PermissionsError::Newer { found: 2, .. }), "{newer}");
    let lower = |address: Address| format!("{address:#x}");
    for (what, with) in [
        ("{", ""),
        ("\"format\": 1", "\"form\": 1"),
        // Another agent's, another account's.
        (&format!("\"agent\": \"{}\"", lower(AGENT)), &format!("\"agent\": \"{}\"", lower(OTHER))),
        (
            &format!("\"account\": \"{}\"", lower(ACCOUNT)),
            &format!("\"account\": \"{}\"", lower(OTHER)),
        ),
        // Another owner's, another salt than the one that was signed.
        (&format!("\"owner\": \"{}\"", lower(OWNER)), &format!("\"owner\": \"{}\"", lower(OTHER))),
        ("\"salt\": \"0x7\"\n", "\"salt\": \"0x8\"\n"),
        ("\"salt\": \"0x7\",\n", "\"salt\": \"0xffff\",\n"),
    ] {
        assert!(text.contains(what), "{what}: {text}");
        let error = broken(&text.replacen(what, with, 1));
        assert!(matches!(error, PermissionsError::Broken { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
