//! Each construct arrives in its own field.

use super::*;
use crate::support::*;
use alloy_primitives::U256;
use marque_policies::{
    Argument,
    document::{
        Attitude, Bound, Constraint, DAY, Finality, HOUR, LabelRules, Limits, Pool, SubAgent, Tool,
    },
};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn every_field_of_the_usual_policy_arrives() {
    let policy = usual();
    assert_eq!((policy.version, policy.owner), (7, OWNER));
    let chain = &policy.chains["devnet"];
    assert_eq!((chain.id, chain.finality), (CHAIN, Finality::Confirmations(2)));
    assert_eq!(chain.identity_registry, Some(REGISTRY));
    let token = &policy.assets["USDC"];
    assert_eq!((token.id, token.decimals), (USDC, 6));
    assert_eq!(token.domain.as_ref().unwrap().0, "Marque Test Dollar");
    assert_eq!(policy.assets["ETH"].id, ETH);
    let limits = &policy.limits[&USDC];
    let read = [limits.payment, limits.hour, limits.day, limits.days30, limits.total];
    let expected = [1u64, 3, 10, 100, 200].map(|whole| Some(usdc(whole * 1_000_000).units));
    assert_eq!(read, expected);
    assert_eq!(limits.ask_above, Some(usdc(500_000).units));
    assert_eq!(policy.gas[&ETH].day, Some(wei(2_000_000_000_000_000).units));
    assert!(!policy.limits.contains_key(&ETH), "limits on fees permit no payment");
    assert_eq!(
        policy.payees["weather-feed"].bound.unwrap().limits.day,
        Some(usdc(2_500_000).units)
    );
    let pin = policy.payees["muscle"].identity.as_ref().unwrap();
    assert_eq!((pin.owner, pin.registry), (MUSCLE_OWNER, REGISTRY));
    assert_eq!(policy.payees["muscle"].address, Some(MUSCLE));
    let tool = &policy.tools["fetch"];
    assert_eq!((tool.rate, tool.sends), (Some((3, 60_000)), Some((1_024, 86_400_000))));
    assert_eq!(policy.income, [USDC]);
}

fn micros(micros: u64) -> Option<U256> {
    Some(U256::from(micros))
}

/// Limits in the order in which people write them, in micros.
fn limits(amounts: [u64; 7]) -> Limits {
    let [payment, hour, day, days30, total, ask_above, ask_above_day] =
        amounts.map(|amount| (amount > 0).then(|| U256::from(amount)));
    Limits { payment, hour, day, days30, total, ask_above, ask_above_day }
}

