//! Is this payment what it says it is? Everything that can be told without the chain, by a seller for
//! itself and by a facilitator for others.
//!
//! Each flaw has a reason by which the specification calls it, for programs, and a line for people.
//! The chain has the last word when the steward settles; these checks keep nonsense away from it.
//!
//! Source: the x402 v2 specification, section 9, and the `exact` and `upto` schemes on EVM.

use crate::{
    error::{Objection, Rule, shortened},
    signed_payment::SignedPayment,
    x402::{ExactPayload, Method, PaymentPayload, Permit2Payload, Terms},
};
use alloy_primitives::{Address, B256, hex};
use marque_contracts::{Authorization, TokenDomain, eip3009_digest, recover};
use marque_policies::{
    Money, Timestamp,
    intent::{PermitVia, Settle, SettlePermit},
};
use std::fmt;

/// What is wrong with a payment, as the specification calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The payer has too little.
    InsufficientFunds,
    /// It is not valid yet.
    ValidAfter,
    /// It has expired, or nearly.
    ValidBefore,
    /// It pays another amount than is required.
    Value,
    /// It is not signed by its payer.
    Signature,
    /// It pays somebody else.
    Recipient,
    /// Another chain.
    Network,
    /// It cannot be read.
    Payload,
    /// What is required cannot be read, or is nothing that is settled here.
    Requirements,
    /// Another scheme than is required.
    Scheme,
    /// A scheme that is not known here.
    UnsupportedScheme,
    /// Another version of the protocol.
    Version,
    /// The chain does not take it: used already, cancelled, or it fails.
    TransactionState,
    /// More is to be taken than was permitted.
    ExceedsAmount,
    /// It could not be verified, for a reason that is not the payment's.
    Verify,
    /// It could not be settled, for a reason that is not the payment's.
    Settle,
}

impl Reason {
    /// The word for it on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::ValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
            Self::ValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
            Self::Value => "invalid_exact_evm_payload_authorization_value_mismatch",
            Self::Signature => "invalid_exact_evm_payload_signature",
            Self::Recipient => "invalid_exact_evm_payload_recipient_mismatch",
            Self::Network => "invalid_network",
            Self::Payload => "invalid_payload",
            Self::Requirements => "invalid_payment_requirements",
            Self::Scheme => "invalid_scheme",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::Version => "invalid_x402_version",
            Self::TransactionState => "invalid_transaction_state",
            Self::ExceedsAmount => "invalid_upto_evm_payload_settlement_exceeds_amount",
            Self::Verify => "unexpected_verify_error",
            Self::Settle => "unexpected_settle_error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is wrong with a payment, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Flaw {
    /// As the specification calls it.
    pub reason: Reason,
    /// One line.
    pub why: String,
}

impl Flaw {
    pub(crate) fn new(reason: Reason, why: impl Into<String>) -> Self {
        Self { reason, why: why.into() }
    }
}

impl From<Objection> for Flaw {
    fn from(objection: Objection) -> Self {
        let reason = match objection.rule {
            Rule::Scheme => Reason::UnsupportedScheme,
            Rule::Network => Reason::Network,
            _ => Reason::Requirements,
        };
        Self::new(reason, objection.to_string())
    }
}

/// A payment for `terms`, signed by its payer, for the amount that the payer accepted. Whether that is
/// enough, and whether it is in time, is asked apart.
///
/// # Errors
/// The first flaw.
pub fn claim(
    sent: &PaymentPayload,
    terms: &Terms,
    resource: String,
) -> Result<SignedPayment, Flaw> {
    if sent.x402_version != crate::x402::VERSION {
        let why = format!("x402 version {} is not spoken here", sent.x402_version);
        return Err(Flaw::new(Reason::Version, why));
    }
    let accepted = sent.accepted.terms()?;
    if accepted.method.scheme() != terms.method.scheme()
        || accepted.method.transfer() != terms.method.transfer()
    {
        return Err(Flaw::new(
            Reason::Scheme,
            format!(
                "it pays {} by {}, but {} by {} is asked",
                accepted.method.scheme(),
                accepted.method.transfer(),
                terms.method.scheme(),
                terms.method.transfer()
            ),
        ));
    }
    let (paid, asked) = (accepted.amount.asset, terms.amount.asset);
    if paid != asked {
        let reason = if paid.chain == asked.chain { Reason::Requirements } else { Reason::Network };
        return Err(Flaw::new(reason, format!("it pays in {paid}, but {asked} is asked")));
    }
    match terms.method {
        Method::Eip3009 => exact(sent, &accepted, terms, resource),
        Method::Permit2 => permit(sent, &accepted, terms, PermitVia::Exact, resource),
        Method::Upto { facilitator } => {
            permit(sent, &accepted, terms, PermitVia::Upto { facilitator }, resource)
        }
    }
}

