//! What is judged: a policy of 50 payees, 30 tools and 20 forbids, a past, and intents of every
//! usual kind.

use crate::Error;
use alloy_primitives::{Address, B256, U256};
use marque_policies::{
    AssetId, Decision, Intent, Label, Labels, Money, Past, Policy, Request, Sources, Timestamp,
    document::{HOUR, PaidBy},
    intent::{Authorise, Fetch, Settle, ToolUse, Transfer},
    parse::compile,
    trial::{Debit, Use},
};
use std::collections::BTreeMap;

const CHAIN: u64 = 84_532;
const USDC: AssetId = AssetId { chain: CHAIN, token: Address::repeat_byte(0x55) };
const PAYEES: u8 = 50;
const TOOLS: usize = 30;
const DEBITS: u64 = 300;

/// Limits of the agent, in millionths: payment, hour, day, days30, total.
pub(crate) const LIMITS: [u64; 5] = [5_000_000, 20_000_000, 80_000_000, 900_000_000, 9_000_000_000];
/// Limits of each payee, in millionths: payment, day.
pub(crate) const PAYEE_LIMITS: [u64; 2] = [4_000_000, 30_000_000];

/// All that a measurement needs.
pub(crate) struct Scene {
    pub(crate) sources: Sources,
    pub(crate) policy: Policy,
    pub(crate) past: Past,
    pub(crate) now: Timestamp,
    pub(crate) cases: Vec<Case>,
}

/// One intent, and what is to come of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) intent: Intent,
    pub(crate) gas: Option<Money>,
    pub(crate) expected: Decision,
}

impl Case {
    pub(crate) fn request(&self) -> Request<'_> {
        let (intent, gas) = (&self.intent, self.gas);
        Request { agent: "scout", sub_agent: None, task: "errand", intent, gas }
    }
}

impl Scene {
    pub(crate) fn new() -> Result<Self, Error> {
        let sources = Sources { policy: policy_text(), owner: None, cedar: Some(forbids()) };
        let (policy, warnings) = compile(&sources)?;
        if let Some(warning) = warnings.first() {
            return Err(warning.to_string().into());
        }
        // A Monday noon, UTC.
        let now = 1_704_110_400_000;
        Ok(Self { sources, policy, past: past(now), now, cases: cases() })
    }
}

pub(crate) fn payees() -> impl Iterator<Item = (String, Address, String)> {
    (0..PAYEES).map(|n| {
        (format!("seller-{n}"), Address::repeat_byte(n + 1), format!("seller-{n}.example"))
    })
}

pub(crate) fn tools() -> impl Iterator<Item = (String, String)> {
    (0..TOOLS).map(|n| (format!("tool-{n}"), format!("data-{n}.example")))
}

fn policy_text() -> String {
    let dollars = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let [payment, hour, day, days30, total] = LIMITS.map(dollars);
    let mut text = format!(
        r#"format = 1
version = 1
owner = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

[chain.base-sepolia]
id = "eip155:{CHAIN}"
rpc = ["https://rpc.example"]
finality = "safe"
native = "ETH"

[asset.USDC]
chain = "base-sepolia"
token = "{token}"
decimals = 6
domain = {{ name = "USD Coin", version = "2" }}

[limits.USDC]
payment = "{payment}"
hour = "{hour}"
day = "{day}"
days30 = "{days30}"
total = "{total}"
ask_above = "2.00"
ask_above_day = "25.00"

[limits.gas]
day = "0.01 ETH"

[income]
assets = ["USDC"]
"#,
        token = USDC.token,
    );
    let [payment, day] = PAYEE_LIMITS.map(dollars);
    for (name, address, host) in payees() {
        text.push_str(&format!(
            "\n[[payee]]\nname = \"{name}\"\naddress = \"{address}\"\nhost = \"{host}\"\n\
             payment = \"{payment} USDC\"\nday = \"{day} USDC\"\n"
        ));
    }
    for (name, host) in tools() {
        text.push_str(&format!(
            "\n[[tool]]\nname = \"{name}\"\nhosts = [\"{host}\", \"*.gov\"]\nrate = \"600/h\"\n\
             sends = \"64 KiB/day\"\n"
        ));
    }
    text
}

