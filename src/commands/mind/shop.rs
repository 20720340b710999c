//! What `marque sell` runs inside the fence: a counter before a folder's files, or before a service
//! that is there already.

mod folder;
mod upstream;

use super::seller::counter;
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, good, harmless, say, stopped},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use folder::Folder;
use marque::{home::Home, process::stop_signal};
use marque_net::{Client, Guard, host_port};
use marque_payments::{
    Facilitator, Paywall, Seller, Settlement,
    seller::{Counter, Refusal},
    x402::{self, SettlementResponse},
};
use marque_policies::{Money, money::parse_units};
use marque_steward_client::View;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};
use tower::{Layer as _, ServiceExt as _};
use upstream::Upstream;
use url::Url;

/// What is sold, where, and for how much. `marque sell` and its mind understand the same.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Terms {
    /// What a file, or a request, costs: an amount and an asset of the agent's policy.
    #[arg(long, value_name = "AMOUNT ASSET")]
    pub(crate) price: String,
    /// Where to listen.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4022")]
    pub(crate) listen: SocketAddr,
    /// The URL by which buyers reach it; else http:// and the address it listens on. What is paid is
    /// bound to it, so a seller behind a proxy names the proxy's.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<Url>,
    /// Whether money or goods come first: "before" sees the money on chain before it delivers,
    /// "after" makes the goods first and charges nothing for an error, "background" delivers before
    /// the chain has shown the money, up to --risk.
    #[arg(long, value_enum, default_value_t = Order::Before)]
    pub(crate) settle: Order,
    /// The most that is delivered and not seen on chain, for --settle background. A delivery that is
    /// never paid uses it up until the shop is opened anew; once it is used up, money comes first.
    #[arg(long, value_name = "AMOUNT ASSET", required_if_eq("settle", "background"))]
    pub(crate) risk: Option<String>,
    /// So much of --risk may be one payer's; else all of it.
    #[arg(long, value_name = "AMOUNT ASSET", requires = "risk")]
    pub(crate) risk_per_payer: Option<String>,
    /// Let this x402 facilitator bring payments to the chain and pay the fees. It may refuse; that
    /// money has come is believed when your steward finds it there.
    #[arg(long, value_name = "URL")]
    pub(crate) facilitator: Option<Url>,
    /// What costs nothing: a path, or with a slash at its end everything below. May be given several
    /// times. A folder's listing is always free.
    #[arg(long, value_name = "PATH")]
    pub(crate) free: Vec<String>,
}

/// Whether money or goods come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    Before,
    After,
    Background,
}

/// What stands behind the counter.
#[derive(Clone, Debug)]
pub(super) enum Goods {
    Folder(PathBuf),
    Service(Url),
}

/// The counter, and what is behind it.
#[derive(Clone)]
struct Shop {
    goods: Behind,
    paid: Counter<Router>,
    free: Arc<[String]>,
    json: bool,
}

#[derive(Clone)]
enum Behind {
    Folder(Arc<Folder>),
    Service(Arc<Upstream>),
}