fn gas(wei: u64) -> BTreeMap<marque_policies::AssetId, Limits> {
    BTreeMap::from([(ETH, Limits { day: Some(U256::from(wei)), ..Limits::default() })])
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn spans(times: &marque_policies::times::Times) -> Vec<String> {
    times.0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_head_of_a_policy_arrives() {
    let (policy, _) = read(&in_two());
    assert_eq!((policy.version, policy.owner), (8, OWNER));
    assert_eq!(policy.expires, Some(1_814_313_600_000));
    assert_eq!(spans(&policy.times), ["mon-fri 06:00-20:00 +01:00", "sat 10:00-12:00"]);
    let (ask, refuse) = (Some(Attitude::Ask), Some(Attitude::Refuse));
    assert_eq!(policy.labels, LabelRules { web: refuse, peer: ask, memory: ask, model: refuse });
    assert_eq!((policy.approvals.valid, policy.approvals.held), (Some(HOUR), Some(DAY)));
    assert_eq!(policy.chains.keys().collect::<Vec<_>>(), ["devnet", "side"]);
    assert_eq!(policy.chains["side"].finality, Finality::Safe);
    assert_eq!(policy.assets.keys().collect::<Vec<_>>(), ["ETH", "EURC", "SIDE", "USDC"]);
    assert_eq!(policy.income, [USDC]);
}

#[test]
fn every_limit_arrives_in_its_own_section() {
    let (policy, _) = read(&in_two());
    let one = |all: &BTreeMap<_, Limits>| {
        assert_eq!(all.len(), 1);
        all[&USDC]
    };
    assert_eq!(
        one(&policy.limits),
        limits([1_000_000, 3_000_000, 10_000_000, 100_000_000, 200_000_000, 500_000, 2_000_000])
    );
    assert_eq!(
        one(&policy.owner_limits),
        limits([9_000_000, 11_000_000, 21_000_000, 210_000_000, 410_000_000, 8_000_000, 0])
    );
    assert_eq!(
        one(&policy.task_limits),
        limits([950_000, 2_800_000, 4_800_000, 48_000_000, 58_000_000, 440_000, 0])
    );
    assert_eq!(policy.gas, gas(2_000_000_000_000_000));
    assert_eq!(policy.owner_gas, gas(20_000_000_000_000_000));
    let pool = Pool {
        limits: limits([50_000, 300_000, 700_000, 7_000_000, 9_500_000, 40_000, 80_000]),
        peer_day: micros(100_000),
        peer_total: micros(1_500_000),
    };
    assert_eq!(policy.pools, BTreeMap::from([(USDC, pool)]));
    let compute = limits([900_000, 2_900_000, 5_900_000, 59_000_000, 99_000_000, 450_000, 0]);
    let data = limits([0, 0, 1_750_000, 0, 0, 0, 0]);
    let bound = |limits| Bound { asset: USDC, limits };
    assert_eq!(
        policy.categories,
        BTreeMap::from([("compute".to_owned(), bound(compute)), ("data".to_owned(), bound(data))])
    );
}

#[test]
fn every_kind_of_payee_arrives() {
    let (policy, _) = read(&in_two());
    assert_eq!(policy.payees.len(), 3);
    let market = &policy.payees["gpu-market"];
    assert_eq!(market.address, Some(MUSCLE));
    let pin = market.identity.as_ref().unwrap();
    assert_eq!((pin.chain, pin.registry, pin.owner), (CHAIN, REGISTRY, MUSCLE_OWNER));
    assert_eq!(pin.agent_id, U256::from(1));
    assert_eq!(market.host.as_deref(), Some("gpu.example:8443"));
    assert_eq!(market.category.as_deref(), Some("compute"));
    assert_eq!(spans(&market.times), ["mon-fri 08:00-18:00"]);
    let own = limits([800_000, 2_700_000, 4_700_000, 47_000_000, 57_000_000, 430_000, 1_300_000]);
    assert_eq!(market.bound, Some(Bound { asset: USDC, limits: own }));

    let news = &policy.payees["news"];
    assert_eq!((news.address, &news.identity), (None, &None));
    assert_eq!(news.host.as_deref(), Some("news.example"));
    assert_eq!((news.category.as_deref(), news.bound), (Some("data"), None));

    let feed = &policy.payees["weather-feed"];
    assert_eq!((feed.address, &feed.identity), (Some(FEED), &None));
    let day = limits([0, 0, 2_500_000, 0, 0, 0, 0]);
    assert_eq!(feed.bound, Some(Bound { asset: USDC, limits: day }));
    assert!(feed.times.is_always() && feed.category.is_none());
}

#[test]
fn a_tool_and_a_sub_agent_arrive_whole() {
    let (policy, _) = read(&in_two());
    let tool = Tool {
        hosts: vec!["feed.example".to_owned(), "*.gov".to_owned()],
        methods: names(&["GET", "HEAD"]),
        rate: Some((60, 60_000)),
        sends: Some((65_536, DAY)),
        arguments: BTreeMap::from([
            (
                "city".to_owned(),
                Constraint {
                    one_of: Some(BTreeSet::from([
                        Argument::Flag(true),
                        Argument::Integer(7),
                        Argument::Text("Berlin".to_owned()),
                    ])),
                    ..Constraint::default()
                },
            ),
            (
                "path".to_owned(),
                Constraint {
                    starts_with: Some("/public/".to_owned()),
                    longest: Some(280),
                    ..Constraint::default()
                },
            ),
            (
                "limit".to_owned(),
                Constraint { at_least: Some(-1), at_most: Some(100), ..Constraint::default() },
            ),
        ]),
        times: policy.tools["fetch_data"].times.clone(),
        labels: LabelRules {
            web: Some(Attitude::Ask),
            peer: Some(Attitude::Refuse),
            memory: Some(Attitude::Ask),
            model: Some(Attitude::Ask),
        },
    };
    assert_eq!(spans(&tool.times), ["07:00-19:00"]);
    assert_eq!(policy.tools, BTreeMap::from([("fetch_data".to_owned(), tool)]));
    let helper = SubAgent {
        payees: names(&["gpu-market", "news"]),
        tools: names(&["fetch_data"]),
        limits: BTreeMap::from([(
            USDC,
            limits([750_000, 850_000, 1_100_000, 11_000_000, 13_000_000, 420_000, 0]),
        )]),
        gas: gas(1_000_000_000_000_000),
    };
    assert_eq!(policy.sub_agents, BTreeMap::from([("helper".to_owned(), helper)]));
    let forbids: Vec<_> = policy.forbids.iter().map(|forbid| forbid.name.as_str()).collect();
    assert_eq!(forbids, ["night"]);
}

#[test]
fn what_is_left_out_leaves_nothing_behind() {
    let policy = usual();
    assert_eq!(policy.expires, None);
    assert!(policy.times.is_always() && policy.labels == LabelRules::default());
    assert_eq!(policy.approvals, Default::default());
    assert!(policy.task_limits.is_empty() && policy.pools.is_empty());
    assert!(policy.categories.is_empty() && policy.sub_agents.is_empty());
    assert!(policy.forbids.is_empty());
    let tool = &policy.tools["fetch"];
    assert!(tool.methods.is_empty() && tool.arguments.is_empty() && tool.times.is_always());
    let lists = "payees = [\"gpu-market\", \"news\"]\ntools = [\"fetch_data\"]\n";
    let helper = &read(&edited(in_one(), lists, "")).0.sub_agents["helper"];
    assert!(helper.payees.is_empty() && helper.tools.is_empty(), "nobody and nothing");
}

#[test]
fn a_native_coin_can_be_limited_wherever_a_token_can() {
    let text =
        "[limits.ETH]\nday = \"1\"\n[task.limits.ETH]\nday = \"0.5\"\n[pool.ETH]\nday = \"0.1\"\n";
    let sources = edited(in_one(), "[limits.gas]\nday = \"0.002 ETH\"\n", text);
    let (policy, _) = read(&sources);
    for section in [&policy.limits, &policy.task_limits] {
        assert!(section[&ETH].day.is_some());
    }
    assert!(policy.pools[&ETH].limits.day.is_some());
}