/// `exact` and `upto` by Permit2. All of it is charged until somebody says less.
fn permit(
    sent: &PaymentPayload,
    accepted: &Terms,
    terms: &Terms,
    via: PermitVia,
    resource: String,
) -> Result<SignedPayment, Flaw> {
    let said: Permit2Payload = serde_json::from_value(sent.payload.clone())
        .map_err(|error| Flaw::new(Reason::Payload, shortened(&error.to_string())))?;
    let signed = said.authorization;
    let asset = terms.amount.asset;
    recipient(accepted, terms, signed.witness.to)?;
    if signed.permitted.token != asset.token {
        let why = format!("it permits {}, not {}", signed.permitted.token, asset.token);
        return Err(Flaw::new(Reason::Payload, why));
    }
    let (permitted, units) = (signed.permitted.amount, accepted.amount.units);
    if permitted != units {
        let why = format!("it accepts {units} base units and pays {permitted}");
        return Err(Flaw::new(Reason::Value, why));
    }
    if signed.witness.facilitator != via.facilitator() {
        let why = match via.facilitator() {
            Some(ours) => format!("its witness does not name {ours} as the facilitator"),
            None => "its witness names a facilitator, which exact does not".to_owned(),
        };
        return Err(Flaw::new(Reason::Payload, why));
    }
    let permit = signed.permit();
    if signed.spender != permit.spender() {
        let why = format!("its spender is {}, not {}", signed.spender, permit.spender());
        return Err(Flaw::new(Reason::Payload, why));
    }
    let signature = canonical(&said.signature)?;
    by(signed.from, permit.digest(asset.chain), &signature)?;
    let amount = Money::new(permitted, asset);
    Ok(SignedPayment::Permit(SettlePermit {
        from: signed.from,
        to: permit.to,
        amount,
        charge: amount,
        via,
        valid_after: permit.valid_after,
        deadline: permit.deadline,
        nonce: permit.nonce,
        signature: hex::encode_prefixed(signature),
        resource,
    }))
}

/// `exact` by EIP-3009.
fn exact(
    sent: &PaymentPayload,
    accepted: &Terms,
    terms: &Terms,
    resource: String,
) -> Result<SignedPayment, Flaw> {
    let exact: ExactPayload = serde_json::from_value(sent.payload.clone())
        .map_err(|error| Flaw::new(Reason::Payload, shortened(&error.to_string())))?;
    let signed = exact.authorization;
    recipient(accepted, terms, signed.to)?;
    if signed.value != accepted.amount.units {
        return Err(Flaw::new(
            Reason::Value,
            format!("it accepts {} base units and pays {}", accepted.amount.units, signed.value),
        ));
    }
    let signature = canonical(&exact.signature)?;
    let asset = terms.amount.asset;
    let (name, version) = terms.domain.clone().unwrap_or_default();
    let domain = TokenDomain { name, version, chain: asset.chain, token: asset.token };
    let digest = eip3009_digest(
        &domain,
        &Authorization {
            from: signed.from,
            to: signed.to,
            value: signed.value,
            valid_after: signed.valid_after,
            valid_before: signed.valid_before,
            nonce: signed.nonce,
        },
    );
    by(signed.from, digest, &signature)?;
    Ok(SignedPayment::Authorisation(Settle {
        from: signed.from,
        to: signed.to,
        amount: Money::new(signed.value, asset),
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        nonce: signed.nonce,
        signature: hex::encode_prefixed(signature),
        resource,
    }))
}

/// Whether it pays whom it should.
fn recipient(accepted: &Terms, terms: &Terms, to: Address) -> Result<(), Flaw> {
    if accepted.pay_to == terms.pay_to && to == terms.pay_to {
        return Ok(());
    }
    Err(Flaw::new(Reason::Recipient, format!("it pays {to}, not {}", terms.pay_to)))
}

/// Whether it is signed by its payer.
fn by(payer: Address, digest: B256, signature: &[u8; 65]) -> Result<(), Flaw> {
    match recover(digest, signature) {
        Ok(signer) if signer == payer => Ok(()),
        Ok(_) => Err(Flaw::new(Reason::Signature, format!("it is not signed by {payer}"))),
        Err(error) => Err(Flaw::new(Reason::Signature, error.to_string())),
    }
}

/// The one encoding of a signature that is journalled: `v` is 27 or 28.
fn canonical(signature: &[u8]) -> Result<[u8; 65], Flaw> {
    let mut bytes: [u8; 65] = signature.try_into().map_err(|_| {
        let why = format!("the signature has {} bytes instead of 65", signature.len());
        Flaw::new(Reason::Signature, why)
    })?;
    let [.., v] = &mut bytes;
    if *v < 27 {
        *v = v.saturating_add(27);
    }
    Ok(bytes)
}

/// A payment has to stay valid for so many seconds, or it may lapse before it is in a block.
const MARGIN: u64 = 6;

/// Whether it is valid now, and long enough to be settled.
///
/// # Errors
/// What is wrong with its time.
pub fn valid_now(claim: &SignedPayment, now: Timestamp) -> Result<(), Flaw> {
    let now = now / 1000;
    let (after, before) = (claim.valid_after(), claim.valid_before());
    if after >= now {
        return Err(Flaw::new(Reason::ValidAfter, format!("it is not valid before {after}")));
    }
    if before <= now {
        return Err(Flaw::new(Reason::ValidBefore, format!("it has expired, at {before}")));
    }
    if before <= now.saturating_add(MARGIN) {
        let why = format!("it expires within {MARGIN} s, too soon to be settled");
        return Err(Flaw::new(Reason::ValidBefore, why));
    }
    Ok(())
}
