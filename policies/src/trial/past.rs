//! A ledger of a few lines: what is said to have happened, and nothing else.

use crate::{
    document::{Given, PaidBy, Policy},
    intent::tagged,
    ledger::{Ledger, Resolved, Scope, Timestamp},
    money::{AssetId, Money},
};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// A past in plain lists, read through [`Ledger`]. It does not depend on the policy that is judged
/// over it, so two policies can be asked about the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// What was paid, and what fees were.
    pub debits: Vec<Debit>,
    /// Which tools were used.
    pub uses: Vec<Use>,
    /// When the owner approved whatever is proposed, if so. Unix milliseconds.
    pub approved: Option<Timestamp>,
    /// Addresses that the owner pinned, by host.
    pub pinned: BTreeMap<String, Address>,
    /// What the registry answers, by payee.
    pub resolved: BTreeMap<String, Resolved>,
    /// Who took money and did not deliver.
    pub owing: BTreeSet<Address>,
    /// The agent's own address.
    pub agent: Address,
}

/// One debit of a [`Past`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debit {
    /// To whom.
    pub to: Address,
    /// How much.
    pub amount: Money,
    /// When, Unix milliseconds.
    pub at: Timestamp,
    /// By whom.
    pub by: PaidBy,
    /// Whether it went to a peer that was no payee of the policy then in force.
    pub pool: bool,
}

/// One use of a tool in a [`Past`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The tool.
    pub tool: String,
    /// When, Unix milliseconds.
    pub at: Timestamp,
    /// Bytes that left with it.
    pub bytes: u64,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            debits: Vec::new(),
            uses: Vec::new(),
            approved: None,
            pinned: BTreeMap::new(),
            resolved: BTreeMap::new(),
            owing: BTreeSet::new(),
            agent: named("agent"),
        }
    }
}

impl Past {
    /// The past that a test's `given` tells, seen from `now`. Names are those of `policy`, and the
    /// registry answers what it pins.
    #[must_use]
    pub fn of(policy: &Policy, given: &[Given], now: Timestamp) -> Self {
        let mut past = Self::default();
        for (name, payee) in &policy.payees {
            if let (Some(pin), Some(wallet)) = (&payee.identity, payee.address) {
                past.resolved.insert(name.clone(), Resolved { owner: pin.owner, wallet });
            }
        }
        // Nothing happened before time began, however old it is said to be.
        let at = |age: u64| now.saturating_sub(age).max(1);
        for event in given {
            match event {
                Given::Paid(paid) => past.debits.push(Debit {
                    to: address(policy, given, &paid.payee),
                    amount: paid.amount,
                    at: at(paid.age),
                    by: paid.by.clone(),
                    pool: !policy.payees.contains_key(&paid.payee),
                }),
                Given::Used { tool, age, bytes } => {
                    past.uses.push(Use { tool: tool.clone(), at: at(*age), bytes: *bytes });
                }
                Given::Pinned { payee, address } => {
                    let host = policy.payees.get(payee).and_then(|payee| payee.host.clone());
                    past.pinned.extend(host.map(|host| (host, *address)));
                }
                Given::Undelivered(payee) => {
                    past.owing.insert(address(policy, given, payee));
                }
                Given::Unresolved(payee) => {
                    past.resolved.remove(payee);
                }
                Given::ChangedHands(payee) => {
                    let found = past.resolved.get_mut(payee);
                    found.into_iter().for_each(|found| found.owner = named("another owner"));
                }
            }
        }
        past
    }
}

impl Ledger for Past {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: Timestamp) -> U256 {
        let of_scope = |debit: &&Debit| {
            let mine = debit.by != PaidBy::AnotherAgent;
            match scope {
                Scope::Owner => true,
                Scope::Agent => mine,
                Scope::SubAgent(name) => matches!(&debit.by, PaidBy::SubAgent(by) if by == name),
                Scope::Task(name) => matches!(&debit.by, PaidBy::Task(task) if task == name),
                Scope::Payee(payee) => mine && debit.to == payee,
                Scope::Pool => mine && debit.pool,
            }
        };
        let debits = self.debits.iter().filter(|debit| debit.at > since);
        let debits = debits.filter(|debit| debit.amount.asset == asset).filter(of_scope);
        debits.fold(U256::ZERO, |sum, debit| sum.saturating_add(debit.amount.units))
    }

    fn uses(&self, tool: &str, since: Timestamp) -> u64 {
        let uses = self.uses.iter().filter(|used| used.tool == tool && used.at > since);
        uses.fold(0, |sum, _| sum.saturating_add(1))
    }

    fn bytes_out(&self, tool: &str, since: Timestamp) -> u64 {
        let uses = self.uses.iter().filter(|used| used.tool == tool && used.at > since);
        uses.fold(0, |sum, used| sum.saturating_add(used.bytes))
    }

    fn approved(&self, _body: B256) -> Option<Timestamp> {
        self.approved
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
        self.agent
    }
}

/// Where a payment to this name goes: to the policy's address, to the one that `given` pins, or,
/// for anybody else, to one that is made of the name.
pub(super) fn address(policy: &Policy, given: &[Given], name: &str) -> Address {
    let pinned = || {
        given.iter().find_map(|event| match event {
            Given::Pinned { payee, address } if payee == name => Some(*address),
            _ => None,
        })
    };
    let known = policy.payees.get(name).and_then(|payee| payee.address.or_else(pinned));
    known.unwrap_or_else(|| named(name))
}

/// The address of somebody who exists in tests only.
pub(super) fn named(name: &str) -> Address {
    Address::from_word(tagged("marque/policy-test/address/v1", &[name.as_bytes()]))
}