pub(super) async fn sell(
    home: &Home,
    agent: &str,
    goods: Goods,
    terms: Terms,
    json: bool,
) -> Done<ExitCode> {
    let base = terms.public_url.clone();
    let seller = counter(home, agent, terms.listen, base.clone()).await?;
    let view = seller.steward().view().await?;
    let money = |text: &str| money(&view, text);
    let price = money(&terms.price)?;
    if !view.income.contains(&price.asset) {
        let name = terms.price.split_once(' ').map_or("", |(_, name)| name);
        return Err(Failure::refused(format!("the policy does not let {agent} be paid in {name}"))
            .help(format!(
                "have its owner add [income] with assets = [\"{name}\"], and [limits.gas], to \
                 policy.toml, and adopt it: marque policy adopt {agent}"
            )));
    }
    let settlement = match (terms.settle, &terms.risk) {
        (Order::Before, _) => Settlement::Before,
        (Order::After, _) => Settlement::After,
        (Order::Background, Some(risk)) => Settlement::Background { risk: money(risk)? },
        (Order::Background, None) => {
            return Err(Failure::usage("--settle background needs --risk"));
        }
    };
    let mut seller = seller.settlement(settlement);
    if let Some(each) = &terms.risk_per_payer {
        seller = seller.payer_risk(money(each)?);
    }
    let mut facilitator = None;
    if let Some(url) = &terms.facilitator {
        let guard = Guard::naming([host_port(url).as_str()]);
        guard.vet(url).map_err(Failure::usage)?;
        let named = Facilitator::new(Client::new(guard).map_err(Failure::new)?, url.clone());
        seller = seller.through(named.clone());
        facilitator = Some(named);
    }
    let behind = match &goods {
        Goods::Folder(dir) => Behind::Folder(Arc::new(Folder::open(dir, &terms.price)?)),
        Goods::Service(url) => Behind::Service(Arc::new(Upstream::new(url.clone())?)),
    };
    let listener = tokio::net::TcpListener::bind(terms.listen).await.doing(terms.listen)?;
    let place = listener.local_addr().doing(terms.listen)?;
    let shop = Shop {
        paid: paywall(seller, &behind, price)?.layer(goods_router(&behind)),
        goods: behind,
        free: terms.free.clone().into(),
        json,
    };
    let url = base.map_or_else(|| format!("http://{place}/"), |url| url.to_string());
    opened(&view, &goods, &terms, &url, json);
    for doubt in doubts(&shop.goods, facilitator.as_ref(), &view, price).await {
        tracing::warn!("{doubt}");
    }
    let router = Router::new().fallback(serve).with_state(shop);
    axum::serve(listener, router).with_graceful_shutdown(stop_signal()).await.doing("the shop")?;
    if !json {
        say!(
            "\nclosed; what is being settled, the steward goes on with. marque income shows the rest"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn opened(view: &View, goods: &Goods, terms: &Terms, url: &str, json: bool) {
    let what = match goods {
        Goods::Folder(dir) => format!("the files in {}", dir.display()),
        Goods::Service(url) => format!("what {url} answers"),
    };
    if json {
        say!(
            "{}",
            serde_json::json!({
                "event": "selling", "what": what, "url": url, "price": terms.price,
                "agent": view.agent, "address": view.address,
            })
        );
        return;
    }
    good(&format!("{} sells {what} at {url} for {} each", view.agent, terms.price));
    let when = match terms.settle {
        Order::Before => "before the goods are delivered",
        Order::After => "once the goods are made",
        Order::Background => "while the goods are on their way",
    };
    detail(&format!("paid to {}; the money is taken {when}", view.address));
    if let Some(facilitator) = &terms.facilitator {
        detail(&format!(
            "brought to the chain by {facilitator}, believed when the steward sees it"
        ));
    }
    say!("\nCtrl-C closes the shop.");
}

/// What would keep the shop from selling, though it is open: others that it needs, and that may come
/// yet.
async fn doubts(
    goods: &Behind,
    facilitator: Option<&Facilitator>,
    view: &View,
    price: Money,
) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Behind::Service(upstream) = goods
        && let Err(error) = upstream.knock().await
    {
        doubts.push(format!("the service behind the counter does not answer yet: {error}"));
    }
    if let Some(facilitator) = facilitator {
        let network = format!("eip155:{}", price.asset.chain);
        match facilitator.supported().await {
            Ok(supported) if supported.settles("exact", &network) => {}
            Ok(_) => doubts.push(format!(
                "the facilitator settles no \"exact\" on {network}; the steward of {} will have to",
                view.agent
            )),
            Err(error) => doubts.push(error.to_string()),
        }
    }
    doubts
}

/// An amount and an asset's name, exactly.
fn money(view: &View, text: &str) -> Done<Money> {
    let wrong = || Failure::usage(format!("\"{text}\" is no amount of an asset of the policy"));
    let names = || {
        let earned = view.assets.iter().filter(|asset| view.income.contains(&asset.id));
        let names: Vec<&str> = earned.map(|asset| asset.name.as_str()).collect();
        match names.first() {
            Some(first) => format!("like \"0.01 {first}\"; it may be paid in {}", names.join(", ")),
            None => "the policy lets it be paid in nothing; see [income]".to_owned(),
        }
    };
    let (digits, name) = text.split_once(' ').ok_or_else(|| wrong().help(names()))?;
    let asset = view.assets.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| wrong().help(names()))?;
    let units = parse_units(digits, asset.decimals).map_err(|error| wrong().help(error))?;
    Ok(Money::new(units, asset.id))
}

fn paywall(seller: Seller, behind: &Behind, price: Money) -> Done<Paywall> {
    Ok(match behind {
        Behind::Folder(folder) => {
            let folder = Arc::clone(folder);
            // Nobody pays for what is not there.
            Paywall::quoted(seller, move |parts, _| match folder.sellable(parts.uri.path()) {
                Ok(()) => Ok(price),
                Err((status, why)) => Err(Refusal::new(status, why)),
            })
            .describe("a file")
        }
        Behind::Service(upstream) => {
            let upstream = Arc::clone(upstream);
            Paywall::quoted(seller, move |parts, _| match upstream.target(&parts.uri) {
                Some(_) => Ok(price),
                None => Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such path")),
            })
            .describe("one request")
        }
    })
}

fn goods_router(behind: &Behind) -> Router {
    Router::new().fallback(make).with_state(behind.clone())
}

/// Makes the goods, once they are paid or free.
async fn make(State(behind): State<Behind>, request: Request) -> Response {
    match behind {
        Behind::Folder(folder) => folder.file(request.uri().path()).await,
        Behind::Service(upstream) => upstream.forward(request).await,
    }
}

async fn serve(State(shop): State<Shop>, mut request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let headers = request.headers().clone();
    let paid = headers.contains_key(x402::PAYMENT_SIGNATURE);
    if let Behind::Folder(folder) = &shop.goods {
        // A look at the head costs nothing, and nobody buys one.
        if method == Method::HEAD && !paid {
            *request.method_mut() = Method::GET;
        } else if method != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, "files are sold by GET").into_response();
        }
        if let Some(listing) = folder.listing(uri.path(), &headers).await {
            return listing;
        }
    }
    if shop.is_free(&uri) {
        return make(State(shop.goods), request).await;
    }
    let Ok(answer) = shop.paid.clone().oneshot(request).await;
    if paid {
        shop.tell(&method, &uri, answer.status(), answer.headers());
    }
    answer
}

