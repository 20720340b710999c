//! The reader: where each construct arrives, what it refuses and where it points, what it advises,
//! and what counts for the hash.

mod advice;
mod documents;
mod fields;
mod hash;
mod mangled;
mod mistakes;
mod scenarios;

use crate::support::{GROUND, PERMISSIONS};
use marque_policies::{Policy, PolicyError, Sources, Warning, parse::compile};

/// The usual policy, which uses nothing new.
fn usual_text() -> String {
    format!("{GROUND}{PERMISSIONS}")
}

/// What only `policy.toml` may say, before its tables.
const TOP: &str = r#"
version = 8
expires = 2027-06-30T00:00:00Z
times = ["mon-fri 06:00-20:00 +01:00", "sat 10:00-12:00"]
"#;

/// What `owner.toml` may say.
const SHARED: &str = r#"
[owner]
address = "0x0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

[owner.limits.USDC]
payment = "9"
hour = "11"
day = "21"
days30 = "210"
total = "410"
ask_above = "8"

[owner.limits.gas]
day = "0.02 ETH"

[approvals]
valid = "1h"
held = "24h"

[chain.devnet]
id = "eip155:31337"
rpc = ["http://127.0.0.1:8545"]
finality = 2
native = "ETH"
identity_registry = "0x8080808080808080808080808080808080808080"

[asset.USDC]
chain = "devnet"
token = "0x5555555555555555555555555555555555555555"
decimals = 6
domain = { name = "Marque Test Dollar", version = "1" }

[category.compute]
payment = "0.90 USDC"
hour = "2.90 USDC"
day = "5.90 USDC"
days30 = "59 USDC"
total = "99 USDC"
ask_above = "0.45 USDC"

[[payee]]
name = "weather-feed"
address = "0xfefefefefefefefefefefefefefefefefefefefe"
host = "feed.example"
day = "2.50 USDC"
"#;

/// What only `policy.toml` may say, and what it adds to `owner.toml`.
const OWN: &str = r#"
[labels]
web = "refuse"
peer = "ask"
memory = "ask"
model = "refuse"

[limits.USDC]
payment = "1.00"
hour = "3.00"
day = "10.00"
days30 = "100.00"
total = "200.00"
ask_above = "0.50"
ask_above_day = "2.00"

[limits.gas]
day = "0.002 ETH"

[task.limits.USDC]
payment = "0.95"
hour = "2.80"
day = "4.80"
days30 = "48"
total = "58"
ask_above = "0.44"

[pool.USDC]
payment = "0.05"
hour = "0.30"
day = "0.70"
days30 = "7"
total = "9.50"
ask_above = "0.04"
ask_above_day = "0.08"
peer_day = "0.10"
peer_total = "1.50"

[chain.side]
id = "eip155:10"
rpc = ["https://side.example"]
finality = "safe"
native = "SIDE"

[asset.EURC]
chain = "side"
token = "0x5656565656565656565656565656565656565656"
decimals = 6

[category.data]
day = "1.75 USDC"

[[payee]]
name = "gpu-market"
agent_id = 1
chain = "devnet"
owner = "0x3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d"
wallet = "0x3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c"
host = "gpu.example:8443"
category = "compute"
payment = "0.80 USDC"
hour = "2.70 USDC"
day = "4.70 USDC"
days30 = "47 USDC"
total = "57 USDC"
ask_above = "0.43 USDC"
ask_above_day = "1.30 USDC"
times = ["mon-fri 08:00-18:00"]

[[payee]]
name = "news"
host = "news.example"
category = "data"

[[tool]]
name = "fetch_data"
hosts = ["feed.example", "*.gov"]
methods = ["GET", "HEAD"]
rate = "60/min"
sends = "64 KiB/day"
times = ["07:00-19:00"]
labels = { web = "ask", peer = "refuse", memory = "ask", model = "ask" }
[tool.arguments.city]
one_of = ["Berlin", 7, true]
[tool.arguments.path]
starts_with = "/public/"
longest = 280
[tool.arguments.limit]
at_least = -1
at_most = 100

