//! Ready-made policies for a start: a buyer's and a seller's.
//!
//! INVARIANT: a draft reads without a warning and passes its own tests, whatever the parameters
//! (pinned by `tests/suite/drafts.rs`).

use alloy_primitives::{Address, U256};

/// What the agent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftKind {
    /// It buys data and compute.
    Buyer,
    /// It sells and is paid.
    Seller,
}

/// What a draft cannot guess. Names of chain, asset and payees are letters, digits, `-` and `_`.
#[derive(Clone, Debug)]
pub struct DraftParams {
    /// The owner's address.
    pub owner: Address,
    /// The document's name for the chain: `devnet`.
    pub chain_name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// JSON-RPC endpoints, at least one.
    pub rpc: Vec<String>,
    /// When something is final, as TOML: `2`, `"safe"`, `"finalized"`.
    pub finality: String,
    /// The native coin's symbol: `ETH`.
    pub native: String,
    /// The ERC-8004 identity registry; needed for payees by agent id.
    pub registry: Option<Address>,
    /// The document's name for the token: `USDC`.
    pub asset: String,
    /// The token's contract.
    pub token: Address,
    /// EIP-712 domain name and version of the token.
    pub token_domain: (String, String),
    /// Digits after the token's point, at least 2.
    pub decimals: u8,
    /// Whom a buyer may pay.
    pub payees: Vec<DraftPayee>,
    /// Hosts that a buyer's `fetch_data` may reach.
    pub data_hosts: Vec<String>,
    /// Hosts that a buyer's `hire_compute` may reach.
    pub compute_hosts: Vec<String>,
}

/// Somebody whom a buyer may pay.
#[derive(Clone, Debug)]
pub struct DraftPayee {
    /// Name in the policy.
    pub name: String,
    /// Who it is.
    pub pin: Pin,
    /// The host that may ask for its money.
    pub host: Option<String>,
}

/// How a payee is pinned.
#[derive(Clone, Copy, Debug)]
pub enum Pin {
    /// By address.
    Address(Address),
    /// By ERC-8004 agent id, owner and wallet.
    Agent {
        /// The agent id.
        id: U256,
        /// Who must own it.
        owner: Address,
        /// The wallet that it must have.
        wallet: Address,
    },
}

/// Fills in a draft: a whole policy, version 1, with comments and tests.
#[must_use]
pub fn draft(kind: DraftKind, params: &DraftParams) -> String {
    let template = match kind {
        DraftKind::Buyer => include_str!("../ready/buyer.toml"),
        DraftKind::Seller => include_str!("../ready/seller.toml"),
    };
    let (domain_name, domain_version) = &params.token_domain;
    let registry = match params.registry {
        Some(registry) => format!("identity_registry = {}", quote(&registry.to_string())),
        None => "# identity_registry = \"0x..\"  # where agents are known by an id".to_owned(),
    };
    let fields = [
        ("owner", quote(&params.owner.to_string())),
        ("chain_name", params.chain_name.clone()),
        ("chain_id", quote(&format!("eip155:{}", params.chain_id))),
        ("rpc", list(&params.rpc)),
        ("finality", params.finality.clone()),
        ("native", quote(&params.native)),
        ("coin", params.native.clone()),
        ("registry", registry),
        ("asset", params.asset.clone()),
        ("token", quote(&params.token.to_string())),
        ("domain_name", quote(domain_name)),
        ("domain_version", quote(domain_version)),
        ("decimals", params.decimals.to_string()),
        ("payees", payees(params)),
        ("payee_tests", payee_tests(params)),
        ("data_hosts", list(&params.data_hosts)),
        ("compute_hosts", list(&params.compute_hosts)),
    ];
    // One pass over the template, so that a value is never taken for a placeholder.
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        if let Some((_, value)) = fields.iter().find(|(field, _)| *field == name) {
            text.push_str(value);
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn payees(params: &DraftParams) -> String {
    if params.payees.is_empty() {
        return "# [[payee]]\n# name    = \"weather-feed\"\n# address = \"0x..\"\n# host    = \"feed.example\"\n"
            .to_owned();
    }
    let payee = |payee: &DraftPayee| {
        let mut lines = vec!["[[payee]]".to_owned(), format!("name     = {}", quote(&payee.name))];
        match payee.pin {
            Pin::Address(address) => lines.push(format!("address  = \"{address}\"")),
            Pin::Agent { id, owner, wallet } => {
                lines.push(format!("agent_id = {id}"));
                lines.push(format!("owner    = \"{owner}\""));
                lines.push(format!("wallet   = \"{wallet}\""));
            }
        }
        lines.extend(payee.host.as_ref().map(|host| format!("host     = {}", quote(host))));
        lines.join("\n") + "\n"
    };
    params.payees.iter().map(payee).collect::<Vec<_>>().join("\n")
}

/// Tests that need somebody to pay.
fn payee_tests(params: &DraftParams) -> String {
    let Some(DraftPayee { name, .. }) = params.payees.first() else { return String::new() };
    let asset = &params.asset;
    let test = |given: &str, when: &str, then: &str| {
        format!("\n[[test]]\n{given}when  = \"pay {when} {asset} to {name}\"\nthen  = \"{then}\"\n")
    };
    let spent = [50, 40, 30, 20, 10]
        .map(|minutes| format!("  \"paid 0.50 {asset} to {name} {minutes}min ago\",\n"))
        .concat();
    [
        test("", "0.05", "allowed"),
        test("", "0.75", "held"),
        test("", "1.01", &format!("refused by limits.{asset}.payment")),
        test(&format!("given = [\n{spent}]\n"), "0.51", &format!("refused by limits.{asset}.hour")),
    ]
    .concat()
}

/// A TOML string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
}
