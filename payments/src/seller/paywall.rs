//! What a route costs: a fixed price in one line, a price computed from the request, and either of
//! them as the maximum of what a metered request may use.

use super::{Counter, Seller};
use crate::PaymentError;
use axum::{
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use marque_policies::{Money, money::parse_units};
use marque_steward_client::View;
use std::{fmt, sync::Arc};
use tower::Layer;

/// A `tower` layer that lets a request through to the routes below it once it is paid for.
///
/// What is paid is bound to the request's method, URL, content type and body. A route that sells by
/// another header sells all of its forms for one payment; put what decides into the URL or the body.
///
/// It belongs on a handler or, by `Router::route_layer`, on routes: `Router::layer` puts it above the
/// fallback as well, and then a path that is not there costs what the others do.
///
/// ```no_run
/// # use axum::{Router, routing::get};
/// # use marque_payments::{Paywall, Seller};
/// # fn shop(seller: Seller) -> Result<Router, marque_payments::PaymentError> {
/// let wind = get(|| async { "hour,knots\n0,14.2\n" });
/// Ok(Router::new().route("/wind.csv", wind.route_layer(Paywall::fixed(seller, "0.02 USDC")?)))
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Paywall {
    pub(super) seller: Seller,
    pub(super) price: Price,
    pub(super) metered: bool,
    pub(super) description: Option<Arc<str>>,
}

/// The answer to a request that has no price: what is wrong with it, before any money moves.
#[derive(Debug)]
pub struct Refusal(Box<Response>);

/// What a request costs.
#[derive(Clone)]
pub(super) enum Price {
    /// The same for all: digits and the asset's name in the policy.
    Fixed { amount: Arc<str>, asset: Arc<str> },
    /// As the request says.
    Quoted(Arc<Quote>),
}

type Quote = dyn Fn(&Parts, &[u8]) -> Result<Money, Refusal> + Send + Sync;

impl Paywall {
    /// The same price for every request, such as `"0.02 USDC"`; the asset's name is looked up in
    /// the agent's policy when a request comes.
    ///
    /// # Errors
    /// [`PaymentError::Price`] unless the text is an amount, a space and a name.
    pub fn fixed(seller: Seller, price: &str) -> Result<Self, PaymentError> {
        let wrong = |why: &str| PaymentError::Price { text: price.to_owned(), why: why.to_owned() };
        let (amount, asset) = price
            .split_once(' ')
            .filter(|(_, asset)| !asset.is_empty() && !asset.contains(' '))
            .ok_or_else(|| wrong("write an amount and an asset of the policy: \"0.02 USDC\""))?;
        // Digits are counted against the asset's later; nonsense is told now.
        match parse_units(amount, u8::MAX) {
            Ok(units) if units.is_zero() => {
                return Err(wrong("zero is no price; give it away free"));
            }
            Ok(_) | Err(marque_policies::money::MoneyError::Overflow) => {}
            Err(error) => return Err(wrong(&error.to_string())),
        }
        let price = Price::Fixed { amount: amount.into(), asset: asset.into() };
        Ok(Self { seller, price, metered: false, description: None })
    }

    /// A price that follows from the request's head and body.
    ///
    /// The same request must get the same price, since a buyer sends it twice. A request that
    /// makes no sense is refused here, where it costs nobody anything.
    #[must_use]
    pub fn quoted<F>(seller: Seller, quote: F) -> Self
    where
        F: Fn(&Parts, &[u8]) -> Result<Money, Refusal> + Send + Sync + 'static,
    {
        Self { seller, price: Price::Quoted(Arc::new(quote)), metered: false, description: None }
    }

    /// Makes the price a maximum: the handler says what was used, on its [`Meter`](super::Meter) or by
    /// a [`Charge`](super::Charge) on its response, and no more than that is taken (`upto`, by
    /// Permit2).
    #[must_use]
    pub fn metered(self) -> Self {
        Self { metered: true, ..self }
    }

    /// What is sold, for people who read the 402 answer.
    #[must_use]
    pub fn describe(self, description: &str) -> Self {
        Self { description: Some(description.into()), ..self }
    }
}

impl<S> Layer<S> for Paywall {
    type Service = Counter<S>;

    fn layer(&self, inner: S) -> Counter<S> {
        Counter::new(self.clone(), inner)
    }
}

impl Price {
    /// What this request costs.
    pub(super) fn of(&self, view: &View, parts: &Parts, body: &[u8]) -> Result<Money, Refusal> {
        match self {
            Self::Quoted(quote) => quote(parts, body),
            Self::Fixed { amount, asset } => {
                let known = view.assets.iter().find(|known| *known.name == **asset);
                let units = known.map(|known| parse_units(amount, known.decimals));
                match (known, units) {
                    (Some(known), Some(Ok(units))) => Ok(Money::new(units, known.id)),
                    (_, units) => {
                        let why = match units {
                            Some(Err(error)) => error.to_string(),
                            _ => "the asset is not in the policy".to_owned(),
                        };
                        tracing::error!(%amount, %asset, why, "nothing can be sold at this price");
                        Err(Refusal::new(
                            StatusCode::SERVICE_UNAVAILABLE,
                            "this seller's price is not set up",
                        ))
                    }
                }
            }
        }
    }
}

impl Refusal {
    /// A refusal in plain text.
    #[must_use]
    pub fn new(status: StatusCode, why: &str) -> Self {
        (status, why.to_owned()).into_response().into()
    }
}

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { amount, asset } => write!(f, "{amount} {asset}"),
            Self::Quoted(_) => f.write_str("quoted"),
        }
    }
}