[sub_agent.helper]
payees = ["gpu-market", "news"]
tools = ["fetch_data"]
[sub_agent.helper.limits.USDC]
payment = "0.75"
hour = "0.85"
day = "1.10"
days30 = "11"
total = "13"
ask_above = "0.42"
[sub_agent.helper.limits.gas]
day = "0.001 ETH"

[float.USDC]
low = "2.10"
high = "5.30"
delegation = "required"

[income]
assets = ["USDC"]

[[test]]
given = [
    "paid 0.01 USDC to gpu-market 5h ago",
    "paid 0.02 USDC to bazaar 2days ago by helper",
    "paid 0.03 USDC to weather-feed 30min ago by another agent",
    "paid 0.04 USDC to news 90s ago in task errand",
    "used fetch_data 1min ago sending 3 KiB",
    "pinned news to 0x9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e",
]
when = "pay 0.20 USDC to gpu-market"
at = "tue 10:00"
as = "helper"
task = "errand"
asked_by = "gpu.example:8443"
labels = ["owner", "policy", "chain"]
approved = true
then = "allowed"

[[test]]
given = ["bazaar did not deliver", "gpu-market changed hands"]
when = "pay 0.01 USDC to bazaar"
labels = ["memory", "peer:bazaar"]
then = "held by pool.USDC.delivery"

[[test]]
given = ["gpu-market does not resolve"]
when = "pay 0.01 USDC to gpu-market"
then = "refused by payee.gpu-market.identity"

[[test]]
when = "use fetch_data to GET feed.example sending 2 KiB with city=Berlin path=/public/x limit=-1"
labels = ["web:feed.example", "model"]
then = "held"

[[test]]
when = "collect 1 USDC"
then = "allowed"

[[test]]
when = "return 1 USDC"
then = "allowed"
"#;

const CEDAR: &str = r#"
@id("night")
@reason("nobody looks after the agent at night")
forbid (principal, action == Action::"pay", resource) when { context.minute < 360 };
"#;

/// A policy that uses every construct, in one document and its forbids.
fn in_one() -> Sources {
    Sources {
        policy: format!("format = 1\n{TOP}{SHARED}{OWN}"),
        owner: None,
        cedar: Some(CEDAR.to_owned()),
    }
}

/// The same, in two documents and its forbids.
fn in_two() -> Sources {
    Sources {
        policy: format!("format = 1\n{TOP}{OWN}"),
        owner: Some(format!("format = 1\n{SHARED}")),
        cedar: Some(CEDAR.to_owned()),
    }
}

fn read(sources: &Sources) -> (Policy, Vec<Warning>) {
    compile(sources).unwrap_or_else(|error| panic!("{error}\n{:?}", error.mistake().help))
}

/// The sources with one text replaced in the document where it stands first.
fn edited(mut sources: Sources, from: &str, to: &str) -> Sources {
    let documents = [Some(&mut sources.policy), sources.owner.as_mut(), sources.cedar.as_mut()];
    let document = documents.into_iter().flatten().find(|text| text.contains(from));
    let document = document.unwrap_or_else(|| panic!("{from}"));
    *document = document.replacen(from, to, 1);
    sources
}

/// The sources without forbids, whose validation takes long, unless this text is in them.
fn lean(sources: Sources, from: &str) -> Sources {
    let cedar = sources.cedar.filter(|text| text.contains(from));
    Sources { cedar, ..sources }
}

/// The error of what uses every construct, with one text replaced by another.
fn broken(from: &str, to: &str) -> PolicyError {
    compile(&edited(lean(in_one(), from), from, to)).map(|_| ()).expect_err(to)
}

/// Its warnings.
fn warnings(from: &str, to: &str) -> Vec<String> {
    read(&edited(lean(in_one(), from), from, to)).1.iter().map(ToString::to_string).collect()
}
