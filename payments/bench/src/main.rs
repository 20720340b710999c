//! `make bench`: our counter beside those of others, in one run: the same local server, the same
//! chain, one after the other in turns. Figures are medians; what counts is the ratios.
//!
//! Every party is a process of its own and is spoken to in lines of JSON, as the Node peers of
//! `tests/interop` are. Our own side is whole: the steward decides, journals and signs, and follows
//! each payment on chain until it is final; its work is part of our CPU time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails like a test"
)]

mod buyers;
mod lines;
mod ours;
#[path = "../../../tests/interop/peer.rs"]
#[allow(dead_code, reason = "each user takes a part of it")]
mod peer;
mod reqwest_peer;
mod sellers;
mod shop;
#[path = "../../../steward/tests/support/mod.rs"]
#[allow(dead_code, reason = "each user takes a part of it")]
mod support;
mod verify;

/// Where the Node scripts are.
const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop");

fn main() {
    let role = std::env::var("MARQUE_BENCH_ROLE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "ours" => ours::buy().await,
            "reqwest" => reqwest_peer::buy().await,
            "shop" => shop::serve().await,
            "seller" => ours::sell().await,
            _ => {
                buyers::measure().await;
                sellers::measure().await;
                verify::measure();
            }
        }
    });
}

/// One row of the report.
fn row(what: &str, figure: &str, beside: &str) {
    println!("{what:<44} {figure:>16}   {beside}");
}

/// The value at a share of a list.
fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Whether a target is met, in words.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
