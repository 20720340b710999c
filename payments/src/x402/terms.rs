//! Terms that we understand: a way to move money, an EVM chain, a token, an amount, a payee.
//!
//! What the wire says as text becomes a type that holds no nonsense, or an [`Objection`] that says
//! which field is wrong. Nothing is compared with a policy here: that is the buyer's part.

use super::wire::PaymentRequirements;
use crate::error::{Objection, Rule, shortened};
use alloy_primitives::{Address, U256};
use marque_policies::{AssetId, Money};
use serde_json::{Map, Value};

/// The longest time that a seller may take to complete a payment, in seconds. What we sign lives for
/// minutes; a seller that speaks of days means another kind of payment.
pub const MAX_TIMEOUT: u64 = 86_400;

/// One way to pay, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is asked; under [`Method::Upto`] the most that may be taken.
    pub amount: Money,
    /// Who is to be paid.
    pub pay_to: Address,
    /// How the money moves.
    pub method: Method,
    /// Name and version of the token's EIP-712 domain, as the seller says. Always there by EIP-3009,
    /// where it is signed under; by Permit2 a seller may leave it out.
    pub domain: Option<(String, String)>,
    /// How long the seller takes to complete a payment, in seconds: 1 to [`MAX_TIMEOUT`].
    pub max_timeout_seconds: u64,
}

/// How the money moves, and under which scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `exact`: a `TransferWithAuthorization` of the token itself.
    Eip3009,
    /// `exact`: a Permit2 permit whose spender is the exact proxy of x402.
    Permit2,
    /// `upto`: a Permit2 permit of which the seller takes what was used.
    Upto {
        /// The only account that may settle it.
        facilitator: Address,
    },
}

