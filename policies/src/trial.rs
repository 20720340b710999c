//! A policy's own tests: a past, a proposal, and what must come of it.
//!
//! A test goes through the engine that judges real intents. The past is what `given` says and
//! nothing else; the registry answers what the policy pins unless `given` says otherwise; the
//! payee's own host asks for the money unless the test says who does; fees come to nothing.
//!
//! [`try_out`] judges one such case outside of a document, and [`Past`] is the ledger that all of
//! them are judged over: anybody may fill one.

mod past;
mod words;

pub use past::{Debit, Past, Use};
pub use words::{say_given, say_when};

use crate::{
    decide::{Request, decide},
    document::{DAY, Expectation, Policy, PolicyTest, When},
    intent::{Authorise, Fetch, Intent, Settle, Sweep, ToolUse, Transfer},
    ledger::Timestamp,
    money::Money,
    times::Moment,
    verdict::{Decision, Mark, Verdict},
};
use alloy_primitives::{B256, U256};

/// A Monday noon, UTC: 2024-01-01T12:00:00Z.
const NOON: Timestamp = 1_704_110_400_000;
const WEEK: u64 = 7 * DAY;
const MINUTE: u64 = 60_000;
/// The task of a test that names none.
const TASK: &str = "test";
/// The host of a peer, in a test that does not say who asks.
const PEER_HOST: &str = "peer.example";

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
    let verdict = try_out(policy, test);
    let decision = verdict.decision();
    let passed = match &test.then {
        Expectation::Allowed => decision == Decision::Allow,
        Expectation::Held => decision == Decision::Hold,
        Expectation::HeldBy(rule) => {
            decision == Decision::Hold && verdict.rules(Mark::Ask).any(|asked| asked == rule)
        }
        Expectation::RefusedBy(rule) => verdict.rules(Mark::Fail).any(|failed| failed == rule),
    };
    TestResult { name: words::say_test(policy, test), passed, verdict }
}

/// Judges what a test proposes; what it expects is no matter here.
#[must_use]
pub fn try_out(policy: &Policy, test: &PolicyTest) -> Verdict {
    let now = now(policy, test.at);
    let mut past = Past::of(policy, &test.given, now);
    if test.approved {
        past.approved = Some(now);
    }
    let (intent, gas) = proposal(policy, test, &past);
    let request = Request {
        agent: "test",
        sub_agent: test.sub_agent.as_deref(),
        task: test.task.as_deref().unwrap_or(TASK),
        intent: &intent,
        gas,
    };
    decide(policy, &request, &past, now)
}

/// When a test happens: at a Monday noon at which the policy has not expired, or at the point that
/// `at` names in the week that begins then.
#[must_use]
pub fn now(policy: &Policy, at: Option<Moment>) -> Timestamp {
    let mut noon = NOON;
    if let Some(expires) = policy.expires.filter(|expires| *expires <= noon) {
        // There is no Monday noon before the first one of 1970.
        let weeks_back = ((noon - expires) / WEEK + 1).min(noon / WEEK);
        noon -= weeks_back * WEEK;
    }
    let minutes = at.map_or(0, |at| {
        let minute = u64::from(at.day) * (DAY / MINUTE) + u64::from(at.minute);
        let (week, monday_noon) = (WEEK / MINUTE, DAY / MINUTE / 2);
        (minute + week - monday_noon) % week
    });
    noon + minutes * MINUTE
}

/// The intent that a test proposes, and its fees where it needs a transaction.
fn proposal(policy: &Policy, test: &PolicyTest, past: &Past) -> (Intent, Option<Money>) {
    let free = |amount: &Money| {
        Some(Money::new(U256::ZERO, crate::money::AssetId::native(amount.asset.chain)))
    };
    let labels = test.labels.clone();
    match &test.when {
        When::Pay { amount, payee } => {
            let to = past::address(policy, &test.given, payee);
            let (payee, amount) = (payee.clone(), *amount);
            if amount.asset.is_native() {
                return (Intent::Transfer(Transfer { payee, to, amount, labels }), free(&amount));
            }
            let host = test.asked_by.clone().unwrap_or_else(|| match policy.payees.get(&payee) {
                Some(payee) => payee.host.clone().unwrap_or_default(),
                None => PEER_HOST.to_owned(),
            });
            let resource = "test".to_owned();
            (Intent::Authorise(Authorise { payee, to, amount, host, resource, labels }), None)
        }
        When::Use { tool, fetch, bytes, arguments } => {
            let fetch = fetch.clone().or_else(|| {
                // What leaves goes somewhere: to the first host that the tool may reach.
                (*bytes > 0).then(|| usual_request(policy, tool))
            });
            let fetch = fetch.map(|(method, host)| Fetch {
                method,
                host,
                path: "/".to_owned(),
                bytes_out: *bytes,
            });
            let (tool, arguments) = (tool.clone(), arguments.clone());
            (Intent::Tool(ToolUse { tool, fetch, arguments, labels }), None)
        }
        When::Collect(amount) => {
            let settle = Settle {
                from: past::named("payer"),
                to: past.agent,
                amount: *amount,
                valid_after: 0,
                valid_before: u64::MAX,
                nonce: B256::ZERO,
                signature: "0x".to_owned(),
                resource: "test".to_owned(),
            };
            (Intent::Settle(settle), free(amount))
        }
        When::Return(amount) => (Intent::Sweep(Sweep { amount: *amount }), free(amount)),
    }
}

/// A method and a host that the tool may use, where it may use any.
fn usual_request(policy: &Policy, tool: &str) -> (String, String) {
    let tool = policy.tools.get(tool);
    let method = tool.and_then(|tool| tool.methods.first()).cloned();
    let host = tool.and_then(|tool| tool.hosts.first());
    let host = host.map(|host| match host.strip_prefix("*.") {
        Some(base) => format!("test.{base}"),
        None => host.clone(),
    });
    (method.unwrap_or_else(|| "GET".to_owned()), host.unwrap_or_default())
}
