//! The grammar of `[[test]]`: each form arrives whole, and says itself again in the same words.

use super::*;
use crate::support::*;
use alloy_primitives::Address;
use marque_policies::{
    Argument, Label, Labels,
    document::{DAY, Expectation, Given, HOUR, PaidBy, PastPayment, PolicyTest, When},
    times::Moment,
    trial::{say_given, say_when},
};
use std::collections::{BTreeMap, BTreeSet};

fn labels<const N: usize>(labels: [Label; N]) -> Labels {
    Labels(BTreeSet::from(labels))
}

fn paid(micros: u64, payee: &str, age: u64, by: PaidBy) -> Given {
    Given::Paid(PastPayment { amount: usdc(micros), payee: payee.to_owned(), age, by })
}

#[test]
fn every_form_of_a_test_arrives() {
    let (policy, _) = read(&in_two());
    let [first, second, third, fourth, fifth, sixth] = &policy.tests[..] else { panic!() };
    assert_eq!(
        *first,
        PolicyTest {
            given: vec![
                paid(10_000, "gpu-market", 5 * HOUR, PaidBy::Agent),
                paid(20_000, "bazaar", 2 * DAY, PaidBy::SubAgent("helper".to_owned())),
                paid(30_000, "weather-feed", 1_800_000, PaidBy::AnotherAgent),
                paid(40_000, "news", 90_000, PaidBy::Task("errand".to_owned())),
                Given::Used { tool: "fetch_data".to_owned(), age: 60_000, bytes: 3_072 },
                Given::Pinned { payee: "news".to_owned(), address: Address::repeat_byte(0x9e) },
            ],
            when: When::Pay { amount: usdc(200_000), payee: "gpu-market".to_owned() },
            at: Some(Moment { day: 1, minute: 600 }),
            sub_agent: Some("helper".to_owned()),
            task: Some("errand".to_owned()),
            asked_by: Some("gpu.example:8443".to_owned()),
            labels: labels([Label::Owner, Label::Policy, Label::Chain]),
            approved: true,
            then: Expectation::Allowed,
        }
    );
    assert_eq!(
        second.given,
        [Given::Undelivered("bazaar".to_owned()), Given::ChangedHands("gpu-market".to_owned())]
    );
    assert_eq!(second.labels, labels([Label::Memory, Label::Peer("bazaar".to_owned())]));
    assert_eq!(second.then, Expectation::HeldBy("pool.USDC.delivery".to_owned()));
    assert_eq!((second.at, &second.sub_agent, &second.task), (None, &None, &None));
    assert_eq!((&second.asked_by, second.approved), (&None, false));
    assert_eq!(third.given, [Given::Unresolved("gpu-market".to_owned())]);
    assert_eq!(third.then, Expectation::RefusedBy("payee.gpu-market.identity".to_owned()));
    assert_eq!(
        fourth.when,
        When::Use {
            tool: "fetch_data".to_owned(),
            fetch: Some(("GET".to_owned(), "feed.example".to_owned())),
            bytes: 2_048,
            arguments: BTreeMap::from([
                ("city".to_owned(), Argument::Text("Berlin".to_owned())),
                ("path".to_owned(), Argument::Text("/public/x".to_owned())),
                ("limit".to_owned(), Argument::Integer(-1)),
            ]),
        }
    );
    assert_eq!(fourth.labels, labels([Label::Web("feed.example".to_owned()), Label::Model]));
    assert_eq!(fourth.then, Expectation::Held);
    assert_eq!(fifth.when, When::Collect(usdc(1_000_000)));
    assert_eq!(sixth.when, When::Return(usdc(1_000_000)));
}

/// The `when` of the policy's fifth test, written so.
fn when(text: &str) -> When {
    let sources = edited(in_one(), "when = \"collect 1 USDC\"", &format!("when = '{text}'"));
    read(&sources).0.tests.swap_remove(4).when
}

#[test]
fn each_part_of_a_use_may_be_left_out() {
    let parts = [" to HEAD weather.gov", " sending 10 B", " with city=true n=-0 t= u=a=b"];
    for chosen in 0..8 {
        let has = |part: usize| chosen & (1 << part) != 0;
        let text: String = (0..3).filter(|part| has(*part)).map(|part| parts[part]).collect();
        let When::Use { tool, fetch, bytes, arguments } = when(&format!("use fetch_data{text}"))
        else {
            panic!("{text}");
        };
        assert_eq!(tool, "fetch_data");
        let expected = ("HEAD".to_owned(), "weather.gov".to_owned());
        assert_eq!(fetch, has(0).then_some(expected));
        assert_eq!(bytes, if has(1) { 10 } else { 0 });
        let pairs = [
            ("city", Argument::Flag(true)),
            ("n", Argument::Integer(0)),
            ("t", Argument::Text(String::new())),
            ("u", Argument::Text("a=b".to_owned())),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(arguments, if has(2) { BTreeMap::from(pairs) } else { BTreeMap::new() });
    }
}

#[test]
fn a_test_that_is_said_aloud_reads_to_itself() {
    let (policy, _) = read(&in_one());
    for test in &policy.tests {
        let given: Vec<_> = test.given.iter().map(|given| say_given(&policy, given)).collect();
        let text = format!("given = {given:?}\nwhen = {:?}\n", say_when(&policy, &test.when));
        let plain = edited(in_one(), "when = \"collect 1 USDC\"\n", &text);
        let again = &read(&plain).0.tests[4];
        assert_eq!((&again.given, &again.when), (&test.given, &test.when), "{text}");
    }
}

#[test]
fn a_peer_is_known_where_there_is_a_pool_of_the_asset_only() {
    for (from, to, message) in [
        ("paid 0.02 USDC to bazaar", "paid 0.02 ETH to bazaar", "no payee \"bazaar\""),
        ("pay 0.01 USDC to bazaar", "pay 0.01 ETH to bazaar", "no payee \"bazaar\""),
        ("pay 0.01 USDC to bazaar", "pay 0.01 USDC to b\\\"r", "no payee"),
        ("pay 0.01 USDC to bazaar", "pay 0.01 USDC to News", "no payee \"News\""),
    ] {
        let error = broken(from, to);
        assert!(error.mistake().message.contains(message), "{to}: {error}");
    }
    let text = usual_text() + "[[test]]\nwhen = \"pay 1 USDC to bazaar\"\nthen = \"allowed\"\n";
    assert!(marque_policies::parse(&text).is_err());
    let pool = text.replace("[income]", "[pool.USDC]\nday = \"1\"\n[income]");
    assert!(marque_policies::parse(&pool).is_ok());
}
