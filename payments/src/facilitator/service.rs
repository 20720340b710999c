//! A facilitator: `POST /verify`, `POST /settle`, `GET /supported`.
//!
//! It holds no key and decides nothing. Each settlement is an intent that its own agent's steward
//! decides by a policy with a `[facilitator]` section, reserves fees for and journals; the
//! authorisation says who is paid, so there is nothing to steal but fees, and those have limits. What
//! was settled before is answered as it was; what pays its own agent is that agent's to sell for, and
//! is not settled here.
//!
//! INVARIANT: the same payment is settled once, and told with the same transaction however often it is
//! asked for; a payer's nonce that another payment has used, or this one at another charge, is told as
//! a failure (pinned by `tests/payments/facilitator.rs`).

use super::{FacilitatorRequest, Kind, Supported, VerifyResponse};
use crate::{
    Authority, PaymentError,
    error::shortened,
    seller::settle::{not_taken, proposal},
    signed_payment::SignedPayment,
    verify::{self, Flaw, Reason},
    x402::{EXACT, Method, PaymentRequirements, SettlementResponse, Terms, UPTO, VERSION, units},
};
use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use marque_policies::AssetId;
use marque_steward_client::{Foreseen, Outcome, PaymentState, View};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The longest question that is read, in bytes.
const MAX_QUESTION: usize = 64 * 1024;

/// So long a settlement is waited for. After that the same question may be asked again.
const PATIENCE: Duration = Duration::from_secs(45);

/// One look at the steward takes at most so long.
const LOOK: Duration = Duration::from_secs(1);

/// What a settlement for others is for: the same word each time. Whoever asks can say any resource, and
/// a seller's own settlements are told from these by it.
const FOR_OTHERS: &str = "x402:for-others";

/// A facilitator whose steward is `steward`.
pub fn router(steward: Arc<dyn Authority>) -> Router {
    Router::new()
        .route("/verify", post(verify_one))
        .route("/settle", post(settle_one))
        .route("/supported", get(supported))
        .layer(DefaultBodyLimit::max(MAX_QUESTION))
        .with_state(steward)
}

type Steward = Arc<dyn Authority>;