/// Twenty forbids such as owners write. None of them looks at labels, which the engine would ask
/// about more than once, or the peer would be asked less.
pub(crate) fn forbids() -> String {
    let mut text = String::new();
    let mut forbid = |id: &str, action: &str, when: &str| {
        text.push_str(&format!(
            "@id(\"{id}\")\nforbid (principal, action == Action::\"{action}\", resource)\n\
             when {{ {when} }};\n\n"
        ));
    };
    forbid("no-night-spend", "pay", "context.minute < 360");
    forbid("no-weekend-spend", "pay", "context.weekday >= 5");
    forbid("no-large-transfer", "pay", "context.transaction && context.amount_micros > 3000000");
    forbid("careful-with-news", "pay", "context.first_payment && context.amount_micros > 3500000");
    forbid("debtors", "pay", "!context.delivers && context.amount_micros > 100000");
    forbid("no-exports", "pay", "context.resource like \"*/export/*\"");
    forbid("busy-day", "pay", "context.spent.day > 70000000 && context.amount_micros > 1000000");
    forbid("one-payee-a-day", "pay", "context.payee_day > 28000000");
    forbid("one-payee-ever", "pay", "context.payee_total > 5000000000");
    forbid("no-other-coin", "pay", "context.asset != \"USDC\" && context.amount_micros > 10");
    forbid("no-plain-ports", "pay", "context.host like \"*:80\"");
    forbid("no-early-helpers", "pay", "context.sub_agent != \"\" && context.minute < 600");
    forbid("no-deletes", "use", "context.method == \"DELETE\"");
    forbid("no-secrets", "use", "context.path like \"*secret*\" || context.path like \"*token*\"");
    forbid("small-uploads", "use", "context.bytes_out > 20000");
    forbid("no-admin", "use", "context.fetches && context.path like \"/admin/*\"");
    forbid("no-night-posts", "use", "context.method == \"POST\" && context.minute < 300");
    forbid("no-old-tool", "use", "resource == Tool::\"tool-7\" && context.weekday == 6");
    forbid("no-large-income", "collect", "context.amount_micros > 1000000000");
    forbid("no-free-samples", "collect", "context.resource like \"*/sample/*\"");
    text
}

/// Debits over forty days to all payees, and uses of tools.
fn past(now: Timestamp) -> Past {
    let debit = |n: u64| Debit {
        to: Address::repeat_byte(u8::try_from(n % u64::from(PAYEES)).unwrap_or(0) + 1),
        amount: Money::new(U256::from(100_000 + n * 1_000), USDC),
        at: now - n * 3 * HOUR - 1,
        by: PaidBy::Agent,
        pool: false,
    };
    let used =
        |n: u64| Use { tool: format!("tool-{}", n % 30), at: now - n * HOUR / 10, bytes: 500 };
    Past {
        debits: (0..DEBITS).map(debit).collect(),
        uses: (0..DEBITS).map(used).collect(),
        ..Past::default()
    }
}

fn pay(n: u8, micros: u64) -> Authorise {
    Authorise {
        payee: format!("seller-{n}"),
        to: Address::repeat_byte(n + 1),
        amount: Money::new(U256::from(micros), USDC),
        host: format!("seller-{n}.example"),
        resource: format!("https://seller-{n}.example/data/wind.csv"),
        labels: Labels::default(),
    }
}

fn fetch(tool: &str, host: &str) -> Intent {
    Intent::Tool(ToolUse {
        tool: tool.to_owned(),
        fetch: Some(Fetch {
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: "/data/wind.csv?city=Berlin".to_owned(),
            bytes_out: 120,
        }),
        arguments: BTreeMap::new(),
        labels: Labels::default().with(Label::Model),
    })
}

/// Mostly what an honest agent does all day, and some of what is held and refused.
fn cases() -> Vec<Case> {
    let fees = Some(Money::new(U256::from(21_000_000_000_000_u64), AssetId::native(CHAIN)));
    let case = |name, intent, gas, expected| Case { name, intent, gas, expected };
    let pays = |name, pay, expected| case(name, Intent::Authorise(pay), None, expected);
    let labels = Labels::default().with(Label::Web("seller-21.example".to_owned()));
    let Authorise { payee, to, amount, .. } = pay(30, 500_000);
    let transfer = Transfer { payee, to, amount, labels: Labels::default() };
    let settle = Settle {
        from: Address::repeat_byte(0x77),
        to: Past::default().agent,
        amount,
        valid_after: 0,
        valid_before: u64::MAX,
        nonce: B256::repeat_byte(3),
        signature: format!("0x{}", "ab".repeat(65)),
        resource: "https://scout.example/offer".to_owned(),
    };
    use Decision::{Allow, Hold, Refuse};
    vec![
        pays("a small payment", pay(3, 20_000), Allow),
        pays("a payment, labelled", Authorise { labels, ..pay(21, 250_000) }, Allow),
        pays("a payment to the last payee", pay(49, 1_900_000), Allow),
        pays("a payment above `ask_above`", pay(8, 2_500_000), Hold),
        pays("a payment above the limit", pay(8, 5_000_001), Refuse),
        pays("a payment to another address", Authorise { to: Address::ZERO, ..pay(8, 1) }, Refuse),
        pays(
            "a payment to a stranger",
            Authorise { payee: "evil".to_owned(), ..pay(8, 1) },
            Refuse,
        ),
        case("a transfer with its fees", Intent::Transfer(transfer), fees, Allow),
        case("a fetch", fetch("tool-4", "data-4.example"), None, Allow),
        case("a fetch below a wildcard", fetch("tool-29", "weather.gov"), None, Allow),
        case("a fetch from elsewhere", fetch("tool-4", "evil.example"), None, Refuse),
        case("a settlement", Intent::Settle(settle), fees, Allow),
    ]
}
