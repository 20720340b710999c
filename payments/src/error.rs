//! Everything that can go wrong at the counter, and the reasons for which terms are turned down.

use marque_policies::{IntentId, Row, verdict::Mark};
use marque_steward_client::{Fault, PaymentState};
use std::fmt;

/// Why a purchase or a sale did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// The request did not get through.
    #[error(transparent)]
    Net(#[from] marque_net::NetError),
    /// A header could not be read or written.
    #[error("{header}: {why}")]
    Header {
        /// Which header.
        header: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The seller asks in a way that this crate does not answer.
    #[error("{0}")]
    Unsupported(String),
    /// The seller's terms are not what was asked for, or not ours to accept. Nothing was proposed.
    #[error("the seller's terms were turned down: {}", Lines(.0))]
    Terms(Vec<Objection>),
    /// The owner has to decide; propose the same errand again once that is done.
    #[error("payment {id} is held for the owner: {}", Rules(.table, Mark::Ask))]
    Held {
        /// The held intent: what the owner approves or denies.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The policy refuses.
    #[error("payment {id} is refused by the policy: {}", Rules(.table, Mark::Fail))]
    Refused {
        /// The refused intent.
        id: IntentId,
        /// Every rule's answer.
        table: Vec<Row>,
    },
    /// The steward did not accept the question.
    #[error("the steward answered {}: {}", .0.code, .0.message)]
    Fault(Fault),
    /// The steward could not be reached.
    #[error("the steward cannot be reached: {0}")]
    Steward(String),
    /// The steward signed something other than what was proposed; it was not sent.
    #[error("the steward's artifact for {id} is not what was proposed: {why}; it was not sent")]
    Artifact {
        /// The intent.
        id: IntentId,
        /// What differs.
        why: String,
    },
    /// The chain has not taken the approval that payments by Permit2 need. Nothing was signed.
    #[error("Permit2 is not approved for payments: intent {id} is {state:?}; try again later")]
    Approval {
        /// The approval.
        id: IntentId,
        /// Where it stands.
        state: PaymentState,
    },
    /// A signed payment was handed over and no goods came.
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
    /// A facilitator gave no answer to the question.
    #[error("the facilitator at {url}: {why}")]
    Facilitator {
        /// Where it is.
        url: String,
        /// What it said instead.
        why: String,
    },
    /// A seller's price is not one.
    #[error("\"{text}\" is not a price: {why}")]
    Price {
        /// The price as written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A signed payment that brought no goods. The money counts as spent until the chain can no longer
/// accept the authorisation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payment {id} was handed over, but nothing was delivered: {why}")]
pub struct Undelivered {
    /// The payment.
    pub id: IntentId,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The answer, shortened.
    pub why: String,
}

/// Which of the rules for a 402 answer was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The resource is the URL that was asked for, answered by the host that was asked.
    Resource,
    /// The scheme is `exact` by EIP-3009 or Permit2, or `upto` by Permit2.
    Scheme,
    /// The network is the chain of an asset in the policy.
    Network,
    /// The asset is one of the policy's.
    Asset,
    /// The token's signing domain is the policy's.
    Domain,
    /// The payee is one of the policy's, and this host may ask for it.
    Payee,
    /// The amount is one, and within the errand's maximum.
    Amount,
    /// The time to complete a payment is one.
    Timeout,
    /// Who may settle an `upto` payment is said.
    Facilitator,
    /// What the answer says beside the terms is well formed and claims nothing of ours.
    Extension,
    /// An offer that the seller signed says what the terms say.
    Offer,
    /// What the seller says about the settlement is about this payment.
    Settlement,
    /// A receipt that the seller signed is for this payment.
    Receipt,
}

/// One reason for which terms were turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// Which entry of `accepts`; `None` where it concerns the answer as a whole.
    pub entry: Option<usize>,
    /// The rule.
    pub rule: Rule,
    /// What was said and what would be right.
    pub why: String,
}

impl Objection {
    /// An objection that is not yet tied to an entry.
    pub(crate) fn new(rule: Rule, why: impl Into<String>) -> Self {
        Self { entry: None, rule, why: why.into() }
    }

    /// The same objection, to the entry at `index`.
    pub(crate) fn at(self, index: usize) -> Self {
        Self { entry: Some(index), ..self }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "resource",
            Self::Scheme => "scheme",
            Self::Network => "network",
            Self::Asset => "asset",
            Self::Domain => "signing domain",
            Self::Payee => "payee",
            Self::Amount => "amount",
            Self::Timeout => "timeout",
            Self::Facilitator => "facilitator",
            Self::Extension => "extension",
            Self::Offer => "signed offer",
            Self::Settlement => "settlement",
            Self::Receipt => "signed receipt",
        })
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.entry {
            write!(f, "accepts[{index}]: ")?;
        }
        write!(f, "{}: {}", self.rule, self.why)
    }
}

/// Objections on one line.
struct Lines<'a>(&'a [Objection]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, objection) in self.0.iter().enumerate() {
            write!(f, "{}{objection}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// The rules of a table with one mark, on one line.
struct Rules<'a>(&'a [Row], Mark);

impl fmt::Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = self.0.iter().filter(|row| row.mark == self.1);
        let Some(first) = rows.next() else {
            return f.write_str("no rule speaks for it");
        };
        write!(f, "{} ({}, limit {})", first.rule, first.measured, first.limit)?;
        for row in rows {
            write!(f, "; {} ({}, limit {})", row.rule, row.measured, row.limit)?;
        }
        Ok(())
    }
}

/// At most 200 characters of what a stranger wrote, on one line.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    if text.chars().nth(200).is_some() {
        short.push('…');
    }
    short
}
