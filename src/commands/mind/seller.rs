//! Minds that sell: a file, or completions of a local model. Their stewards settle what they are
//! paid; they hold no key.

use crate::failure::{Context as _, Done, Failure};
use axum::{Router, http::header, routing::get};
use marque::{home::Home, owner::connect, process::stop_signal};
use marque_compute::Worker;
use marque_models::Llama;
use marque_payments::{Paywall, Seller};
use marque_policies::{Money, money::parse_units};
use std::{io::ErrorKind, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use url::Url;

/// A seller behind `listen`, whose steward is `agent`'s.
pub(super) async fn counter(
    home: &Home,
    agent: &str,
    listen: SocketAddr,
    public: Option<Url>,
) -> Done<Seller> {
    let steward = connect(&home.socket(agent), Duration::from_secs(5)).await?;
    let base = match public {
        Some(public) => public,
        None => format!("http://{listen}").parse().doing("the address")?,
    };
    Ok(Seller::new(Arc::new(steward), base))
}

/// Sells one file under its own name.
pub(super) async fn file(
    home: &Home,
    agent: &str,
    listen: SocketAddr,
    name: &str,
    goods: Vec<u8>,
    price: &str,
) -> Done<ExitCode> {
    let seller = counter(home, agent, listen, None).await?;
    let paywall = Paywall::fixed(seller, price)?.describe(name);
    let goods: &'static [u8] = goods.leak(); // one file for the life of the process
    let kind = if name.ends_with(".csv") { "text/csv" } else { "application/octet-stream" };
    let goods = get(move || async move { ([(header::CONTENT_TYPE, kind)], goods) });
    // What is not here costs nothing.
    let shop = Router::new().route(&format!("/{name}"), goods.route_layer(paywall));
    serve(shop, listen).await
}

/// Sells completions of the built-in model, priced per token.
pub(super) async fn inference(
    home: &Home,
    agent: &str,
    listen: SocketAddr,
    price: &str,
) -> Done<ExitCode> {
    let seller = counter(home, agent, listen, None).await?;
    let view = seller.steward().view().await?;
    let price = price.split_once(' ').and_then(|(digits, name)| {
        let asset = view.assets.iter().find(|asset| asset.name == name)?;
        Some(Money::new(parse_units(digits, asset.decimals).ok()?, asset.id))
    });
    let price = price.ok_or_else(|| Failure::usage("a price is like \"0.0005 tUSD\""))?;
    let model = tokio::task::spawn_blocking(Llama::built_in).await.doing("the model")??;
    serve(Worker::new(Arc::new(model), seller, price).router(), listen).await
}

/// Takes the place where buyers come.
pub(super) async fn open(listen: SocketAddr) -> Done<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        let failure = Failure::new(format!("{listen}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => failure
                .help("another program listens there: choose another port, --listen HOST:PORT"),
            ErrorKind::AddrNotAvailable => {
                failure.help("that is no address of this machine; behind a proxy add --public-url")
            }
            _ => failure.help("choose another place: --listen HOST:PORT"),
        }
    })
}

async fn serve(shop: Router, listen: SocketAddr) -> Done<ExitCode> {
    let listener = open(listen).await?;
    axum::serve(listener, shop).with_graceful_shutdown(stop_signal()).await.doing("the shop")?;
    Ok(ExitCode::SUCCESS)
}
