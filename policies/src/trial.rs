//! A policy's own tests: a past, a payment, and what must come of it.
//!
//! A test pays through the engine that judges real payments. The past is what `given` says and
//! nothing else; the registry answers what the policy pins; the payee's own host asks for the
//! money; no fees are charged and nothing is approved.

use crate::{
    decide::{Request, decide},
    document::{Expectation, Given, PastPayment, Policy, PolicyTest, When},
    intent::{Authorise, Intent, Labels, Transfer},
    ledger::{Ledger, Resolved, Scope, Timestamp},
    money::{AssetId, Money},
    verdict::{Decision, Mark, Verdict},
};
use alloy_primitives::{Address, B256, U256};

/// When the tests' payments happen; older than any past that a test can name.
const NOW: Timestamp = 1 << 52;

/// What came of one `[[test]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The test in its own words: `pay 0.30 USDC to weather-feed: refused by ...`.
    pub name: String,
    /// Whether what came out is what was expected.
    pub passed: bool,
    /// What came out.
    pub verdict: Verdict,
}

/// Runs every `[[test]]` of a policy, in the order of the document.
#[must_use]
pub fn run_tests(policy: &Policy) -> Vec<TestResult> {
    policy.tests.iter().map(|test| run(policy, test)).collect()
}

fn run(policy: &Policy, test: &PolicyTest) -> TestResult {
    let When::Pay { amount, payee: name } = &test.when else { todo!() };
    let payee = policy.payees.get(name);
    // Somebody whom the policy does not know has some address that it does not know either.
    let to = payee.map_or(Address::repeat_byte(0xee), |payee| payee.address.unwrap_or_default());
    let (intent, gas) = if amount.asset.is_native() {
        let labels = Labels::default();
        let pay = Transfer { payee: name.clone(), to, amount: *amount, labels };
        (Intent::Transfer(pay), Some(Money::new(U256::ZERO, amount.asset)))
    } else {
        let pay = Authorise {
            payee: name.clone(),
            to,
            amount: *amount,
            host: payee.and_then(|payee| payee.host.clone()).unwrap_or_default(),
            resource: "test".to_owned(),
            labels: Labels::default(),
        };
        (Intent::Authorise(pay), None)
    };
    let request = Request { agent: "test", sub_agent: None, task: "test", intent: &intent, gas };
    let verdict = decide(policy, &request, &Past { policy, given: &test.given }, NOW);
    let (passed, then) = match &test.then {
        Expectation::Allowed => (verdict.decision() == Decision::Allow, "allowed".to_owned()),
        Expectation::Held => (verdict.decision() == Decision::Hold, "held".to_owned()),
        Expectation::HeldBy(_) => todo!(),
        Expectation::RefusedBy(rule) => {
            (verdict.rules(Mark::Fail).any(|failed| failed == rule), format!("refused by {rule}"))
        }
    };
    TestResult { name: format!("pay {} to {name}: {then}", policy.show(*amount)), passed, verdict }
}

/// The ledger of a test.
struct Past<'a> {
    policy: &'a Policy,
    given: &'a [Given],
}

impl Ledger for Past<'_> {
    fn spent(&self, scope: Scope<'_>, asset: AssetId, since: Timestamp) -> U256 {
        let counts = |past: &&PastPayment| {
            let address = self.policy.payees.get(&past.payee).and_then(|payee| payee.address);
            past.amount.asset == asset
                && NOW.saturating_sub(past.age) > since
                && match scope {
                    Scope::Owner
                    | Scope::Agent
                    | Scope::SubAgent(_)
                    | Scope::Task(_)
                    | Scope::Pool => true,
                    Scope::Payee(payee) => address == Some(payee),
                }
        };
        let paid = self.given.iter().filter_map(|given| match given {
            Given::Paid(past) => Some(past),
            _ => None,
        });
        let units = paid.filter(counts).map(|past| past.amount.units);
        units.fold(U256::ZERO, U256::saturating_add)
    }

    fn uses(&self, _tool: &str, _since: Timestamp) -> u64 {
        0
    }

    fn bytes_out(&self, _tool: &str, _since: Timestamp) -> u64 {
        0
    }

    fn approved(&self, _body: B256) -> Option<Timestamp> {
        None
    }

    fn pinned(&self, _host: &str) -> Option<Address> {
        None
    }

    fn resolved(&self, payee: &str) -> Option<Resolved> {
        let payee = self.policy.payees.get(payee)?;
        let pin = payee.identity.as_ref()?;
        Some(Resolved { owner: pin.owner, wallet: payee.address? })
    }

    fn owes_delivery(&self, _payee: Address) -> bool {
        false
    }

    fn agent_address(&self) -> Address {
        Address::repeat_byte(0xaa)
    }
}