impl Shop {
    /// Whether nothing is asked for it. What could be read in two ways is not free.
    fn is_free(&self, uri: &Uri) -> bool {
        let path = uri.path();
        let plain = |path: &str| {
            !path.contains(['%', '\\', ';'])
                && path.split('/').all(|part| part != ".." && part != ".")
                && !path.contains("//")
        };
        plain(path)
            && self.free.iter().any(|free| match free.strip_suffix('/') {
                Some(folder) => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
                None => path == free,
            })
    }

    /// Says what became of a payment.
    fn tell(&self, method: &Method, uri: &Uri, status: StatusCode, headers: &HeaderMap) {
        let receipt = headers.get(x402::PAYMENT_RESPONSE).and_then(|value| value.to_str().ok());
        let receipt = receipt
            .and_then(|text| x402::decode::<SettlementResponse>(x402::PAYMENT_RESPONSE, text).ok());
        let path = uri.path();
        if self.json {
            let settled = receipt.as_ref().is_some_and(|receipt| receipt.success);
            say!(
                "{}",
                serde_json::json!({
                    "event": if settled { "sold" } else { "not_sold" },
                    "method": method.as_str(), "path": path, "status": status.as_u16(),
                    "receipt": receipt,
                })
            );
            return;
        }
        match receipt {
            Some(SettlementResponse { success: true, payer, transaction, .. }) => {
                let payer = payer.unwrap_or_default();
                let text = harmless(&format!("{path} to {payer}, transaction {transaction}"));
                if status.is_success() {
                    good(&format!("sold {text}"));
                } else {
                    stopped(&format!("sold, but the goods are an error ({status}): {text}"));
                }
            }
            Some(SettlementResponse { error_reason, .. }) => {
                let why = error_reason.unwrap_or_default();
                detail(&harmless(&format!("not sold: {path}, {why}")));
            }
            None => detail(&harmless(&format!("not sold: {path}, status {}", status.as_u16()))),
        }
    }
}
