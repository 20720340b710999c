//! Selling: a price is one line above a route, and the money is on chain before the goods leave.

#![expect(clippy::print_stdout, reason = "a program says what came out")]

use axum::{Router, extract::Path, routing::get};
use marque::{
    payments::{Paywall, Seller},
    prelude::*,
    testing::{Town, answer, call},
};

/// Reads something that costs.
#[tool]
async fn read(cx: &Cx, url: String) -> Result<String> {
    Ok(cx.get(url).await?.text()?.to_owned())
}

/// The shop: what it is about is free, the wind costs.
fn shop(seller: Seller) -> Result<Router> {
    let wind = get(async |Path(station): Path<String>| format!("14.2 knots in {station}"))
        .route_layer(Paywall::fixed(seller, "0.02 tUSD")?);
    let about = get(async || "the wind, at /wind/STATION");
    Ok(Router::new().route("/wind/{station}", wind).route("/", about))
}

#[tokio::main]
async fn main() -> Result {
    let town = Town::start().await?;
    let feed = town.seller("feed").serves(shop).open().await?;
    let scout = town
        .agent("scout")
        .pays(&feed)
        .may("read")
        .thinks([
            call("read", [("url", feed.url("/"))]),
            call("read", [("url", feed.url("/wind/Horta"))]),
            answer("14.2 knots"),
        ])
        .open()
        .await?;
    let wind: String = scout.agent().tool(read).run("How windy is it in Horta?").await?;
    println!("{wind}; feed has earned {}", town.holds(&feed).await?);
    Ok(())
}
