//! The three policies of the story, as their owners would write them.

use alloy_primitives::{Address, U256};
use marque::economy::{DOLLAR, Economy, Party};

/// A seller that a buyer's policy names: identity, owner and wallet are pinned.
pub(super) struct Seller<'a> {
    pub(super) party: &'a Party,
    pub(super) id: U256,
    pub(super) host: String,
}

/// A seller may take money and spend nothing but gas.
pub(crate) fn seller(economy: &Economy, owner: Address) -> String {
    format!(
        "{}\n[income]\nassets = [\"{DOLLAR}\"]\n",
        economy.policy_head(owner, economy.devnet.url())
    )
}

/// The buyer: small payments to two pinned payees, and no more than 0.25 in any hour.
pub(super) fn buyer(economy: &Economy, owner: Address, sellers: &[Seller<'_>]) -> String {
    let mut text = format!(
        r#"{}
[limits.{DOLLAR}]
payment   = "0.10"
hour      = "0.25"
day       = "1.00"
total     = "5.00"
ask_above = "0.08"
"#,
        economy.policy_head(owner, economy.devnet.url())
    );
    for seller in sellers {
        text.push_str(&format!(
            r#"
[[payee]]
name     = "{}"
agent_id = {}
owner    = "{}"
wallet   = "{}"
host     = "{}"
day      = "0.50 {DOLLAR}"
"#,
            seller.party.name,
            seller.id,
            seller.party.owner.address(),
            seller.party.address,
            seller.host,
        ));
    }
    let host = |name: &str| {
        sellers.iter().find(|seller| seller.party.name == name).map_or("", |s| s.host.as_str())
    };
    text.push_str(&format!(
        r#"
[[tool]]
name  = "fetch_data"
hosts = ["{}"]
rate  = "60/min"

[[tool]]
name  = "hire_compute"
hosts = ["{}"]
rate  = "60/min"

[[test]]
when  = "pay 0.05 {DOLLAR} to feed"
then  = "allowed"

[[test]]
given = ["paid 0.24 {DOLLAR} to feed 20min ago"]
when  = "pay 0.05 {DOLLAR} to muscle"
then  = "refused by limits.{DOLLAR}.hour"
"#,
        host("feed"),
        host("muscle"),
    ));
    text
}
