//! One sale: money and goods in the order that the seller chose.
//!
//! | settlement | order |
//! |---|---|
//! | before | take the money, see it on chain, make the goods, deliver |
//! | after | look at the payment, make the goods, take the money, see it on chain, deliver |
//! | background | take the money, make the goods, deliver, and see it on chain later |
//!
//! A metered price is known once the goods are made, so "before" is "after" for it, and in the
//! background the goods come before the money. In each order the steward has journalled the settlement
//! before anything is delivered: a payment that has brought goods is bound to its request, whatever
//! dies when.

use super::{
    Seller, Settlement,
    check::Payment,
    counter::Order,
    meter::{Charge, Meter},
    risk::Stake,
    settle::{Begun, Unsettled},
    shelf::{Goods, NoSlot},
};
use crate::{
    signed_payment::SignedPayment,
    x402::{self, PaymentPayload, SettlementResponse, Terms},
};
use alloy_primitives::{B256, U256};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use marque_policies::Timestamp;
use marque_steward_client::View;
use serde_json::Map;
use std::{convert::Infallible, time::Duration};
use tower::{Service, ServiceExt as _};

/// The longest goods that are delivered, in bytes.
const MAX_GOODS: usize = 16 * 1024 * 1024;

/// Looks at a settlement in the background are so far apart where nothing can be learnt.
const REST: Duration = Duration::from_secs(1);

/// What is known of a sale while it is made.
pub(super) struct Sale<'a> {
    pub(super) claim: &'a SignedPayment,
    pub(super) terms: &'a Terms,
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    pub(super) sent: &'a PaymentPayload,
}

/// Goods that were made and not delivered yet.
struct Made {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// What is charged for them, in base units.
    charge: U256,
}

