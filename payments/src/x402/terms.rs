//! Terms that we understand: `exact`, EIP-3009, an EVM chain, a token, an amount, a payee.

use super::wire::PaymentRequirements;
use crate::error::{Objection, Rule, shortened};
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, Money};
use serde_json::{Map, Value, json};

/// One way to pay, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is asked.
    pub amount: Money,
    /// Who is to be paid.
    pub pay_to: Address,
    /// Name and version of the token's EIP-712 domain, as the seller says.
    pub domain: (String, String),
    /// How long the seller takes to complete a payment, in seconds.
    pub max_timeout_seconds: u64,
}

/// The chain id of a CAIP-2 network such as `eip155:84532`; `None` if it is not an EVM chain.
#[must_use]
pub fn network(text: &str) -> Option<u64> {
    let reference = text.strip_prefix("eip155:")?;
    let canonical = !reference.is_empty()
        && !reference.starts_with('0')
        && reference.bytes().all(|b| b.is_ascii_digit());
    if canonical { reference.parse().ok() } else { None }
}

impl PaymentRequirements {
    /// Parses these requirements as `exact` by EIP-3009.
    ///
    /// # Errors
    /// The first thing that is not understood.
    pub fn terms(&self) -> Result<Terms, Objection> {
        if self.scheme != super::EXACT {
            return Err(Objection::new(
                Rule::Scheme,
                format!("\"{}\"; only \"exact\" is paid", shortened(&self.scheme)),
            ));
        }
        match self.extra.get("assetTransferMethod").map(Value::as_str) {
            None | Some(Some("eip3009")) => {}
            Some(method) => {
                return Err(Objection::new(
                    Rule::Scheme,
                    format!(
                        "exact by {}; only EIP-3009 is paid",
                        shortened(method.unwrap_or("an unreadable method"))
                    ),
                ));
            }
        }
        let chain = network(&self.network).ok_or_else(|| {
            Objection::new(
                Rule::Network,
                format!("\"{}\" is not of the form eip155:8453", shortened(&self.network)),
            )
        })?;
        let token = address(&self.asset, Rule::Asset)?;
        let asset = AssetId { chain, token };
        if asset.is_native() {
            return Err(Objection::new(Rule::Asset, "a native coin cannot be paid by EIP-3009"));
        }
        let pay_to = address(&self.pay_to, Rule::Payee)?;
        let units = units(&self.amount).ok_or_else(|| {
            Objection::new(
                Rule::Amount,
                format!("\"{}\" is not a decimal number of base units", shortened(&self.amount)),
            )
        })?;
        let field = |name: &str| {
            self.extra.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
                Objection::new(Rule::Domain, format!("extra.{name} is missing or not a text"))
            })
        };
        Ok(Terms {
            amount: Money::new(units, asset),
            pay_to,
            domain: (field("name")?, field("version")?),
            max_timeout_seconds: self.max_timeout_seconds,
        })
    }
}

impl Terms {
    /// The chain as CAIP-2 names it.
    #[must_use]
    pub fn network(&self) -> String {
        format!("eip155:{}", self.amount.asset.chain)
    }
}

impl From<&Terms> for PaymentRequirements {
    fn from(terms: &Terms) -> Self {
        let (name, version) = &terms.domain;
        Self {
            scheme: super::EXACT.to_owned(),
            network: terms.network(),
            amount: terms.amount.units.to_string(),
            asset: terms.amount.asset.token.to_string(),
            pay_to: terms.pay_to.to_string(),
            max_timeout_seconds: terms.max_timeout_seconds,
            extra: json!({ "assetTransferMethod": "eip3009", "name": name, "version": version }),
            rest: Map::new(),
        }
    }
}

fn address(text: &str, rule: Rule) -> Result<Address, Objection> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.parse().map_err(|_| {
        Objection::new(rule, format!("\"{}\" is not a 20-byte address", shortened(text)))
    })
}

fn units(text: &str) -> Option<U256> {
    let canonical = text == "0" || (!text.is_empty() && !text.starts_with('0'));
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) {
        U256::from_str_radix(text, 10).ok()
    } else {
        None
    }
}