async fn supported(State(steward): State<Steward>) -> Response {
    match steward.standing().await {
        Ok(view) => Json(Supported::of(&view)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the steward does not answer");
            axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl Supported {
    /// What the policy in force lets this agent settle for others.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let chains: BTreeSet<u64> = view.facilitates.iter().map(|asset| asset.chain).collect();
        let kind = |scheme: &str, chain: &u64, extra| Kind {
            x402_version: VERSION,
            scheme: scheme.to_owned(),
            network: format!("eip155:{chain}"),
            extra,
        };
        let us = || {
            let address = Value::String(view.address.to_string());
            Map::from_iter([("facilitatorAddress".to_owned(), address)])
        };
        let kinds = chains
            .iter()
            .flat_map(|chain| [kind(EXACT, chain, Map::new()), kind(UPTO, chain, us())]);
        Self {
            kinds: kinds.collect(),
            extensions: Vec::new(),
            signers: BTreeMap::from([("eip155:*".to_owned(), vec![view.address.to_string()])]),
        }
    }
}

async fn verify_one(State(steward): State<Steward>, body: Bytes) -> Json<VerifyResponse> {
    let asked = match Question::read(&body, &steward, Asks::Verify).await {
        Ok(asked) => asked,
        Err((payer, flaw)) => return Json(invalid(payer, &flaw)),
    };
    let payer = Some(asked.claim.from().to_string());
    Json(match asked.foresee(&steward).await {
        Ok(()) => {
            VerifyResponse { is_valid: true, invalid_reason: None, invalid_message: None, payer }
        }
        Err(flaw) => invalid(payer, &flaw),
    })
}

fn invalid(payer: Option<String>, flaw: &Flaw) -> VerifyResponse {
    VerifyResponse {
        is_valid: false,
        invalid_reason: Some(flaw.reason.to_string()),
        invalid_message: Some(flaw.why.clone()),
        payer,
    }
}

async fn settle_one(State(steward): State<Steward>, body: Bytes) -> Json<SettlementResponse> {
    let network = |body: &[u8]| {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = value.pointer("/paymentRequirements/network").and_then(Value::as_str);
        said.map(shortened).unwrap_or_default()
    };
    let failure = |payer: Option<String>, flaw: Flaw| {
        tracing::info!(reason = %flaw.reason, why = flaw.why, "not settled");
        SettlementResponse {
            success: false,
            error_reason: Some(flaw.reason.to_string()),
            payer,
            transaction: String::new(),
            network: network(&body),
            amount: None,
            extensions: Map::new(),
        }
    };
    let asked = match Question::read(&body, &steward, Asks::Settle).await {
        Ok(asked) => asked,
        Err((payer, flaw)) => return Json(failure(payer, flaw)),
    };
    let payer = Some(asked.claim.from().to_string());
    Json(match asked.settle(&steward).await {
        Ok(transaction) => SettlementResponse {
            success: true,
            error_reason: None,
            payer,
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
            network: asked.terms.network(),
            amount: Some(asked.claim.charge().units.to_string()),
            extensions: Map::new(),
        },
        Err(flaw) => failure(payer, flaw),
    })
}

/// What is asked: the amount of `upto` means another thing in each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Verify,
    Settle,
}

/// A question that makes sense: a payment signed for what is required.
struct Question {
    claim: SignedPayment,
    terms: Terms,
    view: View,
}

impl Question {
    /// Reads it. What cannot be told without the chain's state is not looked at yet.
    async fn read(
        body: &[u8],
        steward: &Steward,
        asks: Asks,
    ) -> Result<Self, (Option<String>, Flaw)> {
        let plain = |flaw| (None, flaw);
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| plain(Flaw::new(Reason::Payload, format!("not JSON: {error}"))))?;
        if value.get("x402Version").and_then(Value::as_u64) != Some(VERSION) {
            let why = format!("only x402 version {VERSION} is spoken here");
            return Err(plain(Flaw::new(Reason::Version, why)));
        }
        let asked: FacilitatorRequest = serde_json::from_value(value)
            .map_err(|error| plain(Flaw::new(Reason::Payload, shortened(&error.to_string()))))?;
        let payer = payer(&asked.payment_payload.payload);
        let flawed = |flaw| (payer.clone(), flaw);
        let mut required = asked.payment_requirements;
        // Under `upto` the amount is what is taken when it is settled, and nothing is an amount; all
        // else is compared with what the payer accepted.
        let metered = asks == Asks::Settle && required.scheme == UPTO;
        let taken = units(&required.amount);
        if metered {
            required.amount.clone_from(&asked.payment_payload.accepted.amount);
            if let (Value::Object(extra), Value::Object(said)) =
                (&mut required.extra, &asked.payment_payload.accepted.extra)
                && !extra.contains_key("facilitatorAddress")
                && let Some(named) = said.get("facilitatorAddress")
            {
                extra.insert("facilitatorAddress".to_owned(), named.clone());
            }
        }
        let required = &required;
        let terms = required.terms().map_err(|objection| flawed(objection.into()))?;
        let view = steward.standing().await.map_err(|error| {
            tracing::error!(%error, "the steward does not answer");
            flawed(Flaw::new(Reason::Verify, "the facilitator cannot work now"))
        })?;
        settled_here(&view, &terms, required).map_err(flawed)?;
        let claim = verify::claim(&asked.payment_payload, &terms, FOR_OTHERS.to_owned());
        let claim = claim.map_err(flawed)?;
        if claim.amount().units != terms.amount.units {
            let (paid, asked) = (claim.amount().units, terms.amount.units);
            let why = format!("it pays {paid} base units, and {asked} are required");
            return Err(flawed(Flaw::new(Reason::Value, why)));
        }
        let claim = match (metered, taken) {
            (false, _) => claim,
            (true, Some(taken)) if taken <= claim.amount().units => claim.charging(taken),
            (true, Some(taken)) => {
                let why = format!("{taken} are taken of {} base units", claim.amount().units);
                return Err(flawed(Flaw::new(Reason::ExceedsAmount, why)));
            }
            (true, None) => {
                let why = "paymentRequirements.amount is not a decimal number of base units";
                return Err(flawed(Flaw::new(Reason::Requirements, why)));
            }
        };
        Ok(Self { claim, terms, view })
    }

    /// Whether it would be settled now.
    async fn foresee(&self, steward: &Steward) -> Result<(), Flaw> {
        verify::valid_now(&self.claim, self.view.now)?;
        let preview = match steward.preview(proposal(self.claim.intent())).await {
            Ok(preview) => preview,
            Err(PaymentError::Unsupported(_)) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the steward cannot say");
                return Err(Flaw::new(Reason::Verify, "the facilitator cannot work now"));
            }
        };
        if let Some(payer) = preview.payer
            && payer.balance < self.claim.amount().units
            && !payer.used
        {
            return Err(not_taken(&preview, &self.claim, ""));
        }
        match &preview.foreseen {
            Foreseen::Allowed if preview.settled || preview.payer.is_some_and(|it| it.used) => {
                Err(Flaw::new(Reason::TransactionState, "it is settled already"))
            }
            Foreseen::Allowed => Ok(()),
            Foreseen::Fault { code, message } if code == "chain" => {
                Err(not_taken(&preview, &self.claim, message))
            }
            Foreseen::Fault { code, .. } if code == "id_reused" => {
                Err(Flaw::new(Reason::TransactionState, "it is settled already"))
            }
            Foreseen::Held { .. } | Foreseen::Refused { .. } | Foreseen::Fault { .. } => {
                tracing::warn!(?preview.foreseen, "the policy would not settle it");
                Err(Flaw::new(Reason::Verify, "the facilitator's policy does not allow it now"))
            }
        }
    }

    /// Settles it, or finds that it was; answers the transaction.
    async fn settle(&self, steward: &Steward) -> Result<Option<B256>, Flaw> {
        let proposal = proposal(self.claim.intent());
        let id = proposal.id(self.view.origin, &self.view.agent);
        let under_way = steward.wait(id, Duration::ZERO).await.is_ok_and(|it| {
            use PaymentState::{Final, Reserved, Seen, Sent, Signed};
            matches!(it.state, Reserved | Signed | Sent | Seen | Final)
        });
        // One that is settled is told again, also once its time is over.
        if !under_way {
            verify::valid_now(&self.claim, self.view.now)?;
        }
        // Nothing is taken, so there is nothing to decide and nothing to remember.
        if self.claim.charge().units.is_zero() {
            return if under_way { Err(used()) } else { Ok(None) };
        }
        // The id is the payer's nonce. That it is this payment which is under way, to this payee and
        // at this charge, only the steward can say: it has the whole of it.
        match steward.propose(proposal).await {
            Ok(Outcome::Allowed { .. }) => {}
            Ok(Outcome::Held { id, table } | Outcome::Refused { id, table }) => {
                let refused = PaymentError::Refused { id, table };
                tracing::warn!(%refused, "the policy does not settle it");
                let why = "the facilitator's policy does not allow it now";
                return Err(Flaw::new(Reason::Settle, why));
            }
            Err(PaymentError::Fault(fault)) if fault.code == "id_reused" => return Err(used()),
            Err(PaymentError::Fault(fault)) if fault.code == "chain" => {
                return Err(match self.foresee(steward).await {
                    Err(flaw) => flaw,
                    Ok(()) => Flaw::new(Reason::Settle, shortened(&fault.message)),
                });
            }
            Err(error) => {
                tracing::warn!(%error, "not settled");
                return Err(Flaw::new(Reason::Settle, "the facilitator cannot work now"));
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = steward.wait(id, LOOK).await.map_err(|error| {
                tracing::warn!(%id, %error, "a settlement's state is not known");
                Flaw::new(Reason::Settle, "ask again: the settlement is under way")
            })?;
            match status.state {
                PaymentState::Seen | PaymentState::Final => return Ok(status.transaction),
                PaymentState::Released
                | PaymentState::Expired
                | PaymentState::Cancelled
                | PaymentState::Refused
                | PaymentState::Denied => {
                    let why = "the chain did not accept it";
                    return Err(Flaw::new(Reason::TransactionState, why));
                }
                _ if Instant::now() >= deadline => {
                    let why = "ask again: the settlement is under way";
                    return Err(Flaw::new(Reason::Settle, why));
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// The payer's nonce has been settled, and not as it is asked now.
fn used() -> Flaw {
    Flaw::new(Reason::TransactionState, "its nonce is settled already, by other terms")
}

/// Whether the policy in force settles this for others: the asset, under its own signing domain.
fn settled_here(view: &View, terms: &Terms, required: &PaymentRequirements) -> Result<(), Flaw> {
    // Its agent may have a shop, which knows by its settlements what was sold.
    if terms.pay_to == view.address {
        let why = format!("{} is the facilitator's own, and settled by its sales", terms.pay_to);
        return Err(Flaw::new(Reason::Requirements, why));
    }
    let asset = terms.amount.asset;
    let chain = |it: &AssetId| it.chain == asset.chain;
    if !view.facilitates.iter().any(chain) {
        let why = format!("{} is not settled here", shortened(&required.network));
        return Err(Flaw::new(Reason::Network, why));
    }
    if !view.facilitates.contains(&asset) {
        let why = format!("{} is not settled here", shortened(&required.asset));
        return Err(Flaw::new(Reason::Requirements, why));
    }
    let known = view.assets.iter().find(|it| it.id == asset).and_then(|it| it.domain.as_ref());
    if let Method::Upto { facilitator } = terms.method
        && facilitator != view.address
    {
        let why = format!("it is {facilitator} who may settle this, not {}", view.address);
        return Err(Flaw::new(Reason::Requirements, why));
    }
    if terms.method == Method::Eip3009 && terms.domain.as_ref() != known {
        let why = "the token has another signing domain than extra says";
        return Err(Flaw::new(Reason::Requirements, why));
    }
    Ok(())
}

/// Who pays, as far as a payload says it that may be anything.
fn payer(payload: &Value) -> Option<String> {
    let from = ["/authorization/from", "/permit2Authorization/from"];
    let from = from.iter().find_map(|place| payload.pointer(place)).and_then(Value::as_str)?;
    from.parse::<alloy_primitives::Address>().ok().map(|address| address.to_string())
}
