//! Handing a signed payment over, and finding out what came of it.
//!
//! The signed bytes are the same each time, so sending them again after a lost connection costs
//! nothing and may bring the goods. Whatever the end is, the steward hears of it: a seller that
//! takes money and does not deliver is remembered.

use super::Buyer;
use crate::{
    PaymentError, Undelivered,
    error::shortened,
    x402::{self, SettlementResponse, Terms},
};
use alloy_primitives::{Address, B256};
use marque_net::{NetError, Request, Response};
use marque_policies::IntentId;
use marque_steward_client::{Report, Said};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Pauses before the second and each further try, if a connection is lost or a seller says that it
/// is still settling.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

impl Buyer {
    /// Sends the request with its payment; answers the goods and the transaction that paid for
    /// them, where the seller names one that can be true.
    pub(super) async fn hand_over(
        &self,
        mut request: Request,
        payment: &str,
        id: IntentId,
        terms: &Terms,
        payer: Address,
    ) -> Result<(Response, Option<B256>), PaymentError> {
        set_payment(&mut request, payment)?;
        let response = match self.send_until_answered(request).await {
            Ok(response) => response,
            Err(error) => {
                let why = shortened(&format!("no answer: {error}"));
                return Err(self.undelivered(id, None, why).await);
            }
        };
        if !response.is_success() {
            let why = refusal(&response);
            return Err(self.undelivered(id, Some(response.status), why).await);
        }
        let transaction = settled(&response, terms, payer);
        if let Some(transaction) = transaction {
            self.tell(id, Said::Settled { transaction }).await;
        }
        let body = B256::from_slice(&Sha256::digest(&response.body));
        self.tell(id, Said::Delivered { body }).await;
        Ok((response, transaction))
    }

    async fn send_until_answered(&self, request: Request) -> Result<Response, PaymentError> {
        for pause in PAUSES {
            match self.net.send(request.clone()).await {
                Ok(response) if response.status != 503 => return Ok(response),
                Ok(_) => tracing::debug!(url = %request.url, "the seller is not ready yet"),
                Err(error @ (NetError::Timeout { .. } | NetError::Transport { .. })) => {
                    tracing::debug!(url = %request.url, %error, "sending again");
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(pause).await;
        }
        Ok(self.net.send(request).await?)
    }

    async fn undelivered(&self, id: IntentId, status: Option<u16>, why: String) -> PaymentError {
        self.tell(id, Said::Undelivered { why: why.clone() }).await;
        Undelivered { id, status, why }.into()
    }

    /// Reports to the steward. A report is a courtesy to the ledger: goods that came are not thrown
    /// away because it failed.
    async fn tell(&self, intent: IntentId, said: Said) {
        if let Err(error) = self.steward.report(Report { intent, said }).await {
            tracing::warn!(%intent, %error, "the steward did not take a report");
        }
    }
}

/// The text of a header of the answer, within bounds.
pub(super) fn header<'a>(
    response: &'a Response,
    name: &'static str,
) -> Result<Option<&'a str>, PaymentError> {
    let Some(value) = response.headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(PaymentError::Header { header: name, why: "not ASCII text".to_owned() }),
    }
}

fn set_payment(request: &mut Request, payment: &str) -> Result<(), PaymentError> {
    let value = payment.parse().map_err(|_| PaymentError::Header {
        header: x402::PAYMENT_SIGNATURE,
        why: "not a header value".to_owned(),
    })?;
    request.headers.insert(x402::PAYMENT_SIGNATURE, value);
    Ok(())
}

/// Why the seller did not deliver, in its own words where it has some.
fn refusal(response: &Response) -> String {
    let reason = header(response, x402::PAYMENT_RESPONSE)
        .ok()
        .flatten()
        .and_then(|text| x402::decode::<SettlementResponse>(x402::PAYMENT_RESPONSE, text).ok())
        .and_then(|settlement| settlement.error_reason)
        .or_else(|| {
            let text = header(response, x402::PAYMENT_REQUIRED).ok().flatten()?;
            x402::decode::<x402::PaymentRequired>(x402::PAYMENT_REQUIRED, text).ok()?.error
        })
        .unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    shortened(&format!("status {}: {reason}", response.status))
}

/// The transaction that the seller names, if what it says of it agrees with what we paid.
fn settled(response: &Response, terms: &Terms, payer: Address) -> Option<B256> {
    let said = header(response, x402::PAYMENT_RESPONSE).and_then(|text| {
        text.map(|text| x402::decode::<SettlementResponse>(x402::PAYMENT_RESPONSE, text))
            .transpose()
    });
    let said = match said {
        Ok(said) => said?,
        Err(error) => {
            tracing::warn!(%error, "the goods came with an unreadable receipt");
            return None;
        }
    };
    let agrees = said.success
        && said.network == terms.network()
        && said.payer.as_deref().is_none_or(|text| text.parse() == Ok(payer))
        && said.amount.as_deref().is_none_or(|text| text == terms.amount.units.to_string());
    if !agrees {
        tracing::warn!("the goods came with a receipt for another payment");
        return None;
    }
    said.transaction.parse().ok()
}
