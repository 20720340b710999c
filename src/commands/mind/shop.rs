//! What `marque sell` runs inside the fence: a counter before a folder's files, or before a service
//! that is there already.

mod failures;
mod folder;
mod terms;
mod upstream;

use super::seller::{counter, open};
use crate::{
    failure::{Context as _, Done, Failure},
    story::{detail, good, harmless, odd, say, stopped},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use failures::Failures;
pub(crate) use failures::read as answers;
use folder::Folder;
use marque::{home::Home, process::stop_signal};
use marque_net::{Client, Guard, host_port};
use marque_payments::{
    Facilitator, Paywall, Seller,
    seller::{Counter, Refusal},
    x402::{self, SettlementResponse},
};
use marque_policies::{Money, money::parse_units};
use marque_steward_client::View;
use std::{
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};
pub(crate) use terms::{Order, Terms};
use tower::{Layer as _, ServiceExt as _};
use upstream::Upstream;
use url::Url;

/// The longest address of another shop that is read.
const MAX_SIGN: u64 = 512;

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
    failures: Arc<Failures>,
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
    if price.units.is_zero() {
        return Err(Failure::usage(format!("--price {}: that is no price", terms.price))
            .help("what costs nothing is named with --free PATH"));
    }
    terms.check()?;
    let mut seller = seller.settlement(terms.settlement(price, money)?);
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
    let listener = open(terms.listen).await?;
    let place = listener.local_addr().doing(terms.listen)?;
    let shop = Shop {
        paid: paywall(seller, &behind, price)?.layer(goods_router(&behind)),
        goods: behind,
        free: terms.free.clone().into(),
        failures: Arc::new(Failures::open(&home.mind(agent))),
        json,
    };
    let url = base.map_or_else(|| format!("http://{place}/"), |url| url.to_string());
    opened(&view, &goods, &terms, &url, json);
    let mut doubts = doubts(&shop.goods, facilitator.as_ref(), &view, price).await;
    let sign = sign(home, agent, &url);
    doubts.extend(sign.as_ref().err().cloned());
    for doubt in doubts {
        match json {
            true => tracing::warn!("{doubt}"),
            false => odd(&harmless(&doubt)),
        }
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

/// Hangs out that this agent's shop is open, for as long as what is returned lives; in words where
/// another process sells for it already.
fn sign(home: &Home, agent: &str, url: &str) -> Result<Option<File>, String> {
    let path = home.mind(agent).join("shop");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    // It is a courtesy: without a file the shop is as open.
    let Ok(mut file) = open else { return Ok(None) };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        let mut other = String::new();
        let read = file.take(MAX_SIGN).read_to_string(&mut other);
        let place = if read.is_ok() && !other.is_empty() { &other } else { "another place" };
        return Err(format!(
            "{agent} sells already, at {place}: both are open, each with a --risk of its own"
        ));
    }
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all(url.as_bytes())) {
        tracing::debug!(%error, "where the shop is cannot be written");
    }
    Ok(Some(file))
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
        let failed = status.is_client_error() || status.is_server_error();
        if let Some(SettlementResponse { success: true, transaction, .. }) = &receipt {
            // Whatever is no error is noted alike: goods that came in the end.
            self.failures.note(transaction, if failed { status.as_u16() } else { 200 });
        }
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
                if failed {
                    stopped(&format!("sold, but the goods are an error ({status}): {text}"));
                } else {
                    good(&format!("sold {text}"));
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
