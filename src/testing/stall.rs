//! A seller in a town: what it sells at which price, and how it misbehaves.

use super::{Citizen, Result, Town};
use crate::economy::DOLLAR;
use alloy_primitives::{Address, U256};
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use marque_payments::{Paywall, Seller};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

/// What a seller does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Nothing.
    #[default]
    None,
    /// It takes the money and answers 500.
    TakesTheMoney,
    /// It answers every request with this status, and no price.
    Answers(u16),
    /// It takes every request and never answers.
    Silent,
}

/// A seller in the making.
pub struct SellerBuilder<'a> {
    town: &'a Town,
    name: String,
    goods: Vec<(String, String, String)>,
    routes: Vec<Routes>,
}

/// Routes of the test's own, once there is somebody who is paid for them.
type Routes = Box<dyn FnOnce(Seller) -> Result<Router> + Send>;

/// A seller at work.
#[derive(Debug)]
pub struct Stall {
    citizen: Citizen,
    host: String,
    id: U256,
    wrong: Arc<Mutex<Misbehaviour>>,
    task: JoinHandle<()>,
}

impl<'a> SellerBuilder<'a> {
    pub(super) fn new(town: &'a Town, name: &str) -> Self {
        Self { town, name: name.to_owned(), goods: Vec::new(), routes: Vec::new() }
    }

    /// Sells a text under a path.
    #[must_use]
    pub fn sells(mut self, path: &str, price: &str, text: &str) -> Self {
        self.goods.push((path.to_owned(), price.to_owned(), text.to_owned()));
        self
    }

    /// Serves routes of the test's own: with prices of [`Paywall`] above them, or free.
    #[must_use]
    pub fn serves(
        mut self,
        routes: impl FnOnce(Seller) -> Result<Router> + Send + 'static,
    ) -> Self {
        self.routes.push(Box::new(routes));
        self
    }

    /// Opens: a steward with a signed policy and a registered identity, and a counter on a port of
    /// this machine.
    ///
    /// # Errors
    /// Where a price cannot be read, or the chain or the steward refuse something.
    pub async fn open(self) -> Result<Stall> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let income = format!("\n[income]\nassets = [\"{}\"]\n", DOLLAR);
        let citizen =
            Citizen::settle(self.town, &self.name, |head| format!("{head}{income}")).await?;
        let endpoint = format!("http://{host}");
        let id = citizen.register(self.town, "sells", Some(&endpoint)).await?;
        // What it knew of its steward's time a moment ago is an hour old where an hour has passed.
        let seller = Seller::new(Arc::new(citizen.steward()), Url::parse(&endpoint)?);
        let seller = seller.looks(Duration::ZERO);
        let wrong = Arc::new(Mutex::new(Misbehaviour::None));
        let mut app = Router::new();
        for routes in self.routes {
            app = app.merge(routes(seller.clone())?);
        }
        for (path, price, text) in self.goods {
            let kept = Arc::clone(&wrong);
            if !path.starts_with('/') {
                return Err(
                    format!("{} sells \"{path}\": a path begins with a slash", self.name).into()
                );
            }
            if !price.ends_with(&format!(" {DOLLAR}")) {
                return Err(format!(
                    "{} sells {path} for \"{price}\": a town's money is {DOLLAR}, as in \"0.02 {DOLLAR}\"",
                    self.name
                )
                .into());
            }
            let wall = Paywall::fixed(seller.clone(), &price)?;
            let goods = get(move || async move { deliver(&kept, text) }).route_layer(wall);
            app = app.merge(Router::new().route(&path, goods));
        }
        let app = app.layer(middleware::from_fn_with_state(Arc::clone(&wrong), door));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "a stall of this town is gone");
            }
        });
        Ok(Stall { citizen, host, id, wrong, task })
    }
}

/// The goods, unless the seller keeps them.
fn deliver(wrong: &Mutex<Misbehaviour>, text: String) -> Response {
    match *wrong.lock().unwrap_or_else(PoisonError::into_inner) {
        Misbehaviour::TakesTheMoney => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => text.into_response(),
    }
}

/// What happens before anything is asked for.
async fn door(
    State(wrong): State<Arc<Mutex<Misbehaviour>>>,
    request: Request,
    next: Next,
) -> Response {
    let wrong = *wrong.lock().unwrap_or_else(PoisonError::into_inner);
    match wrong {
        Misbehaviour::Silent => std::future::pending().await,
        Misbehaviour::Answers(status) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT).into_response()
        }
        Misbehaviour::None | Misbehaviour::TakesTheMoney => next.run(request).await,
    }
}

impl Stall {
    /// Where something is sold: `url("/wind")`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// Host and port, as policies name hosts.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its name, under which policies here know it as a payee.
    #[must_use]
    pub fn name(&self) -> &str {
        self.citizen.name()
    }

    /// Its ERC-8004 identity.
    #[must_use]
    pub const fn id(&self) -> U256 {
        self.id
    }

    /// The agent behind the counter: its owner, steward and journal.
    #[must_use]
    pub const fn citizen(&self) -> &Citizen {
        &self.citizen
    }

    /// From now on it does this wrong.
    pub fn misbehaves(&self, how: Misbehaviour) {
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }

    /// The paragraph by which a policy knows it.
    pub(super) fn payee(&self) -> String {
        format!(
            "\n[[payee]]\nname = \"{}\"\nagent_id = {}\nowner = \"{}\"\nwallet = \"{}\"\nhost = \"{}\"\n",
            self.name(),
            self.id,
            self.citizen.owner().address(),
            self.citizen.address(),
            self.host,
        )
    }
}

impl fmt::Debug for SellerBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SellerBuilder")
            .field("name", &self.name)
            .field("goods", &self.goods)
            .finish_non_exhaustive()
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl From<&Stall> for Address {
    fn from(stall: &Stall) -> Self {
        stall.citizen.address()
    }
}
