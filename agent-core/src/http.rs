//! `cx.http()`: the way out in the shape that everybody knows from `reqwest`.
//!
//! ```no_run
//! use marque_agent_core::{Cx, ToolError};
//! # use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Wind {
//!     knots: f64,
//! }
//!
//! /// How hard the wind blows at a station. Costs something, which the script need not know.
//! async fn wind(cx: &Cx, station: String) -> Result<f64, ToolError> {
//!     let answer = cx
//!         .http()
//!         .get("https://feed.example/wind")
//!         .query([("station", station)])
//!         .max_price("0.05 USDC")
//!         .send()
//!         .await?
//!         .error_for_status()?;
//!     if let Some(paid) = answer.paid() {
//!         tracing::info!(payee = paid.payee, "paid for the wind");
//!     }
//!     Ok(answer.json::<Wind>()?.knots)
//! }
//! ```
//!
//! Everything that holds for [`Cx::get`] holds here: the request is proposed before it is made, a
//! 402 is paid within the policy, the guard decides what can be reached, the bytes that leave are
//! counted. The one difference is that an answer which is no success is an answer.

use crate::{Cx, Response, ToolError};
use marque_net::{HeaderName, HeaderValue, Method, Request, header};
use marque_policies::Money;
use serde::Serialize;

/// Makes requests. By [`Cx::http`].
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    cx: &'a Cx,
}

/// A request in the making. What cannot be part of one is told by [`RequestBuilder::send`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder<'a> {
    cx: &'a Cx,
    request: Result<Request, ToolError>,
    price: Option<Price>,
}

/// The most that one request may cost: an amount of the policy's assets as an owner writes it,
/// `"0.05 USDC"`, or as the chain counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Price {
    /// A number and an asset.
    Text(String),
    /// Base units of an asset.
    Money(Money),
}

impl From<&str> for Price {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Price {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Money> for Price {
    fn from(money: Money) -> Self {
        Self::Money(money)
    }
}

impl<'a> Http<'a> {
    pub(crate) const fn new(cx: &'a Cx) -> Self {
        Self { cx }
    }

    /// A `GET`.
    pub fn get(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::GET, url)
    }

    /// A `HEAD`.
    pub fn head(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::HEAD, url)
    }

    /// A `POST`.
    pub fn post(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::POST, url)
    }

    /// A `PUT`.
    pub fn put(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::PUT, url)
    }

    /// A `PATCH`.
    pub fn patch(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::PATCH, url)
    }

    /// A `DELETE`.
    pub fn delete(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.request(Method::DELETE, url)
    }

    /// A request by any method.
    pub fn request(self, method: Method, url: impl AsRef<str>) -> RequestBuilder<'a> {
        let request = self.cx.scope().place(url.as_ref());
        let request = request.map(|url| Request { method, ..Request::get(url) });
        RequestBuilder { cx: self.cx, request, price: None }
    }
}

impl RequestBuilder<'_> {
    /// The most that it may cost. Without this the policy alone decides.
    pub fn max_price(mut self, price: impl Into<Price>) -> Self {
        self.price = Some(price.into());
        self
    }

    /// A header.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.with(|request| {
            let (name, value) = (name.as_ref(), value.as_ref());
            let unfit = || ToolError::Arguments(format!("\"{name}\" cannot be sent as a header"));
            let key: HeaderName = name.parse().map_err(|_| unfit())?;
            request.headers.append(key, value.parse().map_err(|_| unfit())?);
            Ok(())
        })
    }

    /// Pairs for the URL's query, behind those that it has.
    pub fn query<K, V>(self, pairs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        self.with(|request| {
            request.url.query_pairs_mut().extend_pairs(pairs);
            Ok(())
        })
    }

    /// A body as it is.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.with(|request| {
            request.body = body.into();
            Ok(())
        })
    }

    /// A body of JSON, with its content type.
    pub fn json(self, body: &impl Serialize) -> Self {
        self.with(|request| {
            request.body = serde_json::to_vec(body).map_err(ToolError::from_any)?;
            let kind = HeaderValue::from_static("application/json");
            request.headers.insert(header::CONTENT_TYPE, kind);
            Ok(())
        })
    }

    /// Sends it, and pays for it where it costs something.
    ///
    /// # Errors
    /// As for [`Cx::get`], except that an answer which is no success is an answer:
    /// [`Response::error_for_status`] makes it an error.
    pub async fn send(self) -> Result<Response, ToolError> {
        let request = self.request?;
        let cx = match self.price {
            None => self.cx.clone(),
            Some(Price::Money(max)) => self.cx.max_price(max),
            Some(Price::Text(text)) => self.cx.max_price(self.cx.amount(&text).await?),
        };
        cx.exchange(request).await
    }

    fn with(mut self, change: impl FnOnce(&mut Request) -> Result<(), ToolError>) -> Self {
        self.request = self.request.and_then(|mut request| {
            change(&mut request)?;
            Ok(request)
        });
        self
    }
}