impl Method {
    /// The scheme's name on the wire.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Eip3009 | Self::Permit2 => super::EXACT,
            Self::Upto { .. } => super::UPTO,
        }
    }

    /// `extra.assetTransferMethod`.
    #[must_use]
    pub const fn transfer(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 | Self::Upto { .. } => "permit2",
        }
    }
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
    /// Parses these requirements.
    ///
    /// # Errors
    /// The first thing that is not understood.
    pub fn terms(&self) -> Result<Terms, Objection> {
        let method = self.method()?;
        let chain = network(&self.network).ok_or_else(|| {
            Objection::new(
                Rule::Network,
                format!("\"{}\" is not of the form eip155:8453", shortened(&self.network)),
            )
        })?;
        let token = address(&self.asset, Rule::Asset)?;
        let asset = AssetId { chain, token };
        if asset.is_native() {
            return Err(Objection::new(Rule::Asset, "a native coin cannot be paid by a signature"));
        }
        let pay_to = address(&self.pay_to, Rule::Payee)?;
        if pay_to.is_zero() {
            return Err(Objection::new(Rule::Payee, "the zero address would burn the money"));
        }
        let units = units(&self.amount).ok_or_else(|| {
            Objection::new(
                Rule::Amount,
                format!("\"{}\" is not a decimal number of base units", shortened(&self.amount)),
            )
        })?;
        if units.is_zero() {
            return Err(Objection::new(Rule::Amount, "zero is no price; serve it without a 402"));
        }
        if !(1..=MAX_TIMEOUT).contains(&self.max_timeout_seconds) {
            return Err(Objection::new(
                Rule::Timeout,
                format!(
                    "{} s to complete a payment; 1 to {MAX_TIMEOUT} are accepted",
                    self.max_timeout_seconds
                ),
            ));
        }
        Ok(Terms {
            amount: Money::new(units, asset),
            pay_to,
            domain: self.domain(method)?,
            method,
            max_timeout_seconds: self.max_timeout_seconds,
        })
    }

    fn method(&self) -> Result<Method, Objection> {
        let transfer = match self.extra.get("assetTransferMethod") {
            None => None,
            Some(Value::String(name)) => Some(name.as_str()),
            Some(_) => Some("an unreadable method"),
        };
        match (self.scheme.as_str(), transfer) {
            (super::EXACT, None | Some("eip3009")) => Ok(Method::Eip3009),
            (super::EXACT, Some("permit2")) => Ok(Method::Permit2),
            (super::UPTO, None | Some("permit2")) => {
                let said = self.extra.get("facilitatorAddress").and_then(Value::as_str);
                let said = said.ok_or_else(|| {
                    Objection::new(
                        Rule::Facilitator,
                        "extra.facilitatorAddress is missing or not a text: anybody could settle it",
                    )
                })?;
                let facilitator = address(said, Rule::Facilitator)?;
                if facilitator.is_zero() {
                    let why = "the zero address can settle nothing";
                    return Err(Objection::new(Rule::Facilitator, why));
                }
                Ok(Method::Upto { facilitator })
            }
            (scheme @ (super::EXACT | super::UPTO), Some(method)) => Err(Objection::new(
                Rule::Scheme,
                format!(
                    "{scheme} by {}; exact is paid by EIP-3009 and by Permit2, upto by Permit2",
                    shortened(method)
                ),
            )),
            (other, _) => Err(Objection::new(
                Rule::Scheme,
                format!("\"{}\"; only \"exact\" and \"upto\" are paid", shortened(other)),
            )),
        }
    }

    fn domain(&self, method: Method) -> Result<Option<(String, String)>, Objection> {
        let (name, version) = (self.extra.get("name"), self.extra.get("version"));
        if name.is_none() && version.is_none() && method != Method::Eip3009 {
            return Ok(None);
        }
        let field = |value: Option<&Value>, name: &str| {
            value.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
                Objection::new(Rule::Domain, format!("extra.{name} is missing or not a text"))
            })
        };
        Ok(Some((field(name, "name")?, field(version, "version")?)))
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
        let mut extra = Map::new();
        extra.insert("assetTransferMethod".to_owned(), terms.method.transfer().into());
        if let Some((name, version)) = &terms.domain {
            extra.insert("name".to_owned(), name.as_str().into());
            extra.insert("version".to_owned(), version.as_str().into());
        }
        if let Method::Upto { facilitator } = terms.method {
            extra.insert("facilitatorAddress".to_owned(), facilitator.to_string().into());
        }
        Self {
            scheme: terms.method.scheme().to_owned(),
            network: terms.network(),
            amount: terms.amount.units.to_string(),
            asset: terms.amount.asset.token.to_string(),
            pay_to: terms.pay_to.to_string(),
            max_timeout_seconds: terms.max_timeout_seconds,
            extra: extra.into(),
            rest: Map::new(),
        }
    }
}

fn address(text: &str, rule: Rule) -> Result<Address, Objection> {
    let wrong = |why| Objection::new(rule, format!("\"{}\" is {why}", shortened(text)));
    let digits = text.strip_prefix("0x").unwrap_or_default();
    // Hex parsers forgive a prefix: this one has been taken off, and there is no second.
    let plain = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let address: Option<Address> = plain.then(|| digits.parse().ok()).flatten();
    let address = address.ok_or_else(|| wrong("not a 20-byte address"))?;
    // EIP-55: mixed case is a checksum, and a wrong one is a typing mistake or worse.
    let mixed = digits.bytes().any(|b| b.is_ascii_lowercase())
        && digits.bytes().any(|b| b.is_ascii_uppercase());
    if mixed && address.to_checksum(None).strip_prefix("0x") != Some(digits) {
        return Err(wrong("an address whose checksum does not hold"));
    }
    Ok(address)
}

/// A decimal number of base units, written in the one way that there is.
pub(crate) fn units(text: &str) -> Option<U256> {
    let canonical = text == "0" || (!text.is_empty() && !text.starts_with('0'));
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) {
        U256::from_str_radix(text, 10).ok()
    } else {
        None
    }
}
