//! Handing a signed payment over, and finding out what came of it.
//!
//! The signed bytes are the same each time, so sending them again after a lost connection costs
//! nothing and may bring the goods. Whatever the end is, the steward hears of it: a seller that
//! takes money and does not deliver is remembered.

use super::{Buyer, Deal, Paid};
use crate::{
    PaymentError,
    error::{Objection, Rule},
    x402::{self, PaymentRequired, SettlementResponse},
};
use marque_net::{NetError, Request, Response};
use std::time::Duration;

/// Pauses before the second and each further try, if a connection is lost or a seller says that it
/// is still settling.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

impl Buyer {
    /// Sends the request with its payment; answers the goods and what was paid for them.
    pub(super) async fn hand_over(
        &self,
        mut request: Request,
        deal: Deal,
    ) -> Result<(Response, Paid), PaymentError> {
        let payment = x402::encode(x402::PAYMENT_SIGNATURE, &deal.payload)?;
        set_payment(&mut request, &payment)?;
        let response = match self.send_until_answered(request).await {
            Ok(response) => response,
            Err(error) => {
                return Err(self.undelivered(&deal, None, &format!("no answer: {error}")).await);
            }
        };
        if !response.is_success() {
            return Err(self.undelivered(&deal, Some(response.status), &refusal(&response)).await);
        }
        let paid = match settlement(&response) {
            Ok(said) => self.delivered(deal, said.as_ref(), &response.body).await,
            Err(error) => {
                let doubt = Objection::new(Rule::Settlement, error.to_string());
                self.conclude(deal, None, Some(doubt), &response.body).await
            }
        };
        Ok((response, paid))
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
}

/// The text of a header of the answer, within bounds.
pub(super) fn header<'a>(
    response: &'a Response,
    name: &'static str,
) -> Result<Option<&'a str>, PaymentError> {
    let mut values = response.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Whoever reads the other one would have agreed to something else.
    if values.next().is_some() {
        return Err(PaymentError::Header { header: name, why: "it is there twice".to_owned() });
    }
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

/// What the seller says of the settlement, if it says anything.
fn settlement(response: &Response) -> Result<Option<SettlementResponse>, PaymentError> {
    let text = header(response, x402::PAYMENT_RESPONSE)?;
    text.map(|text| x402::decode(x402::PAYMENT_RESPONSE, text)).transpose()
}

/// Why the seller did not deliver, in its own words where it has some.
fn refusal(response: &Response) -> String {
    let reason = settlement(response)
        .ok()
        .flatten()
        .and_then(|settlement| settlement.error_reason)
        .or_else(|| {
            let text = header(response, x402::PAYMENT_REQUIRED).ok().flatten()?;
            x402::decode::<PaymentRequired>(x402::PAYMENT_REQUIRED, text).ok()?.error
        })
        .unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    format!("status {}: {reason}", response.status)
}
