//! `policy.cedar` as an owner meets it: what is not read, where it says so, and what forbids do.

mod facts;
mod traps;

use crate::support::*;
use marque_policies::{Intent, Label, Labels, Policy, PolicyError, Sources, parse::compile};

/// Beside [`GROUND`] and [`PERMISSIONS`]: a category, a sub-agent and a pool.
const MORE: &str = r#"
[pool.USDC]
day = "5.00"

[[payee]]
name = "market"
address = "0x3131313131313131313131313131313131313131"
host = "market.example"
category = "compute"

[sub_agent.helper]
payees = ["weather-feed"]
[sub_agent.helper.limits.USDC]
day = "1.00"
"#;

fn sources(cedar: &str) -> Sources {
    let policy = format!("{GROUND}{PERMISSIONS}{MORE}");
    Sources { policy, owner: None, cedar: Some(cedar.to_owned()) }
}

fn with(cedar: &str) -> Policy {
    compile(&sources(cedar)).map(|(policy, _)| policy).unwrap_or_else(|error| panic!("{error}"))
}

fn error(cedar: &str) -> PolicyError {
    compile(&sources(cedar)).map(|_| ()).expect_err(cedar)
}

fn labelled(labels: impl IntoIterator<Item = Label>) -> Intent {
    let mut intent = pay("weather-feed", FEED, usdc(10_000));
    intent.labels = Labels(labels.into_iter().collect());
    Intent::Authorise(intent)
}
