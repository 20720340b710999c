//! Facilitators: services that verify payments and bring them to the chain for others.
//!
//! [`Facilitator`] asks one by its URL; [`router`] is one. What a facilitator says moves no money of
//! ours by itself: [`crate::Seller::through`] says what is believed.
//!
//! Source: the x402 v2 specification, section 7.

mod service;

pub use service::router;

use crate::{
    PaymentError,
    error::shortened,
    x402::{PaymentPayload, PaymentRequirements, SettlementResponse, VERSION, read},
};
use marque_net::{Client, HeaderMap, HeaderValue, Method, Request};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// What `/verify` and `/settle` are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacilitatorRequest {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// What the payer signed.
    pub payment_payload: PaymentPayload,
    /// What it is to pay; for `upto` at `/settle`, the amount that is taken.
    pub payment_requirements: PaymentRequirements,
}

/// What `/verify` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would be settled now.
    pub is_valid: bool,
    /// Why not, as the specification calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
}

/// What `/supported` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supported {
    /// What is settled.
    pub kinds: Vec<Kind>,
    /// Optional protocols beside the core.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// By CAIP-2 pattern, the accounts that settle.
    #[serde(default)]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// A scheme on a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// 2.
    #[serde(rename = "x402Version")]
    pub x402_version: u64,
    /// `exact`, `upto`.
    pub scheme: String,
    /// CAIP-2.
    pub network: String,
    /// What the scheme needs: for `upto` the `facilitatorAddress`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Supported {
    /// Whether payments of a scheme on a network (CAIP-2) are settled, by version 2.
    #[must_use]
    pub fn settles(&self, scheme: &str, network: &str) -> bool {
        self.kinds.iter().any(|kind| {
            kind.x402_version == VERSION
                && kind.scheme == scheme
                && (kind.network == network
                    || kind.network.strip_suffix('*').is_some_and(|of| network.starts_with(of)))
        })
    }
}

/// A facilitator somewhere, reached through the guarded client.
#[derive(Clone, Debug)]
pub struct Facilitator {
    net: Client,
    url: Url,
}

impl Facilitator {
    /// The facilitator at `url`, which `net` must be allowed to reach.
    #[must_use]
    pub const fn new(net: Client, url: Url) -> Self {
        Self { net, url }
    }

    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Asks whether a payment would be settled.
    ///
    /// # Errors
    /// [`PaymentError::Net`] and [`PaymentError::Facilitator`] where there is no answer to the
    /// question.
    pub async fn verify(
        &self,
        sent: &PaymentPayload,
        required: &PaymentRequirements,
    ) -> Result<VerifyResponse, PaymentError> {
        self.post("verify", sent, required).await
    }

    /// Asks it to settle a payment. The same payment may be asked for again.
    ///
    /// # Errors
    /// As [`Self::verify`]; it may have settled all the same.
    pub async fn settle(
        &self,
        sent: &PaymentPayload,
        required: &PaymentRequirements,
    ) -> Result<SettlementResponse, PaymentError> {
        self.post("settle", sent, required).await
    }

    /// What it settles.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn supported(&self) -> Result<Supported, PaymentError> {
        self.ask(Request::get(self.endpoint("supported"))).await
    }

    fn endpoint(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}/{name}", self.url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    async fn post<T: DeserializeOwned>(
        &self,
        name: &str,
        sent: &PaymentPayload,
        required: &PaymentRequirements,
    ) -> Result<T, PaymentError> {
        let body = FacilitatorRequest {
            x402_version: VERSION,
            payment_payload: sent.clone(),
            payment_requirements: required.clone(),
        };
        let body = serde_json::to_vec(&body).map_err(|error| self.trouble(&error.to_string()))?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(marque_net::header::CONTENT_TYPE, json)]);
        let url = self.endpoint(name);
        self.ask(Request { method: Method::POST, url, headers, body }).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, PaymentError> {
        let answer = self.net.send(request).await?;
        // Some tell a refusal by its status as well; the body says it in either case.
        let said: Result<Value, _> = serde_json::from_slice(&answer.body);
        match said {
            Ok(value) if answer.status < 500 => read("the facilitator", value),
            _ => {
                let body = String::from_utf8_lossy(&answer.body);
                Err(self.trouble(&format!("status {}: {body}", answer.status)))
            }
        }
    }

    fn trouble(&self, why: &str) -> PaymentError {
        PaymentError::Facilitator { url: self.url.to_string(), why: shortened(why) }
    }
}
