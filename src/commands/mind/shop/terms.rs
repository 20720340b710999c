//! What a shop asks and risks, and which of it goes together.

use crate::failure::{Done, Failure};
use marque_payments::Settlement;
use marque_policies::Money;
use std::net::SocketAddr;
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
    #[arg(long, value_name = "AMOUNT ASSET")]
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

impl Terms {
    /// Refuses what does not go together, as far as that is known without the policy.
    pub(crate) fn check(&self) -> Done {
        let background = self.settle == Order::Background;
        for (name, given) in [("--risk", &self.risk), ("--risk-per-payer", &self.risk_per_payer)] {
            if given.is_some() && !background {
                return Err(Failure::usage(format!(
                    "{name} is what is delivered before the money is seen"
                ))
                .help("add --settle background, or leave it out: otherwise nothing is at risk"));
            }
        }
        if background && self.facilitator.is_some() {
            return Err(Failure::usage(
                "with --facilitator nothing is delivered in the background: what a facilitator \
                 settles is not in this steward's journal before it is on chain",
            )
            .help("write --settle before (or after), or leave --facilitator out"));
        }
        Ok(())
    }

    /// How the goods are settled, with amounts of the policy's assets that go together.
    pub(super) fn settlement(
        &self,
        price: Money,
        money: impl Fn(&str) -> Done<Money>,
    ) -> Done<Settlement> {
        let risk = match (self.settle, &self.risk) {
            (Order::Before, _) => return Ok(Settlement::Before),
            (Order::After, _) => return Ok(Settlement::After),
            (Order::Background, Some(risk)) => money(risk)?,
            (Order::Background, None) => {
                return Err(Failure::usage("--settle background needs --risk"));
            }
        };
        let Self { price: asked, risk: all, risk_per_payer: each, .. } = self;
        let all = all.as_deref().unwrap_or_default();
        if risk.asset != price.asset {
            return Err(Failure::usage(format!("--risk {all} is in another asset than {asked}")));
        }
        if risk.units < price.units {
            return Err(Failure::usage(format!(
                "--risk {all} is below the price, {asked}: nothing would be delivered on credit"
            ))
            .help("raise it to several times the price, or leave out --settle background"));
        }
        if let Some(text) = each {
            let each = money(text)?;
            if each.asset != price.asset {
                return Err(Failure::usage(format!(
                    "--risk-per-payer {text} is in another asset than {asked}"
                )));
            }
            if each.units > risk.units || each.units < price.units {
                return Err(Failure::usage(format!(
                    "--risk-per-payer {text} is one payer's part of --risk {all}, and at least the \
                     price, {asked}"
                )));
            }
        }
        Ok(Settlement::Background { risk })
    }
}