/// How a sale ended that was not delivered.
enum End {
    Unsettled(Unsettled),
    /// Made by the handler, and nothing is charged for it.
    Free(Goods),
    Broken(&'static str),
}

impl From<Unsettled> for End {
    fn from(unsettled: Unsettled) -> Self {
        Self::Unsettled(unsettled)
    }
}

impl Order {
    /// Settles and delivers, or delivers again.
    pub(super) async fn sell<S>(
        self,
        payment: Payment,
        inner: S,
        parts: Parts,
        body: Bytes,
    ) -> Response
    where
        S: Service<Request, Error = Infallible> + Send,
        S::Response: IntoResponse,
        S::Future: Send,
    {
        let Payment { claim, fingerprint, name, sent } = payment;
        if let Err(flaw) = super::check::in_time(&claim, self.now) {
            return self.unsettled(Unsettled::Refused(flaw), &claim);
        }
        let (key, shelf) = (claim.key(), &self.seller.shelf);
        if let Some((name, hash)) = name
            && !shelf.name(claim.from(), name, hash)
        {
            return self.conflict("this payment identifier was used for another payment", &claim);
        }
        let times = (self.now / 1_000, super::check::repeatable_until(&claim));
        let slot = match shelf.slot(key, fingerprint, times) {
            Ok(slot) => slot,
            Err(NoSlot::Taken) => return self.unsettled(Unsettled::Taken, &claim),
            Err(NoSlot::Full) => {
                let why = "too many sales are under way".to_owned();
                return self.unsettled(Unsettled::NotYet(why), &claim);
            }
        };
        let mut place = slot.place.lock().await;
        if let Some(goods) = place.goods.as_ref() {
            return goods.clone().into_response();
        }
        if !place.may_make() {
            return self
                .conflict("what this payment has bought was delivered often enough", &claim);
        }
        let stake = self.stake(&claim).await;
        let sale = Sale {
            claim: &claim,
            terms: &self.terms,
            view: &self.view,
            now: self.now,
            sent: &sent,
        };
        let goods_first = self.metered || self.seller.settlement == Settlement::After;
        let sold = if goods_first {
            self.goods_first(&sale, stake, inner, parts, body).await
        } else {
            self.money_first(&sale, stake, inner, parts, body).await
        };
        match sold {
            // Goods that could not be made are not kept: the same payment may try again.
            Ok(goods) if goods.status >= 500 => goods.into_response(),
            Ok(goods) => {
                slot.put(&mut place, &goods);
                goods.into_response()
            }
            Err(End::Unsettled(unsettled)) => self.unsettled(unsettled, &claim),
            Err(End::Free(goods)) => goods.into_response(),
            Err(End::Broken(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        }
    }

    /// Credit for this payer, where the seller gives some.
    async fn stake(&self, claim: &SignedPayment) -> Option<Stake> {
        let Settlement::Background { risk } = self.seller.settlement else { return None };
        if self.seller.facilitator.is_some() || !self.seller.inherit().await {
            return None;
        }
        let each = self.seller.payer_risk.unwrap_or(risk);
        self.seller.exposure.stake(claim.from(), claim.amount(), risk, each)
    }

    async fn money_first<S>(
        &self,
        sale: &Sale<'_>,
        stake: Option<Stake>,
        inner: S,
        parts: Parts,
        body: Bytes,
    ) -> Result<Goods, End>
    where
        S: Service<Request, Error = Infallible> + Send,
        S::Response: IntoResponse,
        S::Future: Send,
    {
        let begun = self.seller.begin(sale.claim, sale).await?;
        let paid = self.believe_or_watch(begun, stake).await?;
        let made = make(inner, parts, body, None).await.map_err(End::Broken)?;
        Ok(made.with(&self.receipt(sale.claim, paid)))
    }

    async fn goods_first<S>(
        &self,
        sale: &Sale<'_>,
        stake: Option<Stake>,
        inner: S,
        parts: Parts,
        body: Bytes,
    ) -> Result<Goods, End>
    where
        S: Service<Request, Error = Infallible> + Send,
        S::Response: IntoResponse,
        S::Future: Send,
    {
        // After a restart what was charged stands, whatever the goods would come to now.
        let known = if self.metered { self.seller.recorded(sale).await? } else { None };
        if known.is_none() {
            self.seller.promising(sale).await?;
        }
        let meter = self.metered.then(|| Meter::new(sale.claim.amount()));
        let made = make(inner, parts, body, meter).await.map_err(End::Broken)?;
        if made.status.is_client_error() || made.status.is_server_error() {
            return Err(End::Free(made.free()));
        }
        let claim = match known {
            Some(known) => known,
            None => sale.claim.clone().charging(made.charge),
        };
        let begun = self.seller.begin(&claim, sale).await?;
        let paid = self.believe_or_watch(begun, stake).await?;
        Ok(made.with(&self.receipt(&claim, paid)))
    }

    /// Sees the settlement on chain, or leaves that to the background where a stake covers it.
    async fn believe_or_watch(
        &self,
        begun: Begun,
        stake: Option<Stake>,
    ) -> Result<Option<B256>, Unsettled> {
        match (stake, begun.transaction) {
            (Some(stake), Some(transaction)) => {
                self.seller.clone().watch(begun.id, stake);
                Ok(Some(transaction))
            }
            // One that was answered before names no transaction; it is most likely on chain.
            _ => self.seller.believe(begun.id).await,
        }
    }

    fn receipt(&self, claim: &SignedPayment, transaction: Option<B256>) -> SettlementResponse {
        SettlementResponse {
            success: true,
            error_reason: None,
            payer: Some(claim.from().to_string()),
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
            network: self.terms.network(),
            amount: Some(claim.charge().units.to_string()),
            extensions: Map::new(),
        }
    }
}

impl Seller {
    /// Follows a settlement in the background; its stake is given back once it can be believed.
    pub(super) fn watch(self, id: marque_policies::IntentId, stake: Stake) {
        tokio::spawn(async move {
            loop {
                match self.believe(id).await {
                    Ok(_) => return drop(stake),
                    Err(Unsettled::NotYet(_)) => tokio::time::sleep(REST).await,
                    Err(unsettled) => {
                        tracing::error!(%id, ?unsettled, "delivered and never paid");
                        return stake.lost();
                    }
                }
            }
        });
    }
}

/// Has the goods made.
async fn make<S>(
    inner: S,
    mut parts: Parts,
    body: Bytes,
    meter: Option<Meter>,
) -> Result<Made, &'static str>
where
    S: Service<Request, Error = Infallible> + Send,
    S::Response: IntoResponse,
    S::Future: Send,
{
    parts.headers.remove(x402::PAYMENT_SIGNATURE);
    if let Some(meter) = &meter {
        parts.extensions.insert(meter.clone());
    }
    let request = Request::from_parts(parts, Body::from(body));
    let response = match inner.oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    };
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, MAX_GOODS).await.map_err(|error| {
        tracing::error!(%error, "goods could not be read");
        "the goods could not be made; send the same payment again"
    })?;
    // A stream is counted once it has ended.
    let said = head.extensions.remove::<Charge>();
    let charge = meter.map_or(U256::MAX, |meter| meter.total(said));
    Ok(Made { status: head.status, headers: head.headers, body, charge })
}

impl Made {
    /// The goods with their receipt.
    fn with(self, receipt: &SettlementResponse) -> Goods {
        let mut goods = self.free();
        super::counter::attach(&mut goods.headers, x402::PAYMENT_RESPONSE, receipt);
        goods
    }

    /// The same without one.
    fn free(self) -> Goods {
        Goods { status: self.status.as_u16(), headers: self.headers, body: self.body }
    }
}

impl IntoResponse for Goods {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.headers;
        response
    }
}
