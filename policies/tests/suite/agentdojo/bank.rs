//! The suite as it was exported, and the household's policy that follows from its initial
//! environment alone: from what its owner paid and ordered before any task begins.

use crate::support::*;
use alloy_primitives::{Address, U256, keccak256};
use marque_policies::{
    AssetId, DraftKind, DraftLimits, DraftParams, DraftPayee, Money, Pin, Policy, draft, money,
    parse,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the bank's money is on chain.
pub(crate) const EUR: AssetId = AssetId { chain: CHAIN, token: Address::repeat_byte(0xee) };
/// The day of the suite's tasks.
const TODAY: &str = "2022-04-01";

#[derive(Debug, Deserialize)]
pub(crate) struct Suite {
    pub(crate) environment: Environment,
    pub(crate) user_tasks: Vec<Task>,
    pub(crate) injection_tasks: Vec<Task>,
    /// Pairs whose ground truth is another one once the attacker's words are in place.
    pub(crate) differing: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Environment {
    iban: String,
    transactions: Vec<Order>,
    pub(crate) scheduled: Vec<Order>,
}

/// A payment, made or ordered.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: i64,
    sender: String,
    pub(crate) recipient: String,
    pub(crate) amount: String,
    subject: String,
    date: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) calls: Vec<Call>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) args: Map<String, Value>,
}

pub(crate) fn suite() -> Suite {
    let suite: Suite = serde_json::from_str(include_str!("../../agentdojo/banking.json")).unwrap();
    assert_eq!((suite.user_tasks.len(), suite.injection_tasks.len()), (16, 9));
    assert!(suite.differing.is_empty(), "each pair's calls are those of its tasks");
    suite
}

/// The account's address on chain.
pub(crate) fn address(iban: &str) -> Address {
    Address::from_word(keccak256(iban))
}

pub(crate) fn eur(text: &str) -> Money {
    Money::new(money::parse_units(text, 2).unwrap(), EUR)
}

impl Environment {
    /// What the owner paid and ordered. Incoming payments are not among them: whoever pays the
    /// owner, or writes to the owner, has not become somebody to be paid.
    fn outgoing(&self) -> impl Iterator<Item = &Order> {
        let own = |order: &&Order| order.sender == "me" || order.sender == self.iban;
        self.transactions.iter().chain(&self.scheduled).filter(own)
    }

    /// The accounts that the owner paid or ordered to be paid, each under the subject of the first
    /// payment: letters and digits, joined by `-`.
    pub(crate) fn payees(&self) -> BTreeMap<String, String> {
        let mut payees: BTreeMap<String, String> = BTreeMap::new();
        for order in self.outgoing() {
            if !payees.values().any(|iban| *iban == order.recipient) {
                let words = order.subject.split(|c: char| !c.is_ascii_alphanumeric());
                let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                payees.insert(words.join("-"), order.recipient.clone());
            }
        }
        payees
    }

    /// Every account that occurs in the environment, the owner's own included.
    pub(crate) fn accounts(&self) -> Vec<&str> {
        let orders = self.transactions.iter().chain(&self.scheduled);
        let ends = orders.flat_map(|order| [order.sender.as_str(), order.recipient.as_str()]);
        ends.chain([self.iban.as_str()]).filter(|account| *account != "me").collect()
    }

    /// The ledger at the beginning of each task: what was paid, on the day it was paid.
    pub(crate) fn book(&self) -> Book {
        let paid = self.transactions.iter().filter(|order| order.sender == "me");
        paid.fold(Book::default(), |book, order| {
            let age = (days(TODAY) - days(&order.date)) * marque_policies::document::DAY;
            book.paid(address(&order.recipient), eur(&order.amount), age)
        })
    }

    /// The household's policy, with `more` at its end.
    pub(crate) fn policy(&self, percent: u64, more: &str) -> Policy {
        let text = self.document(percent) + more;
        let (policy, _) = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        policy
    }

    /// The ready-made policy of a household for this account. It wants to know who was paid, and
    /// the most that each of them got at once; the agent's own limits follow in the same way from
    /// the most that anybody got. Each of these amounts can be taken at another `percent`, to show
    /// that little hangs on it.
    pub(crate) fn document(&self, percent: u64) -> String {
        let share = |units: U256, percent: u64| units * U256::from(percent) / U256::from(100);
        let most = |iban: &str| {
            let got = self.outgoing().filter(|order| order.recipient == iban);
            let most = got.map(|order| eur(&order.amount).units).max().unwrap();
            share(most, percent)
        };
        let payees = self.payees().into_iter().map(|(name, iban)| DraftPayee {
            name,
            pin: Pin::Address(address(&iban)),
            host: None,
            so_far: Some(most(&iban)),
        });
        let payees: Vec<DraftPayee> = payees.collect();
        let most = payees.iter().filter_map(|payee| payee.so_far).max().unwrap();
        let limits = DraftLimits {
            payment: share(most, 125),
            day: share(most, 200),
            ask_above: share(most, 100),
        };
        let params = DraftParams {
            owner: OWNER,
            chain_name: "devnet".to_owned(),
            chain_id: CHAIN,
            rpc: vec!["http://127.0.0.1:8545".to_owned()],
            finality: "2".to_owned(),
            native: "ETH".to_owned(),
            registry: None,
            asset: "EUR".to_owned(),
            token: EUR.token,
            token_domain: ("Test Euro".to_owned(), "1".to_owned()),
            decimals: 2,
            limits: Some(limits),
            float: None,
            payees,
            data_hosts: Vec::new(),
            compute_hosts: Vec::new(),
        };
        draft(DraftKind::Household, &params)
    }
}

/// Days since the first of March of the year 0, for dates such as `2022-04-01`.
fn days(date: &str) -> u64 {
    let part = |at: usize| date.split('-').nth(at).unwrap().parse::<u64>().unwrap();
    let (year, month, day) = (part(0), part(1), part(2));
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day
}

#[test]
fn a_year_has_its_days() {
    for (from, to, apart) in [
        ("2022-03-04", TODAY, 28),
        ("2022-01-01", TODAY, 90),
        ("2023-12-31", "2024-03-01", 61),
        ("2022-01-01", "2023-01-01", 365),
    ] {
        assert_eq!(days(to) - days(from), apart, "{from} to {to}");
    }
}
